//! Workers of the user's: how they are started, and the check at the start of a job.

use crate::executor::serve::child::{ServeChild, ServeSetup};
use crate::executor::serve::hello::of_gridmpi;
use crate::executor::serve::lines::texts;
use crate::executor::{ReadyChildren, Slot};
use crate::job::{CommandWords, CrunchSpec, FinalFunction, Job};
use crate::util::error::Result;
use crate::util::programs::{find_program, named_program};

/// What a worker is called in messages.
const NAME: &str = "the worker";

/// For a worker as crunch.
pub(crate) fn of_crunch(job: &Job, words: &CommandWords, place: Slot) -> ServeSetup {
    setup(job, words, (place, "crunch"), job.nest.depth())
}

/// For a worker as the final function.
pub(crate) fn of_final(job: &Job, words: &CommandWords, place: Slot) -> ServeSetup {
    setup(job, words, (place, "final"), job.final_levels())
}

fn setup(
    job: &Job,
    words: &CommandWords,
    (place, role): (Slot, &'static str),
    levels: usize,
) -> ServeSetup {
    let mut words = words.plain().into_iter();
    let program = words.next().unwrap_or_default();
    let names = job.nest.loops()[..levels].iter().map(|l| l.name.as_str());
    ServeSetup {
        program: named_program(&program, &job.folder),
        arguments: words.collect(),
        script: None,
        name: NAME,
        warns: true,
        folder: job.folder.clone(),
        environment: job.environment.clone(),
        place,
        role,
        hello: of_gridmpi(role, texts(names)),
    }
}

/// Starts the job's workers once on rank 0, before any task runs, to exchange hellos.
pub(crate) fn check(job: &Job, place: Slot, ready: &ReadyChildren) -> Result<()> {
    if let CrunchSpec::Serve(serve) = &job.crunch {
        let setup = of_crunch(job, &serve.words, place);
        ready.add_serving(&setup, start(job, "crunch.serve", &setup)?);
    }
    if let Some(FinalFunction::Serve(words)) = job.finally.as_ref().map(|spec| &spec.function) {
        start(job, "final.serve", &of_final(job, words, place))?;
    }
    Ok(())
}

fn start(job: &Job, key: &str, setup: &ServeSetup) -> Result<ServeChild> {
    find_program(&setup.program).map_err(|why| {
        job.wrong(key, format!("the program \"{}\" {why}", setup.program.display()))
    })?;
    ServeChild::start(setup, None).map_err(|why| job.wrong(key, why))
}
