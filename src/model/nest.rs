//! The nest of loops, flattened: task index <-> coordinates, and which group a task belongs to.
//!
//! Nothing here holds a list of tasks, so a grid of a billion tasks costs a few bytes. Coordinates
//! are mixed-radix digits of the task index, the innermost loop turning fastest, so counting tasks
//! upwards walks the nest exactly as the serial loops would.

use serde::{Deserialize, Serialize};

/// A place in the nest: the first `level` coordinates, packed into `index`.
///
/// A key as deep as the nest is a task; a shallower one is the group of everything below it;
/// level 0 is the whole job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    /// How many coordinates are fixed, outermost first.
    pub(crate) level: usize,
    /// Those coordinates as one number, in grid order.
    pub(crate) index: u64,
}

/// The product of the loops. Pure arithmetic on loop sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    sizes: Vec<u64>,
    outer: usize,
    tasks: u64,
}

/// Most tasks a grid may have: their indices must fit SQLite's signed 64-bit integers.
pub(crate) const MOST_TASKS: u64 = i64::MAX as u64;

impl Grid {
    /// A grid of loops with the given sizes, outermost first, of which the first `outer` do not
    /// reduce. `None` if a loop is empty, there is no loop, or the product is over [`MOST_TASKS`].
    pub(crate) fn new(sizes: &[u64], outer: usize) -> Option<Grid> {
        let tasks = sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size))?;
        let sound = !sizes.is_empty() && (1..=MOST_TASKS).contains(&tasks) && outer <= sizes.len();
        sound.then(|| Grid { sizes: sizes.to_vec(), outer, tasks })
    }

    /// How many loops are nested.
    pub(crate) fn depth(&self) -> usize {
        self.sizes.len()
    }

    /// How many of the outermost loops do not reduce: the result is a table over them.
    pub(crate) fn outer(&self) -> usize {
        self.outer
    }

    /// How many points the loop at `level` has.
    pub(crate) fn size(&self, level: usize) -> u64 {
        self.sizes[level]
    }

    /// How many tasks there are.
    pub(crate) fn tasks(&self) -> u64 {
        self.tasks
    }

    /// How many keys there are at `level`: groups, or tasks at the deepest level.
    pub(crate) fn keys(&self, level: usize) -> u64 {
        self.sizes[..level].iter().product()
    }

    /// The key of a task.
    pub(crate) fn task(&self, index: u64) -> Key {
        Key { level: self.depth(), index }
    }

    /// The group that `key` is gathered in, and its slot there; `None` at the outermost loops,
    /// where nothing is gathered any more.
    pub(crate) fn parent(&self, key: Key) -> Option<(Key, u64)> {
        if key.level <= self.outer {
            return None;
        }
        let size = self.sizes[key.level - 1];
        Some((Key { level: key.level - 1, index: key.index / size }, key.index % size))
    }

    /// The point index in each of the key's loops, outermost first; `key.level` of them.
    pub(crate) fn coordinates(&self, key: Key) -> Vec<u64> {
        let mut rest = key.index;
        let mut digits: Vec<u64> = self.sizes[..key.level]
            .iter()
            .rev()
            .map(|&size| {
                let digit = rest % size;
                rest /= size;
                digit
            })
            .collect();
        digits.reverse();
        digits
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
            let grid = Grid::new(&sizes, 0).unwrap();
            let mut expected = vec![vec![]];
            for &size in &sizes {
                expected = expected
                    .into_iter()
                    .flat_map(|outer: Vec<u64>| (0..size).map(move |i| [outer.clone(), vec![i]].concat()))
                    .collect();
            }
            let walked: Vec<_> = (0..grid.tasks()).map(|t| grid.coordinates(grid.task(t))).collect();
            prop_assert_eq!(walked, expected);
        }

        #[test]
        fn a_key_is_its_parent_and_its_slot(
            sizes in prop::collection::vec(1u64..1000, 1..6), pick in 0u64..u64::MAX,
        ) {
            let grid = Grid::new(&sizes, 0).unwrap();
            let key = grid.task(pick % grid.tasks());
            let (parent, slot) = grid.parent(key).unwrap();
            let mut through_parent = grid.coordinates(parent);
            through_parent.push(slot);
            prop_assert_eq!(grid.coordinates(key), through_parent);
        }
    }

    #[test]
    fn ten_data_sets_of_three_parameters() {
        let grid = Grid::new(&[10, 3], 1).unwrap();
        assert_eq!(grid.tasks(), 30);
        assert_eq!(grid.coordinates(grid.task(7)), [2, 1]);
        assert_eq!(grid.parent(grid.task(7)), Some((Key { level: 1, index: 2 }, 1)));
    }

    #[test]
    fn refuses_what_has_no_tasks_or_too_many() {
        assert_eq!(Grid::new(&[], 0), None);
        assert_eq!(Grid::new(&[3, 0], 1), None);
        assert_eq!(Grid::new(&[1 << 32, 1 << 31], 1), None);
        assert!(Grid::new(&[1 << 32, (1 << 31) - 1], 1).is_some());
    }
}
