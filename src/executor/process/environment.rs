//! The environment of a worker's child processes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::executor::Slot;
use crate::executor::process::resources;
use crate::job::ChildEnvironment;

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

/// Exceptions: what a batch job's own program needs, and what does not say that it is a rank.
const OF_THE_BATCH_JOB: [&str; 11] = [
    "SLURM_CONF",          // where the programs of Slurm find their cluster
    "SLURM_TMPDIR",        // the job's own folder on this host's disk
    "SLURM_JOB_ID", // sites name folders and licences by it; Open MPI and PRRTE look for SLURM_JOBID, which goes
    "SLURM_JOB_NAME", // names what a program writes
    "SLURM_JOB_ACCOUNT", // who pays, for what a program submits itself
    "SLURM_JOB_PARTITION", // where it would submit that
    "SLURM_CLUSTER_NAME", // which machine it is on, for settings of a site's programs
    "SLURM_SUBMIT_DIR", // the folder from which paths in batch scripts count
    "SLURM_SUBMIT_HOST", // the host that has it
    "SLURM_ARRAY_JOB_ID", // tells jobs of an array apart where they write
    "SLURM_ARRAY_TASK_ID",
];

/// What is said of each call anew. A gridmpi that is itself a program of a gridmpi has those of its own task.
const OF_A_CALL: [&str; 13] = [
    "GRIDMPI_TASK",
    "GRIDMPI_ID",
    "GRIDMPI_SEED",
    "GRIDMPI_ATTEMPT",
    "GRIDMPI_POINT",
    "GRIDMPI_POINT_FILE",
    "GRIDMPI_RESULT",
    "GRIDMPI_SUMMARY",
    "GRIDMPI_FOLDER",
    "GRIDMPI_WORKDIR",
    "GRIDMPI_REQUESTS",
    "GRIDMPI_ANSWERS",
    "GRIDMPI_CARRIED",
];
const OF_A_LOOP: &str = "GRIDMPI_LOOP_";

/// The environment of child processes: this process's, without the launcher's variables, plus what they may use of
/// their host. What the job keeps stays.
pub(crate) fn of_children(place: Slot, job: &ChildEnvironment) -> Vec<(OsString, OsString)> {
    let goes = |name: &OsString| {
        let starts_with = |prefixes: &[&str]| {
            prefixes.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
        };
        let is = |names: &[&str]| names.iter().any(|own| name.as_os_str() == *own);
        let is_kept = || name.to_str().is_some_and(|name| job.keeps(name));
        is(&OF_A_CALL)
            || starts_with(&[OF_A_LOOP])
            || starts_with(&LAUNCHER)
                && !starts_with(&THE_USERS_OWN)
                && !is(&OF_THE_BATCH_JOB)
                && !is_kept()
    };
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| !goes(name)).collect();
    resources::tell(&mut variables, place);
    let mut say = |name: &str, value: String| variables.push((name.into(), value.into()));
    say("GRIDMPI_RANK", place.rank.to_string());
    say("GRIDMPI_THREAD", place.thread.to_string());
    variables
}
