//! Files that appear whole or not at all, and folders that go with the process.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Result, Write};
use std::path::Path;

/// What has to be on the disk when a file is written.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Durability {
    /// What the system writes in its own time.
    Eventual,
    /// The file and its name, whatever happens to the machine.
    Synced,
}

/// Writes a file that is whole whenever it is there: somebody may have the old one open, and the disk may be
/// full. What is no plain file, such as a device or a link, stays what it is. `failed` says what went wrong.
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
        let _ = fs::remove_file(&unfinished); // a full disk needs the room
    }
    named
}

/// A folder in the folder for temporary files, deleted when this is dropped.
pub(crate) fn temporary_folder() -> Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("gridmpi-").tempdir()
}
