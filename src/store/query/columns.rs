//! The columns of runs for queries: those of the view, with their types, and the fields of the records
//! that crunch returned.

use rusqlite::{Connection, Row};

use crate::model::{Loop, LoopNest, Points, Value};
use crate::store::schema::quoted;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The SQL expressions over the view: to read the column, and to compare it.
    pub(crate) sql: String,
    pub(crate) compared: String,
    pub(crate) kind: ColumnKind,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    Bool,
    Int,
    Float,
    Text,
    /// Lists, records, or mixed types, as JSON.
    Json,
    /// Seconds since 1970.
    Time,
}

impl Column {
    pub(crate) fn of_run(name: &str) -> Column {
        let kind = match name {
            "status" | "error" | "host" => ColumnKind::Text,
            "score" | "seconds" => ColumnKind::Float,
            "started" => ColumnKind::Time,
            "value" => ColumnKind::Json,
            _ => ColumnKind::Int,
        };
        Column::of_view(name, kind)
    }

    fn of_view(name: &str, kind: ColumnKind) -> Column {
        let sql = quoted(name, '"');
        Column { name: name.to_string(), compared: sql.clone(), sql, kind }
    }
}

/// The columns of the loops; records have one per field.
pub(crate) fn coordinates(nest: &LoopNest) -> Vec<Column> {
    nest.loops().iter().flat_map(of_loop).collect()
}

/// The whole points of loops over records, as JSON.
pub(crate) fn records(nest: &LoopNest) -> Vec<Column> {
    let has_fields = |l: &&Loop| !l.points.fields().is_empty();
    let whole = |l: &Loop| Column::of_view(&l.name, ColumnKind::Json);
    nest.loops().iter().filter(has_fields).map(whole).collect()
}

fn of_loop(l: &Loop) -> Vec<Column> {
    let fields = l.points.fields();
    let mut columns = Vec::new();
    for field in &fields {
        let kinds = each(&l.points).filter_map(|value| value.field(field).map(kind)).flatten();
        let name = format!("{}.{field}", l.name);
        columns.push(Column::of_view(&name, common(kinds)));
    }
    let plain = || each(&l.points).filter(|value| !matches!(value, Value::Record(_)));
    if fields.is_empty() || plain().next().is_some() {
        let kind = match &l.points {
            Points::Range { .. } => ColumnKind::Int,
            _ if fields.is_empty() => common(plain().filter_map(kind)),
            _ => ColumnKind::Json,
        };
        columns.push(Column::of_view(&l.name, kind));
    }
    columns
}

/// The points of a list; a range has none, as its points are all integers.
fn each(points: &Points) -> impl Iterator<Item = &Value> {
    let list = match points {
        Points::List(values) | Points::Rows { records: values, .. } => values.as_slice(),
        _ => &[],
    };
    list.iter()
}

/// The type of a value; nothing for null.
fn kind(value: &Value) -> Option<ColumnKind> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => ColumnKind::Bool,
        Value::Int(_) => ColumnKind::Int,
        Value::Float(_) => ColumnKind::Float,
        Value::Text(_) => ColumnKind::Text,
        Value::List(_) | Value::Record(_) => ColumnKind::Json,
    })
}

/// The type that holds all of these.
fn common(kinds: impl Iterator<Item = ColumnKind>) -> ColumnKind {
    let join = |one, other| match (one, other) {
        (one, other) if one == other => one,
        (ColumnKind::Int, ColumnKind::Float) | (ColumnKind::Float, ColumnKind::Int) => {
            ColumnKind::Float
        }
        _ => ColumnKind::Json,
    };
    kinds.reduce(join).unwrap_or(ColumnKind::Text)
}

/// The fields of the records that crunch returned, in the order of their first run. This reads all runs.
pub(crate) fn fields(store: &Connection, score: &str) -> Result<Vec<Column>, rusqlite::Error> {
    // Numbers that JSON lacks are stored as strings.
    let sql = "SELECT DISTINCT f.key, CASE WHEN f.type = 'text' AND f.atom IN ('NaN', 'Infinity', '-Infinity')
                                            THEN 'real' ELSE f.type END
               FROM runs r, json_each(r.value) f
               WHERE r.value LIKE '{%' AND json_valid(r.value)";
    let mut statement = store.prepare(sql)?;
    let read = |row: &Row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let mut found: Vec<(String, Vec<ColumnKind>)> = Vec::new();
    for field in statement.query_map([], read)? {
        let (name, kind) = field?;
        let kind = match kind.as_str() {
            "null" => None,
            "true" | "false" => Some(ColumnKind::Bool),
            "integer" => Some(ColumnKind::Int),
            "real" => Some(ColumnKind::Float),
            "text" => Some(ColumnKind::Text),
            _ => Some(ColumnKind::Json),
        };
        let at = found.iter().position(|(known, _)| *known == name).unwrap_or(found.len());
        if at == found.len() {
            found.push((name, Vec::new()));
        }
        found[at].1.extend(kind);
    }
    let column = |(name, kinds): (String, Vec<ColumnKind>)| {
        let kind = common(kinds.into_iter());
        let path = quoted(&format!("$.{}", quoted(&name, '"')), '\'');
        let get =
            |arrow: &str| format!("(CASE WHEN value LIKE '{{%' THEN value {arrow} {path} END)");
        // `->` gives JSON, with quotes around strings.
        let compared = get("->>");
        let sql = if kind == ColumnKind::Json { get("->") } else { compared.clone() };
        Column { name, sql, compared, kind }
    };
    // The score has a column already.
    Ok(found.into_iter().filter(|(name, _)| name != score).map(column).collect())
}
