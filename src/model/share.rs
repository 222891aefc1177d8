//! What a worker sees of its host's devices, cores and memory, and the share of them that it is given.

use serde::{Deserialize, Serialize};

/// A device as a worker sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Device {
    /// What it is known by to all processes of its host: its UUID, else its index.
    pub(crate) id: String,
    /// What a child process is told, in the vendor's variable.
    pub(crate) name: String,
}

/// The variables in which a launcher, a batch system or the user names devices.
pub(crate) const CUDA: &str = "CUDA_VISIBLE_DEVICES";
pub(crate) const ROCR: &str = "ROCR_VISIBLE_DEVICES";
pub(crate) const HIP: &str = "HIP_VISIBLE_DEVICES";
pub(crate) const LEVEL_ZERO: &str = "ZE_AFFINITY_MASK";

/// In what numbering CUDA counts devices.
pub(crate) const CUDA_ORDER: &str = "CUDA_DEVICE_ORDER";

/// Slurm sets this one too, for OpenCL on AMD's devices.
pub(crate) const ORDINAL: &str = "GPU_DEVICE_ORDINAL";

/// Whose devices they are, which decides the variable that children get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Vendor {
    #[default]
    Nvidia,
    Amd,
    Intel,
}

/// What a worker sees of its host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeenResources {
    pub(crate) devices: Vec<Device>,
    pub(crate) vendor: Vendor,
    /// Where the devices are known from, or why there are none.
    pub(crate) source: String,
    /// The CPUs that it may use.
    pub(crate) cpus: Vec<u32>,
    /// Whether these are for this job alone, so that a rank may be held to some of them.
    pub(crate) owns_cpus: bool,
    /// What the job may use of the host's memory, in bytes, if that is known.
    pub(crate) memory: Option<u64>,
}

/// The share of one task at a time, by places in the lists that the worker has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskShare {
    /// Places in [`SeenResources::devices`].
    pub(crate) devices: Vec<u32>,
    /// The numbers of CPUs, if the job says how many a task needs.
    pub(crate) cpus: Vec<u32>,
}

/// The share of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostShare {
    /// One entry per task that it runs at a time; it stays idle without any.
    pub(crate) tasks: Vec<TaskShare>,
    /// How many cores each of them may use.
    pub(crate) cores: u32,
}
