//! A Python function as crunch: many tasks per request, so that the function itself dominates the cost.
//!
//! The tasks of a request are claimed, so that they go to no other worker. If a call takes long, the child is
//! told to begin no other one, and the rest goes back. What the child has done is in its results file: if it
//! dies or is ended, the call at fault is known, and no other one is made again.

mod files;
mod output;
mod reports;
mod request;

use std::collections::{BTreeMap, VecDeque};
use std::io::{Error, ErrorKind};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::executor::python::child::PythonChild;
use crate::executor::python::facts::ChildFacts;
use crate::executor::python::functions::{crunch_functions, scored};
use crate::executor::python::protocol::{self, Answer, no_answer};
use crate::executor::python::results_file::{ChildProgress, MOST};
use crate::executor::python::setup::Setup;
use crate::executor::serve::child::HOUR;
use crate::executor::serve::lines::{field, kind, message};
use crate::executor::watch::{self, FileWatch};
use crate::executor::{CallResult, Executor, Limits, RESTARTS, ReadyChildren, Slot, Task};
use crate::job::{Job, Python};
use crate::model::{RunError, RunOutput, Scored, Value};
use crate::util::error::Result;
use crate::wire::requests::MasterClient;

/// How long to wait for a child before a look at how far it is. A call that is as long is a long one.
const LOOK: Duration = Duration::from_millis(50);

/// The same while a long call goes on.
const LONG_LOOK: Duration = Duration::from_millis(100);

/// How long until what one process has written to memory is certainly seen by another one.
const SETTLED: Duration = Duration::from_millis(1);

/// How long a child at rest may take no request before it counts as lost.
const DEAF: Duration = Duration::from_secs(600);

/// The JSON of a loop's points is precomputed for loops of up to this many points.
const MOST_POINTS: u64 = 1 << 16;

pub(crate) struct PythonExecutor {
    job: Arc<Job>,
    setup: Setup,
    caller: Arc<dyn MasterClient>,
    watch: Arc<FileWatch>,
    ready: ReadyChildren,
    /// A file that is not what it was at the start; nothing counts from then on.
    changed: Option<RunError>,
    /// Whether rank 0 knows that this host differs from its own.
    is_told: bool,
    /// The levels whose points name files that are watched, and the one whose points are loaded.
    named: Vec<usize>,
    loaded: Option<usize>,
    /// The loaded point that was looked at last in this child.
    looked: Option<u64>,
    timeout: Option<Duration>,
    /// The points of each loop as JSON; empty for a longer loop.
    points: Vec<Vec<String>>,
    child: Option<PythonChild>,
    /// The tasks that will be called next.
    expected: Range<u64>,
    /// Answers that are not returned, for the tasks from `first` on.
    answers: VecDeque<Answer>,
    first: u64,
    /// Whether a child died before it began the last request.
    again: bool,
    /// A task further on that is known to have failed.
    failed: Option<(u64, Answer)>,
    asked: PythonRequest,
    text: String,
    seconds: Option<f64>,
    /// What calls have printed whose answers are not returned, by task.
    outputs: BTreeMap<u64, Arc<RunOutput>>,
    /// Whether whoever follows the task at hand has been shown what the child prints.
    is_shown: bool,
    /// The peak of the child's memory during the last call in MiB, where it is known.
    memory: Option<u32>,
}

/// The request that the child is working on, if it has tasks.
#[derive(Default)]
struct PythonRequest {
    id: u64,
    tasks: Range<u64>,
    /// How many of its answers have been taken.
    taken: u64,
    /// How far the child was at the last look, and since when.
    seen: ChildProgress,
    since: Option<Instant>,
    /// Whether the child has been told to begin no other task.
    stopped: bool,
    /// How many of its tasks the child makes at most.
    most: u64,
}

impl PythonRequest {
    /// Whether all answers that it will have are taken.
    fn is_done(&self) -> bool {
        self.taken >= self.most
    }
}

impl PythonExecutor {
    pub(crate) fn new(
        job: &Arc<Job>,
        python: &Python,
        caller: &Arc<dyn MasterClient>,
        (watch, ready): (&Arc<FileWatch>, &ReadyChildren),
        place: Slot,
    ) -> PythonExecutor {
        let of_level = |level: usize| match job.nest.loops()[level].points.len() {
            length if length <= MOST_POINTS => {
                (0..length).map(|point| job.passed_json(level, point)).collect()
            }
            _ => Vec::new(),
        };
        let points = (0..job.nest.depth()).map(of_level);
        PythonExecutor {
            job: job.clone(),
            setup: Setup::new(job, &crunch_functions(python), place),
            caller: caller.clone(),
            watch: watch.clone(),
            ready: ready.clone(),
            changed: None,
            is_told: false,
            named: watch::naming_levels(job),
            loaded: python.load.as_ref().map(|_| python.data),
            looked: None,
            timeout: job.policy.timeout,
            points: points.collect(),
            child: None,
            expected: 0..0,
            answers: VecDeque::new(),
            first: 0,
            again: false,
            failed: None,
            asked: PythonRequest::default(),
            text: String::new(),
            seconds: None,
            outputs: BTreeMap::new(),
            is_shown: false,
            memory: None,
        }
    }

    /// Sends a request for a task and for the expected tasks after it.
    fn ask(&mut self, task: &Task) -> Result<(), RunError> {
        if !self.asked.tasks.is_empty() {
            self.child = None; // the call that it is at is not wanted any more
            self.asked = PythonRequest::default();
        }
        self.answers.clear();
        let failed = self.failed.as_ref().map(|(at, _)| *at);
        self.outputs.retain(|task, _| Some(*task) == failed);
        if self.child.as_ref().is_some_and(|child| child.serve.is_alive()) {
            match self.send(task) {
                // It died after its last answer and never saw this request, so this task is not at fault.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                sent => return Ok(sent.map_err(|error| self.refuse(task, &error))?),
            }
        }
        self.child = None;
        self.caller.claim(task.index + 1); // others need not wait for imports
        self.restart_child()?;
        Ok(self.send(task).map_err(|error| self.refuse(task, &error))?)
    }

    /// Starts a child in place of one that has ended. Where that cannot be done any more, neither can work.
    fn restart_child(&mut self) -> Result<(), RunError> {
        let mut started = self.start_child();
        for pause in RESTARTS {
            if !matches!(started, Err(RunError::Failed(_))) || self.caller.is_cancelled() {
                break;
            }
            std::thread::sleep(pause);
            started = self.start_child();
        }
        match started {
            Err(RunError::Failed(why)) if !self.caller.is_cancelled() => Err(RunError::Unfit(why)),
            started => started,
        }
    }

    /// Starts a child, or takes one over. What it imports is compared before and after.
    fn start_child(&mut self) -> Result<(), RunError> {
        self.watch.check_crunch(&self.job, &*self.caller)?;
        let child = match self.ready.take(&self.setup, &self.job) {
            Some(child) => child,
            None => PythonChild::start(&self.setup, Some(&self.caller))?,
        };
        self.compare_environment(ChildFacts(&child.serve.hello).environment())?;
        self.child = Some(child);
        self.looked = None;
        self.watch.check_crunch(&self.job, &*self.caller)
    }

    /// The error of a task whose request could not be sent.
    fn refuse(&mut self, task: &Task, error: &Error) -> String {
        self.caller.claim(task.index + 1);
        match self.child.take() {
            Some(mut child) => child.serve.give_up(error),
            None => error.to_string(),
        }
    }

    fn send(&mut self, task: &Task) -> std::io::Result<()> {
        let first = task.index;
        let mut end = first + 1;
        // In a folder of its own, each call is a request of its own.
        if self.expected.contains(&first) && task.workdir.is_none() {
            end = self.expected.end.min(first + MOST);
        }
        if let Some((failed, _)) = &self.failed {
            end = end.min(*failed);
        }
        let end = self.caller.claim(end).max(first + 1);
        let child = self.child.as_mut().ok_or(ErrorKind::BrokenPipe)?;
        let (id, seeded) = (child.serve.next_id(), child.seeded);
        let end = self.write_request(task, end, (id, seeded));
        self.caller.claim(end);
        let child = self.child.as_mut().ok_or(ErrorKind::BrokenPipe)?;
        child.results.restart(end - first)?;
        if end - first == 1 {
            child.serve.begin_peak(); // calls of one request cannot be told apart
        }
        child.serve.send(self.text.as_bytes(), &begun(DEAF, &self.caller))?;
        let (id, since) = (id as u64, Some(Instant::now()));
        let (tasks, most) = (first..end, end - first);
        self.asked = PythonRequest { id, tasks, since, most, ..PythonRequest::default() };
        Ok(())
    }

    /// Waits for an answer, or for the end of the child: then the task that it was at has failed.
    fn wait(&mut self, task: &Task) {
        let job = task.job;
        // A child that is done with a call has also left its folder.
        let is_awaited = job.workdir.is_some();
        // One that is done with all has yet to tell what they have imported, which counts for them.
        while !self.asked.tasks.is_empty() {
            let has_to_tell = self.asked.is_done() && !self.caller.is_cancelled();
            if !(self.answers.is_empty() || is_awaited || has_to_tell) {
                break;
            }
            let looked = match self.look() {
                Ok(Some(line)) => self.heed(job, line),
                Ok(None) => {
                    self.show_output(task);
                    self.take_stock()
                }
                Err(error) => Err(error),
            };
            if let Err(error) = looked {
                self.fail(&error);
            }
        }
    }

    /// Waits a little for a message.
    fn look(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut time = if self.asked.stopped { LONG_LOOK } else { LOOK };
        if let (Some(limit), Some(since)) = (self.limit(), self.asked.since) {
            time = time.min(limit.saturating_sub(since.elapsed()));
        }
        let child = self.child.as_mut().ok_or(ErrorKind::BrokenPipe)?;
        child.serve.hear(time, &begun(HOUR, &self.caller))
    }

    fn heed(&mut self, job: &Job, line: Vec<u8>) -> std::io::Result<()> {
        let child = self.child.as_ref().ok_or(ErrorKind::BrokenPipe)?;
        let (fields, value) = protocol::read(&child.serve, line)?;
        let end = match kind(&fields) {
            Some("seeds") => return self.send_seeds(job),
            Some("imported") => {
                self.report_imports(job, &fields);
                return Ok(());
            }
            Some("log") => {
                child.serve.log(&fields);
                return Ok(());
            }
            Some("result") => value,
            Some("error") => Some(Err(message(&fields))),
            _ => return Ok(()),
        };
        child.serve.check_id(&fields)?;
        let seconds = || field(&fields, "seconds").and_then(Value::as_f64).ok_or_else(no_answer);
        let last = end.map(|result| Ok::<Answer, Error>((result, seconds()?)));
        self.finish(last.transpose()?)
    }

    /// How long the child may take for what it is at.
    fn limit(&self) -> Option<Duration> {
        let is_at_call = !self.asked.seen.is_loading() && !self.asked.is_done();
        if is_at_call { self.timeout } else { Some(HOUR) }
    }

    /// Takes the answers that are there. Returns whether the child has got further since the last look.
    fn take(&mut self) -> std::io::Result<bool> {
        let child = self.child.as_ref().ok_or(ErrorKind::BrokenPipe)?;
        let asked = &mut self.asked;
        let progress = child.results.progress(asked.tasks.end - asked.tasks.start)?;
        if asked.taken < progress.sure {
            if self.answers.is_empty() {
                self.first = asked.tasks.start + asked.taken;
            }
            self.answers.extend(child.results.answers(asked.taken..progress.sure)?);
            asked.taken = progress.sure;
            self.again = false;
        }
        let goes_on = progress != asked.seen;
        if goes_on {
            (asked.seen, asked.since) = (progress, Some(Instant::now()));
        }
        // The marks of calls that are done were there before their results.
        self.take_output();
        Ok(goes_on)
    }

    /// Ends the request with the answer of its last task, if that did not fit into the results file.
    fn finish(&mut self, last: Option<Answer>) -> std::io::Result<()> {
        self.take()?;
        if let Some(answer) = last {
            if self.answers.is_empty() {
                self.first = self.asked.tasks.start + self.asked.taken;
            }
            self.answers.push_back(answer);
            self.asked.taken += 1;
        }
        let end = self.asked.tasks.start + self.asked.taken;
        if self.asked.taken == 0 || end > self.asked.tasks.end {
            return Err(no_answer());
        }
        self.asked = PythonRequest::default();
        self.caller.claim(end);
        Ok(())
    }

    /// Looks how far the child is; an error if its call is to end.
    fn take_stock(&mut self) -> std::io::Result<()> {
        let goes_on = self.take()?;
        let since = self.asked.since.map(|since| since.elapsed()).unwrap_or_default();
        let limit = self.limit();
        let is_over = limit.is_some_and(|limit| since >= limit);
        let cancelled = self.caller.is_cancelled();
        if goes_on && !cancelled {
            return Ok(());
        }
        let is_to_stop = !self.asked.stopped && !self.asked.is_done();
        let went_on = (is_to_stop || is_over || cancelled) && self.stop()?;
        match limit {
            _ if cancelled && self.answers.is_empty() => {
                let why = "cancelled: the job is being stopped";
                Err(Error::new(ErrorKind::TimedOut, why))
            }
            Some(limit) if is_over && !went_on => {
                let is_loading = self.asked.seen.is_loading();
                let what = if is_loading { "loading its data" } else { "it" };
                let seconds = limit.as_secs_f64();
                let why = format!("timed out: {what} took more than {seconds} s");
                Err(Error::new(ErrorKind::TimedOut, why))
            }
            _ => Ok(()),
        }
    }

    /// Makes the child begin no other task, and gives those behind its current one back. Returns whether it
    /// has got further meanwhile.
    fn stop(&mut self) -> std::io::Result<bool> {
        let child = self.child.as_ref().ok_or(ErrorKind::BrokenPipe)?;
        child.results.stop()?;
        self.asked.stopped = true;
        // The child notes what is done before it looks whether to stop. So a task that it begins without
        // seeing this is the one behind those that are noted now.
        std::thread::sleep(SETTLED);
        let goes_on = self.take()?;
        self.asked.most = self.asked.most.min(self.asked.seen.done + 1);
        self.caller.claim(self.asked.tasks.start + self.asked.seen.done + 1);
        Ok(goes_on)
    }

    /// Ends the child. The task that it was at has failed; those behind it were not begun.
    fn fail(&mut self, error: &Error) {
        // What a call that has been given up does while the child ends does not count.
        let is_given_up = error.kind() == ErrorKind::TimedOut;
        if is_given_up {
            let _ = self.take();
        }
        let (memory, why) = match &mut self.child {
            Some(child) => (child.serve.end_peak(), child.serve.give_up(error)),
            None => (None, error.to_string()),
        };
        if !is_given_up {
            let _ = self.take();
        }
        let at = self.asked.tasks.start + self.asked.seen.done;
        self.take_last_output(at);
        self.child = None;
        let asked = std::mem::take(&mut self.asked);
        if at >= asked.tasks.start + asked.most {
            return; // it was at none
        }
        self.caller.claim(at + 1);
        let never_began = asked.seen.accepted != asked.id && !is_given_up;
        if never_began && !self.again {
            self.again = true;
            return;
        }
        self.memory = memory;
        // Those before it whose results are not final are called again.
        let seconds = asked.since.map(|since| since.elapsed().as_secs_f64()).unwrap_or_default();
        self.failed = Some((at, (Err(why), seconds)));
    }

    fn call(&mut self, task: &Task) -> Result<Scored, RunError> {
        (self.seconds, self.memory) = (None, None);
        if let Some(changed) = &self.changed {
            return Err(changed.clone());
        }
        let (result, seconds) = loop {
            if self.first == task.index
                && let Some(answer) = self.answers.pop_front()
            {
                self.first += 1;
                break answer;
            }
            if let Some((_, answer)) = self.failed.take_if(|(at, _)| *at == task.index) {
                break answer;
            }
            if self.asked.tasks.start + self.asked.taken != task.index
                || self.asked.tasks.is_empty()
            {
                self.ask(task)?;
            }
            self.wait(task);
        };
        if let Some(child) = &mut self.child {
            self.memory = child.serve.end_peak();
        }
        if let Some(changed) = &self.changed {
            return Err(changed.clone()); // found by this call's own imports
        }
        self.seconds = Some(seconds);
        self.give_output(task);
        self.check_files(task)?;
        scored(task, result?)
    }
}

/// Limits of this time from now on; a call that is cancelled ends them, too.
fn begun(time: Duration, caller: &Arc<dyn MasterClient>) -> Limits {
    let mut limits = Limits::new(Some(time), Some(caller));
    limits.begin();
    limits
}

impl Executor for PythonExecutor {
    fn prepare(&mut self) -> Result<(), String> {
        match self.start_child() {
            // It stops the job, rather than making this worker a sick one.
            Err(changed @ RunError::FileChanged(_)) => self.changed = Some(changed),
            started => started.map_err(|error| error.to_string())?,
        }
        Ok(())
    }

    fn expect(&mut self, tasks: Range<u64>, _: u32) {
        self.expected = tasks;
        self.answers.clear();
        self.failed = None;
    }

    fn seconds(&self) -> Option<f64> {
        self.seconds
    }

    fn memory(&self) -> Option<u32> {
        self.memory
    }

    fn crunch(&mut self, task: &Task) -> CallResult {
        CallResult::from(self.call(task))
    }
}
