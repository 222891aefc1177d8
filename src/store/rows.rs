//! Converts runs and summaries to rows of the store and back. Each row has a checksum, so that damage is
//! detected.

use std::borrow::Cow;
use std::path::Path;
use std::sync::LazyLock;

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params};
use serde_json::json;

use crate::model::{GroupSummary, ResultValue, RunBatch, RunError, Scored, Value};
use crate::store::row_keys::RowKeys;
use crate::store::{large, partial_groups};
use crate::util::error::Result;
use crate::wire::codec;

/// The columns of a result.
struct Columns<'a> {
    score: Option<f64>,
    value: Option<Cow<'a, str>>,
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
                let exact = match &scored.value {
                    ResultValue::Tree(value) if scored.typed.is_empty() && !is_json(value) => {
                        *spare = codec::encode(value).into();
                        spare
                    }
                    _ => &scored.typed,
                };
                Columns {
                    score: scored.score,
                    value: match (&scored.value, scored.score) {
                        // The column `score` has it.
                        (ResultValue::Tree(Value::Float(_)), Some(_)) => None,
                        (ResultValue::Tree(value), _) => {
                            Some(large::keep_json(results, value)?.into())
                        }
                        (ResultValue::Json(json), _) => Some(large::keep_text(results, json)?),
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
                    value: value
                        .map(|value| large::keep_json(results, value).map(Cow::Owned))
                        .transpose()?,
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

pub(super) fn checksum(
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
    (store, keys): (&Connection, &RowKeys),
    results: &Path,
    worker: i64,
    runs: &RunBatch,
) -> Result<Result<usize, rusqlite::Error>> {
    let (attempt, mut started, mut others) = (runs.attempt, runs.started, runs.others().peekable());
    let (mut plain, mut keys) = (Vec::with_capacity(TOGETHER), keys.cursor());
    for (task, (score, seconds)) in runs.tasks().zip(runs.scores().zip(runs.seconds())) {
        let key = keys.key(task);
        if is_json(&Value::Float(score)) {
            plain.push((key, score, seconds, started));
        } else {
            let number;
            let result = match others.next_if(|other| other.task == task) {
                Some(other) => &other.result,
                None => {
                    number = Ok(Scored::number(score));
                    &number
                }
            };
            let (which, when) = ((key, attempt), (started, seconds));
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

/// Inserts runs with plain numbers: key, score, seconds and start time of each.
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
        for (i, (key, score, seconds, started)) in runs.iter().enumerate() {
            let first = 3 + i * EACH;
            all.raw_bind_parameter(first, key)?;
            all.raw_bind_parameter(first + 1, score)?;
            all.raw_bind_parameter(first + 2, seconds)?;
            all.raw_bind_parameter(first + 3, started)?;
            all.raw_bind_parameter(first + 4, plain_checksum(*key, attempt, *score))?;
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
        let [key, score, seconds, started, sum] = std::array::from_fn(|k| 3 + i * EACH + k);
        format!("(?{key}, 0, ?{score}, ?{seconds}, ?{started}, ?1, ?2, ?{sum})")
    };
    let columns = "key, failed, score, seconds, started, worker, attempt, sum";
    let rows: Vec<_> = (0..runs).map(row).collect();
    format!("INSERT OR REPLACE INTO runs ({columns}) VALUES {}", rows.join(", "))
}

/// The checksum of the row of a run with a plain number, in one call.
fn plain_checksum(key: i64, attempt: u32, score: f64) -> i64 {
    let mut bytes = [0xff; 7 * 8];
    let words = [key as u64, attempt.into(), 0, (score + 0.0).to_bits()];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    crc32fast::hash(&bytes).into()
}

/// The columns of a row with a run, the first of which is its key, or its place.
const RUN_ROW: &str = "failed, score, value, error, seconds, started, worker, attempt, exact, sum)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// Inserts a run, which replaces an earlier attempt: its key and attempt, its start time and seconds, and
/// its result.
pub(crate) fn put_run(
    store: &Connection,
    results: &Path,
    worker: Option<i64>,
    (key, attempt): (i64, u32),
    when: (f64, f64),
    result: &Result<Scored, RunError>,
) -> Result<Result<usize, rusqlite::Error>> {
    static SQL: LazyLock<String> =
        LazyLock::new(|| format!("INSERT OR REPLACE INTO runs (key, {RUN_ROW}"));
    let mut spare = Bytes::new();
    let columns = Columns::of(result.as_ref(), results, &mut spare)?;
    Ok(columns.put_run((store, &SQL), (&key, key), worker, attempt, when))
}

/// Inserts a run that has no key in the store, under its place.
pub(crate) fn put_unplaced(
    store: &Connection,
    results: &Path,
    worker: Option<i64>,
    place: &str,
    run: &StoredRun,
) -> Result<Result<usize, rusqlite::Error>> {
    put_under(store, results, worker, ("INSERT INTO unplaced (place, ", place), run)
}

/// Inserts a run into a table that has a text in place of a key.
pub(super) fn put_under(
    store: &Connection,
    results: &Path,
    worker: Option<i64>,
    (into, text): (&str, &str),
    run: &StoredRun,
) -> Result<Result<usize, rusqlite::Error>> {
    let sql = format!("{into}{RUN_ROW}");
    let mut spare = Bytes::new();
    let mut columns = Columns::of(run.result.as_ref(), results, &mut spare)?;
    columns.best = Some(text.to_string()); // for the checksum
    let when = (run.started, run.seconds);
    Ok(columns.put_run((store, &sql), (&text, 0), worker, run.attempt, when))
}

/// Inserts the error of a failed run into its own table too, because a later attempt replaces the run.
fn put_error(
    store: &Connection,
    worker: Option<i64>,
    (key, attempt): (i64, u32),
    (started, seconds): (f64, f64),
    error: &str,
) -> Result<usize, rusqlite::Error> {
    let sql = "INSERT INTO failures (key, attempt, error, seconds, started, worker)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let row = params![key, attempt, error, seconds, started, worker];
    store.prepare_cached(sql)?.execute(row)
}

/// Puts the error of a run that has another one now, or none, into the place of that in its own table.
pub(super) fn replace_error(
    store: &Connection,
    worker: Option<i64>,
    (key, attempt): (i64, u32),
    when: (f64, f64),
    error: Option<&RunError>,
) -> Result<(), rusqlite::Error> {
    let sql = "DELETE FROM failures WHERE key = ?1 AND attempt = ?2 AND started = ?3";
    store.prepare_cached(sql)?.execute(params![key, attempt, when.0])?;
    match error {
        Some(error) => put_error(store, worker, (key, attempt), when, error.why()).map(drop),
        None => Ok(()),
    }
}

/// Inserts why an attempt has no result and no time.
pub(crate) fn put_failure(
    store: &Connection,
    worker: Option<i64>,
    key: i64,
    attempt: u32,
    why: &str,
) -> Result<usize, rusqlite::Error> {
    let sql = "INSERT INTO failures (key, attempt, error, worker) VALUES (?1, ?2, ?3, ?4)";
    store.prepare_cached(sql)?.execute(params![key, attempt, why, worker])
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
    let put = store.prepare_cached(sql).and_then(|mut sql| {
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
    });
    Ok(put.and_then(|_| partial_groups::put(store, summary)))
}

/// A run as its row has it.
#[derive(Clone, Debug)]
pub(crate) struct StoredRun {
    pub(crate) key: i64,
    pub(crate) attempt: u32,
    pub(crate) started: f64,
    pub(crate) seconds: f64,
    pub(crate) result: Result<Scored, RunError>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_number_has_the_checksum_that_its_row_has() {
        for (key, attempt, score) in [(0, 1, 0.5), (i64::MAX, u32::MAX, -1e300)] {
            let row = checksum([key, attempt.into(), 0], Some(score), [None; 3], ValueRef::Null);
            assert_eq!(plain_checksum(key, attempt, score), row);
        }
    }
}
