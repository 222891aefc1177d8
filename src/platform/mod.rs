//! The environment of this process: its launcher, its MPI library, Slurm.

pub(crate) mod allowed;
pub(crate) mod devices;
pub(crate) mod launcher;
#[cfg_attr(not(feature = "mpi"), allow(dead_code))]
pub(crate) mod mpi_flavour;
#[cfg(feature = "mpi")]
pub(crate) mod mpi_library;
pub(crate) mod slurm;
