//! R functions as crunch, as reductions and as the final function: the child is a worker that ships with gridmpi.

pub(crate) mod setup;
pub(crate) mod start;
