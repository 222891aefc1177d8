//! What a job is made of, whoever computes it: values, the nest of loops, folds, results.

pub(crate) mod batch;
pub(crate) mod nest;
pub(crate) mod policy;
pub(crate) mod reduce;
pub(crate) mod results;
pub(crate) mod value;

// The other rooms know these by the room's name; within it each file names the file it needs.
pub(crate) use self::{batch::*, nest::*, policy::*, reduce::*, results::*, value::*};
