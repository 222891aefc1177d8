//! A Python function as the final function: what its child has and imports is compared with that of other calls.

use std::sync::Arc;

use crate::executor::python::facts::ChildFacts;
use crate::executor::python::functions::{final_functions, imported_files};
use crate::executor::python::setup::Setup;
use crate::executor::serve::child::ServeChild;
use crate::executor::serve::finals::ServeFinal;
use crate::executor::watch::SAME_EVERYWHERE;
use crate::executor::{FinalCaller, GivenFinal, Slot};
use crate::job::Job;
use crate::model::{RunError, Scored};
use crate::util::machine;
use crate::wire::requests::{MasterClient, Reply, Request};

pub(crate) struct PythonFinal {
    job: Arc<Job>,
    master: Arc<dyn MasterClient>,
    inner: ServeFinal,
    /// When the child was started whose Python and packages have been compared.
    compared: Option<i64>,
}

impl PythonFinal {
    pub(crate) fn new(job: &Arc<Job>, master: &Arc<dyn MasterClient>, place: Slot) -> PythonFinal {
        let setup = Setup::of_final(job, &final_functions(job), place);
        let inner = ServeFinal::new(job, setup.serve, master);
        PythonFinal { job: job.clone(), master: master.clone(), inner, compared: None }
    }

    /// Compares the Python and packages of the child, if there is one, with those of rank 0's host and of other calls.
    fn compare_environment(&mut self) -> Result<(), RunError> {
        let child = self.inner.client.last_child().filter(|_| !self.job.allow_mixed);
        let is_new = |child: &&ServeChild| self.compared != Some(child.started);
        let Some(child) = child.filter(is_new) else { return Ok(()) };
        let started = child.started;
        let here = ChildFacts(&child.hello).environment();
        self.ask(Request::Environment(here)).map_err(|why| {
            let host = machine::host();
            RunError::Failed(format!("{why}, on host {host}; {SAME_EVERYWHERE}"))
        })?;
        self.compared = Some(started);
        Ok(())
    }

    /// Compares the files that the call has imported with those of other calls.
    fn compare_imports(&mut self) -> Result<(), RunError> {
        let told = self.inner.client.take_told();
        let files: Vec<_> =
            told.iter().flat_map(|said| imported_files(&self.job, said).0).collect();
        match files.is_empty() {
            true => Ok(()),
            false => self.ask(Request::ImportedByReduction(files)).map_err(RunError::Failed),
        }
    }

    /// Why rank 0 refuses what it is told.
    fn ask(&self, request: Request) -> Result<(), String> {
        match self.master.ask(request) {
            Ok(Reply::Refused(why)) => Err(why),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl FinalCaller for PythonFinal {
    fn call(&mut self, given: &GivenFinal) -> Result<Scored, RunError> {
        self.inner.client.child()?;
        self.compare_environment()?;
        let scored = self.inner.call(given)?;
        self.compare_imports()?;
        self.compare_environment()?; // of another child, if the first one has ended
        Ok(scored)
    }
}
