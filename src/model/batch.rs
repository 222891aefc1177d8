//! Batches of runs: the form of results from the worker thread to the rows of the store. Scores are packed in a
//! buffer, because most runs give a plain number, at millions per second; short runs share their duration.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::model::results::{Assignment, AttemptResult, RunError, Scored, weight};
use crate::model::run_output::RunLog;

/// Bytes per run: its score.
const WIDTH: usize = size_of::<f64>();

/// Bytes per stretch: the task behind it, and the duration of its runs.
const STRETCH: usize = size_of::<u64>() + size_of::<f64>();

/// Runs of consecutive tasks, made in sequence by one thread in the same attempt. The numbers may be
/// borrowed from a received message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunBatch<'a> {
    pub(crate) first: u64,
    pub(crate) attempt: u32,
    /// When the first run started, in seconds since 1970. Each later run started when the one before it
    /// ended.
    pub(crate) started: f64,
    /// Score of each run, little-endian; that of a run in `others` is NaN.
    #[serde(borrow, with = "serde_bytes")]
    numbers: Cow<'a, [u8]>,
    /// Duration of each of the last runs in seconds.
    seconds: f64,
    /// The stretches of runs of the same duration before those, in order: the first task behind each, and the duration
    /// in seconds, little-endian. A message with a single run has none.
    #[serde(borrow, with = "serde_bytes")]
    stretches: Cow<'a, [u8]>,
    /// What most runs have not: boxed, because a batch is moved often; never empty.
    details: Option<Box<RunDetails>>,
}

/// What some runs of a batch have, each in order of task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct RunDetails {
    /// The runs that failed or gave more than a plain number.
    others: VecDeque<OtherRun>,
    /// By task, what runs have printed whose output is kept.
    logs: VecDeque<(u64, RunLog)>,
    /// By task, how much memory its processes have held at most, where that is known. (MiB)
    memory: VecDeque<(u64, u32)>,
}

/// A run that failed or gave more than a plain number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OtherRun {
    pub(crate) task: u64,
    pub(crate) result: Result<Scored, RunError>,
}

/// A report of a worker thread on its assigned tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report<'a> {
    /// Which thread, from 0.
    pub(crate) thread: u32,
    /// Its runs. Empty in a request for work.
    #[serde(borrow)]
    pub(crate) runs: RunBatch<'a>,
    /// Assigned tasks that were not started and are returned to the queue.
    pub(crate) unbegun: Option<Assignment>,
    /// Whether it is sent while crunch goes on: the thread has not returned.
    pub(crate) early: bool,
}

impl RunBatch<'static> {
    /// Starts a new batch in the same memory.
    #[inline]
    pub(crate) fn restart(&mut self, first: u64, attempt: u32, started: f64) {
        (self.first, self.attempt, self.started) = (first, attempt, started);
        self.numbers.to_mut().clear();
        self.stretches.to_mut().clear();
        self.details = None;
    }

    /// Begins a stretch of runs of this duration, if the last one is of another.
    #[inline]
    fn begin_stretch(&mut self, seconds: f64) {
        if self.seconds.to_bits() != seconds.to_bits() {
            self.end_stretch();
            self.seconds = seconds;
        }
    }

    #[inline(never)]
    fn end_stretch(&mut self) {
        let end = self.tasks().end;
        if end > self.first {
            self.stretches.to_mut().extend_from_slice(&packed(end, self.seconds));
        }
    }

    /// Appends a run that gave a plain number, not NaN.
    #[inline]
    pub(crate) fn push_number(&mut self, number: f64, seconds: f64) {
        self.begin_stretch(seconds);
        self.numbers.to_mut().extend_from_slice(&number.to_le_bytes());
    }

    /// Appends runs that gave plain numbers, not NaN, each with the same duration.
    #[inline]
    pub(crate) fn push_numbers(&mut self, numbers: &[f64], seconds: f64) {
        if numbers.is_empty() {
            return;
        }
        self.begin_stretch(seconds);
        let all = self.numbers.to_mut();
        let before = all.len();
        all.resize(before + numbers.len() * WIDTH, 0);
        for (place, number) in all[before..].chunks_exact_mut(WIDTH).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
    }

    /// Appends a run with any result.
    pub(crate) fn push(&mut self, result: Result<Scored, RunError>, seconds: f64) {
        match result.as_ref().ok().and_then(Scored::as_number) {
            Some(number) => self.push_number(number, seconds),
            None => {
                let task = self.tasks().end;
                self.details().others.push_back(OtherRun { task, result });
                self.push_number(f64::NAN, seconds);
            }
        }
    }

    /// Adds what the last run has printed.
    pub(crate) fn push_log(&mut self, log: RunLog) {
        let task = self.tasks().end - 1;
        self.details().logs.push_back((task, log));
    }

    /// Notes the peak of the memory of the last run. (MiB)
    pub(crate) fn put_memory(&mut self, memory: u32) {
        if let Some(task) = self.tasks().next_back() {
            self.details().memory.push_back((task, memory));
        }
    }

    fn details(&mut self) -> &mut RunDetails {
        self.details.get_or_insert_default()
    }

    /// The batch to be sent: borrows the numbers and takes the details. Call [`RunBatch::restart`]
    /// afterwards.
    pub(crate) fn lend(&mut self) -> RunBatch<'_> {
        // By computed lengths: one load of pointer and length together would wait until the length has left the
        // store buffer, which was written a moment ago.
        let numbers = Cow::Borrowed(&self.numbers[..self.count() as usize * WIDTH]);
        let whole = self.stretches.len() / STRETCH * STRETCH;
        let stretches = Cow::Borrowed(&self.stretches[..whole]);
        let details = self.details.take();
        RunBatch { numbers, stretches, details, ..*self }
    }
}

impl<'a> RunBatch<'a> {
    /// Whether the parts are consistent. True unless the batch came from a corrupt message.
    #[inline]
    pub(crate) fn is_valid(&self) -> bool {
        self.numbers.len().is_multiple_of(WIDTH)
            && self.first.checked_add(self.count()).is_some()
            && (self.stretches.is_empty() || self.are_stretches_valid())
            && self.details.as_ref().is_none_or(|details| details.is_valid(&self.tasks()))
    }

    #[inline(never)]
    fn are_stretches_valid(&self) -> bool {
        self.stretches.len().is_multiple_of(STRETCH)
            && self.ended_stretches().map(|(end, _)| end).is_sorted_by(|a, b| a < b)
            && self.ended_stretches().all(|(end, _)| self.first < end && end < self.tasks().end)
    }

    /// Number of runs.
    pub(crate) fn count(&self) -> u64 {
        (self.numbers.len() / WIDTH) as u64
    }

    pub(crate) fn tasks(&self) -> Range<u64> {
        self.first..self.first + self.count()
    }

    /// Each run's score; NaN for those in [`RunBatch::others`].
    pub(crate) fn scores(&self) -> impl Iterator<Item = f64> {
        self.numbers.chunks_exact(WIDTH).map(number)
    }

    /// The first task behind each stretch but the last, and its duration per run.
    fn ended_stretches(&self) -> impl Iterator<Item = (u64, f64)> {
        self.stretches.chunks_exact(STRETCH).map(unpacked)
    }

    /// How many runs each stretch has, and its duration per run in seconds.
    fn stretches(&self) -> impl Iterator<Item = (u64, f64)> {
        let last = std::iter::once((self.tasks().end, self.seconds));
        let mut first = self.first;
        self.ended_stretches()
            .chain(last)
            .map(move |(end, seconds)| (end - std::mem::replace(&mut first, end), seconds))
    }

    /// Duration of each run in seconds.
    pub(crate) fn seconds(&self) -> impl Iterator<Item = f64> {
        let mut stretches = self.stretches();
        let (mut left, mut seconds) = (0, 0.0);
        std::iter::from_fn(move || {
            while left == 0 {
                (left, seconds) = stretches.next()?;
            }
            left -= 1;
            Some(seconds)
        })
    }

    /// Each task with when its run started, in seconds since 1970, and its duration in seconds. Rows of the store are
    /// found by the bits of these starts.
    pub(crate) fn timed(&self) -> impl Iterator<Item = (u64, f64, f64)> {
        let mut next = self.started;
        self.tasks().zip(self.seconds()).map(move |(task, seconds)| {
            let started = next;
            next += seconds;
            (task, started, seconds)
        })
    }

    /// Duration of all runs in seconds.
    pub(crate) fn total_seconds(&self) -> f64 {
        if self.stretches.is_empty() {
            return self.count() as f64 * self.seconds; // as of a message with a single run
        }
        self.stretches().map(|(count, seconds)| count as f64 * seconds).sum()
    }

    /// The runs that failed or gave more than a plain number, in order of task.
    pub(crate) fn others(&self) -> impl Iterator<Item = &OtherRun> {
        self.details.as_deref().map(|details| details.others.iter()).unwrap_or_default()
    }

    /// What runs have printed whose output is kept, in order of task.
    pub(crate) fn logs(&self) -> impl Iterator<Item = &(u64, RunLog)> {
        self.details.as_deref().map(|details| details.logs.iter()).unwrap_or_default()
    }

    /// The tasks whose peak of memory is known, in order, and that peak. (MiB)
    pub(crate) fn memory(&self) -> impl Iterator<Item = (u64, u32)> {
        let memory = self.details.as_deref().map(|details| details.memory.iter());
        memory.unwrap_or_default().copied()
    }

    /// The first task that failed.
    pub(crate) fn first_failure(&self) -> Option<u64> {
        self.details.as_ref()?.first_failure()
    }

    /// The error of the first run that failed.
    pub(crate) fn first_error(&self) -> Option<&RunError> {
        self.others().find_map(|other| other.result.as_ref().err())
    }

    /// When the last run ended, in seconds since 1970.
    pub(crate) fn ended(&self) -> f64 {
        self.started + self.total_seconds()
    }

    /// Splits the first `count` runs off a valid batch.
    #[inline]
    pub(crate) fn take_first(&mut self, count: u64) -> RunBatch<'a> {
        if count < self.count() {
            return self.split_first(count);
        }
        let rest = RunBatch { first: self.first + count, ..RunBatch::default() };
        std::mem::replace(self, rest)
    }

    #[cold]
    fn split_first(&mut self, count: u64) -> RunBatch<'a> {
        let end = self.first + count;
        let details = self.details.as_mut().and_then(|details| details.take_before(end));
        self.details.take_if(|rest| rest.is_empty());
        let numbers = take_front(&mut self.numbers, count as usize * WIDTH);
        let before = self.stretches_before(end);
        let stretches = take_front(&mut self.stretches, before * STRETCH);
        // The stretch that is cut, or ends here.
        let cut = self.ended_stretches().next();
        if cut.is_some_and(|(its_end, _)| its_end == end) {
            take_front(&mut self.stretches, STRETCH);
        }
        let seconds = cut.map_or(self.seconds, |(_, seconds)| seconds);
        let taken = RunBatch { numbers, seconds, stretches, details, ..*self };
        (self.first, self.started) = (end, taken.ended());
        taken
    }

    /// How many stretches end before a task.
    fn stretches_before(&self, task: u64) -> usize {
        let end = |at: usize| unpacked(&self.stretches[at * STRETCH..]).0;
        let (mut low, mut high) = (0, self.stretches.len() / STRETCH);
        while low < high {
            let middle = low.midpoint(high);
            if end(middle) < task { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The same batch with owned numbers.
    pub(crate) fn into_owned(self) -> RunBatch<'static> {
        RunBatch {
            first: self.first,
            attempt: self.attempt,
            started: self.started,
            numbers: Cow::Owned(self.numbers.into_owned()),
            seconds: self.seconds,
            stretches: Cow::Owned(self.stretches.into_owned()),
            details: self.details,
        }
    }

    /// The runs as single results.
    pub(crate) fn into_results(mut self) -> impl Iterator<Item = AttemptResult> {
        let mut others = self.details.take().unwrap_or_default().others;
        let attempt = self.attempt;
        let runs: Vec<_> = self.timed().zip(self.scores()).collect();
        runs.into_iter().map(move |((task, started, seconds), score)| {
            let result = match others.front() {
                Some(other) if other.task == task => others.pop_front().map(|other| other.result),
                _ => None,
            };
            let result = result.unwrap_or_else(|| Ok(Scored::number(score)));
            AttemptResult { task, attempt, started, seconds, result }
        })
    }

    /// Approximate size of the results in bytes.
    pub(crate) fn weight(&self) -> usize {
        let held = |other: &OtherRun| {
            size_of::<OtherRun>() + weight(other.result.as_ref().map_err(RunError::why))
        };
        let logs = self.logs().map(|(_, log)| size_of::<RunLog>() + log.gzip.len());
        self.numbers.len()
            + self.stretches.len()
            + self.others().map(held).sum::<usize>()
            + logs.sum::<usize>()
            + self.memory().count() * size_of::<(u64, u32)>()
    }
}

impl RunDetails {
    #[inline(never)]
    fn first_failure(&self) -> Option<u64> {
        self.others.iter().find(|other| other.result.is_err()).map(|other| other.task)
    }

    #[inline(never)]
    fn is_valid(&self, of: &Range<u64>) -> bool {
        fn are_valid(tasks: impl Iterator<Item = u64> + Clone, of: &Range<u64>) -> bool {
            tasks.clone().is_sorted_by(|a, b| a < b) && tasks.clone().all(|task| of.contains(&task))
        }
        are_valid(self.others.iter().map(|other| other.task), of)
            && are_valid(self.logs.iter().map(|(task, _)| *task), of)
            && are_valid(self.memory.iter().map(|(task, _)| *task), of)
    }

    fn is_empty(&self) -> bool {
        self.others.is_empty() && self.logs.is_empty() && self.memory.is_empty()
    }

    /// Takes those of the tasks before this one.
    fn take_before(&mut self, end: u64) -> Option<Box<RunDetails>> {
        fn take<T>(all: &mut VecDeque<T>, is_before: impl FnMut(&T) -> bool) -> VecDeque<T> {
            let count = all.partition_point(is_before);
            all.drain(..count).collect()
        }
        let taken = RunDetails {
            others: take(&mut self.others, |other| other.task < end),
            logs: take(&mut self.logs, |(task, _)| *task < end),
            memory: take(&mut self.memory, |(task, _)| *task < end),
        };
        (!taken.is_empty()).then(|| Box::new(taken))
    }
}

fn packed(end: u64, seconds: f64) -> [u8; STRETCH] {
    let mut stretch = [0; STRETCH];
    stretch[..size_of::<u64>()].copy_from_slice(&end.to_le_bytes());
    stretch[size_of::<u64>()..].copy_from_slice(&seconds.to_le_bytes());
    stretch
}

/// The first task behind a stretch, and its duration per run in seconds.
fn unpacked(stretch: &[u8]) -> (u64, f64) {
    let end = stretch.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    (end, number(&stretch[size_of::<u64>()..]))
}

fn number(bytes: &[u8]) -> f64 {
    bytes.first_chunk().map_or(0.0, |bytes| f64::from_le_bytes(*bytes))
}

fn take_front<'a>(numbers: &mut Cow<'a, [u8]>, bytes: usize) -> Cow<'a, [u8]> {
    match numbers {
        Cow::Borrowed(all) => {
            let (front, rest) = all.split_at(bytes);
            *all = rest;
            Cow::Borrowed(front)
        }
        Cow::Owned(all) => {
            let rest = all.split_off(bytes);
            Cow::Owned(std::mem::replace(all, rest))
        }
    }
}

#[cfg(test)]
mod tests;
