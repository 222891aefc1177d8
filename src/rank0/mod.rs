//! Rank 0's loop: wait for a message or a tick, step the master, carry out its actions in order.
//! The same over every transport.

pub(crate) mod effects;
mod processes;
pub(crate) mod progress;
pub(crate) mod requests;
pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod shutdown;
pub(crate) mod status;
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
pub(crate) mod timing;
pub(crate) mod types;

#[cfg(feature = "mpi")]
use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::master::{Action, Event, Master, WAIT_FOR_SILENT, emptied};
use crate::model::{GroupSummary, Key, RunBatch, SlotResult};
use crate::rank0::processes::Processes;
use crate::util::error::{Error, Result};
use crate::wire::codec;
use crate::wire::messages::{ToMaster, ToWorker};
use crate::wire::requests::Request;
use crate::wire::transport::Hub;

/// How long to wait for what workers say as they leave.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long to wait for a worker that has not said hello before looking again.
#[cfg(feature = "mpi")]
const TICK: Duration = Duration::from_millis(100);

/// What rank 0 does besides dispensing tasks.
pub(crate) trait Effects {
    /// A worker joined from this host.
    fn join(&mut self, rank: usize, host: &str) -> Result<()>;

    /// Keep these runs of one of a worker's threads.
    fn record(&mut self, rank: usize, thread: u32, runs: RunBatch) -> Result<()>;

    /// Keep that nothing came of an attempt, because its worker was lost.
    fn give_back(&mut self, task: u64, attempt: u32, rank: usize) -> Result<()>;

    /// Keep this summary.
    fn close(&mut self, summary: GroupSummary) -> Result<()>;

    /// Reduce these items, and report later.
    fn reduce(&mut self, key: Key, items: Vec<SlotResult>) -> Result<()>;

    /// A worker asks for something from within crunch.
    fn ask(&mut self, from: (usize, u32), ticket: u64, request: Request, now: Duration);

    /// One of a worker's threads has returned from crunch.
    fn returned(&mut self, rank: usize, thread: u32);

    /// The encoded replies that are due by now.
    fn replies(&mut self, now: Duration, master: &Master) -> Vec<(usize, Bytes)>;

    /// A worker was asked by a signal to come to an end.
    fn interrupt(&mut self, rank: usize, signal: &str);

    /// Whether so much waits to be stored or reduced that no task is to be given out for now.
    fn is_full(&self) -> bool;

    /// Whether workers are to say what they have used, as they leave.
    fn wants_farewells(&self) -> bool {
        false
    }

    /// Whether to leave now, whoever is still at work.
    fn is_leaving(&self) -> bool;

    /// How long to wait for a message before looking for events and replies again.
    fn patience(&self) -> Duration;

    /// What happened meanwhile: a group was reduced, or the job is to stop.
    fn event(&mut self) -> Result<Option<Event<'static>>>;

    /// Time has passed.
    fn tick(&mut self, now: Duration, master: &Master) -> Result<()>;
}

/// What went between rank 0 and the workers, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MessageCount {
    pub(crate) messages: u64,
    /// How many bytes were in them.
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

/// Serves the workers until every run is recorded, every group closed and every worker dismissed; or
/// until an event has stopped the job and every worker is dismissed; or until the keeper wants to
/// leave. `job` is the job's bincode form, for the workers; `actions` are what the master wants done
/// before anything happens. A worker that cannot go on is given up, and its tasks go to others. Ends
/// early with the error of whatever failed: the transport, the keeper, or the last worker.
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
    let mut processes = Processes::new();
    let (mut ended, mut waits) = (Vec::new(), false);
    let (mut received, mut sent) = (Vec::new(), Vec::new());
    let (mut farewells, mut dismissed) = (Vec::new(), 0);
    while !master.is_over() && !effects.is_leaving() {
        // What this event brings about, which may borrow from its message.
        let mut due: Vec<Action> = actions;
        let happened =
            if std::mem::take(&mut first) { Some(Event::Tick) } else { effects.event()? };
        let event = match happened {
            Some(event) => event,
            None if let Some(rank) = ended.pop().or_else(|| hub.dead()) => {
                log::warn!("rank {rank} has died or cannot be reached; its tasks go to others");
                hub.skip_finalize();
                Event::Lost { rank }
            }
            None if let Some(rank) = hub.alive() => Event::Alive { rank },
            None => match hub.receive(effects.patience(), &mut received)? {
                Some(rank) => {
                    traffic.count(received.len());
                    match codec::decode(&received)? {
                        ToMaster::Hello { host, threads, process } => {
                            processes.joined(rank, process);
                            Event::Joined { rank, host, threads }
                        }
                        ToMaster::Done(report) => {
                            effects.returned(rank, report.thread);
                            Event::Done { rank, report }
                        }
                        ToMaster::Reduced { key, result } => {
                            Event::Reduced { rank: Some(rank), key, result }
                        }
                        ToMaster::Ask { thread, ticket, request } => {
                            // No business of the master's.
                            effects.ask((rank, thread), ticket, request, hub.now());
                            Event::Alive { rank }
                        }
                        ToMaster::Interrupted(name) => {
                            effects.interrupt(rank, &name);
                            Event::Alive { rank }
                        }
                        ToMaster::Heartbeat { idle } => {
                            // What is on its way to it, it cannot know of.
                            Event::Heartbeat { rank, idle: idle && !hub.is_sending(rank) }
                        }
                        ToMaster::Farewell(seconds) => {
                            farewells.push(seconds);
                            Event::Tick
                        }
                        ToMaster::Broken(why) => {
                            log::error!("rank {rank} cannot go on: {why}");
                            Event::Broken { rank }
                        }
                    }
                }
                None => Event::Tick,
            },
        };
        let now = hub.now();
        master.hold(effects.is_full());
        master.on(event, now, &mut due);
        for action in due.drain(..) {
            match action {
                Action::Welcome { rank, host } => {
                    effects.join(rank, &host)?;
                    traffic.send(hub, rank, welcome.clone())?;
                }
                Action::Record { rank, thread, runs } => effects.record(rank, thread, runs)?,
                Action::Close(summary) => effects.close(*summary)?,
                Action::Reduce { rank: None, key, items } => effects.reduce(key, items)?,
                Action::Reduce { rank: Some(rank), key, items } => {
                    traffic.send(hub, rank, encoded(&ToWorker::Reduce { key, items }))?;
                }
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
                Action::Miss { rank } => {
                    log::warn!("rank {rank} has been silent for too long; its tasks go to others");
                    hub.skip_finalize();
                    processes.look_soon();
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
            traffic.send(hub, rank, reply)?;
        }
        effects.tick(now, master)?;
        ended.extend(processes.ended(now, master.silent()));
        if master.is_stranded() {
            return Err(stranded(master.deserted().is_some()));
        }
        if !ended.is_empty() {
            continue; // the master is to hear of that first
        }
        let deserted = master.deserted();
        match (deserted, std::mem::replace(&mut waits, deserted.is_some())) {
            (Some(silence), false) => log::warn!(
                "all workers have been silent for {} s; waiting up to {} minutes for one to come back",
                silence.as_secs(),
                WAIT_FOR_SILENT.as_secs() / 60
            ),
            (None, true) if !master.is_over() => log::info!("a worker has come back"),
            _ => {}
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

/// Nobody is left to do anything, though rank 0 may have waited for somebody.
fn stranded(waited: bool) -> Error {
    let minutes = WAIT_FOR_SILENT.as_secs() / 60;
    let since =
        if waited { format!(": none came back in {minutes} minutes") } else { String::new() };
    Error::unexpected(format!("no worker is left that can go on{since}; what is done is stored"))
}

/// What serving took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoopStats {
    /// What went between rank 0 and the workers.
    pub(crate) traffic: MessageCount,
    /// The processor time that those who were dismissed have used, in seconds, if all have said.
    pub(crate) workers_cpu: Option<f64>,
}

/// Sends every worker away as it says hello: there will be no job.
#[cfg(feature = "mpi")]
pub(crate) fn dismiss_all(hub: &mut dyn Hub) -> Result<()> {
    let mut there: BTreeSet<usize> = (1..=hub.workers()).collect();
    while !there.is_empty() {
        if let Some(rank) = hub.receive(TICK, &mut Vec::new())?
            && there.remove(&rank)
        {
            hub.send_last(
                rank,
                encoded(&ToWorker::Dismiss { skip_finalize: false, farewell: false }),
            )?;
        }
    }
    Ok(())
}

fn encoded(message: &ToWorker) -> Bytes {
    codec::encode(message).into()
}
