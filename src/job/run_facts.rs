//! What gridmpi itself tells a run, under the one name that no loop may have: `{gridmpi.seed}` in commands, shell
//! lines and templates.

use std::path::Path;

use crate::job::{Job, RESERVED, RunIds};
use crate::model::{Loop, Points, Value};
use crate::util::text::did_you_mean;

/// The fields of the reserved name.
const FIELDS: [&str; 8] = ["seed", "task", "attempt", "id", "workdir", "job", "cores", "gpus"];

/// A folder's path may have a blank in it, or what a shell reads otherwise.
const ANY_FOLDER: &str = "/any folder; with signs";

/// What is told of one run.
#[derive(Clone, Debug)]
pub(crate) struct RunFacts {
    pub(crate) seed: u32,
    pub(crate) task: u64,
    pub(crate) attempt: u32,
    /// Stable where the grid grows; see [`RunIds`](crate::job::RunIds).
    pub(crate) id: String,
    /// The folder of this run alone, if it has one.
    pub(crate) workdir: Option<String>,
    /// The job file's folder.
    pub(crate) job: String,
    /// How many it may use.
    pub(crate) cores: usize,
    /// The names of its devices, with commas, if tasks need any.
    pub(crate) gpus: Option<String>,
}

impl RunFacts {
    /// Those of any run, for checks before there is one.
    pub(crate) fn of_any(job: &Path, has_workdir: bool, has_gpus: bool) -> RunFacts {
        RunFacts {
            seed: 0,
            task: 0,
            attempt: 1,
            id: "0".repeat(24),
            workdir: has_workdir.then(|| ANY_FOLDER.to_string()),
            job: job.to_string_lossy().into_owned(),
            cores: 1,
            gpus: has_gpus.then(|| "0".to_string()),
        }
    }

    /// Those of a task's run. Without ids, nothing tells its id.
    pub(crate) fn of_run(
        job: &Job,
        ids: Option<&RunIds>,
        (task, seed, attempt): (u64, u32, u32),
        workdir: Option<&Path>,
        (cores, gpus): (usize, Option<String>),
    ) -> RunFacts {
        RunFacts {
            seed,
            task,
            attempt,
            id: ids.map_or_else(String::new, |ids| ids.of_task(job, task)),
            workdir: workdir.map(|folder| folder.to_string_lossy().into_owned()),
            job: job.folder.to_string_lossy().into_owned(),
            cores,
            gpus,
        }
    }

    pub(crate) fn record(&self) -> Value {
        let values = [
            Value::Int(self.seed.into()),
            Value::Int(self.task as i64),
            Value::Int(self.attempt.into()),
            Value::Text(self.id.clone()),
            self.workdir.clone().map_or(Value::Null, Value::Text),
            Value::Text(self.job.clone()),
            Value::Int(self.cores as i64),
            self.gpus.clone().map_or(Value::Null, Value::Text),
        ];
        Value::Record(FIELDS.map(str::to_string).into_iter().zip(values).collect())
    }

    /// The reserved name as a loop of one point, for the checks of what a program or a shell is given.
    pub(crate) fn as_loop(&self) -> Loop {
        Loop::new(RESERVED, Points::List(vec![self.record()]), None)
    }

    /// Fails if there is no such field, or no run of this job has it.
    pub(crate) fn check_field(&self, field: Option<&str>) -> Result<(), String> {
        let known = FIELDS.join(", ");
        let Some(field) = field else {
            return Err(format!("{{{RESERVED}}} is several things: name one ({known})"));
        };
        if !FIELDS.contains(&field) {
            let near = did_you_mean(field, &FIELDS, "'");
            return Err(format!("there is no {{{RESERVED}.{field}}}{near} (known: {known})"));
        }
        match (field, &self.workdir, &self.gpus) {
            ("gpus", _, None) => Err(format!(
                "{{{RESERVED}.gpus}}: no task has a GPU of its own here; gpus = 1 in [crunch] says how many each needs"
            )),
            ("workdir", None, _) => Err(format!(
                "{{{RESERVED}.workdir}}: no run has a folder of its own here; {{{RESERVED}.job}} is the job file's folder, where all run"
            )),
            _ => Ok(()),
        }
    }
}
