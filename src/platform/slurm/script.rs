//! Writes a batch script for sbatch: complete, commented, and able to requeue its job.

use std::path::{Path, PathBuf};
use std::time::Duration;

use shlex::try_quote;

use crate::util::duration::limit;
use crate::util::error::{Error, Result};

/// The requested resources.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ResourceRequest {
    pub(crate) nodes: u32,
    pub(crate) time: Duration,
}

/// The content of a batch script.
pub(crate) struct Script<'a> {
    /// The first comment.
    pub(crate) about: Vec<String>,
    pub(crate) name: &'a str,
    /// The number of parts of the only job, which then make an array.
    pub(crate) parts: Option<u32>,
    /// The job files and their results folders; several make a job array.
    pub(crate) jobs: Vec<(PathBuf, PathBuf)>,
    pub(crate) shape: ResourceRequest,
    pub(crate) ntasks_per_node: u32,
    pub(crate) threads: u32,
    pub(crate) cpus_per_task: u32,
    /// Whether rank 0 runs tasks too. With several threads per rank it is too large for the event loop alone.
    pub(crate) master_works: bool,
    pub(crate) partition: Option<&'a str>,
    /// How long before the end Slurm sends its warning signal.
    pub(crate) warning: Duration,
    pub(crate) requeues: u32,
    /// The launcher and its options.
    pub(crate) launcher: Vec<String>,
    pub(crate) modules: &'a [String],
    pub(crate) venv: Option<&'a str>,
    pub(crate) setup: &'a [String],
    /// Further options for sbatch, one per line, in its syntax.
    pub(crate) options: Vec<String>,
    /// The path of this program, and the working directory.
    pub(crate) gridmpi: &'a Path,
    pub(crate) folder: &'a Path,
}

/// The template, with `{{name}}` for variable parts. A name at the start of a line stands for whole lines
/// or none.
const TEMPLATE: &str = include_str!("batch_script.sh");

impl Script<'_> {
    pub(crate) fn text(&self) -> Result<String> {
        let (mut text, mut rest) = (String::new(), TEMPLATE);
        while let Some((before, (name, after))) =
            rest.split_once("{{").and_then(|(before, rest)| Some((before, rest.split_once("}}")?)))
        {
            text += before;
            text += &self.part(name)?;
            rest = after;
        }
        Ok(text + rest)
    }

    /// The replacement of a name in the template.
    fn part(&self, name: &str) -> Result<String> {
        let path = |path: &Path| quoted(in_words(path)?);
        let of_array = |list: &str| Ok(format!("\"${{{list}[$SLURM_ARRAY_TASK_ID]}}\""));
        Ok(match name {
            "login" if self.modules.is_empty() => String::new(),
            "login" => " -l".to_string(), // a login shell has `module`
            // A file name may contain a line break, after which the comment would end.
            "about" => lines("# ", self.about.iter().map(|l| l.replace(char::is_control, "?"))),
            "options" => lines("#SBATCH ", self.options()?),
            "warning" => self.warning.as_secs().to_string(),
            "more_options" if self.options.is_empty() => String::new(),
            "more_options" => {
                let about =
                    "# As asked for; the last one of two that contradict each other counts.";
                format!("{about}\n{}", lines("#SBATCH ", self.options.clone()))
            }
            "setup" => self.setup()?,
            "array" if self.jobs.len() == 1 => String::new(),
            "array" => {
                let jobs = words(self.jobs.iter().map(|(job, _)| path(job)))?;
                let folders = words(self.jobs.iter().map(|(_, out)| path(out)))?;
                let about =
                    "# One job of the array for each job file, with a results folder of its own.";
                format!("{about}\njobs=({jobs})\nfolders=({folders})\n")
            }
            "gridmpi" => path(self.gridmpi)?,
            "threads" if self.master_works => format!("{} --master-works", self.threads),
            "threads" => self.threads.to_string(),
            "grace" => self.warning.as_secs().saturating_sub(15).max(5).to_string(),
            "launcher" => quoted(&self.launcher[0])?,
            "launcher_options" if self.launcher.len() == 1 => String::new(),
            "launcher_options" => {
                format!(" -- {}", words(self.launcher[1..].iter().map(|word| argument(word)))?)
            }
            "job" if self.jobs.len() > 1 => of_array("jobs")?,
            "job" => path(&self.jobs[0].0)?,
            "out" if self.jobs.len() > 1 => of_array("folders")?,
            "out" => path(&self.jobs[0].1)?,
            "part" => match self.parts {
                Some(parts) => format!(" --part \"$SLURM_ARRAY_TASK_ID/{parts}\""),
                None => String::new(),
            },
            "requeues" => self.requeues.to_string(),
            other => return Err(Error::bug(format!("the batch script has no \"{other}\""))),
        })
    }

    fn is_array(&self) -> bool {
        self.jobs.len() > 1 || self.parts.is_some()
    }

    fn options(&self) -> Result<Vec<String>> {
        let mut options = vec![
            format!("--job-name={}", self.name),
            format!("--nodes={}", self.shape.nodes),
            format!("--ntasks-per-node={}", self.ntasks_per_node),
            format!("--cpus-per-task={}", self.cpus_per_task),
            format!("--time={}", limit(self.shape.time)),
        ];
        options.extend(self.partition.map(|partition| format!("--partition={partition}")));
        match self.parts {
            Some(parts) => options.push(format!("--array=1-{parts}")),
            None if self.is_array() => options.push(format!("--array=0-{}", self.jobs.len() - 1)),
            None => {}
        }
        options.push(format!("--chdir={}", in_words(self.folder)?));
        options.push(format!("--output={}", self.log()?));
        options.iter().map(|option| word(option)).collect()
    }

    /// The file of the log. sbatch replaces every `%` in it, in the folder too, so both are named; but with a
    /// backslash, which would quote the next character, it replaces none.
    fn log(&self) -> Result<String> {
        let (folder, name) = (in_words(self.folder)?, self.name.replace('\\', "_"));
        if folder.contains('\\') {
            return Ok(format!("{}/{name}.log", folder.replace('\\', "\\\\")));
        }
        let number = if self.is_array() { "%A_%a" } else { "%j" };
        Ok(format!("{}/{}-{number}.log", folder.replace('%', "%%"), name.replace('%', "%%")))
    }

    fn setup(&self) -> Result<String> {
        let mut setup = Vec::new();
        if !self.modules.is_empty() {
            let modules = words(self.modules.iter().map(|module| quoted(module)))?;
            setup.push(format!("module load {modules} || exit"));
        }
        if let Some(venv) = self.venv {
            let (home, path) = venv.strip_prefix("~/").map_or(("", venv), |path| ("~/", path));
            let activate = quoted(&format!("{path}/bin/activate"))?;
            setup.push(format!("source {home}{activate} || exit"));
        }
        setup.extend_from_slice(self.setup);
        Ok(lines("", setup))
    }
}

fn lines(begin: &str, lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| format!("{begin}{line}\n")).collect()
}

fn words(words: impl Iterator<Item = Result<String>>) -> Result<String> {
    Ok(words.collect::<Result<Vec<_>>>()?.join(" "))
}

/// A word in the syntax of `#SBATCH` lines, where blanks, quotes, backslashes and `#` are special.
pub(crate) fn word(text: &str) -> Result<String> {
    if text.contains(char::is_control) {
        return Err(Error::input(format!(
            "{text:?} cannot be passed to sbatch: expected a single line"
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

/// An option from the job file for an `#SBATCH` line: as it is if it is quoted, otherwise with a value
/// that may contain blanks.
pub(crate) fn line(text: &str) -> Result<String> {
    match text.split_once('=') {
        Some((_, value)) if !value.contains(['"', '\'']) => word(text),
        _ => Ok(text.to_string()),
    }
}

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
    quoted
        .map(String::from)
        .map_err(|_| Error::input(format!("{text:?} cannot be written into a script")))
}

/// A quoted argument of the launcher. Slurm's variables in it are expanded when the script runs.
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
