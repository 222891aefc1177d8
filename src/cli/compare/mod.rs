//! `gridmpi compare`: the same tasks with the same durations under every strategy, to show what flattening
//! the nest gains. In virtual time, and optionally for real.

mod json;
mod plays;
mod real;
mod stopping;
mod words;

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::ask::ListFormat;
use crate::cli::compare::stopping::{RecordedScores, StoppingCase};
use crate::cli::plan::durations::RecordedDurations;
use crate::cli::{demo, guess, plan, print, run, say, strategy};
use crate::executor::{self, RANK0};
use crate::job::{CrunchSpec, Job, Sleep};
use crate::master::Strategy;
use crate::master::cost_model::CostModel;
use crate::util::error::{Error, Exit, Result};
use plays::StrategyResults;

/// Maximum number of tasks: their durations are held in memory, and each task is simulated many times.
const MOST_TASKS: u64 = 10_000_000;

#[derive(Args)]
#[command(after_help = "\
Strategies (\"outer\" is the outermost loop, \"inner\" are all loops inside it):
  serial         one worker runs one task after another
  outer          outer loop parallel: a worker does all tasks of an outer point
  inner          inner loops parallel: all workers do one outer point at a time
  split:A+B      two pools: A workers hold an outer point and wait, B run tasks
  nested maps    parallel maps inside parallel maps, on one pool of workers
  flattened      all loops as one stream of tasks: what gridmpi does
  longest-first  flattened, with the tasks expected to take longest first
  stopping       flattened, without the runs that `stop` in a loop makes needless

Durations come from the results folder; those of tasks not recorded there are estimated from the \
others. Messages between ranks are taken to cost nothing. Where a job stops points early, all strategies but \
the last run all tasks. Which runs that one makes follows from the scores in the results folder, if these decide \
every group.

Examples:
  gridmpi compare --workers 8                       the built-in demonstration
  gridmpi compare job.toml --workers 64             with recorded durations
  gridmpi compare job.toml --workers 8 --seconds 1  every task takes 1 s
  gridmpi compare job.toml --workers 8 --split 4+3  only these split pools
  gridmpi compare job.toml --workers 4 --real       also run it on 4 threads")]
pub(super) struct CompareArgs {
    /// Job file [default: ./gridmpi.toml if it exists, else the built-in demonstration]
    job: Option<PathBuf>,
    /// Number of workers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    workers: u32,
    /// Sizes of the split pools: A workers hold outer points, B run tasks [default: try all sizes]
    #[arg(long, value_name = "A+B", value_parser = strategy::split)]
    split: Option<Strategy>,
    /// Let every task take this long
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    seconds: Option<f64>,
    /// Results folder with recorded durations [default: results/NAME]
    #[arg(long, value_name = "FOLDER", conflicts_with = "seconds")]
    out: Option<PathBuf>,
    /// Also run each strategy on the threads of this machine; nothing is stored
    #[arg(long)]
    real: bool,
    /// Run the built-in demonstration with 10 ms per task instead of 1 s
    #[arg(long, conflicts_with = "seconds")]
    quick: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    format: ListFormat,
}

/// The input of a comparison.
struct Case {
    /// No point of it is stopped: only one strategy can do so.
    job: Job,
    /// The job with its stops, if it has any.
    stopping: Option<StoppingCase>,
    workers: usize,
    /// The duration of each task.
    seconds: Vec<f64>,
    /// What is known of the durations when a run begins.
    known: CostModel,
    source: DurationSource,
}

/// The source of the durations.
enum DurationSource {
    /// The same given duration for every task.
    Given,
    /// The job's sleep per task.
    Sleep,
    /// Recorded in this folder, for this many tasks.
    Recorded(u64, PathBuf),
}

fn duration(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && seconds < 1e9 => Ok(seconds),
        _ => Err("expected seconds, more than 0".to_string()),
    }
}

pub(super) fn compare(arguments: &CompareArgs) -> Result<Exit> {
    let workers = arguments.workers as usize;
    if let Some(split) = arguments.split.filter(|split| split.needs() > workers as u64) {
        let (needs, split) = (split.needs(), split.to_string());
        return Err(Error::input(format!(
            "--{}: that takes {needs} workers, and --workers says {workers}",
            split.replace(':', " ")
        )));
    }
    let file = arguments.job.clone().or_else(run::default_job);
    let (job, text) = match &file {
        Some(_) if arguments.quick => {
            return Err(Error::input(
                "--quick is for the built-in demonstration, which takes no job",
            ));
        }
        Some(file) => guess::read_job(file)?,
        None => demo::job(arguments.quick)?,
    };
    executor::check(&job, RANK0)?;
    let tasks = job.nest.tasks();
    if tasks > MOST_TASKS {
        return Err(Error::input(format!(
            "{}: {tasks} tasks are too many to compare; up to {MOST_TASKS} can be, so give loops fewer points for it",
            job.name
        )));
    }
    let case = case(arguments, job, file.is_some())?;
    let mut lineup = StrategyResults::play(&case, arguments.split);
    if arguments.real {
        real::measure(&case, &text, &mut lineup)?;
    }
    match arguments.format {
        ListFormat::Table => say(&words::text(&case, &lineup)),
        ListFormat::Json => print(format!("{:#}\n", json::json(&case, &lineup)).as_bytes()),
    }
}

/// Determines the tasks' durations, and where points are stopped also their scores.
fn case(arguments: &CompareArgs, job: Job, named: bool) -> Result<Case> {
    let workers = arguments.workers as usize;
    let of_job = || named.then(|| Path::new("results").join(&job.name));
    let out = match arguments.seconds {
        Some(_) => None,
        None => arguments.out.clone().or_else(of_job),
    };
    let mut scores = RecordedScores::of(&job);
    let recorded = match &out {
        Some(out) => {
            plan::known(&job, None, (out, arguments.out.is_some()), |run| scores.add(run))?
        }
        None => RecordedDurations::unknown(&job),
    };
    let (seconds, known, source) = durations(arguments, &job, &recorded, out.clone())?;
    let stopping = StoppingCase::of(&job, &recorded, (scores, &seconds), out.as_deref());
    let job = Job { nest: job.nest.without_stops(), ..job };
    Ok(Case { job, stopping, workers, seconds, known, source })
}

/// The duration of each task, what is known of them when a run begins, and their source.
fn durations(
    arguments: &CompareArgs,
    job: &Job,
    recorded: &RecordedDurations,
    out: Option<PathBuf>,
) -> Result<(Vec<f64>, CostModel, DurationSource)> {
    let nest = &job.nest;
    let all = |seconds: &dyn Fn(u64) -> f64| (0..nest.tasks()).map(seconds).collect::<Vec<_>>();
    if let Some(given) = arguments.seconds {
        return Ok((all(&|_| given), CostModel::new(nest), DurationSource::Given));
    }
    if let Some(out) = out.filter(|_| recorded.recorded() > 0) {
        let seconds = all(&|task| recorded.expect(task).unwrap_or_default());
        let source = DurationSource::Recorded(recorded.recorded(), out);
        return Ok((seconds, recorded.costs().clone(), source));
    }
    if let Some(out) = &arguments.out {
        return Err(Error::input(format!(
            "results folder {}: no duration of this job is recorded there; run some of its tasks, or give --seconds",
            out.display()
        )));
    }
    let seconds = match &job.crunch {
        CrunchSpec::Multiply { sleep: Sleep::Seconds(seconds) } => all(&|_| *seconds),
        CrunchSpec::Multiply { sleep: Sleep::Point(level) } => {
            let point = |task| nest.value(nest.ancestor(nest.task(task), level + 1));
            all(&|task| point(task).as_f64().unwrap_or_default())
        }
        _ => Vec::new(),
    };
    if seconds.iter().sum::<f64>() <= 0.0 {
        return Err(Error::input(format!(
            "{}: nothing tells how long its tasks take: no duration is recorded. Run some of them (`gridmpi plan JOB --pilot 40`), name the folder that has runs (--out), or give --seconds",
            job.name
        )));
    }
    let mut known = CostModel::new(nest);
    (0..).zip(&seconds).for_each(|(task, seconds)| known.observe(task, *seconds));
    Ok((seconds, known, DurationSource::Sleep))
}
