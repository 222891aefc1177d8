//! What the terminal says of failed runs: the first one at once, and all of them, by message, at the end.

use std::path::Path;
use std::sync::Arc;

use crate::job::{Job, lookup};
use crate::model::{Key, RunBatch, Tally, error_line};
use crate::report::text::words::{count, things};
use crate::store::Results;
use crate::util::text::{beginning, shell_word};

/// How many messages are told.
const MOST: usize = 3;

/// The most of a message, and of a task's coordinates. (characters)
const LONGEST: usize = 240;
const LONGEST_PLACE: usize = 80;

/// Tells the first failure as soon as it is known: the rest of the job may take long.
pub(crate) struct FirstFailure {
    job: Arc<Job>,
    is_told: bool,
}

impl FirstFailure {
    pub(crate) fn new(job: &Arc<Job>, is_wanted: bool) -> FirstFailure {
        FirstFailure { job: job.clone(), is_told: !is_wanted }
    }

    #[inline]
    pub(crate) fn look(&mut self, runs: &RunBatch) {
        if !self.is_told {
            self.find(runs);
        }
    }

    fn find(&mut self, runs: &RunBatch) {
        let failed = runs.others().find_map(|run| Some((run.task, run.result.as_ref().err()?)));
        let Some((task, error)) = failed else { return };
        self.is_told = true;
        let again =
            if runs.attempt <= self.job.policy.retries { ", and is tried again" } else { "" };
        let why = beginning(&error_line(error.why()), LONGEST);
        log::warn!("{} has failed{again}: {why}", named(&self.job, task));
    }
}

/// A task with its coordinates.
fn named(job: &Job, task: u64) -> String {
    let place = lookup::words(&job.nest, task).join(" ");
    match place.is_empty() {
        true => format!("task {task}"),
        false => format!("task {task} ({})", beginning(&place, LONGEST_PLACE)),
    }
}

/// Says how many runs have failed and why: the commonest messages, and how to see the others.
pub(crate) fn tell(job: &Job, results: &Results, folder: Option<&Path>, tally: Tally) {
    let Tally { failed, incomplete, partial, .. } = tally;
    let mut groups = String::new();
    for (number, what) in [(incomplete, "incomplete"), (partial, "partial")] {
        groups += &match number {
            0 => String::new(),
            1 => format!(", 1 group is {what}"),
            many => format!(", {} groups are {what}", count(many)),
        };
    }
    let of_all = things(job.nest.tasks(), "run");
    let Some(folder) = folder else {
        let how = "run it without --no-store to see why";
        return log::warn!("{} of {of_all} failed{groups}; {how}", count(failed));
    };
    if failed == 0 {
        let why = results.first_incomplete().ok().flatten();
        let why = why.unwrap_or("of some points there is no number to compare".to_string());
        return log::warn!("0 of {of_all} failed{groups}: {}", beginning(&why, LONGEST));
    }
    let (stored, kinds) = match results.failed_runs(MOST) {
        Ok(found) => found,
        Err(error) => {
            log::warn!("{} of {of_all} failed{groups}", count(failed));
            return log::warn!("why they failed cannot be read: {error}");
        }
    };
    // A job that is stopped leaves failed runs that it would have tried again.
    log::warn!("{} of {of_all} failed{groups}:", count(stored));
    let mut others = stored;
    for kind in &kinds {
        others = others.saturating_sub(kind.runs);
        let message = beginning(&kind.message, LONGEST);
        let first = if kind.runs == 1 { "" } else { "first " };
        log::warn!("  {}, {first}{}: {message}", things(kind.runs, "run"), named(job, kind.first));
    }
    if others > 0 {
        log::warn!("  {} with other messages", things(others, "run"));
    }
    let program = if job.is_native() { own_name() } else { "gridmpi".to_string() };
    let folder = shell_word(&folder.to_string_lossy());
    let example = kinds.first().map_or(0, |kind| kind.first);
    log::warn!(
        "{program} runs {folder} --failed lists them; {program} explain {folder} {example} tells all about task {example}"
    );
}

/// Says how many final calls have failed, the first of them and why, and where all of them are.
pub(crate) fn tell_finals(results: &Results, folder: Option<&Path>, tally: Tally) {
    let Tally { finals, finals_failed, .. } = tally;
    let of_all = things(finals, "final call");
    let nest = results.nest();
    let rows = results.finals().unwrap_or_default();
    let first = rows.iter().find_map(|(row, made)| Some((*row, made.result.as_ref().err()?)));
    let first = first.map_or(String::new(), |(index, why)| {
        let row = nest.shown(Key { level: nest.outer(), index }).into_iter();
        let row: Vec<String> = row.map(|(name, value)| format!("{name}={value}")).collect();
        let place = if row.is_empty() { "the whole job".to_string() } else { row.join(" ") };
        format!("; first {place}: {}", beginning(&error_line(why), LONGEST))
    });
    let failed = count(finals_failed);
    log::warn!("{failed} of {of_all} failed, and the rows are as they were{first}");
    if let Some(folder) = folder {
        let file = folder.join("summary.csv");
        log::warn!(
            "{} has each error in its column final.error; the next start tries them again",
            file.display()
        );
    }
}

/// The name of this program, which has the subcommands.
fn own_name() -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    let program = Path::new(&program).file_name().map(|name| name.to_string_lossy().into_owned());
    shell_word(&program.unwrap_or_default())
}
