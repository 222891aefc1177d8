//! Rank 0's event loop: wait for a message or a tick, step the master, carry out its actions in order. It
//! is the same for every transport.

mod carried_files;
pub(crate) mod effects;
#[cfg(feature = "cli")]
pub(crate) mod failures;
pub(crate) mod finals;
#[cfg(feature = "jobs")]
pub(crate) mod follow;
mod host_clocks;
mod imported;
mod listeners;
pub(crate) mod progress;
mod recall;
pub(crate) mod requests;
mod resources;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod shutdown;
mod silent_workers;
pub(crate) mod status;
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
pub(crate) mod timing;
pub(crate) mod types;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::master::{Action, Event, Master, emptied};
use crate::model::{
    FinalResult, GroupSummary, Key, OutputPiece, RunBatch, SlotResult, StoppedPoint,
};
use crate::rank0::resources::Resources;
use crate::rank0::silent_workers::SilentWorkers;
use crate::util::error::Result;
use crate::util::machine;
use crate::wire::codec;
use crate::wire::messages::{ToMaster, ToWorker};
use crate::wire::requests::Request;
use crate::wire::transport::Hub;

/// The buffer of a message of this size is not kept for the next one. (bytes)
const LONG: usize = 1 << 20;

/// At most this many messages that have arrived already are handled before everything else is looked at again: the
/// clock, signals, dead workers, progress. That takes as long as a short message.
const TOGETHER: u32 = 16;

/// A message up to this size is short. (bytes)
const SHORT: usize = 1 << 10;

/// Time limit for the workers' farewell messages.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long to wait for the next hello of a worker that is to be dismissed at once.
#[cfg(feature = "mpi")]
const LAST_HELLO: Duration = Duration::from_secs(10);

/// Longest wait for one message while workers are dismissed.
#[cfg(feature = "mpi")]
const TICK: Duration = Duration::from_millis(100);

/// The side effects of the event loop. Simulated tests have their own implementation.
pub(crate) trait Effects {
    /// A worker joined from this host.
    fn join(&mut self, rank: usize, host: &str) -> Result<()>;

    /// A worker's hello told the time on its clock, in seconds since 1970.
    fn compare_clock(&mut self, _rank: usize, _clock: f64) {}

    /// Stores runs of one thread of a worker.
    fn record(&mut self, rank: usize, thread: u32, runs: RunBatch) -> Result<()>;

    /// Stores that an attempt has no result because its worker was lost.
    fn give_back(&mut self, task: u64, attempt: u32, rank: usize) -> Result<()>;

    /// Stores that an attempt at a task is cut off after so many seconds.
    fn cut_off(&mut self, rank: usize, attempt: (u64, u32), seconds: f64) -> Result<()>;

    /// Stores a summary and passes it to listeners.
    fn close(&mut self, summary: GroupSummary) -> Result<()>;

    /// Stores that not all runs of a point are made.
    fn stop_point(&mut self, point: StoppedPoint) -> Result<()>;

    /// Starts to reduce these items; the result follows as an event.
    fn reduce(&mut self, key: Key, items: Vec<SlotResult>) -> Result<()>;

    /// Stores the result of a final call.
    fn record_final(&mut self, rank: usize, result: FinalResult) -> Result<()>;

    /// A worker sent a request from within crunch.
    fn ask(&mut self, from: (usize, u32), ticket: u64, request: Request, now: Duration);

    /// A run that somebody follows has printed something.
    fn follow(&mut self, _rank: usize, _piece: OutputPiece) {}

    /// Whether crunch may have threads on a worker that compute while it waits.
    fn computes(&mut self, _rank: usize, _computes: bool) {}

    /// A thread of a worker has returned from crunch.
    fn returned(&mut self, rank: usize, thread: u32);

    /// Encoded replies that are ready, with the ranks they go to.
    fn replies(&mut self, now: Duration, master: &Master) -> Vec<(usize, Bytes)>;

    /// A worker cannot work, for this reason.
    fn sicken(&mut self, rank: usize, why: String);

    /// A worker found that a file which crunch consists of has changed: the job ends with this error.
    fn file_changed(&mut self, rank: usize, why: &str);

    /// No worker of a host has what a task needs: the job ends with this error, before anything runs.
    fn refuse(&mut self, why: String);

    /// A worker received a signal that asks for shutdown.
    fn interrupt(&mut self, rank: usize, signal: &str);

    /// Backpressure: whether too much waits to be stored or reduced to hand out tasks.
    fn is_full(&self) -> bool;

    /// Whether workers report their processor time when they leave.
    fn wants_farewells(&self) -> bool {
        false
    }

    /// Whether to leave now, even if workers are still busy.
    fn is_leaving(&self) -> bool;

    /// Longest wait for a message before events and replies are checked again.
    fn patience(&self) -> Duration;

    /// An event that no message brought: a group was reduced, the final call of a row is due, or the job has to
    /// stop.
    fn event(&mut self) -> Result<Option<Event<'static>>>;

    /// Called once per pass of the event loop.
    fn tick(&mut self, now: Duration, master: &Master) -> Result<()>;
}

/// Messages between rank 0 and the workers, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MessageCount {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl MessageCount {
    fn count(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }

    fn send(&mut self, hub: &mut dyn Hub, rank: usize, message: Bytes) -> Result<()> {
        self.count(message.len());
        hub.send(rank, message)
    }
}

/// Runs the event loop until every run is recorded, every group closed and every worker dismissed; or
/// until an event has stopped the job and every worker is dismissed; or until `effects` wants to leave.
/// `job` is the job's bincode form, for the workers; `actions` are the master's actions to carry out
/// before the first event. A worker that cannot go on is given up, and its tasks go to others. Returns
/// early with an error of the transport, of the effects, or of the last worker.
pub(crate) fn serve(
    master: &mut Master,
    hub: &mut dyn Hub,
    effects: &mut dyn Effects,
    job: Bytes,
    mut actions: Vec<Action<'static>>,
) -> Result<LoopStats> {
    let welcome = encoded(&ToWorker::Job(job));
    let mut traffic = MessageCount::default();
    let mut first = true;
    let mut silent = SilentWorkers::new();
    let mut resources = Resources::new(master.needs(), master.ranks());
    let (mut received, mut sent) = (Vec::new(), Vec::new());
    let (mut farewells, mut dismissed) = (Vec::new(), 0);
    let mut crowded = BTreeSet::new(); // what was warned of, once for all workers that are alike
    let (mut now, mut together) = (hub.now(), 0);
    while !master.is_over() && !effects.is_leaving() {
        let is_check = together == 0;
        let long; // dropped with what is not kept of it
        // The actions that this event causes. They may borrow from its message.
        let mut due: Vec<Action> = actions;
        if is_check && let Some(why) = resources.refusal() {
            effects.refuse(why);
        }
        let happened = match is_check {
            true if std::mem::take(&mut first) => Some(Event::Tick),
            true => effects.event()?,
            false => None,
        };
        let patience = if is_check { effects.patience() } else { Duration::ZERO };
        let event = match happened {
            Some(event) => event,
            None if is_check && let Some(rank) = silent.ended().or_else(|| hub.dead()) => {
                silent.lose(rank);
                resources.lost(rank);
                hub.skip_finalize();
                Event::Lost { rank }
            }
            None if is_check && let Some(rank) = hub.alive() => Event::Alive { rank },
            None if is_check && let Some((rank, share)) = resources.next() => {
                let threads = share.tasks.len() as u32;
                traffic.send(hub, rank, encoded(&ToWorker::Share(share)))?;
                Event::Shared { rank, threads }
            }
            None => match hub.receive(patience, &mut received)? {
                Some(rank) => {
                    let is_short = received.len() < SHORT;
                    traffic.count(received.len());
                    let message = if received.len() < LONG {
                        codec::decode(&received)?
                    } else {
                        long = Bytes::from(std::mem::take(&mut received));
                        codec::decode_shared(&long)?
                    };
                    // A long message takes long to handle. Others than results may have to be heeded before the
                    // next result: a run that failed because of a signal does not count as failed.
                    together = match message {
                        ToMaster::Done(_) if is_short => (together + 1) % TOGETHER,
                        _ => 0,
                    };
                    match message {
                        // It is being sent the job, and says hello until that has arrived.
                        ToMaster::Hello { .. } if hub.is_sending(rank) => Event::Sending { rank },
                        ToMaster::Hello { host, threads, cores, process, clock } => {
                            effects.compare_clock(rank, clock);
                            silent.joined(rank, process);
                            resources.joined(rank, &host, threads);
                            if crowded.insert((threads, cores)) {
                                machine::warn_if_crowded(rank, &host, threads, cores);
                            }
                            Event::Joined { rank, host, threads }
                        }
                        ToMaster::Seen(seen) => {
                            resources.seen(rank, *seen);
                            Event::Alive { rank }
                        }
                        ToMaster::Done(report) => {
                            // Else its crunch may be waiting for a value of the dictionary.
                            if !report.early {
                                effects.returned(rank, report.thread);
                            }
                            Event::Done { rank, report }
                        }
                        ToMaster::Reduced { key, result } => {
                            Event::Reduced { rank: Some(rank), key, result }
                        }
                        ToMaster::Final(result) => Event::FinalDone { rank, result },
                        ToMaster::FinalUnbegun { row, attempt } => {
                            Event::FinalUnbegun { rank, row, attempt }
                        }
                        ToMaster::Ask { thread, ticket, request } => {
                            // The request broker answers it, not the master.
                            effects.ask((rank, thread), ticket, request, hub.now());
                            Event::Alive { rank }
                        }
                        ToMaster::Output(piece) => {
                            effects.follow(rank, piece);
                            Event::Alive { rank }
                        }
                        ToMaster::Interrupted(name) => {
                            effects.interrupt(rank, &name);
                            Event::Alive { rank }
                        }
                        ToMaster::Heartbeat { idle, computes } => {
                            hub.beat();
                            effects.computes(rank, computes);
                            if idle && hub.is_sending(rank) {
                                Event::Sending { rank }
                            } else {
                                Event::Heartbeat { rank, idle }
                            }
                        }
                        ToMaster::Farewell(seconds) => {
                            farewells.push(seconds);
                            Event::Tick
                        }
                        ToMaster::Sick(why) => {
                            resources.lost(rank);
                            Event::Sick { rank, why }
                        }
                        ToMaster::Broken(why) => {
                            resources.lost(rank);
                            log::error!("rank {rank} cannot go on: {why}");
                            Event::Broken { rank }
                        }
                    }
                }
                None if is_check => Event::Tick,
                None => {
                    (together, actions) = (0, emptied(due));
                    continue;
                }
            },
        };
        if is_check {
            now = hub.now();
        }
        master.hold(effects.is_full());
        master.on(event, now, &mut due);
        for action in due.drain(..) {
            match action {
                Action::Welcome { rank, host } => {
                    effects.join(rank, &host)?;
                    if !master.is_complete() {
                        traffic.send(hub, rank, welcome.clone())?;
                    }
                }
                Action::Record { rank, thread, runs } => effects.record(rank, thread, runs)?,
                Action::Close(summary) => effects.close(*summary)?,
                Action::StopPoint(point) => effects.stop_point(*point)?,
                Action::Reduce { rank: None, key, items } => effects.reduce(key, items)?,
                Action::Reduce { rank: Some(rank), key, items } => {
                    traffic.send(hub, rank, encoded(&ToWorker::Reduce { key, items }))?;
                }
                Action::Final { rank, call } => {
                    traffic.send(hub, rank, encoded(&ToWorker::Final(call)))?;
                }
                Action::RecordFinal { rank, result } => effects.record_final(rank, *result)?,
                Action::Assign { rank, assignment } => {
                    codec::encode_into(&ToWorker::Assign(assignment), &mut sent);
                    traffic.count(sent.len());
                    hub.send_small(rank, &sent)?;
                }
                Action::Cancel { rank, task } => {
                    traffic.send(hub, rank, encoded(&ToWorker::Cancel(task)))?;
                }
                Action::GiveBack { task, attempt, rank } => {
                    effects.give_back(task, attempt, rank)?;
                }
                Action::CutOff { rank, task, attempt, seconds } => {
                    effects.cut_off(rank, (task, attempt), seconds)?;
                }
                Action::FileChanged { rank, why } => effects.file_changed(rank, &why),
                Action::Sick { rank, why } => effects.sicken(rank, why),
                Action::Miss { rank } => {
                    hub.skip_finalize();
                    silent.miss(rank);
                    resources.lost(rank);
                }
                Action::Dismiss { rank, skip_finalize } => {
                    let farewell = effects.wants_farewells();
                    let message = encoded(&ToWorker::Dismiss { skip_finalize, farewell });
                    traffic.count(message.len());
                    hub.send_last(rank, message)?;
                    dismissed += 1;
                }
            }
        }
        actions = emptied(due);
        for (rank, reply) in effects.replies(now, master) {
            traffic.count(reply.len());
            hub.send_reply(rank, reply)?;
        }
        if is_check {
            effects.tick(now, master)?;
            silent.check(now, master)?;
        }
    }
    let begin = hub.now();
    while effects.wants_farewells() && farewells.len() < dismissed && hub.now() < begin + LAST_WORDS
    {
        if hub.receive(LAST_WORDS / 10, &mut received)?.is_some()
            && let ToMaster::Farewell(seconds) = codec::decode(&received)?
        {
            farewells.push(seconds);
        }
    }
    let workers_cpu = (farewells.len() == dismissed).then(|| farewells.iter().sum());
    Ok(LoopStats { traffic, workers_cpu })
}

/// Measurements of the event loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoopStats {
    pub(crate) traffic: MessageCount,
    /// Processor time of the dismissed workers, in seconds, if all have reported it.
    pub(crate) workers_cpu: Option<f64>,
}

/// Dismisses every worker as it says hello: there will be no job. If none has said it for a while, those that
/// are missing cannot, and are not waited for.
#[cfg(feature = "mpi")]
pub(crate) fn dismiss_all(hub: &mut dyn Hub) -> Result<()> {
    let mut there: BTreeSet<usize> = (1..=hub.workers()).collect();
    let mut last = hub.now();
    // MPI_Finalize would wait for all of them.
    hub.skip_finalize();
    let dismiss = encoded(&ToWorker::Dismiss { skip_finalize: true, farewell: false });
    while !there.is_empty() && hub.now() < last + LAST_HELLO {
        while let Some(rank) = hub.dead() {
            there.remove(&rank);
        }
        if let Some(rank) = hub.receive(TICK, &mut Vec::new())?
            && there.remove(&rank)
        {
            last = hub.now();
            hub.send_last(rank, dismiss.clone())?;
        }
    }
    for rank in there {
        log::warn!("rank {rank} says nothing: it is not waited for");
        hub.send_last(rank, dismiss.clone())?;
    }
    Ok(())
}

fn encoded(message: &ToWorker) -> Bytes {
    codec::encode(message).into()
}
