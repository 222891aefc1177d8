//! What tasks cost: expected seconds, learned from those that are done.
//!
//! The model is additive: a task takes what all take on average, and more or less by each of its
//! coordinates. Each effect is the mean over the tasks seen with that coordinate, less the overall
//! mean, which is the least-squares fit where every combination was seen equally often.

use crate::model::LoopNest;

/// A loop with more points than this is taken to have no effect: it would need a number for each.
const MOST_POINTS: u64 = 1 << 20;

/// Expected durations of tasks.
#[derive(Clone, Debug)]
pub(crate) struct CostModel {
    nest: LoopNest,
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

    /// What it would be without one that it is over.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    fn without(self, seconds: f64) -> Option<f64> {
        Mean { sum: self.sum - seconds, count: self.count.checked_sub(1)? }.get()
    }
}

impl CostModel {
    /// Knows nothing yet of the tasks of a nest.
    pub(crate) fn new(nest: &LoopNest) -> CostModel {
        let points = nest.loops().iter().map(|l| match l.points.len() {
            size if size <= MOST_POINTS => vec![Mean::default(); size as usize],
            _ => Vec::new(),
        });
        CostModel { nest: nest.clone(), all: Mean::default(), points: points.collect() }
    }

    /// A task took this many seconds.
    pub(crate) fn observe(&mut self, task: u64, seconds: f64) {
        self.all.add(seconds);
        let mut key = self.nest.task(task);
        while let Some((outer, slot)) = self.nest.parent(key) {
            if let Some(mean) = self.points[outer.level].get_mut(slot as usize) {
                mean.add(seconds);
            }
            key = outer;
        }
    }

    /// How many seconds a task can be expected to take; nothing if none was observed yet.
    pub(crate) fn expect(&self, task: u64) -> Option<f64> {
        let all = self.all.get()?;
        let effect = |mean: Mean| mean.get().map_or(0.0, |mean| mean - all);
        Some((all + self.means(task).map(effect).sum::<f64>()).max(0.0))
    }

    /// What is known of each coordinate of a task, the innermost first.
    fn means(&self, task: u64) -> impl Iterator<Item = Mean> + '_ {
        let mut key = self.nest.task(task);
        self.points.iter().rev().filter_map(move |points| {
            let (outer, slot) = self.nest.parent(key)?;
            key = outer;
            points.get(slot as usize).copied()
        })
    }

    /// What would be expected of a task that was observed, had it not been: what this differs by from
    /// what the task took is how far off an expectation is.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn expect_unseen(&self, task: u64, seconds: f64) -> Option<f64> {
        let all = self.all.without(seconds)?;
        let effect = |mean: Mean| mean.without(seconds).map_or(0.0, |mean| mean - all);
        Some((all + self.means(task).map(effect).sum::<f64>()).max(0.0))
    }

    /// Takes the points of a loop to have no effect.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn without_effect(mut self, level: usize) -> CostModel {
        self.points[level] = Vec::new();
        self
    }

    /// The same loops' effects, of which nothing is known yet.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn forgotten(&self) -> CostModel {
        let points = self.points.iter().map(|points| vec![Mean::default(); points.len()]);
        CostModel { nest: self.nest.clone(), all: Mean::default(), points: points.collect() }
    }

    /// How many points of a loop were observed; nothing for one without effect.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn seen(&self, level: usize) -> Option<u64> {
        let points = Some(&self.points[level]).filter(|points| !points.is_empty())?;
        Some(points.iter().filter(|mean| mean.count > 0).count() as u64)
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
        let nest = LoopNest::sized(&[3, 4], 1);
        let takes = |task: u64| 1.0 + (task / 4) as f64 * 10.0 + (task % 4) as f64;
        let mut costs = CostModel::new(&nest);
        assert_eq!(costs.expect(5), None);
        for task in 0..nest.tasks() {
            costs.observe(task, takes(task));
        }
        for task in 0..nest.tasks() {
            assert!((costs.expect(task).unwrap() - takes(task)).abs() < 1e-9, "task {task}");
        }
    }

    #[cfg(all(feature = "cli", feature = "jobs"))]
    #[test]
    fn what_was_observed_can_be_left_out() {
        let nest = LoopNest::sized(&[2, 3], 1);
        let mut costs = CostModel::new(&nest);
        costs.observe(0, 1.0);
        assert_eq!(costs.expect_unseen(0, 1.0), None, "there is nothing else");
        costs.observe(1, 4.0);
        costs.observe(3, 2.0);
        let mut without = CostModel::new(&nest);
        without.observe(0, 1.0);
        without.observe(3, 2.0);
        assert_eq!(costs.expect_unseen(1, 4.0), without.expect(1));
        assert_eq!((costs.seen(0), costs.seen(1)), (Some(2), Some(2)));
        let flat = costs.without_effect(1);
        assert_eq!((flat.seen(1), flat.expect(2), flat.expect(4)), (None, Some(2.5), Some(2.0)));
        assert_eq!(flat.forgotten().expect(2), None);
    }

    #[test]
    fn points_not_seen_cost_what_all_do() {
        let nest = LoopNest::sized(&[1 << 40], 0);
        let mut costs = CostModel::new(&nest);
        costs.observe(7, 2.0);
        costs.observe(1 << 39, 4.0);
        assert_eq!(costs.expect(7), Some(3.0), "a loop of 2^40 points has no effects");
        let nest = LoopNest::sized(&[100], 0);
        let mut costs = CostModel::new(&nest);
        costs.observe(7, 2.0);
        costs.observe(8, 4.0);
        assert_eq!((costs.expect(7), costs.expect(9)), (Some(2.0), Some(3.0)));
    }
}
