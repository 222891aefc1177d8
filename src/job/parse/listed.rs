//! Parses lists of points that are written as JSON, which has none: `json = '[null, 2, 4]'`.

use crate::job::parse::keys::TomlEntry;
use crate::model::Value;
use crate::model::value::printed::{PrintedError, parse_printed};
use crate::util::error::Result;

/// Most points of a loop, because the store lists them; a range is computed instead.
pub(super) const MOST_LISTED: u64 = 10_000_000;

/// The values of a JSON array. `Infinity` is a number; NaN is no point.
pub(super) fn json(entry: &TomlEntry) -> Result<Vec<Value>> {
    let text = entry.text()?;
    let hint = "expected a JSON array, as in '[null, 2, \"a\"]'";
    if let Err(error) = serde_json::from_str::<serde_json::Value>(&text)
        && error.to_string().starts_with("number out of range")
    {
        return Err(entry.error(format!("{error}: for an infinite point, write Infinity")));
    }
    let values = match parse_printed(&text) {
        Ok(Value::List(values)) => values,
        Ok(_) => return Err(entry.error(format!("{hint}, found {text}"))),
        Err(PrintedError::Neither(why)) => return Err(entry.error(format!("{hint}: {why}"))),
        Err(PrintedError::Beyond(why)) => return Err(entry.error(why)),
    };
    match values.iter().any(has_nan) {
        true => Err(entry.error("NaN is no point: write null, or a string")),
        false => Ok(values),
    }
}

pub(super) fn has_nan(value: &Value) -> bool {
    match value {
        Value::Float(number) => number.is_nan(),
        Value::List(items) => items.iter().any(has_nan),
        Value::Record(fields) => fields.iter().any(|(_, value)| has_nan(value)),
        _ => false,
    }
}
