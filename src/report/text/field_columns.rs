//! The columns of a table for the fields of its summaries: a number with its spread in one of them.

use std::collections::{BTreeSet, HashMap};

use crate::job::{FieldNames, SCORE, SUMMARY_COLUMNS};
use crate::model::{LoopNest, Value};
use crate::report::text::cells::cell;
use crate::report::text::fields::SummaryFields;
use crate::report::text::score_heading::{folded, score_column, score_field, score_heading};
use crate::store::Results;
use crate::util::error::Result;

/// The most columns of fields; summary.csv has them all.
const MOST: usize = 8;

/// The spreads that stand behind a number; of several, the first.
const SPREADS: [&str; 3] = ["std", "sd", "sem"];

/// The fields that a table shows.
#[derive(Default)]
pub(crate) struct FieldColumns {
    columns: Vec<FieldColumn>,
    /// The spread of the score, if it has one.
    score: Option<FieldColumn>,
    /// How many fields are not shown.
    pub(crate) more: usize,
}

struct FieldColumn {
    path: String,
    /// What it is called.
    name: String,
    spread: Option<String>,
}

impl FieldColumn {
    fn heading(&self) -> String {
        let spread = self.spread.as_deref().and_then(|spread| spread.strip_prefix(&self.path));
        match spread {
            Some(spread) => format!("{} ± {}", self.name, spread.trim_start_matches('_')),
            None => self.name.clone(),
        }
    }

    fn cell(&self, value: &Value) -> String {
        let own = value.at_path(&self.path).map(cell).unwrap_or_default();
        let spread = self.spread.as_ref().and_then(|spread| value.at_path(spread)).map(cell);
        match spread.filter(|spread| !spread.is_empty() && !own.is_empty()) {
            Some(spread) => format!("{own} ± {spread}"),
            None => own,
        }
    }
}

impl FieldColumns {
    /// The columns for the first `most` rows of the result. Lists are left to summary.csv.
    pub(crate) fn of(results: &Results, most: usize) -> Result<FieldColumns> {
        if !results.has_records(results.nest().outer())? {
            return Ok(FieldColumns::default());
        }
        let nest = results.nest();
        let of_runs = results.score_name()?;
        let called = score_field(&nest.loops()[nest.outer()..], &of_runs);
        let mut fields = SummaryFields::default();
        let (mut lists, mut number) = (BTreeSet::new(), 0);
        // Of these two, the fields that are the score in every row; plain numbers have the second.
        let mut of_score = vec![called, SCORE];
        results.summaries(nest.outer(), |summary| {
            number += 1;
            let Ok(scored) = &summary.result else { return Ok(()) };
            if number > most {
                return Ok(());
            }
            let value = scored.value.get();
            fields.add(&value, scored.score);
            if matches!(*value, Value::Record(_)) {
                value.each_field(&mut |path, field| {
                    if let Value::List(_) = field {
                        lists.insert(path.into_owned());
                    }
                });
                of_score.retain(|path| {
                    let field = value.at_path(path).and_then(Value::as_f64);
                    field.is_some() && field == scored.score
                });
            }
            Ok(())
        })?;
        let mut names = FieldNames::beside(nest).and(SUMMARY_COLUMNS);
        let mut shown: Vec<FieldColumn> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for path in fields.paths().filter(|path| !lists.contains(*path)) {
            match spread_of(path).and_then(|of| places.get(of)) {
                Some(&place) if shown[place].spread.is_none() => {
                    shown[place].spread = Some(path.clone());
                }
                _ => {
                    places.insert(path, shown.len());
                    let name = names.of(path);
                    shown.push(FieldColumn { path: path.clone(), name, spread: None });
                }
            }
        }
        let score = of_score.first().and_then(|score| places.get(score)).copied();
        let score = score.map(|place| FieldColumn {
            name: score_column(nest, called, &of_runs),
            ..shown.remove(place)
        });
        let more = shown.len().saturating_sub(MOST);
        shown.truncate(MOST);
        Ok(FieldColumns { columns: shown, score, more: more + lists.len() })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.columns.iter().map(FieldColumn::heading)
    }

    pub(crate) fn cells(&self, value: &Value) -> impl Iterator<Item = String> {
        self.columns.iter().map(|column| column.cell(value))
    }

    /// The score's cell, with its spread.
    pub(crate) fn score(&self, score: f64, value: &Value) -> String {
        match &self.score {
            Some(column) if matches!(value, Value::Record(_)) => column.cell(value),
            _ => cell(&Value::Float(score)),
        }
    }

    /// Whether the columns say what a value has.
    pub(crate) fn have_all(&self, value: &Value) -> bool {
        !self.columns.is_empty() && matches!(value, Value::Record(_))
    }

    /// The heading of the score: how it was folded, its name and its spread.
    pub(crate) fn heading(&self, nest: &LoopNest, score: &str) -> String {
        match &self.score {
            Some(column) => folded(&nest.loops()[nest.outer()..], column.heading()),
            None => score_heading(nest, nest.outer(), score),
        }
    }
}

/// The field that a field is the spread of, by its name: `r2` for `r2_std` and `r2_std_fold`.
fn spread_of(path: &str) -> Option<&str> {
    let of = path.match_indices('_').find(|(at, _)| {
        let kind = path[at + 1..].split('_').next();
        kind.is_some_and(|kind| SPREADS.contains(&kind))
    });
    of.map(|(at, _)| &path[..at])
}
