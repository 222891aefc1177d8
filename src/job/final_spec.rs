//! The function that is called once for each row when the best is known, and what it is given.
//!
//! It knows the loops of the row and those whose point has won. A loop whose runs were folded into a mean, say, has no
//! point in a row, so it does not exist for the function.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::{CommandWords, Job, ShellLine, WatchedFile};
use crate::model::{FileFunction, Key, Value, Winner};

/// The folder in a results folder that has the folders of products.
pub(crate) const FINAL_FOLDER: &str = "final";

/// The function of `[final]`, and how it is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FinalSpec {
    pub(crate) function: FinalFunction,
    /// How often a failed call is tried again.
    pub(crate) retries: u32,
    /// Time limit per call of what runs in a process of its own.
    pub(crate) timeout: Option<Duration>,
    /// Patterns of files that it reads, besides those that are found.
    pub(crate) inputs: Vec<String>,
    /// The files that it consists of, as they were at the start; found on rank 0.
    pub(crate) files: Vec<WatchedFile>,
    /// Where the folders of products are: an absolute path, set on rank 0 at the start.
    pub(crate) folder: PathBuf,
}

/// What is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum FinalFunction {
    Python(FileFunction),
    /// A program and its arguments, with placeholders.
    Command(CommandWords),
    /// A command line for a shell, with placeholders.
    Shell(ShellLine),
    /// A worker in any language, without placeholders among its words.
    Serve(CommandWords),
    /// A function in an R file.
    R(FileFunction),
    /// The user's Rust.
    Native,
}

impl FinalSpec {
    pub(crate) fn new(function: FinalFunction) -> FinalSpec {
        let (inputs, files, folder) = (Vec::new(), Vec::new(), PathBuf::new());
        FinalSpec { function, retries: 0, timeout: None, inputs, files, folder }
    }
}

impl Job {
    /// How many of the outermost loops a final call gets points of.
    pub(crate) fn final_levels(&self) -> usize {
        self.nest.outer() + self.nest.decided(self.nest.outer())
    }

    /// The points that a final call gets, by level.
    pub(crate) fn final_points(&self, row: Key, best: &[Winner]) -> Vec<u64> {
        let mut points = self.nest.points_with_winners(row, best);
        points.truncate(self.final_levels());
        points
    }

    /// The same by the names of their loops, with their values.
    pub(crate) fn named_points(&self, points: &[u64]) -> Vec<(&str, Value)> {
        let named = self.nest.loops().iter().zip(points);
        named.map(|(l, point)| (l.name.as_str(), l.points.get(*point))).collect()
    }

    /// The seed of a row's final call.
    pub(crate) fn row_seed(&self, row: Key) -> u32 {
        self.seeding.seed_of(self.policy.seed, &self.nest, row)
    }
}

/// A summary as a record: what is no record is its score.
pub(crate) fn summary_record(value: &Value) -> Value {
    match value {
        record @ Value::Record(_) => record.clone(),
        other => Value::Record(vec![("score".to_string(), other.clone())]),
    }
}
