//! How much memory the processes of runs have held at most, as readers see it.

use rusqlite::{Row, params};

use crate::store::memory::{COLUMN, has_any};
use crate::store::{StoreReader, storing};
use crate::util::error::Result;

impl StoreReader {
    /// Whether it may be known of runs how much memory they have held.
    pub(crate) fn has_memory(&self) -> Result<bool> {
        has_any(self.results.connection()).map_err(|error| storing(self.path(), &error))
    }

    /// The peak of the run of a task in MiB.
    pub(crate) fn memory(&self, task: u64) -> Result<Option<u64>> {
        if !self.has_memory()? {
            return Ok(None);
        }
        let sql = format!("SELECT {COLUMN} FROM runs r WHERE r.rowid = ?1");
        let mut found = None;
        let read = |row: &Row| row.get::<_, Option<i64>>(0);
        self.each(&sql, params![self.results.keys.key(task)], read, |peak| found = peak)?;
        Ok(found.map(|peak| peak as u64))
    }

    /// The largest peak of all runs in MiB, and of how many runs one is known.
    pub(crate) fn most_memory(&self) -> Result<Option<(u64, u64)>> {
        if !self.has_memory()? {
            return Ok(None);
        }
        let sql = "SELECT max(m.mebibytes), count(*) FROM runs r
                   JOIN memory m ON m.worker = r.worker AND m.started = r.started";
        let read = |row: &Row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, i64>(1)?));
        let (most, runs) = self.one(sql, [], read)?;
        Ok(most.map(|most| (most as u64, runs as u64)))
    }
}
