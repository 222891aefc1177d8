//! The input and the result of a run on rank 0.

use std::sync::Arc;
use std::time::Duration;

use crate::executor::ReadyChildren;
use crate::job::{Job, PointDigests, PythonModules};
use crate::model::{GroupSummary, LoopNest, Tally};
use crate::rank0::timing::Timing;
use crate::store::{Folder, Results};
use crate::util::error::{Exit, Result};

/// Callback for each summary of one level.
pub(crate) type Listener = Box<dyn FnMut(&LoopNest, &GroupSummary) -> Result<(), String> + Send>;

/// A validated job, ready to run.
pub(crate) struct PreparedJob {
    pub(crate) job: Job,
    /// The text of the job file, if there is one; stored with the runs.
    pub(crate) text: String,
    /// The version that the user gives to a crunch in Rust, and the digests of its data sets.
    pub(crate) version: String,
    pub(crate) digests: PointDigests,
    /// What its Python functions import.
    pub(crate) modules: PythonModules,
    /// Their children that have done so.
    pub(crate) ready: ReadyChildren,
    /// Listeners, with the level of each.
    pub(crate) listeners: Vec<(usize, Listener)>,
}

/// A worker that could not work.
pub(crate) struct SickWorker {
    pub(crate) rank: usize,
    pub(crate) host: String,
    pub(crate) why: String,
}

impl SickWorker {
    /// Rank, host and reason, with what follows from it.
    pub(crate) fn told(&self, and: &str) -> String {
        let SickWorker { rank, host, why } = self;
        format!("rank {rank} on {host} cannot work{and}: {why}")
    }
}

/// The result of a run on rank 0.
pub(crate) struct RunResult {
    pub(crate) job: Arc<Job>,
    pub(crate) results: Results,
    pub(crate) tally: Tally,
    pub(crate) elapsed: Duration,
    pub(crate) timing: Timing,
    /// Workers that could not work.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))]
    pub(crate) sick: Vec<SickWorker>,
    /// Whether runs were not stored.
    pub(crate) no_store: bool,
    pub(crate) folder: Folder,
    /// The results folder if it is temporary: deleted when dropped.
    pub(crate) scratch: Option<tempfile::TempDir>,
}

impl Tally {
    /// The exit code of the process.
    pub(crate) fn exit(self) -> Exit {
        let gaps = self.failed + self.incomplete + self.partial + self.finals_failed;
        if gaps == 0 { Exit::Complete } else { Exit::SomeFailed }
    }
}
