//! Groups that count though not all that they could rest on is there: how many of their points do. Few have a row,
//! so that a store without any is read as fast as ever.

use rusqlite::{Connection, params};

use crate::model::{GroupSummary, Key, PointCounts};

/// Stores of earlier versions lack it.
pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS partial_groups (level INTEGER, number INTEGER, counted INTEGER, failed INTEGER,
                                           left_out INTEGER, sum INTEGER,
                                           PRIMARY KEY (level, number)) WITHOUT ROWID;
";

/// Forgets all of them, before the groups are closed again.
pub(super) fn clear(store: &Connection) -> Result<(), rusqlite::Error> {
    store.execute("DELETE FROM partial_groups", []).map(drop)
}

/// Inserts how many points a group rests on, if these are not all.
pub(super) fn put(store: &Connection, summary: &GroupSummary) -> Result<usize, rusqlite::Error> {
    let Some(points) = summary.partial() else { return Ok(0) };
    let Key { level, index } = summary.key;
    let PointCounts { counted, failed, left_out } = points;
    let numbers = [level as u64, index, counted, failed, left_out].map(|number| number as i64);
    let [level, number, counted, failed, left_out] = numbers;
    let sql =
        "INSERT OR REPLACE INTO partial_groups (level, number, counted, failed, left_out, sum)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let row = params![level, number, counted, failed, left_out, sum(numbers)];
    store.prepare_cached(sql)?.execute(row)
}

pub(super) fn sum(numbers: [i64; 5]) -> i64 {
    crc32fast::hash(&numbers.map(i64::to_le_bytes).concat()).into()
}
