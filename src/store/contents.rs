//! What is in a folder that a run has left: how much, and the state of its files, which tells if any has changed since.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::job::digest;
use crate::util::file_state::FileState;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Contents {
    /// How many files it has, and their size.
    pub(super) files: i64,
    pub(super) bytes: i64,
    /// A digest of the names, sizes and times of the files; empty if not all of the folder can be read. Reading their
    /// content would take long.
    pub(super) state: String,
}

impl Contents {
    pub(super) fn of(folder: &Path) -> Contents {
        let (mut all, mut lines) = (Contents::default(), Vec::new());
        let whole = all.add(folder, b"", &mut lines);
        lines.sort();
        if whole.is_ok() {
            all.state = digest(&lines.concat());
        }
        all
    }

    /// Adds the files of a folder, whose name within the whole one is given.
    fn add(&mut self, folder: &Path, name: &[u8], lines: &mut Vec<Vec<u8>>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let about = entry.metadata()?;
            let mut line = [name, b"/", entry.file_name().as_bytes()].concat();
            if about.is_dir() {
                self.add(&entry.path(), &line, lines)?;
                continue;
            }
            let FileState { size, modified, .. } = FileState::from(&about);
            self.files += 1;
            self.bytes += size as i64;
            line.extend(format!("\0{size} {modified}\n").bytes());
            lines.push(line);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_any_file_is_a_change_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("log")).unwrap();
        fs::write(path("a"), "1").unwrap();
        fs::write(path("log/b"), "22").unwrap();
        let first = Contents::of(folder.path());
        assert_eq!((first.files, first.bytes), (2, 3));
        fs::rename(path("log/b"), path("log/c")).unwrap();
        let renamed = Contents::of(folder.path());
        assert_eq!((renamed.files, renamed.bytes), (2, 3));
        assert_ne!(renamed.state, first.state);
        fs::rename(path("log/c"), path("log/b")).unwrap();
        assert_eq!(Contents::of(folder.path()), first);
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(path("log/b"), "33").unwrap();
        assert_ne!(Contents::of(folder.path()).state, first.state);
    }
}
