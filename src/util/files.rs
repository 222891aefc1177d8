//! Writes files atomically, and makes temporary folders.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Result, Write};
use std::path::Path;

/// How durable a written file is.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Durability {
    /// The system writes it to disk in its own time.
    Eventual,
    /// The file and its name are synced to disk.
    Synced,
}

/// Writes a file under a temporary name and renames it, so that it is always complete, even if a reader
/// has the old one open or the disk is full. What is not a regular file, such as a device or a link, is
/// written in place. `failed` makes the error.
pub(crate) fn write_whole<E>(
    path: &Path,
    durability: Durability,
    failed: impl Fn(std::io::Error) -> E,
    write: impl FnOnce(&mut BufWriter<File>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let fill = |file: Result<File>| {
        let mut out = BufWriter::new(file.map_err(&failed)?);
        write(&mut out)?;
        out.flush().map_err(&failed)?;
        match durability {
            Durability::Synced => out.get_ref().sync_all().map_err(&failed),
            Durability::Eventual => Ok(()),
        }
    };
    if path.symlink_metadata().is_ok_and(|at| !at.is_file()) {
        return fill(OpenOptions::new().write(true).truncate(true).open(path));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = folder.join(format!(".{name}.unfinished"));
    let named = fill(File::create(&unfinished)).and_then(|()| {
        fs::rename(&unfinished, path).map_err(&failed)?;
        match durability {
            Durability::Synced => File::open(folder).and_then(|at| at.sync_all()).map_err(&failed),
            Durability::Eventual => Ok(()),
        }
    });
    if named.is_err() {
        let _ = fs::remove_file(&unfinished); // to free space on a full disk
    }
    named
}

/// A temporary folder, deleted when this is dropped.
pub(crate) fn temporary_folder() -> Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("gridmpi-").tempdir()
}
