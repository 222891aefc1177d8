//! What a run begins with and what it ends with.

use std::sync::Arc;
use std::time::Duration;

use crate::job::{Digests, Identity, Job};
use crate::model::{GroupSummary, LoopNest, Tally};
use crate::rank0::timing::Timing;
use crate::store::{Folder, Results};
use crate::util::error::{Exit, Result};

/// Hears of each summary of one level.
pub(crate) type Listener = Box<dyn FnMut(&LoopNest, &GroupSummary) -> Result<(), String> + Send>;

/// What rank 0 is to run: nothing is known to be wrong with it.
pub(crate) struct PreparedJob {
    pub(crate) job: Job,
    /// The job file, if it came from one; kept with the runs.
    pub(crate) text: String,
    /// Which crunch it is, and the content of what points name: what earlier runs are matched by.
    pub(crate) identity: Identity,
    pub(crate) digests: Digests,
    /// Who hears of summaries, by level.
    pub(crate) listeners: Vec<(usize, Listener)>,
}

/// What rank 0 has in the end.
pub(crate) struct RunResult {
    pub(crate) job: Arc<Job>,
    pub(crate) results: Results,
    pub(crate) tally: Tally,
    pub(crate) elapsed: Duration,
    pub(crate) timing: Timing,
    /// Whether no run was kept.
    pub(crate) no_store: bool,
    pub(crate) folder: Folder,
    /// The folder itself, if it is to go.
    pub(crate) scratch: Option<tempfile::TempDir>,
}

impl Tally {
    /// What the process should exit with.
    pub(crate) fn exit(self) -> Exit {
        if self.failed + self.incomplete == 0 { Exit::Complete } else { Exit::SomeFailed }
    }
}
