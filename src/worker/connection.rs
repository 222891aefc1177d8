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
    state: Mutex<ConnectionState>,
    batches: Vec<ThreadBatch>,
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
    unclaimed: VecDeque<ToWorker>,
    /// Answers that nobody has fetched yet, by ticket.
    replies: BTreeMap<u64, Reply>,
    /// Whether nothing that waits here is to be begun.
    stopped: bool,
    /// How many signals rank 0 knows of.
    told: usize,
    /// Whether the job is here.
    has_job: bool,
    /// Whether rank 0 was asked for work.
    ready: bool,
    /// How many threads hold something they have not answered.
    at_work: usize,
    /// When the attendant looked last.
    last_poll: Instant,
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
            ready: false,
            at_work: 0,
            last_poll: Instant::now(),
            silence: Duration::ZERO,
            over: None,
            lost: None,
            is_process,
        };
        Connection {
            rank,
            host,
            process: if is_process { process::own() } else { None },
            state: Mutex::new(state),
            batches: (0..threads).map(ThreadBatch::new).collect(),
            tickets: AtomicU64::new(DATA + 1),
            fetching: Mutex::new(()),
        }
    }

    /// The worker's rank.
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// The threads that crunch.
    pub(crate) fn batches(&self) -> &[ThreadBatch] {
        &self.batches
    }

    /// Says hello; the job, or nothing if there is none.
    pub(crate) fn request_job(&self) -> Result<Option<Bytes>> {
        self.send(&self.hello())?;
        self.wait(|state| match state.unclaimed.pop_front()? {
            ToWorker::Job(bytes) => Some(Ok(Some(bytes))),
            ToWorker::Dismiss { .. } => Some(Ok(None)),
            other => Some(Err(worker::unexpected_message(&other))),
        })?
    }

    fn hello(&self) -> ToMaster<'static> {
        let (host, process) = (self.host.clone(), self.process.clone());
        ToMaster::Hello { host, threads: self.batches.len() as u32, process }
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
            let mut state = self.state.lock();
            first(&mut state);
            state.send(bytes)
        })
    }

    /// Reports what a thread was given last, all of it.
    pub(crate) fn answer(&self, message: &ToMaster) -> Result<()> {
        self.post(message, |state| state.at_work = state.at_work.saturating_sub(1))
    }

    /// Asks for work.
    pub(crate) fn ready(&self) -> Result<()> {
        self.post(&ToMaster::Done(Report::default()), |state| state.ready = true)
    }

    /// Waits for what rank 0 wants a thread to do next.
    pub(crate) fn next(&self) -> Result<NextWork> {
        self.wait(|state| {
            let work = match state.share() {
                Some(share) => NextWork::Crunch(share),
                None => match state.unclaimed.pop_front()? {
                    ToWorker::Reduce { key, items } => NextWork::Reduce(key, items),
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

    /// Asks rank 0 for something and waits for the answer.
    pub(crate) fn ask(&self, thread: u32, request: Request) -> Result<Reply> {
        let _alone = matches!(request, Request::Data { .. }).then(|| self.fetching.lock());
        let ticket = match request {
            Request::Data { .. } => DATA,
            Request::Dictionary(..) => self.tickets.fetch_add(1, Ordering::Relaxed),
        };
        self.send(&ToMaster::Ask { thread, ticket, request })?;
        self.wait(|state| state.replies.remove(&ticket))
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
            self.read(&mut state, LOOK)?;
        }
    }

    /// Reads one message, if one comes within that time, and leaves it where it is looked for; whether
    /// one came. The line is not held while a long one is decoded: what others read meanwhile comes after
    /// it.
    fn read(&self, state: &mut MutexGuard<ConnectionState>, wait: Duration) -> Result<bool> {
        if !state.receive(wait)? {
            return Ok(false);
        }
        if !state.decoding && state.received.len() <= LONG {
            let message = codec::decode(&state.received)?;
            state.take_in(message, &self.batches)?;
            return Ok(true);
        }
        let bytes = std::mem::take(&mut state.received);
        state.to_decode.push_back(bytes);
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
            // To give gigabytes back takes its time, too.
            let decode = move || codec::decode(&bytes);
            let message = MutexGuard::unlocked(state, decode)?;
            state.take_in(message, &self.batches)?;
        }
        Ok(())
    }

    /// Looks whether rank 0 has cancelled something.
    pub(crate) fn poll(&self) {
        // Whoever holds the line at the moment will see the word; a thread that waits will find it
        // garbled or lost, if it is.
        if let Some(mut state) = self.state.try_lock() {
            while let Ok(true) = self.read(&mut state, Duration::ZERO) {}
        }
    }

    /// Hears what rank 0 says, whatever the threads are at, and tells it what they have done; with
    /// `speaks`, it is told of signals, too, and has to be there.
    pub(crate) fn service(&self, speaks: bool) -> Result<()> {
        for batch in &self.batches {
            batch.report_early(|report| self.send(&ToMaster::Done(report)))?;
        }
        let blocked = self.batches.iter().all(ThreadBatch::is_at_a_long_task);
        let mut state = self.state.lock();
        let since = state.last_poll.elapsed().min(STEP);
        state.silence += since;
        state.last_poll = Instant::now();
        while self.read(&mut state, Duration::ZERO)? {}
        if blocked {
            state.return_unbegun()?; // others may be free
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

    /// Tells rank 0 that this process is there, whatever its other threads are at. That it cannot be told
    /// is for whoever attends to find.
    pub(crate) fn send_heartbeat(&self) {
        let mut state = self.state.lock();
        let beat = if state.has_job {
            ToMaster::Heartbeat { idle: state.is_idle() }
        } else {
            self.hello()
        };
        if let Err(error) = state.send_short(&beat) {
            state.lost = Some(error);
        }
    }

    /// There is nothing to wait for any more: every thread that waits fails with this.
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
    /// Sends rank 0 an encoded message. What failed because of a signal comes after word of the signal,
    /// and is left to do.
    fn send(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
        self.report_signal()?;
        match bytes.len() {
            ..=LONG => self.link.send_small(bytes),
            _ => self.link.send(std::mem::take(bytes).into()),
        }
    }

    /// Sends rank 0 a short message.
    fn send_short(&mut self, message: &ToMaster) -> Result<()> {
        self.report_signal()?;
        codec::encode_into(message, &mut self.sent);
        self.link.send_small(&self.sent)
    }

    /// Tells rank 0 of a signal that it has not heard of yet.
    fn report_signal(&mut self) -> Result<()> {
        let Some(asked) = signals::asked().filter(|asked| asked.times > self.told) else {
            return Ok(());
        };
        self.told = asked.times;
        self.send_short(&ToMaster::Interrupted(asked.name.to_string()))
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
    fn return_unbegun(&mut self) -> Result<()> {
        while let Some((tasks, _)) = self.tasks.pop_front() {
            let unbegun = Some(tasks);
            self.send_short(&ToMaster::Done(Report { unbegun, ..Report::default() }))?;
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
    fn take_in(&mut self, message: ToWorker, batches: &[ThreadBatch]) -> Result<()> {
        match message {
            ToWorker::Cancel(task) => {
                self.stopped |= task.is_none();
                for batch in batches {
                    batch.cancel(task);
                }
            }
            ToWorker::Reply { ticket, reply } => drop(self.replies.insert(ticket, reply)),
            ToWorker::Heartbeat => {}
            ToWorker::Assign(tasks) => {
                let share = tasks.count.div_ceil(batches.len() as u64);
                self.tasks.push_back((tasks, share));
            }
            ToWorker::Job(_) if self.has_job => {} // this worker has said hello more than once
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

    /// Whether nothing is to be done here, nor on its way here.
    fn is_idle(&self) -> bool {
        let holds_nothing = self.tasks.is_empty() && self.unclaimed.is_empty() && !self.decoding;
        self.ready && self.at_work == 0 && holds_nothing && !self.link.is_receiving()
    }

    /// Whether rank 0 has been silent for too long.
    fn is_rank0_silent(&self) -> bool {
        self.silence > LEASE
    }
}

/// What crunch has of the line: its thread's part in it.
#[derive(Clone)]
pub(crate) struct ThreadConnection {
    connection: Arc<Connection>,
    thread: u32,
}

impl ThreadConnection {
    pub(crate) fn new(connection: &Arc<Connection>, thread: u32) -> ThreadConnection {
        ThreadConnection { connection: connection.clone(), thread }
    }
}

impl MasterClient for ThreadConnection {
    fn ask(&self, request: Request) -> Result<Reply> {
        self.connection.ask(self.thread, request)
    }

    fn is_cancelled(&self) -> bool {
        self.connection.poll();
        self.connection.batches()[self.thread as usize].is_cancelled()
    }
}

#[cfg(test)]
mod tests;
