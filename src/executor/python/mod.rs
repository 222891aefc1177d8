//! Python functions as crunch and as reductions.

pub(crate) mod child;
pub(crate) mod crunch;
