//! The machine of this process.

/// The host's name.
pub(crate) fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// Number of cores available to this process.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The Slurm job that this process belongs to, as Slurm's commands take it: `12`, or `12_3` in an array.
pub(crate) fn slurm_job() -> Option<String> {
    slurm_job_by(|name| std::env::var(name).ok())
}

/// The same, by these variables. SLURM_JOB_ID does not do in an array: that of one element is the id of the
/// array, by which Slurm's commands mean all elements.
pub(crate) fn slurm_job_by(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let array = variable("SLURM_ARRAY_JOB_ID").zip(variable("SLURM_ARRAY_TASK_ID"));
    let element = array.map(|(array, task)| format!("{array}_{task}"));
    variable("SLURM_JOB_ID").map(|job| element.unwrap_or(job))
}

/// Warns of a rank whose threads have to take turns on fewer cores. One thread always has its core.
pub(crate) fn warn_if_crowded(rank: usize, host: &str, threads: u32, cores: u32) {
    if threads > 1 && threads > cores {
        let plural = if cores == 1 { "" } else { "s" };
        log::warn!(
            "rank {rank} on {host} has {threads} threads and may use {cores} core{plural}, so that they take turns; Open MPI binds ranks to cores unless mpirun gets --bind-to none, as gridmpi launch tells it; otherwise use fewer --threads"
        );
    }
}
