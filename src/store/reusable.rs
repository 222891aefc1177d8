//! Finds the runs that a start would reuse, without starting: those of the store and, if the job has
//! changed, of the ones before, matched as a start matches them.

use std::collections::BTreeMap;

use rusqlite::Row;

use crate::job::Identity;
use crate::store::file::StoredIdentity;
use crate::store::layout::Mapping;
use crate::store::open::superseded;
use crate::store::{Layout, StoreReader, storing};
use crate::util::error::{Error, Result};

/// A stored run, with its task number in the job as it is now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ReusableRun {
    pub(crate) task: u64,
    pub(crate) seconds: f64,
    pub(crate) failed: bool,
}

impl StoreReader {
    /// Calls `each` with every run that the job can reuse, in grid order. If crunch has changed, a start
    /// would use none of them; the changes are returned.
    pub(crate) fn found(
        &self,
        layout: &Layout,
        identity: &Identity,
        mut each: impl FnMut(ReusableRun),
    ) -> Result<Option<String>> {
        let (own, before) = self.before()?;
        let changes = before.identity.changes(identity);
        if own.is(layout) {
            self.timed(each)?;
            return Ok(changes);
        }
        let folder = self.path().parent().unwrap_or(self.path());
        let within = |error: Error| error.within(&format!("results folder {}", folder.display()));
        let mut runs = BTreeMap::new();
        self.matched(&Mapping::new(&own, layout).map_err(within)?, &mut runs)?;
        for earlier in superseded(folder) {
            let earlier = StoreReader::into(&earlier)?;
            let (own, before) = earlier.before()?;
            if before.identity.changes(identity).is_none()
                && let Ok(mapping) = Mapping::new(&own, layout)
            {
                earlier.matched(&mapping, &mut runs)?;
            }
        }
        runs.into_values().for_each(&mut each);
        Ok(changes)
    }

    fn before(&self) -> Result<(Layout, StoredIdentity)> {
        let failed = |error| storing(self.path(), &error);
        let connection = self.results.connection();
        let layout = Layout::of_store(connection, self.path())?;
        Ok((layout, StoredIdentity::read(connection).map_err(failed)?))
    }

    /// Adds missing runs; a success replaces a failure.
    fn matched(&self, mapping: &Mapping, runs: &mut BTreeMap<u64, ReusableRun>) -> Result<()> {
        self.timed(|found| {
            let Some(task) = mapping.task(found.task) else { return };
            let there = runs.entry(task).or_insert(ReusableRun { task, ..found });
            if there.failed && !found.failed {
                *there = ReusableRun { task, ..found };
            }
        })
    }

    /// Calls `each` with every run of this store, in grid order.
    fn timed(&self, each: impl FnMut(ReusableRun)) -> Result<()> {
        let sql = "SELECT task, coalesce(seconds, 0.0), failed FROM runs ORDER BY task";
        let read = |row: &Row| {
            let (task, seconds): (i64, f64) = (row.get(0)?, row.get(1)?);
            Ok(ReusableRun { task: task as u64, seconds: seconds.max(0.0), failed: row.get(2)? })
        };
        self.each(sql, [], read, each)
    }
}
