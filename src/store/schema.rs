//! The store's tables, and the view that shows every run with its coordinates to any SQLite client:
//! `SELECT dataset, max(score) FROM all_runs GROUP BY dataset`.

use rusqlite::{Connection, params};

use crate::job::{Job, Points};
use crate::value::Value;

/// The version of the tables; a store of a newer one is not for this gridmpi to read.
const FORMAT: i64 = 1;

const TABLES: &str = "
CREATE TABLE job (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE loops (level INTEGER PRIMARY KEY, name TEXT, points INTEGER, reduce TEXT);
CREATE TABLE points (level INTEGER, point INTEGER, value, PRIMARY KEY (level, point)) WITHOUT ROWID;
CREATE TABLE workers (worker INTEGER PRIMARY KEY, rank INTEGER, host TEXT);
CREATE TABLE runs (task INTEGER PRIMARY KEY, failed INTEGER, score REAL, value TEXT, error TEXT,
                   seconds REAL, started REAL, worker INTEGER, attempt INTEGER, typed BLOB);
CREATE TABLE groups (level INTEGER, number INTEGER, score REAL, value TEXT, best TEXT, error TEXT,
                     runs INTEGER, failed INTEGER, typed BLOB,
                     PRIMARY KEY (level, number)) WITHOUT ROWID;
";

/// Every commit on disk before it counts. Readers may look on while a run goes, except where the
/// file system has no shared memory: there the run keeps the file to itself.
pub(super) fn prepare(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let wal = |row: &rusqlite::Row| row.get::<_, String>(0);
    let mode = connection.query_row("PRAGMA journal_mode = WAL", [], wal);
    if !matches!(mode.as_deref(), Ok("wal")) {
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.query_row("PRAGMA journal_mode = WAL", [], wal)?;
    }
    Ok(())
}

/// Leaves one file behind, without a log beside it.
pub(super) fn settle(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))
}

/// Makes the tables of a job and the view over them.
pub(super) fn create(
    connection: &Connection,
    job: &Job,
    text: &str,
) -> Result<(), rusqlite::Error> {
    let batch = connection.unchecked_transaction()?;
    batch.execute_batch(TABLES)?;
    batch.pragma_update(None, "user_version", FORMAT)?;
    let grid = job.grid();
    {
        let mut note = batch.prepare("INSERT INTO job (key, value) VALUES (?1, ?2)")?;
        note.execute(params!["gridmpi", env!("CARGO_PKG_VERSION")])?;
        note.execute(params!["name", job.name])?;
        note.execute(params!["file", text])?;
        note.execute(params!["tasks", grid.tasks() as i64])?;
        note.execute(params!["state", "running"])?;
        let mut add_loop = batch.prepare("INSERT INTO loops VALUES (?1, ?2, ?3, ?4)")?;
        let mut add_point = batch.prepare("INSERT INTO points VALUES (?1, ?2, ?3)")?;
        for (level, l) in job.loops.iter().enumerate() {
            let level = level as i64;
            let reduce = l.reduce.as_ref().map(|reduce| reduce.name());
            add_loop.execute(params![level, l.name, l.points.len() as i64, reduce])?;
            if matches!(l.points, Points::Range { .. }) {
                continue; // the view computes it
            }
            for point in 0..l.points.len() {
                let place = (level, point as i64);
                match l.points.get(point) {
                    Value::Int(whole) => add_point.execute(params![place.0, place.1, whole])?,
                    Value::Float(number) => add_point.execute(params![place.0, place.1, number])?,
                    Value::Bool(b) => add_point.execute(params![place.0, place.1, b])?,
                    other => add_point.execute(params![place.0, place.1, other.to_string()])?,
                };
            }
        }
    }
    batch.execute_batch(&view(job))?;
    batch.commit()
}

/// The view `all_runs`: a column for each loop under its name, and for each field of its records
/// under `loop.field`.
fn view(job: &Job) -> String {
    let grid = job.grid();
    let mut columns = vec!["r.task AS task".to_string()];
    for (level, l) in job.loops.iter().enumerate() {
        let stride: u64 = (level + 1..grid.depth()).map(|inner| grid.size(inner)).product();
        let point = format!("(r.task / {stride} % {})", grid.size(level));
        let value = match &l.points {
            Points::Range { from, step, .. } => format!("({from} + {step} * {point})"),
            _ => format!("(SELECT value FROM points WHERE level = {level} AND point = {point})"),
        };
        columns.push(format!("{value} AS {}", quoted(&l.name, '"')));
        for field in l.points.fields() {
            let path = quoted(&format!("$.{}", quoted(&field, '"')), '\'');
            let name = quoted(&format!("{}.{field}", l.name), '"');
            columns.push(format!("json_extract({value}, {path}) AS {name}"));
        }
    }
    for rest in [
        "CASE WHEN r.failed THEN 'failed' ELSE 'ok' END AS status",
        "r.score AS score",
        "coalesce(r.value, r.score) AS value",
        "r.error AS error",
        "r.seconds AS seconds",
        "r.started AS started",
        "w.rank AS rank",
        "w.host AS host",
        "r.attempt AS attempt",
    ] {
        columns.push(rest.to_string());
    }
    format!(
        "CREATE VIEW all_runs AS SELECT {} FROM runs r LEFT JOIN workers w ON w.worker = r.worker;",
        columns.join(",\n  ")
    )
}

fn quoted(text: &str, quote: char) -> String {
    let doubled = text.replace(quote, &format!("{quote}{quote}"));
    format!("{quote}{doubled}{quote}")
}
