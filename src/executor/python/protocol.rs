//! The protocol between a rank and its Python child: frames of JSON.

use std::io::ErrorKind;

use serde_json::{Value as Json, json};

use crate::model::Value;
use crate::model::value::json::{self, ReadJson};
use crate::util::error::Result;

/// The record name for a number that JSON cannot represent.
const MARK: &str = "__gridmpi_float__";

/// Reads the answer to one request in a frame. The user's code may have written anything into the pipe.
pub(super) fn read_answer(frame: &[u8]) -> std::io::Result<Result<Value, String>> {
    answered(json::read(frame)?).ok_or_else(no_answer)
}

pub(super) fn no_answer() -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, "no answer, but something else")
}

/// A task's result, and how long it took in the child, in seconds.
pub(crate) type Answer = (Result<Value, String>, f64);

/// Reads a frame that ends a request: empty, or the answer of the last task, if it did not fit into the results
/// file.
pub(super) fn decode_frame(frame: &[u8]) -> std::io::Result<Option<Answer>> {
    if frame.is_empty() {
        return Ok(None);
    }
    let answer = json::read(frame)?;
    let seconds = answer.json.get("seconds").and_then(Json::as_f64).ok_or_else(no_answer)?;
    Ok(Some((answered(answer).ok_or_else(no_answer)?, seconds)))
}

/// The value or the error in a text of the results file.
pub(super) fn decode(text: &[u8]) -> Result<Value, String> {
    let answer = json::read(text).map_err(|error| error.to_string());
    let answer = answer.and_then(|answer| answered(answer).ok_or("no answer".to_string()));
    answer.unwrap_or_else(|why| Err(format!("the result cannot be read: {why}")))
}

/// The value or the error in an answer, if it is one.
fn answered(answer: ReadJson) -> Option<Result<Value, String>> {
    let ReadJson { json: Json::Object(mut answer), repeated } = answer else { return None };
    if let Some(error) = answer.remove("error") {
        return Some(Err(error.as_str().map_or_else(|| error.to_string(), String::from)));
    }
    let value = answer.remove("value")?;
    Some(match repeated {
        // Python's records may have 1 and "1".
        Some(name) => Err(format!("the result cannot be kept: {}", json::of_repeated(&name))),
        None => Ok(unmarked(value)),
    })
}

/// The JSON form of a value; a number that JSON cannot represent becomes a marked record.
pub(super) fn marked(value: &Value) -> Json {
    match value {
        Value::Float(f) if !f.is_finite() => json!({ MARK: f.to_string() }),
        Value::List(items) => Json::Array(items.iter().map(marked).collect()),
        Value::Record(fields) => {
            Json::Object(fields.iter().map(|(name, value)| (name.clone(), marked(value))).collect())
        }
        plain => plain.to_json(),
    }
}

fn unmarked(json: Json) -> Value {
    match json {
        Json::Array(items) => Value::List(items.into_iter().map(unmarked).collect()),
        Json::Object(map) => match map.get(MARK).and_then(Json::as_str).map(str::parse) {
            Some(Ok(number)) if map.len() == 1 => Value::Float(number),
            _ => Value::Record(map.into_iter().map(|(name, v)| (name, unmarked(v))).collect()),
        },
        plain => Value::from_json(plain),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::executor::RESULT_LIMIT;
    use crate::util::framing::read_frame;

    fn frame(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u64).to_le_bytes(), body].concat()
    }

    fn answer_in(mut pipe: &[u8]) -> std::io::Result<Result<Value, String>> {
        read_answer(&read_frame(&mut pipe, RESULT_LIMIT)?)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = answer_in(&bytes);
            let _ = answer_in(&frame(&bytes));
        }

        #[test]
        fn a_mangled_answer_is_another_or_an_error(
            cuts in prop::collection::vec(
                (any::<prop::sample::Index>(), 0usize..9, "[-{}\\[\\]\",:0-9eanif_]{0,6}"), 0..4),
        ) {
            let whole = r#"{"value":{"score":1.5,"x":[{"__gridmpi_float__":"inf"},null,true,"é"]}}"#;
            let mut text: Vec<char> = whole.chars().collect();
            for (at, length, scrap) in cuts {
                let at = at.index(text.len() + 1);
                let end = (at + length).min(text.len());
                text.splice(at..end, scrap.chars());
            }
            let text: String = text.into_iter().collect();
            if let Ok(Ok(value)) = answer_in(&frame(text.as_bytes())) {
                prop_assert!(text.len() > 1, "{value}");
            }
        }
    }

    #[test]
    fn an_answer_has_bounds() {
        let deep = format!("{{\"value\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(answer_in(&frame(deep.as_bytes())).is_err());
        // A length that is only claimed allocates nothing.
        let mut claimed = (RESULT_LIMIT).to_le_bytes().to_vec();
        claimed.extend(b"{}");
        assert!(answer_in(&claimed).is_err());
        let more = (RESULT_LIMIT + 1).to_le_bytes();
        assert!(answer_in(&more).unwrap_err().to_string().contains("over the limit"));
    }
}
