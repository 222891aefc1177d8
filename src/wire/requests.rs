//! Requests that the user's function may send to rank 0: data sets, and the dictionary that all ranks
//! share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::RunOutput;
use crate::util::error::{Error, Result};

/// The ticket of every request for a data set; each rank has at most one in flight.
pub(crate) const DATA: u64 = 0;

/// The user's function's access to rank 0.
pub(crate) trait MasterClient: Send + Sync {
    /// Sends rank 0 a request and waits for its reply.
    fn ask(&self, request: Request) -> Result<Reply>;

    /// Whether rank 0 has cancelled the task that this thread runs.
    fn is_cancelled(&self) -> bool;

    /// Claims the tasks of this thread's batch before `until`, because they may have begun: they go to no
    /// other worker. Replaces the claim before it. Returns where the claim ends: what follows is not this
    /// thread's any more.
    fn claim(&self, until: u64) -> u64;

    /// What this attempt at a task prints is gathered there. It goes with the result, if it is kept.
    fn gather(&self, _run: (u64, u32), _output: &Arc<RunOutput>) {}
}

/// A request from crunch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// A data set on rank 0: a point of the loop at this level.
    Data { level: usize, point: u64 },
    /// An operation on the shared dictionary.
    Dictionary(DictionaryOp, Bytes),
    /// Calls have imported these files, with these digests. Refused if that is not what rank 0 knows.
    Imported(Vec<(String, String)>),
    /// The same for calls of reductions.
    ImportedByReduction(Vec<(String, String)>),
    /// A piece of a file that the caller has written, which this host does not see: by its number, from this byte on.
    Carried { file: usize, offset: u64 },
    /// Whether a file that is missing here is there on the host of rank 0.
    IsThere(String),
    /// The Python and the packages of this worker, which differ from those of rank 0's host.
    Environment(BTreeMap<String, String>),
}

/// An operation on a key of the dictionary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum DictionaryOp {
    /// Put this value under it.
    Put(Bytes),
    /// Remove the value; with `wait`, wait until there is one.
    Take { wait: bool },
    /// Copy the value; with `wait`, wait until there is one.
    Fetch { wait: bool },
    /// Wait until there is a value, or until the timeout.
    Wait(Option<Duration>),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The data set, or the value of a key if there is one.
    Value(Option<Bytes>),
    Ready(bool),
    /// A piece of a file, with its BLAKE3 digest.
    Piece(Bytes, [u8; 32]),
    /// The error.
    Refused(String),
}

/// Turns a refusal into an error.
pub(crate) fn answered(reply: Reply) -> Result<Reply> {
    match reply {
        Reply::Refused(why) => Err(Error::unexpected(why)),
        reply => Ok(reply),
    }
}
