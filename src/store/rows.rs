//! Converts runs and summaries to rows of the store and back. Each row has a checksum, so that damage is
//! detected.

use std::path::Path;
use std::sync::LazyLock;

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, ToSql, params};
use serde_json::json;

use crate::model::{AttemptResult, GroupSummary, Key, RunBatch, RunError, Scored, Value, Winner};
use crate::store::large;
use crate::util::error::{Error, Result};
use crate::wire::codec;

/// The columns that [`Reader::run`] expects.
pub(crate) const RUN: &str = "task, score, value, error, seconds, started, attempt, exact, sum";

/// The columns that [`Reader::unplaced`] expects.
pub(crate) const UNPLACED: &str =
    "place, score, value, error, seconds, started, attempt, exact, sum";

/// The columns that [`Reader::summary`] expects.
pub(crate) const GROUP: &str = "number, score, value, error, best, runs, failed, exact, sum";

/// The columns of a result.
struct Columns<'a> {
    score: Option<f64>,
    value: Option<String>,
    best: Option<String>,
    error: Option<&'a str>,
    exact: ToSqlOutput<'a>,
}

impl<'a> Columns<'a> {
    fn of(
        result: Result<&'a Scored, &'a RunError>,
        results: &Path,
        spare: &'a mut Bytes,
    ) -> Result<Columns<'a>> {
        static NOTHING: Bytes = Bytes::new();
        Ok(match result {
            Ok(scored) => {
                let best = scored.best.iter().map(|w| (w.level, w.slot)).collect::<Vec<_>>();
                let exact = if scored.typed.is_empty() && !is_json(&scored.value) {
                    *spare = codec::encode(&scored.value).into();
                    spare
                } else {
                    &scored.typed
                };
                Columns {
                    score: scored.score,
                    value: match (&scored.value, scored.score) {
                        (Value::Float(_), Some(_)) => None, // the column `score` has it
                        (value, _) => Some(value.to_json().to_string()),
                    },
                    best: (!best.is_empty()).then(|| json!(best).to_string()),
                    error: None,
                    exact: large::keep(results, exact)?,
                }
            }
            Err(error) => {
                let value = error.value();
                let exact = match value.filter(|value| !is_json(value)) {
                    Some(value) => {
                        *spare = codec::encode(value).into();
                        spare
                    }
                    None => &NOTHING,
                };
                Columns {
                    score: None,
                    value: value.map(|value| value.to_json().to_string()),
                    best: None,
                    error: Some(error.why()),
                    exact: large::keep(results, exact)?,
                }
            }
        })
    }

    /// Inserts the row of a run. `first` is the first column, and the number that the checksum has for it.
    fn put_run(
        &self,
        (store, sql): (&Connection, &str),
        (first, number): (&dyn ToSql, i64),
        worker: Option<i64>,
        attempt: u32,
        (started, seconds): (f64, f64),
    ) -> Result<usize, rusqlite::Error> {
        let failed = self.error.is_some();
        let sum = self.sum([number, attempt.into(), failed.into()]);
        let all: [&dyn ToSql; 11] = [
            first,
            &failed,
            &self.score,
            &self.value,
            &self.error,
            &seconds,
            &started,
            &worker,
            &attempt,
            &self.exact,
            &sum,
        ];
        store.prepare_cached(sql)?.execute(all)
    }

    fn sum(&self, numbers: [i64; 3]) -> i64 {
        let exact = match &self.exact {
            ToSqlOutput::Borrowed(value) => *value,
            ToSqlOutput::Owned(value) => ValueRef::from(value),
            _ => ValueRef::Null,
        };
        let texts = [self.value.as_deref(), self.error, self.best.as_deref()];
        checksum(numbers, self.score, texts, exact)
    }
}

/// Whether the columns `score` and `value` hold a value exactly: JSON has no infinities, and SQLite no
/// negative zero.
fn is_json(value: &Value) -> bool {
    match value {
        Value::Float(f) => f.is_finite() && !(*f == 0.0 && f.is_sign_negative()),
        Value::List(items) => items.iter().all(is_json),
        Value::Record(fields) => fields.iter().all(|(_, value)| is_json(value)),
        _ => true,
    }
}

fn checksum(
    numbers: [i64; 3],
    score: Option<f64>,
    texts: [Option<&str>; 3],
    exact: ValueRef,
) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    for number in numbers {
        sum.update(&number.to_le_bytes());
    }
    let score = score.map(|score| score + 0.0); // as SQLite has it, without a negative zero
    sum.update(&score.map_or(u64::MAX, f64::to_bits).to_le_bytes());
    for text in texts {
        sum.update(&text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
        sum.update(text.unwrap_or_default().as_bytes());
    }
    if let ValueRef::Blob(bytes) | ValueRef::Text(bytes) = exact {
        sum.update(bytes);
    }
    sum.finalize().into()
}

/// Runs per INSERT: SQLite searches the B-tree for the first row of a statement and finds the place of the
/// next ones next to it.
const TOGETHER: usize = 64;

/// Inserts runs; they replace earlier attempts.
pub(crate) fn put_runs(
    store: &Connection,
    results: &Path,
    worker: i64,
    runs: &RunBatch,
) -> Result<Result<usize, rusqlite::Error>> {
    let (attempt, mut started, mut others) = (runs.attempt, runs.started, runs.others().peekable());
    let mut plain = Vec::with_capacity(TOGETHER);
    for (task, (score, seconds)) in runs.tasks().zip(runs.scores().zip(runs.seconds())) {
        if is_json(&Value::Float(score)) {
            plain.push((task as i64, score, seconds, started));
        } else {
            let number;
            let result = match others.next_if(|other| other.task == task) {
                Some(other) => &other.result,
                None => {
                    number = Ok(Scored::number(score));
                    &number
                }
            };
            let (which, when) = ((task, attempt), (started, seconds));
            let mut put = put_run(store, results, Some(worker), which, when, result)?;
            if let Err(error) = result {
                put = put.and_then(|_| put_error(store, Some(worker), which, when, error.why()));
            }
            if let Err(error) = put {
                return Ok(Err(error));
            }
        }
        if plain.len() == TOGETHER {
            if let Err(error) = put_plain(store, worker, attempt, &plain) {
                return Ok(Err(error));
            }
            plain.clear();
        }
        started += seconds;
    }
    Ok(put_plain(store, worker, attempt, &plain).map(|()| runs.count() as usize))
}

/// Inserts runs with plain numbers: task, score, seconds and start time of each.
fn put_plain(
    store: &Connection,
    worker: i64,
    attempt: u32,
    runs: &[(i64, f64, f64, f64)],
) -> Result<(), rusqlite::Error> {
    static ALL: LazyLock<String> = LazyLock::new(|| statement(TOGETHER));
    static ONE: LazyLock<String> = LazyLock::new(|| statement(1));
    let mut all = store.prepare_cached(if runs.len() == TOGETHER { &ALL } else { &ONE })?;
    for runs in runs.chunks(all.parameter_count() / EACH) {
        all.raw_bind_parameter(1, worker)?;
        all.raw_bind_parameter(2, attempt)?;
        for (i, (task, score, seconds, started)) in runs.iter().enumerate() {
            let first = 3 + i * EACH;
            all.raw_bind_parameter(first, task)?;
            all.raw_bind_parameter(first + 1, score)?;
            all.raw_bind_parameter(first + 2, seconds)?;
            all.raw_bind_parameter(first + 3, started)?;
            all.raw_bind_parameter(first + 4, plain_checksum(*task, attempt, *score))?;
        }
        all.raw_execute()?;
    }
    Ok(())
}

/// SQL parameters per run. Two more are common to all runs.
const EACH: usize = 5;

/// The SQL that inserts this many runs with plain numbers.
fn statement(runs: usize) -> String {
    let row = |i: usize| {
        let [task, score, seconds, started, sum] = std::array::from_fn(|k| 3 + i * EACH + k);
        format!("(?{task}, 0, ?{score}, ?{seconds}, ?{started}, ?1, ?2, ?{sum})")
    };
    let columns = "task, failed, score, seconds, started, worker, attempt, sum";
    let rows: Vec<_> = (0..runs).map(row).collect();
    format!("INSERT OR REPLACE INTO runs ({columns}) VALUES {}", rows.join(", "))
}

/// The checksum of the row of a run with a plain number, in one call.
fn plain_checksum(task: i64, attempt: u32, score: f64) -> i64 {
    let mut bytes = [0xff; 7 * 8];
    let words = [task as u64, attempt.into(), 0, (score + 0.0).to_bits()];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    crc32fast::hash(&bytes).into()
}

/// The columns of a row with a run, the first of which is its task, or its place if it has no task.
const RUN_ROW: &str = "failed, score, value, error, seconds, started, worker, attempt, exact, sum)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// Inserts a run, which replaces an earlier attempt: its task and attempt, its start time and seconds, and
/// its result.
pub(crate) fn put_run(
    store: &Connection,
    results: &Path,
    worker: Option<i64>,
    (task, attempt): (u64, u32),
    when: (f64, f64),
    result: &Result<Scored, RunError>,
) -> Result<Result<usize, rusqlite::Error>> {
    static SQL: LazyLock<String> =
        LazyLock::new(|| format!("INSERT OR REPLACE INTO runs (task, {RUN_ROW}"));
    let mut spare = Bytes::new();
    let columns = Columns::of(result.as_ref(), results, &mut spare)?;
    let task = task as i64;
    Ok(columns.put_run((store, &SQL), (&task, task), worker, attempt, when))
}

/// Inserts a run that has no task in the nest, under its place.
pub(crate) fn put_unplaced(
    store: &Connection,
    results: &Path,
    worker: Option<i64>,
    place: &str,
    run: &AttemptResult,
) -> Result<Result<usize, rusqlite::Error>> {
    static SQL: LazyLock<String> =
        LazyLock::new(|| format!("INSERT INTO unplaced (place, {RUN_ROW}"));
    let mut spare = Bytes::new();
    let mut columns = Columns::of(run.result.as_ref(), results, &mut spare)?;
    columns.best = Some(place.to_string()); // for the checksum
    let when = (run.started, run.seconds);
    Ok(columns.put_run((store, &SQL), (&place, 0), worker, run.attempt, when))
}

/// Inserts the error of a failed run into its own table too, because a later attempt replaces the run.
fn put_error(
    store: &Connection,
    worker: Option<i64>,
    (task, attempt): (u64, u32),
    (started, seconds): (f64, f64),
    error: &str,
) -> Result<usize, rusqlite::Error> {
    let sql = "INSERT INTO failures (task, attempt, error, seconds, started, worker)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let row = params![task as i64, attempt, error, seconds, started, worker];
    store.prepare_cached(sql)?.execute(row)
}

/// Inserts why an attempt has no result and no time.
pub(crate) fn put_failure(
    store: &Connection,
    worker: Option<i64>,
    task: u64,
    attempt: u32,
    why: &str,
) -> Result<usize, rusqlite::Error> {
    let sql = "INSERT INTO failures (task, attempt, error, worker) VALUES (?1, ?2, ?3, ?4)";
    store.prepare_cached(sql)?.execute(params![task as i64, attempt, why, worker])
}

/// Inserts a summary, which replaces an earlier one.
pub(crate) fn put_summary(
    store: &Connection,
    results: &Path,
    summary: &GroupSummary,
) -> Result<Result<usize, rusqlite::Error>> {
    let mut spare = Bytes::new();
    let error = summary.result.as_ref().err().map(|why| RunError::Failed(why.clone()));
    let result = summary.result.as_ref().map_err(|_| error.as_ref().expect("just made"));
    let columns = Columns::of(result, results, &mut spare)?;
    let (runs, failed) = (summary.runs as i64, summary.failed as i64);
    let sum = columns.sum([summary.key.index as i64, runs, failed]);
    let sql = "INSERT OR REPLACE INTO groups (level, number, score, value, best, error, runs, failed, exact, sum)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    Ok(store.prepare_cached(sql).and_then(|mut sql| {
        sql.execute(params![
            summary.key.level as i64,
            summary.key.index as i64,
            columns.score,
            columns.value,
            columns.best,
            columns.error,
            runs,
            failed,
            columns.exact,
            sum,
        ])
    }))
}

/// Reads rows of one store.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) results: &'a Path,
    /// Whether `exact` holds the user's Rust rather than a [`Value`].
    pub(crate) native: bool,
}

impl Reader<'_> {
    /// The key and the score of a row with the columns [`RUN`] or, at a level of groups, [`GROUP`],
    /// without loading large values. The inner error says that the row is damaged.
    #[cfg(feature = "cli")]
    pub(crate) fn score(
        &self,
        row: &Row,
        group: Option<usize>,
    ) -> Result<Result<(u64, Option<f64>)>, rusqlite::Error> {
        let text = |column| row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from);
        let number = |column| row.get::<_, i64>(column);
        let (key, score) = (number(0)?, row.get(1)?);
        let (value, error): (Option<&str>, Option<&str>) = (text(2)?, text(3)?);
        let (numbers, best) = match group {
            Some(_) => ([key, number(5)?, number(6)?], text(4)?),
            None => ([key, number(6)?, error.is_some().into()], None),
        };
        let sum = checksum(numbers, score, [value, error, best], row.get_ref(7)?);
        if row.get::<_, Option<i64>>(8)? == Some(sum) {
            return Ok(Ok((key as u64, score)));
        }
        let (table, place) = match group {
            Some(level) => ("groups", format!("level = {level} AND number = {key}")),
            None => ("runs", format!("task = {key}")),
        };
        Ok(Err(damaged(self.results, NO_MATCH, table, &place)))
    }

    /// Reads a row with the columns [`RUN`]. The inner error says that it is damaged.
    pub(crate) fn run(&self, row: &Row) -> Result<Result<AttemptResult>, rusqlite::Error> {
        let (task, attempt): (i64, u32) = (row.get(0)?, row.get(6)?);
        let result = self.result(row, 7, None, |failed| [task, attempt.into(), failed.into()])?;
        let (started, seconds) = (row.get(5)?, row.get(4)?);
        Ok(result
            .map(|result| AttemptResult { task: task as u64, attempt, started, seconds, result })
            .map_err(|why| damaged(self.results, &why, "runs", &format!("task = {task}"))))
    }

    /// Reads a row with the columns [`UNPLACED`]: the place, and the run with task 0.
    pub(crate) fn unplaced(
        &self,
        row: &Row,
    ) -> Result<Result<(String, AttemptResult)>, rusqlite::Error> {
        let (place, attempt): (String, u32) = (row.get(0)?, row.get(6)?);
        let sum_of = Some(place.clone());
        let result = self.result(row, 7, sum_of, |failed| [0, attempt.into(), failed.into()])?;
        let (started, seconds) = (row.get(5)?, row.get(4)?);
        Ok(match result {
            Ok(result) => Ok((place, AttemptResult { task: 0, attempt, started, seconds, result })),
            Err(why) => {
                let at = format!("place = '{}'", place.replace('\'', "''"));
                Err(damaged(self.results, &why, "unplaced", &at))
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
                damaged(self.results, &why, "groups", &place)
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
        let exact = match large::fetch(self.results, row.get_ref(exact)?) {
            Ok(exact) => exact,
            Err(why) => return Ok(Err(why.to_string())),
        };
        if let (Some(why), None) = (&error, &value) {
            return Ok(Ok(Err(RunError::Failed(why.clone()))));
        }
        let value = match value {
            _ if !self.native && !exact.is_empty() => match codec::decode(&exact) {
                Ok(value) => value,
                Err(why) => return Ok(Err(why.to_string())),
            },
            Some(json) => Value::parse(&json).unwrap_or(Value::Text(json)),
            None => score.map_or(Value::Null, Value::Float),
        };
        if let Some(why) = error {
            return Ok(Ok(Err(RunError::NoScore { why, value: Box::new(value) })));
        }
        let best = best.and_then(|json| serde_json::from_str::<Vec<(usize, u64)>>(&json).ok());
        let winner = |(level, slot)| Winner { level, slot };
        let best = best.unwrap_or_default().into_iter().map(winner).collect();
        let typed = if self.native { exact } else { Bytes::new() };
        Ok(Ok(Ok(Scored { score, value, best, typed })))
    }
}

const NO_MATCH: &str = "its checksum does not match";

/// The error message for a damaged row, with the command that removes it.
fn damaged(results: &Path, why: &str, table: &str, place: &str) -> Error {
    let store = results.join("runs.sqlite");
    let store = store.display();
    Error::unexpected(format!(
        "{store}: damaged where {place} in {table} ({why}); to have that computed again: sqlite3 {store} \"DELETE FROM {table} WHERE {place}\""
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_number_has_the_checksum_that_its_row_has() {
        for (task, attempt, score) in [(0, 1, 0.5), (i64::MAX, u32::MAX, -1e300)] {
            let row = checksum([task, attempt.into(), 0], Some(score), [None; 3], ValueRef::Null);
            assert_eq!(plain_checksum(task, attempt, score), row);
        }
    }
}
