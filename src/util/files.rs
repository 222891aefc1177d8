//! Writes files atomically, and makes temporary folders.

use std::fs::{self, DirEntry, File, Metadata, Permissions};
use std::io::{BufWriter, Error, Read, Result, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

#[cfg(target_os = "linux")]
use tempfile::NamedTempFile;
use tempfile::TempPath;

/// How durable a written file is.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Durability {
    /// The system writes it to disk in its own time.
    Eventual,
    /// The file and its name are synced to disk.
    Synced,
}

/// Writes a file under a temporary name and renames it, so that it is always complete, even if a reader
/// has the old one open or the disk is full. A link or anything else that is not a regular file is refused:
/// somebody else may have put it there. `failed` makes the error.
pub(crate) fn write_whole<E>(
    path: &Path,
    durability: Durability,
    failed: impl Fn(Error) -> E,
    write: impl FnOnce(&mut BufWriter<File>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    refuse_special(path).map_err(&failed)?;
    let unfinished = written_beside(path, durability, &failed, write)?;
    unfinished.persist(path).map_err(|error| failed(error.error))?;
    match durability {
        Durability::Synced => {
            File::open(folder_of(path)).and_then(|at| at.sync_all()).map_err(&failed)
        }
        Durability::Eventual => Ok(()),
    }
}

/// Writes a file that the user named: through a link, and into a device or a pipe.
#[cfg(feature = "cli")]
pub(crate) fn write_named<E>(
    path: &Path,
    failed: impl Fn(Error) -> E,
    write: impl FnOnce(&mut BufWriter<File>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    // /dev/stdout may be a regular file, which the shell has open.
    let is_special = path.starts_with("/dev") || path.metadata().is_ok_and(|at| !at.is_file());
    if is_special {
        let file = std::fs::OpenOptions::new().write(true).truncate(true).open(path);
        return filled(file.map_err(&failed)?, Durability::Eventual, &failed, write);
    }
    let target = if path.is_symlink() { path.canonicalize() } else { Ok(path.to_path_buf()) };
    write_whole(&target.map_err(&failed)?, Durability::Eventual, failed, write)
}

/// Writes a file that must not exist yet.
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished =
        written_beside(path, Durability::Eventual, &|e| e, |out| out.write_all(bytes))?;
    unfinished.persist_noclobber(path).map_err(|error| error.error)
}

/// Reads a regular file. Anything else might never end, or never begin.
pub(crate) fn read_regular(path: &Path) -> Result<Vec<u8>> {
    if let Some(other) = other_kind(&path.metadata()?) {
        return Err(Error::other(format!("it is {other}, not a file")));
    }
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is there instead of a regular file.
pub(crate) fn other_kind(about: &Metadata) -> Option<&'static str> {
    let kind = about.file_type();
    match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a folder"),
        () if kind.is_symlink() => Some("a link"),
        () if kind.is_fifo() => Some("a named pipe"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    }
}

/// A pattern of file names as shells read it: `[^a]` is `[!a]`.
#[cfg(feature = "jobs")]
pub(crate) fn file_pattern(text: &str) -> std::result::Result<glob::Pattern, glob::PatternError> {
    glob::Pattern::new(&text.replace("[^", "[!"))
}

/// An error if something other than a regular file is there.
pub(crate) fn refuse_special(path: &Path) -> Result<()> {
    let what = match path.symlink_metadata() {
        Ok(at) if at.is_symlink() => "a symbolic link",
        Ok(at) if at.is_dir() => "a folder",
        Ok(at) if !at.is_file() => "no regular file",
        _ => return Ok(()),
    };
    Err(Error::other(format!(
        "it is {what}, where gridmpi writes a file of its own; remove it or use another folder"
    )))
}

/// A new file with a temporary name in the same folder. Dropped, it is deleted, which frees space on a full
/// disk. Where the file system allows it, it has no name before it is whole, so that nothing of it is left if this
/// process is killed meanwhile.
fn written_beside<E>(
    path: &Path,
    durability: Durability,
    failed: &impl Fn(Error) -> E,
    write: impl FnOnce(&mut BufWriter<File>) -> std::result::Result<(), E>,
) -> std::result::Result<TempPath, E> {
    let folder = folder_of(path);
    let mut named = tempfile::Builder::new();
    named.prefix(".gridmpi-").suffix(".unfinished");
    #[cfg(target_os = "linux")]
    if let Some((file, same)) = unnamed::create(folder) {
        filled(file, durability, failed, write)?;
        let named = named.make_in(folder, |place| unnamed::link(&same, place));
        return named.map(NamedTempFile::into_temp_path).map_err(failed);
    }
    named.permissions(Permissions::from_mode(0o666)); // less the umask, as for any other file
    let (file, unfinished) = named.tempfile_in(folder).map_err(failed)?.into_parts();
    filled(file, durability, failed, write)?;
    Ok(unfinished)
}

/// Files that have no name at first.
#[cfg(target_os = "linux")]
mod unnamed {
    use std::fs::File;
    use std::io::Result;
    use std::os::fd::AsRawFd;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};

    /// Such a file, open twice; `None` if it could not be linked later, or if the file system has none.
    pub(super) fn create(folder: &Path) -> Option<(File, File)> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(open(folder, flags, Mode::from_raw_mode(0o666)).ok()?);
        let same = file.try_clone().ok()?;
        place_of(&same).try_exists().is_ok_and(|is_there| is_there).then_some((file, same))
    }

    pub(super) fn link(file: &File, place: &Path) -> Result<()> {
        Ok(linkat(CWD, place_of(file), CWD, place, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// The name by which the system knows an open file.
    fn place_of(file: &File) -> std::path::PathBuf {
        format!("/proc/self/fd/{}", file.as_raw_fd()).into()
    }
}

fn filled<E>(
    file: File,
    durability: Durability,
    failed: &impl Fn(Error) -> E,
    write: impl FnOnce(&mut BufWriter<File>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.flush().map_err(failed)?;
    match durability {
        Durability::Synced => out.get_ref().sync_all().map_err(failed),
        Durability::Eventual => Ok(()),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Copies a folder with all that is in it; links as links. What is neither file, folder nor link is left out.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    fs::read_dir(from)?.try_for_each(|entry| {
        let entry = entry?;
        copy_entry(&entry, &to.join(entry.file_name()))
    })
}

/// The same for one of the entries of a folder.
pub(crate) fn copy_entry(entry: &DirEntry, to: &Path) -> Result<()> {
    match entry.file_type()? {
        kind if kind.is_dir() => copy_folder(&entry.path(), to),
        kind if kind.is_symlink() => std::os::unix::fs::symlink(fs::read_link(entry.path())?, to),
        kind if kind.is_file() => fs::copy(entry.path(), to).map(drop),
        _ => Ok(()),
    }
}

/// A temporary folder that only this user can look into, deleted when this is dropped.
pub(crate) fn temporary_folder() -> Result<tempfile::TempDir> {
    let private = Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix("gridmpi-").permissions(private).tempdir()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, text: &str) -> Result<()> {
        write_whole(path, Durability::Eventual, |e| e, |out| out.write_all(text.as_bytes()))
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_never_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        write(&file, "long text").unwrap();
        write(&file, "new").unwrap();
        assert_eq!(read_regular(&file).unwrap(), b"new");
        let failing = |out: &mut BufWriter<File>| {
            out.write_all(b"half")?;
            Err(Error::other("no"))
        };
        write_whole(&file, Durability::Synced, |e| e, failing).unwrap_err();
        assert_eq!(read_regular(&file).unwrap(), b"new");
        for target in [&file, &folder.path().join("missing")] {
            symlink(target, &link).unwrap();
            assert!(write(&link, "x").unwrap_err().to_string().contains("a symbolic link"));
            fs::remove_file(&link).unwrap();
        }
        assert_eq!(read_regular(&file).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_has_no_name_before_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let count = || fs::read_dir(folder.path()).unwrap().count();
        let named = usize::from(unnamed::create(folder.path()).is_none()); // some file systems have no others
        let file = folder.path().join("file");
        write_whole(
            &file,
            Durability::Eventual,
            |e| e,
            |out| {
                assert_eq!(count(), named);
                out.write_all(b"whole")
            },
        )
        .unwrap();
        assert_eq!((count(), read_regular(&file).unwrap()), (1, b"whole".to_vec()));
        let usual = folder.path().join("usual");
        File::create(&usual).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&file), mode(&usual));
    }

    #[test]
    fn temporary_folders_are_private() {
        let folder = temporary_folder().unwrap();
        assert_eq!(folder.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}
