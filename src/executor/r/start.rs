//! The check of a job's R functions on rank 0, before any task runs.

use std::path::PathBuf;

use crate::executor::r::setup::{of_crunch, of_final, of_reductions, reductions};
use crate::executor::serve::child::{ServeChild, ServeSetup};
use crate::executor::{RANK0, ReadyChildren, Slot};
use crate::job::{CrunchSpec, FinalFunction, Job, PythonModules};
use crate::util::error::Result;
use crate::util::panic::panic_text;
use crate::util::programs::find_program;

/// Starts a child for each kind of call, side by side: it sources the files and looks for the functions. Returns the
/// files that these source; the children are ready for whoever works here.
pub(crate) fn check(
    job: &Job,
    place: Slot,
    (modules, ready): (&mut PythonModules, &ReadyChildren),
) -> Result<()> {
    let mut setups: Vec<(&str, ServeSetup)> = Vec::new();
    if let CrunchSpec::R(r) = &job.crunch {
        setups.push(("crunch.r", of_crunch(job, r, place)));
    }
    if !reductions(job).is_empty() {
        setups.push(("reduce", of_reductions(job, RANK0)));
    }
    if let Some(FinalFunction::R(function)) = job.finally.as_ref().map(|spec| &spec.function) {
        setups.push(("final.r", of_final(job, function, place)));
    }
    let Some((key, first)) = setups.first() else { return Ok(()) };
    find_program(&first.program)
        .map_err(|why| job.wrong(key, format!("R is needed: \"{}\" {why}", job.r_interpreter())))?;
    let started: Vec<Result<ServeChild, String>> = std::thread::scope(|scope| {
        let start = |(_, setup)| scope.spawn(move || ServeChild::start(setup, None));
        let side_by_side: Vec<_> =
            setups.iter().map(|(key, setup)| (*key, setup)).map(start).collect();
        let ended = side_by_side.into_iter().map(|thread| thread.join());
        ended
            .map(|child| child.unwrap_or_else(|panic| Err(panic_text(&*panic).to_string())))
            .collect()
    });
    for ((key, setup), child) in setups.into_iter().zip(started) {
        let child = child.map_err(|why| job.wrong(&key_of(job, key), why))?;
        let sourced = child.hello.texts("files").into_iter().map(PathBuf::from);
        match setup.role {
            "crunch" => modules.crunch.extend(sourced),
            "reduce" => modules.reductions.extend(sourced),
            _ => modules.finals.extend(sourced),
        }
        if setup.role != "final" {
            ready.add_serving(&setup, child);
        }
    }
    Ok(())
}

/// The key of the job file that names a function.
fn key_of(job: &Job, key: &str) -> String {
    match reductions(job)
        .first()
        .and_then(|(name, _)| name.rsplit_once(' ')?.1.parse::<usize>().ok())
    {
        Some(level) if key == "reduce" => format!("loop.{}.reduce", job.nest.loops()[level].name),
        _ => key.to_string(),
    }
}
