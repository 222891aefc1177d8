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
/// How long a part may be, and how many of a rank's are under way at a time. MPI mostly copies a part in
/// one call, for which a heartbeat has to wait; over a slow line it has to wait for the parts before it;
/// and each that has crossed is a sign of life. (bytes)
const PART_LENGTH: usize = 4 << 20;
const PARTS: usize = 4;

/// What is on its way between this rank and others.
pub(super) struct Traffic {
    world: World,
    /// Rank 0 hears everybody, the others rank 0: nobody else's death concerns them.
    waiting: PostedReceives,
    /// Buffers that small messages were sent from, to be used again.
    spare: Vec<Vec<u8>>,
    /// What has not left yet, by rank.
    pub(super) to: Vec<Outbox>,
    /// The ranks something has not left for.
    sending: BTreeSet<usize>,
    /// What has come from each rank, or is coming, in order.
    coming: Vec<VecDeque<Message>>,
    /// The ranks something is under way from.
    open: BTreeSet<usize>,
    /// The ranks that are known to be there although no message of theirs is complete: until it is asked.
    pub(super) signs: BTreeSet<usize>,
    /// Whether a long message has come further: until it is asked.
    pub(super) moved: bool,
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

/// What has not left yet for a rank.
#[derive(Default)]
pub(super) struct Outbox {
    /// Small messages, in order.
    small: VecDeque<Sending>,
    /// Parts of long ones that are under way, in order, and what comes after them.
    parts: VecDeque<Part>,
    rest: VecDeque<Bytes>,
}

struct Part {
    sending: Sending,
    /// A full one has left only when its receiver takes it; what is short may be on its way to nobody.
    is_full: bool,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.parts.is_empty() && self.rest.is_empty()
    }

    /// How many small messages the rank has not taken.
    pub(super) fn untaken(&self) -> usize {
        self.small.len()
    }

    /// Looks after what is under way and begins what may be. Whether a part has left that shows that the
    /// rank is there. Buffers of small messages that have left become spare.
    fn go_on(
        &mut self,
        (world, rank): (&World, usize),
        spare: &mut Vec<Vec<u8>>,
    ) -> Result<bool, MpiFailure> {
        while let Some(sending) = self.small.front_mut() {
            let over = sending.is_over();
            if let Ok(false) = over {
                break;
            }
            let sent = self.small.pop_front();
            over?;
            spare.extend(sent.and_then(Sending::buffer));
        }
        let mut is_there = false;
        for _ in 0..PARTS {
            while self.parts.len() < PARTS
                && let Some(rest) = self.rest.front_mut()
            {
                let part = rest.split_to(rest.len().min(PART_LENGTH));
                if rest.is_empty() {
                    self.rest.pop_front();
                }
                let is_full = part.len() == PART_LENGTH;
                let sending = world.send(rank, PART, Outgoing::Shared(part))?;
                self.parts.push_back(Part { sending, is_full });
            }
            let Some(part) = self.parts.front_mut() else { break };
            let over = part.sending.is_over();
            if let Ok(false) = over {
                break;
            }
            is_there |= part.is_full;
            self.parts.pop_front();
            over?;
        }
        Ok(is_there)
    }
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
            to: (0..size).map(|_| Outbox::default()).collect(),
            sending: BTreeSet::new(),
            coming: (0..size).map(|_| VecDeque::new()).collect(),
            open: BTreeSet::new(),
            signs: BTreeSet::new(),
            moved: false,
            left: BTreeSet::new(),
            dead: BTreeSet::new(),
            news,
        })
    }

    /// Begins to send. What goes to a dead rank goes nowhere.
    pub(super) fn send(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        if bytes.len() <= SMALL {
            return self.send_small(rank, &bytes);
        }
        self.announce_long(rank, bytes.len())?;
        self.send_long(rank, bytes)
    }

    pub(super) fn announce_long(&mut self, rank: usize, length: usize) -> Result<()> {
        self.announce(rank, LONG, &(length as u64).to_le_bytes())
    }

    /// Begins to send what was announced.
    pub(super) fn send_long(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        if !self.dead.contains(&rank) {
            self.to[rank].rest.push_back(bytes);
            self.sending.insert(rank);
            self.look_after(rank)?;
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
        if self.dead.contains(&rank) {
            return Ok(());
        }
        let begun = self.world.send(rank, SMALL_ONE, Outgoing::Own(buffer));
        match begun.and_then(|mut sending| Ok((sending.is_over()?, sending))) {
            Ok((true, sending)) => self.spare.extend(sending.buffer()),
            Ok((false, sending)) => {
                self.to[rank].small.push_back(sending);
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

    /// Whether a message is coming from a rank.
    pub(super) fn is_receiving(&self, rank: usize) -> bool {
        self.open.contains(&rank)
    }

    /// A long message to or from a rank comes further.
    fn moves(&mut self, rank: usize) {
        self.signs.insert(rank);
        self.moved = true;
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
            self.look_after(rank)?;
        }
        Ok(())
    }

    fn look_after(&mut self, rank: usize) -> Result<()> {
        match self.to[rank].go_on((&self.world, rank), &mut self.spare) {
            Ok(true) => self.moves(rank),
            Ok(false) => {}
            Err(failure) => self.explain(Some(rank), failure)?,
        }
        if self.to[rank].is_empty() {
            self.sending.remove(&rank);
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
            let is_first = self.coming[rank].is_empty();
            let message = if buffer.pop() == Some(WHOLE) {
                if is_first {
                    return Ok(Some(rank));
                }
                self.signs.insert(rank);
                Message::Whole(buffer.clone())
            } else {
                let length = u64::from_le_bytes(buffer.first_chunk().copied().unwrap_or_default());
                if length as usize > PART_LENGTH {
                    self.moves(rank); // a shorter one comes as soon as its first part would
                }
                Message::Long(Receiving::new(rank, PART, length as usize, PART_LENGTH))
            };
            self.coming[rank].push_back(message);
            self.open.insert(rank);
            if is_first && let Some(message) = self.complete(rank)? {
                *buffer = message;
                return Ok(Some(rank));
            }
        }
    }

    /// The next message of a rank, if all of it is there.
    fn complete(&mut self, rank: usize) -> Result<Option<Vec<u8>>> {
        if let Some(Message::Long(message)) = self.coming[rank].front_mut() {
            let came = message.go_on(&self.world, PARTS);
            match came {
                Ok(_) if message.is_over() => {}
                Ok(0) => return Ok(None),
                Ok(_) => {
                    self.moves(rank);
                    return Ok(None);
                }
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
                self.to[rank] = Outbox::default();
                self.signs.remove(&rank);
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
