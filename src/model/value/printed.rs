//! Values as programs print them: JSON with the numbers that JSON lacks, and Fortran's exponents.

use serde_json::Number;

use crate::model::value::{Value, json};

/// Why a program's output is no value.
#[derive(Debug, PartialEq)]
pub(crate) enum PrintedError {
    /// It is neither a number nor JSON; the parser's words.
    Neither(String),
    /// It is JSON, but cannot be stored as it is.
    Beyond(String),
}

/// Reads one value: JSON, in which numbers may also be NaN and infinite, as Python writes them, or have the
/// exponent D.
pub(crate) fn parse_printed(text: &str) -> Result<Value, PrintedError> {
    let text = text.trim();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text); // as programs on Windows begin a file
    let mark = blake3::hash(text.as_bytes()).to_hex(); // which the text itself cannot have
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let length = match letter {
            '"' => string_length(rest),
            _ => rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()).max(letter.len_utf8()),
        };
        let (word, after) = rest.split_at(length);
        match letter {
            _ if is_of_word(letter) => push_word(&mut plain, word, mark.as_str())?,
            _ => plain.push_str(word),
        }
        rest = after;
    }
    match json::read(plain.as_bytes()) {
        Ok(read) => match read.repeated {
            Some(name) => Err(PrintedError::Beyond(json::of_repeated(&name))),
            None => Ok(unmarked(read.value, mark.as_str())),
        },
        Err(error) if error.to_string().starts_with("recursion limit") => {
            Err(PrintedError::Beyond("it is nested more than 127 levels deep".to_string()))
        }
        Err(error) => Err(PrintedError::Neither(error.to_string())),
    }
}

/// A number as programs print one, also in Fortran; nothing if the text is something else. The error says why it
/// cannot be kept.
#[cfg(feature = "jobs")]
pub(crate) fn printed_number(text: &str) -> Result<Option<Value>, String> {
    let may_be_one = |c: char| c.is_ascii_digit() || "+-.nNiI".contains(c);
    if !text.starts_with(may_be_one) || text.contains(char::is_whitespace) {
        return Ok(None);
    }
    match parse_printed(text) {
        Ok(number @ (Value::Int(_) | Value::Float(_))) => Ok(Some(number)),
        Ok(_) | Err(PrintedError::Neither(_)) => Ok(None),
        Err(PrintedError::Beyond(why)) => Err(why),
    }
}

/// The length of the string at the beginning, with its quotes.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 2)
}

/// Appends a word outside of strings: a number becomes one of JSON's, or a marked string.
fn push_word(json: &mut String, word: &str, mark: &str) -> Result<(), PrintedError> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_whole && word.parse::<i64>().is_err() {
        return Err(PrintedError::Beyond(format!(
            "the whole number {word} does not fit into 64 bits: print it with an exponent, or as a string"
        )));
    }
    if serde_json::from_str::<Number>(word).is_ok() {
        json.push_str(word);
        return Ok(());
    }
    let is_fortran = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let number = match is_fortran {
        true => match without_letter(word) {
            Some((digits, exponent)) => format!("{digits}e{exponent}").parse::<f64>(),
            None => word.replace(['d', 'D'], "e").parse::<f64>(),
        },
        false => word.replace("-nan", "nan").parse::<f64>(),
    };
    match number.map(|number| (number, Number::from_f64(number))) {
        Ok((_, Some(number))) => json.push_str(&number.to_string()),
        Ok((number, None)) => json.push_str(&format!("\"{mark}{number}\"")),
        Err(_) => json.push_str(word),
    }
    Ok(())
}

/// The parts of a number as Fortran writes one whose exponent has three digits, and so no room for the letter:
/// `0.48-102`.
fn without_letter(word: &str) -> Option<(&str, &str)> {
    let sign = word.rfind(['+', '-']).filter(|sign| *sign > 0)?;
    let (digits, exponent) = word.split_at(sign);
    let (whole, fraction) = digits.split_once('.')?;
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_one = whole.trim_start_matches(['+', '-']).len() <= 1
        && !fraction.is_empty()
        && are_digits(fraction)
        && exponent.len() == 4
        && are_digits(&exponent[1..]);
    is_one.then_some((digits, exponent))
}

/// The value with numbers in place of marked strings.
fn unmarked(value: Value, mark: &str) -> Value {
    value.map_texts(&|text| match text.strip_prefix(mark).map(str::parse) {
        Some(Ok(number)) => Value::Float(number),
        _ => Value::Text(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_json_lacks() {
        for (text, number) in [
            (" 3.5\n", 3.5),
            ("0.48D+02", 48.0),
            ("-.5d-1", -0.05),
            ("+5.", 5.0),
            ("0.48-102", 0.48e-102),
            ("1.0-103", 1e-103),
            ("-.4812+101", -0.4812e101),
            ("\u{feff}2.5", 2.5),
            ("-inf", f64::NEG_INFINITY),
            ("1e400", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ] {
            assert_eq!(parse_printed(text), Ok(Value::Float(number)), "{text}");
        }
        assert_eq!(parse_printed("-3"), Ok(Value::Int(-3)));
        assert!(matches!(parse_printed("-nan"), Ok(Value::Float(f)) if f.is_nan()));
        let text = r#"{"score": 1.5D0, "hi": [Infinity, -Infinity], "p": NaN, "s": "NaN \" 1D0", "NaN": true}"#;
        let record = parse_printed(text).unwrap();
        assert_eq!(record.field("score"), Some(&Value::Float(1.5)));
        let infinities = [f64::INFINITY, f64::NEG_INFINITY].map(Value::Float);
        assert_eq!(record.field("hi"), Some(&Value::List(infinities.to_vec())));
        assert!(record.field("p").unwrap().as_f64().unwrap().is_nan());
        assert_eq!(record.field("s"), Some(&"NaN \" 1D0".into()));
        assert_eq!(record.field("NaN"), Some(&Value::Bool(true)));
    }

    #[test]
    fn says_why_it_is_no_value() {
        for text in [
            "done.",
            "",
            "1 2",
            "{\"a\": NA}",
            "\"a",
            "1d",
            "[1,]",
            "é",
            "D0",
            "infinitely",
            "0.4-10",
            "2024.01-100",
            "1-100",
        ] {
            assert!(matches!(parse_printed(text), Err(PrintedError::Neither(_))), "{text}");
        }
        let deep = "[".repeat(500) + &"]".repeat(500);
        for (text, why) in [
            ("18446744073709551616", "18446744073709551616 does not fit into 64 bits"),
            ("{\"n\": -9223372036854775809}", "-9223372036854775809 does not fit"),
            (&deep, "levels deep"),
            ("{\"score\": 1, \"score\": 2}", "the name \"score\" more than once"),
        ] {
            let error = parse_printed(text);
            assert!(matches!(&error, Err(PrintedError::Beyond(w)) if w.contains(why)), "{error:?}");
        }
        assert_eq!(parse_printed("9223372036854775807"), Ok(Value::Int(i64::MAX)));
    }
}
