//! Brings a store to the job as it is now without moving its rows: points that are new get new numbers, and runs
//! of points that are gone stay where they are, unused.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::model::Points;
use crate::store::Layout;
use crate::store::layout_tables::{Numbered, put_layout, put_point};
use crate::store::mapping::Mapping;
use crate::store::point_map::{PointMap, PointRun};
use crate::store::row_keys::RowKeys;
use crate::store::row_reader::{RUN, Reader};
use crate::store::rows;
use crate::store::store_points::{LEFT_OVER, StorePoints};
use crate::util::error::Result;

/// Rows read in grid order may be in this many ranges of keys for each run: else they are better written anew.
const MOST_RANGES: f64 = 0.02;

/// The layout of a store, and what it becomes.
pub(super) struct Edit<'a> {
    known: StorePoints,
    old: RowKeys,
    layout: &'a Layout,
    keys: RowKeys,
    numbered: Vec<Numbered>,
    /// Whether files that points name together may have changed.
    has_files: bool,
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
        let has_files = !mapping.combined.is_empty();
        let Some(maps) = mapping.same_loops() else { return Ok(None) };
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
        let runs: i64 = store.query_row("SELECT count(*) FROM runs", [], |row| row.get(0))?;
        let most = (runs as f64 * MOST_RANGES).max(1000.0);
        let in_order = keys.ranges_of_all() as f64 <= most
            || RowKeys::fresh(&layout.nest).ranges_of_all() as f64 > most;
        let edit = Edit { known, old, layout, keys, numbered, has_files };
        Ok((have_room && in_order).then_some(edit))
    }

    /// Changes the store, which must be in a transaction. Returns how many of its rows have no task now.
    pub(super) fn make(
        self,
        batch: &Connection,
        folder: &Path,
    ) -> Result<Result<u64>, rusqlite::Error> {
        // A range that gets points of another step becomes a list.
        for (level, of_level) in self.numbered.iter().enumerate() {
            let points = &self.known.loops[level].points;
            if of_level.range.is_none() && range(points).is_some() {
                for number in 0..points.len() {
                    put_point(batch, level, number, points.get(number))?;
                }
            }
        }
        if self.has_files
            && let Err(error) = self.put_aside(batch, folder)?
        {
            return Ok(Err(error));
        }
        put_layout(batch, self.layout, &self.keys, &self.numbered)?;
        batch.execute("DELETE FROM groups", [])?; // groups are numbered by the layout
        let (mut left_over, mut cursor) = (0u64, self.keys.cursor());
        let mut sql = batch.prepare("SELECT key FROM runs ORDER BY key")?;
        let mut found = sql.query([])?;
        while let Some(row) = found.next()? {
            left_over += u64::from(cursor.task(row.get(0)?).is_none());
        }
        let sql = "INSERT OR REPLACE INTO job (key, value) VALUES (?1, ?2)";
        batch.execute(sql, params![LEFT_OVER, left_over.to_string()])?;
        Ok(Ok(left_over))
    }

    /// Moves the runs whose files have changed out of the way of those to come.
    fn put_aside(&self, batch: &Connection, folder: &Path) -> Result<Result<()>, rusqlite::Error> {
        let Ok(mapping) = Mapping::new(&self.known, self.layout) else { return Ok(Ok(())) };
        let reader =
            Reader { results: folder, keys: Some(&self.old), native: true, loads_large: true };
        let mut aside = Vec::new();
        {
            let mut sql = batch.prepare("SELECT key FROM runs ORDER BY key")?;
            let mut found = sql.query([])?;
            while let Some(row) = found.next()? {
                let key = row.get(0)?;
                let has_task = self.keys.task(key).is_some();
                if has_task && mapping.task(&self.old.points(key)).is_none() {
                    aside.push(key);
                }
            }
        }
        for key in aside {
            let sql = format!("SELECT {}, worker FROM runs WHERE key = ?1", RUN);
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

/// The first value and the step of a range.
fn range(points: &Points) -> Option<(i64, i64)> {
    match points {
        Points::Range { from, step, .. } => Some((*from, *step)),
        _ => None,
    }
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
