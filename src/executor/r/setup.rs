//! What R children are started with.

use crate::executor::Slot;
use crate::executor::serve::child::ServeSetup;
use crate::executor::serve::hello::of_gridmpi;
use crate::executor::serve::lines::texts;
use crate::executor::serve::reducer::REDUCE;
use crate::job::{Job, RCrunch};
use crate::model::{FileFunction, Reduce, Value};
use crate::util::programs::named_program;

/// The child's program, in an environment of its own: the global one is the user's.
const CHILD: &str = concat!(
    "local({\n",
    include_str!("json.R"),
    include_str!("functions.R"),
    include_str!("child.R"),
    "})\n",
);

pub(crate) fn of_crunch(job: &Job, r: &RCrunch, place: Slot) -> ServeSetup {
    let load = r.load.as_ref().map(|load| ("load".to_string(), load));
    let functions = std::iter::once(("crunch".to_string(), &r.function)).chain(load);
    let data = r.load.as_ref().map(|_| r.data);
    setup(job, functions.collect(), (place, "crunch"), (job.nest.depth(), data))
}

pub(crate) fn of_final(job: &Job, function: &FileFunction, place: Slot) -> ServeSetup {
    let load = job.final_load().map(|load| ("load".to_string(), load));
    let functions = std::iter::once(("final".to_string(), function)).chain(load);
    let levels = job.final_levels();
    setup(job, functions.collect(), (place, "final"), (levels, job.final_data()))
}

pub(crate) fn of_reductions(job: &Job, place: Slot) -> ServeSetup {
    setup(job, reductions(job), (place, "reduce"), (job.nest.depth(), None))
}

/// The functions that reduce loops, by the loop's level.
pub(super) fn reductions(job: &Job) -> Vec<(String, &FileFunction)> {
    let loops = job.nest.loops().iter().enumerate();
    let own = loops.filter_map(|(level, l)| match &l.reduce {
        Some(Reduce::R(function)) => Some((format!("{REDUCE}{level}"), function)),
        _ => None,
    });
    own.collect()
}

/// A child with these functions, which is given points of the outermost `levels` loops, and the data of one.
fn setup(
    job: &Job,
    functions: Vec<(String, &FileFunction)>,
    (place, role): (Slot, &'static str),
    (levels, data): (usize, Option<usize>),
) -> ServeSetup {
    let names: Vec<&str> = job.nest.loops().iter().map(|l| l.name.as_str()).collect();
    let (given, folded) = names.split_at(levels);
    let place_of = |(key, function): (String, &FileFunction)| {
        (key, texts([function.file.as_str(), function.function.as_str()]))
    };
    let mut hello = of_gridmpi(role, texts(given.iter().copied()));
    let functions = Value::Record(functions.into_iter().map(place_of).collect());
    hello.push(("functions".to_string(), functions));
    hello.push(("folded".to_string(), texts(folded.iter().copied())));
    let data = data.map_or(Value::Null, |level| names[level].into());
    hello.push(("loads".to_string(), data));
    let has_workdir = role == "crunch" && job.workdir.is_some();
    hello.push(("workdir".to_string(), Value::Bool(has_workdir)));
    ServeSetup {
        program: named_program(job.r_interpreter(), &job.folder),
        arguments: Vec::new(),
        script: Some(CHILD),
        name: "the R child",
        warns: false,
        folder: job.folder.clone(),
        environment: job.environment.clone(),
        place,
        role,
        hello,
    }
}
