//! Attempts that were cut off at the end of the time or by a signal: how long they had run is the least that
//! their tasks take.

use rusqlite::{Connection, params};

use crate::store::row_keys::RowKeys;

/// The error of an attempt that was cut off.
const CUT_OFF: &str = "it was cut off before it had ended";

pub(super) fn put(
    store: &Connection,
    worker: i64,
    (key, attempt): (i64, u32),
    seconds: f64,
) -> Result<usize, rusqlite::Error> {
    let sql =
        "INSERT INTO failures (key, attempt, error, seconds, worker) VALUES (?1, ?2, ?3, ?4, ?5)";
    store.prepare_cached(sql)?.execute(params![key, attempt, CUT_OFF, seconds, worker])
}

/// The tasks without a result whose attempts by the crunch of the last start were cut off, and the longest time
/// that one had run.
pub(super) fn longest(
    store: &Connection,
    keys: &RowKeys,
) -> Result<Vec<(u64, f64)>, rusqlite::Error> {
    let sql = "SELECT f.key, max(f.seconds) FROM failures f
               JOIN workers w ON w.worker = f.worker JOIN starts s ON s.session = w.session
               WHERE f.error = ?1 AND s.crunch = (SELECT crunch FROM starts ORDER BY session DESC LIMIT 1)
               AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.key = f.key AND r.failed = 0)
               GROUP BY f.key";
    let mut sql = store.prepare(sql)?;
    let attempt = |row: &rusqlite::Row| Ok((keys.task(row.get(0)?), row.get(1)?));
    let found: Vec<(Option<u64>, f64)> =
        sql.query_map(params![CUT_OFF], attempt)?.collect::<Result<_, _>>()?;
    Ok(found.into_iter().filter_map(|(task, seconds)| Some((task?, seconds))).collect())
}
