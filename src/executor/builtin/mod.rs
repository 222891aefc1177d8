//! Functions that come with gridmpi, by name.

pub(crate) mod multiply;
pub(crate) mod ridge;
