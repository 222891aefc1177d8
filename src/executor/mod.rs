//! The user's functions in any language: one trait for crunch, one for reductions, one file per kind.

#[cfg(feature = "jobs")]
mod builtin;
#[cfg(feature = "jobs")]
mod command;
mod consecutive;
pub(crate) mod context;
pub(crate) mod final_call;
#[cfg(feature = "jobs")]
mod final_command;
pub(crate) mod granted;
pub(crate) mod kept_results;
pub(crate) mod process;
#[cfg(feature = "jobs")]
mod python;
#[cfg(feature = "jobs")]
mod r;
#[cfg(feature = "jobs")]
mod reducers;
#[cfg(feature = "jobs")]
mod result_file;
pub(crate) mod rust;
#[cfg(feature = "jobs")]
pub(crate) mod serve;
#[cfg(feature = "jobs")]
mod startup;
#[cfg(feature = "jobs")]
mod watch;
mod workdir;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::executor::rust::{ErasedStudy, RustExecutor, RustFinal, RustReducer};
#[cfg(feature = "jobs")]
use crate::job;
use crate::job::Job;
use crate::model::{Key, Reduce, RunError, Scored, SlotResult, Value};
#[cfg(feature = "jobs")]
use crate::model::{ResultValue, score};
use crate::util::error::Result;
use crate::wire::requests::MasterClient;
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) use command::{CallByHand, by_hand};
pub(crate) use consecutive::{ConsecutiveCalls, OtherResult, call_each};
pub(crate) use granted::Granted;
pub(crate) use process::child::Limits;

/// The largest result a child process may return, in bytes: SQLite keeps at most 10^9 bytes per row.
#[cfg(feature = "jobs")]
const RESULT_LIMIT: u64 = 1 << 29;

#[cfg(feature = "jobs")]
fn too_large(size: impl std::fmt::Display) -> String {
    format!("a result of {size}: write it to a file and return the file's name")
}

/// The pauses before a process that serves many tasks is started again, if it cannot be started at once: what
/// is short now may not be so in a moment.
pub(crate) const RESTARTS: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];

/// The place of rank 0 where it does not work itself.
pub(crate) const RANK0: Slot = Slot { rank: 0, thread: 0, cores: 1, granted: None };

/// Children that were started for the check at the start, for whoever works in this process: `python/ready.rs`.
/// Without job files there are none.
#[derive(Clone, Default)]
pub(crate) struct ReadyChildren {
    #[cfg(feature = "jobs")]
    children: python::ready::Children,
    #[cfg(feature = "jobs")]
    serving: serve::ready::ServingChildren,
}

impl ReadyChildren {
    /// Ends those that nobody at this place has taken over.
    pub(crate) fn end(&self, #[cfg_attr(not(feature = "jobs"), allow(unused_variables))] at: Slot) {
        #[cfg(feature = "jobs")]
        {
            let mut children = self.children.lock();
            let there: Vec<_> =
                children.extract_if(.., |child| child.0.serve.place == at).collect();
            drop(children); // others may take theirs while these end
            drop(there);
            let mut serving = self.serving.lock();
            let there: Vec<_> = serving.extract_if(.., |child| child.0 == at).collect();
            drop(serving);
            drop(there);
        }
    }
}

/// One call of crunch.
pub(crate) struct Task<'a> {
    pub(crate) job: &'a Job,
    pub(crate) index: u64,
    /// The number of the attempt, from 1.
    pub(crate) attempt: u32,
    /// The folder of this attempt, if it has one of its own.
    pub(crate) workdir: Option<&'a Path>,
}

impl Task<'_> {
    /// Each loop's point, outermost first, as the job has it.
    pub(crate) fn coordinates(&self) -> Vec<(&str, Value)> {
        self.job.nest.coordinates(self.job.nest.task(self.index))
    }

    /// The same as crunch is given them.
    #[cfg(feature = "jobs")]
    fn passed_points(&self) -> Vec<(&str, Value)> {
        self.job.passed_points(self.index)
    }

    /// The value with its score.
    #[cfg(feature = "jobs")]
    fn scored(&self, value: impl Into<ResultValue>) -> Result<Scored, RunError> {
        score(value, &self.job.score, self.job.needs_score())
    }
}

/// The result of a call. Usually a plain number, which fits in registers: moving anything larger would take
/// longer than the shortest tasks.
#[derive(Debug)]
pub(crate) enum CallResult {
    /// A plain number, not NaN.
    Number(f64),
    /// Any other result, or the error text.
    Other(Box<Result<Scored, RunError>>),
}

impl From<Result<Scored, RunError>> for CallResult {
    fn from(result: Result<Scored, RunError>) -> CallResult {
        match result.as_ref().ok().and_then(Scored::as_number) {
            Some(number) => CallResult::Number(number),
            None => CallResult::Other(Box::new(result)),
        }
    }
}

/// The rank and thread that runs a task, and what it may use of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) rank: usize,
    /// The worker's thread, from 0.
    pub(crate) thread: u32,
    pub(crate) cores: usize,
    /// What it has of its host besides, if tasks need anything of it.
    pub(crate) granted: Option<&'static Granted>,
}

impl Slot {
    /// The names of its devices, with commas, if tasks need any.
    #[cfg(feature = "jobs")]
    fn gpus(&self) -> Option<String> {
        let granted = self.granted.filter(|granted| granted.vendor.is_some());
        granted.map(|granted| granted.devices.join(","))
    }
}

/// The user's crunch, called repeatedly by one worker thread.
pub(crate) trait Executor {
    /// Checks, before the first call, what every call needs of this host. An error means that this worker
    /// cannot work.
    fn prepare(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Announces the tasks that will be called next, in order. Some may be reassigned to other workers.
    fn expect(&mut self, _tasks: Range<u64>, _attempt: u32) {}

    /// Duration of the last call in seconds, if it is not the time until it returned.
    fn seconds(&self) -> Option<f64> {
        None
    }

    /// The peak of the memory of the last call's processes in MiB, where it is known.
    fn memory(&self) -> Option<u32> {
        None
    }

    /// Makes one call. An error fails this run only; it is stored as the error text.
    fn crunch(&mut self, task: &Task) -> CallResult;

    /// Makes one call after another, as many as `numbers` has room for, until one gives anything but a plain number;
    /// returns that. `numbers` gets the plain numbers, and `made` is how many there are, also after a panic.
    fn crunch_each(
        &mut self,
        calls: ConsecutiveCalls,
        numbers: &mut [f64],
        made: &mut usize,
    ) -> Option<OtherResult> {
        calls.make(self, numbers, made)
    }
}

/// The user's reductions, called repeatedly.
pub(crate) trait GroupReducer {
    /// Checks what every call needs of this host. An error means that this worker cannot work, or not any
    /// more.
    fn prepare(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// The value of a group with these items in its slots. After an error the group stays incomplete.
    fn reduce(&mut self, group: Key, items: &[SlotResult]) -> Result<Scored, String>;

    /// The user's files that calls have imported since the last question, with the digests of their content.
    fn take_imported(&mut self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// What a final call is given.
pub(crate) struct GivenFinal<'a> {
    pub(crate) row: Key,
    pub(crate) attempt: u32,
    /// The points of the row's loops and the winning points, by level, and by name with their values.
    pub(crate) points: &'a [u64],
    pub(crate) coordinates: &'a [(&'a str, Value)],
    /// The row's summary, and the same as a record.
    pub(crate) summary: &'a Scored,
    pub(crate) record: Value,
    pub(crate) seed: u32,
    /// An empty folder for products.
    pub(crate) folder: &'a Path,
}

/// The user's final function, called by one thread.
pub(crate) trait FinalCaller {
    /// Makes one call.
    fn call(&mut self, given: &GivenFinal) -> Result<Scored, RunError>;
}

/// The user's functions, shared by all threads of a process.
pub(crate) struct ExecutorRegistry {
    job: Arc<Job>,
    study: Option<Arc<ErasedStudy>>,
    ready: ReadyChildren,
    /// Cached data sets of `ridge`.
    #[cfg(feature = "jobs")]
    ridge: Arc<builtin::ridge::RidgeCache>,
    #[cfg(feature = "jobs")]
    watch: Arc<watch::FileWatch>,
    /// If crunch is a command.
    #[cfg(feature = "jobs")]
    command: Option<Arc<command::CommandPlan>>,
    /// If attempts have folders of their own.
    filler: Option<Arc<workdir::Filler>>,
}

impl ExecutorRegistry {
    /// `native` is the user's Rust, if the job comes from a Rust program.
    pub(crate) fn new(
        job: &Arc<Job>,
        study: Option<&Arc<ErasedStudy>>,
        ready: &ReadyChildren,
    ) -> ExecutorRegistry {
        // To find equal points takes a look at all of them, so that is done once.
        #[cfg(feature = "jobs")]
        let ids = job.names_runs().then(|| Arc::new(job::RunIds::of(job)));
        #[cfg(feature = "jobs")]
        let filler = workdir::Filler::of(job, ids.as_ref());
        #[cfg(not(feature = "jobs"))]
        let filler = workdir::Filler::of(job);
        ExecutorRegistry {
            filler: filler.map(Arc::new),
            job: job.clone(),
            study: study.cloned(),
            ready: ready.clone(),
            #[cfg(feature = "jobs")]
            ridge: Arc::default(),
            #[cfg(feature = "jobs")]
            watch: Arc::default(),
            #[cfg(feature = "jobs")]
            command: command::CommandPlan::of(job, ids.as_ref()).map(Arc::new),
        }
    }

    /// The executor of one thread.
    pub(crate) fn cruncher(
        &self,
        caller: &Arc<dyn MasterClient>,
        place: Slot,
    ) -> Box<dyn Executor> {
        let job = &self.job;
        let with = (job, self.filler.as_ref());
        let within = |inner: Box<dyn Executor>| workdir::within(inner, with, caller, place);
        if let Some(study) = &self.study {
            return within(Box::new(RustExecutor::new(job, study, caller, place)));
        }
        #[cfg(feature = "jobs")]
        if let Some(plan) = &self.command {
            let inner = command::CommandExecutor::new(job, plan, caller, place);
            return self.watched(within(Box::new(inner)), caller);
        }
        match &job.crunch {
            #[cfg(feature = "jobs")]
            job::CrunchSpec::Multiply { sleep } => {
                Box::new(builtin::multiply::Multiply::new(job, sleep))
            }
            #[cfg(feature = "jobs")]
            job::CrunchSpec::Ridge(options) => {
                let watched = (&self.watch, caller);
                Box::new(builtin::ridge::Ridge::new(job, &self.ridge, watched, options))
            }
            #[cfg(feature = "jobs")]
            job::CrunchSpec::Python(python) => {
                let shared = (&self.watch, &self.ready);
                let inner = python::crunch::PythonExecutor::new(job, python, caller, shared, place);
                within(Box::new(inner))
            }
            #[cfg(feature = "jobs")]
            job::CrunchSpec::Serve(serve) => {
                let setup = serve::start::of_crunch(job, &serve.words, place);
                let data = serve.data.map(|level| (level, serve.keep));
                let with = (caller, &self.ready);
                let none = "the worker's result has no value";
                let inner = serve::crunch::ServeExecutor::new(job, setup, data, with, none);
                self.watched(within(Box::new(inner)), caller)
            }
            #[cfg(feature = "jobs")]
            job::CrunchSpec::R(r) => {
                let setup = r::setup::of_crunch(job, r, place);
                let data = r.load.as_ref().map(|_| (r.data, r.keep));
                let with = (caller, &self.ready);
                let none = "crunch returned NULL or NA";
                let inner = serve::crunch::ServeExecutor::new(job, setup, data, with, none);
                self.watched(within(Box::new(inner)), caller)
            }
            _ => Box::new(Stranger),
        }
    }

    #[cfg(feature = "jobs")]
    fn watched(
        &self,
        inner: Box<dyn Executor>,
        master: &Arc<dyn MasterClient>,
    ) -> Box<dyn Executor> {
        let (job, watch, master) = (self.job.clone(), self.watch.clone(), master.clone());
        let words = job::file_words(&job);
        let is_compared = false;
        Box::new(watch::WatchedExecutor { job, watch, master, inner, words, is_compared })
    }

    pub(crate) fn reducer(&self, place: Slot) -> Box<dyn GroupReducer + Send> {
        reducer(&self.job, self.study.as_ref(), place, &self.ready)
    }

    /// The caller of the final function, for one thread.
    pub(crate) fn final_caller(
        &self,
        master: &Arc<dyn MasterClient>,
        place: Slot,
    ) -> Box<dyn FinalCaller> {
        if let Some(study) = &self.study {
            return Box::new(RustFinal::new(&self.job, study, master, place));
        }
        #[cfg(feature = "jobs")]
        match self.job.finally.as_ref().map(|spec| &spec.function) {
            Some(job::FinalFunction::Python(_)) => {
                return Box::new(python::finals::PythonFinal::new(&self.job, master, place));
            }
            Some(job::FinalFunction::Serve(words)) => {
                let setup = serve::start::of_final(&self.job, words, place);
                return Box::new(serve::finals::ServeFinal::new(&self.job, setup, master));
            }
            Some(job::FinalFunction::R(function)) => {
                let setup = r::setup::of_final(&self.job, function, place);
                return Box::new(serve::finals::ServeFinal::new(&self.job, setup, master));
            }
            Some(function) => {
                if let Some(caller) =
                    final_command::CommandFinal::of(&self.job, function, master, place)
                {
                    return Box::new(caller);
                }
            }
            None => {}
        }
        Box::new(Stranger)
    }

    /// Ends children that were ready for this place and that it does not need.
    pub(crate) fn end_ready(&self, place: Slot) {
        self.ready.end(place);
    }

    /// Whether workers are to call reductions too.
    pub(crate) fn reduces(&self) -> bool {
        let mut loops = self.job.nest.loops().iter();
        self.job.policy.reduce_on_workers
            && loops.any(|l| l.reduce.as_ref().is_some_and(Reduce::is_outside))
    }
}

/// Creates the reducer for loops that a function of the user's reduces.
pub(crate) fn reducer(
    job: &Arc<Job>,
    study: Option<&Arc<ErasedStudy>>,
    #[cfg_attr(not(feature = "jobs"), allow(unused_variables))] place: Slot,
    #[cfg_attr(not(feature = "jobs"), allow(unused_variables))] ready: &ReadyChildren,
) -> Box<dyn GroupReducer + Send> {
    match study {
        Some(study) => Box::new(RustReducer::new(job, study)),
        #[cfg(feature = "jobs")]
        None => Box::new(reducers::FileReducer::new(job, place, ready)),
        #[cfg(not(feature = "jobs"))]
        None => Box::new(Stranger),
    }
}

/// Used where this program lacks the job's functions: rank 0 was started from another program.
struct Stranger;

const STRANGER: &str = "rank 0 runs a job of another program; start the same program on every rank";

impl Executor for Stranger {
    fn prepare(&mut self) -> Result<(), String> {
        Err(STRANGER.to_string())
    }

    fn crunch(&mut self, _: &Task) -> CallResult {
        CallResult::from(Err(STRANGER.into()))
    }
}

impl FinalCaller for Stranger {
    fn call(&mut self, _: &GivenFinal) -> Result<Scored, RunError> {
        Err(STRANGER.into())
    }
}

impl GroupReducer for Stranger {
    fn prepare(&mut self) -> Result<(), String> {
        Err(STRANGER.to_string())
    }

    fn reduce(&mut self, _: Key, _: &[SlotResult]) -> Result<Scored, String> {
        Err(STRANGER.to_string())
    }
}

/// Reads a job file, whose Python functions may give points.
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) fn read_job(file: &std::path::Path) -> Result<(Job, String)> {
    Job::read(file, &python::points::PythonPointFunctions::default())
}

/// Checks, once on rank 0, for errors that would make every run fail. What that has started is ready for the
/// worker at this place.
#[cfg(feature = "jobs")]
pub(crate) fn check(job: &Job, place: Slot) -> Result<(job::PythonModules, ReadyChildren)> {
    let (mut modules, ready) = python::functions::check_functions(job, place)?;
    serve::start::check(job, place, &ready)?;
    r::start::check(job, place, (&mut modules, &ready))?;
    let checked = match &job.crunch {
        job::CrunchSpec::Multiply { .. }
        | job::CrunchSpec::Python(_)
        | job::CrunchSpec::Serve(_)
        | job::CrunchSpec::R(_)
        | job::CrunchSpec::Native(_) => Ok(()),
        job::CrunchSpec::Ridge(options) => builtin::ridge::check(job, options),
        job::CrunchSpec::Command(words) => command::check(job, "crunch.command", &words.program),
        job::CrunchSpec::Shell(line) => line
            .program()
            .map(drop)
            .map_err(|why| job.wrong("crunch.shell", format!("{} {why}", line.shell))),
    };
    checked.and_then(|()| check_final(job)).map(|()| (modules, ready))
}

/// The same for the program of the final function.
#[cfg(feature = "jobs")]
fn check_final(job: &Job) -> Result<()> {
    match job.finally.as_ref().map(|spec| &spec.function) {
        Some(job::FinalFunction::Command(words)) => {
            command::check(job, "final.command", &words.program)
        }
        Some(job::FinalFunction::Shell(line)) => line
            .program()
            .map(drop)
            .map_err(|why| job.wrong("final.shell", format!("{} {why}", line.shell))),
        _ => Ok(()),
    }
}
