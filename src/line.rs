//! A worker's line to rank 0: its link, shared between the worker's loop and what runs inside crunch,
//! which may ask for data or the dictionary and wants to know whether it has been cancelled.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::message::{self, Reply, Request, ToMaster, ToWorker};
use crate::signals;
use crate::transport::{BEAT, Link};

/// How long the line is held while nothing comes: so long others have to wait for it.
const LOOK: Duration = Duration::from_millis(20);

/// How often the attendant looks for something to tell rank 0.
const ATTEND: Duration = Duration::from_millis(50);

/// How long rank 0 may be silent. It has more to do than a worker, and is worth more patience.
const LEASE: Duration = Duration::from_secs(30);

/// The longest time between two looks of the attendant that counts: if this process was held up itself,
/// rank 0's messages wait.
const STEP: Duration = Duration::from_millis(200);

/// How long crunch may take to return once rank 0 has gone; then the process ends.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// The ticket of every request for a data set: the worker's loop makes one at a time.
pub(crate) const DATA: u64 = 0;

/// One a worker. Several threads may wait for answers at a time: each reads what comes and leaves what
/// is for another where that one looks. The lock is fair, so that everybody gets to look.
pub(crate) struct Line {
    rank: usize,
    host: String,
    ends: Mutex<Ends>,
    cancelled: AtomicBool,
    tickets: AtomicU64,
}

struct Ends {
    link: Box<dyn Link>,
    /// What the worker's loop has not looked at yet.
    early: VecDeque<ToWorker>,
    /// Answers that nobody has fetched yet, by ticket.
    replies: BTreeMap<u64, Reply>,
    /// Whether that has been cancelled already.
    cancel_next: bool,
    /// How many signals rank 0 knows of.
    told: usize,
    /// Whether the job is here.
    welcomed: bool,
    /// Whether the worker's loop holds something it has not answered.
    at_work: bool,
    /// When the attendant looked last, and when rank 0 was told last that this worker is there.
    looked: Instant,
    beaten: Instant,
    /// For how long nothing has come.
    silence: Duration,
}

impl Line {
    pub(crate) fn new(link: Box<dyn Link>) -> Line {
        let rank = link.rank();
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        let now = Instant::now();
        let ends = Ends {
            link,
            early: VecDeque::new(),
            replies: BTreeMap::new(),
            cancel_next: false,
            told: 0,
            welcomed: false,
            at_work: true,
            looked: now,
            beaten: now,
            silence: Duration::ZERO,
        };
        let (cancelled, tickets) = (AtomicBool::new(false), AtomicU64::new(DATA + 1));
        Line { rank, host, ends: Mutex::new(ends), cancelled, tickets }
    }

    /// This worker's host.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The worker's rank.
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// Sends rank 0 a message.
    pub(crate) fn send(&self, message: &ToMaster) -> Result<()> {
        self.ends.lock().send(message)
    }

    /// Waits for what rank 0 wants done next.
    pub(crate) fn receive(&self) -> Result<ToWorker> {
        self.wait(|ends| {
            let message = ends.early.pop_front()?;
            ends.at_work = true;
            self.cancelled.store(std::mem::take(&mut ends.cancel_next), Ordering::Relaxed);
            Some(message)
        })
    }

    /// Asks rank 0 for something and waits for the answer.
    pub(crate) fn ask(&self, request: Request) -> Result<Reply> {
        let ticket = match request {
            Request::Data { .. } => DATA,
            Request::Dictionary(..) => self.tickets.fetch_add(1, Ordering::Relaxed),
        };
        self.send(&ToMaster::Ask { ticket, request })?;
        self.wait(|ends| ends.replies.remove(&ticket))
    }

    fn wait<T>(&self, mut find: impl FnMut(&mut Ends) -> Option<T>) -> Result<T> {
        loop {
            let mut ends = self.ends.lock();
            if let Some(found) = find(&mut ends) {
                return Ok(found);
            }
            if ends.is_alone() {
                return Err(self.alone());
            }
            ends.read(LOOK, &self.cancelled)?;
        }
    }

    /// Whether rank 0 wants what was received last to come to an end. Looks whether a word of that has come.
    pub(crate) fn is_cancelled(&self) -> bool {
        // Whoever holds the line at the moment will see the word; the worker's loop will find it
        // garbled or lost, if it is.
        if let Some(mut ends) = self.ends.try_lock() {
            while let Ok(true) = ends.read(Duration::ZERO, &self.cancelled) {}
        }
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Tells rank 0 what it has to know of this process, and hears whether rank 0 is there, whatever the
    /// worker's loop is at.
    fn attend(&self) -> Result<()> {
        let mut ends = self.ends.lock();
        let since = ends.looked.elapsed().min(STEP);
        ends.silence += since;
        ends.looked = Instant::now();
        while ends.read(Duration::ZERO, &self.cancelled)? {}
        if ends.is_alone() {
            return Err(self.alone());
        }
        if ends.beaten.elapsed() >= BEAT {
            ends.beaten = Instant::now();
            let idle = !ends.at_work && ends.early.is_empty();
            let hello = || ToMaster::Hello { host: self.host.clone() };
            let beat = if ends.welcomed { ToMaster::Beat { idle } } else { hello() };
            ends.send(&beat)?;
        }
        if let Some(asked) = signals::asked().filter(|asked| asked.times > ends.told) {
            ends.told = asked.times;
            ends.send(&ToMaster::Interrupted(asked.name.to_string()))?;
        }
        Ok(())
    }

    /// There is no rank 0 to work for: has crunch come to its end, and if it does not, ends the process.
    fn leave(&self, error: &Error, is_over: &AtomicBool) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.ends.lock().link.hurry();
        let begin = Instant::now();
        while begin.elapsed() < LAST_WORDS {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            std::thread::park_timeout(LAST_WORDS - begin.elapsed().min(LAST_WORDS));
        }
        error.print(); // crunch does not return
        std::process::exit(error.exit as i32);
    }

    fn alone(&self) -> Error {
        let (rank, seconds) = (self.rank, LEASE.as_secs());
        Error::unexpected(format!("rank {rank} leaves: rank 0 has been silent for {seconds} s"))
    }
}

impl Ends {
    fn send(&mut self, message: &ToMaster) -> Result<()> {
        if matches!(message, ToMaster::Done(_) | ToMaster::Reduced { .. }) {
            self.at_work = false;
        }
        self.link.send(message::encode(message).into())
    }

    /// Reads one message, if one comes within that time, and leaves it where it is looked for; whether
    /// one came.
    fn read(&mut self, wait: Duration, cancelled: &AtomicBool) -> Result<bool> {
        let Some(bytes) = self.link.receive(wait)? else { return Ok(false) };
        self.silence = Duration::ZERO;
        match message::decode(&bytes)? {
            ToWorker::Cancel if self.early.is_empty() => cancelled.store(true, Ordering::Relaxed),
            ToWorker::Cancel => self.cancel_next = true,
            ToWorker::Reply { ticket, reply } => drop(self.replies.insert(ticket, reply)),
            ToWorker::Beat => {}
            ToWorker::Job(_) if self.welcomed => {} // this worker has said hello more than once
            other => {
                self.welcomed |= matches!(other, ToWorker::Job(_));
                if matches!(other, ToWorker::Dismiss { hurry: true }) {
                    self.link.hurry();
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

/// The thread that attends to a line while crunch keeps the worker's loop busy. It ends with this.
pub(crate) struct Attendant {
    thread: Option<JoinHandle<()>>,
    over: Arc<AtomicBool>,
}

impl Attendant {
    pub(crate) fn start(line: &Arc<Line>) -> Result<Attendant> {
        signals::heed(true);
        let over = Arc::new(AtomicBool::new(false));
        let (line, is_over) = (line.clone(), over.clone());
        let attend = move || {
            while !is_over.load(Ordering::Relaxed) {
                if let Err(error) = line.attend() {
                    return line.leave(&error, &is_over);
                }
                std::thread::park_timeout(ATTEND);
            }
        };
        let thread = std::thread::Builder::new()
            .name("attend".to_string())
            .spawn(attend)
            .map_err(|error| Error::unexpected(format!("no thread to attend rank 0: {error}")))?;
        Ok(Attendant { thread: Some(thread), over })
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Rank 0's refusal as an error.
pub(crate) fn answered(reply: Reply) -> Result<Reply> {
    match reply {
        Reply::Refused(why) => Err(Error::unexpected(why)),
        reply => Ok(reply),
    }
}
