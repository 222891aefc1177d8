//! What workers report: which of it counts, and what is learned from it.

use std::ops::Range;
use std::time::Duration;

use crate::master::stragglers::Verdict;
use crate::master::{Action, Master};
use crate::model::results::Run;
use crate::model::results::{Assignment, AttemptResult, Made, Numbers, Report};

/// Tasks shorter than this are not told apart by how long they take. (seconds)
const SHORT: f64 = 20e-6;

impl Master {
    /// Takes what a worker reports.
    pub(super) fn report(
        &mut self,
        rank: usize,
        report: Report,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let Report { thread, made, unbegun } = report;
        match made {
            Made::Numbers(numbers) => self.record_numbers(rank, thread, numbers, now, actions),
            Made::Outcomes(outcomes) => {
                for outcome in outcomes {
                    let AttemptResult { task, attempt, .. } = outcome;
                    if self.roster.take(rank, (task, 1), attempt, now) == 1 {
                        self.record(rank, thread, outcome, actions);
                    } else {
                        self.tally.refused += 1;
                    }
                }
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

    /// Takes numbers that come in one piece: as outcomes one by one where one of them needs care.
    fn record_numbers(
        &mut self,
        rank: usize,
        thread: u32,
        numbers: Numbers,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let (mut first, end) = (numbers.first, numbers.first + numbers.count());
        while first < end {
            let count = self.roster.take(rank, (first, end - first), numbers.attempt, now);
            if count == 0 {
                self.tally.refused += 1;
                first += 1;
                continue;
            }
            let part = if count == numbers.count() { numbers } else { numbers.part(first, count) };
            if self.stragglers.is_single(first..first + count) {
                let seconds = part.each().map(|(_, seconds)| seconds).sum();
                self.took(first..first + count, seconds, || part.each().map(|(_, s)| s));
                self.tally.done += count;
                self.dispatch.settled(first, count);
                actions.push(Action::RecordNumbers { first, count });
                self.dictionary.put_numbers(part, &mut self.closed);
                self.report_closed(actions);
            } else {
                for outcome in part.outcomes() {
                    self.record(rank, thread, outcome, actions);
                }
            }
            first += count;
        }
    }

    /// Learns from durations: of each task, where they are long enough for it to matter.
    fn took<I: Iterator<Item = f64>>(
        &mut self,
        tasks: Range<u64>,
        seconds: f64,
        each: impl FnOnce() -> I,
    ) {
        let count = tasks.end - tasks.start;
        self.crunched += seconds;
        self.stragglers.took(count, seconds);
        self.pace.took(count, seconds);
        if seconds > SHORT * count as f64 {
            for (task, seconds) in tasks.zip(each()) {
                self.dispatch.costs.observe(task, seconds);
            }
        } else {
            self.dispatch.costs.observe(tasks.start, seconds / count as f64);
        }
    }

    fn record(
        &mut self,
        rank: usize,
        thread: u32,
        outcome: AttemptResult,
        actions: &mut Vec<Action>,
    ) {
        match self.stragglers.returned(outcome.task, Some(outcome.result.is_ok())) {
            Verdict::Counts { other: true } => {
                let task = Some(outcome.task);
                let others = self.roster.holders(outcome.task);
                actions.extend(others.map(|rank| Action::Cancel { rank, task }));
            }
            Verdict::Counts { other: false } => {}
            Verdict::Nothing => {
                self.tally.dropped += 1;
                return;
            }
        }
        let seconds = outcome.seconds;
        self.took(outcome.task..outcome.task + 1, seconds, || std::iter::once(seconds));
        if self.stopping && outcome.result.is_err() {
            return; // perhaps only cancelled half-way: it is left to do
        }
        let failed = outcome.result.is_err();
        if failed && self.dispatch.retry(outcome.task, outcome.attempt, self.policy.retries) {
            self.tally.retried += 1;
            actions.push(Action::Record(Box::new(Run { outcome, rank, thread })));
            return;
        }
        self.dispatch.settled(outcome.task, 1);
        self.put(outcome.task, outcome.result.clone());
        actions.push(Action::Record(Box::new(Run { outcome, rank, thread })));
        self.report_closed(actions);
        self.failures += u64::from(failed);
        if self.has_given_up() {
            self.stop(actions);
        }
    }
}
