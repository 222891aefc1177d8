//! Random nests whose loops depend on each other, and the same as real nested loops. For tests.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::model::nest::{Dependencies, LoopNest, Selection, numbered};
use crate::model::reduce::Reduce;
use proptest::prelude::*;

/// A nest of which any loop may depend on any loops around it.
#[derive(Clone, Debug)]
pub(crate) struct RandomNest {
    /// Number of points per loop.
    pub(crate) sizes: Vec<u64>,
    /// By loop: a bit for each loop that it depends on; `None` if it always has all its points.
    on: Vec<Option<u8>>,
    seed: u64,
}

impl RandomNest {
    pub(crate) fn any(depth: Range<usize>) -> impl Strategy<Value = RandomNest> {
        let of_loop = (1u64..5, prop::option::weighted(0.7, any::<u8>()));
        (prop::collection::vec(of_loop, depth), any::<u64>()).prop_map(|(loops, seed)| {
            let (sizes, on) = loops.into_iter().unzip();
            RandomNest { sizes, on, seed }
        })
    }

    fn dependencies(&self) -> Vec<Dependencies> {
        let of_loop = |(level, on): (usize, &Option<u8>)| -> Dependencies {
            let outer = |on: &u8| (0..level).filter(|outer| on & (1 << outer) != 0).collect();
            on.as_ref().map(outer)
        };
        self.on.iter().enumerate().map(of_loop).collect()
    }

    /// The points of a loop, in any order and possibly none, by what it depends on.
    fn points(&self, level: usize, around: &[u64]) -> Vec<u64> {
        let all = 0..self.sizes[level];
        let Some(on) = &self.dependencies()[level] else { return all.collect() };
        let mut mixed = self.seed ^ level as u64;
        for outer in on {
            mixed = (mixed ^ around[*outer]).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
        }
        mixed = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut points: Vec<u64> = all.filter(|point| mixed >> (40 + point) & 1 == 1).collect();
        if mixed >> 60 == 0 {
            points.reverse();
        }
        points
    }

    /// The points of every task, by real nested loops.
    pub(crate) fn serial(&self) -> Vec<Vec<u64>> {
        let mut paths = vec![Vec::new()];
        for level in 0..self.sizes.len() {
            let longer = |path: Vec<u64>| {
                let points = self.points(level, &path);
                points.into_iter().map(move |point| [path.clone(), vec![point]].concat())
            };
            paths = paths.into_iter().flat_map(longer).collect();
        }
        paths
    }

    pub(crate) fn nest(&self, reduces: &[Option<Reduce>]) -> Result<LoopNest, String> {
        let loops = numbered(&self.sizes, reduces.iter().cloned());
        LoopNest::dependent(loops, self.dependencies(), &mut Watched(self))
    }
}

/// Gives nothing of the loops that a loop does not depend on.
struct Watched<'a>(&'a RandomNest);

impl Selection for Watched<'_> {
    fn size(&self, level: usize) -> u64 {
        self.0.sizes[level]
    }

    fn select(&mut self, level: usize, around: &[u64]) -> Result<Vec<Range<u64>>, String> {
        assert_eq!(around.len(), level);
        let points = self.0.points(level, around);
        Ok(points.into_iter().map(|point| point..point + 1).collect())
    }
}

/// The different first `level` points of these tasks, in order.
pub(crate) fn keys_of(tasks: &[Vec<u64>], level: usize) -> Vec<Vec<u64>> {
    let mut keys: Vec<Vec<u64>> = tasks.iter().map(|task| task[..level].to_vec()).collect();
    keys.dedup();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    keys
}
