//! Leases: which workers have been silent for too long.
//!
//! Only time during which rank 0 processes messages counts. If rank 0 itself was blocked, messages are
//! queued, and neither a worker nor the job is given up for that.

use std::time::Duration;

/// The most time that counts between two events.
const STEP: Duration = Duration::from_secs(1);

/// How often expired leases are searched.
const POLL_PERIOD: Duration = Duration::from_secs(1);

/// How long a job waits for a worker to come back when all are silent. Long enough for a hung network or
/// file system, or a host out of memory, to recover.
pub(crate) const WAIT_FOR_SILENT: Duration = Duration::from_secs(5 * 60);

#[derive(Debug)]
pub(super) struct Leases {
    /// How long a worker may be silent; unlimited if `None`.
    length: Option<Duration>,
    /// The sum of the time that counts.
    clock: Duration,
    now: Duration,
    looked: Duration,
    lowest: usize,
    /// Value of `clock` at each worker's last sign of life, from the lowest rank.
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

    /// Advances the clock.
    pub(super) fn tick(&mut self, now: Duration) {
        self.clock += now.saturating_sub(self.now).min(STEP);
        self.now = now;
    }

    /// Renews the lease of a worker after a sign of life.
    pub(super) fn renew(&mut self, rank: usize) {
        self.heard[rank - self.lowest] = self.clock;
    }

    /// Time since the last sign of life of a worker.
    pub(super) fn silence(&self, rank: usize) -> Duration {
        self.clock - self.heard[rank - self.lowest]
    }

    /// Whether a worker that has been silent this long is not expected back.
    pub(super) fn is_hopeless(&self, silence: Duration) -> bool {
        silence > self.length.unwrap_or_default() + WAIT_FOR_SILENT
    }

    /// Workers whose lease has expired; checked once per second.
    pub(super) fn run_out(&mut self) -> Vec<usize> {
        let Some(length) = self.length else { return Vec::new() };
        if self.clock < self.looked + POLL_PERIOD {
            return Vec::new();
        }
        self.looked = self.clock;
        // The worker on rank 0 is a local thread, which needs no heartbeat.
        let all = self.lowest.max(1)..self.lowest + self.heard.len();
        all.filter(|rank| self.silence(*rank) > length).collect()
    }
}
