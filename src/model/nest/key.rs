//! A place in the nest.

use serde::{Deserialize, Serialize};

/// A place in the nest: the first `level` coordinates, packed into `index`.
///
/// A key as deep as the nest is a task; a shallower one is the group of everything below it;
/// level 0 is the whole job. What a key means only its [`LoopNest`](super::LoopNest) knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    /// How many coordinates are fixed, outermost first.
    pub(crate) level: usize,
    /// Those coordinates as one number, in grid order.
    pub(crate) index: u64,
}

impl Key {
    /// The whole job.
    pub(crate) const ROOT: Key = Key { level: 0, index: 0 };
}
