//! What rank 0 gives the thread that writes the store.

use crate::model::{GroupSummary, RunBatch, RunError, StoppedPoint, weight};
use crate::store::finals::FinalEntry;

pub(super) enum StoreEntry {
    Worker {
        rank: usize,
        host: String,
    },
    Runs {
        rank: usize,
        thread: u32,
        runs: RunBatch<'static>,
    },
    /// An attempt without a result.
    Lost {
        task: u64,
        attempt: u32,
        rank: usize,
    },
    Summary(GroupSummary),
    /// A point of which not all runs are made.
    Stopped(StoppedPoint),
    /// The result of a final call.
    Final {
        rank: usize,
        entry: Box<FinalEntry>,
    },
    /// The final call of the row with this key and number is the one that it would get now.
    FinalKept {
        row: String,
        number: u64,
    },
    /// Modules that calls have imported, and their digests.
    Imported {
        by_reduction: bool,
        files: Vec<(String, String)>,
    },
    /// The Python and the packages of a worker, which differ from rank 0's, as JSON.
    Environment {
        rank: usize,
        environment: String,
    },
    /// An attempt at a task that was cut off after so many seconds.
    CutOff {
        task: u64,
        attempt: u32,
        rank: usize,
        seconds: f64,
    },
}

impl StoreEntry {
    /// Approximate number of bytes of results.
    pub(super) fn weight(&self) -> usize {
        match self {
            StoreEntry::Worker { .. }
            | StoreEntry::Lost { .. }
            | StoreEntry::CutOff { .. }
            | StoreEntry::Environment { .. }
            | StoreEntry::FinalKept { .. }
            | StoreEntry::Stopped(_)
            | StoreEntry::Imported { .. } => 0,
            StoreEntry::Runs { runs, .. } => runs.weight(),
            StoreEntry::Final { entry, .. } => {
                let result = entry.result.result.as_ref();
                size_of::<StoreEntry>() + weight(result.map_err(RunError::why))
            }
            StoreEntry::Summary(GroupSummary { result, .. }) => {
                size_of::<StoreEntry>() + weight(result.as_ref().map_err(String::as_str))
            }
        }
    }

    pub(super) fn runs(&self) -> usize {
        match self {
            StoreEntry::Runs { runs, .. } => runs.count() as usize,
            StoreEntry::Worker { .. }
            | StoreEntry::Lost { .. }
            | StoreEntry::CutOff { .. }
            | StoreEntry::Environment { .. }
            | StoreEntry::Stopped(_)
            | StoreEntry::Imported { .. }
            | StoreEntry::Final { .. }
            | StoreEntry::FinalKept { .. }
            | StoreEntry::Summary(_) => 0,
        }
    }
}
