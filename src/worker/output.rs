//! What the run of one thread prints, and whether somebody follows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::model::{OutputPiece, RunLog, RunOutput};

/// Time between two messages with what a run prints, and the most that one has. (bytes)
const PERIOD: Duration = Duration::from_millis(500);
const PIECE: usize = 64 << 10;

/// Shared with the service thread.
#[derive(Default)]
pub(crate) struct ThreadOutput {
    /// Whether there is any, so that runs that gather none pay no lock.
    is_gathered: AtomicBool,
    current: Mutex<Option<GatheredOutput>>,
    is_followed: AtomicBool,
    /// The tasks that are followed.
    followed: Mutex<Vec<u64>>,
}

/// The output of a run.
pub(crate) struct GatheredOutput {
    task: u64,
    attempt: u32,
    output: Arc<RunOutput>,
    /// Whether it is followed, how much of it was sent, and when; whether its end was.
    is_followed: bool,
    sent: u64,
    last: Option<Instant>,
    is_told: bool,
}

impl ThreadOutput {
    /// What this attempt at a task prints is there.
    pub(crate) fn gather(&self, (task, attempt): (u64, u32), output: &Arc<RunOutput>) {
        let mut current = self.current.lock();
        if let Some(gathered) = &*current
            && (gathered.task, gathered.attempt) == (task, attempt)
            && Arc::ptr_eq(&gathered.output, output)
        {
            return;
        }
        let (output, is_followed) = (output.clone(), false);
        let gathered = GatheredOutput {
            task,
            attempt,
            output,
            is_followed,
            sent: 0,
            last: None,
            is_told: false,
        };
        *current = Some(gathered);
        self.is_gathered.store(true, Ordering::Relaxed);
    }

    /// The output of the run that has ended.
    pub(crate) fn take(&self) -> Option<GatheredOutput> {
        if !self.is_gathered.load(Ordering::Relaxed) {
            return None;
        }
        self.is_gathered.store(false, Ordering::Relaxed);
        let mut gathered = self.current.lock().take()?;
        gathered.is_followed |= self.follows(gathered.task);
        Some(gathered)
    }

    /// These tasks are followed, and no others.
    pub(crate) fn follow(&self, tasks: &[u64]) {
        let before = std::mem::replace(&mut *self.followed.lock(), tasks.to_vec());
        let is_new = |task: u64| tasks.contains(&task) && !before.contains(&task);
        // Whoever follows a run from now on gets its output from the beginning.
        if let Some(gathered) = self.current.lock().as_mut().filter(|output| is_new(output.task)) {
            (gathered.sent, gathered.last) = (0, None);
        }
        self.is_followed.store(!tasks.is_empty(), Ordering::Relaxed);
    }

    fn follows(&self, task: u64) -> bool {
        self.is_followed.load(Ordering::Relaxed) && self.followed.lock().contains(&task)
    }

    /// What the run at hand has printed since the last time, if it is followed and it is time.
    pub(crate) fn next_piece(&self) -> Option<OutputPiece> {
        if !self.is_followed.load(Ordering::Relaxed) {
            return None;
        }
        let mut current = self.current.lock();
        let gathered = current.as_mut()?;
        let is_due = gathered.last.is_none_or(|last| last.elapsed() >= PERIOD);
        if !is_due || !self.follows(gathered.task) {
            return None;
        }
        gathered.is_followed = true;
        gathered.piece(false)
    }
}

impl GatheredOutput {
    /// What is new.
    fn piece(&mut self, ended: bool) -> Option<OutputPiece> {
        let (from, bytes) = self.output.since(self.sent, PIECE);
        if bytes.is_empty() && !ended {
            return None;
        }
        (self.sent, self.last) = (from + bytes.len() as u64, Some(Instant::now()));
        let (task, attempt) = (self.task, self.attempt);
        Some(OutputPiece { task, attempt, from, bytes: bytes.into(), ended })
    }

    /// The rest of the output of a run that has ended, piece by piece, if it is followed. The last one says so.
    pub(crate) fn last_piece(&mut self) -> Option<OutputPiece> {
        if !self.is_followed || self.is_told {
            return None;
        }
        self.is_told = self.output.printed() <= self.sent + PIECE as u64;
        self.piece(self.is_told)
    }

    /// What is kept of it.
    pub(crate) fn log(&self, is_kept: bool) -> Option<RunLog> {
        if is_kept { self.output.log() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_followed_is_sent() {
        let (threads, output) = (ThreadOutput::default(), Arc::new(RunOutput::default()));
        threads.gather((7, 1), &output);
        output.push(b"one ");
        assert_eq!(threads.next_piece(), None);
        threads.follow(&[8]);
        assert_eq!(threads.next_piece(), None);
        threads.follow(&[7, 8]);
        let piece = threads.next_piece().unwrap();
        assert_eq!((piece.from, &*piece.bytes, piece.ended), (0, &b"one "[..], false));
        output.push(&[b'x'; PIECE]);
        assert_eq!(threads.next_piece(), None, "it is too early");
        output.push(b"two");
        let mut gathered = threads.take().unwrap();
        assert!(threads.take().is_none());
        let last: Vec<_> = std::iter::from_fn(|| gathered.last_piece()).collect();
        let shape: Vec<_> = last.iter().map(|p| (p.from, p.bytes.len(), p.ended)).collect();
        assert_eq!(shape, [(4, PIECE, false), (4 + PIECE as u64, 3, true)]);
        assert_eq!(gathered.log(true).unwrap().printed, 7 + PIECE as u64);
        assert!(gathered.log(false).is_none());
    }
}
