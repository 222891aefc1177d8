//! Where a job's keys are in its file, for errors that are found after parsing.

use std::path::PathBuf;

use crate::util::error::Error;

/// Line numbers of a job file's keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Places {
    file: String,
    /// The folder that it is in.
    folder: PathBuf,
    /// Keys such as `crunch.python` or `loop.alpha`, and their lines.
    lines: Vec<(String, usize)>,
}

impl Places {
    #[cfg(feature = "jobs")]
    pub(super) fn of(file: String, folder: PathBuf) -> Places {
        Places { file, folder, lines: Vec::new() }
    }

    #[cfg(feature = "jobs")]
    pub(super) fn add(&mut self, lines: impl IntoIterator<Item = (String, usize)>) {
        self.lines.extend(lines);
    }

    /// Whether the file has this key.
    #[cfg(feature = "jobs")]
    pub(super) fn has(&self, key: &str) -> bool {
        self.lines.iter().any(|(known, _)| known == key)
    }

    /// An error about the value of a key, with file and line.
    pub(super) fn wrong(&self, key: &str, why: impl std::fmt::Display) -> Error {
        match self.lines.iter().find(|(known, _)| known == key) {
            Some((_, line)) => Error::input(format!("{}:{line}: {key}: {why}", self.file)),
            None => Error::input(format!("{}: {key}: {why}", self.file)),
        }
    }

    /// The path of the job file.
    #[cfg(feature = "jobs")]
    pub(super) fn path(&self) -> PathBuf {
        let name = std::path::Path::new(&self.file).file_name();
        name.map_or_else(|| self.folder.clone(), |name| self.folder.join(name))
    }
}
