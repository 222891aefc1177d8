//! `gridmpi plan`: what would run, before it runs. Without a pilot, nothing is written, locked or started.

mod decided;
pub(crate) mod durations;
mod json;
mod kept;
mod memory;
pub(crate) mod pilot;
pub(crate) mod prediction;
#[cfg(test)]
pub(crate) mod prediction_tests;
pub(crate) mod slurm_request;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::plan::durations::RecordedDurations;
use crate::cli::plan::kept::KeptOutlook;
use crate::cli::plan::memory::MemoryOutlook;
use crate::cli::plan::prediction::{Prediction, predict};
use crate::cli::plan::slurm_request::WANTED;
use crate::cli::{beside, demo, guess, print, run, say};
use crate::executor::{self, RANK0, ReadyChildren};
use crate::job::{Job, PythonModules, Reading, STORE_FILE};
use crate::platform::slurm;
use crate::rank0::settings::{Only, Out, Settings};
use crate::store::{ReusableRun, StoreReader};
use crate::study::run::run_job;
use crate::util::error::{Error, Exit, Result};
use crate::util::machine;
use crate::worker::isolated_main;

#[derive(Args)]
#[command(after_help = "\
Examples:
  gridmpi plan job.toml                      loops, tasks, what is done
  gridmpi plan job.toml --pilot 40           run 40 tasks, predict from them
  gridmpi plan job.toml --workers 16,64,256  the time on 16, 64 and 256 workers
  gridmpi plan job.toml --fresh              the time of `gridmpi run --fresh`

Times are predicted from the durations in the results folder, and memory is proposed from the peaks \
of the runs there; without any, use --pilot. Where the job stops points early, the number of runs \
is judged by the groups that the runs there decide. A worker \
runs one task at a time: a rank, or each thread of a rank with several threads. The runs of a pilot \
are stored in the results folder, and `gridmpi run` reuses them. Without --pilot nothing is written.")]
pub(super) struct PlanArgs {
    /// Job file [default: ./gridmpi.toml if it exists, else the built-in demonstration]
    job: Option<PathBuf>,
    /// Results folder [default: results/NAME]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// First run N tasks, spread over the grid, on the threads of this machine
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pilot: Option<u64>,
    /// Numbers of workers to predict for [default: 1, as many as this machine has cores, 8, 32, ... as long as more workers help]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    workers: Vec<u64>,
    /// Threads for the pilot [default: one per core]
    #[arg(long, value_name = "T", requires = "pilot", value_parser = clap::value_parser!(u32).range(1..=65536))]
    threads: Option<u32>,
    /// Plan as if no task were done; recorded durations are still used
    #[arg(long, conflicts_with = "pilot")]
    fresh: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    format: PlanFormat,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PlanFormat {
    Text,
    Json,
}

/// The content of a plan.
struct PlanReport {
    job: Job,
    /// The job file as named on the command line.
    file: Option<PathBuf>,
    /// The results folder, if a run would have one.
    out: Option<PathBuf>,
    reading: Reading,
    kept: Option<KeptOutlook>,
    memory: Option<MemoryOutlook>,
    durations: RecordedDurations,
    fresh: bool,
    /// The pilot's number of tasks, and how many of them failed.
    pilot: Option<(u64, u64)>,
    prediction: Option<Prediction>,
    /// How many workers a start without MPI has on this machine.
    here: u64,
}

pub(super) fn plan(arguments: &PlanArgs) -> Result<Exit> {
    isolated_main::work_if_isolated(None);
    let file = arguments.job.clone().or_else(run::default_job);
    let (job, text) = match &file {
        Some(file) => guess::read_job(file)?,
        None => demo::job(false)?,
    };
    let (modules, _) = executor::check(&job, RANK0)?;
    // The demonstration has no results folder unless one is named.
    let named = || file.as_ref().map(|_| Path::new("results").join(&job.name));
    let out = arguments.out.clone().or_else(named);
    if let (Some(file), None) = (&file, &arguments.out)
        && let Some(told) = beside::told(file, &job)
    {
        log::warn!("{told}");
    }
    let mut durations = match &out {
        Some(out) => known(&job, Some(&modules), (out, arguments.out.is_some()), |_| {})?,
        None => RecordedDurations::unknown(&job),
    };
    let (mut pilot, mut exit) = (None, Exit::Complete);
    if let Some(count) = arguments.pilot {
        let tasks = pilot::spread(&job.nest, &durations, count);
        let settings = Settings {
            threads: arguments.threads.map(|threads| threads as usize),
            out: out.clone().map_or(Out::Temporary, Out::At),
            only: Some(Only::These(tasks)),
            is_main: true,
            grace: Duration::from_secs(10),
            ..Settings::default()
        };
        let work = job.clone();
        if let Some(done) = run_job(None, &settings, None, |_| {
            Ok(run::work(work, text, (modules.clone(), ReadyChildren::default())))
        })? {
            pilot = Some((done.tally.done - done.tally.recalled, done.tally.failed));
            exit = done.tally.exit();
            durations = RecordedDurations::of(&job, Some(&modules), done.folder.path())?;
        }
    }
    if arguments.fresh {
        durations = durations.afresh();
    }
    let workers = Some(&arguments.workers[..]).filter(|workers| !workers.is_empty());
    let here = slurm::cores().unwrap_or_else(machine::cores) as u64;
    let prediction = predict(&job, &durations, (workers, here), WANTED);
    let reading = Reading::of(&job)?;
    let there = out.as_deref().filter(|out| out.join(STORE_FILE).is_file());
    let reader = there.map(StoreReader::into).transpose()?;
    let kept = KeptOutlook::of(&job, reader.as_ref())?;
    if let Some(kept) = kept.as_ref().filter(|kept| kept.is_much()) {
        log::warn!("{}", kept.text());
    }
    let memory = MemoryOutlook::of(&job, reader.as_ref())?;
    if let Some(memory) = memory.as_ref().filter(|memory| memory.is_short()) {
        log::warn!("{}", memory.text());
    }
    let fresh = arguments.fresh;
    let outlook = PlanReport {
        job,
        file,
        out,
        reading,
        kept,
        memory,
        durations,
        fresh,
        pilot,
        prediction,
        here,
    };
    match arguments.format {
        PlanFormat::Text => say(&words::text(&outlook))?,
        PlanFormat::Json => print(format!("{:#}\n", json::json(&outlook)).as_bytes())?,
    };
    Ok(exit)
}

/// The durations recorded in the results folder. A folder that the user named must exist; the default one
/// need not. Calls `each` with every run there.
pub(super) fn known(
    job: &Job,
    modules: Option<&PythonModules>,
    (out, named): (&Path, bool),
    each: impl FnMut(&ReusableRun),
) -> Result<RecordedDurations> {
    let is_empty = || std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
    if out.is_dir() && (!named || is_empty()) && !out.join("runs.sqlite").exists() {
        return Ok(RecordedDurations::unknown(job));
    }
    if out.exists() && !out.is_dir() {
        return Err(Error::input(format!("results folder {}: is not a folder", out.display())));
    }
    RecordedDurations::of_each(job, modules, out, each)
}
