//! The worker: request, crunch, return. The same over MPI and threads.

pub(crate) mod batch;
mod carried;
pub(crate) mod connection;
pub(crate) mod heartbeat;
mod host_folder;
pub(crate) mod isolated_main;
pub(crate) mod isolated_relay;
mod output;
mod share;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::executor::rust::{ErasedStudy, another_program};
use crate::executor::{
    CallResult, ConsecutiveCalls, Executor, ExecutorRegistry, OtherResult, ReadyChildren, Slot,
    final_call,
};
use crate::job::Job;
use crate::model::{Assignment, RunError};
use crate::util::error::{Error, Result};
use crate::util::panic::{caught, panic_text};
use crate::util::thread;
use crate::wire::codec;
use crate::wire::messages::{ToMaster, ToWorker};
use crate::wire::requests::{MasterClient, Reply, Request};
use crate::wire::transport::Link;
use crate::worker::carried::HostCopy;
use crate::worker::connection::{Connection, NextWork, ThreadConnection};

/// The configuration of a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkerConfig {
    /// Number of threads; each runs one task.
    pub(crate) threads: u32,
    /// Number of cores for all threads.
    pub(crate) cores: usize,
    /// Whether it is a process of its own, which can receive signals and can lose rank 0.
    pub(crate) is_process: bool,
}

impl WorkerConfig {
    /// The place of one of its threads, which has its share of the cores.
    pub(crate) fn slot(&self, rank: usize, thread: u32) -> Slot {
        let cores = (self.cores / self.threads as usize).max(1);
        Slot { rank, thread, cores, granted: None }
    }
}

/// Works for rank 0 until dismissed. A fatal error is reported to rank 0. `native` holds the user's Rust
/// functions, if the job calls any.
pub(crate) fn work(
    link: Box<dyn Link>,
    config: WorkerConfig,
    study: Option<&Arc<ErasedStudy>>,
    ready: &ReadyChildren,
) -> Result<()> {
    let connection = Arc::new(Connection::new(link, config.threads, config.is_process));
    let whole =
        catch_unwind(AssertUnwindSafe(|| match heartbeat::start(&connection, config.is_process) {
            Ok(_heartbeat) => request_crunch_return(&connection, config, study, ready),
            Err(error) => {
                connection.say_hello()?;
                connection.be_sick(error.to_string())
            }
        }));
    let result = whole.unwrap_or_else(|panic| Err(Error::bug(panic_text(panic.as_ref()))));
    if let Err(error) = &result {
        let _ = connection.send(&ToMaster::Broken(error.to_string()));
    }
    result
}

fn request_crunch_return(
    connection: &Arc<Connection>,
    config: WorkerConfig,
    study: Option<&Arc<ErasedStudy>>,
    ready: &ReadyChildren,
) -> Result<()> {
    let Some(bytes) = connection.request_job()? else { return Ok(()) };
    let mut job: Arc<Job> = Arc::new(codec::decode(&bytes)?);
    let isolates = job.policy.isolate && !isolated_main::is_isolated();
    connection.hides_threads(isolates);
    match study {
        Some(study) if !isolates => study.learn(&job)?,
        None if job.is_native() && !isolates => return Err(another_program()),
        _ => {}
    }
    let Some(places) = share::places(connection, config, &job)? else { return Ok(()) };
    let places = &places;
    let copy = if config.is_process && !job.carried.is_seen() {
        match HostCopy::get(&job.carried, connection) {
            Ok(copy) => Some(copy),
            Err(_) if connection.is_dismissed() => return Ok(()),
            Err(why) => {
                let is_stopped = connection.begin(Err(why), || connection.ready())?;
                return if is_stopped { connection.await_dismissal() } else { Ok(()) };
            }
        }
    } else {
        None
    };
    if let Some(copy) = &copy {
        Arc::make_mut(&mut job).carried.copy = Some(copy.files.clone());
    }
    let functions = ExecutorRegistry::new(&job, study, ready);
    let work_on = |thread: u32, began: &dyn Fn() -> Result<()>| {
        let caller: Arc<dyn MasterClient> = Arc::new(ThreadConnection::new(connection, thread));
        let place = places.enter(thread);
        if isolates && thread == 0 {
            functions.end_ready(place); // the isolated process has children of its own
        }
        match isolates {
            true => isolated_relay::relay(connection, &caller, &job, &bytes, (place, began)),
            false => run_thread(connection, &caller, &job, &functions, (place, began)),
        }
    };
    // The first thread checks what crunch needs. If it is there, the worker asks for tasks, and the other
    // threads start.
    std::thread::scope(|scope| {
        let work_on = &work_on;
        let others = RefCell::new(Vec::new());
        let begin = || {
            if config.is_process {
                thread::know_all(); // those that come later are the other threads', or crunch's
            }
            for number in 1..places.threads() {
                let named = std::thread::Builder::new().name(format!("thread {number}"));
                let started = named.spawn_scoped(scope, move || {
                    thread::know_this();
                    let worked = work_on(number, &|| Ok(()));
                    if let Err(error) = &worked {
                        connection.close(error); // wakes the other threads
                    }
                    worked
                });
                let failed = |e| Error::unexpected(format!("no thread for {number}: {e}"));
                others.borrow_mut().push(started.map_err(failed)?);
            }
            connection.ready()
        };
        let first = catch_unwind(AssertUnwindSafe(|| work_on(0, &begin)));
        let mut whole = first.unwrap_or_else(|p| Err(Error::bug(panic_text(p.as_ref()))));
        if let (Err(error), true) = (&whole, config.threads > 1) {
            connection.close(error);
        }
        for thread in others.into_inner() {
            let worked = thread.join().unwrap_or_else(|p| Err(Error::bug(panic_text(p.as_ref()))));
            whole = whole.and(worked);
        }
        whole
    })
}

/// The loop of one thread.
fn run_thread(
    connection: &Connection,
    caller: &Arc<dyn MasterClient>,
    job: &Arc<Job>,
    functions: &ExecutorRegistry,
    (place, began): (Slot, &dyn Fn() -> Result<()>),
) -> Result<()> {
    let range = job.run_range();
    let mut crunch = functions.cruncher(caller, place);
    let mut unfit = None;
    let (mut reducer, mut finals) = (None, None);
    if place.thread == 0 {
        let prepared = caught("the check of what crunch needs", || {
            // Each may take long to import its functions.
            std::thread::scope(|scope| {
                let reducer = functions.reduces().then(|| reducer.insert(functions.reducer(place)));
                let reducer = reducer.map(|reducer| scope.spawn(|| reducer.prepare()));
                let prepared = crunch.prepare();
                let reducer = reducer.map(|thread| thread.join());
                prepared.and(match reducer {
                    Some(Err(panic)) => Err(panic_text(&*panic).to_string()),
                    Some(Ok(prepared)) => prepared,
                    None => Ok(()),
                })
            })
        });
        functions.end_ready(place);
        if !connection.begin(prepared, began)? {
            return Ok(());
        }
    }
    loop {
        match connection.next()? {
            NextWork::Crunch(tasks) => {
                let Assignment { first, count, attempt } = tasks;
                crunch.expect(first..first + count, attempt);
                let run = |tasks, current: &_, numbers: &mut _| {
                    let calls = ConsecutiveCalls { job, tasks, attempt, current };
                    let (made, other) = call_caught(&mut *crunch, calls, numbers, &mut unfit);
                    let log = connection.end_output(place.thread, job.policy.logs, other.as_ref());
                    (made, other, log)
                };
                let batch = &connection.batches()[place.thread as usize];
                let tasks = (tasks, range);
                batch.crunch(tasks, run, |report| connection.answer(&ToMaster::Done(report)))?;
            }
            NextWork::Reduce(key, items) => {
                let reducer = reducer.get_or_insert_with(|| functions.reducer(place));
                let mut result = caught("summarize", || reducer.reduce(key, &items));
                let imported = reducer.take_imported();
                if !imported.is_empty()
                    && let Reply::Refused(why) =
                        caller.ask(Request::ImportedByReduction(imported))?
                {
                    result = Err(why);
                }
                // If it cannot be called here any more, the group is reduced elsewhere.
                let unfit = result.is_err().then(|| reducer.prepare().err()).flatten();
                connection.answer(&match unfit {
                    Some(why) => ToMaster::Sick(why),
                    None => ToMaster::Reduced { key, result },
                })?;
            }
            NextWork::Final(call) => {
                let caller_of_final =
                    finals.get_or_insert_with(|| functions.final_caller(caller, place));
                let batch = &connection.batches()[place.thread as usize];
                let made = || final_call::make(job, *call, &mut **caller_of_final, &**caller);
                connection.answer(&ToMaster::Final(Box::new(batch.beside(made))))?;
            }
            NextWork::Leave => return Ok(()),
        }
    }
}

/// Calls crunch for one task after another, until one gives anything but a plain number; returns how many did, and
/// that one. A panic is a failed run. Once crunch cannot be called here any more, the rest of what this thread was given
/// need not find that out again: that is in `unfit`.
fn call_caught(
    crunch: &mut dyn Executor,
    calls: ConsecutiveCalls,
    numbers: &mut [f64],
    unfit: &mut Option<RunError>,
) -> (usize, Option<OtherResult>) {
    if let Some(unfit) = unfit {
        return (0, Some(CallResult::from(Err(unfit.clone())).into()));
    }
    let (first, mut made) = (calls.tasks.start, 0);
    let called = caught("crunch", || Ok(crunch.crunch_each(calls, numbers, &mut made)));
    let failed = |panic: String| Some(CallResult::from(Err(panic.into())).into());
    let other = called.unwrap_or_else(failed);
    if let Some(OtherResult { result: CallResult::Other(other), .. }) = &other
        && let Err(why) = &**other
    {
        log::debug!("task {} failed: {why}", first + made as u64);
        if let RunError::Unfit(_) = why {
            *unfit = Some(why.clone());
        }
    }
    (made, other)
}

/// The error of an unexpected message.
pub(crate) fn unexpected_message(message: &ToWorker) -> Error {
    let what = match message {
        ToWorker::Job(_) => "the job",
        ToWorker::Share(_) => "a share of the host",
        ToWorker::Assign(_) => "tasks",
        ToWorker::Reduce { .. } => "a group to reduce",
        ToWorker::Final(_) => "a final call",
        ToWorker::Reply { .. } => "a reply",
        ToWorker::Cancel(_) => "a cancellation",
        ToWorker::Follow(_) => "tasks to follow",
        ToWorker::Heartbeat => "a beat",
        ToWorker::Dismiss { .. } => "a dismissal",
    };
    Error::bug(format!("unexpected message: {what}"))
}
