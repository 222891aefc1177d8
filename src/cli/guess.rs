//! What was meant, where a word on the command line is neither a subcommand nor a job file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clap::error::ErrorKind;

use crate::executor;
use crate::job::{Job, STORE_FILE};
use crate::store::StoreReader;
use crate::util::error::{Error, Result};
use crate::util::text::{nearest, shell_word};

/// The names of the program's subcommands.
static VERBS: OnceLock<fn() -> Vec<String>> = OnceLock::new();

/// Sets how the subcommands are found, which is done only where a word is not understood.
pub(super) fn know(verbs: fn() -> Vec<String>) {
    let _ = VERBS.set(verbs);
}

pub(super) fn names(command: &clap::Command) -> Vec<String> {
    command.get_subcommands().map(|verb| verb.get_name().to_string()).collect()
}

/// Files of a results folder, for which it is meant.
const MADE: [&str; 5] = [STORE_FILE, "summary.json", "summary.csv", "status.json", "report.html"];

/// Reads a job file; where there is none, says what may have been meant.
pub(super) fn read_job(file: &Path) -> Result<(Job, String)> {
    executor::read_job(file).map_err(|error| match results_of(file) {
        Some(hint) => Error::input(hint),
        None => match instead(file) {
            Some(hint) => error.with_hint(&hint),
            None => error,
        },
    })
}

/// What a path that is neither a job file nor made by gridmpi may stand for.
fn instead(path: &Path) -> Option<String> {
    if path.is_dir() {
        return match job_files(path).as_slice() {
            [one] => Some(format!("did you mean {}?", shown(one))),
            _ => None,
        };
    }
    if path.exists() {
        return None;
    }
    let name = path.to_str()?;
    if let Some(verb) = slip(name) {
        return Some(format!(
            "did you mean the subcommand {verb}? gridmpi {verb} --help explains it"
        ));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let here = job_files(folder.unwrap_or(Path::new(".")));
    let here: Vec<String> = here.iter().map(|file| shown(file)).collect();
    let near = nearest(&format!("{name}.toml"), &here).or_else(|| nearest(name, &here));
    match (near, here.as_slice()) {
        (Some(near), _) => Some(format!("did you mean {near}?")),
        (None, [one]) => Some(format!("{one} is there")),
        _ => None,
    }
}

/// What can be done with a results folder, or with that of a file which gridmpi has made.
fn results_of(path: &Path) -> Option<String> {
    let is_made = path.file_name().is_some_and(|name| MADE.iter().any(|made| name == *made));
    let folder = if is_made { path.parent()? } else { path };
    if !folder.join(STORE_FILE).is_file() {
        return None;
    }
    let name = shown(folder);
    let reader = StoreReader::into(folder).ok();
    let path = reader.as_ref().and_then(|reader| reader.note("path").ok().flatten());
    let again = match path.filter(|path| !path.is_empty()) {
        Some(path) if reader.is_some_and(|reader| reader.results.is_native()) => shell_word(&path),
        Some(path) => format!("gridmpi {}", shell_word(&path)),
        None => "gridmpi JOB".to_string(),
    };
    Some(format!(
        "{name} is a results folder: gridmpi status {name} says how its run stands, gridmpi report {name} shows the results, and {again} --out {name} goes on with it"
    ))
}

/// The job files in a folder, a few of them.
fn job_files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let paths = entries.into_iter().flatten().flatten().take(1000).map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect();
    files.sort();
    files
}

fn shown(path: &Path) -> String {
    shell_word(&path.strip_prefix(".").unwrap_or(path).to_string_lossy())
}

/// The subcommand that a word is likely to be a misspelling of.
fn slip(word: &str) -> Option<String> {
    let verbs = VERBS.get().map(|verbs| verbs())?;
    let near = nearest(word, &verbs)?;
    let is_near = 3 * strsim::osa_distance(word, near) <= word.chars().count() + 2;
    is_near.then(|| near.to_string())
}

/// In place of an error of the command line: what its first word may stand for, if that is neither a subcommand nor
/// a job file.
pub(super) fn in_place_of(
    error: clap::Error,
    words: impl Iterator<Item = OsString>,
    command: &mut clap::Command,
) -> clap::Error {
    if !matches!(error.kind(), ErrorKind::ArgumentConflict | ErrorKind::UnknownArgument) {
        return error;
    }
    let mut words = words.skip(1).map(|word| word.to_string_lossy().into_owned());
    let Some(first) = words.find(|word| !word.starts_with('-')) else { return error };
    if names(command).contains(&first) || Path::new(&first).is_file() {
        return error;
    }
    let path = Path::new(&first);
    let hint = results_of(path).or_else(|| instead(path));
    let hint = hint.unwrap_or("gridmpi --help lists the subcommands".to_string());
    let why = format!("'{first}' is no subcommand, and no job file: {hint}");
    command.error(ErrorKind::InvalidSubcommand, why)
}
