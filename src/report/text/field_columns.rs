//! The columns of a table for the fields of its summaries: a number with its spread in one of them.

use std::collections::{BTreeSet, HashMap};

use crate::model::{Loop, LoopNest, Reduce, Value};
use crate::report::text::cells::cell;
use crate::report::text::fields::SummaryFields;
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
    spread: Option<String>,
}

impl FieldColumn {
    fn name(&self) -> String {
        let spread = self.spread.as_deref().and_then(|spread| spread.strip_prefix(&self.path));
        match spread {
            Some(spread) => format!("{} ± {}", self.path, spread.trim_start_matches('_')),
            None => self.path.clone(),
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
        let called = results.score_name()?;
        let by = results.nest().loops().iter().filter_map(|l| l.reduce.as_ref()?.by()).next_back();
        let mut fields = SummaryFields::default();
        let (mut lists, mut number) = (BTreeSet::new(), 0);
        // Of these two, the fields that are the score in every row.
        let mut of_score: Vec<&str> = [Some(called.as_str()), by].into_iter().flatten().collect();
        results.summaries(results.nest().outer(), |summary| {
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
        let mut shown: Vec<FieldColumn> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for path in fields.paths().filter(|path| !lists.contains(*path)) {
            match spread_of(path).and_then(|of| places.get(of)) {
                Some(&place) if shown[place].spread.is_none() => {
                    shown[place].spread = Some(path.clone());
                }
                _ => {
                    places.insert(path, shown.len());
                    shown.push(FieldColumn { path: path.clone(), spread: None });
                }
            }
        }
        let score = of_score.first().and_then(|score| places.get(score)).copied();
        let score = score.map(|place| shown.remove(place));
        let more = shown.len().saturating_sub(MOST);
        shown.truncate(MOST);
        Ok(FieldColumns { columns: shown, score, more: more + lists.len() })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.columns.iter().map(FieldColumn::name)
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
        let name = self.score.as_ref().map_or(score.to_string(), FieldColumn::name);
        match folds_in_words(nest.loops()) {
            folds if folds.is_empty() => name,
            folds => format!("{folds} {name}"),
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

/// How the scores of loops are folded, apart from choosing the best: `median of mean`.
pub(crate) fn folds_in_words(loops: &[Loop]) -> String {
    let mut names: Vec<String> =
        loops.iter().filter_map(|l| l.reduce.as_ref()).filter_map(Reduce::score_fold).collect();
    names.dedup();
    names.join(" of ")
}

/// The heading of a score of which nothing but its name is known.
pub(crate) fn score_heading(nest: &LoopNest, score: &str) -> String {
    FieldColumns::default().heading(nest, score)
}
