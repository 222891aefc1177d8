//! How bytes get between rank 0 and the workers. One pair of traits; MPI, threads and virtual time
//! behind them. What the bytes mean is `message`'s business.

#[cfg(feature = "mpi")]
pub(crate) mod mpi;
#[cfg(test)]
pub(crate) mod simulated;
pub(crate) mod threads;

use std::time::Duration;

use bytes::Bytes;

use crate::error::{Error, Result};

/// How often processes tell each other that they are there.
pub(crate) const BEAT: Duration = Duration::from_secs(1);

/// Rank 0's end: every worker in one place.
pub(crate) trait Hub {
    /// How many workers there are: ranks 1 to this.
    fn workers(&self) -> usize;

    /// Time since the start.
    fn now(&self) -> Duration;

    /// The next message from any worker, with its rank; nothing if none came for `wait`.
    fn receive(&mut self, wait: Duration) -> Result<Option<(usize, Bytes)>>;

    /// Sends a worker a message.
    fn send(&mut self, rank: usize, bytes: Bytes) -> Result<()>;

    /// Sends a worker the last message it gets.
    fn send_last(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        self.send(rank, bytes)
    }

    /// Whether something is still on its way to a worker.
    fn is_sending(&self, _rank: usize) -> bool {
        false
    }

    /// A worker that is known to have died, each once.
    fn dead(&mut self) -> Option<usize> {
        None
    }

    /// A worker has died: in the end it is not to be waited for.
    fn hurry(&mut self) {}

    /// Rank 0 cannot go on, because of this. Where workers would wait for ever, it ends them.
    fn abandon(&mut self, _error: &Error) {}
}

/// A worker's end: rank 0 alone. One thread at a time uses it, not always the same.
pub(crate) trait Link: Send {
    /// This worker's rank.
    fn rank(&self) -> usize;

    /// Sends rank 0 a message.
    fn send(&mut self, bytes: Bytes) -> Result<()>;

    /// The next message from rank 0; nothing if none came for `wait`.
    fn receive(&mut self, wait: Duration) -> Result<Option<Bytes>>;

    /// A rank has died: in the end it is not to be waited for.
    fn hurry(&mut self) {}
}
