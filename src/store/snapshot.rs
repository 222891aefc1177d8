//! Opens a store for reading while another process, maybe on another machine, writes to it.
//!
//! SQLite's WAL has an index in shared memory, which does not reach other machines. A reader there could
//! take the writer's WAL for a leftover. So if the writer may be on another machine, or if there are no
//! locks, a copy is read.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::store::connect::seems_without_locks;
use crate::util::files::temporary_folder;
use crate::util::machine;

/// Attempts to copy before giving up, if the WAL is restarted meanwhile.
const TRIES: u32 = 10;

/// Time limit for waiting on the writer's lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// A copy larger than this is logged. (bytes)
const LARGE: u64 = 256 << 20;

/// Opens a file for reading. If it is a copy, also returns its folder, which must outlive the connection.
pub(crate) fn open(path: &Path) -> Result<(Connection, Option<TempDir>), String> {
    let text = |error: rusqlite::Error| error.to_string();
    let in_place = match has_log(path).map_err(|error| error.to_string())? {
        // The WAL's index is on this machine, and so are all processes that use it.
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

/// Whether the file is in WAL mode, by its header.
fn has_log(path: &Path) -> std::io::Result<bool> {
    let mut header = Vec::new();
    File::open(path)?.take(20).read_to_end(&mut header)?;
    Ok(header.get(18) == Some(&2))
}

/// Whether the last process that claimed the folder ran on this machine.
fn is_from_here(path: &Path) -> bool {
    let holder = path.parent().and_then(crate::store::Folder::holder);
    holder.is_some_and(|(_, holder)| holder == machine::host())
}

/// Makes a consistent copy of a store and its WAL. A checkpoint leaves its frames in the WAL until the WAL
/// is restarted with a new salt in the header. So if the header is the same before and after, the two
/// copies fit together.
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

/// The header of a WAL, which changes with each restart; empty if there is none.
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
        // As on a file system without shared memory.
        writer.pragma_update(None, "locking_mode", "EXCLUSIVE").unwrap();
        writer.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
        writer.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1), (2);").unwrap();
        assert!(read_only(&path).is_err(), "the writer has exclusive access");
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
            writer.execute("INSERT INTO t VALUES (?1)", [i]).unwrap(); // the WAL is restarted
        }
        assert_eq!(count(&reader), 2);
        assert_eq!(count(&open(&path).unwrap().0), 2_002);
        assert_eq!(names(), before);
        drop(writer);
        assert!(!has_log(&path).unwrap() || !beside(&path, "-wal").exists());
    }
}
