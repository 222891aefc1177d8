//! The policy of a job, from a job file or a program: order of tasks, retries, limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::needs::Needs;
use crate::model::run_output::KeptLogs;
use crate::model::stop_rule::ScoreRange;

/// How a job is run; common to job files and studies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Policy {
    /// The base of every task's seed.
    pub(crate) seed: u64,
    /// How many of a group's points must have a result.
    pub(crate) require: Completeness,
    /// How often a failed run is retried.
    pub(crate) retries: u32,
    /// How many runs may fail for good before the job stops; unlimited if `None`.
    pub(crate) most_failures: Option<u64>,
    /// Whether a task that takes far longer than others is assigned to a second worker, once the queue is
    /// empty.
    pub(crate) speculate: bool,
    /// Whether the user's Rust crunch runs in a separate process.
    pub(crate) isolate: bool,
    /// Time limit per call of a function that runs in a separate process.
    pub(crate) timeout: Option<Duration>,
    pub(crate) order: Order,
    /// Whether workers, not rank 0, call the user's reduction.
    pub(crate) reduce_on_workers: bool,
    /// What one task needs of its host.
    pub(crate) needs: Needs,
    /// Whose output is kept.
    pub(crate) logs: KeptLogs,
    /// Which scores a run can have; any if `None`.
    pub(crate) score_range: Option<ScoreRange>,
}

/// The order in which tasks are handed out. The results do not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// The order of the nested loops, so that groups are complete early and few are open at a time.
    #[default]
    Grid,
    /// The tasks that are expected to take longest come first, so that none of them is left for the end.
    /// Expected durations come from earlier runs and from the current one.
    LongestFirst,
    /// A random order with this seed. If there are more than 65,536 tasks, ranges of consecutive tasks
    /// are shuffled instead of single tasks.
    Random(u64),
}

/// How many of a group's points must have a result for the group to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Completeness {
    /// Every one.
    #[default]
    All,
    /// At least this fraction of them, over 0 and up to 1.
    Fraction(f64),
}

impl Completeness {
    /// Whether a fraction is over 0 and at most 1.
    pub(crate) fn is_sound(self) -> bool {
        match self {
            Completeness::All => true,
            Completeness::Fraction(fraction) => fraction > 0.0 && fraction <= 1.0,
        }
    }

    /// Whether `counted` of `size` points are enough.
    pub(crate) fn is_met(self, counted: u64, size: u64) -> bool {
        match self {
            Completeness::All => counted == size,
            // The tolerance makes 0.7 of 10 equal 7 despite binary rounding.
            Completeness::Fraction(fraction) => counted as f64 >= fraction * size as f64 - 1e-9,
        }
    }

    /// A short fraction with which `counted` of `size` points are enough, if there are any.
    pub(crate) fn allowing(counted: u64, size: u64) -> Option<f64> {
        let exact = counted as f64 / size as f64;
        let rounded = (2..=12).map(|digits| {
            let tens = 10f64.powi(digits);
            (exact * tens + 1e-9).floor() / tens
        });
        let is_met = |fraction: &f64| Completeness::Fraction(*fraction).is_met(counted, size);
        rounded.into_iter().find(|fraction| *fraction > 0.0 && is_met(fraction))
    }
}

/// How long a result may wait for the rest of its batch. A task that runs longer than this is long.
pub(crate) const LONG: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_fraction_allows_what_is_there() {
        for (counted, size, fraction) in [
            (114, 120, Some(0.95)),
            (2, 3, Some(0.66)),
            (29, 100, Some(0.29)),
            (1, 1000, Some(0.001)),
            (999_999, 1_000_000, Some(0.99)),
            (0, 3, None),
        ] {
            assert_eq!(Completeness::allowing(counted, size), fraction);
        }
    }
}
