//! Parses `serve` and `r`: functions in children that serve many tasks.

use crate::job::parse::arguments::command_words;
use crate::job::parse::keys::{TomlEntry, TomlTable};
use crate::job::placeholders::scope::Scope;
use crate::job::{CommandWords, DEFAULT_R, RCrunch, Serve};
use crate::model::{FileFunction, Loop};
use crate::util::error::Result;

/// How many data sets a child process keeps by default.
const KEEP: u64 = 4;

pub(super) fn serve(table: &mut TomlTable, entry: &TomlEntry, scope: Scope) -> Result<Serve> {
    let words = serve_words(entry, scope)?;
    let data = data_level(table, scope.nest.loops())?;
    let keep = keep(table)?;
    let loads = table.take("load").map_or(Ok(false), |load| {
        load.boolean().map_err(|_| {
            load.error("expected true or false: with true the worker gets load messages for the points of the loop that data names")
        })
    })?;
    Ok(Serve { words, data: loads.then_some(data), keep })
}

/// The program of a worker and its arguments.
pub(super) fn serve_words(entry: &TomlEntry, scope: Scope) -> Result<CommandWords> {
    let many = "a worker is started once for many tasks, so its words have no placeholders and no conditions: it gets the points with each task";
    if entry.array()?.iter().any(TomlEntry::is_table) {
        return Err(entry.error(many));
    }
    let words = command_words(entry, scope)?;
    match words.plain().len() == words.all().len() {
        true => Ok(words),
        false => Err(entry.error(many)),
    }
}

pub(super) fn r_crunch(
    table: &mut TomlTable,
    entry: &TomlEntry,
    loops: &[Loop],
) -> Result<RCrunch> {
    let function = r_function(entry)?;
    let load = table.take("load").map(|load| r_function(&load)).transpose()?;
    let (data, keep) = (data_level(table, loops)?, keep(table)?);
    let interpreter = match table.take("interpreter") {
        Some(interpreter) => interpreter.text()?,
        None => DEFAULT_R.to_string(),
    };
    Ok(RCrunch { function, load, data, keep, interpreter })
}

pub(super) fn r_function(entry: &TomlEntry) -> Result<FileFunction> {
    let text = entry.text()?;
    FileFunction::parse(&text)
        .ok_or_else(|| entry.error(format!("expected \"file.R:function\", found \"{text}\"")))
}

/// The level of the loop whose points are loaded.
pub(super) fn data_level(table: &mut TomlTable, loops: &[Loop]) -> Result<usize> {
    let Some(data) = table.take("data") else { return Ok(0) };
    let name = data.text()?;
    let names: Vec<&str> = loops.iter().map(|l| l.name.as_str()).collect();
    names.iter().position(|known| *known == name).ok_or_else(|| {
        data.error(format!("there is no loop '{name}' (loops: {})", names.join(", ")))
    })
}

/// How many data sets a child keeps.
pub(super) fn keep(table: &mut TomlTable) -> Result<u64> {
    table.take("keep").map_or(Ok(KEEP), |keep| keep.count(1))
}
