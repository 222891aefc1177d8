//! Reads how many points a group rests on that counts though not all are there.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::model::{GroupSummary, Key, PointCounts};
use crate::store::partial_groups::sum;
use crate::store::row_reader::NO_MATCH;
use crate::store::starts::has_table;
use crate::store::{Results, storing};
use crate::util::error::{Error, Result};

/// Whether any group is partial.
fn are_there(store: &Connection) -> Result<bool, rusqlite::Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM partial_groups)";
    Ok(has_table(store, "partial_groups")? && store.query_row(sql, [], |row| row.get(0))?)
}

impl Results {
    /// How many points a group rests on, if these are not all.
    pub(crate) fn partial(&self, key: Key) -> Result<Option<PointCounts>> {
        if !self.has_partial()? {
            return Ok(None);
        }
        let numbers = |row: &Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        let found = || {
            let sql = "SELECT counted, failed, left_out, sum FROM partial_groups
                       WHERE level = ?1 AND number = ?2";
            let mut sql = self.connection().prepare_cached(sql)?;
            sql.query_row(params![key.level as i64, key.index as i64], numbers).optional()
        };
        let found: Option<(i64, i64, i64, i64)> =
            found().map_err(|error| storing(self.path(), &error))?;
        let Some((counted, failed, left_out, written)) = found else { return Ok(None) };
        if written != sum([key.level as i64, key.index as i64, counted, failed, left_out]) {
            return Err(Error::unexpected(format!(
                "{}: damaged where level = {} AND number = {} in partial_groups: {NO_MATCH}; the next start of the job writes it anew",
                self.path().display(),
                key.level,
                key.index
            )));
        }
        let [counted, failed, left_out] = [counted, failed, left_out].map(|number| number as u64);
        Ok(Some(PointCounts { counted, failed, left_out }))
    }

    fn has_partial(&self) -> Result<bool> {
        if let Some(known) = self.has_partial.get() {
            return Ok(*known);
        }
        let found = are_there(self.connection()).map_err(|error| storing(self.path(), &error))?;
        Ok(*self.has_partial.get_or_init(|| found))
    }

    /// Adds to a summary how many points it rests on, if these are not all.
    pub(crate) fn mark_partial(&self, summary: &mut GroupSummary) -> Result<()> {
        if let Ok(scored) = &mut summary.result {
            scored.partial = self.partial(summary.key)?;
        }
        Ok(())
    }
}
