//! The folder that each attempt runs in: what is put into it, what of it is kept, and what is passed on to crunch there.

use std::borrow::Cow;
#[cfg(feature = "jobs")]
use std::path::Path;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::job::{Delimiters, Job};
use crate::model::Value;

/// The folder in a results folder that has the kept folders of runs, and those of attempts under way.
pub(crate) const RUNS_FOLDER: &str = "runs";

/// What `[crunch.workdir]` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkdirSpec {
    /// What is put into the folder, as the job file says it: a part of what crunch is.
    pub(crate) text: String,
    /// The same, file by file.
    pub(crate) files: Vec<PlacedFile>,
    /// What delimits expressions in templates.
    pub(crate) delimiters: Delimiters,
    pub(crate) keep: KeptFiles,
    /// Where attempts run, if not in the results folder; with `$NAME` for variables of a worker's host.
    pub(crate) scratch: Option<String>,
    /// Where kept folders are, an absolute path, and the number of this start: set on rank 0. Without a store, empty.
    pub(crate) runs: PathBuf,
    pub(crate) session: i64,
}

/// Which files of an attempt are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum KeptFiles {
    All,
    /// All of those that have failed, none of others.
    #[default]
    Failed,
    None,
    /// Those that match one of these patterns, or are in a folder that does.
    #[cfg(feature = "jobs")]
    Matching(Vec<String>),
}

/// A file, or a folder that is linked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlacedFile {
    /// Its path in the attempt's folder.
    pub(crate) target: String,
    pub(crate) source: PlacedSource,
    pub(crate) how: Placing,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum PlacedSource {
    /// An absolute path.
    Path(PathBuf),
    /// A template, which is filled in: its path, how the job names it, and its text.
    Template { path: PathBuf, name: String, text: String },
    /// With placeholders; relative to the job's folder.
    Word(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Placing {
    Template,
    Copy,
    Link,
}

impl WorkdirSpec {
    /// Whether files of this name, as a command line has it, are in the folder when an attempt begins.
    #[cfg(feature = "jobs")]
    pub(crate) fn has(&self, name: &str) -> bool {
        let name = name.strip_prefix("./").unwrap_or(name).trim_end_matches('/');
        let is_in = |file: &PlacedFile| {
            let is_below = |name: &str, folder: &str| {
                name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
            };
            file.target == name
                || is_below(&file.target, name)
                || file.how == Placing::Link && is_below(name, &file.target)
        };
        self.files.iter().any(is_in)
    }

    /// The key that puts this file, a path inside the folder of an attempt, there, if one does.
    #[cfg(feature = "jobs")]
    pub(crate) fn puts(&self, path: &Path) -> Option<&'static str> {
        let file = self.files.iter().find(|file| path.starts_with(&file.target))?;
        Some(match file.how {
            Placing::Template => "template",
            Placing::Copy => "copy",
            Placing::Link => "link",
        })
    }

    /// The name of what is kept of an attempt until its run is recorded.
    pub(crate) fn temporary(
        session: i64,
        (task, attempt): (u64, u32),
        (rank, thread): (usize, u32),
    ) -> String {
        format!(".{session}-{task}-{attempt}-{rank}-{thread}")
    }
}

impl Job {
    /// A point of the loop at a level as crunch is given it: in a folder of its own, the files and folders that the point
    /// names have absolute paths.
    pub(crate) fn passed<'v>(&self, level: usize, value: &'v Value) -> Cow<'v, Value> {
        if self.workdir.is_none() || !value.texts().into_iter().any(|text| self.names(level, text))
        {
            return Cow::Borrowed(value);
        }
        let absolute = |text: String| match self.names(level, &text) {
            true => Value::Text(self.folder.join(text).to_string_lossy().into_owned()),
            false => Value::Text(text),
        };
        Cow::Owned(value.clone().map_texts(&absolute))
    }

    /// The same as JSON.
    #[cfg(feature = "jobs")]
    pub(crate) fn passed_json(&self, level: usize, point: u64) -> String {
        self.passed(level, &self.nest.loops()[level].points.get(point)).to_exact()
    }

    /// Whether a string in a point is the path of a file, or of a folder where the loop is one of folders. A plain word
    /// stays what it is, whatever files there are: it may be the name of a method.
    fn names(&self, level: usize, text: &str) -> bool {
        let is_of_files = self.file_loops.contains(&level) || self.folder_loops.contains(&level);
        let is_word = !text.contains(['/', '.']) && !is_of_files;
        if is_word || text.starts_with('/') {
            return false;
        }
        let path = self.folder.join(text);
        path.is_file() || self.folder_loops.contains(&level) && path.is_dir()
    }

    /// Whether a string in a point of a loop is passed on as an absolute path.
    #[cfg(feature = "jobs")]
    pub(super) fn makes_absolute(&self, name: &str, text: &str) -> bool {
        let level = self.nest.loops().iter().position(|l| l.name == name);
        self.workdir.is_some() && level.is_some_and(|level| self.names(level, text))
    }

    /// A task's points by name, as crunch is given them.
    pub(crate) fn passed_points(&self, task: u64) -> Vec<(&str, Value)> {
        self.all_passed(self.nest.coordinates(self.nest.task(task)))
    }

    /// The same of these points, one per level.
    pub(crate) fn all_passed<'n>(
        &self,
        mut points: Vec<(&'n str, Value)>,
    ) -> Vec<(&'n str, Value)> {
        if self.workdir.is_some() {
            for (level, (_, value)) in points.iter_mut().enumerate() {
                if let Cow::Owned(absolute) = self.passed(level, value) {
                    *value = absolute;
                }
            }
        }
        points
    }
}
