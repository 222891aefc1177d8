//! The store's tables, and the view that shows every run with its coordinates to any SQLite client:
//! `SELECT dataset, max(score) FROM all_runs GROUP BY dataset`.

use rusqlite::types::Null;
use rusqlite::{Connection, params};

use crate::job::{CombinedDigests, RUN_COLUMNS};
use crate::model::{Key, LoopNest, Points, Reduce, ShapeRow, Value};
use crate::store::{Layout, starts};
use crate::util::text::quoted;

/// The version of the tables, and the oldest one that is read: its loops do not depend on each other.
pub(crate) const FORMAT: i64 = 4;
pub(crate) const OLDEST: i64 = 3;

const TABLES: &str = "
CREATE TABLE job (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE loops (level INTEGER PRIMARY KEY, name TEXT, points INTEGER, reduce TEXT,
                    first INTEGER, step INTEGER, none INTEGER);
CREATE TABLE points (level INTEGER, point INTEGER, value, key TEXT, PRIMARY KEY (level, point)) WITHOUT ROWID;
CREATE TABLE shape (level INTEGER, node INTEGER, first INTEGER, point INTEGER, count INTEGER,
                    each INTEGER, inside INTEGER, PRIMARY KEY (level, node, first)) WITHOUT ROWID;
CREATE TABLE digests (level INTEGER, point INTEGER, digest TEXT, PRIMARY KEY (level, point)) WITHOUT ROWID;
CREATE TABLE workers (worker INTEGER PRIMARY KEY, session INTEGER, rank INTEGER, host TEXT, thread INTEGER);
CREATE TABLE runs (task INTEGER PRIMARY KEY, failed INTEGER, score REAL, value TEXT, error TEXT,
                   seconds REAL, started REAL, worker INTEGER, attempt INTEGER, exact BLOB, sum INTEGER);
CREATE TABLE failures (task INTEGER, attempt INTEGER, error TEXT, seconds REAL, started REAL, worker INTEGER);
CREATE TABLE groups (level INTEGER, number INTEGER, score REAL, value TEXT, best TEXT, error TEXT,
                     runs INTEGER, failed INTEGER, exact BLOB, sum INTEGER,
                     PRIMARY KEY (level, number)) WITHOUT ROWID;
";

/// Sets up durable commits in WAL mode, so that others can read during a run. Without shared memory, the
/// connection has exclusive access.
pub(crate) fn prepare(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let wal = |row: &rusqlite::Row| row.get::<_, String>(0);
    let mode = connection.query_row("PRAGMA journal_mode = WAL", [], wal);
    if !matches!(mode.as_deref(), Ok("wal")) {
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.query_row("PRAGMA journal_mode = WAL", [], wal)?;
    }
    Ok(())
}

/// Leaves WAL mode so that a single file remains, unless a reader prevents it.
pub(crate) fn leave_wal_mode(connection: &Connection) {
    let patience = std::time::Duration::from_millis(100);
    let settled = connection
        .busy_timeout(patience)
        .and_then(|()| connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())));
    if let Err(error) = settled {
        log::debug!("the store's write-ahead log stays a file of its own: {error}");
    }
}

/// Writes the whole WAL into the file.
pub(crate) fn checkpoint_wal(connection: &Connection) -> Result<(), rusqlite::Error> {
    let busy = |row: &rusqlite::Row| row.get::<_, bool>(0);
    match connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], busy)? {
        false => Ok(()),
        true => Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            Some("somebody reads it; close that and start again".to_string()),
        )),
    }
}

/// Makes the tables for a layout and the view over them.
pub(crate) fn create(
    connection: &Connection,
    layout: &Layout,
    notes: &[(&'static str, String)],
) -> Result<(), rusqlite::Error> {
    let batch = connection.unchecked_transaction()?;
    batch.execute_batch(TABLES)?;
    batch.execute_batch(starts::TABLES)?;
    batch.pragma_update(None, "user_version", FORMAT)?;
    {
        let mut note = batch.prepare("INSERT INTO job (key, value) VALUES (?1, ?2)")?;
        note.execute(params!["gridmpi", env!("CARGO_PKG_VERSION")])?;
        for (key, value) in notes {
            note.execute(params![key, value])?;
        }
        let mut add_loop =
            batch.prepare("INSERT INTO loops VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        let mut add_point = batch.prepare("INSERT INTO points VALUES (?1, ?2, ?3, ?4)")?;
        let mut add_digest = batch.prepare("INSERT INTO digests VALUES (?1, ?2, ?3)")?;
        for (at, l) in layout.nest.loops().iter().enumerate() {
            let level = at as i64;
            let range = match l.points {
                Points::Range { from, step, .. } => Some((from, step)),
                _ => None,
            };
            let (first, step) = range.unzip();
            add_loop.execute(params![
                level,
                l.name,
                l.points.len() as i64,
                l.reduce.as_ref().map(Reduce::name),
                first,
                step,
                l.none.map(|none| none as i64)
            ])?;
            for (point, digest) in layout.digests.get(&at).into_iter().flatten() {
                add_digest.execute(params![level, *point as i64, digest])?;
            }
            if range.is_some() {
                continue; // the view computes the points of a range
            }
            for point in 0..l.points.len() {
                let value = l.points.get(point);
                let (point, key) = (point as i64, value.to_exact());
                match value {
                    Value::Null => add_point.execute(params![level, point, Null, key])?,
                    Value::Int(whole) => add_point.execute(params![level, point, whole, key])?,
                    Value::Float(number) => {
                        add_point.execute(params![level, point, number, key])?
                    }
                    Value::Bool(b) => add_point.execute(params![level, point, b, key])?,
                    other => add_point.execute(params![level, point, other.to_string(), key])?,
                };
            }
        }
    }
    put_shape(&batch, &layout.nest)?;
    put_combined(&batch, &layout.combined)?;
    put_view(&batch, layout)?;
    batch.commit()
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

/// Sets the digests of files that points name together. A word without any is stored too: later files do not
/// count then.
pub(super) fn put_combined(
    store: &Connection,
    combined: &[CombinedDigests],
) -> Result<(), rusqlite::Error> {
    store.execute("DELETE FROM combined", [])?;
    let mut sql = store.prepare("INSERT INTO combined VALUES (?1, ?2, ?3, ?4)")?;
    for CombinedDigests { word, loops, digests } in combined {
        let loops = serde_json::json!(loops).to_string();
        sql.execute(params![word, loops, None::<String>, None::<String>])?;
        for (points, digest) in digests {
            sql.execute(params![word, loops, serde_json::json!(points).to_string(), digest])?;
        }
    }
    Ok(())
}

/// Sets the reductions of the loops, which may change without a change of any run.
pub(super) fn put_reductions(store: &Connection, nest: &LoopNest) -> Result<(), rusqlite::Error> {
    let mut sql = store.prepare("UPDATE loops SET reduce = ?2 WHERE level = ?1")?;
    for (level, l) in nest.loops().iter().enumerate() {
        sql.execute(params![level as i64, l.reduce.as_ref().map(Reduce::name)])?;
    }
    Ok(())
}

/// Makes the view, or replaces that of an older gridmpi.
pub(super) fn put_view(store: &Connection, layout: &Layout) -> Result<(), rusqlite::Error> {
    store.execute_batch("DROP VIEW IF EXISTS all_runs")?;
    store.execute_batch(&view(layout))
}

/// The most columns that SQLite's clients take.
const MOST_COLUMNS: usize = 2000;

/// The view `all_runs`: one column per loop, and one per field of its records, called `loop.field`. Fields
/// that are too many are left out, and those with a name that SQL cannot have: they are in the record.
fn view(layout: &Layout) -> String {
    let mut columns = vec!["r.task AS task".to_string()];
    let loops = layout.nest.loops();
    let mut room = MOST_COLUMNS.saturating_sub(RUN_COLUMNS.len() + loops.len());
    for (level, l) in loops.iter().enumerate() {
        let point = point(&layout.nest, level);
        let of_point = |what: &str| {
            format!("(SELECT {what} FROM points WHERE level = {level} AND point = {point})")
        };
        let value = match &l.points {
            Points::Range { from, step, .. } => format!("({from} + {step} * {point})"),
            _ => of_point("value"),
        };
        columns.push(format!("{value} AS {}", quoted(&l.name, '"')));
        let fields = l.points.fields();
        if fields.len() > room {
            continue;
        }
        room -= fields.len();
        for field in fields.iter().filter(|field| !field.contains('\0')) {
            let name = quoted(&format!("{}.{field}", l.name), '"');
            // The key is JSON where a point is a string, too.
            let value = match field.contains(['"', '\\']) || field.contains(char::is_control) {
                false => {
                    let path = quoted(&format!("$.{}", quoted(field, '"')), '\'');
                    of_point(&format!("json_extract(key, {path})"))
                }
                // SQLite's versions do not agree on such a name in a path.
                true => {
                    let each = format!("json_each({}) f", of_point("key"));
                    format!("(SELECT f.value FROM {each} WHERE f.key = {})", quoted(field, '\''))
                }
            };
            columns.push(format!("{value} AS {name}"));
        }
    }
    for name in &RUN_COLUMNS[1..] {
        let sql = match *name {
            "status" => "CASE WHEN r.failed THEN 'failed' ELSE 'ok' END".to_string(),
            "value" => "coalesce(r.value, r.score)".to_string(),
            "rank" | "host" | "thread" => format!("w.{name}"),
            own => format!("r.{own}"),
        };
        columns.push(format!("{sql} AS {name}"));
    }
    let shape: String = (0..layout.nest.shaped()).map(shape_of_level).collect();
    format!(
        "CREATE VIEW all_runs AS SELECT {} FROM runs r{shape} LEFT JOIN workers w ON w.worker = r.worker;",
        columns.join(",\n  ")
    )
}

/// Joins the run of the shape that a task is in, at a level of loops that depend on each other.
fn shape_of_level(level: usize) -> String {
    let (node, task) = match level.checked_sub(1) {
        None => ("0".to_string(), "r.task".to_string()),
        Some(outer) => (format!("s{outer}.inside"), rest(outer)),
    };
    format!(
        " JOIN shape s{level} ON s{level}.level = {level} AND s{level}.node = {node} AND s{level}.first = (SELECT max(first) FROM shape WHERE level = {level} AND node = {node} AND first <= {task})"
    )
}

/// The number of a task among those below its point at a level of the shape.
fn rest(level: usize) -> String {
    let outer = match level.checked_sub(1) {
        None => "r.task".to_string(),
        Some(outer) => rest(outer),
    };
    format!("(({outer} - s{level}.first) % s{level}.each)")
}

/// The point of a run in the loop at a level, as SQL. It repeats what the nest computes, so that any
/// client can read the view.
fn point(nest: &LoopNest, level: usize) -> String {
    if level < nest.shaped() {
        let task = level.checked_sub(1).map_or("r.task".to_string(), rest);
        return format!("(s{level}.point + ({task} - s{level}.first) / s{level}.each)");
    }
    let around = Key { level, index: 0 };
    let inside = Key { level: level + 1, index: 0 };
    format!("(r.task / {} % {})", nest.task_count(inside), nest.slots(around))
}
