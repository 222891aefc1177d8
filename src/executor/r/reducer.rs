//! R functions as reductions.

use std::borrow::Cow;
use std::sync::Arc;

use crate::executor::r::setup::{REDUCE, of_reductions};
use crate::executor::reduced_runs::{DAY, described};
use crate::executor::serve::client::{ServeCall, ServeClient};
use crate::executor::serve::lines::record;
use crate::executor::{GroupReducer, RANK0, ReadyChildren, Slot};
use crate::job::Job;
use crate::model::{Key, RunError, Scored, SlotResult, Value, score};
use crate::util::error::Result;

pub(crate) struct RReducer {
    job: Arc<Job>,
    client: ServeClient,
}

impl RReducer {
    pub(crate) fn new(job: &Arc<Job>, place: Slot, ready: &ReadyChildren) -> RReducer {
        let mut client = ServeClient::new(of_reductions(job, place), None, 1);
        if place == RANK0 {
            client.take(ready, job);
        }
        RReducer { job: job.clone(), client }
    }
}

fn why(error: RunError) -> String {
    error.to_string()
}

impl GroupReducer for RReducer {
    fn prepare(&mut self) -> Result<(), String> {
        self.client.child().map(drop).map_err(why)
    }

    fn reduce(&mut self, group: Key, items: &[SlotResult]) -> Result<Scored, String> {
        let run = |fields: Vec<(&str, Cow<Value>)>| {
            let fields = fields.into_iter();
            Value::Record(fields.map(|(name, v)| (name.to_string(), v.into_owned())).collect())
        };
        let runs: Vec<Value> = described(&self.job.nest, group, items).map(run).collect();
        // The same for the same runs, wherever and whenever they are reduced.
        let seed = crc32fast::hash(Value::List(runs.clone()).to_exact().as_bytes()) >> 1;
        let fields = record([
            ("reduce", format!("{REDUCE}{}", group.level).as_str().into()),
            ("runs", Value::List(runs)),
            ("seed", Value::Int(seed.into())),
        ]);
        let call = ServeCall { fields, data: None, timeout: Some(DAY), output: Default::default() };
        let mut value = self.client.call(&call);
        if value.is_err() && !self.client.is_alive() {
            // The child may have died for an unrelated reason, so the group is tried once more.
            value = self.client.call(&call);
        }
        // The enclosing loop decides whether a score is needed; NaN is never valid.
        score(value.map_err(why)?, &self.job.score, false).map_err(why)
    }
}
