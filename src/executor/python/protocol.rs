//! What a Python child answers: values may be large, and may be what JSON lacks.

use std::io::{Error, ErrorKind};

use bytes::Bytes;

use crate::executor::serve::child::ServeChild;
use crate::model::value::json;
use crate::model::value::json_text::JsonText;
use crate::model::value::printed::{PrintedError, parse_printed};
use crate::model::{ResultValue, Value};
use crate::util::error::Result;

/// How the answer with a value begins, and how long it may be before the value, which is its last field.
const RESULT: &[u8] = b"{\"type\":\"result\",";
const VALUE: &[u8] = b",\"value\":";
const HEAD: usize = 128;

pub(super) fn no_answer() -> Error {
    Error::new(ErrorKind::InvalidData, "no answer, but something else")
}

/// A task's result, and how long it took in the child, in seconds.
pub(crate) type Answer = (Result<ResultValue, String>, f64);

/// The fields of a message, and apart from them the value of a result: a large one is not made a tree of.
type ChildMessage = (Vec<(String, Value)>, Option<Result<ResultValue, String>>);

/// Reads a message. The user's code may have written anything into the pipe.
pub(super) fn read(child: &ServeChild, line: Vec<u8>) -> std::io::Result<ChildMessage> {
    let Some(at) = value_at(&line) else { return Ok((child.read(&line)?, None)) };
    let fields = child.read(&[&line[..at], b"}"].concat())?;
    let line = Bytes::from(line);
    let value = at + VALUE.len()..line.len() - 1;
    let value = match JsonText::take(&line, value.clone()) {
        Some(text) => Ok(ResultValue::Json(text)),
        None => decode_value(&line[value]).map(ResultValue::from),
    };
    Ok((fields, Some(value)))
}

/// Where the value of a result begins.
fn value_at(line: &[u8]) -> Option<usize> {
    let head = line.strip_suffix(b"}").filter(|line| line.starts_with(RESULT))?;
    let mut places = head[..head.len().min(HEAD)].windows(VALUE.len());
    places.position(|bytes| bytes == VALUE)
}

/// The value or the error in a text of the results file.
pub(super) fn decode(text: &[u8]) -> Result<ResultValue, String> {
    let inside = |before: &[u8]| text.strip_prefix(before)?.strip_suffix(b"}").map(decode_value);
    match (inside(b"{\"value\":"), inside(b"{\"message\":")) {
        (Some(value), _) => value.map(ResultValue::from),
        (_, Some(Ok(message))) => Err(message.to_string()),
        _ => Err("the result cannot be read: no answer".to_string()),
    }
}

/// Reads the JSON of a value, in which numbers may be NaN and infinite.
fn decode_value(text: &[u8]) -> Result<Value, String> {
    let unreadable = |why: String| format!("the result cannot be read: {why}");
    let repeated = match json::read(text) {
        Ok(read) => match read.repeated {
            None => return Ok(read.value),
            // Python's records may have 1 and "1".
            Some(name) => json::of_repeated(&name),
        },
        Err(_) => {
            let text = std::str::from_utf8(text).map_err(|error| unreadable(error.to_string()))?;
            match parse_printed(text) {
                Ok(value) => return Ok(value),
                Err(PrintedError::Neither(why)) => return Err(unreadable(why)),
                Err(PrintedError::Beyond(why)) => why,
            }
        }
    };
    Err(format!("the result cannot be kept: {repeated}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = (decode(&bytes), value_at(&bytes));
        }

        #[test]
        fn a_mangled_answer_is_another_or_an_error(
            cuts in prop::collection::vec(
                (any::<prop::sample::Index>(), 0usize..9, "[-{}\\[\\]\",:0-9eainfIN_]{0,6}"), 0..4),
        ) {
            let whole = r#"{"value":{"score":1.5,"x":[-Infinity,null,true,"é"]}}"#;
            let mut text: Vec<char> = whole.chars().collect();
            for (at, length, scrap) in cuts {
                let at = at.index(text.len() + 1);
                let end = (at + length).min(text.len());
                text.splice(at..end, scrap.chars());
            }
            let text: String = text.into_iter().collect();
            if let Ok(value) = decode(text.as_bytes()) {
                prop_assert!(text.len() > 1, "{value:?}");
            }
        }
    }

    #[test]
    fn a_value_is_what_is_behind_the_other_fields() {
        let line = br#"{"type":"result","id":7,"seconds":1e-05,"value":{"a":[1,NaN],"value":"x"}}"#;
        let value = decode_value(&line[value_at(line).unwrap() + VALUE.len()..line.len() - 1]);
        let value = value.unwrap();
        assert_eq!(value.field("value"), Some(&"x".into()));
        assert!(value.field("a").unwrap().to_string().contains("NaN"));
        for other in [
            &br#"{"type":"result","id":7}"#[..],
            br#"{"type":"log","message":",\"value\":"}"#,
            br#"{"type":"imported","files":[],"packages":{"a":"1","value":"2"}}"#,
        ] {
            assert_eq!(value_at(other), None);
        }
    }

    #[test]
    fn a_value_has_bounds() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(decode_value(deep.as_bytes()).unwrap_err().contains("levels deep"));
        let repeated = decode(br#"{"value":{"1":2,"1":3}}"#).unwrap_err();
        assert!(repeated.contains("cannot be kept") && repeated.contains("more than once"));
        assert_eq!(decode(br#"{"message":"no \"x\""}"#).unwrap_err(), "no \"x\"");
    }
}
