//! Handles workers' reports: which results count, and what durations teach the cost model.

use std::iter::once_with;
use std::time::Duration;

use crate::master::stragglers::Verdict;
use crate::master::{Action, Master};
use crate::model::{Assignment, RunBatch, RunError};

/// Durations below this are recorded only as the batch's mean. (seconds)
const SHORT: f64 = 20e-6;

impl Master {
    /// Accepts the runs of tasks that the worker holds in this attempt, and refuses the rest.
    pub(super) fn report<'a>(
        &mut self,
        rank: usize,
        (thread, unbegun): (u32, Option<Assignment>),
        mut runs: RunBatch<'a>,
        now: Duration,
        actions: &mut Vec<Action<'a>>,
    ) {
        if !runs.is_valid() {
            self.tally.refused += 1;
            runs = RunBatch::default();
        }
        while runs.count() > 0 {
            let held = self.workers.take(rank, (runs.first, runs.count()), runs.attempt, now);
            if held == runs.count() {
                self.judge(rank, thread, runs, actions);
                break;
            }
            if held > 0 {
                self.judge_each(rank, thread, runs.take_first(held), actions);
            } else {
                self.tally.refused += 1;
                drop(runs.take_first(1));
            }
        }
        if let Some(unbegun) = unbegun {
            self.put_back_unbegun(rank, unbegun, now);
        }
    }

    /// Requeues tasks that the worker holds in this attempt and has not begun.
    #[inline(never)]
    fn put_back_unbegun(&mut self, rank: usize, unbegun: Assignment, now: Duration) {
        let Assignment { first, count, attempt } = unbegun;
        for task in first..first + count {
            if self.workers.take(rank, (task, 1), attempt, now) == 1 {
                self.put_back(task, attempt);
            }
        }
    }

    /// Requeues a task that was never begun, as the same attempt.
    fn put_back(&mut self, task: u64, attempt: u32) {
        if self.stragglers.returned(task, None) == Verdict::Nothing || self.stopping {
            return;
        }
        match self.health.failed_on(task) {
            Some(rank) => self.queue.suspect(rank, task, attempt),
            None => self.queue.put_back(task..task + 1, attempt),
        }
    }

    /// Handles runs of tasks that the worker holds. Successful runs of tasks that were not duplicated are
    /// handled together, each other run alone.
    #[inline]
    fn judge<'a>(
        &mut self,
        rank: usize,
        thread: u32,
        runs: RunBatch<'a>,
        actions: &mut Vec<Action<'a>>,
    ) {
        match self.first_special(&runs) {
            None => self.accept(rank, thread, runs, actions),
            Some(_) => self.judge_each(rank, thread, runs, actions),
        }
    }

    #[cold]
    fn judge_each<'a>(
        &mut self,
        rank: usize,
        thread: u32,
        mut runs: RunBatch<'a>,
        actions: &mut Vec<Action<'a>>,
    ) {
        while let Some(special) = self.first_special(&runs) {
            if special > runs.first {
                let plain = runs.take_first(special - runs.first);
                self.accept(rank, thread, plain, actions);
            }
            let run = runs.take_first(1);
            let error = run.first_error();
            let failed = error.is_some();
            match error {
                Some(RunError::FileChanged(why)) => {
                    self.tally.dropped += 1;
                    actions.push(Action::FileChanged { rank, why: why.clone() });
                    self.drain();
                }
                Some(RunError::Unfit(why)) => {
                    self.put_back(run.first, run.attempt);
                    self.sicken(rank, why.clone(), actions);
                }
                _ if !self.counts(run.first, failed, actions) => self.tally.dropped += 1,
                Some(_) => self.fail(rank, thread, run, actions),
                None => self.accept(rank, thread, run, actions),
            }
        }
        if runs.count() > 0 {
            self.accept(rank, thread, runs, actions);
        }
    }

    /// The first run that failed, or whose task was duplicated.
    fn first_special(&self, runs: &RunBatch) -> Option<u64> {
        match (self.stragglers.first_doubled(runs.tasks()), runs.first_failure()) {
            (Some(doubled), Some(failed)) => Some(doubled.min(failed)),
            (doubled, failed) => doubled.or(failed),
        }
    }

    /// Handles successful runs that count.
    #[inline(always)]
    fn accept<'a>(
        &mut self,
        rank: usize,
        thread: u32,
        runs: RunBatch<'a>,
        actions: &mut Vec<Action<'a>>,
    ) {
        self.learn(&runs);
        self.note_success(rank, &runs, actions);
        self.record(rank, thread, runs, actions);
    }

    /// Handles a failed run that counts, unless its task is tried again.
    fn fail<'a>(
        &mut self,
        rank: usize,
        thread: u32,
        run: RunBatch<'a>,
        actions: &mut Vec<Action<'a>>,
    ) {
        if self.stopping {
            // It may have failed because it was cancelled: leave it to the next start. How long it took says
            // nothing of how long it takes.
            self.crunched += run.total_seconds();
            return;
        }
        self.learn(&run);
        let (task, attempt) = (run.first, run.attempt);
        let is_suspect = self.is_suspect(rank, &run);
        if is_suspect {
            self.queue.suspect(rank, task, attempt.saturating_add(1));
        }
        if is_suspect || self.queue.retry(rank, task, attempt, self.policy.retries) {
            self.tally.retried += 1;
            actions.push(Action::Record { rank, thread, runs: run });
            return;
        }
        self.tally.failed += 1;
        self.record(rank, thread, run, actions);
        self.failures += 1;
        if self.has_given_up() {
            self.stop(self.last, actions);
        }
    }

    /// Puts runs that are final into their groups, and into the store.
    #[inline(always)]
    fn record<'a>(
        &mut self,
        rank: usize,
        thread: u32,
        runs: RunBatch<'a>,
        actions: &mut Vec<Action<'a>>,
    ) {
        self.tally.done += runs.count();
        self.queue.settled(runs.first, runs.count());
        if self.early.is_some() {
            let steps = self.settle_asked(&runs);
            actions.push(Action::Record { rank, thread, runs });
            return self.carry_out(steps, actions);
        }
        self.groups.put_runs(&runs, &mut self.closed);
        // Built in its place, see README.md.
        actions.extend(once_with(move || Action::Record { rank, thread, runs }));
        if !self.closed.is_empty() {
            self.report_closed(actions);
        }
    }

    /// Whether a run counts, which may be one of two of the same task. The worker that makes the other one
    /// is told if it is of no use any more.
    fn counts(&mut self, task: u64, failed: bool, actions: &mut Vec<Action>) -> bool {
        let verdict = self.stragglers.returned(task, Some(!failed));
        if verdict == (Verdict::Counts { other: true }) {
            let others = self.workers.holders(task);
            actions.extend(others.map(|rank| Action::Cancel { rank, task: Some(task) }));
        }
        verdict != Verdict::Nothing
    }

    /// Learns from durations: per task, or from the batch's mean if tasks are short.
    #[inline(always)]
    fn learn(&mut self, runs: &RunBatch) {
        let (count, seconds) = (runs.count(), runs.total_seconds());
        self.crunched += seconds;
        self.stragglers.took(count, seconds);
        self.batching.took(count, seconds);
        if count > 1 && seconds > SHORT * count as f64 {
            self.queue.costs.observe_all(runs.tasks(), runs.seconds());
        } else {
            self.queue.costs.observe(runs.first, seconds / count as f64);
        }
    }
}
