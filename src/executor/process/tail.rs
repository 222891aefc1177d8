//! The end of what a program prints, taken from its pipe as it comes, so that the program never waits.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How much is taken at a time. (bytes)
const PIECE: usize = 1 << 13;

pub(crate) struct Tail {
    /// Nothing once it has been closed at the other end.
    pipe: Option<File>,
    kept: Vec<u8>,
    keep: usize,
}

impl Tail {
    /// The last `keep` bytes of what comes out of a pipe.
    pub(crate) fn of(pipe: impl Into<OwnedFd>, keep: usize) -> Tail {
        Tail { pipe: Some(File::from(pipe.into())), kept: Vec::new(), keep }
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
            Ok(read @ 1..) => self.kept.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => self.pipe = None,
        }
        if self.kept.len() > 2 * self.keep {
            self.kept.drain(..self.kept.len() - self.keep);
        }
    }

    /// What has come.
    pub(crate) fn text(self) -> String {
        let start = self.kept.len().saturating_sub(self.keep);
        String::from_utf8_lossy(&self.kept[start..]).into_owned()
    }
}
