//! Records how each start on a store was called: its command, and the versions of what computed. For people; nothing
//! depends on it, and stores that were made before have no such record.

use rusqlite::{Connection, params};

use crate::job::Job;
use crate::store::starts::has_table;
use crate::util::clock;
use crate::util::invocation::Invocation;

pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS invocations (session INTEGER PRIMARY KEY, began REAL, words TEXT, folder TEXT,
                                        gridmpi TEXT, versions TEXT);
";

/// As in the table, and in the order in which they are read.
pub(super) const COLUMNS: &str = "session, began, words, folder, gridmpi, versions";

const PUT: &str = "INSERT OR REPLACE INTO invocations VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Records how this process was called.
pub(super) fn put(store: &Connection, session: i64, job: &Job) -> Result<(), rusqlite::Error> {
    let Invocation { words, folder } = Invocation::of_this_process();
    let (words, versions) = (serde_json::json!(words), serde_json::json!(job.common.python));
    let (began, own) = (clock::since_1970(), env!("CARGO_PKG_VERSION"));
    let row = params![session, began, words.to_string(), folder, own, versions.to_string()];
    store.execute(PUT, row)?;
    Ok(())
}

/// Copies what another store has, with numbers after `after`.
pub(super) fn copy(new: &Connection, old: &Connection, after: i64) -> Result<(), rusqlite::Error> {
    if !has_table(old, "invocations")? {
        return Ok(());
    }
    new.execute_batch(TABLE)?; // a store of an older gridmpi has none
    let mut all = old.prepare(&format!("SELECT {COLUMNS} FROM invocations"))?;
    let mut found = all.query([])?;
    while let Some(row) = found.next()? {
        let text = |column| row.get::<_, Option<String>>(column);
        let (session, began): (i64, Option<f64>) = (row.get(0)?, row.get(1)?);
        let row = params![after + session, began, text(2)?, text(3)?, text(4)?, text(5)?];
        new.execute(PUT, row)?;
    }
    Ok(())
}
