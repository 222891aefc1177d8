//! Simulated transport in virtual time: rank 0's real event loop and master run against thousands of
//! simulated workers in one thread, with delays and faults drawn from a seed. A run of hours takes
//! milliseconds, and the same seed repeats it exactly.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model::{
    Assignment, FinalCall, FinalResult, Report, RunBatch, RunError, Scored, SeenResources,
};
use crate::util::error::Result;
use crate::wire::codec;
use crate::wire::messages::{ToMaster, ToWorker};
use crate::wire::transport::{HEARTBEAT_PERIOD, Hub};

/// The simulated crunch: duration and result of a task.
pub(crate) type SimulatedCrunch<'a> =
    Box<dyn FnMut(u64) -> (Duration, Result<Scored, RunError>) + 'a>;

/// The simulated final function: duration and result of a call.
pub(crate) type SimulatedFinal<'a> =
    Box<dyn FnMut(&FinalCall) -> (Duration, Result<Scored, RunError>) + 'a>;

/// Injected faults. Probabilities are from 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// How many workers may report a fatal error, and the probability that one does per assignment.
    pub(crate) breaking: (usize, f64),
    /// How many workers may die silently, and the probability that one does per assignment.
    pub(crate) dying: (usize, f64),
    /// Probability that a message is lost.
    pub(crate) lost: f64,
    /// Probability that a message is delivered twice.
    pub(crate) doubled: f64,
    /// Probability that a message is delayed, and the longest delay.
    pub(crate) late: (f64, Duration),
    /// Every worker falls silent once, like a suspended process, and handles its messages afterwards: start,
    /// the time span over which the workers' silences begin, and the length of each silence.
    pub(crate) silence: Option<(Duration, Duration, Duration)>,
    /// How many workers may die silently when they get the job, and the probability that one does.
    pub(crate) vanishing: (usize, f64),
    /// How long each message to a worker takes to send, as over a slow line; the next one waits for it.
    pub(crate) transfer: Duration,
    /// How many workers cannot run crunch and say so, and how many after these fail every task.
    pub(crate) unfit: usize,
    pub(crate) failing: usize,
    /// How many workers, those of the highest ranks, cannot call crunch any more after this many calls.
    pub(crate) decaying: (usize, u64),
    /// When all workers die, reported by the transport.
    pub(crate) end: Option<Duration>,
}

/// An event in virtual time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SimulatedEvent {
    /// A message reaches rank 0.
    AtMaster(usize, Vec<u8>),
    /// A message reaches a worker.
    AtWorker(usize, Bytes),
    /// A worker has finished its work; its report.
    Done(usize, Vec<u8>),
    /// A worker sends a heartbeat.
    Heartbeat(usize),
}

#[derive(Default)]
struct SimulatedWorker {
    welcomed: bool,
    /// Whether it has asked for work; without, it waits for its share of its host, or that is nothing.
    ready: bool,
    /// Whether it knows its share.
    shared: bool,
    busy: bool,
    queue: VecDeque<ToWorker>,
    /// How often it has called crunch.
    calls: u64,
    /// Whether it has died.
    gone: bool,
    /// When the last message to it is sent.
    sent: Duration,
    /// Begin and end of its silence.
    silent: Option<(Duration, Duration)>,
}

/// Rank 0's end of the simulated transport.
pub(crate) struct SimulatedHub<'a> {
    now: Duration,
    crunch: SimulatedCrunch<'a>,
    finals: Option<SimulatedFinal<'a>>,
    /// What each worker sees of its host, if tasks need anything of it.
    seen: Option<fn(usize) -> SeenResources>,
    rng: ChaCha8Rng,
    longest_delay: Duration,
    faults: Faults,
    /// Future events: time, a sequence number to break ties, and the event.
    coming: BinaryHeap<Reverse<(Duration, u64, SimulatedEvent)>>,
    brought_about: u64,
    workers: Vec<SimulatedWorker>,
    dismissed: BTreeSet<usize>,
    broken: usize,
    died: usize,
    /// How many deaths were reported.
    told: usize,
}

impl<'a> SimulatedHub<'a> {
    /// A hub of `workers` simulated workers. Message delays are between 0 and `longest_delay`, drawn from
    /// `seed`.
    pub(crate) fn new(
        workers: usize,
        seed: u64,
        longest_delay: Duration,
        crunch: SimulatedCrunch<'a>,
    ) -> Self {
        let mut hub = SimulatedHub {
            now: Duration::ZERO,
            crunch,
            finals: None,
            seen: None,
            rng: ChaCha8Rng::seed_from_u64(seed),
            longest_delay,
            faults: Faults::default(),
            coming: BinaryHeap::new(),
            brought_about: 0,
            workers: (0..workers).map(|_| SimulatedWorker::default()).collect(),
            dismissed: BTreeSet::new(),
            broken: 0,
            died: 0,
            told: 0,
        };
        for rank in 1..=workers {
            hub.send_to_master(rank, &hello(rank));
        }
        hub
    }

    /// Sets what workers do with final calls.
    pub(crate) fn with_finals(self, finals: SimulatedFinal<'a>) -> Self {
        SimulatedHub { finals: Some(finals), ..self }
    }

    /// Sets what each worker sees of its host, as tasks need something of it.
    pub(crate) fn with_seen(self, seen: fn(usize) -> SeenResources) -> Self {
        SimulatedHub { seen: Some(seen), ..self }
    }

    /// Enables faults. Workers then send heartbeats.
    pub(crate) fn with_faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        for rank in 1..=self.workers.len() {
            let first = HEARTBEAT_PERIOD.mul_f64(self.rng.random::<f64>());
            self.schedule(first, SimulatedEvent::Heartbeat(rank));
            self.workers[rank - 1].silent = faults.silence.map(|(from, within, length)| {
                let from = from + within.mul_f64(self.rng.random::<f64>());
                (from, from.saturating_add(length))
            });
        }
        self
    }

    /// How many workers have reported a fatal error.
    pub(crate) fn broken(&self) -> usize {
        self.broken
    }

    pub(crate) fn dismissed(&self) -> usize {
        self.dismissed.len()
    }

    fn schedule(&mut self, after: Duration, what: SimulatedEvent) {
        self.brought_about += 1;
        self.coming.push(Reverse((self.now + after, self.brought_about, what)));
    }

    fn chance(&mut self, of: f64) -> bool {
        of > 0.0 && self.rng.random_bool(of)
    }

    /// The delay of each delivered copy of a message.
    fn delays(&mut self) -> Vec<Duration> {
        if self.chance(self.faults.lost) {
            return Vec::new();
        }
        let copies = if self.chance(self.faults.doubled) { 2 } else { 1 };
        let delay = |_| {
            let delay = self.longest_delay.mul_f64(self.rng.random::<f64>());
            let (chance, by) = self.faults.late;
            if self.chance(chance) { delay + by.mul_f64(self.rng.random::<f64>()) } else { delay }
        };
        (0..copies).map(delay).collect()
    }

    fn send_to_master(&mut self, rank: usize, message: &ToMaster) {
        let bytes = codec::encode(message);
        for delay in self.delays() {
            self.schedule(delay, SimulatedEvent::AtMaster(rank, bytes.clone()));
        }
    }

    /// A message reaches a worker.
    fn arrives(&mut self, rank: usize, bytes: &Bytes) -> Result<()> {
        let worker = &mut self.workers[rank - 1];
        let message = codec::decode::<ToWorker>(bytes)?;
        if worker.gone {
            return Ok(());
        }
        match message {
            ToWorker::Job(_) if worker.welcomed => {}
            ToWorker::Job(_) if rank <= self.faults.unfit => {
                worker.welcomed = true;
                self.send_to_master(rank, &ToMaster::Sick("it is unfit".to_string()));
            }
            ToWorker::Job(_) => {
                worker.welcomed = true;
                let (most, chance) = self.faults.vanishing;
                if self.died < most && self.chance(chance) {
                    self.died += 1;
                    self.workers[rank - 1].gone = true;
                    return Ok(());
                }
                match self.seen {
                    Some(seen) => self.send_to_master(rank, &ToMaster::Seen(Box::new(seen(rank)))),
                    None => self.is_ready(rank),
                }
            }
            ToWorker::Share(share) => {
                if !std::mem::replace(&mut worker.shared, true) && !share.tasks.is_empty() {
                    self.is_ready(rank);
                }
            }
            ToWorker::Cancel(None) if worker.welcomed && !worker.ready && self.seen.is_some() => {
                worker.shared = true;
                self.is_ready(rank);
            }
            ToWorker::Assign(_) | ToWorker::Reduce { .. } | ToWorker::Final(_) => {
                let Faults { breaking, dying, .. } = self.faults;
                if self.broken < breaking.0 && self.chance(breaking.1) {
                    self.broken += 1;
                    self.workers[rank - 1].gone = true;
                    self.send_to_master(rank, &ToMaster::Broken("it broke".to_string()));
                } else if self.died < dying.0 && self.chance(dying.1) {
                    self.died += 1;
                    self.workers[rank - 1].gone = true;
                } else {
                    self.workers[rank - 1].queue.push_back(message);
                    self.work(rank);
                }
            }
            ToWorker::Dismiss { .. } => worker.gone = true,
            ToWorker::Cancel(_) | ToWorker::Heartbeat | ToWorker::Follow(_) => {}
            ToWorker::Reply { reply, .. } => panic!("a simulated worker asked nothing: {reply:?}"),
        }
        Ok(())
    }

    fn is_ready(&mut self, rank: usize) {
        self.workers[rank - 1].ready = true;
        self.send_to_master(rank, &ToMaster::Done(Report::default()));
    }

    /// Starts a worker's next assignment.
    fn work(&mut self, rank: usize) {
        let (decaying, most) = self.faults.decaying;
        let decays = rank + decaying > self.workers.len();
        let worker = &mut self.workers[rank - 1];
        if worker.busy {
            return;
        }
        let (takes, answer) = match worker.queue.pop_front() {
            Some(ToWorker::Assign(assignment)) => {
                let mut busy = Duration::ZERO;
                let Faults { unfit, failing, .. } = self.faults;
                let fails = rank > unfit && rank <= unfit + failing;
                let Assignment { first, count, attempt } = assignment;
                let mut runs = RunBatch::default();
                runs.restart(first, attempt, self.now.as_secs_f64());
                // Sometimes a worker returns the rest of a long batch.
                let whole = count == 1 || self.chance(0.8);
                let begun = if whole { count } else { count / 2 };
                for task in first..first + begun {
                    let worker = &mut self.workers[rank - 1];
                    if decays && worker.calls >= most {
                        runs.push(Err(RunError::Unfit("it has decayed".to_string())), 0.0);
                        continue;
                    }
                    worker.calls += 1;
                    let (takes, result) = (self.crunch)(task);
                    let result = if fails { Err("it fails".into()) } else { result };
                    let takes = if fails { Duration::from_millis(1) } else { takes };
                    busy += takes;
                    runs.push(result, takes.as_secs_f64());
                }
                let (first, count) = (first + begun, count - begun);
                let unbegun = (!whole).then_some(Assignment { first, count, attempt });
                (
                    busy,
                    codec::encode(&ToMaster::Done(Report { runs, unbegun, ..Report::default() })),
                )
            }
            Some(ToWorker::Reduce { .. } | ToWorker::Final(_))
                if decays && worker.calls >= most =>
            {
                (Duration::ZERO, codec::encode(&ToMaster::Sick("it has decayed".to_string())))
            }
            Some(ToWorker::Reduce { key, items }) => {
                let sum = items.iter().filter_map(|item| item.result.as_ref()?.score).sum();
                let reduced = ToMaster::Reduced { key, result: Ok(Scored::number(sum)) };
                (Duration::ZERO, codec::encode(&reduced))
            }
            // Sometimes it is busy otherwise.
            Some(ToWorker::Final(call)) if self.chance(0.1) => {
                let (row, attempt) = (call.row, call.attempt);
                (Duration::ZERO, codec::encode(&ToMaster::FinalUnbegun { row, attempt }))
            }
            Some(ToWorker::Final(call)) => {
                let Faults { unfit, failing, .. } = self.faults;
                let fails = rank > unfit && rank <= unfit + failing;
                let finals = self.finals.as_mut().expect("the job has final calls");
                let (takes, result) = finals(&call);
                let result = if fails { Err("it fails".into()) } else { result };
                let FinalCall { row, attempt, .. } = *call;
                let (started, seconds) = (self.now.as_secs_f64(), takes.as_secs_f64());
                let products = None;
                let result = FinalResult { row, attempt, started, seconds, result, products };
                (takes, codec::encode(&ToMaster::Final(Box::new(result))))
            }
            _ => return,
        };
        self.workers[rank - 1].busy = true;
        self.schedule(takes, SimulatedEvent::Done(rank, answer));
    }

    /// The time to which an event is postponed because its worker is silent.
    fn postponed(&self, what: &SimulatedEvent) -> Option<Duration> {
        let (SimulatedEvent::AtMaster(rank, _)
        | SimulatedEvent::AtWorker(rank, _)
        | SimulatedEvent::Done(rank, _)
        | SimulatedEvent::Heartbeat(rank)) = what;
        let (from, to) = self.workers[rank - 1].silent?;
        (from..to).contains(&self.now).then_some(to)
    }

    /// Handles an event; returns a message that reaches rank 0.
    fn happens(&mut self, what: SimulatedEvent) -> Result<Option<(usize, Vec<u8>)>> {
        match what {
            SimulatedEvent::AtMaster(rank, bytes) => return Ok(Some((rank, bytes))),
            SimulatedEvent::AtWorker(rank, bytes) => self.arrives(rank, &bytes)?,
            SimulatedEvent::Done(rank, _) if self.workers[rank - 1].gone => {}
            SimulatedEvent::Done(rank, bytes) => {
                for delay in self.delays() {
                    self.schedule(delay, SimulatedEvent::AtMaster(rank, bytes.clone()));
                }
                self.workers[rank - 1].busy = false;
                self.work(rank);
            }
            SimulatedEvent::Heartbeat(rank) => {
                let SimulatedWorker { welcomed, ready, shared, busy, queue, gone, .. } =
                    &self.workers[rank - 1];
                if !gone {
                    let idle = *ready && !busy && queue.is_empty();
                    let beat = match self.seen {
                        Some(seen) if !shared => ToMaster::Seen(Box::new(seen(rank))),
                        _ => ToMaster::Heartbeat { idle, computes: false },
                    };
                    self.send_to_master(rank, &if *welcomed { beat } else { hello(rank) });
                    self.schedule(HEARTBEAT_PERIOD, SimulatedEvent::Heartbeat(rank));
                }
            }
        }
        Ok(None)
    }
}

fn hello(rank: usize) -> ToMaster<'static> {
    let host = format!("host{}", rank % 16);
    ToMaster::Hello { host, threads: 1, cores: 1, process: None, clock: 0.0 }
}

impl Hub for SimulatedHub<'_> {
    fn workers(&self) -> usize {
        self.workers.len()
    }

    fn now(&self) -> Duration {
        self.now
    }

    fn receive(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<Option<usize>> {
        let until = self.now + wait;
        while self.coming.peek().is_some_and(|Reverse((at, ..))| *at <= until) {
            let Some(Reverse((at, order, what))) = self.coming.pop() else { break };
            self.now = self.now.max(at);
            if let Some(later) = self.postponed(&what) {
                self.coming.push(Reverse((later, order, what)));
                continue;
            }
            if let Some((rank, bytes)) = self.happens(what)? {
                *buffer = bytes;
                return Ok(Some(rank));
            }
        }
        self.now = until;
        Ok(None)
    }

    fn dead(&mut self) -> Option<usize> {
        let all_died = self.faults.end.is_some_and(|end| self.now >= end);
        let next = self.workers.get_mut(self.told).filter(|_| all_died)?;
        next.gone = true;
        self.told += 1;
        Some(self.told)
    }

    fn send(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        if matches!(codec::decode(&bytes)?, ToWorker::Dismiss { .. }) {
            self.dismissed.insert(rank);
        }
        let worker = &mut self.workers[rank - 1];
        worker.sent = worker.sent.max(self.now) + self.faults.transfer;
        let sending = worker.sent - self.now;
        for delay in self.delays() {
            self.schedule(sending + delay, SimulatedEvent::AtWorker(rank, bytes.clone()));
        }
        Ok(())
    }

    fn is_sending(&self, rank: usize) -> bool {
        self.workers[rank - 1].sent > self.now
    }
}
