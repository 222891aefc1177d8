//! One attempt of a command, or a child that serves many tasks: its process, and everything that it starts, which
//! ends with it.

use std::collections::BTreeMap;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::executor::process::child::{self, Limits};
use crate::executor::process::orphans;
use crate::executor::process::peak_memory::{PeakMemory, PeakReset};
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
    /// its group or session. If a limit is exceeded, ends the process and returns the reason as the error. Returns the
    /// peak of the memory of its processes too, in MiB, where it is known.
    pub(crate) fn wait(
        mut self,
        limits: &Limits,
        tails: &mut [Tail],
    ) -> (io::Result<ExitStatus>, Option<u32>) {
        let mut memory = PeakMemory::of(&self.child, self.number);
        let ended = child::wait_and_look(&mut self.child, limits, tails, || Some(memory.look()));
        let ended = ended.and_then(|()| child::kill_and_ask(&mut self.child));
        match ended {
            Ok((status, reported)) => (Ok(status), memory.after_end(reported)),
            Err(error) => (Err(error), memory.known()),
        }
    }

    /// Begins to look at the memory of a process that serves many calls, for one of them. Nothing where the system does
    /// not tell calls apart.
    pub(crate) fn begin_peak(&self, reset: &mut Option<PeakReset>) -> Option<PeakMemory> {
        let reset = reset.get_or_insert_with(|| PeakReset::of(&self.child));
        reset.reset().then(|| PeakMemory::of(&self.child, self.number))
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Stdio;

    use super::*;
    use crate::util::usage::peak_rss_bytes;

    /// Runs a line of a shell, and returns the peak of its processes.
    fn peak(line: &str) -> Option<u32> {
        let mut command = Command::new("sh");
        command.args(["-c", line]).stdin(Stdio::null()).stdout(Stdio::null());
        let attempt = AttemptProcess::start(&mut command).unwrap();
        let (ended, peak) = attempt.wait(&Limits::new(None, None), &mut []);
        assert!(ended.unwrap().success());
        peak
    }

    #[test]
    fn what_this_process_has_held_is_not_its_childrens() {
        drop(std::hint::black_box(vec![1u8; 200 << 20]));
        assert!(peak_rss_bytes().unwrap() >= 200 << 20);
        let short = peak("exit 0");
        assert!(short.is_none_or(|short| short < 30), "nothing is known of it: {short:?} MiB");
        // Known only if it was looked at, which comes too late where this process is held up.
        let small = (0..5).find_map(|_| peak("sleep 0.3")).unwrap();
        assert!(small < 30, "{small} MiB");
        let hold =
            |mebibytes: u32| format!("head -c {mebibytes}M /dev/zero | tail -c {mebibytes}M");
        let large = peak(&hold(300)).unwrap();
        assert!((300..360).contains(&large), "{large} MiB");
    }
}
