//! The store: one SQLite file that keeps every run, owned by rank 0.
//!
//! A thread of its own writes, in batches, each batch one durable transaction, so that a slow disk
//! holds up dispatching (the queue is bounded) but never a message that is on its way.

mod folder;
mod results;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use serde_json::json;

use crate::error::{Error, Result};
use crate::job::Job;
use crate::master::{Run, Summary};
use crate::message::Scored;
use crate::value::Value;
pub(crate) use folder::Folder;
pub(crate) use results::Results;

/// A batch is written once it is this old or this long.
const BATCH_AGE: Duration = Duration::from_millis(200);
const BATCH_LENGTH: usize = 10_000;

/// The store being written.
pub(crate) struct Store {
    path: PathBuf,
    queue: Option<SyncSender<Entry>>,
    writer: Option<JoinHandle<Result<Connection, rusqlite::Error>>>,
}

enum Entry {
    Worker { rank: usize, host: String },
    Run(Run),
    Summary(Summary),
}

impl Store {
    /// Makes the store of a job and starts its writer. `text` is the job file, kept with the runs.
    pub(crate) fn create(path: &Path, job: &Job, text: &str) -> Result<Store> {
        let failed = |error| storing(path, &error);
        let connection = Connection::open(path).map_err(failed)?;
        schema::prepare(&connection).map_err(failed)?;
        schema::create(&connection, job, text).map_err(failed)?;
        let (queue, entries) = sync_channel(BATCH_LENGTH);
        let writer = std::thread::Builder::new()
            .name("store".to_string())
            .spawn(move || write(connection, &entries))
            .map_err(|error| Error::unexpected(format!("no thread for the store: {error}")))?;
        Ok(Store { path: path.to_path_buf(), queue: Some(queue), writer: Some(writer) })
    }

    /// Keeps a worker and its host.
    pub(crate) fn join(&mut self, rank: usize, host: &str) -> Result<()> {
        self.send(Entry::Worker { rank, host: host.to_string() })
    }

    /// Keeps a run.
    pub(crate) fn record(&mut self, run: Run) -> Result<()> {
        self.send(Entry::Run(run))
    }

    /// Keeps a summary.
    pub(crate) fn close(&mut self, summary: Summary) -> Result<()> {
        self.send(Entry::Summary(summary))
    }

    /// Writes what is left and hands the store over for reading.
    pub(crate) fn finish(mut self, job: &Job) -> Result<Results> {
        let connection = self.join_writer()?;
        schema::settle(&connection).map_err(|error| storing(&self.path, &error))?;
        Ok(Results::new(self.path, connection, job))
    }

    fn send(&mut self, entry: Entry) -> Result<()> {
        let open = self.queue.as_ref().is_some_and(|queue| queue.send(entry).is_ok());
        if open {
            return Ok(());
        }
        let error = Error::unexpected(format!("{}: the store is closed", self.path.display()));
        Err(self.join_writer().err().unwrap_or(error)) // the writer stops only on an error
    }

    fn join_writer(&mut self) -> Result<Connection> {
        self.queue = None;
        let lost =
            || Error::unexpected(format!("{}: the store's writer is lost", self.path.display()));
        let ended = self.writer.take().ok_or_else(lost)?.join().map_err(|_| lost())?;
        ended.map_err(|error| storing(&self.path, &error))
    }
}

/// What the user sees when SQLite fails.
fn storing(path: &Path, error: &rusqlite::Error) -> Error {
    Error::unexpected(format!("{}: the store failed: {error}", path.display()))
}

fn write(
    mut connection: Connection,
    entries: &Receiver<Entry>,
) -> Result<Connection, rusqlite::Error> {
    while let Ok(first) = entries.recv() {
        let due = Instant::now() + BATCH_AGE;
        let batch = connection.transaction()?;
        insert(&batch, first)?;
        for _ in 1..BATCH_LENGTH {
            match entries.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(entry) => insert(&batch, entry)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        batch.commit()?;
    }
    Ok(connection)
}

fn insert(batch: &Connection, entry: Entry) -> Result<(), rusqlite::Error> {
    match entry {
        Entry::Worker { rank, host } => {
            let sql = "INSERT INTO workers (worker, rank, host) VALUES (?1, ?1, ?2)";
            batch.prepare_cached(sql)?.execute(params![rank as i64, host])?;
        }
        Entry::Run(Run { outcome, rank }) => {
            let sql = "INSERT INTO runs (task, failed, score, value, error, seconds, started, worker, attempt)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            let (scored, error) = match &outcome.result {
                Ok(scored) => (Some(scored), None),
                Err(error) => (None, Some(error)),
            };
            batch.prepare_cached(sql)?.execute(params![
                outcome.task as i64,
                error.is_some(),
                scored.and_then(|s| s.score),
                scored.and_then(stored_value),
                error,
                outcome.seconds,
                outcome.started,
                rank as i64,
                outcome.attempt,
            ])?;
        }
        Entry::Summary(summary) => {
            let sql = "INSERT INTO groups (level, number, score, value, best, error, runs, failed)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let (scored, error) = match &summary.result {
                Ok(scored) => (Some(scored), None),
                Err(error) => (None, Some(error)),
            };
            let best = scored.filter(|s| !s.best.is_empty()).map(|s| {
                json!(s.best.iter().map(|w| (w.level, w.point)).collect::<Vec<_>>()).to_string()
            });
            batch.prepare_cached(sql)?.execute(params![
                summary.key.level as i64,
                summary.key.index as i64,
                scored.and_then(|s| s.score),
                scored.and_then(stored_value),
                best,
                error,
                summary.runs as i64,
                summary.failed as i64,
            ])?;
        }
    }
    Ok(())
}

/// A value as the store has it: JSON, or nothing where it is just the score.
fn stored_value(scored: &Scored) -> Option<String> {
    match (&scored.value, scored.score) {
        (Value::Float(_), Some(_)) => None,
        (value, _) => Some(value.to_json().to_string()),
    }
}
