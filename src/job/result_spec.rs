//! Where the result of a program is found, if the job says so: `result = { pattern = '...' }`, `[crunch.result]`.

use std::fmt;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ResultSpec {
    One(ResultSource),
    /// The fields of a record.
    Named(Vec<(String, ResultSource)>),
}

/// Where one value is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResultSource {
    /// The file, with placeholders; stdout if there is none.
    pub(crate) file: Option<String>,
    pub(crate) found: FoundBy,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum FoundBy {
    /// A regular expression.
    Pattern(String, WhichOne),
    /// A column of a CSV table, and the row.
    Column(String, WhichOne),
    /// The path of a field in a JSON document.
    Field(String),
}

/// Whether a path leads out of the folder that it is relative to.
pub(crate) fn is_outside(name: &str) -> bool {
    let path = Path::new(name);
    path.is_absolute() || path.components().any(|part| part == Component::ParentDir)
}

/// Which of the matches of a pattern, or of the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum WhichOne {
    First,
    Last,
    /// The only one.
    Only,
    /// That many others before it.
    At(u64),
}

impl ResultSpec {
    /// The sources, with their names if they have any.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (Option<&str>, &ResultSource)> {
        let (one, named) = match self {
            ResultSpec::One(source) => (Some((None, source)), &[][..]),
            ResultSpec::Named(sources) => (None, &sources[..]),
        };
        one.into_iter().chain(named.iter().map(|(name, source)| (Some(name.as_str()), source)))
    }
}

/// As in a job file: this is a part of crunch's identity.
impl fmt::Display for ResultSpec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.sources().map(|(name, source)| match name {
            Some(name) => format!("{name:?} = {source}"),
            None => source.to_string(),
        });
        match self {
            ResultSpec::One(source) => source.fmt(out),
            ResultSpec::Named(_) => write!(out, "{{ {} }}", all.collect::<Vec<_>>().join(", ")),
        }
    }
}

impl fmt::Display for ResultSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("{ ")?;
        if let Some(file) = &self.file {
            write!(out, "file = {file:?}, ")?;
        }
        match &self.found {
            FoundBy::Pattern(pattern, which) => {
                write!(out, "pattern = {pattern:?}, match = {which} }}")
            }
            FoundBy::Column(column, which) => write!(out, "column = {column:?}, row = {which} }}"),
            FoundBy::Field(path) => write!(out, "field = {path:?} }}"),
        }
    }
}

impl fmt::Display for WhichOne {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhichOne::First => out.write_str("\"first\""),
            WhichOne::Last => out.write_str("\"last\""),
            WhichOne::Only => out.write_str("\"only\""),
            WhichOne::At(number) => number.fmt(out),
        }
    }
}
