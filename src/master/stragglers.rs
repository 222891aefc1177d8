//! Straggler mitigation: once the queue is empty, a task that takes far longer than others is assigned
//! to a second worker, and the first result counts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crate::master::workers::FirstTask;

/// A task is overdue when it has run this many times as long as the mean of those that are done.
const OVERDUE: f64 = 2.0;

/// The least running time of an overdue task.
const SHORTEST: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Stragglers {
    enabled: bool,
    seconds: f64,
    runs: u64,
    /// Tasks that were assigned to a second worker.
    doubled: BTreeMap<u64, Doubled>,
}

#[derive(Debug)]
struct Doubled {
    out: u32,
    settled: bool,
}

/// Whether a result counts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts; with `other`, another worker still runs the task.
    Counts { other: bool },
    /// It does not count: the other attempt came first, or may still succeed.
    Nothing,
}

impl Stragglers {
    pub(super) fn new(enabled: bool) -> Stragglers {
        Stragglers { enabled, seconds: 0.0, runs: 0, doubled: BTreeMap::new() }
    }

    /// Records the total duration of some runs.
    pub(super) fn took(&mut self, runs: u64, seconds: f64) {
        self.seconds += seconds;
        self.runs += runs;
    }

    /// The first of these tasks that was duplicated.
    pub(super) fn first_doubled(&self, tasks: Range<u64>) -> Option<u64> {
        // Most jobs have none, and this is asked for every message.
        if self.doubled.is_empty() { None } else { self.first_of_doubled(tasks) }
    }

    #[inline(never)]
    fn first_of_doubled(&self, tasks: Range<u64>) -> Option<u64> {
        self.doubled.range(tasks).next().map(|(task, _)| *task)
    }

    /// The task that is longest overdue among the running ones (task, attempt, start time). It is marked as
    /// duplicated.
    pub(super) fn overdue(
        &mut self,
        now: Duration,
        out: impl Iterator<Item = FirstTask>,
    ) -> Option<(u64, u32)> {
        if !self.enabled || self.runs == 0 {
            return None;
        }
        let mean = Duration::from_secs_f64(self.seconds / self.runs as f64);
        let due = mean.mul_f64(OVERDUE).max(SHORTEST);
        let is_overdue = |out: &FirstTask| {
            now.saturating_sub(out.since) > due && !self.doubled.contains_key(&out.task)
        };
        let longest = out.filter(is_overdue).min_by_key(|out| (out.since, out.task))?;
        let FirstTask { task, attempt, .. } = longest;
        self.doubled.insert(task, Doubled { out: 2, settled: false });
        Some((task, attempt))
    }

    /// How many held tasks are also held by another worker, or already done.
    #[cfg(test)]
    pub(super) fn held_twice(&self) -> u64 {
        self.doubled
            .values()
            .map(|doubled| u64::from(doubled.out - u32::from(!doubled.settled)))
            .sum()
    }

    /// Judges a result of a task; `None` means that its worker was lost or has not started it.
    pub(super) fn returned(&mut self, task: u64, succeeded: Option<bool>) -> Verdict {
        let Some(doubled) = self.doubled.get_mut(&task) else {
            return Verdict::Counts { other: false };
        };
        doubled.out -= 1;
        let other = doubled.out > 0;
        let worth = match (doubled.settled, succeeded) {
            (true, _) => Verdict::Nothing,
            (false, Some(true)) => {
                doubled.settled = true;
                Verdict::Counts { other }
            }
            (false, _) if other => Verdict::Nothing,
            (false, _) => Verdict::Counts { other: false },
        };
        if !other {
            self.doubled.remove(&task);
        }
        worth
    }
}
