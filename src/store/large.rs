//! Stores the exact form of a value: in its row, or in a file next to the store if it is too large.
//! SQLite's limit is 10^9 bytes per row, and it is slow long before.

use std::fs;
use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use crate::job::LARGE_FOLDER;
use crate::util::error::{Error, Result};
use crate::util::files::{Durability, read_regular, write_whole};

/// Longer values go into a file of their own. (bytes)
const LARGE: usize = 16 << 20;

/// Whether a file in that folder has such a name.
pub(super) fn is_name(name: &str) -> bool {
    blake3::Hash::from_hex(name).is_ok_and(|hash| hash.to_hex().as_str() == name)
}

/// The content of the column `exact`: nothing, the bytes, or the name of the file with them.
pub(crate) fn keep<'a>(results: &Path, exact: &'a Bytes) -> Result<ToSqlOutput<'a>> {
    match exact.len() {
        0 => Ok(ToSqlOutput::Borrowed(ValueRef::Null)),
        1..=LARGE => Ok(ToSqlOutput::Borrowed(ValueRef::Blob(exact))),
        _ => {
            let name = format!("{LARGE_FOLDER}/{}", blake3::hash(exact).to_hex());
            let path = results.join(&name);
            write(&path, exact)
                .map_err(|e| Error::unexpected(format!("{}: not written: {e}", path.display())))?;
            Ok(ToSqlOutput::Owned(Value::Text(name)))
        }
    }
}

/// Writes a file that is complete and synced to disk when this returns. One that is there already may be
/// damaged, which is why the value was computed again.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if holds(path, bytes) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    write_whole(path, Durability::Synced, |e| e, |out| out.write_all(bytes))
}

fn holds(path: &Path, bytes: &[u8]) -> bool {
    // Not through a link, whose target may change.
    let is_as_long = |at: fs::Metadata| at.is_file() && at.len() == bytes.len() as u64;
    path.symlink_metadata().is_ok_and(is_as_long)
        && read_regular(path).is_ok_and(|there| there == bytes)
}

/// The bytes that the column holds, or that are in the file it names.
pub(crate) fn fetch(results: &Path, column: ValueRef) -> Result<Bytes> {
    match column {
        ValueRef::Blob(bytes) => Ok(Bytes::copy_from_slice(bytes)),
        ValueRef::Text(name) => {
            let name = String::from_utf8_lossy(name);
            let path = results.join(&*name);
            let wrong = |why: String| Error::unexpected(format!("{}: {why}", path.display()));
            let bytes = read_regular(&path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
            if !name.ends_with(blake3::hash(&bytes).to_hex().as_str()) {
                return Err(wrong("is damaged: it differs from what was written".to_string()));
            }
            Ok(Bytes::from(bytes))
        }
        _ => Ok(Bytes::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let value = Bytes::from(vec![7; LARGE + 1]);
        let Ok(ToSqlOutput::Owned(Value::Text(name))) = keep(folder.path(), &value) else {
            panic!("a large value is a file");
        };
        let path = folder.path().join(&name);
        let column = || ValueRef::Text(name.as_bytes());
        let damaged = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            assert!(fetch(folder.path(), column()).unwrap_err().to_string().contains("damaged"));
            keep(folder.path(), &value).unwrap();
            assert_eq!(fetch(folder.path(), column()).unwrap(), value);
        };
        damaged(&value[..LARGE]);
        damaged(&vec![8; LARGE + 1]);
        damaged(b"");
        // What is whole stays the file that it is.
        let written = || path.metadata().unwrap().modified().unwrap();
        let before = written();
        keep(folder.path(), &value).unwrap();
        assert_eq!(written(), before);
    }
}
