//! The names of what gridmpi makes in a results folder, which may also be a folder with files of the user.

use std::fs::{self, DirEntry};
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

#[cfg(feature = "cli")]
use crate::job::is_launch_file;
use crate::job::{FOLLOW_FOLDER, LARGE_FOLDER, LOCK_FILE, PARTS_FOLDER, RESULT_FILES, STORE_FILE};
use crate::store::{large, products};
use crate::util::files::{read_regular, refuse_special};

/// Folders with the results before `--fresh`, and with replaced stores.
pub(crate) const EARLIER: &str = "earlier-";
pub(crate) const SUPERSEDED: &str = "superseded-";

/// The store's files in the order in which they are moved: a store after its logs, because an old log beside
/// a new store would be taken for its own.
const STORE_FILES: [&str; 8] = [
    "runs.sqlite-journal",
    "runs.sqlite-wal",
    "runs.sqlite-shm",
    STORE_FILE,
    "runs.sqlite.unfinished-journal",
    "runs.sqlite.unfinished-wal",
    "runs.sqlite.unfinished-shm",
    "runs.sqlite.unfinished",
];

/// All files, in that order.
fn files() -> impl Iterator<Item = &'static str> {
    STORE_FILES.into_iter().chain(RESULT_FILES)
}

/// Refuses a folder where one of these names is a link or the like: what is written to it would go elsewhere.
pub(super) fn refuse_links(folder: &Path) -> std::result::Result<(), (PathBuf, Error)> {
    let mut files: Vec<PathBuf> = files().map(|name| folder.join(name)).collect();
    files.push(folder.join(LOCK_FILE));
    let mut folders = vec![folder.join(LARGE_FOLDER), folder.join(FOLLOW_FOLDER)];
    let parts = parts(folder);
    if !parts.is_empty() {
        folders.push(folder.join(PARTS_FOLDER));
        folders.extend(parts);
    }
    for entry in fs::read_dir(folder).map_err(|error| (folder.to_path_buf(), error))?.flatten() {
        if is_numbered(&entry, SUPERSEDED) || is_numbered(&entry, EARLIER) {
            files.extend(STORE_FILES[..4].iter().map(|name| entry.path().join(name)));
            folders.push(entry.path());
        }
    }
    let linked = folders.into_iter().find(|path| path.is_symlink());
    if let Some(path) = linked {
        let why = "it is a symbolic link, where gridmpi makes a folder of its own; remove it or use another folder";
        return Err((path, Error::other(why)));
    }
    if let Ok(values) = fs::read_dir(folder.join(LARGE_FOLDER)) {
        files.extend(values.flatten().filter(is_value).map(|entry| entry.path()));
    }
    files.into_iter().try_for_each(|path| refuse_special(&path).map_err(|why| (path, why)))
}

/// A file with the name of a result in a folder where gridmpi never was: it is the user's, and would be written over.
/// Other programs call a file `.lock`, too.
pub(super) fn file_of_user(folder: &Path) -> Option<PathBuf> {
    if folder.join(STORE_FILE).symlink_metadata().is_ok() {
        return None;
    }
    let lock = folder.join(LOCK_FILE);
    let holder = read_regular(&lock).unwrap_or_default();
    if holder.starts_with(b"process ") {
        return None;
    }
    if !holder.is_empty() && !lock.is_symlink() {
        return Some(lock);
    }
    let files = RESULT_FILES.map(|name| folder.join(name));
    files.into_iter().find(|file| file.is_file() && !file.is_symlink())
}

/// Whether runs would be lost if something else were written to this file: it is, maybe through a link, the store
/// of a results folder, one of its logs, its lock or a large value.
#[cfg(feature = "cli")]
pub(crate) fn holds_runs(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return false;
    };
    let has_store = |folder: &Path| folder.join(STORE_FILE).is_file();
    let is_large = || folder.ends_with(LARGE_FOLDER) && folder.parent().is_some_and(has_store);
    let own = name.starts_with(STORE_FILE) || name == LOCK_FILE || is_launch_file(name);
    own && has_store(folder) || large::is_name(name) && is_large()
}

/// Moves what gridmpi made into the next of `earlier-1`, `earlier-2`, ...; returns which it is. Files of the
/// user stay.
pub(super) fn move_aside(folder: &Path) -> Result<PathBuf> {
    let earlier = next(folder, EARLIER);
    fs::create_dir(&earlier)?;
    for name in files() {
        match fs::rename(folder.join(name), earlier.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    for entry in fs::read_dir(folder)?.flatten() {
        if is_numbered(&entry, SUPERSEDED) && entry.path().join(STORE_FILE).exists() {
            fs::rename(entry.path(), earlier.join(entry.file_name()))?;
        }
    }
    if !parts(folder).is_empty() {
        fs::rename(folder.join(PARTS_FOLDER), earlier.join(PARTS_FOLDER))?;
    }
    for name in products::FOLDERS {
        if products::is_own(&folder.join(name)) {
            fs::rename(folder.join(name), earlier.join(name))?;
        }
    }
    let large = folder.join(LARGE_FOLDER);
    let values: Vec<DirEntry> = match fs::read_dir(&large) {
        Ok(entries) => entries.flatten().filter(is_value).collect(),
        Err(_) => Vec::new(),
    };
    if !values.is_empty() {
        fs::create_dir(earlier.join(LARGE_FOLDER))?;
        for entry in values {
            fs::rename(entry.path(), earlier.join(LARGE_FOLDER).join(entry.file_name()))?;
        }
        let _ = fs::remove_dir(&large); // unless there is more in it
    }
    Ok(earlier)
}

/// Removes what gridmpi made in the folder of a part, and the folder itself unless there is more in it.
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(super) fn remove(folder: &Path) -> Result<()> {
    let large = folder.join(LARGE_FOLDER);
    let values = fs::read_dir(&large).into_iter().flatten().flatten().filter(is_value);
    let launches = fs::read_dir(folder)?.flatten();
    let launches = launches.filter(|entry| entry.file_name().to_str().is_some_and(is_launch_file));
    let found: Vec<PathBuf> = values.chain(launches).map(|entry| entry.path()).collect();
    let own = files().chain([LOCK_FILE]).map(|name| folder.join(name));
    for path in found.into_iter().chain(own) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let _ = fs::remove_dir(&large);
    for name in products::FOLDERS {
        if products::is_own(&folder.join(name)) {
            products::remove(&folder.join(name))?;
        }
    }
    let _ = fs::remove_dir(folder);
    Ok(())
}

/// The folders of the parts of the job, such as `parts/2-of-4`.
pub(super) fn parts(folder: &Path) -> Vec<PathBuf> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_part = |entry: &DirEntry| {
        let name = entry.file_name();
        let numbers = name.to_str().and_then(|name| name.split_once("-of-"));
        numbers.is_some_and(|(number, of)| is_number(number) && is_number(of))
    };
    let entries = fs::read_dir(folder.join(PARTS_FOLDER));
    entries.into_iter().flatten().flatten().filter(is_part).map(|entry| entry.path()).collect()
}

/// The first of `PREFIX1`, `PREFIX2`, ... that is not taken.
pub(super) fn next(folder: &Path, prefix: &str) -> PathBuf {
    let is_free = |path: &PathBuf| path.symlink_metadata().is_err();
    let free = (1..).map(|n| folder.join(format!("{prefix}{n}"))).find(is_free);
    free.expect("numbers do not end")
}

/// Whether a file of the folder for large values is one.
fn is_value(entry: &DirEntry) -> bool {
    entry.file_name().to_str().is_some_and(large::is_name)
}

fn is_numbered(entry: &DirEntry, prefix: &str) -> bool {
    let name = entry.file_name();
    let number = name.to_str().and_then(|name| name.strip_prefix(prefix));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}
