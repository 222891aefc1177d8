//! What a child that serves many tasks prints: logged, its end kept to say why the child died, and gathered as the output
//! of the run that it belongs to.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags};
use rustix::io::{ioctl_fionbio, ioctl_fionread};

use crate::executor::process::child;
use crate::executor::process::marks::{CallMark, Marked, Marks};
use crate::executor::process::tail::LastBytes;
use crate::model::RunOutput;

/// How much of the end is kept, and the longest line that is logged as one. (bytes)
const KEPT: usize = 8 << 10;

/// Bytes per read.
const PIECE: usize = 1 << 16;

/// How long to wait for the rest of what a dead child has printed.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(crate) struct ChildOutput {
    source: Arc<Mutex<OutputSource>>,
    /// Disconnected once the pipe is closed.
    listener: Receiver<()>,
}

/// The pipe, and what becomes of what comes out of it. Whoever has the lock reads.
struct OutputSource {
    pipe: File,
    name: &'static str,
    line: Vec<u8>,
    last: LastBytes,
    /// The output of the run at hand.
    current: Arc<RunOutput>,
    marks: Option<Marks>,
    /// Where there are marks, the output of the calls that have ended.
    ended: VecDeque<(CallMark, Arc<RunOutput>)>,
}

impl ChildOutput {
    /// Reads a child's output, and logs it under this name (shown with -v).
    pub(crate) fn of(pipe: impl Into<OwnedFd>, name: &'static str) -> std::io::Result<ChildOutput> {
        let pipe = File::from(pipe.into());
        ioctl_fionbio(&pipe, true)?;
        let waits = pipe.try_clone()?;
        let source = OutputSource {
            pipe,
            name,
            line: Vec::new(),
            last: LastBytes::new(KEPT),
            current: Arc::default(),
            marks: None,
            ended: VecDeque::new(),
        };
        let source = Arc::new(Mutex::new(source));
        let (end, listener) = channel();
        let shared = source.clone();
        std::thread::spawn(move || {
            let _end: Sender<()> = end;
            loop {
                let mut places = [PollFd::new(&waits, PollFlags::IN)];
                match child::poll_within(&mut places, None) {
                    Ok(true) if !shared.lock().read() => return,
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        Ok(ChildOutput { source, listener })
    }

    /// The child, which does not yet know of these marks, writes them behind what its calls print.
    pub(crate) fn find_marks(&self, marks: Marks) {
        self.source.lock().marks = Some(marks);
    }

    /// What the child prints from now on is gathered there.
    pub(crate) fn gather(&self, output: &Arc<RunOutput>) {
        let mut source = self.source.lock();
        source.drain();
        source.current = output.clone();
    }

    /// All that the child has printed by now is gathered. With marks, returns the output of the calls that have ended
    /// since the last time.
    pub(crate) fn settle(&self) -> VecDeque<(CallMark, Arc<RunOutput>)> {
        let mut source = self.source.lock();
        source.drain();
        std::mem::take(&mut source.ended)
    }

    /// The output of the call at hand.
    pub(crate) fn current(&self) -> Arc<RunOutput> {
        self.source.lock().current.clone()
    }

    /// How a dead child has ended, with the last it printed.
    pub(crate) fn after(&self, how: String) -> String {
        let source = self.source.lock();
        match source.last.text().trim() {
            "" => how,
            printed => format!("{how}; the last it printed:\n{printed}"),
        }
    }

    /// Waits for the rest of what a dead child has printed. A descendant may keep the pipe open, so this has a limit.
    pub(crate) fn await_end(&self) {
        let _ = self.listener.recv_timeout(LAST_WORDS);
        self.source.lock().drain();
    }
}

impl OutputSource {
    /// Reads what is in the pipe now.
    fn drain(&mut self) {
        let mut left = ioctl_fionread(&self.pipe).unwrap_or(0);
        while left > 0 {
            match self.read_some() {
                Ok(read @ 1..) => left = left.saturating_sub(read as u64),
                _ => return,
            }
        }
    }

    /// Reads once; returns whether more may come.
    fn read(&mut self) -> bool {
        match self.read_some() {
            Ok(0) => {
                let rest = self.marks.as_mut().map(Marks::rest).unwrap_or_default();
                self.print(&rest);
                self.log(true);
                false
            }
            Ok(_) => true,
            Err(error) => {
                matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
            }
        }
    }

    fn read_some(&mut self) -> std::io::Result<usize> {
        let mut piece = [0; PIECE];
        self.marks.iter_mut().for_each(Marks::begin_read);
        let read = self.pipe.read(&mut piece);
        let bytes = read.as_ref().map_or(0, |read| *read);
        self.marks.iter_mut().for_each(|marks| marks.end_read(bytes));
        let read = read?;
        match &mut self.marks {
            None => self.print(&piece[..read]),
            Some(marks) => {
                for part in marks.split(&piece[..read]) {
                    match part {
                        Marked::Text(text) => self.print(&text),
                        Marked::Mark(mark) => {
                            let ended = std::mem::take(&mut self.current);
                            self.ended.push_back((mark, ended));
                        }
                    }
                }
            }
        }
        Ok(read)
    }

    fn print(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        self.last.push(text);
        self.current.push(text);
        if log::log_enabled!(log::Level::Debug) {
            self.line.extend_from_slice(text);
            self.log(false);
        }
    }

    /// Logs the lines that are complete, or all.
    fn log(&mut self, all: bool) {
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let rest = self.line.split_off(end + 1);
            let line = std::mem::replace(&mut self.line, rest);
            log::debug!("{}: {}", self.name, String::from_utf8_lossy(&line).trim_end());
        }
        if self.line.len() >= KEPT || all && !self.line.is_empty() {
            log::debug!("{}: {}", self.name, String::from_utf8_lossy(&self.line));
            self.line.clear();
        }
    }
}
