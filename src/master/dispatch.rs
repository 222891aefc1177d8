//! Which task next, and how many in one message.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use crate::message::Assignment;

/// The stream of tasks that the flattened nest is: dispensed in grid order, less what is done.
#[derive(Debug)]
pub(super) struct Dispatch {
    next: u64,
    tasks: u64,
    /// Tasks ahead that are done already, in order and apart.
    done: VecDeque<Range<u64>>,
    /// How often tasks were attempted at earlier starts, those that are not done.
    attempts: BTreeMap<u64, u32>,
    /// How often tasks have failed since the start, those that are tried again.
    failures: BTreeMap<u64, u32>,
    /// Tasks to try once more, and which attempt that will be; they go first.
    again: VecDeque<(u64, u32)>,
}

impl Dispatch {
    pub(super) fn new(tasks: u64) -> Dispatch {
        let (done, again) = (VecDeque::new(), VecDeque::new());
        let (attempts, failures) = (BTreeMap::new(), BTreeMap::new());
        Dispatch { next: 0, tasks, done, attempts, failures, again }
    }

    /// A task is done already. These come in grid order, before any is given out.
    pub(super) fn skip(&mut self, task: u64) {
        match self.done.back_mut() {
            Some(last) if last.end == task => last.end += 1,
            _ => self.done.push_back(task..task + 1),
        }
    }

    /// A task that is not done was attempted so often.
    pub(super) fn know_attempts(&mut self, task: u64, attempts: u32) {
        self.attempts.insert(task, attempts);
    }

    /// A task failed; it is tried once more if it has not been `retries` times since the start.
    pub(super) fn retry(&mut self, task: u64, attempt: u32, retries: u32) -> bool {
        if retries == 0 {
            return false;
        }
        let failures = self.failures.entry(task).or_insert(0);
        *failures += 1;
        let again = *failures <= retries;
        if again {
            self.again.push_back((task, attempt.saturating_add(1)));
        } else {
            self.failures.remove(&task);
        }
        again
    }

    /// A task whose worker was lost is given out again.
    pub(super) fn give_back(&mut self, task: u64, attempt: u32) {
        self.again.push_back((task, attempt.saturating_add(1)));
    }

    /// Gives nothing any more.
    pub(super) fn stop(&mut self) {
        self.again.clear();
        self.next = self.tasks;
        self.done.clear();
    }

    /// What a worker that asks gets, while there is something to give.
    pub(super) fn next(&mut self) -> Option<Assignment> {
        if let Some((first, attempt)) = self.again.pop_front() {
            return Some(Assignment { first, count: 1, attempt });
        }
        if self.done.front().is_some_and(|done| done.start == self.next) {
            self.next = self.done.pop_front().map_or(self.next, |done| done.end);
        }
        if self.next == self.tasks {
            return None;
        }
        let first = self.next;
        self.next += 1;
        let attempt = self.attempts.get(&first).copied().unwrap_or(0) + 1;
        Some(Assignment { first, count: 1, attempt })
    }
}
