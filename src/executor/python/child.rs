//! One long-lived Python child per worker thread, so that imports and data loading happen once: a worker that ships
//! with gridmpi, and whose results may lie in a file.

use std::sync::Arc;

use crate::executor::Limits;
use crate::executor::python::results_file::ResultsFile;
use crate::executor::python::setup::Setup;
use crate::executor::serve::child::{HOUR, ServeChild};
use crate::executor::serve::lines::record;
use crate::model::Value;
use crate::util::error::Result;
use crate::wire::requests::MasterClient;

/// A running child.
pub(crate) struct PythonChild {
    pub(crate) serve: ServeChild,
    /// The results of its current batch.
    pub(super) results: ResultsFile,
    /// Whether its batches carry the tasks' seeds.
    pub(super) seeded: bool,
}

impl PythonChild {
    /// Starts a child, which imports the functions. `master` may cancel that.
    pub(crate) fn start(
        setup: &Setup,
        master: Option<&Arc<dyn MasterClient>>,
    ) -> Result<PythonChild, String> {
        let (results, path) = ResultsFile::create().map_err(|e| {
            format!("no file for results in {}: {e}", std::env::temp_dir().display())
        })?;
        let mut setup = setup.serve.clone();
        let path = path.as_ref(); // the child opens it before it says hello
        let marks = results.marks().map_err(|error| format!("no file for results: {error}"))?;
        setup.hello.extend(record([
            ("results", path.to_string_lossy().as_ref().into()),
            ("mark", marks.word().as_str().into()),
        ]));
        let mut serve = ServeChild::spawn(&setup)?;
        serve.printed.find_marks(marks);
        serve.exchange_hellos(&setup.hello, Limits::new(Some(HOUR), master), None)?;
        let seeded = serve.hello.field("seeded") == Some(&Value::Bool(true));
        Ok(PythonChild { serve, results, seeded })
    }
}
