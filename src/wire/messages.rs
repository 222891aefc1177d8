//! Every message between master and worker, and its bincode form.
//!
//! bincode does not describe itself: no `flatten`, `untagged` or `skip_serializing_if` in anything
//! reachable from here. A task crosses as an index, because every rank holds the same nest.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::nest::Key;
use crate::model::reduce::SlotResult;
use crate::model::results::{Assignment, Report, Scored};
use crate::util::error::Result;
use crate::wire::requests::{Reply, Request};

/// From a worker to the master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ToMaster<'a> {
    /// The first message: here I am. Sent again and again, until there is an answer.
    Hello {
        /// The worker's host name.
        host: String,
        /// How many tasks it can be at at a time.
        threads: u32,
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
        items: Vec<SlotResult>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::results::{AttemptResult, Made, Numbers, Winner, pack};
    use crate::model::value::Value;
    use crate::wire::codec::{decode, encode};
    use proptest::prelude::*;

    #[test]
    fn messages_survive_the_wire() {
        let outcome = AttemptResult {
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
