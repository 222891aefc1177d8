//! What a job file needs of functions that give the points of a loop; the executor has them, since it knows
//! languages and processes.

use std::path::Path;

use crate::model::{FileFunction, Value};

/// Imports functions that give points. Rank 0 alone calls them, while it reads the job file.
pub(crate) trait PointFunctions {
    /// Imports a function of a file in this folder. `around` names the loops whose points it may take. The
    /// error says why it cannot be called.
    fn import(
        &self,
        function: &FileFunction,
        folder: &Path,
        interpreter: &str,
        around: &[&str],
    ) -> Result<Box<dyn PointFunction>, String>;
}

/// An imported function that gives points.
pub(crate) trait PointFunction {
    /// The loops whose points it takes.
    fn takes(&self) -> &[String];

    /// Its points for these points of the loops that it takes; `most` is how many it may give.
    fn points(&mut self, around: &[(&str, Value)], most: u64) -> Result<Vec<Value>, String>;
}
