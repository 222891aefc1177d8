//! Child processes of a worker: started, watched, and ended with all their descendants.

#[cfg(feature = "jobs")]
pub(crate) mod attempt;
pub(crate) mod child;
pub(crate) mod ended;
pub(crate) mod environment;
#[cfg(feature = "jobs")]
pub(crate) mod marks;
#[cfg(feature = "jobs")]
mod orphans;
#[cfg(feature = "jobs")]
pub(crate) mod output;
#[cfg(feature = "jobs")]
pub(crate) mod peak_memory;
mod resources;
#[cfg(feature = "jobs")]
pub(crate) mod start_error;
pub(crate) mod tail;
