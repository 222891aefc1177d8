//! Workers as MPI ranks. The only room that knows MPI.
//!
//! Nothing waits inside MPI: a rank that has died would be waited for for ever, and a blocking receive
//! burns a core. What is sent and received is begun and looked after; waiting is looking, hard for a
//! moment, then between sleeps that grow with the silence, up to less than a millisecond. MPI counts are
//! 32-bit, so a long message goes in parts, told apart by tag; MPI keeps the order of what one rank sends.

mod raw;
#[cfg(test)]
mod tests;
mod traffic;

use std::collections::BTreeSet;
use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mpi::Threading;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use parking_lot::Mutex;

use crate::util::error::{Error, Result};
use crate::util::thread::Ticker;
use crate::wire::transport::{HEARTBEAT_PERIOD, Hub, Link};
use traffic::Traffic;

/// How long to look without sleeping, at most and at least. Most answers come sooner, and a sleep costs
/// a hundred times what they take. Where they do not, it gets shorter: somebody else may need the core.
/// Not yielding, because where others want the core a yield gives it away for milliseconds.
const EAGER: Duration = Duration::from_micros(200);
const LEAST_EAGER: Duration = Duration::from_micros(5);
/// Then a try follows whenever the silence has grown by one part in so many: what waiting adds to the
/// way of a message is little beside the time it took to come.
const SHARE: u32 = 16;
/// The longest sleep between two tries, of rank 0 and of a worker: what an idle spell may add to the next
/// message's way. A task that becomes ready waits for rank 0 to hear of it, and for an idle worker to hear
/// of rank 0. Workers mostly crunch while they hear nothing, rank 0 has nothing else to do.
const LONGEST_SLEEP: [Duration; 2] = [Duration::from_micros(750), Duration::from_micros(400)];

/// How long ranks may take to find each other, whatever their number, and for each of them.
const INITIALIZE: Duration = Duration::from_secs(60);
const INITIALIZE_EACH: Duration = Duration::from_millis(100);
/// How long to look after what is still on its way at the end.
const LAST_SENDS: Duration = Duration::from_secs(5);
/// How long shutting MPI down may take where a rank has died.
const FINALIZE: Duration = Duration::from_secs(5);

/// How many messages may be under way to a rank that does not take them before it gets no more beats.
const UNTAKEN: usize = 4;

/// What the MPI library says of itself; it need not be initialised for that.
pub(crate) fn library() -> String {
    mpi::environment::library_version().unwrap_or_default()
}

/// MPI, initialised. Dropping it finalises MPI.
pub(crate) struct MpiRanks {
    universe: Option<Universe>,
    world: SimpleCommunicator,
    traffic: Arc<Mutex<Traffic>>,
    /// Ranks that have died.
    dead: Receiver<usize>,
    /// Ranks that are known to be there although no message of theirs is complete.
    alive: BTreeSet<usize>,
    start: Instant,
    beating: Option<Ticker>,
    /// Since when there was nothing to receive while something could be expected.
    idle: Option<Instant>,
    /// How long to look without sleeping, and to sleep then at most.
    eager: Duration,
    longest_sleep: Duration,
    /// Whether a rank is known to be dead, so that MPI may not be able to shut down.
    skip_finalize: bool,
}

// Sound because MPI was asked for MPI_THREAD_SERIALIZED and gave it: any thread may call it, one at
// a time. Every call after the first ones is made under the lock of `traffic`.
#[allow(unsafe_code)]
unsafe impl Send for MpiRanks {}

impl MpiRanks {
    /// Initialises MPI, once a process. `expected` is how many ranks a launcher has started.
    pub(crate) fn initialize(expected: usize) -> Result<MpiRanks> {
        let missing = "not all ranks have reached MPI: one has died, or its host cannot be reached; start again";
        let watch =
            watch(INITIALIZE + INITIALIZE_EACH * expected as u32, Error::unexpected(missing));
        let (universe, level) =
            mpi::initialize_with_threading(Threading::Serialized).ok_or_else(|| {
                Error::unexpected("MPI was initialised before: a process can run one study only")
            })?;
        drop(watch);
        if level < Threading::Serialized {
            return Err(Error::unexpected(
                "this MPI does not allow calls from several threads in turn (MPI_THREAD_SERIALIZED)",
            ));
        }
        let world = universe.world();
        let (size, own) = (world.size() as usize, world.rank() as usize);
        let (news, dead) = channel();
        let traffic = Arc::new(Mutex::new(Traffic::new(size, own, news)?));
        let start = Instant::now();
        Ok(MpiRanks {
            universe: Some(universe),
            world,
            traffic,
            dead,
            alive: BTreeSet::new(),
            start,
            beating: None,
            idle: None,
            eager: EAGER,
            longest_sleep: LONGEST_SLEEP[own.min(1)],
            skip_finalize: false,
        })
    }

    /// This process's rank.
    pub(crate) fn own_rank(&self) -> usize {
        self.world.rank() as usize
    }

    /// How many ranks there are, rank 0 included.
    pub(crate) fn size(&self) -> usize {
        self.world.size() as usize
    }

    /// Sends every other rank this from now on, again and again, whatever this process is at.
    pub(crate) fn beat(&mut self, message: Bytes) -> Result<()> {
        self.beating = Some(start_heartbeat(self.traffic.clone(), message)?);
        Ok(())
    }

    /// Whatever message is complete by the time `wait` is over, and who sent it.
    fn receive_within(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<Option<usize>> {
        let (found, moved, news) = self.look(buffer)?;
        if found.is_some() {
            self.heard();
            return Ok(found);
        }
        if moved {
            self.idle = None; // the next part may come at once
        }
        if wait.is_zero() || news {
            return Ok(None); // a look is no silence: nothing was expected
        }
        let begin = Instant::now();
        let mut idle = *self.idle.get_or_insert(begin);
        loop {
            let (waited, silent) = (begin.elapsed(), idle.elapsed());
            if waited >= wait {
                return Ok(None);
            }
            if silent < self.eager {
                std::hint::spin_loop();
            } else {
                std::thread::sleep((silent / SHARE).min(self.longest_sleep));
            }
            let (found, moved, news) = self.look(buffer)?;
            if found.is_some() {
                self.heard();
                return Ok(found);
            }
            if moved {
                idle = Instant::now();
                self.idle = Some(idle);
            }
            if news {
                return Ok(None); // that somebody is there is not to wait for the message
            }
        }
    }

    /// Who has sent a message that is complete; whether a long one has come further; and whether that
    /// shows that somebody is there.
    fn look(&mut self, buffer: &mut Vec<u8>) -> Result<(Option<usize>, bool, bool)> {
        let mut traffic = self.traffic.lock();
        let found = traffic.poll(buffer)?;
        let news = !traffic.signs.is_empty();
        if news {
            self.alive.append(&mut traffic.signs);
        }
        Ok((found, std::mem::take(&mut traffic.moved), news))
    }

    /// A silence is over: the longer it was, the less is gained by looking hard through the next one.
    fn heard(&mut self) {
        let silence = self.idle.take().map_or(Duration::ZERO, |idle| idle.elapsed());
        let less = (self.eager / 2).max(LEAST_EAGER);
        self.eager = if silence < EAGER { EAGER } else { less };
    }
}

impl Drop for MpiRanks {
    fn drop(&mut self) {
        self.beating = None;
        let begin = Instant::now();
        while begin.elapsed() < LAST_SENDS && self.traffic.lock().is_sending() {
            std::thread::sleep(self.longest_sleep);
        }
        let universe = self.universe.take();
        let mut traffic = self.traffic.lock();
        if !self.skip_finalize && traffic.dead.is_empty() {
            traffic.end();
            drop(universe);
            return;
        }
        drop(traffic);
        std::mem::forget(universe); // it would wait here
        let (done, finalized) = channel();
        std::thread::spawn(move || {
            raw::finalize();
            let _ = done.send(());
        });
        if finalized.recv_timeout(FINALIZE).is_err() {
            log::debug!("MPI is not finalised, because a rank has died");
            raw::leave_at_exit();
        }
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

    fn send(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        self.traffic.lock().send(rank, bytes)
    }

    fn send_small(&mut self, rank: usize, bytes: &[u8]) -> Result<()> {
        self.traffic.lock().send_small(rank, bytes)
    }

    fn send_last(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        let mut traffic = self.traffic.lock();
        traffic.left.insert(rank);
        traffic.send(rank, bytes)
    }

    fn is_sending(&self, rank: usize) -> bool {
        !self.traffic.lock().to[rank].is_empty()
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

    /// Ends every rank at once, this one too.
    fn abort(&mut self, error: &Error) {
        error.print();
        // Where ranks cannot be reached this takes its time.
        let _watch = watch(FINALIZE, error.clone());
        let _alone = self.traffic.lock();
        self.world.abort(error.exit as i32)
    }
}

impl Link for MpiRanks {
    fn rank(&self) -> usize {
        self.own_rank()
    }

    fn send(&mut self, bytes: Bytes) -> Result<()> {
        self.idle = None; // an answer may come at once
        self.traffic.lock().send(0, bytes)
    }

    fn send_small(&mut self, bytes: &[u8]) -> Result<()> {
        self.idle = None;
        self.traffic.lock().send_small(0, bytes)
    }

    fn receive(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<bool> {
        Ok(self.receive_within(wait, buffer)?.is_some())
    }

    fn alive(&mut self) -> bool {
        !std::mem::take(&mut self.alive).is_empty()
    }

    fn is_receiving(&self) -> bool {
        self.traffic.lock().is_receiving(0)
    }

    fn skip_finalize(&mut self) {
        self.skip_finalize = true;
    }
}

/// Ends the process with this error unless what comes back is dropped in time: MPI has no way out of
/// some of its waits.
fn watch(time: Duration, error: Error) -> Sender<()> {
    let (in_time, dropped) = channel();
    std::thread::spawn(move || {
        if dropped.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
            error.print();
            raw::leave(error.exit as i32);
        }
    });
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
