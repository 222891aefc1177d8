//! Assignments, results of attempts and summaries of groups.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::model::key::Key;
use crate::model::value::Value;
use crate::model::value::json_text::JsonText;
use crate::util::shared_bytes;
#[cfg(feature = "cli")]
use crate::util::text::count;

/// A range of tasks given to one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// The attempt number, from 1.
    pub(crate) attempt: u32,
}

/// The result of an attempt of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AttemptResult {
    pub(crate) task: u64,
    /// The attempt number; results of stale attempts are refused.
    pub(crate) attempt: u32,
    /// When it started, in seconds since 1970.
    pub(crate) started: f64,
    /// Duration of the call of crunch in seconds.
    pub(crate) seconds: f64,
    pub(crate) result: Result<Scored, RunError>,
}

/// Why a run gave no result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum RunError {
    /// Crunch failed.
    Failed(String),
    /// Crunch gave this value, which has no score. It is kept, because another field may become the score.
    NoScore { why: String, value: Box<Value> },
    /// A file that crunch consists of is not what it was at the start: nothing of this attempt counts.
    FileChanged(String),
    /// Crunch cannot be called on this worker, whatever the task: nothing was begun.
    Unfit(String),
}

impl RunError {
    /// The error message.
    pub(crate) fn why(&self) -> &str {
        match self {
            RunError::Failed(why)
            | RunError::NoScore { why, .. }
            | RunError::FileChanged(why)
            | RunError::Unfit(why) => why,
        }
    }

    /// What crunch gave all the same.
    pub(crate) fn value(&self) -> Option<&Value> {
        match self {
            RunError::NoScore { value, .. } => Some(value),
            RunError::Failed(_) | RunError::FileChanged(_) | RunError::Unfit(_) => None,
        }
    }
}

impl From<String> for RunError {
    fn from(why: String) -> RunError {
        RunError::Failed(why)
    }
}

impl From<&str> for RunError {
    fn from(why: &str) -> RunError {
        RunError::Failed(why.to_string())
    }
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.why())
    }
}

/// A value with its score: of a run, or of a reduced group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scored {
    /// The number that reductions compare and add; never NaN.
    pub(crate) score: Option<f64>,
    /// The whole value.
    pub(crate) value: ResultValue,
    /// The winning point of each loop that max or min decided, outermost first.
    pub(crate) best: Vec<Winner>,
    /// The encoded Rust value, if crunch or the reduction is the user's Rust function.
    #[serde(deserialize_with = "shared_bytes::deserialize")]
    pub(crate) typed: Bytes,
    /// Of a group whose value rests on less than it could: its points.
    #[serde(skip)]
    pub(crate) partial: Option<PointCounts>,
}

/// The points of a group; where it chooses the best, those of all loops that do so without a break.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PointCounts {
    /// Those that the group's value rests on.
    pub(crate) counted: u64,
    /// Those without a result.
    pub(crate) failed: u64,
    /// Those with a result that took no part: it lacks the number that is compared, or too few of its own group
    /// have one.
    pub(crate) left_out: u64,
}

impl PointCounts {
    /// One point, with a result or without.
    pub(crate) fn one(has_result: bool) -> PointCounts {
        let counted = u64::from(has_result);
        PointCounts { counted, failed: 1 - counted, left_out: 0 }
    }

    /// As many points as there are of these keys, which all count.
    #[cfg(feature = "cli")]
    pub(crate) fn all_of(keys: std::ops::Range<u64>) -> PointCounts {
        PointCounts { counted: keys.end - keys.start, ..PointCounts::default() }
    }

    /// Adds points, which count or not.
    pub(crate) fn add(&mut self, points: PointCounts, counts: bool) {
        *(if counts { &mut self.counted } else { &mut self.left_out }) += points.counted;
        self.failed += points.failed;
        self.left_out += points.left_out;
    }

    pub(crate) fn all(self) -> u64 {
        self.counted + self.failed + self.left_out
    }

    pub(crate) fn lacks_some(self) -> bool {
        self.counted < self.all()
    }

    pub(crate) fn to_json(self) -> Json {
        let PointCounts { counted, failed, left_out } = self;
        json!({ "counted": counted, "failed": failed, "left_out": left_out })
    }

    /// What a best is the best of: `best of 114 of 120, 6 failed`, or `best of 50, 34 stopped early` where all count.
    #[cfg(feature = "cli")]
    pub(crate) fn of_best(self, stopped: u64) -> String {
        let mut words = match self.lacks_some() {
            true => format!("best of {} of {}", count(self.counted), count(self.all())),
            false => format!("best of {}", count(self.counted)),
        };
        let left_out = [(self.failed, "failed"), (self.left_out, "left out")];
        for (number, what) in left_out.into_iter().chain([(stopped, "stopped early")]) {
            if number > 0 {
                words += &format!(", {} {what}", count(number));
            }
        }
        words
    }
}

/// The value of a result: a tree, or its JSON if it is large.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ResultValue {
    Tree(Value),
    Json(JsonText),
}

impl ResultValue {
    pub(crate) fn get(&self) -> Cow<'_, Value> {
        match self {
            ResultValue::Tree(value) => Cow::Borrowed(value),
            ResultValue::Json(json) => Cow::Owned(json.to_value()),
        }
    }

    pub(crate) fn into_value(self) -> Value {
        match self {
            ResultValue::Tree(value) => value,
            ResultValue::Json(json) => json.to_value(),
        }
    }

    /// Approximate size in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            ResultValue::Tree(value) => value.weight(),
            ResultValue::Json(json) => json.len(),
        }
    }

    /// Gives its JSON, in pieces.
    pub(crate) fn json_pieces<E>(
        &self,
        out: &mut dyn FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            ResultValue::Tree(value) => value.json_pieces(out),
            ResultValue::Json(json) => out(json.as_str()),
        }
    }
}

impl Default for ResultValue {
    fn default() -> ResultValue {
        ResultValue::Tree(Value::Null)
    }
}

impl From<Value> for ResultValue {
    fn from(value: Value) -> ResultValue {
        ResultValue::Tree(value)
    }
}

/// The winning point of a max or min.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Winner {
    /// The loop, counted from the outermost.
    pub(crate) level: usize,
    /// The slot of the point in its group.
    pub(crate) slot: u64,
}

impl Scored {
    pub(crate) fn number(number: f64) -> Scored {
        Scored { score: Some(number), value: Value::Float(number).into(), ..Scored::default() }
    }

    /// The number, if the value is a plain number.
    pub(crate) fn as_number(&self) -> Option<f64> {
        match (self.score, &self.value) {
            (Some(score), ResultValue::Tree(Value::Float(value)))
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

/// Approximate size of a result's heap memory in bytes.
pub(crate) fn weight(result: Result<&Scored, &str>) -> usize {
    match result {
        Ok(scored) => scored.typed.len() + scored.value.weight(),
        Err(why) => why.len(),
    }
}

/// The reduced value of a group and its number of runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupSummary {
    pub(crate) key: Key,
    /// The value, or why the group is incomplete.
    pub(crate) result: Result<Scored, String>,
    /// How many runs below it succeeded.
    pub(crate) runs: u64,
    /// How many runs below it failed.
    pub(crate) failed: u64,
}

impl GroupSummary {
    /// Whether its value can be used: `complete`, `partial` where it rests on less than it could, and `incomplete`
    /// where it has none.
    pub(crate) fn state(&self) -> &'static str {
        match &self.result {
            Err(_) => "incomplete",
            // Stores of earlier versions do not say which points these runs belong to.
            Ok(scored) if scored.partial.is_some() || self.failed > 0 => "partial",
            Ok(_) => "complete",
        }
    }

    /// Its points, if its value rests on less than it could.
    pub(crate) fn partial(&self) -> Option<PointCounts> {
        self.result.as_ref().ok()?.partial
    }

    /// The same if it is a best, and some of the points could not win.
    #[cfg(feature = "cli")]
    pub(crate) fn best_of(&self) -> Option<PointCounts> {
        let scored = self.result.as_ref().ok().filter(|scored| !scored.best.is_empty())?;
        scored.partial.filter(|points| points.lacks_some())
    }
}

/// Progress counters of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Recorded runs, successful or not, those of earlier starts included.
    pub(crate) done: u64,
    /// Recorded runs of earlier starts.
    pub(crate) recalled: u64,
    /// Runs that are not made, of points that were stopped.
    pub(crate) skipped: u64,
    /// How many points were stopped.
    pub(crate) stopped: u64,
    /// Attempts that failed and were followed by another.
    pub(crate) retried: u64,
    /// Tasks requeued because their worker or a message was lost.
    pub(crate) given_back: u64,
    /// Workers that were given up.
    pub(crate) lost: u64,
    pub(crate) failed: u64,
    pub(crate) closed: u64,
    /// Groups that closed without a value.
    pub(crate) incomplete: u64,
    /// Groups that closed with a value that rests on less than all their points.
    pub(crate) partial: u64,
    /// Results of duplicated tasks that did not count.
    pub(crate) dropped: u64,
    /// Results of stale attempts, and invalid reports.
    pub(crate) refused: u64,
    /// Rows whose final call is recorded, those of earlier starts included, and how many of them failed.
    pub(crate) finals: u64,
    pub(crate) finals_failed: u64,
}

impl Tally {
    /// Counts a group that has closed.
    pub(crate) fn close(&mut self, summary: &GroupSummary) {
        self.closed += 1;
        self.incomplete += u64::from(summary.result.is_err());
        self.partial += u64::from(summary.partial().is_some());
    }
}
