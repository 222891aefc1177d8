//! Opens the store's file on any file system. Where there is no shared memory, or no locks (Lustre without
//! -o flock, some NFS), one connection has exclusive access.

use std::fs::{OpenOptions, TryLockError};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::job::LOCK_FILE;
use crate::store::schema;

/// SQLite's VFS without locks; safe only for exclusive access.
const WITHOUT_LOCKS: &str = "unix-none";

/// Opens a store for writing.
pub(crate) fn to_write(path: &Path, flags: OpenFlags) -> Result<Connection, rusqlite::Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    if seems_without_locks(folder) && is_without_locks(folder) {
        return alone(path, flags, Some(WITHOUT_LOCKS));
    }
    let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
        schema::prepare(&connection)?;
        connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?; // SQLite opens the write-ahead log only now
        Ok(connection)
    });
    opened.or_else(|error| match is_without_locks(folder) {
        true => alone(path, flags, Some(WITHOUT_LOCKS)),
        // Without shared memory, a leftover write-ahead log can be read only with exclusive access.
        false => alone(path, flags, None).map_err(|_| error),
    })
}

fn alone(path: &Path, flags: OpenFlags, way: Option<&str>) -> Result<Connection, rusqlite::Error> {
    let connection = match way {
        Some(way) => Connection::open_with_flags_and_vfs(path, flags, way)?,
        None => Connection::open_with_flags(path, flags)?,
    };
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    schema::prepare(&connection)?;
    log::debug!("{}: opened in exclusive mode", path.display());
    Ok(connection)
}

/// Opens a store for reading. Without locks it is opened as immutable; the content of a write-ahead log is
/// not seen then.
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) fn to_read(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let readable = |connection: Connection| {
        connection.busy_timeout(std::time::Duration::from_secs(2))?;
        let sql = "SELECT count(*) FROM sqlite_schema";
        connection.query_row(sql, [], |row| row.get::<_, i64>(0))?;
        Ok(connection)
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    if !seems_without_locks(folder) {
        return Connection::open_with_flags(path, flags).and_then(readable);
    }
    let name = path.display().to_string();
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = flags | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{name}?immutable=1"), flags).and_then(readable)
}

/// Whether locking the folder's lock file fails because there are no locks.
pub(crate) fn seems_without_locks(folder: &Path) -> bool {
    let opened = OpenOptions::new().read(true).write(true).open(folder.join(LOCK_FILE));
    opened.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::Error(_))))
}

/// Whether a file in this folder can be locked against other processes.
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) fn has_locks(folder: &Path) -> std::io::Result<bool> {
    let file = tempfile::Builder::new().prefix(".locks").tempfile_in(folder)?;
    let other = OpenOptions::new().read(true).write(true).open(file.path())?;
    let is_locked = file.as_file().try_lock().is_ok()
        && matches!(other.try_lock(), Err(TryLockError::WouldBlock));
    Ok(is_locked && !is_without_locks(folder))
}

/// Whether SQLite cannot lock even a new file that no other process uses.
fn is_without_locks(folder: &Path) -> bool {
    let Ok(file) = tempfile::Builder::new().prefix(".locks").tempfile_in(folder) else {
        return false;
    };
    let locked = Connection::open(file.path()).and_then(|connection| {
        connection.busy_timeout(std::time::Duration::ZERO)?;
        connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")
    });
    locked.is_err()
}
