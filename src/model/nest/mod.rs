//! The nest of loops, flattened: task index <-> coordinates, and which group a task belongs to.
//!
//! There is no list of tasks, so a nest of a billion tasks takes a few bytes. Task indices count in the
//! order of the serial loops, the innermost loop fastest.
//!
//! Only this file does arithmetic on task indices. The size of a loop is queried at a key, because an
//! inner loop may in future depend on the points of the loops around it.

mod points;

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::model::key::Key;
use crate::model::reduce::Reduce;
use crate::model::results::Winner;
use crate::model::value::Value;
pub(crate) use points::Points;
#[cfg(feature = "jobs")]
pub(crate) use points::{Distribution, Named};

/// One level of the nest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Loop {
    /// The loop's name, unique in the nest.
    pub(crate) name: String,
    pub(crate) points: Points,
    /// How its points fold into one value for the loop around it.
    pub(crate) reduce: Option<Reduce>,
    /// Whether its points are the program's data sets.
    pub(crate) is_data: bool,
}

/// Nested loops, outermost first; a clone shares them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Vec<Loop>")]
pub(crate) struct LoopNest(Arc<Parts>);

#[derive(Debug, PartialEq)]
struct Parts {
    loops: Vec<Loop>,
    /// Number of points per loop.
    sizes: Vec<u64>,
    /// Number of tasks below a key, by its level; 1 at the deepest level.
    below: Vec<u64>,
    /// How many of the outermost loops do not reduce.
    outer: usize,
}

/// The most tasks a nest may have: their indices must fit SQLite's signed 64-bit integers.
pub(crate) const MOST_TASKS: u64 = i64::MAX as u64;

impl LoopNest {
    /// A nest of these loops, outermost first. An error if there is no loop, a loop has no points, a loop
    /// inside a reducing one does not reduce, or there are more than [`MOST_TASKS`] tasks.
    pub(crate) fn new(loops: Vec<Loop>) -> Result<LoopNest, String> {
        if loops.is_empty() {
            return Err("there is no loop".to_string());
        }
        let mut inner = loops.iter().skip_while(|l| l.reduce.is_none());
        if let Some(inner) = inner.find(|l| l.reduce.is_none()) {
            return Err(format!("loop '{}' does not reduce, but one around it does", inner.name));
        }
        let sizes: Vec<u64> = loops.iter().map(|l| l.points.len()).collect();
        if let Some(empty) = sizes.iter().position(|size| *size == 0) {
            return Err(format!("loop '{}' has no points", loops[empty].name));
        }
        let tasks = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size));
        if tasks.is_none_or(|tasks| tasks > MOST_TASKS) {
            let product = sizes.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
            return Err(format!("{product} tasks are more than {MOST_TASKS} (2^63 - 1)"));
        }
        Ok(LoopNest::of_loops(loops))
    }

    fn of_loops(loops: Vec<Loop>) -> LoopNest {
        let outer = loops.iter().take_while(|l| l.reduce.is_none()).count();
        let sizes: Vec<u64> = loops.iter().map(|l| l.points.len()).collect();
        let below = (0..=sizes.len()).map(|level| sizes[level..].iter().product()).collect();
        LoopNest(Arc::new(Parts { loops, sizes, below, outer }))
    }

    /// A nest of loops of these sizes and reductions, outermost first, with generated names and values.
    pub(crate) fn of_sizes(
        sizes: &[u64],
        reduces: impl IntoIterator<Item = Option<Reduce>>,
    ) -> Result<LoopNest, String> {
        let numbered = |(level, (count, reduce)): (usize, (&u64, Option<Reduce>))| Loop {
            name: format!("loop{level}"),
            points: Points::Range { from: 0, step: 1, count: *count },
            reduce,
            is_data: false,
        };
        LoopNest::new(sizes.iter().zip(reduces).enumerate().map(numbered).collect())
    }

    /// A nest of loops of these sizes; those after the first `outer` reduce with max.
    #[cfg(test)]
    pub(crate) fn sized(sizes: &[u64], outer: usize) -> LoopNest {
        let reduce = |level| (level >= outer).then_some(Reduce::Max);
        LoopNest::of_sizes(sizes, (0..sizes.len()).map(reduce)).unwrap()
    }

    /// A nest with the same keys whose inner loops only count, and whose points are numbers. For
    /// simulations.
    pub(crate) fn counting(&self) -> LoopNest {
        let folds = |level| (level >= self.outer()).then_some(Reduce::Count);
        let counting = LoopNest::of_sizes(&self.0.sizes, (0..self.depth()).map(folds));
        counting.expect("as sound as this one")
    }

    /// A nest of some of the loops; with none, it has one task.
    #[cfg(feature = "cli")]
    pub(crate) fn only(&self, levels: &[usize]) -> LoopNest {
        let loops: Vec<Loop> = levels.iter().map(|level| self.0.loops[*level].clone()).collect();
        LoopNest::of_loops(loops)
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

    pub(crate) fn tasks(&self) -> u64 {
        self.0.below[0]
    }

    /// Number of keys at a level: groups, or tasks at the deepest level.
    pub(crate) fn keys(&self, level: usize) -> u64 {
        self.tasks() / self.0.below[level]
    }

    pub(crate) fn task(&self, index: u64) -> Key {
        Key { level: self.depth(), index }
    }

    /// Number of points of the loop directly inside a key. Must not be called for a task.
    pub(crate) fn slots(&self, key: Key) -> u64 {
        self.0.sizes[key.level]
    }

    /// The key one level further out, and the slot of `key` in it; `None` for the whole job.
    pub(crate) fn parent(&self, key: Key) -> Option<(Key, u64)> {
        let level = key.level.checked_sub(1)?;
        let size = self.0.sizes[level];
        Some((Key { level, index: key.index / size }, key.index % size))
    }

    /// The group that the result of `key` goes into, and its slot there; `None` at the outermost loops,
    /// which do not reduce.
    pub(crate) fn group(&self, key: Key) -> Option<(Key, u64)> {
        if key.level <= self.0.outer { None } else { self.parent(key) }
    }

    /// The key at a slot of `key`; `None` if there is no such slot.
    pub(crate) fn child(&self, key: Key, slot: u64) -> Option<Key> {
        let children = self.children(key);
        let index = children.start.checked_add(slot).filter(|index| children.contains(index))?;
        Some(Key { level: key.level + 1, index })
    }

    /// The indices of the keys directly inside a key.
    pub(crate) fn children(&self, key: Key) -> Range<u64> {
        let size = self.slots(key);
        key.index * size..(key.index + 1) * size
    }

    /// The key at an outer level that contains `key`.
    pub(crate) fn ancestor(&self, key: Key, level: usize) -> Key {
        let inside = self.0.below[level] / self.0.below[key.level];
        Key { level, index: key.index / inside }
    }

    /// The tasks below a key; a task is below itself.
    pub(crate) fn tasks_below(&self, key: Key) -> Range<u64> {
        let size = self.0.below[key.level];
        key.index * size..(key.index + 1) * size
    }

    /// Number of tasks below a key.
    pub(crate) fn task_count(&self, key: Key) -> u64 {
        self.0.below[key.level]
    }

    /// The key at these points, outermost first; `None` if a loop has no such point.
    pub(crate) fn key_at(&self, indices: &[u64]) -> Option<Key> {
        if indices.len() > self.depth() {
            return None;
        }
        indices.iter().try_fold(Key::ROOT, |key, slot| self.child(key, *slot))
    }

    /// The point index in each of the key's loops, outermost first; `key.level` of them.
    pub(crate) fn indices(&self, key: Key) -> Vec<u64> {
        let mut indices = vec![0; key.level];
        let mut at = key;
        while let Some((outer, slot)) = self.parent(at) {
            indices[outer.level] = slot;
            at = outer;
        }
        indices
    }

    /// The value of the innermost of the key's loops; null for the whole job.
    pub(crate) fn value(&self, key: Key) -> Value {
        match self.parent(key) {
            Some((outer, slot)) => self.0.loops[outer.level].points.get(slot),
            None => Value::Null,
        }
    }

    /// The name and value of each of the key's loops, outermost first.
    pub(crate) fn coordinates(&self, key: Key) -> Vec<(&str, Value)> {
        let indices = self.indices(key);
        let named = self.0.loops.iter().zip(indices);
        named.map(|(l, i)| (l.name.as_str(), l.points.get(i))).collect()
    }

    /// The name and winning value of each loop inside a key that max or min decided.
    pub(crate) fn winners(&self, key: Key, best: &[Winner]) -> Vec<(&str, Value)> {
        let mut at = key;
        let won = best.iter().map_while(|winner| {
            let l = self.0.loops.get(at.level).filter(|_| winner.level == at.level)?;
            at = self.child(at, winner.point)?;
            Some((l.name.as_str(), self.value(at)))
        });
        won.collect()
    }
}

impl TryFrom<Vec<Loop>> for LoopNest {
    type Error = String;

    fn try_from(loops: Vec<Loop>) -> Result<LoopNest, String> {
        LoopNest::new(loops)
    }
}

impl Serialize for LoopNest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.loops().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn coordinates_walk_the_nest_like_serial_loops(
            sizes in prop::collection::vec(1u64..5, 1..5),
        ) {
            let nest = LoopNest::sized(&sizes, 0);
            let mut expected = vec![vec![]];
            for (level, &size) in sizes.iter().enumerate() {
                prop_assert_eq!(nest.keys(level), expected.len() as u64);
                expected = expected
                    .into_iter()
                    .flat_map(|outer: Vec<u64>| (0..size).map(move |i| [outer.clone(), vec![i]].concat()))
                    .collect();
            }
            let walked: Vec<_> = (0..nest.tasks()).map(|t| nest.indices(nest.task(t))).collect();
            for (task, indices) in (0..).zip(&walked) {
                prop_assert_eq!(nest.key_at(indices), Some(nest.task(task)));
                let points = nest.coordinates(nest.task(task)).into_iter().map(|(_, value)| value);
                let expected = indices.iter().map(|i| Value::Int(*i as i64));
                prop_assert!(points.eq(expected));
            }
            prop_assert_eq!(walked, expected);
        }

        #[test]
        fn slots_and_parents_undo_each_other(
            sizes in prop::collection::vec(1u64..1000, 1..6), pick in 0u64..u64::MAX, outer in 0usize..6,
        ) {
            let nest = LoopNest::sized(&sizes, outer.min(sizes.len()));
            let mut key = nest.task(pick % nest.tasks());
            let indices = nest.indices(key);
            while let Some((parent, slot)) = nest.parent(key) {
                prop_assert!(slot < nest.slots(parent));
                prop_assert_eq!(slot, indices[parent.level]);
                prop_assert_eq!(nest.child(parent, slot), Some(key));
                prop_assert_eq!(nest.child(parent, nest.slots(parent)), None);
                prop_assert_eq!(nest.child(parent, u64::MAX), None);
                prop_assert_eq!(nest.ancestor(nest.task(pick % nest.tasks()), parent.level), parent);
                let gathers = parent.level >= nest.outer();
                prop_assert_eq!(nest.group(key), gathers.then_some((parent, slot)));
                prop_assert_eq!(nest.value(key), Value::Int(slot as i64));
                key = parent;
            }
            prop_assert_eq!(key, Key::ROOT);
        }

        #[test]
        fn the_tasks_below_a_key_are_those_below_its_children(
            sizes in prop::collection::vec(1u64..6, 1..5),
        ) {
            let nest = LoopNest::sized(&sizes, 0);
            prop_assert_eq!(nest.tasks_below(Key::ROOT), 0..nest.tasks());
            for level in 0..nest.depth() {
                for key in (0..nest.keys(level)).map(|index| Key { level, index }) {
                    let below = nest.tasks_below(key);
                    prop_assert_eq!(nest.task_count(key), below.end - below.start);
                    let mut next = below.start;
                    for slot in 0..nest.slots(key) {
                        let part = nest.tasks_below(nest.child(key, slot).unwrap());
                        prop_assert_eq!(part.start, next);
                        next = part.end;
                    }
                    prop_assert_eq!(next, below.end);
                    for task in below {
                        prop_assert_eq!(nest.ancestor(nest.task(task), level), key);
                    }
                }
            }
        }
    }

    #[test]
    fn ten_data_sets_of_three_parameters() {
        let nest = LoopNest::sized(&[10, 3], 1);
        assert_eq!(nest.tasks(), 30);
        assert_eq!(nest.indices(nest.task(7)), [2, 1]);
        let dataset = Key { level: 1, index: 2 };
        assert_eq!(nest.group(nest.task(7)), Some((dataset, 1)));
        assert_eq!((nest.group(dataset), nest.tasks_below(dataset)), (None, 6..9));
        assert_eq!(
            nest.winners(dataset, &[Winner { level: 1, point: 2 }]),
            [("loop1", Value::Int(2))]
        );
    }

    #[test]
    fn refuses_what_has_no_tasks_or_too_many() {
        let nest = |sizes: &[u64]| LoopNest::of_sizes(sizes, vec![None; sizes.len()]);
        let why = |sizes: &[u64]| nest(sizes).unwrap_err();
        assert_eq!(why(&[]), "there is no loop");
        assert_eq!(why(&[3, 0]), "loop 'loop1' has no points");
        assert!(
            why(&[1 << 32, 1 << 31]).starts_with("4294967296 x 2147483648 tasks are more than")
        );
        assert!(nest(&[1 << 32, (1 << 31) - 1]).is_ok());
        let inner = LoopNest::of_sizes(&[2, 2], [Some(Reduce::Max), None]).unwrap_err();
        assert_eq!(inner, "loop 'loop1' does not reduce, but one around it does");
    }
}
