//! Transport between threads of this process: the same encoded messages, without MPI.

use std::collections::VecDeque;
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
    /// Workers whose threads have ended.
    dead: VecDeque<usize>,
    all_ended: bool,
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
    let (dead, start) = (VecDeque::new(), Instant::now());
    (ThreadHub { from_workers, lowest, to_workers, dead, all_ended: false, start }, links)
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
            // All of them have ended, for good.
            Err(RecvTimeoutError::Disconnected) => {
                if std::mem::replace(&mut self.all_ended, true) {
                    std::thread::sleep(wait);
                } else {
                    self.dead.extend(self.lowest..self.lowest + self.to_workers.len());
                }
                Ok(None)
            }
        }
    }

    fn send(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        if self.to_workers[rank - self.lowest].send(bytes).is_err() {
            self.dead.push_back(rank);
        }
        Ok(())
    }

    fn dead(&mut self) -> Option<usize> {
        self.dead.pop_front()
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
