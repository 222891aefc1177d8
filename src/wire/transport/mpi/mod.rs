//! Transport over MPI, the only part of gridmpi that calls MPI.
//!
//! No call blocks inside MPI: it would never return if the other rank has died, and a blocking receive
//! keeps a core busy. All sends and receives are nonblocking. Waiting means polling: first without sleep,
//! then with sleeps that grow with the silence (`silence.rs`), heartbeats left aside. MPI counts are 32-bit, so a
//! long message is sent in parts with their own tag; MPI keeps the order of messages of one rank. Rank 0 paces
//! these parts (`pace.rs`), so that small messages are prompt on a slow line too.

mod calls;
mod pace;
mod raw;
mod silence;
#[cfg(test)]
mod tests;
mod traffic;

use std::collections::BTreeSet;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::util::error::{Error, Result};
use crate::util::thread::{self, Ticker};
use crate::wire::transport::{HEARTBEAT_PERIOD, Hub, Link};
pub(crate) use calls::{Interface, library, load, only_interface};
use traffic::Traffic;

/// How long to poll without sleep, at most and at least. Most answers come sooner, and a sleep takes a
/// hundred times as long. If they do not, the time shrinks, because another process may need the core.
/// There is no yield, because on a busy core a yield takes milliseconds.
const EAGER: Duration = Duration::from_micros(200);
const LEAST_EAGER: Duration = Duration::from_micros(5);

/// Time limit of `MPI_Init`: a constant part, and a part per rank.
const INITIALIZE: Duration = Duration::from_secs(60);
const INITIALIZE_EACH: Duration = Duration::from_millis(100);
/// How long pending sends may take at the end.
const LAST_SENDS: Duration = Duration::from_secs(5);
/// How long MPI may take to shut down if a rank has died; and otherwise, on rank 0 and where the launcher lets ranks
/// leave: a constant part, and a part per rank. A rank may be suspended, or its host vanish, after it was dismissed.
const FINALIZE: Duration = Duration::from_secs(5);
const FINALIZE_WHOLE: Duration = Duration::from_secs(20);
const FINALIZE_EACH: Duration = Duration::from_millis(10);

/// With this many small messages pending for a rank, it is sent no more heartbeats.
const UNTAKEN: usize = 4;

/// MPI, initialised. Dropping it finalises MPI.
pub(crate) struct MpiRanks {
    own: usize,
    size: usize,
    traffic: Arc<Mutex<Traffic>>,
    /// Ranks that have died.
    dead: Receiver<usize>,
    /// Ranks that gave a sign of life without a complete message.
    alive: BTreeSet<usize>,
    start: Instant,
    beating: Option<Ticker>,
    /// Start of the current silence, while a message was expected.
    idle: Option<Instant>,
    /// How long to poll without sleep.
    eager: Duration,
    /// Whether something other than heartbeats was sent or has come since `quiet` was set, and the same before
    /// the message that came last.
    talks: bool,
    talked: bool,
    /// Since when there are only heartbeats.
    quiet: Instant,
    /// Whether a rank is known to be dead, so that `MPI_Finalize` might hang.
    skip_finalize: bool,
}

impl MpiRanks {
    /// Initialises MPI; once per process. `expected` is the number of ranks that the launcher started.
    pub(crate) fn initialize(expected: usize) -> Result<MpiRanks> {
        let missing = "not all ranks have reached MPI: one has died, or its host cannot be reached; start again";
        let watch =
            watch(INITIALIZE + INITIALIZE_EACH * expected as u32, Error::unexpected(missing));
        let level = raw::initialize().map_err(|raw::MpiFailure(why)| {
            Error::unexpected(format!(
                "MPI cannot be initialised: {why}; a process can run one study only"
            ))
        })?;
        drop(watch);
        if level < calls::THREAD_SERIALIZED {
            return Err(Error::unexpected(
                "this MPI does not allow calls from several threads in turn (MPI_THREAD_SERIALIZED)",
            ));
        }
        let (news, dead) = channel();
        let world = raw::World::new();
        let failed = |raw::MpiFailure(why)| Error::unexpected(why);
        let (own, size) = world.place().map_err(failed)?;
        let traffic = Arc::new(Mutex::new(Traffic::new(world, size, own, news)?));
        let start = Instant::now();
        Ok(MpiRanks {
            own,
            size,
            traffic,
            dead,
            alive: BTreeSet::new(),
            start,
            beating: None,
            idle: None,
            eager: EAGER,
            talks: true,
            talked: true,
            quiet: start,
            skip_finalize: false,
        })
    }

    /// This process's rank.
    pub(crate) fn own_rank(&self) -> usize {
        self.own
    }

    /// Number of ranks, rank 0 included.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Starts the heartbeat thread, which sends this message to every other rank periodically.
    pub(crate) fn beat(&mut self, message: Bytes) -> Result<()> {
        self.beating = Some(start_heartbeat(self.traffic.clone(), message)?);
        Ok(())
    }

    /// Receives a message that is complete within `wait`; returns its sender.
    fn receive_within(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<Option<usize>> {
        let (found, moved, news) = self.poll(buffer)?;
        if found.is_some() {
            self.end_silence();
            return Ok(found);
        }
        if moved {
            self.talk(); // the next part may come at once
        }
        if wait.is_zero() || news {
            return Ok(None); // a single poll does not count as silence
        }
        let begin = Instant::now();
        let mut idle = *self.idle.get_or_insert(begin);
        loop {
            let (waited, silent) = (begin.elapsed(), idle.elapsed());
            if waited >= wait {
                return Ok(None);
            }
            if silent < self.eager && self.talks {
                std::hint::spin_loop();
            } else {
                if std::mem::take(&mut self.talks) {
                    self.quiet = idle;
                }
                let silence = silence::sleep(self.own, self.quiet.elapsed());
                std::thread::sleep(silence.min(wait - waited));
            }
            let (found, moved, news) = self.poll(buffer)?;
            if found.is_some() {
                self.end_silence();
                return Ok(found);
            }
            if moved {
                self.talks = true;
                idle = Instant::now();
                self.idle = Some(idle);
            }
            if news {
                return Ok(None); // report the sign of life before the message is complete
            }
        }
    }

    /// Polls once. Returns the sender of a complete message, whether a long message has made progress, and
    /// whether there are new signs of life.
    fn poll(&mut self, buffer: &mut Vec<u8>) -> Result<(Option<usize>, bool, bool)> {
        let mut traffic = self.traffic.lock();
        let found = traffic.poll(buffer)?;
        let news = !traffic.signs.is_empty();
        if news {
            self.alive.append(&mut traffic.signs);
        }
        Ok((found, std::mem::take(&mut traffic.moved), news))
    }

    /// Ends a silence. After a long one, the next is polled without sleep for a shorter time.
    fn end_silence(&mut self) {
        let silence = self.idle.take().map_or(Duration::ZERO, |idle| idle.elapsed());
        let less = (self.eager / 2).max(LEAST_EAGER);
        self.eager = if silence < EAGER { EAGER } else { less };
        self.talked = std::mem::replace(&mut self.talks, true);
    }

    /// Something may come at once.
    fn talk(&mut self) {
        (self.idle, self.talks) = (None, true);
    }
}

impl Drop for MpiRanks {
    fn drop(&mut self) {
        self.beating = None;
        let begin = Instant::now();
        while begin.elapsed() < LAST_SENDS && self.traffic.lock().is_sending() {
            std::thread::sleep(silence::longest(self.own));
        }
        let mut limit = FINALIZE;
        let mut traffic = self.traffic.lock();
        let is_whole = !self.skip_finalize && traffic.dead.is_empty();
        if is_whole {
            limit = FINALIZE_WHOLE + FINALIZE_EACH * self.size() as u32;
            traffic.end();
        }
        drop(traffic);
        if is_whole && self.own_rank() > 0 && !may_leave() {
            // Rank 0 may have much to do yet. If this one left before, the launcher would end rank 0. If rank 0 leaves
            // before, the launcher ends this one.
            return raw::finalize();
        }
        let (done, finalized) = channel();
        let started = thread::start("finalize", move || {
            raw::finalize();
            let _ = done.send(());
        });
        if started.is_err() && is_whole {
            return raw::finalize(); // the others would wait for this rank
        }
        if finalized.recv_timeout(limit).is_ok() {
            return;
        }
        match is_whole {
            true => log::warn!(
                "MPI does not end within {} s: a rank is suspended, or its host is gone; it is not waited for",
                limit.as_secs()
            ),
            false => log::debug!("MPI is not finalised, because a rank has died"),
        }
        raw::leave_at_exit();
    }
}

impl Hub for MpiRanks {
    fn workers(&self) -> usize {
        self.size() - 1
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn receive(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<Option<usize>> {
        self.receive_within(wait, buffer)
    }

    fn beat(&mut self) {
        self.talks = self.talked;
    }

    fn send(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        self.traffic.lock().send(rank, bytes)
    }

    fn send_small(&mut self, rank: usize, bytes: &[u8]) -> Result<()> {
        self.traffic.lock().send_small(rank, bytes)
    }

    fn send_reply(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        self.traffic.lock().send_reply(rank, bytes)
    }

    fn send_last(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        let mut traffic = self.traffic.lock();
        traffic.left.insert(rank);
        traffic.send(rank, bytes)
    }

    fn is_sending(&self, rank: usize) -> bool {
        self.traffic.lock().is_sending_to(rank)
    }

    fn alive(&mut self) -> Option<usize> {
        self.alive.pop_first()
    }

    fn dead(&mut self) -> Option<usize> {
        self.dead.try_recv().ok()
    }

    fn skip_finalize(&mut self) {
        self.skip_finalize = true;
    }

    /// Aborts all ranks, including this one.
    fn abort(&mut self, error: &Error) {
        error.print();
        // If ranks cannot be reached, the abort may take long.
        let _watch = watch(FINALIZE, error.clone());
        let _alone = self.traffic.lock();
        raw::abort(error.exit as i32)
    }
}

impl Link for MpiRanks {
    fn rank(&self) -> usize {
        self.own_rank()
    }

    fn beat(&mut self) {
        self.talks = self.talked;
    }

    fn send(&mut self, bytes: Bytes) -> Result<()> {
        self.talk();
        self.traffic.lock().send(0, bytes)
    }

    fn send_small(&mut self, bytes: &[u8]) -> Result<()> {
        self.talk();
        self.traffic.lock().send_small(0, bytes)
    }

    fn send_beat(&mut self, bytes: &[u8]) -> Result<()> {
        self.traffic.lock().send_small(0, bytes)
    }

    fn receive(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<bool> {
        Ok(self.receive_within(wait, buffer)?.is_some())
    }

    fn alive(&mut self) -> bool {
        !self.alive.is_empty() && !std::mem::take(&mut self.alive).is_empty()
    }

    fn is_receiving(&self) -> bool {
        self.traffic.lock().is_receiving(0)
    }

    fn skip_finalize(&mut self) {
        self.skip_finalize = true;
    }
}

/// Whether mpirun lets other ranks live when one leaves without MPI's end: then it ends none of those that wait for
/// that rank either.
fn may_leave() -> bool {
    std::env::var("OMPI_MCA_orte_enable_recovery")
        .is_ok_and(|value| matches!(value.as_str(), "1" | "true" | "yes"))
}

/// Watchdog: exits the process with this error unless the returned value is dropped in time. Some MPI
/// calls cannot be interrupted.
fn watch(time: Duration, error: Error) -> Sender<()> {
    let (in_time, dropped) = channel();
    let wait = move || {
        if dropped.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
            error.print();
            raw::leave(error.exit as i32);
        }
    };
    if let Err(error) = thread::start("watchdog", wait) {
        log::warn!("MPI is not watched, and may hang: {error}");
    }
    in_time
}

/// Tells other ranks that this one is alive, until what comes back is dropped.
fn start_heartbeat(traffic: Arc<Mutex<Traffic>>, message: Bytes) -> Result<Ticker> {
    Ticker::start("heartbeat", HEARTBEAT_PERIOD, move |_| {
        let mut traffic = traffic.lock();
        for rank in 1..traffic.to.len() {
            let takes = traffic.to[rank].untaken() < UNTAKEN && !traffic.left.contains(&rank);
            // What is wrong with MPI is for whoever needs it to say.
            if takes && traffic.send(rank, message.clone()).is_err() {
                return Break(());
            }
        }
        Continue(())
    })
}
