//! Reads the rows of runs in the order of the serial loops.

use std::ops::Range;

use rusqlite::{Connection, Row, params};

use crate::store::row_keys::RowKeys;
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
use crate::store::{Layout, starts, store_points::LEFT_OVER};
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

/// Number of runs of the job's tasks in a store, and of failed ones among them.
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) fn tally_of_all(store: &Connection) -> Result<(u64, u64), rusqlite::Error> {
    if let Some(left_over) = starts::note(store, LEFT_OVER)?
        && left_over != "0"
        && let Ok(layout) = Layout::read(store)?
    {
        let keys = RowKeys::of_store(store, &layout.nest)?;
        return tally((store, &keys), 0..keys.tasks());
    }
    let numbers = |row: &Row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64));
    store.query_row("SELECT count(*), coalesce(sum(failed), 0) FROM runs", [], numbers)
}

/// Number of runs of these tasks, and of failed ones among them.
#[cfg(feature = "cli")]
pub(super) fn tally(
    (store, keys): (&Connection, &RowKeys),
    tasks: Range<u64>,
) -> Result<(u64, u64), rusqlite::Error> {
    let (mut runs, mut failures) = (0, 0);
    if keys.left_over() == 0 {
        let mut sql = store.prepare_cached(
            "SELECT count(*), coalesce(sum(failed), 0) FROM runs WHERE rowid >= ?1 AND rowid <= ?2",
        )?;
        for range in keys.spans(tasks) {
            let numbers = |row: &Row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
            let (all, failed) = sql.query_row(params![range.start(), range.end()], numbers)?;
            runs += all as u64;
            failures += failed as u64;
        }
        return Ok((runs, failures));
    }
    let failed = |row: &Row| Ok(Ok(row.get::<_, bool>(1)?));
    let counted = in_grid_order((store, keys), "rowid, failed", tasks, failed, |_, failed| {
        runs += 1;
        failures += u64::from(failed);
        Ok(())
    })?;
    counted.expect("counting fails never");
    Ok((runs, failures))
}
