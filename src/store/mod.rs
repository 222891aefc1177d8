//! The store: one SQLite file with every run, owned by rank 0.
//!
//! A thread of its own writes batches, each in one durable transaction, so that a slow disk does not block
//! the event loop. If too much waits to be written, no more tasks are handed out.

#[cfg(feature = "cli")]
mod called;
mod connect;
mod contents;
mod copy;
mod cut_off;
mod edit;
mod entry;
#[cfg(feature = "cli")]
mod failed_runs;
mod failure;
mod file;
mod finals;
mod folder;
mod grid_order;
#[cfg(feature = "cli")]
mod history;
mod invocations;
mod kept;
mod labels;
mod large;
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
mod launch_note;
mod layout;
mod layout_tables;
mod logs;
mod loop_rows;
mod mapping;
mod matching;
mod memory;
mod new_fields;
mod open;
mod own_files;
mod partial_groups;
mod partial_points;
#[cfg(all(feature = "cli", feature = "jobs"))]
mod parts;
mod place;
mod point_map;
mod products;
#[cfg(feature = "cli")]
mod query;
#[cfg(feature = "cli")]
mod reader;
mod rebuild;
mod recalled_groups;
mod reread;
mod rescore;
mod results;
#[cfg(all(feature = "cli", feature = "jobs"))]
mod reusable;
mod room;
mod row_keys;
mod row_reader;
mod rows;
#[cfg(feature = "cli")]
mod run_folder;
#[cfg(all(feature = "cli", feature = "jobs"))]
mod run_log;
#[cfg(feature = "cli")]
mod run_memory;
mod schema;
#[cfg(feature = "cli")]
mod score_rows;
#[cfg(feature = "cli")]
mod skipped_runs;
#[cfg(feature = "cli")]
mod snapshot;
mod starts;
mod stopped_points;
mod store_points;
mod union;
mod view;
mod workdirs;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::job::Job;
use crate::model::{GroupSummary, RunBatch, StoppedPoint};
use crate::store::entry::StoreEntry;
use crate::store::failure::storing;
use crate::store::row_keys::RowKeys;
use crate::store::writer::StoreWriter;
use crate::util::error::{Error, Result};
use crate::util::file_state::file_id;
use crate::util::thread;
#[cfg(feature = "cli")]
pub(crate) use called::InvocationRow;
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) use connect::has_locks;
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) use connect::to_read;
#[cfg(feature = "cli")]
pub(crate) use copy::merge;
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) use finals::last_final;
pub(crate) use finals::{FinalEntry, FinalRow, KnownFinal};
pub(crate) use folder::Folder;
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) use grid_order::tally_of_all;
#[cfg(feature = "cli")]
pub(crate) use history::{AttemptRow, History};
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) use launch_note::{LaunchFile, LaunchNote};
pub(crate) use layout::Layout;
pub(crate) use open::{FoundStore, OpenOptions, OpenStore};
#[cfg(feature = "cli")]
pub(crate) use own_files::holds_runs;
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) use parts::{
    JoinedPart, PartEnd, finish_part, join_part, known_of_job, part_folder, parts_in, take_parts,
    warn_of_parts,
};
pub(crate) use products::make_folder;
#[cfg(feature = "cli")]
pub(crate) use query::{Column, ColumnKind, Select};
#[cfg(feature = "cli")]
pub(crate) use reader::{Attempt, FailureRow, StoreReader, WorkerRow};
pub(crate) use recalled_groups::RecalledGroups;
pub(crate) use results::Results;
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) use reusable::{ReusableRun, RunsOutlook};
pub(crate) use room::wait_for_room;
#[cfg(feature = "cli")]
pub(crate) use run_folder::RunFolder;
#[cfg(feature = "cli")]
pub(crate) use score_rows::ScoreRow;
#[cfg(feature = "cli")]
pub(crate) use skipped_runs::RunCounts;
#[cfg(feature = "cli")]
pub(crate) use starts::SEEDING;
pub(crate) use stopped_points::StoppedPoints;
pub(crate) use workdirs::RunFolders;

/// The store is full if more than this waits for the writer. (bytes)
const MOST_BYTES: usize = 32 << 20;

/// Limits for entries that are not yet sent to the writer: their bytes and their number. They are also
/// sent whenever the writer is checked.
const HELD: usize = 256 << 10;
const MOST_HELD: usize = 256;

/// The store while it is written to.
pub(crate) struct Store {
    path: PathBuf,
    queue: Option<Sender<Vec<StoreEntry>>>,
    /// Entries not yet sent to the writer: waking it costs more than an entry.
    pending: Vec<StoreEntry>,
    held: usize,
    /// Approximate number of bytes that wait for the writer.
    queued: Arc<AtomicUsize>,
    writer: Option<JoinHandle<Result<(Connection, RowKeys)>>>,
    /// Whether runs are stored, on disk. If not, only summaries are, in memory.
    keeps_runs: bool,
}

impl Store {
    /// Starts the writer thread. `session` counts the starts on this store, from 1.
    fn start(
        path: &Path,
        (connection, keys): (Connection, RowKeys),
        (session, folders): (i64, Option<RunFolders>),
        keeps_runs: bool,
    ) -> Result<Store> {
        let (queue, entries) = channel();
        let results = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        let queued = Arc::new(AtomicUsize::new(0));
        let mut writer = StoreWriter {
            queued: queued.clone(),
            path: path.to_path_buf(),
            results,
            session,
            connection,
            keys,
            folders,
            hosts: HashMap::new(),
            workers: HashMap::new(),
            new: Vec::new(),
            id: if keeps_runs { file_id(path) } else { None },
            trouble: false,
        };
        let work = move || writer.write(&entries).map(|()| (writer.connection, writer.keys));
        let writer = thread::start("store", work)?;
        let (path, queue, writer) = (path.to_path_buf(), Some(queue), Some(writer));
        Ok(Store { path, queue, pending: Vec::new(), held: 0, queued, writer, keeps_runs })
    }

    /// Stores a worker and its host.
    pub(crate) fn join(&mut self, rank: usize, host: &str) -> Result<()> {
        self.send(StoreEntry::Worker { rank, host: host.to_string() })
    }

    /// Stores runs; they replace earlier attempts.
    pub(crate) fn record(&mut self, rank: usize, thread: u32, runs: RunBatch) -> Result<()> {
        match self.keeps_runs {
            true => self.send(StoreEntry::Runs { rank, thread, runs: runs.into_owned() }),
            false => Ok(()),
        }
    }

    /// Stores that an attempt has no result because its worker was lost.
    pub(crate) fn give_back(&mut self, task: u64, attempt: u32, rank: usize) -> Result<()> {
        self.send(StoreEntry::Lost { task, attempt, rank })
    }

    /// Stores the Python and the packages of a worker, which differ from rank 0's.
    pub(crate) fn environment(
        &mut self,
        rank: usize,
        environment: &BTreeMap<String, String>,
    ) -> Result<()> {
        let environment = serde_json::json!(environment).to_string();
        self.send(StoreEntry::Environment { rank, environment })
    }

    /// Stores that an attempt at a task was cut off after so many seconds.
    pub(crate) fn cut_off(
        &mut self,
        rank: usize,
        (task, attempt): (u64, u32),
        seconds: f64,
    ) -> Result<()> {
        self.send(StoreEntry::CutOff { task, attempt, rank, seconds })
    }

    /// Stores which modules calls of crunch, or of reductions, have imported.
    pub(crate) fn imported(
        &mut self,
        files: Vec<(String, String)>,
        by_reduction: bool,
    ) -> Result<()> {
        self.send(StoreEntry::Imported { by_reduction, files })
    }

    /// Stores a summary.
    pub(crate) fn close(&mut self, summary: GroupSummary) -> Result<()> {
        self.send(StoreEntry::Summary(summary))
    }

    /// Stores that not all runs of a point are made.
    pub(crate) fn stop_point(&mut self, point: StoppedPoint) -> Result<()> {
        self.send(StoreEntry::Stopped(point))
    }

    /// Stores the result of a final call.
    pub(crate) fn record_final(&mut self, rank: usize, entry: FinalEntry) -> Result<()> {
        self.send(StoreEntry::Final { rank, entry: Box::new(entry) })
    }

    /// Stores that the final call of a row is the one that it would get now.
    pub(crate) fn keep_final(&mut self, row: String, number: u64) -> Result<()> {
        self.send(StoreEntry::FinalKept { row, number })
    }

    /// Writes the remaining entries and returns the store for reading.
    pub(crate) fn finish(mut self, job: &Job) -> Result<Results> {
        // Even with nothing left to write, the store has to be there.
        self.hand_over()?;
        let _ = self.queue.as_ref().map(|queue| queue.send(Vec::new()));
        let (connection, keys) = self.join_writer()?;
        if let (true, Some(results)) = (self.keeps_runs, self.path.parent()) {
            workdirs::tidy(&connection, results).map_err(|error| storing(&self.path, &error))?;
        }
        schema::leave_wal_mode(&connection);
        let nest = job.nest.clone();
        let results = Results::new(self.path, (connection, keys), nest, job.is_native());
        Ok(if self.keeps_runs { results } else { results.loading_large() })
    }

    /// Writes the remaining entries and closes the store.
    pub(crate) fn flush(mut self) -> Result<()> {
        if self.writer.is_some() { self.join_writer().map(drop) } else { Ok(()) } // or it failed before
    }

    /// Backpressure: whether too much waits to be written.
    pub(crate) fn is_full(&self) -> bool {
        self.queued.load(Ordering::Acquire) > MOST_BYTES
    }

    /// Sends pending entries to the writer. Fails if the writer has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.hand_over()?;
        self.check_writer()
    }

    fn check_writer(&mut self) -> Result<()> {
        if self.writer.as_ref().is_some_and(|writer| !writer.is_finished()) {
            return Ok(());
        }
        // The writer ends early only with an error; that is the one to report.
        let closed = Error::unexpected(format!("{}: the store is closed", self.path.display()));
        Err(self.join_writer().err().unwrap_or(closed))
    }

    /// Queues an entry.
    fn send(&mut self, entry: StoreEntry) -> Result<()> {
        self.held += entry.weight();
        self.pending.push(entry);
        if self.held > HELD || self.pending.len() >= MOST_HELD { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<()> {
        if self.is_handed_over() { Ok(()) } else { self.check_writer() }
    }

    /// Sends pending entries to the writer; returns whether the writer still runs.
    fn is_handed_over(&mut self) -> bool {
        if self.pending.is_empty() {
            return true;
        }
        self.queued.fetch_add(std::mem::take(&mut self.held), Ordering::AcqRel);
        let entries = std::mem::replace(&mut self.pending, Vec::with_capacity(MOST_HELD));
        self.queue.as_ref().is_some_and(|queue| queue.send(entries).is_ok())
    }

    fn join_writer(&mut self) -> Result<(Connection, RowKeys)> {
        // If the writer has ended, joining it gives the reason.
        self.is_handed_over();
        self.queue = None;
        let lost =
            || Error::unexpected(format!("{}: the store's writer is lost", self.path.display()));
        self.writer.take().ok_or_else(lost)?.join().map_err(|_| lost())?
    }
}

#[cfg(test)]
mod tests;
