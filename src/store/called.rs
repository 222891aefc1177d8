//! Reads how the starts on a store were called.

use std::collections::BTreeMap;

use rusqlite::Row;

use crate::store::invocations::COLUMNS;
use crate::store::starts::has_table;
use crate::store::{StoreReader, storing};
use crate::util::error::Result;
use crate::util::invocation::Invocation;

/// How a start was called.
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

impl StoreReader {
    /// How the starts were called, as far as the store has it.
    pub(crate) fn invocations(&self) -> Result<Vec<InvocationRow>> {
        let has_any = has_table(self.results.connection(), "invocations");
        if !has_any.map_err(|error| storing(self.path(), &error))? {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT {COLUMNS} FROM invocations ORDER BY session");
        let read = |row: &Row| {
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
        self.each(&sql, [], read, |row| all.push(row))?;
        Ok(all)
    }
}
