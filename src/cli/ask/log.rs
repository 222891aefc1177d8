//! `gridmpi log`: what a run has printed, as it is kept, or while it runs.

mod follow;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::cli::ask::{explain, reader, stream};
use crate::job::lookup;
use crate::model::{KeptLogs, RunLog};
use crate::report::text::words;
use crate::store::{AttemptRow, History, StoreReader};
use crate::util::error::{Error, Exit, Result};

#[derive(Args)]
#[command(after_help = "\
Examples:
  gridmpi log results/NAME 7                        by the task's number
  gridmpi log results/NAME dataset=crime alpha=0.1  by its coordinates
  gridmpi log results/NAME 7 --attempt 1            of an earlier attempt
  gridmpi log results/NAME 7 --follow               while it runs

The output of runs that fail is kept; with logs = \"all\" in [crunch], that of all runs. Of a long output \
the first and the last 256 KiB are kept, with a line between them in brackets. Otherwise stdout has what the run \
has printed alone; why there is none is said on stderr.")]
pub(in crate::cli) struct Arguments {
    /// Results folder
    folder: PathBuf,
    /// Number of the task, or its coordinates
    #[arg(required = true, value_name = "TASK|LOOP=VALUE")]
    task: Vec<String>,
    /// The attempt, from 1 [default: the last one]
    #[arg(long, value_name = "N")]
    attempt: Option<i64>,
    /// Print what comes while the task runs, until it ends
    #[arg(long, conflicts_with = "attempt")]
    follow: bool,
}

pub(super) fn log(arguments: &Arguments) -> Result<Exit> {
    let reader = reader(&arguments.folder)?;
    let task = lookup::task(reader.nest(), &arguments.task)?;
    let history = reader.history(task)?;
    let now = explain::at_work(&arguments.folder, task);
    if history.result.is_none()
        && now.is_none()
        && let Some(point) = reader.results.stopped()?.skips(task)
    {
        let why = point.words(reader.nest());
        return tell(&format!("task {task} was skipped, as its point was stopped early: {why}"));
    }
    if arguments.follow && (history.result.is_none() || now.is_some()) {
        drop(reader); // its transaction would keep the writer's log from being shortened
        return follow::follow((&arguments.folder, task), &history);
    }
    let Some(attempt) = chosen(&history, task, arguments.attempt)? else {
        return tell(&match now {
            Some((rank, host, _)) => {
                format!("task {task} runs on rank {rank} on {host}: --follow prints what it prints")
            }
            None => format!("task {task} has not run yet"),
        });
    };
    match reader.log(attempt)? {
        Some(log) => show(&log),
        None => tell(&why_none(&reader, task, attempt)?),
    }
}

/// The attempt that is asked for; nothing if there is none yet.
fn chosen(history: &History, task: u64, number: Option<i64>) -> Result<Option<&AttemptRow>> {
    let last = || history.last_timed().or(history.attempts.last());
    let Some(number) = number else { return Ok(last()) };
    if let Some(found) = history.attempts.iter().rev().find(|past| past.attempt == number) {
        return Ok(Some(found));
    }
    let known: Vec<String> = history.attempts.iter().map(|past| past.attempt.to_string()).collect();
    Err(Error::input(match known.as_slice() {
        [] => format!("task {task} has not run yet, so it has no attempt {number}"),
        known => format!("task {task} has no attempt {number} (there are: {})", known.join(", ")),
    }))
}

/// Prints what is kept.
fn show(log: &RunLog) -> Result<Exit> {
    let damaged = |error| Error::unexpected(format!("the log of a run is damaged: {error}"));
    let (beginning, end) = log.text().map_err(damaged)?;
    stream(|sink| {
        let written = sink.write_all(&beginning);
        sink.check(written)?;
        let left_out = log.left_out(beginning.len() + end.len());
        if left_out > 0 {
            let size = words::things(left_out, "byte");
            sink.write(&format!(
                "\n[gridmpi: {size} between the beginning and the end are not kept]\n"
            ))?;
        }
        let written = sink.write_all(&end);
        sink.check(written)
    })
}

/// Why there is no output of an attempt.
fn why_none(reader: &StoreReader, task: u64, attempt: &AttemptRow) -> Result<String> {
    let number = attempt.attempt;
    let state = if attempt.failed { "failed" } else { "ok" };
    Ok(match reader.logs_of(attempt)? {
        _ if reader.results.is_native() => {
            "what the Rust of a program prints goes to the terminal, or where its launcher sends it"
                .to_string()
        }
        _ if attempt.started.is_none() => {
            let why = attempt.error.as_deref().unwrap_or("its worker was lost");
            format!("nothing is kept of attempt {number} at task {task}: {why}")
        }
        None => format!("attempt {number} at task {task} was made before logs were kept"),
        Some(kept) if !kept.keeps(attempt.failed) => {
            let hint = match kept {
                KeptLogs::None => "",
                _ => "; logs = \"all\" in [crunch] keeps that of all runs to come",
            };
            format!(
                "the output of attempt {number} at task {task} ({state}) is not kept: the job had logs = \"{}\"{hint}",
                kept.name()
            )
        }
        Some(_) => format!("attempt {number} at task {task} ({state}) has printed nothing"),
    })
}

/// Says something about the output, which is not a part of it.
fn tell(words: &str) -> Result<Exit> {
    let _ = writeln!(std::io::stderr(), "{}", crate::util::text::visible(words));
    Ok(Exit::Complete)
}
