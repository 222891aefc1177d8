//! The durations of a job's tasks: as recorded in a results folder, and otherwise as expected by the additive
//! model of master/costs.rs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use crate::cli::plan::decided::{DecidedGroups, GroupGatherer};
#[cfg(feature = "mpi")]
use crate::cli::plan::slurm_request::RemainingWork;
use crate::executor::kept_results::kept_results;
use crate::job::{FileDigests, Identity, Job, PythonModules, content_digests};
use crate::master::cost_model::CostModel;
use crate::model::{LoopNest, stored_outside};
use crate::store::{Layout, ReusableRun, RunsOutlook, StoreReader};
use crate::util::error::Result;

/// Maximum number of durations kept in memory; more are thinned evenly.
const MOST_KEPT: usize = 1 << 20;

/// Number of durations used to judge whether a loop has an effect.
const JUDGED: usize = 20_000;

/// A loop has an effect only if it reduces the squared error below this fraction: chance alone reduces it a
/// little.
const GAIN: f64 = 0.95;

/// Number of remaining tasks, evenly spaced, over which the mean is taken.
#[cfg(feature = "mpi")]
const MOST_SUMMED: u64 = 100_000;

/// The known durations of a job's tasks, and the tasks that are already done.
#[derive(Clone, Debug)]
pub(crate) struct RecordedDurations {
    nest: LoopNest,
    costs: CostModel,
    /// Tasks and their durations, in grid order. (seconds)
    kept: Vec<(u64, f64)>,
    /// One in this many recorded durations is kept.
    every: usize,
    /// Number of tasks with a recorded duration.
    recorded: u64,
    longest: f64,
    /// Ranges of successful tasks, and of those that were skipped, in grid order, each with the number of other tasks
    /// before it.
    good: Vec<(Range<u64>, u64)>,
    /// How many of these tasks were skipped. Some may have a run all the same, which counts nowhere.
    skipped: u64,
    /// Durations of failed tasks, which would be retried.
    failed: BTreeMap<u64, f64>,
    /// What a start would do with the runs that are there.
    outlook: RunsOutlook,
    /// Whether a start would ignore all runs.
    afresh: bool,
    /// What the runs decide, if they were read and points are stopped.
    decided: Option<DecidedGroups>,
}

impl RecordedDurations {
    /// Without any recorded durations.
    pub(crate) fn unknown(job: &Job) -> RecordedDurations {
        RecordedDurations {
            costs: CostModel::new(&job.nest),
            nest: job.nest.clone(),
            kept: Vec::new(),
            every: 1,
            recorded: 0,
            longest: 0.0,
            good: Vec::new(),
            skipped: 0,
            failed: BTreeMap::new(),
            outlook: RunsOutlook::default(),
            afresh: false,
            decided: None,
        }
    }

    /// The durations in a results folder, which is neither locked nor written; None if it does not exist.
    pub(crate) fn of(
        job: &Job,
        modules: Option<&PythonModules>,
        out: &Path,
    ) -> Result<RecordedDurations> {
        RecordedDurations::of_each(job, modules, out, |_| {})
    }

    /// The same, and calls `each` with every run that is there, in grid order.
    pub(crate) fn of_each(
        job: &Job,
        modules: Option<&PythonModules>,
        out: &Path,
        mut each: impl FnMut(&ReusableRun),
    ) -> Result<RecordedDurations> {
        let mut durations = RecordedDurations::unknown(job);
        if !out.exists() {
            return Ok(durations);
        }
        let reader = StoreReader::into(out)?;
        let mut files = FileDigests::new(reader.known_files());
        let identity = Identity::of(job, "", modules, &mut files, Some(&reader.identity()?))?;
        let layout = Layout::of(job, &content_digests(job, &mut files)?);
        let kept = kept_results(job);
        let mut groups = GroupGatherer::of(job);
        let (range, mut outside) = (job.run_range(), None);
        let mut found = reader.found(layout, identity, kept.as_deref(), |found| {
            each(&found);
            if let (Some(range), None, Some(score)) = (range, &outside, found.score) {
                let what = range.outside_score(score);
                outside =
                    what.map(|what| stored_outside(&job.nest, found.task, &what, range.range));
            }
            groups.iter_mut().for_each(|groups| groups.add(&found));
            durations.add(found);
        })?;
        // The scores of another field, or from another part of what runs gave, say nothing.
        let has_scores = !found.is_rescored && found.read_again == 0;
        if has_scores && found.refused.is_none() {
            found.refused = outside;
        }
        durations.decided = groups.map(|groups| groups.end(has_scores, found.refused.is_some()));
        durations.skip(std::mem::take(&mut found.skipped));
        durations.afresh = found.refused.is_some();
        durations.outlook = found;
        durations.fit_model();
        Ok(durations)
    }

    /// From runs in grid order.
    #[cfg(test)]
    pub(crate) fn found(
        job: &Job,
        runs: impl IntoIterator<Item = ReusableRun>,
    ) -> RecordedDurations {
        let mut durations = RecordedDurations::unknown(job);
        runs.into_iter().for_each(|found| durations.add(found));
        durations.fit_model();
        durations
    }

    /// Adds a run. Runs must be added in grid order.
    fn add(&mut self, ReusableRun { task, seconds, failed, .. }: ReusableRun) {
        if failed {
            self.failed.insert(task, seconds);
            return;
        }
        self.leave_out(task..task + 1);
        self.record(task, seconds);
    }

    /// Leaves out tasks that need not be done, unless a failed run that is tried again may ask for them.
    fn skip(&mut self, skipped: Vec<Range<u64>>) {
        self.failed.retain(|task, _| {
            let after = skipped.partition_point(|range| range.end <= *task);
            !skipped.get(after).is_some_and(|range| range.contains(task))
        });
        if skipped.is_empty() || !self.failed.is_empty() {
            return;
        }
        self.skipped = skipped.iter().map(|range| range.end - range.start).sum();
        let good = std::mem::take(&mut self.good).into_iter().map(|(range, _)| range);
        let mut all: Vec<Range<u64>> = good.chain(skipped).collect();
        all.sort_by_key(|range| range.start);
        all.into_iter().for_each(|range| self.leave_out(range));
    }

    /// Adds tasks that are not to be done. Ranges must be added in grid order.
    fn leave_out(&mut self, range: Range<u64>) {
        match self.good.last_mut() {
            Some((last, _)) if range.start <= last.end => last.end = last.end.max(range.end),
            last => {
                let (end, before) = last.map_or((0, 0), |(last, before)| (last.end, *before));
                let before = before + range.start - end;
                self.good.push((range, before));
            }
        }
    }

    fn record(&mut self, task: u64, seconds: f64) {
        self.costs.observe(task, seconds);
        if self.recorded.is_multiple_of(self.every as u64) {
            self.kept.push((task, seconds));
        }
        self.recorded += 1;
        self.longest = self.longest.max(seconds);
        if self.kept.len() == MOST_KEPT {
            let mut place = 0;
            self.kept.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.every *= 2;
        }
    }

    /// Fits the model, once all runs are added.
    fn fit_model(&mut self) {
        if self.recorded == 0 {
            // Better than nothing: use the durations of failed runs.
            for (task, seconds) in self.failed.clone() {
                self.record(task, seconds);
            }
        }
        let judged: Vec<_> =
            self.kept.iter().step_by(self.kept.len().div_ceil(JUDGED).max(1)).copied().collect();
        self.costs = fitted(self.costs.clone(), self.nest.depth(), &judged);
    }

    /// The expected duration of a task in seconds: the recorded one if there is one. None if no duration is
    /// known.
    pub(crate) fn expect(&self, task: u64) -> Option<f64> {
        self.seconds(task).or_else(|| self.expect_by(&self.costs, task))
    }

    /// The expected duration of an unrecorded task by another fit of the model.
    pub(crate) fn expect_by(&self, costs: &CostModel, task: u64) -> Option<f64> {
        let expected = costs.expect(task)?;
        // A failed run's duration is a lower bound.
        Some(self.failed.get(&task).map_or(expected, |seconds| seconds.max(expected)))
    }

    /// The recorded duration of a task, if it succeeded and the duration was kept.
    pub(crate) fn seconds(&self, task: u64) -> Option<f64> {
        let at = self.kept.binary_search_by_key(&task, |(task, _)| *task).ok()?;
        self.good_at(task).then_some(self.kept[at].1)
    }

    fn good_at(&self, task: u64) -> bool {
        let at = self.good.partition_point(|(good, _)| good.end <= task);
        self.good.get(at).is_some_and(|(good, _)| good.contains(&task))
    }

    /// Whether a start would reuse a task's run, or skip the task.
    pub(crate) fn is_done(&self, task: u64) -> bool {
        !self.afresh && self.good_at(task)
    }

    /// The number of runs that a start would reuse.
    pub(crate) fn done(&self) -> u64 {
        match self.good.last() {
            Some((last, before)) if !self.afresh => last.end - before - self.skipped,
            _ => 0,
        }
    }

    /// The number of tasks that the last start has skipped.
    pub(crate) fn skipped(&self) -> u64 {
        if self.afresh { 0 } else { self.skipped }
    }

    /// The number of tasks left to do.
    pub(crate) fn left(&self) -> u64 {
        self.nest.tasks() - self.done() - self.skipped()
    }

    /// The n-th task left to do, in grid order.
    pub(crate) fn nth_left(&self, n: u64) -> u64 {
        let at = match self.afresh {
            true => 0,
            false => self.good.partition_point(|(_, before)| *before <= n),
        };
        n + at.checked_sub(1).map_or(0, |at| self.good[at].0.end - self.good[at].1)
    }

    /// What the runs decide, where points are stopped.
    pub(crate) fn decided(&self, job: &Job) -> Option<DecidedGroups> {
        let without_runs = || Some(GroupGatherer::of(job)?.end(false, false));
        self.decided.clone().or_else(without_runs)
    }

    /// The number of failed runs that would be retried.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.len() as u64
    }

    /// Why a start would refuse the folder.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.outlook.refused.as_deref()
    }

    /// The number of results that a start would read again from kept files.
    pub(crate) fn read_again(&self) -> u64 {
        self.outlook.read_again
    }

    /// The number of recorded durations.
    pub(crate) fn recorded(&self) -> u64 {
        self.recorded
    }

    /// The recorded durations in grid order, thinned if there are very many.
    pub(crate) fn kept(&self) -> &[(u64, f64)] {
        &self.kept
    }

    /// The longest recorded duration among the tasks left to do. (seconds)
    pub(crate) fn longest_left(&self) -> f64 {
        let recorded = if self.afresh { self.longest } else { 0.0 };
        self.failed.values().copied().fold(recorded, f64::max)
    }

    /// The model, fitted to all recorded durations.
    pub(crate) fn costs(&self) -> &CostModel {
        &self.costs
    }

    /// The same without reusable runs: only the durations are known.
    pub(crate) fn afresh(mut self) -> RecordedDurations {
        self.afresh = true;
        self
    }

    /// The remaining work for a Slurm request; None if no duration is known.
    #[cfg(feature = "mpi")]
    pub(crate) fn load(&self) -> Option<RemainingWork> {
        let tasks = self.left();
        let (summed, mut sum) = (tasks.clamp(1, MOST_SUMMED), 0.0);
        for i in 0..summed.min(tasks) {
            let nth = (u128::from(i) * u128::from(tasks) / u128::from(summed)) as u64;
            sum += self.expect(self.nth_left(nth))?;
        }
        let failed = self.failed.values().copied().fold(0.0, f64::max);
        let (mean, longest) = (self.costs.mean()?, self.longest.max(failed));
        Some(RemainingWork {
            tasks,
            mean: if tasks > 0 { sum / summed as f64 } else { mean },
            longest,
        })
    }
}

/// The model without the effects of loops that do not improve the prediction of unseen tasks.
fn fitted(costs: CostModel, depth: usize, judged: &[(u64, f64)]) -> CostModel {
    let off = |costs: &CostModel| -> f64 {
        let unseen = |(task, seconds): &(u64, f64)| {
            costs
                .expect_unseen(*task, *seconds)
                .map_or(0.0, |expected| (expected - seconds).powi(2))
        };
        judged.iter().map(unseen).sum()
    };
    let (mut best, mut least) = (costs.clone(), off(&costs));
    loop {
        let levels = (0..depth).filter(|level| best.seen(*level).is_some());
        let without = levels.map(|level| best.clone().without_effect(level));
        let scored = without.map(|costs| (off(&costs), costs));
        match scored.min_by(|(a, _), (b, _)| a.total_cmp(b)) {
            Some((off, costs)) if off * GAIN <= least => (best, least) = (costs, off),
            _ => return best,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plan::prediction_tests::job;

    /// A job of two loops with these recorded runs.
    fn durations(found: &[(u64, f64, bool)]) -> RecordedDurations {
        let found = found.iter().map(|(task, seconds, failed)| ReusableRun {
            task: *task,
            seconds: *seconds,
            failed: *failed,
            score: None,
        });
        RecordedDurations::found(&job(&[3, 4]), found)
    }

    #[test]
    fn what_is_done_is_not_left() {
        let found = [0, 1, 4, 5, 6, 11].map(|task| (task, 1.0, false));
        let known = durations(&[&found[..3], &[(5, 1.0, true)], &found[4..]].concat());
        assert_eq!((known.done(), known.left(), known.failed()), (5, 7, 1));
        let left: Vec<u64> = (0..7).map(|n| known.nth_left(n)).collect();
        assert_eq!(left, [2, 3, 5, 7, 8, 9, 10]);
        assert!(left.iter().all(|task| !known.is_done(*task)));
        let anew = known.afresh();
        assert_eq!((anew.done(), anew.left(), anew.nth_left(4)), (0, 12, 4));
        assert_eq!(anew.seconds(4), Some(1.0), "its duration is still used");
    }

    #[test]
    fn what_was_skipped_is_not_left_either() {
        let found = [0, 1, 4, 9].map(|task| (task, 1.0, false));
        let mut known = durations(&found);
        known.skip(vec![2..4, 6..8, 9..11]);
        assert_eq!((known.done(), known.skipped(), known.left()), (3, 6, 3));
        let left: Vec<u64> = (0..3).map(|n| known.nth_left(n)).collect();
        assert_eq!(left, [5, 8, 11]);
        assert_eq!((known.seconds(2), known.seconds(9)), (None, Some(1.0)));
        let anew = known.afresh();
        assert_eq!((anew.done(), anew.skipped(), anew.left()), (0, 0, 12));
        // A run that is tried again may turn a decision.
        let mut failed = durations(&[&found[..], &[(11, 1.0, true)]].concat());
        failed.skip(vec![2..4, 6..7]);
        assert_eq!((failed.skipped(), failed.left()), (0, 8));
    }

    #[test]
    fn what_was_not_recorded_is_expected_by_its_coordinates() {
        let takes = |task: u64| 1.0 + 10.0 * (task / 4) as f64;
        let known = durations(&[0, 1, 4, 6, 8, 11].map(|task| (task, takes(task), false)));
        for task in 0..12 {
            assert!((known.expect(task).unwrap() - takes(task)).abs() < 1e-9, "task {task}");
        }
        assert_eq!((known.costs().seen(0), known.costs().seen(1)), (Some(3), None), "no effect");
        assert_eq!(durations(&[]).expect(3), None);
    }

    #[test]
    fn what_was_not_recorded_is_expected_by_its_family() {
        let mut job = job(&[1]);
        job.nest = crate::model::by_hand::families();
        let takes = |task: u64| {
            let points = job.nest.indices(job.nest.task(task));
            if points[1] == 0 { 1.0 } else { 40.0 }
        };
        // The first fold of each: the other takes as long.
        let run =
            |task: u64| ReusableRun { task, seconds: takes(task), failed: false, score: None };
        let known = RecordedDurations::found(&job, (0..20).step_by(2).map(run));
        for task in 0..20 {
            let expected = known.expect(task).unwrap();
            assert!((expected - takes(task)).abs() < 1e-9, "task {task}: {expected}");
        }
    }

    #[test]
    fn what_failed_takes_as_long_at_least() {
        let known = durations(&[(0, 1.0, false), (1, 1.0, false), (2, 9.0, true), (3, 0.1, true)]);
        assert_eq!((known.expect(2), known.expect(3)), (Some(9.0), Some(1.0)));
        let all = durations(&[(2, 9.0, true), (3, 1.0, true)]);
        assert_eq!((all.expect(0), all.left()), (Some(5.0), 12));
    }

    #[cfg(feature = "mpi")]
    #[test]
    fn a_load_is_of_what_is_left() {
        let known = durations(&[(0, 2.0, false), (1, 4.0, false)]);
        assert_eq!(known.load(), Some(RemainingWork { tasks: 10, mean: 3.0, longest: 4.0 }));
        assert_eq!(durations(&[]).load(), None);
    }
}
