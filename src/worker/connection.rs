//! A worker's connection to rank 0. It is shared by the worker's threads, by crunch (for data sets and
//! the dictionary), and by the service and heartbeat threads.
//!
//! The lock must never be held for long, because heartbeats need it too: messages are encoded before it
//! is taken, and long messages are decoded without it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

use crate::model::{Assignment, FinalCall, Key, Report, SeenResources, SlotResult};
use crate::util::clock;
use crate::util::error::{Error, Result};
use crate::util::machine;
use crate::util::process::{self, ProcessId};
use crate::util::signals;
use crate::util::usage;
use crate::wire::codec;
use crate::wire::messages::{ToMaster, ToWorker};
use crate::wire::requests::{DATA, Reply, Request};
use crate::wire::transport::Link;
use crate::worker;
use crate::worker::batch::ThreadBatch;
pub(crate) use crate::worker::connection::client::ThreadConnection;

/// How long one receive may hold the lock; other threads wait that long.
const POLL_PERIOD: Duration = Duration::from_millis(20);

/// How long rank 0 may be silent before it is given up. Longer than a worker's lease, because rank 0 is
/// busier.
const LEASE: Duration = Duration::from_secs(30);

/// The most time that counts as silence between two polls: if this process itself was blocked, rank 0's
/// messages are queued.
const STEP: Duration = Duration::from_millis(200);

/// A message above this size is long: decoding it would hold the lock for too long. (bytes)
const LONG: usize = 1 << 16;

thread_local! {
    /// This thread's send buffer, filled before the connection is locked.
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One per worker. Several threads may wait for messages: each reads what arrives and stores messages for
/// other threads. The lock is fair, so that every thread gets its turn.
pub(crate) struct Connection {
    rank: usize,
    host: String,
    process: Option<ProcessId>,
    state: Mutex<ConnectionState>,
    batches: Vec<ThreadBatch>,
    /// How many of them are in use: fewer where the worker's share of its host allows no more.
    threads: AtomicUsize,
    tickets: AtomicU64,
    fetching: Mutex<()>,
}

/// The next work of a thread.
pub(crate) enum NextWork {
    Crunch(Assignment),
    Reduce(Key, Vec<SlotResult>),
    Final(Box<FinalCall>),
    /// The worker is dismissed.
    Leave,
}

struct ConnectionState {
    link: Box<dyn Link>,
    /// Buffers for the last message received, and for short messages sent under the lock.
    received: Vec<u8>,
    sent: Vec<u8>,
    /// Received messages to decode, in order, and whether a thread is decoding one.
    to_decode: VecDeque<Bytes>,
    decoding: bool,
    /// Tasks that no thread has taken, and how many each thread takes as its share.
    tasks: VecDeque<(Assignment, u64)>,
    /// Other messages that no thread has taken.
    unclaimed: VecDeque<ToWorker>,
    /// Replies that no thread has taken, by ticket.
    replies: BTreeMap<u64, Reply>,
    /// Whether all work is cancelled, so that queued tasks must not start.
    stopped: bool,
    /// How many signals were reported to rank 0.
    told: usize,
    /// Whether the job has arrived.
    has_job: bool,
    /// What is repeated until rank 0 has answered it: what this worker sees of its host.
    seen: Option<Box<SeenResources>>,
    /// Whether the first request for work was sent.
    ready: bool,
    /// How many threads hold work that is not answered.
    at_work: usize,
    /// When the service thread polled last.
    last_poll: Instant,
    /// Time since the last sign of life of rank 0.
    silence: Duration,
    /// Why the connection was closed.
    over: Option<Error>,
    /// Why sending a heartbeat failed.
    lost: Option<Error>,
    /// Whether the worker is a process of its own.
    is_process: bool,
    /// How many threads wait for rank 0's answer about its dictionary.
    asking: usize,
    /// Whether crunch runs in another process, whose threads nobody counts here.
    hides_threads: bool,
}

impl Connection {
    /// A connection for `threads` threads, in their own process or in that of rank 0.
    pub(crate) fn new(link: Box<dyn Link>, threads: u32, is_process: bool) -> Connection {
        let rank = link.rank();
        let host = machine::host();
        let state = ConnectionState {
            link,
            received: Vec::new(),
            sent: Vec::new(),
            to_decode: VecDeque::new(),
            decoding: false,
            tasks: VecDeque::new(),
            unclaimed: VecDeque::new(),
            replies: BTreeMap::new(),
            stopped: false,
            told: 0,
            has_job: false,
            seen: None,
            ready: false,
            at_work: 0,
            last_poll: Instant::now(),
            silence: Duration::ZERO,
            over: None,
            lost: None,
            is_process,
            asking: 0,
            hides_threads: false,
        };
        Connection {
            rank,
            host,
            process: if is_process { process::own() } else { None },
            state: Mutex::new(state),
            batches: (0..threads).map(ThreadBatch::new).collect(),
            threads: AtomicUsize::new(threads as usize),
            tickets: AtomicU64::new(DATA + 1),
            fetching: Mutex::new(()),
        }
    }

    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// The batch of each thread.
    pub(crate) fn batches(&self) -> &[ThreadBatch] {
        &self.batches[..self.threads.load(Ordering::Relaxed)]
    }

    /// Says hello and waits for the job; `None` if the worker is dismissed instead.
    pub(crate) fn request_job(&self) -> Result<Option<Bytes>> {
        self.say_hello()?;
        self.wait(|state| match state.unclaimed.pop_front()? {
            ToWorker::Job(bytes) => Some(Ok(Some(bytes))),
            ToWorker::Dismiss { .. } => Some(Ok(None)),
            other => Some(Err(worker::unexpected_message(&other))),
        })?
    }

    pub(crate) fn say_hello(&self) -> Result<()> {
        self.send(&self.hello())
    }

    fn hello(&self) -> ToMaster<'static> {
        let (host, process) = (self.host.clone(), self.process.clone());
        let (threads, cores) = (self.batches.len() as u32, machine::cores() as u32);
        ToMaster::Hello { host, threads, cores, process, clock: clock::since_1970() }
    }

    pub(crate) fn send(&self, message: &ToMaster) -> Result<()> {
        self.post(message, |_| ())
    }

    /// Sends rank 0 a message; `first` runs under the same lock, before the message is sent.
    fn post(
        &self,
        message: &impl Serialize,
        first: impl FnOnce(&mut ConnectionState),
    ) -> Result<()> {
        ENCODED.with_borrow_mut(|bytes| {
            codec::encode_into(message, bytes);
            let mut state = self.state.lock();
            first(&mut state);
            state.send(bytes)
        })
    }

    /// Sends a thread's final report on its current work.
    pub(crate) fn answer(&self, message: &ToMaster) -> Result<()> {
        self.post(message, |state| state.at_work = state.at_work.saturating_sub(1))
    }

    /// Sends the first request for work.
    pub(crate) fn ready(&self) -> Result<()> {
        self.post(&ToMaster::Done(Report::default()), |state| state.ready = true)
    }

    /// Waits for the next work of a thread.
    pub(crate) fn next(&self) -> Result<NextWork> {
        self.wait(|state| {
            let work = match state.share() {
                Some(share) => NextWork::Crunch(share),
                None => match state.unclaimed.pop_front()? {
                    ToWorker::Reduce { key, items } => NextWork::Reduce(key, items),
                    ToWorker::Final(call) => NextWork::Final(call),
                    dismissed @ ToWorker::Dismiss { .. } => {
                        state.unclaimed.push_front(dismissed); // for the other threads too
                        return Some(Ok(NextWork::Leave));
                    }
                    other => return Some(Err(worker::unexpected_message(&other))),
                },
            };
            state.at_work += 1;
            Some(Ok(work))
        })?
    }

    /// Sends a request to rank 0 and waits for the reply.
    pub(crate) fn ask(&self, thread: u32, request: Request) -> Result<Reply> {
        let _alone = matches!(request, Request::Data { .. }).then(|| self.fetching.lock());
        let ticket = match request {
            Request::Data { .. } => DATA,
            _ => self.tickets.fetch_add(1, Ordering::Relaxed),
        };
        let waits = matches!(request, Request::Dictionary(..));
        self.post(&ToMaster::Ask { thread, ticket, request }, |state| {
            state.asking += usize::from(waits);
        })?;
        self.wait(|state| {
            let reply = state.replies.remove(&ticket)?;
            state.asking -= usize::from(waits);
            Some(reply)
        })
    }

    fn wait<T>(&self, mut find: impl FnMut(&mut ConnectionState) -> Option<T>) -> Result<T> {
        loop {
            let mut state = self.state.lock();
            if state.stopped {
                state.return_unbegun()?;
            }
            if let Some(found) = find(&mut state) {
                return Ok(found);
            }
            if let Some(error) = &state.over {
                return Err(error.clone());
            }
            if state.is_rank0_silent() {
                return Err(self.rank0_is_silent());
            }
            self.read(&mut state, POLL_PERIOD)?;
        }
    }

    /// Reads one message, if one arrives within `wait`, and stores it for the thread it is for. Returns
    /// whether one arrived. A long message is decoded without the lock; messages that other threads read
    /// meanwhile are stored after it, so the order is kept.
    fn read(&self, state: &mut MutexGuard<ConnectionState>, wait: Duration) -> Result<bool> {
        if !state.receive(wait)? {
            return Ok(false);
        }
        if !state.decoding && state.received.len() <= LONG {
            let message = codec::decode(&state.received)?;
            state.take_in(message, self.batches())?;
            return Ok(true);
        }
        let bytes = std::mem::take(&mut state.received);
        state.to_decode.push_back(bytes.into());
        if state.decoding {
            return Ok(true);
        }
        state.decoding = true;
        let decoded = self.decode(state);
        state.decoding = false;
        decoded.map(|()| true)
    }

    fn decode(&self, state: &mut MutexGuard<ConnectionState>) -> Result<()> {
        while let Some(bytes) = state.to_decode.pop_front() {
            // Freeing gigabytes takes time too, so it happens without the lock.
            let decode = move || codec::decode_shared(&bytes);
            let message = MutexGuard::unlocked(state, decode)?;
            state.take_in(message, self.batches())?;
        }
        Ok(())
    }

    /// Receives pending messages, in case rank 0 has cancelled something.
    pub(crate) fn poll(&self) {
        // The thread that holds the lock reads the cancellation. A waiting thread reports errors.
        if let Some(mut state) = self.state.try_lock() {
            while let Ok(true) = self.read(&mut state, Duration::ZERO) {}
        }
    }

    /// Reports finished runs early and receives pending messages while the threads are busy. With `speaks`,
    /// also reports signals and checks rank 0's lease.
    pub(crate) fn service(&self, speaks: bool) -> Result<()> {
        for batch in self.batches() {
            batch.report_early(|report| {
                self.send(&ToMaster::Done(Report { early: true, ..report }))
            })?;
        }
        self.send_output()?;
        let blocked = self.batches().iter().all(ThreadBatch::is_at_a_long_task);
        let mut state = self.state.lock();
        let since = state.last_poll.elapsed().min(STEP);
        state.silence += since;
        state.last_poll = Instant::now();
        while self.read(&mut state, Duration::ZERO)? {}
        if blocked {
            state.return_unbegun()?; // other workers may be idle
        }
        if !speaks {
            state.silence = Duration::ZERO;
            return Ok(());
        }
        if state.is_rank0_silent() {
            return Err(self.rank0_is_silent());
        }
        state.lost.take().map_or(Ok(()), Err)?;
        state.report_signal()
    }

    /// Closes the connection: every waiting thread fails with this error.
    pub(crate) fn close(&self, error: &Error) {
        for batch in &self.batches {
            batch.cancel(None);
        }
        let mut state = self.state.lock();
        state.link.skip_finalize();
        state.over = Some(error.clone());
    }

    fn rank0_is_silent(&self) -> Error {
        let (rank, seconds) = (self.rank, LEASE.as_secs());
        Error::unexpected(format!("rank {rank} exits: rank 0 has been silent for {seconds} s"))
    }
}

impl ConnectionState {
    /// Sends rank 0 an encoded message. A signal is reported first, so that a run that failed because of it
    /// is not recorded as failed.
    fn send(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        self.report_signal()?;
        match bytes.len() {
            ..=LONG => self.link.send_small(bytes),
            _ => self.link.send(std::mem::take(bytes).into()),
        }
    }

    fn send_short(&mut self, message: &ToMaster) -> Result<()> {
        self.report_signal()?;
        codec::encode_into(message, &mut self.sent);
        match message {
            ToMaster::Heartbeat { .. } => self.link.send_beat(&self.sent),
            _ => self.link.send_small(&self.sent),
        }
    }

    /// Reports a new signal to rank 0.
    fn report_signal(&mut self) -> Result<()> {
        let Some(asked) = signals::asked().filter(|asked| asked.times > self.told) else {
            return Ok(());
        };
        self.told = asked.times;
        self.send_short(&ToMaster::Interrupted(asked.name.to_string()))
    }

    /// Takes a thread's share of the queued tasks.
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

    /// Returns the queued tasks and final calls to rank 0.
    fn return_unbegun(&mut self) -> Result<()> {
        while let Some((tasks, _)) = self.tasks.pop_front() {
            let unbegun = Some(tasks);
            let report = Report { unbegun, early: true, ..Report::default() };
            self.send_short(&ToMaster::Done(report))?;
        }
        let is_final = |message: &ToWorker| matches!(message, ToWorker::Final(_));
        while let Some(at) = self.unclaimed.iter().position(is_final) {
            if let Some(ToWorker::Final(call)) = self.unclaimed.remove(at) {
                let FinalCall { row, attempt, .. } = *call;
                self.send_short(&ToMaster::FinalUnbegun { row, attempt })?;
            }
        }
        Ok(())
    }

    /// Receives a message, if one arrives within `wait`; whether one arrived.
    fn receive(&mut self, wait: Duration) -> Result<bool> {
        let came = self.link.receive(wait, &mut self.received)?;
        if came || self.link.alive() {
            self.silence = Duration::ZERO;
        }
        Ok(came)
    }

    /// Stores a message for the thread it is for.
    fn take_in(&mut self, message: ToWorker, batches: &[ThreadBatch]) -> Result<()> {
        match message {
            ToWorker::Cancel(task) => {
                self.stopped |= task.is_none();
                for batch in batches {
                    batch.cancel(task);
                }
            }
            ToWorker::Reply { ticket, reply } => drop(self.replies.insert(ticket, reply)),
            ToWorker::Follow(tasks) => {
                batches.iter().for_each(|batch| batch.output.follow(&tasks));
            }
            ToWorker::Heartbeat => self.link.beat(),
            ToWorker::Assign(tasks) => {
                let share = tasks.count.div_ceil(batches.len() as u64);
                self.tasks.push_back((tasks, share));
            }
            ToWorker::Job(_) if self.has_job => {} // the hello was sent more than once
            ToWorker::Share(_) if self.seen.take().is_none() => {} // or what the worker sees
            other => {
                self.has_job |= matches!(other, ToWorker::Job(_));
                if let ToWorker::Dismiss { skip_finalize, farewell } = other {
                    if skip_finalize {
                        self.link.skip_finalize();
                    }
                    if farewell {
                        let seconds = if self.is_process { usage::cpu_seconds() } else { 0.0 };
                        self.send_short(&ToMaster::Farewell(seconds))?;
                    }
                }
                self.unclaimed.push_back(other);
            }
        }
        Ok(())
    }

    /// Whether the worker holds no work and is receiving none.
    fn is_idle(&self) -> bool {
        let holds_nothing = self.tasks.is_empty() && self.unclaimed.is_empty() && !self.decoding;
        self.ready && self.at_work == 0 && holds_nothing && !self.link.is_receiving()
    }

    /// Whether rank 0's lease has expired.
    fn is_rank0_silent(&self) -> bool {
        self.silence > LEASE
    }
}

mod beat;
mod beginning;
mod client;
mod output;
#[cfg(test)]
mod tests;
