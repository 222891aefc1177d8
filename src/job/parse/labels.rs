//! `label` of a loop: what tables and plots show for its points.

use std::collections::HashMap;

use crate::job::parse::keys::TomlEntry;
use crate::job::placeholders::Template;
use crate::model::{Labels, Loop, LoopNest, Value};
use crate::util::error::Result;
use crate::util::text::{beginning, count};

/// Most points of a loop with labels: the store lists them.
const MOST_LABELLED: u64 = 1_000_000;

/// A label as the job file has it.
pub(super) struct ParsedLabel<'a> {
    entry: TomlEntry<'a>,
    template: Template,
}

impl<'a> ParsedLabel<'a> {
    /// The label of the loop `name`, which stands inside the loops `around`.
    pub(super) fn of(entry: TomlEntry<'a>, name: &str, around: &[&str]) -> Result<ParsedLabel<'a>> {
        let template = Template::parse(&entry.text()?).map_err(|why| entry.error(why))?;
        if let Some(of) = template.loops().find(|of| *of != name) {
            let what = if around.contains(&of) { "a loop around it" } else { "not this loop" };
            return Err(entry.error(format!(
                "{{{of}}} is {what}: a label is made of the loop's own point, as in \"{{{name}}}\" (write {{{{ for a brace)"
            )));
        }
        Ok(ParsedLabel { entry, template })
    }

    /// The labels of a loop's points.
    fn labels(&self, l: &Loop) -> Result<Labels> {
        let wrong = |why: String| self.entry.error(why);
        let (name, points) = (&l.name, &l.points);
        if points.len() > MOST_LABELLED {
            return Err(wrong(format!(
                "loop '{name}' has {} points, and up to {} can have labels: leave it out",
                count(points.len()),
                count(MOST_LABELLED)
            )));
        }
        self.template.check_fields(l).map_err(wrong)?;
        let mut known: HashMap<String, u64> = HashMap::new();
        let mut labels = Vec::new();
        for point in 0..points.len() {
            let value = points.get(point);
            if value == Value::Null {
                labels.push(None); // tables have an empty cell for what is none
                continue;
            }
            let said = || said(&value);
            let cells = |_: &str, field: &str| points.cell(point, field);
            let label = self.template.fill(&[(name, value.clone())], cells);
            let label = label.map_err(|why| wrong(format!("at point {}: {why}", said())))?;
            if label.trim().is_empty() {
                return Err(wrong(format!(
                    "at point {} of loop '{name}' it is empty, which stands for none in tables",
                    said()
                )));
            }
            if let Some(other) = known.insert(label.clone(), point) {
                let (label, other) = (beginning(&label, 80), points.get(other));
                let hint = match other == value {
                    true => "leave out what is there twice".to_string(),
                    false => format!("take more of the point, as \"{{{name}}}\" does"),
                };
                return Err(wrong(format!(
                    "two points of loop '{name}' would have the label \"{label}\", {} and {}: {hint}",
                    self::said(&other),
                    said()
                )));
            }
            labels.push(Some(label));
        }
        Ok(Labels::new(labels))
    }
}

/// A point in an error.
fn said(value: &Value) -> String {
    beginning(&value.to_json().to_string(), 120)
}

/// The nest with these labels, by level.
pub(super) fn labelled(nest: LoopNest, parsed: &[(usize, ParsedLabel)]) -> Result<LoopNest> {
    let of =
        |(level, label): &(usize, ParsedLabel)| Ok((*level, label.labels(&nest.loops()[*level])?));
    let labels = parsed.iter().map(of).collect::<Result<_>>()?;
    Ok(nest.with_labels(labels))
}
