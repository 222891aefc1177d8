//! Finds the runs that a start would reuse, without starting: those of the store, matched as a start
//! matches them, and those that are kept in it without a task.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use rusqlite::Row;

use crate::job::{DigestedFile, Identity, KeptResults};
use crate::model::StoppedPoint;
use crate::store::mapping::Mapping;
use crate::store::open::refusal;
use crate::store::place::PlaceIndex;
use crate::store::reread::KeptRuns;
use crate::store::starts::{StoredIdentity, has_table};
use crate::store::store_points::StorePoints;
use crate::store::{Layout, StoreReader, starts, storing};
use crate::util::error::{Error, Result};

/// A stored run, with its task number in the job as it is now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ReusableRun {
    pub(crate) task: u64,
    pub(crate) seconds: f64,
    pub(crate) failed: bool,
    /// Its score, by the field that was the score in the last start.
    pub(crate) score: Option<f64>,
}

/// What a start would do with the runs that are there.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunsOutlook {
    /// Why it would be refused, as where crunch has changed.
    pub(crate) refused: Option<String>,
    /// How many results it would read again from kept files.
    pub(crate) read_again: u64,
    /// The tasks that the last start has skipped, if nothing has changed that could ask for them, in grid order.
    pub(crate) skipped: Vec<Range<u64>>,
    /// Whether the field that is the score is another one, so that recorded scores say nothing.
    pub(crate) is_rescored: bool,
}

impl StoreReader {
    /// The digests of files that starts on this store have taken.
    pub(crate) fn known_files(&self) -> BTreeMap<PathBuf, DigestedFile> {
        starts::known_files(self.results.connection())
    }

    /// The identity of the last start's crunch.
    pub(crate) fn identity(&self) -> Result<Identity> {
        let before = StoredIdentity::read(self.results.connection());
        before.map(|before| before.identity).map_err(|error| storing(self.path(), &error))
    }

    /// Calls `each` with every run that the job can reuse, in grid order. If crunch has changed, a start would use
    /// none of them, unless `kept_results` can be read again.
    pub(crate) fn found(
        &self,
        layout: Layout,
        mut identity: Identity,
        kept_results: Option<&dyn KeptResults>,
        mut each: impl FnMut(ReusableRun),
    ) -> Result<RunsOutlook> {
        let own = Layout::of_store(self.results.connection(), self.path())?;
        let before = self.identity()?;
        let mut changes = before.changes(&mut identity);
        let store = self.results.connection();
        changes.refused.extend(layout.refuse_was(store, self.path(), &before)?);
        let layout = layout.without_new_files(&own);
        let folder = self.path().parent().unwrap_or(self.path());
        let is_rescored = before.score != identity.score;
        let mut outlook = RunsOutlook { is_rescored, ..RunsOutlook::default() };
        match (kept_results, changes.of_result()) {
            (Some(kept), Some(why)) => {
                let runs = KeptRuns { store, results: folder, own: &own, layout: &layout, kept };
                let seen = runs.look(|_, _, _| Ok(()))?;
                outlook.read_again = seen.runs;
                outlook.refused = seen.refusal(folder, why);
            }
            _ => outlook.refused = changes.refusal().map(|why| refusal(folder, &why)),
        }
        if own.is(&layout) {
            if outlook.refused.is_none() && before.same_summaries(&identity, 0) {
                let stopped = self.results.stopped()?;
                let ranges = |point: &StoppedPoint| point.unasked(self.nest()).collect::<Vec<_>>();
                outlook.skipped = stopped.all().iter().flat_map(ranges).collect();
            }
            self.timed(each)?;
            return Ok(outlook);
        }
        let within = |error: Error| error.within(&format!("results folder {}", folder.display()));
        let known = StorePoints::of_store(self.results.connection(), self.path())?;
        let mapping = Mapping::new(&known, &layout).map_err(within)?;
        let mut runs = BTreeMap::new();
        let sql = "SELECT rowid, coalesce(seconds, 0.0), failed, score FROM runs ORDER BY rowid";
        let read = |row: &Row| Ok((row.get::<_, i64>(0)?, timed(row)?));
        self.each(sql, [], read, |(key, run)| {
            add(&mut runs, mapping.task(&self.results.keys.points(key)), run);
        })?;
        self.unplaced(&layout, &mut runs)?;
        runs.into_values().for_each(&mut each);
        Ok(outlook)
    }

    /// Adds the runs without a task in the store that have one in this layout.
    fn unplaced(&self, layout: &Layout, runs: &mut BTreeMap<u64, ReusableRun>) -> Result<()> {
        let failed = |error| storing(self.path(), &error);
        if !has_table(self.results.connection(), "unplaced").map_err(failed)? {
            return Ok(());
        }
        let mut index = None;
        let sql =
            "SELECT place, coalesce(seconds, 0.0), failed, score FROM unplaced ORDER BY rowid";
        let read = |row: &Row| Ok((row.get::<_, String>(0)?, timed(row)?));
        self.each(sql, [], read, |(place, run)| {
            let index = index.get_or_insert_with(|| PlaceIndex::new(layout));
            let place = serde_json::from_str(&place).ok();
            let tasks = place.map_or(Vec::new(), |place| index.tasks(&place));
            let task = tasks.iter().find(|task| !runs.contains_key(task)).or(tasks.first());
            add(runs, task.copied(), run);
        })
    }

    /// Calls `each` with every run of this store, in grid order.
    fn timed(&self, mut each: impl FnMut(ReusableRun)) -> Result<()> {
        let columns = "rowid, coalesce(seconds, 0.0), failed, score";
        let tasks = 0..self.nest().tasks();
        self.results.in_grid_order(
            columns,
            tasks,
            |row| timed(row).map(Ok),
            |task, run| {
                each(ReusableRun { task, ..run });
                Ok(())
            },
        )
    }
}

/// The run in the columns after its key; its task is not known here.
fn timed(row: &Row) -> Result<ReusableRun, rusqlite::Error> {
    let seconds = row.get::<_, f64>(1)?.max(0.0);
    Ok(ReusableRun { task: 0, seconds, failed: row.get(2)?, score: row.get(3)? })
}

/// Adds a run, if it has a task and none is there; a success replaces a failure.
fn add(runs: &mut BTreeMap<u64, ReusableRun>, task: Option<u64>, run: ReusableRun) {
    let Some(task) = task else { return };
    let run = ReusableRun { task, ..run };
    let there = runs.entry(task).or_insert(run);
    if there.failed && !run.failed {
        *there = run;
    }
}
