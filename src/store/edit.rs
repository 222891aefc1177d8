//! Brings a store to the job as it is now without moving its rows: points that are new get new numbers, and runs
//! of points that are gone stay where they are, unused.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::model::Points;
use crate::store::Layout;
use crate::store::layout_tables::{Numbered, put_layout, put_point, range};
use crate::store::mapping::{CombinedMapping, Mapping};
use crate::store::point_map::{PointMap, PointRun};
use crate::store::row_keys::RowKeys;
use crate::store::row_reader::{RUN, Reader};
use crate::store::rows;
use crate::store::store_points::{LEFT_OVER, StorePoints};
use crate::store::{starts, stopped_points};
use crate::util::error::Result;

/// Rows read in grid order may be in this many ranges of keys for each run: else they are better written anew.
const MOST_RANGES: f64 = 0.02;

/// So many ranges are few, however many runs there are.
const FEW_RANGES: u64 = 1000;

/// The layout of a store, and what it becomes.
pub(super) struct Edit<'a> {
    known: StorePoints,
    old: RowKeys,
    layout: &'a Layout,
    keys: RowKeys,
    numbered: Vec<Numbered>,
    /// The files that points name together.
    combined: Vec<CombinedMapping>,
}

impl<'a> Edit<'a> {
    /// What is to be done. Nothing if the rows of the store have to be written anew.
    pub(super) fn new(
        store: &Connection,
        old: &Layout,
        known: StorePoints,
        layout: &'a Layout,
    ) -> Result<Option<Edit<'a>>, rusqlite::Error> {
        let old = RowKeys::of_store(store, &old.nest)?;
        let Some(digits) = old.digits().cloned() else { return Ok(None) };
        let Ok(mapping) = Mapping::new(&known, layout) else { return Ok(None) };
        let Some((maps, combined)) = mapping.same_loops() else { return Ok(None) };
        let (mut positions, mut numbered) = (Vec::new(), Vec::new());
        for (level, (here, map)) in layout.loops().zip(maps).enumerate() {
            let (l, there) = (here.l, &known.loops[level]);
            let before = there.points.len();
            let missing = map.missing(l.points.len());
            let mut runs = map.runs().to_vec();
            let mut next = before;
            for range in &missing {
                let count = range.end - range.start;
                runs.push(PointRun { old: next, new: range.start, count });
                next += count;
            }
            let map = PointMap::of(runs);
            // Readers take a range for one where it still is: as a whole, or a piece of it.
            let is_range = |(first, step): &(i64, i64)| {
                let piece = map.runs().len() == 1 && range(&l.points).is_some();
                piece
                    && (missing.is_empty() || goes_on((*first, *step), before, &l.points, &missing))
            };
            let range = range(&there.points).filter(is_range);
            numbered.push(Numbered { range, before, known: next });
            positions.push(map);
        }
        let sizes: Vec<u64> = numbered.iter().map(|of_level| of_level.known).collect();
        let keys = RowKeys::new(layout.nest.clone(), positions, Some(digits));
        let have_room = keys.digits().is_some_and(|digits| digits.have_room(&sizes));
        if !have_room || !are_few_ranges(store, &keys)? {
            return Ok(None);
        }
        Ok(Some(Edit { known, old, layout, keys, numbered, combined }))
    }

    /// Changes the store, which must be in a transaction.
    pub(super) fn make(
        self,
        batch: &Connection,
        folder: &Path,
    ) -> Result<Result<()>, rusqlite::Error> {
        // A range that gets points of another step becomes a list.
        for (level, of_level) in self.numbered.iter().enumerate() {
            let points = &self.known.loops[level].points;
            if of_level.range.is_none() && range(points).is_some() {
                for number in 0..points.len() {
                    put_point(batch, level, number, points.get(number))?;
                }
            }
        }
        if !self.combined.is_empty()
            && let Err(error) = self.put_aside(batch, folder)?
        {
            return Ok(Err(error));
        }
        put_layout(batch, self.layout, &self.keys, &self.numbered)?;
        // Both are numbered by the layout.
        batch.execute("DELETE FROM groups", [])?;
        stopped_points::clear(batch)?;
        let (mut left_over, mut cursor) = (0u64, self.keys.cursor());
        let mut sql = batch.prepare("SELECT key FROM runs ORDER BY key")?;
        let mut found = sql.query([])?;
        while let Some(row) = found.next()? {
            left_over += u64::from(cursor.task(row.get(0)?).is_none());
        }
        starts::put_note(batch, LEFT_OVER, left_over.to_string())?;
        Ok(Ok(()))
    }

    /// Moves the runs whose files have changed out of the way of those to come, also if they have no task now.
    fn put_aside(&self, batch: &Connection, folder: &Path) -> Result<Result<()>, rusqlite::Error> {
        let reader =
            Reader { results: folder, keys: Some(&self.old), native: true, loads_large: true };
        let mut aside = Vec::new();
        {
            let mut sql = batch.prepare("SELECT key FROM runs ORDER BY key")?;
            let mut found = sql.query([])?;
            while let Some(row) = found.next()? {
                let key = row.get(0)?;
                let (points, positions) = (self.old.points(key), self.keys.positions());
                if self.combined.iter().any(|files| files.has_changed(&points, positions)) {
                    aside.push(key);
                }
            }
        }
        for key in aside {
            let sql = format!("SELECT {RUN}, worker FROM runs WHERE key = ?1");
            let mut sql = batch.prepare_cached(&sql)?;
            let run = sql.query_row(params![key], |row| {
                Ok((reader.run(row)?, row.get::<_, Option<i64>>(9)?))
            })?;
            let (run, worker) = match run {
                (Ok(run), worker) => (run, worker),
                (Err(damaged), _) => return Ok(Err(damaged)),
            };
            let place = self.known.place(&self.old.points(key));
            let place = serde_json::json!(place).to_string();
            match rows::put_unplaced(batch, folder, worker, &place, &run) {
                Ok(put) => drop(put?),
                Err(error) => return Ok(Err(error)),
            }
            batch.prepare_cached("DELETE FROM runs WHERE key = ?1")?.execute(params![key])?;
        }
        Ok(Ok(()))
    }
}

/// Whether reading all rows in grid order takes few ranges of keys; or as many as in a new store.
fn are_few_ranges(store: &Connection, keys: &RowKeys) -> Result<bool, rusqlite::Error> {
    let ranges = keys.ranges_of_all();
    if ranges <= FEW_RANGES {
        return Ok(true);
    }
    let runs: i64 = store.query_row("SELECT count(*) FROM runs", [], |row| row.get(0))?;
    let most = (runs as f64 * MOST_RANGES).max(FEW_RANGES as f64);
    let anew = RowKeys::fresh(keys.nest()).ranges_of_all();
    Ok(ranges as f64 <= most || anew as f64 > most)
}

/// Whether points at these positions are the next ones of a range that has `known` points.
fn goes_on(
    (first, step): (i64, i64),
    known: u64,
    points: &Points,
    missing: &[std::ops::Range<u64>],
) -> bool {
    let [missing] = missing else { return false };
    let next =
        i64::try_from(known).ok().and_then(|known| first.checked_add(step.checked_mul(known)?));
    let Some((from, own_step)) = range(points) else { return false };
    let begin = from.wrapping_add(own_step.wrapping_mul(missing.start as i64));
    next == Some(begin) && (own_step == step || missing.end - missing.start == 1)
}
