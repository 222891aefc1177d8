//! A worker's line to rank 0: its link, shared between the threads that crunch, what runs inside crunch
//! (which may ask for data or the dictionary), and the thread that attends to it meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::model::{Assignment, Key, Report, SlotResult};
use crate::util::error::{Error, Result};
use crate::util::signals;
use crate::util::usage;
use crate::wire::codec;
use crate::wire::messages::{ToMaster, ToWorker};
use crate::wire::requests::{DATA, MasterClient};
use crate::wire::requests::{Reply, Request};
use crate::wire::transport::{BEAT, Link};
use crate::worker;
use crate::worker::batch::ThreadBatch;

/// How long the line is held while nothing comes: so long others have to wait for it.
const LOOK: Duration = Duration::from_millis(20);

/// How long rank 0 may be silent. It has more to do than a worker, and is worth more patience.
const LEASE: Duration = Duration::from_secs(30);

/// The longest time between two looks of the attendant that counts: if this process was held up itself,
/// rank 0's messages wait.
const STEP: Duration = Duration::from_millis(200);

/// One a worker. Several threads may wait for something at a time: each reads what comes and leaves what
/// is for another where that one looks. The lock is fair, so that everybody gets to look.
pub(crate) struct Connection {
    rank: usize,
    host: String,
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
    /// What was received last, and what is sent next.
    received: Vec<u8>,
    sent: Vec<u8>,
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
    /// Whether the job is here.
    welcomed: bool,
    /// Whether rank 0 was asked for work.
    ready: bool,
    /// How many threads hold something they have not answered.
    at_work: usize,
    /// When the attendant looked last, and when rank 0 was told last that this worker is there.
    looked: Instant,
    beaten: Instant,
    /// For how long nothing has come.
    silence: Duration,
    /// Why nothing more will come.
    over: Option<Error>,
    /// Whether this is a process of its own.
    is_process: bool,
}

impl Connection {
    /// A line for so many threads that crunch, in a process of their own or rank 0's.
    pub(crate) fn new(link: Box<dyn Link>, threads: u32, is_process: bool) -> Connection {
        let rank = link.rank();
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let now = Instant::now();
        let ends = ConnectionState {
            link,
            received: Vec::new(),
            sent: Vec::new(),
            tasks: VecDeque::new(),
            early: VecDeque::new(),
            replies: BTreeMap::new(),
            stopped: false,
            told: 0,
            welcomed: false,
            ready: false,
            at_work: 0,
            looked: now,
            beaten: now,
            silence: Duration::ZERO,
            over: None,
            is_process,
        };
        Connection {
            rank,
            host,
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
        ToMaster::Hello { host: self.host.clone(), threads: self.seats.len() as u32 }
    }

    /// Sends rank 0 a message.
    pub(crate) fn send(&self, message: &ToMaster) -> Result<()> {
        self.ends.lock().send(message)
    }

    /// Reports what a thread was given last, all of it.
    pub(crate) fn answer(&self, message: &ToMaster) -> Result<()> {
        let mut ends = self.ends.lock();
        ends.at_work = ends.at_work.saturating_sub(1);
        ends.send(message)
    }

    /// Asks for work.
    pub(crate) fn ready(&self) -> Result<()> {
        let mut ends = self.ends.lock();
        ends.ready = true;
        ends.send(&ToMaster::Done(Report::default()))
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
            ends.read(LOOK, &self.seats)?;
        }
    }

    /// Looks whether rank 0 has cancelled something.
    pub(crate) fn look(&self) {
        // Whoever holds the line at the moment will see the word; a thread that waits will find it
        // garbled or lost, if it is.
        if let Some(mut ends) = self.ends.try_lock() {
            while let Ok(true) = ends.read(Duration::ZERO, &self.seats) {}
        }
    }

    /// Hears what rank 0 says, whatever the threads are at; with `speaks`, rank 0 is told what it has to
    /// know of this process, and has to be there.
    pub(crate) fn attend(&self, speaks: bool) -> Result<()> {
        for seat in &self.seats {
            seat.report_early(|report| self.send(&ToMaster::Done(report)))?;
        }
        let blocked = self.seats.iter().all(ThreadBatch::is_at_a_long_task);
        let mut ends = self.ends.lock();
        let since = ends.looked.elapsed().min(STEP);
        ends.silence += since;
        ends.looked = Instant::now();
        while ends.read(Duration::ZERO, &self.seats)? {}
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
        if ends.beaten.elapsed() >= BEAT {
            ends.beaten = Instant::now();
            let holds_nothing = ends.tasks.is_empty() && ends.early.is_empty();
            let idle = ends.ready && ends.at_work == 0 && holds_nothing;
            let beat = if ends.welcomed { ToMaster::Beat { idle } } else { self.hello() };
            ends.send(&beat)?;
        }
        ends.tell_of_signal()
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
    /// Sends rank 0 a message. What failed because of a signal comes after word of the signal, and is left
    /// to do.
    fn send(&mut self, message: &ToMaster) -> Result<()> {
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
        self.send(&ToMaster::Interrupted(asked.name.to_string()))
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
            self.send(&ToMaster::Done(Report { unbegun, ..Report::default() }))?;
        }
        Ok(())
    }

    /// Reads one message, if one comes within that time, and leaves it where it is looked for; whether
    /// one came.
    fn read(&mut self, wait: Duration, seats: &[ThreadBatch]) -> Result<bool> {
        if !self.link.receive(wait, &mut self.received)? {
            return Ok(false);
        }
        self.silence = Duration::ZERO;
        match codec::decode(&self.received)? {
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
                        self.send(&ToMaster::Farewell(seconds))?;
                    }
                }
                self.early.push_back(other);
            }
        }
        Ok(true)
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
mod tests {
    use super::*;
    use crate::executor::CallResult;
    use crate::wire::transport::{Hub, threads};

    #[test]
    fn what_waits_behind_a_long_task_is_handed_back() {
        let (mut hub, links) = threads::connect(1, 1);
        let link = links.into_iter().next().unwrap();
        let line = Connection::new(Box::new(link), 1, false);
        for first in [0, 7] {
            let next = ToWorker::Assign(Assignment { first, count: 1, attempt: 1 });
            hub.send(1, codec::encode(&next).into()).unwrap();
        }
        let NextWork::Crunch(first) = line.next().unwrap() else { panic!("a task comes first") };
        let long = |_| {
            std::thread::sleep(Duration::from_millis(200));
            line.attend(false).unwrap();
            (CallResult::Number(1.0), None)
        };
        line.seats()[0].crunch(first, long, |_| Ok(())).unwrap();
        let mut received = Vec::new();
        assert_eq!(hub.receive(Duration::from_secs(10), &mut received).unwrap(), Some(1));
        let ToMaster::Done(report) = codec::decode(&received).unwrap() else { panic!() };
        assert_eq!(report.unbegun, Some(Assignment { first: 7, count: 1, attempt: 1 }));
        assert_eq!(report.runs.count(), 0);
    }
}
