//! Transport for rank 0 with local threads: combines the other ranks and a worker in rank 0's process.

use std::time::Duration;

use bytes::Bytes;

use crate::util::error::{Error, Result};
use crate::wire::transport::Hub;
use crate::wire::transport::threads::ThreadHub;

/// How long to wait for other ranks before polling the local threads again.
const TURN: Duration = Duration::from_millis(1);

/// The other ranks and the local worker.
pub(crate) struct WithLocal<'a> {
    ranks: &'a mut dyn Hub,
    own: ThreadHub,
    /// Whether the local worker was dismissed.
    left: bool,
}

impl<'a> WithLocal<'a> {
    pub(crate) fn new(ranks: &'a mut dyn Hub, own: ThreadHub) -> WithLocal<'a> {
        WithLocal { ranks, own, left: false }
    }
}

impl Hub for WithLocal<'_> {
    fn workers(&self) -> usize {
        self.ranks.workers()
    }

    fn now(&self) -> Duration {
        self.ranks.now()
    }

    fn receive(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<Option<usize>> {
        let mut left = wait;
        loop {
            if !self.left
                && let Some(rank) = self.own.receive(Duration::ZERO, buffer)?
            {
                return Ok(Some(rank));
            }
            let turn = left.min(TURN);
            if let Some(rank) = self.ranks.receive(turn, buffer)? {
                return Ok(Some(rank));
            }
            left -= turn;
            if left.is_zero() {
                return Ok(None);
            }
        }
    }

    fn beat(&mut self) {
        self.ranks.beat(); // the local worker sends none
    }

    fn send(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        if rank == 0 { self.own.send(rank, bytes) } else { self.ranks.send(rank, bytes) }
    }

    fn send_small(&mut self, rank: usize, bytes: &[u8]) -> Result<()> {
        match rank {
            0 => self.own.send_small(rank, bytes),
            _ => self.ranks.send_small(rank, bytes),
        }
    }

    fn send_reply(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        match rank {
            0 => self.own.send_reply(rank, bytes),
            _ => self.ranks.send_reply(rank, bytes),
        }
    }

    fn send_last(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        if rank == 0 {
            self.left = true;
            return self.own.send(rank, bytes);
        }
        self.ranks.send_last(rank, bytes)
    }

    fn is_sending(&self, rank: usize) -> bool {
        rank > 0 && self.ranks.is_sending(rank)
    }

    fn alive(&mut self) -> Option<usize> {
        self.ranks.alive()
    }

    fn dead(&mut self) -> Option<usize> {
        self.own.dead().filter(|_| !self.left).or_else(|| self.ranks.dead())
    }

    fn skip_finalize(&mut self) {
        self.ranks.skip_finalize();
    }

    fn abort(&mut self, error: &Error) {
        self.ranks.abort(error);
    }
}
