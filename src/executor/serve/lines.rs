//! The lines of the protocol: each a record in JSON, in which numbers may be NaN and infinite.

use std::fmt::Write;

use crate::model::Value;
use crate::model::value::printed::{PrintedError, parse_printed};
use crate::util::text::beginning;

/// How much of a line that is wrong is shown. (characters)
const SHOWN: usize = 80;

/// How a worker wants the numbers that JSON lacks, and how it writes them itself: as it says in its hello.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct NumberForms {
    /// NaN, Infinity and -Infinity are strings, rather than bare words.
    pub(super) strings: bool,
    /// Numbers with a fraction are bare words in hexadecimal, such as 0x1.8p+1.
    pub(super) hexadecimal: bool,
}

/// A record with these fields.
pub(crate) fn record<const N: usize>(fields: [(&str, Value); N]) -> Vec<(String, Value)> {
    fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

pub(crate) fn texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Value {
    Value::List(texts.into_iter().map(Value::from).collect())
}

pub(crate) fn field<'f>(fields: &'f [(String, Value)], name: &str) -> Option<&'f Value> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The type of a message.
pub(crate) fn kind(fields: &[(String, Value)]) -> Option<&str> {
    match field(fields, "type") {
        Some(Value::Text(kind)) => Some(kind),
        _ => None,
    }
}

/// The text of an error or a log message.
pub(crate) fn message(fields: &[(String, Value)]) -> String {
    match field(fields, "message") {
        Some(message) => message.to_string(),
        None => "it has said no more (no field \"message\")".to_string(),
    }
}

/// Writes a message as a line; its fields come in parts.
pub(super) fn write(parts: &[&[(String, Value)]], forms: NumberForms) -> Vec<u8> {
    let mut line = String::new();
    write_record(parts.iter().copied().flatten(), forms, &mut line);
    line.push('\n');
    line.into_bytes()
}

fn write_record<'f>(
    fields: impl Iterator<Item = &'f (String, Value)>,
    forms: NumberForms,
    line: &mut String,
) {
    line.push('{');
    for (at, (name, value)) in fields.enumerate() {
        let _ = write!(
            line,
            "{}{}:",
            if at > 0 { "," } else { "" },
            Value::Text(name.clone()).to_json()
        );
        write_value(value, forms, line);
    }
    line.push('}');
}

fn write_value(value: &Value, forms: NumberForms, line: &mut String) {
    let quote = if forms.strings { "\"" } else { "" };
    let _ = match value {
        Value::Float(f) if f.is_nan() => write!(line, "{quote}NaN{quote}"),
        Value::Float(f) if f.is_infinite() => {
            write!(line, "{quote}{}Infinity{quote}", if *f < 0.0 { "-" } else { "" })
        }
        Value::Float(f) if forms.hexadecimal => write!(line, "{}", hexadecimal(*f)),
        Value::List(items) => {
            line.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    line.push(',');
                }
                write_value(item, forms, line);
            }
            line.push(']');
            Ok(())
        }
        Value::Record(fields) => {
            write_record(fields.iter(), forms, line);
            Ok(())
        }
        plain => write!(line, "{}", plain.to_json()),
    };
}

/// A finite number as C's `%a` prints it, which every reader of it takes as the same number.
fn hexadecimal(number: f64) -> String {
    let bits = number.to_bits();
    let sign = if bits >> 63 == 1 { "-" } else { "" };
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i64, bits & ((1 << 52) - 1));
    let (whole, exponent) = match exponent {
        0 if fraction == 0 => (0, 0),
        0 => (0, -1022),
        exponent => (1, exponent - 1023),
    };
    format!("{sign}0x{whole}.{fraction:013x}p{exponent:+}")
}

/// Reads a line: a record.
pub(super) fn read(line: &[u8], forms: NumberForms) -> Result<Vec<(String, Value)>, String> {
    let text = std::str::from_utf8(line).map_err(|error| {
        let good = String::from_utf8_lossy(&line[..error.valid_up_to()]);
        format!("a line is not UTF-8 after {:?}", beginning(&good, SHOWN))
    })?;
    let shown = || format!("{:?}", beginning(text.trim_end(), SHOWN));
    match parse_printed(text) {
        Ok(Value::Record(fields)) if forms.strings => {
            let field = |(name, value)| (name, without_words(value));
            Ok(fields.into_iter().map(field).collect())
        }
        Ok(Value::Record(fields)) => Ok(fields),
        Ok(_) => Err(format!("a line is JSON, but no object: {}", shown())),
        Err(PrintedError::Neither(why)) => Err(format!("a line is not JSON ({why}): {}", shown())),
        Err(PrintedError::Beyond(why)) => {
            Err(format!("a line cannot be kept ({why}): {}", shown()))
        }
    }
}

/// With numbers in place of the strings that stand for them.
fn without_words(value: Value) -> Value {
    value.map_texts(&|text| match text.as_str() {
        "NaN" => Value::Float(f64::NAN),
        "Infinity" => Value::Float(f64::INFINITY),
        "-Infinity" => Value::Float(f64::NEG_INFINITY),
        _ => Value::Text(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_numbers_in_the_form_that_was_asked_for() {
        let numbers = [1.5, f64::NAN, f64::NEG_INFINITY, -0.0].map(Value::Float);
        let message = record([("a\n", Value::List(numbers.to_vec())), ("n", Value::Int(3))]);
        for (strings, hexadecimal, line) in [
            (false, false, r#"{"a\n":[1.5,NaN,-Infinity,-0.0],"n":3}"#),
            (true, false, r#"{"a\n":[1.5,"NaN","-Infinity",-0.0],"n":3}"#),
            (
                false,
                true,
                r#"{"a\n":[0x1.8000000000000p+0,NaN,-Infinity,-0x0.0000000000000p+0],"n":3}"#,
            ),
        ] {
            let forms = NumberForms { strings, hexadecimal };
            let written = String::from_utf8(write(&[&message], forms)).unwrap();
            assert_eq!(written, format!("{line}\n"));
            if !hexadecimal {
                assert_eq!(
                    format!("{:?}", read(written.as_bytes(), forms)),
                    format!("{:?}", Ok::<_, String>(message.clone()))
                );
            }
        }
    }

    #[test]
    fn hexadecimal_numbers_are_those_of_c() {
        for (number, text) in [
            (0.1, "0x1.999999999999ap-4"),
            (-1e300, "-0x1.7e43c8800759cp+996"),
            (5e-324, "0x0.0000000000001p-1022"),
            (f64::MAX, "0x1.fffffffffffffp+1023"),
            (0.0, "0x0.0000000000000p+0"),
        ] {
            assert_eq!(hexadecimal(number), text);
        }
    }

    #[test]
    fn what_is_no_message_is_shown() {
        for (line, why) in [
            (&b"done"[..], "not JSON"),
            (b"[1]", "no object"),
            (b"{\"a\": \xff}", "not UTF-8"),
            (b"{\"a\":1,\"a\":2}", "more than once"),
        ] {
            let error = read(line, NumberForms::default()).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
