//! Transport of bytes between rank 0 and the workers: two traits, implemented over MPI, threads and
//! virtual time. `messages.rs` defines what the bytes mean.

#[cfg(feature = "mpi")]
pub(crate) mod mpi;
#[cfg(test)]
pub(crate) mod simulated;
pub(crate) mod threads;
#[cfg(feature = "mpi")]
pub(crate) mod with_local;

use std::time::Duration;

use bytes::Bytes;

use crate::util::error::{Error, Result};

pub(crate) const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);

/// Rank 0's end: the connections of all workers.
pub(crate) trait Hub {
    /// Number of workers, ranks 1 to this.
    fn workers(&self) -> usize;

    /// Time since the start.
    fn now(&self) -> Duration;

    /// Receives the next message from any worker into `buffer`, replacing its contents. Returns the
    /// worker's rank, or `None` if no message arrived within `wait`.
    fn receive(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<Option<usize>>;

    /// The message received last was a heartbeat: what is waited for has not come.
    fn beat(&mut self) {}

    fn send(&mut self, rank: usize, bytes: Bytes) -> Result<()>;

    /// Sends a message small enough to be copied.
    fn send_small(&mut self, rank: usize, bytes: &[u8]) -> Result<()> {
        self.send(rank, Bytes::copy_from_slice(bytes))
    }

    /// Sends a message that may arrive before earlier ones, because nothing depends on their order.
    fn send_reply(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        self.send(rank, bytes)
    }

    /// Sends a worker its last message.
    fn send_last(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        self.send(rank, bytes)
    }

    /// Whether a message to a worker is still being sent.
    fn is_sending(&self, _rank: usize) -> bool {
        false
    }

    /// A worker that gave a sign of life without a complete message: a message is queued behind a longer
    /// one, or a long one to or from it has made progress. Reported once per sign.
    fn alive(&mut self) -> Option<usize> {
        None
    }

    /// A worker that is known to have died; reported once.
    fn dead(&mut self) -> Option<usize> {
        None
    }

    /// Skips `MPI_Finalize` at the end, because a worker has died.
    fn skip_finalize(&mut self) {}

    /// Handles a fatal error on rank 0: ends workers that would otherwise wait forever.
    fn abort(&mut self, _error: &Error) {}
}

/// A worker's end: the connection to rank 0. Used by one thread at a time, not always the same.
pub(crate) trait Link: Send {
    fn rank(&self) -> usize;

    fn send(&mut self, bytes: Bytes) -> Result<()>;

    /// Sends a message small enough to be copied.
    fn send_small(&mut self, bytes: &[u8]) -> Result<()> {
        self.send(Bytes::copy_from_slice(bytes))
    }

    /// Sends a heartbeat, which has no answer.
    fn send_beat(&mut self, bytes: &[u8]) -> Result<()> {
        self.send_small(bytes)
    }

    /// The message received last was a heartbeat: what is waited for has not come.
    fn beat(&mut self) {}

    /// Receives the next message into `buffer`, replacing its contents; whether one arrived within `wait`.
    fn receive(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<bool>;

    /// Whether rank 0 gave a sign of life without a complete message since the last call.
    fn alive(&mut self) -> bool {
        false
    }

    /// Whether a message is announced and not complete.
    fn is_receiving(&self) -> bool {
        false
    }

    /// Skips `MPI_Finalize` at the end, because a rank has died.
    fn skip_finalize(&mut self) {}
}
