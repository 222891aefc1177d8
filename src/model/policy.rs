//! How a job is run, whether a job file or a program describes it: in which order, what may fail.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a job is run: what a job file and a study have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Policy {
    /// What every task's own seed derives from.
    pub(crate) seed: u64,
    /// How many of a group's points must have a result.
    pub(crate) require: Completeness,
    /// How often a failed run is tried once more.
    pub(crate) retries: u32,
    /// How many runs may fail for good before the job stops; any number if it is not said.
    pub(crate) most_failures: Option<u64>,
    /// Whether a task that takes far longer than others is given out a second time, when nothing
    /// else is left to give.
    pub(crate) speculate: bool,
    /// Whether crunch in Rust runs in a process of its own.
    pub(crate) isolate: bool,
    /// How long one call may take, of what runs in a process of its own.
    pub(crate) timeout: Option<Duration>,
    /// In which order tasks are given out.
    pub(crate) order: Order,
    /// Whether workers, not rank 0, call the functions that reduce a group outside gridmpi.
    pub(crate) reduce_on_workers: bool,
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
    /// Whether it is a fraction over 0 and up to 1, if it is one.
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
            // Less a hair, so that 0.7 of 10 is 7 whatever binary fractions make of it.
            Completeness::Fraction(fraction) => counted as f64 >= fraction * size as f64 - 1e-9,
        }
    }
}

/// How long a result may wait for the rest of its batch, and a batch for a task.
pub(crate) const LONG: Duration = Duration::from_millis(100);
