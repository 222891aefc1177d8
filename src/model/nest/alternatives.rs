//! Which points of a loop are alternatives to each other: those that it has at the same place, and those
//! that are alternatives to the same ones. The point where a loop does not apply is no alternative to the
//! others, and neither are the sessions of one subject to those of another.

use std::ops::Range;

use crate::model::nest::LoopNest;
use crate::model::nest::shape::{Nodes, Shape};

impl LoopNest {
    /// By point of the loop at a level, the number of its set of alternatives. Empty if all its points are
    /// alternatives to each other.
    pub(crate) fn alternatives(&self, level: usize) -> Vec<u32> {
        match self.head(level) {
            Some(head) => head.alternatives(level, self.0.sizes[level]),
            None => Vec::new(),
        }
    }
}

impl Shape {
    fn alternatives(&self, level: usize, size: u64) -> Vec<u32> {
        let nodes = &self.levels[level];
        let mut sets = Sets::new(size as usize);
        for node in 0..nodes.ends.len() as u64 {
            let mut first = None;
            for run in nodes.runs(node).map(|run| nodes.run_points(node, run)) {
                sets.join(run.clone());
                sets.join_two(*first.get_or_insert(run.start), run.start);
            }
        }
        let numbers = sets.numbers();
        if numbers.iter().all(|number| *number == 0) { Vec::new() } else { numbers }
    }
}

impl Nodes {
    /// The points of a run of a node.
    fn run_points(&self, node: u64, run: usize) -> Range<usize> {
        let (start, count) = (self.points.get(run), self.run_len(self.runs(node).start, run));
        start as usize..(start + count) as usize
    }
}

/// Disjoint sets of points.
struct Sets {
    /// By point: a smaller or equal one of the same set; itself for the first of its set.
    outer: Vec<u32>,
    /// By point: the next one, from it on, that is not joined with the one before it.
    next: Vec<u32>,
}

impl Sets {
    fn new(size: usize) -> Sets {
        let all: Vec<u32> = (0..=size as u32).collect();
        Sets { outer: all.clone(), next: all }
    }

    fn find(of: &mut [u32], mut at: usize) -> usize {
        while of[at] as usize != at {
            of[at] = of[of[at] as usize];
            at = of[at] as usize;
        }
        at
    }

    fn join_two(&mut self, one: usize, other: usize) {
        let (one, other) = (Sets::find(&mut self.outer, one), Sets::find(&mut self.outer, other));
        self.outer[one.max(other)] = one.min(other) as u32;
    }

    /// Joins consecutive points; those that have been joined before cost nothing.
    fn join(&mut self, points: Range<usize>) {
        let mut at = Sets::find(&mut self.next, points.start + 1);
        while at < points.end {
            self.join_two(at - 1, at);
            self.next[at] = at as u32 + 1;
            at = Sets::find(&mut self.next, at + 1);
        }
    }

    /// By point, the number of its set, in the order of their first points.
    fn numbers(mut self) -> Vec<u32> {
        let size = self.outer.len() - 1;
        let mut numbers: Vec<u32> = Vec::with_capacity(size);
        let mut known = 0;
        for point in 0..size {
            let first = Sets::find(&mut self.outer, point);
            let number = if first == point { known } else { numbers[first] };
            known = known.max(number + 1);
            numbers.push(number);
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::nest::by_hand::{counted, families, of_tasks};

    #[test]
    fn points_of_different_families_are_no_alternatives() {
        let sets = |nest: &LoopNest| -> Vec<Vec<u32>> {
            (0..nest.depth()).map(|level| nest.alternatives(level)).collect()
        };
        let own = [vec![], vec![], vec![0, 0, 0, 1], vec![0, 0, 1], vec![]];
        assert_eq!(sets(&families()), own);
        // Points 0 and 2 meet at the first place, 2 and 4 at the second; 1 and 3 at the third.
        let loops = || vec![counted("a", 3, None), counted("b", 5, None)];
        let tasks = [[0, 0], [0, 2], [1, 4], [1, 2], [2, 1], [2, 3]].map(Vec::from);
        assert_eq!(sets(&of_tasks(loops(), 2, &tasks))[1], [0, 1, 0, 1, 0]);
        let tasks = [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [1, 3], [2, 3], [2, 4]].map(Vec::from);
        assert!(sets(&of_tasks(loops(), 2, &tasks))[1].is_empty());
    }
}
