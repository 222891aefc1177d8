//! Failed tasks that are to be tried again on another worker than the one they failed on.

use std::collections::BTreeMap;

use crate::master::requeued::RequeuedTasks;
use crate::model::Assignment;

/// What a worker may be given at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Tasks that nobody has failed, and retries.
    pub(super) takes_new: bool,
    /// Tasks whose failure may be another worker's own.
    pub(super) judges: bool,
    /// What failed on itself, because it is the only worker left.
    pub(super) alone: bool,
    /// One task at a time, because the worker may be sick.
    pub(super) is_on_trial: bool,
}

impl Turn {
    /// Everything but what failed on itself.
    pub(super) const ANY: Turn =
        Turn { takes_new: true, judges: true, alone: false, is_on_trial: false };
    pub(super) const NOTHING: Turn =
        Turn { takes_new: false, judges: false, alone: false, is_on_trial: false };
}

/// Each kind by the worker that the tasks failed on.
#[derive(Debug, Default)]
pub(super) struct SecondTries {
    retries: BTreeMap<usize, RequeuedTasks>,
    /// Tasks whose failure may be the worker's own.
    suspects: BTreeMap<usize, RequeuedTasks>,
    /// Number of tasks in both, and in `suspects`.
    count: u64,
    suspected: u64,
}

impl SecondTries {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there are tasks whose failure may be a worker's own.
    pub(super) fn has_suspects(&self) -> bool {
        self.suspected > 0
    }

    pub(super) fn clear(&mut self) {
        *self = SecondTries::default();
    }

    /// Adds a task that failed on a worker, with the number of its next attempt.
    pub(super) fn retry(&mut self, rank: usize, task: u64, attempt: u32) {
        self.count += 1;
        self.retries.entry(rank).or_default().push(task..task + 1, attempt);
    }

    /// The same for a failure that may be the worker's own.
    pub(super) fn suspect(&mut self, rank: usize, task: u64, attempt: u32) {
        self.count += 1;
        self.suspected += 1;
        self.suspects.entry(rank).or_default().push(task..task + 1, attempt);
    }

    /// A worker has had a success, so what failed on it before is like any other failure.
    pub(super) fn clear_suspicion(&mut self, rank: usize) {
        for (task, attempt) in self.suspects.remove(&rank).into_iter().flat_map(|t| t.into_tasks())
        {
            self.suspected -= 1;
            self.count -= 1;
            self.retry(rank, task, attempt);
        }
    }

    /// How many tasks a worker may not take before others have judged them, or that failed on itself.
    pub(super) fn not_for(&self, rank: usize) -> u64 {
        self.suspected + self.retries.get(&rank).map_or(0, RequeuedTasks::count)
    }

    /// Takes at most `most` tasks for a worker.
    #[inline(never)]
    pub(super) fn take(&mut self, rank: usize, turn: Turn, most: u64) -> Option<Assignment> {
        if (turn.judges || turn.alone)
            && let Some(taken) = take_from(&mut self.suspects, rank, turn.alone, most)
        {
            self.suspected -= taken.count;
            self.count -= taken.count;
            return Some(taken);
        }
        let taken =
            turn.takes_new.then(|| take_from(&mut self.retries, rank, turn.alone, most))??;
        self.count -= taken.count;
        Some(taken)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        let count = |tries: &BTreeMap<usize, RequeuedTasks>| -> u64 {
            tries.values().map(RequeuedTasks::count).sum()
        };
        assert_eq!(count(&self.suspects), self.suspected);
        assert_eq!(count(&self.suspects) + count(&self.retries), self.count);
        self.count
    }
}

/// Tasks that failed on another worker than this one, or also on this one.
fn take_from(
    tries: &mut BTreeMap<usize, RequeuedTasks>,
    rank: usize,
    own: bool,
    most: u64,
) -> Option<Assignment> {
    let failed_on = tries.keys().copied().find(|failed_on| own || *failed_on != rank)?;
    let tasks = tries.get_mut(&failed_on)?;
    let taken = tasks.take(most);
    if tasks.is_empty() {
        tries.remove(&failed_on);
    }
    taken
}
