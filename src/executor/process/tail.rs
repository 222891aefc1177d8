//! The last bytes of a program's output.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::ioctl_fionread;

use crate::model::RunOutput;

/// Bytes per read.
const PIECE: usize = 1 << 13;

/// Keeps the last `keep` bytes of a stream.
pub(crate) struct LastBytes {
    kept: Vec<u8>,
    keep: usize,
    has_dropped: bool,
}

impl LastBytes {
    pub(crate) fn new(keep: usize) -> LastBytes {
        LastBytes { kept: Vec::new(), keep, has_dropped: false }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        if self.kept.len() > 2 * self.keep {
            self.kept.drain(..self.kept.len() - self.keep);
            self.has_dropped = true;
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.kept[self.kept.len().saturating_sub(self.keep)..]
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

/// The end of a pipe's output, read as it arrives, so that the program never blocks.
pub(crate) struct Tail {
    /// None once the other end is closed.
    pipe: Option<File>,
    last: LastBytes,
    /// Where all of it is gathered.
    output: Option<Arc<RunOutput>>,
}

impl Tail {
    pub(crate) fn of(pipe: impl Into<OwnedFd>, keep: usize) -> Tail {
        Tail { pipe: Some(File::from(pipe.into())), last: LastBytes::new(keep), output: None }
    }

    /// What is read is also gathered there.
    #[cfg(feature = "jobs")]
    pub(crate) fn gathered(self, output: Option<&Arc<RunOutput>>) -> Tail {
        Tail { output: output.cloned(), ..self }
    }

    /// The pipe, as long as it is open.
    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(File::as_fd)
    }

    /// Reads what is there; blocks if nothing is.
    pub(crate) fn take(&mut self) {
        let mut left = self.pipe.as_ref().map_or(0, |pipe| ioctl_fionread(pipe).unwrap_or(0));
        loop {
            let read = self.take_some();
            left = left.saturating_sub(read as u64);
            if left == 0 || read == 0 {
                return;
            }
        }
    }

    /// Reads once; returns how many bytes.
    fn take_some(&mut self) -> usize {
        let Some(pipe) = &mut self.pipe else { return 0 };
        let mut piece = [0; PIECE];
        match pipe.read(&mut piece) {
            Ok(read @ 1..) => {
                self.last.push(&piece[..read]);
                self.output.iter().for_each(|output| output.push(&piece[..read]));
                return read;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => self.pipe = None,
        }
        0
    }

    pub(crate) fn text(self) -> String {
        self.last.text()
    }

    /// The last bytes, at most so many.
    #[cfg(feature = "jobs")]
    pub(crate) fn end(self, most: usize) -> String {
        let bytes = self.last.bytes();
        String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(most)..]).into_owned()
    }

    /// What is kept, and whether that is all.
    #[cfg(feature = "jobs")]
    pub(crate) fn kept(&self) -> (&[u8], bool) {
        (self.last.bytes(), !self.last.has_dropped && self.last.kept.len() <= self.last.keep)
    }

    /// The last line that is not blank. An error if it does not fit into what is kept, or is no text.
    #[cfg(feature = "jobs")]
    pub(crate) fn last_line(&self) -> Result<Option<&str>, String> {
        let bytes = self.last.bytes().trim_ascii_end();
        let begin = bytes.iter().rposition(|byte| *byte == b'\n');
        if begin.is_none() && !self.kept().1 {
            return Err(format!(
                "is longer than {} MiB: write a large result to the file named by GRIDMPI_RESULT",
                self.last.keep >> 20
            ));
        }
        let line = bytes[begin.map_or(0, |begin| begin + 1)..].trim_ascii();
        let text = std::str::from_utf8(line).map_err(|error| {
            let good = String::from_utf8_lossy(&line[..error.valid_up_to()]);
            format!("is not UTF-8 after {:?}", crate::util::text::beginning(&good, 80))
        })?;
        Ok((!text.is_empty()).then_some(text))
    }
}
