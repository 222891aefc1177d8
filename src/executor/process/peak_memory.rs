//! The peak of the resident memory of a run's processes, as Linux knows it.
//!
//! It looks now and then at the process and its descendants, and adds up what they hold. Between two looks a process
//! may hold more: the kernel remembers the most that each has held, so a peak of a single process is not missed. What
//! several processes share counts for each of them.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::executor::process::orphans;
use crate::util::process::stat;
use crate::util::usage::{MIB, peak_rss_bytes, resident_bytes};

/// When to look for the first time. A shorter run is not looked at.
const FIRST: Duration = Duration::from_millis(50);

/// The longest time between two looks.
const LONGEST: Duration = Duration::from_secs(1);

/// In clock ticks. One that has just been started may still use the memory of its parent, which would count twice.
const YOUNG: u64 = 3;

/// The memory of the processes of one call.
pub(crate) struct PeakMemory {
    process: u32,
    /// The number of the attempt, which marks orphans.
    attempt: u64,
    begun: Instant,
    /// The same in clock ticks since the boot.
    ticks: u64,
    next: Duration,
    /// Bytes.
    peak: u64,
}

impl PeakMemory {
    /// Of a process that has just been started for this call, or whose peak was just reset.
    pub(super) fn of(child: &Child, attempt: u64) -> PeakMemory {
        let ticks = orphans::now();
        let (process, begun, next) = (child.id(), Instant::now(), FIRST);
        PeakMemory { process, attempt, begun, ticks, next, peak: 0 }
    }

    /// Looks, if it is time; returns the time until the next look.
    pub(crate) fn look(&mut self) -> Duration {
        let elapsed = self.begun.elapsed();
        if elapsed >= self.next {
            self.sample();
            // No look takes more than a hundredth of the time, however many processes there are.
            let took = self.begun.elapsed() - elapsed;
            self.next = elapsed + elapsed.min(LONGEST).max(took * 100);
        }
        self.next.saturating_sub(self.begun.elapsed())
    }

    fn sample(&mut self) {
        let mut all = vec![self.process];
        all.extend(orphans::of_attempt(self.attempt));
        let (mut known, mut at, mut sum) = (HashSet::new(), 0, 0);
        while let Some(process) = all.get(at).copied() {
            at += 1;
            if !known.insert(process) {
                continue;
            }
            all.extend(children(process));
            let name = process.to_string();
            let (Some(about), Some((now, most))) = (stat(&name), resident_bytes(&name)) else {
                continue;
            };
            let is_root = process == self.process;
            if !is_root && about.started + YOUNG > orphans::now() {
                continue;
            }
            sum += now;
            // Others may have held more before the call.
            if is_root || about.started >= self.ticks {
                self.peak = self.peak.max(most);
            }
        }
        self.peak = self.peak.max(sum);
    }

    /// The peak in MiB, if it is known, once a process of this call has ended. `reported` is what the system says of
    /// it and of the descendants that it has waited for: the most that one of them has held. (bytes)
    pub(super) fn after_end(mut self, reported: u64) -> Option<u32> {
        if is_its_own(reported) {
            self.peak = self.peak.max(reported);
        }
        self.known()
    }

    /// The same at the end of a call in a process that goes on.
    pub(crate) fn after_call(mut self) -> Option<u32> {
        if self.begun.elapsed() < FIRST {
            return None; // what it has started in the meantime is not known
        }
        self.sample();
        self.known()
    }

    /// The peak in MiB, if anything has been seen.
    pub(super) fn known(self) -> Option<u32> {
        let mebibytes = self.peak.div_ceil(MIB);
        (mebibytes > 0).then(|| mebibytes.try_into().unwrap_or(u32::MAX))
    }
}

/// Whether a peak that the system reports of an ended process is that of its own memory. Until a new process has
/// begun its program, it has the memory of this one, whose peak counts as its own: what is less tells nothing.
fn is_its_own(reported: u64) -> bool {
    static OURS: AtomicU64 = AtomicU64::new(0);
    // The kernel's counts are rough.
    let is_more = |ours: u64| reported > ours + ours / 8;
    if cfg!(not(target_os = "linux")) || !is_more(OURS.load(Ordering::Relaxed)) {
        return false; // our own peak never gets less
    }
    let Some(ours) = peak_rss_bytes() else { return false };
    OURS.store(ours, Ordering::Relaxed);
    is_more(ours)
}

/// The processes that the threads of a process have started; none where the kernel has no such lists.
fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let number = |child: &str| child.parse().ok();
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(number).collect::<Vec<_>>())
        .collect()
}

/// Makes the kernel forget the peak of a process that serves many calls.
pub(crate) struct PeakReset {
    /// Nothing where that cannot be done.
    file: Option<File>,
}

impl PeakReset {
    pub(super) fn of(child: &Child) -> PeakReset {
        let path = format!("/proc/{}/clear_refs", child.id());
        PeakReset { file: OpenOptions::new().write(true).open(path).ok() }
    }

    /// Whether the peak is that of now.
    pub(super) fn reset(&mut self) -> bool {
        self.file.as_mut().is_some_and(|file| file.write_all(b"5").is_ok())
    }
}
