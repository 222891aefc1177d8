//! Parses `[crunch]`: the builtin, Python function, program or shell line to call.

use crate::job::parse::arguments::command_words;
use crate::job::parse::keys::{TomlEntry, TomlTable};
use crate::job::parse::python_function;
use crate::job::placeholders::Within;
use crate::job::placeholders::scope::Scope;
use crate::job::shell::script;
use crate::job::{CrunchSpec, DEFAULT_INTERPRETER, Python, RidgeOptions, ShellLine, Sleep};
use crate::model::{Loop, Value};
use crate::util::error::Result;
use crate::util::text::{did_you_mean, nearest};

/// How many data sets a Python child process keeps by default.
const KEEP: u64 = 4;

const KINDS: [&str; 4] = ["builtin", "python", "command", "shell"];

pub(super) fn parse_crunch(table: &mut TomlTable, scope: Scope) -> Result<CrunchSpec> {
    let loops = scope.nest.loops();
    let mut found = KINDS.into_iter().filter_map(|kind| table.take(kind).map(|e| (kind, e)));
    let (kind, entry) = match (found.next(), found.next()) {
        (Some(one), None) => one,
        (Some((first, _)), Some((_, second))) => {
            return Err(second.error(format!("crunch is '{first}' already; keep one of them")));
        }
        (None, _) => {
            drop(found);
            if let Some((stranger, entry)) = table.rest().first()
                && let Some(near) = nearest(stranger, &KINDS)
            {
                return Err(entry.error(format!("no key of [crunch]; did you mean '{near}'?")));
            }
            return Err(table.error(format!("[crunch] needs one of {}", KINDS.join(", "))));
        }
    };
    drop(found);
    match kind {
        "builtin" => builtin(table, &entry, loops),
        "python" => Ok(CrunchSpec::Python(python(table, &entry, loops)?)),
        "command" => {
            let words = command_words(&entry, scope)?;
            script::check_command(&words, &scope.loops(words.all()))
                .map_err(|why| entry.error(why))?;
            Ok(CrunchSpec::Command(words))
        }
        _ => {
            let line = entry.text()?;
            let line = ShellLine::new(line);
            scope
                .check(&line.line, Within::Shell)
                .and_then(|()| script::check(&line, &scope.loops([line.line.as_str()])))
                .map_err(|why| entry.error(why))?;
            Ok(CrunchSpec::Shell(line))
        }
    }
}

/// The Python of the job, which is crunch's if that is Python.
pub(super) fn interpreter_of(crunch: &TomlEntry) -> Result<String> {
    let mut table = crunch.table()?;
    match table.take("python") {
        Some(_) => interpreter(&mut table),
        None => Ok(DEFAULT_INTERPRETER.to_string()),
    }
}

fn interpreter(table: &mut TomlTable) -> Result<String> {
    let named = table.take("interpreter");
    named.map_or(Ok(DEFAULT_INTERPRETER.to_string()), |interpreter| interpreter.text())
}

fn builtin(table: &mut TomlTable, entry: &TomlEntry, loops: &[Loop]) -> Result<CrunchSpec> {
    let name = entry.text()?;
    match name.as_str() {
        "multiply" => {
            let sleep = table.take("sleep").map(|entry| sleep(&entry, loops)).transpose()?;
            Ok(CrunchSpec::Multiply { sleep: sleep.unwrap_or(Sleep::Seconds(0.0)) })
        }
        "ridge" => {
            const NEEDED: [&str; 3] = ["dataset", "alpha", "fold"];
            let names: Vec<&str> = loops.iter().map(|l| l.name.as_str()).collect();
            if let Some(wrong) = NEEDED
                .iter()
                .find(|needed| !names.contains(needed))
                .or(names.iter().find(|name| !NEEDED.contains(name)))
            {
                return Err(entry.error(format!(
                    "ridge takes the loops dataset, alpha and fold, each once; '{wrong}' is wrong"
                )));
            }
            Ok(CrunchSpec::Ridge(ridge(table)?))
        }
        _ => {
            const KNOWN: [&str; 2] = ["multiply", "ridge"];
            let near = did_you_mean(&name, &KNOWN, "\"");
            Err(entry.error(format!("no builtin \"{name}\"{near} (known: {})", KNOWN.join(", "))))
        }
    }
}

fn ridge(table: &mut TomlTable) -> Result<RidgeOptions> {
    let target = table.take("target").map(|target| target.text()).transpose()?;
    let standardize = table.take("standardize").map_or(Ok(false), |s| s.boolean())?;
    let features_entry = table.take("features");
    let features = features_entry.as_ref().map(distinct_texts).transpose()?;
    let drop_entry = table.take("drop");
    let drop = drop_entry.as_ref().map_or(Ok(Vec::new()), distinct_texts)?;
    let na = table.take("na").map_or(Ok(Vec::new()), |na| distinct_texts(&na))?;
    let header = table.take("header").map(|header| header.boolean()).transpose()?;
    if let (Some(entry), Some(_)) = (&drop_entry, &features) {
        return Err(entry.error("features says already which columns are used; keep one of them"));
    }
    if let Some(entry) = features_entry.filter(|_| features.as_ref().is_some_and(Vec::is_empty)) {
        return Err(entry.error("expected one column or more, found none"));
    }
    Ok(RidgeOptions { target, standardize, features, drop, na, header })
}

/// A list of strings, each once. Like cells, they count without blanks around them.
fn distinct_texts(entry: &TomlEntry) -> Result<Vec<String>> {
    let mut texts: Vec<String> = Vec::new();
    for item in entry.array()? {
        let text = item.text()?.trim().to_string();
        if texts.contains(&text) {
            return Err(item.error(format!("\"{text}\" is there twice")));
        }
        texts.push(text);
    }
    Ok(texts)
}

/// How long `multiply` sleeps: seconds, or the name of a loop whose points are seconds.
fn sleep(entry: &TomlEntry, loops: &[Loop]) -> Result<Sleep> {
    let Ok(name) = entry.text() else {
        return match entry.number()? {
            seconds if (0.0..1e9).contains(&seconds) => Ok(Sleep::Seconds(seconds)),
            other => Err(entry.error(format!("expected seconds, found {other}"))),
        };
    };
    let level = loops.iter().position(|l| l.name == name);
    let never_ends = |value: &Value| value.as_f64() == Some(f64::INFINITY);
    if level.is_some_and(|level| loops[level].points.find(None, &never_ends).is_some()) {
        return Err(
            entry.error(format!("a point of loop '{name}' is inf, a sleep that never ends"))
        );
    }
    level.map(Sleep::Point).ok_or_else(|| {
        let names: Vec<&str> = loops.iter().map(|l| l.name.as_str()).collect();
        let names = names.join(", ");
        entry.error(format!("expected seconds or the name of a loop ({names}), found \"{name}\""))
    })
}

fn python(table: &mut TomlTable, entry: &TomlEntry, loops: &[Loop]) -> Result<Python> {
    let function = python_function(entry)?;
    let load = table.take("load").map(|load| python_function(&load)).transpose()?;
    let data = match table.take("data") {
        Some(data) => {
            let name = data.text()?;
            let names: Vec<&str> = loops.iter().map(|l| l.name.as_str()).collect();
            names.iter().position(|known| *known == name).ok_or_else(|| {
                data.error(format!("there is no loop '{name}' (loops: {})", names.join(", ")))
            })?
        }
        None => 0,
    };
    let keep = table.take("keep").map_or(Ok(KEEP), |keep| keep.count(1))?;
    let reseed = table.take("reseed").map_or(Ok(true), |reseed| reseed.boolean())?;
    let data_copy = match table.take("data_copy") {
        Some(copy) if load.is_none() => {
            return Err(copy.error("there is no load, so there is no data to copy"));
        }
        copy => copy.map_or(Ok(false), |copy| copy.boolean())?,
    };
    let interpreter = interpreter(table)?;
    let pass_none = table.take("pass_none").map_or(Ok(true), |pass| pass.boolean())?;
    Ok(Python { function, load, data, keep, reseed, data_copy, pass_none, interpreter })
}
