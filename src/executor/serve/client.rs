//! The rank's side of a child: starts it, starts it again when it has ended, loads data, makes calls.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use crate::executor::process::child::Limits;
use crate::executor::serve::child::{CallEnd, HOUR, ServeChild, ServeSetup};
use crate::executor::serve::lines::record;
use crate::executor::{RESTARTS, ReadyChildren};
use crate::job::Job;
use crate::model::{RunError, RunOutput, Value};
use crate::util::error::Result;
use crate::wire::requests::MasterClient;

pub(crate) struct ServeClient {
    setup: ServeSetup,
    /// Tells whether a call is cancelled; reductions have none.
    master: Option<Arc<dyn MasterClient>>,
    child: Option<ServeChild>,
    /// How many data sets a child keeps.
    keep: u64,
    /// The data sets that the child has, by number and point, the least recently used one first.
    loaded: Vec<(i64, String)>,
    /// The number of the next data set.
    next: i64,
    /// The peak of the child's memory during the last call in MiB, where it is known.
    pub(super) memory: Option<u32>,
}

/// A call to make.
pub(crate) struct ServeCall<'a> {
    pub(crate) fields: Vec<(String, Value)>,
    /// The loop and the point whose data the call gets.
    pub(crate) data: Option<(&'a str, Value)>,
    pub(crate) timeout: Option<Duration>,
    /// Where what the child prints meanwhile is gathered.
    pub(crate) output: Arc<RunOutput>,
}

impl ServeClient {
    pub(crate) fn new(
        setup: ServeSetup,
        master: Option<&Arc<dyn MasterClient>>,
        keep: u64,
    ) -> ServeClient {
        let master = master.cloned();
        let loaded = Vec::new();
        ServeClient { setup, master, child: None, keep, loaded, next: 1, memory: None }
    }

    /// What this attempt at a task prints is gathered there.
    pub(crate) fn gather(&self, run: (u64, u32), output: &Arc<RunOutput>) {
        self.master.iter().for_each(|master| master.gather(run, output));
    }

    /// Takes over a child that is ready.
    pub(crate) fn take(&mut self, ready: &ReadyChildren, job: &Job) {
        self.take_over(ready.take_serving(&self.setup, job));
    }

    pub(crate) fn take_over(&mut self, child: Option<ServeChild>) {
        self.child = child;
    }

    /// What the child has said since the last question that calls have imported.
    pub(crate) fn take_told(&mut self) -> Vec<Vec<(String, Value)>> {
        self.child.as_mut().map(|child| std::mem::take(&mut child.told)).unwrap_or_default()
    }

    /// The child of the last call, which may have ended.
    pub(crate) fn last_child(&self) -> Option<&ServeChild> {
        self.child.as_ref()
    }

    /// A child that is alive. Where none can be started any more, this worker cannot work.
    pub(crate) fn child(&mut self) -> Result<&mut ServeChild, RunError> {
        if !self.child.as_ref().is_some_and(ServeChild::is_alive) {
            self.give_up();
            let is_cancelled = || self.master.as_ref().is_some_and(|master| master.is_cancelled());
            let start = || ServeChild::start(&self.setup, self.master.as_ref());
            let mut started = start();
            for pause in RESTARTS {
                if started.is_ok() || is_cancelled() {
                    break;
                }
                std::thread::sleep(pause);
                started = start();
            }
            self.child = Some(started.map_err(|why| match is_cancelled() {
                true => RunError::Failed(why),
                false => RunError::Unfit(why),
            })?);
        }
        Ok(self.child.as_mut().expect("just made"))
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.child.as_ref().is_some_and(ServeChild::is_alive)
    }

    fn give_up(&mut self) {
        self.child = None;
        self.loaded.clear();
    }

    /// The next call loads its data anew.
    pub(crate) fn forget_data(&mut self) {
        self.loaded.iter_mut().for_each(|(_, point)| point.clear());
    }

    /// Makes a call.
    pub(crate) fn call(&mut self, call: &ServeCall) -> Result<Value, RunError> {
        match self.try_call(call) {
            // The child ended before it saw this call, which is not at fault.
            Err(CallError::NeverBegan(_)) => {}
            Err(CallError::Run(error)) => return Err(error),
            Ok(value) => return Ok(value),
        }
        self.try_call(call).map_err(|error| match error {
            CallError::NeverBegan(why) => RunError::Failed(why),
            CallError::Run(error) => error,
        })
    }

    fn try_call(&mut self, call: &ServeCall) -> Result<Value, CallError> {
        self.memory = None;
        let child = self.child()?;
        child.printed.gather(&call.output);
        child.begin_peak();
        let answer = self.load_and_call(call);
        if let Some(child) = &mut self.child {
            self.memory = child.end_peak();
        }
        answer
    }

    fn load_and_call(&mut self, call: &ServeCall) -> Result<Value, CallError> {
        let mut of_data = Vec::new();
        if let Some((loop_name, point)) = &call.data {
            of_data = record([("data", Value::Int(self.load(loop_name, point)?))]);
        }
        self.ask("task", &[&call.fields, &of_data], call.timeout)
    }

    /// The number of the data of a point, which the child has then.
    fn load(&mut self, loop_name: &str, point: &Value) -> Result<i64, CallError> {
        let text = point.to_exact();
        if let Some(at) = self.loaded.iter().position(|(_, known)| *known == text) {
            let known = self.loaded.remove(at);
            self.loaded.push(known);
            return Ok(self.loaded[self.loaded.len() - 1].0);
        }
        let surplus = (self.loaded.len() + 1).saturating_sub(self.keep.max(1) as usize);
        let dropped = self.loaded.drain(..surplus).map(|(number, _)| Value::Int(number)).collect();
        let number = self.next;
        self.next += 1;
        let seed = crc32fast::hash(text.as_bytes()) >> 1;
        let fields = record([
            ("data", Value::Int(number)),
            ("loop", loop_name.into()),
            ("point", point.clone()),
            ("drop", Value::List(dropped)),
            ("seed", Value::Int(seed.into())),
        ]);
        let loading = |why: String| format!("loading its data: {why}");
        self.ask("load", &[&fields], Some(HOUR)).map_err(|error| match error {
            CallError::NeverBegan(why) => CallError::NeverBegan(loading(why)),
            CallError::Run(RunError::Failed(why)) => CallError::Run(RunError::Failed(loading(why))),
            other => other,
        })?;
        self.loaded.push((number, text));
        Ok(number)
    }

    /// Makes one request of the child. After a failed exchange it is of no use any more.
    fn ask(
        &mut self,
        kind: &str,
        fields: &[&[(String, Value)]],
        timeout: Option<Duration>,
    ) -> Result<Value, CallError> {
        let limits = Limits::new(timeout, self.master.as_ref());
        let child = self.child.as_mut().expect("started before");
        let failed = |why: String| Err(CallError::Run(RunError::Failed(why)));
        match child.call(kind, fields, &limits) {
            Ok(end) => {
                child.printed.settle();
                match end {
                    CallEnd::Answer(Ok(value)) => Ok(value),
                    CallEnd::Answer(Err(why)) | CallEnd::Cancelled(why) => failed(why),
                }
            }
            Err(error) => {
                self.memory = child.end_peak();
                let why = child.give_up(&error);
                child.printed.settle();
                self.give_up();
                match error.kind() {
                    ErrorKind::BrokenPipe => Err(CallError::NeverBegan(why)),
                    _ => failed(why),
                }
            }
        }
    }
}

/// Why there is no value.
enum CallError {
    /// The child ended before it read the request.
    NeverBegan(String),
    Run(RunError),
}

impl From<RunError> for CallError {
    fn from(error: RunError) -> CallError {
        CallError::Run(error)
    }
}
