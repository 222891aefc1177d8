//! The expensive function, whatever it is written in: one trait, a file a kind.

mod command;
mod environment;
mod multiply;
mod python;
mod ridge;

use std::sync::Arc;

use crate::error::Result;
use crate::job::{self, Job};
use crate::message::Scored;
use crate::value::Value;
use python::check_functions;
pub(crate) use python::{Slot, summarizer};

/// The largest result a run may have: SQLite keeps no more than 10^9 bytes in a row. (bytes)
const RESULT_LIMIT: u64 = 1 << 29;

/// What a run with a larger one fails with.
fn too_large(size: u64) -> String {
    format!(
        "a result of {size} bytes, over the limit of {RESULT_LIMIT}: write it to a file and return the file's name"
    )
}

/// One call to make.
pub(crate) struct Task<'a> {
    /// The job it is of.
    pub job: &'a Job,
    /// The task's index.
    pub index: u64,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Each loop's point, outermost first.
    pub coordinates: &'a [(&'a str, Value)],
}

impl Task<'_> {
    /// The task's own seed, the same on any rank: see [`Job::task_seed`].
    pub(crate) fn seed(&self) -> u32 {
        self.job.task_seed(self.coordinates)
    }
}

/// Where a crunch runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The worker's rank.
    pub rank: usize,
    /// How many cores it may use.
    pub cores: usize,
}

/// The expensive function, ready to be called again and again by one worker.
pub(crate) trait Crunch {
    /// Makes one call. What it gives is kept; an error fails this run alone, in these words.
    fn crunch(&mut self, task: &Task) -> Result<Value, String>;
}

/// Makes a worker's crunch.
pub(crate) fn prepare(job: &Arc<Job>, place: Place) -> Box<dyn Crunch> {
    match &job.crunch {
        job::Crunch::Multiply { sleep } => Box::new(multiply::Multiply::new(*sleep)),
        job::Crunch::Ridge { target, standardize } => {
            Box::new(ridge::Ridge::new(job, target.clone(), *standardize))
        }
        job::Crunch::Python(python) => Box::new(python::PythonCrunch::new(job, python, place)),
        job::Crunch::Command(arguments) => {
            Box::new(command::CommandCrunch::arguments(job, arguments, place))
        }
        job::Crunch::Shell(line) => Box::new(command::CommandCrunch::shell(job, line, place)),
    }
}

/// Looks for what would make every run fail, before any is started: on rank 0, once.
pub(crate) fn check(job: &Job) -> Result<()> {
    check_functions(job)?;
    match &job.crunch {
        job::Crunch::Multiply { .. } | job::Crunch::Python(_) => Ok(()),
        job::Crunch::Ridge { target, .. } => ridge::check(job, target.as_deref()),
        job::Crunch::Command(arguments) => command::check(job, "crunch.command", &arguments[0]),
        job::Crunch::Shell(_) => command::check(job, "crunch.shell", "/bin/sh"),
    }
}

/// Finds the score in what crunch gave: a number is its own score, a record has it under `key`.
/// A score that is NaN, or one that is missing where it is needed, makes a failed run.
pub(crate) fn score(value: Value, key: &str, needed: bool) -> Result<Scored, String> {
    let found = match &value {
        Value::Int(_) | Value::Float(_) => value.as_f64(),
        Value::Record(fields) => match value.field(key) {
            Some(number) => Some(number.as_f64().ok_or_else(|| {
                format!("the record's \"{key}\" is no number: {}", short(number))
            })?),
            None if needed => {
                let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
                let names = names.join(", ");
                return Err(format!(
                    "the record has no \"{key}\" (it has: {names}); name its score in [crunch] score"
                ));
            }
            None => None,
        },
        other if needed => {
            return Err(format!("expected a number or a record, got {}", short(other)));
        }
        _ => None,
    };
    if found.is_some_and(f64::is_nan) {
        return Err("the score is NaN".to_string());
    }
    // A plain number is kept as one kind, so that 3 and 3.0 are the same result.
    let value = match (&value, found) {
        (Value::Int(_), Some(number)) => Value::Float(number),
        _ => value,
    };
    Ok(Scored { score: found, value, best: Vec::new() })
}

/// The beginning of a value, for an error.
fn short(value: &Value) -> String {
    let text = value.to_json().to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_come_from_numbers_and_records() {
        let record = |json: &str| Value::parse(json).unwrap();
        assert_eq!(score(Value::Int(3), "score", true).unwrap(), Scored::number(3.0));
        let named = score(record(r#"{"rmse": 2, "fit": [1]}"#), "rmse", true).unwrap();
        assert_eq!(named.score, Some(2.0));
        assert!(score(record(r#"{"rmse": 2}"#), "score", true).unwrap_err().contains("rmse"));
        assert_eq!(score(record(r#"{"rmse": 2}"#), "score", false).unwrap().score, None);
        assert!(score(record(r#"{"score": "x"}"#), "score", false).is_err());
        assert!(score(Value::Float(f64::NAN), "score", false).unwrap_err().contains("NaN"));
        assert!(score(record("[1]"), "score", true).unwrap_err().contains("[1]"));
        assert_eq!(
            score(Value::Float(f64::INFINITY), "score", true).unwrap().score,
            Some(f64::INFINITY)
        );
    }
}
