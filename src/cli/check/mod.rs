//! `gridmpi check`: whether the results of a job are those of its tasks alone. A few tasks run alone, in shared
//! workers, and with other numbers of cores; nothing is stored.

mod calls;
mod client;
mod differences;
mod files;
mod json;
mod opened;
mod passes;
mod verdict;
mod words;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use crate::cli::ask::ListFormat;
use crate::cli::{guess, print, run, say};
use crate::executor::{self, RANK0};
use crate::job::Job;
use crate::util::error::{Error, Exit, Result};
use crate::util::{machine, signals, thread};
use calls::Caller;
use client::CheckClient;
use differences::Uncompared;
use files::{FileReport, ReusedFiles};
use opened::OpenedFiles;
use verdict::{CheckVerdict, Examination};

/// The environment variable by which crunch learns how many cores it has.
const CORES: &str = "OMP_NUM_THREADS";

/// Number of cores per task: those of a run on all cores of a machine.
const CORES_PER_TASK: usize = 1;

/// How long the call at hand may take to end after a signal, and how often to look.
const GRACE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);

#[derive(Args)]
#[command(after_help = "\
Examples:
  gridmpi check job.toml                    12 tasks, spread over the grid
  gridmpi check job.toml --tasks 50         more tasks find more
  gridmpi check job.toml --ignore fit_time  do not compare this field
  gridmpi check job.toml --format json      every difference, as JSON

Each task runs twice alone in a fresh process, then five times in workers that run the others too (in \
other orders, on 1 to 4 workers at once; short tasks more often), and once alone with another number of \
cores (OMP_NUM_THREADS). Results are compared to the last bit. A task that differs gets up to three more \
runs, to find out why. Nothing is stored, and the results folder is neither read nor written.

Exits with 1 if a result depends on chance, time, what ran before, what runs beside it or the worker, \
or if crunch reads a file of the job's folder that does not count for reuse; with 100 if tasks fail. A difference by the \
number of cores alone is only shown. What is not found may be there all the same.")]
pub(super) struct CheckArgs {
    /// Job file [default: ./gridmpi.toml]
    job: Option<PathBuf>,
    /// Number of tasks
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    tasks: u64,
    /// A field of the results that is not compared, such as a time; may be given several times
    #[arg(long, value_name = "FIELD")]
    ignore: Vec<String>,
    /// What to print
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    format: ListFormat,
}

/// The outcome of a check.
struct CheckReport {
    job: Arc<Job>,
    tasks: Vec<u64>,
    cores: usize,
    /// The other number of cores; none if the user's environment sets the number.
    other_cores: Option<usize>,
    verdict: CheckVerdict,
    files: FileReport,
    seconds: f64,
}

impl CheckReport {
    fn exit(&self) -> Exit {
        let (results, files) = (&self.verdict, &self.files);
        let is_sound = results.alone.is_empty()
            && results.shared.is_empty()
            && files.uncounted.is_empty()
            && files.inherited.is_empty()
            && files.changed.is_empty();
        match (is_sound, results.failed.is_empty()) {
            (false, _) => Exit::Unexpected,
            (true, false) => Exit::SomeFailed,
            (true, true) => Exit::Complete,
        }
    }
}

pub(super) fn check(arguments: &CheckArgs) -> Result<Exit> {
    let Some(file) = arguments.job.clone().or_else(run::default_job) else {
        return Err(Error::input(
            "which job? There is no gridmpi.toml here: name the job file, as in `gridmpi check job.toml`",
        ));
    };
    refuse_others(&file)?;
    let (job, _) = guess::read_job(&file)?;
    signals::take();
    let (modules, _) = executor::check(&job, RANK0)?;
    let reused = ReusedFiles::of(&job, &modules)?;
    let tasks = passes::choose(&job, arguments.tasks);
    let other_cores = machine::cores().max(CORES_PER_TASK + 1);
    let other_cores = std::env::var_os(CORES).is_none().then_some(other_cores);
    let (job, client) = (Arc::new(job), Arc::new(CheckClient::default()));
    let mut opened = OpenedFiles::below(&job.folder);
    let caller = Caller { job: job.clone(), client };
    let begun = Instant::now();
    signals::set_consumed(true);
    end_when_asked()?;
    log::info!("{}: {} of {} tasks, each twice alone", job.name, tasks.len(), job.nest.tasks());
    let examination = Examination {
        caller: &caller,
        tasks: &tasks,
        cores: CORES_PER_TASK,
        other_cores,
        without: Uncompared { fields: arguments.ignore.iter().cloned().collect() },
        opened: opened.as_mut().ok(),
        verdict: CheckVerdict::default(),
        first: BTreeMap::new(),
    };
    let verdict = examination.examine()?;
    let files = reused.report(&job, caller.client.imported(), opened);
    let seconds = begun.elapsed().as_secs_f64();
    let cores = CORES_PER_TASK;
    let report = CheckReport { job, tasks, cores, other_cores, verdict, files, seconds };
    match arguments.format {
        ListFormat::Table => say(&words::text(&report))?,
        ListFormat::Json => print(format!("{:#}\n", json::json(&report)).as_bytes())?,
    };
    Ok(report.exit())
}

/// After a signal, ends the process at the next one, or if the call at hand does not end.
fn end_when_asked() -> Result<()> {
    let watch = || {
        let mut since = None;
        loop {
            std::thread::sleep(LOOK);
            let Some(asked) = signals::asked() else { continue };
            if asked.times > 1 || since.get_or_insert_with(Instant::now).elapsed() > GRACE {
                let error = calls::interrupted(asked.name);
                error.print();
                std::process::exit(error.exit as i32);
            }
        }
    };
    thread::start("signals", watch).map(drop)
}

/// Refuses what is no job file, in words of its own.
fn refuse_others(file: &Path) -> Result<()> {
    let Ok(about) = file.metadata() else { return Ok(()) };
    let begins = || {
        let mut bytes = [0; 4];
        File::open(file)?.read_exact(&mut bytes).map(|()| bytes)
    };
    let is_program = about.is_file() && begins().is_ok_and(|bytes| bytes == *b"\x7fELF");
    let what = match () {
        () if about.is_dir() => "is a folder",
        () if is_program => "is a program",
        () => return Ok(()),
    };
    Err(Error::input(format!(
        "{}: {what}; a check runs the tasks of a job file, as in `gridmpi check job.toml` (a study in Rust has none: its tests can call crunch in several orders)",
        file.display()
    )))
}
