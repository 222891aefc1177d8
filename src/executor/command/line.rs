//! What is started for a task: a program with its arguments, or a shell with its line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::job::placeholders::Template;
use crate::job::shell::script::ShellScript;
use crate::job::{CommandWords, CrunchSpec, Job, ShellLine};
use crate::model::Value;
use crate::util::programs::{find_program, named_program};

/// Before a line with pipes, makes bash look at the exit statuses of each pipe: those in front of the last
/// program are 0, or the program has ended by SIGPIPE, because the next one has read enough. (`pipefail`
/// cannot tell these apart, and would skip what follows `&&`.) The traps are inherited by functions and
/// subshells; a subshell that finds a failure tells the shell by SIGUSR1.
const PIPE_CHECK: &str = include_str!("../pipe_check.bash");

/// What the job has of a command, parsed; the threads of a process share it.
pub(crate) enum CommandKind {
    Words(CommandWords<Template>),
    Shell(ShellLine, ShellScript),
}

/// What is started for a task.
pub(super) struct CommandLine {
    /// The program's name for messages, and for a call by hand.
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    /// The variables with the values of placeholders.
    pub(super) variables: Vec<(String, String)>,
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

    pub(crate) fn of_command(words: &CommandWords) -> CommandKind {
        CommandKind::Words(words.parsed(&|text| template(text)))
    }

    pub(crate) fn of_shell(line: &ShellLine) -> CommandKind {
        let script = ShellScript::of(&line.line).expect("checked when the job was parsed");
        CommandKind::Shell(line.clone(), script)
    }

    /// Whether every task starts the same program.
    pub(super) fn has_one_program(&self) -> bool {
        match self {
            CommandKind::Words(words) => words.program.is_plain(),
            CommandKind::Shell(..) => true,
        }
    }

    /// The command line of one task, as one would write it by hand. `point` is the task's point in the loop at
    /// a level.
    pub(super) fn line(
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
    pub(super) fn command(
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

pub(super) fn template(text: &str) -> Template {
    Template::parse(text).expect("checked when the job was parsed")
}
