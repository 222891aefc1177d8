//! The machine of this process.

/// The host's name.
pub(crate) fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// Number of cores available to this process.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
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
