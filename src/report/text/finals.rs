//! What the final calls of rows gave, as columns beside the summaries: `final.NAME`.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::job::FieldNames;
#[cfg(feature = "cli")]
use crate::model::error_line;
use crate::model::{Value, json_object};
use crate::report::text::fields::SummaryFields;
use crate::store::{FinalRow, Results};
use crate::util::error::Result;
#[cfg(feature = "cli")]
use crate::util::text::in_a_line;

/// What a final call has besides the fields of its value.
const OWN: [&str; 3] = ["value", "folder", "error"];

/// How many rows say which columns a terminal is shown.
#[cfg(feature = "cli")]
const LOOKED_AT: usize = 20;

#[derive(Default)]
pub(crate) struct FinalCells {
    rows: BTreeMap<u64, FinalRow>,
    fields: SummaryFields,
    /// Which of [`OWN`] some row has.
    has: [bool; 3],
}

impl FinalCells {
    pub(crate) fn of(results: &Results) -> Result<FinalCells> {
        let mut found = FinalCells { rows: results.finals()?, ..FinalCells::default() };
        for row in found.rows.values() {
            let mut has = [false, row.folder.is_some(), row.result.is_err()];
            if let Ok(scored) = &row.result {
                let value = scored.value.get();
                has[0] = !matches!(*value, Value::Record(_) | Value::Null);
                found.fields.add(&value, None);
            }
            found.has.iter_mut().zip(has).for_each(|(known, has)| *known |= has);
        }
        Ok(found)
    }

    /// The names of the columns; none if no row has a final call.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = FieldNames::default().and(OWN);
        let fields = self.fields.paths().map(|path| format!("final.{}", names.of(path)));
        let own = OWN.iter().zip(self.has).filter(|(_, has)| *has);
        fields.chain(own.map(|(name, _)| format!("final.{name}"))).collect()
    }

    /// The cells of a row, by its number.
    pub(crate) fn cells(&self, row: u64) -> Vec<Value> {
        let row = self.rows.get(&row);
        let value = row.and_then(|row| row.result.as_ref().ok()).map(|scored| scored.value.get());
        let value = value.map(|value| value.into_owned()).unwrap_or_default();
        let (mut cells, rest) = self.fields.cells(&value);
        let text = |text: Option<&String>| text.map_or(Value::Null, |text| text.as_str().into());
        let folder = text(row.and_then(|row| row.folder.as_ref()));
        let error = text(row.and_then(|row| row.result.as_ref().err()));
        let own = [rest, folder, error].into_iter().zip(self.has);
        cells.extend(own.filter(|(_, has)| *has).map(|(cell, _)| cell));
        cells
    }

    /// The first columns for a terminal, with their cells by row: those of the fields that are no lists, and errors in
    /// a line.
    #[cfg(feature = "cli")]
    pub(crate) fn few(&self, most: usize) -> (Vec<String>, impl Fn(u64) -> Vec<Value>) {
        let mut names = self.names();
        let is_wanted = |at: usize, name: &String| {
            let is_list = |row: &u64| matches!(self.cells(*row)[at], Value::List(_));
            name != "final.folder" && !self.rows.keys().take(LOOKED_AT).any(is_list)
        };
        let wanted = (0..names.len()).filter(|at| is_wanted(*at, &names[*at]));
        let mut wanted: Vec<usize> = wanted.collect();
        let error = names.iter().position(|name| name == "final.error");
        let errors: Vec<usize> = wanted.extract_if(.., |at| Some(*at) == error).collect();
        wanted.truncate(most);
        wanted.extend(errors);
        names = wanted.iter().map(|at| names[*at].clone()).collect();
        let cells = move |row| {
            let all = self.cells(row);
            let cell = |at: &usize| match &all[*at] {
                Value::Text(text) if Some(*at) == error => Value::Text(error_line(text)),
                Value::Text(text) => Value::Text(in_a_line(text).to_string()),
                other => other.clone(),
            };
            wanted.iter().map(cell).collect()
        };
        (names, cells)
    }

    /// A row's final call as JSON, if it was made.
    pub(crate) fn json(&self, row: u64) -> Option<Json> {
        let FinalRow { result, attempt, seconds, folder, .. } = self.rows.get(&row)?;
        Some(json_object([
            ("status", json!(if result.is_ok() { "ok" } else { "failed" })),
            ("value", result.as_ref().map_or(Json::Null, |scored| scored.value.get().to_json())),
            ("error", json!(result.as_ref().err())),
            ("folder", json!(folder)),
            ("seconds", json!(seconds)),
            ("attempt", json!(attempt)),
        ]))
    }
}
