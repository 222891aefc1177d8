//! Python functions as crunch, as reductions and as the final function.

mod child;
pub(crate) mod crunch;
mod facts;
pub(crate) mod finals;
pub(crate) mod functions;
pub(crate) mod points;
mod protocol;
pub(crate) mod ready;
mod results_file;
pub(crate) mod setup;
