//! The layout that gives a store's task numbers their meaning: the loops and their points, with digests of
//! what the points name. Two layouts are matched by these, never by number, so that a job can grow, shrink
//! and be reordered and every run is found again.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};

use crate::job::{CombinedDigests, Digests, Job, PointDigests};
use crate::model::{Loop, LoopNest, Points, PythonFunction, Reduce, ShapeRow, Value};
use crate::store::{starts, storing};
use crate::util::error::{Error, Result};

/// The loops of a job, and the digests of what their points name.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) nest: LoopNest,
    /// Digests of what points name, by level and point, and of what they name together.
    pub(crate) digests: PointDigests,
    pub(crate) combined: Vec<CombinedDigests>,
    /// The value that runs had which are older than a loop.
    pub(crate) was: BTreeMap<String, Value>,
}

/// One loop of a layout.
#[derive(Clone, Copy)]
pub(super) struct LoopLayout<'a> {
    pub(super) l: &'a Loop,
    pub(super) digests: Option<&'a BTreeMap<u64, String>>,
}

impl<'a> LoopLayout<'a> {
    pub(super) fn named(&self) -> Option<&'a BTreeMap<u64, String>> {
        self.digests.filter(|digests| !digests.is_empty())
    }

    pub(super) fn digest(&self, point: u64) -> Option<&String> {
        self.digests.and_then(|digests| digests.get(&point))
    }

    /// The identity of a point: its value, and the digest of what it names.
    pub(super) fn identity(&self, point: u64) -> String {
        let value = self.l.points.get(point).to_exact();
        match self.digest(point) {
            Some(digest) => format!("{value} {digest}"),
            None => value,
        }
    }

    /// The first point with this value.
    pub(super) fn point_of(&self, value: &Value) -> Option<u64> {
        let points = &self.l.points;
        (0..points.len()).find(|point| points.get(*point) == *value)
    }

    pub(super) fn is(&self, other: &LoopLayout) -> bool {
        let (points, others) = (&self.l.points, &other.l.points);
        let same_points = || {
            points == others
                || points.len() == others.len()
                    && (0..points.len()).all(|i| self.identity(i) == other.identity(i))
        };
        self.l.name == other.l.name
            && self.l.none == other.l.none
            && self.named() == other.named()
            && same_points()
    }
}

impl Layout {
    pub(crate) fn of(job: &Job, digests: &Digests) -> Layout {
        let Digests { points, combined } = digests.clone();
        Layout { nest: job.nest.clone(), digests: points, combined, was: job.seeding.was.clone() }
    }

    pub(super) fn loops(&self) -> impl Iterator<Item = LoopLayout<'_>> {
        let loops = self.nest.loops().iter().enumerate();
        loops.map(|(level, l)| LoopLayout { l, digests: self.digests.get(&level) })
    }

    /// Whether every task number means the same in both layouts.
    pub(crate) fn is(&self, other: &Layout) -> bool {
        self.nest.has_shape_of(&other.nest)
            && self.loops().zip(other.loops()).all(|(here, there)| here.is(&there))
            && self.combined == other.combined
    }

    pub(crate) fn of_store(store: &Connection, path: &Path) -> Result<Layout> {
        let layout = Layout::read(store).map_err(|error| storing(path, &error))?;
        layout.map_err(|why| Error::input(format!("{}: {why}", path.display())))
    }

    /// The layout of a store. The inner error says why this version cannot read it.
    pub(crate) fn read(store: &Connection) -> Result<Result<Layout, String>, rusqlite::Error> {
        // An older store has neither.
        let depends = starts::has_table(store, "shape")?;
        let none = if depends { "none" } else { "NULL" };
        let mut sql = store.prepare(&format!(
            "SELECT level, name, points, reduce, first, step, {none} FROM loops ORDER BY level"
        ))?;
        let read = |row: &Row| {
            let (level, count): (i64, i64) = (row.get(0)?, row.get(2)?);
            let (first, step): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
            let range = first.zip(step).map(|(from, step)| Points::Range {
                from,
                step,
                count: count as u64,
            });
            let none: Option<i64> = row.get(6)?;
            let (name, reduce) = (row.get::<_, String>(1)?, row.get::<_, Option<String>>(3)?);
            Ok((level, name, reduce, range, none.map(|none| none as u64)))
        };
        let found = sql.query_map([], read)?.collect::<Result<Vec<_>, _>>()?;
        let (mut loops, mut digests) = (Vec::new(), PointDigests::new());
        for (level, name, reduce, range, none) in found {
            let points = match range {
                Some(range) => range,
                None => {
                    let sql = "SELECT key, value FROM points WHERE level = ?1 ORDER BY point";
                    let value = |row: &Row| {
                        let key: String = row.get(0)?;
                        Ok(match row.get_ref(1)? {
                            // The key is a string in older stores.
                            ValueRef::Real(number) if number.is_infinite() => Value::Float(number),
                            _ => Value::from_exact(&key),
                        })
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
                    let writer = starts::note(store, "gridmpi")?.unwrap_or_default();
                    return Ok(Err(unknown_reduction(&name, unknown, &writer)));
                }
            };
            loops.push(Loop { none, ..Loop::new(name, points, reduce) });
        }
        let rows = if depends { shape_rows(store)? } else { Vec::new() };
        let nest = LoopNest::of_rows(loops, &rows)
            .map_err(|why| format!("the store is inconsistent: {why}"));
        let combined = combined_digests(store)?;
        Ok(nest.map(|nest| Layout { nest, digests, combined, was: BTreeMap::new() }))
    }

    pub(super) fn named(&self, name: &str) -> Option<LoopLayout<'_>> {
        self.loops().find(|there| there.l.name == name)
    }

    pub(super) fn names(&self) -> String {
        self.loops().map(|here| here.l.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// What loops have where that depend on each other.
fn shape_rows(store: &Connection) -> Result<Vec<ShapeRow>, rusqlite::Error> {
    let mut sql = store.prepare(
        "SELECT level, node, first, point, count, each, inside FROM shape ORDER BY level, node, first",
    )?;
    let row = |row: &Row| {
        let number = |at| row.get::<_, i64>(at).map(|number| number as u64);
        Ok(ShapeRow {
            level: number(0)? as usize,
            node: number(1)?,
            first: number(2)?,
            point: number(3)?,
            count: number(4)?,
            each: number(5)?,
            inside: number(6)?,
        })
    };
    sql.query_map([], row)?.collect()
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

/// The digests of files that points name together.
fn combined_digests(store: &Connection) -> Result<Vec<CombinedDigests>, rusqlite::Error> {
    if !starts::has_table(store, "combined")? {
        return Ok(Vec::new());
    }
    let mut found: BTreeMap<(String, String), BTreeMap<Vec<u64>, String>> = BTreeMap::new();
    let mut sql = store.prepare("SELECT word, loops, points, digest FROM combined")?;
    let mut rows = sql.query([])?;
    while let Some(row) = rows.next()? {
        let of_word = found.entry((row.get(0)?, row.get(1)?)).or_default();
        let (points, digest): (Option<String>, Option<String>) = (row.get(2)?, row.get(3)?);
        let points = points.and_then(|points| serde_json::from_str(&points).ok());
        of_word.extend(points.zip(digest));
    }
    let combined = |((word, loops), digests): ((String, String), _)| {
        Some(CombinedDigests { word, loops: serde_json::from_str(&loops).ok()?, digests })
    };
    Ok(found.into_iter().filter_map(combined).collect())
}
