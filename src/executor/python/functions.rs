//! The Python functions that a job names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::executor::python::child::PythonChild;
use crate::executor::python::facts::{ChildFacts, texts_of};
use crate::executor::python::setup::Setup;
use crate::executor::serve::lines::field;
use crate::executor::serve::reducer::REDUCE;
use crate::executor::{RANK0, ReadyChildren, Slot, Task};
use crate::job::{self, DigestedFile, Job, Python, PythonModules};
use crate::model::{FileFunction, Reduce, ResultValue, RunError, Scored, Value};
use crate::util::error::Result;
use crate::util::panic::panic_text;
use crate::util::programs::find_program;

/// The name of the final function in a child.
pub(super) const FINAL: &str = "final";

/// The Python functions that final calls need.
pub(super) fn final_functions(job: &Job) -> Vec<(String, &FileFunction)> {
    let function = match job.finally.as_ref().map(|spec| &spec.function) {
        Some(job::FinalFunction::Python(function)) => function,
        _ => return Vec::new(),
    };
    let load = job.final_load().map(|load| ("load".to_string(), load));
    std::iter::once((FINAL.to_string(), function)).chain(load).collect()
}

pub(crate) fn crunch_functions(python: &Python) -> Vec<(String, &FileFunction)> {
    let load = python.load.iter().map(|load| ("load".to_string(), load));
    std::iter::once(("crunch".to_string(), &python.function)).chain(load).collect()
}

/// What crunch has returned, with its score.
pub(super) fn scored(task: &Task, value: ResultValue) -> Result<Scored, RunError> {
    task.scored(value).map_err(|error| match error {
        RunError::NoScore { value, .. } if *value == Value::Null => RunError::NoScore {
            why: "crunch returned None: expected a number or a record; is a `return` missing?"
                .to_string(),
            value,
        },
        other => other,
    })
}

/// The Python functions that reduce loops, by the loop's level.
pub(crate) fn reduce_functions(job: &Job) -> Vec<(String, &FileFunction)> {
    let mut functions = Vec::new();
    for (level, l) in job.nest.loops().iter().enumerate() {
        if let Some(Reduce::Python(function)) = &l.reduce {
            functions.push((format!("{REDUCE}{level}"), function));
        }
    }
    functions
}

/// What a child has said that calls have imported: the user's files with the digests of their content, and the
/// versions of packages.
pub(crate) fn imported_files(
    job: &Job,
    said: &[(String, Value)],
) -> (Vec<(String, String)>, BTreeMap<String, String>) {
    let names = field(said, "files").map(Value::texts).unwrap_or_default();
    let digest = |path: &Path| {
        let name = path.strip_prefix(&job.folder).unwrap_or(path).to_str()?.to_string();
        Some((name, DigestedFile::read(path).ok()?.digest))
    };
    let files = names.into_iter().map(Path::new).filter_map(digest);
    let files = files.filter(|(name, _)| !job.ignores(name));
    (files.collect(), texts_of(field(said, "packages")))
}

/// Imports the Python functions of the job on rank 0, before any task runs; returns what they import, and the
/// children that have done it. One child has all functions where that imports the same as one for crunch and one for
/// the reductions: then it is ready for crunch at this place.
pub(crate) fn check_functions(job: &Job, place: Slot) -> Result<(PythonModules, ReadyChildren)> {
    let (mut modules, ready) = (PythonModules::default(), ReadyChildren::default());
    let reductions = reduce_functions(job);
    let crunch = match &job.crunch {
        job::CrunchSpec::Python(python) => crunch_functions(python),
        _ => Vec::new(),
    };
    let finals = final_functions(job);
    let named = [&crunch[..], &reductions[..]].concat();
    let all_named = named.iter().chain(&finals);
    if named.is_empty() && finals.is_empty() {
        return Ok((modules, ready));
    }
    let interpreter = Setup::new(job, &[], place).serve.program;
    let found = find_program(&interpreter).map_err(|why| {
        job.wrong("crunch.interpreter", format!("\"{}\" {why}", job.interpreter()))
    })?;
    modules.interpreter = Some(found.clone());
    for (name, function) in all_named {
        let file = job.folder.join(&function.file);
        if !file.is_file() {
            let why = format!("there is no file {}", file.display());
            return Err(job.wrong(&key_of(job, name), why));
        }
    }
    let setup = |functions: &[(String, &FileFunction)], place| {
        let mut setup = Setup::new(job, functions, place).with_late_imports();
        setup.serve.program = found.clone(); // as workers do
        setup
    };
    let (all, of_crunch) = (setup(&named, place), setup(&crunch, place));
    let setups = match all.serves(&of_crunch) {
        true => vec![(all, &named)],
        false => vec![(of_crunch, &crunch), (setup(&reductions, RANK0), &reductions)],
    };
    let setups = setups.into_iter().filter(|(_, functions)| !functions.is_empty());
    let setups: Vec<_> = setups.collect();
    let start = |setup: &Setup| PythonChild::start(setup, None);
    let of_final = (!finals.is_empty()).then(|| {
        let mut setup = Setup::of_final(job, &finals, place).with_late_imports();
        setup.serve.program = found.clone();
        setup
    });
    let (started, of_final) = std::thread::scope(|scope| {
        let of_final = of_final.as_ref().map(|setup| scope.spawn(move || start(setup)));
        let side_by_side = setups.iter().map(|(setup, _)| scope.spawn(move || start(setup)));
        let side_by_side: Vec<_> = side_by_side.collect();
        let ended = side_by_side.into_iter().map(|thread| thread.join());
        let panicked = |panic: Box<dyn std::any::Any + Send>| Err(panic_text(&*panic).to_string());
        let started: Vec<_> = ended.map(|child| child.unwrap_or_else(panicked)).collect();
        (started, of_final.map(|thread| thread.join().unwrap_or_else(panicked)))
    });
    for ((of_child, functions), child) in setups.into_iter().zip(started) {
        let child = child.map_err(|why| {
            // Which of them is it? Alone, each is imported as the error says.
            let alone = |named: &(String, &FileFunction)| {
                let why = start(&setup(std::slice::from_ref(named), place)).err()?;
                Some(job.wrong(&key_of(job, &named.0), why))
            };
            let wrong = || job.wrong(&key_of(job, &functions[0].0), why);
            functions.iter().find_map(alone).unwrap_or_else(wrong)
        })?;
        let facts = ChildFacts(&child.serve.hello);
        let files: Vec<PathBuf> = facts.modules().into_iter().map(PathBuf::from).collect();
        if functions.iter().any(|(name, _)| name.starts_with(REDUCE)) {
            let late = facts.late_modules().into_iter().map(PathBuf::from);
            modules.reductions.extend(files.iter().cloned().chain(late));
            modules.reduction_packages.extend(facts.packages());
        }
        if !functions.iter().all(|(name, _)| name.starts_with(REDUCE)) {
            modules.crunch.extend(files);
            modules.packages.extend(facts.packages());
            modules.environment.extend(facts.environment());
        }
        ready.add(of_child, child);
    }
    if let Some(child) = of_final {
        let child = child.map_err(|why| job.wrong("final.python", why))?;
        let facts = ChildFacts(&child.serve.hello);
        let files = facts.modules().into_iter().chain(facts.late_modules());
        modules.finals.extend(files.map(PathBuf::from));
        modules.final_packages.extend(facts.packages());
    }
    Ok((modules, ready))
}

/// The key of the job file that names a function.
fn key_of(job: &Job, name: &str) -> String {
    match name.strip_prefix(REDUCE).and_then(|level| level.parse::<usize>().ok()) {
        Some(level) => format!("loop.{}.reduce", job.nest.loops()[level].name),
        None if name == "load" => "crunch.load".to_string(),
        None if name == FINAL => "final.python".to_string(),
        None => "crunch.python".to_string(),
    }
}
