//! A worker: request, crunch, return. The same over MPI and threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::crunch::{self, Crunch, Place, Task};
use crate::error::{Error, Result};
use crate::grid::Grid;
use crate::job::Job;
use crate::message::{self, Assignment, Outcome, Scored, ToMaster, ToWorker};
use crate::transport::Link;

/// Works for rank 0 until it is dismissed. If it cannot go on, rank 0 is told why.
pub(crate) fn work(link: &mut dyn Link, cores: usize) -> Result<()> {
    let whole = catch_unwind(AssertUnwindSafe(|| request_crunch_return(link, cores)));
    let result = whole.unwrap_or_else(|panic| {
        Err(Error::unexpected(format!("a bug in gridmpi: {}", panic_text(panic.as_ref()))))
    });
    if let Err(error) = &result {
        let _ = link.send(&message::encode(&ToMaster::Broken(error.to_string())));
    }
    result
}

fn request_crunch_return(link: &mut dyn Link, cores: usize) -> Result<()> {
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    link.send(&message::encode(&ToMaster::Hello { host }))?;
    let job: Arc<Job> = match message::decode(&link.receive()?)? {
        ToWorker::Job(bytes) => Arc::new(message::decode(&bytes)?),
        ToWorker::Dismiss => return Ok(()),
        ToWorker::Assign(_) => return Err(Error::unexpected("tasks came before the job")),
    };
    let grid = job.grid();
    let place = Place { rank: link.rank(), cores };
    let mut crunch = crunch::prepare(&job, place);
    let mut outcomes = Vec::new();
    loop {
        link.send(&message::encode(&ToMaster::Done(outcomes)))?;
        let Assignment { first, count, attempt } = match message::decode(&link.receive()?)? {
            ToWorker::Assign(assignment) => assignment,
            ToWorker::Dismiss => return Ok(()),
            ToWorker::Job(_) => return Err(Error::unexpected("the job came twice")),
        };
        let tasks = first..first + count;
        outcomes = tasks.map(|task| run(&job, &grid, crunch.as_mut(), task, attempt)).collect();
    }
}

/// One run of one task. Whatever crunch does, short of taking the process down, costs this run
/// alone.
fn run(job: &Job, grid: &Grid, crunch: &mut dyn Crunch, index: u64, attempt: u32) -> Outcome {
    let coordinates = job.coordinates(grid, grid.task(index));
    let task = Task { job, index, attempt, coordinates: &coordinates };
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
    let clock = Instant::now();
    let given = catch_unwind(AssertUnwindSafe(|| crunch.crunch(&task)));
    let seconds = clock.elapsed().as_secs_f64();
    let result: Result<Scored, String> = match given {
        Ok(Ok(value)) => crunch::score(value, &job.score, job.needs_score()),
        Ok(Err(why)) => Err(why),
        Err(panic) => Err(format!("crunch panicked: {}", panic_text(panic.as_ref()))),
    };
    if let Err(why) = &result {
        log::debug!("task {index} failed: {why}");
    }
    Outcome { task: index, attempt, started, seconds, result }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)")
}
