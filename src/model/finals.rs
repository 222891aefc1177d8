//! The final call of a row: what it is given, and what becomes of it.

use serde::{Deserialize, Serialize};

use crate::model::key::Key;
use crate::model::results::{RunError, Scored};

/// An attempt at the final call of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FinalCall {
    /// The row: a closed group of the outermost loops.
    pub(crate) row: Key,
    /// The attempt number, from 1.
    pub(crate) attempt: u32,
    /// The row's summary, with the winning points.
    pub(crate) summary: Scored,
}

/// The result of an attempt at a final call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FinalResult {
    pub(crate) row: Key,
    pub(crate) attempt: u32,
    /// When it started, in seconds since 1970, and its duration in seconds.
    pub(crate) started: f64,
    pub(crate) seconds: f64,
    pub(crate) result: Result<Scored, RunError>,
    /// The name of the temporary folder with its products, if it has made any.
    pub(crate) products: Option<String>,
}

/// What rank 0 knows of the final call of a row that has closed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FinalState {
    /// It is to be made, and gets this summary.
    Due(Scored),
    /// An earlier start has made it, of all that it would be given now.
    Known { failed: bool },
}
