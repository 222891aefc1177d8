//! Reductions by functions in files: each loop's in Python or in R.

use std::sync::Arc;

use crate::executor::python::functions::{imported_files, reduce_functions};
use crate::executor::python::setup::Setup;
use crate::executor::r::setup::of_reductions;
use crate::executor::serve::client::ServeClient;
use crate::executor::serve::reducer::ServeReducer;
use crate::executor::{GroupReducer, RANK0, ReadyChildren, Slot};
use crate::job::Job;
use crate::model::{Key, Reduce, Scored, SlotResult};

/// Has a reducer for each language that the job reduces in.
pub(super) struct FileReducer {
    job: Arc<Job>,
    python: Option<ServeReducer>,
    r: Option<ServeReducer>,
}

impl FileReducer {
    pub(super) fn new(job: &Arc<Job>, place: Slot, ready: &ReadyChildren) -> FileReducer {
        let has = |is: fn(&Reduce) -> bool| {
            job.nest.loops().iter().any(|l| l.reduce.as_ref().is_some_and(is))
        };
        let in_python = || {
            let setup = Setup::new(job, &reduce_functions(job), place);
            let mut client = ServeClient::new(setup.serve.clone(), None, 1);
            if place == RANK0 {
                client.take_over(ready.take(&setup, job).map(|child| child.serve));
            }
            ServeReducer::new(job, client)
        };
        let in_r = || {
            let mut client = ServeClient::new(of_reductions(job, place), None, 1);
            if place == RANK0 {
                client.take(ready, job);
            }
            ServeReducer::new(job, client)
        };
        FileReducer {
            job: job.clone(),
            python: has(|reduce| matches!(reduce, Reduce::Python(_))).then(in_python),
            r: has(|reduce| matches!(reduce, Reduce::R(_))).then(in_r),
        }
    }
}

impl GroupReducer for FileReducer {
    fn prepare(&mut self) -> Result<(), String> {
        let mut reducers = self.python.iter_mut().chain(&mut self.r);
        reducers.try_for_each(ServeReducer::prepare)
    }

    fn reduce(&mut self, group: Key, items: &[SlotResult]) -> Result<Scored, String> {
        let of_level = self.job.nest.loops()[group.level].reduce.as_ref();
        match (of_level, &mut self.python, &mut self.r) {
            (Some(Reduce::R(_)), _, Some(r)) => r.reduce(group, items),
            (_, Some(python), _) => python.reduce(group, items),
            _ => Err("this loop is not reduced by a function in a file".to_string()),
        }
    }

    fn take_imported(&mut self) -> Vec<(String, String)> {
        let told = self.python.as_mut().map(ServeReducer::take_told).unwrap_or_default();
        told.iter().flat_map(|said| imported_files(&self.job, said).0).collect()
    }
}
