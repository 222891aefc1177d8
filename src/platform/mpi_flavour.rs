//! Tells which MPI library is linked or loaded, and how to launch programs with it: ranks started by the launcher of another
//! library do not find each other.

/// Families of MPI libraries with the same launchers, recognised by their version string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MpiFlavour {
    /// Open MPI, and its major version.
    OpenMpi(u32),
    /// MPICH, and its derivatives without launchers of their own.
    Mpich,
    Intel,
    Cray,
    Unknown,
}

impl MpiFlavour {
    /// The MPI library of this process.
    #[cfg(feature = "mpi")]
    pub(crate) fn own() -> MpiFlavour {
        MpiFlavour::of(&crate::wire::transport::mpi::library())
    }

    fn of(says: &str) -> MpiFlavour {
        if let Some(version) = says.split("Open MPI v").nth(1) {
            let major = version.split('.').next().and_then(|major| major.parse().ok());
            return MpiFlavour::OpenMpi(major.unwrap_or(4));
        }
        let says = says.to_ascii_uppercase();
        match says {
            _ if says.contains("CRAY") => MpiFlavour::Cray,
            _ if says.contains("INTEL") => MpiFlavour::Intel,
            _ if says.contains("MPICH") || says.contains("MVAPICH") => MpiFlavour::Mpich,
            _ => MpiFlavour::Unknown,
        }
    }

    /// The launcher for a batch script, with its options.
    pub(crate) fn in_slurm(self) -> &'static [&'static str] {
        match self {
            // mpirun survives the loss of a rank or a node; srun does not. Slurm has bound the job to its
            // cores already, and a rank with threads must not be bound to one core.
            MpiFlavour::OpenMpi(_) => &["mpirun", "--bind-to", "none"],
            MpiFlavour::Mpich => &["srun", "--mpi=pmi2"],
            MpiFlavour::Cray => &["srun"],
            MpiFlavour::Intel | MpiFlavour::Unknown => &["mpirun"],
        }
    }

    /// Commands that work with this MPI library, for an error message.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            MpiFlavour::OpenMpi(..=4) => {
                "gridmpi uses Open MPI: start it with `mpirun gridmpi ...`, in a Slurm job also with `srun --mpi=pmix gridmpi ...`"
            }
            MpiFlavour::OpenMpi(_) => {
                "gridmpi uses Open MPI 5 or later: start it with its `mpirun gridmpi ...`, in a Slurm job with `mpirun --bind-to none gridmpi ...`"
            }
            MpiFlavour::Mpich => {
                "gridmpi uses MPICH: start it with its `mpiexec gridmpi ...`, in a Slurm job also with `srun --mpi=pmi2 gridmpi ...`"
            }
            MpiFlavour::Intel => {
                "gridmpi uses Intel MPI: start it with its `mpirun gridmpi ...`, or in a Slurm job with `srun --mpi=pmi2 gridmpi ...` and I_MPI_PMI_LIBRARY set"
            }
            MpiFlavour::Cray => {
                "gridmpi uses Cray MPICH: start it in a Slurm job with `srun gridmpi ...`"
            }
            MpiFlavour::Unknown => {
                "start it with the mpirun of the MPI that gridmpi uses (`gridmpi doctor` names it)"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_told_apart_by_what_they_say() {
        for (says, kind) in [
            ("Open MPI v4.1.4, package: Debian OpenMPI", MpiFlavour::OpenMpi(4)),
            ("Open MPI v5.0.11, package: Open MPI", MpiFlavour::OpenMpi(5)),
            ("MPICH Version:\t4.0.2\nMPICH Release date:", MpiFlavour::Mpich),
            ("MVAPICH2 Version      :\t2.3.7", MpiFlavour::Mpich),
            ("Intel(R) MPI Library 2021.11 for Linux* OS", MpiFlavour::Intel),
            ("MPI VERSION    : CRAY MPICH version 8.1.28.15", MpiFlavour::Cray),
            ("", MpiFlavour::Unknown),
        ] {
            assert_eq!(MpiFlavour::of(says), kind, "{says}");
        }
    }
}
