//! The store: one SQLite file that keeps every run, owned by rank 0.
//!
//! A thread of its own writes, in batches, each batch one durable transaction, so that a slow disk
//! never holds up a message. Once too much waits to be written, no more tasks are given out.

mod folder;
mod large;
mod layout;
#[cfg(feature = "cli")]
mod look;
mod open;
mod results;
mod rows;
mod schema;
mod transfer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::error::{Error, Result};
use crate::job::Job;
use crate::master::{Run, Summary};
use crate::signals;
pub(crate) use folder::Folder;
pub(crate) use layout::Layout;
#[cfg(all(test, feature = "cli"))]
pub(crate) use look::described;
#[cfg(feature = "cli")]
pub(crate) use look::{Attempt, Failure, Look, Member};
pub(crate) use open::{Opened, Plan};
pub(crate) use results::Results;
#[cfg(feature = "cli")]
pub(crate) use transfer::merge;

/// A batch is written once it is this old or this long.
const BATCH_AGE: Duration = Duration::from_millis(200);
const BATCH_LENGTH: usize = 10_000;

/// How much may be on its way to the writer before that counts as full: bytes and entries.
const MOST_BYTES: usize = 256 << 20;
const MOST_ENTRIES: usize = 2 * BATCH_LENGTH;

/// How long to wait before trying again to write what could not be written.
const RETRY: Duration = Duration::from_millis(500);

/// The store being written.
pub(crate) struct Store {
    path: PathBuf,
    queue: Option<Sender<Entry>>,
    queued: Arc<Queued>,
    writer: Option<JoinHandle<Result<Connection>>>,
}

/// How much is on its way to the writer.
#[derive(Default)]
struct Queued {
    /// About how many.
    bytes: AtomicUsize,
    entries: AtomicUsize,
}

enum Entry {
    Worker {
        rank: usize,
        host: String,
    },
    Run(Run),
    /// Nothing came of an attempt.
    Lost {
        task: u64,
        attempt: u32,
        rank: usize,
    },
    Summary(Summary),
}

impl Entry {
    /// About how many bytes of results it holds.
    fn weight(&self) -> usize {
        let result = match self {
            Entry::Worker { .. } | Entry::Lost { .. } => return 0,
            Entry::Run(run) => &run.outcome.result,
            Entry::Summary(summary) => &summary.result,
        };
        match result {
            Ok(scored) => scored.typed.len() + scored.value.weight(),
            Err(error) => error.len(),
        }
    }
}

impl Store {
    /// Starts the writer of a store. `session` counts the starts on it, from 1.
    fn start(path: &Path, connection: Connection, session: i64) -> Result<Store> {
        let (queue, entries) = channel();
        let results = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        let queued = Arc::new(Queued::default());
        let mut writer = Writer {
            queued: queued.clone(),
            path: path.to_path_buf(),
            results,
            session,
            connection,
            workers: HashMap::new(),
        };
        let writer = std::thread::Builder::new()
            .name("store".to_string())
            .spawn(move || writer.write(&entries).map(|()| writer.connection))
            .map_err(|error| Error::unexpected(format!("no thread for the store: {error}")))?;
        Ok(Store { path: path.to_path_buf(), queue: Some(queue), queued, writer: Some(writer) })
    }

    /// Keeps a worker and its host.
    pub(crate) fn join(&mut self, rank: usize, host: &str) -> Result<()> {
        self.send(Entry::Worker { rank, host: host.to_string() })
    }

    /// Keeps a run, in place of an earlier attempt.
    pub(crate) fn record(&mut self, run: Run) -> Result<()> {
        self.send(Entry::Run(run))
    }

    /// Keeps that nothing came of an attempt, because its worker was lost.
    pub(crate) fn give_back(&mut self, task: u64, attempt: u32, rank: usize) -> Result<()> {
        self.send(Entry::Lost { task, attempt, rank })
    }

    /// Keeps a summary.
    pub(crate) fn close(&mut self, summary: Summary) -> Result<()> {
        self.send(Entry::Summary(summary))
    }

    /// Writes what is left and hands the store over for reading.
    pub(crate) fn finish(mut self, job: &Job) -> Result<Results> {
        let connection = self.join_writer()?;
        schema::settle(&connection);
        Ok(Results::new(self.path, connection, job))
    }

    /// Writes what is left and closes the store.
    pub(crate) fn flush(mut self) -> Result<()> {
        if self.writer.is_some() { self.join_writer().map(drop) } else { Ok(()) } // or it said why
    }

    /// Whether so much waits to be written that there should not be more for now.
    pub(crate) fn is_full(&self) -> bool {
        let Queued { bytes, entries } = &*self.queued;
        bytes.load(Ordering::Acquire) > MOST_BYTES || entries.load(Ordering::Acquire) > MOST_ENTRIES
    }

    /// Fails if the writer has given up.
    pub(crate) fn check(&mut self) -> Result<()> {
        if self.writer.as_ref().is_some_and(|writer| !writer.is_finished()) {
            return Ok(());
        }
        // It ends only with an error, which is what to say then.
        let closed = Error::unexpected(format!("{}: the store is closed", self.path.display()));
        Err(self.join_writer().err().unwrap_or(closed))
    }

    /// Hands an entry to the writer.
    fn send(&mut self, entry: Entry) -> Result<()> {
        self.queued.bytes.fetch_add(entry.weight(), Ordering::AcqRel);
        self.queued.entries.fetch_add(1, Ordering::AcqRel);
        match self.queue.as_ref().is_some_and(|queue| queue.send(entry).is_ok()) {
            true => Ok(()),
            false => self.check(),
        }
    }

    fn join_writer(&mut self) -> Result<Connection> {
        self.queue = None;
        let lost =
            || Error::unexpected(format!("{}: the store's writer is lost", self.path.display()));
        self.writer.take().ok_or_else(lost)?.join().map_err(|_| lost())?
    }
}

/// What the user sees when SQLite fails.
fn storing(path: &Path, error: &rusqlite::Error) -> Error {
    Error::unexpected(format!("{}: the store failed: {error}", path.display()))
}

/// The thread that writes.
struct Writer {
    queued: Arc<Queued>,
    path: PathBuf,
    results: PathBuf,
    session: i64,
    connection: Connection,
    /// This session's workers, as rows.
    workers: HashMap<usize, i64>,
}

impl Writer {
    fn write(&mut self, entries: &Receiver<Entry>) -> Result<()> {
        while let Ok(first) = entries.recv() {
            let due = Instant::now() + BATCH_AGE;
            let mut batch = vec![first];
            while batch.len() < BATCH_LENGTH {
                match entries.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    Ok(entry) => batch.push(entry),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
            self.commit(&batch)?;
            let weight: usize = batch.iter().map(Entry::weight).sum();
            self.queued.bytes.fetch_sub(weight, Ordering::AcqRel);
            self.queued.entries.fetch_sub(batch.len(), Ordering::AcqRel);
        }
        Ok(())
    }

    /// Writes a batch. What cannot be written just now (the disk is full, somebody has the file locked)
    /// is tried again until it can, or until a signal asks for an end.
    fn commit(&mut self, batch: &[Entry]) -> Result<()> {
        let mut trouble = false;
        loop {
            let Err(error) = self.try_commit(batch) else {
                if trouble {
                    log::info!("{}: can be written again", self.path.display());
                }
                return Ok(());
            };
            let _ = self.connection.execute_batch("ROLLBACK"); // there may be nothing to roll back
            if !error.may_pass {
                return Err(error.error);
            }
            if !std::mem::replace(&mut trouble, true) {
                log::error!(
                    "{}; crunching pauses until it can be written, nothing is lost meanwhile; a signal (Ctrl-C) ends",
                    error.error
                );
            }
            if let Some(asked) = signals::asked() {
                let runs = batch.iter().filter(|entry| matches!(entry, Entry::Run(_))).count();
                return Err(Error::interrupted(format!(
                    "{}: {}; the last {runs} runs are not stored; make room and start again to go on",
                    asked.name, error.error
                )));
            }
            std::thread::sleep(RETRY);
        }
    }

    fn try_commit(&mut self, batch: &[Entry]) -> Result<(), Trouble> {
        // A file that was deleted could be written for ever, for nobody.
        if !self.path.exists() {
            let gone = Error::unexpected(format!("{}: is gone", self.path.display()));
            return Err(Trouble { error: gone, may_pass: true });
        }
        self.connection.execute_batch("BEGIN").map_err(|error| self.trouble(&error))?;
        for entry in batch {
            self.insert(entry)?;
        }
        self.connection.execute_batch("COMMIT").map_err(|error| self.trouble(&error))
    }

    fn trouble(&self, error: &rusqlite::Error) -> Trouble {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, TooBig};
        let code = error.sqlite_error_code();
        let lasting = matches!(code, Some(DatabaseCorrupt | NotADatabase | TooBig) | None);
        Trouble { error: storing(&self.path, error), may_pass: !lasting }
    }

    fn insert(&mut self, entry: &Entry) -> Result<(), Trouble> {
        let on_disk = |error| Trouble { error, may_pass: true };
        let inserted = match entry {
            // One that was silent for a while may say hello again.
            Entry::Worker { rank, .. } if self.workers.contains_key(rank) => return Ok(()),
            Entry::Worker { rank, host } => {
                let sql = "INSERT INTO workers (session, rank, host) VALUES (?1, ?2, ?3)";
                let row = params![self.session, *rank as i64, host];
                let inserted = self.connection.execute(sql, row);
                self.workers.insert(*rank, self.connection.last_insert_rowid());
                inserted
            }
            Entry::Run(Run { outcome, rank }) => {
                let worker = self.workers.get(rank).copied();
                rows::put_run(&self.connection, &self.results, worker, outcome).map_err(on_disk)?
            }
            Entry::Lost { task, attempt, rank } => {
                let worker = self.workers.get(rank).copied();
                let why = format!("rank {rank} was lost while it was at this");
                rows::put_failure(&self.connection, worker, *task, *attempt, &why)
            }
            Entry::Summary(summary) => {
                rows::put_summary(&self.connection, &self.results, summary).map_err(on_disk)?
            }
        };
        inserted.map(drop).map_err(|error| self.trouble(&error))
    }
}

/// Why a batch could not be written, and whether that may pass.
struct Trouble {
    error: Error,
    may_pass: bool,
}
