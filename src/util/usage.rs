//! Resource usage of this process.

use rustix::time::{ClockId, clock_gettime};

/// Total processor time of all threads, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Bytes.
#[cfg(feature = "jobs")]
pub(crate) const MIB: u64 = 1 << 20;

/// Peak resident memory, in bytes, if the system provides it.
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    of_status(&status("self")?, "VmHWM:")
}

/// The resident memory of a process now, and its peak, in bytes.
#[cfg(feature = "jobs")]
pub(crate) fn resident_bytes(process: &str) -> Option<(u64, u64)> {
    let status = status(process)?;
    Some((of_status(&status, "VmRSS:")?, of_status(&status, "VmHWM:")?))
}

fn status(process: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{process}/status")).ok()
}

fn of_status(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_and_memory() {
        let before = cpu_seconds();
        let all = std::hint::black_box(vec![1u64; 1 << 22]);
        assert_eq!(std::hint::black_box(&all).iter().sum::<u64>(), 1 << 22);
        assert!(cpu_seconds() > before);
        assert!(peak_rss_bytes().is_none_or(|bytes| bytes > 32 << 20));
    }
}
