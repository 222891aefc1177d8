//! Crunch in a child that serves many tasks: a worker of the user's, or R.

use std::sync::Arc;

use crate::executor::serve::child::ServeSetup;
use crate::executor::serve::client::{ServeCall, ServeClient};
use crate::executor::serve::lines::{record, texts};
use crate::executor::{CallResult, Executor, ReadyChildren, Slot, Task};
use crate::job::Job;
use crate::model::{RunError, Scored, Value};
use crate::util::error::Result;
use crate::wire::requests::MasterClient;

pub(crate) struct ServeExecutor {
    client: ServeClient,
    place: Slot,
    /// The level of the loop whose points are loaded.
    data: Option<usize>,
    /// What its result is called where it is none.
    none: &'static str,
}

impl ServeExecutor {
    /// `data` is the level of the loop whose points are loaded, and how many a child keeps.
    pub(crate) fn new(
        job: &Job,
        setup: ServeSetup,
        data: Option<(usize, u64)>,
        (master, ready): (&Arc<dyn MasterClient>, &ReadyChildren),
        none: &'static str,
    ) -> ServeExecutor {
        let place = setup.place;
        let keep = data.map_or(1, |(_, keep)| keep);
        let mut client = ServeClient::new(setup, Some(master), keep);
        client.take(ready, job);
        ServeExecutor { client, place, data: data.map(|(level, _)| level), none }
    }

    fn call(&mut self, task: &Task) -> Result<Scored, RunError> {
        let job = task.job;
        let points = job.nest.indices(job.nest.task(task.index));
        let mut fields = record([("task", Value::Int(task.index as i64))]);
        fields.extend(given(job, &task.passed_points(), &points));
        if let Some(folder) = task.workdir {
            fields.extend(record([("workdir", folder.to_string_lossy().as_ref().into())]));
        }
        fields.extend(record([
            ("seed", Value::Int(job.task_seed(task.index).into())),
            ("attempt", Value::Int(task.attempt.into())),
        ]));
        fields.extend(of_place(self.place));
        let data = self.data.and_then(|level| loaded(job, level, &points));
        let (timeout, output) = (job.policy.timeout, Arc::default());
        self.client.gather((task.index, task.attempt), &output);
        let value = self.client.call(&ServeCall { fields, data, timeout, output })?;
        task.scored(value).map_err(|error| match error {
            RunError::NoScore { value, .. } if *value == Value::Null => {
                let why = format!("{}: expected a number or a record", self.none);
                RunError::NoScore { why, value }
            }
            other => other,
        })
    }
}

/// The points, and the loops that do not apply.
pub(super) fn given(
    job: &Job,
    coordinates: &[(&str, Value)],
    points: &[u64],
) -> Vec<(String, Value)> {
    let named = coordinates.iter().map(|(name, value)| (name.to_string(), value.clone()));
    let loops = job.nest.loops().iter().zip(points);
    let absent = loops.filter(|(l, point)| l.none == Some(**point)).map(|(l, _)| l.name.as_str());
    record([("points", Value::Record(named.collect())), ("absent", texts(absent))])
}

/// What a call may use of its host.
pub(super) fn of_place(place: Slot) -> Vec<(String, Value)> {
    let mut fields = record([("cores", Value::Int(place.cores as i64))]);
    if let Some(names) = place.gpus() {
        fields.extend(record([("gpus", texts(names.split(',')))]));
    }
    fields
}

/// The loop at a level and its point, whose data a call gets; nothing where the loop does not apply.
pub(super) fn loaded<'j>(job: &'j Job, level: usize, points: &[u64]) -> Option<(&'j str, Value)> {
    let l = &job.nest.loops()[level];
    (l.none != Some(points[level])).then(|| (l.name.as_str(), l.points.get(points[level])))
}

impl Executor for ServeExecutor {
    fn prepare(&mut self) -> Result<(), String> {
        self.client.child().map(drop).map_err(|error| error.to_string())
    }

    fn memory(&self) -> Option<u32> {
        self.client.memory
    }

    fn crunch(&mut self, task: &Task) -> CallResult {
        CallResult::from(self.call(task))
    }
}
