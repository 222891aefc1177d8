//! The store's tables, and how a connection to them is set up.

use rusqlite::{Connection, params};

use crate::model::{LoopNest, Reduce};
use crate::store::layout_tables::{Numbered, put_layout};
use crate::store::row_keys::RowKeys;
use crate::store::{Layout, invocations, logs, partial_groups, starts, stopped_points};

/// The version of the tables, and the oldest one that is read. In formats 3 and 4 the key of a run is its task
/// number; in format 3 loops do not depend on each other.
pub(crate) const FORMAT: i64 = 5;
pub(crate) const OLDEST: i64 = 3;

/// `points` has all points that the store knows, each with a number that never changes; `positions` has those
/// of the job, as runs, and `shape` where it has them, by position.
const TABLES: &str = "
CREATE TABLE job (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE loops (level INTEGER PRIMARY KEY, name TEXT, points INTEGER, reduce TEXT, first INTEGER,
                    step INTEGER, none INTEGER, known INTEGER, room INTEGER, source TEXT);
CREATE TABLE points (level INTEGER, point INTEGER, value, key TEXT, PRIMARY KEY (level, point)) WITHOUT ROWID;
CREATE TABLE positions (level INTEGER, point INTEGER, count INTEGER, position INTEGER,
                        PRIMARY KEY (level, point)) WITHOUT ROWID;
CREATE TABLE shape (level INTEGER, node INTEGER, first INTEGER, point INTEGER, count INTEGER,
                    each INTEGER, inside INTEGER, PRIMARY KEY (level, node, point)) WITHOUT ROWID;
CREATE TABLE digests (level INTEGER, point INTEGER, digest TEXT, PRIMARY KEY (level, point)) WITHOUT ROWID;
CREATE TABLE workers (worker INTEGER PRIMARY KEY, session INTEGER, rank INTEGER, host TEXT, thread INTEGER);
CREATE TABLE runs (key INTEGER PRIMARY KEY, failed INTEGER, score REAL, value TEXT, error TEXT,
                   seconds REAL, started REAL, worker INTEGER, attempt INTEGER, exact BLOB, sum INTEGER);
CREATE TABLE failures (key INTEGER, attempt INTEGER, error TEXT, seconds REAL, started REAL, worker INTEGER);
CREATE TABLE groups (level INTEGER, number INTEGER, score REAL, value TEXT, best TEXT, error TEXT,
                     runs INTEGER, failed INTEGER, exact BLOB, sum INTEGER,
                     PRIMARY KEY (level, number)) WITHOUT ROWID;
";

/// The format of a store.
pub(super) fn format(store: &Connection) -> Result<i64, rusqlite::Error> {
    store.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// The column that has the key of a run in the table of failures.
pub(super) fn key_column(store: &Connection) -> Result<&'static str, rusqlite::Error> {
    Ok(if format(store)? < FORMAT { "task" } else { "key" })
}

/// Sets up durable commits in WAL mode, so that others can read during a run. Without shared memory, the
/// connection has exclusive access.
pub(crate) fn prepare(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let wal = |row: &rusqlite::Row| row.get::<_, String>(0);
    let mode = connection.query_row("PRAGMA journal_mode = WAL", [], wal);
    if !matches!(mode.as_deref(), Ok("wal")) {
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.query_row("PRAGMA journal_mode = WAL", [], wal)?;
    }
    Ok(())
}

/// Leaves WAL mode so that a single file remains, unless a reader prevents it.
pub(crate) fn leave_wal_mode(connection: &Connection) {
    let patience = std::time::Duration::from_millis(100);
    let settled = connection
        .busy_timeout(patience)
        .and_then(|()| connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())));
    if let Err(error) = settled {
        log::debug!("the store's write-ahead log stays a file of its own: {error}");
    }
}

/// Writes the whole WAL into the file.
pub(crate) fn checkpoint_wal(connection: &Connection) -> Result<(), rusqlite::Error> {
    let busy = |row: &rusqlite::Row| row.get::<_, bool>(0);
    match connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], busy)? {
        false => Ok(()),
        true => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some("somebody reads it; close that and start again".to_string()),
        )),
    }
}

/// Makes the tables for a layout and the view over them.
pub(crate) fn create(
    connection: &Connection,
    layout: &Layout,
    notes: &[(&'static str, String)],
) -> Result<(), rusqlite::Error> {
    let batch = connection.unchecked_transaction()?;
    batch.execute_batch(TABLES)?;
    batch.execute_batch(starts::TABLES)?;
    batch.execute_batch(partial_groups::TABLE)?;
    batch.execute_batch(stopped_points::TABLE)?;
    batch.execute_batch(invocations::TABLE)?;
    batch.execute_batch(logs::TABLES)?;
    batch.pragma_update(None, "user_version", FORMAT)?;
    {
        let mut note = batch.prepare("INSERT INTO job (key, value) VALUES (?1, ?2)")?;
        note.execute(params!["gridmpi", env!("CARGO_PKG_VERSION")])?;
        for (key, value) in notes {
            note.execute(params![key, value])?;
        }
    }
    put_layout(&batch, layout, &RowKeys::fresh(&layout.nest), &Numbered::fresh(&layout.nest))?;
    batch.commit()
}

/// Sets the reductions of the loops, which may change without a change of any run.
pub(super) fn put_reductions(store: &Connection, nest: &LoopNest) -> Result<(), rusqlite::Error> {
    let mut sql = store.prepare("UPDATE loops SET reduce = ?2 WHERE level = ?1")?;
    for (level, l) in nest.loops().iter().enumerate() {
        sql.execute(params![level as i64, l.reduce.as_ref().map(Reduce::text)])?;
    }
    Ok(())
}
