//! The runs of stopped points that were not asked for: most were never made, and those of earlier starts count nowhere.

use std::sync::Arc;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::{Error as SqlError, Row};

use crate::model::{Key, StoppedPoint};
use crate::store::view::RunRows;
use crate::store::{Results, StoppedPoints};
use crate::util::error::Result;

/// Runs, and failed ones among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunCounts {
    pub(crate) runs: u64,
    pub(crate) failed: u64,
}

impl Results {
    /// The runs of a stopped point, or of a group in it, that were asked for, or those that were not.
    pub(crate) fn runs_of_stopped(
        &self,
        point: &StoppedPoint,
        group: Key,
        asked: bool,
    ) -> Result<RunCounts> {
        let nest = self.nest();
        let mut found = RunCounts::default();
        let failed = |row: &Row| row.get::<_, bool>(1).map(Ok);
        self.in_grid_order("rowid, failed", nest.tasks_below(group), failed, |task, failed| {
            if point.has_asked(nest, task) == asked {
                found.runs += 1;
                found.failed += u64::from(failed);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The runs below a key that are there and were not asked for.
    pub(crate) fn unasked_runs(&self, stopped: &StoppedPoints, key: Key) -> Result<RunCounts> {
        stopped.at(key).iter().try_fold(RunCounts::default(), |all, point| {
            let own = self.runs_of_stopped(point, point.key, false)?;
            Ok(RunCounts { runs: all.runs + own.runs, failed: all.failed + own.failed })
        })
    }
}

impl StoppedPoints {
    /// The first task from one on that was not asked for.
    pub(crate) fn next_skipped(&self, from: u64) -> Option<u64> {
        let nest = self.nest();
        if from >= nest.tasks() {
            return None;
        }
        self.from(nest.task(from)).iter().find_map(|point| {
            let tasks = nest.tasks_below(point.key);
            (from.max(tasks.start)..tasks.end).find(|task| !point.has_asked(nest, *task))
        })
    }
}

/// Runs that are there, where some were not asked for. The functions are those of [`add_functions`].
pub(super) const MADE: RunRows = RunRows {
    table: "runs",
    status: |task| {
        format!(
            "CASE WHEN is_skipped({task}) THEN 'skipped' WHEN r.failed THEN 'failed' ELSE 'ok' END"
        )
    },
    error: |task| format!("coalesce(why_skipped({task}, 1, r.error), r.error)"),
};

/// Those that were skipped and are not there, in grid order.
pub(super) const SKIPPED: RunRows = RunRows {
    table: "(
  WITH RECURSIVE skipped (task) AS (
    SELECT next_skipped(0)
    UNION ALL SELECT next_skipped(task + 1) FROM skipped WHERE task IS NOT NULL)
  SELECT skipped_key(task) AS rowid, NULL AS worker, NULL AS started, 0 AS failed, NULL AS score,
    NULL AS value, NULL AS error, NULL AS seconds, NULL AS attempt
  FROM skipped WHERE task IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM runs made WHERE made.rowid = skipped_key(task)))",
    status: |_| "'skipped'".to_string(),
    error: |task| format!("why_skipped({task}, 0, NULL)"),
};

/// Adds `next_skipped(task)`, the first skipped task from one on; `skipped_key(task)`, the key of its row;
/// `is_skipped(task)`; and `why_skipped(task, has_run, error)`, null if it was not skipped.
pub(super) fn add_functions(
    results: &Results,
    stopped: &Arc<StoppedPoints>,
) -> std::result::Result<(), SqlError> {
    let (store, plain) = (results.connection(), FunctionFlags::SQLITE_UTF8);
    let all = Arc::clone(stopped);
    store.create_scalar_function("next_skipped", 1, plain, move |context: &Context| {
        let from: i64 = context.get(0)?;
        Ok(all.next_skipped(from as u64).map(|task| task as i64))
    })?;
    let all = Arc::clone(stopped);
    store.create_scalar_function("is_skipped", 1, plain, move |context: &Context| {
        let task: i64 = context.get(0)?;
        Ok(all.skips(task as u64).is_some())
    })?;
    let keys = results.keys.clone();
    store.create_scalar_function("skipped_key", 1, plain, move |context: &Context| {
        let task: i64 = context.get(0)?;
        Ok(keys.key(task as u64))
    })?;
    let all = Arc::clone(stopped);
    store.create_scalar_function("why_skipped", 3, plain, move |context: &Context| {
        let task: i64 = context.get(0)?;
        let error = context.get_raw(2).as_str_or_null()?;
        Ok(all.why_skipped(task as u64, context.get(1)?, error))
    })
}
