//! Parses a job file into a [`Job`] and validates it.

mod arguments;
mod cells;
mod conditions;
mod crunch;
mod dates;
mod dependent;
mod dependent_sources;
mod designs;
mod environment;
mod final_table;
mod found_points;
mod globs;
pub(crate) mod keys;
mod labels;
mod limits;
mod listed;
mod logs;
mod matched;
mod needs;
mod progress;
mod python_points;
mod report;
mod result;
mod rows;
mod served;
pub(crate) mod sources;
mod stops;
mod versions;
mod workdir_table;
mod written;

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::job::parse::crunch::{interpreter_of, parse_crunch};
use crate::job::parse::dependent::{ParsedLoop, ParsedSource};
use crate::job::parse::final_table::parse_final;
pub(crate) use crate::job::parse::globs::files_below;
use crate::job::parse::keys::{TomlEntry, TomlTable, TomlText};
use crate::job::parse::labels::{ParsedLabel, labelled};
use crate::job::parse::limits::{most_failures, require, retries, timeout};
use crate::job::parse::logs::kept_logs;
use crate::job::parse::matched::MatchedRows;
use crate::job::parse::needs::needs;
use crate::job::parse::python_points::{PointCalls, PythonPoints};
use crate::job::parse::stops::{ParsedStop, score_range, stopping};
use crate::job::placeholders::scope::Scope;
use crate::job::point_functions::PointFunctions;
use crate::job::slurm::SlurmOptions;
use crate::job::{Job, Places, RunFacts, SCORE, Seeding, Versions, check_job_name, check_name};
use crate::model::{Completeness, FileFunction, Loop, LoopNest, Order, Policy, Reduce, Value};
use crate::util::error::{Error, Result};
use crate::util::files::file_pattern;
use crate::util::text::did_you_mean;

/// The longest job file that is read. (bytes)
const LONGEST: u64 = 64 << 20;

/// Where points come from that a function of the user's gives.
#[derive(Clone, Copy)]
pub(crate) enum GivenBy<'a> {
    /// It is called.
    Functions(&'a dyn PointFunctions),
    /// The nest was found at an earlier time.
    Nest(&'a LoopNest),
    /// Nowhere: such a loop is an error.
    Nobody,
}

pub(crate) fn read(file: &Path, functions: &dyn PointFunctions) -> Result<(Job, String)> {
    let text = text(file)?;
    Ok((parse(&text, file, GivenBy::Functions(functions))?, text))
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
    // The pipe of <(command) has no name in a folder, and somebody who writes.
    if what.is_fifo() && file.canonicalize().is_ok() {
        return Err(no("it is a named pipe, to which maybe nobody writes; save it as a file"));
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

pub(crate) fn parse(text: &str, file: &Path, given: GivenBy) -> Result<Job> {
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
    let own_folder = folder.canonicalize().map_err(|error| Error::unreadable(folder, &error))?;
    let folder = match root.take("folder") {
        Some(entry) => named_folder(&entry, &own_folder)?,
        None => own_folder.clone(),
    };

    let name = name(&mut root, file)?;
    let seed = root.take("seed").map_or(Ok(0), |seed| seed.count(0))?;
    let reduce_on_workers = match root.take("reduce_on") {
        Some(entry) => reduce_on_workers(&entry)?,
        None => false,
    };
    let order = root.take("order").map_or(Ok(Order::Grid), |entry| order(&entry, seed))?;
    let policy = Policy { seed, order, reduce_on_workers, ..Policy::default() };
    root.take("slurm").map_or(Ok(SlurmOptions::default()), |entry| SlurmOptions::of(&entry))?;
    let (report, finally) = (root.take("report"), root.take("final"));
    let (crunch_table, loops_entry) = (root.take("crunch"), root.take("loop"));
    let missing = |what: &str| root.error(what);
    let no_crunch = missing("there is no [crunch]: say what to call for each task");
    let no_loop = missing("there is no [[loop]]: a job has at least one");
    root.finish()?;
    let crunch_entry = crunch_table.ok_or(no_crunch)?;
    let loops_entry = loops_entry.ok_or(no_loop)?;
    if loops_entry.is_table() {
        return Err(loops_entry.error(
            "each loop is a table with two pairs of brackets: [[loop]], with name = \"...\" below it",
        ));
    }
    let loop_entries = loops_entry.array()?;

    let file_name = file.display().to_string();
    let mut places = Places::of(file_name, own_folder);
    let mut seeding = Seeding::default();
    let (mut loops, mut labels): (Vec<ParsedLoop>, Vec<_>) = Default::default();
    let (mut versions, mut stops) = (Vec::new(), Vec::new());
    for entry in &loop_entries {
        let parsed = parse_loop(entry, &folder, &loops, &mut places, &mut seeding)?;
        labels.extend(parsed.label.map(|label| (loops.len(), label)));
        versions.extend(parsed.version.map(|version| (loops.len(), version)));
        stops.extend(parsed.stop.map(|stop| (loops.len(), stop)));
        loops.push(parsed.own);
    }
    let given_by = |source: &str| -> Vec<usize> {
        let is_so = |level: &usize| places.has(&format!("loop.{}.{source}", loops[*level].name));
        (0..loops.len()).filter(is_so).collect()
    };
    let (file_loops, folder_loops) = (given_by("files"), given_by("folders"));
    let outer = loops.iter().take_while(|l| l.reduce.is_none()).count();
    if let Some(inner) = (outer..loops.len()).find(|&level| loops[level].reduce.is_none()) {
        return Err(loop_entries[inner].error(format!(
            "loop '{}' has no reduce, but loop '{}' around it has one: loops without reduce must be the outermost ones",
            loops[inner].name, loops[inner - 1].name
        )));
    }
    if loop_entries.is_empty() {
        return Err(crunch_entry.error("there is no [[loop]]: a job has at least one"));
    }
    let nest = match given {
        GivenBy::Nest(nest) if loops.iter().any(ParsedLoop::is_called) => {
            dependent::with_cells(nest, loops).map_err(|why| crunch_entry.error(why))?
        }
        GivenBy::Functions(functions) => {
            let interpreter = interpreter_of(&crunch_entry)?;
            let calls = PointCalls { functions, interpreter, folder: &folder };
            dependent::nest(loops, &folder, Some(&calls))?
        }
        GivenBy::Nest(_) | GivenBy::Nobody => dependent::nest(loops, &folder, None)?,
    };
    let nest = labelled(nest, &labels)?;
    let versions = versions::of_points(versions, &nest)?;
    let groups = match report {
        Some(report) => report::listed_groups(&report, nest.loops())?,
        None => Default::default(),
    };
    let mut table = crunch_entry.table()?;
    places.add(table.lines());
    let score = table.take("score").map_or(Ok(SCORE.to_string()), |score| score.text())?;
    let policy = Policy {
        require: table.take("require").map_or(Ok(Completeness::All), |entry| require(&entry))?,
        retries: table.take("retries").map_or(Ok(0), |entry| retries(&entry))?,
        most_failures: most_failures(&mut table, nest.tasks())?,
        isolate: table.take("isolate").map_or(Ok(false), |entry| entry.boolean())?,
        speculate: table.take("speculate").map_or(Ok(false), |entry| entry.boolean())?,
        needs: needs(&mut table)?,
        score_range: table.take("score_range").map(|entry| score_range(&entry)).transpose()?,
        ..policy
    };
    let nest = stopping(nest, &stops, &policy)?;
    let timeout = table.take("timeout").map(|entry| Ok((timeout(&entry)?, entry))).transpose()?;
    let mut patterns = |key| table.take(key).map_or(Ok(Vec::new()), |entry| patterns(&entry));
    let (inputs, ignore) = (patterns("inputs")?, patterns("ignore")?);
    if let Some(entry) = table.take("seed_by") {
        seeding.by = Some(seed_by(&entry, nest.loops())?);
    }
    let allow_mixed = table.take("allow_mixed").map_or(Ok(false), |allow| allow.boolean())?;
    let workdir = table.take("workdir");
    let has_workdir = workdir.as_ref().is_some_and(|entry| !matches!(entry.boolean(), Ok(false)));
    let facts = RunFacts::of_any(&folder, has_workdir, policy.needs.gpus.is_some());
    let scope = Scope::of_crunch(&nest, &facts);
    let version = table.take("version");
    let crunch = parse_crunch(&mut table, scope)?;
    let logs = kept_logs(&mut table, &crunch)?;
    let versions = Versions { crunch: versions::of_crunch(version, &crunch)?, points: versions };
    let environment = environment::child_environment(&mut table, &crunch, scope)?;
    let result =
        table.take("result").map(|entry| result::parse(&entry, &crunch, scope)).transpose()?;
    if let Some((spec, entry)) = &result {
        result::check_score(spec, &score, nest.run_reduction()).map_err(|why| entry.error(why))?;
    }
    let result = result.map(|(spec, _)| spec);
    let workdir = match workdir {
        Some(entry) => {
            let is_read_again = matches!(given, GivenBy::Nest(_));
            places.add(workdir_table::lines(&entry));
            workdir_table::parse(&entry, &folder, (scope, &folder_loops), &crunch, is_read_again)?
        }
        None => None,
    };
    let has_child = !crunch.is_builtin();
    let timeout = match timeout {
        Some((_, entry)) if !has_child && !policy.isolate => {
            let why = "only what runs in a process of its own can be ended: a command, a shell line, Python, R, a worker (serve), or a builtin with isolate = true";
            return Err(entry.error(why));
        }
        other => other.map(|(timeout, _)| timeout),
    };
    table.finish()?;
    let policy = Policy { timeout, logs, ..policy };
    let finally = finally.map(|entry| parse_final(&entry, &nest)).transpose()?;
    let finally = finally.map(|(spec, lines)| {
        places.add(lines);
        spec
    });
    let job = Job {
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
        seeding,
        file_loops,
        folder_loops,
        groups,
        finally,
        workdir,
        result,
        environment,
        versions,
        carried: Default::default(),
        places,
    };
    if !matches!(given, GivenBy::Nest(_)) {
        job.check_workdir()?;
    }
    Ok(job)
}

/// The names of the loops that seeds depend on, in the order of the loops.
fn seed_by(entry: &TomlEntry, loops: &[Loop]) -> Result<Vec<String>> {
    let levels = named_levels(entry, loops, "loops", |_| Ok(()))?;
    Ok(levels.into_iter().map(|level| loops[level].name.clone()).collect())
}

/// The levels of the loops that a list names. Those that may be named are `known` as; a loop that may not is
/// refused with the error.
fn named_levels(
    entry: &TomlEntry,
    loops: &[Loop],
    known: &str,
    may: impl Fn(&Loop) -> Result<(), String>,
) -> Result<BTreeSet<usize>> {
    let mut levels = BTreeSet::new();
    for item in entry.array()? {
        let name = item.text()?;
        let Some(level) = loops.iter().position(|l| l.name == name) else {
            let names = loops.iter().filter(|l| may(l).is_ok());
            let names: Vec<&str> = names.map(|l| l.name.as_str()).collect();
            let (near, all) = (did_you_mean(&name, &names, "'"), names.join(", "));
            return Err(item.error(format!("there is no loop '{name}'{near} ({known}: {all})")));
        };
        may(&loops[level]).map_err(|why| item.error(why))?;
        levels.insert(level);
    }
    Ok(levels)
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

/// The folder that the job file names, to which relative paths are relative.
fn named_folder(entry: &TomlEntry, own: &Path) -> Result<PathBuf> {
    let folder = own.join(entry.text()?);
    let found = folder.canonicalize().ok().filter(|folder| folder.is_dir());
    found.ok_or_else(|| entry.error(format!("there is no folder {}", folder.display())))
}

/// A `[[loop]]`, with what is looked at once the points are known.
struct ParsedEntry<'a> {
    own: ParsedLoop<'a>,
    label: Option<ParsedLabel<'a>>,
    version: Option<TomlEntry<'a>>,
    stop: Option<ParsedStop<'a>>,
}

fn parse_loop<'a>(
    entry: &TomlEntry<'a>,
    folder: &Path,
    before: &[ParsedLoop],
    places: &mut Places,
    seeding: &mut Seeding,
) -> Result<ParsedEntry<'a>> {
    let mut table = entry.table()?;
    let name_entry = table.need("name")?;
    let name = name_entry.text()?;
    let names: Vec<&str> = before.iter().map(|l| l.name.as_str()).collect();
    check_name(&name, &names).map_err(|why| name_entry.error(why))?;
    table.set_path(format!("loop.{name}"));
    places.add([(format!("loop.{name}"), entry.line())]);
    places.add(table.lines());
    let reduce = table.take("reduce").map(|reduce| parse_reduce(&reduce)).transpose()?;
    let require = match table.take("require") {
        Some(entry) if reduce.is_none() => {
            return Err(entry.error(format!("loop '{name}' has no reduce, so it needs no results")));
        }
        entry => entry.map(|entry| require(&entry)).transpose()?,
    };
    let (was, version) = (table.take("was"), table.take("version"));
    let stop = table.take("stop").map(ParsedStop::of).transpose()?;
    let label =
        table.take("label").map(|label| ParsedLabel::of(label, &name, &names)).transpose()?;
    let (only_if, condition) = (table.take("only_if"), table.take("where"));
    let mut matched = None;
    let source = match (PythonPoints::take(&mut table)?, dependent_sources::take(&mut table)?) {
        (Some(source), _) => ParsedSource::Python(source),
        (None, Some(source)) => ParsedSource::Dependent(source),
        (None, None) => {
            let mut points = sources::of_loop(&mut table, &name, folder)?;
            if let Some(rows) = table.take("rows") {
                matched = MatchedRows::of(&rows, &mut points, &names)?;
            }
            ParsedSource::Fixed(points)
        }
    };
    table.finish()?;
    if let Some(was) = was {
        let fields = match &source {
            ParsedSource::Fixed(points) => points.fields(),
            ParsedSource::Dependent(_) | ParsedSource::Python(_) => Vec::new(),
        };
        seeding.was.insert(name.clone(), parse_was(&was, &fields)?);
    }
    let entry = entry.clone();
    let own = ParsedLoop { entry, name, reduce, require, source, matched, only_if, condition };
    Ok(ParsedEntry { own, label, version, stop })
}

/// The value that older runs had: a point, or some fields of one.
fn parse_was(entry: &TomlEntry, fields: &[String]) -> Result<Value> {
    let was = entry.value()?;
    if let (Value::Record(own), false) = (&was, fields.is_empty())
        && let Some((stranger, _)) = own.iter().find(|(name, _)| !fields.contains(name))
    {
        let (near, known) = (did_you_mean(stranger, fields, "'"), fields.join(", "));
        return Err(
            entry.error(format!("its points have no field '{stranger}'{near} (fields: {known})"))
        );
    }
    Ok(was)
}

fn parse_reduce(entry: &TomlEntry) -> Result<Reduce> {
    if entry.is_table() {
        let mut table = entry.table()?;
        if let Some(function) = table.take("python") {
            let function = python_function(&function)?;
            table.finish()?;
            return Ok(Reduce::Python(function));
        }
        if let Some(function) = table.take("r") {
            let function = served::r_function(&function)?;
            table.finish()?;
            return Ok(Reduce::R(function));
        }
    }
    Reduce::parse(&entry.value()?).map_err(|why| entry.error(why))
}

fn python_function(entry: &TomlEntry) -> Result<FileFunction> {
    let text = entry.text()?;
    FileFunction::parse(&text)
        .ok_or_else(|| entry.error(format!("expected \"file.py:function\", found \"{text}\"")))
}
