//! The shape of a nest whose inner loops depend on the points of the loops around them: which points each
//! loop has where.
//!
//! A tree whose nodes are shared: everything below a key is a node, and keys below which everything is the
//! same have the same node. A node is a list of runs, each of which is consecutive points of its loop with
//! the same node below them. So independent loops cost one run each, and a loop on which another depends
//! costs a run for each of its points. Running counts in each run turn an index into coordinates, and back,
//! by one binary search per level.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::model::key::Key;
use crate::model::nest::MOST_TASKS;
use crate::model::nest::packed_numbers::PackedNumbers;

/// The outermost loops of a nest, down to the innermost one whose points depend on others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Shape {
    /// The nodes of each level, outermost first; the first level has one.
    pub(super) levels: Vec<Nodes>,
}

/// The nodes below the keys of one level. Their runs lie one after another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Nodes {
    /// The end of each node's runs.
    pub(super) ends: PackedNumbers,
    /// By run: its first point.
    pub(super) points: PackedNumbers,
    /// By run: the node below its points, one level further in; empty at the last level.
    pub(super) inside: PackedNumbers,
    /// By level from the next one on, and by run: how many keys the node has up to and with this run.
    pub(super) counts: Vec<PackedNumbers>,
    /// Whether the points of each node ascend.
    pub(super) is_sorted: bool,
}

/// Keys of the same group that have consecutive slots and points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) group: Key,
    /// The slot and the point of the first one.
    pub(crate) slot: u64,
    pub(crate) point: u64,
    pub(crate) count: u64,
}

/// One run of a shape, for stores: consecutive points of the loop at `level` inside the keys of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShapeRow {
    pub(crate) level: usize,
    pub(crate) node: u64,
    /// How many tasks the node has before these points.
    pub(crate) first: u64,
    /// The first point, and how many there are.
    pub(crate) point: u64,
    pub(crate) count: u64,
    /// Tasks below each point, and the node one level further in.
    pub(crate) each: u64,
    pub(crate) inside: u64,
}

/// One step from a key to the next one inside it.
#[derive(Clone, Copy)]
struct InwardStep {
    /// The level of the outer key, its node's first run, and the run of the inner key.
    level: usize,
    first: usize,
    run: usize,
    /// The inner key's place in the run.
    place: u64,
}

impl Nodes {
    /// No nodes, above this many levels of keys.
    pub(super) fn empty(levels: usize) -> Nodes {
        Nodes {
            ends: PackedNumbers::new(),
            points: PackedNumbers::new(),
            inside: PackedNumbers::new(),
            counts: vec![PackedNumbers::new(); levels],
            is_sorted: true,
        }
    }

    /// The first run of the node that is being made.
    fn first_open(&self) -> usize {
        self.ends.len().checked_sub(1).map_or(0, |last| self.ends.get(last) as usize)
    }

    /// Adds points with the same node below them to the node that is being made.
    pub(super) fn add_run(
        &mut self,
        inner: Option<&Nodes>,
        points: Range<u64>,
        inside: u64,
    ) -> Result<(), String> {
        let (first, run) = (self.first_open(), self.points.len());
        let last = (run > first).then(|| run - 1);
        let end = last.map(|last| self.points.get(last) + self.run_len(first, last));
        let goes_on = end == Some(points.start)
            && (inner.is_none() || last.map(|last| self.inside.get(last)) == Some(inside));
        self.is_sorted &= end.is_none_or(|end| end <= points.start);
        for (levels, counts) in self.counts.iter_mut().enumerate() {
            let each = match (levels.checked_sub(1), inner) {
                (Some(inner_levels), Some(inner)) => inner.count(inner_levels, inside),
                _ => 1,
            };
            let before = last.map_or(0, |last| counts.get(last));
            let count = each.checked_mul(points.end - points.start);
            let sum = count.and_then(|count| before.checked_add(count));
            let sum = sum.filter(|sum| *sum <= MOST_TASKS).ok_or_else(too_many)?;
            if goes_on {
                counts.truncate(run - 1);
            }
            counts.push(sum);
        }
        if !goes_on {
            self.points.push(points.start);
            if inner.is_some() {
                self.inside.push(inside);
            }
        }
        Ok(())
    }

    /// Ends the node that is being made: its number, or that of the one before if that is the same. Nothing if
    /// it has no run.
    pub(super) fn end_node(&mut self) -> Option<u64> {
        if self.points.len() == self.first_open() {
            return None;
        }
        self.ends.push(self.points.len() as u64);
        Some(self.merge_last())
    }

    /// Takes the last node away if it is the same as the one before. Returns the last one then.
    fn merge_last(&mut self) -> u64 {
        let last = self.ends.len() as u64 - 1;
        if last == 0 || !self.is_same(self.runs(last - 1), self.runs(last)) {
            return last;
        }
        let start = self.runs(last).start;
        self.ends.truncate(last as usize);
        self.points.truncate(start);
        self.inside.truncate(start);
        self.counts.iter_mut().for_each(|counts| counts.truncate(start));
        last - 1
    }

    fn is_same(&self, one: Range<usize>, other: Range<usize>) -> bool {
        let same = |column: &PackedNumbers| {
            let pairs = one.clone().zip(other.clone());
            column.len() == 0 || pairs.into_iter().all(|(a, b)| column.get(a) == column.get(b))
        };
        one.len() == other.len()
            && same(&self.points)
            && same(&self.inside)
            && same(&self.counts[0])
    }

    /// The runs of a node.
    pub(super) fn runs(&self, node: u64) -> Range<usize> {
        let start = node.checked_sub(1).map_or(0, |before| self.ends.get(before as usize));
        start as usize..self.ends.get(node as usize) as usize
    }

    /// How many keys of a level, counted from the next one, are in the runs before this one; `first` is the
    /// node's first run.
    fn before(&self, levels: usize, first: usize, run: usize) -> u64 {
        if run == first { 0 } else { self.counts[levels].get(run - 1) }
    }

    /// How many points a run has; `first` is the node's first run.
    pub(super) fn run_len(&self, first: usize, run: usize) -> u64 {
        self.counts[0].get(run) - self.before(0, first, run)
    }

    /// How many keys of a level, counted from the next one, a node has.
    pub(super) fn count(&self, levels: usize, node: u64) -> u64 {
        self.counts[levels].get(self.runs(node).end - 1)
    }
}

impl Shape {
    /// Its runs, where each innermost key of the shape has this many tasks.
    pub(super) fn rows(&self, below: u64) -> impl Iterator<Item = ShapeRow> {
        let depth = self.depth();
        let of_node = move |level: usize, node: u64| {
            let nodes = &self.levels[level];
            let runs = nodes.runs(node);
            let first = runs.start;
            runs.map(move |run| ShapeRow {
                level,
                node,
                first: nodes.before(depth - level - 1, first, run) * below,
                point: nodes.points.get(run),
                count: nodes.run_len(first, run),
                each: self.each(level, run, depth) * below,
                inside: if level + 1 < depth { nodes.inside.get(run) } else { 0 },
            })
        };
        let nodes =
            |level: usize| (0..self.levels[level].ends.len() as u64).map(move |n| (level, n));
        (0..depth).flat_map(nodes).flat_map(move |(level, node)| of_node(level, node))
    }

    /// The shape with these runs, of which those of each node are in order.
    pub(super) fn of_rows(rows: &[ShapeRow]) -> Result<Shape, String> {
        let depth = rows.iter().map(|row| row.level + 1).max().unwrap_or(0);
        let mut levels: Vec<Nodes> = (0..depth).map(|level| Nodes::empty(depth - level)).collect();
        for level in (0..depth).rev() {
            let (outer, inner) = levels.split_at_mut(level + 1);
            let own: Vec<&ShapeRow> = rows.iter().filter(|row| row.level == level).collect();
            for runs in own.chunk_by(|one, other| one.node == other.node) {
                let known = inner.first().map_or(1, |inner| inner.ends.len() as u64);
                if runs.iter().any(|run| run.inside >= known || run.count == 0) {
                    return Err("its shape is inconsistent".to_string());
                }
                for run in runs {
                    let points = run.point..run.point + run.count;
                    outer[level].add_run(inner.first(), points, run.inside)?;
                }
                outer[level].ends.push(outer[level].points.len() as u64);
            }
        }
        Ok(Shape { levels })
    }

    /// The fewest and the most points that the loop at a level has anywhere.
    pub(super) fn sizes(&self, level: usize) -> (u64, u64) {
        let nodes = &self.levels[level];
        let sizes = (0..nodes.ends.len() as u64).map(|node| nodes.count(0, node));
        sizes.fold((u64::MAX, 0), |(least, most), size| (least.min(size), most.max(size)))
    }

    /// Number of loops.
    pub(super) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Number of keys at a level.
    pub(super) fn keys(&self, level: usize) -> u64 {
        if level == 0 { 1 } else { self.levels[0].count(level - 1, 0) }
    }

    /// Number of keys at `level` below one point of a run at `at`.
    fn each(&self, at: usize, run: usize, level: usize) -> u64 {
        if level == at + 1 {
            return 1;
        }
        let inside = self.levels[at].inside.get(run);
        self.levels[at + 1].count(level - at - 2, inside)
    }

    /// Steps from the whole job to a key. Returns the key's node; 0 at the last level.
    fn walk(&self, level: usize, mut index: u64, mut step: impl FnMut(InwardStep)) -> u64 {
        let mut node = 0;
        for at in 0..level {
            let nodes = &self.levels[at];
            let Range { start: first, end } = nodes.runs(node);
            let counts = &nodes.counts[level - at - 1];
            let run = match end - first {
                1 => first,
                _ => first_over(counts, first..end, index),
            };
            index -= nodes.before(level - at - 1, first, run);
            let each = self.each(at, run, level);
            step(InwardStep { level: at, first, run, place: index / each });
            index %= each;
            node = if at + 1 < self.depth() { nodes.inside.get(run) } else { 0 };
        }
        node
    }

    /// How many keys of `level` are before this step's inner key, in the step's node.
    fn skipped(&self, step: &InwardStep, level: usize) -> u64 {
        let before = self.levels[step.level].before(level - step.level - 1, step.first, step.run);
        before + step.place * self.each(step.level, step.run, level)
    }

    /// The keys of level `to` that contain a key, or that are below it.
    pub(super) fn convert(&self, level: usize, index: u64, to: usize) -> Range<u64> {
        let mut start = 0;
        let node = self.walk(level, index, |step| {
            if step.level < to {
                start += self.skipped(&step, to);
            }
        });
        let count = match to <= level {
            true => 1,
            false => self.levels[level].count(to - level - 1, node),
        };
        start..start + count
    }

    /// Number of points directly inside a key.
    #[inline(never)]
    pub(super) fn slots(&self, level: usize, index: u64) -> u64 {
        let node = self.walk(level, index, |_| ());
        self.levels[level].count(0, node)
    }

    /// The index of the key around a key, and the slot of the key in it. The level is not 0.
    #[inline(never)]
    pub(super) fn parent(&self, level: usize, index: u64) -> (u64, u64) {
        let (mut outer, mut slot) = (0, 0);
        self.walk(level, index, |step| match step.level + 1 < level {
            true => outer += self.skipped(&step, level - 1),
            false => slot = self.skipped(&step, level),
        });
        (outer, slot)
    }

    /// The point of each loop around a key, outermost first.
    pub(super) fn points(&self, level: usize, index: u64) -> Vec<u64> {
        let mut points = Vec::with_capacity(level);
        self.walk(level, index, |step| {
            points.push(self.levels[step.level].points.get(step.run) + step.place);
        });
        points
    }

    /// The point of the innermost loop around a key. The level is not 0.
    pub(super) fn point(&self, level: usize, index: u64) -> u64 {
        let mut point = 0;
        self.walk(level, index, |step| {
            point = self.levels[step.level].points.get(step.run) + step.place;
        });
        point
    }

    /// The keys from this one on that have consecutive points. The level is not 0.
    #[inline(never)]
    pub(super) fn stretch(&self, Key { level, index }: Key) -> Stretch {
        let (mut outer, mut slot, mut point, mut count) = (0, 0, 0, 0);
        self.walk(level, index, |step| match step.level + 1 < level {
            true => outer += self.skipped(&step, level - 1),
            false => {
                let nodes = &self.levels[step.level];
                let before = nodes.before(0, step.first, step.run);
                slot = before + step.place;
                point = nodes.points.get(step.run) + step.place;
                count = nodes.counts[0].get(step.run) - slot;
            }
        });
        Stretch { group: Key { level: level - 1, index: outer }, slot, point, count }
    }

    /// The slot of a point inside a key; `None` if the loop has no such point there.
    pub(super) fn slot_of(&self, level: usize, index: u64, point: u64) -> Option<u64> {
        let node = self.walk(level, index, |_| ());
        let nodes = &self.levels[level];
        let Range { start: first, end } = nodes.runs(node);
        let slot = |run: usize| {
            let place = point.checked_sub(nodes.points.get(run))?;
            (place < nodes.run_len(first, run)).then(|| nodes.before(0, first, run) + place)
        };
        if !nodes.is_sorted {
            return (first..end).find_map(slot);
        }
        let run = first_over(&nodes.points, first..end, point);
        (run > first).then(|| slot(run - 1)).flatten()
    }
}

/// The first place whose number is over `limit`; the numbers ascend.
fn first_over(
    numbers: &PackedNumbers,
    Range { mut start, mut end }: Range<usize>,
    limit: u64,
) -> usize {
    while start < end {
        let middle = start + (end - start) / 2;
        match numbers.get(middle) <= limit {
            true => start = middle + 1,
            false => end = middle,
        }
    }
    start
}

pub(super) fn too_many() -> String {
    format!("there are more than {MOST_TASKS} (2^63 - 1) tasks")
}
