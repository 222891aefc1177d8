//! Any program as crunch: one process per task; its result is a file or the last line of its output.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;

use crate::executor::process::attempt::AttemptProcess;
use crate::executor::process::child::Limits;
use crate::executor::process::tail::Tail;
use crate::executor::process::{ended, environment, start_error};
use crate::executor::result_file::ResultFile;
#[cfg(feature = "cli")]
use crate::executor::workdir;
use crate::executor::{CallResult, Executor, Slot, Task, startup};
use crate::job::placeholders::{LONGEST_ARGUMENT, Template};
use crate::job::shell::script::ShellScript;
use crate::job::{CommandWords, CrunchSpec, Job, ShellLine, named_json};
use crate::model::value::json_text::JsonText;
use crate::model::value::printed::{PrintedError, parse_printed};
use crate::model::{ResultValue, RunError, Scored, Value, short};
use crate::util::error::Result;
use crate::util::files;
use crate::util::programs::{find_program, named_program};
use crate::wire::requests::MasterClient;

/// How much of the end of a program's output is kept. (bytes)
const KEPT_STDOUT: usize = 16 << 20;
const KEPT_STDERR: usize = 16 << 10;

const LAST_LINE: &str = "the last line on stdout";
const NOTHING: &str = "no result: no result file, and nothing on stdout";

/// Before a line with pipes, makes bash look at the exit statuses of each pipe: those in front of the last
/// program are 0, or the program has ended by SIGPIPE, because the next one has read enough. (`pipefail`
/// cannot tell these apart, and would skip what follows `&&`.) The traps are inherited by functions and
/// subshells; a subshell that finds a failure tells the shell by SIGUSR1.
const PIPE_CHECK: &str = include_str!("pipe_check.bash");

/// A command line or shell script with placeholders, filled in per task.
pub(crate) struct CommandExecutor {
    job: Arc<Job>,
    /// The environment of every child process.
    environment: Vec<(OsString, OsString)>,
    kind: Arc<CommandKind>,
    limits: Limits,
    /// Folder for the folders of result files; deleted with the executor.
    scratch: std::io::Result<tempfile::TempDir>,
    result: Option<ResultFile>,
    /// The program that every task starts, once one was started here.
    program: Option<PathBuf>,
    /// The key that names the program, and the program, where that is a command.
    named: Option<(&'static str, String)>,
}

/// What the job has of a command, parsed; the threads of a process share it.
pub(super) enum CommandKind {
    Words(CommandWords<Template>),
    Shell(ShellLine, ShellScript),
}

impl CommandExecutor {
    pub(super) fn new(
        job: &Arc<Job>,
        kind: &Arc<CommandKind>,
        caller: &Arc<dyn MasterClient>,
        place: Slot,
    ) -> CommandExecutor {
        let limits = Limits::new(job.policy.timeout, Some(caller));
        let named = match &job.crunch {
            CrunchSpec::Command(words) => Some(("crunch.command", words.program.clone())),
            _ => None,
        };
        CommandExecutor::with(job, kind, (limits, place), named)
    }

    pub(super) fn with(
        job: &Arc<Job>,
        kind: &Arc<CommandKind>,
        (limits, place): (Limits, Slot),
        named: Option<(&'static str, String)>,
    ) -> CommandExecutor {
        let scratch = files::temporary_folder();
        let environment = environment::of_children(place);
        CommandExecutor {
            job: job.clone(),
            environment,
            kind: kind.clone(),
            limits,
            scratch,
            result: None,
            program: None,
            named,
        }
    }
}

/// What is started for a task.
struct CommandLine {
    /// The program's name for messages, and for a call by hand.
    program: String,
    arguments: Vec<String>,
    /// The variables with the values of placeholders.
    variables: Vec<(String, String)>,
}

impl CommandKind {
    /// Nothing if crunch is no command.
    pub(super) fn of(crunch: &CrunchSpec) -> Option<CommandKind> {
        match crunch {
            CrunchSpec::Command(words) => Some(CommandKind::of_command(words)),
            CrunchSpec::Shell(line) => Some(CommandKind::of_shell(line)),
            _ => None,
        }
    }

    pub(super) fn of_command(words: &CommandWords) -> CommandKind {
        CommandKind::Words(words.parsed(&|text| template(text)))
    }

    pub(super) fn of_shell(line: &ShellLine) -> CommandKind {
        let script = ShellScript::of(&line.line).expect("checked when the job was parsed");
        CommandKind::Shell(line.clone(), script)
    }

    /// Whether every task starts the same program.
    fn has_one_program(&self) -> bool {
        match self {
            CommandKind::Words(words) => words.program.is_plain(),
            CommandKind::Shell(..) => true,
        }
    }

    /// The command line of one task, as one would write it by hand. `point` is the task's point in the loop at
    /// a level.
    fn line(
        &self,
        job: &Job,
        coordinates: &[(&str, Value)],
        point: impl Fn(usize) -> Option<u64>,
    ) -> Result<CommandLine, String> {
        match self {
            CommandKind::Words(words) => {
                let arguments = words.arguments(&point).map_err(|level| {
                    let name = &job.nest.loops()[level].name;
                    format!("this task's point of loop '{name}' is not in the job any more")
                })?;
                let cells = job.passed_cells(point);
                let fill = |template: &Template| template.fill(coordinates, &cells);
                let program = fill(&words.program)?;
                let program = named_program(&program, &job.folder).to_string_lossy().into_owned();
                let arguments = arguments.into_iter().map(fill).collect::<Result<_, String>>()?;
                Ok(CommandLine { program, arguments, variables: Vec::new() })
            }
            CommandKind::Shell(line, script) => {
                let cells = job.passed_cells(point);
                let named = |(name, value): (&str, String)| (name.to_string(), value);
                let mut arguments = vec!["-c".to_string(), script.text.clone()];
                if line.is_bash() {
                    // Under ssh, and so under mpirun, bash would read ~/.bashrc.
                    arguments.insert(0, "--norc".to_string());
                }
                Ok(CommandLine {
                    program: line.shell.clone(),
                    arguments,
                    variables: script
                        .variables(coordinates, &cells)?
                        .into_iter()
                        .map(named)
                        .collect(),
                })
            }
        }
    }

    /// The command of one task, and the program's name for messages. `known` is the program that every task
    /// starts, if it was found before.
    fn command(
        &self,
        job: &Job,
        coordinates: &[(&str, Value)],
        point: impl Fn(usize) -> Option<u64>,
        environment: &[(OsString, OsString)],
        known: Option<&Path>,
    ) -> Result<(Command, String), String> {
        let CommandLine { program, mut arguments, variables } =
            self.line(job, coordinates, point)?;
        if let (CommandKind::Shell(_, ShellScript { has_pipe: true, .. }), Some(script)) =
            (self, arguments.last_mut())
        {
            script.insert_str(0, PIPE_CHECK);
        }
        // Resolve the program here: with a changed environment, a PATH lookup at spawn time costs an extra
        // fork.
        let found = || find_program(Path::new(&program));
        let found = known.map_or_else(found, |known| Ok(known.to_path_buf()));
        let mut command = Command::new(found.unwrap_or_else(|_| PathBuf::from(&program)));
        let environment = environment.iter().map(|(name, value)| (name, value));
        command.args(arguments).env_clear().envs(environment).envs(variables);
        Ok((command, program))
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

    fn crunch(&mut self, task: &Task) -> CallResult {
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
        if started.is_ok() && self.program.is_none() && self.kind.has_one_program() {
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
        let variables = variables(&coordinates, Some(task.index), seed, task.attempt);
        let folder = task.workdir.map(|folder| folder.to_string_lossy().into_owned());
        let variables = variables.chain(folder.map(|folder| ("GRIDMPI_WORKDIR", folder)));
        let at = (&*coordinates, &*points);
        let value = self.run(at, task.workdir, variables, task.job.needs_score())?;
        let is_boxed = |value: &Value| matches!(value, Value::List(items) if items.len() == 1);
        let is_of_r =
            |value: &Value| is_boxed(value) || value.field(&task.job.score).is_some_and(is_boxed);
        task.scored(value).map_err(|error| match error {
            RunError::NoScore { why, value } if is_of_r(&value) => RunError::NoScore { why: format!("{why}; R's jsonlite writes one number as a list unless toJSON gets auto_unbox = TRUE"), value },
            other => other,
        })
    }

    /// Runs the program once, at these points by name and by level, in this folder, or that of the job, with these
    /// variables. Returns what it gave; null if that is nothing, unless it `needs_value`.
    pub(super) fn run(
        &mut self,
        at: (&[(&str, Value)], &[u64]),
        workdir: Option<&Path>,
        variables: impl Iterator<Item = (&'static str, String)>,
        needs_value: bool,
    ) -> Result<ResultValue, RunError> {
        let result = self.result_file()?;
        let run = self.run_with((&result, workdir), at, variables, needs_value);
        self.result = Some(result);
        run
    }

    fn run_with(
        &mut self,
        (result, workdir): (&ResultFile, Option<&Path>),
        (coordinates, points): (&[(&str, Value)], &[u64]),
        variables: impl Iterator<Item = (&'static str, String)>,
        needs_value: bool,
    ) -> Result<ResultValue, RunError> {
        let (mut command, program) = self.kind.command(
            &self.job,
            coordinates,
            |level: usize| points.get(level).copied(),
            &self.environment,
            self.program.as_deref(),
        )?;
        command
            .current_dir(workdir.unwrap_or(&self.job.folder))
            .envs(variables)
            .env("GRIDMPI_RESULT", result.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut attempt = self.start(&mut command, &program)?;
        let (stdout, stderr) = (attempt.child.stdout.take(), attempt.child.stderr.take());
        let mut tails = [
            Tail::of(stdout.expect("piped"), KEPT_STDOUT),
            Tail::of(stderr.expect("piped"), KEPT_STDERR),
        ];
        self.limits.begin();
        let ended = attempt.wait(&self.limits, &mut tails);
        let [stdout, stderr] = tails;
        let how = match ended {
            Ok(status) if status.success() => None,
            Ok(status) => Some(ended::settled(status)),
            Err(why) => Some(why.to_string()),
        };
        if let Some(how) = how {
            return Err(with_output(&format!("{program}: {how}"), stdout, stderr).into());
        }
        let printed = match result.read()? {
            Some(text) => value("the result file", text.into()),
            None => match stdout.last_line().map_err(|why| format!("{LAST_LINE} {why}"))? {
                Some(last) => value(LAST_LINE, Bytes::copy_from_slice(last.as_bytes())),
                // No score needed: the program may be run for its side effects.
                None if !needs_value => Ok(Value::Null.into()),
                None => Err(NoValue::None(NOTHING.to_string())),
            },
        };
        printed.map_err(|no| match no {
            NoValue::None(why) => with_output(&why, stdout, stderr).into(),
            NoValue::Beyond(why) => why.into(),
        })
    }
}

/// Why there is no result, with the ends of what the program wrote to stdout and to stderr.
fn with_output(why: &str, stdout: Tail, stderr: Tail) -> String {
    let (stdout, stderr) = (stdout.end(KEPT_STDERR), stderr.text());
    let (stdout, stderr) = (stdout.trim_end(), stderr.trim_end());
    let is_quoted = why.starts_with(LAST_LINE) && !stdout.trim_start().contains('\n');
    match (if is_quoted { "" } else { stdout }, stderr) {
        ("", "") if is_quoted || why == NOTHING => why.to_string(),
        ("", "") => format!("{why}\nit wrote nothing to stdout and stderr"),
        ("", stderr) => format!("{why}\n{stderr}"),
        (stdout, "") => {
            format!("{why}\nit wrote nothing to stderr; the end of its stdout:\n{stdout}")
        }
        // The last line is the one that says most.
        (stdout, stderr) => {
            format!("{why}\nthe end of its stdout:\n{stdout}\nthe end of its stderr:\n{stderr}")
        }
    }
}

/// The environment variables that describe the task; a final call is none.
pub(super) fn variables(
    coordinates: &[(&str, Value)],
    task: Option<u64>,
    seed: u32,
    attempt: u32,
) -> impl Iterator<Item = (&'static str, String)> {
    let task = task.map(|task| ("GRIDMPI_TASK", task.to_string()));
    let variables = [
        ("GRIDMPI_SEED", seed.to_string()),
        ("GRIDMPI_ATTEMPT", attempt.to_string()),
        ("GRIDMPI_POINT", named_json(coordinates).to_string()),
    ];
    // With a longer one, no program could be started.
    task.into_iter().chain(variables).filter(|(_, value)| value.len() <= LONGEST_ARGUMENT)
}

/// A shell command line that repeats one task's call by hand: in the job's folder, with the same environment
/// variables, and the result on stdout. None if crunch is not a command.
#[cfg(feature = "cli")]
pub(crate) fn by_hand(
    job: &Job,
    coordinates: &[(&str, Value)],
    (task, seed): (u64, u32),
    attempt: u32,
) -> Option<Result<String, String>> {
    let kind = CommandKind::of(&job.crunch)?;
    let line = || {
        // The table may have changed since.
        let point = |level: usize| {
            let points = &job.nest.loops()[level].points;
            let (_, value) = coordinates.get(level)?;
            (0..points.len()).find(|i| points.get(*i) == *value)
        };
        let passed = coordinates.iter().enumerate();
        let passed = passed.map(|(at, (name, value))| (*name, job.passed(at, value).into_owned()));
        let passed: Vec<(&str, Value)> = passed.collect();
        let mut line = match &job.workdir {
            Some(_) => workdir::by_hand(job, coordinates, &point)?,
            None => format!("cd {} &&", quoted(&job.folder.to_string_lossy())),
        };
        let CommandLine { program, arguments, variables: values } =
            kind.line(job, &passed, point)?;
        let given: Vec<(&str, String)> = variables(&passed, Some(task), seed, attempt).collect();
        let result = ("GRIDMPI_RESULT", "/dev/stdout".to_string());
        let values = values.iter().map(|(name, value)| (name.as_str(), value.clone()));
        for (name, value) in given.into_iter().chain([result]).chain(values) {
            line += &format!(" {name}={}", quoted(&value));
        }
        if job.workdir.is_some() {
            line += " GRIDMPI_WORKDIR=\"$PWD\"";
        }
        for word in std::iter::once(&program).chain(&arguments) {
            line += &format!(" {}", quoted(word));
        }
        Ok(line)
    };
    Some(line())
}

/// A word for a shell, in single quotes if it needs any.
#[cfg(feature = "cli")]
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+,@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Why there is no value.
enum NoValue {
    /// The program has printed none.
    None(String),
    /// It has, and it cannot be stored.
    Beyond(String),
}

/// The value that a program has printed.
fn value(place: &str, text: Bytes) -> Result<ResultValue, NoValue> {
    if let Some(json) = JsonText::take(&text, 0..text.len(), "") {
        return Ok(ResultValue::Json(json));
    }
    let text = std::str::from_utf8(&text).expect("from a string");
    parse_printed(text).map(ResultValue::from).map_err(|error| match error {
        PrintedError::Neither(why) => {
            let text = text.trim();
            let hint = match text {
                "None" => "a Python function without `return` gives it",
                _ => &why,
            };
            let text = short(&text.into());
            NoValue::None(format!("{place} is neither a number nor JSON: {text} ({hint})"))
        }
        PrintedError::Beyond(why) => NoValue::Beyond(format!("{place} cannot be stored: {why}")),
    })
}

fn template(text: &str) -> Template {
    Template::parse(text).expect("checked when the job was parsed")
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
