//! Child processes of a worker: started, watched, ended with everything that they started.

pub(crate) mod child;
pub(crate) mod ended;
pub(crate) mod environment;
pub(crate) mod tail;
