//! Processes that attempts leave behind: they fall to this process, which is their subreaper, when their
//! parents end. Without orphans a look for them costs one system call.

#[cfg(target_os = "linux")]
pub(super) use linux::{adopt, end, now, of_attempt};

#[cfg(not(target_os = "linux"))]
pub(super) fn adopt() {}

#[cfg(not(target_os = "linux"))]
pub(super) fn end(_: impl Fn(Option<u64>, u64) -> bool) {}

#[cfg(not(target_os = "linux"))]
pub(super) fn now() -> u64 {
    0
}

#[cfg(not(target_os = "linux"))]
pub(super) fn of_attempt(_: u64) -> Vec<u32> {
    Vec::new()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    use rustix::io::Errno;
    use rustix::process::{
        Pid, Signal, WaitId, WaitIdOptions, getpgid, kill_process, kill_process_group,
        set_child_subreaper, waitid,
    };
    use rustix::time::{ClockId, clock_gettime};

    use crate::executor::process::child;
    use crate::util::own_children;
    use crate::util::process::stat;

    /// How long killed processes may take to end.
    const GRACE: Duration = Duration::from_secs(5);

    const POLL_PERIOD: Duration = Duration::from_millis(1);

    /// Clock ticks per second in /proc.
    const TICKS: u64 = 100;

    /// The children that this process had before it adopted any, for example the MPI library's.
    static EARLIER: OnceLock<Vec<u32>> = OnceLock::new();

    /// From now on, orphaned descendants fall to this process.
    pub(in super::super) fn adopt() {
        EARLIER.get_or_init(|| {
            if let Err(error) = set_child_subreaper(Some(rustix::process::getpid())) {
                log::warn!("what a command leaves running in a group of its own stays: {error}");
            }
            children()
        });
    }

    /// The time since the boot in clock ticks, as start times of processes are given.
    pub(in super::super) fn now() -> u64 {
        let now = clock_gettime(ClockId::Boottime);
        now.tv_sec as u64 * TICKS + now.tv_nsec as u64 * TICKS / 1_000_000_000
    }

    /// The orphans of an attempt.
    pub(in super::super) fn of_attempt(number: u64) -> Vec<u32> {
        let is_of = |child: &u32| attempt(&child.to_string()) == Some(number);
        children().into_iter().filter(is_of).collect()
    }

    /// Kills and reaps all orphans, and what they leave in turn, except those that are still needed. Of these
    /// `is_needed` is asked with the attempt in the orphan's marker, if it has one, and its start time.
    pub(in super::super) fn end(is_needed: impl Fn(Option<u64>, u64) -> bool) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if matches!(waitid(WaitId::All, options), Err(Errno::CHILD)) {
            return; // no child at all
        }
        let begin = Instant::now();
        loop {
            let earlier = EARLIER.get().map_or(&[][..], Vec::as_slice);
            let is_earlier = |child: &u32| earlier.contains(child);
            let children: Vec<u32> = children().into_iter().filter(|c| !is_earlier(c)).collect();
            if children.is_empty() {
                return;
            }
            let left = own_children::while_none_starts(|is_own| {
                let orphans = children.iter().filter(|child| !is_own(**child));
                orphans.filter(|orphan| kill(**orphan, &is_needed)).count()
            });
            if left == 0 {
                return;
            }
            if begin.elapsed() > GRACE {
                return log::warn!("{left} processes that a command has left cannot be ended");
            }
            std::thread::sleep(POLL_PERIOD);
        }
    }

    /// Kills an orphan unless it is needed, and reaps it once it has ended; returns whether to look again.
    fn kill(orphan: u32, is_needed: &impl Fn(Option<u64>, u64) -> bool) -> bool {
        let name = orphan.to_string();
        let (Some(process), Some(pid)) = (stat(&name), Pid::from_raw(orphan as i32)) else {
            return false;
        };
        if process.parent != std::process::id() {
            return false;
        }
        if process.is_over {
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
            return true; // its own children fall to this process too
        }
        if is_needed(attempt(&name), process.started) {
            return false;
        }
        if getpgid(Some(pid)) == Ok(pid) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = kill_process(pid, Signal::KILL);
        true
    }

    /// The attempt in a process's marker.
    fn attempt(process: &str) -> Option<u64> {
        let environment = fs::read(format!("/proc/{process}/environ")).ok()?;
        let mark = child::mark().as_bytes();
        let marked = environment.split(|byte| *byte == 0).find_map(|line| line.strip_prefix(mark));
        std::str::from_utf8(marked?).ok()?.parse().ok()
    }

    /// The children of the main thread, to which orphans fall.
    fn children() -> Vec<u32> {
        let own = std::process::id();
        match fs::read_to_string(format!("/proc/self/task/{own}/children")) {
            Ok(children) => {
                children.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
            }
            // A kernel without such lists.
            Err(_) => {
                let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
                let names =
                    processes.map(|process| process.file_name().to_string_lossy().into_owned());
                let stats =
                    names.filter(|name| name.parse::<u32>().is_ok()).filter_map(|n| stat(&n));
                stats.filter(|stat| stat.parent == own).map(|stat| stat.number).collect()
            }
        }
    }
}
