//! A Python function as crunch: many tasks per request, so that the function itself dominates the cost.
//!
//! A child answers when the whole request is done or 50 ms have passed. It abandons the rest when another
//! request arrives. If it dies, the task at fault is unknown, so the unanswered tasks are then sent one per
//! request.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;

use crate::executor::python::child::{PythonChild, Setup};
use crate::executor::python::functions::crunch_functions;
use crate::executor::python::protocol::Answer;
use crate::executor::{CallResult, Executor, Limits, Slot, Task};
use crate::job::{Job, Python};
use crate::model::{RunError, Scored};
use crate::util::error::Result;
use crate::wire::requests::MasterClient;

/// Longest request: it must fit into a pipe together with an unread answer. (bytes)
const LENGTH: usize = 32 << 10;

/// The JSON of a loop's points is precomputed for loops of up to this many points.
const MOST_POINTS: u64 = 1 << 16;

pub(crate) struct PythonExecutor {
    setup: Setup,
    limits: Limits,
    /// The points of each loop as JSON; empty for a longer loop.
    points: Vec<Vec<String>>,
    child: Option<PythonChild>,
    /// The tasks that will be called next.
    expected: Range<u64>,
    /// The tasks of the current request that have not been returned yet; `answers` are for the first of them.
    asked: Range<u64>,
    answers: VecDeque<Answer>,
    /// Tasks before this index are sent one per request, because a child died in their batch.
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

    /// Sends a request for a task and for the expected tasks after it.
    fn ask(&mut self, task: &Task) -> Result<(), String> {
        self.answers.clear();
        self.asked = 0..0;
        let begun = match self.child.as_mut().is_some_and(PythonChild::is_alive) {
            true => self.send(task),
            false => Err(ErrorKind::BrokenPipe.into()),
        };
        match begun {
            Ok(()) => Ok(()),
            // It died after its last answer and never saw this request, so this task is not at fault.
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

    /// Reads until there is an answer; an error means that the child failed.
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
    fn call(&mut self, task: &Task) -> Result<Scored, RunError> {
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
                return Err(why.into());
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
