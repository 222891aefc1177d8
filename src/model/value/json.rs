//! Reads JSON, and tells whether a record has a name more than once: one of the two values would be lost.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::model::value::Value;

/// Records up to this many fields are searched rather than sorted.
const FEW: usize = 16;

/// What was read.
pub(crate) struct ReadJson {
    pub(crate) value: Value,
    /// The first name that a record has more than once.
    pub(crate) repeated: Option<String>,
}

/// Reads one JSON value.
pub(crate) fn read(text: &[u8]) -> serde_json::Result<ReadJson> {
    let mut repeated = None;
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = NoteRepeated(&mut repeated).deserialize(&mut reader)?;
    reader.end()?;
    Ok(ReadJson { value, repeated })
}

/// Why a value in which a record has this name twice is not kept.
pub(crate) fn of_repeated(name: &str) -> String {
    format!("a record in it has the name {name:?} more than once")
}

/// Reads a value, and notes the first name that a record has more than once.
pub(super) struct NoteRepeated<'r>(pub(super) &'r mut Option<String>);

impl<'de> DeserializeSeed<'de> for NoteRepeated<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NoteRepeated<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    /// A whole number that does not fit 64 bits with a sign becomes a float.
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(NoteRepeated(self.0))? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut record: Vec<(String, Value)> = Vec::new();
        let mut names = BTreeSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            let value = fields.next_value_seed(NoteRepeated(self.0))?;
            if self.0.is_none() {
                let is_there = match record.len() < FEW {
                    true => record.iter().any(|(before, _)| *before == name),
                    false => {
                        if names.is_empty() {
                            names.extend(record.iter().map(|(name, _)| name.clone()));
                        }
                        !names.insert(name.clone())
                    }
                };
                *self.0 = is_there.then(|| name.clone());
            }
            record.push((name, value));
        }
        Ok(Value::Record(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    #[test]
    fn reads_what_serde_json_reads() {
        for text in [
            r#"{"b": [1, -2, 18446744073709551615, 1.5e-3, -0.0], "a": {"x": null, "y": true}, "": "é\n\"\ud83d\ude00"}"#,
            "[]",
            " 3 ",
        ] {
            let read = read(text.as_bytes()).unwrap();
            let json = serde_json::from_str::<Json>(text).unwrap();
            assert_eq!(read.value, Value::from_json(json));
            assert_eq!(read.repeated, None);
        }
        let deep = "[".repeat(500) + &"]".repeat(500);
        for text in ["", "[1,]", "1 2", "{\"a\"}", &deep] {
            let error = read(text.as_bytes()).map(|read| read.value).unwrap_err().to_string();
            assert_eq!(error, serde_json::from_str::<Json>(text).unwrap_err().to_string());
        }
    }

    #[test]
    fn notes_a_name_that_is_there_twice() {
        for (text, name) in [
            (r#"{"a": 1, "a": 1}"#, Some("a")),
            (r#"[{"a": {"é": 1, "b": 2, "\u00e9": 3}}, {"b": 1, "b": 2}]"#, Some("é")),
            (r#"{"a": {"a": 1}, "b": {"a": 1}}"#, None),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap().repeated.as_deref(), name, "{text}");
        }
    }
}
