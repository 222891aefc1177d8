//! Stores a value, as JSON and in its exact form: in its row, or in a file next to the store if it is too large.
//! SQLite's limit is 10^9 bytes per row, and it is slow long before.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use crate::job::LARGE_FOLDER;
use crate::model;
use crate::model::value::json_text::JsonText;
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
            let content = Content { hash: blake3::hash(exact), length: exact.len() as u64 };
            let name = content.write(results, |out| out.write_all(exact))?;
            Ok(ToSqlOutput::Owned(Value::Text(name)))
        }
    }
}

/// The content of the column `value`: the value as JSON, or the name of the file with that. No JSON looks like such
/// a name.
pub(crate) fn keep_json(results: &Path, value: &model::Value) -> Result<String> {
    // An escaped character has six bytes.
    if value.weight().saturating_mul(6) + 64 <= LARGE {
        return Ok(value.json_text());
    }
    let mut content = Hashed::default();
    let Ok(()) = value.json_pieces(&mut |json| content.update(json));
    let Hashed { hasher, length } = content;
    if length <= LARGE as u64 {
        return Ok(value.json_text());
    }
    Content { hash: hasher.finalize(), length }
        .write(results, |out| value.json_pieces(&mut |json| out.write_all(json.as_bytes())))
}

/// The same of a value that is its JSON.
pub(crate) fn keep_text<'j>(results: &Path, json: &'j JsonText) -> Result<Cow<'j, str>> {
    let json = json.as_str();
    if json.len() <= LARGE {
        return Ok(Cow::Borrowed(json));
    }
    let content = Content { hash: blake3::hash(json.as_bytes()), length: json.len() as u64 };
    content.write(results, |out| out.write_all(json.as_bytes())).map(Cow::Owned)
}

/// What a file is to hold.
struct Content {
    hash: blake3::Hash,
    length: u64,
}

impl Content {
    /// Writes a file that is complete and synced to disk when this returns; its name in the results folder. One that
    /// is there already may be damaged, which is why the value was computed again.
    fn write(
        &self,
        results: &Path,
        write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
    ) -> Result<String> {
        let name = format!("{LARGE_FOLDER}/{}", self.hash.to_hex());
        let path = results.join(&name);
        if self.is_at(&path) {
            return Ok(name);
        }
        let folder = fs::create_dir_all(path.parent().unwrap_or(Path::new(".")));
        folder
            .and_then(|()| write_whole(&path, Durability::Synced, |e| e, write))
            .map_err(|e| Error::unexpected(format!("{}: not written: {e}", path.display())))?;
        Ok(name)
    }

    fn is_at(&self, path: &Path) -> bool {
        // Not through a link, whose target may change.
        let is_as_long = |at: fs::Metadata| at.is_file() && at.len() == self.length;
        path.symlink_metadata().is_ok_and(is_as_long)
            && File::open(path).is_ok_and(|file| {
                let mut there = blake3::Hasher::new();
                there.update_reader(file).is_ok() && there.finalize() == self.hash
            })
    }
}

/// The digest and the length of text that comes in pieces.
#[derive(Default)]
struct Hashed {
    hasher: blake3::Hasher,
    length: u64,
}

impl Hashed {
    fn update(&mut self, text: &str) -> std::result::Result<(), Infallible> {
        self.hasher.update(text.as_bytes());
        self.length += text.len() as u64;
        Ok(())
    }
}

/// The digest in the content of the column `value`, if that is the name of a file.
fn digest_in(column: &str) -> Option<&str> {
    let digest = column.strip_prefix(LARGE_FOLDER)?.strip_prefix('/')?;
    is_name(digest).then_some(digest)
}

/// The JSON that the column `value` holds, or that is in the file it names.
pub(crate) fn json<'c>(results: &Path, column: &'c str) -> Result<Cow<'c, str>> {
    if digest_in(column).is_none() {
        return Ok(Cow::Borrowed(column));
    }
    let bytes = read(results, column)?;
    let text = String::from_utf8(bytes);
    text.map(Cow::Owned).map_err(|e| {
        Error::unexpected(format!("{}: is damaged: {e}", results.join(column).display()))
    })
}

/// The size of the file that the column `value` names, if it names one. (bytes)
#[cfg(feature = "cli")]
pub(super) fn size(results: &Path, column: &str) -> Option<u64> {
    digest_in(column)?;
    Some(results.join(column).metadata().map_or(0, |at| at.len()))
}

/// What stands for a value whose JSON is in a file, if the column `value` names one.
pub(crate) fn reference(results: &Path, column: &str) -> Option<model::Value> {
    let digest = digest_in(column)?;
    let length = results.join(column).metadata().ok().map(|at| at.len() as i64);
    let text = |text: &str| model::Value::Text(text.to_string());
    let fields = [
        ("file", text(column)),
        ("blake3", text(digest)),
        ("bytes", length.map_or(model::Value::Null, model::Value::Int)),
    ];
    Some(model::Value::Record(fields.map(|(name, value)| (name.to_string(), value)).into()))
}

/// The bytes that the column holds, or that are in the file it names.
pub(crate) fn fetch(results: &Path, column: ValueRef) -> Result<Bytes> {
    match column {
        ValueRef::Blob(bytes) => Ok(Bytes::copy_from_slice(bytes)),
        ValueRef::Text(name) => read(results, &String::from_utf8_lossy(name)).map(Bytes::from),
        _ => Ok(Bytes::new()),
    }
}

/// The content of the file of that name.
fn read(results: &Path, name: &str) -> Result<Vec<u8>> {
    let path = results.join(name);
    let wrong = |why: String| Error::unexpected(format!("{}: {why}", path.display()));
    let bytes = read_regular(&path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    match name.ends_with(blake3::hash(&bytes).to_hex().as_str()) {
        true => Ok(bytes),
        false => Err(wrong("is damaged: it differs from what was written".to_string())),
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
