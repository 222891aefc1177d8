//! The layout that gives a store's task numbers their meaning: the loops and their points, with digests of
//! what the points name. Two layouts are matched by these, never by number, so that a job can grow, shrink
//! and be reordered and every run is found again.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

use crate::job::{CombinedDigests, Digests, Job, PointDigests, without_new_fields};
use crate::model::{Loop, LoopNest, Value};
use crate::store::loop_rows::{LoopRow, combined_digests, digests, shape_rows};
use crate::store::point_map::{PointMap, maps_of, moved};
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
    /// The value that runs had which are older than it, or some fields of it.
    pub(super) was: Option<&'a Value>,
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

    /// The value of a point as it was before its record had fields that are new.
    pub(super) fn value_before(&self, point: u64) -> Option<Value> {
        self.was.and_then(|was| without_new_fields(&self.l.points.get(point), was))
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
        let was = |here: LoopLayout<'_>| self.was.get(&here.l.name);
        let loops = loop_layouts(self.nest.loops(), &self.digests);
        loops.map(move |here| LoopLayout { was: was(here), ..here })
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
        let (mut loops, mut positions) = (Vec::new(), Vec::new());
        let mut by_position = PointDigests::new();
        for row in LoopRow::all(store)? {
            let reduce = match row.reduction(store)? {
                Ok(reduce) => reduce,
                Err(unknown) => return Ok(Err(unknown)),
            };
            let map = row.positions(store)?;
            let points = row.points(store, &map)?;
            let level = loops.len();
            let by_number = digests(store, level)?.into_iter();
            let digests = by_number.filter_map(|(number, text)| Some((map.new_of(number)?, text)));
            by_position.insert(level, digests.collect());
            loops.push(Loop { none: row.none, ..Loop::new(row.name, points, reduce) });
            positions.push(map);
        }
        let depends = starts::has_table(store, "shape")?; // an older store has none
        let rows = if depends { shape_rows(store)? } else { Vec::new() };
        let mut combined = combined_digests(store)?;
        for of_word in &mut combined {
            let maps = maps_of(&loops, &positions, &of_word.loops);
            let by_position = |(numbers, digest): (Vec<u64>, String)| {
                Some((moved(maps.as_ref()?, &numbers, PointMap::new_of)?, digest))
            };
            let digests = std::mem::take(&mut of_word.digests).into_iter();
            of_word.digests = digests.filter_map(by_position).collect();
        }
        let nest = LoopNest::of_rows(loops, &rows)
            .map_err(|why| format!("the store is inconsistent: {why}"));
        let (digests, was) = (by_position, BTreeMap::new());
        Ok(nest.map(|nest| Layout { nest, digests, combined, was }))
    }

    pub(super) fn named(&self, name: &str) -> Option<LoopLayout<'_>> {
        self.loops().find(|there| there.l.name == name)
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.loops().map(|here| here.l.name.as_str()).collect()
    }
}

/// Loops with the digests of what their points name.
pub(super) fn loop_layouts<'a>(
    loops: &'a [Loop],
    digests: &'a PointDigests,
) -> impl Iterator<Item = LoopLayout<'a>> {
    let of_loop = |(level, l)| LoopLayout { l, digests: digests.get(&level), was: None };
    loops.iter().enumerate().map(of_loop)
}
