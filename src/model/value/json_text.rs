//! A large value as its JSON: that of the process which gave it, kept as it is from there to the store. As a tree, a
//! list of numbers takes several times as much memory.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::value::{Value, as_json, json};
use crate::util::shared_bytes;

/// Shorter values are trees. (bytes)
pub(crate) const LEAST: usize = 1 << 20;

/// What [`Value::to_json`] prints of a value that JSON holds exactly; shared by those who have it.
#[derive(Clone, PartialEq, Serialize)]
pub(crate) struct JsonText(Bytes);

impl JsonText {
    /// What the store holds.
    pub(crate) fn stored(json: String) -> JsonText {
        JsonText(json.into())
    }

    /// Takes the JSON in `range`, if it is a value that this can be: one without numbers that JSON does not hold or
    /// names that are there twice. It is copied only where it is not as [`Value::to_json`] prints it.
    pub(crate) fn take(json: &Bytes, range: Range<usize>) -> Option<JsonText> {
        let given = &json[range.clone()];
        if given.len() < LEAST {
            return None;
        }
        let mut canonical = Canonical { given, same: 0, copy: None };
        let mut reader = serde_json::Deserializer::from_slice(given);
        Canonicalize(&mut canonical).deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        let Canonical { same, copy, .. } = canonical;
        Some(JsonText(match copy {
            Some(copy) => copy.into(),
            None => json.slice(range.start..range.start + same),
        }))
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked when it was made")
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn to_value(&self) -> Value {
        match json::read(&self.0) {
            Ok(read) => read.value,
            Err(_) => Value::Text(self.as_str().to_string()),
        }
    }

    /// If this is a record: the same one with null in all fields but `field`.
    pub(crate) fn with_only(&self, field: &str) -> Option<Value> {
        let mut reader = serde_json::Deserializer::from_slice(&self.0);
        OnlyField(field).deserialize(&mut reader).ok()
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<JsonText, D::Error> {
        let bytes = shared_bytes::deserialize(deserializer)?;
        match std::str::from_utf8(&bytes) {
            Ok(_) => Ok(JsonText(bytes)),
            Err(error) => Err(D::Error::custom(error)),
        }
    }
}

impl fmt::Debug for JsonText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "JSON of {} bytes", self.len())
    }
}

/// JSON as it ought to be, compared with what is given; a copy from the first difference on.
struct Canonical<'t> {
    given: &'t [u8],
    same: usize,
    copy: Option<Vec<u8>>,
}

impl Canonical<'_> {
    fn put(&mut self, piece: &str) {
        let piece = piece.as_bytes();
        match &mut self.copy {
            Some(copy) => copy.extend_from_slice(piece),
            None if self.given[self.same..].starts_with(piece) => self.same += piece.len(),
            None => self.copy = Some([&self.given[..self.same], piece].concat()),
        }
    }

    fn put_text(&mut self, text: &str) {
        let Ok(()) = as_json::pieces_of_text(text, &mut |piece| -> Result<(), Infallible> {
            self.put(piece);
            Ok(())
        });
    }

    fn put_number(&mut self, number: impl Into<Json>) {
        self.put(&number.into().to_string());
    }
}

struct Canonicalize<'c, 't>(&'c mut Canonical<'t>);

impl<'de> DeserializeSeed<'de> for Canonicalize<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Canonicalize<'_, '_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value that JSON holds exactly")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.put("null");
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0.put(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0.put_number(value);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.visit_i64(i64::try_from(value).map_err(E::custom)?)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        // A whole number that is too large is read as a float too.
        let is_exact = value.abs() < 2f64.powi(63) && !(value == 0.0 && value.is_sign_negative());
        if !is_exact {
            return Err(E::custom("not exact"));
        }
        self.0.put_number(value);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.0.put_text(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.put("[");
        let mut before = "";
        while items.next_element_seed(Item { before, canonical: self.0 })?.is_some() {
            before = ",";
        }
        self.0.put("]");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let (mut seen, mut before) = (BTreeSet::new(), "");
        self.0.put("{");
        while let Some(name) = fields.next_key::<String>()? {
            self.0.put(before);
            before = ",";
            self.0.put_text(&name);
            self.0.put(":");
            fields.next_value_seed(Canonicalize(self.0))?;
            if !seen.insert(name) {
                return Err(A::Error::custom("a name that is there twice"));
            }
        }
        self.0.put("}");
        Ok(())
    }
}

/// An item of a list, and what is before it.
struct Item<'c, 't> {
    before: &'static str,
    canonical: &'c mut Canonical<'t>,
}

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.canonical.put(self.before);
        Canonicalize(self.canonical).deserialize(deserializer)
    }
}

struct OnlyField<'f>(&'f str);

impl<'de> DeserializeSeed<'de> for OnlyField<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OnlyField<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut record = Vec::new();
        while let Some(name) = fields.next_key::<String>()? {
            let mut repeated = None;
            let value = match name == self.0 {
                true => fields.next_value_seed(json::NoteRepeated(&mut repeated))?,
                false => {
                    fields.next_value::<IgnoredAny>()?;
                    Value::Null
                }
            };
            record.push((name, value));
        }
        Ok(Value::Record(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken of a text in quotes, braces and all, and whether it is a copy.
    fn take(text: &str) -> Option<(JsonText, bool)> {
        // Blanks count for the length, and are no part of the value.
        let given = Bytes::from(format!("before{text}{}", " ".repeat(LEAST)));
        let taken = JsonText::take(&given, 6..given.len())?;
        let is_copy = !given.as_ptr_range().contains(&taken.0.as_ptr());
        Some((taken, is_copy))
    }

    #[test]
    fn json_is_kept_as_it_is_printed() {
        for (text, copied) in [
            (r#"{"a":[1,-2.5,null,true,"x\n\"\u0001é"],"b":{},"c":[[],[{}]],"d":1e-7}"#, false),
            (r#"[0.1,1e300]"#, true),
            (r#"[0.5, 1, 1e-07, "\u00e9\/"]"#, true),
            (r#"{"a": 1}"#, true),
            ("9007199254740993", false),
            (r#""é""#, false),
        ] {
            let value = json::read(text.as_bytes()).unwrap().value;
            match take(text) {
                Some((taken, is_copy)) => {
                    assert_eq!(taken.as_str(), value.to_json().to_string());
                    assert_eq!((is_copy, taken.to_value()), (copied, value), "{text}");
                }
                None => assert!(text.contains("1e300"), "{text}"),
            }
        }
    }

    #[test]
    fn what_json_does_not_hold_exactly_is_not_taken() {
        for text in [
            r#"{"a":1,"a":2}"#,
            "[-0.0]",
            "[-0]",
            "[NaN]",
            "[1e999]",
            "[18446744073709551615]",
            "[-9223372036854775809]",
            "[99999999999999999999999]",
            "[1,]",
            "[1] 2",
            "",
        ] {
            assert!(take(text).is_none(), "{text}");
        }
        assert!(JsonText::take(&Bytes::from_static(b"[1]"), 0..3).is_none(), "a small one");
    }

    #[test]
    fn a_field_is_found_without_the_others() {
        let (text, _) = take(r#"{"text":"x","score":2.5,"list":[1]}"#).unwrap();
        let found = text.with_only("score").unwrap();
        assert_eq!(found.to_json().to_string(), r#"{"text":null,"score":2.5,"list":null}"#);
        assert!(take("[1]").unwrap().0.with_only("score").is_none());
    }
}
