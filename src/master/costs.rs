//! What tasks cost: expected seconds, learned from those that are done.
//!
//! The model is additive: a task takes what all take on average, and more or less by each of its
//! coordinates. Each effect is the mean over the tasks seen with that coordinate, less the overall
//! mean, which is the least-squares fit where every combination was seen equally often.

use crate::grid::Grid;

/// A loop with more points than this is taken to have no effect: it would need a number for each.
const MOST_POINTS: u64 = 1 << 20;

/// Expected durations of tasks.
#[derive(Clone, Debug)]
pub(crate) struct Costs {
    grid: Grid,
    all: Mean,
    /// For each loop, its points; empty for a loop with too many.
    points: Vec<Vec<Mean>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, seconds: f64) {
        self.sum += seconds;
        self.count += 1;
    }

    fn get(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl Costs {
    /// Knows nothing yet of the tasks of a grid.
    pub(crate) fn new(grid: &Grid) -> Costs {
        let points = (0..grid.depth()).map(|level| match grid.size(level) {
            size if size <= MOST_POINTS => vec![Mean::default(); size as usize],
            _ => Vec::new(),
        });
        Costs { grid: grid.clone(), all: Mean::default(), points: points.collect() }
    }

    /// A task took this many seconds.
    pub(crate) fn observe(&mut self, task: u64, seconds: f64) {
        self.all.add(seconds);
        let mut rest = task;
        for (level, points) in self.points.iter_mut().enumerate().rev() {
            let size = self.grid.size(level);
            if let Some(mean) = points.get_mut((rest % size) as usize) {
                mean.add(seconds);
            }
            rest /= size;
        }
    }

    /// How many seconds a task can be expected to take; nothing if none was observed yet.
    pub(crate) fn expect(&self, task: u64) -> Option<f64> {
        let all = self.all.get()?;
        let mut expected = all;
        let mut rest = task;
        for (level, points) in self.points.iter().enumerate().rev() {
            let size = self.grid.size(level);
            let mean = points.get((rest % size) as usize).and_then(|mean| mean.get());
            expected += mean.map_or(0.0, |mean| mean - all);
            rest /= size;
        }
        Some(expected.max(0.0))
    }

    /// How many seconds those that were observed took on average.
    pub(crate) fn mean(&self) -> Option<f64> {
        self.all.get()
    }

    /// How many tasks were observed.
    pub(crate) fn observed(&self) -> u64 {
        self.all.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_adds_up_is_learned_exactly() {
        let grid = Grid::new(&[3, 4], 1).unwrap();
        let takes = |task: u64| 1.0 + (task / 4) as f64 * 10.0 + (task % 4) as f64;
        let mut costs = Costs::new(&grid);
        assert_eq!(costs.expect(5), None);
        for task in 0..grid.tasks() {
            costs.observe(task, takes(task));
        }
        for task in 0..grid.tasks() {
            assert!((costs.expect(task).unwrap() - takes(task)).abs() < 1e-9, "task {task}");
        }
    }

    #[test]
    fn points_not_seen_cost_what_all_do() {
        let grid = Grid::new(&[1 << 40], 0).unwrap();
        let mut costs = Costs::new(&grid);
        costs.observe(7, 2.0);
        costs.observe(1 << 39, 4.0);
        assert_eq!(costs.expect(7), Some(3.0), "a loop of 2^40 points has no effects");
        let grid = Grid::new(&[100], 0).unwrap();
        let mut costs = Costs::new(&grid);
        costs.observe(7, 2.0);
        costs.observe(8, 4.0);
        assert_eq!((costs.expect(7), costs.expect(9)), (Some(2.0), Some(3.0)));
    }
}
