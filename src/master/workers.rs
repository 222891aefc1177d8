//! Who works here: what each worker holds and since when.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use crate::master::nested_queue::Wake;
use crate::master::view::{WorkerActivity, WorkerView};
use crate::model::{Assignment, Key};

/// How long a message may be on its way before a worker that knows nothing of it is believed.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Workers {
    /// The lowest rank that works: 0 or 1.
    lowest: usize,
    /// One entry a worker, in order of rank.
    workers: Vec<WorkerRecord>,
    /// The ranks that may take more than they hold, so that nobody has to search for them.
    open: BTreeSet<usize>,
    /// The ranks that may too, but there is nothing for them now: those that have their part in what
    /// others are at, and the rest.
    waiting: BTreeSet<usize>,
    spare: BTreeSet<usize>,
    /// How many tasks all that are here can be at at a time.
    threads: u64,
    dismissed: usize,
    /// How many were given up, and how many of those are only silent.
    lost: usize,
    silent: usize,
}

#[derive(Clone, Debug)]
struct WorkerRecord {
    state: WorkerPhase,
    /// How many tasks it can be at at a time.
    threads: u32,
    /// What it was given and has not returned, in that order.
    pieces: VecDeque<AssignedRange>,
    /// How many tasks those are.
    tasks: u64,
    /// The groups it is to reduce.
    groups: Vec<(Key, Duration)>,
    /// When it was given something last.
    given: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum WorkerPhase {
    /// Not heard of yet.
    Away,
    /// Sent the job, and preparing.
    Welcomed(Duration),
    /// Has asked for work.
    Here,
    /// Told to leave.
    Dismissed,
    /// Nothing was heard of it for too long; it may come back.
    Silent,
    /// Its process or its connection has ended, as far as anybody can tell.
    Gone,
    /// It said itself that it cannot go on.
    Broken,
}

/// Consecutive tasks that a worker holds.
#[derive(Clone, Copy, Debug)]
struct AssignedRange {
    first: u64,
    end: u64,
    attempt: u32,
    /// Since when it may be at the first one.
    since: Duration,
}

/// What a worker held of which nothing will come.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Returned {
    /// Tasks, and which attempt of them it was.
    pub(super) tasks: Vec<(Range<u64>, u32)>,
    pub(super) groups: Vec<Key>,
}

impl WorkerRecord {
    fn away() -> WorkerRecord {
        WorkerRecord {
            state: WorkerPhase::Away,
            threads: 1,
            pieces: VecDeque::new(),
            tasks: 0,
            groups: Vec::new(),
            given: Duration::ZERO,
        }
    }

    fn holds_nothing(&self) -> bool {
        self.tasks == 0 && self.groups.is_empty()
    }

    fn let_go(&mut self) -> Returned {
        self.tasks = 0;
        let tasks = self.pieces.drain(..).map(|piece| (piece.first..piece.end, piece.attempt));
        Returned {
            tasks: tasks.collect(),
            groups: self.groups.drain(..).map(|(key, _)| key).collect(),
        }
    }
}

impl Workers {
    /// Of `workers` workers, ranks `lowest` and up.
    pub(super) fn new(lowest: usize, workers: usize) -> Workers {
        Workers {
            lowest,
            workers: vec![WorkerRecord::away(); workers],
            open: BTreeSet::new(),
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

    /// Takes tasks that a worker returns from what it holds: how many of `count` from `first` on it
    /// holds in this attempt. Each is taken once.
    pub(super) fn take(
        &mut self,
        rank: usize,
        (first, count): (u64, u64),
        attempt: u32,
        now: Duration,
    ) -> u64 {
        let worker = self.at_mut(rank);
        let holds = |p: &AssignedRange| p.attempt == attempt && (p.first..p.end).contains(&first);
        let Some(at) = worker.pieces.iter().position(holds) else { return 0 };
        let piece = &mut worker.pieces[at];
        let taken = count.min(piece.end - first);
        let rest = AssignedRange { first: first + taken, since: now, ..*piece };
        if first == piece.first {
            *piece = rest;
        } else {
            piece.end = first;
            if rest.first < rest.end {
                worker.pieces.insert(at + 1, rest);
            }
        }
        if worker.pieces[at].first == worker.pieces[at].end {
            worker.pieces.remove(at);
            if let (1, Some(next)) = (worker.threads, worker.pieces.front_mut()) {
                next.since = now;
            }
        }
        worker.tasks -= taken;
        taken
    }

    /// A worker has reported: it is here.
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
        self.close(rank);
        self.open.insert(rank);
    }

    /// A worker that was given up is heard again.
    fn take_back(&mut self, rank: usize) {
        let state = self.at(rank).state;
        self.lost -= usize::from(matches!(state, WorkerPhase::Silent | WorkerPhase::Gone));
        self.silent -= usize::from(state == WorkerPhase::Silent);
    }

    fn close(&mut self, rank: usize) {
        for ranks in [&mut self.open, &mut self.waiting, &mut self.spare] {
            ranks.remove(&rank);
        }
    }

    /// There is nothing for a worker now: until those are called that are engaged, or that are not.
    pub(super) fn wait(&mut self, rank: usize, is_engaged: bool) {
        self.open.remove(&rank);
        if is_engaged { &mut self.waiting } else { &mut self.spare }.insert(rank);
    }

    /// There may be something for workers that wait.
    pub(super) fn wake(&mut self, whom: Wake) {
        if whom >= Wake::Engaged {
            self.open.append(&mut self.waiting);
        }
        if whom == Wake::All {
            self.open.append(&mut self.spare);
        }
    }

    /// A worker said hello: whether it is to be sent the job. Once is enough, unless that was lost.
    pub(super) fn welcome(&mut self, rank: usize, threads: u32, now: Duration) -> bool {
        let new = match self.at(rank).state {
            WorkerPhase::Away => true,
            WorkerPhase::Welcomed(since) => now >= since + SETTLE,
            // It has not even got the job: nothing it was given has come of it.
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

    /// A worker says that it holds nothing: if that has to be believed, what it was given and has not
    /// answered. A message was lost then, and it is idle.
    pub(super) fn free(&mut self, rank: usize, now: Duration) -> Returned {
        let worker = self.at_mut(rank);
        let held = match worker.state {
            WorkerPhase::Dismissed | WorkerPhase::Broken => return Returned::default(),
            // What it was given may be on its way.
            WorkerPhase::Here if worker.holds_nothing() || now < worker.given + SETTLE => {
                return Returned::default();
            }
            WorkerPhase::Welcomed(since) if now < since + SETTLE => return Returned::default(),
            _ => worker.let_go(),
        };
        self.reported(rank);
        held
    }

    /// Whether a worker was told to leave.
    pub(super) fn is_dismissed(&self, rank: usize) -> bool {
        self.at(rank).state == WorkerPhase::Dismissed
    }

    /// Whether this worker was to reduce that group; if so it is not any more.
    pub(super) fn has_reduced(&mut self, rank: usize, group: Key) -> bool {
        let groups = &mut self.at_mut(rank).groups;
        let Some(at) = groups.iter().position(|(key, _)| *key == group) else { return false };
        groups.swap_remove(at);
        self.reported(rank);
        true
    }

    pub(super) fn assign(&mut self, rank: usize, assignment: Assignment, now: Duration) {
        let Assignment { first, count, attempt } = assignment;
        let worker = self.at_mut(rank);
        worker.pieces.push_back(AssignedRange { first, end: first + count, attempt, since: now });
        worker.tasks += count;
        worker.given = now;
    }

    pub(super) fn reduce(&mut self, rank: usize, key: Key, now: Duration) {
        let worker = self.at_mut(rank);
        worker.groups.push((key, now));
        worker.given = now;
    }

    pub(super) fn dismiss(&mut self, rank: usize) {
        self.close(rank);
        self.dismissed += 1;
        self.at_mut(rank).state = WorkerPhase::Dismissed;
    }

    /// Gives a worker up that says itself that it cannot go on; what it held and has not returned.
    pub(super) fn break_down(&mut self, rank: usize) -> Returned {
        self.lose(rank, WorkerPhase::Broken)
    }

    /// Gives a worker up whose process or connection has ended.
    pub(super) fn end(&mut self, rank: usize) -> Returned {
        self.lose(rank, WorkerPhase::Gone)
    }

    /// Gives a worker up that nothing was heard of for too long.
    pub(super) fn miss(&mut self, rank: usize) -> Returned {
        self.lose(rank, WorkerPhase::Silent)
    }

    fn lose(&mut self, rank: usize, state: WorkerPhase) -> Returned {
        match self.at(rank).state {
            WorkerPhase::Dismissed | WorkerPhase::Broken => return Returned::default(),
            WorkerPhase::Silent | WorkerPhase::Gone => self.take_back(rank), // more is known of it now
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

    /// Whether something is expected of a worker.
    pub(super) fn is_here(&self, rank: usize) -> bool {
        matches!(
            self.at(rank).state,
            WorkerPhase::Away | WorkerPhase::Welcomed(_) | WorkerPhase::Here
        )
    }

    /// Whether some workers were given up.
    pub(super) fn any_lost(&self) -> bool {
        self.lost > 0
    }

    /// Whether no worker is left that could do anything.
    pub(super) fn all_lost(&self) -> bool {
        self.lost == self.workers.len()
    }

    /// The workers that were given up and may come back.
    pub(super) fn silent(&self) -> impl Iterator<Item = usize> + '_ {
        let workers = if self.silent > 0 { self.workers.as_slice() } else { &[] };
        let ranks = (self.lowest..).zip(workers);
        ranks.filter(|(_, worker)| worker.state == WorkerPhase::Silent).map(|(rank, _)| rank)
    }

    /// The lowest rank that may take more than it holds.
    pub(super) fn first_open(&self) -> Option<usize> {
        self.open.first().copied()
    }

    /// A worker has enough for now: until it reports.
    pub(super) fn has_enough(&mut self, rank: usize) {
        self.close(rank);
    }

    /// How many tasks a worker can be at at a time, and how many it holds; a group counts as a task.
    pub(super) fn load(&self, rank: usize) -> (u64, u64) {
        let worker = self.at(rank);
        (worker.threads.into(), worker.tasks + worker.groups.len() as u64)
    }

    /// How many tasks all workers that are here can be at at a time.
    pub(super) fn threads(&self) -> u64 {
        self.threads
    }

    pub(super) fn all_dismissed(&self) -> bool {
        self.dismissed + self.lost == self.workers.len()
    }

    /// The ranks that crunch or reduce.
    pub(super) fn at_work(&self) -> impl Iterator<Item = usize> + '_ {
        self.ranks(|worker| worker.state == WorkerPhase::Here && !worker.holds_nothing())
    }

    /// The ranks that something may still be heard of: neither waiting for work nor gone.
    pub(super) fn not_idle(&self) -> impl Iterator<Item = usize> + '_ {
        self.ranks(|worker| match worker.state {
            WorkerPhase::Away | WorkerPhase::Welcomed(_) => true,
            WorkerPhase::Here => !worker.holds_nothing(),
            WorkerPhase::Dismissed
            | WorkerPhase::Silent
            | WorkerPhase::Gone
            | WorkerPhase::Broken => false,
        })
    }

    fn ranks(&self, which: impl Fn(&WorkerRecord) -> bool) -> impl Iterator<Item = usize> {
        let ranks = (self.lowest..).zip(&self.workers);
        ranks.filter(move |(_, worker)| which(worker)).map(|(rank, _)| rank)
    }

    fn pieces(&self) -> impl Iterator<Item = (usize, &AssignedRange)> + '_ {
        let ranks = (self.lowest..).zip(&self.workers);
        ranks.flat_map(|(rank, worker)| worker.pieces.iter().map(move |piece| (rank, piece)))
    }

    /// The first task of all that workers hold, which attempt that is, and since when.
    pub(super) fn out(&self) -> impl Iterator<Item = (u64, u32, Duration)> + '_ {
        self.pieces().map(|(_, piece)| (piece.first, piece.attempt, piece.since))
    }

    /// The workers that hold a task.
    pub(super) fn holders(&self, task: u64) -> impl Iterator<Item = usize> + '_ {
        let holds = move |piece: &AssignedRange| (piece.first..piece.end).contains(&task);
        self.pieces().filter(move |(_, piece)| holds(piece)).map(|(rank, _)| rank)
    }

    /// The first task of all that each worker holds and has not returned, and since when.
    pub(super) fn busy(&self) -> impl Iterator<Item = (usize, u64, Duration)> + '_ {
        self.pieces().map(|(rank, piece)| (rank, piece.first, piece.since))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// The tasks that workers hold.
    #[cfg(test)]
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.pieces().map(|(_, piece)| piece.first..piece.end)
    }

    /// How many tasks workers hold.
    #[cfg(test)]
    pub(super) fn held(&self) -> u64 {
        self.workers.iter().map(|worker| worker.tasks).sum()
    }

    /// Panics unless each count is what it counts; how many groups workers reduce.
    #[cfg(test)]
    pub(super) fn check(&self) -> usize {
        let (mut threads, mut dismissed, mut lost) = (0, 0, 0);
        for worker in &self.workers {
            let tasks = worker.pieces.iter().map(|piece| piece.end - piece.first).sum::<u64>();
            assert_eq!(tasks, worker.tasks, "{worker:?}");
            let is_among = |states: &[WorkerPhase]| states.contains(&worker.state);
            if is_among(&[WorkerPhase::Here, WorkerPhase::Dismissed]) {
                threads += u64::from(worker.threads);
            }
            dismissed += usize::from(is_among(&[WorkerPhase::Dismissed]));
            lost += usize::from(is_among(&[
                WorkerPhase::Silent,
                WorkerPhase::Gone,
                WorkerPhase::Broken,
            ]));
        }
        assert_eq!((threads, dismissed, lost), (self.threads, self.dismissed, self.lost));
        let (open, waiting, spare) = (&self.open, &self.waiting, &self.spare);
        assert!(open.is_disjoint(waiting) && open.is_disjoint(spare) && waiting.is_disjoint(spare));
        let mut listed = open.iter().chain(waiting).chain(spare);
        assert!(listed.all(|rank| self.at(*rank).state == WorkerPhase::Here));
        self.workers.iter().map(|worker| worker.groups.len()).sum()
    }

    /// Where each worker is. What is to be expected of its task is for others to say.
    pub(super) fn views(&self) -> impl Iterator<Item = WorkerView> + '_ {
        (self.lowest..).zip(&self.workers).map(|(rank, worker)| {
            let (piece, group) = (worker.pieces.front(), worker.groups.first());
            let duty = match worker.state {
                WorkerPhase::Away => WorkerActivity::Away,
                WorkerPhase::Welcomed(_) => WorkerActivity::Preparing,
                WorkerPhase::Here if piece.is_some() => WorkerActivity::Crunching,
                WorkerPhase::Here if group.is_some() => WorkerActivity::Reducing,
                WorkerPhase::Here => WorkerActivity::Idle,
                WorkerPhase::Dismissed => WorkerActivity::Gone,
                WorkerPhase::Silent | WorkerPhase::Gone | WorkerPhase::Broken => {
                    WorkerActivity::Lost
                }
            };
            let since = piece.map(|piece| piece.since).or(group.map(|(_, since)| *since));
            WorkerView {
                rank,
                duty,
                threads: worker.threads,
                task: piece.map(|piece| piece.first),
                held: worker.tasks + worker.groups.len() as u64,
                since: since.unwrap_or_default(),
                expected: None,
            }
        })
    }
}
