//! Functions in a child that reduce loops: in Python, or in R.

use std::sync::Arc;
use std::time::Duration;

use crate::executor::GroupReducer;
use crate::executor::serve::client::{ServeCall, ServeClient};
use crate::executor::serve::lines::record;
use crate::job::Job;
use crate::model::{Key, RunError, Scored, SlotResult, Value, score};
use crate::util::error::Result;

/// The beginning of a reduction's name in a child; its loop's level follows.
pub(crate) const REDUCE: &str = "reduce ";

/// How long a reduction may take: a way out, not a limit for anyone's work.
const DAY: Duration = Duration::from_secs(24 * 3600);

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
        let nest = &self.job.nest;
        let level = nest.item_level(group.level);
        let run = |(index, item): (u64, &SlotResult)| {
            let points = nest.coordinates(Key { level, index }).into_iter();
            let mut fields: Vec<_> =
                points.map(|(name, value)| (name.to_string(), value)).collect();
            let result = item.result.as_ref();
            let score = result.and_then(|scored| scored.score);
            fields.extend(record([
                ("status", if result.is_some() { "ok" } else { "failed" }.into()),
                ("value", result.map_or(Value::Null, |scored| scored.value.get().into_owned())),
                ("score", score.map_or(Value::Null, Value::Float)),
            ]));
            Value::Record(fields)
        };
        let runs = Value::List(nest.items(group).zip(items).map(run).collect());
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
