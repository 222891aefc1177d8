//! Per-worker state and assignments.

#[cfg(test)]
mod check;
mod queries;

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use crate::master::nested_queue::Wake;
use crate::master::rank_set::RankSet;
use crate::model::{Assignment, Key};

/// How long a message may be in flight after it was sent. A worker that still reports to be idle after this time is
/// believed: the message was lost.
const REPORT_GRACE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Workers {
    /// The rank of the first worker: 0 or 1.
    lowest: usize,
    /// One entry per worker, in order of rank.
    workers: Vec<WorkerRecord>,
    /// Workers that can take another assignment, by rank: an index that changes with each message.
    open: RankSet,
    /// Workers that could take an assignment while the queue has none for them: those engaged in an open
    /// point of the outer loop, and the others.
    waiting: BTreeSet<usize>,
    spare: BTreeSet<usize>,
    /// Number of threads of all active workers.
    threads: u64,
    dismissed: usize,
    /// How many workers were given up, and how many of those are only silent.
    lost: usize,
    silent: usize,
}

#[derive(Clone, Debug)]
struct WorkerRecord {
    state: WorkerPhase,
    threads: u32,
    /// Assigned ranges that are not returned, in the order of assignment.
    pieces: VecDeque<AssignedRange>,
    /// Total number of tasks in `pieces`.
    tasks: u64,
    /// Work besides tasks, and when it was assigned.
    calls: Vec<(SideCall, Duration)>,
    /// Time of the last assignment.
    given: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum WorkerPhase {
    /// Has not said hello.
    Away,
    /// Was sent the job at this time and is preparing.
    Welcomed(Duration),
    /// Has asked for work.
    Here,
    Dismissed,
    /// Its lease has expired; it may come back.
    Silent,
    /// Its process or its connection seems to have ended.
    Gone,
    /// It reported a fatal error.
    Broken,
}

/// Consecutive tasks that a worker holds.
#[derive(Clone, Copy, Debug)]
struct AssignedRange {
    first: u64,
    end: u64,
    attempt: u32,
    /// When the first task may have started.
    since: Duration,
}

/// The first task of a range that a worker holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FirstTask {
    pub(super) rank: usize,
    pub(super) task: u64,
    pub(super) attempt: u32,
    /// When it may have started.
    pub(super) since: Duration,
}

/// Work taken from a worker that will not return it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Returned {
    /// Ranges of tasks with their attempt number.
    pub(super) tasks: Vec<(Range<u64>, u32)>,
    pub(super) calls: Vec<SideCall>,
}

/// What a worker may have to do besides tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SideCall {
    /// The reduction of a group.
    Reduce(Key),
    /// The final call of a row, in this attempt.
    Final(Key, u32),
}

impl AssignedRange {
    fn first_task(&self, rank: usize) -> FirstTask {
        let AssignedRange { first, attempt, since, .. } = *self;
        FirstTask { rank, task: first, attempt, since }
    }
}

impl WorkerRecord {
    fn away() -> WorkerRecord {
        WorkerRecord {
            state: WorkerPhase::Away,
            threads: 1,
            pieces: VecDeque::new(),
            tasks: 0,
            calls: Vec::new(),
            given: Duration::ZERO,
        }
    }

    fn holds_nothing(&self) -> bool {
        self.tasks == 0 && self.calls.is_empty()
    }

    /// The same as [`Workers::take`] of this worker, whichever of its tasks these are.
    #[inline(never)]
    fn take_some(&mut self, (first, count): (u64, u64), attempt: u32, now: Duration) -> u64 {
        let holds = |p: &AssignedRange| p.attempt == attempt && (p.first..p.end).contains(&first);
        let Some(at) = self.pieces.iter().position(holds) else { return 0 };
        let piece = &mut self.pieces[at];
        let taken = count.min(piece.end - first);
        let rest = AssignedRange { first: first + taken, since: now, ..*piece };
        if first == piece.first {
            *piece = rest;
        } else {
            piece.end = first;
            if rest.first < rest.end {
                self.pieces.insert(at + 1, rest);
            }
        }
        if self.pieces[at].first == self.pieces[at].end {
            self.pieces.remove(at);
            self.begin_next(now);
        }
        self.tasks -= taken;
        taken
    }

    /// A range was returned: its only thread begins the next one.
    fn begin_next(&mut self, now: Duration) {
        if let (1, Some(next)) = (self.threads, self.pieces.front_mut()) {
            next.since = now;
        }
    }

    fn let_go(&mut self) -> Returned {
        self.tasks = 0;
        let tasks = self.pieces.drain(..).map(|piece| (piece.first..piece.end, piece.attempt));
        Returned {
            tasks: tasks.collect(),
            calls: self.calls.drain(..).map(|(call, _)| call).collect(),
        }
    }
}

impl Workers {
    pub(super) fn new(lowest: usize, workers: usize) -> Workers {
        Workers {
            lowest,
            workers: vec![WorkerRecord::away(); workers],
            open: RankSet::below(lowest + workers),
            waiting: BTreeSet::new(),
            spare: BTreeSet::new(),
            threads: 0,
            dismissed: 0,
            lost: 0,
            silent: 0,
        }
    }

    fn at(&self, rank: usize) -> &WorkerRecord {
        &self.workers[rank - self.lowest]
    }

    fn at_mut(&mut self, rank: usize) -> &mut WorkerRecord {
        &mut self.workers[rank - self.lowest]
    }

    /// Removes returned tasks from a worker's assignments. Returns how many of the `count` tasks starting
    /// at `first` it holds in this attempt. Each task is removed only once.
    #[inline]
    pub(super) fn take(
        &mut self,
        rank: usize,
        (first, count): (u64, u64),
        attempt: u32,
        now: Duration,
    ) -> u64 {
        let worker = self.at_mut(rank);
        if let Some(AssignedRange { first: start, end, attempt: of, .. }) = worker.pieces.front()
            && (first, first + count, attempt) == (*start, *end, *of)
        {
            // The first range as a whole, as of most messages.
            worker.pieces.pop_front();
            worker.tasks -= count;
            worker.begin_next(now);
            return count;
        }
        worker.take_some((first, count), attempt, now)
    }

    /// Marks a worker as active and open for assignments.
    #[inline]
    pub(super) fn reported(&mut self, rank: usize) {
        match self.at(rank).state {
            WorkerPhase::Here => {}
            WorkerPhase::Dismissed | WorkerPhase::Broken => return,
            _ => {
                self.take_back(rank);
                self.threads += u64::from(self.at(rank).threads);
                self.at_mut(rank).state = WorkerPhase::Here;
            }
        }
        if self.any_parked() {
            self.unpark(rank);
        }
        self.open.insert(rank);
    }

    /// Corrects the counts when a worker that was given up reports again.
    fn take_back(&mut self, rank: usize) {
        let state = self.at(rank).state;
        self.lost -= usize::from(matches!(state, WorkerPhase::Silent | WorkerPhase::Gone));
        self.silent -= usize::from(state == WorkerPhase::Silent);
    }

    #[inline]
    fn close(&mut self, rank: usize) {
        self.open.remove(rank);
        if self.any_parked() {
            self.unpark(rank);
        }
    }

    fn any_parked(&self) -> bool {
        !self.waiting.is_empty() || !self.spare.is_empty()
    }

    #[inline(never)]
    fn unpark(&mut self, rank: usize) {
        self.waiting.remove(&rank);
        self.spare.remove(&rank);
    }

    /// Parks a worker that the queue has nothing for, until [`Workers::wake`] is called for its kind.
    pub(super) fn wait(&mut self, rank: usize, is_engaged: bool) {
        self.open.remove(rank);
        if is_engaged { &mut self.waiting } else { &mut self.spare }.insert(rank);
    }

    /// Makes parked workers open again.
    #[inline]
    pub(super) fn wake(&mut self, whom: Wake) {
        if self.any_parked() {
            self.open_parked(whom);
        }
    }

    #[inline(never)]
    fn open_parked(&mut self, whom: Wake) {
        if whom >= Wake::Engaged {
            self.open.extend(std::mem::take(&mut self.waiting));
        }
        if whom == Wake::All {
            self.open.extend(std::mem::take(&mut self.spare));
        }
    }

    /// Handles a hello. Returns whether to send the job: the first time, or again if that message was lost.
    pub(super) fn welcome(&mut self, rank: usize, threads: u32, now: Duration) -> bool {
        let new = match self.at(rank).state {
            WorkerPhase::Away => true,
            WorkerPhase::Welcomed(since) => now >= since + REPORT_GRACE,
            // It asks for the job again, so it holds no assignment.
            WorkerPhase::Silent | WorkerPhase::Gone => {
                self.take_back(rank);
                true
            }
            WorkerPhase::Here | WorkerPhase::Dismissed | WorkerPhase::Broken => false,
        };
        if new {
            let worker = self.at_mut(rank);
            (worker.state, worker.threads) = (WorkerPhase::Welcomed(now), threads.max(1));
        }
        new
    }

    /// A message to the worker is still being sent: it may be in flight for a while from now on.
    pub(super) fn is_sent_to(&mut self, rank: usize, now: Duration) {
        let worker = self.at_mut(rank);
        match &mut worker.state {
            WorkerPhase::Welcomed(since) => *since = now,
            _ => worker.given = now,
        }
    }

    /// Handles a worker's claim to be idle. If it is believed, a message was lost: returns the work that
    /// was assigned and not answered.
    pub(super) fn free(&mut self, rank: usize, now: Duration) -> Returned {
        let worker = self.at_mut(rank);
        let held = match worker.state {
            WorkerPhase::Dismissed | WorkerPhase::Broken => return Returned::default(),
            // The assignment may still be in flight.
            WorkerPhase::Here if worker.holds_nothing() || now < worker.given + REPORT_GRACE => {
                return Returned::default();
            }
            WorkerPhase::Welcomed(since) if now < since + REPORT_GRACE => {
                return Returned::default();
            }
            _ => worker.let_go(),
        };
        self.reported(rank);
        held
    }

    pub(super) fn is_dismissed(&self, rank: usize) -> bool {
        self.at(rank).state == WorkerPhase::Dismissed
    }

    /// Removes a call from what a worker has to do; whether it was among that.
    pub(super) fn has_made(&mut self, rank: usize, made: SideCall) -> bool {
        let calls = &mut self.at_mut(rank).calls;
        let Some(at) = calls.iter().position(|(call, _)| *call == made) else { return false };
        calls.swap_remove(at);
        true
    }

    /// The calls that a worker has to make, which it will not.
    pub(super) fn take_calls(&mut self, rank: usize) -> Vec<SideCall> {
        self.at_mut(rank).calls.drain(..).map(|(call, _)| call).collect()
    }

    #[inline]
    pub(super) fn assign(&mut self, rank: usize, assignment: Assignment, now: Duration) {
        let Assignment { first, count, attempt } = assignment;
        let worker = self.at_mut(rank);
        worker.pieces.push_back(AssignedRange { first, end: first + count, attempt, since: now });
        worker.tasks += count;
        worker.given = now;
    }

    pub(super) fn call(&mut self, rank: usize, call: SideCall, now: Duration) {
        let worker = self.at_mut(rank);
        worker.calls.push((call, now));
        worker.given = now;
    }

    pub(super) fn dismiss(&mut self, rank: usize) {
        self.close(rank);
        self.dismissed += 1;
        self.at_mut(rank).state = WorkerPhase::Dismissed;
    }

    /// Gives up a worker that reported a fatal error. Returns what it held.
    pub(super) fn break_down(&mut self, rank: usize) -> Returned {
        self.lose(rank, WorkerPhase::Broken)
    }

    /// Gives up a worker whose process or connection has ended.
    pub(super) fn end(&mut self, rank: usize) -> Returned {
        self.lose(rank, WorkerPhase::Gone)
    }

    /// Gives up a worker whose lease has expired.
    pub(super) fn miss(&mut self, rank: usize) -> Returned {
        self.lose(rank, WorkerPhase::Silent)
    }

    fn lose(&mut self, rank: usize, state: WorkerPhase) -> Returned {
        match self.at(rank).state {
            WorkerPhase::Dismissed | WorkerPhase::Broken => return Returned::default(),
            WorkerPhase::Silent | WorkerPhase::Gone => self.take_back(rank), // counted again below
            WorkerPhase::Away | WorkerPhase::Welcomed(_) | WorkerPhase::Here => {}
        }
        self.close(rank);
        self.lost += 1;
        self.silent += usize::from(state == WorkerPhase::Silent);
        let worker = self.at_mut(rank);
        let was = std::mem::replace(&mut worker.state, state);
        let (held, threads) = (worker.let_go(), worker.threads);
        if was == WorkerPhase::Here {
            self.threads -= u64::from(threads);
        }
        held
    }

    /// Whether the worker is neither dismissed nor given up.
    pub(super) fn is_here(&self, rank: usize) -> bool {
        matches!(
            self.at(rank).state,
            WorkerPhase::Away | WorkerPhase::Welcomed(_) | WorkerPhase::Here
        )
    }

    pub(super) fn any_lost(&self) -> bool {
        self.lost > 0
    }

    /// Number of workers that are neither dismissed nor given up.
    pub(super) fn here(&self) -> usize {
        self.workers.len() - self.lost - self.dismissed
    }

    pub(super) fn dismissed(&self) -> usize {
        self.dismissed
    }

    /// The ranks of all workers.
    pub(super) fn all(&self) -> Range<usize> {
        self.lowest..self.lowest + self.workers.len()
    }

    pub(super) fn all_here(&self) -> impl Iterator<Item = usize> + '_ {
        self.all().filter(|rank| self.is_here(*rank))
    }

    /// Whether a worker holds something, or has not asked for work yet.
    pub(super) fn is_busy_or_coming(&self, rank: usize) -> bool {
        let worker = self.at(rank);
        matches!(worker.state, WorkerPhase::Away | WorkerPhase::Welcomed(_))
            || !worker.holds_nothing()
    }

    /// Opens a worker that was given nothing, if it is still here.
    pub(super) fn reopen(&mut self, rank: usize) {
        if self.at(rank).state == WorkerPhase::Here {
            self.open.insert(rank);
        }
    }

    /// Workers that were given up and may come back.
    pub(super) fn silent(&self) -> impl Iterator<Item = usize> + '_ {
        let workers = if self.silent > 0 { self.workers.as_slice() } else { &[] };
        let ranks = (self.lowest..).zip(workers);
        ranks.filter(|(_, worker)| worker.state == WorkerPhase::Silent).map(|(rank, _)| rank)
    }

    /// The lowest rank that can take another assignment.
    pub(super) fn first_open(&mut self) -> Option<usize> {
        self.open.first()
    }

    /// Gives the worker nothing more until it reports.
    pub(super) fn has_enough(&mut self, rank: usize) {
        self.close(rank);
    }

    /// A worker's number of threads, and how many tasks it holds; a call besides tasks counts as one.
    pub(super) fn load(&self, rank: usize) -> (u64, u64) {
        let worker = self.at(rank);
        (worker.threads.into(), worker.tasks + worker.calls.len() as u64)
    }

    /// Whether each of its threads has a final call to make, which may take long.
    pub(super) fn is_occupied(&self, rank: usize) -> bool {
        let worker = self.at(rank);
        let is_final = |(call, _): &&(SideCall, Duration)| matches!(call, SideCall::Final(..));
        worker.calls.iter().filter(is_final).count() >= worker.threads.max(1) as usize
    }

    /// Sets how many tasks a worker runs in parallel, which its share of its host decides.
    pub(super) fn has_threads(&mut self, rank: usize, threads: u32) {
        let worker = self.at_mut(rank);
        let before = std::mem::replace(&mut worker.threads, threads);
        if matches!(worker.state, WorkerPhase::Here | WorkerPhase::Dismissed) {
            self.threads = self.threads - u64::from(before) + u64::from(threads);
        }
    }

    pub(super) fn threads(&self) -> u64 {
        self.threads
    }

    pub(super) fn all_dismissed(&self) -> bool {
        self.dismissed + self.lost == self.workers.len()
    }
}
