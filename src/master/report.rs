//! What workers report: which of it counts, and what is learned from it.

use std::time::Duration;

use crate::master::stragglers::Verdict;
use crate::master::{Action, Master};
use crate::model::batch::{Report, RunBatch};
use crate::model::results::Assignment;

/// Tasks shorter than this are not told apart by how long they take. (seconds)
const SHORT: f64 = 20e-6;

impl Master {
    /// Takes what a worker reports: of its runs, those of tasks that it holds in this attempt.
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
            match self.roster.take(rank, (runs.first, runs.count()), runs.attempt, now) {
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
                let held = self.roster.take(rank, (task, 1), attempt, now) == 1;
                let wanted = held && self.stragglers.returned(task, None) != Verdict::Nothing;
                if wanted && !self.stopping {
                    self.dispatch.put_back(task..task + 1, attempt);
                }
            }
        }
    }

    /// Takes runs that the worker was to make. Those that succeeded and are out nowhere else are taken
    /// together, each of the others by itself.
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

    /// Takes a run that failed, or whose task is out twice.
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
                let others = self.roster.holders(task);
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
            return; // perhaps only cancelled half-way: it is left to do
        }
        if failed && self.dispatch.retry(task, attempt, self.policy.retries) {
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

    /// Learns from durations: of each task, where they are long enough for it to matter.
    fn learn(&mut self, runs: &RunBatch) {
        let (count, seconds) = (runs.count(), runs.seconds().sum::<f64>());
        self.crunched += seconds;
        self.stragglers.took(count, seconds);
        self.pace.took(count, seconds);
        if seconds > SHORT * count as f64 {
            for (task, seconds) in runs.tasks().zip(runs.seconds()) {
                self.dispatch.costs.observe(task, seconds);
            }
        } else {
            self.dispatch.costs.observe(runs.first, seconds / count as f64);
        }
    }

    /// Tasks are done, for good or ill: their runs are kept and enter their groups.
    fn complete<'a>(
        &mut self,
        rank: usize,
        thread: u32,
        runs: RunBatch<'a>,
        actions: &mut Vec<Action<'a>>,
    ) {
        self.tally.done += runs.count();
        self.tally.failed += runs.others().filter(|other| other.result.is_err()).count() as u64;
        self.dispatch.settled(runs.first, runs.count());
        self.dictionary.put_runs(&runs, &mut self.closed);
        actions.push(Action::Record { rank, thread, runs });
        self.report_closed(actions);
    }
}
