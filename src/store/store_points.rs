//! The points that a store knows, by the numbers that it has given them: also those that the job does not have
//! any more.

use rusqlite::Connection;

use crate::job::{CombinedDigests, PointDigests};
use crate::model::{Loop, LoopNest};
use crate::store::layout::{LoopLayout, loop_layouts};
use crate::store::loop_rows::{LoopRow, combined_digests, digests};
use crate::store::row_keys::{Digits, RowKeys};
use crate::store::{starts, storing};
use crate::util::error::{Error, Result};

/// The points of a store by number, with the digests of what they name.
#[derive(Clone, Debug)]
pub(super) struct StorePoints {
    pub(super) loops: Vec<Loop>,
    pub(super) digests: PointDigests,
    pub(super) combined: Vec<CombinedDigests>,
}

impl StorePoints {
    pub(super) fn of_store(store: &Connection, path: &std::path::Path) -> Result<StorePoints> {
        let known = StorePoints::read(store).map_err(|error| storing(path, &error))?;
        known.map_err(|why| Error::input(format!("{}: {why}", path.display())))
    }

    fn read(store: &Connection) -> Result<Result<StorePoints, String>, rusqlite::Error> {
        let mut known =
            StorePoints { loops: Vec::new(), digests: PointDigests::new(), combined: Vec::new() };
        for (level, row) in (0..).zip(LoopRow::all(store)?) {
            let reduce = match row.reduction(store)? {
                Ok(reduce) => reduce,
                Err(unknown) => return Ok(Err(unknown)),
            };
            let points = row.known_points(store)?;
            let none = match row.none {
                Some(position) => row.positions(store)?.old_of(position),
                None => None,
            };
            known.digests.insert(level, digests(store, level)?);
            known.loops.push(Loop { none, ..Loop::new(row.name, points, reduce) });
        }
        known.combined = combined_digests(store)?;
        Ok(Ok(known))
    }

    pub(super) fn loops(&self) -> impl Iterator<Item = LoopLayout<'_>> {
        loop_layouts(&self.loops, &self.digests)
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.loops().map(|here| here.l.name.as_str()).collect()
    }
}

impl RowKeys {
    /// The row keys of a store, whose job has this nest.
    pub(super) fn of_store(
        store: &Connection,
        nest: &LoopNest,
    ) -> Result<RowKeys, rusqlite::Error> {
        let rows = LoopRow::all(store)?;
        if !rows.iter().all(|row| row.is_numbered) {
            return Ok(RowKeys::task_numbers(nest));
        }
        let positions = rows.iter().map(|row| row.positions(store)).collect::<Result<_, _>>()?;
        let rooms: Option<Vec<u64>> = rows.iter().map(|row| row.room).collect();
        let left_over = starts::note(store, LEFT_OVER)?.and_then(|number| number.parse().ok());
        let keys = RowKeys::new(nest.clone(), positions, rooms.and_then(Digits::of_rooms));
        Ok(keys.with_left_over(left_over.unwrap_or_default()))
    }
}

/// The note that says how many rows of runs have no task in the job.
pub(super) const LEFT_OVER: &str = "runs_without_task";
