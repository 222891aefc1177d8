//! The layout that gives a store's task numbers their meaning: the loops and their points, with digests of
//! what the points name. Two layouts are matched by these, never by number, so that a job can grow, shrink
//! and be reordered and every run is found again.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::job::{Digests, Job};
use crate::model::{Key, Loop, LoopNest, Points, PythonFunction, Reduce, Value};
use crate::store::storing;
use crate::util::error::{Error, Result};

/// The loops of a job, and the digests of what their points name.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) nest: LoopNest,
    /// Digests of what points name, by level and point.
    pub(crate) digests: Digests,
}

/// One loop of a layout.
#[derive(Clone, Copy)]
struct LoopLayout<'a> {
    l: &'a Loop,
    digests: Option<&'a BTreeMap<u64, String>>,
}

impl<'a> LoopLayout<'a> {
    fn named(&self) -> Option<&'a BTreeMap<u64, String>> {
        self.digests.filter(|digests| !digests.is_empty())
    }

    fn digest(&self, point: u64) -> Option<&String> {
        self.digests.and_then(|digests| digests.get(&point))
    }

    /// The identity of a point: its value, and the digest of what it names.
    fn identity(&self, point: u64) -> String {
        let value = self.l.points.get(point).to_json().to_string();
        match self.digest(point) {
            Some(digest) => format!("{value} {digest}"),
            None => value,
        }
    }

    fn is(&self, other: &LoopLayout) -> bool {
        let (points, others) = (&self.l.points, &other.l.points);
        let same_points = || {
            points == others
                || points.len() == others.len()
                    && (0..points.len()).all(|i| self.identity(i) == other.identity(i))
        };
        self.l.name == other.l.name && self.named() == other.named() && same_points()
    }
}

impl Layout {
    pub(crate) fn of(job: &Job, digests: &Digests) -> Layout {
        Layout { nest: job.nest.clone(), digests: digests.clone() }
    }

    fn loops(&self) -> impl Iterator<Item = LoopLayout<'_>> {
        let loops = self.nest.loops().iter().enumerate();
        loops.map(|(level, l)| LoopLayout { l, digests: self.digests.get(&level) })
    }

    /// Whether every task number means the same in both layouts.
    pub(crate) fn is(&self, other: &Layout) -> bool {
        self.nest.depth() == other.nest.depth()
            && self.loops().zip(other.loops()).all(|(here, there)| here.is(&there))
    }

    pub(crate) fn of_store(store: &Connection, path: &Path) -> Result<Layout> {
        let layout = Layout::read(store).map_err(|error| storing(path, &error))?;
        layout.map_err(|why| Error::input(format!("{}: {why}", path.display())))
    }

    /// The layout of a store. The inner error says why this version cannot read it.
    pub(crate) fn read(store: &Connection) -> Result<Result<Layout, String>, rusqlite::Error> {
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
            Ok((level, row.get::<_, String>(1)?, row.get::<_, Option<String>>(3)?, range))
        };
        let found = sql.query_map([], read)?.collect::<Result<Vec<_>, _>>()?;
        let (mut loops, mut digests) = (Vec::new(), Digests::new());
        for (level, name, reduce, range) in found {
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
            let of_level = sql.query_map(params![level], digest)?.collect::<Result<_, _>>()?;
            digests.insert(loops.len(), of_level);
            let known = reduce.as_deref().map(|name| reduction(name).ok_or(name)).transpose();
            let reduce = match known {
                Ok(known) => known,
                Err(unknown) => {
                    let writer = note(store, "gridmpi")?.unwrap_or_default();
                    return Ok(Err(unknown_reduction(&name, unknown, &writer)));
                }
            };
            loops.push(Loop { name, points, reduce, is_data: false });
        }
        let nest = LoopNest::new(loops).map_err(|why| format!("the store is inconsistent: {why}"));
        Ok(nest.map(|nest| Layout { nest, digests }))
    }

    /// The union of both layouts: each loop with the points of both, this one's first.
    pub(crate) fn union(&self, other: &Layout) -> Result<Layout> {
        let (mut loops, mut digests) = (Vec::new(), Digests::new());
        for (level, here) in self.loops().enumerate() {
            let there = other.named(&here.l.name).ok_or_else(|| changed_loops(other, self))?;
            let mut of_level = here.digests.cloned().unwrap_or_default();
            let mut l = here.l.clone();
            if !here.is(&there) {
                let points = &here.l.points;
                let mut values: Vec<Value> = (0..points.len()).map(|i| points.get(i)).collect();
                let match_of = matches(&there, &here);
                let points = &there.l.points;
                for i in (0..points.len()).filter(|i| match_of[*i as usize].is_none()) {
                    if let Some(digest) = there.digest(i) {
                        of_level.insert(values.len() as u64, digest.clone());
                    }
                    values.push(points.get(i));
                }
                l.points = Points::List(values);
            }
            loops.push(l);
            digests.insert(level, of_level);
        }
        if other.nest.depth() != loops.len() {
            return Err(changed_loops(other, self));
        }
        Ok(Layout { nest: LoopNest::new(loops).map_err(Error::input)?, digests })
    }

    fn named(&self, name: &str) -> Option<LoopLayout<'_>> {
        self.loops().find(|there| there.l.name == name)
    }

    fn names(&self) -> String {
        self.loops().map(|here| here.l.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// The reduction with this name in a store. For the user's functions the store has the kind only.
fn reduction(name: &str) -> Option<Reduce> {
    match name {
        "python" => {
            Some(Reduce::Python(PythonFunction { file: String::new(), function: String::new() }))
        }
        "summarize" => Some(Reduce::Native),
        name => Reduce::named(name),
    }
}

fn unknown_reduction(l: &str, reduction: &str, writer: &str) -> String {
    format!(
        "loop '{l}' has the reduction '{reduction}', which this gridmpi ({}) does not know; use the gridmpi that wrote the store ({writer}), or a newer one",
        env!("CARGO_PKG_VERSION")
    )
}

/// The error for different loops: their runs cannot be matched.
fn changed_loops(old: &Layout, new: &Layout) -> Error {
    Error::input(format!(
        "its runs are of the loops {}, this job's loops are {}: they cannot be matched; give another folder with --out, or --fresh to move them aside",
        old.names(),
        new.names()
    ))
}

/// For each point of `old` the equal point of `new`; equal ones are matched one to one, in order.
fn matches(old: &LoopLayout, new: &LoopLayout) -> Vec<Option<u64>> {
    let mut places: HashMap<String, std::collections::VecDeque<u64>> = HashMap::new();
    for point in 0..new.l.points.len() {
        places.entry(new.identity(point)).or_default().push_back(point);
    }
    let mut find = |point| places.get_mut(&old.identity(point)).and_then(|same| same.pop_front());
    (0..old.l.points.len()).map(&mut find).collect()
}

/// Maps the tasks of one layout to those of another.
pub(crate) struct Mapping {
    old: LoopNest,
    new: LoopNest,
    /// For each loop of the new layout: its level in the old one, and the new index of each old point;
    /// nothing if the points are the same.
    loops: Vec<(usize, Option<Vec<Option<u64>>>)>,
}

impl Mapping {
    /// Fails if the loops differ; their order may differ.
    pub(crate) fn new(old: &Layout, new: &Layout) -> Result<Mapping> {
        let mut loops = Vec::new();
        for here in new.loops() {
            let mut all = old.loops().enumerate();
            let there = all.find(|(_, there)| there.l.name == here.l.name);
            let (level, there) = there.ok_or_else(|| changed_loops(old, new))?;
            loops.push((level, (!there.is(&here)).then(|| matches(&there, &here))));
        }
        if old.nest.depth() != new.nest.depth() {
            return Err(changed_loops(old, new));
        }
        Ok(Mapping { old: old.nest.clone(), new: new.nest.clone(), loops })
    }

    /// The same task in the new layout, if it exists there.
    pub(crate) fn task(&self, old: u64) -> Option<u64> {
        let places = self.old.indices(self.old.task(old));
        let mut key = Key::ROOT;
        for (old_level, moved) in &self.loops {
            let place = places[*old_level];
            let place = match moved {
                Some(moved) => (*moved.get(place as usize)?)?,
                None => place,
            };
            key = self.new.child(key, place)?;
        }
        Some(key.index)
    }
}

/// The value of a key in the store's table `job`.
pub(crate) fn note(store: &Connection, key: &str) -> Result<Option<String>, rusqlite::Error> {
    let sql = "SELECT value FROM job WHERE key = ?1";
    store.query_row(sql, params![key], |row| row.get(0)).optional()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Given<'a> = (&'a str, &'a [i64], &'a [(u64, &'a str)]);

    fn layout(loops: &[Given]) -> Layout {
        let list = |(name, values, _): &Given| Loop {
            name: name.to_string(),
            points: Points::List(values.iter().map(|v| Value::Int(*v)).collect()),
            reduce: None,
            is_data: false,
        };
        let digests = |(_, _, digests): &Given| {
            digests.iter().map(|(i, digest)| (*i, digest.to_string())).collect()
        };
        Layout {
            nest: LoopNest::new(loops.iter().map(list).collect()).unwrap(),
            digests: loops.iter().map(digests).enumerate().collect(),
        }
    }

    fn moved(old: &Layout, new: &Layout) -> Vec<Option<u64>> {
        let mapping = Mapping::new(old, new).unwrap();
        (0..old.nest.tasks()).map(|task| mapping.task(task)).collect()
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
