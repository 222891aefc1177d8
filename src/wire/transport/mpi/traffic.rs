//! Messages in flight between this rank and others; all operations are nonblocking.

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::Sender;
use std::time::Instant;

use bytes::Bytes;

use crate::util::error::{Error, Result};
use crate::wire::transport::mpi::pace::Pace;
use crate::wire::transport::mpi::raw::{
    MessageSource, MpiFailure, PostedReceives, Receiving, SLOT, Sending, World,
};

/// The MPI tags of a small message, of one that goes in one part, and of a part of a long one.
const SMALL_ONE: i32 = 1;
const SINGLE_PART: i32 = 2;
const PART: i32 = 3;
/// The last byte of a small message says what the bytes before it are: a whole message; the length of a message
/// that follows in one part; the length of a long message; a whole message that overtakes these.
const WHOLE: u8 = 0;
const SINGLE: u8 = 1;
const LONG: u8 = 2;
const OVERTAKES: u8 = 6;
/// Rank 0 paces long messages: it says how long a part is that it sends; or how long one is that it wants to be
/// sent, and up to which length messages need no pacing. A worker says that a part has arrived.
const NEXT: u8 = 3;
const WANTED: u8 = 4;
const ARRIVED: u8 = 5;
/// A message up to this length is small: every network sends it eagerly, in one piece. (bytes)
const SMALL: usize = SLOT - 1;
/// The most parts taken in per call: MPI may copy a part during the call, and other threads wait meanwhile.
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
    /// The pace of long messages, on rank 0.
    pub(super) pace: Option<Paces>,
    /// A message up to this length is not paced.
    unpaced: usize,
    /// Ranks that were sent their last message.
    pub(super) left: BTreeSet<usize>,
    /// Ranks known to be dead, and the channel on which their deaths are reported.
    pub(super) dead: BTreeSet<usize>,
    news: Sender<usize>,
}

enum Message {
    Whole(Vec<u8>),
    Single(Receiving),
    Long(Receiving),
}

/// The pace of long messages from rank 0 and to it.
pub(super) struct Paces {
    start: Instant,
    from: Pace,
    pub(super) to: Pace,
}

/// Pending sends to a rank.
#[derive(Default)]
pub(super) struct Outbox {
    /// Small messages, in order.
    small: VecDeque<Sending>,
    /// Parts in flight, in order, and what is left of long messages.
    parts: VecDeque<Sending>,
    long: VecDeque<Bytes>,
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.small.is_empty() && self.parts.is_empty() && self.long.is_empty()
    }

    /// Number of small messages that the rank has not received.
    pub(super) fn untaken(&self) -> usize {
        self.small.len()
    }

    /// Cuts the next part off the first long message.
    fn cut(&mut self, length: usize) -> Option<Bytes> {
        let first = self.long.front_mut()?;
        let part = first.split_to(first.len().min(length));
        if first.is_empty() {
            self.long.pop_front();
        }
        Some(part)
    }

    /// Completes sends. Buffers of sent small messages become spare.
    fn go_on(&mut self, spare: &mut Vec<Vec<u8>>) -> Result<(), MpiFailure> {
        while let Some(sending) = self.small.front_mut() {
            let over = sending.is_over();
            if let Ok(false) = over {
                break;
            }
            let sent = self.small.pop_front();
            over?;
            spare.extend(sent.and_then(Sending::buffer));
        }
        for _ in 0..PARTS {
            let Some(part) = self.parts.front_mut() else { break };
            let over = part.is_over();
            if let Ok(false) = over {
                break;
            }
            self.parts.pop_front();
            over?;
        }
        Ok(())
    }
}

impl Message {
    /// The message, if it is long and a part of it is neither here nor posted.
    fn lacking(&mut self) -> Option<&mut Receiving> {
        match self {
            Message::Long(message) if message.unposted() > 0 => Some(message),
            _ => None,
        }
    }
}

impl Traffic {
    /// Ranks that die are reported on `news`.
    pub(super) fn new(
        world: World,
        size: usize,
        own: usize,
        news: Sender<usize>,
    ) -> Result<Traffic> {
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
            pace: (own == 0).then(|| Paces {
                start: Instant::now(),
                from: Pace::new(size),
                to: Pace::new(size),
            }),
            unpaced: Pace::new(size).unpaced(),
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
        let kind = if bytes.len() <= self.unpaced { SINGLE } else { LONG };
        self.announce(rank, kind, &(bytes.len() as u64).to_le_bytes())?;
        self.send_parts(rank, kind, bytes)
    }

    /// Starts to send; if the message is small, it overtakes long ones.
    pub(super) fn send_reply(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        match bytes.len() {
            ..=SMALL => self.announce(rank, OVERTAKES, &bytes),
            _ => self.send(rank, bytes),
        }
    }

    /// Starts to send the parts of an announced message.
    fn send_parts(&mut self, rank: usize, kind: u8, bytes: Bytes) -> Result<()> {
        if self.dead.contains(&rank) {
            return Ok(());
        }
        if kind == SINGLE {
            return self.send_part(rank, SINGLE_PART, bytes);
        }
        if let Some(pace) = &mut self.pace {
            pace.from.add(rank, bytes.len());
        }
        self.to[rank].long.push_back(bytes);
        self.sending.insert(rank);
        self.move_parts()
    }

    fn send_part(&mut self, rank: usize, tag: i32, part: Bytes) -> Result<()> {
        match self.world.send(rank, tag, part) {
            Ok(sending) => {
                self.to[rank].parts.push_back(sending);
                self.sending.insert(rank);
                self.progress_sends_to(rank)
            }
            Err(failure) => self.explain(Some(rank), failure),
        }
    }

    /// Lets ranks move their next parts, if they may now.
    fn move_parts(&mut self) -> Result<()> {
        let waits = |pace: &&Paces| pace.from.is_waiting() || pace.to.is_waiting();
        let Some(pace) = self.pace.as_ref().filter(waits) else { return Ok(()) };
        let now = pace.start.elapsed();
        while let Some((rank, length)) = self.pace.as_mut().and_then(|pace| pace.from.next(now)) {
            if let Some(part) = self.to[rank].cut(length) {
                self.announce(rank, NEXT, &(part.len() as u64).to_le_bytes())?;
                self.send_part(rank, PART, part)?;
            }
        }
        while let Some((rank, length)) = self.pace.as_mut().and_then(|pace| pace.to.next(now)) {
            self.post_part(rank, length)?;
            let mut wanted = [0; 16];
            wanted[..8].copy_from_slice(&(length as u64).to_le_bytes());
            let unpaced = self.pace.as_ref().map_or(0, |pace| pace.to.unpaced());
            wanted[8..].copy_from_slice(&(unpaced as u64).to_le_bytes());
            self.announce(rank, WANTED, &wanted)?;
        }
        self.unpaced = self.pace.as_ref().map_or(0, |pace| pace.from.unpaced());
        Ok(())
    }

    /// Posts the receive of the next part of the first long message that lacks one.
    fn post_part(&mut self, rank: usize, length: usize) -> Result<()> {
        let messages = self.coming[rank].iter_mut();
        let posted =
            messages.filter_map(Message::lacking).next().map(|it| it.post(&self.world, length));
        posted.unwrap_or(Ok(())).or_else(|failure| self.explain(Some(rank), failure))
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

    /// Whether sends to live ranks are pending, when nobody receives messages any more.
    pub(super) fn is_sending(&mut self) -> bool {
        while let Ok(Some(_)) = self.poll(&mut Vec::new()) {}
        !self.sending.is_empty()
    }

    /// Whether a message to a rank has not arrived.
    pub(super) fn is_sending_to(&self, rank: usize) -> bool {
        !self.to[rank].is_empty() || self.pace.as_ref().is_some_and(|pace| pace.from.is_open(rank))
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
        if let Err(failure) = self.to[rank].go_on(&mut self.spare) {
            self.explain(Some(rank), failure)?;
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
        self.move_parts()?;
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
            let message = match buffer.pop() {
                Some(WHOLE) if is_first => return Ok(Some(rank)),
                Some(OVERTAKES) => return Ok(Some(rank)),
                Some(WHOLE) => {
                    self.signs.insert(rank);
                    Message::Whole(buffer.clone())
                }
                kind => match self.take_in(rank, kind, buffer)? {
                    Some(message) => message,
                    None => continue,
                },
            };
            self.coming[rank].push_back(message);
            self.open.insert(rank);
            self.move_parts()?;
            if is_first && let Some(message) = self.complete(rank)? {
                *buffer = message;
                return Ok(Some(rank));
            }
        }
    }

    /// Handles a small message that is about others. Returns the message that it announces, if it does.
    fn take_in(&mut self, rank: usize, kind: Option<u8>, about: &[u8]) -> Result<Option<Message>> {
        let number = |at: usize| {
            let bytes = about.get(at..).and_then(|rest| rest.first_chunk().copied());
            u64::from_le_bytes(bytes.unwrap_or_default()) as usize
        };
        let length = number(0);
        match kind {
            Some(SINGLE) => {
                let mut message = Receiving::new(rank, SINGLE_PART, length);
                if let Err(failure) = message.post(&self.world, length) {
                    self.explain(Some(rank), failure)?;
                    return Ok(None);
                }
                return Ok(Some(Message::Single(message)));
            }
            Some(LONG) => {
                if let Some(pace) = &mut self.pace {
                    pace.to.add(rank, length);
                }
                self.moves(rank);
                return Ok(Some(Message::Long(Receiving::new(rank, PART, length))));
            }
            Some(NEXT) => {
                self.moves(rank);
                self.post_part(rank, length)?;
            }
            Some(WANTED) => {
                self.moves(rank);
                self.unpaced = number(8);
                if let Some(part) = self.to[rank].cut(length) {
                    self.send_part(rank, PART, part)?;
                }
            }
            _ => {
                self.moves(rank);
                if let Some(pace) = &mut self.pace {
                    pace.from.arrived(rank, pace.start.elapsed());
                }
                self.move_parts()?;
            }
        }
        Ok(None)
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
        let mut parts = 0;
        loop {
            let (message, is_paced) = match self.coming[rank].front_mut() {
                Some(Message::Single(message)) => (message, false),
                Some(Message::Long(message)) => (message, true),
                _ => break,
            };
            if message.is_over() {
                break;
            }
            match message.arrived() {
                Ok(true) if is_paced => self.note_part(rank)?,
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(failure) => {
                    self.coming[rank].pop_front();
                    self.explain(Some(rank), failure)?;
                    return Ok(None);
                }
            }
            parts += 1;
            if parts == PARTS {
                return Ok(None);
            }
        }
        let message = self.coming[rank].pop_front();
        if self.coming[rank].is_empty() {
            self.open.remove(&rank);
        }
        Ok(message.map(|message| match message {
            Message::Whole(bytes) => bytes,
            Message::Single(message) | Message::Long(message) => message.take(),
        }))
    }

    /// Handles the arrival of a part of a long message.
    fn note_part(&mut self, rank: usize) -> Result<()> {
        self.moves(rank);
        match &mut self.pace {
            Some(pace) => pace.to.arrived(rank, pace.start.elapsed()),
            None => self.announce(rank, ARRIVED, &[])?,
        }
        self.move_parts()
    }

    /// Handles a failed call. It is no error if a rank has died or is unreachable, because the others go on.
    /// `with` is the rank that the call addressed, if any.
    fn explain(&mut self, with: Option<usize>, failure: MpiFailure) -> Result<()> {
        let known = self.dead.len();
        for rank in self.world.dead().into_iter().chain(with) {
            if self.dead.insert(rank) {
                let _ = self.news.send(rank); // the receiver is gone at shutdown
                self.to[rank] = Outbox::default();
                if let Some(pace) = &mut self.pace {
                    pace.from.forget(rank);
                }
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
