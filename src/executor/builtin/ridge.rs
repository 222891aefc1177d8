//! The builtin `ridge`: ridge regression on a CSV file, scored by R^2 on the held-out fold.
//!
//! Minimises `||y - Xw - b||^2 + alpha ||w||^2`; the intercept b is not penalised. With the
//! training rows centred, w solves `(X'X + alpha I) w = X'y` (Hoerl and Kennard, Technometrics 12,
//! 1970). Folds are contiguous; the first `n mod k` of them are one row longer. Both are what
//! scikit-learn's `Ridge` and `KFold` do without shuffling, and a test holds every run to that.

use std::path::Path;
use std::sync::Arc;

use nalgebra::{DMatrix, DVector, RowDVector};

use crate::executor::{CallResult, Executor, Task};
use crate::job::Job;
use crate::model::{Points, RunError, Scored, Value};
use crate::util::cache::Cache;
use crate::util::csv_file;
use crate::util::error::{Error, Result};

/// How many data sets a process caches; tasks are ordered by data set.
const KEEP: usize = 2;

pub(crate) struct RidgeData {
    features: DMatrix<f64>,
    target: DVector<f64>,
}

/// A process's cache of data sets, by file name.
pub(crate) type RidgeCache = Cache<String, RidgeData>;

pub(crate) struct Ridge {
    job: Arc<Job>,
    tables: Arc<RidgeCache>,
    target: Option<String>,
    standardize: bool,
    folds: usize,
}

impl Ridge {
    pub(crate) fn new(
        job: &Arc<Job>,
        tables: &Arc<RidgeCache>,
        target: Option<String>,
        standardize: bool,
    ) -> Ridge {
        let folds = folds(job) as usize;
        Ridge { job: job.clone(), tables: tables.clone(), target, standardize, folds }
    }

    fn table(&self, file: &str) -> Result<Arc<RidgeData>, String> {
        let read = || RidgeData::read(&self.job.folder.join(file), self.target.as_deref());
        self.tables.get(file.to_string(), KEEP, read).map_err(|error| error.to_string())
    }
}

impl Executor for Ridge {
    fn crunch(&mut self, task: &Task) -> CallResult {
        CallResult::from(self.call(task))
    }
}

impl Ridge {
    fn call(&mut self, task: &Task) -> Result<Scored, RunError> {
        let coordinates = task.coordinates();
        let point = |name: &str| {
            coordinates.iter().find(|(l, _)| *l == name).map(|(_, value)| value).expect("checked")
        };
        let (dataset, alpha) = (point("dataset").to_string(), point("alpha").as_f64());
        let alpha = alpha.expect("checked before the start");
        let Value::Int(fold) = *point("fold") else { unreachable!("checked before the start") };
        let table = self.table(&dataset)?;
        let score = table.score(alpha, fold as usize, self.folds, self.standardize)?;
        task.scored(Value::Float(score))
    }
}

impl RidgeData {
    /// R^2 on one fold of a model fitted to the others.
    fn score(
        &self,
        alpha: f64,
        fold: usize,
        folds: usize,
        standardize: bool,
    ) -> Result<f64, String> {
        let rows = self.target.len();
        let (short, longer) = (rows / folds, rows % folds);
        let first = fold * short + fold.min(longer);
        let held_out = first..first + short + usize::from(fold < longer);

        let mut train_x = self.features.clone().remove_rows(held_out.start, held_out.len());
        let mut train_y = self.target.clone().remove_rows(held_out.start, held_out.len());
        let mut test_x = self.features.rows(held_out.start, held_out.len()).into_owned();
        let test_y = self.target.rows(held_out.start, held_out.len());

        let mean_x = train_x.row_mean();
        let mean_y = train_y.mean();
        shift(&mut train_x, &mean_x);
        shift(&mut test_x, &mean_x);
        train_y.add_scalar_mut(-mean_y);
        if standardize {
            let count = train_x.nrows() as f64;
            for (mut train, mut test) in train_x.column_iter_mut().zip(test_x.column_iter_mut()) {
                let deviation = (train.norm_squared() / count).sqrt();
                if deviation > 0.0 {
                    train /= deviation;
                    test /= deviation;
                }
            }
        }
        let weights = solve(&train_x, &train_y, alpha)?;
        Ok(r_squared(&test_y.into_owned(), &(test_x * weights).add_scalar(mean_y)))
    }

    /// Reads a CSV file of numbers. The first line names the columns, unless it is all numbers.
    fn read(path: &Path, target: Option<&str>) -> Result<RidgeData> {
        let fail = |why: String| Error::input(format!("{}: {why}", path.display()));
        let mut reader = csv_file::open(path).map_err(|error| Error::unreadable(path, &error))?;
        let mut names: Vec<String> = Vec::new();
        let mut cells: Vec<f64> = Vec::new();
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| fail(csv_file::problem(&error)))? {
            if names.is_empty() {
                let header = record.iter().any(|cell| cell.trim().parse::<f64>().is_err());
                let name = |(i, cell): (usize, &str)| {
                    if header { cell.trim().to_string() } else { format!("column {}", i + 1) }
                };
                names = record.iter().enumerate().map(name).collect();
                if header {
                    continue;
                }
            }
            for (cell, name) in record.iter().zip(&names) {
                let number = cell.trim().parse::<f64>().ok().filter(|number| number.is_finite());
                cells.push(number.ok_or_else(|| {
                    let line = record.position().map_or(0, csv::Position::line);
                    fail(format!(
                        "line {line}, column '{name}': expected a number, found \"{cell}\""
                    ))
                })?);
            }
        }
        if cells.is_empty() {
            return Err(fail("there are no rows".to_string()));
        }
        if names.len() < 2 {
            return Err(fail("expected two columns or more: features and a target".to_string()));
        }
        let column = match target {
            None => names.len() - 1,
            Some(target) => names.iter().position(|name| name == target).ok_or_else(|| {
                fail(format!("there is no column '{target}' (columns: {})", names.join(", ")))
            })?,
        };
        let all = DMatrix::from_row_slice(cells.len() / names.len(), names.len(), &cells);
        let target = all.column(column).into_owned();
        Ok(RidgeData { features: all.remove_column(column), target })
    }
}

fn shift(matrix: &mut DMatrix<f64>, by: &RowDVector<f64>) {
    for (mut column, by) in matrix.column_iter_mut().zip(by.iter()) {
        column.add_scalar_mut(-by);
    }
}

/// The weights, by Cholesky. If that fails because the features are nearly collinear, by singular values,
/// with those at noise level left out (as in scikit-learn).
fn solve(x: &DMatrix<f64>, y: &DVector<f64>, alpha: f64) -> Result<DVector<f64>, String> {
    let mut gram = x.tr_mul(x);
    for i in 0..gram.nrows() {
        gram[(i, i)] += alpha;
    }
    let right = x.tr_mul(y);
    if let Some(factor) = gram.cholesky() {
        return Ok(factor.solve(&right));
    }
    let svd = x.clone().svd(true, true);
    let (Some(u), Some(v_t)) = (&svd.u, &svd.v_t) else {
        return Err("the singular values did not converge".to_string());
    };
    let mut scaled = u.tr_mul(y);
    for (value, s) in scaled.iter_mut().zip(svd.singular_values.iter()) {
        *value *= if *s > 1e-15 { s / (s * s + alpha) } else { 0.0 };
    }
    Ok(v_t.tr_mul(&scaled))
}

/// 1 - residual / total. For a constant target: 1 if it is predicted exactly, else 0. Undefined (NaN) for
/// fewer than two rows.
fn r_squared(truth: &DVector<f64>, predicted: &DVector<f64>) -> f64 {
    if truth.len() < 2 {
        return f64::NAN;
    }
    let residual = (truth - predicted).norm_squared();
    let total = truth.add_scalar(-truth.mean()).norm_squared();
    match (residual, total) {
        (_, total) if total > 0.0 => 1.0 - residual / total,
        (0.0, _) => 1.0,
        _ => 0.0,
    }
}

fn folds(job: &Job) -> u64 {
    job.nest.loops().iter().find(|l| l.name == "fold").map_or(0, |l| l.points.len())
}

/// Reads every data set once and checks every alpha and fold.
pub(crate) fn check(job: &Job, target: Option<&str>) -> Result<()> {
    let folds = folds(job);
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
                "alpha" if !point.as_f64().is_some_and(|alpha| alpha >= 0.0) => {
                    return wrong("an alpha of 0 or more");
                }
                "fold" if folds < 2 => return wrong("at least 2 folds"),
                "fold" if point != Value::Int(i as i64) => {
                    return wrong("the folds 0, 1, 2, ... in order, as range gives them");
                }
                "dataset" => {
                    let Value::Text(file) = &point else { return wrong("a file") };
                    let path = job.folder.join(file);
                    let rows = RidgeData::read(&path, target)?.target.len();
                    // R^2 needs two rows to score on.
                    if (rows as u64) / 2 < folds {
                        return Err(Error::input(format!(
                            "{}: {rows} rows do not make {folds} folds of two or more",
                            path.display()
                        )));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}
