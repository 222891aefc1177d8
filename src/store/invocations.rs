//! How each start on a store was called: its command, and the versions of what computed. For people; nothing
//! depends on it, and stores that were made before have no such record.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use crate::job::Job;
use crate::store::starts::has_table;
use crate::util::clock;
use crate::util::invocation::Invocation;

pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS invocations (session INTEGER PRIMARY KEY, began REAL, words TEXT, folder TEXT,
                                        gridmpi TEXT, versions TEXT);
";

/// How a start was called.
#[cfg(feature = "cli")]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InvocationRow {
    pub(crate) session: i64,
    /// In seconds since 1970.
    pub(crate) began: f64,
    pub(crate) invocation: Invocation,
    /// The version of gridmpi.
    pub(crate) gridmpi: String,
    /// Which Python it was, and the versions of packages.
    pub(crate) versions: BTreeMap<String, String>,
}

/// Records how this process was called.
pub(super) fn put(store: &Connection, session: i64, job: &Job) -> Result<(), rusqlite::Error> {
    let Invocation { words, folder } = Invocation::of_this_process();
    let (words, versions) = (serde_json::json!(words), serde_json::json!(job.common.python));
    let (began, own) = (clock::since_1970(), env!("CARGO_PKG_VERSION"));
    let row = params![session, began, words.to_string(), folder, own, versions.to_string()];
    store.execute("INSERT OR REPLACE INTO invocations VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row)?;
    Ok(())
}

/// Copies what another store has, with numbers after `after`.
pub(super) fn copy(new: &Connection, old: &Connection, after: i64) -> Result<(), rusqlite::Error> {
    if !has_table(old, "invocations")? {
        return Ok(());
    }
    let mut all =
        old.prepare("SELECT session, began, words, folder, gridmpi, versions FROM invocations")?;
    let mut found = all.query([])?;
    while let Some(row) = found.next()? {
        let text = |column| row.get::<_, Option<String>>(column);
        let (session, began): (i64, Option<f64>) = (row.get(0)?, row.get(1)?);
        let row = params![after + session, began, text(2)?, text(3)?, text(4)?, text(5)?];
        new.execute("INSERT OR REPLACE INTO invocations VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row)?;
    }
    Ok(())
}

#[cfg(feature = "cli")]
impl crate::store::StoreReader {
    /// How the starts were called, as far as the store has it.
    pub(crate) fn invocations(&self) -> crate::util::error::Result<Vec<InvocationRow>> {
        let has_any = has_table(self.results.connection(), "invocations");
        if !has_any.map_err(|error| crate::store::storing(self.path(), &error))? {
            return Ok(Vec::new());
        }
        let sql = "SELECT session, began, words, folder, gridmpi, versions FROM invocations ORDER BY session";
        let read = |row: &rusqlite::Row| {
            let text = |column| row.get::<_, Option<String>>(column).map(Option::unwrap_or_default);
            let words = serde_json::from_str(&text(2)?).unwrap_or_default();
            Ok(InvocationRow {
                session: row.get(0)?,
                began: row.get::<_, Option<f64>>(1)?.unwrap_or_default(),
                invocation: Invocation { words, folder: text(3)? },
                gridmpi: text(4)?,
                versions: serde_json::from_str(&text(5)?).unwrap_or_default(),
            })
        };
        let mut all = Vec::new();
        self.each(sql, [], read, |row| all.push(row))?;
        Ok(all)
    }
}
