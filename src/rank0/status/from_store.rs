//! The status of a run that has ended, read from its store.

use std::path::Path;

use serde_json::Value as Json;

use crate::job::named_json;
use crate::model::Key;
use crate::rank0::status::snapshot::labels;
use crate::rank0::status::{
    FORM, FinalsStatus, GroupStatus, GroupsStatus, PartStatus, RunState, Status, WorkersStatus,
};
use crate::report::score_heading;
use crate::store::{Folder, RunCounts, StoppedPoints, StoreReader};
use crate::util::error::Result;

const MOST_GROUPS: u64 = 200;

impl Status {
    pub(crate) fn settled(self, reader: &StoreReader) -> Result<Status> {
        let Status { host, process, started, seen, written, words, reused, retried, .. } = self;
        let Status { slurm, workers, .. } = self;
        let stored = Status::of_store(reader)?;
        // The words belong to the state in the file. They are dropped if the store has another state.
        let words = words.filter(|_| self.state == stored.state);
        let reused = reused.min(stored.done);
        let known = Status { host, process, started, seen, written, words, ..stored };
        Ok(Status { reused, retried, slurm, workers, ..known })
    }

    /// Whether the process that wrote it was the last one to open the folder.
    pub(crate) fn is_of_last_start(&self, folder: &Path) -> bool {
        Folder::holder(folder).is_some_and(|(process, host)| {
            (process, host.as_str()) == (self.process, self.host.as_str())
        })
    }

    /// The status as far as a store knows it.
    pub(crate) fn of_store(reader: &StoreReader) -> Result<Status> {
        let (done, failed) = reader.tally()?;
        let stopped = reader.results.stopped()?;
        let skipped = stopped.skipped(Key::ROOT);
        let state = reader.note("state")?;
        let is_complete = state.as_deref() == Some("complete");
        let unasked = match is_complete && done + skipped == reader.nest().tasks() {
            true => RunCounts::default(),
            false => reader.results.unasked_runs(&stopped, Key::ROOT)?,
        };
        let is_merged = state.as_deref() == Some("merged");
        let state = match state.as_deref() {
            Some("complete") => RunState::Complete,
            Some("stopped") => RunState::Stopped,
            Some("interrupted" | "merged") => RunState::Interrupted,
            _ => RunState::Running,
        };
        let exit_code = reader.note("exit_code")?.and_then(|code| code.parse().ok());
        let folder = reader.path().parent();
        let (process, host) = folder.and_then(Folder::holder).unwrap_or_default();
        let (started, written) = reader.span()?;
        let part = part(reader)?;
        Ok(Status {
            form: FORM,
            name: reader.name.clone(),
            state,
            words: is_merged.then(|| "merged from several folders".to_string()),
            exit_code: exit_code.filter(|_| state.is_end()),
            host,
            process,
            started,
            seen: written,
            written,
            tasks: part.as_ref().map_or(reader.nest().tasks(), |part| part.tasks),
            done: done - unasked.runs,
            reused: 0,
            failed: failed - unasked.failed,
            skipped,
            stopped: stopped.all().len() as u64,
            unasked: unasked.runs,
            running: 0,
            retried: 0,
            rate: None,
            seconds_left: None,
            slurm: None,
            groups: groups(reader, part.as_ref(), &stopped)?,
            finals: reader
                .results
                .final_tally()?
                .map(|(made, failed)| FinalsStatus { made, failed }),
            part,
            workers: WorkersStatus::default(),
            stragglers: Vec::new(),
        })
    }
}

#[cfg(feature = "jobs")]
fn part(reader: &StoreReader) -> Result<Option<PartStatus>> {
    let note = reader.note(PartStatus::NOTE)?;
    Ok(note.and_then(|json| serde_json::from_str(&json).ok()))
}

#[cfg(not(feature = "jobs"))]
fn part(_: &StoreReader) -> Result<Option<PartStatus>> {
    Ok(None)
}

fn groups(
    reader: &StoreReader,
    part: Option<&PartStatus>,
    stopped: &StoppedPoints,
) -> Result<GroupsStatus> {
    let nest = reader.nest();
    let outer = nest.outer();
    let Some(reduce) = nest.loops().get(outer).and_then(|l| l.reduce.as_ref()) else {
        return Ok(GroupsStatus::default());
    };
    let mut groups = GroupsStatus {
        all: part.map_or(nest.keys(outer), |part| part.groups),
        reduce: Some(reduce.text()),
        heading: score_heading(nest, outer, &reader.results.score_name()?),
        ..GroupsStatus::default()
    };
    reader.results.scores(outer, |group| {
        groups.closed += 1;
        groups.incomplete += u64::from(group.error.is_some());
        if groups.closed <= MOST_GROUPS {
            let won = group.winners();
            let best = group.error.is_none().then(|| named_json(&nest.winners(group.key, &won)));
            groups.latest.push(GroupStatus {
                coordinates: named_json(&nest.applying(group.key)),
                partial: false,
                score: group.score,
                best: best.unwrap_or(Json::Null),
                labels: labels(nest, group.key, &won),
                runs: group.runs,
                failed: group.failed,
                all: nest.task_count(group.key),
                skipped: stopped.skipped(group.key),
                error: group.error,
            });
        }
        Ok(())
    })?;
    Ok(groups)
}
