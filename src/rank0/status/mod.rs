//! How a run stands, in a small file that rank 0 writes beside the store: whoever looks on, from
//! whatever machine, reads that and leaves the store and its locks alone.

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

use crate::platform::slurm::Booked;
use crate::util::error::Exit;
use crate::util::files::{Durability, write_whole};
#[cfg(feature = "cli")]
pub(crate) use liveness::{Life, Liveness};
pub(crate) use writer::StatusWriter;

/// The file's name in the results folder.
pub(crate) const FILE: &str = "status.json";

/// The version of its form; one with another is not for this gridmpi.
const FORM: u32 = 1;

/// How a run stood when it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) form: u32,
    pub(crate) name: String,
    pub(crate) state: RunState,
    /// What there is to say of that: why it pauses, or how it ended.
    pub(crate) words: Option<String>,
    /// What gridmpi exits with, once it has ended.
    pub(crate) exit_code: Option<u8>,
    /// Rank 0's host and process.
    pub(crate) host: String,
    pub(crate) process: u32,
    /// When it began, when rank 0 looked last, and when this was written: in seconds since 1970.
    pub(crate) started: f64,
    pub(crate) seen: f64,
    pub(crate) written: f64,
    pub(crate) tasks: u64,
    /// Runs that are there, good or bad, those of earlier starts included.
    pub(crate) done: u64,
    /// Those of earlier starts.
    pub(crate) reused: u64,
    pub(crate) failed: u64,
    /// Tasks that workers are at just now.
    pub(crate) running: u64,
    /// Failed attempts that were tried again.
    pub(crate) retried: u64,
    /// Runs in a second, lately.
    pub(crate) rate: Option<f64>,
    /// How long the rest takes at that rate. (seconds)
    pub(crate) seconds_left: Option<f64>,
    /// The Slurm job it runs in, if it does.
    #[serde(default)]
    pub(crate) slurm: Option<Booked>,
    pub(crate) groups: GroupsStatus,
    pub(crate) workers: WorkersStatus,
    /// Workers whose task takes far longer than could be expected; the longest first.
    pub(crate) stragglers: Vec<WorkerStatus>,
}

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RunState {
    Running,
    /// So much waits to be written or reduced that no task is given out.
    Paused,
    /// A signal has asked for an end.
    Ending,
    /// Everything was tried.
    Complete,
    /// Too many runs failed, or the program stopped it.
    Stopped,
    /// A signal ended it, or its time was over.
    Interrupted,
    /// Something else ended it.
    Failed,
}

impl RunState {
    /// Whether it is over.
    pub(crate) fn is_end(self) -> bool {
        !matches!(self, RunState::Running | RunState::Paused | RunState::Ending)
    }

    /// How a run ended that ended with an error.
    pub(crate) fn of(exit: Exit) -> RunState {
        match exit {
            Exit::Interrupted => RunState::Interrupted,
            _ => RunState::Failed,
        }
    }

    /// As the file and the store say it.
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
    /// Those of the closed that have no value, because too many of their runs failed.
    pub(crate) incomplete: u64,
    /// What the loop reduces by, such as `max`.
    pub(crate) reduce: Option<String>,
    /// The ones that closed last, the latest first.
    pub(crate) latest: Vec<GroupStatus>,
    /// The first open ones: what they have is partial.
    pub(crate) open: Vec<GroupStatus>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupStatus {
    pub(crate) coordinates: Json,
    /// Whether runs are still to come: what is best may change.
    pub(crate) partial: bool,
    pub(crate) score: Option<f64>,
    /// Where the best is.
    pub(crate) best: Json,
    /// How many runs stand behind it, how many failed, and how many there are to be.
    pub(crate) runs: u64,
    pub(crate) failed: u64,
    pub(crate) all: u64,
    pub(crate) error: Option<String>,
}

/// The workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkersStatus {
    /// How many there are in all, and of them at work, idle, not heard of yet, lost, and sent home.
    pub(crate) all: u64,
    pub(crate) busy: u64,
    pub(crate) idle: u64,
    pub(crate) away: u64,
    pub(crate) lost: u64,
    pub(crate) gone: u64,
    /// Each of them by rank; where there are too many, those that have been at their task longest.
    pub(crate) list: Vec<WorkerStatus>,
    /// How many are not in the list.
    pub(crate) left_out: u64,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkerStatus {
    pub(crate) rank: u64,
    pub(crate) host: String,
    /// `crunching`, `reducing`, `idle`, `preparing`, `away`, `lost` or `gone`.
    pub(crate) state: String,
    pub(crate) threads: u32,
    /// The first task of those it holds, and where that is.
    pub(crate) task: Option<u64>,
    pub(crate) coordinates: Option<Json>,
    /// How many tasks it holds.
    pub(crate) held: u64,
    /// How long it has been at the first one. (seconds)
    pub(crate) seconds: Option<f64>,
    /// How long that could be expected to take. (seconds)
    pub(crate) expected: Option<f64>,
}

impl Status {
    /// Reads a results folder's file; nothing if there is none.
    #[cfg(feature = "cli")]
    pub(crate) fn read(folder: &Path) -> crate::util::error::Result<Option<Status>> {
        use std::io::ErrorKind::{NotADirectory, NotFound};

        use crate::util::error::Error;
        let path = folder.join(FILE);
        let text = match std::fs::read(&path) {
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

    /// Writes it so that whoever reads sees the whole of an old or of a new one.
    fn write(&self, folder: &Path) -> std::io::Result<()> {
        let text = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        write_whole(&folder.join(FILE), Durability::Eventual, |e| e, |out| out.write_all(&text))
    }
}
