//! How the store has results read again from the files that runs have left. The executor knows how.

use std::path::Path;

use crate::model::{RunError, Scored};

/// A stored run whose result is to be read again.
pub(crate) struct KeptRun<'a> {
    /// Its task in the job, if it has one there.
    pub(crate) task: Option<u64>,
    pub(crate) attempt: u32,
    /// The folder that it has left.
    pub(crate) folder: &'a Path,
}

/// Reads the result, now that its files are known to be there.
pub(crate) type ReadResult<'a> = Box<dyn FnOnce() -> Result<Scored, RunError> + 'a>;

pub(crate) trait KeptResults {
    /// Why no run can be read again, if that is so.
    fn refusal(&self) -> Option<&str>;

    /// Finds the files of a run. The error says why they cannot be read again.
    fn of_run(&self, run: &KeptRun) -> Result<ReadResult<'_>, String>;

    /// Whether a run has failed because its program has ended well, but left no result.
    fn lacks_result(&self, error: &RunError) -> bool;
}
