//! The parts of a job: each is computed in an allocation of its own, into a results folder of its own
//! within that of the job. A part joins the job (`join.rs`), and is marked when it has finished; a start of
//! the whole job takes over what the parts have (`take.rs`).

mod join;
mod take;

use std::path::{Path, PathBuf};

use crate::job::{PARTS_FOLDER, STORE_FILE};
use crate::model::JobPart;
pub(crate) use join::{JoinedPart, PartEnd, finish_part, join_part, known_of_job};
pub(crate) use take::take_parts;

/// The note in the job's store that a part has finished.
fn mark(part: JobPart) -> String {
    format!("finished {}", part.folder_name())
}

/// The results folder of a part of the job with this one.
pub(crate) fn part_folder(folder: &Path, part: JobPart) -> PathBuf {
    folder.join(PARTS_FOLDER).join(part.folder_name())
}

/// The parts that have a folder in that of their job, in order.
pub(crate) fn parts_in(folder: &Path) -> Vec<(JobPart, PathBuf)> {
    let entries = std::fs::read_dir(folder.join(PARTS_FOLDER));
    let part = |entry: std::fs::DirEntry| {
        let part = JobPart::parse(entry.file_name().to_str()?).ok()?;
        let is_named = entry.path().is_dir() && *entry.file_name() == *part.folder_name();
        is_named.then(|| (part, entry.path()))
    };
    let mut parts: Vec<_> = entries.into_iter().flatten().flatten().filter_map(part).collect();
    parts.sort();
    parts
}

/// The parts of a job that have a store.
fn begun(folder: &Path) -> impl Iterator<Item = (JobPart, PathBuf)> {
    parts_in(folder).into_iter().filter(|(_, path)| path.join(STORE_FILE).is_file())
}

/// Whether runs of a results folder are still in those of its parts.
pub(crate) fn has_parts(folder: &Path) -> bool {
    begun(folder).next().is_some()
}

/// Says so if runs of a results folder are still in those of its parts, and are not asked there.
pub(crate) fn warn_of_parts(folder: &Path) {
    if has_parts(folder) {
        let parts: Vec<String> = begun(folder).map(|(part, _)| part.folder_name()).collect();
        log::warn!(
            "results folder {}: the runs of its parts are not among these: they are in {}, one of {}, until a start of the whole job merges them",
            folder.display(),
            folder.join(PARTS_FOLDER).display(),
            parts.join(", ")
        );
    }
}
