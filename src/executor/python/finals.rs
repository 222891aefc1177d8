//! A Python function as the final function: called in a child of its own, with data that no other call has had.

use std::io::Error;
use std::sync::Arc;

use serde_json::json;

use crate::executor::process::child::Limits;
use crate::executor::python::child::{HOUR, PythonChild, Setup};
use crate::executor::python::functions::{final_functions, imported_files};
use crate::executor::python::protocol::marked;
use crate::executor::watch::SAME_EVERYWHERE;
use crate::executor::{FinalCaller, GivenFinal, RESTARTS, Slot};
use crate::job::Job;
use crate::model::{RunError, Scored, Value};
use crate::util::machine;
use crate::wire::requests::{MasterClient, Reply, Request};

pub(crate) struct PythonFinal {
    job: Arc<Job>,
    master: Arc<dyn MasterClient>,
    setup: Setup,
    child: Option<PythonChild>,
}

impl PythonFinal {
    pub(crate) fn new(job: &Arc<Job>, master: &Arc<dyn MasterClient>, place: Slot) -> PythonFinal {
        let (job, master) = (job.clone(), master.clone());
        let setup = Setup::of_final(&job, &final_functions(&job), place);
        PythonFinal { job, master, setup, child: None }
    }

    /// A child that is alive. Where none can be started any more, this worker cannot work.
    fn child(&mut self) -> Result<&mut PythonChild, RunError> {
        if !self.child.as_ref().is_some_and(PythonChild::is_alive) {
            let limits = Limits::new(Some(HOUR), Some(&self.master));
            let mut started = PythonChild::start(&self.setup, &limits);
            for pause in RESTARTS {
                if started.is_ok() || self.master.is_cancelled() {
                    break;
                }
                std::thread::sleep(pause);
                started = PythonChild::start(&self.setup, &limits);
            }
            self.child = Some(started.map_err(|why| match self.master.is_cancelled() {
                true => RunError::Failed(why),
                false => RunError::Unfit(why),
            })?);
            self.compare_environment()?;
        }
        Ok(self.child.as_mut().expect("just made"))
    }

    /// Compares a child's Python and packages with those of rank 0's host and of other calls.
    fn compare_environment(&mut self) -> Result<(), RunError> {
        let Some(child) = self.child.as_ref().filter(|_| !self.job.allow_mixed) else {
            return Ok(());
        };
        match self.master.ask(Request::Environment(child.environment())) {
            Ok(Reply::Refused(why)) => {
                self.child = None;
                let host = machine::host();
                Err(RunError::Failed(format!("{why}, on host {host}; {SAME_EVERYWHERE}")))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(RunError::Failed(error.to_string())),
        }
    }

    /// Sends a request and waits for its answer. After a failed exchange the child is of no use any more.
    fn ask(&mut self, request: &str, limits: &Limits) -> Result<Value, RunError> {
        let child = self.child()?;
        child.begin(Some(limits));
        let asked = child.ask_text(request);
        let failed = |error: Error| {
            let child = self.child.take();
            Err(child.map_or_else(|| error.to_string(), |mut child| child.give_up(&error)))
        };
        asked.unwrap_or_else(failed).map_err(RunError::Failed)
    }

    /// Whether the child takes the data of the loop at this level.
    fn takes(&mut self, level: usize) -> Result<bool, RunError> {
        let name = self.job.nest.loops()[level].name.clone();
        let takes = self.child()?.imported.field("takes");
        Ok(takes.into_iter().flat_map(Value::texts).any(|taken| taken == name))
    }

    /// Compares the files that the call has imported with those of other calls.
    fn compare_imports(&mut self) -> Result<(), RunError> {
        let told = self.child.as_mut().map(|child| std::mem::take(&mut child.told));
        let told = told.into_iter().flatten();
        let files: Vec<_> = told.flat_map(|said| imported_files(&self.job, &said).0).collect();
        if files.is_empty() {
            return Ok(());
        }
        match self.master.ask(Request::ImportedByReduction(files)) {
            Ok(Reply::Refused(why)) => Err(RunError::Failed(why)),
            Ok(_) => Ok(()),
            Err(error) => Err(RunError::Failed(error.to_string())),
        }
    }
}

impl FinalCaller for PythonFinal {
    fn call(&mut self, given: &GivenFinal) -> Result<Scored, RunError> {
        let job = self.job.clone();
        let loops = job.nest.loops();
        let is_absent = |level: &usize| loops[*level].none == Some(given.points[*level]);
        let absent: Vec<&str> = (0..given.points.len())
            .filter(is_absent)
            .map(|level| loops[level].name.as_str())
            .collect();
        let mut loaded = false;
        if let Some((_, level)) = job.final_load()
            && !is_absent(&level)
            && self.takes(level)?
        {
            let (_, point) = &given.coordinates[level];
            let request = format!("{{\"load\":{}}}", point.to_exact());
            let limits = Limits::new(Some(HOUR), Some(&self.master));
            self.ask(&request, &limits).map_err(|error| match error {
                RunError::Failed(why) => RunError::Failed(format!("loading its data: {why}")),
                other => other,
            })?;
            loaded = true;
        }
        let points =
            given.coordinates.iter().map(|(name, value)| (name.to_string(), value.clone()));
        let points = Value::Record(points.collect()).to_exact();
        let folder = given.folder.to_string_lossy();
        let request = format!(
            "{{\"final\":{points},\"loaded\":{loaded},\"absent\":{},\"summary\":{},\"seed\":{},\"folder\":{}}}",
            json!(absent),
            marked(&given.record),
            given.seed,
            json!(folder),
        );
        let timeout = job.finally.as_ref().and_then(|spec| spec.timeout);
        let value = self.ask(&request, &Limits::new(timeout, Some(&self.master)))?;
        self.compare_imports()?;
        Ok(Scored { value: value.into(), ..Scored::default() })
    }
}
