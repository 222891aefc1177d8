//! `gridmpi status`: the state of a run, in a few lines.

use std::fmt::Write;
use std::path::{Path, PathBuf};

#[cfg(feature = "jobs")]
use crate::cli::ask::parts::{self, PartsLiveness};
use crate::cli::ask::standing::{Standing, headline, json, progress, stand_by};
use crate::cli::ask::{ListFormat, in_a_row};
use crate::cli::{print, say};
use crate::model::Value;
use crate::rank0::status::{GroupStatus, Life, Liveness, Status, WorkerStatus};
use crate::report::text::words;
use crate::report::{Lines, in_words};
use crate::util::error::{Exit, Result};
use clap::Args;

/// Maximum number of groups and workers printed; JSON has more.
const MOST: usize = 20;

#[derive(Args)]
#[command(after_help = "\
While a run is going on, rank 0 writes its state to status.json in the results folder about once a \
second. This command reads that file, so it works from any machine that can read the folder, and it \
does not touch the store. Once the run has ended, the state is read from the store. A job that is \
computed in parts (gridmpi sbatch --parts) is shown with all its parts.

Examples:
  gridmpi status results/NAME
  gridmpi status results/NAME --format json")]
pub(in crate::cli) struct Arguments {
    /// Results folder
    folder: PathBuf,
    /// What to print
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    format: ListFormat,
}

pub(super) fn status(arguments: &Arguments) -> Result<Exit> {
    let standing = stand(&arguments.folder)?;
    match arguments.format {
        ListFormat::Table => say(&text(&standing)),
        ListFormat::Json => print(format!("{:#}\n", json(&standing)?).as_bytes()),
    }
}

/// Determines the state of a run: from its status file while it runs, from its store once it has ended; by that
/// of its parts if it has some.
pub(super) fn stand(folder: &Path) -> Result<Standing> {
    #[cfg(feature = "jobs")]
    if let Some(standing) = parts::stand(folder, &mut PartsLiveness::default(), true)? {
        return Ok(standing);
    }
    stand_by(folder, &mut Liveness::of(folder), true)
}

pub(super) fn groups(status: &Status) -> Option<String> {
    let groups = &status.groups;
    let incomplete = match groups.incomplete {
        0 => String::new(),
        number => format!(", {} of them incomplete", words::count(number)),
    };
    (groups.all > 0).then(|| {
        format!(
            "{} of {} closed{incomplete}",
            words::count(groups.closed),
            words::things(groups.all, "group")
        )
    })
}

/// How many rows have their final call.
pub(super) fn finals(status: &Status) -> Option<String> {
    let finals = status.finals?;
    let rows = status.groups.all.saturating_sub(status.groups.incomplete);
    let failed = match finals.failed {
        0 => String::new(),
        number => format!(", {} of them failed", words::count(number)),
    };
    let made = words::count(finals.made);
    Some(format!("{made} of {} made{failed}", words::things(rows, "final call")))
}

pub(super) fn workers(status: &Status) -> String {
    let workers = &status.workers;
    let mut line =
        format!("{}: {} at work", words::things(workers.all, "worker"), words::count(workers.busy));
    for (number, what) in [
        (workers.idle, "idle"),
        (workers.away, "not there yet"),
        (workers.lost, "lost"),
        (workers.sick, "sick"),
        (workers.gone, "dismissed"),
    ] {
        if number > 0 {
            let _ = write!(line, ", {} {what}", words::count(number));
        }
    }
    line
}

/// A group's cells: coordinates, score, best point and counts.
pub(super) fn group(group: &GroupStatus) -> Vec<String> {
    let place = in_a_row(&group.coordinates, &group.labels);
    let score = match (&group.score, &group.error) {
        (Some(score), _) => in_words(&Value::Float(*score)),
        (None, Some(error)) => format!("incomplete: {}", error.lines().next().unwrap_or_default()),
        (None, None) => String::new(),
    };
    let there = group.runs + group.failed;
    let failed =
        if group.failed > 0 { format!(", {} failed", group.failed) } else { String::new() };
    let skipped =
        if group.skipped > 0 { format!(", {} skipped", group.skipped) } else { String::new() };
    let runs = format!("{there} of {}{failed}{skipped}", words::things(group.all, "run"));
    // A group that has closed rests on what is there, as require allows.
    let is_partial = group.partial || group.error.is_none() && group.failed > 0;
    let partial = if is_partial { "partial" } else { "" };
    let place = if place.is_empty() { "all".to_string() } else { place };
    vec![place, score, in_a_row(&group.best, &group.labels), runs, partial.to_string()]
}

/// The header of groups whose scores are called so.
pub(super) fn group_header(score: &str) -> [(&str, bool); 5] {
    [("group", false), (score, true), ("best", false), ("runs", false), ("", false)]
}

pub(super) fn worker(worker: &WorkerStatus) -> Vec<String> {
    let at = worker.coordinates.as_ref().map(|at| in_a_row(at, &worker.labels));
    let at = at.unwrap_or_default();
    let more = match worker.held {
        0 | 1 => String::new(),
        held => format!(" and {} more", held - 1),
    };
    let task = worker.task.map(|task| format!("{task}{more}")).unwrap_or_default();
    let seconds = worker.seconds.map(words::seconds).unwrap_or_default();
    vec![worker.rank.to_string(), worker.host.clone(), worker.state.clone(), seconds, task, at]
}

pub(super) const WORKER: [(&str, bool); 6] = [
    ("rank", true),
    ("host", false),
    ("state", false),
    ("for", true),
    ("task", false),
    ("where", false),
];

fn table(header: &[(&str, bool)], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines = Lines::new(header.iter().map(|(name, right)| (name.to_string(), *right)));
    let mut text = String::new();
    for row in rows {
        text += &lines.row(row);
    }
    text + &lines.rest()
}

fn text(standing: &Standing) -> String {
    let status = &standing.status;
    let mut text = format!("{}\n{}\n", headline(standing), progress(standing));
    if let (Life::Died(_), Some(stored)) = (&standing.life, standing.stored) {
        let _ = writeln!(
            text,
            "{} {} stored; start it again to go on",
            words::things(stored, "run"),
            if stored == 1 { "is" } else { "are" }
        );
    }
    if let Some(kept) = &standing.kept {
        let _ = writeln!(text, "{kept}");
    }
    let going = standing.is_going();
    if let Some(slurm) = &status.slurm {
        let _ = writeln!(text, "{}", slurm.line(going));
    }
    for line in standing.part_lines() {
        let _ = writeln!(text, "{line}");
    }
    if let Some(groups) = groups(status) {
        let _ = writeln!(text, "{groups}");
    }
    if let Some(finals) = finals(status) {
        let _ = writeln!(text, "{finals}");
    }
    if going {
        let _ = writeln!(text, "{}", workers(status));
    }
    let shown: Vec<&GroupStatus> = status.groups.open.iter().chain(&status.groups.latest).collect();
    if !shown.is_empty() {
        let rows = shown.iter().take(MOST).map(|g| group(g));
        let _ = write!(text, "\n{}", table(&group_header(&status.groups.heading), rows));
        if shown.len() > MOST {
            let _ = writeln!(text, "... {} more with --format json", shown.len() - MOST);
        }
    }
    let list = &status.workers.list;
    if !status.state.is_end() && !list.is_empty() {
        if !going {
            text += "\nstate when last written:";
        }
        let _ = write!(text, "\n{}", table(&WORKER, list.iter().take(MOST).map(worker)));
        let more = list.len().saturating_sub(MOST) as u64 + status.workers.left_out;
        if more > 0 {
            let _ = writeln!(text, "... {} more", words::count(more));
        }
    }
    if going && !status.stragglers.is_empty() {
        text += "\nmuch longer than expected:\n";
        for late in &status.stragglers {
            let expected = late.expected.map(words::seconds).unwrap_or_default();
            let _ = writeln!(
                text,
                "rank {} on {} has been running task {} for {}, expected {expected}",
                late.rank,
                late.host,
                late.task.unwrap_or_default(),
                words::seconds(late.seconds.unwrap_or_default())
            );
        }
    }
    text
}
