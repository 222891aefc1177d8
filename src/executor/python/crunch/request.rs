//! What is sent to a child: requests for many tasks, and the seeds that it asks for once something has imported a
//! generator.

use std::io::ErrorKind;
use std::ops::Range;

use serde_json::json;

use crate::executor::Task;
use crate::executor::python::crunch::{DEAF, PythonExecutor, begun};
use crate::job::Job;

/// Longest request. (bytes)
const LENGTH: usize = 32 << 10;

/// The seeds of tasks, in a list of JSON.
pub(super) fn seeds(job: &Job, tasks: Range<u64>) -> String {
    let seed = |task| job.task_seed(task).to_string();
    tasks.map(seed).collect::<Vec<_>>().join(",")
}

impl PythonExecutor {
    /// Writes a request for tasks before `end`, as many as fit; returns its end.
    pub(super) fn write_request(
        &mut self,
        task: &Task,
        end: u64,
        (id, seeded): (i64, bool),
    ) -> u64 {
        let request = &mut self.text;
        request.clear();
        request.push_str(&format!("{{\"type\":\"batch\",\"id\":{id},\"points\":["));
        let nest = &task.job.nest;
        let mut next = task.index;
        while next < end && request.len() < LENGTH {
            request.push_str(if next == task.index { "[" } else { ",[" });
            let points = nest.indices(nest.task(next));
            for (level, point) in points.iter().copied().enumerate() {
                if level > 0 {
                    request.push(',');
                }
                match self.points[level].get(point as usize) {
                    Some(json) => request.push_str(json),
                    None => request.push_str(&task.job.passed_json(level, point)),
                }
            }
            if !self.setup.absent.is_empty() {
                let is_absent =
                    |level: &&usize| nest.loops()[**level].none == points.get(**level).copied();
                let absent = self.setup.absent.iter().filter(is_absent);
                request.push_str(&format!(",{:?}", absent.collect::<Vec<_>>()));
            }
            request.push(']');
            next += 1;
        }
        request.push_str("],\"seeds\":[");
        if seeded {
            request.push_str(&seeds(task.job, task.index..next));
        }
        request.push(']');
        if let Some(folder) = task.workdir {
            request.push_str(&format!(",\"workdir\":{}", json!(folder.to_string_lossy())));
        }
        request.push_str("}\n");
        next
    }

    /// Sends the seeds of the current request, in the middle of it; later requests carry them.
    pub(super) fn send_seeds(&mut self, job: &Job) -> std::io::Result<()> {
        let child = self.child.as_mut().ok_or(ErrorKind::BrokenPipe)?;
        child.seeded = true;
        let seeds = seeds(job, self.asked.tasks.clone());
        let line = format!("{{\"type\":\"seeds\",\"seeds\":[{seeds}]}}\n");
        child.serve.send(line.as_bytes(), &begun(DEAF, &self.caller))
    }
}
