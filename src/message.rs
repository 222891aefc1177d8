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

/// The same where the message is no longer than [`SMALL`]: bincode takes the memory a text claims before
/// it looks whether the text is there.
const LIMIT_OF_SMALL: usize = 1 << 21;
const SMALL: usize = 1 << 16;

/// From a worker to the master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ToMaster<'a> {
    /// The first message: here I am. Sent again and again, until there is an answer.
    Hello {
        /// The worker's host name.
        host: String,
        /// How many tasks it can be at at a time.
        threads: u32,
        /// Which process it is, where that can be told.
        process: Option<ProcessId>,
    },
    /// What came of tasks that were assigned; asks for more. The first request carries none.
    #[serde(borrow)]
    Done(Report<'a>),
    /// What came of a group that was to be reduced; asks for more.
    Reduced {
        /// The group.
        key: Key,
        /// Its value, or why there is none.
        result: Result<Scored, String>,
    },
    /// A question from within crunch; its answer bears the same ticket.
    Ask {
        /// Which of the worker's threads asks.
        thread: u32,
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
    /// I leave, and have used so many seconds of processor time.
    Farewell(f64),
    /// A signal asks this rank for an end; its name.
    Interrupted(String),
    /// This worker cannot go on.
    Broken(String),
}

/// A process, told apart from every other one that was or will be on any machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    /// The machine since it was started, and the name space that the number belongs to.
    pub(crate) place: String,
    /// Its number there.
    pub(crate) number: u32,
    /// When it started, by the machine's own count: numbers are used again.
    pub(crate) started: u64,
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
    /// What you crunch (of one task, or whatever it is) is of no use any more: come to an end, and
    /// report.
    Cancel(Option<u64>),
    /// Rank 0 is there. Sent again and again, whatever it is at.
    Beat,
    /// There is nothing left to do: leave.
    Dismiss {
        /// Whether a worker has died, so that MPI may not be able to shut down.
        hurry: bool,
        /// Whether rank 0 waits for a farewell.
        farewell: bool,
    },
}

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
    Outcomes(Vec<Outcome>),
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
    pub(crate) fn outcomes(self) -> impl Iterator<Item = Outcome> + use<'a> {
        let (mut task, mut started) = (self.first, self.started);
        self.each().map(move |(score, seconds)| {
            let result = Ok(Scored::number(score));
            let outcome = Outcome { task, attempt: self.attempt, started, seconds, result };
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
    pub(crate) fn of(outcomes: Vec<Outcome>) -> Report<'static> {
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

/// A message's bincode form.
pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(message, bincode::config::standard())
        .expect("every message type has a bincode form")
}

/// The same into a buffer, in place of what is there.
pub(crate) fn encode_into(message: &impl Serialize, buffer: &mut Vec<u8>) {
    buffer.clear();
    bincode::serde::encode_into_std_write(message, buffer, bincode::config::standard())
        .expect("every message type has a bincode form");
}

/// A message back from its bincode form; an error if the bytes are no such message or too many.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    let config = bincode::config::standard();
    let decoded = if bytes.len() <= SMALL {
        bincode::serde::borrow_decode_from_slice(bytes, config.with_limit::<LIMIT_OF_SMALL>())
    } else {
        bincode::serde::borrow_decode_from_slice(bytes, config.with_limit::<LIMIT>())
    };
    match decoded {
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
    let config = bincode::config::standard();
    let decoded = if bytes.len() <= SMALL {
        bincode::serde::decode_from_slice(bytes, config.with_limit::<LIMIT_OF_SMALL>())
    } else {
        bincode::serde::decode_from_slice(bytes, config.with_limit::<LIMIT>())
    };
    match decoded {
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
        let message = ToMaster::Done(Report::of(vec![outcome]));
        assert_eq!(decode::<ToMaster>(&encode(&message)).unwrap(), message);
    }

    #[test]
    fn numbers_survive_the_wire_and_can_be_taken_apart() {
        let mut packed = Vec::new();
        for task in 0..4 {
            pack(&[f64::from(task) - 1.5], 0.25, &mut packed);
        }
        let numbers = Numbers::new(10, 2, 100.0, &packed);
        let made = Made::Numbers(numbers);
        let unbegun = Some(Assignment { first: 14, count: 2, attempt: 2 });
        let bytes = encode(&ToMaster::Done(Report { thread: 3, made: made.clone(), unbegun }));
        let ToMaster::Done(report) = decode(&bytes).unwrap() else { panic!() };
        assert_eq!((report.thread, report.made, report.unbegun), (3, made, unbegun));
        let part = numbers.part(12, 2);
        assert_eq!(part.each().collect::<Vec<_>>(), [(0.5, 0.25), (1.5, 0.25)]);
        let last = part.outcomes().last().unwrap();
        assert_eq!((last.task, last.attempt, last.started), (13, 2, 100.75));
        assert_eq!(last.result.unwrap().as_number(), Some(1.5));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_not_fatal(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<ToMaster>(&bytes);
            let _ = decode::<ToWorker>(&bytes);
        }
    }
}
