//! A private folder of this host that several processes of one user share. A lock on the folder says that it is in use; the
//! system lets go of it when a process ends, however it does. The last one removes the folder, and what a killed one has
//! left is removed by the next.

use std::fs::{DirBuilder, File};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

use crate::util::file_state::file_id;

/// How often to try to join a folder that is just being removed, and how long to wait in between.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// A folder that is in use by this process.
pub(super) struct HostFolder {
    path: PathBuf,
    lock: File,
}

impl HostFolder {
    /// Makes the folder of this id in a place, or joins those that use it.
    pub(super) fn join(place: &Path, id: &str) -> Result<HostFolder> {
        let path = place.join(prefix() + id);
        for _ in 0..TRIES {
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            if let Some(lock) = opened(&path)?
                && try_lock(&lock, FlockOperation::NonBlockingLockShared)?
                // It may have been removed meanwhile.
                && file_id(&path) == lock.metadata().ok().map(|at| (at.dev(), at.ino()))
            {
                return Ok(HostFolder { path, lock });
            }
            std::thread::sleep(PAUSE);
        }
        Err(Error::other(format!("{} is being removed, and stays", path.display())))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folders in a place that nobody uses.
    pub(super) fn clean(place: &Path) {
        for entry in place.read_dir().into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix())
                && let Ok(Some(lock)) = opened(&entry.path())
                && matches!(try_lock(&lock, FlockOperation::NonBlockingLockExclusive), Ok(true))
            {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

impl Drop for HostFolder {
    fn drop(&mut self) {
        if matches!(try_lock(&self.lock, FlockOperation::NonBlockingLockExclusive), Ok(true)) {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn prefix() -> String {
    format!("gridmpi-carried-{}-", rustix::process::geteuid().as_raw())
}

/// A folder to be locked, if it is there. It has to be this user's alone: anybody may make one in a place for all.
fn opened(path: &Path) -> Result<Option<File>> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match open(path, flags, Mode::empty()) {
        Ok(folder) => File::from(folder),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let about = folder.metadata()?;
    match about.uid() == rustix::process::geteuid().as_raw() && about.mode() & 0o077 == 0 {
        true => Ok(Some(folder)),
        false => Err(Error::other(format!("{} is open to others", path.display()))),
    }
}

/// Whether the lock was to be had.
pub(super) fn try_lock(file: &File, how: FlockOperation) -> Result<bool> {
    match flock(file, how) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123";

    #[test]
    fn the_last_one_removes_it() {
        let place = tempfile::tempdir().unwrap();
        let one = HostFolder::join(place.path(), ID).unwrap();
        std::fs::write(one.path().join("a"), "a").unwrap();
        let other = HostFolder::join(place.path(), ID).unwrap();
        drop(one);
        HostFolder::clean(place.path());
        assert!(other.path().join("a").exists());
        let path = other.path().to_path_buf();
        drop(other);
        assert!(!path.exists());
    }

    #[test]
    fn what_nobody_uses_is_removed_and_nothing_of_others_is_taken() {
        let place = tempfile::tempdir().unwrap();
        let left = place.path().join(prefix() + "left");
        DirBuilder::new().mode(0o700).create(&left).unwrap();
        std::fs::write(left.join("a"), "a").unwrap();
        std::fs::create_dir(place.path().join("gridmpi-carried-other")).unwrap();
        HostFolder::clean(place.path());
        assert!(!left.exists() && place.path().join("gridmpi-carried-other").exists());
        DirBuilder::new().mode(0o755).create(place.path().join(prefix() + ID)).unwrap();
        let refused = HostFolder::join(place.path(), ID).err().unwrap();
        assert!(refused.to_string().contains("is open to others"), "{refused}");
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), place.path().join(prefix() + "link")).unwrap();
        assert!(HostFolder::join(place.path(), "link").is_err());
    }
}
