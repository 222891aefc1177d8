//! Who has been silent for too long.
//!
//! Time counts only as long as rank 0 attends: if it was held up itself, everybody's messages wait for
//! it, and nobody is given up for that.

use std::time::Duration;

/// The longest time between two events that counts as attended.
const STEP: Duration = Duration::from_secs(1);

/// How often to look.
const LOOK: Duration = Duration::from_secs(1);

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

    /// The workers whose lease has run out, if it is time to look.
    pub(super) fn run_out(&mut self) -> Vec<usize> {
        let Some(length) = self.length else { return Vec::new() };
        if self.clock < self.looked + LOOK {
            return Vec::new();
        }
        self.looked = self.clock;
        let silent = |heard: &Duration| self.clock > *heard + length;
        (self.lowest..)
            .zip(&self.heard)
            .filter(|(_, heard)| silent(heard))
            .map(|(rank, _)| rank)
            .collect()
    }
}
