//! Parses `result` of `[crunch]`: where the result of a program is found.

use crate::job::parse::keys::{TomlEntry, TomlTable};
use crate::job::placeholders::scope::Scope;
use crate::job::placeholders::{Template, Within};
use crate::job::{
    CrunchSpec, FoundBy, RESERVED, ResultPattern, ResultSource, ResultSpec, WhichOne,
};
use crate::model::{Reduce, Value};
use crate::util::error::Result;

/// Facts that differ from task to task.
const OWN_TO_A_TASK: [&str; 2] = ["id", "task"];

pub(super) fn parse<'a>(
    entry: &TomlEntry<'a>,
    crunch: &CrunchSpec,
    scope: Scope,
) -> Result<(ResultSpec, TomlEntry<'a>)> {
    if !matches!(crunch, CrunchSpec::Command(_) | CrunchSpec::Shell(_)) {
        return Err(entry.error("only a command or a shell line needs to have its result found: other functions return it"));
    }
    let mut table = entry.table()?;
    let fields = table.rest();
    if fields.is_empty() {
        return Err(entry.error(
            "expected pattern, column or field, or tables with one of them; found nothing",
        ));
    }
    let named = fields.iter().filter(|(_, field)| field.is_table()).count();
    if named == 0 {
        let source = source(&mut table, entry, scope)?;
        table.finish()?;
        return Ok((ResultSpec::One(source), entry.clone()));
    }
    if let Some((_, other)) = fields.iter().find(|(_, field)| !field.is_table()) {
        return Err(other.error("beside named values, each is a table: { pattern = '...' }"));
    }
    let one = |(name, entry): &(String, TomlEntry)| {
        let mut table = entry.table()?;
        let source = source(&mut table, entry, scope)?;
        table.finish()?;
        Ok((name.clone(), source))
    };
    let named = fields.iter().map(one).collect::<Result<_>>()?;
    Ok((ResultSpec::Named(named), entry.clone()))
}

/// Fails if a reduction needs a score that the result cannot have.
pub(super) fn check_score(
    spec: &ResultSpec,
    score: &str,
    reduction: Option<&Reduce>,
) -> Result<(), String> {
    if !reduction.is_some_and(Reduce::needs_score) {
        return Ok(());
    }
    let names: Vec<String> = match spec {
        ResultSpec::Named(sources) => sources.iter().map(|(name, _)| name.clone()).collect(),
        ResultSpec::One(ResultSource { found: FoundBy::Pattern(pattern, _), .. }) => {
            ResultPattern::new(pattern)?.names().to_vec()
        }
        ResultSpec::One(_) => Vec::new(),
    };
    if names.is_empty() || names.iter().any(|name| name == score) {
        return Ok(());
    }
    Err(format!(
        "none of its values is the score, \"{score}\" (they are {}): name the one that is in [crunch] score",
        names.join(", ")
    ))
}

fn source(table: &mut TomlTable, around: &TomlEntry, scope: Scope) -> Result<ResultSource> {
    let file = table.take("file").map(|entry| file(&entry, scope)).transpose()?;
    let found = ["pattern", "column", "field"].map(|key| table.take(key).map(|entry| (key, entry)));
    let mut found = found.into_iter().flatten();
    let (kind, entry) = match (found.next(), found.next()) {
        (Some(one), None) => one,
        (Some((first, _)), Some((_, second))) => {
            return Err(
                second.error(format!("it is found by its {first} already; keep one of them"))
            );
        }
        (None, _) => {
            let how = "pattern = '...', column = \"...\" of a CSV table, or field = \"...\" of a JSON document";
            return Err(around.error(format!("it is not said how it is found: {how}")));
        }
    };
    let text = entry.text()?;
    let found = match kind {
        "pattern" => {
            ResultPattern::new(&text).map_err(|why| entry.error(why))?;
            let which = table.take("match").map_or(Ok(WhichOne::Last), |entry| which(&entry, true));
            FoundBy::Pattern(text, which?)
        }
        "column" => {
            let which = table.take("row").map_or(Ok(WhichOne::Last), |entry| which(&entry, false));
            FoundBy::Column(text, which?)
        }
        _ => FoundBy::Field(text),
    };
    Ok(ResultSource { file, found })
}

/// Which match, or which row.
fn which(entry: &TomlEntry, is_match: bool) -> Result<WhichOne> {
    let value = entry.value()?;
    match (value, is_match) {
        (Value::Text(text), _) if text == "first" => Ok(WhichOne::First),
        (Value::Text(text), _) if text == "last" => Ok(WhichOne::Last),
        (Value::Text(text), true) if text == "only" => Ok(WhichOne::Only),
        (Value::Int(row @ 0..), false) => Ok(WhichOne::At(row as u64)),
        (other, true) => Err(entry
            .error(format!("expected \"first\", \"last\" or \"only\", found {}", other.to_json()))),
        (other, false) => Err(entry.error(format!(
            "expected \"first\", \"last\" or the number of a row, from 0, found {}",
            other.to_json()
        ))),
    }
}

/// The name of a file, which no two tasks may share, unless each has a folder of its own.
fn file(entry: &TomlEntry, scope: Scope) -> Result<String> {
    let text = entry.text()?;
    let wrong = |why: String| entry.error(why);
    scope.check(&text, Within::Command(&[])).map_err(wrong)?;
    let template = Template::parse(&text).map_err(wrong)?;
    let has_folder = scope.facts().is_some_and(|facts| facts.workdir.is_some());
    if has_folder || template.names_field(RESERVED, &OWN_TO_A_TASK) {
        return Ok(text);
    }
    let is_named = |name: &str| template.loops().any(|named| named == name);
    let shared = scope.nest.loops().iter().find(|l| l.points.len() > 1 && !is_named(&l.name));
    match shared {
        Some(l) => Err(entry.error(format!(
            "all tasks run in one folder, and those of different points of loop '{}' would share this file: put {{{RESERVED}.id}} into its name, or give each a folder with workdir = true",
            l.name
        ))),
        None => Ok(text),
    }
}
