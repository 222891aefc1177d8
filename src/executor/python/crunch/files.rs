//! The files that a call may have read, compared with what they were when rank 0 began.

use crate::executor::Task;
use crate::executor::python::crunch::PythonExecutor;
use crate::model::RunError;

impl PythonExecutor {
    /// Checks the files that count for a task, once its answer is there.
    pub(super) fn check_files(&mut self, task: &Task) -> Result<(), RunError> {
        // What was put into its folder was read for this call alone.
        if self.job.workdir.as_ref().is_some_and(|spec| !spec.files.is_empty()) {
            self.watch.check_crunch(&self.job, &*self.caller)?;
        }
        self.check_points(task)
    }

    /// Checks the files that a task's points name, once its answer is there. What is loaded was read when the
    /// child got to that point; any other file may have been read by the call itself.
    fn check_points(&mut self, task: &Task) -> Result<(), RunError> {
        if self.named.is_empty() {
            return Ok(());
        }
        let job = task.job;
        let points = job.nest.indices(job.nest.task(task.index));
        for level in &self.named {
            let point = points[*level];
            if self.loaded != Some(*level) || self.looked != Some(point) {
                let value = job.nest.loops()[*level].points.get(point);
                self.watch.check_points(job, [&value], &*self.caller)?;
            }
            if self.loaded == Some(*level) {
                self.looked = Some(point);
            }
        }
        Ok(())
    }
}
