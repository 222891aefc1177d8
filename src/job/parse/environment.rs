//! Parses `env` and `keep_env` of `[crunch]`, and checks the variables with points.

use crate::job::parse::keys::{TomlEntry, TomlTable};
use crate::job::placeholders::scope::Scope;
use crate::job::placeholders::{Template, Within};
use crate::job::{ChildEnvironment, CrunchSpec, loop_variables};
use crate::model::{CUDA, CUDA_ORDER, HIP, LEVEL_ZERO, ORDINAL, ROCR, Value};
use crate::util::error::Result;

/// The variables that say which devices a process may use.
const OF_DEVICES: [&str; 6] = [CUDA, CUDA_ORDER, ROCR, HIP, LEVEL_ZERO, ORDINAL];

/// How the names of gridmpi's own variables begin.
const OWN: &str = "GRIDMPI_";

pub(super) fn child_environment(
    table: &mut TomlTable,
    crunch: &CrunchSpec,
    scope: Scope,
) -> Result<ChildEnvironment> {
    let (set, keep) = (table.take("env"), table.take("keep_env"));
    let is_command = matches!(crunch, CrunchSpec::Command(_) | CrunchSpec::Shell(_));
    if let (Some(entry), true) = (set.as_ref().or(keep.as_ref()), crunch.is_builtin()) {
        return Err(entry.error("a builtin starts no process that could have an environment"));
    }
    if is_command {
        let (_, refused) = loop_variables(scope.nest.loops());
        refused.iter().for_each(|why| log::warn!("{why}"));
    }
    let has_gpus = scope.facts().is_some_and(|facts| facts.gpus.is_some());
    let variable = |(name, entry): (String, TomlEntry)| {
        check_variable(&name).map_err(|why| entry.error(why))?;
        if has_gpus && OF_DEVICES.contains(&name.as_str()) {
            return Err(entry.error("with gpus in [crunch] each task has devices of its own, which this variable tells it: all tasks would use the same ones"));
        }
        Ok((name, variable_value(&entry, is_command, scope)?))
    };
    let set = match set {
        Some(entry) => entry.table()?.rest().into_iter().map(variable).collect::<Result<_>>()?,
        None => Vec::new(),
    };
    let name = |entry: &TomlEntry| {
        let name = entry.text()?;
        let beginning = name.strip_suffix('*').unwrap_or(&name);
        match beginning.is_empty() || beginning.contains(['*', '=', '\0']) {
            true => Err(entry.error(format!(
                "\"{name}\" is no name of a variable, nor the beginning of one with a * behind it"
            ))),
            false => Ok(name),
        }
    };
    let keep = match keep {
        Some(entry) => entry.array()?.iter().map(name).collect::<Result<_>>()?,
        None => Vec::new(),
    };
    Ok(ChildEnvironment { set, keep })
}

fn check_variable(name: &str) -> Result<(), String> {
    match name {
        _ if name.is_empty() || name.contains(['=', '\0']) => {
            Err(format!("{name:?} is no name of a variable"))
        }
        "PATH" => Err(
            "programs are looked for, and known to have changed, by gridmpi's own PATH: set it where gridmpi is started, or name the program with its folder".to_string(),
        ),
        _ if name.starts_with(OWN) => Err(format!(
            "the names of gridmpi's own variables begin with {OWN}: choose another one"
        )),
        _ => Ok(()),
    }
}

/// The value of a variable, as a template; of a process that serves many tasks as it is.
fn variable_value(entry: &TomlEntry, is_command: bool, scope: Scope) -> Result<String> {
    let text = match entry.value()? {
        Value::Text(text) => text,
        value @ (Value::Int(_) | Value::Float(_) | Value::Bool(_)) => value.to_string(),
        _ => return Err(entry.error("expected a string, a number, true or false")),
    };
    if text.contains('\0') {
        return Err(entry.error("it has a zero byte, which no variable can have"));
    }
    if is_command {
        scope.check(&text, Within::Command(&[])).map_err(|why| entry.error(why))?;
        return Ok(text);
    }
    match Template::parse(&text) {
        Ok(template) if !template.is_plain() => Err(entry.error(
            "one process serves many tasks, so its variables have no placeholders: crunch gets the points with each task",
        )),
        Ok(template) => Ok(template.plain().unwrap_or(text)),
        Err(why) => Err(entry.error(why)),
    }
}
