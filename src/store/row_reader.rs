//! Reads rows of the store, of which each has a checksum, so that damage is detected.

use std::path::Path;

use bytes::Bytes;
use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::model::value::json_text::{JsonText, LEAST};
use crate::model::{GroupSummary, Key, ResultValue, RunError, Scored, Value, Winner};
use crate::store::large;
use crate::store::row_keys::RowKeys;
use crate::store::rows::{StoredRun, checksum};
use crate::util::error::{Error, Result};
use crate::wire::codec;

/// The columns that [`Reader::run`] expects; in every format, a row's key is its `rowid`.
pub(crate) const RUN: &str = "rowid, score, value, error, seconds, started, attempt, exact, sum";

/// The columns that [`Reader::unplaced`] expects.
pub(crate) const UNPLACED: &str =
    "place, score, value, error, seconds, started, attempt, exact, sum";

/// The columns that [`Reader::summary`] expects.
pub(crate) const GROUP: &str = "number, score, value, error, best, runs, failed, exact, sum";

/// Reads rows of one store.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) results: &'a Path,
    /// To say which task a damaged row has.
    pub(crate) keys: Option<&'a RowKeys>,
    /// Whether `exact` holds the user's Rust rather than a [`Value`].
    pub(crate) native: bool,
    /// Whether to load what is in files of its own, rather than name these.
    pub(crate) loads_large: bool,
}

impl Reader<'_> {
    /// Reads a row with the columns [`RUN`]. The inner error says that it is damaged.
    pub(crate) fn run(&self, row: &Row) -> Result<Result<StoredRun>, rusqlite::Error> {
        let (key, attempt): (i64, u32) = (row.get(0)?, row.get(6)?);
        let result = self.result(row, 7, None, |failed| [key, attempt.into(), failed.into()])?;
        let (started, seconds) = (row.get(5)?, row.get(4)?);
        Ok(result
            .map(|result| StoredRun { key, attempt, started, seconds, result })
            .map_err(|why| self.damaged(&why, "runs", &format!("rowid = {key}"), Some(key))))
    }

    /// Reads a row with the columns [`UNPLACED`]: the place, and the run with key 0.
    pub(crate) fn unplaced(
        &self,
        row: &Row,
    ) -> Result<Result<(String, StoredRun)>, rusqlite::Error> {
        self.keyed(row, "unplaced", "place")
    }

    /// The same from another table, with its own column in place of the place.
    pub(super) fn keyed(
        &self,
        row: &Row,
        table: &str,
        column: &str,
    ) -> Result<Result<(String, StoredRun)>, rusqlite::Error> {
        let (text, attempt): (String, u32) = (row.get(0)?, row.get(6)?);
        let sum_of = Some(text.clone());
        let result = self.result(row, 7, sum_of, |failed| [0, attempt.into(), failed.into()])?;
        let (started, seconds) = (row.get(5)?, row.get(4)?);
        Ok(match result {
            Ok(result) => Ok((text, StoredRun { key: 0, attempt, started, seconds, result })),
            Err(why) => {
                let at = format!("{column} = '{}'", text.replace('\'', "''"));
                Err(self.damaged(&why, table, &at, None))
            }
        })
    }

    /// Reads a row with the columns [`GROUP`], of a group at this level.
    pub(crate) fn summary(
        &self,
        row: &Row,
        level: usize,
    ) -> Result<Result<GroupSummary>, rusqlite::Error> {
        let (index, runs, failed): (i64, i64, i64) = (row.get(0)?, row.get(5)?, row.get(6)?);
        let best: Option<String> = row.get(4)?;
        let result = self.result(row, 7, best, |_| [index, runs, failed])?;
        let result = result.map(|result| result.map_err(|error| error.to_string()));
        let key = Key { level, index: index as u64 };
        Ok(result
            .map(|result| GroupSummary { key, result, runs: runs as u64, failed: failed as u64 })
            .map_err(|why| {
                let place = format!("level = {level} AND number = {index}");
                self.damaged(&why, "groups", &place, None)
            }))
    }

    /// The result in the columns 1, 2, 3 and `exact`, which the checksum follows.
    fn result(
        &self,
        row: &Row,
        exact: usize,
        best: Option<String>,
        numbers: impl FnOnce(bool) -> [i64; 3],
    ) -> Result<Result<Result<Scored, RunError>, String>, rusqlite::Error> {
        let (score, value): (Option<f64>, Option<String>) = (row.get(1)?, row.get(2)?);
        let (error, written): (Option<String>, Option<i64>) = (row.get(3)?, row.get(exact + 1)?);
        let texts = [value.as_deref(), error.as_deref(), best.as_deref()];
        let numbers = numbers(error.is_some());
        if written != Some(checksum(numbers, score, texts, row.get_ref(exact)?)) {
            return Ok(Err(NO_MATCH.to_string()));
        }
        if let (Some(why), None) = (&error, &value) {
            return Ok(Ok(Err(RunError::Failed(why.clone()))));
        }
        let named = || large::reference(self.results, value.as_deref()?);
        let named = if self.loads_large { None } else { named() };
        let is_file = matches!(row.get_ref(exact)?, ValueRef::Text(_));
        let exact = match named.is_some() || is_file && !self.loads_large {
            true => Ok(Bytes::new()),
            false => large::fetch(self.results, row.get_ref(exact)?),
        };
        let exact = match exact {
            Ok(exact) => exact,
            Err(why) => return Ok(Err(why.to_string())),
        };
        let value = match value {
            _ if let Some(named) = named => named.into(),
            _ if !self.native && !exact.is_empty() => match codec::decode(&exact) {
                Ok(value) => ResultValue::Tree(value),
                Err(why) => return Ok(Err(why.to_string())),
            },
            Some(column) => match large::json(self.results, &column) {
                Ok(json) if json.len() >= LEAST => {
                    ResultValue::Json(JsonText::stored(json.into_owned()))
                }
                Ok(json) => Value::parse(&json).unwrap_or_else(|_| Value::Text(json.into())).into(),
                Err(why) => return Ok(Err(why.to_string())),
            },
            None => score.map_or(Value::Null, Value::Float).into(),
        };
        let score = match &value {
            // The column `score` lacks the sign of a negative zero.
            ResultValue::Tree(Value::Float(exact)) if score == Some(*exact) => Some(*exact),
            _ => score,
        };
        if let Some(why) = error {
            return Ok(Ok(Err(RunError::NoScore { why, value: Box::new(value.into_value()) })));
        }
        let best = winners(best.as_deref());
        let typed = if self.native { exact } else { Bytes::new() };
        Ok(Ok(Ok(Scored { score, value, best, typed, partial: None })))
    }

    /// The error message for a damaged row, with the command that removes it.
    pub(super) fn damaged(&self, why: &str, table: &str, place: &str, key: Option<i64>) -> Error {
        let task = key.and_then(|key| self.keys?.task(key));
        let task = task.map_or(String::new(), |task| format!(" (task {task})"));
        let store = self.results.join("runs.sqlite");
        let store = store.display();
        Error::unexpected(format!(
            "{store}: damaged where {place} in {table}{task}: {why}; to have that computed again: sqlite3 {store} \"DELETE FROM {table} WHERE {place}\""
        ))
    }
}

/// The winners in the column `best`.
pub(super) fn winners(best: Option<&str>) -> Vec<Winner> {
    let best = best.and_then(|json| serde_json::from_str::<Vec<(usize, u64)>>(json).ok());
    let winner = |(level, slot)| Winner { level, slot };
    best.unwrap_or_default().into_iter().map(winner).collect()
}

pub(super) const NO_MATCH: &str = "its checksum does not match";
