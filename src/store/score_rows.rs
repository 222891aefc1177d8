//! Reads scores without the values behind them. A value may have hundreds of megabytes, and SQLite would read
//! all of it to give any part of it.

use std::borrow::Cow;

use rusqlite::{Row, params};

use crate::model::{GroupSummary, Key, Scored, Value, Winner};
use crate::store::row_reader::{NO_MATCH, Reader, winners};
use crate::store::rows::checksum;
use crate::store::{Results, large, storing};
use crate::util::error::Result;

/// A run or a group without its value.
#[derive(Debug)]
pub(crate) struct ScoreRow {
    pub(crate) key: Key,
    pub(crate) score: Option<f64>,
    /// Why it has no result.
    pub(crate) error: Option<String>,
    /// How many runs of it succeeded, and how many failed.
    pub(crate) runs: u64,
    pub(crate) failed: u64,
    /// The size of its value; 0 if that is the score, and nothing more. (bytes)
    pub(crate) size: u64,
    best: Option<String>,
}

impl ScoreRow {
    /// The winning point of each loop that max or min decided, outermost first.
    pub(crate) fn winners(&self) -> Vec<Winner> {
        winners(self.best.as_deref())
    }

    /// The same as a summary, whose value is null.
    pub(crate) fn summary(&self) -> GroupSummary {
        let (score, best) = (self.score, self.winners());
        let scored = || Scored { score, best, ..Scored::default() };
        let result = self.error.clone().map_or_else(|| Ok(scored()), Err);
        GroupSummary { key: self.key, result, runs: self.runs, failed: self.failed }
    }
}

/// Values up to this size are read to verify their row's checksum, whether or not anybody sees them. (bytes)
const CHECKED: usize = 1 << 20;

/// The columns of a table of runs or of groups, with the value and its exact form as far as they are read, and
/// the size of both. SQLite knows sizes without reading.
fn columns(table: &str, all_values: bool) -> String {
    let own = match table {
        "groups" => "number, score, error, best, runs, failed",
        _ => "rowid, score, error, NULL, attempt, 0",
    };
    let size = |name: &str| format!("coalesce(octet_length({name}), 0)");
    let small = |name: &str| match all_values {
        true => name.to_string(),
        false => format!("CASE WHEN octet_length({name}) <= {CHECKED} THEN {name} END"),
    };
    let (value, exact) = (small("value"), small("exact"));
    format!("{own}, {value}, {exact}, sum, {} + {}", size("value"), size("exact"))
}

impl Reader<'_> {
    /// Reads a row with the [`columns`] of runs or, at a level of groups, of groups; a run's key is that of
    /// its row. The inner error says that the row is damaged.
    fn score(
        &self,
        row: &Row,
        group: Option<usize>,
        all_values: bool,
    ) -> Result<Result<ScoreRow>, rusqlite::Error> {
        let text = |column| row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from);
        let (number, score): (i64, Option<f64>) = (row.get(0)?, row.get(1)?);
        let (error, best): (Option<&str>, Option<&str>) = (text(2)?, text(3)?);
        let (runs, failed): (i64, i64) = (row.get(4)?, row.get(5)?);
        let size: i64 = row.get(9)?;
        let numbers = match group {
            Some(_) => [number, runs, failed],
            None => [number, runs, error.is_some().into()],
        };
        let texts = [text(6)?, error, best];
        let sum = checksum(numbers, score, texts, row.get_ref(7)?);
        let is_read = all_values || size <= CHECKED as i64;
        if is_read && row.get::<_, Option<i64>>(8)? != Some(sum) {
            let (table, place) = match group {
                Some(level) => ("groups", format!("level = {level} AND number = {number}")),
                None => ("runs", format!("rowid = {number}")),
            };
            return Ok(Err(self.damaged(
                NO_MATCH,
                table,
                &place,
                group.is_none().then_some(number),
            )));
        }
        let is_run = group.is_none();
        Ok(Ok(ScoreRow {
            key: Key { level: group.unwrap_or_default(), index: number as u64 },
            score,
            error: error.map(str::to_string),
            runs: if is_run { u64::from(error.is_none()) } else { runs as u64 },
            failed: if is_run { u64::from(error.is_some()) } else { failed as u64 },
            size: size as u64,
            best: best.map(str::to_string),
        }))
    }
}

impl Results {
    /// Calls `each` with the score of every key at a level that is there, in grid order.
    pub(crate) fn scores(
        &self,
        level: usize,
        mut each: impl FnMut(ScoreRow) -> Result<()>,
    ) -> Result<()> {
        if level < self.nest().depth() {
            return self.with_scores(level, |next| {
                while let Some(group) = next()? {
                    each(group)?;
                }
                Ok(())
            });
        }
        let reader = self.reader();
        let read = |row: &Row| reader.score(row, None, false);
        self.in_grid_order(&columns("runs", false), 0..self.nest().tasks(), read, |task, row| {
            each(ScoreRow { key: Key { level, index: task }, ..row })
        })
    }

    /// Calls `body` with a function that gives the groups at a level, one after another.
    pub(crate) fn with_scores<T>(
        &self,
        level: usize,
        body: impl FnOnce(&mut dyn FnMut() -> Result<Option<ScoreRow>>) -> Result<T>,
    ) -> Result<T> {
        let failed = |error: rusqlite::Error| storing(self.path(), &error);
        let columns = columns("groups", false);
        // Not by a search for the level: SQLite would read whole rows, to compare them.
        let sql = format!(
            "SELECT {columns}, level FROM groups WHERE +level >= ?1 ORDER BY level, number"
        );
        let mut statement = self.connection().prepare_cached(&sql).map_err(failed)?;
        let mut rows = statement.query(params![level as i64]).map_err(failed)?;
        let (reader, mut is_there) = (self.reader(), true);
        body(&mut || {
            // Deeper levels follow; no group is asked for behind the last one.
            let Some(row) = is_there.then(|| rows.next()).transpose().map_err(failed)?.flatten()
            else {
                return Ok(None);
            };
            is_there = row.get::<_, i64>(10).map_err(failed)? == level as i64;
            match is_there {
                true => reader.score(row, Some(level), false).map_err(failed)?.map(Some),
                false => Ok(None),
            }
        })
    }

    /// Calls `each` with the index and the score of a range of keys at a level, in grid order. The rows' checksums
    /// are not verified.
    pub(crate) fn scores_between(
        &self,
        level: usize,
        range: std::ops::Range<u64>,
        mut each: impl FnMut(u64, Option<f64>),
    ) -> Result<()> {
        if level == self.nest().depth() {
            let read = |row: &Row| row.get(1).map(Ok);
            return self.in_grid_order("rowid, score", range, read, |task, score| {
                each(task, score);
                Ok(())
            });
        }
        let sql = "SELECT number, score FROM groups
                   WHERE level = ?1 AND number >= ?2 AND number < ?3 ORDER BY number";
        let range = params![level as i64, range.start as i64, range.end as i64];
        let read = |row: &Row| Ok(Ok((row.get::<_, i64>(0)?, row.get(1)?)));
        self.query(sql, range, read, |(number, score)| {
            each(number as u64, score);
            Ok(())
        })
    }

    /// The value of a run or a group; how large it is if that is too much to be shown.
    pub(crate) fn small_value(&self, row: &ScoreRow) -> Result<Value> {
        if row.size > CHECKED as u64 {
            return Ok(unread(row.size));
        }
        Ok(self.whole_value(row.key)?.unwrap_or_default())
    }

    /// The value of a run or a group; nothing if it has failed.
    pub(crate) fn whole_value(&self, key: Key) -> Result<Option<Value>> {
        let mut found = None;
        let read = |summary: GroupSummary| {
            found = summary.result.ok().map(|scored| scored.value.into_value());
            Ok(())
        };
        match key.level == self.nest().depth() {
            true => self.runs(key.index..key.index + 1, read)?,
            false => self.groups(key.level, key.index..key.index + 1, read)?,
        }
        Ok(found)
    }

    /// Reads the value of a run by the key of its row, and verifies the row's checksum. If not all values are
    /// wanted, one that is too large for that is not read.
    pub(super) fn value<T>(
        &self,
        key: i64,
        all_values: bool,
        read: impl FnOnce(RunValue) -> T,
    ) -> Result<T> {
        let failed = |error: rusqlite::Error| storing(self.path(), &error);
        let sql = format!("SELECT {} FROM runs WHERE rowid = ?1", columns("runs", all_values));
        let mut statement = self.connection().prepare_cached(&sql).map_err(failed)?;
        let mut rows = statement.query(params![key]).map_err(failed)?;
        let Some(row) = rows.next().map_err(failed)? else { return Ok(read(RunValue::None)) };
        let run = self.reader().score(row, None, all_values).map_err(failed)??;
        let text = row.get_ref(6).map_err(failed)?.as_str_or_null();
        let text = text.map_err(|error| failed(error.into()))?;
        let large = text.and_then(|text| large::size(self.folder(), text));
        Ok(read(match (text, run.score) {
            // What was too large to verify the row is not shown either.
            (Some(_), _) if !all_values && (large.is_some() || run.size > CHECKED as u64) => {
                RunValue::Unread(large.unwrap_or(run.size))
            }
            (Some(text), _) => RunValue::Json(self.whole_json(text)?),
            (None, _) if run.size > CHECKED as u64 => RunValue::Unread(run.size),
            (None, Some(score)) => RunValue::Score(score),
            (None, None) => RunValue::None,
        }))
    }
}

/// What stands for a value of this many bytes.
pub(super) fn unread(bytes: u64) -> Value {
    format!("({bytes} bytes)").as_str().into()
}

/// The value of a run.
pub(super) enum RunValue<'a> {
    None,
    Score(f64),
    Json(Cow<'a, str>),
    /// It has this many bytes.
    Unread(u64),
}
