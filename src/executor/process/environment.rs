//! The environment of a worker's child processes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::executor::Slot;
use crate::executor::process::resources;

/// Prefixes of the launcher's variables. A child that is itself an MPI program would take them for its own
/// and fail, or take the whole job down.
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

/// Exceptions: what users set to make MPI work on their machine, and mpirun does not set per rank.
const THE_USERS_OWN: [&str; 6] = [
    "OMPI_ALLOW_RUN_AS_ROOT",
    "OMPI_MCA_rmaps_base_oversubscribe",
    "OMPI_MCA_plm",
    "OMPI_MCA_btl",
    "OMPI_MCA_pml",
    "PRTE_MCA_rmaps_default_mapping_policy",
];

/// The environment of child processes: this process's, without the launcher's variables, plus what they may use of
/// their host.
pub(crate) fn of_children(place: Slot) -> Vec<(OsString, OsString)> {
    let of_launcher = |name: &OsString| {
        let starts_with = |prefixes: &[&str]| {
            prefixes.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
        };
        starts_with(&LAUNCHER) && !starts_with(&THE_USERS_OWN)
    };
    let mut variables: Vec<_> =
        std::env::vars_os().filter(|(name, _)| !of_launcher(name)).collect();
    resources::tell(&mut variables, place);
    let mut say = |name: &str, value: String| variables.push((name.into(), value.into()));
    say("GRIDMPI_RANK", place.rank.to_string());
    say("GRIDMPI_THREAD", place.thread.to_string());
    variables
}
