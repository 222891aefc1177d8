//! `gridmpi merge`: the runs of several results folders of one job in one.

use std::path::PathBuf;

use clap::Args;

use crate::store::{Folder, merge};
use crate::util::error::{Exit, Result};

#[derive(Args)]
#[command(after_help = "\
Example: half of the parameters were run on each of two clusters.
  gridmpi merge results/north results/south --out results/all
  gridmpi job.toml --out results/all       with all parameters: nothing is computed again

Loops must have the same names; points are those of all folders, the first one's first. Where two
folders have the same run, a success counts rather than a failure, else the first one's.")]
pub(super) struct MergeArgs {
    /// The results folders
    #[arg(required = true, num_args = 2..)]
    folders: Vec<PathBuf>,
    /// The folder for all of them
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

pub(super) fn run(arguments: &MergeArgs) -> Result<Exit> {
    let out = Folder::claim(&arguments.out, false)?;
    let (taken, tasks) = merge(&arguments.folders, &out)?;
    let place = out.path().display();
    log::info!("{} of {tasks} runs are in {place}", taken.runs);
    if taken.disagree > 0 {
        log::warn!(
            "{} runs have another result in a later folder than in an earlier one; the earlier one's were kept",
            taken.disagree
        );
    }
    Ok(Exit::Complete)
}
