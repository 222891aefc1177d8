//! How much memory the processes of runs have held at most: a table. A row belongs to the run that the same worker began
//! at the same time, as those of [`workdirs`](super::workdirs) do.

use rusqlite::{Connection, params};

use crate::model::RunBatch;
use crate::store::starts::has_table;
use crate::store::workdirs::runs_there;

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS memory (worker INTEGER, started REAL, mebibytes INTEGER,
                                   PRIMARY KEY (worker, started)) WITHOUT ROWID;
";

/// The peak of a run `r` in MiB, as SQL.
pub(super) const COLUMN: &str =
    "(SELECT m.mebibytes FROM memory m WHERE m.worker = r.worker AND m.started = r.started)";

/// Whether it may be known of the runs of a store.
pub(super) fn has_any(store: &Connection) -> Result<bool, rusqlite::Error> {
    has_table(store, "memory")
}

/// Makes the table where it is lacking and `wanted`; returns whether it is new.
pub(super) fn open(store: &Connection, wanted: bool) -> Result<bool, rusqlite::Error> {
    let is_new = wanted && !has_any(store)?;
    if is_new {
        store.execute_batch(TABLE)?;
    }
    Ok(is_new)
}

/// Notes what is known of a worker's runs.
pub(super) fn put(store: &Connection, worker: i64, runs: &RunBatch) -> Result<(), rusqlite::Error> {
    let mut known = runs.memory().peekable();
    if known.peek().is_none() {
        return Ok(());
    }
    let mut sql = store.prepare_cached("INSERT OR REPLACE INTO memory VALUES (?1, ?2, ?3)")?;
    for (task, started, _) in runs.timed() {
        if let Some((_, mebibytes)) = known.next_if(|(known, _)| *known == task) {
            sql.execute(params![worker, started, mebibytes])?;
        }
    }
    Ok(())
}

/// Copies what is known of runs that have come to the new store. `first` is what was added to the numbers of workers.
pub(super) fn copy(new: &Connection, old: &Connection, first: i64) -> Result<(), rusqlite::Error> {
    if !has_any(old)? {
        return Ok(());
    }
    new.execute_batch(TABLE)?;
    let mut put = new.prepare("INSERT OR REPLACE INTO memory VALUES (?1, ?2, ?3)")?;
    let there = runs_there(new)?;
    let mut sql = old.prepare("SELECT worker, started, mebibytes FROM memory")?;
    let mut rows = sql.query([])?;
    while let Some(row) = rows.next()? {
        let (worker, started, mebibytes): (i64, f64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if there.contains(&(first + worker, started.to_bits())) {
            put.execute(params![first + worker, started, mebibytes])?;
        }
    }
    Ok(())
}
