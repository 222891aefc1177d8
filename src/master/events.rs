//! The master's input and output: events and actions.

use crate::model::{
    Assignment, AttemptResult, FinalCall, FinalResult, FinalState, GroupSummary, Key, Report,
    RunBatch, Scored, SlotResult, StoppedPoint,
};

/// An input of the master.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event<'a> {
    /// A worker sent its hello.
    Joined {
        rank: usize,
        host: String,
        /// How many tasks it runs in parallel.
        threads: u32,
    },
    /// A worker was told its share of its host: how many tasks it runs in parallel, none if it stays idle.
    Shared { rank: usize, threads: u32 },
    /// A worker returned runs (none in its first request) and may want more.
    Done { rank: usize, report: Report<'a> },
    /// A result of an earlier start, already in the store. These come in grid order, before any other
    /// event.
    Recalled(AttemptResult),
    /// A group was reduced outside the master.
    Reduced {
        /// The worker that reduced it; `None` for rank 0.
        rank: Option<usize>,
        key: Key,
        /// The group's value, or the error.
        result: Result<Scored, String>,
    },
    /// Rank 0 has looked whether the final call of a row that has closed is known from an earlier start.
    FinalJudged { row: Key, state: FinalState },
    /// A worker has made a final call.
    FinalDone { rank: usize, result: Box<FinalResult> },
    /// A worker hands back a final call that it has not begun, because it is busy for long.
    FinalUnbegun { rank: usize, row: Key, attempt: u32 },
    /// A worker's heartbeat.
    Heartbeat {
        rank: usize,
        /// Whether it holds nothing and is receiving nothing.
        idle: bool,
    },
    /// A long message to or from a worker has made progress, which counts as a sign of life.
    Alive { rank: usize },
    /// A worker gave a sign of life while a message to it is still being sent, of which it cannot know.
    Sending { rank: usize },
    /// A worker reported a fatal error.
    Broken { rank: usize },
    /// A worker cannot run crunch, or the reduction that it was told to run, and waits for its dismissal.
    Sick { rank: usize, why: String },
    /// A worker's process or its connection seems to have ended.
    Lost { rank: usize },
    /// Start no more tasks; let running tasks finish.
    Drain,
    /// Start no more tasks and cancel the running ones.
    Stop,
    /// Nothing but the passage of time, for leases and stragglers.
    Tick,
}

impl Event<'_> {
    /// The worker that this event is a sign of life of.
    pub(super) fn sender(&self) -> Option<usize> {
        match self {
            Event::Joined { rank, .. }
            | Event::Done { rank, .. }
            | Event::Reduced { rank: Some(rank), .. }
            | Event::FinalDone { rank, .. }
            | Event::FinalUnbegun { rank, .. }
            | Event::Sick { rank, .. }
            | Event::Heartbeat { rank, .. }
            | Event::Alive { rank }
            | Event::Sending { rank } => Some(*rank),
            _ => None,
        }
    }
}

/// An output of the master. Actions are carried out in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action<'a> {
    /// Register the worker and send it the job.
    Welcome { rank: usize, host: String },
    /// Write these runs to the store.
    Record {
        rank: usize,
        /// Which of the worker's threads made them.
        thread: u32,
        runs: RunBatch<'a>,
    },
    /// Write the summary of a closed group to the store.
    Close(Box<GroupSummary>),
    /// Write that not all runs of this point are made.
    StopPoint(Box<StoppedPoint>),
    /// Reduce these items, one per slot, and report with [`Event::Reduced`].
    Reduce {
        /// The worker to send them to; `None` for rank 0.
        rank: Option<usize>,
        key: Key,
        /// The group's slots in grid order.
        items: Vec<SlotResult>,
    },
    /// Send this final call to the worker.
    Final { rank: usize, call: Box<FinalCall> },
    /// Write the result of a final call to the store. Another attempt may follow one that failed.
    RecordFinal { rank: usize, result: Box<FinalResult> },
    /// Send these tasks to the worker.
    Assign { rank: usize, assignment: Assignment },
    /// Tell the worker to cancel what it is running.
    Cancel {
        rank: usize,
        /// Only this task; everything if `None`.
        task: Option<u64>,
    },
    /// The worker's lease has expired; its tasks go to others.
    Miss { rank: usize },
    /// Record that this attempt gave no result because its worker was lost. Another attempt follows.
    GiveBack { task: u64, attempt: u32, rank: usize },
    /// Record that this attempt is cut off after it has run for this long.
    CutOff { rank: usize, task: u64, attempt: u32, seconds: f64 },
    /// Say that a file which crunch consists of differs from what it was at the start. The job drains.
    FileChanged { rank: usize, why: String },
    /// Say that the worker cannot work: it is given nothing more.
    Sick { rank: usize, why: String },
    /// Tell the worker to leave.
    Dismiss {
        rank: usize,
        /// Whether other workers were lost, so that `MPI_Finalize` might hang.
        skip_finalize: bool,
    },
}

/// Reuses the allocation of this list for the actions of another event.
#[inline(always)]
pub(crate) fn emptied<'b>(mut actions: Vec<Action<'_>>) -> Vec<Action<'b>> {
    actions.clear();
    actions.into_iter().map(|_| unreachable!("the list is empty")).collect()
}
