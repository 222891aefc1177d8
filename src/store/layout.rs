//! What a store's task numbers mean: its loops and their points, with the content of what the points
//! name. Two layouts are matched by that, never by number, so that a job can grow, shrink and be
//! reordered and every run is found again.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::job::{Digests, Job, Points};
use crate::model::nest::Grid;
use crate::model::value::Value;
use crate::util::error::{Error, Result};

/// The loops of a job, outermost first.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) loops: Vec<LoopLayout>,
}

#[derive(Clone, Debug)]
pub(crate) struct LoopLayout {
    pub(crate) name: String,
    pub(crate) points: Points,
    pub(crate) reduce: Option<String>,
    /// The content of what a point names, where it names something.
    pub(crate) digests: BTreeMap<u64, String>,
}

impl LoopLayout {
    /// What a point is: its value, and the content of what it names.
    fn identity(&self, point: u64) -> String {
        let value = self.points.get(point).to_json().to_string();
        match self.digests.get(&point) {
            Some(digest) => format!("{value} {digest}"),
            None => value,
        }
    }

    fn is(&self, other: &LoopLayout) -> bool {
        let same_points = || {
            self.points == other.points
                || self.points.len() == other.points.len()
                    && (0..self.points.len()).all(|i| self.identity(i) == other.identity(i))
        };
        self.name == other.name && self.digests == other.digests && same_points()
    }
}

impl Layout {
    /// The layout of a job and of what its points name.
    pub(crate) fn of(job: &Job, digests: &Digests) -> Layout {
        let layout = |(level, l): (usize, &crate::job::Loop)| LoopLayout {
            name: l.name.clone(),
            points: l.points.clone(),
            reduce: l.reduce.as_ref().map(|reduce| reduce.name().to_string()),
            digests: digests.get(&level).cloned().unwrap_or_default(),
        };
        Layout { loops: job.loops.iter().enumerate().map(layout).collect() }
    }

    /// The loops, flattened. Nothing is said about which of them fold.
    pub(crate) fn grid(&self) -> Result<Grid> {
        let sizes: Vec<u64> = self.loops.iter().map(|l| l.points.len()).collect();
        Grid::new(&sizes, 0).ok_or_else(|| Error::input("the store's loops make no grid"))
    }

    /// Whether every task number means the same in both.
    pub(crate) fn is(&self, other: &Layout) -> bool {
        self.loops.len() == other.loops.len()
            && self.loops.iter().zip(&other.loops).all(|(here, there)| here.is(there))
    }

    /// The layout of a store.
    pub(crate) fn read(store: &Connection) -> Result<Layout, rusqlite::Error> {
        let mut sql = store
            .prepare("SELECT level, name, points, reduce, first, step FROM loops ORDER BY level")?;
        let read = |row: &Row| {
            let (level, count): (i64, i64) = (row.get(0)?, row.get(2)?);
            let (first, step): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
            let range = first.zip(step).map(|(from, step)| Points::Range {
                from,
                step,
                count: count as u64,
            });
            Ok((level, row.get(1)?, row.get(3)?, range))
        };
        let loops = sql.query_map([], read)?.collect::<Result<Vec<_>, _>>()?;
        let mut layout = Layout { loops: Vec::new() };
        for (level, name, reduce, range) in loops {
            let points = match range {
                Some(range) => range,
                None => {
                    let sql = "SELECT key FROM points WHERE level = ?1 ORDER BY point";
                    let value = |row: &Row| {
                        let key: String = row.get(0)?;
                        Ok(Value::parse(&key).unwrap_or(Value::Text(key)))
                    };
                    let mut sql = store.prepare(sql)?;
                    let values = sql.query_map(params![level], value)?;
                    Points::List(values.collect::<Result<_, _>>()?)
                }
            };
            let sql = "SELECT point, digest FROM digests WHERE level = ?1";
            let digest = |row: &Row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?));
            let mut sql = store.prepare(sql)?;
            let digests = sql.query_map(params![level], digest)?.collect::<Result<_, _>>()?;
            layout.loops.push(LoopLayout { name, points, reduce, digests });
        }
        Ok(layout)
    }

    /// The loops of both, each with the points of both: this one's first.
    pub(crate) fn union(&self, other: &Layout) -> Result<Layout> {
        let mut loops = Vec::new();
        for here in &self.loops {
            let there = other.named(&here.name).ok_or_else(|| changed_loops(other, self))?;
            if here.is(there) {
                loops.push(here.clone());
                continue;
            }
            let mut values: Vec<Value> =
                (0..here.points.len()).map(|i| here.points.get(i)).collect();
            let mut digests = here.digests.clone();
            let match_of = matches(there, here);
            for i in (0..there.points.len()).filter(|i| match_of[*i as usize].is_none()) {
                if let Some(digest) = there.digests.get(&i) {
                    digests.insert(values.len() as u64, digest.clone());
                }
                values.push(there.points.get(i));
            }
            let points = Points::List(values);
            loops.push(LoopLayout { points, digests, ..here.clone() });
        }
        if other.loops.len() != loops.len() {
            return Err(changed_loops(other, self));
        }
        Ok(Layout { loops })
    }

    fn named(&self, name: &str) -> Option<&LoopLayout> {
        self.loops.iter().find(|l| l.name == name)
    }

    fn names(&self) -> String {
        self.loops.iter().map(|l| l.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Runs cannot be matched where the loops themselves are others.
fn changed_loops(old: &Layout, new: &Layout) -> Error {
    Error::input(format!(
        "its runs are of the loops {}, this job's loops are {}: they cannot be matched; give another folder with --out, or --fresh to move them aside",
        old.names(),
        new.names()
    ))
}

/// For each point of `old` the one of `new` that is the same; each is matched once, in order.
fn matches(old: &LoopLayout, new: &LoopLayout) -> Vec<Option<u64>> {
    let mut places: HashMap<String, std::collections::VecDeque<u64>> = HashMap::new();
    for point in 0..new.points.len() {
        places.entry(new.identity(point)).or_default().push_back(point);
    }
    let mut find = |point| places.get_mut(&old.identity(point)).and_then(|same| same.pop_front());
    (0..old.points.len()).map(&mut find).collect()
}

/// From the tasks of one layout to those of another.
pub(crate) struct Mapping {
    old: Grid,
    new: Grid,
    /// For each loop of the new layout: which one of the old it is, and where its points went;
    /// nothing if none has moved.
    loops: Vec<(usize, Option<Vec<Option<u64>>>)>,
}

impl Mapping {
    /// Fails where the loops are not the same ones, in whatever order.
    pub(crate) fn new(old: &Layout, new: &Layout) -> Result<Mapping> {
        let mut loops = Vec::new();
        for here in &new.loops {
            let level = old.loops.iter().position(|l| l.name == here.name);
            let level = level.ok_or_else(|| changed_loops(old, new))?;
            let there = &old.loops[level];
            loops.push((level, (!there.is(here)).then(|| matches(there, here))));
        }
        if old.loops.len() != new.loops.len() {
            return Err(changed_loops(old, new));
        }
        Ok(Mapping { old: old.grid()?, new: new.grid()?, loops })
    }

    /// The same task in the new layout, if it is there.
    pub(crate) fn task(&self, old: u64) -> Option<u64> {
        let places = self.old.coordinates(self.old.task(old));
        let mut task = 0;
        for (level, (old_level, moved)) in self.loops.iter().enumerate() {
            let place = places[*old_level];
            let place = match moved {
                Some(moved) => (*moved.get(place as usize)?)?,
                None => place,
            };
            task = task * self.new.size(level) + place;
        }
        Some(task)
    }
}

/// What a store's key says, if it has it.
pub(crate) fn note(store: &Connection, key: &str) -> Result<Option<String>, rusqlite::Error> {
    let sql = "SELECT value FROM job WHERE key = ?1";
    store.query_row(sql, params![key], |row| row.get(0)).optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Loop<'a> = (&'a str, &'a [i64], &'a [(u64, &'a str)]);

    fn layout(loops: &[Loop]) -> Layout {
        let loops = loops.iter().map(|(name, values, digests)| LoopLayout {
            name: name.to_string(),
            points: Points::List(values.iter().map(|v| Value::Int(*v)).collect()),
            reduce: None,
            digests: digests.iter().map(|(i, digest)| (*i, digest.to_string())).collect(),
        });
        Layout { loops: loops.collect() }
    }

    fn moved(old: &Layout, new: &Layout) -> Vec<Option<u64>> {
        let mapping = Mapping::new(old, new).unwrap();
        (0..old.grid().unwrap().tasks()).map(|task| mapping.task(task)).collect()
    }

    #[test]
    fn points_are_found_where_they_went() {
        let old = layout(&[("a", &[1, 2], &[]), ("b", &[7, 8], &[])]);
        assert_eq!(moved(&old, &old), [Some(0), Some(1), Some(2), Some(3)]);
        let grown = layout(&[("a", &[1, 2], &[]), ("b", &[6, 8, 7], &[])]);
        assert_eq!(moved(&old, &grown), [Some(2), Some(1), Some(5), Some(4)]);
        let shrunk = layout(&[("a", &[2], &[]), ("b", &[7, 8], &[])]);
        assert_eq!(moved(&old, &shrunk), [None, None, Some(0), Some(1)]);
        let turned = layout(&[("b", &[7, 8], &[]), ("a", &[1, 2], &[])]);
        assert_eq!(moved(&old, &turned), [Some(0), Some(2), Some(1), Some(3)]);
    }

    #[test]
    fn equal_points_are_matched_one_to_one() {
        let old = layout(&[("a", &[5, 5], &[])]);
        let new = layout(&[("a", &[5, 4, 5, 5], &[])]);
        assert_eq!(moved(&old, &new), [Some(0), Some(2)]);
        assert_eq!(moved(&new, &old), [Some(0), None, Some(1), None]);
    }

    #[test]
    fn what_changed_its_content_is_another_point() {
        let old = layout(&[("file", &[1, 2], &[(0, "abc"), (1, "def")])]);
        let new = layout(&[("file", &[1, 2], &[(0, "abc"), (1, "xyz")])]);
        assert!(!old.is(&new));
        assert_eq!(moved(&old, &new), [Some(0), None]);
    }

    #[test]
    fn a_union_has_the_points_of_both() {
        let here = layout(&[("a", &[1, 2], &[(1, "x")]), ("b", &[7], &[])]);
        let there = layout(&[("b", &[7], &[]), ("a", &[3, 2, 1], &[(0, "y"), (1, "z")])]);
        let both = here.union(&there).unwrap();
        let expected =
            layout(&[("a", &[1, 2, 3, 2], &[(1, "x"), (2, "y"), (3, "z")]), ("b", &[7], &[])]);
        assert!(both.is(&expected), "{both:?}");
        assert_eq!(moved(&there, &both), [Some(2), Some(3), Some(0)]);
        let other = layout(&[("a", &[1], &[])]);
        assert!(other.union(&here).is_err() && here.union(&other).is_err());
        assert!(Mapping::new(&here, &other).is_err() && Mapping::new(&other, &here).is_err());
    }
}
