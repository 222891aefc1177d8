//! Workers as MPI ranks. The only file that names the `mpi` crate.
//!
//! A blocking MPI receive burns a core while it waits, so waiting here is probing: hard for
//! a moment, then between sleeps, each twice as long as the last, up to a millisecond. MPI counts are 32-bit, so a
//! long message goes in parts, told apart by tag; MPI keeps the order of what one rank sends.

use std::time::{Duration, Instant};

use bytes::Bytes;
use mpi::Threading;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;

use super::{Hub, Link};
use crate::error::{Error, Result};

/// The tag of a whole message, or of its last part.
const WHOLE: i32 = 1;
/// The tag of a part that others follow.
const PART: i32 = 2;
/// How long a part may be. (bytes)
const PART_LENGTH: usize = 1 << 30;

/// How long to probe without sleeping. Most answers come sooner, and a sleep costs a hundred times
/// what they take. Not yielding, because where others want the core a yield gives it away for
/// milliseconds.
const EAGER: Duration = Duration::from_micros(200);
/// The longest sleep between two tries: what an idle spell may add to the next message's way.
const LONGEST_SLEEP: Duration = Duration::from_millis(1);

/// MPI, initialised. Dropping it finalises MPI.
pub(crate) struct Ranks {
    _universe: Universe,
    world: SimpleCommunicator,
    start: Instant,
    /// What has come so far of each rank's message in parts.
    parts: Vec<Vec<u8>>,
}

// Sound because MPI was asked for MPI_THREAD_SERIALIZED and gave it: any thread may call it, one at
// a time, and every call here goes through a `&self` that is not shared between threads (no `Sync`).
#[allow(unsafe_code)]
unsafe impl Send for Ranks {}

impl Ranks {
    /// Initialises MPI, once a process.
    pub(crate) fn initialize() -> Result<Ranks> {
        let (universe, level) = mpi::initialize_with_threading(Threading::Serialized)
            .ok_or_else(|| Error::unexpected("MPI was initialised before: one run a process"))?;
        if level < Threading::Serialized {
            return Err(Error::unexpected(
                "this MPI cannot be called from several threads in turn (MPI_THREAD_SERIALIZED)",
            ));
        }
        let world = universe.world();
        let parts = vec![Vec::new(); world.size() as usize];
        Ok(Ranks { _universe: universe, world, start: Instant::now(), parts })
    }

    /// This process's rank.
    pub(crate) fn own_rank(&self) -> usize {
        self.world.rank() as usize
    }

    /// How many ranks there are, rank 0 included.
    pub(crate) fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn send_to(&self, rank: usize, bytes: &[u8]) {
        let process = self.world.process_at_rank(rank as i32);
        let mut rest = bytes;
        while rest.len() > PART_LENGTH {
            process.send_with_tag(&rest[..PART_LENGTH], PART);
            rest = &rest[PART_LENGTH..];
        }
        process.send_with_tag(rest, WHOLE);
    }

    /// Whatever message is complete by the time `wait` is over, and who sent it.
    fn receive_within(&mut self, wait: Duration) -> Option<(usize, Vec<u8>)> {
        let begin = Instant::now();
        let mut sleep = Duration::from_micros(1);
        loop {
            while let Some(status) = self.world.any_process().immediate_probe() {
                let (rank, tag) = (status.source_rank(), status.tag());
                let mut bytes = vec![0u8; status.count(u8::equivalent_datatype()) as usize];
                self.world.process_at_rank(rank).receive_into_with_tag(&mut bytes[..], tag);
                let rank = rank as usize;
                if tag == WHOLE && self.parts[rank].is_empty() {
                    return Some((rank, bytes));
                }
                self.parts[rank].append(&mut bytes);
                if tag == WHOLE {
                    return Some((rank, std::mem::take(&mut self.parts[rank])));
                }
            }
            if begin.elapsed() >= wait {
                return None;
            }
            if begin.elapsed() < EAGER {
                std::hint::spin_loop();
            } else {
                std::thread::sleep(sleep);
                sleep = (sleep * 2).min(LONGEST_SLEEP);
            }
        }
    }
}

impl Hub for Ranks {
    fn workers(&self) -> usize {
        self.size() - 1
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn receive(&mut self, wait: Duration) -> Result<Option<(usize, Bytes)>> {
        Ok(self.receive_within(wait).map(|(rank, bytes)| (rank, bytes.into())))
    }

    fn send(&mut self, rank: usize, bytes: Bytes) -> Result<()> {
        self.send_to(rank, &bytes);
        Ok(())
    }

    /// Ends every rank at once, this one too.
    fn abandon(&mut self, error: &Error) {
        error.print();
        self.world.abort(error.exit as i32)
    }
}

impl Link for Ranks {
    fn rank(&self) -> usize {
        self.own_rank()
    }

    fn send(&mut self, bytes: Bytes) -> Result<()> {
        self.send_to(0, &bytes);
        Ok(())
    }

    fn receive(&mut self, wait: Duration) -> Result<Option<Bytes>> {
        Ok(self.receive_within(wait).map(|(_, bytes)| bytes.into()))
    }
}
