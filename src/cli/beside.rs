//! Results of a job beside its file, where the job is started in another folder that has none.

use std::path::Path;

use crate::job::{Job, STORE_FILE};
use crate::report::text::words::things;
use crate::store::StoreReader;
use crate::util::text::shell_word;

/// Says so if the default results folder has no runs and the one beside the job file has some: `--out` is relative
/// to the folder where gridmpi is started.
pub(super) fn told(file: &Path, job: &Job) -> Option<String> {
    let here = Path::new("results").join(&job.name);
    let there = file.parent()?.join(&here);
    if here.join(STORE_FILE).exists() || !there.join(STORE_FILE).is_file() {
        return None;
    }
    let (runs, _) = StoreReader::into(&there).ok()?.tally().ok().filter(|(runs, _)| *runs > 0)?;
    let out = shell_word(&there.to_string_lossy());
    Some(format!(
        "{} has no runs, but {out}, beside the job file, has {}: --out {out} uses them",
        here.display(),
        things(runs, "run")
    ))
}
