//! The current batch of one worker thread: its finished runs and the tasks not started. It is shared
//! with the service thread, so that a long task delays neither the results before it nor the tasks
//! behind it.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::executor::{CallResult, OtherResult, call_each};
use crate::model::{Assignment, LONG, Report, RunBatch, RunError, RunLog, RunRange, Scored};
use crate::util::clock::since_1970;
use crate::util::error::Result;
use crate::worker::output::ThreadOutput;

/// Tasks shorter than this run several per reading of the clock and share the measured time, because
/// reading the clock takes longer than they do. (seconds)
const SHORT: f64 = 0.3e-6;

/// The most tasks per reading of the clock.
const LONGEST_STRIDE: u64 = 64;

/// Stands for a task while a thread does other work.
const BESIDE: u64 = u64::MAX - 1;

/// How long the time of day is derived from the monotonic clock before the wall clock is read again.
const ASK: Duration = Duration::from_secs(1);

/// What came of some tasks of a batch: see [`ThreadBatch::crunch`].
type BatchPart = (usize, Option<OtherResult>, Option<RunLog>);

pub(crate) struct ThreadBatch {
    thread: u32,
    batch: Mutex<BatchState>,
    /// The current task.
    at: AtomicU64,
    /// The task that was cancelled while it was the current one, and whether all work is cancelled.
    cancelled: AtomicU64,
    stopped: AtomicBool,
    /// What the current task prints.
    pub(crate) output: ThreadOutput,
}

struct BatchState {
    /// The tasks not started.
    next: u64,
    end: u64,
    /// The executor may have begun the tasks before this one already: see [`ThreadBatch::claim`].
    claimed: u64,
    /// When the current task started.
    since: Instant,
    calendar: WallClock,
    /// When the first result that is not reported was ready.
    waiting: Option<Instant>,
    /// Runs not reported.
    runs: RunBatch<'static>,
}

impl ThreadBatch {
    pub(crate) fn new(thread: u32) -> ThreadBatch {
        let batch = BatchState {
            next: 0,
            end: 0,
            claimed: 0,
            since: Instant::now(),
            calendar: WallClock::read(),
            waiting: None,
            runs: RunBatch::default(),
        };
        ThreadBatch {
            thread,
            batch: Mutex::new(batch),
            at: AtomicU64::new(u64::MAX),
            cancelled: AtomicU64::new(u64::MAX),
            stopped: AtomicBool::new(false),
            output: ThreadOutput::default(),
        }
    }

    /// Whether rank 0 has cancelled this thread's work.
    pub(crate) fn is_cancelled(&self) -> bool {
        let at = self.at.load(Ordering::Relaxed);
        let is_current = at != u64::MAX && at == self.cancelled.load(Ordering::Relaxed);
        is_current || self.stopped.load(Ordering::Relaxed)
    }

    /// Claims the tasks of the batch before `until`: an executor that hands several tasks at once to
    /// another process cannot tell at any moment which of them have begun, so none of them goes to another
    /// worker. Replaces the claim before it. Returns where the claim ends; the tasks from there on are
    /// not this thread's any more.
    pub(crate) fn claim(&self, until: u64) -> u64 {
        let mut batch = self.batch.lock();
        batch.claimed = until.min(batch.end);
        batch.claimed
    }

    /// Cancels the given task if it is the current one, or with `None` all work of this thread.
    pub(crate) fn cancel(&self, task: Option<u64>) {
        match task {
            None => self.stopped.store(true, Ordering::Relaxed),
            Some(task) if task == self.at.load(Ordering::Relaxed) => {
                self.cancelled.store(task, Ordering::Relaxed);
            }
            Some(_) => {}
        }
    }

    /// Runs a batch and reports it; a run fails that is outside `range`. `crunch` calls the user's function for one task after another, each of which it
    /// tells as the current one, until one gives anything but a plain number: it returns how many did, which are in the
    /// slice then, that one, and what is kept of the output of the last one.
    pub(crate) fn crunch(
        &self,
        (Assignment { first, count, attempt }, range): (Assignment, Option<RunRange>),
        mut crunch: impl FnMut(Range<u64>, &AtomicU64, &mut [f64]) -> BatchPart,
        report: impl FnOnce(Report) -> Result<()>,
    ) -> Result<()> {
        let are_in = |numbers: &[f64]| range.is_none_or(|range| range.contains_all(numbers));
        let judged = |result: std::result::Result<Scored, RunError>| match range {
            Some(range) => result.and_then(|scored| range.judge(scored)),
            None => result,
        };
        let mut since = Instant::now();
        {
            let mut batch = self.batch.lock();
            let started = batch.calendar.time(since);
            (batch.next, batch.end, batch.since) = (first + 1, first + count, since);
            batch.claimed = 0;
            batch.runs.restart(first, attempt, started);
        }
        self.cancelled.store(u64::MAX, Ordering::Relaxed);
        // The tasks from `task` to `there` run without another reading of the clock.
        let (mut task, mut there, mut stride) = (first, first + 1, 1);
        let mut numbers = [0.0; LONGEST_STRIDE as usize];
        let mut batch = loop {
            self.at.store(task, Ordering::Relaxed);
            let (made, other, log) = crunch(task..there, &self.at, &mut numbers);
            task += made as u64 + u64::from(other.is_some());
            let now = Instant::now();
            let took = (now - since).as_secs_f64();
            let each = took / (made as f64 + f64::from(u8::from(other.is_some())));
            let mut batch = self.batch.lock();
            batch.waiting.get_or_insert(now);
            let plain = &numbers[..made];
            match are_in(plain) {
                true => batch.runs.push_numbers(plain, each),
                false => {
                    for number in plain {
                        batch.runs.push(judged(Ok(Scored::number(*number))), each);
                    }
                }
            }
            if let Some(OtherResult { result, seconds, memory }) = other {
                let seconds = seconds.unwrap_or(each);
                match result {
                    CallResult::Number(number) if are_in(&[number]) => {
                        batch.runs.push_number(number, seconds);
                    }
                    CallResult::Number(number) => {
                        batch.runs.push(judged(Ok(Scored::number(number))), seconds);
                    }
                    CallResult::Other(result) => batch.runs.push(judged(*result), seconds),
                }
                memory.into_iter().for_each(|memory| batch.runs.put_memory(memory));
            }
            if let Some(log) = log {
                batch.runs.push_log(log);
            }
            // What the executor has begun already is waited for.
            if self.is_cancelled() && batch.claimed <= task {
                batch.next = task;
                break batch;
            }
            if task == there {
                if batch.next == batch.end {
                    break batch;
                }
                stride = if each < SHORT { (stride * 2).min(LONGEST_STRIDE) } else { 1 };
                there = (task + stride).min(batch.end);
                batch.next = there;
            }
            (batch.since, since) = (now, now);
        };
        self.at.store(u64::MAX, Ordering::Relaxed);
        batch.report(self.thread, report)
    }

    /// Does other work than tasks, which may take long as they may.
    pub(crate) fn beside<T>(&self, work: impl FnOnce() -> T) -> T {
        self.batch.lock().since = Instant::now();
        self.at.store(BESIDE, Ordering::Relaxed);
        let done = work();
        self.at.store(u64::MAX, Ordering::Relaxed);
        done
    }

    /// Whether this thread has been running one task for longer than [`LONG`].
    pub(crate) fn is_at_a_long_task(&self) -> bool {
        // A thread that holds the lock is between tasks.
        let since = self.batch.try_lock().map(|batch| batch.since);
        self.at.load(Ordering::Relaxed) != u64::MAX
            && since.is_some_and(|since| since.elapsed() > LONG)
    }

    /// Reports finished runs that have waited for too long, and returns the tasks behind a long task.
    pub(crate) fn report_early(&self, report: impl FnOnce(Report) -> Result<()>) -> Result<()> {
        // A thread that holds the lock is between tasks.
        let Some(mut batch) = self.batch.try_lock() else { return Ok(()) };
        let waits = batch.waiting.is_some_and(|since| since.elapsed() > LONG);
        let blocks = batch.unbegun() < batch.end && batch.since.elapsed() > LONG;
        if waits || blocks { batch.report(self.thread, report) } else { Ok(()) }
    }
}

/// Makes of a function for one task one for [`ThreadBatch::crunch`].
pub(crate) fn one_by_one(
    mut crunch: impl FnMut(u64) -> CallResult,
) -> impl FnMut(Range<u64>, &AtomicU64, &mut [f64]) -> BatchPart {
    move |tasks, current, numbers| {
        let mut made = 0;
        let other = call_each(tasks, current, numbers, &mut made, |task| crunch(task).into());
        (made, other, None)
    }
}

/// A reading of the wall clock, cached because reading it per message takes as long as a short task.
struct WallClock {
    moment: Instant,
    /// Seconds since 1970.
    time: f64,
}

impl WallClock {
    fn read() -> WallClock {
        WallClock { moment: Instant::now(), time: since_1970() }
    }

    /// The time of day at `now`, in seconds since 1970.
    fn time(&mut self, now: Instant) -> f64 {
        if now.saturating_duration_since(self.moment) > ASK {
            *self = WallClock::read(); // the clock may have been set
        }
        self.time + now.saturating_duration_since(self.moment).as_secs_f64()
    }
}

impl BatchState {
    /// The first task that has certainly not begun.
    fn unbegun(&self) -> u64 {
        self.next.max(self.claimed)
    }

    fn report(&mut self, thread: u32, report: impl FnOnce(Report) -> Result<()>) -> Result<()> {
        let (attempt, first) = (self.runs.attempt, self.unbegun());
        let count = self.end.saturating_sub(first);
        let unbegun = (count > 0).then_some(Assignment { first, count, attempt });
        self.end -= count;
        self.waiting = None;
        let (next, started) = (self.runs.tasks().end, self.runs.ended());
        let reported = report(Report { thread, runs: self.runs.lend(), unbegun, early: false });
        self.runs.restart(next, attempt, started);
        reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Reported = (Vec<(u64, bool)>, Option<(u64, u64)>);

    fn note(reports: &Mutex<Vec<Reported>>, report: Report) -> Result<()> {
        let outcomes = report.runs.into_results().map(|o| (o.task, o.result.is_ok())).collect();
        let unbegun = report.unbegun.map(|rest| (rest.first, rest.count));
        reports.lock().push((outcomes, unbegun));
        Ok(())
    }

    const BATCH: Assignment = Assignment { first: 10, count: 4, attempt: 1 };

    #[test]
    fn numbers_and_others_come_back_in_order() {
        let (batch, reports) = (ThreadBatch::new(0), Mutex::new(Vec::new()));
        let crunch = |task| match task {
            12 => CallResult::from(Err("no".into())),
            task => CallResult::Number(task as f64),
        };
        batch.crunch((BATCH, None), one_by_one(crunch), |report| note(&reports, report)).unwrap();
        let all = vec![(10, true), (11, true), (12, false), (13, true)];
        assert_eq!(*reports.lock(), [(all, None)]);
    }

    #[test]
    fn a_long_task_holds_up_nothing_but_itself() {
        let (batch, reports) = (ThreadBatch::new(0), Mutex::new(Vec::new()));
        let crunch = |task| {
            if task == 11 {
                std::thread::sleep(LONG * 2);
                batch.report_early(|report| note(&reports, report)).unwrap();
                batch.report_early(|_| panic!("there is nothing new")).unwrap();
            }
            CallResult::Number(0.0)
        };
        batch.crunch((BATCH, None), one_by_one(crunch), |report| note(&reports, report)).unwrap();
        let unclaimed = (vec![(10, true)], Some((12, 2)));
        assert_eq!(*reports.lock(), [unclaimed, (vec![(11, true)], None)]);
    }

    #[test]
    fn what_is_claimed_goes_to_no_other_worker() {
        let (batch, reports) = (ThreadBatch::new(0), Mutex::new(Vec::new()));
        let crunch = |task| {
            let report = || batch.report_early(|report| note(&reports, report)).unwrap();
            if task == 10 {
                assert_eq!(batch.claim(100), 14, "a batch has an end");
                std::thread::sleep(LONG * 2);
                report();
                assert!(reports.lock().is_empty(), "all may have begun");
                assert_eq!(batch.claim(12), 12);
                report();
                assert_eq!(batch.claim(14), 12, "two were given back");
            }
            CallResult::Number(0.0)
        };
        batch.crunch((BATCH, None), one_by_one(crunch), |report| note(&reports, report)).unwrap();
        let (given_back, rest) = ((vec![], Some((12, 2))), (vec![(10, true), (11, true)], None));
        assert_eq!(*reports.lock(), [given_back, rest]);
    }

    #[test]
    fn what_is_claimed_is_reported_though_all_is_cancelled() {
        let (batch, reports) = (ThreadBatch::new(0), Mutex::new(Vec::new()));
        let crunch = |task| {
            if task == 10 {
                batch.claim(12);
                batch.cancel(None);
            }
            CallResult::Number(0.0)
        };
        batch.crunch((BATCH, None), one_by_one(crunch), |report| note(&reports, report)).unwrap();
        assert_eq!(*reports.lock(), [(vec![(10, true), (11, true)], Some((12, 2)))]);
    }

    #[test]
    fn what_is_cancelled_ends_after_the_task_at_hand() {
        let (batch, reports) = (ThreadBatch::new(0), Mutex::new(Vec::new()));
        let crunch = |task| {
            batch.cancel(Some(13));
            assert!(!batch.is_cancelled(), "another task was cancelled");
            if task == 11 {
                batch.cancel(Some(11));
                assert!(batch.is_cancelled());
                return CallResult::from(Err("cancelled".into()));
            }
            CallResult::Number(0.0)
        };
        batch.crunch((BATCH, None), one_by_one(crunch), |report| note(&reports, report)).unwrap();
        assert_eq!(*reports.lock(), [(vec![(10, true), (11, false)], Some((12, 2)))]);
    }
}
