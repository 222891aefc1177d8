//! What a task's seed depends on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Key, LoopNest, Value, json_object};

/// Which coordinates a task's seed depends on. Those of loops that do not apply are never among them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seeding {
    /// The names of the loops; all of them if none are given.
    pub(crate) by: Option<Vec<String>>,
    /// Loops that were added to a job with runs, and the value that these had: such tasks have the seeds that
    /// they had without the loop. Of a loop over records, the fields that were added.
    pub(crate) was: BTreeMap<String, Value>,
}

impl Seeding {
    /// The seed of a task: from 0 to 2^31 - 1, which every library takes (NumPy, scikit-learn's
    /// `random_state`, R, C). It is the first 31 bits of a BLAKE3 hash of the job's seed and the task's
    /// coordinates by name, so it depends neither on the rank, nor on the loops' other points, nor on their
    /// order.
    pub(crate) fn seed_of(&self, seed: u64, nest: &LoopNest, task: Key) -> u32 {
        let counts =
            |name: &str| self.by.as_ref().is_none_or(|by| by.iter().any(|own| own == name));
        let text = self.text(nest, task, counts);
        let hash = blake3::hash(format!("{seed}\n{text}").as_bytes());
        let first = hash.as_bytes().first_chunk::<4>().expect("a hash has 32 bytes");
        u32::from_le_bytes(*first) & (i32::MAX as u32)
    }

    /// A task's points by name, as they were before loops and fields were added.
    #[cfg(feature = "jobs")]
    pub(crate) fn points_text(&self, nest: &LoopNest, task: Key) -> String {
        self.text(nest, task, |_| true)
    }

    fn text(&self, nest: &LoopNest, task: Key, counts: impl Fn(&str) -> bool) -> String {
        let mut by_name = nest.applying(task);
        by_name.retain(|(name, value)| counts(name) && self.was.get(*name) != Some(value));
        for (name, value) in &mut by_name {
            let was = self.was.get(*name);
            if let Some(before) = was.and_then(|was| without_new_fields(value, was)) {
                *value = before;
            }
        }
        by_name.sort_by_key(|(name, _)| *name);
        json_object(by_name.iter().map(|(n, v)| (*n, v.to_json()))).to_string()
    }

    /// What it says, by key of the job file.
    pub(crate) fn keys(&self) -> BTreeMap<String, String> {
        let by = self.by.as_ref().map_or("all loops".to_string(), |by| by.join(", "));
        let was = self.was.iter().map(|(name, value)| (was_key(name), value.to_json().to_string()));
        was.chain([("seed_by".to_string(), by)]).collect()
    }
}

/// What a record was before it got new fields, if it has the values in them that were had before.
pub(crate) fn without_new_fields(record: &Value, was: &Value) -> Option<Value> {
    let (Value::Record(fields), Value::Record(new)) = (record, was) else { return None };
    let is_new = |name: &String| new.iter().any(|(new, _)| new == name);
    let is_at = |(name, value): &(String, Value)| record.field(name) == Some(value);
    let before: Vec<_> = fields.iter().filter(|(name, _)| !is_new(name)).cloned().collect();
    let is_older = !new.is_empty() && !before.is_empty() && new.iter().all(is_at);
    is_older.then_some(Value::Record(before))
}

/// The key of a loop's `was` in the identity of a job.
pub(crate) fn was_key(name: &str) -> String {
    format!("was of loop {name}")
}
