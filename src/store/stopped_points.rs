//! Points of which not all runs are made: one row each, whatever it saves. Few jobs have any.

use rusqlite::{Connection, params};

use crate::model::{Key, StopReason, StoppedPoint};

/// Stores of earlier versions lack it. `why` is the reason as JSON.
pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS stopped_points (level INTEGER, number INTEGER, asked INTEGER, why TEXT, sum INTEGER,
                                           PRIMARY KEY (level, number)) WITHOUT ROWID;
";

/// Forgets all of them, before a start decides again.
pub(super) fn clear(store: &Connection) -> Result<(), rusqlite::Error> {
    store.execute("DELETE FROM stopped_points", []).map(drop)
}

pub(super) fn put(store: &Connection, point: &StoppedPoint) -> Result<usize, rusqlite::Error> {
    let StoppedPoint { key: Key { level, index }, asked, why } = point;
    let why = serde_json::to_string(why).unwrap_or_default();
    let numbers = [*level as i64, *index as i64, *asked as i64];
    let sql = "INSERT OR REPLACE INTO stopped_points (level, number, asked, why, sum)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let [level, number, asked] = numbers;
    let row = params![level, number, asked, why, checksum(numbers, &why)];
    store.prepare_cached(sql)?.execute(row)
}

/// All of them, in grid order; none in a store of an earlier version. An error in words if one is damaged.
pub(super) fn all(
    store: &Connection,
) -> Result<Result<Vec<StoppedPoint>, String>, rusqlite::Error> {
    if !store.table_exists(None, "stopped_points")? {
        return Ok(Ok(Vec::new()));
    }
    let mut sql = store.prepare(
        "SELECT level, number, asked, why, sum FROM stopped_points ORDER BY level, number",
    )?;
    let mut rows = sql.query([])?;
    let mut points = Vec::new();
    while let Some(row) = rows.next()? {
        let numbers: [i64; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
        let why: String = row.get(3)?;
        let reason: Option<StopReason> = serde_json::from_str(&why).ok();
        let (Some(why), true) = (reason, row.get::<_, i64>(4)? == checksum(numbers, &why)) else {
            return Ok(Err(format!("the row of the stopped point {} is damaged", numbers[1])));
        };
        let [level, index, asked] = numbers.map(|number| number as u64);
        points.push(StoppedPoint { key: Key { level: level as usize, index }, asked, why });
    }
    Ok(Ok(points))
}

fn checksum(numbers: [i64; 3], why: &str) -> i64 {
    let mut bytes = numbers.map(i64::to_le_bytes).concat();
    bytes.extend(why.as_bytes());
    crc32fast::hash(&bytes).into()
}
