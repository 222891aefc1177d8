//! Python functions as crunch, as reductions and as the final function.

mod child;
pub(crate) mod crunch;
pub(crate) mod finals;
pub(crate) mod functions;
pub(crate) mod points;
mod protocol;
pub(crate) mod ready;
pub(crate) mod reducer;
mod results_file;
