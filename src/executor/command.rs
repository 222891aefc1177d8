//! Any program as crunch: one process per task; its result is a file or the last line of its output, or what the
//! job says.

#[cfg(feature = "cli")]
mod by_hand;
mod extract;
mod kept;
mod line;
mod plan;
mod printed_value;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use tempfile::NamedTempFile;

#[cfg(feature = "cli")]
pub(crate) use crate::executor::command::by_hand::{CallByHand, by_hand};
use crate::executor::command::extract::NO_RESULT;
pub(super) use crate::executor::command::kept::KeptReader;
pub(crate) use crate::executor::command::line::CommandKind;
use crate::executor::command::line::template;
pub(crate) use crate::executor::command::plan::{CallPoints, CallVariables, CommandPlan};
use crate::executor::command::printed_value::{
    LAST_LINE, NOTHING, NoValue, printed_value, with_output,
};
use crate::executor::process::attempt::AttemptProcess;
use crate::executor::process::child::Limits;
use crate::executor::process::tail::Tail;
use crate::executor::process::{ended, environment, start_error};
use crate::executor::result_file::ResultFile;
use crate::executor::{CallResult, Executor, Slot, Task, startup};
use crate::job::placeholders::Template;
use crate::job::{CrunchSpec, Job, RESERVED};
use crate::model::{ResultValue, RunError, RunOutput, Scored, Value};
use crate::util::error::Result;
use crate::util::files;
use crate::util::programs::{find_program, named_program};
use crate::wire::requests::MasterClient;

/// How much of the end of a program's output is kept. (bytes)
const KEPT_STDOUT: usize = 16 << 20;
const KEPT_STDERR: usize = 16 << 10;

/// A command line or shell script with placeholders, filled in per task.
pub(crate) struct CommandExecutor {
    job: Arc<Job>,
    /// The environment of every child process.
    environment: Vec<(OsString, OsString)>,
    plan: Arc<CommandPlan>,
    place: Slot,
    limits: Limits,
    /// Folder for the folders of result files; deleted with the executor.
    scratch: std::io::Result<tempfile::TempDir>,
    result: Option<ResultFile>,
    /// The program that every task starts, once one was started here.
    program: Option<PathBuf>,
    /// The key that names the program, and the program, where that is a command.
    named: Option<(&'static str, String)>,
    /// The peak of the memory of the last call's processes in MiB, where it is known.
    memory: Option<u32>,
}

impl CommandExecutor {
    pub(super) fn new(
        job: &Arc<Job>,
        plan: &Arc<CommandPlan>,
        caller: &Arc<dyn MasterClient>,
        place: Slot,
    ) -> CommandExecutor {
        let limits = Limits::new(job.policy.timeout, Some(caller));
        let named = match &job.crunch {
            CrunchSpec::Command(words) => Some(("crunch.command", words.program.clone())),
            _ => None,
        };
        CommandExecutor::with(job, plan, (limits, place), named)
    }

    pub(super) fn with(
        job: &Arc<Job>,
        plan: &Arc<CommandPlan>,
        (limits, place): (Limits, Slot),
        named: Option<(&'static str, String)>,
    ) -> CommandExecutor {
        let scratch = files::temporary_folder();
        let environment = environment::of_children(place, plan.environment());
        CommandExecutor {
            job: job.clone(),
            environment,
            plan: plan.clone(),
            place,
            limits,
            scratch,
            result: None,
            program: None,
            named,
            memory: None,
        }
    }
}

impl Executor for CommandExecutor {
    fn prepare(&mut self) -> Result<(), String> {
        startup::check_programs(&self.job.folder)?;
        let named = self.named.as_ref();
        named
            .map_or(Ok(()), |(key, program)| check(&self.job, key, program))
            .map_err(|error| error.to_string())
    }

    fn memory(&self) -> Option<u32> {
        self.memory
    }

    fn crunch(&mut self, task: &Task) -> CallResult {
        self.memory = None;
        CallResult::from(self.call(task))
    }
}

impl CommandExecutor {
    /// A file for the result of the next attempt.
    fn result_file(&mut self) -> Result<ResultFile, RunError> {
        if let Some(unused) = self.result.take().filter(ResultFile::is_unused) {
            return Ok(unused.renamed());
        }
        if let Ok(scratch) = &self.scratch
            && let Ok(file) = ResultFile::new(scratch.path())
        {
            return Ok(file);
        }
        self.scratch = files::temporary_folder(); // who tidies up /tmp may have taken the last one
        let file = self.scratch.as_ref().map_err(startup::no_temporary_folder);
        file.and_then(|scratch| {
            ResultFile::new(scratch.path()).map_err(|error| startup::no_temporary_folder(&error))
        })
        .map_err(RunError::Unfit)
    }

    /// Starts a task's program. Where it cannot be started and the task is not to blame, this worker cannot
    /// work any more.
    fn start(&mut self, command: &mut Command, program: &str) -> Result<AttemptProcess, RunError> {
        let mut started = AttemptProcess::start(command);
        let too_much = [ErrorKind::ArgumentListTooLong, ErrorKind::InvalidInput];
        let is_of_task = started.as_ref().is_err_and(|error| too_much.contains(&error.kind()));
        if started.is_err() && !is_of_task && !self.limits.is_cancelled() {
            self.prepare().map_err(RunError::Unfit)?; // other processes may end meanwhile
            started = AttemptProcess::start(command);
        }
        let is_unfit = self.program.is_some() && !is_of_task;
        if started.is_ok() && self.program.is_none() && self.plan.kind.has_one_program() {
            self.program = Some(command.get_program().into());
        }
        started.map_err(|error| {
            let why = start_error::describe(program, &error);
            if is_unfit { RunError::Unfit(why) } else { RunError::Failed(why) }
        })
    }

    fn call(&mut self, task: &Task) -> Result<Scored, RunError> {
        let coordinates = task.passed_points();
        let points = self.job.nest.indices(self.job.nest.task(task.index));
        let seed = self.job.task_seed(task.index);
        let plan = self.plan.clone();
        let run = (task.index, seed, task.attempt);
        let facts = plan.facts(&self.job, run, task.workdir, self.place);
        let of = CallPoints { coordinates: &coordinates, points: &points };
        let variables = plan.task_variables(&self.job, of, &facts);
        let mut named = coordinates;
        named.push((RESERVED, facts.record()));
        let of = CallPoints { coordinates: &named, points: &points };
        let output = Arc::default();
        self.limits.gather((task.index, task.attempt), &output);
        let to = (task.workdir, Some(&output));
        let value = self.run(of, to, variables, task.job.needs_score())?;
        let is_boxed = |value: &Value| matches!(value, Value::List(items) if items.len() == 1);
        let is_of_r =
            |value: &Value| is_boxed(value) || value.field(&task.job.score).is_some_and(is_boxed);
        task.scored(value).map_err(|error| match error {
            RunError::NoScore { why, value } if is_of_r(&value) => RunError::NoScore { why: format!("{why}; R's jsonlite writes one number as a list unless toJSON gets auto_unbox = TRUE"), value },
            other => other,
        })
    }

    /// Runs the program once: placeholders get these points, and it gets these variables. It runs in that folder, and what
    /// it prints is gathered there. Returns what it gave; null if that is nothing, unless it `needs_value`.
    pub(super) fn run(
        &mut self,
        of: CallPoints,
        to: (Option<&Path>, Option<&Arc<RunOutput>>),
        variables: CallVariables,
        needs_value: bool,
    ) -> Result<ResultValue, RunError> {
        let result = self.result_file()?;
        let run = self.run_with(&result, to, of, (variables, needs_value));
        self.result = Some(result);
        run
    }

    fn run_with(
        &mut self,
        result: &ResultFile,
        (workdir, output): (Option<&Path>, Option<&Arc<RunOutput>>),
        CallPoints { coordinates, points }: CallPoints,
        (variables, needs_value): (CallVariables, bool),
    ) -> Result<ResultValue, RunError> {
        let (plan, job) = (self.plan.clone(), self.job.clone());
        let folder = workdir.unwrap_or(&job.folder);
        let point = |level: usize| points.get(level).copied();
        let cells = job.passed_cells(point);
        let fill = |template: &Template| template.fill(coordinates, &cells);
        let (mut command, program) = plan.kind.command(
            &job,
            coordinates,
            point,
            &self.environment,
            self.program.as_deref(),
        )?;
        command
            .current_dir(folder)
            .envs(plan.set(fill)?)
            .envs(variables.list)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let long_point = variables.long_point.map(|point| self.point_file(&point)).transpose()?;
        if let Some(file) = &long_point {
            command.env("GRIDMPI_POINT_FILE", file.path());
        }
        let files = match &plan.result {
            Some(wanted) => wanted.files(folder, workdir.is_some(), fill)?,
            None => {
                command.env("GRIDMPI_RESULT", result.path());
                Vec::new()
            }
        };
        let mut attempt = self.start(&mut command, &program)?;
        let (stdout, stderr) = (attempt.child.stdout.take(), attempt.child.stderr.take());
        let mut tails = [
            Tail::of(stdout.expect("piped"), KEPT_STDOUT).gathered(output),
            Tail::of(stderr.expect("piped"), KEPT_STDERR).gathered(output),
        ];
        self.limits.begin();
        let (ended, memory) = attempt.wait(&self.limits, &mut tails);
        self.memory = memory;
        let [stdout, stderr] = tails;
        let how = match ended {
            Ok(status) if status.success() => None,
            Ok(status) => Some(ended::settled(status)),
            Err(why) => Some(why.to_string()),
        };
        if let Some(how) = how {
            let why = format!("{program}: {how}");
            return Err(with_output(&why, stdout, stderr, KEPT_STDERR).into());
        }
        let printed = match (&plan.result, result.read()?) {
            (Some(wanted), _) => {
                let value = wanted.read(&files, Some(&stdout)).map(ResultValue::from);
                value.map_err(|why| NoValue::None(format!("{NO_RESULT}{why}")))
            }
            (None, Some(text)) => printed_value("the result file", text.into()),
            (None, None) => match stdout.last_line().map_err(|why| format!("{LAST_LINE} {why}"))? {
                Some(last) => printed_value(LAST_LINE, Bytes::copy_from_slice(last.as_bytes())),
                // No score needed: the program may be run for its side effects.
                None if !needs_value => Ok(Value::Null.into()),
                None => Err(NoValue::None(NOTHING.to_string())),
            },
        };
        printed.map_err(|no| match no {
            NoValue::None(why) => with_output(&why, stdout, stderr, KEPT_STDERR).into(),
            NoValue::Beyond(why) => why.into(),
        })
    }

    /// A file with points that are too long for a variable.
    fn point_file(&self, point: &str) -> Result<NamedTempFile, RunError> {
        let unfit = |error: &std::io::Error| RunError::Unfit(startup::no_temporary_folder(error));
        let scratch = self.scratch.as_ref().map_err(unfit)?;
        let mut builder = tempfile::Builder::new();
        let file = builder.prefix("point-").suffix(".json").tempfile_in(scratch.path());
        let filled = file.and_then(|mut file| file.write_all(point.as_bytes()).map(|()| file));
        filled.map_err(|error| unfit(&error))
    }
}

/// Checks that a program exists. Skipped if its name contains placeholders.
pub(crate) fn check(job: &Job, key: &str, program: &str) -> Result<()> {
    if !template(program).is_plain() {
        return Ok(());
    }
    find_program(&named_program(program, &job.folder))
        .map(drop)
        .map_err(|why| job.wrong(key, format!("the program \"{program}\" {why}")))
}
