//! Reads summaries with all of their values, also those that are in files of their own: where what counts is a field.

use rusqlite::{Row, params};

use crate::model::{GroupSummary, Key};
use crate::store::Results;
use crate::store::row_reader::{GROUP, RUN, Reader};
use crate::util::error::Result;

impl Results {
    /// Calls `each` with every summary whose key has `level` coordinates, in grid order; one is in memory at a time.
    pub(crate) fn whole_summaries(
        &self,
        level: usize,
        mut each: impl FnMut(GroupSummary) -> Result<()>,
    ) -> Result<()> {
        let reader = Reader { loads_large: true, ..self.reader() };
        if level < self.nest().depth() {
            let sql = format!("SELECT {GROUP} FROM groups WHERE level = ?1 ORDER BY number");
            let read = |row: &Row| reader.summary(row, level);
            return self.query(&sql, params![level as i64], read, each);
        }
        let read = |row: &Row| reader.run(row);
        self.in_grid_order(RUN, 0..self.nest().tasks(), read, |task, run| {
            let key = Key { level, index: task };
            let runs = u64::from(run.result.is_ok());
            let result = run.result.map_err(|error| error.to_string());
            each(GroupSummary { key, result, runs, failed: 1 - runs })
        })
    }
}
