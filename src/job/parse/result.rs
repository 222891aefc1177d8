//! Parses `result` of `[crunch]`: where the result of a program is found.

use std::collections::HashMap;

use crate::job::parse::keys::{TomlEntry, TomlTable};
use crate::job::placeholders::scope::Scope;
use crate::job::placeholders::{Template, Within};
use crate::job::{
    CrunchSpec, FoundBy, RESERVED, ResultPattern, ResultSource, ResultSpec, RunFacts, WhichOne,
    is_outside,
};
use crate::model::{Reduce, Value};
use crate::util::error::Result;

/// The most tasks whose names of files are compared.
const MOST_NAMES: u64 = 100_000;

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
    let facts = scope.facts().filter(|_| !template.is_of_one_task());
    let Some(facts) = facts else { return Ok(text) };
    if facts.workdir.is_some() {
        let first = template.fill(&[(RESERVED, facts.record())], |_, _| None);
        return match first.is_ok_and(|name| is_outside(&name)) {
            true => Err(entry.error(format!(
                "it is outside the folder of the run, where all tasks would share it: put {{{RESERVED}.id}} into its name, or let the program write it into its folder"
            ))),
            false => Ok(text),
        };
    }
    check_distinct(&template, scope, facts).map_err(wrong)?;
    Ok(text)
}

/// Fails if the name is not known to be another one for each task.
fn check_distinct(template: &Template, scope: Scope, facts: &RunFacts) -> Result<(), String> {
    let ways = format!(
        "all tasks run in one folder: put {{{RESERVED}.id}} into its name, or give each a folder with workdir = true"
    );
    let nest = scope.nest;
    let is_named = |name: &str| template.loops().any(|named| named == name);
    if let Some(l) = nest.loops().iter().find(|l| l.points.len() > 1 && !is_named(&l.name)) {
        let name = &l.name;
        return Err(format!(
            "tasks of different points of loop '{name}' would share this file; {ways}"
        ));
    }
    if nest.tasks() > MOST_NAMES {
        let tasks = nest.tasks();
        return Err(format!(
            "there are {tasks} tasks, too many to see that each has another file; {ways}"
        ));
    }
    let mut known: HashMap<String, u64> = HashMap::new();
    for task in 0..nest.tasks() {
        let mut points = nest.coordinates(nest.task(task));
        points.push((RESERVED, facts.record()));
        let name = template.fill(&points, |_, _| None)?;
        if let Some(other) = known.get(&name) {
            return Err(format!("tasks {other} and {task} would share the file {name}; {ways}"));
        }
        known.insert(name, task);
    }
    Ok(())
}
