//! Finds the scores of stored runs again when another field of their records is the score, or when the
//! innermost reduction needs one now, or does not any more. Nothing is computed anew.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::model::{RunError, score};
use crate::store::row_reader::{RUN, Reader};
use crate::store::rows::{self, StoredRun};
use crate::util::error::Result;

/// Runs per step: their values are in memory at the same time.
const STEP: usize = 1000;

/// Sets the score of every run that gave a value, from the field `key`; a run without it fails if a score
/// is `needed`, and keeps its value. Returns how many runs have changed.
pub(super) fn rescore(
    store: &Connection,
    results: &Path,
    key: &str,
    needed: bool,
) -> Result<Result<u64>, rusqlite::Error> {
    let reader = Reader { results, keys: None, native: false, loads_large: true };
    let (mut changed, mut next) = (0, 0i64);
    loop {
        // A plain number is its own score under any name.
        let sql = format!(
            "SELECT {RUN}, worker FROM runs WHERE key >= ?1 AND value IS NOT NULL
             ORDER BY key LIMIT {STEP}"
        );
        let mut found = Vec::new();
        {
            let mut sql = store.prepare_cached(&sql)?;
            let mut rows = sql.query(params![next])?;
            while let Some(row) = rows.next()? {
                match reader.run(row)? {
                    Ok(run) => found.push((run, row.get::<_, Option<i64>>(9)?)),
                    Err(damaged) => return Ok(Err(damaged)),
                }
            }
        }
        let Some((last, _)) = found.last() else { return Ok(Ok(changed)) };
        next = last.key + 1;
        for (run, worker) in found {
            let StoredRun { key: row, attempt, started, seconds, result } = run;
            let value = match &result {
                Ok(scored) => scored.value.clone(),
                Err(RunError::NoScore { value, .. }) => (**value).clone().into(),
                Err(_) => continue,
            };
            let rescored = score(value, key, needed);
            if rescored == result {
                continue;
            }
            let (which, when) = ((row, attempt), (started, seconds));
            match rows::put_run(store, results, worker, which, when, &rescored) {
                Ok(put) => changed += put? as u64,
                Err(error) => return Ok(Err(error)),
            }
        }
    }
}
