//! A data set of `ridge`: the numbers of a CSV file, by columns.

use std::collections::HashMap;
use std::path::Path;

use nalgebra::{DMatrix, DVector};
use parking_lot::Mutex;

use crate::job::RidgeOptions;
use crate::util::csv_file;
use crate::util::error::{Error, Result};
use crate::util::text::beginning;

/// The files that a warning was about.
static WARNED: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub(super) struct RidgeTable {
    file: String,
    pub(super) features: DMatrix<f64>,
    pub(super) target: DVector<f64>,
    /// Number of rows with a missing value.
    left_out: usize,
    /// The name of the first column, if it has none in the file, counts the rows, and is a feature.
    counting: Option<String>,
}

impl RidgeTable {
    pub(super) fn read(path: &Path, options: &RidgeOptions) -> Result<RidgeTable> {
        let fail = |why: String| Error::input(format!("{}: {why}", path.display()));
        let mut reader = csv_file::open(path).map_err(|error| Error::unreadable(path, &error))?;
        let is_missing = |cell: &str| options.na.iter().any(|na| na == cell);
        let is_number = |cell: &str| cell.parse::<f64>().is_ok() || is_missing(cell);
        let mut columns: Option<RidgeColumns> = None;
        let (mut cells, mut target) = (Vec::new(), Vec::new());
        let (mut row, mut left_out) = (Vec::new(), 0);
        let mut count = CountedRows::default();
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| fail(csv_file::problem(&error)))? {
            let columns = match &columns {
                Some(columns) => columns,
                None => {
                    let found = || record.iter().any(|cell| !is_number(cell.trim()));
                    let header = options.header.unwrap_or_else(found);
                    let name = |(i, cell): (usize, &str)| {
                        if header { cell.trim().to_string() } else { format!("column {}", i + 1) }
                    };
                    let names: Vec<String> = record.iter().enumerate().map(name).collect();
                    count.is_possible = !header || names[0].is_empty();
                    let chosen = RidgeColumns::choose(names, options).map_err(fail)?;
                    let columns = &*columns.insert(chosen);
                    if header {
                        continue;
                    }
                    columns
                }
            };
            count.look_at(record.get(0).unwrap_or_default());
            row.clear();
            let mut is_complete = true;
            for &at in columns.features.iter().chain([&columns.target]) {
                let cell = record.get(at).unwrap_or_default().trim();
                if is_missing(cell) {
                    is_complete = false;
                    continue;
                }
                let number = cell.parse::<f64>().ok().filter(|number| number.is_finite());
                row.push(number.ok_or_else(|| {
                    let line = record.position().map_or(0, csv::Position::line);
                    let name = &columns.names[at];
                    let cell = beginning(cell, 80);
                    fail(format!(
                        "line {line}, column '{name}': expected a number, found \"{cell}\" (na = [...] names cells that stand for a missing value; drop = [...] leaves columns out)"
                    ))
                })?);
            }
            if is_complete {
                target.extend(row.pop());
                cells.extend_from_slice(&row);
            } else {
                left_out += 1;
            }
        }
        if let Some(unclosed) = reader.get_ref().unclosed() {
            return Err(fail(unclosed));
        }
        let Some(columns) = columns.filter(|_| !target.is_empty()) else {
            return Err(fail(match left_out {
                0 => "there are no rows".to_string(),
                _ => "every row has a missing value".to_string(),
            }));
        };
        let counts = count.is_certain() && columns.features.contains(&0);
        Ok(RidgeTable {
            file: path.display().to_string(),
            features: DMatrix::from_row_slice(target.len(), columns.features.len(), &cells),
            target: DVector::from_vec(target),
            left_out,
            counting: counts.then(|| columns.names[0].clone()),
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.target.len()
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }

    pub(super) fn counting_column(&self) -> Option<&str> {
        self.counting.as_deref()
    }

    /// Warns once per process, whatever is cached.
    pub(super) fn warn(&self, why: impl FnOnce() -> String) {
        let mut warned = WARNED.lock();
        if !warned.contains(&self.file) {
            warned.push(self.file.clone());
            log::warn!("{}: {}", self.file, why());
        }
    }
}

/// The columns of a file, and the positions of those that are used.
struct RidgeColumns {
    names: Vec<String>,
    features: Vec<usize>,
    target: usize,
}

impl RidgeColumns {
    fn choose(names: Vec<String>, options: &RidgeOptions) -> Result<RidgeColumns, String> {
        // By name: the only column, or nothing if there are several.
        let mut places: HashMap<&str, Option<usize>> = HashMap::new();
        for (at, name) in names.iter().enumerate() {
            places.entry(name).and_modify(|place| *place = None).or_insert(Some(at));
        }
        let find = |name: &String| match places.get(name.as_str()) {
            Some(Some(at)) => Ok(*at),
            Some(None) => Err(format!("there are several columns '{name}'")),
            None => {
                let known = beginning(&names.join(", "), 300);
                Err(format!("there is no column '{name}' (columns: {known})"))
            }
        };
        if names.len() < 2 {
            return Err("expected two columns or more: features and a target".to_string());
        }
        let target = options.target.as_ref().map_or(Ok(names.len() - 1), find)?;
        let features: Vec<usize> = match &options.features {
            Some(features) => features.iter().map(find).collect::<Result<_, _>>()?,
            None => {
                let mut is_used = vec![true; names.len()];
                for name in &options.drop {
                    is_used[find(name)?] = false;
                }
                if !is_used[target] {
                    return Err(format!("drop: '{}' is the target", names[target]));
                }
                (0..names.len()).filter(|&at| is_used[at] && at != target).collect()
            }
        };
        if features.contains(&target) {
            return Err(format!("features: '{}' is the target", names[target]));
        }
        if features.is_empty() {
            return Err("drop leaves no column as a feature".to_string());
        }
        Ok(RidgeColumns { names, features, target })
    }
}

/// Whether the first column counts the rows from 0 or 1, as the row names of other programs do.
#[derive(Default)]
struct CountedRows {
    is_possible: bool,
    rows: u64,
    first: Option<f64>,
}

impl CountedRows {
    fn look_at(&mut self, cell: &str) {
        if !self.is_possible {
            return;
        }
        let number = cell.trim().parse::<f64>().ok();
        let first = *self.first.get_or_insert(number.unwrap_or(f64::NAN));
        self.is_possible = matches!(first, 0.0 | 1.0) && number == Some(first + self.rows as f64);
        self.rows += 1;
    }

    fn is_certain(&self) -> bool {
        self.is_possible && self.rows > 2
    }
}
