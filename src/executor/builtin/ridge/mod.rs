//! The builtin `ridge`: ridge regression on a CSV file, scored by R^2 on the held-out fold. Folds are contiguous;
//! the first `n mod k` of them are one row longer, as in scikit-learn's `KFold` without shuffling. `table.rs` reads
//! the file, `fold.rs` fits.

mod fold;
mod jacobi;
mod table;

use std::ops::Range;
use std::sync::Arc;

use crate::executor::watch::FileWatch;
use crate::executor::{CallResult, Executor, Task};
use crate::job::{Job, RidgeOptions};
use crate::model::{Points, RunError, Scored, Value};
use crate::util::cache::Cache;
use crate::util::error::{Error, Result};
use crate::wire::requests::MasterClient;
use fold::RidgeFold;
use table::RidgeTable;

/// How many data sets a process caches; tasks are ordered by data set.
const KEEP: usize = 2;

/// How much memory the decompositions of a process may take. (bytes)
const MEMORY: usize = 512 << 20;

/// A process's cache of data sets, by file name, and of their folds.
#[derive(Default)]
pub(crate) struct RidgeCache {
    tables: Cache<String, RidgeTable>,
    folds: Cache<(String, usize), RidgeFold>,
}

pub(crate) struct Ridge {
    job: Arc<Job>,
    cache: Arc<RidgeCache>,
    watch: Arc<FileWatch>,
    master: Arc<dyn MasterClient>,
    options: RidgeOptions,
    folds: usize,
}

impl Ridge {
    pub(crate) fn new(
        job: &Arc<Job>,
        cache: &Arc<RidgeCache>,
        (watch, master): (&Arc<FileWatch>, &Arc<dyn MasterClient>),
        options: &RidgeOptions,
    ) -> Ridge {
        Ridge {
            job: job.clone(),
            cache: cache.clone(),
            watch: watch.clone(),
            master: master.clone(),
            options: options.clone(),
            folds: folds(job) as usize,
        }
    }

    fn call(&mut self, task: &Task) -> Result<Scored, RunError> {
        let coordinates = task.coordinates();
        let point = |name: &str| {
            coordinates.iter().find(|(l, _)| *l == name).map(|(_, value)| value).expect("checked")
        };
        let (dataset, alpha) = (point("dataset").to_string(), point("alpha").as_f64());
        let alpha = alpha.expect("checked before the start");
        let Value::Int(fold) = *point("fold") else { unreachable!("checked before the start") };
        let score = self.fold(dataset, fold as usize)?.score(alpha)?;
        task.scored(Value::Float(score))
    }

    fn fold(&self, dataset: String, fold: usize) -> Result<Arc<RidgeFold>, RunError> {
        let file = Value::Text(dataset.clone());
        let check = || self.watch.check_points(&self.job, [&file], &*self.master);
        let read = || {
            check()?;
            let table = RidgeTable::read(&self.job.folder.join(&dataset), &self.options);
            let table = table.map_err(|error| RunError::Failed(error.to_string()))?;
            check().map(|()| table)
        };
        let table = self.cache.tables.get(dataset.clone(), KEEP, read)?;
        let held_out = held_out(table.rows(), fold, self.folds);
        let fits = MEMORY / RidgeFold::size(&table, held_out.len()).max(1);
        let keep = fits.clamp(1, KEEP * self.folds);
        let fit = || RidgeFold::new(&table, held_out, self.options.standardize);
        Ok(self.cache.folds.get((dataset, fold), keep, fit)?)
    }
}

impl Executor for Ridge {
    fn crunch(&mut self, task: &Task) -> CallResult {
        CallResult::from(self.call(task))
    }
}

/// The rows of a fold.
fn held_out(rows: usize, fold: usize, folds: usize) -> Range<usize> {
    let (short, longer) = (rows / folds, rows % folds);
    let first = fold * short + fold.min(longer);
    first..first + short + usize::from(fold < longer)
}

fn folds(job: &Job) -> u64 {
    job.nest.loops().iter().find(|l| l.name == "fold").map_or(0, |l| l.points.len())
}

/// Reads every data set once and checks every alpha and fold.
pub(crate) fn check(job: &Job, options: &RidgeOptions) -> Result<()> {
    let folds = folds(job);
    let mut notes = Notes::default();
    for l in job.nest.loops() {
        let last = l.points.len() - 1;
        let looked_at: Box<dyn Iterator<Item = u64>> = match l.points {
            // A range is valid if both its ends are.
            Points::Range { .. } => Box::new([0, last].into_iter()),
            _ => Box::new(0..=last),
        };
        for i in looked_at {
            let point = l.points.get(i);
            let wrong = |expected: &str| {
                let why = format!("point {i}: expected {expected}, found {point}");
                Err(job.wrong(&format!("loop.{}", l.name), why))
            };
            match l.name.as_str() {
                "alpha"
                    if !point
                        .as_f64()
                        .is_some_and(|alpha| (0.0..f64::INFINITY).contains(&alpha)) =>
                {
                    return wrong("a finite alpha of 0 or more");
                }
                "fold" if folds < 2 => return wrong("at least 2 folds"),
                "fold" if point != Value::Int(i as i64) => {
                    return wrong("the folds 0, 1, 2, ... in order, as range gives them");
                }
                "dataset" => {
                    let Value::Text(file) = &point else { return wrong("a file") };
                    let path = job.folder.join(file);
                    let table = RidgeTable::read(&path, options)?;
                    let rows = table.rows();
                    // R^2 needs two rows to score on.
                    if (rows as u64) / 2 < folds {
                        return Err(Error::input(format!(
                            "{}: {rows} rows do not make {folds} folds of two or more",
                            path.display()
                        )));
                    }
                    notes.of(&table);
                }
                _ => {}
            }
        }
    }
    notes.log();
    Ok(())
}

/// What is odd about the data sets; of many, one is named.
#[derive(Default)]
struct Notes {
    counting: Vec<String>,
    incomplete: Vec<String>,
}

impl Notes {
    fn of(&mut self, table: &RidgeTable) {
        let file = table.file();
        if let Some(name) = table.counting_column() {
            self.counting.push(format!(
                "{file}: the first column has no name and counts the rows, and is a feature; if it is none: drop = [\"{name}\"]"
            ));
        }
        if table.left_out() > 0 {
            let (left, all) = (table.left_out(), table.left_out() + table.rows());
            self.incomplete.push(format!(
                "{file}: {left} of {all} rows have a missing value and are left out"
            ));
        }
    }

    fn log(&self) {
        for notes in [&self.counting, &self.incomplete] {
            match notes.as_slice() {
                [] => {}
                [one] => log::warn!("{one}"),
                [first, more @ ..] => {
                    log::warn!("{first} (and likewise in {} other data sets)", more.len());
                }
            }
        }
    }
}
