//! How the nest is parallelised: flattened, or by conventional nested parallelism for comparison.
//! "Outer" is the outermost loop; "inner" are all loops inside it.

use std::fmt;

/// How the nest is parallelised. The results do not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// All loops are one stream of tasks; any free worker takes the next task.
    #[default]
    Flattened,
    /// One worker runs all tasks in sequence.
    Serial,
    /// Each worker takes a whole point of the outer loop.
    Outer,
    /// All workers share the inner loops of one point of the outer loop, with a barrier after each point.
    Inner,
    /// Some workers each hold a point of the outer loop and only wait; the others run the inner loops.
    Split {
        /// Number of workers that hold a point.
        outer: u64,
        /// Number of workers that crunch.
        inner: u64,
    },
}

impl Strategy {
    /// The least number of workers.
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
