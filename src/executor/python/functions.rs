//! The Python functions that a job names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::executor::process::child::Limits;
use crate::executor::python::child::{HOUR, PythonChild, Setup};
use crate::executor::{Slot, command};
use crate::job::{self, DigestedFile, Job, Python, PythonModules};
use crate::model::{PythonFunction, Reduce};
use crate::util::error::Result;

pub(crate) fn crunch_functions(python: &Python) -> Vec<(String, &PythonFunction)> {
    let load = python.load.iter().map(|load| ("load".to_string(), load));
    std::iter::once(("crunch".to_string(), &python.function)).chain(load).collect()
}

/// The Python functions that reduce loops, by the loop's level.
pub(super) fn reduce_functions(job: &Job) -> Vec<(String, &PythonFunction)> {
    let mut functions = Vec::new();
    for (level, l) in job.nest.loops().iter().enumerate() {
        if let Some(Reduce::Python(function)) = &l.reduce {
            functions.push((format!("reduce {level}"), function));
        }
    }
    functions
}

/// What a child has said that calls have imported: the user's files with the digests of their content, and the
/// versions of packages.
pub(super) fn imported_files(
    job: &Job,
    said: &[u8],
) -> (Vec<(String, String)>, BTreeMap<String, String>) {
    let (names, packages): (Vec<PathBuf>, _) = serde_json::from_slice(said).unwrap_or_default();
    let digest = |path: &PathBuf| {
        let name = path.strip_prefix(&job.folder).unwrap_or(path).to_str()?.to_string();
        Some((name, DigestedFile::read(path).ok()?.digest))
    };
    let files = names.iter().filter_map(digest).filter(|(name, _)| !job.ignores(name));
    (files.collect(), packages)
}

/// Imports each Python function of the job in a child of rank 0, before any task runs; returns what they
/// import.
pub(crate) fn check_functions(job: &Job) -> Result<PythonModules> {
    let mut modules = PythonModules::default();
    let mut named = reduce_functions(job);
    if let job::CrunchSpec::Python(python) = &job.crunch {
        named.extend(crunch_functions(python));
    }
    if named.is_empty() {
        return Ok(modules);
    }
    let place = Slot { rank: 0, thread: 0, cores: 1 };
    let interpreter = Setup::new(job, &[], place).interpreter;
    let found = command::find_program(&interpreter).map_err(|why| {
        job.wrong("crunch.interpreter", format!("\"{}\" {why}", job.interpreter()))
    })?;
    modules.interpreter = Some(found.clone());
    for (name, function) in named {
        let key = match name.strip_prefix("reduce ").and_then(|level| level.parse::<usize>().ok()) {
            Some(level) => format!("loop.{}.reduce", job.nest.loops()[level].name),
            None if name == "load" => "crunch.load".to_string(),
            None => "crunch.python".to_string(),
        };
        let file = job.folder.join(&function.file);
        if !file.is_file() {
            return Err(job.wrong(&key, format!("there is no file {}", file.display())));
        }
        let limits = Limits::new(Some(HOUR), None);
        let is_reduction = name.starts_with("reduce ");
        let mut setup = Setup::new(job, &[(name, function)], place).with_versions();
        setup.interpreter = found.clone(); // as workers do
        let child = PythonChild::start(&setup, &limits).map_err(|why| job.wrong(&key, why))?;
        let files = child.modules().map(PathBuf::from);
        if is_reduction {
            modules.reductions.extend(files.chain(child.late_modules().map(PathBuf::from)));
            modules.reduction_packages.extend(child.packages());
        } else {
            modules.crunch.extend(files);
            modules.packages.extend(child.packages());
            modules.environment.extend(child.environment());
        }
    }
    Ok(modules)
}
