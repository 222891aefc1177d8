//! The identity of a job's crunch: what the job says of it, and the content of the files that it consists
//! of. Stored runs are reused only if it is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::job::counted::{CountedFile, FileRole, PythonModules, counted_files};
use crate::job::versions::changed_versions;
use crate::job::{CrunchSpec, FileDigests, FoundProgram, Job, RidgeOptions, was_key};
use crate::model::{FileFunction, Reduce};
use crate::util::error::Result;

/// The environment variables that decide which programs and libraries are found.
const ENVIRONMENT: [&str; 6] =
    ["PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "CONDA_PREFIX", "VIRTUAL_ENV", "LOADEDMODULES"];

/// What decides the results of runs and summaries.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// What the job says of crunch, by key of the job file. A key that an older store does not have is
    /// taken as unchanged.
    pub(crate) keys: BTreeMap<String, String>,
    /// What it says of crunch but for `result`, where it has that. An older store does not know it.
    #[serde(default)]
    pub(crate) but_result: Option<String>,
    /// The field that is the score. Another one changes no run.
    pub(crate) score: String,
    /// The reduction of each loop, outermost first. Another one changes no run.
    pub(crate) reduces: Vec<String>,
    /// The files that count, by the name that the job gives them.
    pub(crate) files: BTreeMap<String, IdentityFile>,
    /// The versions of the Python packages that crunch imports.
    #[serde(default)]
    pub(crate) packages: BTreeMap<String, String>,
    /// The same for reductions. Another version changes no run.
    #[serde(default)]
    pub(crate) reduction_packages: BTreeMap<String, String>,
    /// What the user says that crunch is, by its parts.
    #[serde(default)]
    pub(crate) version: BTreeMap<String, String>,
    /// Where these files are; not known of stored runs.
    #[serde(skip)]
    pub(crate) paths: BTreeMap<String, PathBuf>,
    /// Whether the store is older than this record of files.
    #[serde(skip)]
    pub(crate) is_partial: bool,
}

/// A file that counts, and the digest of its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct IdentityFile {
    pub(crate) role: FileRole,
    pub(crate) digest: String,
}

/// The differences of a job from the one that made the runs of a store.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct IdentityChanges {
    /// Why its runs are not this job's.
    pub(crate) refused: Vec<String>,
    /// What may matter, and is reported.
    pub(crate) remarks: Vec<String>,
    /// Whether crunch differs in its `result` alone, and no file does.
    another_result: bool,
}

impl Identity {
    /// The programs that crunch names without a path, and where they were found.
    pub(crate) fn found_programs(&self) -> BTreeMap<String, FoundProgram> {
        let is_program = |role| matches!(role, FileRole::Program | FileRole::System);
        let programs =
            self.files.iter().filter(|(word, file)| is_program(file.role) && !word.contains('/'));
        let found = programs.filter_map(|(word, file)| {
            let (path, digest) = (self.paths.get(word)?.clone(), file.digest.clone());
            Some((word.clone(), FoundProgram { path, digest }))
        });
        found.collect()
    }

    /// The identity of a job. `version` is the version that the user gives to a crunch in Rust. Of the
    /// modules that calls import, only those that `before` has are known before the start; of all modules, if
    /// nothing was imported to find out.
    pub(crate) fn of(
        job: &Job,
        version: &str,
        modules: Option<&PythonModules>,
        digests: &mut FileDigests,
        before: Option<&Identity>,
    ) -> Result<Identity> {
        let function = |f: &FileFunction| format!("{}:{}", f.file, f.function);
        // Not keys of their own: stores that lack them would count as unchanged.
        let environment = job.environment.identity();
        let result = job.result.as_ref().map(|result| format!("{environment}, result {result}"));
        let crunch_with = |added: &str| match &job.crunch {
            CrunchSpec::Multiply { .. } => "builtin multiply 1".to_string(),
            CrunchSpec::Ridge(RidgeOptions { target, standardize, .. }) => {
                let target = target.as_deref().unwrap_or("the last column");
                format!("builtin ridge 2, target {target}, standardize {standardize}")
            }
            CrunchSpec::Python(python) => {
                let load = python.load.as_ref();
                let load = load.map_or(String::new(), |load| format!(", load {}", function(load)));
                // No key of its own either.
                let none = if python.pass_none { "" } else { ", pass_none false" };
                match job.versions.crunch.is_empty() {
                    true => format!("python {}{load}{none}{added}", function(&python.function)),
                    false => {
                        let load = if load.is_empty() { "" } else { ", load" };
                        format!("python by version{load}{none}{added}")
                    }
                }
            }
            CrunchSpec::Command(words) => format!("command {words:?}{added}"),
            CrunchSpec::Shell(line) => format!("shell {line}{added}"),
            CrunchSpec::Serve(serve) => {
                let load = if serve.data.is_some() { ", load" } else { "" };
                format!("serve {:?}{load}{added}", serve.words)
            }
            CrunchSpec::R(r) => {
                let load = r.load.as_ref();
                let load = load.map_or(String::new(), |load| format!(", load {}", function(load)));
                format!("r {}{load}{added}", function(&r.function))
            }
            CrunchSpec::Native(_) => format!("Rust, version \"{version}\""),
        };
        // Not a key of its own either. What is kept, and where attempts run, changes no result.
        let in_folders = |crunch: String| match &job.workdir {
            Some(spec) if !job.is_native() => {
                format!("{crunch}, each in a folder of its own{}", spec.text)
            }
            _ => crunch,
        };
        let crunch = crunch_with(result.as_ref().unwrap_or(&environment));
        let but_result = result.is_some().then(|| in_folders(crunch_with(&environment)));
        let mut keys = BTreeMap::from([
            ("crunch".to_string(), in_folders(crunch)),
            ("seed".to_string(), job.policy.seed.to_string()),
        ]);
        keys.extend(job.seeding.keys());
        if let CrunchSpec::Shell(line) = &job.crunch {
            keys.insert("shell".to_string(), line.shell.clone());
        }
        if let CrunchSpec::Python(python) = &job.crunch {
            keys.insert("interpreter".to_string(), python.interpreter.clone());
            keys.insert("reseed".to_string(), python.reseed.to_string());
            keys.insert("data_copy".to_string(), python.data_copy.to_string());
            if python.load.is_some() {
                keys.insert("data".to_string(), job.nest.loops()[python.data].name.clone());
            }
        }
        if let CrunchSpec::R(r) = &job.crunch {
            keys.insert("interpreter".to_string(), r.interpreter.clone());
        }
        if let (CrunchSpec::Serve(_) | CrunchSpec::R(_), Some(data)) =
            (&job.crunch, job.data_level())
        {
            keys.insert("data".to_string(), job.nest.loops()[data].name.clone());
        }
        if let CrunchSpec::Ridge(RidgeOptions { features, drop, na, header, .. }) = &job.crunch {
            let mut set = |key: &str, value: String| keys.insert(key.to_string(), value);
            set("features", features.as_ref().map_or("all".to_string(), |all| format!("{all:?}")));
            set("drop", format!("{drop:?}"));
            set("na", format!("{na:?}"));
            set("header", format!("{header:?}"));
        }
        let reduce = |reduce: Option<&Reduce>| match reduce {
            Some(Reduce::Python(f)) => format!("python {}", function(f)),
            Some(Reduce::Native) => format!("Rust, version \"{version}\""),
            named => named.map_or(String::new(), Reduce::text),
        };
        let none = PythonModules::default();
        let mut counted = counted_files(job, modules.unwrap_or(&none))?;
        for (name, file) in before.iter().flat_map(|before| &before.files) {
            let path = job.folder.join(name);
            let is_unknown = match file.role {
                FileRole::LateModule | FileRole::LateReduction => true,
                FileRole::Module | FileRole::Reduction => modules.is_none(),
                _ => false,
            };
            if is_unknown && path.is_file() && !job.ignores(name) {
                let same = || CountedFile { role: file.role, path };
                counted.entry(name.clone()).or_insert_with(same);
            }
        }
        digests.take(counted.values().map(|file| file.path.clone()))?;
        let paths = counted.iter().map(|(name, file)| (name.clone(), file.path.clone())).collect();
        let digest = |(name, file): (String, CountedFile)| {
            let digest = digests.get(&file.path).to_string();
            (name, IdentityFile { role: file.role, digest })
        };
        let mut files: BTreeMap<_, _> = counted.into_iter().map(digest).collect();
        for (name, file) in before.iter().flat_map(|before| &before.files) {
            if job.ignores(name) {
                files.entry(name.clone()).or_insert_with(|| file.clone()); // it does not count any more
            }
        }
        Ok(Identity {
            keys,
            but_result,
            score: job.score.clone(),
            reduces: job
                .nest
                .loops()
                .iter()
                .map(|l| reduce(l.reduce.as_ref()) + &l.stops())
                .collect(),
            files,
            packages: modules.map(|modules| modules.packages.clone()).unwrap_or_default(),
            reduction_packages: modules
                .map(|modules| modules.reduction_packages.clone())
                .unwrap_or_default(),
            version: job.versions.crunch.clone(),
            paths,
            is_partial: false,
        })
    }

    /// The rows of the store's table `job`.
    pub(crate) fn notes(&self) -> [(&'static str, String); 4] {
        let key = |name: &str| self.keys.get(name).cloned().unwrap_or_default();
        [
            ("crunch", key("crunch")),
            ("score", self.score.clone()),
            ("seed", key("seed")),
            ("reduces", serde_json::json!(self.reduces).to_string()),
        ]
    }

    /// Reads the identity from the rows of an older store, which has the digests of Python files within
    /// the text.
    pub(crate) fn from_notes<E>(
        mut note: impl FnMut(&str) -> Result<Option<String>, E>,
    ) -> Result<Identity, E> {
        let mut files = BTreeMap::new();
        let crunch = note("crunch")?.unwrap_or_default();
        let crunch = without_digests(&crunch, FileRole::Function, &mut files);
        let seed = note("seed")?.unwrap_or_default();
        let reduces = note("reduces")?.and_then(|json| serde_json::from_str(&json).ok());
        let reduces: Vec<String> = reduces.unwrap_or_default();
        let mut plain = |text: &String| without_digests(text, FileRole::Reduction, &mut files);
        let reduces = reduces.iter().map(&mut plain).collect();
        Ok(Identity {
            keys: [("crunch", crunch), ("seed", seed)]
                .map(|(key, text)| (key.to_string(), text))
                .into(),
            but_result: None,
            score: note("score")?.unwrap_or_default(),
            reduces,
            files,
            packages: BTreeMap::new(),
            reduction_packages: BTreeMap::new(),
            version: BTreeMap::new(),
            paths: BTreeMap::new(),
            is_partial: true,
        })
    }

    /// Compares the identity of stored runs with that of a job now. A file that was not there at the first
    /// start does not count, unless `inputs` names it: a run may have written it. Such files are removed
    /// from `now`.
    pub(crate) fn changes(&self, now: &mut Identity) -> IdentityChanges {
        let mut changes = IdentityChanges::default();
        let mut unrecorded = Vec::new();
        for (key, is) in &now.keys {
            match self.keys.get(key) {
                Some(was) if was != is => {
                    let what = if key == "seed" { "the job's seed" } else { key };
                    changes.refused.push(format!("{what} has changed from `{was}` to `{is}`"));
                }
                Some(_) => {}
                // Runs without a loop are those at the value that they had.
                None if key.starts_with(&was_key("")) => {}
                None if key == "seed_by" && is == "all loops" => {}
                None => unrecorded.push(key.clone()),
            }
        }
        for (key, was) in &self.keys {
            if key.starts_with(&was_key("")) && !now.keys.contains_key(key) {
                changes.refused.push(format!(
                    "{key}, {was}, is not said any more, and the seeds of runs depend on it"
                ));
            }
        }
        changes.refused.extend(changed_versions(&self.version, &now.version));
        let has_version = !self.version.is_empty() && !now.version.is_empty();
        let is_text = now.version.contains_key("");
        let counts = |role| match role {
            FileRole::Function => !has_version,
            FileRole::Module | FileRole::LateModule => !has_version || !is_text,
            _ => true,
        };
        for (name, was) in &self.packages {
            match now.packages.get(name) {
                Some(is) if is != was => {
                    let package = format!("the Python package {name} was {was} and is {is}");
                    changes.refused.push(package);
                }
                _ => {}
            }
        }
        for (name, was) in &self.files {
            let is = now.files.get(name);
            let role = was.role.name();
            let difference = match is {
                Some(is) if is.digest == was.digest => continue,
                Some(_) => format!("{name} has changed ({role})"),
                None => format!("{name} is gone ({role})"),
            };
            match was.role {
                FileRole::Reduction | FileRole::LateReduction => {}
                role if !counts(role) => {}
                // It is refused if the program is now one that is not the system's.
                FileRole::System if is.is_none_or(|is| is.role == FileRole::System) => {
                    changes.remarks.push(difference);
                }
                _ => changes.refused.push(difference),
            }
        }
        now.files.retain(|name, file| {
            if self.files.contains_key(name) {
                return true;
            }
            match file.role {
                FileRole::System => {}
                role if !counts(role) => {}
                _ if self.is_partial => unrecorded.push(name.clone()),
                FileRole::Argument => return false,
                FileRole::Input | FileRole::Program | FileRole::Module => {
                    changes.refused.push(format!("{name} is new ({})", file.role.name()));
                }
                _ => {}
            }
            true
        });
        changes.another_result = self.keys.get("crunch") != now.keys.get("crunch")
            && self.but_result.is_some()
            && self.but_result == now.but_result;
        if self.is_partial && !unrecorded.is_empty() {
            changes.remarks.push(format!(
                "the gridmpi that made its runs did not record {}: taken as unchanged",
                unrecorded.join(", ")
            ));
        }
        changes
    }

    /// The paths of the files that crunch consists of, but for the operating system's programs, and for modules
    /// that only calls import: their children report them.
    pub(crate) fn crunch_paths(&self) -> BTreeSet<PathBuf> {
        use FileRole::{LateModule, LateReduction, System};
        let is_elsewhere = |role| matches!(role, System | LateModule | LateReduction);
        let own = self.files.iter().filter(|(_, file)| !is_elsewhere(file.role));
        own.filter_map(|(name, _)| self.paths.get(name).cloned()).collect()
    }

    /// The digests of the modules that calls have imported.
    pub(crate) fn late_modules(&self) -> BTreeMap<String, String> {
        let is_late = |role| matches!(role, FileRole::LateModule | FileRole::LateReduction);
        let late = self.files.iter().filter(|(_, file)| is_late(file.role));
        late.map(|(name, file)| (name.clone(), file.digest.clone())).collect()
    }

    /// Adds a module that a call has imported: of crunch, or of a reduction if no call of crunch has.
    pub(crate) fn add_late_module(&mut self, name: String, digest: String, role: FileRole) {
        let known = self.files.get(&name).map(|file| file.role);
        if known.is_none()
            || known == Some(FileRole::LateReduction) && role != FileRole::LateReduction
        {
            self.files.insert(name, IdentityFile { role, digest });
        }
    }

    /// Whether the modules that only calls import are what they were.
    pub(crate) fn same_late_modules(&self, now: &Identity) -> bool {
        let late = self.late_modules();
        late.iter()
            .all(|(name, digest)| now.files.get(name).is_some_and(|file| file.digest == *digest))
    }

    /// Whether summaries by the user's function of the loop at this level are the same under both: the
    /// score, its reduction and all inner ones, and all Python files, because those of crunch may have
    /// reductions too.
    pub(crate) fn same_summaries(&self, now: &Identity, level: usize) -> bool {
        let python = |identity: &Identity| -> Vec<IdentityFile> {
            use FileRole::{Function, Interpreter, LateModule, LateReduction, Module, Reduction};
            let roles = [Function, Interpreter, LateModule, LateReduction, Module, Reduction];
            let files = identity.files.values();
            files.filter(|file| roles.contains(&file.role)).cloned().collect()
        };
        self.score == now.score
            && self.reduces.get(level..) == now.reduces.get(level..)
            && python(self) == python(now)
            && self.reduction_packages == now.reduction_packages
    }
}

impl IdentityChanges {
    /// What is refused, if that is another `result` and nothing else.
    pub(crate) fn of_result(&self) -> Option<&str> {
        match self.refused.as_slice() {
            [why] if self.another_result => Some(why),
            _ => None,
        }
    }

    /// Why the runs are not this job's, if they are not.
    pub(crate) fn refusal(&self) -> Option<String> {
        (!self.refused.is_empty()).then(|| self.refused.join(", and "))
    }
}

/// The environment variables that decide what is found, as JSON.
pub(crate) fn environment() -> BTreeMap<String, String> {
    let value = |name: &str| {
        let value = std::env::var_os(name)?;
        Some((name.to_string(), value.to_string_lossy().into_owned()))
    };
    ENVIRONMENT.into_iter().filter_map(value).collect()
}

/// Takes the digests out of a text such as `python fit.py:crunch (DIGEST), load fit.py:load (DIGEST)`.
fn without_digests(
    text: &str,
    role: FileRole,
    files: &mut BTreeMap<String, IdentityFile>,
) -> String {
    let Some(functions) = text.strip_prefix("python ") else { return text.to_string() };
    let mut plain = Vec::new();
    for part in functions.split(", load ") {
        let digest = part.strip_suffix(')').and_then(|part| part.rsplit_once(" ("));
        match digest {
            Some((function, digest)) if digest.len() == 32 => {
                let file = function.rsplit_once(':').map_or(function, |(file, _)| file);
                let digest = digest.to_string();
                files.entry(file.to_string()).or_insert(IdentityFile { role, digest });
                plain.push(function);
            }
            _ => plain.push(part),
        }
    }
    format!("python {}", plain.join(", load "))
}

#[cfg(test)]
mod tests;
