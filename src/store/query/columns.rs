//! The columns of runs for queries: the coordinates with their fields, what every run has, and the fields of
//! the records that crunch returned.
//!
//! Only what every run has is read with SQL. Coordinates are the nest's, and fields are taken from a record
//! that is parsed once: SQLite takes 2,000 columns at most, and not every name.

use std::borrow::Cow;
use std::collections::HashMap;

use rusqlite::Row;
use serde_json::{Map, Value as Json};

use crate::job::RUN_COLUMNS;
use crate::model::{Loop, LoopNest, Points, Value};
use crate::store::query::functions::{self, is_no_json_number, parsed};
use crate::store::results::{ExactForm, Results};
use crate::util::error::Result;
use crate::util::text::quoted;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
    pub(super) source: ColumnSource,
}

/// Where a column's values are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ColumnSource {
    /// A column of the view, of the same name.
    Run,
    /// The point of the loop at a level, or a field of it and its usual place in the record.
    Point { level: usize, field: Option<(String, usize)> },
    /// A field of the record that crunch returned.
    Result(String),
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
        Column { name: name.to_string(), kind, source: ColumnSource::Run }
    }

    fn of_point(l: &Loop, level: usize, kind: ColumnKind) -> Column {
        let source = ColumnSource::Point { level, field: None };
        Column { name: l.name.clone(), kind, source }
    }

    /// The SQL expression over the view that a condition compares.
    pub(super) fn compared(&self) -> String {
        match &self.source {
            ColumnSource::Run if self.name == "value" => functions::whole_value(),
            ColumnSource::Run | ColumnSource::Point { field: None, .. } => quoted(&self.name, '"'),
            ColumnSource::Point { level, field: Some((field, _)) } => {
                functions::of_point(*level, field)
            }
            ColumnSource::Result(field) => {
                functions::of_result(field, self.kind == ColumnKind::Float)
            }
        }
    }

    /// A value of this column as text: strings of results stand in quotes where other types do too.
    pub(crate) fn text(&self, value: &Value) -> String {
        match (&self.source, self.kind) {
            (ColumnSource::Point { .. }, _) => value.to_string(),
            (_, ColumnKind::Json) => value.to_json().to_string(),
            _ => value.to_string(),
        }
    }
}

/// The columns of the loops; records have one per field.
pub(crate) fn coordinates(nest: &LoopNest) -> Vec<Column> {
    nest.loops().iter().enumerate().flat_map(|(level, l)| of_loop(level, l)).collect()
}

/// The whole points of loops over records, as JSON.
pub(crate) fn records(nest: &LoopNest) -> Vec<Column> {
    let loops = nest.loops().iter().enumerate();
    let with_fields = loops.filter(|(_, l)| !l.points.fields().is_empty());
    with_fields.map(|(level, l)| Column::of_point(l, level, ColumnKind::Json)).collect()
}

fn of_loop(level: usize, l: &Loop) -> Vec<Column> {
    let fields = l.points.fields();
    let mut kinds = vec![None; fields.len()];
    let places: HashMap<&str, usize> =
        fields.iter().enumerate().map(|(at, field)| (field.as_str(), at)).collect();
    let mut plain = Vec::new();
    for value in each(&l.points) {
        match &*value {
            Value::Record(fields) => {
                for (name, value) in fields {
                    let known: &mut Option<ColumnKind> = &mut kinds[places[name.as_str()]];
                    *known = common([*known, kind(value)]);
                }
            }
            // Where the loop does not apply, its fields are empty; that needs no column more.
            Value::Null if l.none.is_some() => {}
            other => plain.push(kind(other)),
        }
    }
    let of_field = |(at, (name, kind)): (usize, (String, Option<ColumnKind>))| Column {
        name: format!("{}.{name}", l.name),
        kind: kind.unwrap_or(ColumnKind::Text),
        source: ColumnSource::Point { level, field: Some((name, at)) },
    };
    let is_plain = fields.is_empty() || !plain.is_empty();
    let mut columns: Vec<Column> =
        fields.into_iter().zip(kinds).enumerate().map(of_field).collect();
    if is_plain {
        let kind = match &l.points {
            Points::Range { .. } => ColumnKind::Int,
            _ if columns.is_empty() => common(plain).unwrap_or(ColumnKind::Text),
            _ => ColumnKind::Json,
        };
        columns.push(Column::of_point(l, level, kind));
    }
    columns
}

/// The points; none of a range, as they are all integers.
fn each(points: &Points) -> impl Iterator<Item = Cow<'_, Value>> {
    let (listed, computed) = match points {
        Points::Range { .. } => (&[][..], 0),
        Points::List(values) | Points::Rows { records: values, .. } => (values.as_slice(), 0),
        points => (&[][..], points.len()),
    };
    let computed = (0..computed).map(|point| Cow::Owned(points.get(point)));
    listed.iter().map(Cow::Borrowed).chain(computed)
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

/// The type that holds all of these; nothing if there are none.
fn common(kinds: impl IntoIterator<Item = Option<ColumnKind>>) -> Option<ColumnKind> {
    let join = |one, other| match (one, other) {
        (one, other) if one == other => one,
        (ColumnKind::Int, ColumnKind::Float) | (ColumnKind::Float, ColumnKind::Int) => {
            ColumnKind::Float
        }
        _ => ColumnKind::Json,
    };
    kinds.into_iter().flatten().reduce(join)
}

/// The fields of the records that crunch returned, in the order of their first run. This reads all runs.
pub(super) fn fields(results: &Results, score: &str) -> Result<Vec<Column>> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut found: Vec<(String, Option<ColumnKind>)> = Vec::new();
    let read = |row: &Row| {
        let mut form = None;
        let mut kinds = Vec::new();
        let fields = match record(results, row, 1)? {
            Ok(fields) => fields,
            Err(why) => return Ok(Err(why)),
        };
        for (name, value) in fields {
            let is_number = match &value {
                // Numbers that JSON lacks are stored as strings; the exact form tells them from such strings.
                Json::String(text) if is_no_json_number(text) => {
                    let read =
                        || row.get_ref(2).map_or(ExactForm::Same, |at| results.exact_form(at));
                    form.get_or_insert_with(read).has_number(&name)
                }
                _ => false,
            };
            let kind = match is_number {
                true => Some(ColumnKind::Float),
                false => kind(&Value::from_json(value)),
            };
            kinds.push((name, kind));
        }
        Ok(Ok(kinds))
    };
    results.in_grid_order("rowid, value, exact", 0..results.nest().tasks(), read, |_, kinds| {
        for (name, kind) in kinds {
            let at = *places.entry(name).or_insert_with_key(|name| {
                found.push((name.clone(), None));
                found.len() - 1
            });
            found[at].1 = common([found[at].1, kind]);
        }
        Ok(())
    })?;
    let column = |(name, kind): (String, Option<ColumnKind>)| Column {
        source: ColumnSource::Result(name.clone()),
        name,
        kind: kind.unwrap_or(ColumnKind::Text),
    };
    // The score has a column already.
    Ok(found.into_iter().filter(|(name, _)| name != score).map(column).collect())
}

/// A column of a row that is a record as JSON; an empty one if it is anything else.
pub(super) fn record(
    results: &Results,
    row: &Row,
    at: usize,
) -> std::result::Result<Result<Map<String, Json>>, rusqlite::Error> {
    let text = row.get_ref(at)?.as_str_or_null().unwrap_or_default().unwrap_or_default();
    Ok(results.whole_json(text).map(|json| parsed(&json)))
}

/// The name of a column of fields that no other column has, not even but for case: `FIELD`, or
/// `value.FIELD`.
pub(super) fn unique(name: &str, taken: &[Column]) -> String {
    let is_taken = |name: &str| {
        let is = |column: &Column| column.name.eq_ignore_ascii_case(name);
        RUN_COLUMNS.iter().any(|column| column.eq_ignore_ascii_case(name)) || taken.iter().any(is)
    };
    let mut free = name.to_string();
    while is_taken(&free) {
        free = format!("value.{free}");
    }
    free
}
