//! The key of a task or group in the nest.

use serde::{Deserialize, Serialize};

/// A position in the nest: the first `level` coordinates, packed into `index`.
///
/// A key as deep as the nest is a task; a shallower one is the group of all tasks below it; level 0 is
/// the whole job. Only a [`LoopNest`](super::LoopNest) can interpret a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    /// Number of fixed coordinates, outermost first.
    pub(crate) level: usize,
    /// The coordinates as one number, in grid order.
    pub(crate) index: u64,
}

impl Key {
    /// The whole job.
    pub(crate) const ROOT: Key = Key { level: 0, index: 0 };
}
