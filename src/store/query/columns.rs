//! The columns of runs for queries: the coordinates with their fields, what every run has, and the fields of
//! the records that crunch returned.
//!
//! Only what every run has is read with SQL. Coordinates are the nest's, and fields are taken from a record
//! that is parsed once: SQLite takes 2,000 columns at most, and not every name.

use std::borrow::Cow;
use std::collections::HashMap;

use rusqlite::Row;
use serde_json::{Map, Value as Json};

use crate::job::SCORE;
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
    /// The score, under its own name.
    Score,
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
            "status" | "error" | "host" | "workdir" | "run.workdir" => ColumnKind::Text,
            "score" | "seconds" => ColumnKind::Float,
            "started" => ColumnKind::Time,
            "value" => ColumnKind::Json,
            _ => ColumnKind::Int,
        };
        Column { name: name.to_string(), kind, source: ColumnSource::Run }
    }

    /// The score beside the column `score`.
    pub(super) fn of_score(name: String) -> Column {
        Column { name, kind: ColumnKind::Float, source: ColumnSource::Score }
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
            ColumnSource::Score => SCORE.to_string(),
            ColumnSource::Point { level, field: Some((field, _)) } => {
                functions::of_point(*level, field)
            }
            ColumnSource::Result(field) => {
                functions::of_result(field, self.kind == ColumnKind::Float)
            }
        }
    }

    /// Whether a task that was skipped has something in it.
    pub(super) fn is_of_task(&self) -> bool {
        match self.source {
            ColumnSource::Point { .. } => true,
            ColumnSource::Run => ["task", "status", "error"].contains(&self.name.as_str()),
            ColumnSource::Score | ColumnSource::Result(_) => false,
        }
    }

    /// The level of the loop whose points it has, if it is one of a loop.
    pub(crate) fn level(&self) -> Option<usize> {
        match self.source {
            ColumnSource::Point { level, .. } => Some(level),
            _ => None,
        }
    }

    /// What a column of a loop has at these points, outermost first; none at a loop that is not among them.
    pub(crate) fn at(&self, nest: &LoopNest, points: &[u64]) -> Value {
        let ColumnSource::Point { level, field } = &self.source else { return Value::Null };
        let Some(&point) = points.get(*level) else { return Value::Null };
        let loop_points = &nest.loops()[*level].points;
        match field {
            None => loop_points.get(point),
            Some((name, place)) => loop_points.field(point, name, *place).unwrap_or_default(),
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
                    *known = ColumnKind::common([*known, ColumnKind::of(value)]);
                }
            }
            // Where the loop does not apply, its fields are empty; that needs no column more.
            Value::Null if l.none.is_some() => {}
            other => plain.push(ColumnKind::of(other)),
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
            _ if columns.is_empty() => ColumnKind::common(plain).unwrap_or(ColumnKind::Text),
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

impl ColumnKind {
    /// The type of a value; nothing for null.
    pub(crate) fn of(value: &Value) -> Option<ColumnKind> {
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
    pub(crate) fn common(
        kinds: impl IntoIterator<Item = Option<ColumnKind>>,
    ) -> Option<ColumnKind> {
        let join = |one, other| match (one, other) {
            (one, other) if one == other => one,
            (ColumnKind::Int, ColumnKind::Float) | (ColumnKind::Float, ColumnKind::Int) => {
                ColumnKind::Float
            }
            _ => ColumnKind::Json,
        };
        kinds.into_iter().flatten().reduce(join)
    }

    /// A value as a column of this type has it: numbers in a column of floating-point numbers are such, also those
    /// that JSON lacks.
    pub(crate) fn fit(self, value: Value) -> Value {
        match (value, self) {
            (Value::Int(whole), ColumnKind::Float | ColumnKind::Time) => Value::Float(whole as f64),
            (Value::Text(text), ColumnKind::Float) => {
                text.parse().map_or(Value::Null, Value::Float)
            }
            (value, _) => value,
        }
    }
}

/// The fields of the records that crunch returned, in the order of their first run. This reads all runs.
pub(super) fn fields(results: &Results) -> Result<Vec<Column>> {
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
                false => ColumnKind::of(&Value::from_json(value)),
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
            found[at].1 = ColumnKind::common([found[at].1, kind]);
        }
        Ok(())
    })?;
    let column = |(name, kind): (String, Option<ColumnKind>)| Column {
        source: ColumnSource::Result(name.clone()),
        name,
        kind: kind.unwrap_or(ColumnKind::Text),
    };
    Ok(found.into_iter().map(column).collect())
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
