//! The protocol between a rank and its Python child: frames of JSON or of plain numbers.

use std::io::{ErrorKind, Read};

use serde_json::{Value as Json, json};

use crate::executor::RESULT_LIMIT;
use crate::model::Value;
use crate::util::error::Result;
use crate::util::framing::read_frame;

/// The record name for a number that JSON cannot represent.
const MARK: &str = "__gridmpi_float__";

/// Reads the answer to one request. The user's code may have written anything into the pipe.
pub(super) fn read_answer(answers: &mut impl Read) -> std::io::Result<Result<Value, String>> {
    let frame = read_frame(answers, RESULT_LIMIT)?;
    Ok(answered(serde_json::from_slice(&frame)?)?.0)
}

fn no_answer() -> std::io::Error {
    std::io::Error::new(ErrorKind::InvalidData, "no answer, but something else")
}

/// Decodes an answer: a value or an error, and the duration.
fn answered(answer: Json) -> std::io::Result<Answer> {
    let Json::Object(mut answer) = answer else { return Err(no_answer()) };
    let seconds = answer.get("seconds").and_then(Json::as_f64).unwrap_or(0.0);
    let result = match answer.remove("error") {
        Some(error) => Err(error.as_str().map_or_else(|| error.to_string(), String::from)),
        None => Ok(unmarked(answer.remove("value").unwrap_or(Json::Null))),
    };
    Ok((result, seconds))
}

/// A task's result, and how long it took in the child, in seconds.
pub(crate) type Answer = (Result<Value, String>, f64);

/// The number of a request, and its answers.
pub(super) type Answers = (u64, Vec<Answer>);

pub(super) fn read_answers(answers: &mut impl Read) -> std::io::Result<Answers> {
    let frame = read_frame(answers, RESULT_LIMIT)?;
    match frame.strip_prefix(b"N") {
        Some(numbers) => read_numbers(numbers),
        None => read_others(&frame),
    }
}

/// Decodes plain numbers: the request, then all results, then all durations, 8 bytes each, little-endian.
fn read_numbers(frame: &[u8]) -> std::io::Result<Answers> {
    let Some((request, rest)) = frame.split_first_chunk() else { return Err(no_answer()) };
    let (all, []) = rest.as_chunks() else { return Err(no_answer()) };
    if !all.len().is_multiple_of(2) {
        return Err(no_answer());
    }
    let (results, seconds) = all.split_at(all.len() / 2);
    let number = |bytes: &[u8; 8]| f64::from_le_bytes(*bytes);
    let answer = |(result, seconds)| (Ok(Value::Float(number(result))), number(seconds));
    let answers = results.iter().zip(seconds).map(answer).collect();
    Ok((u64::from_le_bytes(*request), answers))
}

fn read_others(frame: &[u8]) -> std::io::Result<Answers> {
    let Json::Object(mut frame) = serde_json::from_slice(frame)? else { return Err(no_answer()) };
    let Some(request) = frame.get("batch").and_then(Json::as_u64) else { return Err(no_answer()) };
    let Some(Json::Array(answers)) = frame.remove("answers") else { return Err(no_answer()) };
    Ok((request, answers.into_iter().map(answered).collect::<std::io::Result<_>>()?))
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
            Some(Ok(number)) => Value::Float(number),
            _ => Value::Record(map.into_iter().map(|(name, v)| (name, unmarked(v))).collect()),
        },
        plain => Value::from_json(plain),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u64).to_le_bytes(), body].concat()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read_answer(&mut &bytes[..]);
            let _ = read_answer(&mut &frame(&bytes)[..]);
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
            if let Ok(Ok(value)) = read_answer(&mut &frame(text.as_bytes())[..]) {
                prop_assert!(text.len() > 1, "{value}");
            }
        }
    }

    #[test]
    fn an_answer_has_bounds() {
        let deep = format!("{{\"value\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read_answer(&mut &frame(deep.as_bytes())[..]).is_err());
        // A length that is only claimed allocates nothing.
        let mut claimed = (RESULT_LIMIT).to_le_bytes().to_vec();
        claimed.extend(b"{}");
        assert!(read_answer(&mut &claimed[..]).is_err());
        let more = (RESULT_LIMIT + 1).to_le_bytes();
        assert!(read_answer(&mut &more[..]).unwrap_err().to_string().contains("over the limit"));
    }
}
