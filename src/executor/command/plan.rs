//! What a job says of a command, ready for any task: the threads of a process share it.

use std::path::Path;
use std::sync::Arc;

use crate::executor::Slot;
use crate::executor::command::extract::ResultReader;
use crate::executor::command::line::{CommandKind, template};
use crate::job::placeholders::{LONGEST_ARGUMENT, Template};
use crate::job::{
    ChildEnvironment, Job, LoopVariable, RunFacts, RunIds, loop_variables, named_json,
};
use crate::model::Value;

pub(crate) struct CommandPlan {
    pub(super) kind: CommandKind,
    loops: Vec<LoopVariable>,
    /// A final call has none.
    ids: Option<Arc<RunIds>>,
    /// Variables that the job sets, and which ones it keeps.
    set: Vec<(String, Template)>,
    environment: ChildEnvironment,
    pub(super) result: Option<ResultReader>,
}

/// The points of a call, by name and by level.
#[derive(Clone, Copy)]
pub(crate) struct CallPoints<'a> {
    pub(crate) coordinates: &'a [(&'a str, Value)],
    pub(crate) points: &'a [u64],
}

/// The variables that describe a call. The points are apart where they do not fit into one.
pub(crate) struct CallVariables {
    pub(crate) list: Vec<(String, String)>,
    pub(super) long_point: Option<String>,
}

impl CommandPlan {
    /// Nothing if crunch is no command.
    pub(crate) fn of(job: &Job, ids: Option<&Arc<RunIds>>) -> Option<CommandPlan> {
        let kind = CommandKind::of(&job.crunch)?;
        let set = job.environment.set.iter();
        Some(CommandPlan {
            kind,
            loops: loop_variables(job.nest.loops()).0,
            ids: ids.cloned(),
            set: set.map(|(name, value)| (name.clone(), template(value))).collect(),
            environment: job.environment.clone(),
            result: job.result.as_ref().map(ResultReader::of),
        })
    }

    pub(crate) fn of_final(job: &Job, kind: CommandKind) -> CommandPlan {
        let loops = loop_variables(job.nest.loops()).0;
        let environment = ChildEnvironment::default();
        CommandPlan { kind, loops, ids: None, set: Vec::new(), environment, result: None }
    }

    pub(super) fn environment(&self) -> &ChildEnvironment {
        &self.environment
    }

    /// What is told of a task's run.
    pub(super) fn facts(
        &self,
        job: &Job,
        run: (u64, u32, u32),
        workdir: Option<&Path>,
        place: Slot,
    ) -> RunFacts {
        RunFacts::of_run(job, self.ids.as_deref(), run, workdir, (place.cores, place.gpus()))
    }

    /// The environment variables that describe a call with these points.
    pub(crate) fn variables(
        &self,
        job: &Job,
        of: CallPoints,
        (seed, attempt): (u32, u32),
    ) -> CallVariables {
        let mut list = vec![
            variable("GRIDMPI_SEED", seed.to_string()),
            variable("GRIDMPI_ATTEMPT", attempt.to_string()),
        ];
        let point = named_json(of.coordinates).to_string();
        let is_long = point.len() > LONGEST_ARGUMENT;
        let cells = job.passed_cells(|level| of.points.get(level).copied());
        for own in &self.loops {
            let value = own.value(of.coordinates, &cells, is_long);
            list.extend(value.map(|value| (own.name.clone(), value)));
        }
        // With a longer one, no program could be started.
        let long_point = match is_long {
            true => Some(point),
            false => {
                list.push(variable("GRIDMPI_POINT", point));
                None
            }
        };
        CallVariables { list, long_point }
    }

    /// The same for a task, with its number and its name.
    pub(super) fn task_variables(
        &self,
        job: &Job,
        of: CallPoints,
        facts: &RunFacts,
    ) -> CallVariables {
        let mut variables = self.variables(job, of, (facts.seed, facts.attempt));
        variables.list.push(variable("GRIDMPI_TASK", facts.task.to_string()));
        variables.list.push(variable("GRIDMPI_ID", facts.id.clone()));
        let workdir = facts.workdir.as_ref();
        variables.list.extend(workdir.map(|folder| variable("GRIDMPI_WORKDIR", folder.clone())));
        variables
    }

    /// The variables that the job sets, in this call.
    pub(super) fn set(
        &self,
        fill: impl Fn(&Template) -> Result<String, String>,
    ) -> Result<Vec<(String, String)>, String> {
        self.set.iter().map(|(name, value)| Ok((name.clone(), fill(value)?))).collect()
    }
}

fn variable(name: &str, value: String) -> (String, String) {
    (name.to_string(), value)
}
