//! Which process this is, and whether the process of a worker on this machine still exists. A worker that
//! is silent may come back; one that has ended does not, and MPI does not always tell.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::message::ProcessId;

/// How often to look whether silent workers still exist.
const LOOK: Duration = Duration::from_secs(1);

/// This process; nothing where the system does not tell.
pub(crate) fn own() -> Option<ProcessId> {
    let (number, started, _) = stat("self")?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let names = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(ProcessId { place: format!("{} {}", boot.trim(), names.display()), number, started })
}

/// A process's number, when it started, and its state.
fn stat(process: &str) -> Option<(u32, u64, char)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is its name in parentheses, and may be anything.
    let (number, _) = stat.split_once(' ')?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some((number.parse().ok()?, fields.get(19)?.parse().ok()?, fields.first()?.chars().next()?))
}

/// Whether a process with this number runs that started then.
fn is_running(process: &ProcessId) -> bool {
    stat(&process.number.to_string()).is_some_and(|(_, started, state)| {
        started == process.started && !matches!(state, 'Z' | 'X' | 'x')
    })
}

/// The processes of workers on this machine.
#[derive(Debug)]
pub(crate) struct Processes {
    /// Where this process is; nothing if that cannot be told.
    here: Option<String>,
    /// By rank.
    known: BTreeMap<usize, ProcessId>,
    /// When to look again.
    next: Duration,
}

impl Processes {
    pub(crate) fn new() -> Processes {
        let here = own().map(|own| own.place);
        Processes { here, known: BTreeMap::new(), next: Duration::ZERO }
    }

    /// A worker said which process it is. What cannot be seen now will not be missed later.
    pub(crate) fn joined(&mut self, rank: usize, process: Option<ProcessId>) {
        let is_here = |process: &ProcessId| self.here.as_ref() == Some(&process.place);
        if let Some(process) = process.filter(|process| is_here(process) && is_running(process)) {
            self.known.insert(rank, process);
        }
    }

    /// A worker was given up: it is looked at at once.
    pub(crate) fn look_soon(&mut self) {
        self.next = Duration::ZERO;
    }

    /// Those of the silent workers whose processes have ended, if it is time to look.
    pub(crate) fn ended(
        &mut self,
        now: Duration,
        silent: impl Iterator<Item = usize>,
    ) -> Vec<usize> {
        if now < self.next {
            return Vec::new();
        }
        self.next = now + LOOK;
        let has_ended = |rank: &usize| self.known.get(rank).is_some_and(|it| !is_running(it));
        silent.filter(has_ended).collect()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn start() -> (Child, ProcessId) {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let (number, started, _) = stat(&child.id().to_string()).unwrap();
        (child, ProcessId { number, started, ..own().unwrap() })
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
        assert_eq!(ended(1), [0; 0], "it is not time to look");
        assert_eq!(ended(2), [1], "nobody has waited for it, and it has ended all the same");
        child.wait().unwrap();
        assert_eq!(ended(3), [1]);
    }

    #[test]
    fn this_process_runs() {
        assert!(is_running(&own().unwrap()));
        assert_eq!(own().unwrap().number, std::process::id());
    }
}
