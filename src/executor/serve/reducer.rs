//! Functions in a child that reduce loops: in Python, or in R.

use std::sync::Arc;

use crate::executor::GroupReducer;
use crate::executor::reduced_runs::{DAY, REDUCE, described};
use crate::executor::serve::client::{ServeCall, ServeClient};
use crate::executor::serve::lines::record;
use crate::job::Job;
use crate::model::{Key, RunError, Scored, SlotResult, Value, score};
use crate::util::error::Result;

pub(crate) struct ServeReducer {
    job: Arc<Job>,
    client: ServeClient,
}

impl ServeReducer {
    pub(crate) fn new(job: &Arc<Job>, client: ServeClient) -> ServeReducer {
        ServeReducer { job: job.clone(), client }
    }

    /// What the child has said since the last question that calls have imported.
    pub(crate) fn take_told(&mut self) -> Vec<Vec<(String, Value)>> {
        self.client.take_told()
    }
}

fn why(error: RunError) -> String {
    error.to_string()
}

impl GroupReducer for ServeReducer {
    fn prepare(&mut self) -> Result<(), String> {
        self.client.child().map(drop).map_err(why)
    }

    fn reduce(&mut self, group: Key, items: &[SlotResult]) -> Result<Scored, String> {
        let runs: Vec<Value> = described(&self.job.nest, group, items)
            .map(|fields| {
                let fields = fields.into_iter();
                Value::Record(fields.map(|(name, v)| (name.to_string(), v.into_owned())).collect())
            })
            .collect();
        let runs = Value::List(runs);
        // The same for the same runs, wherever and whenever they are reduced.
        let seed = crc32fast::hash(runs.to_exact().as_bytes()) >> 1;
        let fields = record([
            ("reduce", format!("{REDUCE}{}", group.level).as_str().into()),
            ("runs", runs),
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
