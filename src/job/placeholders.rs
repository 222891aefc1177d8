//! Fills placeholders in a command's arguments: `{loop}` and `{loop.field}`; `{{` and `}}` stand for
//! braces.

use crate::model::{Loop, Value};

/// A parsed string with placeholders.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template(Vec<TemplatePart>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TemplatePart {
    Text(String),
    Place { name: String, field: Option<String> },
}

impl Template {
    /// Parses a string; the error says what is wrong with its braces.
    pub(crate) fn parse(text: &str) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let end = rest.find('}').filter(|_| brace == "{").ok_or_else(|| {
                format!("a lone '{brace}' in \"{text}\"; write '{brace}{brace}' for a brace")
            })?;
            pieces.push(TemplatePart::Text(std::mem::take(&mut plain)));
            let (name, field) = match rest[..end].split_once('.') {
                Some((name, field)) => (name, Some(field.to_string())),
                None => (&rest[..end], None),
            };
            pieces.push(TemplatePart::Place { name: name.to_string(), field });
            rest = &rest[end + 1..];
        }
        plain.push_str(rest);
        pieces.push(TemplatePart::Text(plain));
        Ok(Template(pieces))
    }

    /// Whether it has no placeholder.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, TemplatePart::Text(_)))
    }

    pub(crate) fn of(parts: Vec<TemplatePart>) -> Template {
        Template(parts)
    }

    pub(crate) fn parts(&self) -> &[TemplatePart] {
        &self.0
    }

    /// The string, if it has no placeholder.
    pub(crate) fn plain(&self) -> Option<String> {
        self.is_plain().then(|| self.fill(&[], |_, _| None, Ok).ok()).flatten()
    }

    /// The names of the loops whose points it takes.
    pub(crate) fn loops(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            TemplatePart::Text(_) => None,
            TemplatePart::Place { name, .. } => Some(name.as_str()),
        })
    }

    /// The string with the placeholders replaced by values, each passed through `quote`. `cell` gives the text
    /// of a loop's field where a table has it in another form than the value prints.
    pub(crate) fn fill<'c>(
        &self,
        coordinates: &[(&str, Value)],
        cell: impl Fn(&str, &str) -> Option<&'c str>,
        quote: impl Fn(String) -> Result<String, String>,
    ) -> Result<String, String> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                TemplatePart::Text(text) => filled.push_str(text),
                TemplatePart::Place { name, field } => {
                    let found = coordinates.iter().find(|(loop_name, _)| loop_name == name);
                    let mut value = found.map(|(_, value)| value);
                    if let Some(field) = field {
                        if let Some(text) = cell(name, field) {
                            filled.push_str(&quote(text.to_string())?);
                            continue;
                        }
                        value = value.and_then(|record| record.field(field));
                    }
                    let value = value.ok_or_else(|| {
                        let field = field.as_deref().unwrap_or_default();
                        format!("this task's point of loop '{name}' has no field '{field}'")
                    })?;
                    filled.push_str(&quote(value.to_string())?);
                }
            }
        }
        Ok(filled)
    }
}

impl std::fmt::Display for Template {
    /// As the job file has it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in &self.0 {
            match part {
                TemplatePart::Text(text) => {
                    f.write_str(&text.replace('{', "{{").replace('}', "}}"))?;
                }
                TemplatePart::Place { name, field: None } => write!(f, "{{{name}}}")?,
                TemplatePart::Place { name, field: Some(field) } => {
                    write!(f, "{{{name}.{field}}}")?
                }
            }
        }
        Ok(())
    }
}

/// Checks that each placeholder names a loop, or a field of its points.
pub(super) fn check(text: &str, loops: &[Loop]) -> Result<(), String> {
    for piece in Template::parse(text)?.0 {
        let TemplatePart::Place { name, field } = piece else { continue };
        let Some(named) = loops.iter().find(|l| l.name == name) else {
            let names: Vec<&str> = loops.iter().map(|l| l.name.as_str()).collect();
            let names = names.join(", ");
            return Err(format!(
                "the placeholder {{{name}}} names no loop (loops: {names}; write {{{{ for a brace)"
            ));
        };
        let fields = named.points.fields();
        if let Some(field) = field.filter(|field| !fields.contains(field)) {
            return Err(match fields.as_slice() {
                [] => format!("{{{name}.{field}}}: the points of loop '{name}' have no fields"),
                fields => {
                    format!("loop '{name}' has no field '{field}' (fields: {})", fields.join(", "))
                }
            });
        }
    }
    Ok(())
}

/// Refuses placeholders inside quotes in a shell command: values are quoted when they are filled in, and
/// quotes inside quotes would undo that.
pub(super) fn check_unquoted(line: &str) -> Result<(), String> {
    let mut quote = None;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', None | Some('"')) => drop(letters.next()),
            ('\'' | '"', None) => quote = Some(letter),
            (closing, Some(open)) if closing == open => quote = None,
            ('{' | '}', _) if letters.peek() == Some(&letter) => drop(letters.next()),
            ('{', Some(open)) => {
                return Err(format!(
                    "a placeholder inside {open}...{open}: take the quotes away, values are quoted for you"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<String, String> {
        let record = Value::Record(vec![("b".into(), Value::Float(0.5))]);
        Template::parse(text)?.fill(&[("x", Value::Int(3)), ("a", record)], |_, _| None, Ok)
    }

    #[test]
    fn fills_loops_fields_and_braces() {
        assert_eq!(fill("--x={x} {a.b}").unwrap(), "--x=3 0.5");
        assert_eq!(fill("{{x}} {a}").unwrap(), "{x} {\"b\":0.5}");
        assert!(fill("{a.c}").unwrap_err().contains("no field 'c'"));
        assert!(fill("{x").unwrap_err().contains("lone '{'"));
        assert!(fill("x}").unwrap_err().contains("lone '}'"));
    }

    #[test]
    fn placeholders_inside_quotes_are_refused() {
        assert!(check_unquoted("echo {x} \"a b\" '{{' \\\" {x}").is_ok());
        assert!(check_unquoted("echo \"{x}\"").is_err());
        assert!(check_unquoted("echo 'it is {x}'").is_err());
    }
}
