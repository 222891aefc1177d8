//! The seeds that a child asks for, once something has imported a generator.

use std::io::ErrorKind;
use std::ops::Range;

use crate::executor::python::crunch::PythonExecutor;
use crate::job::Job;

/// A child asks for the seeds of its request.
pub(super) const SEEDS: &[u8] = b"seeds";

/// The seeds of tasks, in a list of JSON.
pub(super) fn seeds(job: &Job, tasks: Range<u64>) -> String {
    let seed = |task| job.task_seed(task).to_string();
    tasks.map(seed).collect::<Vec<_>>().join(",")
}

impl PythonExecutor {
    /// Sends the seeds of the current request, in the middle of it; later requests carry them.
    pub(super) fn send_seeds(&mut self, job: &Job) -> std::io::Result<()> {
        let child = self.child.as_mut().ok_or(ErrorKind::BrokenPipe)?;
        child.seeded = true;
        child.send(format!("[{}]", seeds(job, self.asked.tasks.clone())).as_bytes())
    }
}
