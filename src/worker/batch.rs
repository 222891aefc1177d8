//! Where one of a worker's threads crunches a batch: what is done of it, what is not begun. Another
//! thread may look in, so that one long task holds up neither the results before it nor the tasks
//! behind it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::executor::CallResult;
use crate::model::{Assignment, LONG, Report, RunBatch};
use crate::util::clock::since_1970;
use crate::util::error::Result;

/// Tasks shorter than this are begun several at a time and share what they took: reading the clock takes
/// longer than they do. (seconds)
const SHORT: f64 = 0.3e-6;

/// How many at a time.
const LONGEST_STRIDE: u64 = 64;

/// How long the time of day is counted on from what the clock said, before it is asked again.
const ASK: Duration = Duration::from_secs(1);

pub(crate) struct ThreadBatch {
    thread: u32,
    batch: Mutex<BatchState>,
    /// The task at hand.
    at: AtomicU64,
    /// Whether that one is of no use any more, or whatever comes.
    cancelled: AtomicBool,
    stopped: AtomicBool,
}

struct BatchState {
    /// The tasks that were not begun.
    next: u64,
    end: u64,
    /// When the task at hand began.
    since: Instant,
    calendar: WallClock,
    /// When the first result that was not reported came.
    waiting: Option<Instant>,
    /// The runs that are not reported.
    runs: RunBatch<'static>,
}

impl ThreadBatch {
    pub(crate) fn new(thread: u32) -> ThreadBatch {
        let batch = BatchState {
            next: 0,
            end: 0,
            since: Instant::now(),
            calendar: WallClock::read(),
            waiting: None,
            runs: RunBatch::default(),
        };
        ThreadBatch {
            thread,
            batch: Mutex::new(batch),
            at: AtomicU64::new(u64::MAX),
            cancelled: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        }
    }

    /// Whether rank 0 wants what this thread is at to come to an end.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.stopped.load(Ordering::Relaxed)
    }

    /// What this thread is at is of no use any more, if it is at that task, or whatever it is at.
    pub(crate) fn cancel(&self, task: Option<u64>) {
        match task {
            None => self.stopped.store(true, Ordering::Relaxed),
            Some(task) if task == self.at.load(Ordering::Relaxed) => {
                self.cancelled.store(true, Ordering::Relaxed);
            }
            Some(_) => {}
        }
    }

    /// Crunches a batch task by task and reports it. A call says how many seconds it took where that is not
    /// the time until it returned.
    pub(crate) fn crunch(
        &self,
        Assignment { first, count, attempt }: Assignment,
        mut crunch: impl FnMut(u64) -> (CallResult, Option<f64>),
        report: impl FnOnce(Report) -> Result<()>,
    ) -> Result<()> {
        let mut since = Instant::now();
        {
            let mut batch = self.batch.lock();
            let started = batch.calendar.time(since);
            (batch.next, batch.end, batch.since) = (first + 1, first + count, since);
            batch.runs.restart(first, attempt, started);
        }
        self.cancelled.store(false, Ordering::Relaxed);
        // Tasks from here to there are begun one after another.
        let (mut task, mut there, mut stride) = (first, first + 1, 1);
        let mut numbers = [0.0; LONGEST_STRIDE as usize];
        let mut batch = loop {
            let (mut made, mut other) = (0, None);
            while task < there && other.is_none() {
                self.at.store(task, Ordering::Relaxed);
                match crunch(task) {
                    (CallResult::Number(number), None) => {
                        numbers[made] = number;
                        made += 1;
                    }
                    result => other = Some(result),
                }
                task += 1;
            }
            let now = Instant::now();
            let took = (now - since).as_secs_f64();
            let each = took / (made as f64 + f64::from(u8::from(other.is_some())));
            let mut batch = self.batch.lock();
            batch.waiting.get_or_insert(now);
            batch.runs.push_numbers(&numbers[..made], each);
            if let Some((result, seconds)) = other {
                let seconds = seconds.unwrap_or(each);
                match result {
                    CallResult::Number(number) => batch.runs.push_number(number, seconds),
                    CallResult::Other(result) => batch.runs.push(*result, seconds),
                }
            }
            if self.is_cancelled() {
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

    /// Whether this thread is at a task that takes long.
    pub(crate) fn is_at_a_long_task(&self) -> bool {
        // One that is at its batch just now is not.
        let since = self.batch.try_lock().map(|batch| batch.since);
        self.at.load(Ordering::Relaxed) != u64::MAX
            && since.is_some_and(|since| since.elapsed() > LONG)
    }

    /// Reports what is done, if it has waited for too long, and hands back what waits behind a task that
    /// takes long.
    pub(crate) fn report_early(&self, report: impl FnOnce(Report) -> Result<()>) -> Result<()> {
        // A thread that is at its batch just now is not at a long task.
        let Some(mut batch) = self.batch.try_lock() else { return Ok(()) };
        let waits = batch.waiting.is_some_and(|since| since.elapsed() > LONG);
        let blocks = batch.next < batch.end && batch.since.elapsed() > LONG;
        if waits || blocks { batch.report(self.thread, report) } else { Ok(()) }
    }
}

/// What time it was at some moment: to ask for each message takes as long as a short task.
struct WallClock {
    moment: Instant,
    /// In seconds since 1970.
    time: f64,
}

impl WallClock {
    fn read() -> WallClock {
        WallClock { moment: Instant::now(), time: since_1970() }
    }

    /// What time it was just now; in seconds since 1970.
    fn time(&mut self, now: Instant) -> f64 {
        if now.saturating_duration_since(self.moment) > ASK {
            *self = WallClock::read(); // somebody may have set the clock
        }
        self.time + now.saturating_duration_since(self.moment).as_secs_f64()
    }
}

impl BatchState {
    fn report(&mut self, thread: u32, report: impl FnOnce(Report) -> Result<()>) -> Result<()> {
        let (attempt, count) = (self.runs.attempt, self.end - self.next);
        let unbegun = (count > 0).then_some(Assignment { first: self.next, count, attempt });
        self.end = self.next;
        self.waiting = None;
        let (next, started) = (self.runs.tasks().end, self.runs.ended());
        let reported = report(Report { thread, runs: self.runs.lend(), unbegun });
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
            12 => (CallResult::from(Err("no".to_string())), None),
            task => (CallResult::Number(task as f64), None),
        };
        batch.crunch(BATCH, crunch, |report| note(&reports, report)).unwrap();
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
            (CallResult::Number(0.0), None)
        };
        batch.crunch(BATCH, crunch, |report| note(&reports, report)).unwrap();
        let unclaimed = (vec![(10, true)], Some((12, 2)));
        assert_eq!(*reports.lock(), [unclaimed, (vec![(11, true)], None)]);
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
                return (CallResult::from(Err("cancelled".to_string())), None);
            }
            (CallResult::Number(0.0), None)
        };
        batch.crunch(BATCH, crunch, |report| note(&reports, report)).unwrap();
        assert_eq!(*reports.lock(), [(vec![(10, true), (11, false)], Some((12, 2)))]);
    }
}
