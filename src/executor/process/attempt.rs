//! One attempt of a command, or a child that serves many tasks: its process, and everything that it starts, which
//! ends with it.

use std::collections::BTreeMap;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::executor::process::child::{self, Limits};
use crate::executor::process::orphans;
use crate::executor::process::tail::Tail;
use crate::util::own_children;

/// The attempts that run in this process, and when each began (see [`orphans::now`]).
static RUNNING: Mutex<BTreeMap<u64, u64>> = Mutex::new(BTreeMap::new());

pub(crate) struct AttemptProcess {
    pub(crate) child: Child,
    number: u64,
}

impl AttemptProcess {
    pub(crate) fn start(command: &mut Command) -> io::Result<AttemptProcess> {
        static ATTEMPTS: AtomicU64 = AtomicU64::new(1);
        child::mark(); // before this process adopts what its descendants leave: its guardian is none of them
        orphans::adopt();
        let number = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
        RUNNING.lock().insert(number, orphans::now());
        match child::spawn_marked(command, number) {
            Ok(child) => Ok(AttemptProcess { child, number }),
            Err(error) => {
                RUNNING.lock().remove(&number);
                Err(error)
            }
        }
    }

    /// Waits for the end of the process, and ends what it has left running: in its group, and what has left
    /// its group or session. If a limit is exceeded, ends the process and returns the reason as the error.
    pub(crate) fn wait(mut self, limits: &Limits, tails: &mut [Tail]) -> io::Result<ExitStatus> {
        child::wait(&mut self.child, limits, tails)
    }

    /// Reaps what processes of attempts that go on have left and has ended.
    pub(crate) fn reap() {
        orphans::end(|_, _| true);
    }
}

/// Ends what it has left running outside of its group. Its process must have ended.
impl Drop for AttemptProcess {
    fn drop(&mut self) {
        own_children::forget(self.child.id());
        RUNNING.lock().remove(&self.number);
        orphans::end(|attempt, started| {
            let running = RUNNING.lock();
            match attempt {
                Some(attempt) => attempt == 0 || running.contains_key(&attempt),
                // Without a marker: it may be of any attempt that began before it.
                None => running.values().any(|begun| *begun <= started),
            }
        });
    }
}
