//! How a child ended: what to say of it, and whether this process is to end too.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::util::error::Exit;
use crate::util::signals;

/// How long after a child this process may be signalled. mpirun kills a second after its first signal.
const OUR_TURN: Duration = Duration::from_millis(250);

/// How often to look whether it has been.
const LOOK: Duration = Duration::from_millis(5);

/// How a child ended, in words, once it is known whether that was its own end. Whoever ends a whole job, as
/// Slurm does, may signal its processes one by one, children first: after an end that looks like that, this
/// waits for our own signal, so that rank 0 hears of the signal before it hears of a failure.
pub(crate) fn settled(status: ExitStatus) -> String {
    let begin = Instant::now();
    if may_be_of_the_jobs_end(status) {
        while signals::asked().is_none() && begin.elapsed() < OUR_TURN {
            std::thread::sleep(LOOK);
        }
    }
    match status.signal() {
        Some(9) => format!("{status}; if you did not kill it, the machine ran out of memory"),
        _ => status.to_string(),
    }
}

/// Whether a process ended by a signal that asks for an end, as a shell says of what it ran, or as
/// gridmpi itself does.
fn may_be_of_the_jobs_end(status: ExitStatus) -> bool {
    let code = status.code().unwrap_or(0);
    let signal = status.signal().unwrap_or(code - 128);
    let asks = [Signal::HUP, Signal::INT, Signal::USR2, Signal::TERM];
    asks.iter().any(|asks| asks.as_raw() == signal) || code == Exit::Interrupted as i32
}
