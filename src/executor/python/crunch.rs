//! A Python function as crunch: many tasks to a request, so that what costs is the function itself.
//!
//! A child answers when all of a request is done or 50 ms have passed, and leaves the rest of it when
//! another request comes. If it dies, nobody knows at which task: those without an answer are then
//! asked for one at a time.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;

use crate::executor::python::child::{PythonChild, Setup};
use crate::executor::python::functions::crunch_functions;
use crate::executor::python::protocol::Answer;
use crate::executor::{CallResult, Executor, Limits, Slot, Task};
use crate::job::{Job, Python};
use crate::model::Scored;
use crate::util::error::Result;
use crate::wire::requests::MasterClient;

/// How long a request may be: it has to fit into a pipe beside an answer that is not read yet. (bytes)
const LENGTH: usize = 32 << 10;

/// Loops up to this many points have the form of their points in requests worked out beforehand.
const MOST_POINTS: u64 = 1 << 16;

/// The user's Python function as crunch.
pub(crate) struct PythonExecutor {
    setup: Setup,
    limits: Limits,
    /// The points of each loop as JSON, where the loop is not too long.
    points: Vec<Vec<String>>,
    child: Option<PythonChild>,
    /// The tasks that will be called for next.
    expected: Range<u64>,
    /// What was asked for and is not answered; then what is, up to there.
    asked: Range<u64>,
    answers: VecDeque<Answer>,
    /// Up to which task one is asked for at a time.
    alone: u64,
    request: String,
    requests: u64,
    seconds: Option<f64>,
}

impl PythonExecutor {
    pub(crate) fn new(
        job: &Job,
        python: &Python,
        caller: &Arc<dyn MasterClient>,
        place: Slot,
    ) -> PythonExecutor {
        let points = job.nest.loops().iter().map(|l| match l.points.len() {
            length if length <= MOST_POINTS => {
                (0..length).map(|point| l.points.get(point).to_json().to_string()).collect()
            }
            _ => Vec::new(),
        });
        PythonExecutor {
            setup: Setup::new(job, &crunch_functions(python), place),
            limits: Limits::new(job.policy.timeout, Some(caller)),
            points: points.collect(),
            child: None,
            expected: 0..0,
            asked: 0..0,
            answers: VecDeque::new(),
            alone: 0,
            request: String::new(),
            requests: 0,
            seconds: None,
        }
    }

    /// Asks for a task, and those that are expected after it.
    fn ask(&mut self, task: &Task) -> Result<(), String> {
        self.answers.clear();
        self.asked = 0..0;
        let begun = match self.child.as_mut().is_some_and(PythonChild::is_alive) {
            true => self.send(task),
            false => Err(ErrorKind::BrokenPipe.into()),
        };
        match begun {
            Ok(()) => Ok(()),
            // It died after its last answer and has not seen this request: no fault of this one.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                let child = PythonChild::start(&self.setup, &self.limits)?;
                self.child = Some(child);
                self.send(task).map_err(|error| self.give_up(&error))
            }
            Err(error) => Err(self.give_up(&error)),
        }
    }

    fn send(&mut self, task: &Task) -> std::io::Result<()> {
        let child = self.child.as_mut().ok_or(ErrorKind::BrokenPipe)?;
        let first = task.index;
        let end = match self.expected.contains(&first) && first >= self.alone {
            true => self.expected.end,
            false => first + 1,
        };
        self.requests += 1;
        let request = &mut self.request;
        request.clear();
        request.push_str(&format!("{{\"batch\": {}, \"points\": [", self.requests));
        let mut seeds = String::new();
        let nest = &task.job.nest;
        let mut next = first;
        while next < end && request.len() + seeds.len() < LENGTH {
            request.push_str(if next == first { "[" } else { ",[" });
            let key = nest.task(next);
            for (level, point) in nest.indices(key).into_iter().enumerate() {
                if level > 0 {
                    request.push(',');
                }
                match self.points[level].get(point as usize) {
                    Some(json) => request.push_str(json),
                    None => {
                        let value = nest.loops()[level].points.get(point);
                        request.push_str(&value.to_json().to_string());
                    }
                }
            }
            request.push(']');
            if child.is_seeded() {
                let seed = task.job.task_seed(&nest.coordinates(key));
                seeds.push_str(if next == first { "" } else { "," });
                seeds.push_str(&seed.to_string());
            }
            next += 1;
        }
        request.push_str("], \"seeds\": [");
        request.push_str(&seeds);
        request.push_str("]}");
        child.send(request.as_bytes())?;
        self.asked = first..next;
        Ok(())
    }

    /// Reads until there is an answer; the error is the child's end.
    fn read(&mut self) -> std::io::Result<()> {
        while self.answers.is_empty() {
            let child = self.child.as_mut().ok_or(ErrorKind::BrokenPipe)?;
            child.begin(&self.limits);
            child.read_answers(self.requests, &mut self.answers)?;
        }
        if self.answers.len() as u64 > self.asked.end - self.asked.start {
            let why = "more answers than requests";
            return Err(std::io::Error::new(ErrorKind::InvalidData, why));
        }
        Ok(())
    }

    fn give_up(&mut self, error: &std::io::Error) -> String {
        match self.child.take() {
            Some(mut child) => child.give_up(error),
            None => error.to_string(),
        }
    }
}

impl Executor for PythonExecutor {
    fn expect(&mut self, tasks: Range<u64>, _: u32) {
        self.expected = tasks;
    }

    fn seconds(&self) -> Option<f64> {
        self.seconds
    }

    fn crunch(&mut self, task: &Task) -> CallResult {
        CallResult::from(self.call(task))
    }
}

impl PythonExecutor {
    fn call(&mut self, task: &Task) -> Result<Scored, String> {
        self.seconds = None;
        loop {
            if self.asked.start != task.index || self.asked.is_empty() {
                self.ask(task)?;
            }
            let Err(error) = self.read() else { break };
            let several = self.asked.end - self.asked.start > 1;
            let cancelled = error.kind() == ErrorKind::TimedOut && self.limits.is_cancelled();
            self.alone = self.asked.end;
            self.asked = 0..0;
            let why = self.give_up(&error);
            if !several || cancelled {
                return Err(why);
            }
            log::debug!(
                "in the batch from task {} on: {why}; its tasks are tried one at a time",
                task.index
            );
        }
        let (result, seconds) = self.answers.pop_front().ok_or("a bug in gridmpi: no answer")?;
        self.asked.start += 1;
        self.seconds = Some(seconds);
        task.scored(result?)
    }
}
