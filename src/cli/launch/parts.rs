//! What follows when a part of a job has finished: the last one completes the job, the others name those that
//! have not.

use std::path::Path;

use crate::cli::ask::part_lines;
use crate::model::JobPart;
use crate::store::{Folder, PartEnd, finish_part};
use crate::util::error::Result;

/// What a finished part has to do.
pub(super) enum PartOutcome {
    /// It is the last one, and completes the job.
    IsLast,
    IsDone,
}

/// Marks a part as finished, and says which others have not.
pub(super) fn finish(out: &Path, part: JobPart) -> Result<PartOutcome> {
    let missing = match finish_part(out, part)? {
        PartEnd::Last if Folder::is_free(out) == Some(false) => {
            log::info!("{part} has finished; another process is completing the job");
            return Ok(PartOutcome::IsDone);
        }
        PartEnd::Last => {
            log::info!("{part} has finished, the last one: the parts are merged");
            return Ok(PartOutcome::IsLast);
        }
        PartEnd::Stopped => return Ok(PartOutcome::IsDone), // rank 0 has said why
        PartEnd::Taken => {
            log::info!("a start of the whole job has taken over {part}");
            return Ok(PartOutcome::IsDone);
        }
        PartEnd::Missing(missing) => missing,
    };
    let number = missing.len();
    log::info!("{part} has finished; {number} of {} have not:", part.of);
    for line in part_lines(out, &missing) {
        log::info!("{line}");
    }
    log::info!(
        "the last one to finish completes the job; so does a start without --parts, for which none may be under way"
    );
    Ok(PartOutcome::IsDone)
}
