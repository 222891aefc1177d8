//! The results folder: locked by one gridmpi process; earlier runs in it are continued or moved aside.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::job::{LOCK_FILE, STORE_FILE};
use crate::store::own_files;
use crate::util::error::{Error, Result};
#[cfg(feature = "cli")]
use crate::util::files::read_regular;
use crate::util::machine;

/// How long to wait for a lock: a process that only checks it holds it for less.
const LOOKED_AT: Duration = Duration::from_millis(500);

/// A locked results folder. The lock ends with the process at the latest, however that ends.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: Option<File>,
}

impl Folder {
    /// Makes the folder if need be and locks it. With `fresh`, what gridmpi made in it is moved into
    /// `earlier-1`, `earlier-2`, ... inside it.
    pub(crate) fn claim(path: &Path, fresh: bool) -> Result<Folder> {
        let no = |what: &str, error: std::io::Error| {
            Error::input(format!("results folder {}: {what}: {error}", path.display()))
        };
        fs::create_dir_all(path).map_err(|error| no("cannot be made", error))?;
        if let Some(file) = own_files::file_of_user(path) {
            return Err(Error::input(format!(
                "{}: it is there already, and gridmpi, which writes a file of this name, has made no results in this folder; move it away, or give another folder with --out",
                file.display()
            )));
        }
        own_files::refuse_links(path)
            .map_err(|(file, why)| Error::input(format!("{}: {why}", file.display())))?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path.join(LOCK_FILE))
            .map_err(|error| no("is not writable", error))?;
        match patiently(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder);
                return Err(Error::input(format!(
                    "results folder {}: in use by another gridmpi ({}); wait for it, or give another folder with --out",
                    path.display(),
                    holder.trim()
                )));
            }
            Err(TryLockError::Error(error)) => {
                log::warn!(
                    "{}: no locks here ({error}); do not start gridmpi twice on this folder",
                    path.display()
                );
            }
        }
        let slurm = machine::slurm_job();
        let slurm = slurm.map_or(String::new(), |job| format!(", Slurm job {job}"));
        let (process, host) = (std::process::id(), machine::host());
        let holder = format!("process {process} on {host}{slurm}\n");
        lock.rewind()
            .and_then(|()| lock.set_len(0))
            .and_then(|()| lock.write_all(holder.as_bytes()))
            .map_err(|error| no("is not writable", error))?;
        let parts = if fresh { own_files::parts(path) } else { Vec::new() };
        #[cfg(feature = "cli")]
        if let Some(part) = parts.iter().find(|part| Folder::is_free(part) == Some(false)) {
            return Err(Error::input(format!(
                "results folder {}: a part of its job is under way in {}; wait for it, or cancel it",
                path.display(),
                part.display()
            )));
        }
        if fresh && (path.join(STORE_FILE).exists() || !parts.is_empty()) {
            let earlier = own_files::move_aside(path)
                .map_err(|error| no("its earlier runs cannot be moved aside", error))?;
            log::info!("earlier runs moved to {}", earlier.display());
        }
        Ok(Folder { path: path.to_path_buf(), lock: Some(lock) })
    }

    /// Whether no process holds the folder's lock; nothing where there are no locks.
    #[cfg(feature = "cli")]
    pub(crate) fn is_free(path: &Path) -> Option<bool> {
        let open = || OpenOptions::new().read(true).write(true).open(path.join(LOCK_FILE)).ok();
        let (own, other) = (open()?, open()?);
        // Shared, so that two processes that check do not take each other for the holder.
        match own.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(false),
            Err(TryLockError::Error(_)) => None,
            // If both handles get the lock, there are no locks.
            Ok(()) => matches!(other.try_lock(), Err(TryLockError::WouldBlock)).then_some(true),
        }
    }

    /// The PID and host of the process that last locked the folder.
    #[cfg(feature = "cli")]
    pub(crate) fn holder(path: &Path) -> Option<(u32, String)> {
        let text = String::from_utf8(read_regular(&path.join(LOCK_FILE)).ok()?).ok()?;
        let (process, rest) = text.trim().strip_prefix("process ")?.split_once(" on ")?;
        let host = rest.split_once(", Slurm job ").map_or(rest, |(host, _)| host);
        Some((process.parse().ok()?, host.to_string()))
    }

    /// Releases the lock, so that another gridmpi process may use the folder.
    pub(crate) fn release(&mut self) {
        self.lock = None;
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path.join(STORE_FILE)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Takes the lock. A process that only checks it holds it for a moment.
fn patiently(lock: &File) -> std::result::Result<(), TryLockError> {
    let begin = Instant::now();
    loop {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if begin.elapsed() < LOOKED_AT => {
                std::thread::sleep(Duration::from_millis(1));
            }
            taken => return taken,
        }
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn the_holder_is_known_in_a_batch_job_too() {
        let place = tempfile::tempdir().unwrap();
        for text in ["process 7 on n1\n", "process 7 on n1, Slurm job 12\n"] {
            fs::write(place.path().join(LOCK_FILE), text).unwrap();
            assert_eq!(Folder::holder(place.path()), Some((7, "n1".to_string())));
        }
        assert_eq!(Folder::holder(&place.path().join("nowhere")), None);
    }

    #[test]
    fn whoever_looks_keeps_nobody_from_claiming() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path();
        drop(Folder::claim(path, false).unwrap());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        Folder::is_free(path);
                        std::thread::sleep(Duration::from_micros(50));
                    }
                });
            }
            let refused = (0..500).filter(|_| Folder::claim(path, false).is_err()).count();
            done.store(true, Ordering::Relaxed);
            assert_eq!(refused, 0);
        });
        let claimed = Folder::claim(path, false).unwrap();
        assert_eq!(Folder::is_free(path), Some(false));
        drop(claimed);
        assert_eq!(Folder::is_free(path), Some(true));
    }
}
