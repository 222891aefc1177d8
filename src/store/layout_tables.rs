//! Writes a layout into the store's tables: loops, points with their numbers, and what the loops have where.

use rusqlite::types::Null;
use rusqlite::{Connection, params};

use crate::job::CombinedDigests;
use crate::model::{Loop, LoopNest, Points, Reduce, ShapeRow, Value};
use crate::store::Layout;
use crate::store::loop_rows::combined_digests;
use crate::store::point_map::{PointMap, maps_of, moved};
use crate::store::row_keys::RowKeys;
use crate::store::view::put_view;

/// How the points of a loop are numbered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Numbered {
    /// The value of point 0 and the step, if the values follow from the numbers.
    pub(super) range: Option<(i64, i64)>,
    /// How many points the store knew before, and knows now.
    pub(super) before: u64,
    pub(super) known: u64,
}

impl Numbered {
    /// The loops of a new store.
    pub(super) fn fresh(nest: &LoopNest) -> Vec<Numbered> {
        let of_loop =
            |l: &Loop| Numbered { range: range(&l.points), before: 0, known: l.points.len() };
        nest.loops().iter().map(of_loop).collect()
    }
}

/// The first value and the step of a range.
pub(super) fn range(points: &Points) -> Option<(i64, i64)> {
    match points {
        Points::Range { from, step, .. } => Some((*from, *step)),
        _ => None,
    }
}

/// Sets the loops and what they have where, and the view; adds the points that the store did not know.
pub(super) fn put_layout(
    batch: &Connection,
    layout: &Layout,
    keys: &RowKeys,
    numbered: &[Numbered],
) -> Result<(), rusqlite::Error> {
    for table in ["loops", "positions", "shape"] {
        batch.execute(&format!("DELETE FROM {table}"), [])?;
    }
    let mut add_loop = batch.prepare(
        "INSERT INTO loops (level, name, points, reduce, first, step, none, known, room, source)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let mut add_position = batch.prepare("INSERT INTO positions VALUES (?1, ?2, ?3, ?4)")?;
    let mut add_digest = batch.prepare("INSERT INTO digests VALUES (?1, ?2, ?3)")?;
    let all = layout.nest.loops().iter().zip(numbered).zip(keys.positions()).enumerate();
    for (level, ((l, numbered), positions)) in all {
        let room = keys.digits().map(|digits| digits.rooms()[level] as i64);
        let (first, step) = numbered.range.unzip();
        let source = source(&l.points).filter(|_| positions.is_same(numbered.known));
        add_loop.execute(params![
            level as i64,
            l.name,
            l.points.len() as i64,
            l.reduce.as_ref().map(Reduce::text),
            first,
            step,
            l.none.map(|none| none as i64),
            numbered.known as i64,
            room,
            source,
        ])?;
        for run in positions.runs() {
            let numbers = [level as u64, run.old, run.count, run.new];
            add_position.execute(numbers.map(|number| number as i64))?;
        }
        for (position, digest) in layout.digests.get(&level).into_iter().flatten() {
            let number = positions.old_of(*position).filter(|number| *number >= numbered.before);
            if let Some(number) = number {
                add_digest.execute(params![level as i64, number as i64, digest])?;
            }
        }
        if numbered.range.is_none() {
            for number in numbered.before..numbered.known {
                let position = positions.new_of(number);
                let value = position.map_or(Value::Null, |position| l.points.get(position));
                put_point(batch, level, number, value)?;
            }
        }
    }
    if keys.digits().is_none() {
        // The view looks for the run that has a task.
        let sql = "CREATE INDEX IF NOT EXISTS shape_by_task ON shape (level, node, first)";
        batch.execute(sql, [])?;
    }
    put_shape(batch, &layout.nest)?;
    put_combined(batch, layout, keys)?;
    put_view(batch, keys)
}

/// Adds a point that has its number from now on.
pub(super) fn put_point(
    batch: &Connection,
    level: usize,
    number: u64,
    value: Value,
) -> Result<(), rusqlite::Error> {
    let mut add = batch.prepare_cached("INSERT INTO points VALUES (?1, ?2, ?3, ?4)")?;
    let (level, number, key) = (level as i64, number as i64, value.to_exact());
    match value {
        Value::Null => add.execute(params![level, number, Null, key])?,
        Value::Int(whole) => add.execute(params![level, number, whole, key])?,
        Value::Float(value) => add.execute(params![level, number, value, key])?,
        Value::Bool(b) => add.execute(params![level, number, b, key])?,
        other => add.execute(params![level, number, other.to_string(), key])?,
    };
    Ok(())
}

/// How points are computed, as JSON, where that is shorter than a list and can be read back.
fn source(points: &Points) -> Option<String> {
    if matches!(points, Points::List(_) | Points::Rows { .. } | Points::Range { .. }) {
        return None;
    }
    let text = serde_json::to_string(points).ok()?;
    let read: Points = serde_json::from_str(&text).ok()?;
    (read == *points).then_some(text)
}

/// Adds what the loops have where, if they depend on each other.
fn put_shape(store: &Connection, nest: &LoopNest) -> Result<(), rusqlite::Error> {
    let mut add = store.prepare("INSERT INTO shape VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for row in nest.shape_rows() {
        let ShapeRow { level, node, first, point, count, each, inside } = row;
        let numbers = [level as u64, node, first, point, count, each, inside];
        add.execute(rusqlite::params_from_iter(numbers.map(|number| number as i64)))?;
    }
    Ok(())
}

/// Sets the digests of files that points name together, by the numbers of the points. Those of points that the
/// job has not any more stay. A word without any is stored too: later files do not count then.
fn put_combined(
    store: &Connection,
    layout: &Layout,
    keys: &RowKeys,
) -> Result<(), rusqlite::Error> {
    let maps = |names: &[String]| maps_of(layout.nest.loops(), keys.positions(), names);
    let mut all = combined_digests(store)?;
    for known in &mut all {
        let is_used = layout.combined.iter().any(|now| now.word == known.word);
        let maps = maps(&known.loops).filter(|_| is_used);
        let is_gone = |numbers: &[u64]| {
            maps.as_ref().is_some_and(|maps| moved(maps, numbers, PointMap::new_of).is_none())
        };
        known.digests.retain(|numbers, _| is_gone(numbers));
    }
    for CombinedDigests { word, loops, digests } in &layout.combined {
        let maps = maps(loops).unwrap_or_default();
        let by_number = |(at, digest): (&Vec<u64>, &String)| {
            Some((moved(&maps, at, PointMap::old_of)?, digest.clone()))
        };
        let digests = digests.iter().filter_map(by_number).collect();
        let (word, loops) = (word.clone(), loops.clone());
        all.push(CombinedDigests { word, loops, digests });
    }
    store.execute("DELETE FROM combined", [])?;
    let mut sql = store.prepare("INSERT INTO combined VALUES (?1, ?2, ?3, ?4)")?;
    for CombinedDigests { word, loops, .. } in &layout.combined {
        let loops = serde_json::json!(loops).to_string();
        let none = None::<String>;
        sql.execute(params![word, loops, none, none])?;
    }
    for CombinedDigests { word, loops, digests } in &all {
        let loops = serde_json::json!(loops).to_string();
        for (points, digest) in digests {
            sql.execute(params![word, loops, serde_json::json!(points).to_string(), digest])?;
        }
    }
    Ok(())
}
