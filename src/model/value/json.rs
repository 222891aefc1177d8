//! Reads JSON, and tells whether a record has a name more than once: one of the two values would be lost.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

/// What was read.
pub(crate) struct ReadJson {
    pub(crate) json: Json,
    /// The first name that a record has more than once.
    pub(crate) repeated: Option<String>,
}

/// Reads one JSON value.
pub(crate) fn read(text: &[u8]) -> serde_json::Result<ReadJson> {
    let mut repeated = None;
    let mut reader = serde_json::Deserializer::from_slice(text);
    let json = NoteRepeated(&mut repeated).deserialize(&mut reader)?;
    reader.end()?;
    Ok(ReadJson { json, repeated })
}

/// Why a value in which a record has this name twice is not kept.
pub(crate) fn of_repeated(name: &str) -> String {
    format!("a record in it has the name {name:?} more than once")
}

struct NoteRepeated<'r>(&'r mut Option<String>);

impl<'de> DeserializeSeed<'de> for NoteRepeated<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NoteRepeated<'_> {
    type Value = Json;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_string()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(NoteRepeated(self.0))? {
            list.push(item);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        let mut record = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let value = fields.next_value_seed(NoteRepeated(self.0))?;
            if self.0.is_none() && record.contains_key(&name) {
                *self.0 = Some(name.clone());
            }
            record.insert(name, value);
        }
        Ok(Json::Object(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_serde_json_reads() {
        for text in [
            r#"{"b": [1, -2, 18446744073709551615, 1.5e-3, -0.0], "a": {"x": null, "y": true}, "": "é\n\"\ud83d\ude00"}"#,
            "[]",
            " 3 ",
        ] {
            let read = read(text.as_bytes()).unwrap();
            assert_eq!(
                read.json.to_string(),
                serde_json::from_str::<Json>(text).unwrap().to_string()
            );
            assert_eq!(read.repeated, None);
        }
        let deep = "[".repeat(500) + &"]".repeat(500);
        for text in ["", "[1,]", "1 2", "{\"a\"}", &deep] {
            let error = read(text.as_bytes()).map(|read| read.json).unwrap_err().to_string();
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
