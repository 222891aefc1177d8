//! The job: all that is to be computed. A job file is parsed and validated once, on rank 0; workers
//! receive the result.

mod carried;
mod child_environment;
mod columns;
#[cfg(feature = "jobs")]
mod combined;
pub(crate) mod command;
mod counted;
mod delimiters;
mod digests;
mod files;
mod final_given;
mod final_spec;
mod identity;
mod kept_results;
#[cfg(feature = "cli")]
pub(crate) mod lookup;
#[cfg(feature = "jobs")]
mod loop_variables;
#[cfg(feature = "jobs")]
mod parse;
#[cfg(feature = "jobs")]
pub(crate) mod placeholders;
mod places;
#[cfg(feature = "jobs")]
mod point_functions;
mod repeats;
mod report_options;
#[cfg(feature = "jobs")]
mod result_pattern;
mod result_spec;
mod row_names;
#[cfg(feature = "jobs")]
mod run_facts;
#[cfg(feature = "jobs")]
mod run_ids;
mod run_names;
mod seeding;
mod served;
pub(crate) mod shell;
#[cfg(feature = "jobs")]
mod slurm;
#[cfg(feature = "jobs")]
mod template_file;
mod versions;
mod workdir;
#[cfg(feature = "jobs")]
mod workdir_check;

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::{
    FileFunction, LoopNest, Points, Policy, Reduce, RunRange, Value, json_object, run_range,
};
use crate::util::error::{Error, Result};
pub(crate) use carried::Carried;
pub(crate) use child_environment::ChildEnvironment;
pub(crate) use columns::{FieldNames, MoreColumn, RUN_COLUMNS, SCORE, SUMMARY_COLUMNS};
#[cfg(feature = "cli")]
pub(crate) use columns::{OF_CRUNCH, OF_RUN};
#[cfg(feature = "jobs")]
pub(crate) use combined::file_words;
pub(crate) use command::CommandWords;
pub(crate) use counted::{FileRole, PythonModules};
pub(crate) use delimiters::Delimiters;
pub(crate) use digests::{
    CombinedDigests, DigestedFile, Digests, FileDigests, PointDigests, WatchedFile, WatchedFiles,
    digest, digest_of,
};
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) use files::Reading;
pub(crate) use files::{content_digests, watched_files, without_new_files};
pub(crate) use final_given::FinalIdentity;
pub(crate) use final_spec::{FINAL_FOLDER, FinalFunction, FinalSpec, summary_record};
pub(crate) use identity::{Identity, environment};
pub(crate) use kept_results::{KeptResults, KeptRun, ReadResult};
#[cfg(feature = "jobs")]
pub(crate) use loop_variables::{LoopVariable, loop_variables};
pub(crate) use places::Places;
#[cfg(feature = "jobs")]
pub(crate) use point_functions::{PointFunction, PointFunctions};
pub(crate) use repeats::equal_points;
pub(crate) use report_options::ListedGroups;
#[cfg(feature = "jobs")]
pub(crate) use result_pattern::{ResultPattern, number_or_text};
pub(crate) use result_spec::ResultSpec;
#[cfg(feature = "jobs")]
pub(crate) use result_spec::{FoundBy, ResultSource, WhichOne, is_outside};
pub(crate) use row_names::RowNames;
#[cfg(feature = "jobs")]
pub(crate) use run_facts::RunFacts;
#[cfg(feature = "jobs")]
pub(crate) use run_ids::RunIds;
pub(crate) use run_names::RunNames;
pub(crate) use seeding::{Seeding, was_key, without_new_fields};
#[cfg(feature = "jobs")]
pub(crate) use served::DEFAULT_R;
pub(crate) use served::{RCrunch, Serve};
pub(crate) use shell::ShellLine;
#[cfg(all(feature = "cli", feature = "jobs", feature = "mpi"))]
pub(crate) use slurm::SlurmOptions;
#[cfg(feature = "jobs")]
pub(crate) use template_file::FileTemplate;
pub(crate) use versions::Versions;
pub(crate) use workdir::{KeptFiles, PlacedFile, PlacedSource, Placing, RUNS_FOLDER, WorkdirSpec};

/// A job: the nest of loops around one expensive function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Names the results folder.
    pub(crate) name: String,
    /// The job file's folder, or the one that it names: relative paths are relative to it.
    pub(crate) folder: PathBuf,
    /// The loops, outermost first.
    pub(crate) nest: LoopNest,
    pub(crate) crunch: CrunchSpec,
    /// The field of crunch's result that is the score.
    pub(crate) score: String,
    pub(crate) policy: Policy,
    /// Patterns of files that crunch reads, besides those that are found; and of files that do not count.
    pub(crate) inputs: Vec<String>,
    pub(crate) ignore: Vec<String>,
    /// What workers compare; nothing if a change is to be ignored.
    pub(crate) watched: WatchedFiles,
    /// What all hosts must have in common with rank 0's.
    pub(crate) common: CommonEnvironment,
    /// Whether hosts may differ in that.
    pub(crate) allow_mixed: bool,
    /// What a task's seed depends on.
    pub(crate) seeding: Seeding,
    /// The levels of the loops whose points are files.
    pub(crate) file_loops: Vec<usize>,
    /// The levels of the loops whose points are folders.
    pub(crate) folder_loops: Vec<usize>,
    /// Which groups summary.json lists.
    pub(crate) groups: ListedGroups,
    /// What is called for each row when its best point is known.
    pub(crate) finally: Option<FinalSpec>,
    /// The folder of its own that each attempt runs in, if it has one.
    pub(crate) workdir: Option<WorkdirSpec>,
    /// Where the result of a program is found; what it gives by itself if nothing is said.
    pub(crate) result: Option<ResultSpec>,
    /// The environment of crunch's processes.
    pub(crate) environment: ChildEnvironment,
    pub(crate) versions: Versions,
    /// What the Python package has written for the children.
    pub(crate) carried: Carried,
    /// Line numbers of the job file's keys; only on rank 0.
    #[serde(skip)]
    pub(crate) places: Places,
}

/// What rank 0's host has, and all others must have too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CommonEnvironment {
    /// The path of the Python interpreter.
    pub(crate) interpreter: Option<PathBuf>,
    /// What it and the packages are that crunch imports, such as `Python's version`.
    pub(crate) python: BTreeMap<String, String>,
    /// The programs that crunch names without a path.
    pub(crate) programs: BTreeMap<String, FoundProgram>,
}

/// A program that was found on PATH.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FoundProgram {
    pub(crate) path: PathBuf,
    /// The digest of its content.
    pub(crate) digest: String,
}

/// The expensive function, and how to call it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum CrunchSpec {
    /// The product of the task's numbers.
    Multiply {
        /// How long to sleep first.
        sleep: Sleep,
    },
    /// Ridge regression, scored on the held-out fold.
    Ridge(RidgeOptions),
    /// A function in a Python file.
    Python(Python),
    /// A program and its arguments, with placeholders.
    Command(CommandWords),
    /// A command line for a shell, with placeholders.
    Shell(ShellLine),
    /// A worker in any language, which serves many tasks.
    Serve(Serve),
    /// A function in an R file.
    R(RCrunch),
    /// The user's Rust: for each loop the bincode form of its points, where they are not fetched.
    Native(Vec<Bytes>),
}

impl CrunchSpec {
    /// Whether it is called in processes of its own.
    pub(crate) fn has_processes(&self) -> bool {
        use CrunchSpec::{Command, Python, R, Serve, Shell};
        matches!(self, Python(_) | Command(_) | Shell(_) | Serve(_) | R(_))
    }

    /// Whether it is called in gridmpi's own process, and belongs to gridmpi.
    #[cfg(feature = "jobs")]
    pub(crate) fn is_builtin(&self) -> bool {
        matches!(self, CrunchSpec::Multiply { .. } | CrunchSpec::Ridge(_))
    }
}

/// How `ridge` reads a data set and fits it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RidgeOptions {
    /// The column to predict; the last one if none is named.
    pub(crate) target: Option<String>,
    /// Whether to scale each feature to unit variance on the training rows.
    pub(crate) standardize: bool,
    /// The columns to predict from; all others if none are named.
    pub(crate) features: Option<Vec<String>>,
    /// The columns that are left out.
    pub(crate) drop: Vec<String>,
    /// Cells that stand for a missing value. Rows with one are left out.
    pub(crate) na: Vec<String>,
    /// Whether the first line names the columns; found out if not said.
    pub(crate) header: Option<bool>,
}

/// How long `multiply` sleeps, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Sleep {
    /// The same for every task.
    Seconds(f64),
    /// The value of the point of the loop at this level.
    Point(usize),
}

/// A Python function as crunch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Python {
    /// The function to call for each task.
    pub(crate) function: FileFunction,
    /// Turns the point of the loop `data` into data, once per child process.
    pub(crate) load: Option<FileFunction>,
    /// The level of the loop whose points `load` takes.
    pub(crate) data: usize,
    /// How many data sets a child process keeps; the least recently used one is dropped first.
    pub(crate) keep: u64,
    /// Whether the global generators of random numbers get the task's seed before each call.
    pub(crate) reseed: bool,
    /// Whether each call gets a copy of the loaded data.
    pub(crate) data_copy: bool,
    /// Whether a call gets None for a loop that does not apply, or nothing.
    pub(crate) pass_none: bool,
    /// The Python interpreter.
    pub(crate) interpreter: String,
}

impl Job {
    /// Reads, parses and validates a job file; calls its functions that give points.
    #[cfg(feature = "jobs")]
    pub(crate) fn read(
        file: &std::path::Path,
        functions: &dyn PointFunctions,
    ) -> Result<(Job, String)> {
        parse::read(file, functions)
    }

    /// Parses the text of a job whose nest was found before. No function that gives points is called again.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn parse_again(text: &str, file: &std::path::Path, nest: &LoopNest) -> Result<Job> {
        parse::parse(text, file, parse::GivenBy::Nest(nest))
    }

    /// Parses and validates a job's text. `file` names it in errors; its folder, which must exist, is the
    /// base of relative paths. No function may give points.
    #[cfg(feature = "jobs")]
    pub(crate) fn parse(text: &str, file: &std::path::Path) -> Result<Job> {
        parse::parse(text, file, parse::GivenBy::Nobody)
    }

    /// An error about the value of `key` in the job file, with file and line.
    pub(crate) fn wrong(&self, key: &str, why: impl std::fmt::Display) -> Error {
        self.places.wrong(key, why)
    }

    /// The source of a loop's points, as the job file calls it: `files`, `logspace`.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn source(&self, name: &str) -> &'static str {
        let is = |source: &str| self.places.has(&format!("loop.{name}.{source}"));
        parse::sources::SOURCES.into_iter().find(|source| is(source)).unwrap_or("points")
    }

    /// The path of the job file.
    #[cfg(feature = "jobs")]
    pub(crate) fn file(&self) -> PathBuf {
        self.places.path()
    }

    /// Whether crunch is the user's Rust.
    pub(crate) fn is_native(&self) -> bool {
        matches!(self.crunch, CrunchSpec::Native(_))
    }

    /// The level of the loop over data sets that workers keep in memory, if there is one.
    pub(crate) fn data_level(&self) -> Option<usize> {
        match &self.crunch {
            CrunchSpec::Ridge(_) => self.nest.loops().iter().position(|l| l.name == "dataset"),
            CrunchSpec::Python(Python { load: Some(_), data, .. }) => Some(*data),
            CrunchSpec::Serve(serve) => serve.data,
            CrunchSpec::R(r) => r.load.as_ref().map(|_| r.data),
            CrunchSpec::Native(_) => self.nest.loops().iter().position(|l| l.is_data),
            _ => None,
        }
    }

    /// Whether the reduction of the runs needs a score from each.
    pub(crate) fn needs_score(&self) -> bool {
        self.nest.run_reduction().is_some_and(Reduce::needs_score)
    }

    /// The interpreter for Python functions: crunch's, or the default one.
    pub(crate) fn interpreter(&self) -> &str {
        match &self.crunch {
            CrunchSpec::Python(python) => &python.interpreter,
            _ => DEFAULT_INTERPRETER,
        }
    }

    /// For [`Template::fill`](placeholders::Template::fill): a table's own text of a loop's field, at the
    /// points that `point` gives by level.
    #[cfg(feature = "jobs")]
    pub(crate) fn cells<'a>(
        &'a self,
        point: impl Fn(usize) -> Option<u64> + 'a,
    ) -> impl Fn(&str, &str) -> Option<&'a str> {
        move |name, field| {
            let level = self.nest.loops().iter().position(|l| l.name == name)?;
            self.nest.loops()[level].points.cell(point(level)?, field)
        }
    }

    /// The same for what crunch is given: a cell that names a file is none, because the point has its absolute path.
    #[cfg(feature = "jobs")]
    pub(crate) fn passed_cells<'a>(
        &'a self,
        point: impl Fn(usize) -> Option<u64> + 'a,
    ) -> impl Fn(&str, &str) -> Option<&'a str> {
        let cells = self.cells(point);
        move |name, field| cells(name, field).filter(|cell| !self.makes_absolute(name, cell))
    }

    /// Whether a file does not count for what crunch is, because `ignore` has its name or its path.
    #[cfg(feature = "jobs")]
    pub(crate) fn ignores(&self, name: &str) -> bool {
        let base = std::path::Path::new(name).file_name().and_then(|base| base.to_str());
        let is = |pattern: &String| match crate::util::files::file_pattern(pattern) {
            Ok(pattern) => pattern.matches(name) || base.is_some_and(|base| pattern.matches(base)),
            Err(_) => false, // checked when the job was parsed
        };
        self.ignore.iter().any(is)
    }

    /// A study has no `ignore`.
    #[cfg(not(feature = "jobs"))]
    pub(crate) fn ignores(&self, _: &str) -> bool {
        false
    }

    /// The seed of a task.
    pub(crate) fn task_seed(&self, task: u64) -> u32 {
        self.seeding.seed_of(self.policy.seed, &self.nest, self.nest.task(task))
    }

    /// What runs have to lie in.
    pub(crate) fn run_range(&self) -> Option<RunRange<'_>> {
        run_range(&self.nest, self.policy.score_range)
    }
}

/// Checks a job's name, which is also a folder's name.
pub(crate) fn check_job_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(format!("\"{name}\" names no folder: use letters, digits, '-' or '_'"));
    }
    Ok(())
}

/// The name of what gridmpi itself tells a run.
pub(crate) const RESERVED: &str = "gridmpi";

/// Checks a loop's name.
pub(crate) fn check_name(name: &str, before: &[&str]) -> Result<(), String> {
    if name.eq_ignore_ascii_case(RESERVED) {
        return Err(format!(
            "'{RESERVED}' is what gridmpi itself tells a run, as in {{{RESERVED}.seed}}; call the loop something else"
        ));
    }
    let mut letters = name.chars();
    let starts = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !starts || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!(
            "\"{name}\" is no name for a loop: use letters, digits and '_', not starting with a digit"
        ));
    }
    let is_same = |other: &&str| other.eq_ignore_ascii_case(name);
    match before.iter().copied().find(is_same) {
        Some(other) if other == name => return Err(format!("there is a loop '{name}' already")),
        Some(other) => {
            return Err(format!(
                "'{name}' and the loop '{other}' differ by case alone, which is no difference in SQL; give it another name"
            ));
        }
        None => {}
    }
    let is_best_of = |best: &str, other: &str| best.eq_ignore_ascii_case(&format!("best_{other}"));
    let mut names = before.iter().copied();
    if let Some(other) = names.find(|o| is_best_of(name, o) || is_best_of(o, name)) {
        return Err(format!(
            "summary.csv has the best '{}' in a column '{}': call one of the loops '{other}' and '{name}' something else",
            if is_best_of(name, other) { other } else { name },
            if is_best_of(name, other) { name } else { other }
        ));
    }
    if SUMMARY_COLUMNS.iter().any(is_same) {
        return Err(format!("'{name}' is a column of summary.csv; call the loop something else"));
    }
    if RUN_COLUMNS.iter().any(is_same) {
        let taken = RUN_COLUMNS.join(", ");
        return Err(format!(
            "'{name}' is a column of every run ({taken}; SQL does not tell case); call the loop something else"
        ));
    }
    Ok(())
}

/// Checks the names of a loop's fields.
pub(crate) fn check_fields(points: &Points) -> Result<(), String> {
    let mut known = BTreeMap::new();
    for field in points.fields() {
        if let Some(other) = known.insert(field.to_ascii_lowercase(), field.clone()) {
            return Err(format!(
                "the fields '{other}' and '{field}' differ by case alone, which is no difference in SQL; rename one"
            ));
        }
    }
    Ok(())
}

/// The files that make a folder a results folder: the store, and the lock of the process that works there.
pub(crate) const STORE_FILE: &str = "runs.sqlite";
pub(crate) const LOCK_FILE: &str = ".lock";

/// What gridmpi writes for its users beside the store.
pub(crate) const RESULT_FILES: [&str; 4] =
    ["summary.json", "summary.csv", "status.json", "report.html"];

/// The folder of values that are too large for the store. Each file is named by the digest of its content,
/// so that its name stays valid in a store with other task numbers.
pub(crate) const LARGE_FOLDER: &str = "large";

/// The folder of the results folders of a job's parts.
pub(crate) const PARTS_FOLDER: &str = "parts";

/// The folder with the output of runs that somebody follows.
pub(crate) const FOLLOW_FOLDER: &str = ".follow";

/// What rank 0 tells `gridmpi launch` in a results folder: how the names of these files begin.
pub(crate) const LAUNCH_FILE: &str = ".launch";

/// Whether a file of a results folder is that of a launch.
pub(crate) fn is_launch_file(name: &str) -> bool {
    name.strip_prefix(LAUNCH_FILE).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The interpreter if the job names none.
pub(crate) const DEFAULT_INTERPRETER: &str = "python3";

/// Named values as a JSON object.
pub(crate) fn named_json(values: &[(&str, Value)]) -> serde_json::Value {
    json_object(values.iter().map(|(name, value)| (*name, value.to_json())))
}

/// Named values as errors show them.
#[cfg(feature = "jobs")]
pub(crate) fn named_words(
    values: impl IntoIterator<Item = (impl std::fmt::Display, Value)>,
) -> String {
    let words = values.into_iter().map(|(name, value)| match value {
        Value::Null => format!("{name} = none"),
        Value::Text(text) => format!("{name} = '{text}'"),
        other => format!("{name} = {other}"),
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "any task".to_string() } else { words.join(", ") }
}
