//! The seeds that a child asks for, once something has imported a generator.

use std::ops::Range;

use crate::job::Job;

/// The seeds of tasks, in a list of JSON.
pub(super) fn seeds(job: &Job, tasks: Range<u64>) -> String {
    let seed = |task| job.task_seed(task).to_string();
    tasks.map(seed).collect::<Vec<_>>().join(",")
}
