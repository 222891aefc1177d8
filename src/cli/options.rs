//! What can be said of any run, a job file's or a study's, and what is printed at its end.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::print;
use crate::conduct::Finished;
use crate::error::{Error, Exit, Result};
use crate::report::table;
use crate::settings::{Out, Settings};

#[derive(Args)]
pub(super) struct Options {
    /// Run on this many threads of this machine, without MPI [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    threads: Option<u32>,
    /// The folder for results [default: results/NAME]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// What to print on stdout at the end
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(super) format: Format,
    /// Move what the results folder holds already into a folder inside it, and begin anew
    #[arg(long, conflicts_with_all = ["keep", "keep_failed"])]
    fresh: bool,
    /// Use the runs in the results folder though crunch has changed since
    #[arg(long)]
    keep: bool,
    /// How long runs that are under way may go on after SIGINT, SIGTERM or SIGUSR2, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    grace: f64,
    /// Leave runs of earlier starts that failed as they are, instead of trying them again
    #[arg(long)]
    keep_failed: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..1e9).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds, 0 or more".to_string()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
    Csv,
}

impl Options {
    pub(super) fn settings(&self) -> Settings {
        Settings {
            threads: self.threads.map(|threads| threads as usize),
            out: self.out.clone().map_or(Out::Named, Out::At),
            fresh: self.fresh,
            keep: self.keep,
            keep_failed: self.keep_failed,
            is_main: true,
            grace: Duration::from_secs_f64(self.grace),
        }
    }

    /// Prints the result, and what to know about it.
    pub(super) fn show(&self, finished: &Finished) -> Result<Exit> {
        let Finished { job, results, folder, .. } = finished;
        let file = match self.format {
            Format::Table => None,
            Format::Json => Some(folder.file("summary.json")),
            Format::Csv => Some(folder.file("summary.csv")),
        };
        match file {
            None => print(format!("{}\n", table(job, results)?).as_bytes())?,
            Some(file) => {
                let unreadable =
                    |e| Error::unexpected(format!("{}: cannot be read: {e}", file.display()));
                print(&std::fs::read(&file).map_err(unreadable)?)?
            }
        };
        tell(finished)?;
        Ok(finished.tally.exit())
    }
}

/// Logs how long it took, what failed and where the results are.
pub(super) fn tell(finished: &Finished) -> Result<()> {
    let (tasks, elapsed) = (finished.job.grid().tasks(), finished.elapsed.as_secs_f64());
    match finished.tally.done - finished.tally.recalled {
        0 => log::info!("there was nothing left to compute"),
        runs => {
            let serial: f64 = finished.results.shares()?.iter().map(|share| share.seconds).sum();
            log::info!(
                "{runs} runs in {elapsed:.2} s; one after another they would have taken {serial:.2} s"
            );
        }
    }
    if finished.tally.exit() == Exit::SomeFailed {
        log::warn!(
            "{} of {tasks} runs failed, {} groups are incomplete; see column error of all_runs in {}",
            finished.tally.failed,
            finished.tally.incomplete,
            finished.folder.store().display()
        );
    }
    if finished.scratch.is_none() {
        log::info!("results are in {}", finished.folder.path().display());
    }
    Ok(())
}
