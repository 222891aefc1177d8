//! Every message between master and worker, and its bincode form.
//!
//! bincode is not self-describing: no type reachable from here may use `flatten`, `untagged` or
//! `skip_serializing_if`. A task is sent as its index, because every rank has the same nest.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::{
    Assignment, FinalCall, FinalResult, HostShare, Key, OutputPiece, Report, Scored, SeenResources,
    SlotResult,
};
use crate::util::error::Result;
use crate::util::process::ProcessId;
use crate::wire::requests::{Reply, Request};

/// From a worker to the master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ToMaster<'a> {
    /// The first message. Repeated until it is answered.
    Hello {
        host: String,
        /// How many tasks it runs in parallel.
        threads: u32,
        /// How many cores it may use.
        cores: u32,
        /// Its process, where the platform can tell.
        process: Option<ProcessId>,
        /// The time on its clock, in seconds since 1970.
        clock: f64,
    },
    /// What it sees of its host, if tasks need anything of it. Repeated until it is answered.
    Seen(Box<SeenResources>),
    /// Results of assigned tasks, and a request for more. The first request carries none.
    #[serde(borrow)]
    Done(Report<'a>),
    /// The result of a reduction, and a request for more.
    Reduced {
        key: Key,
        /// The group's value, or the error.
        result: Result<Scored, String>,
    },
    /// The result of a final call, and a request for more.
    Final(Box<FinalResult>),
    /// A final call that waits behind long work is given back.
    FinalUnbegun { row: Key, attempt: u32 },
    /// A request from crunch; its reply has the same ticket.
    Ask {
        /// Which of the worker's threads sent it.
        thread: u32,
        ticket: u64,
        request: Request,
    },
    /// What a run that somebody follows has printed.
    Output(OutputPiece),
    /// A heartbeat of a worker that has the job; sent also while crunch runs.
    Heartbeat {
        /// Whether the worker holds nothing unanswered.
        idle: bool,
        /// Whether crunch may have threads of its own that compute while it waits for a value.
        computes: bool,
    },
    /// The worker leaves; its CPU time in seconds.
    Farewell(f64),
    /// The name of a signal that asked this rank to end.
    Interrupted(String),
    /// Why this worker cannot run crunch; it waits for its dismissal.
    Sick(String),
    /// A fatal error of this worker.
    Broken(String),
}

/// From the master to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// The answer to `Hello`: the job, encoded once for all workers.
    Job(Bytes),
    /// The answer to `Seen`: what the worker may use of its host.
    Share(HostShare),
    /// Tasks to crunch.
    Assign(Assignment),
    /// A group to reduce; answered by [`ToMaster::Reduced`].
    Reduce {
        key: Key,
        /// One item per slot, in grid order.
        items: Vec<SlotResult>,
    },
    /// A final call to make; answered by [`ToMaster::Final`].
    Final(Box<FinalCall>),
    /// The reply to a request.
    Reply { ticket: u64, reply: Reply },
    /// Cancel this task, or everything if `None`, and report.
    Cancel(Option<u64>),
    /// The tasks of this worker whose output somebody follows, in place of those before.
    Follow(Vec<u64>),
    /// Rank 0's heartbeat, sent also while rank 0 is busy.
    Heartbeat,
    /// No work is left: the worker leaves.
    Dismiss {
        /// Whether a worker has died, so that `MPI_Finalize` might hang.
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
            ])
            .into(),
            best: vec![Winner { level: 1, slot: 7 }],
            typed: Bytes::from_static(&[1, 2]),
            partial: None,
        };
        let mut runs = RunBatch::default();
        runs.restart(u64::MAX - 3, 2, 1.5);
        runs.push_number(-1.5, 0.25);
        runs.push(Ok(record), 0.25);
        runs.push(Err("no".into()), 0.5);
        let output = crate::model::RunOutput::default();
        output.push(b"oh");
        runs.push_log(output.log().unwrap());
        let expected = runs.clone();
        let unbegun = Some(Assignment { first: 14, count: 2, attempt: 2 });
        let bytes =
            encode(&ToMaster::Done(Report { thread: 3, runs: runs.lend(), unbegun, early: false }));
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
