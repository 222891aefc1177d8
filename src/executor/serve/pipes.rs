//! The two named pipes between a rank and its child. Both ends of both are open here, so that no opening waits: neither
//! this one, for a child that never opens its ends, nor the child's. Once the child has certainly opened its own, those
//! that were held for it go, and that it closes one is noticed, too. Every wait looks for that, for the end of the
//! child's process, for the limits of the call and for what is to be read.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::ioctl_fionread;

use crate::executor::RESULT_LIMIT;
use crate::executor::process::child::{self, Limits, TRY};
use crate::executor::process::peak_memory::PeakMemory;

/// Bytes per read.
const PIECE: usize = 1 << 16;

pub(super) struct Pipes {
    requests: Option<File>,
    answers: File,
    /// The child's ends, which are held until it has opened its own.
    far_requests: Option<File>,
    far_answers: Option<File>,
    /// What was read and not taken, and how far it has no end of a line.
    got: Vec<u8>,
    looked: usize,
    /// A descriptor that tells the end of the child, where the system has one.
    end: Option<OwnedFd>,
    /// The memory of the child during a call, at which every wait looks.
    pub(super) memory: Option<PeakMemory>,
}

pub(super) fn request_path(folder: &Path) -> PathBuf {
    folder.join("requests")
}

pub(super) fn answer_path(folder: &Path) -> PathBuf {
    folder.join("answers")
}

impl Pipes {
    /// Makes and opens the pipes.
    pub(super) fn create(folder: &Path) -> Result<Pipes> {
        let open = |path: PathBuf| {
            make(&path)?;
            let non_blocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
            // In this order: without an end to read from, the other one cannot be opened.
            let read = OpenOptions::new().read(true).custom_flags(non_blocking).open(&path)?;
            let write = OpenOptions::new().write(true).custom_flags(non_blocking).open(&path)?;
            Ok::<_, Error>((read, write))
        };
        let (far_requests, requests) = open(request_path(folder))?;
        let (answers, far_answers) = open(answer_path(folder))?;
        Ok(Pipes {
            requests: Some(requests),
            answers,
            far_requests: Some(far_requests),
            far_answers: Some(far_answers),
            got: Vec::new(),
            looked: 0,
            end: None,
            memory: None,
        })
    }

    /// Holds the child's ends no longer: it has written an answer, so it has opened that pipe; and the other one if it
    /// has read what was sent. From now on, that it closes one of them ends every wait.
    pub(super) fn let_go(&mut self) {
        self.far_answers = None;
        if self.far_requests.as_ref().is_some_and(|pipe| ioctl_fionread(pipe).is_ok_and(|n| n == 0))
        {
            self.far_requests = None;
        }
    }

    /// From now on, the end of this child ends every wait.
    pub(super) fn watch(&mut self, child: &Child) {
        self.end = child::watch(child);
    }

    /// Closes the pipe of requests: the child reads its end.
    pub(super) fn close(&mut self) {
        (self.requests, self.far_requests) = (None, None);
    }

    /// Sends a line, and keeps what arrives meanwhile: the child may wait for that before it reads on.
    pub(super) fn send(&mut self, line: &[u8], child: &Child, limits: &Limits) -> Result<()> {
        let mut rest = line;
        while !rest.is_empty() {
            let requests = self.requests.as_mut().ok_or(ErrorKind::BrokenPipe)?;
            match requests.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                Err(_) => {
                    if self.wait(true, child, limits)? {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
        Ok(())
    }

    /// The next line, without its end.
    pub(super) fn receive(&mut self, child: &Child, limits: &Limits) -> Result<Vec<u8>> {
        loop {
            if let Some(line) = self.take_line()? {
                return Ok(line);
            }
            if self.wait(false, child, limits)? {
                while self.read()? {} // what it wrote before its end is there now
                return self.take_line()?.ok_or_else(|| ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The same if it begins within `time`.
    pub(super) fn receive_within(
        &mut self,
        time: Duration,
        child: &Child,
        limits: &Limits,
    ) -> Result<Option<Vec<u8>>> {
        if self.got.is_empty() && !self.look(false, child, Some(time))? && self.got.is_empty() {
            return Ok(None);
        }
        self.receive(child, limits).map(Some)
    }

    /// Whether none of a line that was sent has been read.
    pub(super) fn is_unread(&self, line: &[u8]) -> bool {
        let requests = self.requests.as_ref();
        requests.is_some_and(|pipe| ioctl_fionread(pipe).is_ok_and(|n| n >= line.len() as u64))
    }

    fn take_line(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(end) = self.got[self.looked..].iter().position(|byte| *byte == b'\n') else {
            self.looked = self.got.len();
            if self.got.len() as u64 > RESULT_LIMIT {
                let why = format!("over {RESULT_LIMIT} bytes");
                return Err(Error::new(ErrorKind::FileTooLarge, why));
            }
            return Ok(None);
        };
        let rest = self.got.split_off(self.looked + end + 1);
        let mut line = std::mem::replace(&mut self.got, rest);
        self.looked = 0;
        line.pop();
        Ok(Some(line))
    }

    /// Waits until there is something to do, and reads what is there; returns whether the child has ended, or has closed
    /// one of its pipes.
    fn wait(&mut self, is_sending: bool, child: &Child, limits: &Limits) -> Result<bool> {
        let patience = match limits.patience()? {
            patience if self.end.is_some() => patience,
            patience => Some(patience.unwrap_or(TRY).min(TRY)),
        };
        self.look(is_sending, child, patience)
    }

    /// The same for so long, or until it is time to look at the memory.
    fn look(&mut self, is_sending: bool, child: &Child, time: Option<Duration>) -> Result<bool> {
        let of_memory = self.memory.as_mut().map(PeakMemory::look);
        let time = time.into_iter().chain(of_memory).min();
        let mut places = vec![PollFd::new(&self.answers, PollFlags::IN)];
        places.extend(
            self.end.iter().map(|end| PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN)),
        );
        if let Some(requests) = &self.requests {
            let flags = if is_sending { PollFlags::OUT } else { PollFlags::empty() };
            places.push(PollFd::new(requests, flags)); // without a reader, it is ready in any case
        }
        child::poll_within(&mut places, time)?;
        let of_answers = places[0].revents();
        let is_deaf = places.iter().any(|place| place.revents().contains(PollFlags::ERR));
        let has_ended = self.end.is_some() && !places[1].revents().is_empty();
        drop(places);
        if of_answers.contains(PollFlags::IN) {
            self.read()?;
        }
        let is_closed = of_answers.contains(PollFlags::HUP) && !of_answers.contains(PollFlags::IN);
        // Lines that are there come first.
        let is_empty = !self.got[self.looked..].contains(&b'\n');
        let is_over =
            is_closed || is_deaf || has_ended || self.end.is_none() && child::has_ended(child);
        Ok(is_empty && is_over)
    }

    /// Reads some of what is there; returns whether there may be more.
    fn read(&mut self) -> Result<bool> {
        self.got.reserve(PIECE);
        match rustix::io::read(&self.answers, rustix::buffer::spare_capacity(&mut self.got)) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        Ok(self.got.len() as u64 <= RESULT_LIMIT)
    }
}

#[cfg(not(target_vendor = "apple"))]
fn make(path: &Path) -> Result<()> {
    use rustix::fs::{CWD, Mode, mkfifoat};

    Ok(mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?)
}

#[cfg(target_vendor = "apple")]
fn make(path: &Path) -> Result<()> {
    let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(path).status()?;
    if made.success() { Ok(()) } else { Err(Error::other("mkfifo has failed")) }
}
