//! Where this process runs: the launcher that started it, the MPI it was built with, Slurm.

pub(crate) mod launcher;
#[cfg_attr(not(feature = "mpi"), allow(dead_code))]
pub(crate) mod mpi_flavour;
pub(crate) mod slurm;
