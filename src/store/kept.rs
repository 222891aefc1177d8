//! Runs that were made by another crunch than the job's now, and that `--keep` has kept.

use std::ops::Range;

use rusqlite::params;

use crate::job::Identity;
use crate::model::Key;
use crate::store::starts::{StoredIdentity, crunches};
use crate::store::{Results, StoppedPoints, storing};
use crate::util::error::Result;
use crate::util::text::count;

/// The runs in a range of rows that another crunch has made. Runs are traced to their crunch through their
/// worker and its start.
const KEPT: &str = "SELECT count(*) FROM runs r JOIN workers w ON w.worker = r.worker
                    JOIN starts s ON s.session = w.session
                    WHERE r.rowid >= ?1 AND r.rowid <= ?2 AND s.crunch <> ?3 AND ";

impl Results {
    /// How many runs below a key another crunch has made, of those that count.
    pub(crate) fn kept_runs(&self, stopped: &StoppedPoints, key: Key) -> Result<u64> {
        let Some(crunch) = self.latest_crunch else { return Ok(0) };
        let tasks = self.nest().tasks_below(key);
        let mut kept = self.made_by_others(crunch, tasks.clone())?;
        if kept > 0 {
            for point in stopped.at(key) {
                for unasked in point.unasked(self.nest()) {
                    let below = unasked.start.max(tasks.start)..unasked.end.min(tasks.end);
                    if !below.is_empty() {
                        kept -= self.made_by_others(crunch, below)?;
                    }
                }
            }
        }
        Ok(kept)
    }

    /// How many runs of these tasks another crunch than this one has made.
    fn made_by_others(&self, crunch: i64, tasks: Range<u64>) -> Result<u64> {
        let sql = format!("{KEPT}{}", self.of_a_task("r.rowid")?);
        let mut kept = 0;
        for range in self.keys.spans(tasks) {
            let range = params![range.start(), range.end(), crunch];
            self.query(
                &sql,
                range,
                |row| Ok(Ok(row.get::<_, i64>(0)?)),
                |found| {
                    kept += found as u64;
                    Ok(())
                },
            )?;
        }
        Ok(kept)
    }

    /// A sentence about such runs, if there are any.
    pub(crate) fn kept(&self) -> Result<Option<String>> {
        if self.latest_crunch.is_none() {
            return Ok(None);
        }
        let kept = self.kept_runs(&self.stopped()?, Key::ROOT)?;
        if kept == 0 {
            return Ok(None);
        }
        let failed = |error| storing(self.path(), &error);
        let store = self.connection();
        let now = StoredIdentity::read(store).map_err(failed)?.identity;
        let earlier = crunches(store).map_err(failed)?;
        let mut why: Vec<String> =
            earlier.iter().flat_map(|(_, was)| differences(was, &now)).collect();
        why.sort();
        why.dedup();
        let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
        Ok(Some(format!(
            "{} of {} runs were made by an earlier crunch and kept with --keep{why}",
            count(kept),
            count(self.nest().tasks())
        )))
    }
}

fn differences(was: &Identity, now: &Identity) -> Vec<String> {
    was.changes(&mut now.clone()).refused
}
