//! What is on its way between this rank and others: begun, looked after, never waited for.

use std::collections::{BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};

use super::raw::{Failure, From, Outgoing, Receiving, Sending, World};
use crate::error::{Error, Result};

/// The tag of a whole message, or of its last part.
const WHOLE: i32 = 1;
/// The tag of a part that others follow.
const PART: i32 = 2;
/// A message up to this comes in one piece over every network, together with its announcement. (bytes)
const SMALL: usize = 256;
/// How long a part may be. (bytes)
const PART_LENGTH: usize = 1 << 30;

/// What is on its way between this rank and others.
pub(super) struct Traffic {
    world: World,
    /// Rank 0 hears everybody, the others rank 0: nobody else's death concerns them.
    from: From,
    /// Buffers that small messages were sent from, to be used again.
    spare: Vec<Vec<u8>>,
    /// What has not left yet, by rank, in order.
    pub(super) to: Vec<VecDeque<Sending>>,
    /// The ranks something has not left for.
    sending: BTreeSet<usize>,
    coming: Vec<Coming>,
    /// The ranks something is under way from.
    open: BTreeSet<usize>,
    /// The ranks that have had their last message.
    pub(super) left: BTreeSet<usize>,
    /// The ranks that MPI knows to be dead, and those of them that nobody was told of.
    pub(super) dead: BTreeSet<usize>,
    pub(super) news: VecDeque<usize>,
}

/// What is under way from one rank.
#[derive(Default)]
struct Coming {
    /// In order.
    parts: VecDeque<Receiving>,
    /// The parts that are there, of a message that is not.
    message: BytesMut,
}

impl Traffic {
    pub(super) fn new(size: usize, own: usize) -> Traffic {
        Traffic {
            world: World::new(),
            from: if own == 0 { From::Anybody } else { From::Rank(0) },
            spare: Vec::new(),
            to: (0..size).map(|_| VecDeque::new()).collect(),
            sending: BTreeSet::new(),
            coming: (0..size).map(|_| Coming::default()).collect(),
            open: BTreeSet::new(),
            left: BTreeSet::new(),
            dead: BTreeSet::new(),
            news: VecDeque::new(),
        }
    }

    /// Begins to send. What goes to a dead rank goes nowhere.
    pub(super) fn send(&mut self, rank: usize, mut bytes: Bytes) -> Result<()> {
        while !self.dead.contains(&rank) {
            let last = bytes.len() <= PART_LENGTH;
            let part = bytes.split_to(bytes.len().min(PART_LENGTH));
            let begun =
                self.world.send(rank, if last { WHOLE } else { PART }, Outgoing::Shared(part));
            let begun = begun.and_then(|mut sending| Ok((!sending.is_over()?).then_some(sending)));
            match begun {
                Ok(None) => {}
                Ok(Some(sending)) => {
                    self.to[rank].push_back(sending);
                    self.sending.insert(rank);
                }
                Err(failure) => self.explain(Some(rank), failure)?,
            }
            if last {
                break;
            }
        }
        Ok(())
    }

    /// Begins to send a copy.
    pub(super) fn send_small(&mut self, rank: usize, bytes: &[u8]) -> Result<()> {
        if bytes.len() > SMALL || self.dead.contains(&rank) {
            return self.send(rank, Bytes::copy_from_slice(bytes));
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.extend_from_slice(bytes);
        let begun = self.world.send(rank, WHOLE, Outgoing::Own(buffer));
        let begun = begun.and_then(|mut sending| Ok((sending.is_over()?, sending)));
        match begun {
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
    /// to receive what is there.
    pub(super) fn poll(&mut self, buffer: &mut Vec<u8>) -> Result<Option<usize>> {
        self.look_after_sends()?;
        loop {
            match self.world.probe(self.from) {
                Ok(None) => break,
                Ok(Some(probed)) => {
                    let rank = probed.rank;
                    self.dead.remove(&rank); // it was only out of reach
                    // All of it is there: a receive that waits does not.
                    if probed.length <= SMALL
                        && probed.tag == WHOLE
                        && self.coming[rank].parts.is_empty()
                        && self.coming[rank].message.is_empty()
                    {
                        match self.world.receive_now(&probed, buffer) {
                            Ok(()) => return Ok(Some(rank)),
                            Err(failure) => self.explain(Some(rank), failure)?,
                        }
                        continue;
                    }
                    match self.world.receive(&probed) {
                        Ok(receiving) => {
                            self.coming[rank].parts.push_back(receiving);
                            if let Some(message) = self.complete(rank)? {
                                *buffer = message.into();
                                return Ok(Some(rank));
                            }
                            self.open.insert(rank);
                        }
                        Err(failure) => self.explain(Some(rank), failure)?,
                    }
                }
                Err(failure) => {
                    self.explain(None, failure)?;
                    break;
                }
            }
        }
        if self.open.is_empty() {
            return Ok(None);
        }
        for rank in self.open.clone() {
            if let Some(message) = self.complete(rank)? {
                *buffer = message.into();
                return Ok(Some(rank));
            }
        }
        Ok(None)
    }

    /// The next message of a rank, if all of it is there.
    fn complete(&mut self, rank: usize) -> Result<Option<Bytes>> {
        let coming = &mut self.coming[rank];
        while let Some(receiving) = coming.parts.front_mut() {
            match receiving.is_over() {
                Ok(false) => return Ok(None),
                Ok(true) => {
                    let Some(part) = coming.parts.pop_front() else { break };
                    let is_last = part.tag == WHOLE;
                    let bytes = part.take();
                    if is_last && coming.message.is_empty() {
                        return Ok(Some(bytes.into()));
                    }
                    coming.message.extend_from_slice(&bytes);
                    if is_last {
                        return Ok(Some(std::mem::take(&mut coming.message).freeze()));
                    }
                }
                Err(failure) => {
                    coming.parts.pop_front();
                    self.explain(Some(rank), failure)?;
                    return Ok(None);
                }
            }
        }
        self.open.remove(&rank);
        Ok(None)
    }

    /// Sees whether a call failed because a rank has died or cannot be reached, which is no error here:
    /// others go on. `with` is the rank the call was about, if it was about one.
    fn explain(&mut self, with: Option<usize>, failure: Failure) -> Result<()> {
        let known = self.dead.len();
        for rank in self.world.dead().into_iter().chain(with) {
            if self.dead.insert(rank) {
                self.news.push_back(rank);
                self.to[rank].clear();
            }
        }
        if self.dead.contains(&0) {
            let Failure(why) = failure;
            return Err(Error::unexpected(format!("rank 0 cannot be reached: {why}")));
        }
        let is_explained = self.dead.len() > known || with.is_some();
        if is_explained { Ok(()) } else { Err(Error::unexpected(failure.0)) }
    }
}
