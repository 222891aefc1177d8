//! Python's format language, as behind the colon in `{i:03}` and `{x:.2e}`: what `format(value, spec)` gives
//! in Python, for strings and numbers.

use crate::model::Value;

/// The largest width and precision: Rust formats up to 65,535 digits.
const MOST: usize = 65_000;

/// A parsed format.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Format {
    fill: char,
    /// One of `<`, `>`, `^` and `=`; that of the type if there is none.
    align: Option<char>,
    sign: Option<char>,
    /// Whether a zero has no sign.
    is_zero_unsigned: bool,
    is_alternate: bool,
    width: usize,
    group: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

/// The parts of a number, which are padded between the first two if the alignment is `=`.
#[derive(Default)]
struct Number {
    is_negative: bool,
    prefix: &'static str,
    /// Digits in front of the point, which may be grouped; or `inf`.
    whole: String,
    rest: String,
}

/// What Python's `format` gives for a value; an error says what is wrong, as in "`03d` is for whole numbers".
pub(super) fn format(value: &Value, spec: &str) -> Result<String, String> {
    let is_text = matches!(value, Value::Text(_));
    let parsed = Format::parse(spec, if is_text { '<' } else { '>' })?;
    match value {
        Value::Text(text) => parsed.text(text),
        Value::Bool(truth) => parsed.whole(i64::from(*truth)),
        Value::Int(whole) => parsed.whole(*whole),
        Value::Float(number) => parsed.float(*number),
        Value::Null => Err("Python formats no None".to_string()),
        Value::List(_) => Err("Python formats no lists".to_string()),
        Value::Record(_) => Err("Python formats no records: name a field".to_string()),
    }
}

impl Format {
    /// Parses a format for a type with this alignment.
    fn parse(spec: &str, usual: char) -> Result<Format, String> {
        let letters: Vec<char> = spec.chars().collect();
        let mut at = 0;
        let is_align = |at: usize| letters.get(at).is_some_and(|c| "<>^=".contains(*c));
        let mut format = Format {
            fill: ' ',
            align: None,
            sign: None,
            is_zero_unsigned: false,
            is_alternate: false,
            width: 0,
            group: None,
            precision: None,
            kind: None,
        };
        let has_fill = is_align(1);
        if has_fill {
            (format.fill, format.align, at) = (letters[0], Some(letters[1]), 2);
        } else if is_align(0) {
            (format.align, at) = (Some(letters[0]), 1);
        }
        let next = |at: &mut usize, known: &str| {
            let found = letters.get(*at).copied().filter(|letter| known.contains(*letter));
            *at += usize::from(found.is_some());
            found
        };
        format.sign = next(&mut at, "+- ");
        format.is_zero_unsigned = next(&mut at, "z").is_some();
        format.is_alternate = next(&mut at, "#").is_some();
        if !has_fill && next(&mut at, "0").is_some() {
            format.fill = '0';
            if format.align.is_none() && usual == '>' {
                format.align = Some('=');
            }
        }
        let number = |at: &mut usize| -> Result<Option<usize>, String> {
            let digits: String = letters[*at..].iter().take_while(|c| c.is_ascii_digit()).collect();
            *at += digits.len();
            match digits.parse::<usize>() {
                _ if digits.is_empty() => Ok(None),
                Ok(number) if number <= MOST => Ok(Some(number)),
                _ => Err(format!("{digits} in `{spec}` is over {MOST}")),
            }
        };
        format.width = number(&mut at)?.unwrap_or(0);
        format.group = next(&mut at, ",_");
        if format.group.is_some() && next(&mut at, ",_").is_some() {
            return Err(format!("`{spec}` has more than one of , and _"));
        }
        if next(&mut at, ".").is_some() {
            let precision = number(&mut at)?;
            format.precision =
                Some(precision.ok_or_else(|| format!("`{spec}` has no digits behind the point"))?);
        }
        format.kind = letters.get(at).copied();
        match letters.len() <= at + 1 {
            true => Ok(format),
            false => Err(unknown(spec)),
        }
    }

    fn text(&self, text: &str) -> Result<String, String> {
        let refused = |what: &str| Err(format!("{what} is for numbers, not for strings"));
        match self {
            Format { kind: Some(kind), .. } if *kind != 's' => refused(&format!("type {kind}")),
            Format { sign: Some(sign), .. } => refused(&format!("the sign '{sign}'")),
            Format { is_zero_unsigned: true, .. } => refused("z"),
            Format { is_alternate: true, .. } => refused("#"),
            Format { align: Some('='), .. } => refused("the alignment ="),
            Format { group: Some(group), .. } => refused(&format!("the separator {group}")),
            _ => {
                let shown: String =
                    text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
                Ok(self.padded("", &shown, '<'))
            }
        }
    }

    fn whole(&self, whole: i64) -> Result<String, String> {
        let kind = self.kind.unwrap_or('d');
        if "eEfFgG%".contains(kind) {
            return self.float(whole as f64);
        }
        let groups = match (self.group, kind) {
            (None, _) | (Some(_), 'd') => 3,
            (Some('_'), 'b' | 'o' | 'x' | 'X') => 4,
            (Some(group), _) => return Err(format!("type {kind} has no separator {group}")),
        };
        if self.precision.is_some() || self.is_zero_unsigned {
            let what = if self.is_zero_unsigned { "z" } else { "a precision" };
            return Err(format!("{what} is for numbers with a point, not for {whole}"));
        }
        let size = whole.unsigned_abs();
        let (prefix, digits) = match kind {
            'd' | 'n' => ("", size.to_string()),
            'b' => ("0b", format!("{size:b}")),
            'o' => ("0o", format!("{size:o}")),
            'x' => ("0x", format!("{size:x}")),
            'X' => ("0X", format!("{size:X}")),
            'c' if self.sign.is_some() || self.is_alternate => {
                return Err("type c has neither a sign nor #".to_string());
            }
            'c' => {
                let letter = u32::try_from(whole).ok().and_then(char::from_u32);
                let letter = letter.ok_or_else(|| format!("{whole} is no character's number"))?;
                return Ok(self.padded("", &letter.to_string(), '>'));
            }
            's' => return Err(format!("type s is for strings, not for {whole}")),
            other => return Err(unknown(&other.to_string())),
        };
        let prefix = if self.is_alternate { prefix } else { "" };
        let is_negative = whole < 0;
        let rest = String::new();
        Ok(self.number(Number { is_negative, prefix, whole: digits, rest }, groups))
    }

    fn float(&self, number: f64) -> Result<String, String> {
        let kind = self.kind;
        if kind.is_some_and(|kind| "bcdoxXs".contains(kind)) {
            let what = if kind == Some('s') { "strings" } else { "whole numbers" };
            let shown = Value::Float(number);
            return Err(format!("type {} is for {what}, not for {shown}", kind.unwrap_or(' ')));
        }
        if kind.is_some_and(|kind| !"eEfFgGn%".contains(kind)) {
            return Err(unknown(&String::from_iter(kind)));
        }
        if let (Some(group), Some('n')) = (self.group, kind) {
            return Err(format!("type n has no separator {group}"));
        }
        let size = if kind == Some('%') { number.abs() * 100.0 } else { number.abs() };
        let mut digits = if size.is_finite() {
            let precision = self.precision.unwrap_or(6);
            match kind.map(|kind| kind.to_ascii_lowercase()) {
                Some('e') => self.scientific(format!("{size:.precision$e}")),
                Some('f' | '%') => {
                    let point = if self.is_alternate && precision == 0 { "." } else { "" };
                    format!("{size:.precision$}{point}")
                }
                Some(_) => self.general(size, precision.max(1), false),
                None => match self.precision {
                    Some(precision) => self.general(size, precision.max(1), true),
                    None => self.shortest(size),
                },
            }
        } else {
            if size.is_nan() { "nan".to_string() } else { "inf".to_string() }
        };
        let is_zero =
            !digits.split('e').next().unwrap_or_default().contains(|c| ('1'..='9').contains(&c));
        let is_negative = number.is_sign_negative()
            && !number.is_nan()
            && !(self.is_zero_unsigned && size.is_finite() && is_zero);
        if kind.is_some_and(|kind| kind.is_ascii_uppercase()) {
            digits.make_ascii_uppercase();
        }
        if kind == Some('%') {
            digits.push('%');
        }
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let rest = digits.split_off(end);
        Ok(self.number(Number { is_negative, whole: digits, rest, ..Number::default() }, 3))
    }

    /// Rust's scientific notation in Python's form: `1.5e-7` is `1.5e-07`.
    fn scientific(&self, text: String) -> String {
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        let point = if self.is_alternate && !digits.contains('.') { "." } else { "" };
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}{point}e{sign}{:02}", exponent.abs())
    }

    /// So many significant digits, in scientific notation where the number is very large or small. With
    /// `is_float`, others have a digit behind the point.
    fn general(&self, size: f64, precision: usize, is_float: bool) -> String {
        let rounded = format!("{size:.*e}", precision - 1);
        let (digits, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
        let exponent: i64 = exponent.parse().unwrap_or_default();
        let most = precision as i64 - i64::from(is_float);
        if exponent < -4 || exponent >= most {
            let digits = if self.is_alternate { digits } else { trimmed(digits) };
            return self.scientific(format!("{digits}e{exponent}"));
        }
        let behind = (precision as i64 - 1 - exponent) as usize;
        let fixed = format!("{size:.behind$}");
        let fixed = if self.is_alternate { &fixed } else { trimmed(&fixed) };
        match fixed.contains('.') {
            true => fixed.to_string(),
            false if is_float => format!("{fixed}.0"),
            false if self.is_alternate => format!("{fixed}."),
            false => fixed.to_string(),
        }
    }

    /// The fewest digits that stand for this number alone.
    fn shortest(&self, size: f64) -> String {
        let text = format!("{size:e}");
        let exponent = text.split_once('e').and_then(|(_, e)| e.parse::<i32>().ok());
        match exponent {
            Some(-4..16) => format!("{size:?}"),
            _ => self.scientific(text),
        }
    }

    fn number(&self, number: Number, groups: usize) -> String {
        let sign = match (number.is_negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        };
        let front = format!("{sign}{}", number.prefix);
        let mut whole = number.whole;
        if let Some(separator) = self.group.filter(|_| !whole.is_empty()) {
            let zeros = self.fill == '0' && self.align == Some('=');
            let room = self.width.saturating_sub(front.len() + number.rest.chars().count());
            whole = grouped(&whole, separator, groups, if zeros { room } else { 0 });
        }
        self.padded(&front, &format!("{whole}{}", number.rest), '>')
    }

    /// Fills up to the width; `front` stays in front if the alignment is `=`.
    fn padded(&self, front: &str, text: &str, usual: char) -> String {
        let length = front.chars().count() + text.chars().count();
        let fill = |count: usize| self.fill.to_string().repeat(count);
        let missing = self.width.saturating_sub(length);
        match self.align.unwrap_or(usual) {
            '<' => format!("{front}{text}{}", fill(missing)),
            '^' => format!("{}{front}{text}{}", fill(missing / 2), fill(missing - missing / 2)),
            '=' => format!("{front}{}{text}", fill(missing)),
            _ => format!("{}{front}{text}", fill(missing)),
        }
    }
}

fn unknown(spec: &str) -> String {
    format!("`{spec}` is not of Python's format language, nor name, stem, dir or ext")
}

/// Without zeros at the end of a fraction.
fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// Digits in groups, with zeros in front up to a width.
fn grouped(digits: &str, separator: char, size: usize, width: usize) -> String {
    let mut letters = Vec::new();
    let mut digits = digits.chars().rev().peekable();
    let mut count = 0;
    while digits.peek().is_some() || letters.len() < width {
        if count > 0 && count % size == 0 {
            letters.push(separator);
        }
        letters.push(digits.next().unwrap_or('0'));
        count += 1;
    }
    letters.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn values_in_pythons_format_language() {
        for (value, spec, expected) in [
            (Value::Int(7), "03", "007"),
            (Value::Int(-7), "04d", "-007"),
            (Value::Float(0.00123), ".2e", "1.23e-03"),
            (Value::Float(2.5), ".0f", "2"),
            (Value::Int(1234567), "_", "1_234_567"),
            (Value::Text("ab".into()), ".>4", "..ab"),
            (Value::Float(f64::INFINITY), "05", "00inf"),
        ] {
            assert_eq!(format(&value, spec).as_deref(), Ok(expected), "{spec}");
        }
        assert!(format(&Value::Float(0.5), "03d").unwrap_err().contains("whole numbers"));
        assert!(format(&Value::Int(1), "stme").unwrap_err().contains("`stme` is not of Python's"));
    }

    /// Formats values with specs, both as lines of JSON; null where it refuses.
    const PYTHON: &str = "
import json, sys
for line in sys.stdin:
    value, spec = json.loads(line)
    try:
        print(json.dumps(format(value, spec)))
    except (ValueError, OverflowError, TypeError):
        print('null')
";

    #[test]
    fn python_formats_all_of_them_in_the_same_way() {
        let mut specs = Vec::new();
        for align in ["", "<", "^", "*>", "é=", "0=", "_<"] {
            for sign in ["", "+", " ", "-"] {
                for flags in ["", "#", "0", "#0", "z", "z#0"] {
                    for width in ["", "1", "9", "14"] {
                        for group in ["", ",", "_"] {
                            specs.push(format!("{align}{sign}{flags}{width}{group}"));
                        }
                    }
                }
            }
        }
        let ends: Vec<String> = ["", ".0", ".1", ".3", ".6", ".17"]
            .iter()
            .flat_map(|precision| "\0bcdeEfFgGnosxX%q".chars().map(move |kind| (precision, kind)))
            .map(|(precision, kind)| format!("{precision}{kind}").replace('\0', ""))
            .collect();
        let mut values = vec![Value::Bool(true), "sub-01.csv".into(), "".into(), "äöü".into()];
        values.extend([0, 7, -7, 65, 1234, -123456, 9007199254740993, i64::MIN].map(Value::Int));
        values.extend(
            [
                0.0,
                -0.0,
                0.5,
                2.5,
                -1.0,
                1e-5,
                0.0001,
                123456.789,
                999999.5,
                0.999995,
                1e15,
                1e16,
                -1.5e-7,
                1e22,
                1.7976931348623157e308,
                5e-324,
                0.1,
                1234567.0,
                -0.0004,
                100000.0,
                f64::INFINITY,
                f64::NEG_INFINITY,
            ]
            .map(Value::Float),
        );
        // Each value with each end, and the specs in turns.
        let mut specs = specs.iter().cycle();
        let mut cases = Vec::new();
        for value in &values {
            for end in &ends {
                for _ in 0..13 {
                    cases.push((value, format!("{}{end}", specs.next().unwrap())));
                }
            }
        }
        for (value, spec) in [(&values[1], "5.2"), (&values[5], "<<<5"), (&values[5], "5,_")] {
            cases.push((value, spec.to_string()));
        }
        cases.retain(|(_, spec)| !spec.is_empty()); // a placeholder without a spec has its own form
        let mut input = String::new();
        for (value, spec) in &cases {
            input += &format!("[{}, {}]\n", value.to_exact(), serde_json::json!(spec));
        }
        let python = std::env::var("GRIDMPI_TEST_PYTHON").unwrap_or("python3".to_string());
        let mut child = Command::new(python)
            .args(["-c", PYTHON])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let answers = String::from_utf8(output.stdout).unwrap();
        let answers: Vec<Option<String>> =
            answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(answers.len(), cases.len());
        let differs = |((value, spec), python): (&(&Value, String), Option<String>)| {
            let own = format(value, spec);
            // Python's strings may have half of a character.
            (own.as_ref().ok() != python.as_ref())
                .then(|| format!("{value:?} {spec:?}: {own:?}, Python: {python:?}"))
        };
        let wrong: Vec<String> = cases.iter().zip(answers.clone()).filter_map(differs).collect();
        assert!(
            wrong.is_empty(),
            "{} of {}:\n{}",
            wrong.len(),
            cases.len(),
            wrong[..wrong.len().min(40)].join("\n")
        );
        assert!(answers.iter().flatten().count() > cases.len() / 4, "most specs are refused");
    }
}
