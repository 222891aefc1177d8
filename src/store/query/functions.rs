//! Fields of records in conditions, as functions of SQL that no user can call: they take any name, know a
//! string from a record, and see a NaN as no number.

use std::path::PathBuf;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value as Sql, ValueRef};
use rusqlite::{Connection, Error};
use serde_json::{Map, Value as Json};

use crate::condition::sql_value;
use crate::model::{LoopNest, Value};
use crate::store::large;

const POINT: &str = "field_of_point";
const RESULT: &str = "field_of_result";
const WHOLE: &str = "whole_value";

/// What conditions may call besides the user's own functions.
pub(super) const OWN: [&str; 3] = [POINT, RESULT, WHOLE];

/// A field of a run's point in the loop at a level.
pub(super) fn of_point(level: usize, field: &str) -> String {
    format!("{POINT}(task, {level}, {})", blob(field))
}

/// A field of a run's result; as a number, which may be one that JSON lacks.
pub(super) fn of_result(field: &str, is_number: bool) -> String {
    format!("{RESULT}(value, {}, {})", blob(field), u8::from(is_number))
}

/// A run's result, also where that is in a file of its own.
pub(super) fn whole_value() -> String {
    format!("{WHOLE}(value)")
}

/// A name in SQL, whatever characters it has.
fn blob(name: &str) -> String {
    let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{hex}'")
}

/// Adds the functions to a connection to the store in a results folder.
pub(super) fn add(connection: &Connection, nest: &LoopNest, results: PathBuf) -> Result<(), Error> {
    let pure = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let nest = nest.clone();
    connection.create_scalar_function(POINT, 3, pure, move |context| {
        let (task, level): (i64, i64) = (context.get(0)?, context.get(1)?);
        let (task, level) = (task as u64, level as usize);
        if task >= nest.tasks() || level >= nest.depth() {
            return Ok(Sql::Null);
        }
        let point = nest.indices(nest.task(task))[level];
        let field = nest.loops()[level].points.field(point, name(context, 2)?, 0);
        Ok(sql_value(field.unwrap_or_default()))
    })?;
    let folder = results.clone();
    connection.create_scalar_function(WHOLE, 1, pure, move |context| {
        let ValueRef::Text(_) = context.get_raw(0) else { return context.get::<Sql>(0) };
        let text = large::json(&folder, context.get_raw(0).as_str()?);
        text.map(|text| Sql::Text(text.into())).map_err(|e| Error::UserFunctionError(e.into()))
    })?;
    connection.create_scalar_function(RESULT, 3, pure, move |context| {
        let Ok(text) = context.get_raw(0).as_str() else { return Ok(Sql::Null) };
        let text = large::json(&results, text).map_err(|e| Error::UserFunctionError(e.into()))?;
        let field = parsed(&text).swap_remove(name(context, 1)?).unwrap_or_default();
        Ok(match Value::from_json(field) {
            Value::Text(text) if context.get::<bool>(2)? && is_no_json_number(&text) => {
                // SQLite takes a NaN for null.
                text.parse().map_or(Sql::Null, Sql::Real)
            }
            other => sql_value(other),
        })
    })
}

fn name<'c>(context: &'c Context, at: usize) -> Result<&'c str, Error> {
    let bytes = context.get_raw(at).as_blob()?;
    std::str::from_utf8(bytes).map_err(|error| Error::UserFunctionError(error.into()))
}

/// The fields of a record as JSON; none if it is anything else.
pub(super) fn parsed(text: &str) -> Map<String, Json> {
    match text.starts_with('{') {
        true => serde_json::from_str(text).unwrap_or_default(),
        false => Map::new(),
    }
}

/// Whether this string stands for a number that JSON lacks.
pub(super) fn is_no_json_number(text: &str) -> bool {
    ["NaN", "Infinity", "-Infinity"].contains(&text)
}
