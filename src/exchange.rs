//! Rank 0's answers to what workers ask from within crunch: data sets, and the dictionary that all
//! ranks share. Those who wait for a key wait here, not in rank 0's loop.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::dictionary::Board;
use crate::message::{self, Deed, Reply, Request, ToWorker};
use crate::native::Native;

/// How many data sets stay encoded: workers mostly want the same one at the same time.
const ENCODED: usize = 2;

/// How long nothing may happen before those who wait are told that nobody will put any more, though
/// rank 0's own program could.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers, and keeps who waits.
pub(crate) struct Exchange {
    native: Option<Arc<Native>>,
    board: Board,
    waiting: Vec<Waiting>,
    /// Encoded replies with data sets, the most recently asked for last.
    encoded: VecDeque<((usize, u64), Bytes)>,
    replies: Vec<(usize, Bytes)>,
    /// Since when everybody waits, if everybody does.
    stuck: Option<Duration>,
    over: bool,
}

struct Waiting {
    rank: usize,
    deed: Deed,
    key: Bytes,
    until: Option<Duration>,
}

impl Exchange {
    pub(crate) fn new(native: Option<Arc<Native>>) -> Exchange {
        let board = native.as_ref().map(|native| native.board().clone()).unwrap_or_default();
        Exchange {
            native,
            board,
            waiting: Vec::new(),
            encoded: VecDeque::new(),
            replies: Vec::new(),
            stuck: None,
            over: false,
        }
    }

    /// Takes a request; its answer is among the next replies, or comes once there is one.
    pub(crate) fn ask(&mut self, rank: usize, request: Request, now: Duration) {
        self.stuck = None;
        match request {
            Request::Data { level, point } => {
                let reply = self.data(level, point);
                self.replies.push((rank, reply));
            }
            Request::Dictionary(deed, key) => {
                let until = match deed {
                    Deed::Wait(Some(patience)) => Some(now + patience),
                    _ => None,
                };
                self.waiting.push(Waiting { rank, deed, key, until });
            }
        }
    }

    /// Whether nobody waits for anything.
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.replies.is_empty()
    }

    /// The workers that wait for a key.
    pub(crate) fn waiting(&self) -> Vec<usize> {
        self.waiting.iter().map(|waiting| waiting.rank).collect()
    }

    /// Those who wait are not to wait any longer: the study stops.
    pub(crate) fn end(&mut self) {
        self.over = true;
    }

    /// Nobody will put any more.
    pub(crate) fn close(&self) {
        self.board.close();
    }

    /// The encoded replies that are due. `alone` says that no worker but those that wait here has
    /// anything to do, and nothing on rank 0 either.
    pub(crate) fn replies(&mut self, now: Duration, alone: bool) -> Vec<(usize, Bytes)> {
        // Putting may answer one that came earlier, so the puts go first.
        let (puts, rest): (Vec<_>, Vec<_>) =
            self.waiting.drain(..).partition(|waiting| matches!(waiting.deed, Deed::Put(_)));
        for waiting in puts.into_iter().chain(rest) {
            match self.answer(&waiting, now) {
                Some(reply) => self.reply(waiting.rank, reply),
                None => self.waiting.push(waiting),
            }
        }
        // Who waits for a time only may still put something afterwards.
        let for_ever = self.waiting.iter().all(|waiting| waiting.until.is_none());
        if self.waiting.is_empty() || !alone || !for_ever || !self.replies.is_empty() {
            self.stuck = None;
        } else {
            let since = *self.stuck.get_or_insert(now);
            let others = self.native.as_ref().is_some_and(|native| native.board_is_held());
            if !others || now.saturating_sub(since) >= PATIENCE {
                for waiting in std::mem::take(&mut self.waiting) {
                    let why = "nothing was put under this key, and nobody is left to put it: every other worker waits too or has nothing to do";
                    self.reply(waiting.rank, Reply::Refused(why.to_string()));
                }
            }
        }
        std::mem::take(&mut self.replies)
    }

    fn answer(&self, waiting: &Waiting, now: Duration) -> Option<Reply> {
        let key = &waiting.key;
        let found = match &waiting.deed {
            Deed::Put(value) => match self.board.put(key.clone(), value.clone()) {
                Ok(_) => Some(Reply::Ready(true)),
                Err(error) => Some(Reply::Refused(error.to_string())),
            },
            Deed::Take { wait } => match self.board.try_take(key) {
                None if *wait => None,
                value => Some(Reply::Value(value)),
            },
            Deed::Fetch { wait } => match self.board.try_fetch(key) {
                None if *wait => None,
                value => Some(Reply::Value(value)),
            },
            Deed::Wait(_) => match self.board.is_ready(key) {
                true => Some(Reply::Ready(true)),
                false if waiting.until.is_some_and(|until| now >= until) => {
                    Some(Reply::Ready(false))
                }
                false => None,
            },
        };
        let stopped = || Reply::Refused("the study is being stopped".to_string());
        found.or_else(|| self.over.then(stopped))
    }

    fn reply(&mut self, rank: usize, reply: Reply) {
        self.replies.push((rank, message::encode(&ToWorker::Reply(reply)).into()));
    }

    fn data(&mut self, level: usize, point: u64) -> Bytes {
        let held = self.encoded.iter().position(|(place, _)| *place == (level, point));
        if let Some(entry) = held.and_then(|at| self.encoded.remove(at)) {
            self.encoded.push_back(entry.clone());
            return entry.1;
        }
        let data = match &self.native {
            Some(native) => native.data(level, point),
            None => Err("this job has no data sets on rank 0".to_string()),
        };
        let found = data.is_ok();
        let reply = data.map_or_else(Reply::Refused, |bytes| Reply::Value(Some(bytes)));
        let reply = Bytes::from(message::encode(&ToWorker::Reply(reply)));
        if found {
            self.encoded.push_back(((level, point), reply.clone()));
            if self.encoded.len() > ENCODED {
                self.encoded.pop_front();
            }
        }
        reply
    }
}
