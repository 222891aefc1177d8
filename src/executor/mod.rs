//! The user's functions in any language: one trait for crunch, one for reductions, one file per kind.

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

/// The largest result a child process may return, in bytes: SQLite keeps at most 10^9 bytes per row.
#[cfg(feature = "jobs")]
const RESULT_LIMIT: u64 = 1 << 29;

#[cfg(feature = "jobs")]
fn too_large(size: impl std::fmt::Display) -> String {
    format!("a result of {size}: write it to a file and return the file's name")
}

/// One call of crunch.
pub(crate) struct Task<'a> {
    pub(crate) job: &'a Job,
    pub(crate) index: u64,
    /// The number of the attempt, from 1.
    pub(crate) attempt: u32,
}

impl Task<'_> {
    /// Each loop's point, outermost first.
    pub(crate) fn coordinates(&self) -> Vec<(&str, Value)> {
        self.job.nest.coordinates(self.job.nest.task(self.index))
    }

    /// The value with its score.
    #[cfg(feature = "jobs")]
    fn scored(&self, value: Value) -> Result<Scored, String> {
        score(value, &self.job.score, self.job.needs_score())
    }
}

/// The result of a call. Usually a plain number, which fits in registers: moving anything larger would take
/// longer than the shortest tasks.
#[derive(Debug)]
pub(crate) enum CallResult {
    /// A plain number, not NaN.
    Number(f64),
    /// Any other result, or the error text.
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

/// The rank and thread that runs a task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) rank: usize,
    /// The worker's thread, from 0.
    pub(crate) thread: u32,
    pub(crate) cores: usize,
}

/// The user's crunch, called repeatedly by one worker thread.
pub(crate) trait Executor {
    /// Announces the tasks that will be called next, in order. Some may be reassigned to other workers.
    fn expect(&mut self, _tasks: Range<u64>, _attempt: u32) {}

    /// Duration of the last call in seconds, if it is not the time until it returned.
    fn seconds(&self) -> Option<f64> {
        None
    }

    /// Makes one call. An error fails this run only; it is stored as the error text.
    fn crunch(&mut self, task: &Task) -> CallResult;
}

/// The user's reductions, called repeatedly.
pub(crate) trait GroupReducer {
    /// The value of a group with these items in its slots. After an error the group stays incomplete.
    fn reduce(&mut self, group: Key, items: &[SlotResult]) -> Result<Scored, String>;
}

/// The user's functions, shared by all threads of a process.
pub(crate) struct ExecutorRegistry {
    job: Arc<Job>,
    study: Option<Arc<ErasedStudy>>,
    /// Cached data sets of `ridge`.
    #[cfg(feature = "jobs")]
    tables: Arc<builtin::ridge::RidgeCache>,
}

impl ExecutorRegistry {
    /// `native` is the user's Rust, if the job comes from a Rust program.
    pub(crate) fn new(job: &Arc<Job>, study: Option<&Arc<ErasedStudy>>) -> ExecutorRegistry {
        ExecutorRegistry {
            job: job.clone(),
            study: study.cloned(),
            #[cfg(feature = "jobs")]
            tables: Arc::default(),
        }
    }

    /// The executor of one thread.
    pub(crate) fn cruncher(
        &self,
        caller: &Arc<dyn MasterClient>,
        place: Slot,
    ) -> Box<dyn Executor> {
        let job = &self.job;
        if let Some(study) = &self.study {
            return Box::new(RustExecutor::new(job, study, caller, place));
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
            job::CrunchSpec::Shell(line) => {
                Box::new(command::CommandExecutor::shell(job, line, caller, place))
            }
            _ => Box::new(Stranger),
        }
    }

    pub(crate) fn reducer(&self, place: Slot) -> Box<dyn GroupReducer + Send> {
        reducer(&self.job, self.study.as_ref(), place)
    }
}

/// Creates the reducer for loops that a function of the user's reduces.
pub(crate) fn reducer(
    job: &Arc<Job>,
    study: Option<&Arc<ErasedStudy>>,
    #[cfg_attr(not(feature = "jobs"), allow(unused_variables))] place: Slot,
) -> Box<dyn GroupReducer + Send> {
    match study {
        Some(study) => Box::new(RustReducer::new(job, study)),
        #[cfg(feature = "jobs")]
        None => Box::new(python::reducer::PythonReducer::new(job, place)),
        #[cfg(not(feature = "jobs"))]
        None => Box::new(Stranger),
    }
}

/// Used where this program lacks the job's functions: rank 0 was started from another program.
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

/// Checks, once on rank 0, for errors that would make every run fail.
#[cfg(feature = "jobs")]
pub(crate) fn check(job: &Job) -> Result<()> {
    python::functions::check_functions(job)?;
    match &job.crunch {
        job::CrunchSpec::Multiply { .. }
        | job::CrunchSpec::Python(_)
        | job::CrunchSpec::Native(_) => Ok(()),
        job::CrunchSpec::Ridge { target, .. } => builtin::ridge::check(job, target.as_deref()),
        job::CrunchSpec::Command(arguments) => command::check(job, "crunch.command", &arguments[0]),
        job::CrunchSpec::Shell(line) => line
            .program()
            .map(drop)
            .map_err(|why| job.wrong("crunch.shell", format!("{} {why}", line.shell))),
    }
}

/// Finds the score in crunch's result: a number is its own score, a record has it under `key`. A NaN score,
/// or a missing score where one is needed, makes the run fail.
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
    // Numbers are stored as floats, so that 3 and 3.0 are the same result.
    let value = match (&value, found) {
        (Value::Int(_), Some(number)) => Value::Float(number),
        _ => value,
    };
    Ok(Scored { score: found, value, ..Scored::default() })
}

/// A value, shortened for an error message.
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
