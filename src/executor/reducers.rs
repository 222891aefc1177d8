//! Reductions by functions in files: each loop's in Python or in R.

use std::sync::Arc;

use crate::executor::python::reducer::PythonReducer;
use crate::executor::r::reducer::RReducer;
use crate::executor::{GroupReducer, ReadyChildren, Slot};
use crate::job::Job;
use crate::model::{Key, Reduce, Scored, SlotResult};

/// Has a reducer for each language that the job reduces in.
pub(super) struct FileReducer {
    job: Arc<Job>,
    python: Option<PythonReducer>,
    r: Option<RReducer>,
}

impl FileReducer {
    pub(super) fn new(job: &Arc<Job>, place: Slot, ready: &ReadyChildren) -> FileReducer {
        let has = |is: fn(&Reduce) -> bool| {
            job.nest.loops().iter().any(|l| l.reduce.as_ref().is_some_and(is))
        };
        let python = has(|reduce| matches!(reduce, Reduce::Python(_)));
        let r = has(|reduce| matches!(reduce, Reduce::R(_)));
        FileReducer {
            job: job.clone(),
            python: python.then(|| PythonReducer::new(job, place, ready)),
            r: r.then(|| RReducer::new(job, place, ready)),
        }
    }
}

impl GroupReducer for FileReducer {
    fn prepare(&mut self) -> Result<(), String> {
        self.python.as_mut().map_or(Ok(()), PythonReducer::prepare)?;
        self.r.as_mut().map_or(Ok(()), RReducer::prepare)
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
        self.python.as_mut().map(PythonReducer::take_imported).unwrap_or_default()
    }
}
