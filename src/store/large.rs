//! Where the Rust values of runs and summaries are kept: in their row, or beside the store where
//! they are too large for one. SQLite keeps no more than 10^9 bytes a row, and is slow long before.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use crate::error::{Error, Result};

/// What is longer goes into a file of its own. (bytes)
const LARGE: usize = 16 << 20;

/// The folder of such files, beside the store.
const FOLDER: &str = "large";

/// What the column `typed` holds: nothing, the bytes, or the name of the file with them.
pub(super) fn keep<'a>(
    store: &Path,
    name: impl FnOnce() -> String,
    typed: &'a Bytes,
) -> Result<ToSqlOutput<'a>> {
    match typed.len() {
        0 => Ok(ToSqlOutput::Borrowed(ValueRef::Null)),
        1..=LARGE => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(typed))),
        _ => {
            let name = format!("{FOLDER}/{}", name());
            let path = store.with_file_name(&name);
            write(&path, typed)
                .map_err(|e| Error::unexpected(format!("{}: not written: {e}", path.display())))?;
            Ok(ToSqlOutput::Owned(Value::Text(name)))
        }
    }
}

/// Writes a file that is there once this returns, whatever happens to the machine.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

/// The bytes that the column holds or names.
pub(super) fn fetch(store: &Path, column: ValueRef) -> Result<Bytes> {
    match column {
        ValueRef::Blob(bytes) => Ok(Bytes::copy_from_slice(bytes)),
        ValueRef::Text(name) => {
            let path = store.with_file_name(&*String::from_utf8_lossy(name));
            let read = fs::read(&path);
            read.map(Bytes::from)
                .map_err(|e| Error::unexpected(format!("{}: cannot be read: {e}", path.display())))
        }
        _ => Ok(Bytes::new()),
    }
}
