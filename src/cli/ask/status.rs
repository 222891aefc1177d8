//! `gridmpi status`: the state of a run, in a few lines.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::ask::{ListFormat, in_a_row};
use crate::cli::{print, say};
use crate::job::STORE_FILE;
use crate::model::Value;
use crate::rank0::status::{GroupStatus, Life, Liveness, RunState, Status, WorkerStatus};
use crate::report::text::words;
use crate::report::{Lines, in_words};
use crate::store::{Folder, StoreReader};
use crate::util::error::{Error, Exit, Result};

/// Maximum number of groups and workers printed; JSON has more.
const MOST: usize = 20;

#[derive(Args)]
#[command(after_help = "\
While a run is going on, rank 0 writes its state to status.json in the results folder about once a \
second. This command reads that file, so it works from any machine that can read the folder, and it \
does not touch the store. Once the run has ended, the state is read from the store.

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

/// The state of a run, and whether it is still running.
pub(super) struct Standing {
    pub(super) status: Status,
    pub(super) life: Life,
    /// For a run that has died, the number of runs in its store.
    pub(super) stored: Option<u64>,
    /// For a run that has ended: a sentence about runs of another crunch.
    pub(super) kept: Option<String>,
}

impl Standing {
    /// Whether it is still running, as far as is known.
    pub(super) fn is_going(&self) -> bool {
        matches!(self.life, Life::Alive | Life::Silent(_))
    }
}

pub(super) fn status(arguments: &Arguments) -> Result<Exit> {
    let standing = stand(&arguments.folder)?;
    match arguments.format {
        ListFormat::Table => say(&text(&standing)),
        ListFormat::Json => {
            let mut json = serde_json::to_value(&standing.status)
                .map_err(|error| Error::unexpected(format!("no JSON: {error}")))?;
            let (life, why) = match &standing.life {
                Life::Alive => ("alive", None),
                Life::Silent(seconds) => ("silent", Some(format!("for {seconds:.0} s"))),
                Life::Ended => ("ended", None),
                Life::Died(why) => ("died", Some(why.clone())),
            };
            json["life"] = json!(life);
            json["life_why"] = json!(why);
            json["stored"] = json!(standing.stored);
            json["kept"] = json!(standing.kept);
            print(format!("{json:#}\n").as_bytes())
        }
    }
}

/// Determines the state of a run: from its status file while it runs, from its store once it has ended.
pub(super) fn stand(folder: &Path) -> Result<Standing> {
    match Liveness::of(folder).check_twice()? {
        Some((status, life @ (Life::Alive | Life::Silent(_)))) => {
            Ok(Standing { status, life, stored: None, kept: None })
        }
        Some((status, Life::Ended)) => {
            let reader = StoreReader::into(folder)?;
            // The store of a start that has failed may not know it.
            let failed = (status.state == RunState::Failed).then(|| status.clone());
            let failed = failed.filter(|status| status.is_of_last_start(folder));
            let mut settled = status.settled(&reader)?;
            if let (Some(failed), false) = (failed, settled.state.is_end()) {
                let Status { state, words, exit_code, .. } = failed;
                settled = Status { state, words, exit_code, ..settled };
            }
            if !settled.state.is_end() {
                return unheard(folder, &reader);
            }
            let kept = reader.results.kept()?;
            Ok(Standing { status: settled, life: Life::Ended, stored: None, kept })
        }
        Some((status, died)) => {
            let stored = StoreReader::into(folder).and_then(|reader| reader.tally()).ok();
            let stored = stored.map(|(runs, _)| runs);
            Ok(Standing { status, life: died, stored, kept: None })
        }
        None if !folder.join(STORE_FILE).exists() => Err(nothing_yet(folder)),
        None => unheard(folder, &StoreReader::into(folder)?),
    }
}

/// The error before a run has begun, or for a folder that was never meant to hold one.
fn nothing_yet(folder: &Path) -> Error {
    let why = match (Folder::is_free(folder), Folder::holder(folder)) {
        (Some(false), Some((process, host))) => {
            format!("process {process} on {host} has just begun; ask again in a moment")
        }
        _ => "give the folder that a run writes, results/NAME mostly, in the folder where it was started; \
              a batch job has none before it begins: squeue --me says whether it waits and why; if it is \
              not there, its log (NAME-JOB.log) says why it has ended"
            .to_string(),
    };
    Error::input(format!("results folder {}: nothing is there yet: {why}", folder.display()))
}

/// The state of a start without a status file: from its store and its lock.
fn unheard(folder: &Path, reader: &StoreReader) -> Result<Standing> {
    let mut status = Status::of_store(reader)?;
    let life = match status.state.is_end() {
        true => Life::Ended,
        false => Liveness::of(folder).claimed(&status),
    };
    if life == Life::Alive {
        status.words = Some("it has just begun".to_string());
    }
    let kept = reader.results.kept()?;
    Ok(Standing { status, life, stored: None, kept })
}

/// The first line: name and state.
pub(super) fn headline(standing: &Standing) -> String {
    let Status { name, state, host, process, words, .. } = &standing.status;
    let why = words.as_ref().map_or(String::new(), |words| format!(" ({words})"));
    match &standing.life {
        Life::Alive => {
            format!("{name}: {}{why}, rank 0 is process {process} on {host}", state.name())
        }
        Life::Silent(seconds) => format!(
            "{name}: {}{why}, but process {process} on {host} has been silent for {seconds:.0} s",
            state.name()
        ),
        Life::Ended => format!("{name}: {}{why}", state.name()),
        Life::Died(why) => format!("{name}: HAS DIED: {why}"),
    }
}

/// The progress, in one line.
pub(super) fn progress(standing: &Standing) -> String {
    let status = &standing.status;
    let part = status.done as f64 / status.tasks.max(1) as f64;
    let mut line = format!(
        "{} of {} runs ({})",
        words::count(status.done),
        words::count(status.tasks),
        words::percent(part)
    );
    let _ = write!(line, ", {} failed", words::count(status.failed));
    if standing.is_going() {
        let _ = write!(line, ", {} running", words::count(status.running));
        match status.rate {
            Some(rate) if rate >= 1.0 => {
                let _ = write!(line, "; {rate:.1}/s");
            }
            Some(rate) => {
                let _ = write!(line, "; one in {}", words::seconds(1.0 / rate));
            }
            None => line += "; no rate yet",
        }
        if let Some(left) = status.seconds_left {
            let _ = write!(line, ", {} left", words::seconds(left));
        }
    }
    if status.reused > 0 {
        let _ = write!(line, "; {} reused", words::count(status.reused));
    }
    line
}

pub(super) fn groups(status: &Status) -> Option<String> {
    let groups = &status.groups;
    let incomplete = match groups.incomplete {
        0 => String::new(),
        number => format!(", {} of them incomplete", words::count(number)),
    };
    (groups.all > 0).then(|| {
        format!(
            "{} of {} groups closed{incomplete}",
            words::count(groups.closed),
            words::count(groups.all)
        )
    })
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
    let place = in_a_row(&group.coordinates);
    let score = match (&group.score, &group.error) {
        (Some(score), _) => in_words(&Value::Float(*score)),
        (None, Some(error)) => format!("incomplete: {}", error.lines().next().unwrap_or_default()),
        (None, None) => String::new(),
    };
    let there = group.runs + group.failed;
    let failed =
        if group.failed > 0 { format!(", {} failed", group.failed) } else { String::new() };
    let runs = format!("{there} of {} runs{failed}", group.all);
    let partial = if group.partial { "partial" } else { "" };
    let place = if place.is_empty() { "all".to_string() } else { place };
    vec![place, score, in_a_row(&group.best), runs, partial.to_string()]
}

pub(super) const GROUP: [(&str, bool); 5] =
    [("group", false), ("score", true), ("best", false), ("runs", false), ("", false)];

pub(super) fn worker(worker: &WorkerStatus) -> Vec<String> {
    let at = worker.coordinates.as_ref().map(in_a_row).unwrap_or_default();
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
        let _ = writeln!(text, "{} runs are stored; start it again to go on", words::count(stored));
    }
    if let Some(kept) = &standing.kept {
        let _ = writeln!(text, "{kept}");
    }
    let going = standing.is_going();
    if let Some(slurm) = &status.slurm {
        let _ = writeln!(text, "{}", slurm.line(going));
    }
    if let Some(groups) = groups(status) {
        let _ = writeln!(text, "{groups}");
    }
    if going {
        let _ = writeln!(text, "{}", workers(status));
    }
    let shown: Vec<&GroupStatus> = status.groups.open.iter().chain(&status.groups.latest).collect();
    if !shown.is_empty() {
        let _ = write!(text, "\n{}", table(&GROUP, shown.iter().take(MOST).map(|g| group(g))));
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
