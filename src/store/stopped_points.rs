//! Points of which not all runs are made: one row each, whatever it saves. Few jobs have any.

use std::ops::Range;

use rusqlite::{Connection, params};

use crate::model::{GroupSummary, Key, LoopNest, StopReason, StoppedPoint};
use crate::store::starts::has_table;
use crate::store::{Results, storing};
use crate::util::error::{Error, Result};

/// Stores of earlier versions lack it. `why` is the reason as JSON.
pub(super) const TABLE: &str = "
CREATE TABLE IF NOT EXISTS stopped_points (level INTEGER, number INTEGER, asked INTEGER, step INTEGER,
                                           places INTEGER, why TEXT, sum INTEGER,
                                           PRIMARY KEY (level, number)) WITHOUT ROWID;
";

/// What marks a run that is there all the same.
const EARLIER: &str = "the run was made by an earlier start and counts nowhere";

/// Forgets all of them, before a start decides again.
pub(super) fn clear(store: &Connection) -> Result<(), rusqlite::Error> {
    store.execute_batch(TABLE)?;
    store.execute("DELETE FROM stopped_points", []).map(drop)
}

pub(super) fn put(store: &Connection, point: &StoppedPoint) -> Result<usize, rusqlite::Error> {
    let StoppedPoint { key: Key { level, index }, asked, step, places, why } = point;
    let why = serde_json::to_string(why).unwrap_or_default();
    let numbers = [*level as u64, *index, *asked, *step as u64, *places].map(|n| n as i64);
    let [level, number, asked, step, places] = numbers;
    let sql = "INSERT OR REPLACE INTO stopped_points (level, number, asked, step, places, why, sum)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let row = params![level, number, asked, step, places, why, checksum(numbers, &why)];
    store.prepare_cached(sql)?.execute(row)
}

fn checksum(numbers: [i64; 5], why: &str) -> i64 {
    let mut bytes = numbers.map(i64::to_le_bytes).concat();
    bytes.extend(why.as_bytes());
    crc32fast::hash(&bytes).into()
}

/// What was stopped inside a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoppedCounts {
    /// Points that were stopped, of so many points of their loop.
    pub(crate) stopped: u64,
    pub(crate) points: u64,
    /// Runs that are not made.
    pub(crate) skipped: u64,
}

/// The points of a store of which not all runs are made, all of the same loop.
#[derive(Clone, Debug)]
pub(crate) struct StoppedPoints {
    nest: LoopNest,
    /// In grid order.
    points: Vec<StoppedPoint>,
}

impl Results {
    /// The points of which not all runs are made, as the last start has decided.
    pub(crate) fn stopped(&self) -> Result<StoppedPoints> {
        let nest = self.nest().clone();
        let read = all(self.connection()).map_err(|error| storing(self.path(), &error))?;
        let points = read.map_err(|number| {
            Error::unexpected(format!(
                "{}: damaged where number = {number} in stopped_points; the next start of the job writes it anew",
                self.path().display()
            ))
        })?;
        Ok(StoppedPoints { nest, points })
    }
}

/// All of them, in grid order, or the number of one that is damaged.
fn all(store: &Connection) -> Result<Result<Vec<StoppedPoint>, i64>, rusqlite::Error> {
    if !has_table(store, "stopped_points")? {
        return Ok(Ok(Vec::new()));
    }
    let mut sql = store.prepare(
        "SELECT level, number, asked, step, places, why, sum FROM stopped_points
         ORDER BY level, number",
    )?;
    let mut rows = sql.query([])?;
    let mut points = Vec::new();
    while let Some(row) = rows.next()? {
        let numbers = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
        let why: String = row.get(5)?;
        let reason: Option<StopReason> = serde_json::from_str(&why).ok();
        let (Some(reason), true) = (reason, row.get::<_, i64>(6)? == checksum(numbers, &why))
        else {
            return Ok(Err(numbers[1]));
        };
        let [level, index, asked, step, places] = numbers.map(|number| number as u64);
        let (level, step) = (level as usize, step as usize);
        points.push(StoppedPoint { key: Key { level, index }, asked, step, places, why: reason });
    }
    Ok(Ok(points))
}

impl StoppedPoints {
    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    pub(crate) fn nest(&self) -> &LoopNest {
        &self.nest
    }

    /// All of them, in grid order.
    pub(crate) fn all(&self) -> &[StoppedPoint] {
        &self.points
    }

    /// The level of their keys.
    pub(crate) fn level(&self) -> Option<usize> {
        self.points.first().map(|point| point.key.level)
    }

    /// Those below a key, or the one at the key or around it.
    pub(crate) fn at(&self, key: Key) -> &[StoppedPoint] {
        let Some(level) = self.level() else { return &[] };
        let Range { start, end } = match key.level < level {
            true => self.nest.keys_below(key, level),
            false => {
                let index = self.nest.ancestor(key, level).index;
                index..index + 1
            }
        };
        let from = self.points.partition_point(|point| point.key.index < start);
        let to = self.points.partition_point(|point| point.key.index < end);
        &self.points[from..to]
    }

    /// Those from the one around a key on, which is at their level or deeper.
    #[cfg(feature = "cli")]
    pub(crate) fn from(&self, key: Key) -> &[StoppedPoint] {
        let Some(level) = self.level() else { return &[] };
        let around = self.nest.ancestor(key, level).index;
        &self.points[self.points.partition_point(|point| point.key.index < around)..]
    }

    /// What was stopped inside a group. It may be a stopped point itself, or in one.
    pub(crate) fn inside(&self, group: Key) -> StoppedCounts {
        let Some(level) = self.level() else { return StoppedCounts::default() };
        let skipped = self.skipped(group);
        if group.level > level {
            return StoppedCounts { skipped, ..StoppedCounts::default() };
        }
        let points = self.nest.keys_below(group, level);
        StoppedCounts {
            stopped: self.at(group).len() as u64,
            points: points.end - points.start,
            skipped,
        }
    }

    /// The stopped point that a key is, or is in.
    pub(crate) fn around(&self, key: Key) -> Option<&StoppedPoint> {
        self.at(key).first().filter(|point| point.key.level <= key.level)
    }

    /// How many points those below a key are, for a best that is chosen among the points of loops down to a level.
    #[cfg(feature = "cli")]
    pub(crate) fn points(&self, key: Key, level: usize) -> u64 {
        self.at(key).iter().map(|point| point.points(&self.nest, level)).sum()
    }

    /// How many runs below a key are not made; the key may be in a stopped point.
    pub(crate) fn skipped(&self, key: Key) -> u64 {
        let own = |point: &StoppedPoint| match key.level > point.key.level {
            true => {
                let tasks = self.nest.tasks_below(key);
                tasks.filter(|task| !point.has_asked(&self.nest, *task)).count() as u64
            }
            false => point.skipped(&self.nest),
        };
        self.at(key).iter().map(own).sum()
    }

    /// The stopped point of a task that was not asked for: it has no run, or one that counts nowhere.
    pub(crate) fn skips(&self, task: u64) -> Option<&StoppedPoint> {
        let point = self.around(self.nest.task(task))?;
        (!point.has_asked(&self.nest, task)).then_some(point)
    }

    /// Why a run that is there counts nowhere, if it was not asked for; nothing of a group.
    pub(crate) fn why_run_skipped(&self, run: &GroupSummary) -> Option<String> {
        if run.key.level < self.nest.depth() {
            return None;
        }
        let error = run.result.as_ref().err().map(String::as_str);
        self.why_skipped(run.key.index, true, error)
    }

    /// Why a task was not asked for, as people read it; `None` if it was. A run that is there all the same may have failed.
    pub(crate) fn why_skipped(
        &self,
        task: u64,
        has_run: bool,
        error: Option<&str>,
    ) -> Option<String> {
        let words = self.skips(task)?.words(&self.nest);
        Some(match (has_run, error) {
            (false, _) => words,
            (true, None) => format!("{words}; {EARLIER}"),
            (true, Some(error)) => format!("{words}; {EARLIER}, and it failed: {error}"),
        })
    }
}
