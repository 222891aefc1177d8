//! The combinations of points that some of the loops have anywhere in the nest: what a condition over these
//! loops is evaluated for, once for each and not once for each task.

use std::ops::Range;

use crate::model::nest::LoopNest;
use crate::model::nest::shape::Shape;

/// Gets the points of all loops but the last one, and a run of points of that one.
type See<'a, E> = dyn FnMut(&[u64], Range<u64>) -> Result<(), E> + 'a;

impl LoopNest {
    /// Calls `see` with the points of the loops at these levels, which ascend: once for each combination that
    /// some task has, in ascending order. The first error ends it.
    pub(crate) fn combinations<E>(
        &self,
        levels: &[usize],
        see: &mut dyn FnMut(&[u64]) -> Result<(), E>,
    ) -> Result<(), E> {
        if levels.is_empty() {
            return see(&[]);
        }
        let mut points = vec![0; levels.len()];
        self.walk_combinations(levels, &mut |outer, last| {
            points[..outer.len()].copy_from_slice(outer);
            for point in last {
                points[outer.len()] = point;
                see(&points)?;
            }
            Ok(())
        })
    }

    /// How many combinations there are, as far as a `u64` goes.
    pub(crate) fn count_combinations(&self, levels: &[usize]) -> u64 {
        if levels.iter().all(|level| *level >= self.0.tail) {
            let sizes = levels.iter().map(|level| self.0.sizes[*level]);
            return sizes.fold(1, u64::saturating_mul);
        }
        let mut count = 0u64;
        let counted: Result<(), ()> = self.walk_combinations(levels, &mut |_, last| {
            count = count.saturating_add(last.end - last.start);
            Ok(())
        });
        counted.map_or(u64::MAX, |()| count)
    }

    /// Whether there is a task to which the loop at a level does not apply.
    pub(crate) fn is_none_somewhere(&self, level: usize) -> bool {
        let Some(none) = self.0.loops[level].none else { return false };
        let seen =
            self.walk_combinations(&[level], &mut |_, points| match points.contains(&none) {
                true => Err(()),
                false => Ok(()),
            });
        seen.is_err()
    }

    fn walk_combinations<E>(&self, levels: &[usize], see: &mut See<E>) -> Result<(), E> {
        let mut walk = Walk { nest: self, levels, points: Vec::new(), see };
        match &self.0.head {
            Some(head) => walk.head(head, 0, &[0]),
            None => walk.tail(),
        }
    }
}

struct Walk<'a, E> {
    nest: &'a LoopNest,
    levels: &'a [usize],
    /// Those of the outer loops among them.
    points: Vec<u64>,
    see: &'a mut See<'a, E>,
}

impl<E> Walk<'_, E> {
    /// Goes on inside any of these nodes of a level.
    fn head(&mut self, head: &Shape, level: usize, nodes: &[u64]) -> Result<(), E> {
        let named = self.levels[self.points.len()];
        if named >= head.depth() {
            return self.tail();
        }
        let inner = self.levels.get(self.points.len() + 1).copied();
        // Where nothing inside is named, it does not matter what is there.
        let matters = level < named || inner.is_some_and(|inner| inner < head.depth());
        let mut runs: Vec<Run> = Vec::new();
        let own = &head.levels[level];
        for node in nodes {
            let Range { start: first, end } = own.runs(*node);
            runs.extend((first..end).map(|run| {
                let start = own.points.get(run);
                let points = start..start + own.run_len(first, run);
                Run { points, inside: if matters { own.inside.get(run) } else { 0 } }
            }));
        }
        if level < named {
            let mut inside: Vec<u64> = runs.into_iter().map(|run| run.inside).collect();
            inside.sort_unstable();
            inside.dedup();
            return self.head(head, level + 1, &inside);
        }
        for (points, inside) in disjoint(runs) {
            if inner.is_none() {
                (self.see)(&self.points, points)?;
                continue;
            }
            for point in points {
                self.points.push(point);
                match matters {
                    true => self.head(head, level + 1, &inside)?,
                    false => self.tail()?,
                }
                self.points.pop();
            }
        }
        Ok(())
    }

    /// Goes on with loops that have all their points everywhere.
    fn tail(&mut self) -> Result<(), E> {
        let level = self.levels[self.points.len()];
        let size = self.nest.0.sizes[level];
        if self.points.len() + 1 == self.levels.len() {
            return (self.see)(&self.points, 0..size);
        }
        for point in 0..size {
            self.points.push(point);
            self.tail()?;
            self.points.pop();
        }
        Ok(())
    }
}

/// Consecutive points with the same node inside.
struct Run {
    points: Range<u64>,
    inside: u64,
}

/// The same points in ascending order, each once, with all nodes that are inside it anywhere.
fn disjoint(mut runs: Vec<Run>) -> Vec<(Range<u64>, Vec<u64>)> {
    runs.sort_unstable_by_key(|run| (run.inside, run.points.start));
    runs.dedup_by(|next, run| {
        let joins = next.inside == run.inside && next.points.start <= run.points.end;
        if joins {
            run.points.end = run.points.end.max(next.points.end);
        }
        joins
    });
    runs.sort_by_key(|run| run.points.start);
    let mut all = Vec::new();
    let mut ahead = runs.into_iter().peekable();
    let mut open: Vec<Run> = Vec::new();
    let mut at = 0;
    loop {
        open.retain(|run| run.points.end > at);
        match ahead.peek() {
            None if open.is_empty() => return all,
            Some(next) if open.is_empty() => at = next.points.start,
            _ => {}
        }
        while let Some(next) = ahead.next_if(|next| next.points.start <= at) {
            open.push(next);
        }
        let ends = open.iter().map(|run| run.points.end);
        let next = ahead.peek().map(|next| next.points.start);
        let until = ends.chain(next).min().unwrap_or(at);
        let mut inside: Vec<u64> = open.iter().map(|run| run.inside).collect();
        inside.sort_unstable();
        all.push((at..until, inside));
        at = until;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::nest::by_hand::{families, product};
    use crate::model::nest::random::RandomNest;
    use proptest::prelude::*;

    fn all(nest: &LoopNest, levels: &[usize]) -> Vec<Vec<u64>> {
        let mut found = Vec::new();
        let seen: Result<(), ()> = nest.combinations(levels, &mut |points| {
            found.push(points.to_vec());
            Ok(())
        });
        seen.unwrap();
        assert_eq!(nest.count_combinations(levels), found.len() as u64, "{levels:?}");
        found
    }

    #[test]
    fn families_have_no_parameters_of_each_other() {
        let nest = families();
        assert_eq!(all(&nest, &[]), [[0u64; 0]]);
        let none: Vec<bool> = (0..5).map(|level| nest.is_none_somewhere(level)).collect();
        assert_eq!(none, [false, false, true, true, false]);
        assert_eq!(all(&nest, &[1, 3]), [[0, 2], [1, 0], [1, 1]]);
        assert_eq!(all(&nest, &[3, 4]), [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]);
        let large = product(&[("a", 1 << 40, None), ("b", 1 << 20, None), ("c", 2, None)]);
        assert_eq!(large.count_combinations(&[0, 1]), 1 << 60);
        assert_eq!(all(&large, &[2]), [[0], [1]]);
    }

    proptest! {
        #[test]
        fn they_are_those_of_real_loops(nest in RandomNest::any(1..5), chosen in any::<u8>()) {
            let Ok(built) = nest.nest(&vec![None; nest.sizes.len()]) else { return Ok(()) };
            let levels: Vec<usize> =
                (0..nest.sizes.len()).filter(|level| chosen & (1 << level) != 0).collect();
            let of = |task: Vec<u64>| levels.iter().map(|level| task[*level]).collect();
            let expected: BTreeSet<Vec<u64>> = nest.serial().into_iter().map(of).collect();
            prop_assert_eq!(all(&built, &levels), expected.into_iter().collect::<Vec<_>>());
        }
    }
}
