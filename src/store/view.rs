//! The view `all_runs`, which shows every run of the job with its coordinates to any SQLite client:
//! `SELECT dataset, max(score) FROM all_runs GROUP BY dataset`. `python/gridmpi/exact.py` takes its text for a query of its own.

use rusqlite::Connection;

use crate::job::{FieldNames, MoreColumn, RUN_COLUMNS, SCORE};
use crate::model::{Key, LoopNest, Points};
use crate::store::row_keys::{Digits, RowKeys};
use crate::store::{memory, starts, workdirs};
use crate::util::text::quoted;

/// Makes the view, or replaces that of another start.
pub(super) fn put_view(store: &Connection, keys: &RowKeys) -> Result<(), rusqlite::Error> {
    let score = starts::score_name(store)?;
    let more = more_columns(store, keys.nest(), &score)?;
    let score = score_column(keys.nest(), &score).filter(|name| !name.contains('\0'));
    store.execute_batch("DROP VIEW IF EXISTS all_runs")?;
    let query = all_runs(keys, score.as_deref().map(|name| ("r.score", name)), &more);
    store.execute_batch(&format!("CREATE VIEW all_runs AS {query};"))
}

/// The SQL of a column that only some stores have, and its name.
pub(super) type MoreSql = (&'static str, &'static str);

/// Those that a store has.
pub(super) fn more_columns(
    store: &Connection,
    nest: &LoopNest,
    score: &str,
) -> Result<Vec<MoreSql>, rusqlite::Error> {
    let memory = memory::has_any(store)?.then_some((memory::COLUMN, MoreColumn::Memory));
    let workdir = workdirs::has_any(store)?.then_some((workdirs::COLUMN, MoreColumn::Workdir));
    let there = memory.into_iter().chain(workdir);
    Ok(there.map(|(sql, column)| (sql, column.name(nest, score))).collect())
}

/// The column that has the score under its own name, beside the column `score`; `None` if that is its name.
pub(super) fn score_column(nest: &LoopNest, score: &str) -> Option<String> {
    (score != SCORE).then(|| FieldNames::beside(nest).of(score))
}

/// The most columns that SQLite's clients take.
const MOST_COLUMNS: usize = 2000;

/// The query behind the view: one column per loop, and one per field of its records, called `loop.field`. Fields
/// that are too many are left out, and those with a name that SQL cannot have: they are in the record. There may
/// be one more column of the table of runs `r`, under a name of its own, and those that only some stores have.
pub(super) fn all_runs(keys: &RowKeys, one_more: Option<(&str, &str)>, more: &[MoreSql]) -> String {
    runs_of(&STORED, keys, one_more, more)
}

/// The rows of a query: a table, and the SQL of what it says of a run `r`, by that of the task.
pub(super) struct RunRows {
    pub(super) table: &'static str,
    pub(super) status: fn(&str) -> String,
    pub(super) error: fn(&str) -> String,
}

const STORED: RunRows = RunRows {
    table: "runs",
    status: |_| "CASE WHEN r.failed THEN 'failed' ELSE 'ok' END".to_string(),
    error: |_| "r.error".to_string(),
};

/// The same query over these rows.
pub(super) fn runs_of(
    rows: &RunRows,
    keys: &RowKeys,
    one_more: Option<(&str, &str)>,
    more: &[MoreSql],
) -> String {
    let nest = keys.nest();
    let source = match keys.digits() {
        Some(digits) => of_points(keys, digits),
        None => of_tasks(nest),
    };
    let mut columns = vec![format!("{} AS task", source.task)];
    let loops = nest.loops();
    let others = RUN_COLUMNS.len() + loops.len() + more.len() + 1;
    let mut room = MOST_COLUMNS.saturating_sub(others);
    for (level, (l, point)) in loops.iter().zip(&source.points).enumerate() {
        let of_point = |what: &str| {
            format!(
                "(SELECT {what} FROM points WHERE level = {level} AND point = {})",
                point.number
            )
        };
        let value = match &l.points {
            Points::Range { from, step, .. } => format!("({from} + {step} * {})", point.position),
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
            "status" => (rows.status)(&source.task),
            "error" => (rows.error)(&source.task),
            "value" => "coalesce(r.value, r.score)".to_string(),
            "rank" | "host" | "thread" => format!("w.{name}"),
            own => format!("r.{own}"),
        };
        columns.push(format!("{sql} AS {name}"));
    }
    let more = more.iter().copied().chain(one_more);
    columns.extend(more.map(|(sql, name)| format!("{sql} AS {}", quoted(name, '"'))));
    format!(
        "SELECT {} FROM {} r{} LEFT JOIN workers w ON w.worker = r.worker{}",
        columns.join(",\n  "),
        rows.table,
        source.joins,
        source.condition
    )
}

/// What the columns are made of, as SQL. It repeats what the nest computes, so that any client can read the
/// view.
struct ViewSource {
    task: String,
    points: Vec<Point>,
    joins: String,
    condition: String,
}

/// A point of a run: its number in the store and its position in the job.
struct Point {
    number: String,
    position: String,
}

/// Where the key of a run has the numbers of its points.
fn of_points(keys: &RowKeys, digits: &Digits) -> ViewSource {
    let nest = keys.nest();
    let (mut points, mut joins, mut conditions) = (Vec::new(), String::new(), Vec::new());
    for (level, (l, map)) in nest.loops().iter().zip(keys.positions()).enumerate() {
        let number = digits.sql(level, "r.rowid");
        let position = match map.is_same(l.points.len()) {
            true => {
                if keys.left_over() > 0 {
                    conditions.push(format!("{number} < {}", l.points.len()));
                }
                number.clone()
            }
            false => {
                joins += &format!(
                    " CROSS JOIN positions q{level} ON q{level}.level = {level} AND q{level}.point = (SELECT max(point) FROM positions WHERE level = {level} AND point <= {number}) AND {number} < q{level}.point + q{level}.count"
                );
                format!("(q{level}.position + {number} - q{level}.point)")
            }
        };
        points.push(Point { number, position });
    }
    let mut task = Vec::new();
    for (level, Point { position, .. }) in points.iter().enumerate() {
        if level >= nest.shaped() {
            let inside = Key { level: level + 1, index: 0 };
            task.push(format!("{position} * {}", nest.task_count(inside)));
            continue;
        }
        let node = match level.checked_sub(1) {
            None => "0".to_string(),
            Some(outer) => format!("s{outer}.inside"),
        };
        let of_node = format!("level = {level} AND node = {node} AND point");
        joins += &format!(
            " CROSS JOIN shape s{level} ON s{level}.level = {level} AND s{level}.node = {node} AND s{level}.point = (SELECT max(point) FROM shape WHERE {of_node} <= {position}) AND {position} < s{level}.point + s{level}.count"
        );
        task.push(format!("s{level}.first + ({position} - s{level}.point) * s{level}.each"));
    }
    let condition = match conditions.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", conditions.join(" AND ")),
    };
    ViewSource { task: format!("({})", task.join(" + ")), points, joins, condition }
}

/// Where the key of a run is its task number.
fn of_tasks(nest: &LoopNest) -> ViewSource {
    let point = |level| {
        let position = match level < nest.shaped() {
            true => {
                let task = rest(level);
                format!("(s{level}.point + ({task} - s{level}.first) / s{level}.each)")
            }
            false => {
                let (around, inside) =
                    (Key { level, index: 0 }, Key { level: level + 1, index: 0 });
                format!("(r.rowid / {} % {})", nest.task_count(inside), nest.slots(around))
            }
        };
        Point { number: position.clone(), position }
    };
    let join = |level: usize| {
        let node = level.checked_sub(1).map_or("0".to_string(), |outer| format!("s{outer}.inside"));
        let of_node = format!("level = {level} AND node = {node} AND first");
        format!(
            " CROSS JOIN shape s{level} ON s{level}.level = {level} AND s{level}.node = {node} AND s{level}.first = (SELECT max(first) FROM shape WHERE {of_node} <= {})",
            rest(level)
        )
    };
    ViewSource {
        task: "r.rowid".to_string(),
        points: (0..nest.depth()).map(point).collect(),
        joins: (0..nest.shaped()).map(join).collect(),
        condition: String::new(),
    }
}

/// The number of a task among those of its node at a level of the shape.
fn rest(level: usize) -> String {
    match level.checked_sub(1) {
        None => "r.rowid".to_string(),
        Some(outer) => format!("(({} - s{outer}.first) % s{outer}.each)", rest(outer)),
    }
}
