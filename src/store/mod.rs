//! The store: one SQLite file with every run, owned by rank 0.
//!
//! A thread of its own writes batches, each in one durable transaction, so that a slow disk does not block
//! the event loop. If too much waits to be written, no more tasks are handed out.

#[cfg(feature = "cli")]
mod called;
mod connect;
mod copy;
mod cut_off;
mod edit;
mod entry;
#[cfg(feature = "cli")]
mod failed_runs;
mod failure;
mod file;
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
mod loop_rows;
mod mapping;
mod matching;
mod new_fields;
mod open;
mod own_files;
mod partial_groups;
mod partial_points;
#[cfg(all(feature = "cli", feature = "jobs"))]
mod parts;
mod place;
mod point_map;
#[cfg(feature = "cli")]
mod query;
#[cfg(feature = "cli")]
mod reader;
mod rebuild;
mod recalled_groups;
mod rescore;
mod results;
#[cfg(all(feature = "cli", feature = "jobs"))]
mod reusable;
mod room;
mod row_keys;
mod row_reader;
mod rows;
mod schema;
#[cfg(feature = "cli")]
mod score_rows;
#[cfg(feature = "cli")]
mod snapshot;
mod starts;
mod store_points;
mod union;
mod view;
#[cfg(feature = "cli")]
mod whole_summaries;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::job::Job;
use crate::model::{GroupSummary, RunBatch};
use crate::store::entry::StoreEntry;
use crate::store::failure::storing;
use crate::store::row_keys::RowKeys;
use crate::util::error::{Error, Result};
use crate::util::file_state::file_id;
use crate::util::{signals, thread};
#[cfg(feature = "cli")]
pub(crate) use called::InvocationRow;
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) use connect::to_read;
#[cfg(feature = "cli")]
pub(crate) use copy::merge;
pub(crate) use folder::Folder;
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) use grid_order::tally_of_all;
#[cfg(feature = "cli")]
pub(crate) use history::{AttemptRow, History};
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) use launch_note::{LaunchFile, LaunchNote};
pub(crate) use layout::Layout;
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) use open::refusal;
pub(crate) use open::{FoundStore, OpenOptions, OpenStore};
#[cfg(feature = "cli")]
pub(crate) use own_files::holds_runs;
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) use parts::{
    JoinedPart, PartEnd, finish_part, join_part, known_of_job, part_folder, parts_in, take_parts,
    warn_of_parts,
};
#[cfg(feature = "cli")]
pub(crate) use query::{Column, ColumnKind, Select};
#[cfg(feature = "cli")]
pub(crate) use reader::{Attempt, FailureRow, StoreReader, WorkerRow};
pub(crate) use results::Results;
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) use reusable::ReusableRun;
pub(crate) use room::wait_for_room;
#[cfg(feature = "cli")]
pub(crate) use score_rows::ScoreRow;
#[cfg(feature = "cli")]
pub(crate) use starts::SEEDING;

/// A batch is written once it is this old, or has this many runs or entries.
const BATCH_AGE: Duration = Duration::from_millis(200);
const BATCH_LENGTH: usize = 50_000;

/// The store is full if more than this waits for the writer. (bytes)
const MOST_BYTES: usize = 32 << 20;

/// Limits for entries that are not yet sent to the writer: their bytes and their number. They are also
/// sent whenever the writer is checked.
const HELD: usize = 256 << 10;
const MOST_HELD: usize = 256;

/// How often to look whether the store is still there while there is nothing to write.
const LOOK: Duration = Duration::from_secs(2);

/// Time between attempts to write a batch again.
const RETRY: Duration = Duration::from_millis(500);

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
        session: i64,
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

    /// Writes the remaining entries and returns the store for reading.
    pub(crate) fn finish(mut self, job: &Job) -> Result<Results> {
        // Even with nothing left to write, the store has to be there.
        self.hand_over()?;
        let _ = self.queue.as_ref().map(|queue| queue.send(Vec::new()));
        let (connection, keys) = self.join_writer()?;
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

/// The writer thread.
struct StoreWriter {
    queued: Arc<AtomicUsize>,
    path: PathBuf,
    results: PathBuf,
    session: i64,
    connection: Connection,
    keys: RowKeys,
    /// The host of each rank.
    hosts: HashMap<usize, String>,
    /// Row ids of this session's workers, by rank and thread.
    workers: HashMap<(usize, u32), i64>,
    /// Workers that the current batch has added.
    new: Vec<(usize, u32)>,
    /// The file that was opened, if the store is one.
    id: Option<(u64, u64)>,
    /// Whether it was said that the store cannot be written.
    trouble: bool,
}

impl StoreWriter {
    fn write(&mut self, entries: &Receiver<Vec<StoreEntry>>) -> Result<()> {
        loop {
            let first = match entries.recv_timeout(LOOK) {
                Ok(first) => first,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(Trouble { error, .. }) = self.check_place() {
                        self.tell(&error);
                    }
                    continue;
                }
            };
            let due = Instant::now() + BATCH_AGE;
            let mut batch = first;
            let mut runs: usize = batch.iter().map(StoreEntry::runs).sum();
            while runs < BATCH_LENGTH && batch.len() < BATCH_LENGTH {
                let next = entries.try_recv().or_else(|_| {
                    entries.recv_timeout(due.saturating_duration_since(Instant::now()))
                });
                match next {
                    Ok(more) => {
                        runs += more.iter().map(StoreEntry::runs).sum::<usize>();
                        batch.extend(more);
                    }
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
            self.commit(&batch)?;
            let weight: usize = batch.iter().map(StoreEntry::weight).sum();
            self.queued.fetch_sub(weight, Ordering::AcqRel);
        }
    }

    /// Says once that the store cannot be written.
    fn tell(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.trouble, true) {
            log::error!(
                "{error}; crunching pauses until it can be written, and no run is lost; a signal (Ctrl-C) stops the job"
            );
        }
    }

    /// Writes a batch. If that fails for a reason that may pass (a full disk, a locked file), it is tried
    /// again until it succeeds or a signal asks for shutdown.
    fn commit(&mut self, batch: &[StoreEntry]) -> Result<()> {
        loop {
            let Err(error) = self.try_commit(batch) else {
                if std::mem::take(&mut self.trouble) {
                    log::info!("{}: can be written again", self.path.display());
                }
                self.new.clear();
                return Ok(());
            };
            for worker in self.new.drain(..) {
                self.workers.remove(&worker);
            }
            let _ = self.connection.execute_batch("ROLLBACK"); // fails if no transaction is open
            if !error.may_pass {
                return Err(error.error);
            }
            self.tell(&error.error);
            if let Some(asked) = signals::asked() {
                let runs: usize = batch.iter().map(StoreEntry::runs).sum();
                return Err(Error::interrupted(format!(
                    "{}: {}; the last {runs} runs are not stored; make room and start again to go on",
                    asked.name, error.error
                )));
            }
            std::thread::sleep(RETRY);
        }
    }

    /// Writing to a file that was deleted or replaced would succeed, and lose everything.
    fn check_place(&self) -> Result<(), Trouble> {
        let why = match file_id(&self.path) {
            found if self.id.is_none() || found == self.id => return Ok(()),
            Some(_) => "is not the file that was opened: put that one back",
            None => "is gone: put it back",
        };
        let error = Error::unexpected(format!("{}: {why}", self.path.display()));
        Err(Trouble { error, may_pass: true })
    }

    fn try_commit(&mut self, batch: &[StoreEntry]) -> Result<(), Trouble> {
        self.check_place()?;
        self.connection.execute_batch("BEGIN").map_err(|error| self.trouble(&error))?;
        for entry in batch {
            self.insert(entry)?;
        }
        self.connection.execute_batch("COMMIT").map_err(|error| self.trouble(&error))
    }

    /// The row id of one of a worker's threads, added if it is missing.
    fn worker(&mut self, rank: usize, thread: u32) -> Result<i64, rusqlite::Error> {
        if let Some(row) = self.workers.get(&(rank, thread)) {
            return Ok(*row);
        }
        let sql = "INSERT INTO workers (session, rank, host, thread) VALUES (?1, ?2, ?3, ?4)";
        let row = params![self.session, rank as i64, self.hosts.get(&rank), thread];
        self.connection.execute(sql, row)?;
        let row = self.connection.last_insert_rowid();
        self.workers.insert((rank, thread), row);
        self.new.push((rank, thread));
        Ok(row)
    }

    fn trouble(&self, error: &rusqlite::Error) -> Trouble {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, TooBig};
        let code = error.sqlite_error_code();
        let lasting = matches!(code, Some(DatabaseCorrupt | NotADatabase | TooBig) | None);
        Trouble { error: storing(&self.path, error), may_pass: !lasting }
    }

    fn insert(&mut self, entry: &StoreEntry) -> Result<(), Trouble> {
        let on_disk = |error| Trouble { error, may_pass: true };
        let inserted = match entry {
            StoreEntry::Worker { rank, host } => {
                self.hosts.insert(*rank, host.clone());
                self.worker(*rank, 0).map(|_| 0)
            }
            StoreEntry::Runs { rank, thread, runs } => {
                let worker = self.worker(*rank, *thread).map_err(|e| self.trouble(&e))?;
                rows::put_runs((&self.connection, &self.keys), &self.results, worker, runs)
                    .map_err(on_disk)?
            }
            StoreEntry::Lost { task, attempt, rank } => {
                let worker = self.workers.get(&(*rank, 0)).copied();
                let why = format!("rank {rank} was lost while it was at this");
                rows::put_failure(&self.connection, worker, self.keys.key(*task), *attempt, &why)
            }
            StoreEntry::Environment { rank, environment } => {
                starts::put_environment(&self.connection, (self.session, *rank), environment)
            }
            StoreEntry::CutOff { task, attempt, rank, seconds } => {
                let worker = self.worker(*rank, 0).map_err(|e| self.trouble(&e))?;
                let key = self.keys.key(*task);
                cut_off::put(&self.connection, worker, (key, *attempt), *seconds)
            }
            StoreEntry::Imported { by_reduction, files } => {
                starts::put_imported(&self.connection, self.session, files, *by_reduction)
            }
            StoreEntry::Summary(summary) => {
                rows::put_summary(&self.connection, &self.results, summary).map_err(on_disk)?
            }
        };
        inserted.map(drop).map_err(|error| self.trouble(&error))
    }
}

/// Why a batch could not be written, and whether trying again may help.
struct Trouble {
    error: Error,
    may_pass: bool,
}

#[cfg(test)]
mod tests;
