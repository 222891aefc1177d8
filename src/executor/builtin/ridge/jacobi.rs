//! Singular values by one-sided Jacobi rotations (Hestenes, J. SIAM 6, 1958): slow and accurate, also for
//! collinear columns, where nalgebra's singular vectors can be wrong in the third digit.

use nalgebra::{DMatrix, DVector};

/// Sweeps over all pairs of columns; about ten are needed.
const SWEEPS: usize = 60;

/// Columns below this part of the largest one are rounding errors.
const NOISE: f64 = 1e-14;

/// The factors of a matrix, largest singular value first. Vectors of noise are zero or arbitrary.
pub(super) struct SingularValues {
    pub(super) left: DMatrix<f64>,
    pub(super) values: DVector<f64>,
    pub(super) right: DMatrix<f64>,
}

impl SingularValues {
    /// Nothing if the rotations do not converge.
    pub(super) fn of(matrix: DMatrix<f64>) -> Option<SingularValues> {
        if matrix.ncols() > matrix.nrows() {
            let SingularValues { left, values, right } = SingularValues::of(matrix.transpose())?;
            return Some(SingularValues { left: right, values, right: left });
        }
        let mut columns = matrix;
        let mut right = DMatrix::identity(columns.ncols(), columns.ncols());
        let mut sweeps = 0;
        while sweep(&mut columns, &mut right) {
            sweeps += 1;
            if sweeps == SWEEPS {
                return None;
            }
        }
        let norms: Vec<f64> = columns.column_iter().map(|column| column.norm()).collect();
        let mut order: Vec<usize> = (0..norms.len()).collect();
        order.sort_by(|a, b| norms[*b].total_cmp(&norms[*a]));
        let unit = |at: &usize| match norms[*at] {
            0.0 => columns.column(*at).into_owned(),
            norm => columns.column(*at) / norm,
        };
        Some(SingularValues {
            left: DMatrix::from_columns(&order.iter().map(unit).collect::<Vec<_>>()),
            values: DVector::from_iterator(norms.len(), order.iter().map(|at| norms[*at])),
            right: DMatrix::from_columns(
                &order.iter().map(|at| right.column(*at)).collect::<Vec<_>>(),
            ),
        })
    }
}

/// Rotates every pair of columns until it is orthogonal; returns whether any was not.
fn sweep(columns: &mut DMatrix<f64>, right: &mut DMatrix<f64>) -> bool {
    let largest = columns.column_iter().map(|column| column.norm_squared()).fold(0.0, f64::max);
    let noise = largest * NOISE * NOISE;
    let mut has_rotated = false;
    for i in 0..columns.ncols() {
        for j in i + 1..columns.ncols() {
            let (a, b) = (columns.column(i).norm_squared(), columns.column(j).norm_squared());
            let product = columns.column(i).dot(&columns.column(j));
            if a.min(b) <= noise || product.abs() <= 1e-15 * (a * b).sqrt() {
                continue;
            }
            has_rotated = true;
            let half = (b - a) / (2.0 * product);
            let tangent = half.signum() / (half.abs() + half.hypot(1.0));
            let cosine = 1.0 / tangent.hypot(1.0);
            rotate(columns, (i, j), cosine, cosine * tangent);
            rotate(right, (i, j), cosine, cosine * tangent);
        }
    }
    has_rotated
}

fn rotate(matrix: &mut DMatrix<f64>, (i, j): (usize, usize), cosine: f64, sine: f64) {
    for row in 0..matrix.nrows() {
        let (x, y) = (matrix[(row, i)], matrix[(row, j)]);
        matrix[(row, i)] = cosine * x - sine * y;
        matrix[(row, j)] = sine * x + cosine * y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without a pattern, the same each time.
    fn matrix(rows: usize, columns: usize) -> DMatrix<f64> {
        let number = |i: usize, j: usize| ((1 + 37 * i + 101 * j) as f64).powi(2).sin();
        DMatrix::from_fn(rows, columns, number)
    }

    #[test]
    fn the_factors_give_the_matrix_of_any_shape_and_rank() {
        for (rows, columns) in [(30, 4), (4, 30), (12, 12), (3, 1), (1, 3)] {
            let mut given = matrix(rows, columns);
            let full = rows.min(columns);
            let last = given.column(0) * 3.0;
            given.set_column(columns - 1, &last);
            let found = SingularValues::of(given.clone()).unwrap();
            let rebuilt =
                &found.left * DMatrix::from_diagonal(&found.values) * found.right.transpose();
            assert!((rebuilt - &given).amax() < 1e-13, "{rows} x {columns}");
            let rank = found.values.iter().filter(|value| **value > 1e-12).count();
            let deficient = columns > 1 && columns <= rows;
            assert_eq!(rank, full - usize::from(deficient), "{rows} x {columns}: {}", found.values);
            let own = found.left.columns(0, rank);
            let identity = own.tr_mul(&own) - DMatrix::identity(rank, rank);
            assert!(identity.amax() < 1e-13, "{rows} x {columns}");
        }
    }

    #[test]
    fn a_matrix_of_zeros_has_rank_zero() {
        let found = SingularValues::of(DMatrix::zeros(3, 2)).unwrap();
        assert_eq!(found.values.as_slice(), [0.0, 0.0]);
    }
}
