//! The status of a run, in a small file that rank 0 writes next to the store. Readers on any machine read
//! this file, and need neither the store nor its locks.

#[cfg(feature = "cli")]
mod from_store;
#[cfg(feature = "cli")]
mod liveness;
mod snapshot;
mod writer;

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::job::SCORE;
use crate::master::WorkLeft;
use crate::platform::slurm::{Booked, ExpectedWork};
use crate::util::error::Exit;
use crate::util::files::{Durability, write_whole};
#[cfg(feature = "cli")]
pub(crate) use liveness::{Life, Liveness};
pub(crate) use writer::{ClosedGroups, StatusWriter};

/// The file's name in the results folder.
pub(crate) const FILE: &str = "status.json";

pub(crate) fn expected_work(left: WorkLeft) -> ExpectedWork {
    ExpectedWork { time: left.time, at_least: left.is_lower_bound }
}

/// The version of the file format; other versions are refused.
const FORM: u32 = 1;

/// The status of a run when it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) form: u32,
    pub(crate) name: String,
    pub(crate) state: RunState,
    /// Why it is paused, or how it ended.
    pub(crate) words: Option<String>,
    /// The exit code, once the run has ended.
    pub(crate) exit_code: Option<u8>,
    /// Rank 0's host and PID.
    pub(crate) host: String,
    pub(crate) process: u32,
    /// When the run began, when rank 0 took the last snapshot, and when this was written, in seconds since
    /// 1970.
    pub(crate) started: f64,
    pub(crate) seen: f64,
    pub(crate) written: f64,
    pub(crate) tasks: u64,
    /// Finished runs, including failed ones and those of earlier starts.
    pub(crate) done: u64,
    /// Finished runs of earlier starts.
    pub(crate) reused: u64,
    pub(crate) failed: u64,
    /// Runs that are not made, of points that were stopped, and how many points were.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) skipped: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) stopped: u64,
    /// Runs of the former that are stored all the same, and count nowhere; known once the run has ended.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) unasked: u64,
    /// Tasks that are running now.
    pub(crate) running: u64,
    /// Failed attempts that were tried again.
    pub(crate) retried: u64,
    /// Recent runs per second.
    pub(crate) rate: Option<f64>,
    /// Time left at that rate. (seconds)
    pub(crate) seconds_left: Option<f64>,
    /// The Slurm job it runs in, if any.
    #[serde(default)]
    pub(crate) slurm: Option<Booked>,
    /// The part of the job that it is, if it is one: then `tasks` are the part's.
    #[serde(default)]
    pub(crate) part: Option<PartStatus>,
    pub(crate) groups: GroupsStatus,
    /// The final calls of rows, if the job has any.
    #[serde(default)]
    pub(crate) finals: Option<FinalsStatus>,
    pub(crate) workers: WorkersStatus,
    /// Workers whose task takes far longer than expected, longest first.
    pub(crate) stragglers: Vec<WorkerStatus>,
}

/// How many final calls of rows are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FinalsStatus {
    pub(crate) made: u64,
    /// How many of them have failed.
    pub(crate) failed: u64,
}

/// A part of a job that many allocations compute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartStatus {
    pub(crate) number: u32,
    pub(crate) of: u32,
    /// Number of tasks, and of outermost groups that have some of them.
    pub(crate) tasks: u64,
    pub(crate) groups: u64,
}

#[cfg(all(feature = "cli", feature = "jobs"))]
impl PartStatus {
    /// Its name in the store's table `job`.
    pub(crate) const NOTE: &str = "part";
}

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RunState {
    Running,
    /// Backpressure: too much waits to be written or reduced to hand out tasks.
    Paused,
    /// Shutting down after a signal or at the time limit.
    Ending,
    /// Every task was tried.
    Complete,
    /// Too many runs failed, or the program stopped it.
    Stopped,
    /// Ended by a signal or a time limit.
    Interrupted,
    /// Ended by another error.
    Failed,
}

impl RunState {
    /// Whether the run has ended.
    pub(crate) fn is_end(self) -> bool {
        !matches!(self, RunState::Running | RunState::Paused | RunState::Ending)
    }

    /// The state of a run that ended with an error.
    pub(crate) fn of(exit: Exit) -> RunState {
        match exit {
            Exit::Interrupted => RunState::Interrupted,
            _ => RunState::Failed,
        }
    }

    /// The name in the status file and in the store.
    pub(crate) fn name(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Paused => "paused",
            RunState::Ending => "ending",
            RunState::Complete => "complete",
            RunState::Stopped => "stopped",
            RunState::Interrupted => "interrupted",
            RunState::Failed => "failed",
        }
    }
}

/// The outermost groups: each of them is a row of the result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupsStatus {
    pub(crate) all: u64,
    pub(crate) closed: u64,
    /// Closed groups without a value, because too many of their runs failed.
    pub(crate) incomplete: u64,
    /// The loop's reduction, such as `max`.
    pub(crate) reduce: Option<String>,
    /// What people are shown above the groups' scores, such as `mean r2`.
    #[serde(default = "plain_score")]
    pub(crate) heading: String,
    /// The groups that closed last, latest first.
    pub(crate) latest: Vec<GroupStatus>,
    /// The first open groups, with partial results.
    pub(crate) open: Vec<GroupStatus>,
}

/// Whether there are none: few jobs stop points, and the others say nothing of them.
fn is_none(number: &u64) -> bool {
    *number == 0
}

/// The heading where an older gridmpi has written none.
fn plain_score() -> String {
    SCORE.to_string()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupStatus {
    pub(crate) coordinates: Json,
    /// Whether runs are still missing, so the best may change.
    pub(crate) partial: bool,
    pub(crate) score: Option<f64>,
    /// The coordinates of the best.
    pub(crate) best: Json,
    /// What people are shown for points of either, if something else: by the name of the loop.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub(crate) labels: Json,
    /// Number of successful runs, of failed runs, and of all runs in the group.
    pub(crate) runs: u64,
    pub(crate) failed: u64,
    pub(crate) all: u64,
    /// Of a closed group: the runs that are not made, of points that were stopped.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) skipped: u64,
    pub(crate) error: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkersStatus {
    /// Number of workers in all, and of them busy, idle, not heard of yet, lost, unable to work, and dismissed.
    pub(crate) all: u64,
    pub(crate) busy: u64,
    pub(crate) idle: u64,
    pub(crate) away: u64,
    pub(crate) lost: u64,
    #[serde(default)]
    pub(crate) sick: u64,
    pub(crate) gone: u64,
    /// The workers by rank; if there are too many, those whose task has been running longest.
    pub(crate) list: Vec<WorkerStatus>,
    /// Number of workers that are not in the list.
    pub(crate) left_out: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkerStatus {
    pub(crate) rank: u64,
    pub(crate) host: String,
    /// `crunching`, `reducing`, `idle`, `preparing`, `away`, `lost`, `sick` or `gone`.
    pub(crate) state: String,
    pub(crate) threads: u32,
    /// The first task that it holds, and its coordinates.
    pub(crate) task: Option<u64>,
    pub(crate) coordinates: Option<Json>,
    /// As for a group.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub(crate) labels: Json,
    /// Number of tasks that it holds.
    pub(crate) held: u64,
    /// How long the first task has been running. (seconds)
    pub(crate) seconds: Option<f64>,
    /// The expected duration of that task. (seconds)
    pub(crate) expected: Option<f64>,
}

impl Status {
    /// Which part of the runs that are to be made is done.
    #[cfg(feature = "cli")]
    pub(crate) fn progress(&self) -> f64 {
        let goal = self.tasks.saturating_sub(self.skipped);
        (self.done as f64 / goal.max(1) as f64).min(1.0)
    }

    /// Reads the status file of a results folder, if there is one.
    #[cfg(feature = "cli")]
    pub(crate) fn read(folder: &Path) -> crate::util::error::Result<Option<Status>> {
        use std::io::ErrorKind::{NotADirectory, NotFound};

        use crate::util::error::Error;
        use crate::util::files::read_regular;
        let path = folder.join(FILE);
        let text = match read_regular(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Ok(None),
            Err(error) => return Err(Error::unreadable(&path, &error)),
        };
        let no = |why: &str| Error::input(format!("{}: {why}", path.display()));
        let form = serde_json::from_slice::<Json>(&text).ok();
        match form.as_ref().and_then(|json| json["form"].as_u64()) {
            Some(form) if form == u64::from(FORM) => {}
            Some(form) => {
                let age = if form > u64::from(FORM) { "a newer" } else { "an older" };
                return Err(no(&format!(
                    "written by {age} gridmpi (in format {form}; this one reads format {FORM}); use that version"
                )));
            }
            None => return Err(no("is not a status file of gridmpi's")),
        }
        serde_json::from_slice(&text).map(Some).map_err(|error| no(&error.to_string()))
    }

    /// Writes the file atomically: a reader sees either the old one or the new one.
    fn write(&self, folder: &Path) -> std::io::Result<()> {
        let text = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        write_whole(&folder.join(FILE), Durability::Eventual, |e| e, |out| out.write_all(&text))
    }
}
