//! The values of points, results and summaries: the types of JSON.
//!
//! serde_json's own type cannot be decoded from bincode, which is not self-describing; this one can.
//! Numbers print the same everywhere (table, placeholder, store, seed): as JSON prints them.

mod as_json;
mod exact;
pub(crate) mod json;
pub(crate) mod json_text;
mod paths;
pub(crate) mod printed;
mod show;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value as Json};

/// The value of a point, a result or a summary: the types of JSON, with whole numbers apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// No value: an empty cell, or a failed run in a list.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number that fits 64 bits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string, or the path of a file.
    Text(String),
    /// A list of values.
    List(Vec<Value>),
    /// Named fields, in the order in which they were written.
    Record(Vec<(String, Value)>),
}

impl Value {
    /// All strings in it.
    pub(crate) fn texts(&self) -> Vec<&str> {
        match self {
            Value::Text(text) => vec![text],
            Value::Record(fields) => fields.iter().flat_map(|(_, value)| value.texts()).collect(),
            Value::List(items) => items.iter().flat_map(Value::texts).collect(),
            _ => Vec::new(),
        }
    }

    /// The value with something else in place of each string, also within lists and records; the names of fields stay.
    pub(crate) fn map_texts(self, change: &impl Fn(String) -> Value) -> Value {
        match self {
            Value::Text(text) => change(text),
            Value::List(items) => {
                Value::List(items.into_iter().map(|item| item.map_texts(change)).collect())
            }
            Value::Record(fields) => {
                let field = |(name, value): (String, Value)| (name, value.map_texts(change));
                Value::Record(fields.into_iter().map(field).collect())
            }
            other => other,
        }
    }

    /// The value as a floating-point number, if it is a number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(whole) => Some(*whole as f64),
            Value::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// The field of this name, if the value is a record that has one.
    pub fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Record(fields) => fields.iter().find(|(key, _)| key == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The same, where the field is mostly at this place of the record: of thousands of fields, each is found at
    /// once.
    pub(crate) fn field_near(&self, name: &str, place: usize) -> Option<&Value> {
        let Value::Record(fields) = self else { return None };
        let mut there = fields.get(place).into_iter().chain(fields);
        there.find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Approximate size in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::List(items) => items.iter().map(|value| 32 + value.weight()).sum(),
            Value::Record(fields) => {
                fields.iter().map(|(name, value)| 64 + name.len() + value.weight()).sum()
            }
            _ => 0,
        }
    }

    /// Converts to JSON. JSON has no infinities or NaN: they become the strings `Infinity`, `-Infinity`
    /// and `NaN`, as in the JSON mapping of protobuf.
    pub fn to_json(&self) -> Json {
        match self {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Int(i) => Json::Number((*i).into()),
            Value::Float(f) => match Number::from_f64(*f) {
                Some(number) => Json::Number(number),
                None if f.is_nan() => Json::String("NaN".into()),
                None if *f > 0.0 => Json::String("Infinity".into()),
                None => Json::String("-Infinity".into()),
            },
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Value::to_json).collect()),
            Value::Record(fields) => {
                Json::Object(fields.iter().map(|(k, v)| (k.clone(), v.to_json())).collect())
            }
        }
    }

    /// Converts from JSON. A whole number that does not fit 64 bits becomes a float.
    pub(crate) fn from_json(json: Json) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(b),
            Json::Number(n) => match n.as_i64() {
                Some(whole) => Value::Int(whole),
                None => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Text(text),
            Json::Array(items) => Value::List(items.into_iter().map(Value::from_json).collect()),
            Json::Object(map) => {
                Value::Record(map.into_iter().map(|(k, v)| (k, Value::from_json(v))).collect())
            }
        }
    }

    /// Reads one JSON value, or one of the numbers that JSON lacks, as programs print them (`nan`, `inf`,
    /// `-inf`).
    ///
    /// # Errors
    /// A message that says why the string is neither.
    ///
    /// ```
    /// use gridmpi::Value;
    /// assert_eq!(Value::parse("3.5\n"), Ok(Value::Float(3.5)));
    /// let record = Value::parse(r#"{"score": 1, "fit": [0.5]}"#).unwrap();
    /// assert_eq!(record.field("score"), Some(&Value::Int(1)));
    /// assert!(Value::parse("done.").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Value, String> {
        let text = text.trim();
        match serde_json::from_str::<Json>(text) {
            Ok(json) => Ok(Value::from_json(json)),
            Err(error) => text.parse::<f64>().map(Value::Float).map_err(|_| error.to_string()),
        }
    }
}

/// A JSON object from names and values.
pub(crate) fn json_object<'a>(fields: impl IntoIterator<Item = (&'a str, Json)>) -> Json {
    Json::Object(fields.into_iter().map(|(k, v)| (k.to_string(), v)).collect::<Map<_, _>>())
}

/// Strings as they are, everything else as JSON.
impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => out.write_str(text),
            Value::Float(f) if f.is_nan() => out.write_str("nan"),
            Value::Float(f) if f.is_infinite() => write!(out, "{f}"),
            other => write!(out, "{}", other.to_json()),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_programs_print() {
        assert_eq!(Value::parse(" 3\n"), Ok(Value::Int(3)));
        assert_eq!(Value::parse("1e-4"), Ok(Value::Float(1e-4)));
        assert_eq!(Value::parse("-inf"), Ok(Value::Float(f64::NEG_INFINITY)));
        assert!(matches!(Value::parse("nan"), Ok(Value::Float(f)) if f.is_nan()));
        assert!(Value::parse("done.").is_err());
        let record = Value::parse(r#"{"score": 1.5, "who": "me"}"#).unwrap();
        assert_eq!(record.field("score"), Some(&Value::Float(1.5)));
    }

    #[test]
    fn prints_numbers_the_same_everywhere() {
        for (value, text) in [
            (Value::Float(1e-20), "1e-20"),
            (Value::Float(1.0), "1.0"),
            (Value::Int(-3), "-3"),
            (Value::Text("a b".into()), "a b"),
            (Value::List(vec![Value::Int(1), Value::Text("x".into())]), "[1,\"x\"]"),
        ] {
            assert_eq!(value.to_string(), text);
        }
    }
}
