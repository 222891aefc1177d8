//! Messages in flight between this rank and others; all operations are nonblocking.

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::Sender;

use bytes::Bytes;

use crate::util::error::{Error, Result};
use crate::wire::transport::mpi::raw::{
    MessageSource, MpiFailure, PostedReceives, Receiving, SLOT, Sending, World,
};

/// The MPI tag of a small message.
const SMALL_ONE: i32 = 1;
/// The MPI tag of a part of a long message.
const PART: i32 = 2;
/// The last byte of a small message: the bytes before it are a whole message, or the length of a long
/// message whose parts follow.
const WHOLE: u8 = 0;
const LONG: u8 = 1;
/// A message up to this length is small: every network sends it eagerly, in one piece. (bytes)
const SMALL: usize = SLOT - 1;
/// The longest part, in bytes, and the most parts in flight per rank. MPI mostly copies a part in one
/// call, and a heartbeat waits for that call; on a slow network it also waits for the parts before it.
/// Each part that has arrived is a sign of life.
const PART_LENGTH: usize = 4 << 20;
const PARTS: usize = 4;

/// Messages in flight between this rank and others.
pub(super) struct Traffic {
    world: World,
    /// Rank 0 receives from any rank. Workers receive from rank 0 only, so that the death of another worker
    /// does not affect them.
    waiting: PostedReceives,
    /// Free send buffers of small messages.
    spare: Vec<Vec<u8>>,
    /// Pending sends, by rank.
    pub(super) to: Vec<Outbox>,
    /// Ranks with pending sends.
    sending: BTreeSet<usize>,
    /// Messages received or being received, per rank, in order.
    coming: Vec<VecDeque<Message>>,
    /// Ranks with messages being received.
    open: BTreeSet<usize>,
    /// Ranks that gave a sign of life without a complete message since the last query.
    pub(super) signs: BTreeSet<usize>,
    /// Whether a long message has made progress since the last query.
    pub(super) moved: bool,
    /// Ranks that were sent their last message.
    pub(super) left: BTreeSet<usize>,
    /// Ranks known to be dead, and the channel on which their deaths are reported.
    pub(super) dead: BTreeSet<usize>,
    news: Sender<usize>,
}

enum Message {
    Whole(Vec<u8>),
    Long(Receiving),
}

/// Pending sends to a rank.
#[derive(Default)]
pub(super) struct Outbox {
    /// Small messages, in order.
    small: VecDeque<Sending>,
    /// Parts of long messages in flight, in order, and the messages queued behind them.
    parts: VecDeque<MessagePart>,
    rest: VecDeque<Bytes>,
}

struct MessagePart {
    sending: Sending,
    /// Whether the part has full length. The send of a full part completes only when the receiver takes it;
    /// that of a short one may complete although nobody receives it.
    is_full: bool,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.parts.is_empty() && self.rest.is_empty()
    }

    /// Number of small messages that the rank has not received.
    pub(super) fn untaken(&self) -> usize {
        self.small.len()
    }

    /// Completes sends and starts further parts. Returns whether a full part was sent, which is a sign of
    /// life. Buffers of sent small messages become spare.
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
                let sending = world.send(rank, PART, part)?;
                self.parts.push_back(MessagePart { sending, is_full });
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
    /// Ranks that die are reported on `news`.
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

    /// Starts to send. Messages to a dead rank are dropped.
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

    /// Starts to send the parts of an announced message.
    pub(super) fn send_long(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        if !self.dead.contains(&rank) {
            self.to[rank].rest.push_back(bytes);
            self.sending.insert(rank);
            self.progress_sends_to(rank)?;
        }
        Ok(())
    }

    /// Starts to send a copy.
    pub(super) fn send_small(&mut self, rank: usize, bytes: &[u8]) -> Result<()> {
        match bytes.len() {
            ..=SMALL => self.announce(rank, WHOLE, bytes),
            _ => self.send(rank, Bytes::copy_from_slice(bytes)),
        }
    }

    fn announce(&mut self, rank: usize, what: u8, bytes: &[u8]) -> Result<()> {
        if self.dead.contains(&rank) {
            return Ok(());
        }
        if self.spare.is_empty() {
            self.spare.push(Vec::new());
        }
        let buffer = self.spare.last_mut().expect("one was added");
        buffer.clear();
        buffer.extend_from_slice(bytes);
        buffer.push(what);
        match self.world.send_small(rank, SMALL_ONE, buffer) {
            Ok(None) => {}
            Ok(Some(sending)) => {
                self.spare.pop(); // its bytes were taken
                self.to[rank].small.push_back(sending);
                self.sending.insert(rank);
            }
            Err(failure) => self.explain(Some(rank), failure)?,
        }
        Ok(())
    }

    /// Whether sends to live ranks are pending.
    pub(super) fn is_sending(&mut self) -> bool {
        let _ = self.progress_sends();
        !self.sending.is_empty()
    }

    /// Whether a message from a rank is being received.
    pub(super) fn is_receiving(&self, rank: usize) -> bool {
        self.open.contains(&rank)
    }

    /// Notes progress of a long message to or from a rank.
    fn moves(&mut self, rank: usize) {
        self.signs.insert(rank);
        self.moved = true;
    }

    /// Cancels the posted receives, before MPI is shut down.
    pub(super) fn end(&mut self) {
        self.waiting.end();
    }

    fn progress_sends(&mut self) -> Result<()> {
        if self.sending.is_empty() {
            return Ok(());
        }
        for rank in self.sending.clone() {
            self.progress_sends_to(rank)?;
        }
        Ok(())
    }

    fn progress_sends_to(&mut self, rank: usize) -> Result<()> {
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

    /// Receives a complete message, if there is one, into `buffer`, replacing its contents; returns its
    /// sender. Starts to receive announced messages.
    pub(super) fn poll(&mut self, buffer: &mut Vec<u8>) -> Result<Option<usize>> {
        self.progress_sends()?;
        if let Some((rank, message)) = self.next_complete()? {
            *buffer = message;
            return Ok(Some(rank));
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
            self.dead.remove(&rank); // it was only unreachable
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
                    self.moves(rank); // a shorter message completes as early as its first part would
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

    /// A complete message of a rank that others of its messages waited for.
    fn next_complete(&mut self) -> Result<Option<(usize, Vec<u8>)>> {
        if self.open.is_empty() {
            return Ok(None);
        }
        for rank in self.open.clone() {
            if let Some(message) = self.complete(rank)? {
                return Ok(Some((rank, message)));
            }
        }
        Ok(None)
    }

    /// The next message of a rank, if it is complete.
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

    /// Handles a failed call. It is no error if a rank has died or is unreachable, because the others go on.
    /// `with` is the rank that the call addressed, if any.
    fn explain(&mut self, with: Option<usize>, failure: MpiFailure) -> Result<()> {
        let known = self.dead.len();
        for rank in self.world.dead().into_iter().chain(with) {
            if self.dead.insert(rank) {
                let _ = self.news.send(rank); // the receiver is gone at shutdown
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
