//! What rank 0 tells `gridmpi launch`, which started it: that it has begun, and how it ended. mpirun's exit
//! code does not tell it, and rank 0 may run on another machine; both have the results folder. Each launch
//! has a file of its own, because two may start on one folder.

use std::fs::{self, DirEntry};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::job::{LAUNCH_FILE, is_launch_file};
use crate::util::error::{Error, Exit, Result};
use crate::util::files::{Durability, read_regular, write_whole};
use crate::util::machine;

/// A file that is older is not that of a launch that waits for its rank 0 to begin or to end.
const LEFT: Duration = Duration::from_secs(24 * 3600);

/// The last word of rank 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum LaunchNote {
    /// It has not begun.
    Waiting,
    /// It has begun.
    Begun,
    /// All ranks have reached MPI, and it reads the job: from here on, it ends by itself whatever happens.
    Connected,
    /// It has ended with an error, which it has printed.
    Refused,
}

impl LaunchNote {
    const ALL: [LaunchNote; 4] =
        [LaunchNote::Waiting, LaunchNote::Begun, LaunchNote::Connected, LaunchNote::Refused];

    fn text(self) -> &'static str {
        match self {
            LaunchNote::Waiting => "waiting\n",
            LaunchNote::Begun => "begun\n",
            LaunchNote::Connected => "connected\n",
            LaunchNote::Refused => "refused\n",
        }
    }
}

/// The file of one launch in its results folder.
#[derive(Debug)]
pub(crate) struct LaunchFile(PathBuf);

impl LaunchFile {
    /// What names a launch by this process.
    pub(crate) fn own_name() -> String {
        format!("{}-{}", machine::host(), std::process::id())
    }

    pub(crate) fn new(folder: &Path, launch: &str) -> LaunchFile {
        LaunchFile(folder.join(format!("{LAUNCH_FILE}-{launch}")))
    }

    /// Removes what launches have left that were killed.
    pub(crate) fn clear(folder: &Path) {
        let age = |entry: &DirEntry| entry.metadata().ok()?.modified().ok()?.elapsed().ok();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_own = entry.file_name().to_str().is_some_and(is_launch_file);
            if is_own && age(&entry).is_some_and(|age| age > LEFT) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    pub(crate) fn write(&self, note: LaunchNote) -> Result<()> {
        let failed = |e: std::io::Error| {
            Error::unexpected(format!("{}: not written: {e}", self.0.display()))
        };
        write_whole(&self.0, Durability::Eventual, failed, |out| {
            out.write_all(note.text().as_bytes()).map_err(failed)
        })
    }

    /// Runs rank 0, and notes whether it refuses its input.
    pub(crate) fn around<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.tell(LaunchNote::Begun);
        let outcome = act();
        if outcome.as_ref().is_err_and(|error| error.exit == Exit::BadInput) {
            self.tell(LaunchNote::Refused);
        }
        outcome
    }

    /// Tells launch, if that can be done.
    pub(crate) fn tell(&self, note: LaunchNote) {
        if let Err(error) = self.write(note) {
            log::debug!("launch is not told: {error}");
        }
    }

    /// Reads it; nothing if that cannot be done.
    pub(crate) fn read(&self) -> Option<LaunchNote> {
        let text = read_regular(&self.0).ok()?;
        LaunchNote::ALL.into_iter().find(|note| note.text().as_bytes() == text)
    }

    pub(crate) fn remove(&self) {
        let _ = fs::remove_file(&self.0);
    }
}
