//! Which task next, and how many in one message.

use crate::message::Assignment;

/// The stream of tasks that the flattened nest is: dispensed in grid order.
#[derive(Debug)]
pub(super) struct Dispatch {
    next: u64,
    tasks: u64,
}

impl Dispatch {
    pub(super) fn new(tasks: u64) -> Dispatch {
        Dispatch { next: 0, tasks }
    }

    /// Gives nothing any more.
    pub(super) fn stop(&mut self) {
        self.next = self.tasks;
    }

    /// What a worker that asks gets, while there is something to give.
    pub(super) fn next(&mut self) -> Option<Assignment> {
        if self.next == self.tasks {
            return None;
        }
        let first = self.next;
        self.next += 1;
        Some(Assignment { first, count: 1, attempt: 1 })
    }
}
