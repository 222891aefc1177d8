//! The HTML report: one self-contained page with a job's results and timing.
//!
//! `landscape`, `timeline` and `failures` compute the content, `words` writes the sentences, `charts` draws,
//! `table` has the rows, `origin` says where they come from, and `page` assembles the page. `page.js` only draws what is selected, and `table.js` sorts and filters.

mod charts;
mod markup;
mod origin;
mod page;
mod scores;
mod table;
mod timings;
mod words;

use crate::model::{Key, PointCounts};
use crate::report::Rows;
use crate::report::model::durations::DurationStats;
use crate::report::model::failures::Failures;
use crate::report::model::landscape::{Landscape, ScoreList};
use crate::report::model::timeline::{ReadAttempts, StartTimeline, sessions};
use crate::store::{Attempt, StoppedPoints, StoreReader};
use crate::util::error::{Exit, Result};
pub(crate) use charts::{COLOURS, FAILED};
pub(crate) use page::page;

/// The input of a report.
pub(crate) struct Facts<'a> {
    pub(crate) reader: &'a StoreReader,
    rows: Rows<'a>,
    state: String,
    /// Whether the job ended with the exit code for failed runs and for groups that lack some.
    has_gaps: bool,
    /// The number of runs that count, and how many of them failed.
    tally: (u64, u64),
    /// The points of which not all runs are made.
    stopped: StoppedPoints,
    pub(crate) landscape: Landscape,
    pub(crate) sessions: Vec<StartTimeline>,
    durations: Option<DurationStats>,
    failures: Failures,
}

impl ReadAttempts for StoreReader {
    fn read(&self, by_start: bool, each: &mut dyn FnMut(Attempt)) -> Result<()> {
        self.attempts(by_start, each)
    }
}

impl<'a> Facts<'a> {
    /// Reads a results folder.
    pub(crate) fn read(reader: &'a StoreReader) -> Result<Facts<'a>> {
        let mut list = ScoreList::new(reader.nest(), &reader.results.score_name()?);
        let level = list.plan.level;
        reader.results.scores(level, |row| {
            list.add(row.key.index, row.score);
            Ok(())
        })?;
        if let Some(chosen) = list.chosen {
            reader.results.scores(chosen, |row| {
                let winners = row.error.is_none().then(|| row.winners());
                let points = reader.results.partial(row.key)?;
                let is_partial = points.is_some_and(PointCounts::lacks_some);
                list.add_best(row.key, winners.as_deref(), is_partial);
                Ok(())
            })?;
        }
        if let Some(folded) = list.folded {
            reader.results.scores(folded, |row| {
                list.add_folded(row.key, row.score);
                Ok(())
            })?;
        }
        let stopped = reader.results.stopped()?;
        list.know_stopped(&stopped);
        let (made, beyond) = (reader.tally()?, reader.results.unasked_runs(&stopped, Key::ROOT)?);
        let (sessions, durations) = sessions(&reader.members()?, reader)?;
        let mut failures = Failures::default();
        // Those of runs that count nowhere are no failures of this job.
        reader.failures(|failure| {
            if stopped.skips(failure.task).is_none() {
                failures.add(failure);
            }
        })?;
        let gaps = (Exit::SomeFailed as u8).to_string();
        Ok(Facts {
            reader,
            rows: Rows::shown(reader.nest()),
            state: reader.note("state")?.unwrap_or_default(),
            has_gaps: reader.note("exit_code")?.is_some_and(|code| code == gaps),
            tally: (made.0 - beyond.runs, made.1 - beyond.failed),
            stopped,
            landscape: list.landscape(),
            durations,
            sessions,
            failures,
        })
    }

    /// A task's coordinates as text.
    fn task(&self, task: u64) -> String {
        let nest = self.reader.nest();
        if task >= nest.tasks() {
            return String::new();
        }
        let coordinates = nest.shown_applying(nest.task(task));
        let words = coordinates.iter().map(|(name, value)| {
            format!("{name} {}", crate::report::beginning(&crate::report::called(value), 60))
        });
        words.collect::<Vec<_>>().join(", ")
    }
}
