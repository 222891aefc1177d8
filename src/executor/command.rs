//! Any program as crunch: one process per task; its result is a file or the last line of its output.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::executor::process::child::{self, Limits};
use crate::executor::process::tail::Tail;
use crate::executor::process::{ended, environment};
use crate::executor::{CallResult, Executor, RESULT_LIMIT, Slot, Task, startup, too_large};
use crate::job::placeholders::Template;
use crate::job::{self, Job, named_json};
use crate::model::{RunError, Scored, Value, short};
use crate::util::error::Result;
use crate::util::files;
use crate::wire::requests::MasterClient;

/// How much of the end of a program's output is kept. (bytes)
const KEPT_STDOUT: usize = 1 << 20;
const KEPT_STDERR: usize = 16 << 10;

/// A command line or shell script with placeholders, filled in per task.
pub(crate) struct CommandExecutor {
    job: Arc<Job>,
    /// The environment of every child process.
    environment: Vec<(OsString, OsString)>,
    kind: CommandKind,
    limits: Limits,
    /// Folder for result files; deleted with the executor.
    scratch: std::io::Result<tempfile::TempDir>,
}

enum CommandKind {
    Arguments(Vec<Template>),
    Shell(Template),
}

impl CommandExecutor {
    pub(crate) fn arguments(
        job: &Arc<Job>,
        arguments: &[String],
        caller: &Arc<dyn MasterClient>,
        place: Slot,
    ) -> CommandExecutor {
        let kind = CommandKind::Arguments(arguments.iter().map(|a| template(a)).collect());
        CommandExecutor::new(job, kind, caller, place)
    }

    pub(crate) fn shell(
        job: &Arc<Job>,
        text: &str,
        caller: &Arc<dyn MasterClient>,
        place: Slot,
    ) -> CommandExecutor {
        CommandExecutor::new(job, CommandKind::Shell(template(text)), caller, place)
    }

    fn new(
        job: &Arc<Job>,
        kind: CommandKind,
        caller: &Arc<dyn MasterClient>,
        place: Slot,
    ) -> CommandExecutor {
        let scratch = files::temporary_folder();
        let limits = Limits::new(job.policy.timeout, Some(caller));
        let environment = environment::of_children(place);
        CommandExecutor { job: job.clone(), environment, kind, limits, scratch }
    }
}

impl CommandKind {
    /// The command of one task, and the program's name for messages. `point` is the task's point in the loop
    /// at a level.
    fn command(
        &self,
        job: &Job,
        coordinates: &[(&str, Value)],
        point: impl Fn(usize) -> Option<u64>,
    ) -> Result<(Command, String), String> {
        let cell = |name: &str, field: &str| {
            let level = job.nest.loops().iter().position(|l| l.name == name)?;
            job.nest.loops()[level].points.cell(point(level)?, field)
        };
        match self {
            CommandKind::Arguments(templates) => {
                let fill = |template: &Template| template.fill(coordinates, cell, Ok);
                let mut arguments = templates.iter().map(fill);
                let program = arguments.next().expect("checked when the job was parsed")?;
                let file = locate(job, &program);
                // Resolve the program here: with a changed environment, a PATH lookup at spawn time costs an
                // extra fork.
                let found = find_program(&file).and_then(|found| {
                    std::path::absolute(found).map_err(|error| error.to_string())
                });
                let mut command = Command::new(found.as_ref().unwrap_or(&file));
                for argument in arguments {
                    command.arg(argument?);
                }
                Ok((command, file.to_string_lossy().into_owned()))
            }
            CommandKind::Shell(template) => {
                let quote = |value: String| match shlex::try_quote(&value) {
                    Ok(quoted) => Ok(quoted.into_owned()),
                    Err(_) => Err("a value with a zero byte cannot be quoted".to_string()),
                };
                let mut command = Command::new("/bin/sh");
                command.arg("-c").arg(template.fill(coordinates, cell, quote)?);
                Ok((command, "/bin/sh".to_string()))
            }
        }
    }
}

impl Executor for CommandExecutor {
    fn prepare(&mut self) -> Result<(), String> {
        startup::check_programs()?;
        match &self.job.crunch {
            job::CrunchSpec::Command(words) => check(&self.job, "crunch.command", &words[0]),
            _ => Ok(()),
        }
        .map_err(|error| error.to_string())
    }

    fn crunch(&mut self, task: &Task) -> CallResult {
        CallResult::from(self.call(task))
    }
}

impl CommandExecutor {
    fn call(&mut self, task: &Task) -> Result<Scored, RunError> {
        let coordinates = task.coordinates();
        let scratch = self.scratch.as_ref().map_err(|e| format!("no scratch folder: {e}"))?;
        let result = scratch.path().join("result");
        let points = self.job.nest.indices(self.job.nest.task(task.index));
        let point = |level: usize| points.get(level).copied();
        let (mut command, program) = self.kind.command(&self.job, &coordinates, point)?;
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.job.folder)
            .envs(variables(&self.job, &coordinates, task.index, task.attempt))
            .env("GRIDMPI_RESULT", &result)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child =
            child::spawn(&mut command).map_err(|e| format!("{program} cannot be started: {e}"))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut tails = [
            Tail::of(stdout.expect("piped"), KEPT_STDOUT),
            Tail::of(stderr.expect("piped"), KEPT_STDERR),
        ];
        self.limits.begin();
        let ended = child::wait(&mut child, &self.limits, &mut tails);
        let [stdout, stderr] = tails.map(Tail::text);
        let written = read_result(&result);
        let how = match ended {
            Ok(status) if status.success() => None,
            Ok(status) => Some(ended::settled(status)),
            Err(why) => Some(why.to_string()),
        };
        if let Some(how) = how {
            let stderr = stderr.trim_end();
            let stderr = if stderr.is_empty() { "it wrote nothing to stderr" } else { stderr };
            return Err(format!("{program}: {how}\n{stderr}").into());
        }
        let value = match written? {
            Some(text) => Value::parse(&text)
                .map_err(|why| format!("the result file is neither a number nor JSON: {why}")),
            None => match stdout.lines().rev().find(|line| !line.trim().is_empty()) {
                Some(last) => Value::parse(last).map_err(|_| {
                    let line = short(&last.into());
                    format!("the last line on stdout is neither a number nor JSON: {line}")
                }),
                // No score needed: the program may be run for its side effects.
                None if !task.job.needs_score() => Ok(Value::Null),
                None => Err("no result: no result file, and nothing on stdout".to_string()),
            },
        };
        task.scored(value?)
    }
}

/// The environment variables that describe the task.
fn variables(
    job: &Job,
    coordinates: &[(&str, Value)],
    task: u64,
    attempt: u32,
) -> [(&'static str, String); 4] {
    [
        ("GRIDMPI_TASK", task.to_string()),
        ("GRIDMPI_SEED", job.task_seed(coordinates).to_string()),
        ("GRIDMPI_ATTEMPT", attempt.to_string()),
        ("GRIDMPI_POINT", named_json(coordinates).to_string()),
    ]
}

/// A shell command line that repeats one task's call by hand: in the job's folder, with the same environment
/// variables, and the result on stdout. None if crunch is not a command.
#[cfg(feature = "cli")]
pub(crate) fn by_hand(
    job: &Job,
    coordinates: &[(&str, Value)],
    task: u64,
    attempt: u32,
) -> Option<Result<String, String>> {
    let kind = match &job.crunch {
        job::CrunchSpec::Command(arguments) => {
            CommandKind::Arguments(arguments.iter().map(|a| template(a)).collect())
        }
        job::CrunchSpec::Shell(text) => CommandKind::Shell(template(text)),
        _ => return None,
    };
    let line = || {
        // The table may have changed since.
        let point = |level: usize| {
            let points = &job.nest.loops()[level].points;
            let (_, value) = coordinates.get(level)?;
            (0..points.len()).find(|i| points.get(*i) == *value)
        };
        let (command, program) = kind.command(job, coordinates, point)?;
        let quote = |text: &str| {
            let quoted = shlex::try_quote(text);
            quoted.map(|q| q.into_owned()).map_err(|_| "a zero byte cannot be quoted".to_string())
        };
        let lossy = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let mut line = format!("cd {} &&", quote(&lossy(job.folder.as_os_str()))?);
        for (name, value) in variables(job, coordinates, task, attempt) {
            line += &format!(" {name}={}", quote(&value)?);
        }
        line += " GRIDMPI_RESULT=/dev/stdout";
        line += &format!(" {}", quote(&program)?);
        for word in command.get_args() {
            line += &format!(" {}", quote(&lossy(word))?);
        }
        Ok(line)
    };
    Some(line())
}

/// Reads and removes the result file, if the program wrote one.
fn read_result(path: &Path) -> Result<Option<String>, String> {
    let Ok(file) = fs::File::open(path) else { return Ok(None) };
    let mut text = String::new();
    let read = file.take(RESULT_LIMIT + 1).read_to_string(&mut text);
    let removed = fs::remove_file(path);
    match read {
        Ok(read) if read as u64 > RESULT_LIMIT => {
            Err(too_large(format_args!("{read} bytes, over the limit of {RESULT_LIMIT}")))
        }
        Err(error) => Err(format!("the result file cannot be read: {error}")),
        Ok(_) => removed.map(|()| Some(text)).map_err(|e| format!("the result file stays: {e}")),
    }
}

fn template(text: &str) -> Template {
    Template::parse(text).expect("checked when the job was parsed")
}

/// A program with a slash in its name is relative to the job file; any other is looked up in PATH.
fn locate(job: &Job, program: &str) -> PathBuf {
    if program.contains('/') { job.folder.join(program) } else { PathBuf::from(program) }
}

/// Checks that a program exists. Skipped if its name contains placeholders.
pub(crate) fn check(job: &Job, key: &str, program: &str) -> Result<()> {
    if !template(program).is_plain() {
        return Ok(());
    }
    find_program(&locate(job, program))
        .map(drop)
        .map_err(|why| job.wrong(key, format!("the program \"{program}\" {why}")))
}

/// The path of the executable that `program` resolves to.
pub(crate) fn find_program(program: &Path) -> Result<PathBuf, String> {
    use std::os::unix::fs::PermissionsExt;
    let runs = |path: &Path| {
        fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() > 1 {
        return match (program.exists(), runs(program)) {
            (_, true) => Ok(program.to_path_buf()),
            (true, _) => Err(format!("is not executable: {} (chmod +x?)", program.display())),
            _ => Err(format!("is not there: {}", program.display())),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|p| runs(p));
    found.ok_or_else(|| "is not on PATH".to_string())
}
