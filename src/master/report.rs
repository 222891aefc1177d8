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
        let Report { thread, mut runs, unbegun, .. } = report;
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
                held => self.judge(rank, thread, runs.take_first(held), actions),
            }
        }
        if let Some(Assignment { first, count, attempt }) = unbegun {
            for task in first..first + count {
                let held = self.workers.take(rank, (task, 1), attempt, now) == 1;
                let wanted = held && self.stragglers.returned(task, None) != Verdict::Nothing;
                if wanted && !self.stopping {
                    match self.health.failed_on(task) {
                        Some(rank) => self.queue.suspect(rank, task, attempt),
                        None => self.queue.put_back(task..task + 1, attempt),
                    }
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
            let special = match (doubled, runs.first_failure()) {
                (Some(doubled), Some(failed)) => Some(doubled.min(failed)),
                (doubled, failed) => doubled.or(failed),
            };
            let plain = special.map_or(runs.count(), |task| task - runs.first);
            let part = runs.take_first(plain.max(1));
            let failed = plain == 0 && part.first_failure().is_some();
            if failed && let Some(why) = part.changed_file() {
                self.tally.dropped += 1;
                actions.push(Action::FileChanged { rank, why: why.to_string() });
                self.drain();
                continue;
            }
            if plain == 0 && !self.counts(part.first, failed, actions) {
                self.tally.dropped += 1;
                continue;
            }
            self.learn(&part);
            if failed && self.stopping {
                continue; // it may have failed because it was cancelled: leave it to the next start
            }
            if !failed {
                self.note_success(rank, &part, actions);
            } else if self.is_suspect(rank, &part) {
                self.queue.suspect(rank, part.first, part.attempt.saturating_add(1));
                self.tally.retried += 1;
                actions.push(Action::Record { rank, thread, runs: part });
                continue;
            }
            let (task, attempt) = (part.first, part.attempt);
            if failed && self.queue.retry(rank, task, attempt, self.policy.retries) {
                self.tally.retried += 1;
                actions.push(Action::Record { rank, thread, runs: part });
                continue;
            }
            self.tally.done += part.count();
            self.tally.failed += u64::from(failed);
            self.queue.settled(part.first, part.count());
            self.groups.put_runs(&part, &mut self.closed);
            actions.push(Action::Record { rank, thread, runs: part });
            self.report_closed(actions);
            self.failures += u64::from(failed);
            if failed && self.has_given_up() {
                self.stop(actions);
            }
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
}
