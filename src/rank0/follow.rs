//! Output of runs under way, for whoever follows it: `gridmpi log --follow` leaves a request in the results folder; rank 0
//! finds it, tells the workers that hold the task, and writes what they send to files beside the request. Where nobody
//! follows anything, that costs a look at a folder that is not there. What is in it decides nothing: it may be removed at
//! any time.

#[cfg(feature = "cli")]
mod followed;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::job::FOLLOW_FOLDER;
use crate::master::Master;
use crate::model::OutputPiece;
#[cfg(feature = "cli")]
pub(crate) use crate::rank0::follow::followed::{FollowedOutput, OutputFrame};
use crate::rank0::follow::writer::FollowWriter;
use crate::util::thread;
use crate::wire::codec;
use crate::wire::messages::ToWorker;

/// Time between two looks at which workers hold the tasks that are followed.
const PERIOD: Duration = Duration::from_millis(500);

/// So many pieces may wait for the disk; what comes then is left out.
const MOST_WAITING: usize = 256;

/// How the names of requests begin; the task follows.
const REQUEST: &str = "request-";

/// The line before each piece of output.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FrameHeader {
    pub(crate) rank: usize,
    pub(crate) attempt: u32,
    /// Where the piece begins in the output of the run. (bytes)
    pub(crate) from: u64,
    pub(crate) length: u64,
    /// Whether it is the last one of the attempt.
    pub(crate) ended: bool,
}

/// The task of a request.
fn requested(name: &str) -> Option<u64> {
    name.strip_prefix(REQUEST)?.split('-').next()?.parse().ok()
}

/// The name of a file with output of a task. They are numbered; when one is long enough the next one begins.
fn piece_file(task: u64, number: u64) -> String {
    format!("{task}.{number}")
}

/// The task and the number of such a file.
fn of_piece_file(name: &str) -> Option<(u64, u64)> {
    let (task, number) = name.split_once('.')?;
    Some((task.parse().ok()?, number.parse().ok()?))
}

/// Removes the files with output of tasks.
fn remove_pieces(folder: &Path, is_over: impl Fn(u64) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let piece = entry.file_name().to_str().and_then(of_piece_file);
        if piece.is_some_and(|(task, _)| is_over(task)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The tasks that are followed.
#[derive(Default)]
struct FollowedTasks {
    is_any: AtomicBool,
    tasks: Mutex<BTreeSet<u64>>,
}

/// What rank 0 knows of whoever follows runs.
pub(crate) struct Followers {
    followed: Arc<FollowedTasks>,
    pieces: Option<SyncSender<(usize, OutputPiece)>>,
    thread: Option<JoinHandle<()>>,
    /// Which tasks the workers were told, by rank.
    told: BTreeMap<usize, BTreeSet<u64>>,
    next: Duration,
}

impl Followers {
    /// Looks for requests in a results folder from now on.
    pub(crate) fn of(results: &Path) -> Option<Followers> {
        let (pieces, to_write) = sync_channel(MOST_WAITING);
        let followed = Arc::new(FollowedTasks::default());
        let mut writer = FollowWriter::new(results.join(FOLLOW_FOLDER), followed.clone());
        let started = thread::start("follow", move || writer.write(&to_write));
        let thread = started.map_err(|error| log::warn!("{error}")).ok()?;
        let (told, next) = (BTreeMap::new(), Duration::ZERO);
        Some(Followers { followed, pieces: Some(pieces), thread: Some(thread), told, next })
    }

    /// Messages to the workers that hold tasks which are followed, or not any more.
    pub(crate) fn messages(&mut self, now: Duration, master: &Master) -> Vec<(usize, Bytes)> {
        let is_any = self.followed.is_any.load(Ordering::Relaxed);
        if !is_any && self.told.is_empty() || now < self.next {
            return Vec::new();
        }
        self.next = now + PERIOD;
        let tasks = self.followed.tasks.lock().clone();
        let mut held: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        for task in tasks {
            for rank in master.holders(task) {
                held.entry(rank).or_default().insert(task);
            }
        }
        let told = std::mem::take(&mut self.told);
        let mut messages = Vec::new();
        for (rank, tasks) in &told {
            // One that holds none of them any more may be gone.
            let holds = |task: &u64| master.holders(*task).any(|holder| holder == *rank);
            if !held.contains_key(rank) && tasks.iter().any(holds) {
                messages.push((*rank, follow(&BTreeSet::new())));
            }
        }
        for (rank, tasks) in &held {
            if told.get(rank) != Some(tasks) {
                messages.push((*rank, follow(tasks)));
            }
        }
        self.told = held;
        messages
    }

    /// A run that is followed has printed something.
    pub(crate) fn write(&self, rank: usize, piece: OutputPiece) {
        if let Some(pieces) = &self.pieces
            && let Err(error) = pieces.try_send((rank, piece))
        {
            log::debug!("output that is followed is left out: {error}");
        }
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        self.pieces = None; // ends the thread
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn follow(tasks: &BTreeSet<u64>) -> Bytes {
    codec::encode(&ToWorker::Follow(tasks.iter().copied().collect())).into()
}
