//! The points of a loop: the i-th value, computed on demand.
//!
//! Only lists that the user wrote are stored. A range of a billion points is as small as a range of five,
//! and a job is sent to the workers in a few hundred bytes.

mod design;
mod distribution;
mod normal;
mod search;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::nest::points::design::Design;
use crate::model::value::Value;
pub(crate) use distribution::Distribution;

/// Where a loop's points come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Points {
    /// As written, or as found in files.
    List(Vec<Value>),
    /// The rows of a table as records. Where a cell is not what its value prints (`1.50`, or empty), it is
    /// kept by row and column, for commands.
    Rows { records: Vec<Value>, cells: BTreeMap<(u64, usize), String> },
    /// Whole numbers: `from + i * step`.
    Range { from: i64, step: i64, count: u64 },
    /// Evenly spaced, both ends included.
    Linspace { from: f64, to: f64, count: u64 },
    /// Evenly spaced on a logarithmic scale, both ends included.
    Logspace { from: f64, to: f64, count: u64 },
    /// Records of every combination, the last name fastest.
    Grid(Vec<Named>),
    /// One source after another.
    Union(Vec<Points>),
    /// Records of the i-th value of each.
    Zip(Vec<Named>),
    /// Whole numbers on a logarithmic scale, equal neighbours once. `asked` is how many points there were
    /// with them.
    Rounded { values: Vec<i64>, asked: u64 },
    /// Draws of distributions, as the design says.
    Random {
        count: u64,
        design: Design,
        /// The same seed gives the same points.
        seed: u64,
        /// The distributions by name.
        draws: Vec<(String, Distribution)>,
        /// Whether a point is the single drawn value instead of a record.
        bare: bool,
    },
}

/// A parameter and its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Named {
    /// The field of the record.
    pub(crate) name: String,
    pub(crate) points: Points,
}

impl Points {
    /// Independent draws; a point is the single drawn value if it is `bare`, and a record otherwise.
    #[cfg(feature = "jobs")]
    pub(crate) fn random(
        count: u64,
        seed: u64,
        draws: Vec<(String, Distribution)>,
        bare: bool,
    ) -> Points {
        Points::Random { count, design: Design::Independent, seed, draws, bare }
    }

    /// The points of a Latin hypercube.
    #[cfg(feature = "jobs")]
    pub(crate) fn latin(
        count: u32,
        seed: u64,
        draws: Vec<(String, Distribution)>,
        bare: bool,
    ) -> Points {
        let design = Design::latin(count, seed, draws.iter().map(|(name, _)| name));
        Points::Random { count: count.into(), design, seed, draws, bare }
    }

    /// The points of a Sobol sequence behind the first `skip`, with these direction numbers for each draw.
    #[cfg(feature = "jobs")]
    pub(crate) fn sobol(
        count: u64,
        skip: u64,
        directions: Vec<Vec<u32>>,
        draws: Vec<(String, Distribution)>,
        bare: bool,
    ) -> Points {
        let design = Design::Sobol { skip, directions };
        Points::Random { count, design, seed: 0, draws, bare }
    }

    /// Number of points; `u64::MAX` if that overflows.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Points::List(values) | Points::Rows { records: values, .. } => values.len() as u64,
            Points::Rounded { values, .. } => values.len() as u64,
            Points::Range { count, .. }
            | Points::Linspace { count, .. }
            | Points::Logspace { count, .. }
            | Points::Random { count, .. } => *count,
            Points::Grid(named) => {
                named.iter().fold(1, |product, n| product.saturating_mul(n.points.len()))
            }
            Points::Union(parts) => parts.iter().fold(0, |sum, p| sum.saturating_add(p.len())),
            Points::Zip(named) => named.first().map_or(0, |n| n.points.len()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the points of a shorter loop of this kind are the first ones of a longer one.
    pub(crate) fn begins_with_shorter(&self) -> bool {
        !matches!(self, Points::Random { design: Design::Latin(_), .. })
    }

    /// Where equal neighbours of rounded numbers count once: the parameter, if there are several, how many
    /// points there were with them, and how many are left.
    #[cfg(feature = "cli")]
    pub(crate) fn rounded<'a>(&'a self) -> Vec<(Option<&'a str>, u64, u64)> {
        match self {
            Points::Rounded { values, asked } => vec![(None, *asked, values.len() as u64)],
            Points::Union(parts) => parts.iter().flat_map(Points::rounded).collect(),
            Points::Grid(named) | Points::Zip(named) => {
                let of = |n: &'a Named| {
                    let name = Some(n.name.as_str());
                    n.points.rounded().into_iter().map(move |(_, asked, left)| (name, asked, left))
                };
                named.iter().flat_map(of).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The field names of the points, if they are records.
    pub(crate) fn fields(&self) -> Vec<String> {
        let mut names: Vec<String> = match self {
            Points::List(values) | Points::Rows { records: values, .. } => {
                let fields = values.iter().filter_map(|value| match value {
                    Value::Record(fields) => Some(fields.iter().map(|(name, _)| name.clone())),
                    _ => None,
                });
                fields.flatten().collect()
            }
            Points::Grid(named) | Points::Zip(named) => {
                named.iter().map(|n| n.name.clone()).collect()
            }
            Points::Union(parts) => parts.iter().flat_map(Points::fields).collect(),
            Points::Random { draws, bare: false, .. } => {
                draws.iter().map(|(name, _)| name.clone()).collect()
            }
            _ => Vec::new(),
        };
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    /// A field of the `i`-th point, which is mostly at this place of the record.
    pub(crate) fn field(&self, i: u64, name: &str, place: usize) -> Option<Value> {
        let of = |point: &Value| point.field_near(name, place).cloned();
        match self {
            Points::List(values) | Points::Rows { records: values, .. } => of(&values[i as usize]),
            computed => of(&computed.get(i)),
        }
    }

    /// The cell of a table that is this field of the `i`-th point, if the value prints as something else.
    pub(crate) fn cell(&self, i: u64, field: &str) -> Option<&str> {
        let Points::Rows { records, cells } = self else { return None };
        let Value::Record(fields) = records.get(i as usize)? else { return None };
        let column = fields.iter().position(|(name, _)| name == field)?;
        cells.get(&(i, column)).map(String::as_str)
    }

    /// The `i`-th point, `i` from 0 up to, but not including, [`Points::len`].
    pub(crate) fn get(&self, i: u64) -> Value {
        match self {
            Points::List(values) | Points::Rows { records: values, .. } => {
                values[i as usize].clone()
            }
            Points::Range { from, step, .. } => {
                Value::Int(from.wrapping_add((i as i64).wrapping_mul(*step)))
            }
            Points::Linspace { from, to, count } => Value::Float(spaced(*from, *to, *count, i)),
            Points::Logspace { from, to, count } => Value::Float(match i {
                0 => *from,
                last if last + 1 == *count => *to,
                _ => 10f64.powf(spaced(from.log10(), to.log10(), *count, i)),
            }),
            Points::Grid(named) => {
                let mut rest = i;
                let mut fields: Vec<(String, Value)> = named
                    .iter()
                    .rev()
                    .map(|n| {
                        let digit = rest % n.points.len();
                        rest /= n.points.len();
                        (n.name.clone(), n.points.get(digit))
                    })
                    .collect();
                fields.reverse();
                Value::Record(fields)
            }
            Points::Union(parts) => {
                let mut rest = i;
                for part in parts {
                    if rest < part.len() {
                        return part.get(rest);
                    }
                    rest -= part.len();
                }
                panic!("point {i} of {}", self.len())
            }
            Points::Zip(named) => {
                Value::Record(named.iter().map(|n| (n.name.clone(), n.points.get(i))).collect())
            }
            Points::Rounded { values, .. } => Value::Int(values[i as usize]),
            Points::Random { count, design, seed, draws, bare } => {
                let value = |at: usize| design.value(&draws[at], at, *seed, i, *count);
                if *bare {
                    return value(0);
                }
                let named = draws.iter().enumerate();
                Value::Record(named.map(|(at, (name, _))| (name.clone(), value(at))).collect())
            }
        }
    }
}

fn spaced(from: f64, to: f64, count: u64, i: u64) -> f64 {
    if i + 1 == count && count > 1 {
        return to;
    }
    from + (to - from) * (i as f64 / (count - 1).max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(points: &Points) -> Vec<String> {
        (0..points.len()).map(|i| points.get(i).to_string()).collect()
    }

    fn named(name: &str, values: &[i64]) -> Named {
        let points = Points::List(values.iter().map(|&i| Value::Int(i)).collect());
        Named { name: name.into(), points }
    }

    #[test]
    fn numeric_sources_hit_both_ends_exactly() {
        assert_eq!(all(&Points::Range { from: 5, step: -2, count: 3 }), ["5", "3", "1"]);
        let billion = Points::Range { from: 0, step: 1, count: 1_000_000_000 };
        assert_eq!(billion.get(999_999_999).to_string(), "999999999");
        let linspace = Points::Linspace { from: 0.0, to: 0.3, count: 4 };
        assert_eq!(all(&linspace)[0], "0.0");
        assert_eq!(all(&linspace)[3], "0.3");
        let logspace = Points::Logspace { from: 1e-4, to: 1e4, count: 9 };
        let text = all(&logspace);
        assert_eq!((text[0].as_str(), text[8].as_str()), ("0.0001", "10000.0"));
        for (i, exponent) in (-4..=4).enumerate() {
            let value = logspace.get(i as u64).as_f64().unwrap();
            assert!((value / 10f64.powi(exponent) - 1.0).abs() < 1e-14, "{value}");
        }
        assert_eq!(all(&Points::Linspace { from: 2.0, to: 2.0, count: 1 }), ["2.0"]);
    }

    #[test]
    fn grids_are_products_zips_are_pairs_unions_follow_each_other() {
        let grid = Points::Grid(vec![named("a", &[1, 2]), named("b", &[3, 4])]);
        let records =
            ["{\"a\":1,\"b\":3}", "{\"a\":1,\"b\":4}", "{\"a\":2,\"b\":3}", "{\"a\":2,\"b\":4}"];
        assert_eq!(all(&grid), records);
        let zip = Points::Zip(vec![named("a", &[1, 2]), named("b", &[3, 4])]);
        assert_eq!(all(&zip), [records[0], records[3]]);
        let union = Points::Union(vec![zip, Points::Grid(vec![named("c", &[9])])]);
        assert_eq!(all(&union), [records[0], records[3], "{\"c\":9}"]);
    }

    #[test]
    fn random_draws_depend_on_seed_name_and_index_alone() {
        let random = |count, seed| Points::Random {
            count,
            design: Design::Independent,
            seed,
            draws: vec![
                ("x".into(), Distribution::Normal(0.0, 1.0)),
                ("k".into(), Distribution::Integers(1, 4)),
                ("c".into(), Distribution::Choice(vec!["red".into(), "blue".into()])),
                ("l".into(), Distribution::Loguniform(1e-3, 1e3)),
            ],
            bare: false,
        };
        assert_eq!(all(&random(5, 1)), all(&random(9, 1))[..5]);
        assert_ne!(all(&random(5, 1)), all(&random(5, 2)));
        let many: Vec<Value> = (0..2000).map(|i| random(2000, 1).get(i)).collect();
        let mean: f64 =
            many.iter().map(|v| v.field("x").unwrap().as_f64().unwrap()).sum::<f64>() / 2000.0;
        assert!(mean.abs() < 0.1, "{mean}");
        for value in &many {
            let whole = value.field("k").unwrap().as_f64().unwrap();
            assert!([1.0, 2.0, 3.0].contains(&whole));
            assert!((1e-3..=1e3).contains(&value.field("l").unwrap().as_f64().unwrap()));
        }
    }
}
