//! A task's call by hand.

use std::path::PathBuf;
use std::sync::Arc;

use crate::executor::command::line::{CommandKind, CommandLine};
use crate::executor::command::plan::{CallPoints, CommandPlan};
use crate::executor::{Granted, RANK0, Slot, workdir};
use crate::job::placeholders::Template;
use crate::job::shell::script::ShellScript;
use crate::job::{Job, RESERVED, RunIds};
use crate::model::Value;
use crate::util::text::shell_word;

/// A command that can be pasted, and what it leaves to see.
pub(crate) struct CallByHand {
    pub(crate) line: String,
    /// Where its result is.
    pub(crate) note: String,
}

/// A shell command line, in one line, that repeats one task's call by hand: in the job's folder, with the same
/// environment variables, and the result on stdout. None if crunch is not a command.
pub(crate) fn by_hand(
    job: &Job,
    coordinates: &[(&str, Value)],
    (task, seed): (u64, u32),
    attempt: u32,
) -> Option<Result<CallByHand, String>> {
    CommandKind::of(&job.crunch)?; // for the ids, all points are looked at
    let ids = Arc::new(RunIds::of(job));
    let plan = CommandPlan::of(job, Some(&ids))?;
    Some(line(job, (&plan, &ids), coordinates, (task, seed, attempt)))
}

fn line(
    job: &Job,
    (plan, ids): (&CommandPlan, &Arc<RunIds>),
    coordinates: &[(&str, Value)],
    run: (u64, u32, u32),
) -> Result<CallByHand, String> {
    // The table may have changed since.
    let point = |level: usize| {
        let points = &job.nest.loops()[level].points;
        let (_, value) = coordinates.get(level)?;
        (0..points.len()).find(|i| points.get(*i) == *value)
    };
    let levels = 0..coordinates.len();
    let points: Vec<u64> = levels.map(|level| point(level).unwrap_or(u64::MAX)).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let granted = job.policy.needs.is_any().then(|| Granted::by_hand(&job.policy.needs).kept());
    let place = Slot { cores, granted, ..RANK0 };
    let in_folder = workdir::by_hand((job, ids), coordinates, &point, (run, place))?;
    let (begin, workdir) = match in_folder {
        Some((line, folder)) => (line, Some(folder)),
        None => (format!("cd {} &&", shell_word(&job.folder.to_string_lossy())), None),
    };
    let passed = job.all_passed(coordinates.to_vec());
    let coordinates = &passed[..];
    let facts = plan.facts(job, run, workdir.as_deref(), place);
    let given = plan.task_variables(job, CallPoints { coordinates, points: &points }, &facts);
    let mut named = coordinates.to_vec();
    named.push((RESERVED, facts.record()));
    let CommandLine { program, arguments, variables } = plan.kind.line(job, &named, point)?;
    let cells = job.passed_cells(point);
    let fill = |template: &Template| template.fill(&named, &cells);
    let mut all = plan.set(fill)?;
    all.extend(given.list);
    let mut note = match &plan.result {
        None => {
            all.push(("GRIDMPI_RESULT".to_string(), "/dev/stdout".to_string()));
            "its result goes to stdout".to_string()
        }
        Some(result) => {
            let names = result.files(&PathBuf::new(), false, fill)?.into_iter().flatten();
            let names: Vec<String> = names.map(|file| file.name).collect();
            match names.is_empty() {
                true => "its result is looked for on stdout".to_string(),
                false => format!("its result is looked for in {}", names.join(", ")),
            }
        }
    };
    all.extend(variables);
    if let CommandKind::Shell(_, ShellScript { has_pipe: true, .. }) = &plan.kind {
        note += "; in a run, a program that fails in front of a pipe fails the line";
    }
    let mut line = begin;
    for (name, value) in all {
        line += &format!(" {name}={}", shell_word(&value));
    }
    for word in std::iter::once(&program).chain(&arguments) {
        line += &format!(" {}", shell_word(word));
    }
    Ok(CallByHand { line, note })
}
