//! Tasks to assign again.

use std::collections::VecDeque;
use std::ops::Range;

use crate::model::Assignment;

/// Ranges of tasks with the number of their next attempt.
#[derive(Debug, Default)]
pub(super) struct RequeuedTasks(VecDeque<(Range<u64>, u32)>);

impl RequeuedTasks {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(tasks, _)| tasks.end - tasks.start).sum()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn into_tasks(self) -> impl Iterator<Item = (u64, u32)> {
        self.0.into_iter().flat_map(|(tasks, attempt)| tasks.map(move |task| (task, attempt)))
    }

    pub(super) fn push(&mut self, tasks: Range<u64>, attempt: u32) {
        match self.0.back_mut() {
            Some((last, same)) if last.end == tasks.start && *same == attempt => {
                last.end = tasks.end;
            }
            _ => self.0.push_back((tasks, attempt)),
        }
    }

    pub(super) fn push_front(&mut self, tasks: Range<u64>, attempt: u32) {
        self.0.push_front((tasks, attempt));
    }

    /// Takes at most `most` tasks from the front.
    #[inline]
    pub(super) fn take(&mut self, most: u64) -> Option<Assignment> {
        if self.is_empty() { None } else { self.take_front(most) }
    }

    #[inline(never)]
    fn take_front(&mut self, most: u64) -> Option<Assignment> {
        let (tasks, attempt) = self.0.front_mut()?;
        let (first, attempt) = (tasks.start, *attempt);
        let count = most.min(tasks.end - first);
        tasks.start += count;
        if tasks.is_empty() {
            self.0.pop_front();
        }
        Some(Assignment { first, count, attempt })
    }
}
