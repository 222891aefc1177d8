//! Reads what a store's tables say of its loops, of this format and of older ones.

use std::collections::BTreeMap;
use std::ops::Range;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};

use crate::job::CombinedDigests;
use crate::model::{Points, Reduce, ShapeRow, Value};
use crate::store::point_map::{PointMap, PointRun};
use crate::store::starts;

/// A row of the table `loops`.
pub(super) struct LoopRow {
    level: i64,
    pub(super) name: String,
    /// How many points the job has, and how many the store knows.
    pub(super) count: u64,
    known: u64,
    reduce: Option<String>,
    /// The first one and the step, if the points are a range.
    range: Option<(i64, i64)>,
    /// The position of the point where the loop does not apply.
    pub(super) none: Option<u64>,
    pub(super) room: Option<u64>,
    /// How its points are computed, if the store knows the job's only.
    source: Option<Points>,
    /// Whether the store is of a format that numbers points.
    pub(super) is_numbered: bool,
}

impl LoopRow {
    pub(super) fn all(store: &Connection) -> Result<Vec<LoopRow>, rusqlite::Error> {
        // Older stores lack some.
        let is_numbered = starts::has_table(store, "positions")?;
        let none = if starts::has_table(store, "shape")? { "none" } else { "NULL" };
        let numbers = if is_numbered { "known, room, source" } else { "points, NULL, NULL" };
        let mut sql = store.prepare(&format!(
            "SELECT level, name, points, reduce, first, step, {none}, {numbers} FROM loops ORDER BY level"
        ))?;
        let read = |row: &Row| {
            let number = |at| row.get::<_, Option<i64>>(at).map(|n| n.map(|n| n as u64));
            let (first, step): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
            let source: Option<String> = row.get(9)?;
            Ok(LoopRow {
                level: row.get(0)?,
                name: row.get(1)?,
                count: number(2)?.unwrap_or_default(),
                reduce: row.get(3)?,
                range: first.zip(step),
                none: number(6)?,
                known: number(7)?.unwrap_or_default(),
                room: number(8)?,
                // What another version wrote may not be read; the points are in their own table too.
                source: source.and_then(|text| serde_json::from_str(&text).ok()),
                is_numbered,
            })
        };
        sql.query_map([], read)?.collect()
    }

    /// The reduction. The inner error says that this version does not know it.
    pub(super) fn reduction(
        &self,
        store: &Connection,
    ) -> Result<Result<Option<Reduce>, String>, rusqlite::Error> {
        let Some(name) = &self.reduce else { return Ok(Ok(None)) };
        if let Some(known) = Reduce::of_text(name) {
            return Ok(Ok(Some(known)));
        }
        let writer = starts::note(store, "gridmpi")?.unwrap_or_default();
        Ok(Err(unknown_reduction(&self.name, name, &writer)))
    }

    /// Where the job has the store's points.
    pub(super) fn positions(&self, store: &Connection) -> Result<PointMap, rusqlite::Error> {
        if !self.is_numbered {
            return Ok(PointMap::same(self.count));
        }
        let mut sql =
            store.prepare("SELECT point, position, count FROM positions WHERE level = ?1")?;
        let run = |row: &Row| {
            let number = |at| row.get::<_, i64>(at).map(|number| number as u64);
            Ok(PointRun { old: number(0)?, new: number(1)?, count: number(2)? })
        };
        Ok(PointMap::of(sql.query_map(params![self.level], run)?.collect::<Result<_, _>>()?))
    }

    /// The points that the store knows.
    pub(super) fn known_points(&self, store: &Connection) -> Result<Points, rusqlite::Error> {
        if let Some((from, step)) = self.range {
            return Ok(Points::Range { from, step, count: self.known });
        }
        match &self.source {
            Some(source) if source.len() == self.known => Ok(source.clone()),
            _ => Ok(Points::List(self.listed(store, 0..self.known)?)),
        }
    }

    /// The job's points.
    pub(super) fn points(
        &self,
        store: &Connection,
        positions: &PointMap,
    ) -> Result<Points, rusqlite::Error> {
        if let (Some((first, step)), [run]) = (self.range, positions.runs()) {
            let from = first.wrapping_add(step.wrapping_mul(run.old as i64));
            return Ok(Points::Range { from, step, count: run.count });
        }
        if let Some(source) = &self.source {
            return Ok(source.clone());
        }
        let mut values = Vec::new();
        for run in positions.runs() {
            let numbers = run.old..run.old + run.count;
            match self.range {
                Some((from, step)) => {
                    let known = Points::Range { from, step, count: self.known };
                    values.extend(numbers.map(|number| known.get(number)));
                }
                None => values.extend(self.listed(store, numbers)?),
            }
        }
        Ok(Points::List(values))
    }

    fn listed(
        &self,
        store: &Connection,
        numbers: Range<u64>,
    ) -> Result<Vec<Value>, rusqlite::Error> {
        let mut sql = store.prepare_cached(
            "SELECT key, value FROM points WHERE level = ?1 AND point >= ?2 AND point < ?3 ORDER BY point",
        )?;
        let value = |row: &Row| {
            let key: String = row.get(0)?;
            Ok(match row.get_ref(1)? {
                // The key is a string in older stores.
                ValueRef::Real(number) if number.is_infinite() => Value::Float(number),
                _ => Value::from_exact(&key),
            })
        };
        let range = params![self.level, numbers.start as i64, numbers.end as i64];
        sql.query_map(range, value)?.collect()
    }
}

/// The digests of what the points of a level name, by the points' numbers.
pub(super) fn digests(
    store: &Connection,
    level: usize,
) -> Result<BTreeMap<u64, String>, rusqlite::Error> {
    let mut sql = store.prepare("SELECT point, digest FROM digests WHERE level = ?1")?;
    let digest = |row: &Row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?));
    sql.query_map(params![level as i64], digest)?.collect()
}

/// What loops have where that depend on each other.
pub(super) fn shape_rows(store: &Connection) -> Result<Vec<ShapeRow>, rusqlite::Error> {
    let mut sql = store.prepare(
        "SELECT level, node, first, point, count, each, inside FROM shape ORDER BY level, node, first",
    )?;
    let row = |row: &Row| {
        let number = |at| row.get::<_, i64>(at).map(|number| number as u64);
        Ok(ShapeRow {
            level: number(0)? as usize,
            node: number(1)?,
            first: number(2)?,
            point: number(3)?,
            count: number(4)?,
            each: number(5)?,
            inside: number(6)?,
        })
    };
    sql.query_map([], row)?.collect()
}

fn unknown_reduction(l: &str, reduction: &str, writer: &str) -> String {
    format!(
        "loop '{l}' has the reduction '{reduction}', which this gridmpi ({}) does not know; use the gridmpi that wrote the store ({writer}), or a newer one",
        env!("CARGO_PKG_VERSION")
    )
}

/// The digests of files that points name together, by the points' numbers.
pub(super) fn combined_digests(
    store: &Connection,
) -> Result<Vec<CombinedDigests>, rusqlite::Error> {
    if !starts::has_table(store, "combined")? {
        return Ok(Vec::new());
    }
    let mut found: BTreeMap<(String, String), BTreeMap<Vec<u64>, String>> = BTreeMap::new();
    let mut sql = store.prepare("SELECT word, loops, points, digest FROM combined")?;
    let mut rows = sql.query([])?;
    while let Some(row) = rows.next()? {
        let of_word = found.entry((row.get(0)?, row.get(1)?)).or_default();
        let (points, digest): (Option<String>, Option<String>) = (row.get(2)?, row.get(3)?);
        let points = points.and_then(|points| serde_json::from_str(&points).ok());
        of_word.extend(points.zip(digest));
    }
    let combined = |((word, loops), digests): ((String, String), _)| {
        Some(CombinedDigests { word, loops: serde_json::from_str(&loops).ok()?, digests })
    };
    Ok(found.into_iter().filter_map(combined).collect())
}
