//! A batch script for sbatch: complete, commented, and able to have itself started again.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shlex::try_quote;

use crate::util::duration::limit;
use crate::util::error::{Error, Result};

/// What to ask Slurm for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ResourceRequest {
    pub(crate) nodes: u32,
    pub(crate) time: Duration,
}

/// All that a script says.
pub(crate) struct Script<'a> {
    /// What is in the first comment.
    pub(crate) about: Vec<String>,
    pub(crate) name: &'a str,
    /// The job files and their results folders; several make a job array.
    pub(crate) jobs: Vec<(PathBuf, PathBuf)>,
    pub(crate) shape: ResourceRequest,
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
    /// More options for sbatch, one a line, as it reads them.
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
            // A file's name may go on in another line, where it would be no comment.
            let _ = writeln!(text, "# {}", line.replace(char::is_control, "?"));
        }
        self.options(&mut text)?;
        self.surroundings(&mut text)?;
        self.start(&mut text)?;
        self.end(&mut text);
        Ok(text)
    }

    fn is_array(&self) -> bool {
        self.jobs.len() > 1
    }

    fn options(&self, text: &mut String) -> Result<()> {
        let ResourceRequest { nodes, time } = self.shape;
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
        options.push(format!("--chdir={}", in_words(self.folder)?));
        let log = if self.is_array() { "%A_%a" } else { "%j" };
        // A backslash would have sbatch fill in nothing.
        let name = self.name.replace('%', "%%").replace('\\', "_");
        options.push(format!("--output={name}-{log}.log"));
        let options = options.iter().map(|option| word(option));
        directives(text, &options.collect::<Result<Vec<_>>>()?);
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
        Ok(())
    }

    fn surroundings(&self, text: &mut String) -> Result<()> {
        text.push('\n');
        if !self.modules.is_empty() {
            let modules: Vec<String> =
                self.modules.iter().map(|m| quoted(m)).collect::<Result<_>>()?;
            let _ = writeln!(text, "module load {} || exit", modules.join(" "));
        }
        if let Some(venv) = self.venv {
            let (home, path) = venv.strip_prefix("~/").map_or(("", venv), |path| ("~/", path));
            let activate = quoted(&format!("{path}/bin/activate"))?;
            let _ = writeln!(text, "source {home}{activate} || exit");
        }
        for line in self.setup {
            let _ = writeln!(text, "{line}");
        }
        Ok(())
    }

    fn start(&self, text: &mut String) -> Result<()> {
        let quoted_path = |path: &Path| quoted(in_words(path)?);
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
        let _ = writeln!(text, "#SBATCH {option}");
    }
}

/// A word as sbatch reads it behind `#SBATCH`: blanks, quotes, backslashes and `#` mean something there.
pub(crate) fn word(text: &str) -> Result<String> {
    if text.contains(char::is_control) {
        return Err(Error::input(format!(
            "{text:?} cannot be told sbatch: expected one line of text"
        )));
    }
    if !text.contains(|c: char| c.is_whitespace() || "'\"\\#".contains(c)) {
        return Ok(text.to_string());
    }
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    Ok(match text.split_once('=') {
        Some((name, value)) if name.starts_with("--") => format!("{name}=\"{}\"", escaped(value)),
        _ => format!("\"{}\"", escaped(text)),
    })
}

/// What the job file has behind `#SBATCH`: several words if it says so, or one value with blanks.
pub(crate) fn line(text: &str) -> Result<String> {
    match text.split_once('=') {
        Some((_, value)) if !value.contains(['"', '\'']) => word(text),
        _ => Ok(text.to_string()),
    }
}

/// A path as a script can name it.
fn in_words(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::input(format!("{}: not UTF-8, which a script cannot name", path.display()))
    })
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
    const FILLED_IN: &str = "$SLURM_";
    if !word.contains(FILLED_IN) {
        return quoted(word);
    }
    let mut text = String::from("\"");
    for (at, letter) in word.char_indices() {
        let filled_in = word[at..].starts_with(FILLED_IN);
        if "\"\\`".contains(letter) || (letter == '$' && !filled_in) {
            text.push('\\');
        }
        text.push(letter);
    }
    text.push('"');
    Ok(text)
}
