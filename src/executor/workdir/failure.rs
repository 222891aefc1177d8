//! Why the folder of an attempt cannot be made, filled or kept.

use std::io::{self, ErrorKind};

use crate::model::RunError;

/// Why something was not done.
pub(super) enum Failure {
    Run(RunError),
    /// The disk is full.
    Io(io::Error),
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        Failure::Run(error)
    }
}

pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
