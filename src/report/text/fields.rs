//! The fields of summaries that are records, as columns.

use std::collections::BTreeSet;

use crate::model::Value;

/// The most columns that fields make; more are no table, and stay records.
const MOST: usize = 20_000;

/// The fields of some summaries that are records, by their paths, in the order in which they first come.
#[derive(Default)]
pub(crate) struct SummaryFields {
    /// With the usual place in a record.
    paths: Vec<(String, usize)>,
    known: BTreeSet<String>,
    /// Whether some summary has a value that is no record.
    has_others: bool,
    /// Whether a field called score is not the score.
    has_other_score: bool,
}

/// The column that has every score.
const SCORE: &str = "score";

/// The name of a field's column, which is told apart from another one of that name.
pub(crate) fn apart(path: &str, is_taken: bool) -> String {
    if is_taken { format!("value.{path}") } else { path.to_string() }
}

impl SummaryFields {
    pub(crate) fn add(&mut self, value: &Value, score: Option<f64>) {
        if !matches!(value, Value::Record(_)) {
            self.has_others |= *value != Value::Null;
            return;
        }
        self.has_other_score |= value.field(SCORE).is_some_and(|field| field.as_f64() != score);
        let mut place = 0;
        value.each_field(&mut |path, _| {
            // Mostly, the fields of one record are those of the next, in the same order.
            let is_there = self.paths.get(place).is_some_and(|(known, _)| *known == path);
            if !is_there && self.known.insert(path.to_string()) {
                self.paths.push((path.into_owned(), place));
            }
            place += 1;
        });
    }

    /// Drops a field that says no more than the score's own column.
    pub(crate) fn without_score(mut self) -> SummaryFields {
        if !self.has_other_score {
            self.paths.retain(|(path, _)| path != SCORE);
        }
        self
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &String> {
        let shown = if self.are_too_many() { 0 } else { self.paths.len() };
        self.paths[..shown].iter().map(|(path, _)| path)
    }

    fn are_too_many(&self) -> bool {
        self.paths.len() > MOST
    }

    /// Whether values need a column of their own, because the fields do not say it all.
    pub(crate) fn needs_values(&self) -> bool {
        self.has_others || self.known.is_empty() || self.are_too_many()
    }

    /// The values of the fields, and the whole value if it has a column and is not said by them.
    pub(crate) fn cells(&self, value: &Value) -> (Vec<Value>, Value) {
        if self.are_too_many() || !matches!(value, Value::Record(_)) {
            let none = self.paths().map(|_| Value::Null);
            return (none.collect(), value.clone());
        }
        let field = |(path, place): &(String, usize)| {
            let found = value.field_near(path, *place).or_else(|| value.at_path(path));
            found.cloned().unwrap_or_default()
        };
        (self.paths.iter().map(field).collect(), Value::Null)
    }
}
