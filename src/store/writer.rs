//! The thread that writes the store: batches, each one durable transaction.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::job::FINAL_FOLDER;
use crate::store::entry::StoreEntry;
use crate::store::failure::storing;
use crate::store::row_keys::RowKeys;
use crate::store::{RunFolders, cut_off, finals, logs, memory, rows, starts, stopped_points};
use crate::util::error::{Error, Result};
use crate::util::file_state::file_id;
use crate::util::signals;

/// A batch is written once it is this old, or has this many runs or entries.
const BATCH_AGE: Duration = Duration::from_millis(200);
const BATCH_LENGTH: usize = 50_000;

/// How often to look whether the store is still there while there is nothing to write.
const LOOK: Duration = Duration::from_secs(2);

/// Time between attempts to write a batch again.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// The writer thread.
pub(super) struct StoreWriter {
    pub(super) queued: Arc<AtomicUsize>,
    pub(super) path: PathBuf,
    pub(super) results: PathBuf,
    pub(super) session: i64,
    pub(super) connection: Connection,
    pub(super) keys: RowKeys,
    /// If runs leave folders.
    pub(super) folders: Option<RunFolders>,
    /// The host of each rank.
    pub(super) hosts: HashMap<usize, String>,
    /// Row ids of this session's workers, by rank and thread.
    pub(super) workers: HashMap<(usize, u32), i64>,
    /// Workers that the current batch has added.
    pub(super) new: Vec<(usize, u32)>,
    /// The file that was opened, if the store is one.
    pub(super) id: Option<(u64, u64)>,
    /// Whether it was said that the store cannot be written.
    pub(super) trouble: bool,
}

impl StoreWriter {
    pub(super) fn write(&mut self, entries: &Receiver<Vec<StoreEntry>>) -> Result<()> {
        loop {
            let first = match entries.recv_timeout(LOOK) {
                Ok(first) => first,
                Err(RecvTimeoutError::Disconnected) => {
                    self.folders.iter().for_each(RunFolders::tell_if_nothing_is_kept);
                    return Ok(());
                }
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
        self.connection.execute_batch("COMMIT").map_err(|error| self.trouble(&error))?;
        self.settle_products(batch);
        Ok(())
    }

    /// Brings the products of final calls, and the folders of runs, to their places, now that their rows are written.
    /// What fails, the next start tries again.
    fn settle_products(&self, batch: &[StoreEntry]) {
        for entry in batch {
            if let (Some(folders), StoreEntry::Runs { rank, thread, runs }) = (&self.folders, entry)
                && let Some(worker) = self.workers.get(&(*rank, *thread))
            {
                let settled = folders.settle((&self.connection, &self.results), *worker, runs);
                if let Err(error) = settled {
                    log::error!("{}", storing(&self.path, &error)); // the next start settles the rest
                }
            }
            if let StoreEntry::Final { entry, .. } = entry
                && let Err(error) = finals::settle(&self.results, entry)
            {
                let folder = self.results.join(FINAL_FOLDER).join(&entry.folder);
                log::error!(
                    "{}: the products of a final call are not there yet: {error}; the next start tries again to put them there",
                    folder.display()
                );
            }
        }
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
                let (store, results) = ((&self.connection, &self.keys), &self.results);
                let folders = self.folders.as_ref();
                let before = folders.map(|folders| folders.before(store, runs)).transpose();
                let before = before.map_err(|e| self.trouble(&e))?;
                let put = rows::put_runs(store, results, worker, runs).map_err(on_disk)?;
                let put = put.and_then(|put| logs::put(store.0, worker, runs).map(|()| put));
                let put = put.and_then(|put| memory::put(store.0, worker, runs).map(|()| put));
                match folders.zip(before) {
                    Some((folders, before)) => put.and_then(|put| {
                        let (store, by) = ((store.0, &**results), (*rank, *thread, worker));
                        folders.put(store, by, runs, before).map(|()| put)
                    }),
                    None => put,
                }
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
            StoreEntry::Final { rank, entry } => {
                let worker = self.worker(*rank, 0).map_err(|e| self.trouble(&e))?;
                let by = (self.session, worker);
                finals::put(&self.connection, &self.results, by, entry).map_err(on_disk)?
            }
            StoreEntry::FinalKept { row, number } => {
                finals::keep(&self.connection, self.session, (row, *number))
            }
            StoreEntry::Stopped(point) => stopped_points::put(&self.connection, point),
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
