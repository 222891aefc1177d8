//! What is on its way between this rank and others: begun, looked after, never waited for.

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::Sender;

use bytes::Bytes;

use crate::util::error::{Error, Result};
use crate::wire::transport::mpi::raw::{
    MessageSource, MpiFailure, Outgoing, PostedReceives, Receiving, SLOT, Sending, World,
};

/// The tag of a small message.
const SMALL_ONE: i32 = 1;
/// The tag of a part of a long one.
const PART: i32 = 2;
/// What a small message ends with: before this is a whole message, or the length of a long one, whose
/// parts follow.
const WHOLE: u8 = 0;
const LONG: u8 = 1;
/// A message up to this is a small one: it comes in one piece over every network. (bytes)
const SMALL: usize = SLOT - 1;
/// How long a part may be. (bytes)
const PART_LENGTH: usize = 1 << 30;

/// What is on its way between this rank and others.
pub(super) struct Traffic {
    world: World,
    /// Rank 0 hears everybody, the others rank 0: nobody else's death concerns them.
    waiting: PostedReceives,
    /// Buffers that small messages were sent from, to be used again.
    spare: Vec<Vec<u8>>,
    /// What has not left yet, by rank, in order.
    pub(super) to: Vec<VecDeque<Sending>>,
    /// The ranks something has not left for.
    sending: BTreeSet<usize>,
    /// What has come from each rank, or is coming, in order.
    coming: Vec<VecDeque<Message>>,
    /// The ranks something is under way from.
    open: BTreeSet<usize>,
    /// The ranks that have had their last message.
    pub(super) left: BTreeSet<usize>,
    /// The ranks that MPI knows to be dead, and where each of them is told of.
    pub(super) dead: BTreeSet<usize>,
    news: Sender<usize>,
}

enum Message {
    Whole(Vec<u8>),
    Long(Receiving),
}

impl Traffic {
    /// Ranks that die are told of in `news`.
    pub(super) fn new(size: usize, own: usize, news: Sender<usize>) -> Result<Traffic> {
        let world = World::new();
        let from = if own == 0 { MessageSource::Anybody } else { MessageSource::Rank(0) };
        let waiting = PostedReceives::new(&world, from, SMALL_ONE);
        Ok(Traffic {
            waiting: waiting.map_err(|MpiFailure(why)| Error::unexpected(why))?,
            world,
            spare: Vec::new(),
            to: (0..size).map(|_| VecDeque::new()).collect(),
            sending: BTreeSet::new(),
            coming: (0..size).map(|_| VecDeque::new()).collect(),
            open: BTreeSet::new(),
            left: BTreeSet::new(),
            dead: BTreeSet::new(),
            news,
        })
    }

    /// Begins to send. What goes to a dead rank goes nowhere.
    pub(super) fn send(&mut self, rank: usize, mut bytes: Bytes) -> Result<()> {
        if bytes.len() <= SMALL {
            return self.send_small(rank, &bytes);
        }
        self.announce(rank, LONG, &(bytes.len() as u64).to_le_bytes())?;
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(PART_LENGTH));
            self.begin(rank, PART, Outgoing::Shared(part))?;
        }
        Ok(())
    }

    /// Begins to send a copy.
    pub(super) fn send_small(&mut self, rank: usize, bytes: &[u8]) -> Result<()> {
        match bytes.len() {
            ..=SMALL => self.announce(rank, WHOLE, bytes),
            _ => self.send(rank, Bytes::copy_from_slice(bytes)),
        }
    }

    fn announce(&mut self, rank: usize, what: u8, bytes: &[u8]) -> Result<()> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.extend_from_slice(bytes);
        buffer.push(what);
        self.begin(rank, SMALL_ONE, Outgoing::Own(buffer))
    }

    fn begin(&mut self, rank: usize, tag: i32, out: Outgoing) -> Result<()> {
        if self.dead.contains(&rank) {
            return Ok(());
        }
        let begun = self.world.send(rank, tag, out);
        match begun.and_then(|mut sending| Ok((sending.is_over()?, sending))) {
            Ok((true, sending)) => self.spare.extend(sending.buffer()),
            Ok((false, sending)) => {
                self.to[rank].push_back(sending);
                self.sending.insert(rank);
            }
            Err(failure) => self.explain(Some(rank), failure)?,
        }
        Ok(())
    }

    /// Whether something is still on its way out to somebody who is there.
    pub(super) fn is_sending(&mut self) -> bool {
        let _ = self.look_after_sends();
        !self.sending.is_empty()
    }

    /// Waits for nothing any more: before MPI is shut down.
    pub(super) fn end(&mut self) {
        self.waiting.end();
    }

    fn look_after_sends(&mut self) -> Result<()> {
        if self.sending.is_empty() {
            return Ok(());
        }
        for rank in self.sending.clone() {
            while let Some(sending) = self.to[rank].front_mut() {
                match sending.is_over() {
                    Ok(false) => break,
                    Ok(true) => {
                        let sent = self.to[rank].pop_front();
                        self.spare.extend(sent.and_then(Sending::buffer));
                    }
                    Err(failure) => {
                        self.to[rank].pop_front();
                        self.explain(Some(rank), failure)?;
                    }
                }
            }
            if self.to[rank].is_empty() {
                self.sending.remove(&rank);
            }
        }
        Ok(())
    }

    /// A message that is complete, if there is one, in place of what is in `buffer`; who sent it. Begins
    /// to receive what is announced.
    pub(super) fn poll(&mut self, buffer: &mut Vec<u8>) -> Result<Option<usize>> {
        self.look_after_sends()?;
        for rank in self.open.clone() {
            if let Some(message) = self.complete(rank)? {
                *buffer = message;
                return Ok(Some(rank));
            }
        }
        loop {
            let rank = match self.waiting.take(buffer) {
                Ok(Some(rank)) => rank,
                Ok(None) => return Ok(None),
                Err(failure) => {
                    self.explain(None, failure)?;
                    return Ok(None);
                }
            };
            self.dead.remove(&rank); // it was only out of reach
            let message = if buffer.pop() == Some(WHOLE) {
                if self.coming[rank].is_empty() {
                    return Ok(Some(rank));
                }
                Message::Whole(buffer.clone())
            } else {
                let length = u64::from_le_bytes(buffer.first_chunk().copied().unwrap_or_default());
                match self.world.receive(rank, PART, length as usize, PART_LENGTH) {
                    Ok(begun) => Message::Long(begun),
                    Err(failure) => {
                        self.explain(Some(rank), failure)?;
                        continue;
                    }
                }
            };
            self.coming[rank].push_back(message);
            self.open.insert(rank);
        }
    }

    /// The next message of a rank, if all of it is there.
    fn complete(&mut self, rank: usize) -> Result<Option<Vec<u8>>> {
        if let Some(Message::Long(message)) = self.coming[rank].front_mut() {
            match message.is_over() {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(failure) => {
                    self.coming[rank].pop_front();
                    self.explain(Some(rank), failure)?;
                    return Ok(None);
                }
            }
        }
        let message = self.coming[rank].pop_front();
        if self.coming[rank].is_empty() {
            self.open.remove(&rank);
        }
        Ok(message.map(|message| match message {
            Message::Whole(bytes) => bytes,
            Message::Long(message) => message.take(),
        }))
    }

    /// Sees whether a call failed because a rank has died or cannot be reached, which is no error here:
    /// others go on. `with` is the rank the call was about, if it was about one.
    fn explain(&mut self, with: Option<usize>, failure: MpiFailure) -> Result<()> {
        let known = self.dead.len();
        for rank in self.world.dead().into_iter().chain(with) {
            if self.dead.insert(rank) {
                let _ = self.news.send(rank); // nobody is there to be told at the end
                self.to[rank].clear();
            }
        }
        if self.dead.contains(&0) {
            let MpiFailure(why) = failure;
            return Err(Error::unexpected(format!("rank 0 cannot be reached: {why}")));
        }
        let is_explained = self.dead.len() > known || with.is_some();
        if is_explained { Ok(()) } else { Err(Error::unexpected(failure.0)) }
    }
}
