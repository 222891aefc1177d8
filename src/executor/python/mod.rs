//! Python functions as crunch and as reductions.

mod child;
pub(crate) mod crunch;
pub(crate) mod functions;
pub(crate) mod points;
mod protocol;
pub(crate) mod ready;
pub(crate) mod reducer;
mod results_file;
