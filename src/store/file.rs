//! The store's file: made under a temporary name, renamed when it is complete, checked when it is opened.

use std::fs;
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
        Error::unexpected(format!(
            "{}: {why}; --fresh moves it aside, --out names another folder",
            path.display()
        ))
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect::to_write(path, flags).map_err(|error| wrong(&error))?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    match number("PRAGMA user_version").map_err(|error| wrong(&error))? {
        schema::FORMAT => {}
        other => {
            let of = "the store has the format of another gridmpi";
            return Err(wrong(&format!("{of} ({other}, this one has {})", schema::FORMAT)));
        }
    }
    let sound = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match sound.map_err(|error| wrong(&error))?.as_str() {
        "ok" => Ok(connection),
        damage => Err(wrong(&format!("the store is damaged ({damage})"))),
    }
}

/// Renames a complete store, which must be closed, to its final name; returns its path.
pub(crate) fn finish(folder: &Folder) -> Result<PathBuf> {
    let path = folder.store();
    fs::rename(folder.file(UNFINISHED), &path)
        .map_err(|error| Error::unexpected(format!("{}: not made: {error}", path.display())))?;
    Ok(path)
}
