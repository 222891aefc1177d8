//! The points of a loop: the i-th value, computed on demand.
//!
//! Only lists that the user wrote are stored. A range of a billion points is as small as a range of five,
//! and a job is sent to the workers in a few hundred bytes.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution as _, LogNormal, Normal, Uniform};
use serde::{Deserialize, Serialize};

use crate::model::value::Value;

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
    /// Random draws. The i-th draw depends only on the seed, the name and i, so a longer loop starts with
    /// the points of a shorter one.
    Random {
        count: u64,
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

/// The distribution of a random parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Distribution {
    /// Between two numbers.
    Uniform(f64, f64),
    /// Uniform in the logarithm.
    Loguniform(f64, f64),
    /// By mean and standard deviation.
    Normal(f64, f64),
    /// By mean and standard deviation of the logarithm.
    Lognormal(f64, f64),
    /// A whole number from the first up to, but not including, the second.
    Integers(i64, i64),
    /// One of a list.
    Choice(Vec<Value>),
}

impl Points {
    /// Number of points; `u64::MAX` if that overflows.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Points::List(values) | Points::Rows { records: values, .. } => values.len() as u64,
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

    /// Whether a point can be a string, and so a file name.
    pub(crate) fn may_name_files(&self) -> bool {
        match self {
            Points::Rows { .. } => true,
            Points::List(values) => {
                values.iter().any(|value| !matches!(value, Value::Int(_) | Value::Float(_)))
            }
            Points::Range { .. } | Points::Linspace { .. } | Points::Logspace { .. } => false,
            Points::Grid(named) | Points::Zip(named) => {
                named.iter().any(|n| n.points.may_name_files())
            }
            Points::Union(parts) => parts.iter().any(Points::may_name_files),
            Points::Random { draws, .. } => {
                draws.iter().any(|(_, draw)| matches!(draw, Distribution::Choice(_)))
            }
        }
    }

    /// A value that a point, or this field of it, can have, and that is wanted; of records that combine
    /// several sources, a part. Only what the user wrote is looked at: the numbers of a range and of random
    /// draws are never wanted.
    #[cfg(feature = "jobs")]
    pub(crate) fn find(
        &self,
        field: Option<&str>,
        wanted: &dyn Fn(&Value) -> bool,
    ) -> Option<&Value> {
        let is_meant = |name: &str| field.is_none_or(|field| field == name);
        match self {
            Points::List(values) | Points::Rows { records: values, .. } => {
                let mut meant = values.iter().filter_map(|value| match field {
                    Some(field) => value.field(field),
                    None => Some(value),
                });
                meant.find(|value| wanted(value))
            }
            Points::Range { .. } | Points::Linspace { .. } | Points::Logspace { .. } => None,
            Points::Grid(named) | Points::Zip(named) => {
                named.iter().filter(|n| is_meant(&n.name)).find_map(|n| n.points.find(None, wanted))
            }
            Points::Union(parts) => parts.iter().find_map(|part| part.find(field, wanted)),
            Points::Random { draws, .. } => {
                let meant = draws.iter().filter(|(name, _)| is_meant(name));
                meant.into_iter().find_map(|(_, draw)| match draw {
                    Distribution::Choice(values) => values.iter().find(|value| wanted(value)),
                    _ => None,
                })
            }
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
        let of = |point: &Value| match point {
            Value::Record(fields) => {
                let mut there = fields.get(place).into_iter().chain(fields);
                there.find(|(key, _)| key == name).map(|(_, value)| value.clone())
            }
            _ => None,
        };
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
            Points::Random { seed, draws, bare, .. } => {
                if let (true, [(name, distribution)]) = (bare, draws.as_slice()) {
                    return distribution.draw(*seed, name, i);
                }
                let draw = |(name, distribution): &(String, Distribution)| {
                    (name.clone(), distribution.draw(*seed, name, i))
                };
                Value::Record(draws.iter().map(draw).collect())
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

impl Distribution {
    fn draw(&self, seed: u64, name: &str, i: u64) -> Value {
        let hash = blake3::hash(format!("{seed}\n{name}").as_bytes());
        let mut rng = ChaCha8Rng::from_seed(*hash.as_bytes());
        rng.set_stream(i);
        const VALID: &str = "validated when the job was parsed";
        match self {
            Distribution::Uniform(from, to) => {
                Value::Float(Uniform::new(from, to).expect(VALID).sample(&mut rng))
            }
            Distribution::Loguniform(from, to) => {
                let log = Uniform::new(from.ln(), to.ln()).expect(VALID).sample(&mut rng);
                Value::Float(log.exp())
            }
            Distribution::Normal(mean, sd) => {
                Value::Float(Normal::new(*mean, *sd).expect(VALID).sample(&mut rng))
            }
            Distribution::Lognormal(mean, sd) => {
                Value::Float(LogNormal::new(*mean, *sd).expect(VALID).sample(&mut rng))
            }
            Distribution::Integers(from, to) => {
                Value::Int(Uniform::new(from, to).expect(VALID).sample(&mut rng))
            }
            Distribution::Choice(values) => {
                let pick = Uniform::new(0, values.len()).expect(VALID).sample(&mut rng);
                values[pick].clone()
            }
        }
    }
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
