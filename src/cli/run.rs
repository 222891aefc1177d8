//! `gridmpi run`: runs a job file over MPI ranks or on this machine's threads.

use std::path::PathBuf;

use clap::Args;

use crate::cli::options::Options;
use crate::cli::{beside, demo, guess, say};
use crate::executor::{self, RANK0, ReadyChildren};
use crate::job::{Carried, Job, PointDigests, PythonModules};
use crate::model::JobPart;
use crate::platform::launcher::LaunchInfo;
use crate::rank0::settings::Out;
use crate::rank0::types::PreparedJob;
#[cfg(feature = "mpi")]
use crate::store::{LaunchFile, LaunchNote, part_folder};
use crate::study::run::{FirstPlace, run_job};
use crate::util::error::{Error, Exit, Result};
use crate::worker::isolated_main;

/// The job file used if none is named.
const DEFAULT_JOB: &str = "gridmpi.toml";

#[derive(Args)]
#[command(after_help = "\
Examples:
  gridmpi run job.toml                     on all cores of this machine
  gridmpi run job.toml --threads 4         on four threads
  mpirun -n 9 gridmpi run job.toml         on 8 workers over MPI
  gridmpi run job.toml --out results/try2  into another results folder
  gridmpi run job.toml --format csv        print the summary as CSV
  gridmpi --quick                          the demonstration, 100 times as fast

The results are the same to the last byte on any number of ranks and threads. The results folder \
holds runs.sqlite (every run, in its view all_runs), summary.json and summary.csv. A run that was \
interrupted goes on where it stopped when it is started again.")]
pub(super) struct RunArgs {
    /// Job file [default: ./gridmpi.toml if it exists, else the built-in demonstration]
    job: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
    /// Started by this `gridmpi launch`: note in the results folder how it ends.
    #[cfg(feature = "mpi")]
    #[arg(long, hide = true, value_name = "LAUNCH")]
    launched: Option<String>,
    /// Run only this part of the job, into its own folder within the results folder, as `gridmpi sbatch
    /// --parts` has it done.
    #[arg(long, hide = true, value_name = "K/N", value_parser = JobPart::parse, conflicts_with_all = [
        "fresh", "keep", "no_store", "only", "strategy",
    ])]
    part: Option<JobPart>,
    /// Run the built-in demonstration with 10 ms per task instead of 1 s
    #[arg(long)]
    quick: bool,
}

/// The default job file; None means the built-in demonstration.
pub(super) fn default_job() -> Option<PathBuf> {
    Some(PathBuf::from(DEFAULT_JOB)).filter(|file| file.exists())
}

/// A checked job from a job file.
pub(super) fn work(
    job: Job,
    text: String,
    (modules, ready): (PythonModules, ReadyChildren),
) -> PreparedJob {
    let (version, digests) = (String::new(), PointDigests::new());
    PreparedJob { job, text, version, digests, modules, ready, listeners: Vec::new() }
}

/// Runs a job over MPI or threads, depending on how this process was started.
pub(super) fn run(arguments: RunArgs, launched: Option<LaunchInfo>) -> Result<Exit> {
    isolated_main::work_if_isolated(None);
    #[cfg(feature = "mpi")]
    if let Some(launch) = &arguments.launched
        && launched.as_ref().is_none_or(|launched| launched.rank == 0)
        && let Out::At(out) = arguments.options.settings().out
    {
        let folder = arguments.part.map_or(out.clone(), |part| part_folder(&out, part));
        let file = LaunchFile::new(&folder, launch);
        let connected = || file.tell(LaunchNote::Connected);
        return file.around(|| run_job_file(arguments, launched, connected));
    }
    run_job_file(arguments, launched, || {})
}

/// `connected` is called on rank 0 before the job is read.
fn run_job_file(
    arguments: RunArgs,
    launched: Option<LaunchInfo>,
    connected: impl FnOnce(),
) -> Result<Exit> {
    let RunArgs { job, options, part, quick, .. } = arguments;
    let file = job.or_else(default_job);
    let demo = file.is_none();
    let mut settings = options.settings();
    settings.part = part;
    if demo && settings.out == Out::Named {
        settings.out = Out::Temporary; // no results folder was asked for
    }
    let prepare = |place: FirstPlace| {
        connected();
        if quick && !demo {
            return Err(Error::input(
                "--quick is for the built-in demonstration, which takes no job",
            ));
        }
        let (mut job, text) = match &file {
            Some(file) => guess::read_job(file)?,
            None => {
                demo::announce(quick);
                demo::job(quick)?
            }
        };
        if let (Some(file), Out::Named, false) = (&file, &settings.out, settings.no_store)
            && let Some(told) = beside::told(file, &job)
        {
            log::warn!("{told}");
        }
        // What tasks need is known to a worker before it starts children, so it takes over none.
        let place = match job.policy.needs.is_any() {
            true => RANK0,
            false => place(job.nest.tasks()),
        };
        if let Some(file) = &file {
            job.carried = Carried::beside(file)?;
        }
        let checked = executor::check(&job, place)?;
        Ok(work(job, text, checked))
    };
    let Some(finished) = run_job(launched, &settings, None, prepare)? else {
        return Ok(Exit::Complete);
    };
    if demo && options.shows_table() {
        let elapsed = finished.elapsed.as_secs_f64();
        say(&demo::text(&finished.results, elapsed)?)?;
        crate::cli::options::print_result(&finished)?;
        return Ok(finished.tally.exit());
    }
    if part.is_some() {
        crate::cli::options::print_result(&finished)?;
        return Ok(finished.tally.exit());
    }
    options.show(&finished)
}
