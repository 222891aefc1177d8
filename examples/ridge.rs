//! Ridge regression with your own Rust: four CSV files, each read by the ranks that need it, times
//! thirty penalties; the best penalty for each file.

use gridmpi::{Context, Crunch, Result, Runs};
use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/jobs/data");
const FILES: [&str; 4] = ["crime.csv", "diabetes.csv", "doctor.csv", "election.csv"];

struct Ridge;

struct Table {
    features: DMatrix<f64>,
    target: DVector<f64>,
}

#[derive(Serialize, Deserialize)]
struct Fit {
    score: f64,
    weights: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct Best {
    score: f64,
    alpha: f64,
}

impl Crunch for Ridge {
    type Data = Table;
    type Param = f64;
    type Run = Fit;
    type Summary = Option<Best>;

    /// R² on the last quarter of the rows of what was fitted to the others.
    fn crunch(&self, table: &Table, alpha: &f64, context: &Context) -> Result<Fit> {
        let train = table.target.len() * 3 / 4;
        let (x, y) = (table.features.rows(0, train), table.target.rows(0, train));
        let (x_mean, y_mean) = (x.row_mean(), y.mean());
        let x = DMatrix::from_fn(train, x.ncols(), |i, j| x[(i, j)] - x_mean[j]);
        let penalised = x.transpose() * &x + DMatrix::identity(x.ncols(), x.ncols()) * *alpha;
        let moments = x.transpose() * y.add_scalar(-y_mean);
        let weights = penalised.cholesky().ok_or("not positive definite")?.solve(&moments);

        let test = table.target.rows(train, table.target.len() - train);
        let predicted = table
            .features
            .rows(train, test.len())
            .map_with_location(|_, j, value| value - x_mean[j])
            * &weights;
        let residual = (test - predicted.add_scalar(y_mean)).norm_squared();
        let score = 1.0 - residual / test.add_scalar(-test.mean()).norm_squared();
        log::debug!(logger: context.logger(), "R2 {score:.4}");
        Ok(Fit { score, weights: weights.as_slice().to_vec() })
    }

    fn summarize(&self, runs: &Runs<Fit>) -> Option<Best> {
        let (index, fit) = runs.max_by(|fit| fit.score)?;
        Some(Best { score: fit.score, alpha: runs.point(index).as_f64()? })
    }
}

/// A CSV file with a header line; the last column is the target.
fn read(file: &String) -> Result<Table> {
    let mut rows = csv::Reader::from_path(file)?;
    let rows = rows.deserialize().collect::<std::result::Result<Vec<Vec<f64>>, _>>()?;
    let columns = rows.first().ok_or("no rows")?.len() - 1;
    Ok(Table {
        features: DMatrix::from_fn(rows.len(), columns, |i, j| rows[i][j]),
        target: DVector::from_fn(rows.len(), |i, _| rows[i][columns]),
    })
}

fn main() -> std::process::ExitCode {
    gridmpi::study(Ridge)
        .load(FILES.map(|file| format!("{FOLDER}/{file}")), read) // a path, so its content counts
        .params((0..30).map(|i| 10f64.powf(-2.0 + 0.2 * f64::from(i))))
        .main()
}
