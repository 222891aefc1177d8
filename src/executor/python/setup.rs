//! What a Python child is started with, and what it is told in gridmpi's hello.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::executor::serve::child::ServeSetup;
use crate::executor::serve::hello::of_gridmpi;
use crate::executor::serve::lines::{field, record, texts};
use crate::executor::{RANK0, Slot};
use crate::job::{self, Carried, ChildEnvironment, Job, Python};
use crate::model::{FileFunction, KeptLogs, Value};
use crate::util::programs::named_program;

/// The child's program.
const CHILD: &str = concat!(
    include_str!("pipes.py"),
    include_str!("values.py"),
    include_str!("results.py"),
    include_str!("output.py"),
    include_str!("state.py"),
    include_str!("data.py"),
    include_str!("imports.py"),
    include_str!("points.py"),
    include_str!("final.py"),
    include_str!("child.py"),
);

/// Sets and hashes of texts have the same order in every child if this is a number.
const HASH_SEED: &str = "PYTHONHASHSEED";

/// Where a child finds the caller's folders that its host does not see: their copies, as JSON by their paths.
const CARRIED: &str = "GRIDMPI_CARRIED";

/// Fields of the hello that may differ between children that serve the same: the functions are compared one by one.
const OF_ITS_OWN: [&str; 3] = ["functions", "role", "late_imports"];

#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) serve: ServeSetup,
    /// The levels of the loops of which the child is told where they do not apply.
    pub(super) absent: Vec<usize>,
}

impl Setup {
    pub(crate) fn new(job: &Job, functions: &[(String, &FileFunction)], place: Slot) -> Setup {
        let is_crunch = functions.iter().any(|(key, _)| key == "crunch");
        let role = if is_crunch { "crunch" } else { "reduce" };
        Setup::of_job(job, functions, (place, role), job.nest.depth())
    }

    /// For the final function, which is given points of the outermost loops, down to those that have won.
    pub(super) fn of_final(job: &Job, functions: &[(String, &FileFunction)], place: Slot) -> Setup {
        Setup::of_job(job, functions, (place, "final"), job.final_levels())
    }

    /// For functions that are given points of the outermost `levels` loops.
    fn of_job(
        job: &Job,
        functions: &[(String, &FileFunction)],
        (place, role): (Slot, &'static str),
        levels: usize,
    ) -> Setup {
        let interpreter = match &job.common.interpreter {
            Some(found) => found.clone(),
            None => named_program(job.interpreter(), &job.folder),
        };
        let loops: Vec<&str> = job.nest.loops().iter().map(|l| l.name.as_str()).collect();
        let (given, folded) = loops.split_at(levels);
        let python = match &job.crunch {
            job::CrunchSpec::Python(python) => Some(python),
            _ => None,
        };
        let absent = python.map_or(Vec::new(), |python| absent_levels(job, python));
        let around = (&*job.folder, &job.carried);
        let mut serve = setup(interpreter, around, (place, role), (given, functions));
        serve.hello.extend(record([
            ("folded", texts(folded.iter().copied())),
            ("data", loops[python.map_or(0, |python| python.data)].into()),
            ("keep", Value::Int(python.map_or(1, |python| python.keep as i64))),
            ("reseed", Value::Bool(python.is_none_or(|python| python.reseed))),
            ("data_copy", Value::Bool(python.is_some_and(|python| python.data_copy))),
            ("absent", texts(absent.iter().map(|level| loops[*level]))),
            ("pass_none", Value::Bool(python.is_none_or(|python| python.pass_none))),
            ("workdir", Value::Bool(python.is_some() && job.workdir.is_some())),
            ("logs_all", Value::Bool(python.is_some() && job.policy.logs == KeptLogs::All)),
            ("late_imports", Value::Bool(false)),
        ]));
        // Another crunch's values may have placeholders.
        if python.is_some() {
            let of_child = std::mem::take(&mut serve.environment);
            serve.environment = job.environment.clone();
            serve.environment.set.extend(of_child.set);
        }
        Setup { serve, absent }
    }

    /// For a function that gives points and may take those of the loops `around`.
    pub(super) fn of_points(
        interpreter: PathBuf,
        folder: &Path,
        function: &FileFunction,
        around: &[&str],
    ) -> ServeSetup {
        let functions = [("points".to_string(), function)];
        let none = Carried::default();
        let mut serve =
            setup(interpreter, (folder, &none), (RANK0, "points"), (around, &functions));
        serve.hello.extend(record([
            ("reseed", Value::Bool(true)),
            ("data_copy", Value::Bool(false)),
            ("late_imports", Value::Bool(false)),
        ]));
        serve
    }

    /// The same, for a child that finds out what calls import too, where the source tells.
    pub(super) fn with_late_imports(mut self) -> Setup {
        let late = self.serve.hello.iter_mut().find(|(name, _)| name == "late_imports");
        late.expect("each has it").1 = Value::Bool(true);
        self
    }

    /// Whether a child of this setup is as one of another: the same files are imported in the same order, and it has
    /// the functions.
    pub(super) fn serves(&self, wanted: &Setup) -> bool {
        let rest = |setup: &Setup| {
            let mut rest = setup.serve.hello.clone();
            rest.retain(|(name, _)| !OF_ITS_OWN.contains(&name.as_str()));
            rest
        };
        let (own, others) = (self.functions(), wanted.functions());
        let of = |setup: &Setup| {
            (setup.serve.program.clone(), setup.serve.folder.clone(), setup.serve.place)
        };
        of(self) == of(wanted)
            && rest(self) == rest(wanted)
            && files(own) == files(others)
            && others.iter().all(|other| own.contains(other))
    }

    fn functions(&self) -> &[(String, Value)] {
        match field(&self.serve.hello, "functions") {
            Some(Value::Record(functions)) => functions,
            _ => &[],
        }
    }
}

/// The files of functions, in the order in which they are imported.
fn files(functions: &[(String, Value)]) -> Vec<&str> {
    let mut files = Vec::new();
    for file in functions.iter().filter_map(|(_, function)| function.texts().first().copied()) {
        if !files.contains(&file) {
            files.push(file);
        }
    }
    files
}

/// A child with these functions, which are given points of loops.
fn setup(
    interpreter: PathBuf,
    (folder, carried): (&Path, &Carried),
    (place, role): (Slot, &'static str),
    (given, functions): (&[&str], &[(String, &FileFunction)]),
) -> ServeSetup {
    // Sorted: children that have the same ones import them in the same order.
    let path = |f: &FileFunction| carried.here(&folder.join(&f.file));
    let functions: BTreeMap<&String, Value> = functions
        .iter()
        .map(|(key, f)| (key, texts([&*path(f).to_string_lossy(), &f.function])))
        .collect();
    let functions = functions.into_iter().map(|(key, f)| (key.clone(), f)).collect();
    let mut hello = of_gridmpi(role, texts(given.iter().copied()));
    hello.extend(record([("functions", Value::Record(functions))]));
    let mut environment = ChildEnvironment::default();
    if std::env::var_os(HASH_SEED).is_none() {
        environment.set.push((HASH_SEED.to_string(), "0".to_string()));
    }
    if let Some(places) = carried.places() {
        environment.set.push((CARRIED.to_string(), places));
    }
    ServeSetup {
        program: interpreter,
        arguments: ["-u", "-c", CHILD].map(String::from).to_vec(),
        script: None,
        name: "the Python child",
        warns: false,
        folder: folder.to_path_buf(),
        environment,
        place,
        role,
        hello,
    }
}

/// The levels of the loops of which a child is told where they do not apply: the call is another one there than
/// with a point that is null.
fn absent_levels(job: &Job, python: &Python) -> Vec<usize> {
    let matters =
        |level: &usize| !python.pass_none || python.load.is_some() && python.data == *level;
    let all = (0..job.nest.depth()).filter(matters);
    all.filter(|level| job.nest.is_none_somewhere(*level)).collect()
}
