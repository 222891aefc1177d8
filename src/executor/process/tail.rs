//! The end of what a program prints.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How much is taken at a time. (bytes)
const PIECE: usize = 1 << 13;

/// The last bytes of many.
pub(crate) struct LastBytes {
    kept: Vec<u8>,
    keep: usize,
}

impl LastBytes {
    pub(crate) fn new(keep: usize) -> LastBytes {
        LastBytes { kept: Vec::new(), keep }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        if self.kept.len() > 2 * self.keep {
            self.kept.drain(..self.kept.len() - self.keep);
        }
    }

    pub(crate) fn text(&self) -> String {
        let start = self.kept.len().saturating_sub(self.keep);
        String::from_utf8_lossy(&self.kept[start..]).into_owned()
    }
}

/// The end of what comes out of a pipe, taken as it comes, so that the program never waits.
pub(crate) struct Tail {
    /// Nothing once it has been closed at the other end.
    pipe: Option<File>,
    last: LastBytes,
}

impl Tail {
    pub(crate) fn of(pipe: impl Into<OwnedFd>, keep: usize) -> Tail {
        Tail { pipe: Some(File::from(pipe.into())), last: LastBytes::new(keep) }
    }

    /// The pipe, as long as something may come.
    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(File::as_fd)
    }

    /// Takes some of what there is; waits if there is nothing.
    pub(crate) fn take(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut piece = [0; PIECE];
        match pipe.read(&mut piece) {
            Ok(read @ 1..) => self.last.push(&piece[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => self.pipe = None,
        }
    }

    pub(crate) fn text(self) -> String {
        self.last.text()
    }
}
