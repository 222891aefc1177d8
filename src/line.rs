//! A worker's line to rank 0: its link, shared between the worker's loop and what runs inside crunch,
//! which may ask for data or the dictionary and wants to know whether it has been cancelled.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::message::{self, Reply, Request, ToMaster, ToWorker};
use crate::transport::Link;

/// How long the line is held while nothing comes.
const LOOK: Duration = Duration::from_millis(100);

/// One a worker. A request and its reply hold it together, so they never mix with others'.
pub(crate) struct Line {
    rank: usize,
    ends: Mutex<Ends>,
    cancelled: AtomicBool,
}

struct Ends {
    link: Box<dyn Link>,
    /// What came while something else was looked for.
    early: VecDeque<ToWorker>,
}

impl Line {
    pub(crate) fn new(link: Box<dyn Link>) -> Line {
        let rank = link.rank();
        let ends = Mutex::new(Ends { link, early: VecDeque::new() });
        Line { rank, ends, cancelled: AtomicBool::new(false) }
    }

    /// The worker's rank.
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// Sends rank 0 a message.
    pub(crate) fn send(&self, message: &ToMaster) -> Result<()> {
        self.ends().link.send(&message::encode(message))
    }

    /// Waits for what rank 0 wants done next.
    pub(crate) fn receive(&self) -> Result<ToWorker> {
        loop {
            // Others get at the line between two looks.
            let mut ends = self.ends();
            let message = match ends.early.pop_front() {
                Some(message) => message,
                None => match ends.link.receive(LOOK)? {
                    Some(bytes) => message::decode(&bytes)?,
                    None => continue,
                },
            };
            match message {
                ToWorker::Cancel => {} // for what has been returned meanwhile
                message => return Ok(message),
            }
        }
    }

    /// Asks rank 0 for something and waits for the answer.
    pub(crate) fn ask(&self, request: Request) -> Result<Reply> {
        let mut ends = self.ends();
        ends.link.send(&message::encode(&ToMaster::Ask(request)))?;
        loop {
            let Some(bytes) = ends.link.receive(LOOK)? else { continue };
            match message::decode(&bytes)? {
                ToWorker::Reply(reply) => return Ok(reply),
                ToWorker::Cancel => self.cancelled.store(true, Ordering::Relaxed),
                other => ends.early.push_back(other),
            }
        }
    }

    /// Begins something that can be cancelled.
    pub(crate) fn begin(&self) {
        self.cancelled.store(false, Ordering::Relaxed);
    }

    /// Whether rank 0 wants what was begun to come to an end. Looks whether a word of that has come.
    pub(crate) fn is_cancelled(&self) -> bool {
        // Whoever holds the line at the moment will see the word.
        if let Ok(mut ends) = self.ends.try_lock() {
            while let Ok(Some(bytes)) = ends.link.receive(Duration::ZERO) {
                match message::decode(&bytes) {
                    Ok(ToWorker::Cancel) => self.cancelled.store(true, Ordering::Relaxed),
                    Ok(other) => ends.early.push_back(other),
                    Err(_) => break, // the worker's loop will find the line garbled
                }
            }
        }
        self.cancelled.load(Ordering::Relaxed)
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        // A panic elsewhere leaves the link as it was between two messages.
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rank 0's refusal as an error.
pub(crate) fn answered(reply: Reply) -> Result<Reply> {
    match reply {
        Reply::Refused(why) => Err(Error::unexpected(why)),
        reply => Ok(reply),
    }
}
