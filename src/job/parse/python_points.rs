//! `python = "grid.py:points"` as a source: a function that gives the points of a loop, called with the points of
//! those loops around it that it has parameters for.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use crate::condition::{Evaluator, Holds, LoopColumn};
use crate::job::parse::dependent_sources::{Around, DependentSource, Found, level_of};
use crate::job::parse::keys::{TomlEntry, TomlTable};
use crate::job::parse::listed::{MOST_LISTED, has_nan};
use crate::job::parse::progress::NestProgress;
use crate::job::parse::python_function;
use crate::job::parse::sources::{self, SOURCES};
use crate::job::point_functions::{PointFunction, PointFunctions};
use crate::job::{check_fields, equal_points};
use crate::model::{FileFunction, Points, Value};
use crate::util::error::{Error, Result};

/// How many points one call may give, unless the job file says so: what is more is an endless generator.
const MOST: u64 = 1_000_000;

/// A function as a source, before it is imported.
pub(super) struct PythonPoints<'a> {
    entry: TomlEntry<'a>,
    function: FileFunction,
    most: u64,
}

/// What calls the functions of a job, and where they are.
pub(super) struct PointCalls<'a> {
    pub(super) functions: &'a dyn PointFunctions,
    pub(super) interpreter: String,
    pub(super) folder: &'a Path,
}

/// An imported function.
struct ImportedPoints<'a> {
    source: PythonPoints<'a>,
    function: RefCell<Box<dyn PointFunction>>,
    levels: BTreeSet<usize>,
    progress: NestProgress,
    /// Whether equal points have been told.
    told: RefCell<bool>,
}

/// What a function gives: points that are the same everywhere, or points that depend on the loops around.
pub(super) enum GivenPoints<'a> {
    Fixed(Points),
    Dependent(Box<dyn DependentSource + 'a>),
}

impl<'a> PythonPoints<'a> {
    /// The loop's source, if it is a function.
    pub(super) fn take(table: &mut TomlTable<'a>) -> Result<Option<PythonPoints<'a>>> {
        let Some(entry) = table.take("python") else { return Ok(None) };
        for other in SOURCES.into_iter().filter(|other| *other != "python") {
            if let Some(second) = table.take(other) {
                return Err(sources::second(&second, "python", other));
            }
        }
        let function = python_function(&entry)?;
        let most = match table.take("most") {
            None => MOST,
            Some(most) => match most.count(1)? {
                count if count > MOST_LISTED => {
                    return Err(most.error(format!(
                        "{count} points; a loop whose points are listed has {MOST_LISTED} at most"
                    )));
                }
                count => count,
            },
        };
        Ok(Some(PythonPoints { entry, function, most }))
    }

    /// Imports the function. If it takes no point of the loops `around`, it is called at once.
    pub(super) fn import(
        self,
        name: &str,
        around: &[&str],
        calls: Option<&PointCalls>,
        progress: &NestProgress,
    ) -> Result<GivenPoints<'a>> {
        let Some(PointCalls { functions, interpreter, folder }) = calls else {
            return Err(self.entry.error("no function is called here to find points"));
        };
        progress.calls(&self.text(), "its import");
        let imported = functions.import(&self.function, folder, interpreter, around);
        progress.has_imported();
        let function = imported.map_err(|why| self.entry.error(why))?;
        let is_fixed = function.takes().is_empty();
        let imported = ImportedPoints {
            source: self,
            function: RefCell::new(function),
            levels: BTreeSet::new(),
            progress: progress.clone(),
            told: RefCell::new(false),
        };
        if !is_fixed {
            return Ok(GivenPoints::Dependent(Box::new(imported)));
        }
        let values = imported.call(&[], "")?;
        if values.is_empty() {
            return Err(
                imported.error("", &format!("it gives no points, so loop '{name}' has none"))
            );
        }
        Ok(GivenPoints::Fixed(Points::List(values)))
    }

    fn text(&self) -> String {
        format!("{}:{}", self.function.file, self.function.function)
    }
}

impl ImportedPoints<'_> {
    fn error(&self, place: &str, why: &str) -> Error {
        self.source.entry.error(format!("{}{place}: {why}", self.source.text()))
    }

    /// The points for these points of the loops around; `place` says which these are.
    fn call(&self, around: &[(&str, Value)], place: &str) -> Result<Vec<Value>> {
        self.progress.calls(&self.source.text(), place);
        let given = self.function.borrow_mut().points(around, self.source.most);
        let values = given.map_err(|why| self.error(place, &why))?;
        self.progress.has_called(values.len() as u64);
        if let Some(at) = values.iter().position(has_nan) {
            let why = format!("the point at index {at} is NaN, or has one: give None, or a string");
            return Err(self.error(place, &why));
        }
        let points = Points::List(values);
        check_fields(&points).map_err(|why| self.error(place, &why))?;
        if !*self.told.borrow()
            && let Some(why) = equal_points(&points)
        {
            log::warn!("{}", self.error(place, &why));
            self.told.replace(true);
        }
        match points {
            Points::List(values) => Ok(values),
            _ => unreachable!("it is a list"),
        }
    }
}

impl DependentSource for ImportedPoints<'_> {
    fn prepare(&mut self, _: &Evaluator, known: &[LoopColumn]) -> Result<()> {
        let function = self.function.borrow();
        self.levels = function.takes().iter().filter_map(|name| level_of(name, known)).collect();
        Ok(())
    }

    fn levels(&self) -> &BTreeSet<usize> {
        &self.levels
    }

    fn holds(&self) -> Option<Holds> {
        None
    }

    fn points(&self, _: &Path, _: &Evaluator, around: &Around) -> Result<Found> {
        let given = |level: &usize| ((around.name)(*level), (around.point)(*level));
        let given: Vec<(&str, Value)> = around.levels.iter().map(given).collect();
        self.call(&given, &format!(" at {}", around.in_words())).map(Found::Values)
    }
}
