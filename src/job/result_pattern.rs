//! A pattern that finds a value in a text. The engine does not go back, so that no pattern takes for ever.

use regex::bytes::{Captures, Regex, RegexBuilder};

use crate::job::WhichOne;
use crate::model::Value;
use crate::model::value::printed::printed_number;

/// The largest program that a pattern may become. (bytes)
const MOST: usize = 10 << 20;

pub(crate) struct ResultPattern {
    regex: Regex,
    /// The names of its groups, which become a record.
    names: Vec<String>,
}

impl ResultPattern {
    /// `^` and `$` are the ends of lines. The error says what is wrong with a pattern.
    pub(crate) fn new(pattern: &str) -> Result<ResultPattern, String> {
        let mut builder = RegexBuilder::new(pattern);
        builder.multi_line(true).crlf(true).size_limit(MOST).dfa_size_limit(MOST);
        let regex = builder.build().map_err(|error| format!("no pattern: {error}"))?;
        let names: Vec<String> = regex.capture_names().flatten().map(str::to_string).collect();
        let unnamed = regex.captures_len() - 1 - names.len();
        match (unnamed, names.len()) {
            (0 | 1, 0) | (0, _) => Ok(ResultPattern { regex, names }),
            (_, 0) => Err(format!(
                "it has {unnamed} groups: name them, as in (?<energy>\\S+), or write (?:...) for one that is no value"
            )),
            _ => Err("some of its groups have names and some have not: write (?:...) for one that is no value".to_string()),
        }
    }

    /// The fields of what it finds, if that is a record.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// What it finds, if it matches.
    pub(crate) fn find(&self, text: &[u8], which: WhichOne) -> Result<Option<Value>, String> {
        let found = match which {
            WhichOne::Last | WhichOne::At(_) => {
                let last = self.regex.find_iter(text).last();
                last.and_then(|last| self.regex.captures_at(text, last.start()))
            }
            WhichOne::First => self.regex.captures(text),
            WhichOne::Only => {
                let mut all = self.regex.captures_iter(text);
                let first = all.next();
                match all.next() {
                    Some(_) => {
                        return Err(format!("{} matches, where one is expected", 2 + all.count()));
                    }
                    None => first,
                }
            }
        };
        found.map(|found| self.value(&found)).transpose()
    }

    fn value(&self, found: &Captures) -> Result<Value, String> {
        if self.names.is_empty() {
            let group = found.get(self.regex.captures_len() - 1);
            return group.map_or(Ok(Value::Null), |group| number_or_text(group.as_bytes()));
        }
        let field = |name: &String| {
            let group = found.name(name);
            let value = group.map_or(Ok(Value::Null), |group| number_or_text(group.as_bytes()));
            Ok((name.clone(), value?))
        };
        Ok(Value::Record(self.names.iter().map(field).collect::<Result<_, String>>()?))
    }
}

/// A number as programs print one, else the text.
pub(crate) fn number_or_text(text: &[u8]) -> Result<Value, String> {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    Ok(printed_number(text)?.unwrap_or_else(|| Value::Text(text.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pattern: &str, text: &str, which: WhichOne) -> Result<Option<Value>, String> {
        ResultPattern::new(pattern)?.find(text.as_bytes(), which)
    }

    #[test]
    fn patterns_find_numbers_records_and_text() {
        let text = "E = 1.5\r\nstep 2\nE = -0.25D-3 eV\nE = 1.0-103\nname = b c\n";
        let energy = r"^E\s*=\s*(\S+)";
        for (pattern, which, value) in [
            (energy, WhichOne::First, Value::Float(1.5)),
            (energy, WhichOne::Last, Value::Float(1.0e-103)),
            (r"step (\d+)", WhichOne::Only, Value::Int(2)),
            (r"(\S+) eV$", WhichOne::Only, Value::Float(-0.25e-3)),
            (r"name = (.*)$", WhichOne::Last, "b c".into()),
            (r"E = 1\.5$", WhichOne::Last, "E = 1.5".into()),
        ] {
            assert_eq!(find(pattern, text, which), Ok(Some(value)), "{pattern}");
        }
        assert_eq!(find("x = (.*)", text, WhichOne::Last), Ok(None));
        let two = find(r"E = (?<e>\S+)(?: (?<unit>eV))?", text, WhichOne::First).unwrap().unwrap();
        assert_eq!(two.to_string(), r#"{"e":1.5,"unit":null}"#);
        assert!(find(energy, text, WhichOne::Only).unwrap_err().contains("3 matches"));
        assert!(find(r"\d{40}", &"1".repeat(40), WhichOne::Last).unwrap_err().contains("64 bits"));
    }

    #[test]
    fn patterns_that_name_no_value_are_refused() {
        for (pattern, why) in [
            ("(a)(b)", "2 groups"),
            ("(?<x>a)(b)", "some of its groups"),
            ("(a", "unclosed group"),
            (r"(a)\1", "backreferences are not supported"),
            ("a{1000}{1000}{1000}", "size"),
        ] {
            let refused = ResultPattern::new(pattern).err().unwrap_or_default();
            assert!(refused.contains(why), "{pattern}: {refused}");
        }
    }
}
