//! The columns of a table for the fields of its summaries: a number with its spread in one of them.

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
        let mut fields = SummaryFields::default();
        let (mut lists, mut number) = (Vec::new(), 0);
        // The field that is the score in every row.
        let mut of_score: Option<Vec<String>> = None;
        results.summaries(results.nest().outer(), |summary| {
            number += 1;
            let Ok(scored) = &summary.result else { return Ok(()) };
            if number > most {
                return Ok(());
            }
            let value = scored.value.get();
            fields.add(&value, scored.score);
            if !matches!(*value, Value::Record(_)) {
                return Ok(());
            }
            let mut same = Vec::new();
            value.each_field(&mut |path, value| match value {
                Value::List(_) => lists.push(path.into_owned()),
                number if number.as_f64().is_some() && number.as_f64() == scored.score => {
                    same.push(path.into_owned());
                }
                _ => {}
            });
            match &mut of_score {
                Some(before) => before.retain(|path| same.contains(path)),
                None => of_score = Some(same),
            }
            Ok(())
        })?;
        let of_score = of_score.unwrap_or_default();
        let named = results.score_name()?;
        let by = results.nest().loops().iter().filter_map(|l| l.reduce.as_ref()?.by()).next_back();
        let score = of_score.iter().find(|path| **path == named || Some(path.as_str()) == by);
        let mut shown: Vec<FieldColumn> = Vec::new();
        for path in fields.paths().filter(|path| !lists.contains(path)) {
            let spread_of = |column: &FieldColumn| {
                let rest = path.strip_prefix(&column.path)?.strip_prefix('_')?;
                let kind = rest.split('_').next()?;
                (column.spread.is_none() && SPREADS.contains(&kind)).then_some(())
            };
            match shown.iter_mut().find(|column| spread_of(column).is_some()) {
                Some(column) => column.spread = Some(path.clone()),
                None => shown.push(FieldColumn { path: path.clone(), spread: None }),
            }
        }
        let at = score.and_then(|score| shown.iter().position(|column| column.path == *score));
        let score = at.map(|at| shown.remove(at));
        let more = shown.len().saturating_sub(MOST);
        shown.truncate(MOST);
        Ok(FieldColumns { columns: shown, score, more: more + unique(lists) })
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
            Some(column) => column.cell(value),
            None => cell(&Value::Float(score)),
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

fn unique(mut all: Vec<String>) -> usize {
    all.sort();
    all.dedup();
    all.len()
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
