//! The store: one SQLite file that keeps every run, owned by rank 0.
//!
//! A thread of its own writes, in batches, each batch one durable transaction, so that a slow disk
//! holds up dispatching (the queue is bounded) but never a message that is on its way.

mod folder;
mod large;
mod results;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
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
    writer: Option<JoinHandle<Result<Connection>>>,
}

enum Entry {
    Worker { rank: usize, host: String },
    Run(Run),
    Summary(Summary),
}

impl Store {
    /// Makes the store of a job and starts its writer. `text` is the job file, kept with the runs.
    pub(crate) fn create(folder: &Folder, job: &Job, text: &str) -> Result<Store> {
        let path = &folder.store();
        let failed = |error| storing(path, &error);
        let connection = Connection::open(path).map_err(failed)?;
        schema::prepare(&connection).map_err(failed)?;
        schema::create(&connection, job, text).map_err(failed)?;
        let (queue, entries) = sync_channel(BATCH_LENGTH);
        let writer = std::thread::Builder::new()
            .name("store".to_string())
            .spawn({
                let path = path.clone();
                move || write(connection, &path, &entries)
            })
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
        self.writer.take().ok_or_else(lost)?.join().map_err(|_| lost())?
    }
}

/// What the user sees when SQLite fails.
fn storing(path: &Path, error: &rusqlite::Error) -> Error {
    Error::unexpected(format!("{}: the store failed: {error}", path.display()))
}

fn write(mut connection: Connection, path: &Path, entries: &Receiver<Entry>) -> Result<Connection> {
    let failed = |error: rusqlite::Error| storing(path, &error);
    while let Ok(first) = entries.recv() {
        let due = Instant::now() + BATCH_AGE;
        let batch = connection.transaction().map_err(failed)?;
        insert(&batch, path, first)?;
        for _ in 1..BATCH_LENGTH {
            match entries.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(entry) => insert(&batch, path, entry)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        batch.commit().map_err(failed)?;
    }
    Ok(connection)
}

fn insert(batch: &Connection, path: &Path, entry: Entry) -> Result<()> {
    let inserted = match &entry {
        Entry::Worker { rank, host } => {
            let sql = "INSERT INTO workers (worker, rank, host) VALUES (?1, ?1, ?2)";
            batch.prepare_cached(sql).and_then(|mut sql| sql.execute(params![*rank as i64, host]))
        }
        Entry::Run(Run { outcome, rank }) => {
            let sql = "INSERT INTO runs (task, failed, score, value, error, seconds, started, worker, attempt, typed)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
            let columns = Columns::of(&outcome.result);
            let name = || format!("run-{}", outcome.task);
            let typed = large::keep(path, name, columns.typed)?;
            batch.prepare_cached(sql).and_then(|mut sql| {
                sql.execute(params![
                    outcome.task as i64,
                    columns.error.is_some(),
                    columns.score,
                    columns.value,
                    columns.error,
                    outcome.seconds,
                    outcome.started,
                    *rank as i64,
                    outcome.attempt,
                    typed,
                ])
            })
        }
        Entry::Summary(summary) => {
            let sql =
                "INSERT INTO groups (level, number, score, value, best, error, runs, failed, typed)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            let columns = Columns::of(&summary.result);
            let name = || format!("group-{}-{}", summary.key.level, summary.key.index);
            let typed = large::keep(path, name, columns.typed)?;
            batch.prepare_cached(sql).and_then(|mut sql| {
                sql.execute(params![
                    summary.key.level as i64,
                    summary.key.index as i64,
                    columns.score,
                    columns.value,
                    columns.best,
                    columns.error,
                    summary.runs as i64,
                    summary.failed as i64,
                    typed,
                ])
            })
        }
    };
    inserted.map(drop).map_err(|error| storing(path, &error))
}

/// A result as the columns of its row.
struct Columns<'a> {
    score: Option<f64>,
    value: Option<String>,
    best: Option<String>,
    error: Option<&'a String>,
    typed: &'a Bytes,
}

impl Columns<'_> {
    fn of(result: &Result<Scored, String>) -> Columns<'_> {
        static NOTHING: Bytes = Bytes::new();
        match result {
            Ok(scored) => {
                let best = scored.best.iter().map(|w| (w.level, w.point)).collect::<Vec<_>>();
                Columns {
                    score: scored.score,
                    value: stored_value(scored),
                    best: (!best.is_empty()).then(|| json!(best).to_string()),
                    error: None,
                    typed: &scored.typed,
                }
            }
            Err(error) => Columns {
                score: None,
                value: None,
                best: None,
                error: Some(error),
                typed: &NOTHING,
            },
        }
    }
}

/// A value as the store has it: JSON, or nothing where it is just the score.
fn stored_value(scored: &Scored) -> Option<String> {
    match (&scored.value, scored.score) {
        (Value::Float(_), Some(_)) => None,
        (value, _) => Some(value.to_json().to_string()),
    }
}
