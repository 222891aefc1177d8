//! The nest of loops, flattened: task index <-> coordinates, and which group a task belongs to.
//!
//! There is no list of tasks, so a nest of a billion tasks takes a few bytes. Task indices count in the
//! order of the serial loops, the innermost loop fastest.
//!
//! What an inner loop runs over may depend on the points of the loops around it; so the size of a loop is
//! queried at a key. The loops down to the innermost such one are a [`Shape`], those inside it a product,
//! and a nest of independent loops is a product as a whole. Only this folder does arithmetic on task
//! indices.

mod alternatives;
mod builder;
#[cfg(test)]
pub(crate) mod by_hand;
#[cfg(feature = "jobs")]
mod combinations;
mod groups;
mod labels;
mod left_out;
mod listed;
mod loops;
mod packed_numbers;
mod points;
#[cfg(test)]
pub(crate) mod random;
mod shape;
mod shown;

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::model::key::Key;
use crate::model::reduce::{Reduce, name_fields};
use crate::model::results::Winner;
use crate::model::stop_rule::StopRule;
use crate::model::value::Value;
pub(crate) use builder::{Dependencies, LeftOut, MOST_EVALUATED, NestShape, Selection};
#[cfg(any(feature = "jobs", feature = "cli"))]
pub(crate) use labels::Labels;
pub(crate) use listed::{PointNumbers, add_point};
pub(crate) use loops::Loop;
use loops::{check, numbered};
pub(crate) use points::Points;
#[cfg(feature = "jobs")]
pub(crate) use points::{Distribution, Named};
use shape::Shape;
pub(crate) use shape::{ShapeRow, Stretch};

/// Nested loops, outermost first; a clone shares them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "(Vec<Loop>, Option<Shape>)")]
pub(crate) struct LoopNest(Arc<Parts>);

#[derive(Clone, Debug, PartialEq)]
struct Parts {
    loops: Vec<Loop>,
    /// Number of points per loop.
    sizes: Vec<u64>,
    /// The loops down to the innermost one that does not have all its points everywhere.
    head: Option<Shape>,
    /// Number of loops in the head.
    tail: usize,
    /// Number of tasks below a key, by its level: from the tail on; 1 at the deepest level.
    below: Vec<u64>,
    /// Number of keys by level.
    keys: Vec<u64>,
    /// How many of the outermost loops do not reduce.
    outer: usize,
    /// Whether the points of a loop go into the group of the loop around it.
    has_joined: bool,
    /// By level: points without a task. Empty where the nest was not built from dependencies.
    left_out: Vec<LeftOut>,
}

/// The most tasks a nest may have: their indices must fit SQLite's signed 64-bit integers.
pub(crate) const MOST_TASKS: u64 = i64::MAX as u64;

impl LoopNest {
    /// A nest of independent loops, outermost first. An error if there is no loop, a loop has no points, a
    /// loop inside a reducing one does not reduce, or there are more than [`MOST_TASKS`] tasks.
    pub(crate) fn new(loops: Vec<Loop>) -> Result<LoopNest, String> {
        check(&loops)?;
        LoopNest::of_parts(loops, None, Vec::new())
    }

    /// A nest of loops whose points depend on the loops around them, as `on` says by level. Errors as for
    /// [`LoopNest::new`], of the selection, and if there is no task at all.
    #[cfg(test)]
    pub(crate) fn dependent(
        loops: Vec<Loop>,
        on: Vec<Dependencies>,
        selection: &mut impl Selection,
    ) -> Result<LoopNest, String> {
        for (level, on) in on.iter().enumerate() {
            let inner = on.iter().flatten().find(|outer| **outer >= level);
            if let Some(inner) = inner {
                let (own, inner) = (&loops[level].name, &loops[*inner].name);
                return Err(format!("loop '{own}' depends on '{inner}', which is not around it"));
            }
        }
        NestShape::of(on, selection)?.nest(loops)
    }

    /// A nest of these loops and the runs of its shape, as [`LoopNest::shape_rows`] gives them.
    pub(crate) fn of_rows(loops: Vec<Loop>, rows: &[ShapeRow]) -> Result<LoopNest, String> {
        check(&loops)?;
        let head = if rows.is_empty() { None } else { Some(Shape::of_rows(rows)?) };
        if head.as_ref().is_some_and(|head| head.depth() > loops.len()) {
            return Err("its shape has more loops than it".to_string());
        }
        LoopNest::of_parts(loops, head, Vec::new())
    }

    /// The runs of its shape, outermost level first; none if its loops are independent.
    pub(crate) fn shape_rows(&self) -> impl Iterator<Item = ShapeRow> {
        let below = self.0.below[self.0.tail];
        self.0.head.iter().flat_map(move |head| head.rows(below))
    }

    /// Number of loops that have a shape.
    pub(crate) fn shaped(&self) -> usize {
        self.0.tail
    }

    /// Whether the points of the loop at a level ascend everywhere.
    pub(crate) fn is_sorted(&self, level: usize) -> bool {
        self.head(level).is_none_or(|head| head.levels[level].is_sorted)
    }

    /// Whether both have the same keys.
    pub(crate) fn has_shape_of(&self, other: &LoopNest) -> bool {
        self.0.head == other.0.head && self.0.sizes == other.0.sizes
    }

    fn of_parts(
        mut loops: Vec<Loop>,
        head: Option<Shape>,
        left_out: Vec<LeftOut>,
    ) -> Result<LoopNest, String> {
        let mut reduces: Vec<_> =
            loops.iter_mut().map(|l| (l.name.as_str(), l.reduce.as_mut())).collect();
        name_fields(&mut reduces)?;
        let outer = loops.iter().take_while(|l| l.reduce.is_none()).count();
        let has_joined = loops.iter().any(|l| l.reduce == Some(Reduce::Join));
        let sizes: Vec<u64> = loops.iter().map(|l| l.points.len()).collect();
        let tail = head.as_ref().map_or(0, Shape::depth);
        let of_head = |level: usize| head.as_ref().map_or(1, |head| head.keys(level));
        let mut keys: Vec<u64> = (0..=tail).map(of_head).collect();
        for size in &sizes[tail..] {
            let next = keys.last().and_then(|keys| keys.checked_mul(*size));
            keys.extend(next.filter(|keys| *keys <= MOST_TASKS));
        }
        let Some(tasks) = keys.get(sizes.len()).copied() else {
            let product = sizes.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
            return Err(match tail {
                0 => format!("{product} tasks are more than {MOST_TASKS} (2^63 - 1)"),
                _ => shape::too_many(),
            });
        };
        let below = (0..=sizes.len())
            .map(|level| if level < tail { 0 } else { tasks / keys[level] })
            .collect();
        let parts = Parts { loops, sizes, head, tail, below, keys, outer, has_joined, left_out };
        Ok(LoopNest(Arc::new(parts)))
    }

    /// A nest of loops of these sizes and reductions, outermost first, with generated names and values.
    pub(crate) fn of_sizes(
        sizes: &[u64],
        reduces: impl IntoIterator<Item = Option<Reduce>>,
    ) -> Result<LoopNest, String> {
        LoopNest::new(numbered(sizes, reduces))
    }

    /// A nest of loops of these sizes; those after the first `outer` reduce with max.
    #[cfg(test)]
    pub(crate) fn sized(sizes: &[u64], outer: usize) -> LoopNest {
        let reduce = |level| (level >= outer).then_some(Reduce::max());
        LoopNest::of_sizes(sizes, (0..sizes.len()).map(reduce)).unwrap()
    }

    /// The same, with a rule to stop points of a loop.
    pub(crate) fn stopping(mut self, level: usize, rule: StopRule) -> LoopNest {
        Arc::make_mut(&mut self.0).loops[level].stop = Some(rule);
        self
    }

    /// The same, with another reduction of a loop.
    #[cfg(test)]
    pub(crate) fn reducing(mut self, level: usize, reduce: Reduce) -> LoopNest {
        Arc::make_mut(&mut self.0).loops[level].reduce = Some(reduce);
        self
    }

    /// The same, in which no point is stopped.
    #[cfg(feature = "cli")]
    pub(crate) fn without_stops(mut self) -> LoopNest {
        Arc::make_mut(&mut self.0).loops.iter_mut().for_each(|l| l.stop = None);
        self
    }

    /// A nest with the same keys whose inner loops only count, and whose points are numbers. For
    /// simulations.
    pub(crate) fn counting(&self) -> LoopNest {
        let folds = |level| (level >= self.outer()).then_some(Reduce::Count);
        let loops = numbered(&self.0.sizes, (0..self.depth()).map(folds));
        LoopNest::of_parts(loops, self.0.head.clone(), Vec::new()).expect("as sound as this one")
    }

    /// The same whose reducing loops around the one at a level only count. For simulations in which that loop stops
    /// points.
    pub(crate) fn counting_around(&self, level: usize) -> LoopNest {
        let mut loops = self.0.loops.clone();
        for l in &mut loops[self.outer()..level] {
            (l.reduce, l.require) = (Some(Reduce::Count), None);
        }
        LoopNest::of_parts(loops, self.0.head.clone(), Vec::new()).expect("as sound as this one")
    }

    /// Number of loops.
    pub(crate) fn depth(&self) -> usize {
        self.0.sizes.len()
    }

    /// How many of the outermost loops do not reduce: the result is a table over them.
    pub(crate) fn outer(&self) -> usize {
        self.0.outer
    }

    pub(crate) fn loops(&self) -> &[Loop] {
        &self.0.loops
    }

    /// By level: points that have no task below them, and so are not in the nest.
    pub(crate) fn left_out(&self) -> &[LeftOut] {
        &self.0.left_out
    }

    pub(crate) fn tasks(&self) -> u64 {
        self.keys(self.depth())
    }

    /// Number of keys at a level: groups, or tasks at the deepest level.
    pub(crate) fn keys(&self, level: usize) -> u64 {
        self.0.keys[level]
    }

    pub(crate) fn task(&self, index: u64) -> Key {
        Key { level: self.depth(), index }
    }

    /// The head, if a key of this level is in it.
    fn head(&self, level: usize) -> Option<&Shape> {
        // The tail first: most nests have no head, and this is asked for each task.
        if level < self.0.tail { self.0.head.as_ref() } else { None }
    }

    /// A key, or the one around it where the head ends.
    fn in_head(&self, key: Key) -> Key {
        if key.level <= self.0.tail {
            return key;
        }
        let inside = self.0.below[self.0.tail] / self.0.below[key.level];
        Key { level: self.0.tail, index: key.index / inside }
    }

    /// Number of points of the loop directly inside a key. Must not be called for a task.
    #[inline]
    pub(crate) fn slots(&self, key: Key) -> u64 {
        match self.head(key.level) {
            Some(head) => head.slots(key.level, key.index),
            None => self.0.sizes[key.level],
        }
    }

    /// The fewest and the most points that the loop at a level has anywhere.
    pub(crate) fn sizes(&self, level: usize) -> (u64, u64) {
        match self.head(level) {
            Some(head) => head.sizes(level),
            None => (self.0.sizes[level], self.0.sizes[level]),
        }
    }

    /// The key one level further out, and the slot of `key` in it; `None` for the whole job.
    #[inline]
    pub(crate) fn parent(&self, key: Key) -> Option<(Key, u64)> {
        let level = key.level.checked_sub(1)?;
        let (index, slot) = match self.head(level) {
            Some(head) => head.parent(key.level, key.index),
            None => (key.index / self.0.sizes[level], key.index % self.0.sizes[level]),
        };
        Some((Key { level, index }, slot))
    }

    /// The key at a slot of `key`; `None` if there is no such slot.
    pub(crate) fn child(&self, key: Key, slot: u64) -> Option<Key> {
        let children = self.children(key);
        let index = children.start.checked_add(slot).filter(|index| children.contains(index))?;
        Some(Key { level: key.level + 1, index })
    }

    /// The key at a point of the loop directly inside `key`; `None` if the loop has no such point there.
    pub(crate) fn child_at(&self, key: Key, point: u64) -> Option<Key> {
        let slot = match self.head(key.level) {
            Some(head) => head.slot_of(key.level, key.index, point)?,
            None => point,
        };
        self.child(key, slot)
    }

    /// The keys from this one on that have consecutive slots and points in the same group. Must not be
    /// called for the whole job.
    #[inline]
    pub(crate) fn stretch(&self, key: Key) -> Stretch {
        let level = key.level - 1;
        match self.head(level) {
            Some(head) => head.stretch(key),
            None if level == 0 => {
                // All points of the outermost loop, without a division for each task.
                let count = self.0.sizes[0] - key.index;
                Stretch { group: Key::ROOT, slot: key.index, point: key.index, count }
            }
            None => {
                let size = self.0.sizes[level];
                let (group, slot) = (Key { level, index: key.index / size }, key.index % size);
                Stretch { group, slot, point: slot, count: size - slot }
            }
        }
    }

    /// The indices of the keys directly inside a key.
    pub(crate) fn children(&self, key: Key) -> Range<u64> {
        match self.head(key.level) {
            Some(head) => head.convert(key.level, key.index, key.level + 1),
            None => {
                let size = self.0.sizes[key.level];
                key.index * size..(key.index + 1) * size
            }
        }
    }

    /// The key at an outer level that contains `key`.
    pub(crate) fn ancestor(&self, key: Key, level: usize) -> Key {
        let index = match self.head(level) {
            Some(head) => {
                let key = self.in_head(key);
                head.convert(key.level, key.index, level).start
            }
            None => key.index / (self.0.below[level] / self.0.below[key.level]),
        };
        Key { level, index }
    }

    /// The tasks below a key; a task is below itself.
    pub(crate) fn tasks_below(&self, key: Key) -> Range<u64> {
        let (keys, size) = match self.head(key.level) {
            Some(head) => {
                let keys = head.convert(key.level, key.index, self.0.tail);
                (keys, self.0.below[self.0.tail])
            }
            None => (key.index..key.index + 1, self.0.below[key.level]),
        };
        keys.start * size..keys.end * size
    }

    /// Number of tasks below a key.
    pub(crate) fn task_count(&self, key: Key) -> u64 {
        let tasks = self.tasks_below(key);
        tasks.end - tasks.start
    }

    /// The key at these points, outermost first; `None` if a loop has no such point there.
    pub(crate) fn key_at(&self, points: &[u64]) -> Option<Key> {
        if points.len() > self.depth() {
            return None;
        }
        points.iter().try_fold(Key::ROOT, |key, point| self.child_at(key, *point))
    }

    /// The point index in each of the key's loops, outermost first; `key.level` of them.
    pub(crate) fn indices(&self, key: Key) -> Vec<u64> {
        let mut inner = Vec::new();
        let mut at = key;
        while at.level > self.0.tail {
            let size = self.0.sizes[at.level - 1];
            inner.push(at.index % size);
            at = Key { level: at.level - 1, index: at.index / size };
        }
        let head = self.0.head.as_ref().map(|head| head.points(at.level, at.index));
        let mut points = head.unwrap_or_default();
        points.extend(inner.into_iter().rev());
        points
    }

    /// The point index in the innermost of the key's loops. Must not be called for the whole job.
    pub(crate) fn point(&self, key: Key) -> u64 {
        match self.head(key.level - 1) {
            Some(head) => head.point(key.level, key.index),
            None => key.index % self.0.sizes[key.level - 1],
        }
    }

    /// The value of the innermost of the key's loops; null for the whole job.
    pub(crate) fn value(&self, key: Key) -> Value {
        match key.level.checked_sub(1) {
            Some(level) => self.0.loops[level].points.get(self.point(key)),
            None => Value::Null,
        }
    }

    /// The name and value of each of the key's loops, outermost first.
    pub(crate) fn coordinates(&self, key: Key) -> Vec<(&str, Value)> {
        let indices = self.indices(key);
        let named = self.0.loops.iter().zip(indices);
        named.map(|(l, i)| (l.name.as_str(), l.points.get(i))).collect()
    }

    /// The name and value of each of the key's loops that applies there, outermost first.
    pub(crate) fn applying(&self, key: Key) -> Vec<(&str, Value)> {
        let indices = self.indices(key);
        let named = self.0.loops.iter().zip(indices).filter(|(l, i)| l.none != Some(*i));
        named.map(|(l, i)| (l.name.as_str(), l.points.get(i))).collect()
    }

    /// Whether the loop directly inside a key applies there. Must not be called for a task.
    #[cfg(feature = "cli")]
    pub(crate) fn applies_inside(&self, key: Key) -> bool {
        let only = self.child(key, 0).map(|child| self.point(child));
        self.0.loops[key.level].none.is_none_or(|none| only != Some(none))
    }

    /// The name and winning value of each loop inside a key that max or min decided, and that applies there.
    pub(crate) fn winners(&self, key: Key, best: &[Winner]) -> Vec<(&str, Value)> {
        self.won(key, best).map(|(l, point)| (l.name.as_str(), l.points.get(point))).collect()
    }

    fn won(&self, key: Key, best: &[Winner]) -> impl Iterator<Item = (&Loop, u64)> {
        let mut at = key;
        let won = best.iter().map_while(move |winner| {
            let l = self.0.loops.get(at.level).filter(|_| winner.level == at.level)?;
            at = self.child(at, winner.slot)?;
            Some((l, self.point(at)))
        });
        let applies = |(l, point): &(&Loop, u64)| l.none != Some(*point);
        won.filter(applies)
    }
}

impl TryFrom<(Vec<Loop>, Option<Shape>)> for LoopNest {
    type Error = String;

    fn try_from((loops, head): (Vec<Loop>, Option<Shape>)) -> Result<LoopNest, String> {
        check(&loops)?;
        LoopNest::of_parts(loops, head, Vec::new())
    }
}

impl Serialize for LoopNest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.0.loops, &self.0.head).serialize(serializer)
    }
}

#[cfg(test)]
mod tests;
