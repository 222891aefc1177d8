//! The groups that close while the runs of earlier starts are read again. Their summaries are written at once, so
//! that none of them waits in memory.

use rusqlite::{OptionalExtension, Transaction, params};

use crate::model::{GroupSummary, Key, LoopNest, Scored};
use crate::store::row_reader::GROUP;
use crate::store::{OpenStore, finals, partial_groups, rows, stopped_points, storing};
use crate::util::error::Result;

/// The summaries of a store whose runs are being read. Unless it is finished, they stay as they were.
pub(crate) struct RecalledGroups<'a> {
    store: &'a OpenStore,
    batch: Transaction<'a>,
    /// For each level with a reduction by the user whose summaries can be reused: the group of the last run, and
    /// whether its summary was found.
    last: Vec<(Key, bool)>,
}

impl OpenStore {
    /// Deletes the summaries that cannot be reused.
    pub(crate) fn recalled_groups(&self) -> Result<RecalledGroups<'_>> {
        let kept: Vec<String> = self.reusable.iter().map(usize::to_string).collect();
        let kept = kept.join(",");
        let begin = || {
            let batch = self.connection.unchecked_transaction()?;
            batch.execute(
                &format!("DELETE FROM groups WHERE failed > 0 OR level NOT IN ({kept})"),
                [],
            )?;
            batch.execute_batch(partial_groups::TABLE)?;
            partial_groups::clear(&batch)?;
            stopped_points::clear(&batch)?;
            Ok(batch)
        };
        let batch = begin().map_err(|error| storing(&self.path, &error))?;
        let unknown = |level: &usize| (Key { level: *level, index: u64::MAX }, false);
        let last = self.reusable.iter().map(unknown).collect();
        Ok(RecalledGroups { store: self, batch, last })
    }
}

impl RecalledGroups<'_> {
    /// Calls `know` with the reusable summaries of the groups that this task is in, when it is the first one.
    pub(crate) fn enter(
        &mut self,
        nest: &LoopNest,
        task: u64,
        mut know: impl FnMut(Key, Scored),
    ) -> Result<()> {
        for (last, is_known) in &mut self.last {
            let key = nest.ancestor(nest.task(task), last.level);
            if key == *last {
                continue;
            }
            let sql = format!(
                "SELECT {GROUP} FROM groups WHERE level = ?1 AND number = ?2 AND failed = 0"
            );
            let read = || {
                let mut sql = self.batch.prepare_cached(&sql)?;
                let place = params![key.level as i64, key.index as i64];
                let reader = self.store.reader();
                sql.query_row(place, |row| reader.summary(row, key.level)).optional()
            };
            let found = read().map_err(|error| storing(&self.store.path, &error))?.transpose()?;
            let scored = found.and_then(|summary| summary.result.ok());
            (*last, *is_known) = (key, scored.is_some());
            scored.into_iter().for_each(|scored| know(key, scored));
        }
        Ok(())
    }

    /// Writes the summary of a group, unless it is there.
    pub(crate) fn close(&mut self, summary: &GroupSummary) -> Result<()> {
        if self.last.contains(&(summary.key, true)) {
            let put = partial_groups::put(&self.batch, summary);
            return put.map(drop).map_err(|error| storing(&self.store.path, &error));
        }
        let reader = self.store.reader();
        let put = rows::put_summary(&self.batch, reader.results, summary)?;
        put.map(drop).map_err(|error| storing(&self.store.path, &error))
    }

    /// Notes that the final call of the row with this key is the one that it would get now.
    pub(crate) fn keep_final(&self, row: &str, number: u64) -> Result<()> {
        let kept = finals::keep(&self.batch, self.store.session, (row, number));
        kept.map(drop).map_err(|error| storing(&self.store.path, &error))
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.batch.commit().map_err(|error| storing(&self.store.path, &error))
    }
}
