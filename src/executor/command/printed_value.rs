//! The value that a program has printed as its last line, or written to its result file.

use bytes::Bytes;

use crate::executor::process::tail::Tail;
use crate::model::value::json_text::JsonText;
use crate::model::value::printed::{PrintedError, parse_printed};
use crate::model::{ResultValue, short};

pub(super) const LAST_LINE: &str = "the last line on stdout";
pub(super) const NOTHING: &str = "no result: no result file, and nothing on stdout";

/// Why there is no value.
pub(super) enum NoValue {
    /// The program has printed none.
    None(String),
    /// It has, and it cannot be stored.
    Beyond(String),
}

/// The value that a program has printed.
pub(super) fn printed_value(place: &str, text: Bytes) -> Result<ResultValue, NoValue> {
    if let Some(json) = JsonText::take(&text, 0..text.len()) {
        return Ok(ResultValue::Json(json));
    }
    let text = std::str::from_utf8(&text).expect("from a string");
    parse_printed(text).map(ResultValue::from).map_err(|error| match error {
        PrintedError::Neither(why) => {
            let text = text.trim();
            let hint = match text {
                "None" => "a Python function without `return` gives it",
                _ => &why,
            };
            let text = short(&text.into());
            NoValue::None(format!("{place} is neither a number nor JSON: {text} ({hint})"))
        }
        PrintedError::Beyond(why) => NoValue::Beyond(format!("{place} cannot be stored: {why}")),
    })
}

/// Why there is no result, with the ends of what the program wrote to stdout and to stderr, so many bytes.
pub(super) fn with_output(why: &str, stdout: Tail, stderr: Tail, most: usize) -> String {
    let (stdout, stderr) = (stdout.end(most), stderr.text());
    let (stdout, stderr) = (stdout.trim_end(), stderr.trim_end());
    let is_quoted = why.starts_with(LAST_LINE) && !stdout.trim_start().contains('\n');
    match (if is_quoted { "" } else { stdout }, stderr) {
        ("", "") if is_quoted || why == NOTHING => why.to_string(),
        ("", "") => format!("{why}\nit wrote nothing to stdout and stderr"),
        ("", stderr) => format!("{why}\n{stderr}"),
        (stdout, "") => {
            format!("{why}\nit wrote nothing to stderr; the end of its stdout:\n{stdout}")
        }
        // The last line is the one that says most.
        (stdout, stderr) => {
            format!("{why}\nthe end of its stdout:\n{stdout}\nthe end of its stderr:\n{stderr}")
        }
    }
}
