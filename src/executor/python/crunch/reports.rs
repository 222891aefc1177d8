//! What a child has imported, and which Python it is: compared with what other hosts have.

use std::collections::BTreeMap;

use crate::executor::python::crunch::PythonExecutor;
use crate::executor::python::facts::version_of;
use crate::executor::python::functions::imported_files;
use crate::executor::watch::{CHANGED, SAME_EVERYWHERE};
use crate::job::Job;
use crate::model::{RunError, Value};
use crate::util::machine;
use crate::wire::requests::{Reply, Request};

impl PythonExecutor {
    /// Compares a child's Python and packages with those of rank 0's host. Where hosts may differ, rank 0 is
    /// told of it once.
    pub(super) fn compare_environment(
        &mut self,
        here: BTreeMap<String, String>,
    ) -> Result<(), RunError> {
        match self.watch.check_python(&self.job, &here) {
            Err(_) if self.job.allow_mixed => {
                if !std::mem::replace(&mut self.is_told, true) {
                    let _ = self.caller.ask(Request::Environment(here)); // no run depends on it
                }
                Ok(())
            }
            compared => compared,
        }
    }

    /// Tells rank 0 which files and packages calls have imported, and what is in them.
    pub(super) fn report_imports(&mut self, job: &Job, imported: &[(String, Value)]) {
        let (files, packages) = imported_files(job, imported);
        if !packages.is_empty() && !job.allow_mixed {
            let versions =
                packages.iter().map(|(name, version)| (version_of(name), version.clone()));
            self.report(Request::Environment(versions.collect()), SAME_EVERYWHERE);
        }
        if !files.is_empty() {
            self.report(Request::Imported(files), CHANGED);
        }
    }

    /// Tells rank 0 what this host has. If another host has something else, nothing counts from then on.
    fn report(&mut self, request: Request, advice: &str) {
        if let Ok(Reply::Refused(why)) = self.caller.ask(request) {
            let why = format!("{why}, on host {}; {advice}", machine::host());
            self.changed = Some(RunError::FileChanged(why));
        }
    }
}
