//! Rank 0's answers to requests that workers send: data sets, the dictionary that all ranks share, and the caller's
//! private files. Blocked requests wait here and do not block the event loop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::executor::rust::ErasedStudy;
use crate::job::Carried;
use crate::rank0::carried_files::CarriedFiles;
use crate::util::thread;
use crate::wire::codec;
use crate::wire::dictionary::DictionaryData;
use crate::wire::messages::ToWorker;
use crate::wire::requests::DATA;
use crate::wire::requests::{DictionaryOp, Reply, Request};

/// After this long without activity, blocked requests are refused, because nobody will put a value. Not
/// earlier: another thread of a blocked crunch, or rank 0's own program, may still put one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Answers requests and holds the blocked ones.
pub(crate) struct RequestBroker {
    study: Option<Arc<ErasedStudy>>,
    dictionary: DictionaryData,
    waiting: Vec<PendingRequest>,
    files: CarriedFiles,
    /// The encoded reply with the data set that was requested last: workers mostly want the same one at
    /// the same time.
    encoded: Option<((usize, u64), Bytes)>,
    replies: Vec<(usize, Bytes)>,
    /// Since when every worker has been blocked or idle, if all are.
    stuck: Option<Duration>,
    /// Workers on which crunch may have threads that compute while it waits.
    computing: BTreeSet<usize>,
    over: bool,
}

struct PendingRequest {
    rank: usize,
    thread: u32,
    ticket: u64,
    operation: DictionaryOp,
    key: Bytes,
    since: Duration,
    until: Option<Duration>,
    /// Whether it was said that this waits.
    said: bool,
}

impl PendingRequest {
    /// Says who waits for what.
    fn say(&mut self) {
        self.said = true;
        let (name, key) = codec::decode_text(&self.key).unwrap_or(("?", &self.key));
        let key: String = key.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
        log::warn!(
            "rank {}, thread {}: for {} s crunch has waited for a value of the dictionary \"{name}\" that nobody has put yet (its key in bincode: {key})",
            self.rank,
            self.thread,
            PATIENCE.as_secs()
        );
    }
}

impl RequestBroker {
    pub(crate) fn new(study: Option<Arc<ErasedStudy>>) -> RequestBroker {
        let dictionary = study.as_ref().map(|study| study.dictionary().clone()).unwrap_or_default();
        RequestBroker {
            study,
            dictionary,
            waiting: Vec::new(),
            files: CarriedFiles::default(),
            encoded: None,
            replies: Vec::new(),
            stuck: None,
            computing: BTreeSet::new(),
            over: false,
        }
    }

    /// Lets hosts ask for what the caller has written for children.
    pub(crate) fn serve_files(&mut self, carried: &Carried) {
        self.files = CarriedFiles::of(carried);
    }

    /// Why the run cannot go on: a file that hosts need cannot be read.
    pub(crate) fn take_failure(&mut self) -> Option<String> {
        self.files.take_failure()
    }

    /// Whether crunch may have threads on a worker that compute while it waits.
    pub(crate) fn computes(&mut self, rank: usize, computes: bool) {
        if computes {
            self.computing.insert(rank);
        } else {
            self.computing.remove(&rank);
        }
    }

    /// Takes a request. Its reply is among the next ones, or follows once the key has a value.
    pub(crate) fn ask(
        &mut self,
        (rank, thread): (usize, u32),
        ticket: u64,
        request: Request,
        now: Duration,
    ) {
        self.stuck = None;
        match request {
            Request::Data { level, point } => {
                let reply = self.data(level, point);
                self.replies.push((rank, reply));
            }
            Request::Dictionary(operation, key) => {
                let until = match operation {
                    DictionaryOp::Wait(Some(patience)) => Some(now.saturating_add(patience)),
                    _ => None,
                };
                let since = now;
                let waits = PendingRequest {
                    rank,
                    thread,
                    ticket,
                    operation,
                    key,
                    since,
                    until,
                    said: false,
                };
                self.waiting.push(waits);
            }
            Request::Carried { file, offset } => {
                if let Some(reply) = self.files.ask((rank, ticket), (file, offset)) {
                    self.reply_to(rank, ticket, reply);
                }
            }
            Request::Imported(_)
            | Request::ImportedByReduction(_)
            | Request::IsThere(_)
            | Request::Environment(_) => self.reply_to(rank, ticket, Reply::Ready(true)),
        }
    }

    /// Whether no request is open.
    pub(crate) fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && self.replies.is_empty() && self.files.is_quiet()
    }

    /// The ranks with blocked requests, once per blocked thread.
    pub(crate) fn waiting(&self) -> Vec<usize> {
        let mut waiting: Vec<_> = self.waiting.iter().map(|w| (w.rank, w.thread)).collect();
        waiting.sort_unstable();
        waiting.dedup();
        waiting.into_iter().map(|(rank, _)| rank).collect()
    }

    /// Refuses the blocked requests of a worker, or of one of its threads: crunch has returned there, or
    /// the worker is lost.
    pub(crate) fn forget(&mut self, rank: usize, thread: Option<u32>) {
        let (gone, left) = self.waiting.drain(..).partition::<Vec<_>, _>(|waiting| {
            waiting.rank == rank && thread.is_none_or(|thread| waiting.thread == thread)
        });
        self.waiting = left;
        for waiting in gone {
            self.reply(&waiting, Reply::Refused("crunch has returned".to_string()));
        }
    }

    /// The study stops: requests that would block are refused from now on.
    pub(crate) fn end(&mut self) {
        self.over = true;
    }

    /// Whether a thread on rank 0 waits for a value.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.dictionary.is_waited_for()
    }

    /// Whether somebody may still put a value although every worker waits: a thread of crunch, on a worker or
    /// in this process, or the program on rank 0, if it has a handle besides those here and in the study.
    fn may_put(&self) -> bool {
        let own = 1 + usize::from(self.study.is_some());
        !self.computing.is_empty() || self.dictionary.handles() > own || thread::are_unknown()
    }

    /// Closes the dictionary: no more values will be put.
    pub(crate) fn close(&self) {
        self.dictionary.close();
    }

    /// The encoded replies that are ready. `alone` says that only the workers with blocked requests have
    /// tasks, and that nothing is pending on rank 0.
    pub(crate) fn replies(&mut self, now: Duration, alone: bool) -> Vec<(usize, Bytes)> {
        for ((rank, ticket), reply) in self.files.replies() {
            self.reply_to(rank, ticket, reply);
        }
        // A put may answer a request that arrived earlier, so puts go first.
        let (puts, rest): (Vec<_>, Vec<_>) = self
            .waiting
            .drain(..)
            .partition(|waiting| matches!(waiting.operation, DictionaryOp::Put(_)));
        for waiting in puts.into_iter().chain(rest) {
            match self.answer(&waiting, now) {
                Some(reply) => self.reply(&waiting, reply),
                None => self.waiting.push(waiting),
            }
        }
        for waiting in &mut self.waiting {
            if !waiting.said && now >= waiting.since.saturating_add(PATIENCE) {
                waiting.say();
            }
        }
        // A request with a time limit returns, and its crunch may put a value then.
        let for_ever = self.waiting.iter().all(|waiting| waiting.until.is_none());
        if self.waiting.is_empty() || !alone || !for_ever || !self.replies.is_empty() {
            self.stuck = None;
        } else {
            let since = *self.stuck.get_or_insert(now);
            let is_long = now.saturating_sub(since) >= PATIENCE;
            if is_long && self.may_put() {
                self.stuck = Some(now);
            } else if is_long {
                for waiting in std::mem::take(&mut self.waiting) {
                    let why = "there is no value under this key, and no worker is left to put one: for a minute every worker has been waiting or idle";
                    self.reply(&waiting, Reply::Refused(why.to_string()));
                }
            }
        }
        std::mem::take(&mut self.replies)
    }

    fn answer(&self, waiting: &PendingRequest, now: Duration) -> Option<Reply> {
        let key = &waiting.key;
        let found = match &waiting.operation {
            DictionaryOp::Put(value) => match self.dictionary.put(key.clone(), value.clone()) {
                Ok(_) => Some(Reply::Ready(true)),
                Err(error) => Some(Reply::Refused(error.to_string())),
            },
            DictionaryOp::Take { wait } => match self.dictionary.try_take(key) {
                None if *wait => None,
                value => Some(Reply::Value(value)),
            },
            DictionaryOp::Fetch { wait } => match self.dictionary.try_fetch(key) {
                None if *wait => None,
                value => Some(Reply::Value(value)),
            },
            DictionaryOp::Wait(_) => match self.dictionary.is_ready(key) {
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

    fn reply(&mut self, to: &PendingRequest, reply: Reply) {
        self.reply_to(to.rank, to.ticket, reply);
    }

    /// Replies to a request that does not wait here.
    pub(crate) fn reply_to(&mut self, rank: usize, ticket: u64, reply: Reply) {
        let reply = ToWorker::Reply { ticket, reply };
        self.replies.push((rank, codec::encode(&reply).into()));
    }

    fn data(&mut self, level: usize, point: u64) -> Bytes {
        if let Some((place, reply)) = &self.encoded
            && *place == (level, point)
        {
            return reply.clone();
        }
        self.encoded = None; // free it before the next one is made
        let data = match &self.study {
            Some(study) => study.data(level, point),
            None => Err("this job has no data sets on rank 0".to_string()),
        };
        let found = data.is_ok();
        let reply = data.map_or_else(Reply::Refused, |bytes| Reply::Value(Some(bytes)));
        let reply = Bytes::from(codec::encode(&ToWorker::Reply { ticket: DATA, reply }));
        self.encoded = found.then(|| ((level, point), reply.clone()));
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(replies: Vec<(usize, Bytes)>) -> Vec<(usize, u64, Reply)> {
        let decode = |(rank, bytes): (usize, Bytes)| match codec::decode(&bytes) {
            Ok(ToWorker::Reply { ticket, reply }) => (rank, ticket, reply),
            other => panic!("{other:?}"),
        };
        replies.into_iter().map(decode).collect()
    }

    const TAKE: DictionaryOp = DictionaryOp::Take { wait: true };

    fn ask(
        broker: &mut RequestBroker,
        rank: usize,
        ticket: u64,
        operation: DictionaryOp,
        seconds: u64,
    ) {
        let request = Request::Dictionary(operation, Bytes::from_static(b"key"));
        broker.ask((rank, 0), ticket, request, Duration::from_secs(seconds));
    }

    #[test]
    fn a_wait_ends_after_a_minute_in_which_nobody_could_put() {
        thread::know_all();
        let mut broker = RequestBroker::new(None);
        let at = |broker: &mut RequestBroker, seconds, alone| {
            decoded(broker.replies(Duration::from_secs(seconds), alone))
        };
        ask(&mut broker, 1, 7, TAKE, 0);
        assert_eq!(at(&mut broker, 100, false), [], "others may put");
        assert_eq!((at(&mut broker, 101, true), at(&mut broker, 160, true)), (vec![], vec![]));
        assert_eq!(at(&mut broker, 161, false), [], "a worker is busy again");
        assert_eq!((at(&mut broker, 162, true), at(&mut broker, 221, true)), (vec![], vec![]));
        let [(1, 7, Reply::Refused(why))] = &at(&mut broker, 222, true)[..] else { panic!() };
        assert!(why.contains("no worker is left"), "{why}");
        assert!(broker.is_quiet());
    }

    #[test]
    fn a_wait_goes_on_where_somebody_may_put_yet() {
        thread::know_all();
        let mut broker = RequestBroker::new(None);
        let at = |broker: &mut RequestBroker, seconds| {
            decoded(broker.replies(Duration::from_secs(seconds), true))
        };
        ask(&mut broker, 1, 7, TAKE, 0);
        assert_eq!(at(&mut broker, 0), []);
        broker.computes(2, true);
        assert_eq!((at(&mut broker, 60), at(&mut broker, 119)), (vec![], vec![]));
        broker.computes(2, false);
        let handle = broker.dictionary.clone();
        assert_eq!((at(&mut broker, 120), at(&mut broker, 179)), (vec![], vec![]));
        assert!(broker.waiting.iter().all(|waiting| waiting.said));
        drop(handle);
        assert!(matches!(at(&mut broker, 180)[..], [(1, 7, Reply::Refused(_))]));
    }

    #[test]
    fn threads_of_one_crunch_hand_values_to_each_other() {
        let mut broker = RequestBroker::new(None);
        ask(&mut broker, 1, 1, TAKE, 0);
        ask(&mut broker, 1, 2, DictionaryOp::Put(Bytes::from_static(b"value")), 0);
        let value = Reply::Value(Some(Bytes::from_static(b"value")));
        let replies = decoded(broker.replies(Duration::ZERO, true));
        assert_eq!(replies, [(1, 2, Reply::Ready(true)), (1, 1, value)]);
    }

    #[test]
    fn who_has_returned_takes_nothing_from_others() {
        let mut broker = RequestBroker::new(None);
        ask(&mut broker, 1, 1, TAKE, 0);
        broker.forget(1, Some(0));
        ask(&mut broker, 2, 1, TAKE, 0);
        ask(&mut broker, 3, 1, DictionaryOp::Put(Bytes::new()), 0);
        let replies = decoded(broker.replies(Duration::ZERO, false));
        assert!(matches!(replies[0], (1, 1, Reply::Refused(_))), "{replies:?}");
        assert_eq!(replies[2], (2, 1, Reply::Value(Some(Bytes::new()))));
    }

    #[test]
    fn an_endless_wait_is_one() {
        let mut broker = RequestBroker::new(None);
        ask(&mut broker, 1, 1, DictionaryOp::Wait(Some(Duration::MAX)), 5);
        assert_eq!(decoded(broker.replies(Duration::from_secs(1 << 40), false)), []);
    }
}
