//! The cost model: expected duration of each task, learned from finished tasks.
//!
//! The model is additive: the overall mean plus one effect per coordinate of the task. Each effect is
//! the mean over the tasks observed with that coordinate, less the mean over those with it or an
//! alternative to it: where loops depend on each other, a family's parameters have no part in what the
//! family itself costs. This is the least-squares fit where every combination was observed equally often.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::model::{LoopNest, Stretch};

/// A loop with more points than this is assumed to have no effect, to limit memory.
const MOST_POINTS: u64 = 1 << 20;

/// A task that has run for a while without ending is expected to take that much longer, as a factor.
const LONGER: f64 = 1.1;

#[derive(Clone, Debug)]
pub(crate) struct CostModel {
    nest: LoopNest,
    all: Mean,
    /// Per loop, the mean at each point; empty for a loop without effect.
    points: Vec<Vec<Mean>>,
    /// Per loop, the mean over each set of alternatives; empty where that is the overall mean.
    sets: Vec<MeansOfSets>,
    /// How long tasks have run without ending, in seconds, and the mean of that.
    survived: BTreeMap<u64, f64>,
    unended: Mean,
}

/// Means over sets of points.
#[derive(Clone, Debug, Default)]
struct MeansOfSets {
    /// By point.
    set: Vec<u32>,
    /// By set.
    means: Vec<Mean>,
}

impl MeansOfSets {
    fn of(set: Vec<u32>) -> MeansOfSets {
        let count = set.iter().max().map_or(0, |last| *last as usize + 1);
        MeansOfSets { set, means: vec![Mean::default(); count] }
    }

    fn of_point(&self, point: u64) -> Option<Mean> {
        self.set.get(point as usize).map(|set| self.means[*set as usize])
    }

    fn merge(&mut self, point: u64, part: Mean) {
        if let Some(set) = self.set.get(point as usize) {
            self.means[*set as usize].merge(part);
        }
    }
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

    fn merge(&mut self, other: Mean) {
        self.sum += other.sum;
        self.count += other.count;
    }

    fn get(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The mean without one of its observations.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    fn without(self, seconds: f64) -> Option<f64> {
        Mean { sum: self.sum - seconds, count: self.count.checked_sub(1)? }.get()
    }
}

impl CostModel {
    /// A model without observations.
    pub(crate) fn new(nest: &LoopNest) -> CostModel {
        let has_effect = |level: usize| nest.loops()[level].points.len() <= MOST_POINTS;
        let points = (0..nest.depth()).map(|level| match has_effect(level) {
            true => vec![Mean::default(); nest.loops()[level].points.len() as usize],
            false => Vec::new(),
        });
        let sets = (0..nest.depth()).map(|level| match has_effect(level) {
            true => MeansOfSets::of(nest.alternatives(level)),
            false => MeansOfSets::default(),
        });
        CostModel {
            nest: nest.clone(),
            all: Mean::default(),
            points: points.collect(),
            sets: sets.collect(),
            survived: BTreeMap::new(),
            unended: Mean::default(),
        }
    }

    /// Records that a task took this many seconds.
    pub(crate) fn observe(&mut self, task: u64, seconds: f64) {
        self.observe_all(task..task + 1, std::iter::once(seconds));
    }

    /// The same for consecutive tasks, a group of the innermost loop at a time.
    #[inline]
    pub(crate) fn observe_all(
        &mut self,
        tasks: Range<u64>,
        mut seconds: impl Iterator<Item = f64>,
    ) {
        if !self.survived.is_empty() {
            tasks.clone().for_each(|task| self.forget_survived(task));
        }
        let mut task = tasks.start;
        while task < tasks.end {
            let Stretch { group, point, count, .. } = self.nest.stretch(self.nest.task(task));
            let count = (tasks.end - task).min(count);
            let points = self.points[group.level].get_mut(point as usize..).unwrap_or_default();
            let mut part = Mean { sum: 0.0, count };
            let mut points = points.iter_mut();
            for seconds in seconds.by_ref().take(count as usize) {
                part.sum += seconds;
                if let Some(mean) = points.next() {
                    mean.add(seconds);
                }
            }
            self.all.merge(part);
            self.sets[group.level].merge(point, part);
            let mut key = group;
            while key.level > 0 {
                let Stretch { group: outer, point, .. } = self.nest.stretch(key);
                if let Some(mean) = self.points[outer.level].get_mut(point as usize) {
                    mean.merge(part);
                }
                self.sets[outer.level].merge(point, part);
                key = outer;
            }
            task += count;
        }
    }

    /// Expected duration of a task in seconds; `None` if nothing is known of any.
    pub(crate) fn expect(&self, task: u64) -> Option<f64> {
        let expected = self.all.get().map(|all| {
            let effect = |(mean, of): (Mean, Option<Mean>)| {
                let of = of.map_or(Some(all), Mean::get);
                mean.get().zip(of).map_or(0.0, |(mean, of)| mean - of)
            };
            (all + self.means(task).map(effect).sum::<f64>()).max(0.0)
        });
        if self.survived.is_empty() {
            return expected;
        }
        let least = self.survived.get(&task).map(|seconds| seconds * LONGER);
        match (expected, least) {
            (Some(expected), Some(least)) => Some(expected.max(least)),
            (expected, least) => expected.or(least).or_else(|| self.mean()),
        }
    }

    /// Records that a task has run for this long without ending.
    pub(crate) fn know_survived(&mut self, task: u64, seconds: f64) {
        let longest = self.survived.get(&task).copied().unwrap_or(0.0).max(seconds);
        self.forget_survived(task);
        self.survived.insert(task, longest);
        self.unended.add(longest);
    }

    fn forget_survived(&mut self, task: u64) {
        if let Some(seconds) = self.survived.remove(&task) {
            self.unended.sum -= seconds;
            self.unended.count -= 1;
        }
    }

    /// Tasks that have run for a while without ending.
    pub(crate) fn unended(&self) -> impl Iterator<Item = u64> + '_ {
        self.survived.keys().copied()
    }

    /// The mean at each coordinate of a task, innermost first, and the mean over the alternatives to it
    /// if that is not the overall mean.
    fn means(&self, task: u64) -> impl Iterator<Item = (Mean, Option<Mean>)> + '_ {
        let mut key = self.nest.task(task);
        self.points.iter().zip(&self.sets).rev().filter_map(move |(points, sets)| {
            let Stretch { group: outer, point, .. } = self.nest.stretch(key);
            key = outer;
            Some((points.get(point as usize).copied()?, sets.of_point(point)))
        })
    }

    /// Leave-one-out expectation for an observed task. Its difference from the measured duration estimates
    /// the model's error.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn expect_unseen(&self, task: u64, seconds: f64) -> Option<f64> {
        let all = self.all.without(seconds)?;
        let effect = |(mean, of): (Mean, Option<Mean>)| {
            let of = of.map_or(Some(all), |of| of.without(seconds));
            mean.without(seconds).zip(of).map_or(0.0, |(mean, of)| mean - of)
        };
        Some((all + self.means(task).map(effect).sum::<f64>()).max(0.0))
    }

    /// Assumes that a loop has no effect.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn without_effect(mut self, level: usize) -> CostModel {
        self.points[level] = Vec::new();
        self.sets[level] = MeansOfSets::default();
        self
    }

    /// A model with the same effects and no observations.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn forgotten(&self) -> CostModel {
        let points = self.points.iter().map(|points| vec![Mean::default(); points.len()]);
        let set = |sets: &MeansOfSets| MeansOfSets::of(sets.set.clone());
        let sets = self.sets.iter().map(set).collect();
        CostModel {
            nest: self.nest.clone(),
            all: Mean::default(),
            points: points.collect(),
            sets,
            survived: BTreeMap::new(),
            unended: Mean::default(),
        }
    }

    /// How many points of a loop were observed; `None` for a loop without effect.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn seen(&self, level: usize) -> Option<u64> {
        let points = Some(&self.points[level]).filter(|points| !points.is_empty())?;
        Some(points.iter().filter(|mean| mean.count > 0).count() as u64)
    }

    /// Mean duration of the observed tasks in seconds. If none has ended, what they have survived so far.
    pub(crate) fn mean(&self) -> Option<f64> {
        self.all.get().or_else(|| self.unended.get().map(|seconds| seconds * LONGER))
    }

    /// Number of observed tasks.
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

    #[test]
    fn a_loop_that_does_not_apply_costs_nothing() {
        // Two data sets; a cheap model with three alphas, a dear one with two depths; two folds.
        let nest = crate::model::by_hand::families();
        let takes = |task: u64| {
            let points = nest.indices(nest.task(task));
            let [set, model, alpha, depth, fold] = points[..] else { panic!("{points:?}") };
            let family = if model == 0 { 1.0 + alpha as f64 } else { 20.0 + 7.0 * depth as f64 };
            10.0 * set as f64 + family + 0.5 * fold as f64
        };
        let mut costs = CostModel::new(&nest);
        costs.observe_all(0..nest.tasks(), (0..nest.tasks()).map(takes));
        for task in 0..nest.tasks() {
            let expected = costs.expect(task).unwrap();
            assert!((expected - takes(task)).abs() < 1e-9, "task {task}: {expected}");
        }
    }

    #[cfg(all(feature = "cli", feature = "jobs"))]
    #[test]
    fn what_was_observed_can_be_left_out() {
        let nest = LoopNest::sized(&[2, 3], 1);
        let mut costs = CostModel::new(&nest);
        costs.observe(0, 1.0);
        assert_eq!(costs.expect_unseen(0, 1.0), None, "no other observation");
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
    fn what_a_task_has_survived_is_the_least_that_it_takes() {
        let nest = LoopNest::sized(&[10], 0);
        let mut costs = CostModel::new(&nest);
        costs.know_survived(3, 50.0);
        costs.know_survived(3, 20.0);
        assert!(costs.expect(3).unwrap() > 50.0);
        assert_eq!(costs.expect(4), costs.expect(3), "no task has ended");
        costs.observe(0, 2.0);
        assert_eq!(costs.expect(4), Some(2.0));
        assert!(costs.expect(3).unwrap() > 50.0);
        assert_eq!(costs.unended().collect::<Vec<_>>(), [3]);
        costs.observe(3, 60.0);
        assert_eq!(costs.unended().count(), 0);
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
