//! Tells whether the processes of workers on this machine still run. A silent worker may come back, but
//! one whose process has ended does not, and MPI does not always report that.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::util::process::{ProcessId, is_running, own};

/// How often the processes of silent workers are checked.
const POLL_PERIOD: Duration = Duration::from_secs(1);

/// The processes of workers on this machine.
#[derive(Debug)]
pub(crate) struct Processes {
    /// The boot and PID namespace of this process, if they are known.
    here: Option<String>,
    /// By rank.
    known: BTreeMap<usize, ProcessId>,
    /// When to check again.
    next: Duration,
}

impl Processes {
    pub(crate) fn new() -> Processes {
        let here = own().map(|own| own.place);
        Processes { here, known: BTreeMap::new(), next: Duration::ZERO }
    }

    /// A worker reported its process. It is followed only if it is visible from here and running now.
    pub(crate) fn joined(&mut self, rank: usize, process: Option<ProcessId>) {
        let is_here = |process: &ProcessId| self.here.as_ref() == Some(&process.place);
        if let Some(process) = process.filter(|process| is_here(process) && is_running(process)) {
            self.known.insert(rank, process);
        }
    }

    /// A worker was given up: check again at once.
    pub(crate) fn poll_soon(&mut self) {
        self.next = Duration::ZERO;
    }

    /// The silent workers whose processes have ended, if a check is due.
    pub(crate) fn ended(
        &mut self,
        now: Duration,
        silent: impl Iterator<Item = usize>,
    ) -> Vec<usize> {
        if now < self.next {
            return Vec::new();
        }
        self.next = now + POLL_PERIOD;
        let has_ended = |rank: &usize| self.known.get(rank).is_some_and(|it| !is_running(it));
        silent.filter(has_ended).collect()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::util::process::with_number;
    use std::process::{Child, Command};

    fn start() -> (Child, ProcessId) {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let process = with_number(child.id()).unwrap();
        (child, process)
    }

    #[test]
    fn a_process_that_has_ended_is_told_from_a_silent_one() {
        let mut processes = Processes::new();
        let (mut child, process) = start();
        processes.joined(1, Some(process.clone()));
        processes.joined(2, Some(ProcessId { place: "elsewhere".to_string(), ..process.clone() }));
        processes.joined(3, Some(ProcessId { started: process.started + 1, ..process.clone() }));
        processes.joined(4, None);
        let mut ended = |second| processes.ended(Duration::from_secs(second), 1..=5);
        assert_eq!(ended(1), [0; 0], "it sleeps");
        child.kill().unwrap();
        while is_running(&process) {
            std::thread::yield_now();
        }
        assert_eq!(ended(1), [0; 0], "no check is due");
        assert_eq!(ended(2), [1], "a zombie has ended too");
        child.wait().unwrap();
        assert_eq!(ended(3), [1]);
    }
}
