//! What runs have printed: a table of its own, so that nothing that reads runs reads it.
//!
//! A row belongs to the attempt that the same worker began at the same time and that took as long, so nothing that becomes
//! of the nest or of the keys of runs touches it, and a later attempt leaves it. It is written in the transaction of its
//! run. What each start was told to keep is noted, so that readers know why there is no row.

use std::collections::HashMap;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::model::{KeptLogs, RunBatch, RunLog};
use crate::store::starts::has_table;

/// Stores of earlier versions lack both.
pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS logs (worker INTEGER, started REAL, seconds REAL, printed INTEGER, beginning INTEGER,
                                 gzip BLOB, sum INTEGER);
CREATE UNIQUE INDEX IF NOT EXISTS log_of_run ON logs (worker, started, seconds);
CREATE TABLE IF NOT EXISTS log_starts (session INTEGER PRIMARY KEY, logs TEXT);
";

const PUT: &str =
    "INSERT OR REPLACE INTO logs (worker, started, seconds, printed, beginning, gzip, sum)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// Notes what a start keeps.
pub(super) fn put_start(
    store: &Connection,
    session: i64,
    logs: KeptLogs,
) -> Result<(), rusqlite::Error> {
    let sql = "INSERT OR REPLACE INTO log_starts VALUES (?1, ?2)";
    store.execute(sql, params![session, logs.name()]).map(drop)
}

/// Inserts what runs have printed whose output is kept.
pub(super) fn put(store: &Connection, worker: i64, runs: &RunBatch) -> Result<(), rusqlite::Error> {
    let mut logs = runs.logs().peekable();
    if logs.peek().is_none() {
        return Ok(());
    }
    for (task, started, seconds) in runs.timed() {
        if let Some((_, log)) = logs.next_if(|(of, _)| *of == task) {
            let RunLog { printed, beginning, gzip } = log;
            let sum = sum((started, seconds), (*printed, *beginning), gzip);
            let (printed, beginning) = (*printed as i64, *beginning as i64);
            let row = params![worker, started, seconds, printed, beginning, &gzip[..], sum];
            store.prepare_cached(PUT)?.execute(row)?;
        }
    }
    Ok(())
}

fn sum((started, seconds): (f64, f64), (printed, beginning): (u64, u64), gzip: &[u8]) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    for word in [started.to_bits(), seconds.to_bits(), printed, beginning] {
        sum.update(&word.to_le_bytes());
    }
    sum.update(gzip);
    sum.finalize().into()
}

/// Copies what another store notes of its starts, with numbers after `after`.
pub(super) fn copy_starts(
    new: &Connection,
    old: &Connection,
    after: i64,
) -> Result<(), rusqlite::Error> {
    if !has_table(old, "log_starts")? {
        return Ok(());
    }
    new.execute_batch(TABLES)?; // a store of an older gridmpi has none
    let mut sql = old.prepare("SELECT session, logs FROM log_starts")?;
    let mut rows = sql.query([])?;
    while let Some(row) = rows.next()? {
        let (session, logs): (i64, String) = (row.get(0)?, row.get(1)?);
        let sql = "INSERT OR REPLACE INTO log_starts VALUES (?1, ?2)";
        new.execute(sql, params![after + session, logs])?;
    }
    Ok(())
}

/// Copies the logs of the attempts that have come to the new store. `first` is what was added to the numbers of workers.
pub(super) fn copy(new: &Connection, old: &Connection, first: i64) -> Result<(), rusqlite::Error> {
    if !has_table(old, "logs")? {
        return Ok(());
    }
    new.execute_batch(TABLES)?;
    let mut wanted: HashMap<(i64, u64, u64), i64> = HashMap::new();
    let mut sql = old.prepare("SELECT worker, started, seconds, rowid FROM logs")?;
    let mut rows = sql.query([])?;
    while let Some(row) = rows.next()? {
        let (worker, started, seconds): (i64, f64, f64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        wanted.insert((first + worker, started.to_bits(), seconds.to_bits()), row.get(3)?);
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let attempts = "SELECT worker, started, seconds FROM runs UNION ALL SELECT worker, started, seconds FROM unplaced
                    UNION ALL SELECT worker, started, seconds FROM failures";
    let mut sql = new.prepare(attempts)?;
    let mut rows = sql.query([])?;
    let mut get = old.prepare(
        "SELECT started, seconds, printed, beginning, gzip, sum FROM logs WHERE rowid = ?1",
    )?;
    while let Some(row) = rows.next()? {
        let (Some(worker), Some(started), Some(seconds)) =
            (row.get(0)?, row.get::<_, Option<f64>>(1)?, row.get::<_, Option<f64>>(2)?)
        else {
            continue;
        };
        let key = (worker, started.to_bits(), seconds.to_bits());
        let Some(rowid) = wanted.remove(&key) else { continue };
        get.query_row(params![rowid], |log| {
            let values: [rusqlite::types::Value; 6] =
                [log.get(0)?, log.get(1)?, log.get(2)?, log.get(3)?, log.get(4)?, log.get(5)?];
            let [started, seconds, printed, beginning, gzip, sum] = values;
            let row = params![worker, started, seconds, printed, beginning, gzip, sum];
            new.prepare_cached(PUT)?.execute(row)
        })?;
    }
    Ok(())
}

/// What is kept of the output of an attempt, found by its worker, its start time and its seconds. An error text if the
/// row is damaged.
pub(super) fn get(
    store: &Connection,
    (worker, started, seconds): (i64, f64, f64),
) -> Result<Option<Result<RunLog, String>>, rusqlite::Error> {
    if !has_table(store, "logs")? {
        return Ok(None);
    }
    let sql = "SELECT printed, beginning, gzip, sum FROM logs
               WHERE worker = ?1 AND started = ?2 AND seconds = ?3";
    let read = |row: &Row| {
        let (printed, beginning) = (row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64);
        let gzip: Bytes = row.get::<_, Vec<u8>>(2)?.into();
        let is_whole =
            sum((started, seconds), (printed, beginning), &gzip) == row.get::<_, i64>(3)?;
        let log = RunLog { printed, beginning, gzip };
        Ok(if is_whole { Ok(log) } else { Err("its checksum is wrong".to_string()) })
    };
    store.query_row(sql, params![worker, started, seconds], read).optional()
}

/// Whether there is output of an attempt.
pub(super) fn has(
    store: &Connection,
    (worker, started, seconds): (i64, f64, f64),
) -> Result<bool, rusqlite::Error> {
    let sql = "SELECT 1 FROM logs WHERE worker = ?1 AND started = ?2 AND seconds = ?3";
    Ok(has_table(store, "logs")?
        && store.prepare(sql)?.exists(params![worker, started, seconds])?)
}

/// What the start with this number has kept; nothing if it did not know of logs.
pub(super) fn kept_by(
    store: &Connection,
    session: i64,
) -> Result<Option<KeptLogs>, rusqlite::Error> {
    if !has_table(store, "log_starts")? {
        return Ok(None);
    }
    let sql = "SELECT logs FROM log_starts WHERE session = ?1";
    let logs: Option<String> =
        store.query_row(sql, params![session], |row| row.get(0)).optional()?;
    Ok(logs.and_then(|logs| KeptLogs::of(&logs)))
}
