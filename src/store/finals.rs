//! The final calls of rows: a table, and the folders of their products beside the store.
//!
//! A call is kept under its row's points, as text, so an edit of the nest leaves it alone, and with a digest of all that
//! it was given. `session` is the last start that has found that the digest is still right, and `number` the number of
//! the row in its layout: readers show those of the last start alone, so a start of a gridmpi that knows no final calls
//! hides them. Stores without final calls have no such table.
//!
//! Products are written to a folder with a temporary name. The row is written first, with that name, and the folder
//! renamed then; a start finishes what was cut off in between, and removes what no row names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::job::FINAL_FOLDER;
use crate::model::{FinalResult, RunError, Scored};
use crate::store::row_reader::Reader;
use crate::store::rows::{self, StoredRun};
use crate::store::starts::has_table;
use crate::store::{Results, products, storing};
use crate::util::error::Result;

pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS finals (row TEXT PRIMARY KEY, session INTEGER, number INTEGER, given TEXT, failed INTEGER, score REAL,
                                   value TEXT, error TEXT, seconds REAL, started REAL, worker INTEGER,
                                   attempt INTEGER, exact BLOB, sum INTEGER, folder TEXT, products TEXT) WITHOUT ROWID;
";

/// Whether a call is that which its row would get now, as far as the last start has found out.
const IS_CURRENT: &str = "session = (SELECT max(session) FROM starts)";

/// What [`Reader::keyed`] expects.
const KEYED: &str = "row, score, value, error, seconds, started, attempt, exact, sum";

/// A final call to store.
pub(crate) struct FinalEntry {
    /// The row's key, its number, and the name of its folder.
    pub(crate) row: String,
    pub(crate) number: u64,
    pub(crate) folder: String,
    /// The digest of what the call was given.
    pub(crate) given: String,
    pub(crate) result: FinalResult,
}

/// What is known of a row's final call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KnownFinal {
    pub(crate) given: String,
    pub(crate) failed: bool,
}

/// A final call as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FinalRow {
    /// The value, or the error.
    pub(crate) result: Result<Scored, String>,
    pub(crate) attempt: u32,
    pub(crate) started: f64,
    pub(crate) seconds: f64,
    /// The folder with its products, relative to the results folder, if there are any.
    pub(crate) folder: Option<String>,
}

/// Stores a call, which replaces an earlier one of the row.
pub(super) fn put(
    store: &Connection,
    results: &Path,
    (session, worker): (i64, i64),
    entry: &FinalEntry,
) -> Result<Result<usize, rusqlite::Error>> {
    let FinalEntry { row, number, folder, given, result } = entry;
    let FinalResult { attempt, started, seconds, products, .. } = result;
    let result = result.result.clone().map_err(|error| RunError::Failed(error.why().to_string()));
    let (attempt, started, seconds) = (*attempt, *started, *seconds);
    let run = StoredRun { key: 0, attempt, started, seconds, result };
    let into = "INSERT OR REPLACE INTO finals (row, ";
    let put = rows::put_under(store, results, Some(worker), (into, row), &run)?;
    let more = || {
        let sql = "UPDATE finals SET session = ?2, number = ?3, given = ?4, folder = ?5, products = ?6 WHERE row = ?1";
        let more = params![row, session, *number as i64, given, folder, products];
        store.prepare_cached(sql)?.execute(more)
    };
    Ok(put.and_then(|_| more()))
}

/// Notes that the call of a row is the one that it would get now.
pub(super) fn keep(
    store: &Connection,
    session: i64,
    (row, number): (&str, u64),
) -> Result<usize, rusqlite::Error> {
    let sql = "UPDATE finals SET session = ?2, number = ?3 WHERE row = ?1";
    store.prepare_cached(sql)?.execute(params![row, session, number as i64])
}

/// Makes sure that no call is taken for the one that its row would get now.
pub(super) fn forget_all(store: &Connection) -> Result<(), rusqlite::Error> {
    match has_table(store, "finals")? {
        true => store.execute("UPDATE finals SET given = ''", []).map(drop),
        false => Ok(()),
    }
}

/// What is known of final calls, by the keys of rows.
pub(super) fn known(store: &Connection) -> Result<BTreeMap<String, KnownFinal>, rusqlite::Error> {
    if !has_table(store, "finals")? {
        return Ok(BTreeMap::new());
    }
    let mut sql = store.prepare("SELECT row, given, failed FROM finals")?;
    let known = |row: &Row| {
        let given = row.get::<_, Option<String>>(1)?.unwrap_or_default();
        Ok((row.get(0)?, KnownFinal { given, failed: row.get(2)? }))
    };
    sql.query_map([], known)?.collect()
}

/// When the last final call that has ended well began, in seconds since 1970; 0 if there is none.
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) fn last_final(store: &Connection) -> Result<f64, rusqlite::Error> {
    if !has_table(store, "finals")? {
        return Ok(0.0);
    }
    let sql = "SELECT coalesce(max(started), 0.0) FROM finals WHERE NOT failed";
    store.query_row(sql, [], |row| row.get(0))
}

impl Results {
    /// The final calls of rows, by the number of the row; nothing if the job has none.
    pub(crate) fn finals(&self) -> Result<BTreeMap<u64, FinalRow>> {
        let failed = |error| storing(self.path(), &error);
        let mut found = BTreeMap::new();
        if !has_table(self.connection(), "finals").map_err(failed)? {
            return Ok(found);
        }
        let sql = format!("SELECT {KEYED}, number, folder FROM finals WHERE {IS_CURRENT}");
        let read = |row: &Row| {
            let (number, name): (i64, Option<String>) = (row.get(9)?, row.get(10)?);
            let read = self.reader().keyed(row, "finals", "row")?;
            Ok(read.map(|(_, run)| (number as u64, name, run)))
        };
        self.query(&sql, [], read, |(number, name, run)| {
            let StoredRun { attempt, started, seconds, result, .. } = run;
            let name = name.filter(|name| result.is_ok() && self.products(name).is_dir());
            let folder = name.map(|name| format!("{FINAL_FOLDER}/{name}"));
            let result = result.map_err(|error| error.to_string());
            found.insert(number, FinalRow { result, attempt, started, seconds, folder });
            Ok(())
        })?;
        Ok(found)
    }

    /// How many final calls of rows are made, and how many of them have failed; nothing if the job has none.
    #[cfg(feature = "cli")]
    pub(crate) fn final_tally(&self) -> Result<Option<(u64, u64)>> {
        let failed = |error| storing(self.path(), &error);
        if !has_table(self.connection(), "finals").map_err(failed)? {
            return Ok(None);
        }
        let sql =
            format!("SELECT count(*), coalesce(sum(failed), 0) FROM finals WHERE {IS_CURRENT}");
        let tally = |row: &Row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64));
        self.connection().query_row(&sql, [], tally).map(Some).map_err(failed)
    }

    fn products(&self, name: &str) -> PathBuf {
        self.folder().join(FINAL_FOLDER).join(name)
    }
}

/// Brings the products of a stored call to the place of the row's products.
pub(super) fn settle(results: &Path, entry: &FinalEntry) -> io::Result<()> {
    let (result, failed) = (&entry.result, entry.result.result.is_err());
    let to = results.join(FINAL_FOLDER).join(&entry.folder);
    products::settle(&to, result.products.as_deref(), failed)
}

/// Makes the table where it is lacking and `wanted`, and tidies the folder of products.
pub(super) fn open(
    store: &Connection,
    results: &Path,
    wanted: bool,
) -> Result<(), rusqlite::Error> {
    if wanted {
        store.execute_batch(TABLE)?;
    }
    tidy(store, results)
}

/// Finishes renames that were cut off, and removes what attempts without a result have left.
fn tidy(store: &Connection, results: &Path) -> Result<(), rusqlite::Error> {
    let folder = results.join(FINAL_FOLDER);
    if !has_table(store, "finals")? || !products::is_own(&folder) {
        return Ok(());
    }
    let mut sql = store
        .prepare("SELECT folder, products FROM finals WHERE products IS NOT NULL AND NOT failed")?;
    let names = |row: &Row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let stored = sql.query_map([], names)?.collect::<Result<Vec<_>, _>>()?;
    let told = |done: io::Result<()>| {
        if let Err(error) = done {
            log::warn!(
                "{}: the products of final calls cannot be put in their place: {error}",
                folder.display()
            );
        }
    };
    let known: BTreeSet<&str> = stored.iter().map(|(_, products)| products.as_str()).collect();
    for (name, from) in &stored {
        told(products::settle(&folder.join(name), Some(from), false));
    }
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') && name != products::MARK && !known.contains(name.as_str()) {
            told(products::remove(&entry.path()));
        }
    }
    Ok(())
}

/// Copies the calls of rows that the new store lacks, and their products where these are in another results folder.
/// `first` is what is added to the numbers of workers.
pub(super) fn copy(
    (new, results): (&Connection, &Path),
    (old, folder): (&Connection, &Path),
    first: i64,
) -> Result<Result<()>, rusqlite::Error> {
    if !has_table(old, "finals")? {
        return Ok(Ok(()));
    }
    new.execute_batch(TABLE)?;
    let reader = Reader { results: folder, keys: None, native: true, loads_large: true };
    let sql = format!("SELECT {KEYED}, given, worker, folder, products FROM finals");
    let (mut sql, mut there) =
        (old.prepare(&sql)?, new.prepare("SELECT failed FROM finals WHERE row = ?1")?);
    let mut found = sql.query([])?;
    while let Some(row) = found.next()? {
        let (key, run) = match reader.keyed(row, "finals", "row")? {
            Ok(found) => found,
            Err(damaged) => return Ok(Err(damaged)),
        };
        let there: Option<bool> = there.query_row(params![key], |row| row.get(0)).optional()?;
        if there.is_some_and(|failed| !failed || run.result.is_err()) {
            continue;
        }
        let worker = row.get::<_, Option<i64>>(10)?.map(|worker| first + worker);
        let into = "INSERT OR REPLACE INTO finals (row, ";
        match rows::put_under(new, results, worker, (into, &key), &run) {
            Ok(put) => drop(put?),
            Err(error) => return Ok(Err(error)),
        }
        let text = |column| row.get::<_, Option<String>>(column);
        let (given, name, products) = (text(9)?, text(11)?, text(12)?);
        let sql = "UPDATE finals SET given = ?2, folder = ?3, products = ?4 WHERE row = ?1";
        new.execute(sql, params![key, given, name, products])?;
        if let Some(name) = name.filter(|_| run.result.is_ok() && results != folder) {
            let from = folder.join(FINAL_FOLDER).join(&name);
            let copied = if from.is_dir() {
                products::copy(&from, (results, FINAL_FOLDER), &name)
            } else {
                Ok(())
            };
            if let Err(error) = copied {
                let why = format!("{}: the products cannot be copied: {error}", from.display());
                return Ok(Err(crate::util::error::Error::unexpected(why)));
            }
        }
    }
    Ok(Ok(()))
}
