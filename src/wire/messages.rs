//! Every message between master and worker, and its bincode form.
//!
//! bincode does not describe itself: no `flatten`, `untagged` or `skip_serializing_if` in anything
//! reachable from here. A task crosses as an index, because every rank holds the same nest.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::{Assignment, Key, Report, Scored, SlotResult};
use crate::util::error::Result;
use crate::util::process::ProcessId;
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
        /// Which process it is, where that can be told.
        process: Option<ProcessId>,
    },
    /// The runs of tasks that were assigned; asks for more. The first request carries none.
    #[serde(borrow)]
    Done(Report<'a>),
    /// What came of a group that was to be reduced; asks for more.
    Reduced {
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
        request: Request,
    },
    /// I am there, and have what I need to work. Sent again and again, whatever crunch is at.
    Heartbeat {
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
        key: Key,
        /// What its slots hold, in grid order.
        items: Vec<SlotResult>,
    },
    /// The answer to a question.
    Reply { ticket: u64, reply: Reply },
    /// What you crunch (of one task, or whatever it is) is of no use any more: come to an end, and
    /// report.
    Cancel(Option<u64>),
    /// Rank 0 is there. Sent again and again, whatever it is at.
    Heartbeat,
    /// There is nothing left to do: leave.
    Dismiss {
        /// Whether a worker has died, so that MPI may not be able to shut down.
        skip_finalize: bool,
        /// Whether rank 0 waits for a farewell.
        farewell: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RunBatch, Value, Winner};
    use crate::wire::codec::{decode, encode};
    use proptest::prelude::*;

    #[test]
    fn reports_survive_the_wire() {
        let record = Scored {
            score: Some(f64::INFINITY),
            value: Value::Record(vec![
                ("a".into(), Value::Null),
                ("b".into(), Value::List(vec![Value::Int(-1), Value::Bool(true)])),
            ]),
            best: vec![Winner { level: 1, point: 7 }],
            typed: Bytes::from_static(&[1, 2]),
        };
        let mut runs = RunBatch::default();
        runs.restart(u64::MAX - 3, 2, 1.5);
        runs.push_number(-1.5, 0.25);
        runs.push(Ok(record), 0.25);
        runs.push(Err("no".to_string()), 0.5);
        let expected = runs.clone();
        let unbegun = Some(Assignment { first: 14, count: 2, attempt: 2 });
        let bytes = encode(&ToMaster::Done(Report { thread: 3, runs: runs.lend(), unbegun }));
        let ToMaster::Done(report) = decode(&bytes).unwrap() else { panic!() };
        assert_eq!((report.thread, report.runs, report.unbegun), (3, expected, unbegun));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_not_fatal(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<ToMaster>(&bytes);
            let _ = decode::<ToWorker>(&bytes);
        }
    }
}
