//! The results of a finished study.

use std::marker::PhantomData;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::model::{GroupSummary, LoopNest, Scored};
use crate::rank0::types::RunResult;
use crate::store::StoppedPoints;
use crate::study::reductions::ValueReader;
use crate::study::runs::Summary;
use crate::util::error::Result;
use crate::wire::codec;

/// The results of a study: its summaries, and every run, which is read from the store.
pub struct Outcome<R, S> {
    /// One summary for each point of the loops that are not reduced, in grid order.
    pub summaries: Vec<Summary<S>>,
    finished: RunResult,
    stopped: StoppedPoints,
    of: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned, S> Outcome<R, S> {
    pub(super) fn read(mut finished: RunResult, read: ValueReader<S>) -> Result<Outcome<R, S>> {
        finished.results = finished.results.loading_large();
        let mut summaries = Vec::new();
        let nest = &finished.job.nest;
        finished.results.summaries(nest.outer(), |summary| {
            summaries.push(Summary::of(nest, &summary, &read));
            Ok(())
        })?;
        let stopped = finished.results.stopped()?;
        Ok(Outcome { summaries, finished, stopped, of: PhantomData })
    }

    /// The runs behind a summary, in grid order: the result of crunch, or a message that says why it
    /// failed. For a run that was not needed ([`Study::stop`](crate::Study::stop)) the message begins with "skipped: ".
    /// They are read from the store; an error if it cannot be read. There are none after a start without a store
    /// ([`Settings::no_store`](crate::Settings::no_store)).
    pub fn runs(&self, summary: &Summary<S>) -> Result<Vec<Result<R, String>>> {
        let RunResult { job, results, no_store, .. } = &self.finished;
        if *no_store {
            return Ok(Vec::new());
        }
        let nest = &job.nest;
        let tasks = nest.key_at(&summary.indices).map_or(0..0, |key| nest.tasks_below(key));
        let message = |why: String| Err(format!("skipped: {why}"));
        let unmade = |task: u64| self.stopped.why_skipped(task, false, None).map(message);
        let (mut runs, mut next) = (Vec::new(), tasks.start);
        results.runs(tasks.clone(), |run| {
            runs.extend((next..run.key.index).filter_map(unmade));
            runs.push(match self.stopped.why_run_skipped(&run) {
                Some(why) => message(why),
                None => decoded(&run.result),
            });
            next = run.key.index + 1;
            Ok(())
        })?;
        runs.extend((next..tasks.end).filter_map(unmade));
        Ok(runs)
    }

    /// What [`Study::finally`](crate::Study::finally) has returned for the row of a summary, or a message that says
    /// why it failed; `None` if it was not called. An error if the store cannot be read, or if the value is of
    /// another type.
    pub fn finally<T: DeserializeOwned>(
        &self,
        summary: &Summary<S>,
    ) -> Result<Option<Result<T, String>>> {
        let nest = &self.finished.job.nest;
        let Some(row) = nest.key_at(&summary.indices) else { return Ok(None) };
        let Some(found) = self.finished.results.finals()?.remove(&row.index) else {
            return Ok(None);
        };
        match found.result {
            Ok(scored) => codec::decode_theirs(&scored.typed).map(|value| Some(Ok(value))),
            Err(why) => Ok(Some(Err(why))),
        }
    }

    /// The number of runs that were not needed, because their points were stopped ([`Study::stop`](crate::Study::stop)).
    pub fn skipped(&self) -> u64 {
        self.finished.tally.skipped
    }

    /// The number of failed runs.
    pub fn failed(&self) -> u64 {
        self.finished.tally.failed
    }

    /// The time from the first task to the last result.
    pub fn elapsed(&self) -> Duration {
        self.finished.elapsed
    }

    /// The number of messages and bytes between rank 0 and the workers, in both directions.
    pub fn traffic(&self) -> (u64, u64) {
        (self.finished.timing.traffic.messages, self.finished.timing.traffic.bytes)
    }

    /// The results folder, with runs.sqlite, summary.json and summary.csv. Without
    /// [`Settings::out`](crate::Settings::out) it is a temporary folder, which is deleted when this
    /// outcome is dropped.
    pub fn folder(&self) -> &Path {
        self.finished.folder.path()
    }
}

impl<S> Summary<S> {
    pub(super) fn of(nest: &LoopNest, summary: &GroupSummary, read: &ValueReader<S>) -> Summary<S> {
        let GroupSummary { key, result, runs, failed } = summary;
        let value = match result {
            Ok(scored) => read(nest, *key, scored).map_err(|error| error.to_string()),
            Err(why) => Err(why.clone()),
        };
        let coordinates = nest.coordinates(*key).into_iter();
        Summary {
            coordinates: coordinates.map(|(name, v)| (name.to_string(), v)).collect(),
            indices: nest.indices(*key),
            value,
            runs: *runs,
            failed: *failed,
            // A group is complete when each of its tasks has run, or will not.
            skipped: nest.task_count(*key).saturating_sub(runs + failed),
        }
    }
}

fn decoded<T: DeserializeOwned>(result: &Result<Scored, String>) -> Result<T, String> {
    match result {
        Ok(scored) => codec::decode_theirs(&scored.typed).map_err(|error| error.to_string()),
        Err(why) => Err(why.clone()),
    }
}
