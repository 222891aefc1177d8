//! The protocol between a rank and its Python child: frames of JSON.

use std::io::ErrorKind;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use crate::model::value::json::{self, ReadJson};
use crate::model::value::json_text::{JsonText, LEAST};
use crate::model::{ResultValue, Value};
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
pub(crate) type Answer = (Result<ResultValue, String>, f64);

/// Reads a frame that ends a request: empty, or the answer of the last task, if it did not fit into the results
/// file.
pub(super) fn decode_frame(frame: Vec<u8>) -> std::io::Result<Option<Answer>> {
    if frame.is_empty() {
        return Ok(None);
    }
    let frame = Bytes::from(frame);
    if let Some((value, seconds)) = large_value(&frame) {
        return Ok(Some((Ok(ResultValue::Json(value)), seconds)));
    }
    let answer = json::read(&frame)?;
    let seconds = answer.value.field("seconds").and_then(Value::as_f64).ok_or_else(no_answer)?;
    let result = answered(answer).ok_or_else(no_answer)?;
    Ok(Some((result.map(ResultValue::from), seconds)))
}

/// The value and the seconds in a frame, if the value is a large one that is not made a tree of.
fn large_value(frame: &Bytes) -> Option<(JsonText, f64)> {
    const BEFORE: &[u8] = b"{\"value\":";
    const BETWEEN: &[u8] = b",\"seconds\":";
    if frame.len() < LEAST || !frame.starts_with(BEFORE) {
        return None;
    }
    let tail = frame.len() - 64;
    let between = tail + frame[tail..].windows(BETWEEN.len()).rposition(|at| at == BETWEEN)?;
    let seconds = std::str::from_utf8(&frame[between + BETWEEN.len()..]).ok()?;
    let seconds = seconds.strip_suffix('}')?.parse().ok()?;
    Some((JsonText::take(frame, BEFORE.len()..between, MARK)?, seconds))
}

/// The value or the error in a text of the results file.
pub(super) fn decode(text: &[u8]) -> Result<ResultValue, String> {
    let answer = json::read(text).map_err(|error| error.to_string());
    let answer = answer.and_then(|answer| answered(answer).ok_or("no answer".to_string()));
    let answer = answer.unwrap_or_else(|why| Err(format!("the result cannot be read: {why}")));
    answer.map(ResultValue::from)
}

/// The value or the error in an answer, if it is one.
fn answered(answer: ReadJson) -> Option<Result<Value, String>> {
    let ReadJson { value: Value::Record(answer), repeated } = answer else { return None };
    let (mut value, mut error) = (None, None);
    for (name, field) in answer {
        match name.as_str() {
            "value" => value = Some(field),
            "error" => error = Some(field),
            _ => {}
        }
    }
    if let Some(error) = error {
        return Some(Err(error.to_string()));
    }
    let value = value?;
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

fn unmarked(value: Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.into_iter().map(unmarked).collect()),
        Value::Record(fields) => {
            if let [(name, Value::Text(number))] = fields.as_slice()
                && name == MARK
                && let Ok(number) = number.parse()
            {
                return Value::Float(number);
            }
            Value::Record(fields.into_iter().map(|(name, v)| (name, unmarked(v))).collect())
        }
        plain => plain,
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
