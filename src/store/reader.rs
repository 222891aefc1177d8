//! Reads a results folder without writing to it or locking it. Neither the job file nor the data are
//! needed. A run may be going on.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use rusqlite::{Row, params};

use crate::model::LoopNest;
use crate::store::row_keys::RowKeys;
use crate::store::starts::{LABELS, note};
use crate::store::{Layout, Results, labels, schema, snapshot, storing};
use crate::util::error::{Error, Result};

/// The open store of a results folder, as it was when it was opened. The writer goes on meanwhile, but its log
/// grows; so a reader lives as long as one look takes.
pub(crate) struct StoreReader {
    path: PathBuf,
    pub(crate) name: String,
    pub(crate) results: Results,
    /// The folder of the copy, if the store is read from a copy.
    _copy: Option<tempfile::TempDir>,
}

/// A worker of one start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WorkerRow {
    pub(crate) worker: i64,
    /// Which start, from 1.
    pub(crate) session: i64,
    pub(crate) rank: i64,
    pub(crate) host: String,
    /// Its thread within the rank, if there are several.
    pub(crate) thread: Option<i64>,
}

/// A timed call of crunch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Attempt {
    pub(crate) task: u64,
    pub(crate) worker: i64,
    /// In seconds since 1970.
    pub(crate) started: f64,
    pub(crate) seconds: f64,
    pub(crate) failed: bool,
}

/// A failed attempt, and whether a later one succeeded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FailureRow {
    pub(crate) task: u64,
    pub(crate) error: String,
    pub(crate) mended: bool,
}

impl StoreReader {
    pub(crate) fn into(folder: &Path) -> Result<StoreReader> {
        let path = folder.join("runs.sqlite");
        let no = |why: &dyn std::fmt::Display| {
            Error::input(format!("results folder {}: {why}", folder.display()))
        };
        if !path.is_file() {
            let why =
                if folder.exists() { "there is no runs.sqlite in it" } else { "is not there" };
            return Err(no(&format!("{why}; give the folder a run wrote, results/NAME mostly")));
        }
        let sqlite = |error: rusqlite::Error| no(&format!("runs.sqlite cannot be read: {error}"));
        let cannot = |why: String| no(&format!("runs.sqlite cannot be read: {why}"));
        let (connection, copy) = snapshot::open(&path).map_err(cannot)?;
        // Until the reader is dropped, so that all it says is of one moment, and each query is spared its locks.
        connection.execute_batch("BEGIN").map_err(sqlite)?;
        let format = |row: &Row| row.get::<_, i64>(0);
        match connection.query_row("PRAGMA user_version", [], format).map_err(sqlite)? {
            schema::OLDEST..=schema::FORMAT => {}
            0 => return Err(no(&"runs.sqlite is no store of gridmpi's")),
            other => {
                let own = schema::FORMAT;
                let age = if other > own { "a newer" } else { "an older" };
                return Err(no(&format!(
                    "runs.sqlite was written by {age} gridmpi (in format {other}; this one reads format {own}); use that version"
                )));
            }
        }
        let layout = Layout::read(&connection).map_err(sqlite)?.map_err(|why| no(&why))?;
        let name = note(&connection, "name").map_err(sqlite)?.unwrap_or_default();
        let crunch = note(&connection, "crunch").map_err(sqlite)?.unwrap_or_default();
        let native = crunch.starts_with("Rust, version");
        let keys = RowKeys::of_store(&connection, &layout.nest).map_err(sqlite)?;
        let labels = note(&connection, LABELS).map_err(sqlite)?;
        let nest = labels::labelled(layout.nest, labels.as_deref());
        let results = Results::new(path.clone(), (connection, keys), nest, native);
        Ok(StoreReader { path, name, results, _copy: copy })
    }

    /// The same with all values in summaries, however large.
    pub(crate) fn loading_large(self) -> StoreReader {
        StoreReader { results: self.results.loading_large(), ..self }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn nest(&self) -> &LoopNest {
        self.results.nest()
    }

    /// A value of the store's table `job`.
    pub(crate) fn note(&self, key: &str) -> Result<Option<String>> {
        let sql = "SELECT CAST(value AS TEXT) FROM job WHERE key = ?1";
        let mut found = None;
        self.each(sql, params![key], |row| row.get(0), |text| found = text)?;
        Ok(found)
    }

    /// When the first run began and the last one ended, in seconds since 1970.
    pub(crate) fn span(&self) -> Result<(f64, f64)> {
        let sql = format!(
            "SELECT coalesce(min(started), 0.0), coalesce(max(started + seconds), 0.0) FROM runs
             WHERE {}",
            self.results.of_a_task("rowid")?
        );
        self.one(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Number of runs, and of failed ones among them.
    pub(crate) fn tally(&self) -> Result<(u64, u64)> {
        self.tally_of(0..self.nest().tasks())
    }

    /// The workers of every start.
    pub(crate) fn members(&self) -> Result<Vec<WorkerRow>> {
        let sql = "SELECT worker, session, rank, host, thread FROM workers
                   ORDER BY session, rank, thread, worker";
        let read = |row: &Row| {
            Ok(WorkerRow {
                worker: row.get(0)?,
                session: row.get(1)?,
                rank: row.get(2)?,
                host: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
                thread: row.get(4)?,
            })
        };
        let mut members = Vec::new();
        self.each(sql, [], read, |member| members.push(member))?;
        Ok(members)
    }

    /// Calls `each` with all timed attempts, including failed ones that were tried again; in the order of workers
    /// and starts, if that is asked for. SQLite sorts on disk what is too much for memory.
    pub(crate) fn attempts(&self, by_start: bool, mut each: impl FnMut(Attempt)) -> Result<()> {
        let key = self.failure_key()?;
        let sql = format!(
            "SELECT rowid, worker, started, seconds, failed FROM runs
             WHERE worker IS NOT NULL AND started IS NOT NULL AND seconds IS NOT NULL
             UNION ALL
             SELECT f.{key}, f.worker, f.started, f.seconds, 1 FROM failures f
             WHERE f.worker IS NOT NULL AND f.started IS NOT NULL AND f.seconds IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.rowid = f.{key}
                             AND r.started = f.started AND r.worker = f.worker){}",
            if by_start { " ORDER BY 2, 3, 1" } else { "" }
        );
        let cursor = RefCell::new(self.results.keys.cursor());
        let read = |row: &Row| {
            let Some(task) = cursor.borrow_mut().task(row.get(0)?) else { return Ok(None) };
            Ok(Some(Attempt {
                task,
                worker: row.get(1)?,
                started: row.get(2)?,
                seconds: row.get(3)?,
                failed: row.get(4)?,
            }))
        };
        self.each(&sql, [], read, |attempt| attempt.into_iter().for_each(&mut each))
    }

    /// Calls `each` with every failed attempt, in grid order.
    pub(crate) fn failures(&self, mut each: impl FnMut(FailureRow)) -> Result<()> {
        let key = self.failure_key()?;
        let sql = format!(
            "SELECT f.{key}, f.error, coalesce(r.failed = 0, 0)
             FROM failures f LEFT JOIN runs r ON r.rowid = f.{key} ORDER BY 1"
        );
        let read = |row: &Row| {
            let Some(task) = self.results.keys.task(row.get(0)?) else { return Ok(None) };
            let error: Option<String> = row.get(1)?;
            Ok(Some(FailureRow { task, error: error.unwrap_or_default(), mended: row.get(2)? }))
        };
        if self.results.keys.are_in_grid_order() {
            return self.each(&sql, [], read, |failure| failure.into_iter().for_each(&mut each));
        }
        let mut all = Vec::new();
        self.each(&sql, [], read, |failure| all.extend(failure))?;
        all.sort_by_key(|failure| failure.task);
        all.into_iter().for_each(each);
        Ok(())
    }

    /// The column of the table of failures with the key of the run.
    pub(super) fn failure_key(&self) -> Result<&'static str> {
        let column = schema::key_column(self.results.connection());
        column.map_err(|error| storing(self.path(), &error))
    }

    pub(crate) fn each<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl Fn(&Row) -> Result<T, rusqlite::Error>,
        mut each: impl FnMut(T),
    ) -> Result<()> {
        let read = |row: &Row| read(row).map(Ok);
        self.results.query(sql, parameters, read, |found| {
            each(found);
            Ok(())
        })
    }

    /// The only row of a query.
    pub(crate) fn one<T>(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl Fn(&Row) -> Result<T, rusqlite::Error>,
    ) -> Result<T> {
        let mut found = None;
        self.each(sql, parameters, read, |row| found = Some(row))?;
        found.ok_or_else(|| storing(&self.path, &rusqlite::Error::QueryReturnedNoRows))
    }
}
