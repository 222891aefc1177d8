//! Functions in children that speak the protocol of docs/writing-a-worker.md: workers of the user's, R, and Python.

use serde::{Deserialize, Serialize};

use crate::job::{CommandWords, CrunchSpec, FinalFunction, Job};
use crate::model::FileFunction;

/// The R that runs if the job names none.
pub(crate) const DEFAULT_R: &str = "Rscript";

/// A worker in any language as crunch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Serve {
    /// The program and its arguments, without placeholders.
    pub(crate) words: CommandWords,
    /// The level of the loop whose points are loaded once per child, if it loads.
    pub(crate) data: Option<usize>,
    /// How many data sets a child keeps.
    pub(crate) keep: u64,
}

/// An R function as crunch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RCrunch {
    pub(crate) function: FileFunction,
    /// Turns the point of the loop `data` into data, once per child.
    pub(crate) load: Option<FileFunction>,
    /// The level of the loop whose points `load` takes.
    pub(crate) data: usize,
    /// How many data sets a child keeps.
    pub(crate) keep: u64,
    /// The program that runs R's scripts.
    pub(crate) interpreter: String,
}

impl Job {
    /// The program that runs R's scripts: crunch's, or the default one.
    pub(crate) fn r_interpreter(&self) -> &str {
        match &self.crunch {
            CrunchSpec::R(r) => &r.interpreter,
            _ => DEFAULT_R,
        }
    }

    /// The level of the loop whose data final calls get, if both crunch and the final function are in Python, in R, or
    /// workers.
    pub(crate) fn final_data(&self) -> Option<usize> {
        let level = match (&self.crunch, self.finally.as_ref().map(|spec| &spec.function)?) {
            (CrunchSpec::Python(python), FinalFunction::Python(_)) => {
                python.load.as_ref().map(|_| python.data)?
            }
            (CrunchSpec::Serve(serve), FinalFunction::Serve(_)) => serve.data?,
            (CrunchSpec::R(r), FinalFunction::R(_)) => r.load.as_ref().map(|_| r.data)?,
            _ => return None,
        };
        Some(level).filter(|level| *level < self.final_levels())
    }

    /// The function that loads the data of final calls, in Python or in R.
    pub(crate) fn final_load(&self) -> Option<&FileFunction> {
        self.final_data()?;
        match &self.crunch {
            CrunchSpec::Python(python) => python.load.as_ref(),
            CrunchSpec::R(r) => r.load.as_ref(),
            _ => None,
        }
    }
}
