//! Transport between threads of this process: the same encoded messages, without MPI.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::wire::transport::{Hub, Link};
use bytes::Bytes;

use crate::util::error::{Error, Result};

/// Rank 0's end.
pub(crate) struct ThreadHub {
    from_workers: Receiver<(usize, Bytes)>,
    lowest: usize,
    to_workers: Vec<Sender<Bytes>>,
    start: Instant,
}

/// A worker's end.
pub(crate) struct ThreadLink {
    rank: usize,
    to_hub: Sender<(usize, Bytes)>,
    from_hub: Receiver<Bytes>,
}

/// A hub and its links for `workers` ranks from `lowest` up.
pub(crate) fn connect(lowest: usize, workers: usize) -> (ThreadHub, Vec<ThreadLink>) {
    let (to_hub, from_workers) = channel();
    let mut to_workers = Vec::new();
    let mut links = Vec::new();
    for rank in lowest..lowest + workers {
        let (to_worker, from_hub) = channel();
        to_workers.push(to_worker);
        links.push(ThreadLink { rank, to_hub: to_hub.clone(), from_hub });
    }
    (ThreadHub { from_workers, lowest, to_workers, start: Instant::now() }, links)
}

impl Hub for ThreadHub {
    fn workers(&self) -> usize {
        self.to_workers.len()
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn receive(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<Option<usize>> {
        match self.from_workers.recv_timeout(wait) {
            Ok((rank, bytes)) => {
                *buffer = bytes.into();
                Ok(Some(rank))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Error::unexpected("all workers have ended")),
        }
    }

    fn send(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        let gone = |_| Error::unexpected(format!("worker {rank} has ended"));
        self.to_workers[rank - self.lowest].send(bytes).map_err(gone)
    }
}

impl Link for ThreadLink {
    fn rank(&self) -> usize {
        self.rank
    }

    fn send(&mut self, bytes: Bytes) -> Result<()> {
        let message = (self.rank, bytes);
        self.to_hub.send(message).map_err(|_| Error::unexpected("rank 0 has ended"))
    }

    fn receive(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<bool> {
        match self.from_hub.recv_timeout(wait) {
            Ok(bytes) => {
                *buffer = bytes.into();
                Ok(true)
            }
            Err(RecvTimeoutError::Timeout) => Ok(false),
            Err(RecvTimeoutError::Disconnected) => Err(Error::unexpected("rank 0 has ended")),
        }
    }
}
