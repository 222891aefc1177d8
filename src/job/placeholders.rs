//! Placeholders in a command's arguments and in a shell line: `{loop}` and `{loop.field}`; `{{` and `}}`
//! stand for braces.

use std::fmt;

use crate::model::{Loop, Value};

/// The longest argument or value of a variable that a program can be given: Linux takes 128 KiB, with the
/// variable's name and the text around a placeholder. (bytes)
pub(crate) const LONGEST_ARGUMENT: usize = (128 << 10) - 1024;

/// A parsed string with placeholders.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template(Vec<TemplatePart>);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TemplatePart {
    Text(String),
    Place(Placeholder),
}

/// A loop's point, or a field of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placeholder {
    pub(super) name: String,
    pub(super) field: Option<String>,
}

impl Placeholder {
    /// The text that stands for it in a task with these coordinates. `cells` gives the text of a loop's
    /// field where a table has it in another form than the value prints.
    pub(crate) fn value<'c>(
        &self,
        coordinates: &[(&str, Value)],
        cells: impl Fn(&str, &str) -> Option<&'c str>,
    ) -> Result<String, String> {
        let Placeholder { name, field } = self;
        if let Some(text) = field.as_ref().and_then(|field| cells(name, field)) {
            return Ok(text.to_string());
        }
        let found = coordinates.iter().find(|(loop_name, _)| loop_name == name);
        let mut value = found.map(|(_, value)| value);
        if let Some(field) = field {
            value = value.and_then(|record| record.field(field));
        }
        value.map(Value::to_string).ok_or_else(|| {
            let field = field.as_deref().unwrap_or_default();
            format!("this task's point of loop '{name}' has no field '{field}'")
        })
    }

    /// Its loop, once [`check`] has found it.
    pub(super) fn of<'l>(&self, loops: &'l [Loop]) -> &'l Loop {
        loops.iter().find(|l| l.name == self.name).expect("checked")
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(out, "{{{}.{field}}}", self.name),
            None => write!(out, "{{{}}}", self.name),
        }
    }
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
            pieces.push(TemplatePart::Place(Placeholder { name: name.to_string(), field }));
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

    pub(super) fn of(parts: Vec<TemplatePart>) -> Template {
        Template(parts)
    }

    pub(super) fn parts(&self) -> &[TemplatePart] {
        &self.0
    }

    /// The string, if it has no placeholder.
    pub(super) fn plain(&self) -> Option<String> {
        self.is_plain().then(|| self.fill(&[], |_, _| None).ok()).flatten()
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Placeholder> {
        self.0.iter().filter_map(|part| match part {
            TemplatePart::Text(_) => None,
            TemplatePart::Place(place) => Some(place),
        })
    }

    /// The names of the loops whose points it takes.
    pub(super) fn loops(&self) -> impl Iterator<Item = &str> {
        self.places().map(|place| place.name.as_str())
    }

    /// The string with the placeholders replaced by values; for `cells` see [`Placeholder::value`].
    pub(crate) fn fill<'c>(
        &self,
        coordinates: &[(&str, Value)],
        cells: impl Fn(&str, &str) -> Option<&'c str>,
    ) -> Result<String, String> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                TemplatePart::Text(text) => filled.push_str(text),
                TemplatePart::Place(place) => filled.push_str(&place.value(coordinates, &cells)?),
            }
        }
        Ok(filled)
    }
}

impl fmt::Display for Template {
    /// As the job file has it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            TemplatePart::Text(text) => out.write_str(&text.replace('{', "{{").replace('}', "}}")),
            TemplatePart::Place(place) => place.fmt(out),
        })
    }
}

/// Checks that each placeholder names a loop, or a field of its points, and that programs can be given its
/// values.
pub(super) fn check(text: &str, loops: &[Loop]) -> Result<(), String> {
    if text.contains('\0') {
        return Err(format!("{text:?} has a zero byte, which no program can be given"));
    }
    for piece in Template::parse(text)?.0 {
        let TemplatePart::Place(place) = piece else { continue };
        let Placeholder { name, field } = &place;
        let Some(named) = loops.iter().find(|l| l.name == *name) else {
            let names: Vec<&str> = loops.iter().map(|l| l.name.as_str()).collect();
            let names = names.join(", ");
            return Err(format!(
                "the placeholder {{{name}}} names no loop (loops: {names}; write {{{{ for a brace)"
            ));
        };
        let fields = named.points.fields();
        if let Some(field) = field.as_ref().filter(|field| !fields.contains(field)) {
            return Err(match fields.as_slice() {
                [] => format!("{{{name}.{field}}}: the points of loop '{name}' have no fields"),
                fields => {
                    format!("loop '{name}' has no field '{field}' (fields: {})", fields.join(", "))
                }
            });
        }
        let has_zero = |value: &Value| value.to_string().contains('\0');
        if let Some(wrong) = named.points.find(field.as_deref(), &has_zero) {
            return Err(format!(
                "{place}: {:?} has a zero byte, which no program can be given",
                wrong.to_string()
            ));
        }
        let is_long = |value: &Value| value.to_string().len() > LONGEST_ARGUMENT;
        if let Some(long) = named.points.find(field.as_deref(), &is_long) {
            return Err(format!(
                "{place}: a value of {} bytes is too long for a program's argument or variable, which has up to {LONGEST_ARGUMENT}: write it to a file, and give the file's name",
                long.to_string().len()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<String, String> {
        let record = Value::Record(vec![("b".into(), Value::Float(0.5))]);
        Template::parse(text)?.fill(&[("x", Value::Int(3)), ("a", record)], |_, _| None)
    }

    #[test]
    fn fills_loops_fields_and_braces() {
        assert_eq!(fill("--x={x} {a.b}").unwrap(), "--x=3 0.5");
        assert_eq!(fill("{{x}} {a}").unwrap(), "{x} {\"b\":0.5}");
        assert!(fill("{a.c}").unwrap_err().contains("no field 'c'"));
        assert!(fill("{x").unwrap_err().contains("lone '{'"));
        assert!(fill("x}").unwrap_err().contains("lone '}'"));
    }
}
