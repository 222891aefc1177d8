//! Who works here: what each worker holds and since when.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use crate::grid::Key;
use crate::message::Assignment;

/// How long a message may be on its way before a worker that knows nothing of it is believed.
const SETTLE: Duration = Duration::from_secs(5);

/// One entry a worker; index 0 is rank 1.
#[derive(Debug)]
pub(super) struct Roster {
    workers: Vec<Worker>,
    /// The ranks that are [`Worker::Idle`], so that nobody has to search for them.
    idle: BTreeSet<usize>,
    dismissed: usize,
    lost: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Worker {
    /// Not heard of yet.
    Away,
    /// Sent the job, and preparing.
    Welcomed {
        since: Duration,
    },
    /// Asked for work.
    Idle,
    Busy {
        assignment: Assignment,
        returned: u64,
        since: Duration,
    },
    /// At a group's reduction.
    Reducing {
        key: Key,
        since: Duration,
    },
    Dismissed,
    /// Nothing is to be expected of it any more.
    Lost,
}

/// What a worker that is lost held.
#[derive(Debug, PartialEq)]
pub(super) enum Held {
    Nothing,
    /// Tasks from the first on, and which attempt of them it was.
    Tasks(Range<u64>, u32),
    Group(Key),
}

impl Held {
    fn of(worker: &Worker) -> Held {
        match worker {
            Worker::Busy { assignment: Assignment { first, count, attempt }, returned, .. } => {
                Held::Tasks(first + returned..first + count, *attempt)
            }
            Worker::Reducing { key, .. } => Held::Group(*key),
            _ => Held::Nothing,
        }
    }
}

impl Roster {
    pub(super) fn new(workers: usize) -> Roster {
        Roster {
            workers: vec![Worker::Away; workers],
            idle: BTreeSet::new(),
            dismissed: 0,
            lost: 0,
        }
    }

    fn at(&mut self, rank: usize) -> &mut Worker {
        &mut self.workers[rank - 1]
    }

    /// Whether an outcome is of what this worker was last given; each is accepted once, in order.
    pub(super) fn accept(&mut self, rank: usize, task: u64, attempt: u32) -> bool {
        match self.at(rank) {
            Worker::Busy { assignment, returned, .. }
                if *returned < assignment.count
                    && task == assignment.first + *returned
                    && attempt == assignment.attempt =>
            {
                *returned += 1;
                true
            }
            _ => false,
        }
    }

    /// A worker has reported: it is idle unless it still holds something.
    pub(super) fn reported(&mut self, rank: usize) {
        let holds = match self.at(rank) {
            Worker::Busy { assignment, returned, .. } => *returned < assignment.count,
            Worker::Reducing { .. } | Worker::Dismissed => true,
            Worker::Away | Worker::Welcomed { .. } | Worker::Lost | Worker::Idle => false,
        };
        if !holds {
            self.rest(rank);
        }
    }

    /// A worker said hello: whether it is to be sent the job. Once is enough, unless that was lost.
    pub(super) fn welcome(&mut self, rank: usize, now: Duration) -> bool {
        let new = match self.at(rank) {
            Worker::Away => true,
            Worker::Welcomed { since } => now >= *since + SETTLE,
            // It has not even got the job: nothing it was given has come of it.
            Worker::Lost => {
                self.lost -= 1;
                true
            }
            _ => false,
        };
        if new {
            *self.at(rank) = Worker::Welcomed { since: now };
        }
        new
    }

    /// A worker says that it holds nothing: if that has to be believed, what it was given and has not
    /// answered. A message was lost then, and it is idle.
    pub(super) fn free(&mut self, rank: usize, now: Duration) -> Held {
        let held = match self.at(rank) {
            Worker::Busy { since, .. } | Worker::Reducing { since, .. }
                if now < *since + SETTLE =>
            {
                return Held::Nothing; // what it was given may be on its way
            }
            Worker::Idle | Worker::Dismissed => return Held::Nothing,
            worker => Held::of(worker),
        };
        self.rest(rank);
        held
    }

    /// Whether a worker was told to leave.
    pub(super) fn is_dismissed(&mut self, rank: usize) -> bool {
        *self.at(rank) == Worker::Dismissed
    }

    /// Whether this worker was to reduce that group; if so it is idle now.
    pub(super) fn has_reduced(&mut self, rank: usize, group: Key) -> bool {
        let was = matches!(self.at(rank), Worker::Reducing { key, .. } if *key == group);
        if was {
            self.rest(rank);
        }
        was
    }

    fn rest(&mut self, rank: usize) {
        if std::mem::replace(self.at(rank), Worker::Idle) == Worker::Lost {
            self.lost -= 1; // it was only silent
        }
        self.idle.insert(rank);
    }

    pub(super) fn assign(&mut self, rank: usize, assignment: Assignment, now: Duration) {
        self.idle.remove(&rank);
        *self.at(rank) = Worker::Busy { assignment, returned: 0, since: now };
    }

    pub(super) fn reduce(&mut self, rank: usize, key: Key, now: Duration) {
        self.idle.remove(&rank);
        *self.at(rank) = Worker::Reducing { key, since: now };
    }

    pub(super) fn dismiss(&mut self, rank: usize) {
        self.idle.remove(&rank);
        self.dismissed += 1;
        *self.at(rank) = Worker::Dismissed;
    }

    /// Gives a worker up; what it held and has not returned.
    pub(super) fn lose(&mut self, rank: usize) -> Held {
        if !self.is_here(rank) {
            return Held::Nothing;
        }
        self.idle.remove(&rank);
        self.lost += 1;
        Held::of(&std::mem::replace(self.at(rank), Worker::Lost))
    }

    /// Whether something is expected of a worker.
    pub(super) fn is_here(&mut self, rank: usize) -> bool {
        !matches!(self.at(rank), Worker::Dismissed | Worker::Lost)
    }

    /// Whether some workers were given up.
    pub(super) fn any_lost(&self) -> bool {
        self.lost > 0
    }

    /// Whether no worker is left that could do anything.
    pub(super) fn all_lost(&self) -> bool {
        self.lost == self.workers.len()
    }

    /// The lowest rank that waits for work.
    pub(super) fn first_idle(&self) -> Option<usize> {
        self.idle.first().copied()
    }

    pub(super) fn all_dismissed(&self) -> bool {
        self.dismissed + self.lost == self.workers.len()
    }

    /// The ranks that crunch or reduce.
    pub(super) fn at_work(&self) -> impl Iterator<Item = usize> + '_ {
        self.ranks(|worker| matches!(worker, Worker::Busy { .. } | Worker::Reducing { .. }))
    }

    /// The ranks that something may still be heard of: neither waiting for work nor gone.
    pub(super) fn not_idle(&self) -> impl Iterator<Item = usize> + '_ {
        self.ranks(|worker| !matches!(worker, Worker::Idle | Worker::Dismissed | Worker::Lost))
    }

    fn ranks(&self, which: impl Fn(&Worker) -> bool) -> impl Iterator<Item = usize> {
        (1..).zip(&self.workers).filter(move |(_, worker)| which(worker)).map(|(rank, _)| rank)
    }

    /// The first task each busy worker holds, which attempt that is, and since when.
    pub(super) fn out(&self) -> impl Iterator<Item = (u64, u32, Duration)> + '_ {
        self.workers.iter().filter_map(|worker| match worker {
            Worker::Busy { assignment, returned, since } => {
                Some((assignment.first + returned, assignment.attempt, *since))
            }
            _ => None,
        })
    }

    /// The workers that hold a task.
    pub(super) fn holders(&self, task: u64) -> impl Iterator<Item = usize> + '_ {
        self.busy().filter(move |(_, held, _)| *held == task).map(|(rank, ..)| rank)
    }

    /// The first task each busy worker holds and has not returned, and since when.
    pub(super) fn busy(&self) -> impl Iterator<Item = (usize, u64, Duration)> + '_ {
        (1..).zip(&self.workers).filter_map(|(rank, worker)| match worker {
            Worker::Busy { assignment, returned, since } => {
                Some((rank, assignment.first + returned, *since))
            }
            _ => None,
        })
    }
}
