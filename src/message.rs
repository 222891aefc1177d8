//! Every message between master and worker, and its bincode form.
//!
//! bincode does not describe itself: no `flatten`, `untagged` or `skip_serializing_if` in anything
//! reachable from here. A task crosses as an index, because every rank holds the same grid.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};
use crate::grid::Key;
use crate::reduce::Item;
use crate::value::Value;

/// A decoder never believes a length beyond this, whatever a message claims. (bytes)
const LIMIT: usize = 1 << 36;

/// From a worker to the master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ToMaster {
    /// The first message: here I am. Sent again and again, until there is an answer.
    Hello {
        /// The worker's host name.
        host: String,
    },
    /// What came of tasks that were assigned, in the order they were assigned; asks for more when
    /// nothing assigned is left. The first request carries none.
    Done(Vec<Outcome>),
    /// What came of a group that was to be reduced; asks for more.
    Reduced {
        /// The group.
        key: Key,
        /// Its value, or why there is none.
        result: Result<Scored, String>,
    },
    /// A question from within crunch; its answer bears the same ticket.
    Ask {
        /// What the worker knows the question by.
        ticket: u64,
        /// The question.
        request: Request,
    },
    /// I am there, and have what I need to work. Sent again and again, whatever crunch is at.
    Beat {
        /// Whether I hold nothing that I have not answered.
        idle: bool,
    },
    /// A signal asks this rank for an end; its name.
    Interrupted(String),
    /// This worker cannot go on.
    Broken(String),
}

/// What a worker may need while it crunches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// A data set that lives on rank 0: a point of the loop at a level.
    Data {
        /// The loop's level.
        level: usize,
        /// The point's index.
        point: u64,
    },
    /// Something of the dictionary that rank 0 keeps for all.
    Dictionary(Deed, Bytes),
}

/// What to do with a key of the dictionary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Deed {
    /// Put this value under it.
    Put(Bytes),
    /// Take the value out; with `wait`, once there is one.
    Take {
        /// Whether to wait for it.
        wait: bool,
    },
    /// Copy the value; with `wait`, once there is one.
    Fetch {
        /// Whether to wait for it.
        wait: bool,
    },
    /// Say once there is a value, or when that long has passed without one.
    Wait(Option<Duration>),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The data set, or the value of a key; nothing where there is none.
    Value(Option<Bytes>),
    /// Whether there is a value.
    Ready(bool),
    /// It cannot be had: why.
    Refused(String),
}

/// From the master to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// The answer to `Hello`: the job, in its own bincode form, made once for all workers.
    Job(Bytes),
    /// Crunch these.
    Assign(Assignment),
    /// Reduce these items of a group, one a slot, and answer with [`ToMaster::Reduced`].
    Reduce {
        /// The group.
        key: Key,
        /// What its slots hold, in grid order.
        items: Vec<Item>,
    },
    /// The answer to a question.
    Reply {
        /// The question's.
        ticket: u64,
        /// The answer.
        reply: Reply,
    },
    /// What you crunch is of no use any more: come to an end, and report.
    Cancel,
    /// Rank 0 is there. Sent again and again, whatever it is at.
    Beat,
    /// There is nothing left to do: leave.
    Dismiss {
        /// Whether a worker has died, so that MPI may not be able to shut down.
        hurry: bool,
    },
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
pub(crate) struct Outcome {
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
}

/// A message's bincode form.
pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(message, bincode::config::standard())
        .expect("every message type has a bincode form")
}

/// A message back from its bincode form; an error if the bytes are no such message or too many.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let config = bincode::config::standard().with_limit::<LIMIT>();
    match bincode::serde::decode_from_slice(bytes, config) {
        Ok((message, read)) if read == bytes.len() => Ok(message),
        Ok((_, read)) => {
            Err(garbled(format!("{} bytes too many", bytes.len().saturating_sub(read))))
        }
        Err(error) => Err(garbled(error.to_string())),
    }
}

/// The bincode form of a value of the user's type, which may not have one.
pub(crate) fn encode_theirs<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .map_err(|error| theirs::<T>("cannot be written", &error))
}

/// Writes that form, which is not held in memory, and says how many bytes it has.
pub(crate) fn write_theirs<T: Serialize + ?Sized>(
    value: &T,
    mut out: &mut dyn Write,
) -> Result<usize> {
    bincode::serde::encode_into_std_write(value, &mut out, bincode::config::standard())
        .map_err(|error| theirs::<T>("cannot be written", &error))
}

/// A value of the user's type back from its bincode form.
pub(crate) fn decode_theirs<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let config = bincode::config::standard().with_limit::<LIMIT>();
    match bincode::serde::decode_from_slice(bytes, config) {
        Ok((value, read)) if read == bytes.len() => Ok(value),
        Ok((_, read)) => {
            let left = format!("{} bytes are left over", bytes.len().saturating_sub(read));
            Err(theirs::<T>("cannot be read back", &left))
        }
        Err(error) => Err(theirs::<T>("cannot be read back", &error)),
    }
}

fn theirs<T: ?Sized>(what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::input(format!(
        "a {} {what} in bincode's form ({why}); serde's flatten, untagged and skip_serializing_if do not work in what crosses between ranks",
        std::any::type_name::<T>()
    ))
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
                typed: Bytes::from_static(&[1, 2]),
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
