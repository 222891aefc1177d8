//! How a child ended: a description for errors, and whether this process was signalled too.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::util::error::Exit;
use crate::util::signals;

/// How long after a child this process may be signalled. mpirun kills a second after its first signal.
const OUR_TURN: Duration = Duration::from_millis(250);

const POLL_PERIOD: Duration = Duration::from_millis(5);

/// Describes how a child ended. Slurm, for example, may signal the processes of a job one by one, children
/// first. So after an end that looks like a signal to the whole job, this waits for our own signal: rank 0
/// must learn of the signal before it learns of a failed run.
pub(crate) fn settled(status: ExitStatus) -> String {
    let begin = Instant::now();
    if may_be_of_the_jobs_end(status) {
        while signals::asked().is_none() && begin.elapsed() < OUR_TURN {
            std::thread::sleep(POLL_PERIOD);
        }
    }
    match status.signal() {
        Some(9) => format!("{status}; if you did not kill it, the machine ran out of memory"),
        _ => status.to_string(),
    }
}

/// Whether the status is that of a process ended by a termination signal: directly, as a shell reports it
/// (128 + signal), or as gridmpi exits when interrupted.
fn may_be_of_the_jobs_end(status: ExitStatus) -> bool {
    let code = status.code().unwrap_or(0);
    let signal = status.signal().unwrap_or(code - 128);
    let asks = [Signal::HUP, Signal::INT, Signal::USR2, Signal::TERM];
    asks.iter().any(|asks| asks.as_raw() == signal) || code == Exit::Interrupted as i32
}
