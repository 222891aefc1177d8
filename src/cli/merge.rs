//! `gridmpi merge`: merges the runs of several results folders of one job.

use std::path::PathBuf;

use clap::Args;

use crate::report::text::words::things;
use crate::store::{Folder, merge};
use crate::util::error::{Exit, Result};

#[derive(Args)]
#[command(after_help = "\
Examples, where each of two clusters ran half of the parameters:
  gridmpi merge results/north results/south --out results/all
  gridmpi job.toml --out results/all

The second command runs the job with all parameters; it computes only what is missing.

The loops must have the same names. The merged loops have the points of all folders, those of the \
first folder first. If two folders have the same run, a successful one takes precedence over a \
failed one, and otherwise that of the earlier folder.")]
pub(super) struct MergeArgs {
    /// Results folders to merge
    #[arg(required = true, num_args = 2..)]
    folders: Vec<PathBuf>,
    /// Results folder to write
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

pub(super) fn run(arguments: &MergeArgs) -> Result<Exit> {
    let out = Folder::claim(&arguments.out, false)?;
    let (taken, tasks) = merge(&arguments.folders, &out)?;
    let place = out.path().display();
    log::info!("{} of {} are in {place}", taken.runs, things(tasks, "run"));
    if taken.disagree > 0 {
        log::warn!(
            "{} runs have another result in a later folder than in an earlier one; the earlier one's were kept",
            taken.disagree
        );
    }
    Ok(Exit::Complete)
}
