//! What a child process of a worker finds in its environment.

use std::process::{Command, ExitStatus};

use super::Place;
use crate::slurm;

/// The launcher's variables: a child that is itself an MPI program takes them for its own and
/// fails, or takes the whole job down.
const LAUNCHER: [&str; 13] = [
    "OMPI_",
    "PMIX_",
    "PMIXP_",
    "PMI_",
    "PRTE_",
    "ORTE_",
    "HYDI_",
    "HYDRA_",
    "MPI_LOCAL",
    "MPIEXEC_",
    "SLURM_",
    "SLURMD_",
    "GFORTRAN_UNBUFFERED",
];

/// Of those, what users set to make their MPI work at all on their machine, and what mpirun would
/// not set for one rank.
const THE_USERS_OWN: [&str; 6] = [
    "OMPI_ALLOW_RUN_AS_ROOT",
    "OMPI_MCA_rmaps_base_oversubscribe",
    "OMPI_MCA_plm",
    "OMPI_MCA_btl",
    "OMPI_MCA_pml",
    "PRTE_MCA_rmaps_default_mapping_policy",
];

/// How a process ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(9) => format!("{status}; if you did not kill it, the machine ran out of memory"),
        _ => status.to_string(),
    }
}

/// Takes the launcher's variables out and tells how many cores and how much memory (in MiB) the child
/// has.
pub(crate) fn prepare(command: &mut Command, place: Place) {
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let of_launcher = LAUNCHER.iter().any(|prefix| text.starts_with(prefix));
        if of_launcher && !THE_USERS_OWN.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    if std::env::var_os("OMP_NUM_THREADS").is_none() {
        command.env("OMP_NUM_THREADS", place.cores.to_string());
    }
    if let Some(memory) = slurm::memory(place.cores) {
        command.env("GRIDMPI_MEMORY", memory.to_string());
    }
    command.env("GRIDMPI_RANK", place.rank.to_string());
    command.env("GRIDMPI_THREAD", place.thread.to_string());
}
