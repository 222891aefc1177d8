//! Detects the launcher of this process. Its environment variables give the number of processes before MPI
//! is initialised; if MPI disagrees, the launcher does not fit the MPI library.

#[cfg(feature = "mpi")]
use crate::platform::mpi_flavour::MpiFlavour;
use crate::util::error::Error;
#[cfg(feature = "mpi")]
use crate::wire::transport::mpi::Interface;

/// What the launcher's variables say about this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LaunchInfo {
    /// How many processes it started (or may start), if it says so.
    pub(crate) size: Option<usize>,
    /// The rank of this process.
    pub(crate) rank: usize,
    /// How many of the processes are on this host, if it says so.
    pub(crate) on_host: usize,
    /// The variable with the number or the rank.
    pub(crate) variable: &'static str,
    /// Whether there is a variable by which MPI can find the other processes.
    pub(crate) means: bool,
}

/// The variables for size, rank and processes on this host, the innermost launcher first: inside a Slurm
/// allocation, mpirun's own variables count.
const VARIABLES: [(&str, &str, &str); 4] = [
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS"),
    (SLURM_STEP, "SLURM_PROCID", "SLURM_STEP_TASKS_PER_NODE"),
    (SLURM_ALLOCATION, "SLURM_PROCID", "SLURM_TASKS_PER_NODE"),
];

/// The rank among those on this host, the innermost launcher first.
#[cfg(feature = "mpi")]
const LOCAL_RANKS: [&str; 3] = ["OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"];

const SLURM_STEP: &str = "SLURM_STEP_NUM_TASKS";
const SLURM_ALLOCATION: &str = "SLURM_NTASKS";

/// Variables that srun sets for MPI: of PMIx, of PMI 1 or 2, of Cray.
const MEANS: [&str; 5] = ["PMIX_RANK", "PMI_RANK", "PMI_FD", "PMI2_DEBUG", "PALS_RANKID"];

/// The only variable that a PMIx launcher such as prterun sets: the rank, without a size.
const PMIX_RANK: &str = "PMIX_RANK";

impl LaunchInfo {
    /// Reads the environment; nothing if no launcher started this process.
    pub(crate) fn detect() -> Option<LaunchInfo> {
        LaunchInfo::from(|name| std::env::var(name).ok())
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Option<LaunchInfo> {
        // Slurm writes the tasks of several nodes as "4(x2)"; the first number is this node's.
        let number = |name: &str| {
            let text = variable(name)?;
            let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse::<usize>().ok()
        };
        let means = MEANS.iter().any(|name| variable(name).is_some());
        let with_size = VARIABLES.into_iter().find_map(|(size, rank, on_host)| {
            Some(LaunchInfo {
                size: Some(number(size)?),
                rank: number(rank).unwrap_or(0),
                on_host: number(on_host).unwrap_or(1).max(1),
                variable: size,
                means,
            })
        });
        with_size.or_else(|| {
            let rank = number(PMIX_RANK)?;
            Some(LaunchInfo { size: None, rank, on_host: 1, variable: PMIX_RANK, means })
        })
    }

    /// Whether no other process of the launcher on this host has a lower rank.
    #[cfg(feature = "mpi")]
    pub(crate) fn is_first_on_host(&self) -> bool {
        LOCAL_RANKS.iter().find_map(|name| std::env::var(name).ok()).is_some_and(|rank| rank == "0")
    }

    /// The MPIs that this launcher starts, the likeliest first, if its variables say so.
    #[cfg(feature = "mpi")]
    pub(crate) fn interfaces(&self) -> Option<Vec<Interface>> {
        match self.variable {
            "OMPI_COMM_WORLD_SIZE" => Some(vec![Interface::OpenMpi]),
            // Open MPI speaks PMIx, and MPICH seldom.
            _ if std::env::var_os(PMIX_RANK).is_some() => {
                Some(vec![Interface::OpenMpi, Interface::Mpich])
            }
            // Slurm speaks PMI too, and some sites build Open MPI with it.
            "PMI_SIZE" if std::env::var_os(SLURM_STEP).is_some() => {
                Some(vec![Interface::Mpich, Interface::OpenMpi])
            }
            "PMI_SIZE" => Some(vec![Interface::Mpich]),
            _ if self.means => Some(vec![Interface::Mpich, Interface::OpenMpi]),
            _ => None,
        }
    }

    /// Whether only MPI knows if there are other processes. Rank 0 may then run alone if MPI knows of
    /// none, because every other rank refuses to.
    pub(crate) fn may_be_alone(&self) -> bool {
        self.size.is_none() && self.rank == 0
    }

    pub(crate) fn says(&self) -> String {
        match self.size {
            Some(size) => format!("{} says {size} processes", self.variable),
            None => format!("{} says this is process {} of several", self.variable, self.rank),
        }
    }

    /// Whether this may be the only process of a batch script, in an allocation of more tasks.
    pub(crate) fn is_batch_script(&self) -> bool {
        self.variable == SLURM_ALLOCATION
    }

    /// The way out of an error for a batch script.
    #[cfg(feature = "mpi")]
    pub(crate) fn or_alone(&self) -> &'static str {
        match self.is_batch_script() {
            true => "; or give --threads N to use this node alone",
            false => "",
        }
    }

    /// The error for several processes in a build without MPI; a library may be built so.
    #[cfg(not(feature = "mpi"))]
    pub(crate) fn without_mpi(&self) -> Error {
        let says = self.says();
        Error::input(format!(
            "{says}, but this gridmpi was built without MPI: build it with the feature `mpi`, or start it without a launcher"
        ))
    }

    /// The error if the launcher started several processes and MPI knows of one.
    #[cfg(feature = "mpi")]
    pub(crate) fn mismatch(&self) -> Error {
        let says = self.says();
        let alone = self.or_alone();
        let advice = MpiFlavour::own().advice();
        Error::input(format!(
            "{says}, but MPI says this one is alone: each would run the whole job; {advice}{alone}"
        ))
    }

    /// Whether Slurm has started several processes without anything by which MPI could find the others:
    /// MPI may then end the process during initialisation, without a message of ours.
    #[cfg(feature = "mpi")]
    pub(crate) fn is_bare_step(&self) -> bool {
        let needs = matches!(MpiFlavour::own(), MpiFlavour::OpenMpi(_) | MpiFlavour::Mpich);
        self.variable == SLURM_STEP && self.size != Some(1) && !self.means && needs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launched(variables: &[(&str, &str)]) -> Option<LaunchInfo> {
        LaunchInfo::from(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn the_innermost_launcher_speaks() {
        assert_eq!(launched(&[("HOME", "/root")]), None);
        let batch = [("SLURM_NTASKS", "9"), ("SLURM_PROCID", "0")];
        let script = launched(&batch).unwrap();
        assert!(script.is_batch_script() && script.size == Some(9));
        let step = launched(
            &[&batch[..], &[("SLURM_STEP_NUM_TASKS", "4"), ("SLURM_STEP_TASKS_PER_NODE", "2(x2)")]]
                .concat(),
        );
        assert_eq!(step.map(|l| (l.size, l.on_host)), Some((Some(4), 2)));
        let one = launched(&[&batch[..], &[("OMPI_COMM_WORLD_SIZE", "1")]].concat()).unwrap();
        assert_eq!((one.size, one.rank, one.on_host), (Some(1), 0, 1));
        let pmix = launched(&[("PMIX_RANK", "1")]).unwrap();
        assert!(pmix.size.is_none() && !pmix.may_be_alone());
    }
}
