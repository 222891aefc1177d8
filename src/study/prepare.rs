//! The nest of a study, made on rank 0: which points each loop has where, and what the other ranks need of
//! them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::executor::rust::{ErasedStudy, LoopSource, PreparedLoop, StudyReduce};
use crate::job::{PointDigests, check_fields, check_name, equal_points};
use crate::model::{
    Dependencies, Loop, LoopNest, MOST_EVALUATED, NestShape, Points, Reduce, Selection, Value,
    add_point,
};
use crate::study::dependent::PointsOf;
use crate::util::error::{Error, Result};
use crate::util::panic::caught;
use crate::util::text::{beginning, count};

/// Whether a loop keeps its point, the last of these.
pub(super) type Keep = Box<dyn Fn(&[u64]) -> Result<bool, String> + Send>;

/// What decides which points a loop has inside those of the loops around it. On rank 0 only.
#[derive(Default)]
pub(super) struct Selector {
    /// Nothing if the loop has the same points everywhere, but for filters.
    pub(super) points_of: Option<Box<dyn PointsOf>>,
    pub(super) filters: Vec<Keep>,
}

/// How much of a point an error shows. (characters)
const SHOWN: usize = 80;

/// Prepares the loops: the job's nest, the bincode form of each loop for other ranks, and digests of
/// points.
pub(super) fn prepare_loops(
    native: &ErasedStudy,
    selectors: Vec<Selector>,
) -> Result<(LoopNest, Vec<Bytes>, PointDigests)> {
    let depth = native.levels.len();
    if native.reduces.len() > depth {
        let folds = native.reduces.len();
        return Err(Error::input(format!("{folds} reduces are more than the {depth} loops")));
    }
    let mut names: Vec<&str> = Vec::new();
    for level in &native.levels {
        check_name(level.name(), &names).map_err(Error::input)?;
        names.push(level.name());
    }
    let mut prepared: Vec<Option<PreparedLoop>> = Vec::new();
    for (level, selector) in native.levels.iter().zip(&selectors) {
        let is_known = selector.points_of.is_none();
        prepared.push(is_known.then(|| prepare_loop(level.as_ref())).transpose()?);
    }
    let on = |(level, selector): (usize, &Selector)| {
        let depends = selector.points_of.is_some() || !selector.filters.is_empty();
        // Closures get the points of all loops around theirs.
        depends.then(|| (0..level).collect::<BTreeSet<usize>>())
    };
    let on: Vec<Dependencies> = selectors.iter().enumerate().map(on).collect();
    let points = prepared.iter().map(|known| known.as_ref().map(|known| &known.points)).collect();
    let mut selecting = Selecting::new(&native.levels, &selectors, points);
    let shape = NestShape::of(on, &mut selecting);
    selecting.check()?;
    let shape = shape.map_err(Error::input)?;

    let outer = depth - native.reduces.len();
    let (mut loops, mut learned, mut digests) = (Vec::new(), Vec::new(), PointDigests::new());
    for (i, (level, known)) in native.levels.iter().zip(prepared).enumerate() {
        let known = match known {
            Some(known) => known,
            None => prepare_loop(level.as_ref())?,
        };
        let (reduce, stop) = match (i >= outer).then(|| &native.reduces[depth - 1 - i]) {
            Some(StudyReduce::Known(reduce, stop)) => (Some(reduce.clone()), *stop),
            Some(StudyReduce::Own(_)) => (Some(Reduce::Native), None),
            None => (None, None),
        };
        let l = Loop::new(level.name(), known.points, reduce);
        loops.push(Loop { is_data: level.is_data(), stop, ..l });
        learned.push(known.learned);
        digests.insert(i, known.digests);
    }
    Ok((shape.nest(loops).map_err(Error::input)?, learned, digests))
}

fn prepare_loop(level: &dyn LoopSource) -> Result<PreparedLoop> {
    let name = level.name();
    let prepared = caught(&format!("the closure of loop '{name}'"), || {
        level.prepare().map_err(|error| error.to_string())
    });
    let prepared = prepared.map_err(Error::input)?;
    let PreparedLoop { points, digests, .. } = &prepared;
    if points.is_empty() {
        return Err(Error::input(format!("loop '{name}' has no points")));
    }
    let named = check_fields(points);
    named.map_err(|why| Error::input(format!("loop '{name}': {why}")))?;
    if points.len() > u64::from(u32::MAX) && !matches!(points, Points::Range { .. }) {
        return Err(Error::input(format!("loop '{name}' has too many points to list")));
    }
    // Long values may be shortened here, and equal only then.
    if let Some(why) = equal_points(points).filter(|_| digests.is_empty()) {
        log::warn!("loop '{name}': {why}");
    }
    Ok(prepared)
}

struct Selecting<'a> {
    levels: &'a [Arc<dyn LoopSource>],
    selectors: &'a [Selector],
    /// By level, where all points are known before.
    points: Vec<Option<&'a Points>>,
    /// How many points each loop was given, and how many its filters were asked for.
    given: Vec<u64>,
    asked: Vec<u64>,
    /// Whether a loop's filters have kept a point.
    kept: Vec<bool>,
    failed: Option<String>,
}

impl<'a> Selecting<'a> {
    fn new(
        levels: &'a [Arc<dyn LoopSource>],
        selectors: &'a [Selector],
        points: Vec<Option<&'a Points>>,
    ) -> Selecting<'a> {
        let (given, asked) = (vec![0; levels.len()], vec![0; levels.len()]);
        let kept = vec![false; levels.len()];
        Selecting { levels, selectors, points, given, asked, kept, failed: None }
    }

    /// Fails as the selection did, or if it has no point of a loop.
    fn check(&self) -> Result<()> {
        if let Some(why) = &self.failed {
            return Err(Error::input(why));
        }
        for (level, selector) in self.selectors.iter().enumerate() {
            let name = self.levels[level].name();
            if selector.points_of.is_some() && self.given[level] == 0 {
                let why = "its closure gives none anywhere";
                return Err(Error::input(format!("loop '{name}' has no points: {why}")));
            }
            if !selector.filters.is_empty() && !self.kept[level] {
                let why = "its filter keeps none";
                return Err(Error::input(format!("loop '{name}' has no points: {why}")));
            }
        }
        Ok(())
    }

    fn selected(&mut self, level: usize, around: &[u64]) -> Result<Vec<Range<u64>>, String> {
        let selector = &self.selectors[level];
        let runs = match &selector.points_of {
            None => std::iter::once(0..self.size(level)).collect(),
            Some(points_of) => {
                let given = caught("its closure", || points_of.points(around));
                given.map_err(|why| format!("{}: {why}", self.place(level, around)))?
            }
        };
        let given = runs.iter().map(|run| run.end - run.start).sum::<u64>();
        self.given[level] += given;
        if selector.filters.is_empty() {
            return Ok(runs);
        }
        self.asked[level] += given;
        if self.asked[level] > MOST_EVALUATED {
            return Err(format!(
                "the filter of loop '{}' would be called more than {} times; give the loop only the points that it has, with each_of",
                self.levels[level].name(),
                count(MOST_EVALUATED)
            ));
        }
        let mut kept: Vec<Range<u64>> = Vec::new();
        let mut indices = [around, &[0]].concat();
        for candidate in runs.into_iter().flatten() {
            indices[level] = candidate;
            let all = || {
                let mut kept = true;
                for keep in &selector.filters {
                    kept = kept && keep(&indices)?;
                }
                Ok(kept)
            };
            let keeps = caught("its filter", all)
                .map_err(|why| format!("{}: {why}", self.place(level, &indices)))?;
            if keeps {
                add_point(&mut kept, candidate);
            }
        }
        self.kept[level] |= !kept.is_empty();
        Ok(kept)
    }

    /// A loop and these points, for an error.
    fn place(&self, level: usize, points: &[u64]) -> String {
        let value = |(at, point): (usize, &u64)| {
            let value = self.value(at, *point).to_json().to_string();
            format!("{} = {}", self.levels[at].name(), beginning(&value, SHOWN))
        };
        let values: Vec<String> = points.iter().enumerate().map(value).collect();
        let at = if values.is_empty() { "" } else { " at " };
        format!("loop '{}'{at}{}", self.levels[level].name(), values.join(" and "))
    }

    fn value(&self, level: usize, point: u64) -> Value {
        match (self.points[level], &self.selectors[level].points_of) {
            (Some(points), _) => points.get(point),
            (None, Some(points_of)) => points_of.shown(point),
            (None, None) => Value::Null, // a loop's points are known, or given
        }
    }
}

impl Selection for Selecting<'_> {
    fn size(&self, level: usize) -> u64 {
        self.points[level].map_or(0, Points::len) // those that are given are selected
    }

    fn select(&mut self, level: usize, around: &[u64]) -> Result<Vec<Range<u64>>, String> {
        self.selected(level, around).inspect_err(|why| self.failed = Some(why.clone()))
    }
}
