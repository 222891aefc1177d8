//! Every message between master and worker, and its bincode form.
//!
//! bincode does not describe itself: no `flatten`, `untagged` or `skip_serializing_if` in anything
//! reachable from here. A task crosses as an index, because every rank holds the same grid.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};
use crate::value::Value;

/// A decoder never believes a length beyond this, whatever a message claims. (bytes)
const LIMIT: usize = 1 << 36;

/// From a worker to the master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToMaster {
    /// The first message: here I am.
    Hello {
        /// The worker's host name.
        host: String,
    },
    /// What came of tasks that were assigned, in the order they were assigned; asks for more when
    /// nothing assigned is left. The first request carries none.
    Done(Vec<Outcome>),
    /// This worker cannot go on.
    Broken(String),
}

/// From the master to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The answer to `Hello`: the job, in its own bincode form, made once for all workers.
    Job(Vec<u8>),
    /// Crunch these.
    Assign(Assignment),
    /// There is nothing left to do: leave.
    Dismiss,
}

/// A range of tasks given to one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The first task.
    pub first: u64,
    /// How many tasks, counting up from the first.
    pub count: u64,
    /// 1 for the first try of these tasks, and so on.
    pub attempt: u32,
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The task's index.
    pub task: u64,
    /// Which attempt this was; a stale one is refused.
    pub attempt: u32,
    /// When it started, in seconds since 1970.
    pub started: f64,
    /// How long crunch took, in seconds.
    pub seconds: f64,
    /// What crunch gave, or in words why it gave nothing.
    pub result: Result<Scored, String>,
}

/// A value with its score: what a run gave, or what a group was reduced to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The number that reductions compare and add; never NaN.
    pub score: Option<f64>,
    /// Everything that was given.
    pub value: Value,
    /// The winning point of each loop that max or min decided, outermost first.
    pub best: Vec<Winner>,
}

/// The point of a loop that won a max or min.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Winner {
    /// The loop, counted from the outermost.
    pub level: usize,
    /// The index of the point in that loop.
    pub point: u64,
}

impl Scored {
    /// A plain number.
    pub fn number(number: f64) -> Scored {
        Scored { score: Some(number), value: Value::Float(number), best: Vec::new() }
    }
}

/// A message's bincode form.
///
/// ```
/// use gridmpi::message::{Assignment, ToWorker, decode, encode};
/// let message = ToWorker::Assign(Assignment { first: 41, count: 2, attempt: 1 });
/// let bytes = encode(&message);
/// assert!(bytes.len() < 8);
/// assert_eq!(decode::<ToWorker>(&bytes)?, message);
/// # Ok::<(), gridmpi::error::Error>(())
/// ```
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(message, bincode::config::standard())
        .expect("every message type has a bincode form")
}

/// A message back from its bincode form; an error if the bytes are no such message or too many.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let config = bincode::config::standard().with_limit::<LIMIT>();
    match bincode::serde::decode_from_slice(bytes, config) {
        Ok((message, read)) if read == bytes.len() => Ok(message),
        Ok((_, read)) => {
            Err(garbled(format!("{} bytes too many", bytes.len().saturating_sub(read))))
        }
        Err(error) => Err(garbled(error.to_string())),
    }
}

fn garbled(why: String) -> Error {
    Error::unexpected(format!(
        "a message between ranks is garbled ({why}); do all ranks run the same gridmpi?"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_survive_the_wire() {
        let outcome = Outcome {
            task: u64::MAX,
            attempt: 2,
            started: 1.5,
            seconds: 0.25,
            result: Ok(Scored {
                score: Some(f64::INFINITY),
                value: Value::Record(vec![
                    ("a".into(), Value::Null),
                    ("b".into(), Value::List(vec![Value::Int(-1), Value::Bool(true)])),
                ]),
                best: vec![Winner { level: 1, point: 7 }],
            }),
        };
        let message = ToMaster::Done(vec![outcome]);
        assert_eq!(decode::<ToMaster>(&encode(&message)).unwrap(), message);
    }

    proptest! {
        #[test]
        fn garbage_is_refused_not_fatal(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<ToMaster>(&bytes);
            let _ = decode::<ToWorker>(&bytes);
        }
    }
}
