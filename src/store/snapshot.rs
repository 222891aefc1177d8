//! Opening a store to look into it, whoever writes to it meanwhile and on whatever machine.
//!
//! SQLite's log has an index in shared memory, which does not reach other machines: opened there, it
//! could take the writer's log for its own. So where the writer may be elsewhere, or there are no locks to
//! read under, a copy is read.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::store::connect::seems_without_locks;
use crate::util::files::temporary_folder;
use crate::util::machine;

/// How often a copy is begun again because the log was, meanwhile.
const TRIES: u32 = 10;

/// How long to wait for a writer that holds the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// A copy of this size is worth a word. (bytes)
const LARGE: u64 = 256 << 20;

/// Opens a file for reading; the folder of a copy, if one was made, which must be kept as long.
pub(crate) fn open(path: &Path) -> Result<(Connection, Option<TempDir>), String> {
    let text = |error: rusqlite::Error| error.to_string();
    let in_place = match has_log(path).map_err(|error| error.to_string())? {
        // Its log's index is on this machine, and so are all who use it.
        true => beside(path, "-shm").exists() && is_from_here(path),
        false => !path.parent().is_some_and(seems_without_locks),
    };
    if in_place && let Ok(connection) = read_only(path) {
        return Ok((connection, None));
    }
    let copy = copy(path).map_err(|error| format!("no copy can be made of it: {error}"))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = Connection::open_with_flags(copy.path().join("store"), flags);
    let connection = open.and_then(readable).map_err(text)?;
    connection.pragma_update(None, "query_only", true).map_err(text)?;
    Ok((connection, Some(copy)))
}

fn read_only(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    readable(Connection::open_with_flags(path, flags)?)
}

fn readable(connection: Connection) -> Result<Connection, rusqlite::Error> {
    connection.busy_timeout(PATIENCE)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(connection)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether changes go to a log beside the file: what its header says.
fn has_log(path: &Path) -> std::io::Result<bool> {
    let mut header = Vec::new();
    File::open(path)?.take(20).read_to_end(&mut header)?;
    Ok(header.get(18) == Some(&2))
}

/// Whether whoever claimed the folder last did so on this machine.
fn is_from_here(path: &Path) -> bool {
    let holder = path.parent().and_then(crate::store::Folder::holder);
    holder.is_some_and(|(_, holder)| holder == machine::host())
}

/// Copies a store and its log as they are at one time. What goes from the log into the store stays in
/// the log until that begins anew, under another number: if the number is the same after as before, the
/// two fit together, whatever was copied in between.
fn copy(path: &Path) -> std::io::Result<TempDir> {
    let size = fs::metadata(path)?.len();
    if size > LARGE {
        log::info!("{} cannot be read in place: copying {} MB", path.display(), size >> 20);
    }
    let (folder, log) = (temporary_folder()?, beside(path, "-wal"));
    for _ in 0..TRIES {
        let before = generation(&log)?;
        fs::copy(path, folder.path().join("store"))?;
        let copied = folder.path().join("store-wal");
        match fs::copy(&log, &copied) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let _ = fs::remove_file(&copied);
            }
            Err(error) => return Err(error),
        }
        if generation(&log)? == before {
            return Ok(folder);
        }
    }
    Err(std::io::Error::other("it changes too fast; try again"))
}

/// What tells one beginning of a log from another: its header. Nothing where it has none.
fn generation(log: &Path) -> std::io::Result<Vec<u8>> {
    let mut header = Vec::new();
    match File::open(log) {
        Ok(file) => file.take(32).read_to_end(&mut header)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_what_is_in_the_log_and_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs.sqlite");
        let writer = Connection::open(&path).unwrap();
        // As where a file system has no shared memory.
        writer.pragma_update(None, "locking_mode", "EXCLUSIVE").unwrap();
        writer.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
        writer.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1), (2);").unwrap();
        assert!(read_only(&path).is_err(), "the writer keeps it to itself");
        let names = || {
            let mut names: Vec<_> =
                fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let before = names();
        let count = |store: &Connection| {
            store.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        let (reader, copy) = open(&path).unwrap();
        assert!(copy.is_some());
        assert_eq!(count(&reader), 2);
        assert!(reader.execute_batch("INSERT INTO t VALUES (3)").is_err());
        for i in 0..2_000 {
            writer.execute("INSERT INTO t VALUES (?1)", [i]).unwrap(); // the log begins anew
        }
        assert_eq!(count(&reader), 2);
        assert_eq!(count(&open(&path).unwrap().0), 2_002);
        assert_eq!(names(), before);
        drop(writer);
        assert!(!has_log(&path).unwrap() || !beside(&path, "-wal").exists());
    }
}
