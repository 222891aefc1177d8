//! How bytes get between rank 0 and the workers. One pair of traits; MPI, threads and virtual time
//! behind them. What the bytes mean is `message`'s business.

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

/// How often processes tell each other that they are there.
pub(crate) const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);

/// Rank 0's end: every worker in one place.
pub(crate) trait Hub {
    /// How many workers there are: ranks 1 to this.
    fn workers(&self) -> usize;

    /// Time since the start.
    fn now(&self) -> Duration;

    /// The next message from any worker, in place of what is in `buffer`; the worker's rank, or nothing
    /// if none came for `wait`.
    fn receive(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<Option<usize>>;

    /// Sends a worker a message.
    fn send(&mut self, rank: usize, bytes: Bytes) -> Result<()>;

    /// Sends a worker a message so small that it is best copied.
    fn send_small(&mut self, rank: usize, bytes: &[u8]) -> Result<()> {
        self.send(rank, Bytes::copy_from_slice(bytes))
    }

    /// Sends a worker the last message it gets.
    fn send_last(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        self.send(rank, bytes)
    }

    /// Whether something is still on its way to a worker.
    fn is_sending(&self, _rank: usize) -> bool {
        false
    }

    /// A worker that is known to be there although no message of it is complete: one that has come waits
    /// behind a longer one, or a long one to or from it has come further. Each once since it was asked.
    fn alive(&mut self) -> Option<usize> {
        None
    }

    /// A worker that is known to have died, each once.
    fn dead(&mut self) -> Option<usize> {
        None
    }

    /// A worker has died: in the end it is not to be waited for.
    fn skip_finalize(&mut self) {}

    /// Rank 0 cannot go on, because of this. Where workers would wait for ever, it ends them.
    fn abort(&mut self, _error: &Error) {}
}

/// A worker's end: rank 0 alone. One thread at a time uses it, not always the same.
pub(crate) trait Link: Send {
    /// This worker's rank.
    fn rank(&self) -> usize;

    /// Sends rank 0 a message.
    fn send(&mut self, bytes: Bytes) -> Result<()>;

    /// Sends rank 0 a message so small that it is best copied.
    fn send_small(&mut self, bytes: &[u8]) -> Result<()> {
        self.send(Bytes::copy_from_slice(bytes))
    }

    /// The next message from rank 0, in place of what is in `buffer`; whether one came within `wait`.
    fn receive(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<bool>;

    /// Whether rank 0 is known to be there although no message of it is complete, since this was asked.
    fn alive(&mut self) -> bool {
        false
    }

    /// Whether a message from rank 0 is announced, and not all of it is here.
    fn is_receiving(&self) -> bool {
        false
    }

    /// A rank has died: in the end it is not to be waited for.
    fn skip_finalize(&mut self) {}
}
