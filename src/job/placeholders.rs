//! Placeholders in a command's arguments and in a shell line: `{loop}` and `{loop.field}`, with a format or a
//! part of a path behind a colon; `{{` and `}}` stand for braces.

mod check;
mod format;
pub(crate) mod scope;

use std::fmt;
use std::path::Path;

use crate::job::RESERVED;
use crate::model::{Loop, Points, Value};
use crate::util::text::beginning;
pub(super) use check::{Branch, Within, check};

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
    /// What stands behind the name, from the point or the colon on.
    rest: String,
}

/// A placeholder whose field is known.
#[derive(Clone, Copy)]
struct PlaceParts<'p> {
    field: Option<&'p str>,
    /// Behind the colon.
    spec: Option<&'p str>,
}

impl TemplatePart {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, TemplatePart::Text(text) if text.is_empty())
    }
}

impl Placeholder {
    /// A loop's point, or this field of it, without a format.
    pub(super) fn of(name: &str, field: Option<&str>) -> Placeholder {
        let rest = field.map_or(String::new(), |field| format!(".{field}"));
        Placeholder { name: name.to_string(), rest }
    }

    fn parse(text: &str) -> Placeholder {
        let end = text.find(['.', ':']).unwrap_or(text.len());
        Placeholder { name: text[..end].to_string(), rest: text[end..].to_string() }
    }

    /// Its parts, given the names of fields: a column of a table may have a colon in its name.
    fn parts(&self, is_field: impl Fn(&str) -> bool) -> PlaceParts<'_> {
        fn spec_of(spec: &str) -> Option<&str> {
            Some(spec).filter(|spec| !spec.is_empty())
        }
        let Some(behind) = self.rest.strip_prefix('.') else {
            return PlaceParts { field: None, spec: self.rest.strip_prefix(':').and_then(spec_of) };
        };
        let colons = behind.rmatch_indices(':').map(|(at, _)| at);
        let mut ends = std::iter::once(behind.len()).chain(colons);
        let end = ends.find(|end| is_field(&behind[..*end]));
        let end = end.or(behind.find(':')).unwrap_or(behind.len());
        PlaceParts { field: Some(&behind[..end]), spec: behind.get(end + 1..).and_then(spec_of) }
    }

    fn parts_in(&self, points: &Points) -> PlaceParts<'_> {
        let fields = points.fields();
        self.parts(|name| fields.iter().any(|field| field == name))
    }

    /// Fails if its loop's points have no such field.
    pub(super) fn check_field(&self, points: &Points) -> Result<(), String> {
        let (name, fields) = (&self.name, points.fields());
        let field = self.parts_in(points).field;
        let Some(field) = field.filter(|field| !fields.iter().any(|known| known == field)) else {
            return Ok(());
        };
        Err(match fields.as_slice() {
            [] => format!("{{{name}.{field}}}: the points of loop '{name}' have no fields"),
            fields => {
                format!("loop '{name}' has no field '{field}' (fields: {})", fields.join(", "))
            }
        })
    }

    /// Whether it may be other text than its point.
    pub(super) fn is_formatted(&self) -> bool {
        self.rest.contains(':')
    }

    /// What is behind the name, for the name of a variable.
    pub(super) fn suffix(&self) -> &str {
        &self.rest
    }

    /// The text that stands for it in a task with these coordinates. `cells` gives the text of a loop's
    /// field where a table has it in another form than the value prints.
    pub(crate) fn value<'c>(
        &self,
        coordinates: &[(&str, Value)],
        cells: impl Fn(&str, &str) -> Option<&'c str>,
    ) -> Result<String, String> {
        let name = &self.name;
        let point = coordinates.iter().find(|(loop_name, _)| loop_name == name);
        let point = point.map(|(_, value)| value);
        let PlaceParts { field, spec } =
            self.parts(|field| point.is_some_and(|record| record.field(field).is_some()));
        if let (Some(field), None) = (field, spec)
            && let Some(text) = cells(name, field)
        {
            return Ok(text.to_string());
        }
        let value = match field {
            Some(field) => point.and_then(|record| record.field(field)),
            None => point,
        };
        let value = value.ok_or_else(|| {
            let field = field.unwrap_or_default();
            match name.as_str() {
                scope::SUMMARY => format!("{self}: the summary has no field '{field}'"),
                name => format!("this task's point of loop '{name}' has no field '{field}'"),
            }
        })?;
        match spec {
            _ if *value == Value::Null => Err(format!("{self} is none for this task")),
            Some(spec) => shown_as(value, spec).map_err(|why| format!("{self}: {why}")),
            None => Ok(value.to_string()),
        }
    }

    /// The text that it becomes at some point and that is as wanted. Where it has no format, only what the
    /// user wrote is looked at: `wanted` knows numbers from strings.
    pub(super) fn find(&self, points: &Points, wanted: &dyn Fn(&Value) -> bool) -> Option<String> {
        let PlaceParts { field, spec } = self.parts_in(points);
        let Some(spec) = spec else {
            return points.find(field, wanted).map(Value::to_string);
        };
        let mut found = None;
        points.any(field, &mut |value| {
            let Ok(text) = shown_as(value, spec) else { return false };
            // `007` is octal to a shell.
            let whole = text.parse::<i64>().ok().filter(|whole| whole.to_string() == text);
            let is_wanted = wanted(&whole.map_or(Value::Text(text.clone()), Value::Int));
            found = is_wanted.then_some(text);
            is_wanted
        });
        found
    }

    /// Its loop, once it was checked that there is one.
    pub(super) fn loop_in<'l>(&self, loops: &'l [Loop]) -> &'l Loop {
        loops.iter().find(|l| l.name == self.name).expect("checked")
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{{{}{}}}", self.name, self.rest)
    }
}

/// A value with what stands behind the colon: a part of a path, or a format.
pub(super) fn shown_as(value: &Value, spec: &str) -> Result<String, String> {
    const PARTS: [&str; 4] = ["name", "stem", "dir", "ext"];
    if !PARTS.contains(&spec) {
        return match spec.split_once(':') {
            Some((part, _)) if PARTS.contains(&part) => {
                Err(format!("'{part}' is the one thing that may stand behind a colon"))
            }
            _ => format::format(value, spec),
        };
    }
    let Value::Text(text) = value else {
        return Err(format!("{} is no string, and '{spec}' is a part of a path", short(value)));
    };
    let path = Path::new(text);
    let found = match (spec, path.file_name()) {
        (_, None) => return Err(format!("\"{}\" is no path with a name", short(value))),
        ("name", name) => name,
        ("stem", _) => path.file_stem(),
        ("dir", _) => match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => Some(folder.as_os_str()),
            _ => Some(".".as_ref()), // `{x:dir}/log` must not become `/log`
        },
        _ => path.extension(),
    };
    Ok(found.unwrap_or_default().to_string_lossy().into_owned())
}

fn short(value: &Value) -> String {
    beginning(&value.to_string(), 60)
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
            pieces.push(TemplatePart::Place(Placeholder::parse(&rest[..end])));
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

    /// The same with the job file's folder in place of `{gridmpi.job}`.
    pub(super) fn in_job(&self, folder: &Path) -> Template {
        let part = |part: &TemplatePart| match part {
            TemplatePart::Place(place) if place.name == RESERVED && place.rest == ".job" => {
                TemplatePart::Text(folder.to_string_lossy().into_owned())
            }
            other => other.clone(),
        };
        Template(self.0.iter().map(part).collect())
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

    /// Fails if it takes a field that the points of its only loop do not have.
    pub(super) fn check_fields(&self, l: &Loop) -> Result<(), String> {
        self.places().try_for_each(|place| place.check_field(&l.points))
    }

    /// Whether it takes what differs from task to task, whole: the id, or the task's number in any form.
    pub(crate) fn is_of_one_task(&self) -> bool {
        self.places().filter(|place| place.name == RESERVED).any(|place| {
            let PlaceParts { field, spec } = place.parts(|_| false);
            field == Some("task") || field == Some("id") && spec.is_none()
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
        assert_eq!(fill("{x:03}{{{a.b:.1e}}}").unwrap(), "003{5.0e-01}");
        assert!(fill("{a.c}").unwrap_err().contains("no field 'c'"));
        assert!(fill("{x").unwrap_err().contains("lone '{'"));
        assert!(fill("x}").unwrap_err().contains("lone '}'"));
    }
}
