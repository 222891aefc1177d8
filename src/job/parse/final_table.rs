//! Parses `[final]`: the Python function, program or shell line that is called once for each row.

use crate::job::parse::arguments::command_words;
use crate::job::parse::keys::{TomlEntry, TomlTable};
use crate::job::parse::limits::{retries, timeout};
use crate::job::parse::{patterns, python_function, served};
use crate::job::placeholders::Within;
use crate::job::placeholders::scope::{SUMMARY, Scope};
use crate::job::shell::script;
use crate::job::{FinalFunction, FinalSpec, ShellLine, equal_points};
use crate::model::LoopNest;
use crate::util::error::Result;
use crate::util::text::nearest;

const KINDS: [&str; 5] = ["python", "r", "command", "shell", "serve"];

/// The table, and the lines of its keys.
pub(super) fn parse_final(
    entry: &TomlEntry,
    nest: &LoopNest,
) -> Result<(FinalSpec, Vec<(String, usize)>)> {
    let mut table = entry.table()?;
    let lines = table.lines();
    let outer = nest.outer();
    if outer == nest.depth() {
        return Err(entry.error(
            "no loop reduces, so there are no rows with a best point: give a loop reduce = \"max\", say",
        ));
    }
    if nest.loops().iter().any(|l| l.name == SUMMARY) {
        return Err(entry.error(format!(
            "'{SUMMARY}' is the summary of a row here: call the loop of this name something else"
        )));
    }
    for l in &nest.loops()[..outer] {
        if let Some(why) = equal_points(&l.points) {
            let name = &l.name;
            return Err(
                entry.error(format!("each row has a folder of its own; loop '{name}': {why}"))
            );
        }
    }
    let scope = Scope::of_final(nest, outer + nest.decided(outer));
    let function = function(&mut table, scope)?;
    let spec = FinalSpec {
        retries: table.take("retries").map_or(Ok(0), |entry| retries(&entry))?,
        timeout: table.take("timeout").map(|entry| timeout(&entry)).transpose()?,
        inputs: table.take("inputs").map_or(Ok(Vec::new()), |entry| patterns(&entry))?,
        ..FinalSpec::new(function)
    };
    table.finish()?;
    Ok((spec, lines))
}

fn function(table: &mut TomlTable, scope: Scope) -> Result<FinalFunction> {
    let found = KINDS.map(|kind| table.take(kind).map(|entry| (kind, entry)));
    let mut found = found.into_iter().flatten();
    let (kind, entry) = match (found.next(), found.next()) {
        (Some(one), None) => one,
        (Some((first, _)), Some((_, second))) => {
            return Err(second.error(format!("it is '{first}' already; keep one of them")));
        }
        (None, _) => {
            if let Some((stranger, entry)) = table.rest().first()
                && let Some(near) = nearest(stranger, &KINDS)
            {
                return Err(entry.error(format!("no key of [final]; did you mean '{near}'?")));
            }
            return Err(table.error(format!("[final] needs one of {}", KINDS.join(", "))));
        }
    };
    match kind {
        "python" => Ok(FinalFunction::Python(python_function(&entry)?)),
        "r" => Ok(FinalFunction::R(served::r_function(&entry)?)),
        "serve" => Ok(FinalFunction::Serve(served::serve_words(&entry, scope)?)),
        "command" => {
            let words = command_words(&entry, scope)?;
            script::check_command(&words, &scope.loops(words.all()))
                .map_err(|why| entry.error(why))?;
            Ok(FinalFunction::Command(words))
        }
        _ => {
            let line = ShellLine::new(entry.text()?);
            scope
                .check(&line.line, Within::Shell)
                .and_then(|()| script::check(&line, &scope.loops([line.line.as_str()])))
                .map_err(|why| entry.error(why))?;
            Ok(FinalFunction::Shell(line))
        }
    }
}
