//! Parses the source of a loop's points in a job file: `values`, `range`, `files`, ...

use std::path::Path;

use crate::job::parse::globs::Globs;
use crate::job::parse::keys::{TomlEntry, TomlTable};
use crate::job::parse::listed::MOST_LISTED;
use crate::job::parse::{dates, designs, listed, rows};
use crate::job::placeholders::Template;
use crate::job::{check_fields, equal_points};
use crate::model::{Named, Points, Value};
use crate::util::error::{Error, Result};
use crate::util::text::did_you_mean;

/// The sources a loop can have.
pub(crate) const SOURCES: [&str; 16] = [
    "values", "json", "range", "linspace", "logspace", "dates", "files", "folders", "rows", "grid",
    "grids", "zip", "random", "lhs", "sobol", "python",
];

/// The sources of plain values, which the parameters of a grid can have too.
const PLAIN: [&str; 6] = ["values", "json", "range", "linspace", "logspace", "dates"];

/// The points of a loop. Its table must have exactly one source.
pub(crate) fn of_loop(table: &mut TomlTable, name: &str, folder: &Path) -> Result<Points> {
    let mut found =
        SOURCES.into_iter().filter_map(|source| table.take(source).map(|e| (source, e)));
    let (source, entry) = match (found.next(), found.next()) {
        (Some(one), None) => one,
        (Some((first, _)), Some((name, entry))) => return Err(second(&entry, first, name)),
        (None, _) => {
            drop(found);
            if let Some((stranger, entry)) = table.rest().first() {
                let known = [&SOURCES[..], &["name", "reduce", "exclude"]].concat();
                let near = did_you_mean(stranger, &known, "'");
                return Err(entry.error(format!("no key of a loop{near}")));
            }
            let sources = SOURCES.join(", ");
            return Err(
                table.error(format!("loop '{name}' has no points: give it one of {sources}"))
            );
        }
    };
    drop(found);
    for key in ["exclude", "allow_empty"] {
        if let Some(other) = table.take(key).filter(|_| source != "files" && source != "folders") {
            return Err(
                other.error(format!("goes with 'files', and the points are from '{source}'"))
            );
        }
    }
    if let Some(most) = table.take("most") {
        return Err(most.error(format!("goes with 'python', and the points are from '{source}'")));
    }
    let points = match source {
        "files" | "folders" => {
            let patterns = FilePatterns::read(&entry, table)?;
            Points::List(patterns.find(&patterns.plain()?, folder, "")?)
        }
        "rows" => rows::of(&entry, folder)?,
        "grid" => Points::Grid(named(&entry)?),
        "grids" => {
            let grids = entry.array()?;
            let grids = grids.iter().map(|grid| Ok(Points::Grid(named(grid)?)));
            Points::Union(grids.collect::<Result<_>>()?)
        }
        "zip" => zip(&entry)?,
        "random" | "lhs" | "sobol" => designs::points(source, &entry, name)?,
        plain_source => plain(plain_source, &entry)?,
    };
    if points.is_empty() {
        return Err(entry.error(format!("loop '{name}' has no points")));
    }
    check_fields(&points).map_err(|why| entry.error(why))?;
    if points.len() > MOST_LISTED && !matches!(points, Points::Range { .. }) {
        return Err(entry.error(format!(
            "{} points; more than {MOST_LISTED} can only be a range",
            points.len()
        )));
    }
    if let Some(why) = equal_points(&points) {
        log::warn!("{}", entry.error(why));
    }
    Ok(points)
}

/// The error of a loop with two sources.
pub(super) fn second(entry: &TomlEntry, first: &str, second: &str) -> Error {
    entry.error(format!(
        "the loop has points already, from '{first}'; keep one of '{first}' and '{second}'"
    ))
}

fn plain(source: &str, entry: &TomlEntry) -> Result<Points> {
    if source == "values" {
        let values = entry.array()?;
        return Ok(Points::List(values.iter().map(TomlEntry::value).collect::<Result<_>>()?));
    }
    if source == "json" {
        return Ok(Points::List(listed::json(entry)?));
    }
    if source == "dates" {
        return Ok(Points::List(dates::points(entry)?));
    }
    let mut table = entry.table().map_err(|error| in_braces(source, entry).unwrap_or(error))?;
    let points = if source == "range" {
        range(entry, &mut table)?
    } else {
        let (from, to) = (table.need("from")?, table.need("to")?);
        let count = table.need("count")?.count(1)?;
        let (first, last) = (from.number()?, to.number()?);
        if source == "linspace" {
            if !(last - first).is_finite() {
                return Err(entry.error(format!("{first} and {last} are too far apart")));
            }
            Points::Linspace { from: first, to: last, count }
        } else {
            for (end, value) in [(&from, first), (&to, last)] {
                if value <= 0.0 {
                    let why = format!("expected a number over 0, found {value}");
                    return Err(end.error(why + &exponents(first, last)));
                }
            }
            let is_whole = table.take("whole").map_or(Ok(false), |whole| whole.boolean())?;
            let points = Points::Logspace { from: first, to: last, count };
            if is_whole {
                rounded(entry, &points, first.min(last), first.max(last))?
            } else {
                points
            }
        }
    };
    table.finish()?;
    Ok(points)
}

/// The error for bounds in an array, or for one number, instead of a table.
fn in_braces(source: &str, entry: &TomlEntry) -> Option<Error> {
    let numbers = match entry.value().ok()? {
        Value::List(items) => items,
        one => vec![Value::Int(0), one],
    };
    let names: &[&str] =
        if source == "range" { &["from", "to", "step"] } else { &["from", "to", "count"] };
    if numbers.len() > names.len() || numbers.iter().any(|number| number.as_f64().is_none()) {
        return None;
    }
    let mut fields: Vec<String> =
        names.iter().zip(&numbers).map(|(name, number)| format!("{name} = {number}")).collect();
    if source != "range" && fields.len() == 2 {
        fields.push("count = ...".to_string());
    }
    let note = if source == "range" { " (to is excluded)" } else { "" };
    Some(entry.error(format!("expected a table: {source} = {{ {} }}{note}", fields.join(", "))))
}

/// What is said of bounds that are likely to be exponents.
fn exponents(first: f64, last: f64) -> String {
    let is_exponent = |end: &f64| end.fract() == 0.0 && end.abs() <= 300.0;
    match [first, last].iter().all(is_exponent) {
        true => format!(
            "; from and to are the numbers themselves, not their exponents: for 10^{first} to 10^{last} write from = 1e{first}, to = 1e{last}"
        ),
        false => String::new(),
    }
}

/// The points rounded to whole numbers, equal neighbours once.
fn rounded(entry: &TomlEntry, points: &Points, low: f64, high: f64) -> Result<Points> {
    if low < 0.5 {
        return Err(entry.error(format!(
            "{low} is rounded to 0, which is on no logarithmic scale: let whole numbers begin at 1"
        )));
    }
    if high >= i64::MAX as f64 {
        return Err(entry.error(format!("{high} does not fit 64 bits as a whole number")));
    }
    let asked = points.len();
    if asked > MOST_LISTED {
        return Err(entry.error(format!("{asked} points are more than {MOST_LISTED}")));
    }
    let number = |i| points.get(i).as_f64().unwrap_or_default().round() as i64;
    let mut values: Vec<i64> = (0..asked).map(number).collect();
    values.dedup();
    Ok(Points::Rounded { values, asked })
}

/// Whole numbers from `from` up to, but not including, `to`.
fn range(entry: &TomlEntry, table: &mut TomlTable) -> Result<Points> {
    let (from, to) = (table.need("from")?.whole()?, table.need("to")?.whole()?);
    let step = match table.take("step") {
        Some(step) => match step.whole()? {
            0 => return Err(step.error("expected any whole number but 0")),
            whole => whole,
        },
        None => 1,
    };
    match count(from, to, step) {
        Some(0) | None => {
            Err(entry.error(format!("no points: from {from} to {to} (not included) by {step}")))
        }
        Some(count) if count > i64::MAX as u64 => Err(entry.error("more than 2^63 points")),
        Some(count) => Ok(Points::Range { from, step, count }),
    }
}

/// How many whole numbers there are from one up to, but not including, another; `None` if the step is 0.
pub(super) fn count(from: i64, to: i64, step: i64) -> Option<u64> {
    let (span, stride) = (i128::from(to) - i128::from(from), i128::from(step));
    if stride == 0 {
        return None;
    }
    if span.signum() != stride.signum() {
        return Some(0);
    }
    u64::try_from((span.abs() + stride.abs() - 1) / stride.abs()).ok()
}

/// The parameters of a grid or zip: each an array of values, or a table with a plain source.
fn named(entry: &TomlEntry) -> Result<Vec<Named>> {
    let parameters = entry.table()?.rest();
    if parameters.is_empty() {
        return Err(entry.error("expected at least one parameter, as in { alpha = [1, 2] }"));
    }
    parameters
        .into_iter()
        .map(|(name, values)| {
            let points = if values.is_table() {
                let mut table = values.table()?;
                let found = PLAIN.into_iter().find_map(|s| table.take(s).map(|e| (s, e)));
                let (source, inner) = found.ok_or_else(|| {
                    values.error(format!("expected an array or one of {}", PLAIN.join(", ")))
                })?;
                table.finish()?;
                plain(source, &inner)?
            } else {
                plain("values", &values)?
            };
            if points.is_empty() {
                return Err(values.error("no values"));
            }
            Ok(Named { name, points })
        })
        .collect()
}

fn zip(entry: &TomlEntry) -> Result<Points> {
    let parameters = named(entry)?;
    let first = &parameters[0];
    for other in &parameters[1..] {
        if other.points.len() != first.points.len() {
            return Err(entry.error(format!(
                "zipped parameters must be equally long: '{}' has {} values, '{}' has {}",
                first.name,
                first.points.len(),
                other.name,
                other.points.len()
            )));
        }
    }
    Ok(Points::Zip(parameters))
}

/// Patterns of files or folders.
pub(super) struct FilePatterns<'a> {
    entry: TomlEntry<'a>,
    /// Whether they match folders rather than files.
    folders: bool,
    pub(super) include: Vec<(TomlEntry<'a>, String)>,
    pub(super) exclude: Vec<(TomlEntry<'a>, String)>,
    allow_empty: bool,
}

/// The same without placeholders.
pub(super) struct FilledPatterns<'a> {
    pub(super) include: Vec<(TomlEntry<'a>, String)>,
    pub(super) exclude: Vec<(TomlEntry<'a>, String)>,
}

impl<'a> FilePatterns<'a> {
    pub(super) fn read(entry: &TomlEntry<'a>, table: &mut TomlTable<'a>) -> Result<Self> {
        let texts = |entry: &TomlEntry<'a>| -> Result<Vec<(TomlEntry<'a>, String)>> {
            let text = |entry: TomlEntry<'a>| entry.text().map(|text| (entry, text));
            entry.one_or_several()?.into_iter().map(text).collect()
        };
        Ok(FilePatterns {
            entry: entry.clone(),
            folders: entry.path.ends_with(".folders"),
            include: texts(entry)?,
            exclude: table.take("exclude").map_or(Ok(Vec::new()), |exclude| texts(&exclude))?,
            allow_empty: table.take("allow_empty").map_or(Ok(false), |allow| allow.boolean())?,
        })
    }

    /// Whether a pattern names a loop, or means to.
    pub(super) fn has_placeholders(&self) -> bool {
        let parsed = |text: &str| Template::parse(text).is_ok_and(|template| !template.is_plain());
        self.include.iter().chain(&self.exclude).any(|(_, text)| parsed(text))
    }

    /// The patterns without placeholders, with single braces.
    pub(super) fn plain(&self) -> Result<FilledPatterns<'a>> {
        let plain = |(entry, text): &(TomlEntry<'a>, String)| {
            let template = Template::parse(text).map_err(|why| entry.error(why))?;
            Ok((entry.clone(), template.plain().unwrap_or_default()))
        };
        Ok(FilledPatterns {
            include: self.include.iter().map(plain).collect::<Result<_>>()?,
            exclude: self.exclude.iter().map(plain).collect::<Result<_>>()?,
        })
    }

    /// What matches these patterns, sorted, as paths relative to the job file. `place` says in errors at
    /// which points of other loops.
    pub(super) fn find(
        &self,
        patterns: &FilledPatterns,
        folder: &Path,
        place: &str,
    ) -> Result<Vec<Value>> {
        let mut globs = Globs::new(folder, self.folders);
        for (entry, text) in &patterns.exclude {
            globs.exclude(text).map_err(|why| entry.error(why))?;
        }
        for (entry, text) in &patterns.include {
            if globs.include(text).map_err(|why| entry.error(why))? || self.allow_empty {
                continue;
            }
            let results: Vec<String> = globs.passed_by().map(|path| path.to_string()).collect();
            let besides = match results.as_slice() {
                [] => String::new(),
                some => format!("; gridmpi's results are left out: {}", some.join(", ")),
            };
            let what = if self.folders { "folder" } else { "file" };
            let instead = if place.is_empty() {
                ""
            } else {
                "; with allow_empty = true such points are left out"
            };
            let (in_folder, hint) = (folder.display(), globs.hint(text));
            let why = format!(
                "no {what} matches \"{text}\" in {in_folder}{place}{hint}{besides}{instead}"
            );
            return Err(entry.error(why));
        }
        let found = globs.finish().map_err(|why| self.entry.error(why))?;
        Ok(found.into_iter().map(Value::Text).collect())
    }
}
