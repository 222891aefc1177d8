//! What goes into the master and what comes out: events, actions, and what they carry.

use crate::model::{
    Assignment, AttemptResult, GroupSummary, Key, Report, RunBatch, Scored, SlotResult,
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event<'a> {
    /// A worker said hello from its host.
    Joined {
        rank: usize,
        host: String,
        /// How many tasks it can be at at a time.
        threads: u32,
    },
    /// A worker returned runs (none, the first time) and may want more.
    Done {
        rank: usize,
        /// The runs of tasks that it held.
        report: Report<'a>,
    },
    /// The outcome of an earlier start, which need not be recorded again. These come in grid order,
    /// before anything else.
    Recalled(AttemptResult),
    /// A group was reduced outside the master.
    Reduced {
        /// The worker that did it; nobody if rank 0 did.
        rank: Option<usize>,
        key: Key,
        /// Its value, or why there is none.
        result: Result<Scored, String>,
    },
    /// A worker is there.
    Heartbeat {
        rank: usize,
        /// Whether it holds nothing, and nothing is on its way to it.
        idle: bool,
    },
    /// A message to or from a worker has come further, so it is there.
    Alive { rank: usize },
    /// A worker says that it cannot go on.
    Broken { rank: usize },
    /// A worker's process or its connection has ended, it seems.
    Lost { rank: usize },
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
            | Event::Heartbeat { rank, .. }
            | Event::Alive { rank } => Some(*rank),
            _ => None,
        }
    }
}

/// Something to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action<'a> {
    /// Note the worker and send it the job.
    Welcome { rank: usize, host: String },
    /// Keep these runs.
    Record {
        /// The worker that made them.
        rank: usize,
        thread: u32,
        runs: RunBatch<'a>,
    },
    /// Keep this summary: its group has closed.
    Close(Box<GroupSummary>),
    /// Reduce these items, one a slot, and report with [`Event::Reduced`].
    Reduce {
        /// The worker to send them to; nobody if rank 0 is to do it.
        rank: Option<usize>,
        key: Key,
        /// What its slots hold, in grid order.
        items: Vec<SlotResult>,
    },
    /// Send these tasks.
    Assign { rank: usize, assignment: Assignment },
    /// Tell the worker that what it is at is of no use any more.
    Cancel {
        rank: usize,
        /// The task, if it is not about everything.
        task: Option<u64>,
    },
    /// Nothing was heard of the worker for too long; its tasks go to others.
    Miss { rank: usize },
    /// Keep that nothing came of this attempt: its worker was lost. Another one follows.
    GiveBack { task: u64, attempt: u32, rank: usize },
    /// Tell the worker to leave.
    Dismiss {
        rank: usize,
        /// Whether others are missing.
        skip_finalize: bool,
    },
}

/// An empty list in the memory of this one, for the actions of another event.
pub(crate) fn emptied<'b>(mut actions: Vec<Action<'_>>) -> Vec<Action<'b>> {
    actions.clear();
    actions.into_iter().map(|_| unreachable!("the list is empty")).collect()
}
