//! What rank 0 tells `gridmpi launch`, which started it: that it has begun, and how it ended. mpirun's exit
//! code does not tell it, and rank 0 may run on another machine; both have the results folder.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::job::LAUNCH_FILE;
use crate::util::error::{Error, Exit, Result};
use crate::util::files::{Durability, read_regular, write_whole};

/// The last word of rank 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum LaunchNote {
    /// It has not begun.
    Waiting,
    /// It has begun.
    Begun,
    /// It has ended with an error, which it has printed.
    Refused,
}

impl LaunchNote {
    const ALL: [LaunchNote; 3] = [LaunchNote::Waiting, LaunchNote::Begun, LaunchNote::Refused];

    fn text(self) -> &'static str {
        match self {
            LaunchNote::Waiting => "waiting\n",
            LaunchNote::Begun => "begun\n",
            LaunchNote::Refused => "refused\n",
        }
    }

    /// Writes it into the results folder.
    pub(crate) fn write(self, folder: &Path) -> Result<()> {
        let path = folder.join(LAUNCH_FILE);
        let failed =
            |e: std::io::Error| Error::unexpected(format!("{}: not written: {e}", path.display()));
        write_whole(&path, Durability::Eventual, failed, |out| {
            out.write_all(self.text().as_bytes()).map_err(failed)
        })
    }

    /// Runs rank 0, which `launch` has started on this results folder, and notes whether it refuses its input.
    pub(crate) fn around<T>(folder: &Path, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let note = |note: LaunchNote| {
            if let Err(error) = note.write(folder) {
                log::debug!("launch is not told: {error}");
            }
        };
        note(LaunchNote::Begun);
        let outcome = act();
        if outcome.as_ref().is_err_and(|error| error.exit == Exit::BadInput) {
            note(LaunchNote::Refused);
        }
        outcome
    }

    /// Reads it; nothing if that cannot be done.
    pub(crate) fn read(folder: &Path) -> Option<LaunchNote> {
        let text = read_regular(&folder.join(LAUNCH_FILE)).ok()?;
        LaunchNote::ALL.into_iter().find(|note| note.text().as_bytes() == text)
    }

    /// Removes it.
    pub(crate) fn remove(folder: &Path) {
        let _ = fs::remove_file(folder.join(LAUNCH_FILE));
    }
}
