//! Workers that were given up because they are silent. They may come back, but one whose process has ended
//! does not, and MPI does not always report that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::master::{Master, WAIT_FOR_SILENT};
use crate::util::error::{Error, Result};
use crate::util::process::{ProcessId, is_running, own};

/// How often the processes of silent workers are checked.
const POLL_PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct SilentWorkers {
    /// The boot and PID namespace of this process, if they are known.
    here: Option<String>,
    /// Workers' processes on this machine, by rank.
    known: BTreeMap<usize, ProcessId>,
    /// When to check again.
    next: Duration,
    /// Silent workers whose processes have ended, and that the master does not know of yet.
    ended: Vec<usize>,
    /// Workers that are silent, as was reported.
    missed: BTreeSet<usize>,
    /// Whether all workers are silent, and this was reported.
    waits: bool,
}

impl SilentWorkers {
    pub(crate) fn new() -> SilentWorkers {
        let here = own().map(|own| own.place);
        let (known, next, ended) = (BTreeMap::new(), Duration::ZERO, Vec::new());
        SilentWorkers { here, known, next, ended, missed: BTreeSet::new(), waits: false }
    }

    /// A worker reported its process. It is followed only if it is visible from here and running now.
    pub(crate) fn joined(&mut self, rank: usize, process: Option<ProcessId>) {
        let is_here = |process: &ProcessId| self.here.as_ref() == Some(&process.place);
        if let Some(process) = process.filter(|process| is_here(process) && is_running(process)) {
            self.known.insert(rank, process);
        }
    }

    /// A worker was given up because it is silent: its process is checked at once.
    pub(crate) fn miss(&mut self, rank: usize) {
        log::warn!("rank {rank} has been silent for too long; its tasks go to others");
        self.missed.insert(rank);
        self.next = Duration::ZERO;
    }

    /// A worker has ended and is not expected back.
    pub(crate) fn lose(&mut self, rank: usize) {
        log::warn!("rank {rank} has died or cannot be reached; its tasks go to others");
        self.missed.remove(&rank);
    }

    /// A silent worker whose process has ended; reported once per check.
    pub(crate) fn ended(&mut self) -> Option<usize> {
        self.ended.pop()
    }

    /// Checks the processes of silent workers, if that is due. Reports when all workers are silent, and when
    /// one comes back. An error if none is left and none is expected back.
    #[inline]
    pub(crate) fn check(&mut self, now: Duration, master: &Master) -> Result<()> {
        if !master.misses_workers() && !self.waits && self.missed.is_empty() {
            return Ok(()); // after almost every message
        }
        self.check_lost(now, master)
    }

    fn check_lost(&mut self, now: Duration, master: &Master) -> Result<()> {
        let deserted = master.deserted();
        if self.waits && deserted.is_none() {
            self.next = Duration::ZERO; // one has come back, or none will
        }
        self.poll(now, master.silent());
        if master.is_stranded() {
            return Err(stranded(master.deserted().is_some()));
        }
        if !self.ended.is_empty() {
            return Ok(()); // the master handles that first
        }
        let waited = std::mem::replace(&mut self.waits, deserted.is_some());
        if let (Some(silence), false) = (deserted, waited) {
            log::warn!(
                "all workers have been silent for {} s; waiting up to {} minutes for one to come back",
                silence.as_secs(),
                WAIT_FOR_SILENT.as_secs() / 60
            );
        }
        Ok(())
    }

    fn poll(&mut self, now: Duration, silent: impl Iterator<Item = usize>) {
        if now >= self.next {
            self.next = now + POLL_PERIOD;
            let silent: BTreeSet<usize> = silent.collect();
            for rank in self.missed.difference(&silent) {
                log::info!("rank {rank} has come back");
            }
            self.missed.retain(|rank| silent.contains(rank));
            let has_ended = |rank: &usize| self.known.get(rank).is_some_and(|it| !is_running(it));
            self.ended.extend(silent.into_iter().filter(has_ended));
        }
    }
}

/// The error when no worker is left. `waited` says that rank 0 has waited for silent ones.
fn stranded(waited: bool) -> Error {
    let minutes = WAIT_FOR_SILENT.as_secs() / 60;
    let since =
        if waited { format!(": none came back in {minutes} minutes") } else { String::new() };
    Error::unexpected(format!("no worker is left that can go on{since}; what is done is stored"))
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
        let mut workers = SilentWorkers::new();
        let (mut child, process) = start();
        workers.joined(1, Some(process.clone()));
        workers.joined(2, Some(ProcessId { place: "elsewhere".to_string(), ..process.clone() }));
        workers.joined(3, Some(ProcessId { started: process.started + 1, ..process.clone() }));
        workers.joined(4, None);
        let mut ended = |second| {
            workers.poll(Duration::from_secs(second), 1..=5);
            std::iter::from_fn(|| workers.ended()).collect::<Vec<_>>()
        };
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
