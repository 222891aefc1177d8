//! Sources whose points depend on the points of loops around them: patterns with placeholders, and numbers
//! whose bounds are expressions.

use std::collections::BTreeSet;
use std::path::Path;

use glob::Pattern;

use crate::condition::{Evaluator, Expression, ExpressionValue, Holds, LoopColumn};
use crate::job::named_words;
use crate::job::parse::conditions::column_value;
use crate::job::parse::keys::{TomlEntry, TomlTable};
use crate::job::parse::sources::{self, FilePatterns, FilledPatterns};
use crate::job::placeholders::Template;
use crate::model::{Points, Value};
use crate::util::error::Result;

/// Where a loop's points are looked for: the points of the loops around it.
pub(super) struct Around<'a> {
    pub(super) name: &'a dyn Fn(usize) -> &'a str,
    pub(super) point: &'a dyn Fn(usize) -> Value,
    /// The levels of the loops that matter.
    pub(super) levels: &'a BTreeSet<usize>,
}

impl Around<'_> {
    pub(super) fn in_words(&self) -> String {
        named_words(self.levels.iter().map(|level| ((self.name)(*level), (self.point)(*level))))
    }
}

/// What a source has at some place.
pub(super) enum Found {
    Values(Vec<Value>),
    /// Whole numbers, always from the same one in the same steps.
    Range {
        from: i64,
        step: i64,
        count: u64,
    },
}

impl Found {
    pub(super) fn listed(self) -> Found {
        match self {
            Found::Range { from, step, count } => {
                let points = Points::Range { from, step, count };
                Found::Values((0..count).map(|i| points.get(i)).collect())
            }
            listed => listed,
        }
    }
}

pub(super) trait DependentSource {
    /// Resolves the names in it to these columns, which it is given before all else.
    fn prepare(&mut self, evaluator: &Evaluator, known: &[LoopColumn]) -> Result<()>;

    /// The levels of the loops that it names.
    fn levels(&self) -> &BTreeSet<usize>;

    /// The type of its points; nothing if they tell it themselves, so that all are found before a condition
    /// names them.
    fn holds(&self) -> Option<Holds>;

    /// Its points at a place; none if there is nothing, which is an error unless the job file allows it.
    fn points(&self, folder: &Path, evaluator: &Evaluator, around: &Around) -> Result<Found>;
}

/// The loop's source, if its points depend on other loops.
pub(super) fn take<'a>(table: &mut TomlTable<'a>) -> Result<Option<Box<dyn DependentSource + 'a>>> {
    for key in ["files", "folders"] {
        let Some(entry) = table.take(key) else { continue };
        let patterns = FilePatterns::read(&entry, table)?;
        if patterns.has_placeholders() {
            let levels = BTreeSet::new();
            return Ok(Some(Box::new(DependentFiles {
                patterns,
                include: Vec::new(),
                exclude: Vec::new(),
                levels,
            })));
        }
    }
    for kind in ["range", "linspace", "logspace"] {
        let Some(entry) = table.take(kind) else { continue };
        if !entry.is_table() {
            continue; // an error of the source
        }
        let mut bounds = entry.table()?;
        let keys = if kind == "range" { ["from", "to", "step"] } else { ["from", "to", "count"] };
        let given = keys.map(|key| bounds.take(key));
        let has_text = |bound: &Option<TomlEntry>| bound.as_ref().is_some_and(|b| b.text().is_ok());
        if given.iter().any(has_text) {
            bounds.finish()?;
            let (parsed, levels) = (Vec::new(), BTreeSet::new());
            let bounds = keys.into_iter().zip(given).collect();
            return Ok(Some(Box::new(DependentNumbers { kind, entry, bounds, parsed, levels })));
        }
    }
    Ok(None)
}

/// The level of the loop that a placeholder fills in.
pub(super) fn level_of(name: &str, known: &[LoopColumn]) -> Option<usize> {
    known.iter().find(|column| column.field.is_none() && column.name == name).map(|c| c.level)
}

/// Files or folders whose patterns have placeholders.
struct DependentFiles<'a> {
    patterns: FilePatterns<'a>,
    include: Vec<Template>,
    exclude: Vec<Template>,
    levels: BTreeSet<usize>,
}

impl DependentFiles<'_> {
    fn parsed(&mut self, excluded: bool, known: &[LoopColumn]) -> Result<Vec<Template>> {
        let patterns = if excluded { &self.patterns.exclude } else { &self.patterns.include };
        let mut templates = Vec::new();
        for (entry, text) in patterns {
            let template = Template::parse(text).map_err(|why| entry.error(why))?;
            for name in template.loops() {
                let Some(level) = level_of(name, known) else {
                    let loops = known.iter().filter(|column| column.field.is_none());
                    let loops: Vec<&str> = loops.map(|column| column.name.as_str()).collect();
                    let loops = if loops.is_empty() { "none".into() } else { loops.join(", ") };
                    if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
                        return Err(entry.error(format!(
                            "{{{name}}}: braces are no pattern here, but take the point of a loop around this one: give a list of patterns"
                        )));
                    }
                    return Err(entry.error(format!(
                        "{{{name}}} is no loop around this one (loops: {loops}). A placeholder fills in a point of a loop around it, it does not search for names: * does; write {{{{ for a brace"
                    )));
                };
                self.levels.insert(level);
            }
            templates.push(template);
        }
        Ok(templates)
    }

    /// The patterns at a place.
    fn filled<'e>(
        &self,
        patterns: &[(TomlEntry<'e>, String)],
        templates: &[Template],
        around: &Around,
    ) -> Result<Vec<(TomlEntry<'e>, String)>> {
        let coordinates: Vec<(&str, Value)> = around
            .levels
            .iter()
            .map(|level| ((around.name)(*level), literal((around.point)(*level))))
            .collect();
        let mut all = Vec::new();
        for ((entry, _), template) in patterns.iter().zip(templates) {
            for place in template.loops() {
                if coordinates.iter().any(|(name, value)| *name == place && *value == Value::Null) {
                    return Err(entry.error(format!(
                        "{{{place}}} is none at {}; say with only_if where this loop applies",
                        around.in_words()
                    )));
                }
            }
            let filled = template.fill(&coordinates, |_, _| None);
            all.push((entry.clone(), filled.map_err(|why| entry.error(why))?));
        }
        Ok(all)
    }
}

impl DependentSource for DependentFiles<'_> {
    fn prepare(&mut self, _: &Evaluator, known: &[LoopColumn]) -> Result<()> {
        self.include = self.parsed(false, known)?;
        self.exclude = self.parsed(true, known)?;
        Ok(())
    }

    fn levels(&self) -> &BTreeSet<usize> {
        &self.levels
    }

    fn holds(&self) -> Option<Holds> {
        Some(Holds::Text)
    }

    fn points(&self, folder: &Path, _: &Evaluator, around: &Around) -> Result<Found> {
        let patterns = FilledPatterns {
            include: self.filled(&self.patterns.include, &self.include, around)?,
            exclude: self.filled(&self.patterns.exclude, &self.exclude, around)?,
        };
        let place = format!(" at {}", around.in_words());
        self.patterns.find(&patterns, folder, &place).map(Found::Values)
    }
}

/// A value as a pattern that matches it alone.
fn literal(value: Value) -> Value {
    match value {
        Value::Text(text) => Value::Text(Pattern::escape(&text)),
        Value::Record(fields) => {
            Value::Record(fields.into_iter().map(|(name, value)| (name, literal(value))).collect())
        }
        other => other,
    }
}

/// Numbers of which a bound is an expression.
struct DependentNumbers<'a> {
    kind: &'static str,
    entry: TomlEntry<'a>,
    bounds: Vec<(&'static str, Option<TomlEntry<'a>>)>,
    parsed: Vec<Option<Expression>>,
    levels: BTreeSet<usize>,
}

/// The largest whole number up to which floating-point numbers have all.
const MOST_WHOLE: f64 = 9007199254740992.0;

impl DependentNumbers<'_> {
    /// A bound, where it is given.
    fn bound(&self, at: usize, evaluator: &Evaluator, around: &Around) -> Result<Option<f64>> {
        let (key, entry) = &self.bounds[at];
        let Some(entry) = entry else { return Ok(None) };
        let is_whole = self.kind == "range" || *key == "count";
        let Some(expression) = &self.parsed[at] else {
            return match is_whole {
                false => entry.number().map(Some),
                true => match entry.whole()? {
                    whole if whole.unsigned_abs() <= MOST_WHOLE as u64 => Ok(Some(whole as f64)),
                    _ => Err(entry.error("over 2^53, which is too much beside an expression")),
                },
            };
        };
        let values = expression.columns.iter().map(|c| column_value(c, (around.point)(c.level)));
        let why = match evaluator.evaluate(expression, values) {
            Ok(ExpressionValue::Number(number)) if number.is_finite() => {
                if is_whole && number.fract() != 0.0 {
                    format!(
                        "is {number}, and a whole number is needed: write floor({})",
                        expression.text
                    )
                } else if is_whole && number.abs() > MOST_WHOLE {
                    format!("is {number}, which is over 2^53")
                } else {
                    return Ok(Some(number));
                }
            }
            Ok(ExpressionValue::Number(number)) => format!("is {number}"),
            Ok(ExpressionValue::None) => {
                "has no result: something in it is none, or divided by 0".to_string()
            }
            Ok(ExpressionValue::Text(text)) => format!("is the string '{text}', not a number"),
            Err(why) => why,
        };
        let place = around.in_words();
        Err(entry.error(format!("\"{}\" at {place} {why}", expression.text)))
    }

    fn needed(&self, at: usize, evaluator: &Evaluator, around: &Around) -> Result<f64> {
        let bound = self.bound(at, evaluator, around)?;
        bound.ok_or_else(|| self.entry.error(format!("'{}' is missing", self.bounds[at].0)))
    }

    fn is_fixed(&self, at: usize) -> bool {
        self.parsed[at].is_none()
    }
}

impl DependentSource for DependentNumbers<'_> {
    fn prepare(&mut self, evaluator: &Evaluator, known: &[LoopColumn]) -> Result<()> {
        for (_, entry) in &self.bounds {
            let text = entry.as_ref().and_then(|entry| Some((entry, entry.text().ok()?)));
            let Some((entry, text)) = text else {
                self.parsed.push(None);
                continue;
            };
            let expression = evaluator.parse(&text, known);
            let expression = expression.map_err(|why| entry.error(format!("\"{text}\": {why}")))?;
            self.levels.extend(expression.columns.iter().map(|column| column.level));
            self.parsed.push(Some(expression));
        }
        Ok(())
    }

    fn levels(&self) -> &BTreeSet<usize> {
        &self.levels
    }

    fn holds(&self) -> Option<Holds> {
        Some(Holds::Numbers)
    }

    fn points(&self, _: &Path, evaluator: &Evaluator, around: &Around) -> Result<Found> {
        let (from, to) = (self.needed(0, evaluator, around)?, self.needed(1, evaluator, around)?);
        let third = self.bound(2, evaluator, around)?;
        let wrong = |why: &str| self.entry.error(format!("at {}: {why}", around.in_words()));
        let points = if self.kind == "range" {
            let (first, step) = (from as i64, third.unwrap_or(1.0) as i64);
            let count =
                sources::count(first, to as i64, step).ok_or_else(|| wrong("the step is 0"))?;
            if self.is_fixed(0) && self.is_fixed(2) {
                return Ok(Found::Range { from: first, step, count });
            }
            Points::Range { from: first, step, count }
        } else {
            let count = third.ok_or_else(|| self.entry.error("'count' is missing"))?;
            if count < 0.0 {
                return Err(wrong(&format!("count is {count}")));
            }
            if !(to - from).is_finite() {
                return Err(wrong(&format!("{from} and {to} are too far apart")));
            }
            let count = count as u64;
            if self.kind == "linspace" {
                Points::Linspace { from, to, count }
            } else if from > 0.0 && to > 0.0 {
                Points::Logspace { from, to, count }
            } else {
                let lowest = from.min(to);
                return Err(wrong(&format!("expected numbers over 0, found {lowest}")));
            }
        };
        Ok(Found::Values((0..points.len()).map(|i| points.get(i)).collect()))
    }
}
