//! Ridge regression on all rows but those of a fold, for any alpha.
//!
//! Minimises `||y - Xw - b||^2 + alpha ||w||^2`; the intercept b is not penalised. With the training rows centred,
//! w solves `(X'X + alpha I) w = X'y` (Hoerl and Kennard, Technometrics 12, 1970). With more columns than rows it is
//! `X'a`, where `(XX' + alpha I) a = y` (the dual form). One eigendecomposition of X'X or XX' serves every alpha.
//! A test compares the scores with those of scikit-learn's `Ridge`.
//!
//! An eigendecomposition loses the small eigenvalues if they are far below the largest, as those of columns in
//! different units are. Then each alpha has a Cholesky decomposition, whose error does not depend on units; and
//! if columns are nearly collinear, one of X itself by singular values. All products are sums in a fixed order, so
//! that the scores are the same on every machine.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use nalgebra::{DMatrix, DVector, Dyn, SymmetricEigen};

use super::jacobi::SingularValues;
use super::table::RidgeTable;

/// The smallest ratio of eigenvalues at which their decomposition is used: the error is about 1e-16 over it.
const STABLE: f64 = 1e-6;

/// The smallest part of a column that may be left after the columns before it are subtracted. Below, the normal
/// equations have lost it.
const INDEPENDENT: f64 = 1e-10;

/// Singular values below this part of the largest one count as zero: the columns are collinear.
const RANK: f64 = 1e-12;

/// A column whose numbers differ by no more than this many roundings is constant, unless they are whole numbers up to
/// the largest that have none.
const NOISE: f64 = 16.0;
const LARGEST_WHOLE: f64 = (1u64 << 53) as f64;

/// A limit to iterations that converge within a few for each column.
const ITERATIONS: usize = 1000;

pub(super) struct RidgeFold {
    table: Arc<RidgeTable>,
    held_out: Range<usize>,
    standardize: bool,
    /// The mean of the target on the training rows.
    mean: f64,
    is_dual: bool,
    /// The eigenvalues of X'X or XX'; empty if they were not found.
    values: DVector<f64>,
    /// What is left of the right side, and of the held-out rows, in the basis of the eigenvectors.
    right: DVector<f64>,
    test: DMatrix<f64>,
    /// The equations as they were, and the eigenvectors, if some alpha may need them.
    equations: Option<Equations>,
    singular: OnceLock<Result<Singular, String>>,
}

struct Equations {
    matrix: DMatrix<f64>,
    right: DVector<f64>,
    vectors: DMatrix<f64>,
}

/// X by its singular values.
struct Singular {
    values: DVector<f64>,
    /// y and the held-out rows in the bases of the singular vectors.
    right: DVector<f64>,
    test: DMatrix<f64>,
    /// How many values are not zero.
    rank: usize,
}

impl RidgeFold {
    /// About how much memory one takes. (bytes)
    pub(super) fn size(table: &RidgeTable, held_out: usize) -> usize {
        let order = table.features.ncols().min(table.rows());
        8 * order * (2 * order + held_out)
    }

    pub(super) fn new(
        table: &Arc<RidgeTable>,
        held_out: Range<usize>,
        standardize: bool,
    ) -> Result<RidgeFold, String> {
        let SplitRows { train, test, target, mean } = SplitRows::of(table, &held_out, standardize)?;
        let is_dual = train.ncols() >= train.nrows();
        // `across` has a column for each held-out row.
        let (matrix, right, across) = match is_dual {
            false => (products(&train), train.tr_mul(&target), test.transpose()),
            true => {
                let (train, test) = (train.transpose(), test.transpose());
                let mut matrix = products(&train);
                // Centred rows sum to zero, so that this matrix is singular. The vector of ones, which solves
                // nothing because y is centred too, gets an eigenvalue of the size of the others.
                let rows = matrix.nrows() as f64;
                matrix.add_scalar_mut(matrix.trace() / (rows * rows));
                (matrix, target, train.tr_mul(&test))
            }
        };
        if !matrix.iter().chain(right.iter()).all(|number| number.is_finite()) {
            return Err("the numbers are so large that their squares are infinite".to_string());
        }
        let order = matrix.nrows();
        let eigen = match order {
            0 => None, // every column is constant
            _ => SymmetricEigen::try_new(matrix.clone(), f64::EPSILON, ITERATIONS * order),
        };
        let (values, vectors) = match eigen.filter(|eigen| is_right(&matrix, eigen, &right)) {
            Some(eigen) => (eigen.eigenvalues, eigen.eigenvectors),
            None => (DVector::zeros(0), DMatrix::identity(order, order)),
        };
        let is_safe = order == 0 || is_stable(&values, 0.0);
        Ok(RidgeFold {
            table: table.clone(),
            held_out,
            standardize,
            mean,
            is_dual,
            right: vectors.tr_mul(&right),
            test: across.tr_mul(&vectors),
            values,
            equations: (!is_safe).then_some(Equations { matrix, right, vectors }),
            singular: OnceLock::new(),
        })
    }

    /// R^2 on the held-out rows.
    pub(super) fn score(&self, alpha: f64) -> Result<f64, String> {
        let mut predicted = self.predict(alpha)?;
        predicted.add_scalar_mut(self.mean);
        let truth = self.table.target.rows_range(self.held_out.clone());
        Ok(r_squared(truth.as_slice(), predicted.as_slice()))
    }

    /// The held-out rows' targets less the mean.
    fn predict(&self, alpha: f64) -> Result<DVector<f64>, String> {
        if self.is_dual && alpha == 0.0 && !self.test.is_empty() {
            self.warn(self.test.ncols() - 1);
        }
        let Some(equations) = self.equations.as_ref().filter(|_| !is_stable(&self.values, alpha))
        else {
            let weights = self.right.zip_map(&self.values, |right, value| right / (value + alpha));
            return Ok(&self.test * weights);
        };
        match equations.solve(alpha) {
            Some(weights) => Ok(&self.test * equations.vectors.tr_mul(&weights)),
            None => self.by_singular_values(alpha),
        }
    }

    fn by_singular_values(&self, alpha: f64) -> Result<DVector<f64>, String> {
        let singular = self.singular.get_or_init(|| {
            Singular::of(SplitRows::of(&self.table, &self.held_out, self.standardize)?)
        });
        let singular = singular.as_ref().map_err(String::clone)?;
        if alpha == 0.0 && singular.rank < singular.values.len() {
            self.warn(singular.rank);
        }
        let mut weights = DVector::zeros(singular.values.len());
        for at in 0..singular.rank {
            let value = singular.values[at];
            weights[at] = singular.right[at] * value / (value * value + alpha);
        }
        Ok(&singular.test * weights)
    }

    fn warn(&self, rank: usize) {
        self.table.warn(|| {
            let columns = self.table.features.ncols();
            let rows = self.table.rows() - self.held_out.len();
            format!(
                "alpha = 0, and the {columns} features are collinear (rank {rank} on {rows} training rows): many weights fit equally well, and the smallest are taken"
            )
        });
    }
}

impl Equations {
    /// Nothing if the columns are nearly collinear.
    fn solve(&self, alpha: f64) -> Option<DVector<f64>> {
        let mut matrix = self.matrix.clone();
        for at in 0..matrix.nrows() {
            matrix[(at, at)] += alpha;
        }
        let diagonal = matrix.diagonal();
        let factor = matrix.cholesky()?;
        let pivots = factor.l_dirty().diagonal();
        let is_left = |(pivot, whole): (&f64, &f64)| pivot * pivot > INDEPENDENT * whole;
        pivots.iter().zip(diagonal.iter()).all(is_left).then(|| factor.solve(&self.right))
    }
}

impl Singular {
    fn of(rows: SplitRows) -> Result<Singular, String> {
        let SplitRows { train, test, target, .. } = rows;
        let (rows, columns) = train.shape();
        let found = SingularValues::of(train).ok_or("the singular values did not converge")?;
        let SingularValues { left, values, right } = found;
        let least = values.max() * RANK.max(f64::EPSILON * rows.max(columns) as f64);
        Ok(Singular {
            rank: values.iter().take_while(|value| **value > least).count(),
            right: left.tr_mul(&target),
            test: test.transpose().tr_mul(&right),
            values,
        })
    }
}

/// The training rows and the held-out ones, less the means of the training rows.
struct SplitRows {
    train: DMatrix<f64>,
    test: DMatrix<f64>,
    /// Of the training rows.
    target: DVector<f64>,
    /// The target's mean.
    mean: f64,
}

impl SplitRows {
    fn of(
        table: &RidgeTable,
        held_out: &Range<usize>,
        standardize: bool,
    ) -> Result<SplitRows, String> {
        let count = table.rows() - held_out.len();
        let of_training =
            |column: &[f64]| [&column[..held_out.start], &column[held_out.end..]].concat();
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for column in table.features.column_iter() {
            let column = column.as_slice();
            let mut own = of_training(column);
            let centre = Centre::of(&own);
            let is_whole = own.iter().all(|x| x.fract() == 0.0 && x.abs() < LARGEST_WHOLE);
            own.iter_mut().for_each(|x| *x = centre.less(*x));
            let mean = centre.mean();
            let variance = own.iter().map(|x| x * x).sum::<f64>() / count as f64;
            if !variance.is_finite() {
                return Err("the numbers are so large that their squares are infinite".to_string());
            }
            let noise = if is_whole { 0.0 } else { NOISE * f64::EPSILON * mean.abs() };
            if own.iter().all(|x| x.abs() <= noise) {
                continue; // a constant column has no weight
            }
            let is_scaled = standardize && variance > rounding(count, mean, variance);
            let scale = if is_scaled { variance.sqrt() } else { 1.0 };
            train.extend(own.iter().map(|x| x / scale));
            test.extend(column[held_out.clone()].iter().map(|x| centre.less(*x) / scale));
        }
        let mut target = of_training(table.target.as_slice());
        let centre = Centre::of(&target);
        let mean = centre.mean();
        target.iter_mut().for_each(|y| *y = centre.less(*y));
        let columns = train.len() / count;
        Ok(SplitRows {
            train: DMatrix::from_vec(count, columns, train),
            test: DMatrix::from_vec(held_out.len(), columns, test),
            target: DVector::from_vec(target),
            mean,
        })
    }
}

/// The variance that rounding may give a constant column; `StandardScaler` leaves the unit of one with less.
fn rounding(count: usize, mean: f64, variance: f64) -> f64 {
    let count = count as f64;
    count * f64::EPSILON * variance + (count * mean * f64::EPSILON).powi(2)
}

/// The mean of some numbers, as one of them and what is to be added: where they differ by little, as times do, the
/// sum would lose the digits that count. Equal numbers less their mean are exactly zero.
#[derive(Clone, Copy)]
struct Centre {
    first: f64,
    offset: f64,
}

impl Centre {
    fn of(numbers: &[f64]) -> Centre {
        let first = numbers[0];
        let sum: f64 = numbers.iter().map(|number| number - first).sum();
        Centre { first, offset: sum / numbers.len() as f64 }
    }

    fn mean(self) -> f64 {
        self.first + self.offset
    }

    /// A number less the mean.
    fn less(self, number: f64) -> f64 {
        (number - self.first) - self.offset
    }
}

/// The scalar products of a matrix's columns.
fn products(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    let mut products = DMatrix::zeros(matrix.ncols(), matrix.ncols());
    for i in 0..matrix.ncols() {
        for j in 0..=i {
            let product = matrix.column(i).dot(&matrix.column(j));
            products[(i, j)] = product;
            products[(j, i)] = product;
        }
    }
    products
}

/// Whether a decomposition gives what the matrix makes of a vector.
fn is_right(
    matrix: &DMatrix<f64>,
    eigen: &SymmetricEigen<f64, Dyn>,
    vector: &DVector<f64>,
) -> bool {
    let (values, vectors) = (&eigen.eigenvalues, &eigen.eigenvectors);
    let made = vectors * vectors.tr_mul(vector).component_mul(values);
    (matrix * vector - made).norm() <= 1e-11 * values.amax() * vector.norm()
}

fn is_stable(values: &DVector<f64>, alpha: f64) -> bool {
    !values.is_empty() && values.min() + alpha >= STABLE * (values.max() + alpha)
}

/// 1 - residual / total. For a constant target: 1 if it is predicted exactly, else 0. Undefined (NaN) for
/// fewer than two rows.
fn r_squared(truth: &[f64], predicted: &[f64]) -> f64 {
    if truth.len() < 2 {
        return f64::NAN;
    }
    let mean = Centre::of(truth).mean();
    let squares = |x: f64| x * x;
    let residual: f64 = truth.iter().zip(predicted).map(|(y, p)| squares(y - p)).sum();
    let total: f64 = truth.iter().map(|y| squares(y - mean)).sum();
    match (residual, total) {
        (_, total) if total > 0.0 => 1.0 - residual / total,
        (0.0, _) => 1.0,
        _ => 0.0,
    }
}
