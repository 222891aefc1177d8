//! The job's data model: values, the nest of loops, reductions, results.

pub(crate) mod batch;
pub(crate) mod choice;
pub(crate) mod divide;
#[cfg_attr(not(feature = "cli"), allow(dead_code))] // a study alone groups no errors
pub(crate) mod error_kind;
pub(crate) mod finals;
mod json_number;
pub(crate) mod key;
pub(crate) mod needs;
pub(crate) mod nest;
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) mod part;
pub(crate) mod policy;
pub(crate) mod reduce;
pub(crate) mod results;
pub(crate) mod run_output;
pub(crate) mod score;
pub(crate) mod share;
pub(crate) mod stop_rule;
pub(crate) mod stopping;
pub(crate) mod value;

// Other modules import these from `model`; files within it import from each other.
#[cfg_attr(not(feature = "cli"), allow(unused_imports))]
pub(crate) use self::error_kind::*;
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) use self::part::*;
pub(crate) use self::{
    batch::*, choice::*, divide::*, finals::*, key::*, needs::*, nest::*, policy::*, reduce::*,
    results::*, run_output::*, score::*, share::*, stop_rule::*, stopping::*, value::*,
};
