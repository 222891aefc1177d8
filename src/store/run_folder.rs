//! The folder that a run has left, as readers see it.

use rusqlite::{Row, params};

use crate::job::RUNS_FOLDER;
use crate::store::workdirs::{has_any, missing};
use crate::store::{StoreReader, storing};
use crate::util::error::Result;

/// The folder of a run as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunFolder {
    /// Relative to the results folder.
    pub(crate) folder: String,
    pub(crate) files: i64,
    pub(crate) bytes: i64,
    /// What of it is gone.
    pub(crate) missing: Option<String>,
}

impl StoreReader {
    /// Whether runs may have folders.
    pub(crate) fn has_workdirs(&self) -> Result<bool> {
        has_any(self.results.connection()).map_err(|error| storing(self.path(), &error))
    }

    /// The folder that the run of a task has left.
    pub(crate) fn workdir(&self, task: u64) -> Result<Option<RunFolder>> {
        if !self.has_workdirs()? {
            return Ok(None);
        }
        let sql = "SELECT d.folder, d.files, d.bytes FROM runs r
                   JOIN workdirs d ON d.worker = r.worker AND d.started = r.started
                   WHERE r.rowid = ?1 AND d.files IS NOT NULL";
        let read = |row: &Row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        };
        let mut found = None;
        let key = self.results.keys.key(task);
        self.each(sql, params![key], read, |row| found = Some(row))?;
        Ok(found.map(|(folder, files, bytes)| {
            let missing = missing(self.results.folder(), &folder, files);
            RunFolder { folder: format!("{RUNS_FOLDER}/{folder}"), files, bytes, missing }
        }))
    }

    /// How many runs have left folders, and how many bytes these have.
    pub(crate) fn workdir_tally(&self) -> Result<(u64, u64)> {
        if !self.has_workdirs()? {
            return Ok((0, 0));
        }
        let sql = "SELECT count(files), coalesce(sum(bytes), 0) FROM workdirs";
        let read = |row: &Row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64));
        self.one(sql, [], read)
    }
}
