//! Child processes of a worker: started, watched, and ended with all their descendants.

pub(crate) mod child;
pub(crate) mod ended;
pub(crate) mod environment;
pub(crate) mod tail;
