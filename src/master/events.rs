//! What goes into the master and what comes out: events, actions, and what they carry.

use serde::{Deserialize, Serialize};

use crate::grid::Key;
use crate::message::{Assignment, Outcome, Report, Scored};
use crate::reduce::Item;

/// How many of a group's points must have a result for the group to count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Require {
    /// Every one.
    All,
    /// At least this fraction of them, over 0 and up to 1.
    Fraction(f64),
}

impl Require {
    /// Whether it is a fraction over 0 and up to 1, if it is one.
    pub(crate) fn is_sound(self) -> bool {
        match self {
            Require::All => true,
            Require::Fraction(fraction) => fraction > 0.0 && fraction <= 1.0,
        }
    }

    /// Whether `counted` of `size` points are enough.
    pub(crate) fn is_met(self, counted: u64, size: u64) -> bool {
        match self {
            Require::All => counted == size,
            // Less a hair, so that 0.7 of 10 is 7 whatever binary fractions make of it.
            Require::Fraction(fraction) => counted as f64 >= fraction * size as f64 - 1e-9,
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event<'a> {
    /// A worker said hello from its host.
    Joined {
        /// The worker.
        rank: usize,
        /// Its host.
        host: String,
        /// How many tasks it can be at at a time.
        threads: u32,
    },
    /// A worker returned outcomes (none, the first time) and may want more.
    Done {
        /// The worker.
        rank: usize,
        /// What came of tasks that it held.
        report: Report<'a>,
    },
    /// The outcome of an earlier start, which need not be recorded again. These come in grid order,
    /// before anything else.
    Recalled(Outcome),
    /// A group was reduced outside the master.
    Reduced {
        /// The worker that did it; nobody if rank 0 did.
        rank: Option<usize>,
        /// The group.
        key: Key,
        /// Its value, or why there is none.
        result: Result<Scored, String>,
    },
    /// A worker is there.
    Beat {
        /// The worker.
        rank: usize,
        /// Whether it holds nothing, and nothing is on its way to it.
        idle: bool,
    },
    /// A message to or from a worker has come further, so it is there.
    Alive {
        /// The worker.
        rank: usize,
    },
    /// A worker says that it cannot go on.
    Broken {
        /// The worker.
        rank: usize,
    },
    /// A worker's process or its connection has ended, it seems.
    Lost {
        /// The worker.
        rank: usize,
    },
    /// Nothing more is to be begun; what is under way comes to its end.
    Drain,
    /// Nothing more is to be begun, and what is under way is of no use any more.
    Stop,
    /// Time passed.
    Tick,
}

impl Event<'_> {
    /// The worker that was heard, if it was one.
    pub(super) fn sender(&self) -> Option<usize> {
        match self {
            Event::Joined { rank, .. }
            | Event::Done { rank, .. }
            | Event::Reduced { rank: Some(rank), .. }
            | Event::Beat { rank, .. }
            | Event::Alive { rank } => Some(*rank),
            _ => None,
        }
    }
}

/// Something to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Note the worker and send it the job.
    Welcome {
        /// The worker.
        rank: usize,
        /// Its host.
        host: String,
    },
    /// Keep this run.
    Record(Box<Run>),
    /// Keep these runs, whose numbers are in the event.
    RecordNumbers {
        /// The first task.
        first: u64,
        /// How many.
        count: u64,
    },
    /// Keep this summary: its group has closed.
    Close(Box<Summary>),
    /// Reduce these items, one a slot, and report with [`Event::Reduced`].
    Reduce {
        /// The worker to send them to; nobody if rank 0 is to do it.
        rank: Option<usize>,
        /// The group.
        key: Key,
        /// What its slots hold, in grid order.
        items: Vec<Item>,
    },
    /// Send these tasks.
    Assign {
        /// The worker.
        rank: usize,
        /// The tasks.
        assignment: Assignment,
    },
    /// Tell the worker that what it is at is of no use any more.
    Cancel {
        /// The worker.
        rank: usize,
        /// The task, if it is not about everything.
        task: Option<u64>,
    },
    /// Nothing was heard of the worker for too long; its tasks go to others.
    Miss {
        /// The worker.
        rank: usize,
    },
    /// Keep that nothing came of this attempt: its worker was lost. Another one follows.
    GiveBack {
        /// The task.
        task: u64,
        /// Which attempt it was.
        attempt: u32,
        /// The worker.
        rank: usize,
    },
    /// Tell the worker to leave.
    Dismiss {
        /// The worker.
        rank: usize,
        /// Whether others are missing.
        hurry: bool,
    },
}

/// What came of a task, and where.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    /// What came of it.
    pub(crate) outcome: Outcome,
    /// The worker's rank.
    pub(crate) rank: usize,
    /// Which of the worker's threads.
    pub(crate) thread: u32,
}

/// The reduced value of a group and what stands behind it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    /// The group.
    pub(crate) key: Key,
    /// Its value, or why it is incomplete.
    pub(crate) result: Result<Scored, String>,
    /// How many runs below it succeeded.
    pub(crate) runs: u64,
    /// How many runs below it failed.
    pub(crate) failed: u64,
}

/// How far the job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Runs recorded, good or bad, those of earlier starts included.
    pub(crate) done: u64,
    /// Those of earlier starts.
    pub(crate) recalled: u64,
    /// Attempts that failed and were followed by another.
    pub(crate) retried: u64,
    /// Tasks that a lost worker held, or of which a message was lost.
    pub(crate) given_back: u64,
    /// Workers that were given up.
    pub(crate) lost: u64,
    /// Runs that failed.
    pub(crate) failed: u64,
    /// Groups closed.
    pub(crate) closed: u64,
    /// Groups that closed without a value.
    pub(crate) incomplete: u64,
    /// Outcomes of tasks that were out twice and had come already.
    pub(crate) dropped: u64,
    /// Outcomes refused because nobody waits for them.
    pub(crate) refused: u64,
}

/// What a job puts up with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Patience {
    /// How often a failed run is tried once more.
    pub(crate) retries: u32,
    /// How many runs may fail for good before the job stops; any number if it is not said.
    pub(crate) failures: Option<u64>,
}
