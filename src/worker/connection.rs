//! A worker's line to rank 0: its link, shared between the threads that crunch, what runs inside crunch
//! (which may ask for data or the dictionary), and the threads that attend to it meanwhile.
//!
//! A heartbeat needs the link too, so nobody holds it for long: what is sent is encoded before, and a long
//! message is decoded after.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

use crate::model::{Assignment, Key, Report, SlotResult};
use crate::util::error::{Error, Result};
use crate::util::machine;
use crate::util::process::{self, ProcessId};
use crate::util::signals;
use crate::util::usage;
use crate::wire::codec;
use crate::wire::messages::{ToMaster, ToWorker};
use crate::wire::requests::{DATA, MasterClient};
use crate::wire::requests::{Reply, Request};
use crate::wire::transport::Link;
use crate::worker;
use crate::worker::batch::ThreadBatch;

/// How long the line is held while nothing comes: so long others have to wait for it.
const LOOK: Duration = Duration::from_millis(20);

/// How long rank 0 may be silent. It has more to do than a worker, and is worth more patience.
const LEASE: Duration = Duration::from_secs(30);

/// The longest time between two looks of the attendant that counts: if this process was held up itself,
/// rank 0's messages wait.
const STEP: Duration = Duration::from_millis(200);

/// A message over this is a long one: to decode it takes longer than others should wait. (bytes)
const LONG: usize = 1 << 16;

thread_local! {
    /// What this thread sends next: encoded before the connection is locked.
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One a worker. Several threads may wait for something at a time: each reads what comes and leaves what
/// is for another where that one looks. The lock is fair, so that everybody gets to look.
pub(crate) struct Connection {
    rank: usize,
    host: String,
    process: Option<ProcessId>,
    ends: Mutex<ConnectionState>,
    seats: Vec<ThreadBatch>,
    tickets: AtomicU64,
    fetching: Mutex<()>,
}

/// What a thread that crunches is to do next.
pub(crate) enum NextWork {
    Crunch(Assignment),
    Reduce(Key, Vec<SlotResult>),
    /// There is nothing left to do.
    Leave,
}

struct ConnectionState {
    link: Box<dyn Link>,
    /// What was received last, and what is sent while the line is held.
    received: Vec<u8>,
    sent: Vec<u8>,
    /// What was received and is to be decoded, in order; whether a thread is at that.
    to_decode: VecDeque<Vec<u8>>,
    decoding: bool,
    /// Tasks that no thread has taken, and how many of them each is to take at a time.
    tasks: VecDeque<(Assignment, u64)>,
    /// What else nobody has looked at yet.
    early: VecDeque<ToWorker>,
    /// Answers that nobody has fetched yet, by ticket.
    replies: BTreeMap<u64, Reply>,
    /// Whether nothing that waits here is to be begun.
    stopped: bool,
    /// How many signals rank 0 knows of.
    told: usize,
    welcomed: bool,
    /// Whether rank 0 was asked for work.
    ready: bool,
    /// How many threads hold something they have not answered.
    at_work: usize,
    /// When the attendant looked last.
    looked: Instant,
    /// For how long nothing has come.
    silence: Duration,
    /// Why nothing more will come.
    over: Option<Error>,
    /// Why no heartbeat could be sent.
    lost: Option<Error>,
    /// Whether this is a process of its own.
    is_process: bool,
}

impl Connection {
    /// A line for so many threads that crunch, in a process of their own or rank 0's.
    pub(crate) fn new(link: Box<dyn Link>, threads: u32, is_process: bool) -> Connection {
        let rank = link.rank();
        let host = machine::host();
        let ends = ConnectionState {
            link,
            received: Vec::new(),
            sent: Vec::new(),
            to_decode: VecDeque::new(),
            decoding: false,
            tasks: VecDeque::new(),
            early: VecDeque::new(),
            replies: BTreeMap::new(),
            stopped: false,
            told: 0,
            welcomed: false,
            ready: false,
            at_work: 0,
            looked: Instant::now(),
            silence: Duration::ZERO,
            over: None,
            lost: None,
            is_process,
        };
        Connection {
            rank,
            host,
            process: if is_process { process::own() } else { None },
            ends: Mutex::new(ends),
            seats: (0..threads).map(ThreadBatch::new).collect(),
            tickets: AtomicU64::new(DATA + 1),
            fetching: Mutex::new(()),
        }
    }

    /// The worker's rank.
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// The threads that crunch.
    pub(crate) fn seats(&self) -> &[ThreadBatch] {
        &self.seats
    }

    /// Says hello; the job, or nothing if there is none.
    pub(crate) fn welcome(&self) -> Result<Option<Bytes>> {
        self.send(&self.hello())?;
        self.wait(|ends| match ends.early.pop_front()? {
            ToWorker::Job(bytes) => Some(Ok(Some(bytes))),
            ToWorker::Dismiss { .. } => Some(Ok(None)),
            other => Some(Err(worker::out_of_turn(&other))),
        })?
    }

    fn hello(&self) -> ToMaster<'static> {
        let (host, process) = (self.host.clone(), self.process.clone());
        ToMaster::Hello { host, threads: self.seats.len() as u32, process }
    }

    /// Sends rank 0 a message.
    pub(crate) fn send(&self, message: &ToMaster) -> Result<()> {
        self.post(message, |_| ())
    }

    /// Sends rank 0 a message; `first` is done as the line is held for that.
    fn post(
        &self,
        message: &impl Serialize,
        first: impl FnOnce(&mut ConnectionState),
    ) -> Result<()> {
        ENCODED.with_borrow_mut(|bytes| {
            codec::encode_into(message, bytes);
            let mut ends = self.ends.lock();
            first(&mut ends);
            ends.send(bytes)
        })
    }

    /// Reports what a thread was given last, all of it.
    pub(crate) fn answer(&self, message: &ToMaster) -> Result<()> {
        self.post(message, |ends| ends.at_work = ends.at_work.saturating_sub(1))
    }

    /// Asks for work.
    pub(crate) fn ready(&self) -> Result<()> {
        self.post(&ToMaster::Done(Report::default()), |ends| ends.ready = true)
    }

    /// Waits for what rank 0 wants a thread to do next.
    pub(crate) fn next(&self) -> Result<NextWork> {
        self.wait(|ends| {
            let work = match ends.share() {
                Some(share) => NextWork::Crunch(share),
                None => match ends.early.pop_front()? {
                    ToWorker::Reduce { key, items } => NextWork::Reduce(key, items),
                    dismissed @ ToWorker::Dismiss { .. } => {
                        ends.early.push_front(dismissed); // for the other threads too
                        return Some(Ok(NextWork::Leave));
                    }
                    other => return Some(Err(worker::out_of_turn(&other))),
                },
            };
            ends.at_work += 1;
            Some(Ok(work))
        })?
    }

    /// Asks rank 0 for something and waits for the answer.
    pub(crate) fn ask(&self, thread: u32, request: Request) -> Result<Reply> {
        let _alone = matches!(request, Request::Data { .. }).then(|| self.fetching.lock());
        let ticket = match request {
            Request::Data { .. } => DATA,
            Request::Dictionary(..) => self.tickets.fetch_add(1, Ordering::Relaxed),
        };
        self.send(&ToMaster::Ask { thread, ticket, request })?;
        self.wait(|ends| ends.replies.remove(&ticket))
    }

    fn wait<T>(&self, mut find: impl FnMut(&mut ConnectionState) -> Option<T>) -> Result<T> {
        loop {
            let mut ends = self.ends.lock();
            if ends.stopped {
                ends.hand_back()?;
            }
            if let Some(found) = find(&mut ends) {
                return Ok(found);
            }
            if let Some(error) = &ends.over {
                return Err(error.clone());
            }
            if ends.is_alone() {
                return Err(self.alone());
            }
            self.read(&mut ends, LOOK)?;
        }
    }

    /// Reads one message, if one comes within that time, and leaves it where it is looked for; whether
    /// one came. The line is not held while a long one is decoded: what others read meanwhile comes after
    /// it.
    fn read(&self, ends: &mut MutexGuard<ConnectionState>, wait: Duration) -> Result<bool> {
        if !ends.receive(wait)? {
            return Ok(false);
        }
        if !ends.decoding && ends.received.len() <= LONG {
            let message = codec::decode(&ends.received)?;
            ends.take_in(message, &self.seats)?;
            return Ok(true);
        }
        let bytes = std::mem::take(&mut ends.received);
        ends.to_decode.push_back(bytes);
        if ends.decoding {
            return Ok(true);
        }
        ends.decoding = true;
        let decoded = self.decode(ends);
        ends.decoding = false;
        decoded.map(|()| true)
    }

    fn decode(&self, ends: &mut MutexGuard<ConnectionState>) -> Result<()> {
        while let Some(bytes) = ends.to_decode.pop_front() {
            // To give gigabytes back takes its time, too.
            let decode = move || codec::decode(&bytes);
            let message = MutexGuard::unlocked(ends, decode)?;
            ends.take_in(message, &self.seats)?;
        }
        Ok(())
    }

    /// Looks whether rank 0 has cancelled something.
    pub(crate) fn look(&self) {
        // Whoever holds the line at the moment will see the word; a thread that waits will find it
        // garbled or lost, if it is.
        if let Some(mut ends) = self.ends.try_lock() {
            while let Ok(true) = self.read(&mut ends, Duration::ZERO) {}
        }
    }

    /// Hears what rank 0 says, whatever the threads are at, and tells it what they have done; with
    /// `speaks`, it is told of signals, too, and has to be there.
    pub(crate) fn attend(&self, speaks: bool) -> Result<()> {
        for seat in &self.seats {
            seat.report_early(|report| self.send(&ToMaster::Done(report)))?;
        }
        let blocked = self.seats.iter().all(ThreadBatch::is_at_a_long_task);
        let mut ends = self.ends.lock();
        let since = ends.looked.elapsed().min(STEP);
        ends.silence += since;
        ends.looked = Instant::now();
        while self.read(&mut ends, Duration::ZERO)? {}
        if blocked {
            ends.hand_back()?; // others may be free
        }
        if !speaks {
            ends.silence = Duration::ZERO;
            return Ok(());
        }
        if ends.is_alone() {
            return Err(self.alone());
        }
        ends.lost.take().map_or(Ok(()), Err)?;
        ends.tell_of_signal()
    }

    /// Tells rank 0 that this process is there, whatever its other threads are at. That it cannot be told
    /// is for whoever attends to find.
    pub(crate) fn beat(&self) {
        let mut ends = self.ends.lock();
        let beat =
            if ends.welcomed { ToMaster::Beat { idle: ends.is_idle() } } else { self.hello() };
        if let Err(error) = ends.say(&beat) {
            ends.lost = Some(error);
        }
    }

    /// There is nothing to wait for any more: every thread that waits fails with this.
    pub(crate) fn close(&self, error: &Error) {
        for seat in &self.seats {
            seat.cancel(None);
        }
        let mut ends = self.ends.lock();
        ends.link.hurry();
        ends.over = Some(error.clone());
    }

    fn alone(&self) -> Error {
        let (rank, seconds) = (self.rank, LEASE.as_secs());
        Error::unexpected(format!("rank {rank} leaves: rank 0 has been silent for {seconds} s"))
    }
}

impl ConnectionState {
    /// Sends rank 0 an encoded message. What failed because of a signal comes after word of the signal,
    /// and is left to do.
    fn send(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        self.tell_of_signal()?;
        match bytes.len() {
            ..=LONG => self.link.send_small(bytes),
            _ => self.link.send(std::mem::take(bytes).into()),
        }
    }

    /// Sends rank 0 a short message.
    fn say(&mut self, message: &ToMaster) -> Result<()> {
        self.tell_of_signal()?;
        codec::encode_into(message, &mut self.sent);
        self.link.send_small(&self.sent)
    }

    /// Tells rank 0 of a signal that it has not heard of yet.
    fn tell_of_signal(&mut self) -> Result<()> {
        let Some(asked) = signals::asked().filter(|asked| asked.times > self.told) else {
            return Ok(());
        };
        self.told = asked.times;
        self.say(&ToMaster::Interrupted(asked.name.to_string()))
    }

    /// What a thread is to take of the tasks that are here.
    fn share(&mut self) -> Option<Assignment> {
        let (tasks, share) = self.tasks.front_mut()?;
        let Assignment { first, count, attempt } = *tasks;
        let share = Assignment { first, count: count.min(*share), attempt };
        (tasks.first, tasks.count) = (first + share.count, count - share.count);
        if tasks.count == 0 {
            self.tasks.pop_front();
        }
        Some(share)
    }

    /// Tells rank 0 that tasks are not going to be begun.
    fn hand_back(&mut self) -> Result<()> {
        while let Some((tasks, _)) = self.tasks.pop_front() {
            let unbegun = Some(tasks);
            self.say(&ToMaster::Done(Report { unbegun, ..Report::default() }))?;
        }
        Ok(())
    }

    /// Receives a message, if one comes within that time; whether one came.
    fn receive(&mut self, wait: Duration) -> Result<bool> {
        let came = self.link.receive(wait, &mut self.received)?;
        if came || self.link.alive() {
            self.silence = Duration::ZERO;
        }
        Ok(came)
    }

    /// Leaves a message where it is looked for.
    fn take_in(&mut self, message: ToWorker, seats: &[ThreadBatch]) -> Result<()> {
        match message {
            ToWorker::Cancel(task) => {
                self.stopped |= task.is_none();
                for seat in seats {
                    seat.cancel(task);
                }
            }
            ToWorker::Reply { ticket, reply } => drop(self.replies.insert(ticket, reply)),
            ToWorker::Beat => {}
            ToWorker::Assign(tasks) => {
                let share = tasks.count.div_ceil(seats.len() as u64);
                self.tasks.push_back((tasks, share));
            }
            ToWorker::Job(_) if self.welcomed => {} // this worker has said hello more than once
            other => {
                self.welcomed |= matches!(other, ToWorker::Job(_));
                if let ToWorker::Dismiss { hurry, farewell } = other {
                    if hurry {
                        self.link.hurry();
                    }
                    if farewell {
                        let seconds = if self.is_process { usage::cpu_seconds() } else { 0.0 };
                        self.say(&ToMaster::Farewell(seconds))?;
                    }
                }
                self.early.push_back(other);
            }
        }
        Ok(())
    }

    /// Whether nothing is to be done here, nor on its way here.
    fn is_idle(&self) -> bool {
        let holds_nothing = self.tasks.is_empty() && self.early.is_empty() && !self.decoding;
        self.ready && self.at_work == 0 && holds_nothing && !self.link.is_receiving()
    }

    /// Whether rank 0 has been silent for too long.
    fn is_alone(&self) -> bool {
        self.silence > LEASE
    }
}

/// What crunch has of the line: its thread's part in it.
#[derive(Clone)]
pub(crate) struct ThreadConnection {
    line: Arc<Connection>,
    thread: u32,
}

impl ThreadConnection {
    pub(crate) fn new(line: &Arc<Connection>, thread: u32) -> ThreadConnection {
        ThreadConnection { line: line.clone(), thread }
    }
}

impl MasterClient for ThreadConnection {
    fn ask(&self, request: Request) -> Result<Reply> {
        self.line.ask(self.thread, request)
    }

    fn is_cancelled(&self) -> bool {
        self.line.look();
        self.line.seats()[self.thread as usize].is_cancelled()
    }
}

#[cfg(test)]
mod tests;
