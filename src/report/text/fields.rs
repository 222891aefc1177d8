//! The fields of summaries that are records, as columns.

use std::collections::BTreeSet;

use crate::model::Value;

/// The most columns that fields make; more are no table, and stay records.
const MOST: usize = 20_000;

/// The fields of some summaries, by their paths, in the order in which they first come.
#[derive(Default)]
pub(crate) struct SummaryFields {
    paths: Vec<String>,
    known: BTreeSet<String>,
    /// Whether some summary has a value that is no record.
    has_others: bool,
}

impl SummaryFields {
    pub(crate) fn add(&mut self, value: &Value) {
        if !matches!(value, Value::Record(_)) {
            self.has_others |= *value != Value::Null;
            return;
        }
        let mut place = 0;
        value.each_field(&mut |path, _| {
            // Mostly, the fields of one record are those of the next, in the same order.
            let is_there = self.paths.get(place).is_some_and(|known| *known == path);
            if !is_there && self.known.insert(path.to_string()) {
                self.paths.push(path.into_owned());
            }
            place += 1;
        });
    }

    pub(crate) fn paths(&self) -> &[String] {
        if self.paths.len() > MOST { &[] } else { &self.paths }
    }

    /// Whether values need a column of their own, because the fields do not say it all.
    pub(crate) fn needs_values(&self) -> bool {
        self.has_others || self.paths().is_empty()
    }

    /// The values of the fields, and the whole value if it has a column and is not said by them.
    pub(crate) fn cells(&self, value: &Value) -> (Vec<Value>, Value) {
        let paths = self.paths();
        let field = |path: &String| value.at_path(path).cloned().unwrap_or_default();
        let rest = match value {
            Value::Record(_) if !paths.is_empty() => Value::Null,
            other => other.clone(),
        };
        (paths.iter().map(field).collect(), rest)
    }
}
