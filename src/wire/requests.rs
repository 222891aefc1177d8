//! What the user's function may ask of rank 0 while it runs: data sets, and the dictionary that all
//! ranks share.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::util::error::{Error, Result};

/// The ticket of every request for a data set: a rank makes one at a time.
pub(crate) const DATA: u64 = 0;

/// What a function that a worker calls has of rank 0.
pub(crate) trait MasterClient: Send + Sync {
    /// Sends rank 0 a request and waits for its reply.
    fn ask(&self, request: Request) -> Result<Reply>;

    /// Whether rank 0 has cancelled the task that this thread runs.
    fn is_cancelled(&self) -> bool;
}

/// What a worker may need while it crunches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// A data set that lives on rank 0: a point of the loop at a level.
    Data { level: usize, point: u64 },
    /// Something of the dictionary that rank 0 keeps for all.
    Dictionary(DictionaryOp, Bytes),
}

/// What to do with a key of the dictionary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum DictionaryOp {
    /// Put this value under it.
    Put(Bytes),
    /// Take the value out; with `wait`, once there is one.
    Take { wait: bool },
    /// Copy the value; with `wait`, once there is one.
    Fetch { wait: bool },
    /// Say once there is a value, or when that long has passed without one.
    Wait(Option<Duration>),
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The data set, or the value of a key; nothing where there is none.
    Value(Option<Bytes>),
    Ready(bool),
    /// It cannot be had: why.
    Refused(String),
}

/// Rank 0's refusal as an error.
pub(crate) fn answered(reply: Reply) -> Result<Reply> {
    match reply {
        Reply::Refused(why) => Err(Error::unexpected(why)),
        reply => Ok(reply),
    }
}
