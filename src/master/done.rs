//! Tasks done in earlier starts, or in other parts of the job.

use std::ops::Range;

/// Ranges of tasks in grid order.
#[derive(Debug, Default)]
pub(super) struct DoneTasks(Vec<Range<u64>>);

impl DoneTasks {
    /// Must be called in grid order.
    pub(super) fn add(&mut self, tasks: Range<u64>) {
        match self.0.last_mut() {
            Some(last) if last.end == tasks.start => last.end = tasks.end,
            _ => self.0.push(tasks),
        }
    }

    /// The first consecutive tasks in `range` that are not done.
    pub(super) fn next_to_do(&self, range: Range<u64>) -> Range<u64> {
        let Range { mut start, end } = range;
        let at = self.0.partition_point(|done| done.end <= start);
        match self.0.get(at) {
            None => start..end,
            Some(done) if done.start > start => start..end.min(done.start),
            Some(done) => {
                start = done.end.min(end);
                let next = self.0.get(at + 1).map_or(end, |next| next.start.min(end));
                start..next
            }
        }
    }
}
