//! What comes of tasks: assignments, the results of attempts, and batches of them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::nest::Key;
use crate::model::value::Value;

/// What one of a worker's threads made of tasks it was assigned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report<'a> {
    /// Which thread, from 0.
    pub(crate) thread: u32,
    /// What came of tasks.
    #[serde(borrow)]
    pub(crate) made: Made<'a>,
    /// Assigned tasks that were not begun, and will not be: they are for others to do.
    pub(crate) unbegun: Option<Assignment>,
}

/// What came of tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Made<'a> {
    /// Whatever it is.
    Outcomes(Vec<AttemptResult>),
    /// Plain numbers, of consecutive tasks.
    #[serde(borrow)]
    Numbers(Numbers<'a>),
}

/// The scores of consecutive tasks that gave plain numbers, one after another on one thread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Numbers<'a> {
    /// The first task.
    pub(crate) first: u64,
    /// Which attempt of all of them this was.
    pub(crate) attempt: u32,
    /// When the first one started, in seconds since 1970.
    pub(crate) started: f64,
    /// For each task its score, which is not NaN, and its seconds; little-endian.
    #[serde(borrow, with = "serde_bytes")]
    packed: &'a [u8],
}

/// What a task takes among [`Numbers`]. (bytes)
pub(crate) const PACKED: usize = 16;

impl<'a> Numbers<'a> {
    /// Numbers out of what [`pack`] has put together.
    pub(crate) fn new(first: u64, attempt: u32, started: f64, packed: &'a [u8]) -> Numbers<'a> {
        Numbers { first, attempt, started, packed }
    }

    /// How many tasks.
    pub(crate) fn count(&self) -> u64 {
        (self.packed.len() / PACKED) as u64
    }

    /// Each task's score and seconds.
    pub(crate) fn each(&self) -> impl Iterator<Item = (f64, f64)> + use<'a> {
        let number = |bytes: &[u8]| bytes.first_chunk().map_or(0.0, |b| f64::from_le_bytes(*b));
        self.packed.chunks_exact(PACKED).map(move |task| (number(task), number(&task[8..])))
    }

    /// Those of `count` tasks from `first` on, which must be among these.
    pub(crate) fn part(&self, first: u64, count: u64) -> Numbers<'a> {
        let from = (first - self.first) as usize;
        let before: f64 = self.each().take(from).map(|(_, seconds)| seconds).sum();
        let packed = &self.packed[from * PACKED..(from + count as usize) * PACKED];
        Numbers { first, started: self.started + before, packed, ..*self }
    }

    /// Each as an outcome of its own.
    pub(crate) fn outcomes(self) -> impl Iterator<Item = AttemptResult> + use<'a> {
        let (mut task, mut started) = (self.first, self.started);
        self.each().map(move |(score, seconds)| {
            let result = Ok(Scored::number(score));
            let outcome = AttemptResult { task, attempt: self.attempt, started, seconds, result };
            task += 1;
            started += seconds;
            outcome
        })
    }

    /// The numbers, packed.
    pub(crate) fn packed(&self) -> &'a [u8] {
        self.packed
    }
}

/// Adds tasks' scores, and the seconds that each of them took, to what becomes [`Numbers`].
pub(crate) fn pack(scores: &[f64], seconds: f64, packed: &mut Vec<u8>) {
    packed.reserve(scores.len() * PACKED);
    for score in scores {
        let mut task = [0; PACKED];
        task[..8].copy_from_slice(&score.to_le_bytes());
        task[8..].copy_from_slice(&seconds.to_le_bytes());
        packed.extend_from_slice(&task);
    }
}

impl Report<'_> {
    /// Outcomes of the worker's first thread.
    pub(crate) fn of(outcomes: Vec<AttemptResult>) -> Report<'static> {
        Report { thread: 0, made: Made::Outcomes(outcomes), unbegun: None }
    }
}

/// A range of tasks given to one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assignment {
    /// The first task.
    pub(crate) first: u64,
    /// How many tasks, counting up from the first.
    pub(crate) count: u64,
    /// 1 for the first try of these tasks, and so on.
    pub(crate) attempt: u32,
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AttemptResult {
    /// The task's index.
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

/// What crunch gave: mostly a number, which is worth being light.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Given {
    /// A plain number, not NaN.
    Number(f64),
    /// Anything else.
    Scored(Box<Scored>),
}

impl From<Scored> for Given {
    fn from(scored: Scored) -> Given {
        match scored.as_number() {
            Some(number) => Given::Number(number),
            None => Given::Scored(Box::new(scored)),
        }
    }
}

impl From<Given> for Scored {
    fn from(given: Given) -> Scored {
        match given {
            Given::Number(number) => Scored::number(number),
            Given::Scored(scored) => *scored,
        }
    }
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

/// What came of a task, and where.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    /// What came of it.
    pub(crate) outcome: AttemptResult,
    /// The worker's rank.
    pub(crate) rank: usize,
    /// Which of the worker's threads.
    pub(crate) thread: u32,
}

/// The reduced value of a group and what stands behind it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupSummary {
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
