//! The fields of summaries that are records, as columns.

use std::collections::BTreeSet;

use crate::job::SCORE;
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
    /// The field that plain numbers are, if they are any.
    of_numbers: Option<String>,
}

impl SummaryFields {
    /// No fields yet, of summaries in which plain numbers are this field.
    pub(crate) fn with_numbers_as(field: &str) -> SummaryFields {
        let of_numbers = (field != SCORE).then(|| field.to_string());
        SummaryFields { of_numbers, ..SummaryFields::default() }
    }

    /// Adds the field that plain numbers are.
    pub(crate) fn add_of_numbers(&mut self) {
        if let Some(field) = self.of_numbers.clone()
            && self.known.insert(field.clone())
        {
            self.paths.push((field, 0));
        }
    }

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
        self.known.is_empty() || self.leave_something()
    }

    /// Whether some value is neither a record nor what its score says, or has too many fields for columns.
    pub(crate) fn leave_something(&self) -> bool {
        self.has_others || self.are_too_many()
    }

    /// Whether a field is the one that plain numbers are.
    #[cfg(feature = "cli")]
    pub(crate) fn is_of_numbers(&self, path: &str) -> bool {
        self.of_numbers.as_deref() == Some(path)
    }

    /// The values of the fields, and the whole value if it has a column and is not said by them.
    pub(crate) fn cells(&self, value: &Value) -> (Vec<Value>, Value) {
        if self.are_too_many() || !matches!(value, Value::Record(_)) {
            let number = value.as_f64().and(self.of_numbers.as_ref());
            let cell = |path| if number == Some(path) { value.clone() } else { Value::Null };
            return (self.paths().map(cell).collect(), value.clone());
        }
        let field = |(path, place): &(String, usize)| {
            let found = value.field_near(path, *place).or_else(|| value.at_path(path));
            found.cloned().unwrap_or_default()
        };
        (self.paths.iter().map(field).collect(), Value::Null)
    }
}
