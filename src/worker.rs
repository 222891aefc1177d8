//! A worker: request, crunch, return. The same over MPI and threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::crunch::{self, Cruncher, Place, Task};
use crate::error::{Error, Result};
use crate::isolate;
use crate::job::Job;
use crate::line::{Attendant, Line};
use crate::message::{self, Outcome, ToMaster, ToWorker};
use crate::native::{Native, another_program};
use crate::transport::Link;

/// Works for rank 0 until it is dismissed. If it cannot go on, rank 0 is told why. `native` is what
/// the program itself brings, where the job is made of the user's Rust. `is_process` says that this
/// is a process of its own, which signals can reach.
pub(crate) fn work(
    link: Box<dyn Link>,
    cores: usize,
    native: Option<&Arc<Native>>,
    is_process: bool,
) -> Result<()> {
    let line = Arc::new(Line::new(link));
    let _attendant = if is_process { Some(Attendant::start(&line)?) } else { None };
    let whole = catch_unwind(AssertUnwindSafe(|| request_crunch_return(&line, cores, native)));
    let result = whole.unwrap_or_else(|panic| Err(Error::bug(panic_text(panic.as_ref()))));
    if let Err(error) = &result {
        let _ = line.send(&ToMaster::Broken(error.to_string()));
    }
    result
}

fn request_crunch_return(
    line: &Arc<Line>,
    cores: usize,
    native: Option<&Arc<Native>>,
) -> Result<()> {
    line.send(&ToMaster::Hello { host: line.host().to_string() })?;
    let bytes = match line.receive()? {
        ToWorker::Job(bytes) => bytes,
        ToWorker::Dismiss { .. } => return Ok(()),
        other => return Err(out_of_turn(&other)),
    };
    let job: Arc<Job> = Arc::new(message::decode(&bytes)?);
    let place = Place { rank: line.rank(), cores };
    if job.isolate && !isolate::is_isolated() {
        return isolate::relay(line, &job, &bytes, place);
    }
    match native {
        Some(native) => native.learn(&job)?,
        None if job.is_native() => return Err(another_program()),
        None => {}
    }
    let grid = job.grid();
    let mut crunch = crunch::prepare(&job, native, line, place);
    let mut reducer = None;
    line.send(&ToMaster::Done(Vec::new()))?;
    loop {
        let answer = match line.receive()? {
            ToWorker::Assign(assignment) => {
                let tasks = assignment.first..assignment.first + assignment.count;
                let task =
                    |index| Task { job: &job, grid: &grid, index, attempt: assignment.attempt };
                ToMaster::Done(tasks.map(|index| run(crunch.as_mut(), &task(index))).collect())
            }
            ToWorker::Reduce { key, items } => {
                let reducer = reducer.get_or_insert_with(|| crunch::reducer(&job, native, place));
                let result = caught("summarize", || reducer.reduce(key, &items));
                ToMaster::Reduced { key, result }
            }
            ToWorker::Dismiss { .. } => return Ok(()),
            other => return Err(out_of_turn(&other)),
        };
        line.send(&answer)?;
    }
}

/// One run of one task. Whatever crunch does, short of taking the process down, costs this run
/// alone.
fn run(crunch: &mut dyn Cruncher, task: &Task) -> Outcome {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
    let clock = Instant::now();
    let result = caught("crunch", || crunch.crunch(task));
    let seconds = clock.elapsed().as_secs_f64();
    if let Err(why) = &result {
        log::debug!("task {} failed: {why}", task.index);
    }
    Outcome { task: task.index, attempt: task.attempt, started, seconds, result }
}

/// Calls the user's function; a panic is an error like any other.
pub(crate) fn caught<T>(what: &str, call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|panic| Err(format!("{what} panicked: {}", panic_text(panic.as_ref()))))
}

fn out_of_turn(message: &ToWorker) -> Error {
    let what = match message {
        ToWorker::Job(_) => "the job",
        ToWorker::Assign(_) => "tasks",
        ToWorker::Reduce { .. } => "a group to reduce",
        ToWorker::Reply { .. } => "a reply",
        ToWorker::Cancel => "a cancellation",
        ToWorker::Beat => "a beat",
        ToWorker::Dismiss { .. } => "a dismissal",
    };
    Error::bug(format!("{what} came out of turn"))
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)")
}
