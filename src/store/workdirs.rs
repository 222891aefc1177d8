//! The folders that runs have left: a table, and the folders beside the store.
//!
//! A row belongs to the run that the same worker began at the same time, so nothing that becomes of the nest or of the
//! keys of runs touches it. What a worker keeps has a name made of the task and the attempt at first. The run is recorded
//! with that name, and the folder renamed then; a start finishes what was cut off in between, and removes what no row
//! names. A run that leaves nothing, where an earlier attempt has a folder, has a row without `files`: that folder goes.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Row, params};

#[cfg(feature = "jobs")]
use crate::job::KeptFiles;
use crate::job::{Job, RUNS_FOLDER, RunNames, WorkdirSpec, digest};
use crate::model::RunBatch;
use crate::store::contents::Contents;
use crate::store::products;
use crate::store::row_keys::RowKeys;
use crate::store::starts::has_table;
use crate::util::error::{Error, Result};
use crate::util::text::things;

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS workdirs (worker INTEGER, started REAL, folder TEXT UNIQUE, temporary TEXT, files INTEGER,
                                     bytes INTEGER, state TEXT, PRIMARY KEY (worker, started)) WITHOUT ROWID;
";

/// File systems take 255 bytes.
const LONGEST_NAME: usize = 200;

/// How long a start looks for files that are gone.
const LOOK: Duration = Duration::from_secs(2);

/// The folder of a run `r`, relative to the results folder, as SQL.
pub(super) const COLUMN: &str = "(SELECT 'runs/' || d.folder FROM workdirs d
 WHERE d.worker = r.worker AND d.started = r.started AND d.files IS NOT NULL)";

/// Makes the table, or completes one of an earlier version, which did not note the state of files.
fn make_table(store: &Connection) -> Result<(), rusqlite::Error> {
    store.execute_batch(TABLE)?;
    if !has_state(store)? {
        store.execute_batch("ALTER TABLE workdirs ADD COLUMN state TEXT")?;
    }
    Ok(())
}

/// Whether the table has the state of files.
pub(super) fn has_state(store: &Connection) -> Result<bool, rusqlite::Error> {
    let sql = "SELECT count(*) FROM pragma_table_info('workdirs') WHERE name = 'state'";
    store.query_row(sql, [], |row| row.get(0))
}

/// Whether runs of a store may have folders.
pub(super) fn has_any(store: &Connection) -> Result<bool, rusqlite::Error> {
    has_table(store, "workdirs")
}

/// What the writer knows of a job whose runs have folders.
pub(crate) struct RunFolders {
    job: Arc<Job>,
    names: RunNames,
    session: i64,
    /// How many runs have succeeded, and how many have left files to keep.
    succeeded: Cell<u64>,
    kept: Cell<u64>,
}

impl RunFolders {
    /// Nothing if runs leave no folders.
    pub(crate) fn of(job: &Arc<Job>) -> Option<RunFolders> {
        let session = job.workdir.as_ref()?.session;
        let (names, job) = (RunNames::new(job), job.clone());
        Some(RunFolders { names, job, session, succeeded: Cell::new(0), kept: Cell::new(0) })
    }

    /// At the end of a start: a pattern with a slip of the pen would keep nothing, and nobody would know.
    pub(super) fn tell_if_nothing_is_kept(&self) {
        #[cfg(feature = "jobs")]
        if let Some(KeptFiles::Matching(patterns)) =
            self.job.workdir.as_ref().map(|spec| &spec.keep)
            && self.kept.get() == 0
            && self.succeeded.get() > 0
        {
            log::warn!(
                "keep = {patterns:?} in [crunch.workdir]: {} left no file of such a name, so nothing is kept; keep = \"all\" shows what a run leaves",
                things(self.succeeded.get(), "run")
            );
        }
    }

    /// The folders that earlier runs of these tasks have.
    pub(super) fn before(
        &self,
        (store, keys): (&Connection, &RowKeys),
        runs: &RunBatch,
    ) -> Result<Vec<Option<String>>, rusqlite::Error> {
        let sql = "SELECT d.folder FROM runs r
                   JOIN workdirs d ON d.worker = r.worker AND d.started = r.started WHERE r.key = ?1";
        let (mut sql, mut keys) = (store.prepare_cached(sql)?, keys.cursor());
        let folder = |task| sql.query_row(params![keys.key(task)], |row| row.get(0)).optional();
        runs.tasks().map(folder).collect()
    }

    /// Notes what runs have left, which must have just been stored. `before` is what their tasks had.
    pub(super) fn put(
        &self,
        (store, results): (&Connection, &Path),
        (rank, thread, worker): (usize, u32, i64),
        runs: &RunBatch,
        before: Vec<Option<String>>,
    ) -> Result<(), rusqlite::Error> {
        let sql = "INSERT OR REPLACE INTO workdirs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let mut sql = store.prepare_cached(sql)?;
        for ((task, started, _), before) in runs.timed().zip(before) {
            let which = (task, runs.attempt);
            let name = WorkdirSpec::temporary(self.session, which, (rank, thread));
            let kept = results.join(RUNS_FOLDER).join(&name);
            if kept.is_dir() {
                let folder = match before {
                    Some(folder) => folder,
                    None => free_name(store, self.names.of(&self.job, task))?,
                };
                let Contents { files, bytes, state } = Contents::of(&kept);
                sql.execute(params![worker, started, folder, name, files, bytes, state])?;
            } else if let Some(folder) = before {
                sql.execute(params![
                    worker,
                    started,
                    folder,
                    None::<&str>,
                    None::<i64>,
                    None::<i64>,
                    None::<&str>
                ])?;
            }
        }
        Ok(())
    }

    /// Brings what runs have left to its place, now that they are recorded.
    pub(super) fn settle(
        &self,
        (store, results): (&Connection, &Path),
        worker: i64,
        runs: &RunBatch,
    ) -> Result<(), rusqlite::Error> {
        let sql =
            "SELECT folder, temporary, files FROM workdirs WHERE worker = ?1 AND started = ?2";
        let mut sql = store.prepare_cached(sql)?;
        if runs.first_failure().is_none() {
            self.succeeded.set(self.succeeded.get() + runs.count());
        }
        for (_, started, _) in runs.timed() {
            if let Some(row) = sql.query_row(params![worker, started], RunPlace::read).optional()? {
                self.kept.set(self.kept.get() + u64::from(row.has_files));
                tell(results, row.settle(results));
            }
        }
        Ok(())
    }
}

/// The name, or one like it: the folder must not be that of another run, nor lie in one, nor have one in it. A loop may
/// have been added to the job, and runs whose points are not in the job any more keep their folders.
fn free_name(store: &Connection, name: String) -> Result<String, rusqlite::Error> {
    let mut is_taken = store.prepare_cached("SELECT 1 FROM workdirs WHERE folder = ?1")?;
    let inside = "SELECT 1 FROM workdirs WHERE folder > ?1 || '/' AND folder < ?1 || '0'";
    let mut has_others = store.prepare_cached(inside)?;
    let mut meets = |name: &str| -> Result<bool, rusqlite::Error> {
        for (at, _) in name.match_indices('/') {
            if is_taken.exists(params![&name[..at]])? {
                return Ok(true);
            }
        }
        has_others.exists(params![name])
    };
    let name = match meets(&name)? {
        true => {
            let flat: String = name.replace('/', ",").chars().take(LONGEST_NAME).collect();
            format!("{flat}-{}", &digest(name.as_bytes())[..8])
        }
        false => name,
    };
    let mut free = name.clone();
    for number in 2.. {
        if !is_taken.exists(params![free])? && !has_others.exists(params![free])? {
            break;
        }
        free = format!("{name}~{number}");
    }
    Ok(free)
}

/// Where a run's folder is to be.
struct RunPlace {
    folder: String,
    temporary: Option<String>,
    has_files: bool,
}

impl RunPlace {
    fn read(row: &Row) -> Result<RunPlace, rusqlite::Error> {
        let has_files = row.get::<_, Option<i64>>(2)?.is_some();
        Ok(RunPlace { folder: row.get(0)?, temporary: row.get(1)?, has_files })
    }

    fn settle(&self, results: &Path) -> io::Result<()> {
        let runs = results.join(RUNS_FOLDER);
        let to = runs.join(&self.folder);
        match (&self.temporary, self.has_files) {
            (Some(temporary), true) => {
                products::replace(&to, Some(&runs.join(temporary))).map(drop)
            }
            (None, true) => Ok(()), // it was copied to its place
            (_, false) => {
                products::replace(&to, None)?;
                remove_empty(&runs, &to);
                Ok(())
            }
        }
    }
}

/// Removes the folders around one that is gone, as far as they are empty.
fn remove_empty(runs: &Path, gone: &Path) {
    let around = gone.ancestors().skip(1).take_while(|around| *around != runs);
    let _ = around.map(fs::remove_dir).take_while(std::result::Result::is_ok).count();
}

fn tell(results: &Path, done: io::Result<()>) {
    if let Err(error) = done {
        log::error!(
            "{}: what a run has left is not in its place yet: {error}; the next start tries again to put it there",
            results.join(RUNS_FOLDER).display()
        );
    }
}

/// Makes the table where it is lacking and `wanted`, tidies the folder of runs, and looks for files that are gone. Returns
/// whether the table is new.
pub(super) fn open(
    store: &Connection,
    results: &Path,
    wanted: bool,
) -> Result<bool, rusqlite::Error> {
    let is_there = has_any(store)?;
    let is_new = wanted && !is_there;
    if is_new || is_there {
        make_table(store)?;
    }
    tidy(store, results)?;
    look_for_files(store, results)?;
    Ok(is_new)
}

/// Finishes renames that were cut off, and removes what attempts without a recorded run have left.
pub(super) fn tidy(store: &Connection, results: &Path) -> Result<(), rusqlite::Error> {
    let folder = results.join(RUNS_FOLDER);
    if !products::is_own(&folder) {
        return Ok(());
    }
    if has_any(store)? {
        let mut sql = store.prepare("SELECT folder, temporary, files FROM workdirs")?;
        for place in sql.query_map([], RunPlace::read)? {
            tell(results, place?.settle(results));
        }
        store.execute("DELETE FROM workdirs WHERE files IS NULL", [])?;
    }
    let is_recorded = |name: &str| -> Result<bool, rusqlite::Error> {
        Ok(has_any(store)?
            && store
                .prepare_cached("SELECT 1 FROM workdirs WHERE temporary = ?1")?
                .exists(params![name])?)
    };
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // One that is recorded could not be renamed.
        if name.starts_with('.') && name != products::MARK && !is_recorded(&name)? {
            tell(results, products::remove(&entry.path()));
        }
    }
    Ok(())
}

/// Says which runs have had files that are gone.
fn look_for_files(store: &Connection, results: &Path) -> Result<(), rusqlite::Error> {
    if !has_any(store)? {
        return Ok(());
    }
    let begin = Instant::now();
    let mut sql = store.prepare("SELECT folder, files FROM workdirs WHERE files IS NOT NULL")?;
    let mut rows = sql.query([])?;
    let (mut gone, mut first) = (0u64, None);
    while let Some(row) = rows.next()? {
        let (folder, files): (String, i64) = (row.get(0)?, row.get(1)?);
        if let Some(missing) = missing(results, &folder, files) {
            gone += 1;
            first.get_or_insert(missing);
        }
        if begin.elapsed() > LOOK {
            log::debug!("not all folders of runs were looked through for files that are gone");
            break;
        }
    }
    if let Some(first) = first {
        log::warn!(
            "{}: files of {} are gone; their results stay as they are. The first: {first}",
            results.join(RUNS_FOLDER).display(),
            things(gone, "run")
        );
    }
    Ok(())
}

/// What is missing of a run's folder.
pub(super) fn missing(results: &Path, folder: &str, files: i64) -> Option<String> {
    let path = results.join(RUNS_FOLDER).join(folder);
    if !path.is_dir() {
        return Some(format!("{RUNS_FOLDER}/{folder} is not there"));
    }
    let there = Contents::of(&path).files;
    (there < files).then(|| format!("{RUNS_FOLDER}/{folder} has {there} of {files} files"))
}

/// The runs of a store, by worker and the bits of their start.
pub(super) fn runs_there(store: &Connection) -> Result<HashSet<(i64, u64)>, rusqlite::Error> {
    let mut there = HashSet::new();
    let runs = "SELECT worker, started FROM runs UNION ALL SELECT worker, started FROM unplaced";
    let mut sql = store.prepare(runs)?;
    let mut rows = sql.query([])?;
    while let Some(row) = rows.next()? {
        if let (Some(worker), Some(started)) = (row.get(0)?, row.get::<_, Option<f64>>(1)?) {
            there.insert((worker, started.to_bits()));
        }
    }
    Ok(there)
}

/// Copies the rows of runs that have come to the new store, and their folders where these are in another results folder.
/// `first` is what was added to the numbers of workers. Folders of runs that others have replaced go.
pub(super) fn copy(
    (new, results): (&Connection, &Path),
    (old, folder): (&Connection, &Path),
    first: i64,
) -> Result<Result<()>, rusqlite::Error> {
    if !has_any(old)? {
        return Ok(Ok(()));
    }
    make_table(new)?;
    let there = runs_there(new)?;
    let is_elsewhere = results != folder;
    let columns = "SELECT worker, started, folder, temporary, files, bytes";
    let mut sql = new.prepare(&format!("{columns} FROM workdirs"))?;
    let mut rows = sql.query([])?;
    let mut replaced: Vec<(i64, f64, String)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (worker, started): (i64, f64) = (row.get(0)?, row.get(1)?);
        if !there.contains(&(worker, started.to_bits())) {
            replaced.push((worker, started, row.get(2)?));
        }
    }
    for (worker, started, name) in replaced {
        let sql = "DELETE FROM workdirs WHERE worker = ?1 AND started = ?2";
        new.prepare_cached(sql)?.execute(params![worker, started])?;
        if is_elsewhere {
            tell(results, products::remove(&results.join(RUNS_FOLDER).join(&name)));
        }
    }
    let state = if has_state(old)? { "state" } else { "NULL" };
    let of_old = format!("{columns}, {state} FROM workdirs WHERE files IS NOT NULL");
    let mut sql = old.prepare(&of_old)?;
    let mut rows = sql.query([])?;
    while let Some(row) = rows.next()? {
        let (worker, started): (i64, f64) = (row.get(0)?, row.get(1)?);
        let worker = first + worker;
        if !there.contains(&(worker, started.to_bits())) {
            continue;
        }
        let (mut name, mut temporary): (String, Option<String>) = (row.get(2)?, row.get(3)?);
        let (files, bytes): (i64, i64) = (row.get(4)?, row.get(5)?);
        let mut state: Option<String> = row.get(6)?;
        if is_elsewhere {
            let runs = folder.join(RUNS_FOLDER);
            let unnamed = temporary.take().map(|name| runs.join(name)).filter(|path| path.is_dir());
            let from: PathBuf = unnamed.unwrap_or_else(|| runs.join(&name));
            name = free_name(new, name)?;
            let to = (results, RUNS_FOLDER);
            // The copies have other times. What had changed before is no more what the run has left.
            let is_same = state.is_some_and(|state| Contents::of(&from).state == state);
            if let Err(error) =
                if from.is_dir() { products::copy(&from, to, &name) } else { Ok(()) }
            {
                let why = format!("{}: it cannot be copied: {error}", from.display());
                return Ok(Err(Error::unexpected(why)));
            }
            let copied = || Contents::of(&results.join(RUNS_FOLDER).join(&name)).state;
            state = is_same.then(copied);
        }
        let sql = "INSERT OR REPLACE INTO workdirs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let row = params![worker, started, name, temporary, files, bytes, state];
        new.prepare_cached(sql)?.execute(row)?;
    }
    Ok(Ok(()))
}
