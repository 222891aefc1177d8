//! Tasks that take far longer than others: when nothing else is left to give, one of them is given
//! out a second time, and the first result counts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// A task is overdue when it has run this many times as long as the mean of those that are done.
const OVERDUE: f64 = 2.0;

/// And for at least this long.
const SHORTEST: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Stragglers {
    enabled: bool,
    seconds: f64,
    runs: u64,
    /// Tasks that are out twice, and how many of the two are still out; 0 once one has won.
    doubled: BTreeMap<u64, Doubled>,
}

#[derive(Debug)]
struct Doubled {
    out: u32,
    settled: bool,
}

/// What an outcome is worth.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts; with `other`, the task is still out with another worker.
    Counts { other: bool },
    /// It does not: another came first, or may still come and succeed.
    Nothing,
}

impl Stragglers {
    pub(super) fn new(enabled: bool) -> Stragglers {
        Stragglers { enabled, seconds: 0.0, runs: 0, doubled: BTreeMap::new() }
    }

    /// So many runs took so long together.
    pub(super) fn took(&mut self, runs: u64, seconds: f64) {
        self.seconds += seconds;
        self.runs += runs;
    }

    /// The first of these tasks that is out twice.
    pub(super) fn first_doubled(&self, tasks: Range<u64>) -> Option<u64> {
        self.doubled.range(tasks).next().map(|(task, _)| *task)
    }

    /// Of the tasks that are out, with their attempt and since when, the one that is longest overdue.
    pub(super) fn overdue(
        &mut self,
        now: Duration,
        out: impl Iterator<Item = (u64, u32, Duration)>,
    ) -> Option<(u64, u32)> {
        if !self.enabled || self.runs == 0 {
            return None;
        }
        let mean = Duration::from_secs_f64(self.seconds / self.runs as f64);
        let due = mean.mul_f64(OVERDUE).max(SHORTEST);
        let (task, attempt, _) = out
            .filter(|(task, _, since)| {
                now.saturating_sub(*since) > due && !self.doubled.contains_key(task)
            })
            .min_by_key(|(task, _, since)| (*since, *task))?;
        self.doubled.insert(task, Doubled { out: 2, settled: false });
        Some((task, attempt))
    }

    /// How many of the tasks that workers hold are held by another one too, or done.
    #[cfg(test)]
    pub(super) fn held_twice(&self) -> u64 {
        self.doubled
            .values()
            .map(|doubled| u64::from(doubled.out - u32::from(!doubled.settled)))
            .sum()
    }

    /// An outcome of a task came in, or (`None`) its worker was lost.
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
