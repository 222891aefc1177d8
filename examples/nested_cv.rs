//! Three loops, each of its own type: data sets x smoothing widths x folds. Folds are averaged for
//! each width, and the best width wins for each data set. A width that cannot win any more is stopped.

use gridmpi::{Nest, Stop};
use rand::SeedableRng;
use rand_distr::{Distribution, Normal};

const FOLDS: usize = 5;

/// Noisy samples of a curve, (x, y).
type Curve = Vec<(f64, f64)>;

fn curves() -> gridmpi::Result<Vec<(String, Curve)>> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let mut curve = |noise: f64| -> gridmpi::Result<Curve> {
        let noise = Normal::new(0.0, noise)?;
        let point = |i: usize| (i as f64 / 200.0, (i as f64 / 20.0).sin() + noise.sample(&mut rng));
        Ok((0..200).map(point).collect())
    };
    Ok(vec![("calm".into(), curve(0.05)?), ("rough".into(), curve(0.5)?)])
}

/// Mean squared error of kernel smoothing (Nadaraya 1964, Watson 1964) on the fold left out.
fn error(curve: &Curve, width: f64, fold: usize) -> f64 {
    let (test, train): (Vec<_>, Vec<_>) =
        curve.iter().enumerate().partition(|(i, _)| i % FOLDS == fold);
    let predict = |x: f64| {
        let weigh = |(_, (xi, yi)): &(usize, &(f64, f64))| {
            let weight = (-((x - xi) / width).powi(2) / 2.0).exp();
            (weight, weight * yi)
        };
        let (weights, sum) =
            train.iter().map(weigh).fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
        sum / weights
    };
    test.iter().map(|(_, (x, y))| (y - predict(*x)).powi(2)).sum::<f64>() / test.len() as f64
}

fn main() -> std::process::ExitCode {
    Nest::new()
        .named_data("curve", curves)
        .each("width", [0.003, 0.01, 0.03, 0.1])
        .each("fold", 0..FOLDS)
        .crunch(|(curve, width, fold), _| Ok(error(curve, *width, *fold)))
        .mean() // over folds
        .min() // over widths
        .stop(Stop::sure(0.0..=f64::INFINITY)) // a squared error cannot be less than 0
        .main()
}
