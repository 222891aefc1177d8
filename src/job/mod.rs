//! A job: all that is to be computed. A job file is parsed and validated here, once, on rank 0;
//! workers get the result.

mod keys;
mod parse;
pub(crate) mod placeholders;
mod points;
mod sources;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::grid::{Grid, Key};
use crate::master::Require;
use crate::message::Winner;
use crate::reduce::{PythonFunction, Reduce};
use crate::value::{Value, json_object};
pub use points::{Distribution, Named, Points};

/// All that is to be computed: the nest of loops around one expensive function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Names the results folder.
    pub name: String,
    /// What every task's own seed derives from.
    pub seed: u64,
    /// The folder that relative paths are relative to: the job file's.
    pub folder: PathBuf,
    /// The loops, outermost first.
    pub loops: Vec<Loop>,
    /// The expensive function.
    pub crunch: Crunch,
    /// The field of a crunched record that is its score.
    pub score: String,
    /// How many of a group's points must have a result.
    pub require: Require,
    /// Where the job file says what; stays on rank 0.
    #[serde(skip)]
    pub places: Places,
}

/// Where a job file says what, for errors found after it was parsed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    file: String,
    /// Keys such as `crunch.python` or `loop.alpha`, and their lines.
    lines: Vec<(String, usize)>,
}

/// One level of the nest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loop {
    /// The loop's name, unique in the job.
    pub name: String,
    /// The values it takes.
    pub points: Points,
    /// How its points fold into one value for the loop around it.
    pub reduce: Option<Reduce>,
}

/// The expensive function, and how to call it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Crunch {
    /// The product of the task's numbers.
    Multiply {
        /// How long to sleep first, in seconds.
        sleep: f64,
    },
    /// Ridge regression, scored on the held-out fold.
    Ridge {
        /// The column to predict; the last one if none is named.
        target: Option<String>,
        /// Whether to scale each feature to unit variance on the training rows.
        standardize: bool,
    },
    /// A function in a Python file.
    Python(Python),
    /// A program, argument by argument, with placeholders.
    Command(Vec<String>),
    /// A line for `/bin/sh`, with placeholders.
    Shell(String),
}

/// A Python function as crunch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Python {
    /// The function to call for each task.
    pub function: PythonFunction,
    /// Turns the point of the loop `data` into data, once a child.
    pub load: Option<PythonFunction>,
    /// The level of the loop whose points `load` takes.
    pub data: usize,
    /// How many loaded data sets a child keeps; the least recently used goes first.
    pub keep: u64,
    /// The Python to run.
    pub interpreter: String,
}

impl Job {
    /// Reads, parses and validates a job file.
    pub fn read(file: &Path) -> Result<(Job, String)> {
        parse::read(file)
    }

    /// Parses and validates a job given as text; `file` names it in errors, and relative paths in
    /// it are relative to that file's folder, which must exist.
    ///
    /// ```
    /// use std::path::Path;
    /// use gridmpi::job::Job;
    /// let error = Job::parse("sed = 1", Path::new("job.toml")).unwrap_err();
    /// assert!(error.to_string().starts_with("job.toml:1: 'sed' is no key here; did you mean 'seed'?"));
    /// ```
    pub fn parse(text: &str, file: &Path) -> Result<Job> {
        parse::parse(text, file)
    }

    /// An error about what the job file says under `key`, naming the file and line.
    pub fn wrong(&self, key: &str, why: impl std::fmt::Display) -> Error {
        let places = &self.places;
        match places.lines.iter().find(|(known, _)| known == key) {
            Some((_, line)) => Error::input(format!("{}:{line}: {key}: {why}", places.file)),
            None => Error::input(format!("{}: {key}: {why}", places.file)),
        }
    }

    /// The loops, flattened.
    pub fn grid(&self) -> Grid {
        let sizes: Vec<u64> = self.loops.iter().map(|l| l.points.len()).collect();
        Grid::new(&sizes, self.outer()).expect("validated when the job was parsed")
    }

    /// How many of the outermost loops do not reduce.
    pub fn outer(&self) -> usize {
        self.loops.iter().take_while(|l| l.reduce.is_none()).count()
    }

    /// How each level's loop folds.
    pub fn reduces(&self) -> Vec<Option<Reduce>> {
        self.loops.iter().map(|l| l.reduce.clone()).collect()
    }

    /// Whether a run without a score is of no use to the innermost loop's reduction.
    pub fn needs_score(&self) -> bool {
        self.loops.last().and_then(|l| l.reduce.as_ref()).is_some_and(Reduce::needs_score)
    }

    /// The level of the loop called `name`.
    pub fn level(&self, name: &str) -> Option<usize> {
        self.loops.iter().position(|l| l.name == name)
    }

    /// The interpreter for Python functions: crunch's, or the default one.
    pub fn interpreter(&self) -> &str {
        match &self.crunch {
            Crunch::Python(python) => &python.interpreter,
            _ => DEFAULT_INTERPRETER,
        }
    }

    /// The point that each of the key's loops takes there, outermost first.
    pub fn coordinates(&self, grid: &Grid, key: Key) -> Vec<(&str, Value)> {
        let digits = grid.coordinates(key);
        self.loops.iter().zip(digits).map(|(l, i)| (l.name.as_str(), l.points.get(i))).collect()
    }

    /// The winning point of each loop that max or min decided.
    pub fn winners(&self, best: &[Winner]) -> Vec<(&str, Value)> {
        best.iter()
            .map(|winner| {
                let decided = &self.loops[winner.level];
                (decided.name.as_str(), decided.points.get(winner.point))
            })
            .collect()
    }

    /// A task's seed: from 0 to 2^31 - 1, which every library takes (NumPy, scikit-learn's
    /// `random_state`, R, C). It is the first 31 bits of a BLAKE3 hash of the job's seed and the
    /// task's coordinates, so it depends neither on the rank nor on the loops' other points.
    pub fn task_seed(&self, coordinates: &[(&str, Value)]) -> u32 {
        let text = named_json(coordinates).to_string();
        let hash = blake3::hash(format!("{}\n{text}", self.seed).as_bytes());
        let first = hash.as_bytes().first_chunk::<4>().expect("a hash has 32 bytes");
        u32::from_le_bytes(*first) & (i32::MAX as u32)
    }
}

/// The columns every stored run has beside its coordinates; no loop may be called like one.
pub(crate) const RUN_COLUMNS: [&str; 10] =
    ["task", "status", "score", "value", "error", "seconds", "started", "rank", "host", "attempt"];

/// The interpreter if the job names none.
pub const DEFAULT_INTERPRETER: &str = "python3";

/// Named values as a JSON object.
pub fn named_json(values: &[(&str, Value)]) -> serde_json::Value {
    json_object(values.iter().map(|(name, value)| (*name, value.to_json())))
}
