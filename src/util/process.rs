//! Identifies processes uniquely, and tells whether one on this machine still runs.

use std::fs;

use serde::{Deserialize, Serialize};

/// A process identity that is unique across machines and reuse of PIDs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    /// The boot of the machine, and the PID namespace.
    pub(crate) place: String,
    /// The PID.
    pub(crate) number: u32,
    /// When it started, in clock ticks since the boot, because PIDs are reused.
    pub(crate) started: u64,
}

/// This process; nothing if the system does not provide its identity.
pub(crate) fn own() -> Option<ProcessId> {
    let ProcessStat { number, started, .. } = stat("self")?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let names = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(ProcessId { place: format!("{} {}", boot.trim(), names.display()), number, started })
}

/// What the system says of a process.
pub(crate) struct ProcessStat {
    pub(crate) number: u32,
    pub(crate) parent: u32,
    /// In clock ticks since the boot.
    pub(crate) started: u64,
    /// Whether it has ended and waits for its parent.
    pub(crate) is_over: bool,
}

/// A process by its PID, or `self`.
pub(crate) fn stat(process: &str) -> Option<ProcessStat> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the name in parentheses, which may contain anything.
    let (number, _) = stat.split_once(' ')?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(ProcessStat {
        number: number.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
        is_over: matches!(*fields.first()?, "Z" | "X" | "x"),
    })
}

/// The processes above this one, nearest first.
pub(crate) fn ancestors() -> impl Iterator<Item = u32> {
    let parent = |number: &str| stat(number).map(|stat| stat.parent).filter(|p| *p > 0);
    std::iter::successors(parent("self"), move |number| parent(&number.to_string()))
}

/// Whether this process still runs: one with its PID and its start time.
pub(crate) fn is_running(process: &ProcessId) -> bool {
    stat(&process.number.to_string())
        .is_some_and(|now| now.started == process.started && !now.is_over)
}

/// The process with this PID on this machine.
#[cfg(test)]
pub(crate) fn with_number(number: u32) -> Option<ProcessId> {
    let ProcessStat { number, started, .. } = stat(&number.to_string())?;
    Some(ProcessId { number, started, ..own()? })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs() {
        assert!(is_running(&own().unwrap()));
        assert_eq!(own().unwrap().number, std::process::id());
    }
}
