//! The textbook case: ten random data sets times three parameters, and for each data set the largest
//! product and where it stands.

use gridmpi::{Context, Crunch, Result, Runs};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

struct FindMax;

impl Crunch for FindMax {
    type Data = f64;
    type Param = f64;
    type Run = f64;
    type Summary = Option<(f64, usize)>;

    fn crunch(&self, data: &f64, param: &f64, _: &Context) -> Result<f64> {
        Ok(data * param)
    }

    fn summarize(&self, runs: &Runs<f64>) -> Option<(f64, usize)> {
        runs.max_by(|run| *run).map(|(index, max)| (*max, index))
    }
}

fn main() -> std::process::ExitCode {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    gridmpi::study(FindMax)
        .data_sets(move || Ok((0..10).map(|_| StandardNormal.sample(&mut rng)).collect()))
        .params([-1.0, 0.0, 1.0])
        .main()
}
