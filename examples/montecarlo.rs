//! Random walks until they leave a strip: each run has its own seed, and takes as long as chance will
//! have it, a few of them very long. Repeats are gathered into a mean and its error for each width.

use gridmpi::{Nest, Runs};
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

const REPEATS: usize = 60;

#[derive(Serialize, Deserialize)]
struct Estimate {
    /// The mean number of steps; theory says width squared.
    score: f64,
    standard_error: f64,
}

fn main() -> std::process::ExitCode {
    Nest::new()
        .each("width", [4i64, 8, 16, 32])
        .each("repeat", 0..REPEATS)
        .crunch(|(width, _), context| {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(context.seed().into());
            let (mut place, mut steps) = (0, 0u32);
            while place < *width && place > -width {
                place += if rng.random() { 1 } else { -1 };
                steps += 1;
                if context.is_cancelled() {
                    return Err("cancelled".into());
                }
            }
            // Heavy-tailed on purpose: a microsecond for each two steps, beside the steps.
            std::thread::sleep(std::time::Duration::from_micros(u64::from(steps) / 2));
            Ok(f64::from(steps))
        })
        .reduce(|steps: &Runs<f64>| {
            let n = steps.len() as f64;
            let mean = steps.iter().map(|(_, steps)| steps).sum::<f64>() / n;
            let squares = steps.iter().map(|(_, steps)| (steps - mean).powi(2)).sum::<f64>();
            Estimate { score: mean, standard_error: (squares / (n - 1.0) / n).sqrt() }
        })
        .seed(2026)
        .main()
}
