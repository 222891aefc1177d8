//! How the nest is made parallel: flattened, or as nested loops are elsewhere, so that the two can be
//! compared. "Outer" is the outermost loop; "inner" are all loops inside it.

use std::fmt;

/// How the nest is made parallel. The results do not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// All loops are one stream of tasks, and any free worker takes the next one.
    #[default]
    Flattened,
    /// One worker does one task after another.
    Serial,
    /// Each worker takes a whole point of the outer loop and does it alone.
    Outer,
    /// All workers do the inner loops of one point of the outer loop, and wait until it is done.
    Inner,
    /// Some workers hold a point of the outer loop each and only wait; the others do their inner loops.
    Split {
        /// How many hold a point.
        outer: u64,
        /// How many crunch.
        inner: u64,
    },
}

impl Strategy {
    /// How many workers it takes at least.
    pub(crate) fn needs(self) -> u64 {
        match self {
            Strategy::Split { outer, inner } => outer.saturating_add(inner),
            _ => 1,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strategy::Flattened => out.write_str("flattened"),
            Strategy::Serial => out.write_str("serial"),
            Strategy::Outer => out.write_str("outer"),
            Strategy::Inner => out.write_str("inner"),
            Strategy::Split { outer, inner } => write!(out, "split:{outer}+{inner}"),
        }
    }
}
