//! An isolated worker: this program, started again by a rank to call crunch in a separate process.
//! It is an ordinary worker that is connected to that rank by a socket.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::executor::rust::ErasedStudy;
use crate::executor::{Limits, ReadyChildren};
use crate::util::error::{Error, Result};
use crate::util::framing::{read_frame, write_frame};
use crate::wire::transport::Link;
use crate::worker::{self, WorkerConfig};

/// The environment variable of an isolated worker: its parent's process id, its rank, its cores, and the
/// socket to connect to.
pub(crate) const PLACE: &str = "GRIDMPI_ISOLATED";

/// If this process is an isolated worker, works and exits here.
pub(crate) fn work_if_isolated(study: Option<&Arc<ErasedStudy>>) {
    let Some((rank, cores, socket)) = place() else { return };
    let stream = UnixStream::connect(socket);
    let worked = stream.map_err(|error| gone(&error)).and_then(|stream| {
        let means = WorkerConfig { threads: 1, cores, is_process: false };
        let ready = ReadyChildren::default();
        worker::work(Box::new(SocketLink { rank, stream }), means, study, &ready)
    });
    std::process::exit(worked.map_or(1, |()| 0));
}

/// Counts the studies of this process; whether this is the first. Only the first can be isolated, because
/// the program started again reaches that one.
pub(crate) fn is_first_study() -> bool {
    static STUDIES: AtomicUsize = AtomicUsize::new(0);
    STUDIES.fetch_add(1, Ordering::Relaxed) == 0
}

/// Whether this process is an isolated worker.
pub(crate) fn is_isolated() -> bool {
    place().is_some()
}

/// Rank, cores and socket, if this process is a direct child of the rank. Processes that crunch starts
/// inherit the variable and must ignore it.
fn place() -> Option<(usize, usize, String)> {
    let place = std::env::var(PLACE).ok()?;
    let mut parts = place.splitn(4, ' ');
    let mut number = || parts.next()?.parse::<usize>().ok();
    let (parent, rank, cores) = (number()?, number()?, number()?);
    let socket = parts.next()?.to_string();
    (parent as u32 == std::os::unix::process::parent_id()).then_some((rank, cores, socket))
}

fn gone(error: &io::Error) -> Error {
    Error::unexpected(format!("the rank that started this process has ended: {error}"))
}

/// The isolated worker's link: each message is preceded by its length.
struct SocketLink {
    rank: usize,
    stream: UnixStream,
}

impl Link for SocketLink {
    fn rank(&self) -> usize {
        self.rank
    }

    fn send(&mut self, bytes: Bytes) -> Result<()> {
        write_frame(&mut self.stream, &bytes).map_err(|error| gone(&error))
    }

    fn receive(&mut self, wait: Duration, buffer: &mut Vec<u8>) -> Result<bool> {
        // Read only once data is there, then read the whole message.
        match Limits::within(wait).wait_for(&self.stream) {
            Ok(()) => {
                *buffer = read_frame(&mut self.stream, u64::MAX).map_err(|error| gone(&error))?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(false),
            Err(error) => Err(gone(&error)),
        }
    }
}
