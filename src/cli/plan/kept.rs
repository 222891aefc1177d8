//! What would be kept of the folders that runs leave.

use crate::job::{Job, KeptFiles, RUNS_FOLDER};
use crate::report::text::words::{size, things};
use crate::store::StoreReader;
use crate::util::error::Result;

/// With more folders than this, most file systems and their owners suffer.
const MANY: u64 = 100_000;

pub(super) struct KeptOutlook {
    /// How many folders, and their bytes; as far as recorded runs tell.
    pub(super) folders: Option<u64>,
    pub(super) bytes: Option<u64>,
    /// How many runs that was found out from.
    runs: u64,
    only_failed: bool,
}

impl KeptOutlook {
    /// Nothing if runs have no folders of their own, or nothing is kept of them.
    pub(super) fn of(job: &Job, reader: Option<&StoreReader>) -> Result<Option<KeptOutlook>> {
        let Some(spec) = job.workdir.as_ref().filter(|spec| spec.keep != KeptFiles::None) else {
            return Ok(None);
        };
        let only_failed = spec.keep == KeptFiles::Failed;
        let there = match reader {
            Some(reader) => (reader.tally()?.0, reader.workdir_tally()?),
            None => (0, (0, 0)),
        };
        let tasks = job.nest.tasks() as f64;
        Ok(Some(match there {
            (0, _) | (_, (0, _)) => {
                let folders = (!only_failed).then_some(job.nest.tasks());
                KeptOutlook { folders, bytes: None, runs: 0, only_failed }
            }
            (runs, (folders, bytes)) => {
                let of_all = |some: u64| Some((some as f64 / runs as f64 * tasks).round() as u64);
                KeptOutlook { folders: of_all(folders), bytes: of_all(bytes), runs, only_failed }
            }
        }))
    }

    pub(super) fn text(&self) -> String {
        let which = if self.only_failed { "failed runs" } else { "runs" };
        let all = match (self.folders, self.bytes) {
            (Some(folders), Some(bytes)) => format!(
                ", some {} with {}, by {}",
                things(folders, "folder"),
                size(bytes),
                things(self.runs, "recorded run")
            ),
            (Some(folders), None) => {
                format!(", up to {}; a --pilot tells their size", things(folders, "folder"))
            }
            (None, _) => String::new(),
        };
        let mut text = format!("Files of {which} are kept in {RUNS_FOLDER}/{all}.");
        if self.is_much() {
            text += &format!(
                " That is more than {}: keep less (keep in [crunch.workdir]), or let runs return what matters.",
                things(MANY, "folder")
            );
        }
        text
    }

    pub(super) fn is_much(&self) -> bool {
        self.folders.is_some_and(|folders| folders > MANY)
    }
}
