//! Who has not been heard of for too long.
//!
//! Time counts only as long as rank 0 attends: if it was held up itself, everybody's messages wait for
//! it, and nobody is given up for that, nor is a job.

use std::time::Duration;

/// The longest time between two events that counts as attended.
const STEP: Duration = Duration::from_secs(1);

/// How often to look.
const LOOK: Duration = Duration::from_secs(1);

/// How long a job waits for one of its workers to come back when all are silent: as long as a network or
/// a file system that hangs, or a machine without memory, may need to recover.
pub(crate) const WAIT_FOR_SILENT: Duration = Duration::from_secs(5 * 60);

#[derive(Debug)]
pub(super) struct Leases {
    /// How long a worker may be silent; nothing if nobody ever is.
    length: Option<Duration>,
    /// The time that was attended.
    clock: Duration,
    now: Duration,
    looked: Duration,
    lowest: usize,
    /// When each worker was heard last, by that clock, from the lowest rank on.
    heard: Vec<Duration>,
}

impl Leases {
    pub(super) fn new(lowest: usize, workers: usize, length: Option<Duration>) -> Leases {
        Leases {
            lowest,
            length,
            clock: Duration::ZERO,
            now: Duration::ZERO,
            looked: Duration::ZERO,
            heard: vec![Duration::ZERO; workers],
        }
    }

    /// It is now so late.
    pub(super) fn tick(&mut self, now: Duration) {
        self.clock += now.saturating_sub(self.now).min(STEP);
        self.now = now;
    }

    /// A worker was heard.
    pub(super) fn renew(&mut self, rank: usize) {
        self.heard[rank - self.lowest] = self.clock;
    }

    /// For how long nothing was heard of a worker.
    pub(super) fn silence(&self, rank: usize) -> Duration {
        self.clock - self.heard[rank - self.lowest]
    }

    /// Whether a worker that is silent for so long need not be waited for.
    pub(super) fn is_hopeless(&self, silence: Duration) -> bool {
        silence > self.length.unwrap_or_default() + WAIT_FOR_SILENT
    }

    /// The workers whose lease has run out, if it is time to look.
    pub(super) fn run_out(&mut self) -> Vec<usize> {
        let Some(length) = self.length else { return Vec::new() };
        if self.clock < self.looked + LOOK {
            return Vec::new();
        }
        self.looked = self.clock;
        // Rank 0's own worker is a thread beside its loop: it has no heartbeat and needs none.
        let all = self.lowest.max(1)..self.lowest + self.heard.len();
        all.filter(|rank| self.silence(*rank) > length).collect()
    }
}
