//! The user's functions, whatever they are written in: crunch and reductions, one trait each, a file
//! a kind.

#[cfg(feature = "jobs")]
mod builtin;
#[cfg(feature = "jobs")]
mod command;
pub(crate) mod context;
pub(crate) mod process;
#[cfg(feature = "jobs")]
mod python;
pub(crate) mod rust;

use std::ops::Range;
use std::sync::Arc;

use crate::executor::rust::{ErasedStudy, RustExecutor, RustReducer};
#[cfg(feature = "jobs")]
use crate::job;
use crate::job::Job;
use crate::model::{Key, Scored, SlotResult, Value};
use crate::util::error::Result;
use crate::util::text::beginning;
use crate::wire::requests::MasterClient;
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) use command::by_hand;
pub(crate) use process::child::Limits;

/// The largest result a child process may give: SQLite keeps no more than 10^9 bytes in a row.
/// (bytes)
#[cfg(feature = "jobs")]
const RESULT_LIMIT: u64 = 1 << 29;

/// What a run with a larger one fails with.
#[cfg(feature = "jobs")]
fn too_large(size: impl std::fmt::Display) -> String {
    format!("a result of {size}: write it to a file and return the file's name")
}

/// One call to make.
pub(crate) struct Task<'a> {
    pub(crate) job: &'a Job,
    pub(crate) index: u64,
    /// Which attempt this is, from 1.
    pub(crate) attempt: u32,
}

impl Task<'_> {
    /// Each loop's point, outermost first.
    pub(crate) fn coordinates(&self) -> Vec<(&str, Value)> {
        self.job.nest.coordinates(self.job.nest.task(self.index))
    }

    /// What crunch gave, with its score.
    #[cfg(feature = "jobs")]
    fn scored(&self, value: Value) -> Result<Scored, String> {
        score(value, &self.job.score, self.job.needs_score())
    }
}

/// What came of a call: mostly a plain number, which travels in registers. To move anything larger takes
/// longer than the shortest tasks do.
#[derive(Debug)]
pub(crate) enum CallResult {
    /// A plain number, not NaN.
    Number(f64),
    /// Anything else that crunch gave, or in words why it gave nothing.
    Other(Box<Result<Scored, String>>),
}

impl From<Result<Scored, String>> for CallResult {
    fn from(result: Result<Scored, String>) -> CallResult {
        match result.as_ref().ok().and_then(Scored::as_number) {
            Some(number) => CallResult::Number(number),
            None => CallResult::Other(Box::new(result)),
        }
    }
}

/// Where a crunch runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) rank: usize,
    /// Which of the worker's threads, from 0.
    pub(crate) thread: u32,
    /// How many cores it may use.
    pub(crate) cores: usize,
}

/// The expensive function, ready to be called again and again by one worker.
pub(crate) trait Executor {
    /// These tasks will be called for next, in this order, unless some turn out to be for others.
    fn expect(&mut self, _tasks: Range<u64>, _attempt: u32) {}

    /// How long the last call took, in seconds, where that is not the time until it returned.
    fn seconds(&self) -> Option<f64> {
        None
    }

    /// Makes one call. What it gives is kept; an error fails this run alone, in these words.
    fn crunch(&mut self, task: &Task) -> CallResult;
}

/// The user's functions that reduce groups, ready to be called again and again.
pub(crate) trait GroupReducer {
    /// The value of a group whose slots hold these items; an error, in words, leaves the group
    /// incomplete.
    fn reduce(&mut self, group: Key, items: &[SlotResult]) -> Result<Scored, String>;
}

/// The user's functions, as all threads of a process have them.
pub(crate) struct ExecutorRegistry {
    job: Arc<Job>,
    native: Option<Arc<ErasedStudy>>,
    /// The data sets of `ridge`.
    #[cfg(feature = "jobs")]
    tables: Arc<builtin::ridge::RidgeCache>,
}

impl ExecutorRegistry {
    /// `native` is the user's Rust, where the job is made of that.
    pub(crate) fn new(job: &Arc<Job>, native: Option<&Arc<ErasedStudy>>) -> ExecutorRegistry {
        ExecutorRegistry {
            job: job.clone(),
            native: native.cloned(),
            #[cfg(feature = "jobs")]
            tables: Arc::default(),
        }
    }

    /// What a thread crunches with.
    pub(crate) fn cruncher(
        &self,
        caller: &Arc<dyn MasterClient>,
        place: Slot,
    ) -> Box<dyn Executor> {
        let job = &self.job;
        if let Some(native) = &self.native {
            return Box::new(RustExecutor::new(job, native, caller, place));
        }
        match &job.crunch {
            #[cfg(feature = "jobs")]
            job::CrunchSpec::Multiply { sleep } => {
                Box::new(builtin::multiply::Multiply::new(job, sleep))
            }
            #[cfg(feature = "jobs")]
            job::CrunchSpec::Ridge { target, standardize } => Box::new(builtin::ridge::Ridge::new(
                job,
                &self.tables,
                target.clone(),
                *standardize,
            )),
            #[cfg(feature = "jobs")]
            job::CrunchSpec::Python(python) => {
                Box::new(python::crunch::PythonExecutor::new(job, python, caller, place))
            }
            #[cfg(feature = "jobs")]
            job::CrunchSpec::Command(arguments) => {
                Box::new(command::CommandExecutor::arguments(job, arguments, caller, place))
            }
            #[cfg(feature = "jobs")]
            job::CrunchSpec::Shell(text) => {
                Box::new(command::CommandExecutor::shell(job, text, caller, place))
            }
            _ => Box::new(Stranger),
        }
    }

    /// What a thread reduces groups with.
    pub(crate) fn reducer(&self, place: Slot) -> Box<dyn GroupReducer + Send> {
        reducer(&self.job, self.native.as_ref(), place)
    }
}

/// Makes what reduces groups where a function of the user's has to.
pub(crate) fn reducer(
    job: &Arc<Job>,
    native: Option<&Arc<ErasedStudy>>,
    #[cfg_attr(not(feature = "jobs"), allow(unused_variables))] place: Slot,
) -> Box<dyn GroupReducer + Send> {
    match native {
        Some(native) => Box::new(RustReducer::new(job, native)),
        #[cfg(feature = "jobs")]
        None => Box::new(python::reducer::PythonReducer::new(job, place)),
        #[cfg(not(feature = "jobs"))]
        None => Box::new(Stranger),
    }
}

/// Stands for functions this program does not have: rank 0 was started from another one.
struct Stranger;

const STRANGER: &str = "rank 0 runs a job of another program; start the same program on every rank";

impl Executor for Stranger {
    fn crunch(&mut self, _: &Task) -> CallResult {
        CallResult::from(Err(STRANGER.to_string()))
    }
}

impl GroupReducer for Stranger {
    fn reduce(&mut self, _: Key, _: &[SlotResult]) -> Result<Scored, String> {
        Err(STRANGER.to_string())
    }
}

/// Looks for what would make every run fail, before any is started: on rank 0, once.
#[cfg(feature = "jobs")]
pub(crate) fn check(job: &Job) -> Result<()> {
    python::functions::check_functions(job)?;
    match &job.crunch {
        job::CrunchSpec::Multiply { .. }
        | job::CrunchSpec::Python(_)
        | job::CrunchSpec::Native(_) => Ok(()),
        job::CrunchSpec::Ridge { target, .. } => builtin::ridge::check(job, target.as_deref()),
        job::CrunchSpec::Command(arguments) => command::check(job, "crunch.command", &arguments[0]),
        job::CrunchSpec::Shell(_) => command::check(job, "crunch.shell", "/bin/sh"),
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
    Ok(Scored { score: found, value, ..Scored::default() })
}

/// The beginning of a value, for an error.
fn short(value: &Value) -> String {
    beginning(&value.to_json().to_string(), 80)
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
