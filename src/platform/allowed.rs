//! What the job may use of this host: the CPUs of this process, and the memory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::platform::slurm;
use crate::util::machine;

/// The CPUs that this process may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AllowedCpus {
    pub(crate) cpus: Vec<u32>,
    /// Whether they are for this job alone: the batch system or whoever started it has left it these of more, or it
    /// has the whole node.
    pub(crate) are_own: bool,
}

pub(crate) fn cpus() -> AllowedCpus {
    let (allowed, online) = (allowed_cpus(), online_cpus());
    let of_node = slurm::cores_on_node();
    // A limit on processor time may be lower.
    let most = of_node.unwrap_or_else(machine::cores).max(1);
    let are_own = allowed.len() <= most && (allowed.len() < online || of_node.is_some());
    AllowedCpus { cpus: allowed.into_iter().take(most).collect(), are_own }
}

/// Those that the system would run this thread on.
#[cfg(target_os = "linux")]
fn allowed_cpus() -> Vec<u32> {
    use rustix::thread::{CpuSet, sched_getaffinity};

    let set = sched_getaffinity(None);
    let of = |set: &CpuSet| (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect::<Vec<_>>();
    match set.as_ref().map(of) {
        Ok(cpus) if !cpus.is_empty() => cpus.into_iter().map(|cpu| cpu as u32).collect(),
        _ => (0..machine::cores() as u32).collect(),
    }
}

#[cfg(not(target_os = "linux"))]
fn allowed_cpus() -> Vec<u32> {
    (0..machine::cores() as u32).collect()
}

/// Holds this thread, and the processes and threads that it starts, to these CPUs. One that may use no others is left
/// as it is.
pub(crate) fn hold_to(cpus: &[u32]) {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_setaffinity};

        let own: BTreeSet<u32> = cpus.iter().copied().collect();
        let may_use = allowed_cpus();
        if own.is_empty() || may_use.iter().all(|cpu| own.contains(cpu)) {
            return;
        }
        let mut set = CpuSet::new();
        own.iter().filter(|cpu| may_use.contains(cpu)).for_each(|cpu| set.set(*cpu as usize));
        if let Err(error) = sched_setaffinity(None, &set) {
            log::debug!("this thread cannot be held to the CPUs {own:?}: {error}");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = cpus;
}

/// How many cores a rank may use that has so many ranks on its host, itself included: its part of those that its
/// launcher has, but no more than the launcher has bound it to.
#[cfg_attr(not(feature = "mpi"), allow(dead_code))]
pub(crate) fn cores_of_rank(on_host: usize) -> usize {
    let launcher = std::os::unix::process::parent_id();
    let status = std::fs::read_to_string(format!("/proc/{launcher}/status")).unwrap_or_default();
    part_of_rank(on_host, (machine::cores(), allowed_cpus().len()), cpus_of_process(&status))
}

/// The same by what the system says: of this process, the cores that it has time for and may use; of its launcher.
fn part_of_rank(on_host: usize, (cores, allowed): (usize, usize), launcher: usize) -> usize {
    // A limit on processor time holds for all ranks together.
    let all = if cores < allowed { cores } else { launcher.max(cores) };
    (all / on_host.max(1)).clamp(1, cores.max(1))
}

fn cpus_of_process(status: &str) -> usize {
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.map_or(0, |list| cpu_list(list.trim()))
}

/// Number of CPUs that the host has.
pub(crate) fn online_cpus() -> usize {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let listed = cpu_list(text.trim());
    if listed == 0 { machine::cores() } else { listed }
}

/// How many a list such as `0-3,8` has.
fn cpu_list(text: &str) -> usize {
    let count = |word: &str| {
        let (from, to) = word.split_once('-').unwrap_or((word, word));
        let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
        Some((to + 1).saturating_sub(from))
    };
    text.split(',').filter_map(count).sum()
}

/// The memory that the job may use on this host, in bytes.
pub(crate) fn memory() -> Option<u64> {
    let total = std::fs::read_to_string("/proc/meminfo").ok();
    let total = total.and_then(|text| total_memory(&text));
    let of_groups = std::fs::read_to_string("/proc/self/cgroup").ok();
    let of_groups = of_groups.and_then(|text| limit_of_groups(&text, Path::new("/sys/fs/cgroup")));
    [total, of_groups, slurm::memory_on_node()].into_iter().flatten().min()
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// The lowest limit of the control groups that this process is in, and of those around them.
fn limit_of_groups(groups: &str, root: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        // The second version has one hierarchy for all controllers.
        let (mount, file) = match controllers {
            "" => (root.to_path_buf(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let folder = mount.join(path.trim_start_matches('/'));
        let read = |folder: &Path| {
            let text = std::fs::read_to_string(folder.join(file)).ok()?;
            text.trim().parse::<u64>().ok()
        };
        let around: Vec<PathBuf> = folder.ancestors().map(Path::to_path_buf).collect();
        around
            .iter()
            .take_while(|folder| folder.starts_with(&mount))
            .filter_map(|at| read(at))
            .min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_limited_by_groups() {
        assert_eq!(total_memory("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let file = root.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        write("slurm/job_1/step_0/memory.max", "max\n");
        write("slurm/job_1/memory.max", "1000\n");
        write("slurm/memory.max", "5000\n");
        assert_eq!(limit_of_groups("0::/slurm/job_1/step_0\n", root.path()), Some(1000));
        assert_eq!(limit_of_groups("0::/elsewhere\n", root.path()), None);
        write("memory/a/memory.limit_in_bytes", "77\n");
        assert_eq!(limit_of_groups("3:cpu:/x\n4:memory:/a\n", root.path()), Some(77));
    }

    #[test]
    fn a_rank_has_its_part_or_what_it_is_bound_to() {
        assert_eq!(part_of_rank(4, (16, 16), 16), 4, "none is bound");
        assert_eq!(part_of_rank(4, (4, 4), 16), 4, "each is bound to four");
        assert_eq!(part_of_rank(8, (8, 8), 16), 2, "four share each of two sockets");
        assert_eq!(part_of_rank(4, (4, 4), 4), 1, "the launcher itself has four");
        assert_eq!(part_of_rank(4, (4, 64), 64), 1, "all together have time for four");
        assert_eq!(part_of_rank(9, (2, 2), 2), 1);
        assert_eq!(cpus_of_process("Name:\tx\nCpus_allowed_list:\t0-3,8\n"), 5);
    }

    #[test]
    fn lists_of_cpus_are_counted() {
        assert_eq!((cpu_list("0-3,8"), cpu_list("0"), cpu_list("")), (5, 1, 0));
        let here = cpus();
        assert!(!here.cpus.is_empty() && here.cpus.len() <= online_cpus());
    }
}
