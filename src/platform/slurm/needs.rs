//! What to request of each node, where tasks need devices, cores or memory.

use crate::model::{DeviceUse, Needs};
use crate::platform::slurm::partition::{Partition, asks_for};

/// Options that ask for GPUs, or for memory, in words of the user's own.
const FOR_GPUS: [&str; 7] = [
    "--gres",
    "--gpus",
    "-G",
    "--gpus-per-node",
    "--gpus-per-task",
    "--gpus-per-socket",
    "--tres-per-task",
];
const FOR_MEMORY: [&str; 3] = ["--mem", "--mem-per-cpu", "--mem-per-gpu"];

/// The needs of several jobs that share one script: the largest of each kind.
pub(crate) fn of_all(needs: impl Iterator<Item = Needs>) -> Needs {
    needs.fold(Needs::default(), |one, other| Needs {
        gpus: one.gpus.into_iter().chain(other.gpus).reduce(f64::max),
        cores: one.cores.max(other.cores),
        memory: one.memory.max(other.memory),
    })
}

/// How many tasks each of the `ranks` of a node can run at a time, at least one.
pub(crate) fn threads_per_rank(needs: &Needs, ranks: u32, node: &Partition) -> u32 {
    let by_cores = node.cores.0 / needs.cores.unwrap_or(1).max(1);
    let by_gpus = match needs.device_use() {
        // The partition may not say what devices it has.
        _ if node.gpus_of_node() == 0 => by_cores,
        None => by_cores,
        Some(DeviceUse::Whole(each)) => node.gpus_of_node() / each.max(1),
        Some(DeviceUse::Shared(tasks)) => node.gpus_of_node() * tasks,
    };
    (by_cores.min(by_gpus) / ranks.max(1)).max(1)
}

/// The options for what `tasks` tasks at a time on each node need; what the user asks for in their own words stays.
pub(crate) fn options(needs: &Needs, tasks: u32, asked: &[String]) -> Vec<String> {
    let gpus = needs.device_use().map(|used| match used {
        DeviceUse::Whole(each) => u64::from(each) * u64::from(tasks),
        DeviceUse::Shared(most) => u64::from(tasks.div_ceil(most)),
    });
    let gpus =
        gpus.filter(|_| !asks_for(asked, &FOR_GPUS)).map(|gpus| format!("--gres=gpu:{gpus}"));
    let memory = needs.memory.filter(|_| !asks_for(asked, &FOR_MEMORY));
    let memory = memory.map(|bytes| {
        let mib = bytes.saturating_mul(tasks.into()).div_ceil(1 << 20);
        format!("--mem={mib}M")
    });
    gpus.into_iter().chain(memory).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_asked_for_what_its_tasks_need() {
        let needs = Needs { gpus: Some(0.5), cores: Some(4), memory: Some(8 << 30) };
        assert_eq!(options(&needs, 3, &[]), ["--gres=gpu:2", "--mem=24576M"]);
        let own = ["--gpus-per-node=a100:4".to_string(), "--mem 1G".to_string()];
        assert_eq!(options(&needs, 3, &own), [""; 0]);
        let two = Needs { gpus: Some(2.0), ..Needs::default() };
        assert_eq!(options(&two, 2, &["--gpus-x".to_string()]), ["--gres=gpu:4"]);
        let both = of_all([needs, two].into_iter());
        assert_eq!(both, Needs { gpus: Some(2.0), ..needs });
    }
}
