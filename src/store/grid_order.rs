//! Reads the rows of runs in the order of the serial loops.

use std::ops::Range;

use rusqlite::{Connection, Row, params};

use crate::store::row_keys::RowKeys;
use crate::util::error::Result;

/// Calls `each` with every run of these tasks, in grid order. `columns` begin with the row's key. Rows of points
/// that the job does not have any more are skipped. The inner error is of `read` or `each`.
pub(super) fn in_grid_order<T>(
    (store, keys): (&Connection, &RowKeys),
    columns: &str,
    tasks: Range<u64>,
    read: impl Fn(&Row) -> Result<Result<T>, rusqlite::Error>,
    mut each: impl FnMut(u64, T) -> Result<()>,
) -> Result<Result<()>, rusqlite::Error> {
    let mut sql = store.prepare_cached(&format!(
        "SELECT {columns} FROM runs WHERE rowid >= ?1 AND rowid <= ?2 ORDER BY rowid"
    ))?;
    let mut cursor = keys.cursor();
    for range in keys.ranges(tasks) {
        let mut rows = sql.query(params![range.start(), range.end()])?;
        while let Some(row) = rows.next()? {
            let Some(task) = cursor.task(row.get(0)?) else { continue };
            let done = match read(row)? {
                Ok(found) => each(task, found),
                Err(error) => Err(error),
            };
            if done.is_err() {
                return Ok(done);
            }
        }
    }
    Ok(Ok(()))
}
