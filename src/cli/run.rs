//! `gridmpi run`: a job file's job, over MPI ranks or this machine's threads.

use std::path::PathBuf;

use clap::Args;

use crate::cli::options::Options;
use crate::cli::{demo, print};
use crate::executor;
use crate::job::{Identity, Job, digests};
use crate::platform::launcher::LaunchInfo;
use crate::rank0::settings::Out;
use crate::rank0::types::PreparedJob;
use crate::study::run::conduct;
use crate::util::error::{Error, Exit, Result};
use crate::worker::isolate;

/// The job that runs if none is named.
const DEFAULT_JOB: &str = "gridmpi.toml";

#[derive(Args)]
#[command(after_help = "\
Examples:
  gridmpi run job.toml                     on all cores of this machine
  gridmpi run job.toml --threads 4         on four threads
  mpirun -n 9 gridmpi run job.toml         on 8 workers over MPI; same results to the last byte
  gridmpi run job.toml --out results/try2  into another folder
  gridmpi run job.toml --format csv        the summary as CSV on stdout
  gridmpi --quick                          the built-in demonstration, a hundred times as fast

The results folder holds runs.sqlite (every run; look at its view all_runs), summary.json and
summary.csv.")]
pub(super) struct RunArgs {
    /// The job file [default: ./gridmpi.toml if there is one, else the built-in demonstration]
    job: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
    /// The demonstration with 10 ms instead of 1 s a task
    #[arg(long)]
    quick: bool,
}

/// The job if none is named; nothing if that is the built-in demonstration.
pub(super) fn default_job() -> Option<PathBuf> {
    Some(PathBuf::from(DEFAULT_JOB)).filter(|file| file.exists())
}

/// A job that was checked, and what its runs are matched by.
pub(super) fn work(job: Job, text: String) -> Result<PreparedJob> {
    let (identity, digests) = (Identity::of(&job, "")?, digests(&job)?);
    Ok(PreparedJob { job, text, identity, digests, listeners: Vec::new() })
}

/// Runs a job the way this process was started.
pub(super) fn run(arguments: RunArgs, launched: Option<LaunchInfo>) -> Result<Exit> {
    isolate::work_if_isolated(None);
    let RunArgs { job, options, quick } = arguments;
    let file = job.or_else(default_job);
    let demo = file.is_none();
    let mut settings = options.settings();
    if demo && settings.out == Out::Named {
        settings.out = Out::Temporary; // nobody asked for a folder
    }
    let prepare = || {
        if quick && !demo {
            return Err(Error::input(
                "--quick is for the built-in demonstration, which takes no job",
            ));
        }
        let (job, text) = match &file {
            Some(file) => Job::read(file)?,
            None => demo::job(quick)?,
        };
        executor::check(&job)?;
        work(job, text)
    };
    let Some(finished) = conduct(launched, &settings, None, prepare)? else {
        return Ok(Exit::Complete);
    };
    if demo && options.shows_table() {
        let elapsed = finished.elapsed.as_secs_f64();
        print(demo::text(&finished.results, elapsed)?.as_bytes())?;
        crate::cli::options::tell(&finished)?;
        return Ok(finished.tally.exit());
    }
    options.show(&finished)
}
