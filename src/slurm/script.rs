//! A batch script for sbatch: complete, commented, and able to have itself started again.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shlex::try_quote;

use super::proposal::Shape;
use super::time::limit;
use crate::error::{Error, Result};

/// All that a script says.
pub(crate) struct Script<'a> {
    /// What is in the first comment.
    pub(crate) about: Vec<String>,
    pub(crate) name: &'a str,
    /// The job files and their results folders; several make a job array.
    pub(crate) jobs: Vec<(PathBuf, PathBuf)>,
    pub(crate) shape: Shape,
    pub(crate) ntasks_per_node: u32,
    pub(crate) threads: u32,
    pub(crate) partition: Option<&'a str>,
    /// How long before the end Slurm is to say so.
    pub(crate) warning: Duration,
    pub(crate) requeues: u32,
    /// The launcher and its options.
    pub(crate) launcher: Vec<String>,
    pub(crate) modules: &'a [String],
    pub(crate) venv: Option<&'a str>,
    pub(crate) setup: &'a [String],
    /// More options for sbatch, one a line.
    pub(crate) options: Vec<String>,
    /// This program, and where it was called.
    pub(crate) gridmpi: &'a Path,
    pub(crate) folder: &'a Path,
}

impl Script<'_> {
    /// The script.
    pub(crate) fn text(&self) -> Result<String> {
        let login = if self.modules.is_empty() { "" } else { " -l" }; // so that there is `module`
        let mut text = format!("#!/bin/bash{login}\n");
        for line in &self.about {
            let _ = writeln!(text, "# {line}");
        }
        self.options(&mut text);
        self.surroundings(&mut text)?;
        self.start(&mut text)?;
        self.end(&mut text);
        Ok(text)
    }

    fn is_array(&self) -> bool {
        self.jobs.len() > 1
    }

    fn options(&self, text: &mut String) {
        let Shape { nodes, time } = self.shape;
        let mut options = vec![
            format!("--job-name={}", self.name),
            format!("--nodes={nodes}"),
            format!("--ntasks-per-node={}", self.ntasks_per_node),
            format!("--cpus-per-task={}", self.threads),
            format!("--time={}", limit(time)),
        ];
        options.extend(self.partition.map(|partition| format!("--partition={partition}")));
        if self.is_array() {
            options.push(format!("--array=0-{}", self.jobs.len() - 1));
        }
        options.push(format!("--chdir={}", self.folder.display()));
        let log = if self.is_array() { "%A_%a" } else { "%j" };
        options.push(format!("--output={}-{log}.log", self.name));
        directives(text, &options);
        text.push_str("# All starts of the job write to one log; a node that dies does not end it; it may be\n");
        text.push_str("# started again; and Slurm says before the limit that it is near.\n");
        let warning = format!("--signal=B:USR1@{}", self.warning.as_secs());
        let fixed = ["--open-mode=append", "--no-kill", "--requeue", &warning];
        directives(text, &fixed.map(String::from));
        if !self.options.is_empty() {
            text.push_str(
                "# As asked for; the last one of two that contradict each other counts.\n",
            );
            directives(text, &self.options);
        }
    }

    fn surroundings(&self, text: &mut String) -> Result<()> {
        text.push('\n');
        if !self.modules.is_empty() {
            let modules: Vec<String> =
                self.modules.iter().map(|m| quoted(m)).collect::<Result<_>>()?;
            let _ = writeln!(text, "module load {}", modules.join(" "));
        }
        if let Some(venv) = self.venv {
            let activate = format!("{venv}/bin/activate");
            let _ = writeln!(text, "source {}", quoted(&activate)?);
        }
        for line in self.setup {
            let _ = writeln!(text, "{line}");
        }
        Ok(())
    }

    fn start(&self, text: &mut String) -> Result<()> {
        let quoted_path = |path: &Path| quoted(&path.display().to_string());
        let (job, out) = match &self.jobs[..] {
            [(job, out)] => (quoted_path(job)?, quoted_path(out)?),
            jobs => {
                let list = |paths: Vec<&PathBuf>| -> Result<String> {
                    Ok(paths
                        .into_iter()
                        .map(|p| quoted_path(p))
                        .collect::<Result<Vec<_>>>()?
                        .join(" "))
                };
                text.push_str(
                    "# One job of the array for each job file, with a results folder of its own.\n",
                );
                let _ =
                    writeln!(text, "jobs=({})", list(jobs.iter().map(|(job, _)| job).collect())?);
                let _ = writeln!(
                    text,
                    "folders=({})",
                    list(jobs.iter().map(|(_, out)| out).collect())?
                );
                let of = |list: &str| format!("\"${{{list}[$SLURM_ARRAY_TASK_ID]}}\"");
                (of("jobs"), of("folders"))
            }
        };
        text.push_str(
            "# The supervisor starts the launcher, and starts it again if that ends before the job does.\n",
        );
        let grace =
            self.warning.saturating_sub(Duration::from_secs(15)).max(Duration::from_secs(5));
        let mut line = format!(
            "{} launch -n \"$SLURM_NTASKS\" --threads {}",
            quoted_path(self.gridmpi)?,
            self.threads
        );
        if self.threads > 1 {
            line += " --master-works"; // a rank is too much to leave it to dispensing
        }
        let (program, more) = self.launcher.split_first().expect("a launcher has a name");
        let _ = write!(line, " --grace {} --mpirun {}", grace.as_secs(), quoted(program)?);
        let _ = write!(line, " \\\n    {job} --out {out}");
        if !more.is_empty() {
            let more: Vec<String> =
                more.iter().map(|word| argument(word)).collect::<Result<_>>()?;
            let _ = write!(line, " -- {}", more.join(" "));
        }
        let _ = writeln!(text, "{line} &\ngridmpi=$!");
        Ok(())
    }

    fn end(&self, text: &mut String) {
        let _ = write!(
            text,
            r#"
# Slurm's warning goes to gridmpi, which heeds it where it does not know the end itself. What scancel
# ends stays ended. To end it softly: scancel --batch --signal=USR2 "$SLURM_JOB_ID"
cancelled=
trap 'kill -USR1 "$gridmpi"' USR1
trap 'kill -USR2 "$gridmpi"; cancelled=yes' USR2
trap 'cancelled=yes' TERM
while kill -0 "$gridmpi" 2>/dev/null; do wait "$gridmpi"; done # a signal interrupts a wait
wait "$gridmpi"
status=$?

# 75: there was no time left. What is done is stored; the same job goes on with the rest.
if [ "$status" = 75 ] && [ -z "$cancelled" ]; then
    if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {requeues} ]; then
        scontrol requeue "$SLURM_JOB_ID" || echo "requeue is refused here: submit this script again to go on" >&2
    else
        echo "requeued {requeues} times: submit this script again to go on" >&2
    fi
fi
exit "$status"
"#,
            requeues = self.requeues
        );
    }
}

fn directives(text: &mut String, options: &[String]) {
    for option in options {
        let _ = writeln!(text, "#SBATCH {}", directive(option));
    }
}

/// sbatch splits at blanks, except in quotes.
fn directive(option: &str) -> String {
    match option.split_once('=') {
        Some((name, value)) if value.contains(char::is_whitespace) && !value.contains('"') => {
            format!("{name}=\"{value}\"")
        }
        _ => option.to_string(),
    }
}

fn quoted(text: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(text.to_string());
    }
    let quoted = try_quote(text);
    quoted.map(String::from).map_err(|_| Error::input(format!("{text:?} cannot stand in a script")))
}

/// A word of the launcher's; variables of Slurm's are filled in where the script runs.
fn argument(word: &str) -> Result<String> {
    match word.split_once("$SLURM_") {
        Some(_) if !word.contains('"') => Ok(format!("\"{word}\"")),
        _ => quoted(word),
    }
}
