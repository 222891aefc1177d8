//! The options shared by every run, of a job file or a study, and the output at its end.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::screen::Screen;
use crate::cli::strategy::{self, Chosen};
use crate::cli::{print, print_to, say};
use crate::job::lookup;
use crate::model::Tally;
use crate::rank0::failures;
use crate::rank0::settings::{Only, Out, Settings};
use crate::rank0::types::RunResult;
use crate::report::table;
use crate::report::text::words::{count, seconds, things};
use crate::util::error::{Error, Exit, Result};
use crate::util::text::beginning;

/// The longest line at the end about points without a task; the start and summary.json have it whole.
/// (characters)
const LONGEST_LINE: usize = 160;

#[derive(Args)]
pub(super) struct Options {
    /// Threads per worker process [default: 1 under mpirun, else one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    threads: Option<u32>,
    /// Tasks per message [default: chosen by how long tasks take]
    #[arg(long, value_name = "TASKS", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    batch: Option<u64>,
    /// How to run the nest in parallel: flattened, longest-first (flattened, longest tasks first),
    /// serial, outer, inner or split:A+B; `gridmpi compare --help` explains them. The results are the
    /// same for all [default: flattened, in the job's order]
    #[arg(long, value_name = "NAME", value_parser = strategy::parse, conflicts_with = "only")]
    strategy: Option<Chosen>,
    /// Under mpirun: let rank 0 run tasks too, besides handing them out
    #[arg(long)]
    master_works: bool,
    /// Keep only the summaries, not the runs, and write no results folder
    #[arg(long, conflicts_with_all = ["out", "fresh", "keep", "keep_failed"])]
    no_store: bool,
    /// Run one task, print its result and store nothing. The task is given by its number, or by one
    /// coordinate per loop: --only dataset=crime --only alpha=0.1
    #[arg(long, value_name = "TASK|LOOP=VALUE", conflicts_with_all = ["out", "fresh", "keep", "keep_failed", "no_store"])]
    only: Vec<String>,
    /// Results folder [default: results/NAME]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// What to print on stdout at the end
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    pub(super) format: OutputFormat,
    /// Move the earlier results into a subfolder of the results folder, and start over
    #[arg(long, conflicts_with_all = ["keep", "keep_failed"])]
    fresh: bool,
    /// Reuse the runs in the results folder although crunch has changed
    #[arg(long)]
    keep: bool,
    /// Seconds that running tasks may take to finish after SIGINT, SIGTERM or SIGUSR2
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds_option)]
    grace: f64,
    /// Do not try again the runs that failed in earlier starts
    #[arg(long)]
    keep_failed: bool,
}

pub(super) fn seconds_option(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..1e9).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds, 0 or more".to_string()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    Table,
    Json,
    Csv,
}

impl Options {
    pub(super) fn settings(&self) -> Settings {
        Settings {
            threads: self.threads.map(|threads| threads as usize),
            out: match &self.out {
                _ if self.no_store || !self.only.is_empty() => Out::Temporary,
                Some(out) => Out::At(out.clone()),
                None => Out::Named,
            },
            batch: self.batch,
            strategy: self.strategy.unwrap_or_default().strategy,
            order: self.strategy.unwrap_or_default().order,
            expected: None,
            master_works: self.master_works,
            no_store: self.no_store,
            only: Some(self.only.clone()).filter(|only| !only.is_empty()).map(Only::Named),
            census: self.format == OutputFormat::Json && self.only.is_empty(),
            #[cfg(feature = "jobs")]
            part: None,
            end: None,
            fresh: self.fresh,
            keep: self.keep,
            keep_failed: self.keep_failed,
            is_main: true,
            grace: Duration::from_secs_f64(self.grace),
        }
    }

    /// Whether to print a table of the whole result.
    #[cfg(feature = "jobs")]
    pub(super) fn shows_table(&self) -> bool {
        self.format == OutputFormat::Table && self.only.is_empty()
    }

    /// Prints the result, with warnings and notes on stderr.
    pub(super) fn show(&self, finished: &RunResult) -> Result<Exit> {
        if !self.only.is_empty() {
            return self.show_run(finished);
        }
        let RunResult { results, folder, .. } = finished;
        let file = match self.format {
            OutputFormat::Table => None,
            OutputFormat::Json => Some(folder.file("summary.json")),
            OutputFormat::Csv => Some(folder.file("summary.csv")),
        };
        match file {
            None => say(&format!("{}\n", table(results)?))?,
            Some(file) if self.format == OutputFormat::Json => print_with_timing(&file, finished)?,
            Some(file) => copy(&file, 0)?,
        };
        print_result(finished)?;
        Ok(finished.tally.exit())
    }

    /// Prints the result of the single task that was run.
    fn show_run(&self, finished: &RunResult) -> Result<Exit> {
        let RunResult { job, results, .. } = finished;
        let mut exit = Exit::SomeFailed;
        results.runs(0..results.nest().tasks(), |run| {
            let (task, json) = (run.key.index, self.format == OutputFormat::Json);
            let value = run.result.as_ref().map(|scored| scored.value.get().to_json());
            if json {
                let line = json!({
                    "task": task,
                    "coordinates": lookup::coordinates_json(&job.nest, task),
                    "status": if run.result.is_ok() { "ok" } else { "failed" },
                    "score": run.result.as_ref().ok().and_then(|scored| scored.score),
                    "value": value.as_ref().ok(),
                    "error": value.as_ref().err(),
                });
                print(format!("{line}\n").as_bytes())?;
            }
            match value {
                Ok(value) => {
                    exit = Exit::Complete;
                    if !json {
                        say(&format!("{value}\n"))?;
                    }
                }
                Err(why) => log::error!("task {task} failed: {why}"),
            }
            Ok(())
        })?;
        Ok(exit)
    }
}

/// Prints summary.json with the run's timing as one more key.
fn print_with_timing(file: &Path, finished: &RunResult) -> Result<Exit> {
    const END: &str = "\n}\n"; // the end of every summary.json
    copy(file, END.len() as u64)?;
    print(format!(",\n\"timing\": {}{END}", finished.timing.json()).as_bytes())
}

/// Prints a file, which may be large, without its last bytes.
fn copy(file: &Path, but_for: u64) -> Result<Exit> {
    let unreadable = |error: std::io::Error| Error::unreadable(file, &error);
    let mut rest = File::open(file).map_err(unreadable)?;
    let length = rest.metadata().map_err(unreadable)?.len();
    let mut rest = rest.by_ref().take(length.saturating_sub(but_for));
    let (mut piece, mut out) = (vec![0; 1 << 16], Screen::new());
    loop {
        match rest.read(&mut piece).map_err(unreadable)? {
            0 => return Ok(Exit::Complete),
            read => print_to(&mut out, &piece[..read])?,
        };
    }
}

/// Logs the elapsed time, the failures and the results folder.
pub(super) fn print_result(finished: &RunResult) -> Result<()> {
    let elapsed = finished.elapsed.as_secs_f64();
    match finished.tally.done - finished.tally.recalled {
        0 if finished.tally.finals > 0 => log::info!("there was no run left to compute"),
        0 => log::info!("there was nothing left to compute"),
        runs if finished.no_store => {
            log::info!("{} in {}; none is kept", things(runs, "run"), seconds(elapsed));
        }
        1 => log::info!("1 run in {}", seconds(elapsed)),
        runs => {
            let serial = finished.timing.crunched;
            log::info!(
                "{} in {}; one after another they would have taken {}",
                things(runs, "run"),
                seconds(elapsed),
                seconds(serial)
            );
        }
    }
    if finished.tally.stopped > 0 {
        let Tally { skipped, stopped, .. } = finished.tally;
        let were = if skipped == 1 { "was" } else { "were" };
        log::info!(
            "{} of {} {were} not needed: {} {} stopped early",
            count(skipped),
            things(finished.job.nest.tasks(), "run"),
            things(stopped, "point"),
            if stopped == 1 { "was" } else { "were" }
        );
    }
    for sick in &finished.sick {
        log::warn!("{}", sick.told(", and others did its tasks"));
    }
    if finished.tally.exit() == Exit::SomeFailed {
        let is_kept = !finished.no_store && finished.scratch.is_none();
        let folder = is_kept.then(|| finished.folder.path());
        if finished.tally.failed + finished.tally.incomplete + finished.tally.partial > 0 {
            failures::tell(&finished.job, &finished.results, folder, finished.tally);
        }
        if finished.tally.finals_failed > 0 {
            failures::tell_finals(&finished.results, folder, finished.tally);
        }
    }
    for line in finished.job.nest.left_out_in_words() {
        log::info!("left out: {}", beginning(&line, LONGEST_LINE));
    }
    if let Some(kept) = finished.results.kept()? {
        log::warn!("{kept}");
    }
    if finished.scratch.is_none() {
        log::info!("results are in {}", finished.folder.path().display());
    }
    Ok(())
}
