//! The store's file: made under a temporary name, renamed when it is complete, checked when it is opened.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::store::{Folder, Layout, connect, schema};
use crate::util::error::{Error, Result};

/// The name of a store that is not complete yet.
const UNFINISHED: &str = "runs.sqlite.unfinished";

/// Makes a store under a temporary name, so that the final name never stands for an incomplete one.
pub(crate) fn create(
    folder: &Folder,
    layout: &Layout,
    notes: &[(&'static str, String)],
) -> Result<Connection, rusqlite::Error> {
    let path = folder.file(UNFINISHED);
    for left in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(folder.file(&format!("{UNFINISHED}{left}")));
    }
    let connection = connect::to_write(&path, OpenFlags::default())?;
    schema::create(&connection, layout, notes)?;
    Ok(connection)
}

/// Opens an existing store and checks it.
pub(crate) fn existing(path: &Path) -> Result<Connection> {
    let wrong = |why: &dyn std::fmt::Display| {
        format!("{}: {why}; --fresh moves it aside, --out names another folder", path.display())
    };
    // Before SQLite writes anything: it may be a file of the user's.
    check_format(path).map_err(|why| Error::input(wrong(&why)))?;
    let wrong = |why: &dyn std::fmt::Display| Error::unexpected(wrong(why));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect::to_write(path, flags).map_err(|error| match is_locked(&error) {
        true => Error::unexpected(format!(
            "{}: somebody reads it, such as an export or a report, or another SQLite client; wait for that, or close it, and start again",
            path.display()
        )),
        false => wrong(&error),
    })?;
    let sound = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match sound.map_err(|error| wrong(&error))?.as_str() {
        "ok" => Ok(connection),
        damage => Err(wrong(&format!("the store is damaged ({damage})"))),
    }
}

fn is_locked(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
}

/// Fails unless a file is a store of this gridmpi's format, by the header of SQLite's file format.
fn check_format(path: &Path) -> std::result::Result<(), String> {
    let mut header = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut header));
    read.map_err(|error| error.to_string())?;
    if header.is_empty() {
        return Err("the file is empty, and no store".to_string());
    }
    let version = header.get(60..64).filter(|_| header.starts_with(b"SQLite format 3\0"));
    let version = version.and_then(|bytes| Some(i32::from_be_bytes(bytes.try_into().ok()?)));
    match version.map(i64::from) {
        Some(schema::OLDEST..=schema::FORMAT) => Ok(()),
        None => Err("the file is not a database".to_string()),
        Some(0) => Err("it is no store of gridmpi's".to_string()),
        Some(other) => Err(format!(
            "the store has the format of another gridmpi ({other}, this one has {})",
            schema::FORMAT
        )),
    }
}

/// Renames a complete store, which must be closed, to its final name; returns its path.
pub(crate) fn finish(folder: &Folder) -> Result<PathBuf> {
    let path = folder.store();
    fs::rename(folder.file(UNFINISHED), &path)
        .map_err(|error| Error::unexpected(format!("{}: not made: {error}", path.display())))?;
    Ok(path)
}
