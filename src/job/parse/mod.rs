//! Parses a job file into a [`Job`] and validates it.

mod cells;
mod dates;
mod designs;
mod globs;
pub(crate) mod keys;
mod listed;
mod rows;
pub(crate) mod sources;

use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use toml::de::DeTable;

use crate::job::parse::keys::{TomlEntry, TomlTable, TomlText};
use crate::job::placeholders::Template;
use crate::job::shell::script;
use crate::job::slurm::SlurmOptions;
use crate::job::{
    CrunchSpec, DEFAULT_INTERPRETER, Job, Places, Python, RidgeOptions, ShellLine, Sleep,
    check_job_name, check_name, placeholders,
};
use crate::model::{Completeness, Loop, LoopNest, Order, Policy, PythonFunction, Reduce, Value};
use crate::util::error::{Error, Result};
use crate::util::files::file_pattern;
use crate::util::text::{did_you_mean, nearest};

/// How many data sets a Python child process keeps by default.
const KEEP: u64 = 4;

/// The longest job file that is read. (bytes)
const LONGEST: u64 = 64 << 20;

pub(crate) fn read(file: &Path) -> Result<(Job, String)> {
    let text = text(file)?;
    Ok((parse(&text, file)?, text))
}

/// The text of a job file. A pipe may give it; what does not end is not read to its end.
fn text(file: &Path) -> Result<String> {
    let no = |why: &str| Error::input(format!("{}: no job file: {why}", file.display()));
    let unreadable = |error: std::io::Error| Error::unreadable(file, &error);
    let what = file.metadata().map_err(unreadable)?.file_type();
    if what.is_dir() {
        return Err(no("it is a folder; name the file in it"));
    }
    if what.is_block_device() || what.is_char_device() {
        return Err(no("it is a device"));
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    opened.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        let most = LONGEST >> 20;
        return Err(no(&format!(
            "it is longer than {most} MiB; long lists of points go into a table, as in rows = \"points.csv\""
        )));
    }
    if bytes.contains(&0) {
        return Err(no("it has bytes of zero, so it is no text in UTF-8"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        no(&format!("line {line} is not UTF-8; save it as UTF-8"))
    })
}

pub(crate) fn parse(text: &str, file: &Path) -> Result<Job> {
    let place = TomlText { file, text };
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        place.error(at, format!("not TOML: {}", error.message()))
    })?;
    let mut root = place.table(&document);
    // Canonical, so that the path is valid on every rank and in child processes with another working
    // directory.
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(|error| Error::unreadable(folder, &error))?;

    let name = name(&mut root, file)?;
    let seed = root.take("seed").map_or(Ok(0), |seed| seed.count(0))?;
    let reduce_on_workers = match root.take("reduce_on") {
        Some(entry) => reduce_on_workers(&entry)?,
        None => false,
    };
    let order = root.take("order").map_or(Ok(Order::Grid), |entry| order(&entry, seed))?;
    let policy = Policy { seed, order, reduce_on_workers, ..Policy::default() };
    root.take("slurm").map_or(Ok(SlurmOptions::default()), |entry| SlurmOptions::of(&entry))?;
    let (crunch_table, loops_entry) = (root.take("crunch"), root.take("loop"));
    let missing = |what: &str| root.error(what);
    let no_crunch = missing("there is no [crunch]: say what to call for each task");
    let no_loop = missing("there is no [[loop]]: a job has at least one");
    root.finish()?;
    let crunch_entry = crunch_table.ok_or(no_crunch)?;
    let loop_entries = loops_entry.ok_or(no_loop)?.array()?;

    let mut places = Places { file: file.display().to_string(), lines: Vec::new() };
    let mut loops: Vec<Loop> = Vec::new();
    for entry in &loop_entries {
        let next = parse_loop(entry, &folder, &loops, &mut places)?;
        loops.push(next);
    }
    let outer = loops.iter().take_while(|l| l.reduce.is_none()).count();
    if let Some(inner) = (outer..loops.len()).find(|&level| loops[level].reduce.is_none()) {
        return Err(loop_entries[inner].error(format!(
            "loop '{}' has no reduce, but loop '{}' around it has one: loops without reduce must be the outermost ones",
            loops[inner].name, loops[inner - 1].name
        )));
    }
    let Some(last) = loop_entries.last() else {
        return Err(crunch_entry.error("there is no [[loop]]: a job has at least one"));
    };
    let nest = LoopNest::new(loops).map_err(|why| last.error(why))?;

    let mut table = crunch_entry.table()?;
    places.lines.extend(table.lines());
    let score = table.take("score").map_or(Ok("score".to_string()), |score| score.text())?;
    let policy = Policy {
        require: table.take("require").map_or(Ok(Completeness::All), |entry| require(&entry))?,
        retries: table.take("retries").map_or(Ok(0), |entry| retries(&entry))?,
        most_failures: most_failures(&mut table, nest.tasks())?,
        isolate: table.take("isolate").map_or(Ok(false), |entry| entry.boolean())?,
        speculate: table.take("speculate").map_or(Ok(false), |entry| entry.boolean())?,
        ..policy
    };
    let timeout = table.take("timeout").map(|entry| Ok((timeout(&entry)?, entry))).transpose()?;
    let mut patterns = |key| table.take(key).map_or(Ok(Vec::new()), |entry| patterns(&entry));
    let (inputs, ignore) = (patterns("inputs")?, patterns("ignore")?);
    let allow_mixed = table.take("allow_mixed").map_or(Ok(false), |allow| allow.boolean())?;
    let crunch = parse_crunch(&mut table, nest.loops())?;
    let has_child =
        matches!(crunch, CrunchSpec::Python(_) | CrunchSpec::Command(_) | CrunchSpec::Shell(_));
    let timeout = match timeout {
        Some((_, entry)) if !has_child && !policy.isolate => {
            let why = "only what runs in a process of its own can be ended: a command, a shell line, Python, or a builtin with isolate = true";
            return Err(entry.error(why));
        }
        other => other.map(|(timeout, _)| timeout),
    };
    table.finish()?;
    let policy = Policy { timeout, ..policy };
    Ok(Job {
        name,
        folder,
        nest,
        crunch,
        score,
        policy,
        inputs,
        ignore,
        watched: Default::default(),
        common: Default::default(),
        allow_mixed,
        places,
    })
}

/// Patterns of file names.
fn patterns(entry: &TomlEntry) -> Result<Vec<String>> {
    let pattern = |entry: &TomlEntry| {
        let text = entry.text()?;
        file_pattern(&text).map_err(|error| entry.error(format!("\"{text}\": {error}")))?;
        Ok(text)
    };
    entry.array()?.iter().map(pattern).collect()
}

fn name(root: &mut TomlTable, file: &Path) -> Result<String> {
    let Some(entry) = root.take("name") else {
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = stem.unwrap_or_else(|| "job".to_string());
        return match name.as_str() {
            // The folder results/ itself, or one outside it.
            "." | ".." => Err(root.error(format!(
                "the job file's own name gives the results folder the name \"{name}\": add name = \"...\", or rename the file"
            ))),
            _ => Ok(name),
        };
    };
    let name = entry.text()?;
    check_job_name(&name).map_err(|why| entry.error(why))?;
    Ok(name)
}

fn reduce_on_workers(entry: &TomlEntry) -> Result<bool> {
    match entry.text()?.as_str() {
        "workers" => Ok(true),
        "master" => Ok(false),
        other => Err(entry.error(format!("expected \"master\" or \"workers\", found \"{other}\""))),
    }
}

fn order(entry: &TomlEntry, seed: u64) -> Result<Order> {
    const KNOWN: [&str; 3] = ["grid", "longest-first", "random"];
    match entry.text()?.as_str() {
        "grid" => Ok(Order::Grid),
        "longest-first" => Ok(Order::LongestFirst),
        "random" => Ok(Order::Random(seed)),
        other => {
            let (near, known) = (did_you_mean(other, &KNOWN, "\""), KNOWN.join(", "));
            Err(entry.error(format!("\"{other}\" is no order{near} (known: {known})")))
        }
    }
}

fn retries(entry: &TomlEntry) -> Result<u32> {
    let retries = entry.count(0)?;
    u32::try_from(retries).map_err(|_| entry.error(format!("{retries} is more than 2^32 - 1")))
}

/// How many runs may fail: `max_failures` is a number or a fraction, `on_failure` means none or all.
fn most_failures(table: &mut TomlTable, tasks: u64) -> Result<Option<u64>> {
    let most = table.take("max_failures");
    if let Some(entry) = table.take("on_failure") {
        if most.is_some() {
            return Err(entry.error("says the same as max_failures; keep one of them"));
        }
        return match entry.text()?.as_str() {
            "keep" => Ok(None),
            "stop" => Ok(Some(0)),
            other => Err(entry.error(format!("expected \"keep\" or \"stop\", found \"{other}\""))),
        };
    }
    let Some(entry) = most else { return Ok(None) };
    match entry.value()? {
        Value::Int(_) => entry.count(0).map(Some),
        Value::Float(fraction) if (0.0..1.0).contains(&fraction) => {
            Ok(Some((fraction * tasks as f64).floor() as u64))
        }
        other => Err(entry.error(format!(
            "expected a count, or a fraction of all runs from 0.0 to under 1.0, found {other}"
        ))),
    }
}

fn timeout(entry: &TomlEntry) -> Result<Duration> {
    match entry.number()? {
        seconds if seconds > 0.0 && seconds < 1e9 => Ok(Duration::from_secs_f64(seconds)),
        other => Err(entry.error(format!("expected seconds, over 0, found {other}"))),
    }
}

fn require(entry: &TomlEntry) -> Result<Completeness> {
    if let Ok(text) = entry.text() {
        return match text.as_str() {
            "all" => Ok(Completeness::All),
            _ => Err(entry.error(format!("expected \"all\" or a fraction, found \"{text}\""))),
        };
    }
    match entry.number()? {
        fraction if fraction > 0.0 && fraction <= 1.0 => Ok(Completeness::Fraction(fraction)),
        other => Err(entry.error(format!("expected over 0 and up to 1, found {other}"))),
    }
}

fn parse_loop(
    entry: &TomlEntry,
    folder: &Path,
    before: &[Loop],
    places: &mut Places,
) -> Result<Loop> {
    let mut table = entry.table()?;
    let name_entry = table.need("name")?;
    let name = name_entry.text()?;
    check_name(&name, before).map_err(|why| name_entry.error(why))?;
    table.set_path(format!("loop.{name}"));
    places.lines.push((format!("loop.{name}"), entry.line()));
    places.lines.extend(table.lines());
    let reduce = table.take("reduce").map(|reduce| parse_reduce(&reduce)).transpose()?;
    let points = sources::of_loop(&mut table, &name, folder)?;
    table.finish()?;
    Ok(Loop { name, points, reduce, is_data: false })
}

fn parse_reduce(entry: &TomlEntry) -> Result<Reduce> {
    if entry.is_table() {
        let mut table = entry.table()?;
        let function = python_function(&table.need("python")?)?;
        table.finish()?;
        return Ok(Reduce::Python(function));
    }
    let name = entry.text()?;
    Reduce::named(&name).ok_or_else(|| {
        let near = did_you_mean(&name, &Reduce::NAMES, "\"");
        let known = Reduce::NAMES.join(", ");
        entry.error(format!(
            "\"{name}\" is no reduction{near} (known: {known}, or {{ python = \"file.py:function\" }})"
        ))
    })
}

fn python_function(entry: &TomlEntry) -> Result<PythonFunction> {
    let text = entry.text()?;
    match text.rsplit_once(':') {
        Some((file, function)) if !file.is_empty() && !function.is_empty() => {
            Ok(PythonFunction { file: file.to_string(), function: function.to_string() })
        }
        _ => Err(entry.error(format!("expected \"file.py:function\", found \"{text}\""))),
    }
}

const KINDS: [&str; 4] = ["builtin", "python", "command", "shell"];

fn parse_crunch(table: &mut TomlTable, loops: &[Loop]) -> Result<CrunchSpec> {
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
            let arguments = entry.array()?;
            if arguments.is_empty() {
                return Err(entry.error("expected a program and its arguments, found nothing"));
            }
            for argument in &arguments {
                placeholders::check(&argument.text()?, loops).map_err(|why| argument.error(why))?;
            }
            let words: Vec<String> =
                arguments.iter().map(TomlEntry::text).collect::<Result<_>>()?;
            let templates: Vec<_> = words.iter().filter_map(|w| Template::parse(w).ok()).collect();
            script::check_command(&templates, loops).map_err(|why| entry.error(why))?;
            Ok(CrunchSpec::Command(words))
        }
        _ => {
            let line = entry.text()?;
            let line = ShellLine::new(line);
            placeholders::check(&line.line, loops)
                .and_then(|()| script::check(&line, loops))
                .map_err(|why| entry.error(why))?;
            Ok(CrunchSpec::Shell(line))
        }
    }
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
    let interpreter = table
        .take("interpreter")
        .map_or(Ok(DEFAULT_INTERPRETER.to_string()), |interpreter| interpreter.text())?;
    Ok(Python { function, load, data, keep, reseed, data_copy, interpreter })
}
