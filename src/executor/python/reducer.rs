//! Python functions as reductions.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::executor::process::child::Limits;
use crate::executor::python::child::{HOUR, PythonChild, Setup};
use crate::executor::python::functions::{REDUCE, imported_files, reduce_functions};
use crate::executor::python::protocol::marked;
use crate::executor::reduced_runs::{DAY, described};
use crate::executor::{GroupReducer, RANK0, ReadyChildren, Slot};
use crate::job::Job;
use crate::model::{Key, Scored, SlotResult, Value, score};
use crate::util::error::Result;

fn start(setup: &Setup) -> Result<PythonChild, String> {
    PythonChild::start(setup, &Limits::new(Some(HOUR), None))
}

/// Calls a child, starting one if none runs.
fn call(child: &mut Option<PythonChild>, setup: &Setup, request: &Json) -> Result<Value, String> {
    let limits = Limits::new(Some(DAY), None);
    if let Some(running) = child
        && running.is_alive()
    {
        running.begin(Some(&limits));
        match running.ask(request) {
            // It died after its last answer and never saw this request, so this call is not at fault.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            answered => return answered.unwrap_or_else(|error| Err(running.give_up(&error))),
        }
    }
    let child = child.insert(start(setup)?);
    child.begin(Some(&limits));
    child.call(request)
}

pub(crate) struct PythonReducer {
    job: Arc<Job>,
    setup: Setup,
    child: Option<PythonChild>,
}

impl PythonReducer {
    pub(crate) fn new(job: &Arc<Job>, place: Slot, ready: &ReadyChildren) -> PythonReducer {
        let setup = Setup::new(job, &reduce_functions(job), place);
        let child = if place == RANK0 { ready.take(&setup, job) } else { None };
        PythonReducer { job: job.clone(), setup, child }
    }
}

impl GroupReducer for PythonReducer {
    fn prepare(&mut self) -> Result<(), String> {
        if !self.child.as_ref().is_some_and(PythonChild::is_alive) {
            self.child = Some(start(&self.setup)?);
        }
        Ok(())
    }

    fn reduce(&mut self, group: Key, items: &[SlotResult]) -> Result<Scored, String> {
        let run = |fields: Vec<(&str, Cow<Value>)>| {
            let fields = fields.iter().map(|(name, value)| (name.to_string(), marked(value)));
            Json::Object(fields.collect())
        };
        let runs: Vec<Json> = described(&self.job.nest, group, items).map(run).collect();
        let request = json!({ "function": format!("{REDUCE}{}", group.level), "runs": runs });
        let mut value = call(&mut self.child, &self.setup, &request);
        if value.is_err() && !self.child.as_ref().is_some_and(PythonChild::is_alive) {
            // The child may have died for an unrelated reason, so the group is tried once more.
            value = call(&mut self.child, &self.setup, &request);
        }
        let value = value?;
        // The enclosing loop decides whether a score is needed; NaN is never valid.
        score(value, &self.job.score, false).map_err(|error| error.to_string())
    }

    fn take_imported(&mut self) -> Vec<(String, String)> {
        let told = self.child.as_mut().map(|child| std::mem::take(&mut child.told));
        told.into_iter().flatten().flat_map(|said| imported_files(&self.job, &said).0).collect()
    }
}
