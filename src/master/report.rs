//! Handles workers' reports: which results count, and what durations teach the cost model.

use std::time::Duration;

use crate::master::stragglers::Verdict;
use crate::master::{Action, Master};
use crate::model::{Assignment, Report, RunBatch};

/// Durations below this are recorded only as the batch's mean. (seconds)
const SHORT: f64 = 20e-6;

impl Master {
    /// Accepts the runs of tasks that the worker holds in this attempt, and refuses the rest.
    pub(super) fn report<'a>(
        &mut self,
        rank: usize,
        report: Report<'a>,
        now: Duration,
        actions: &mut Vec<Action<'a>>,
    ) {
        let Report { thread, mut runs, unbegun } = report;
        if !runs.is_valid() {
            self.tally.refused += 1;
            runs = RunBatch::default();
        }
        while runs.count() > 0 {
            match self.workers.take(rank, (runs.first, runs.count()), runs.attempt, now) {
                0 => {
                    self.tally.refused += 1;
                    drop(runs.take_first(1));
                }
                all if all == runs.count() => {
                    self.judge(rank, thread, runs, actions);
                    break;
                }
                held => self.judge(rank, thread, runs.take_first(held), actions),
            }
        }
        if let Some(Assignment { first, count, attempt }) = unbegun {
            for task in first..first + count {
                let held = self.workers.take(rank, (task, 1), attempt, now) == 1;
                let wanted = held && self.stragglers.returned(task, None) != Verdict::Nothing;
                if wanted && !self.stopping {
                    self.queue.put_back(task..task + 1, attempt);
                }
            }
        }
    }

    /// Handles runs of tasks that the worker holds. Successful runs of tasks that were not duplicated are
    /// handled together, each other run alone.
    fn judge<'a>(
        &mut self,
        rank: usize,
        thread: u32,
        mut runs: RunBatch<'a>,
        actions: &mut Vec<Action<'a>>,
    ) {
        while runs.count() > 0 {
            let doubled = self.stragglers.first_doubled(runs.tasks());
            let failed = runs.first_failure();
            let Some(special) = doubled.into_iter().chain(failed).min() else {
                self.learn(&runs);
                self.complete(rank, thread, runs, actions);
                return;
            };
            if special > runs.first {
                let plain = runs.take_first(special - runs.first);
                self.learn(&plain);
                self.complete(rank, thread, plain, actions);
            }
            let run = runs.take_first(1);
            self.judge_one(rank, thread, run, failed == Some(special), actions);
        }
    }

    /// Handles a run that failed, or whose task was duplicated.
    fn judge_one<'a>(
        &mut self,
        rank: usize,
        thread: u32,
        run: RunBatch<'a>,
        failed: bool,
        actions: &mut Vec<Action<'a>>,
    ) {
        let (task, attempt) = (run.first, run.attempt);
        match self.stragglers.returned(task, Some(!failed)) {
            Verdict::Counts { other: true } => {
                let others = self.workers.holders(task);
                actions.extend(others.map(|rank| Action::Cancel { rank, task: Some(task) }));
            }
            Verdict::Counts { other: false } => {}
            Verdict::Nothing => {
                self.tally.dropped += 1;
                return;
            }
        }
        self.learn(&run);
        if self.stopping && failed {
            return; // it may have failed because it was cancelled: leave it to the next start
        }
        if failed && self.queue.retry(task, attempt, self.policy.retries) {
            self.tally.retried += 1;
            actions.push(Action::Record { rank, thread, runs: run });
            return;
        }
        self.complete(rank, thread, run, actions);
        self.failures += u64::from(failed);
        if self.has_given_up() {
            self.stop(actions);
        }
    }

    /// Learns from durations: per task, or from the batch's mean if tasks are short.
    fn learn(&mut self, runs: &RunBatch) {
        let (count, seconds) = (runs.count(), runs.seconds().sum::<f64>());
        self.crunched += seconds;
        self.stragglers.took(count, seconds);
        self.batching.took(count, seconds);
        if seconds > SHORT * count as f64 {
            for (task, seconds) in runs.tasks().zip(runs.seconds()) {
                self.queue.costs.observe(task, seconds);
            }
        } else {
            self.queue.costs.observe(runs.first, seconds / count as f64);
        }
    }

    /// Records final runs, successful or not, and puts them into their groups.
    fn complete<'a>(
        &mut self,
        rank: usize,
        thread: u32,
        runs: RunBatch<'a>,
        actions: &mut Vec<Action<'a>>,
    ) {
        self.tally.done += runs.count();
        self.tally.failed += runs.others().filter(|other| other.result.is_err()).count() as u64;
        self.queue.settled(runs.first, runs.count());
        self.groups.put_runs(&runs, &mut self.closed);
        actions.push(Action::Record { rank, thread, runs });
        self.report_closed(actions);
    }
}
