//! Consecutive calls of crunch by one thread.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::executor::{CallResult, Executor, Task};
use crate::job::Job;

/// Tasks to call crunch for, one after another.
pub(crate) struct ConsecutiveCalls<'a> {
    pub(crate) job: &'a Job,
    pub(crate) tasks: Range<u64>,
    /// The number of the attempt, from 1.
    pub(crate) attempt: u32,
    /// Tells other threads which task is the current one.
    pub(crate) current: &'a AtomicU64,
}

/// A result, mostly one that is no plain number.
pub(crate) struct OtherResult {
    pub(crate) result: CallResult,
    /// Its duration in seconds, if that is not the time until the call returned.
    pub(crate) seconds: Option<f64>,
    /// The peak of the memory of the call's processes in MiB, where it is known.
    pub(crate) memory: Option<u32>,
}

impl From<CallResult> for OtherResult {
    fn from(result: CallResult) -> OtherResult {
        OtherResult { result, seconds: None, memory: None }
    }
}

impl ConsecutiveCalls<'_> {
    /// Makes the calls; see [`Executor::crunch_each`]. Compiled for each executor, so that the shortest crunch is
    /// part of the loop.
    #[inline]
    pub(super) fn make<E: Executor + ?Sized>(
        self,
        executor: &mut E,
        numbers: &mut [f64],
        made: &mut usize,
    ) -> Option<OtherResult> {
        let ConsecutiveCalls { job, tasks, attempt, current } = self;
        call_each(tasks, current, numbers, made, |index| {
            let task = Task { job, index, attempt, workdir: None };
            let result = executor.crunch(&task);
            OtherResult { result, seconds: executor.seconds(), memory: executor.memory() }
        })
    }
}

/// Calls a function for one task after another, as many as `numbers` has room for, until one gives anything but a
/// plain number; returns that. `numbers` gets the plain numbers, and `made` counts them.
#[inline]
pub(crate) fn call_each(
    tasks: Range<u64>,
    current: &AtomicU64,
    numbers: &mut [f64],
    made: &mut usize,
    mut call: impl FnMut(u64) -> OtherResult,
) -> Option<OtherResult> {
    for (task, place) in tasks.zip(numbers) {
        current.store(task, Ordering::Relaxed);
        match call(task) {
            OtherResult { result: CallResult::Number(number), seconds: None, memory: None } => {
                *place = number;
            }
            other => return Some(other),
        }
        *made += 1;
    }
    None
}
