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
    let signal = status.signal().and_then(Signal::from_named_raw);
    let hint = match signal {
        Some(Signal::KILL) => "if you did not kill it, the machine ran out of memory",
        Some(Signal::ABORT) => {
            "it ended itself: a failed assertion, a C++ exception that nothing caught, or a library that found \
             an error; what it wrote to stderr says which"
        }
        Some(Signal::SEGV | Signal::BUS) => {
            "compiled code in it used memory that is not its own: an index out of range, a stack that is too \
             small (ulimit -s), or libraries that do not fit together"
        }
        Some(Signal::ILL) => {
            "it has an instruction that this processor lacks: build it, or its libraries, for this host"
        }
        Some(Signal::FPE) => {
            "a division of whole numbers by 0, or a trap for floating-point errors"
        }
        Some(Signal::XCPU) => "its limit of processor time is used up (ulimit -t)",
        Some(Signal::XFSZ) => "a file has reached its limit (ulimit -f)",
        _ => return status.to_string(),
    };
    format!("{status}; {hint}")
}

/// Whether the status is that of a process ended by a termination signal: directly, as a shell reports it
/// (128 + signal), or as gridmpi exits when interrupted.
fn may_be_of_the_jobs_end(status: ExitStatus) -> bool {
    let code = status.code().unwrap_or(0);
    let signal = status.signal().unwrap_or(code - 128);
    let asks = [Signal::HUP, Signal::INT, Signal::USR2, Signal::TERM];
    asks.iter().any(|asks| asks.as_raw() == signal) || code == Exit::Interrupted as i32
}
