//! What a child process of a worker finds in its environment, and how it ended, in words.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::Place;
use crate::error::Exit;
use crate::{signals, slurm};

/// How long after a child this process may be signalled. mpirun kills a second after its first signal.
const OUR_TURN: Duration = Duration::from_millis(250);

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

/// How a process ended, in words. Whoever ends a whole job, as Slurm does, may signal its processes one
/// by one, children first: after an end that looks like that, this waits for our own signal, so that
/// rank 0 hears of that before it hears of a failure.
pub(crate) fn describe(status: ExitStatus) -> String {
    let begin = Instant::now();
    while may_be_of_the_jobs_end(status) && signals::asked().is_none() && begin.elapsed() < OUR_TURN
    {
        std::thread::sleep(OUR_TURN / 50);
    }
    match status.signal() {
        Some(9) => format!("{status}; if you did not kill it, the machine ran out of memory"),
        _ => status.to_string(),
    }
}

/// Whether a process ended by a signal that asks for an end, as a shell says of what it ran, or as
/// gridmpi itself does.
fn may_be_of_the_jobs_end(status: ExitStatus) -> bool {
    let code = status.code().unwrap_or(0);
    let asks = |signal: i32| [1, 2, 12, 15].contains(&signal); // HUP, INT, USR2, TERM
    asks(status.signal().unwrap_or(code - 128)) || code == Exit::Interrupted as i32
}

/// What a worker's children find: what this process has, less the launcher's variables, and how many cores
/// and how much memory (in MiB) there is for them.
pub(crate) fn of_children(place: Place) -> Vec<(OsString, OsString)> {
    let of_launcher = |name: &OsString| {
        let starts_with = |prefixes: &[&str]| {
            prefixes.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
        };
        starts_with(&LAUNCHER) && !starts_with(&THE_USERS_OWN)
    };
    let mut variables: Vec<_> =
        std::env::vars_os().filter(|(name, _)| !of_launcher(name)).collect();
    let mut say = |name: &str, value: String| variables.push((name.into(), value.into()));
    if std::env::var_os("OMP_NUM_THREADS").is_none() {
        say("OMP_NUM_THREADS", place.cores.to_string());
    }
    if let Some(memory) = slurm::memory(place.cores) {
        say("GRIDMPI_MEMORY", memory.to_string());
    }
    say("GRIDMPI_RANK", place.rank.to_string());
    say("GRIDMPI_THREAD", place.thread.to_string());
    variables
}
