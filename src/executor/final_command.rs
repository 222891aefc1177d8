//! A program or a shell line as the final function: one process per call.

use std::sync::Arc;

use crate::executor::command::{CallPoints, CommandExecutor, CommandKind, CommandPlan};
use crate::executor::process::child::Limits;
use crate::executor::{FinalCaller, GivenFinal, Slot};
use crate::job::placeholders::LONGEST_ARGUMENT;
use crate::job::placeholders::scope::{FOLDER, SUMMARY};
use crate::job::{FinalFunction, Job};
use crate::model::{RunError, Scored, Value};
use crate::wire::requests::MasterClient;

pub(super) struct CommandFinal {
    job: Arc<Job>,
    plan: Arc<CommandPlan>,
    inner: CommandExecutor,
}

impl CommandFinal {
    /// Nothing if the function is no program.
    pub(super) fn of(
        job: &Arc<Job>,
        function: &FinalFunction,
        master: &Arc<dyn MasterClient>,
        place: Slot,
    ) -> Option<CommandFinal> {
        let (kind, named) = match function {
            FinalFunction::Command(words) => {
                (CommandKind::of_command(words), Some(("final.command", words.program.clone())))
            }
            FinalFunction::Shell(line) => (CommandKind::of_shell(line), None),
            _ => return None,
        };
        let timeout = job.finally.as_ref().and_then(|spec| spec.timeout);
        let limits = Limits::new(timeout, Some(master));
        let plan = Arc::new(CommandPlan::of_final(job, kind));
        let inner = CommandExecutor::with(job, &plan, (limits, place), named);
        Some(CommandFinal { job: job.clone(), plan, inner })
    }
}

impl FinalCaller for CommandFinal {
    fn call(&mut self, given: &GivenFinal) -> Result<Scored, RunError> {
        let folder = given.folder.to_string_lossy().into_owned();
        let summary = given.record.to_json().to_string();
        if summary.len() > LONGEST_ARGUMENT {
            let why = "it is too long for a program's variable: use python = \"file.py:function\"";
            return Err(format!("the summary has {} bytes as JSON; {why}", summary.len()).into());
        }
        // A loop may have the name of the folder; then that is what is meant.
        let mut named = given.coordinates.to_vec();
        named.push((SUMMARY, given.record.clone()));
        named.push((FOLDER, Value::Text(folder.clone())));
        let (points, told) = (given.points, (given.seed, given.attempt));
        let of = CallPoints { coordinates: given.coordinates, points };
        let mut variables = self.plan.variables(&self.job, of, told);
        let own = [("GRIDMPI_SUMMARY", summary), ("GRIDMPI_FOLDER", folder)];
        variables.list.extend(own.map(|(name, value)| (name.to_string(), value)));
        let of = CallPoints { coordinates: &named, points };
        let value = self.inner.run(of, (None, None), variables, false)?;
        Ok(Scored { value, ..Scored::default() })
    }
}
