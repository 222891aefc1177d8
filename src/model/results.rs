//! What comes of tasks: assignments, the results of attempts, the summaries of groups.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::nest::Key;
use crate::model::value::Value;

/// A range of tasks given to one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub(crate) first: u64,
    /// How many tasks, counting up from the first.
    pub(crate) count: u64,
    /// 1 for the first try of these tasks, and so on.
    pub(crate) attempt: u32,
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AttemptResult {
    pub(crate) task: u64,
    /// Which attempt this was; a stale one is refused.
    pub(crate) attempt: u32,
    /// When it started, in seconds since 1970.
    pub(crate) started: f64,
    /// How long crunch took, in seconds.
    pub(crate) seconds: f64,
    /// What crunch gave, or in words why it gave nothing.
    pub(crate) result: Result<Scored, String>,
}

/// A value with its score: what a run gave, or what a group was reduced to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scored {
    /// The number that reductions compare and add; never NaN.
    pub(crate) score: Option<f64>,
    /// Everything that was given.
    pub(crate) value: Value,
    /// The winning point of each loop that max or min decided, outermost first.
    pub(crate) best: Vec<Winner>,
    /// The Rust value's bincode form, where crunch or the reduction is the user's Rust.
    pub(crate) typed: Bytes,
}

/// The point of a loop that won a max or min.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Winner {
    /// The loop, counted from the outermost.
    pub(crate) level: usize,
    /// The index of the point in that loop.
    pub(crate) point: u64,
}

impl Scored {
    /// A plain number.
    pub(crate) fn number(number: f64) -> Scored {
        Scored { score: Some(number), value: Value::Float(number), ..Scored::default() }
    }

    /// The number, if this is nothing but one.
    pub(crate) fn as_number(&self) -> Option<f64> {
        match (self.score, &self.value) {
            (Some(score), Value::Float(value))
                if score.to_bits() == value.to_bits()
                    && self.best.is_empty()
                    && self.typed.is_empty() =>
            {
                Some(score)
            }
            _ => None,
        }
    }
}

/// About how many bytes a result holds, besides its own size.
pub(crate) fn weight(result: &Result<Scored, String>) -> usize {
    match result {
        Ok(scored) => scored.typed.len() + scored.value.weight(),
        Err(why) => why.len(),
    }
}

/// The reduced value of a group and what stands behind it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupSummary {
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
    pub(crate) failed: u64,
    pub(crate) closed: u64,
    /// Groups that closed without a value.
    pub(crate) incomplete: u64,
    /// Outcomes of tasks that were out twice and had come already.
    pub(crate) dropped: u64,
    /// Outcomes refused because nobody waits for them.
    pub(crate) refused: u64,
}
