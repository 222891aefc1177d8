//! What random parameters are drawn from.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution as _, LogNormal, Normal, Uniform};
use serde::{Deserialize, Serialize};

use crate::model::nest::points::normal;
use crate::model::value::Value;

/// The distribution of a random parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Distribution {
    /// Between two numbers.
    Uniform(f64, f64),
    /// Uniform in the logarithm.
    Loguniform(f64, f64),
    /// By mean and standard deviation.
    Normal(f64, f64),
    /// By mean and standard deviation of the logarithm.
    Lognormal(f64, f64),
    /// A whole number from the first up to, but not including, the second.
    Integers(i64, i64),
    /// The same, over 0: what loguniform numbers between the two are rounded down to.
    Logintegers(i64, i64),
    /// One of a list.
    Choice(Vec<Value>),
}

/// The generator of a parameter's i-th draw.
pub(super) fn generator(seed: u64, name: &str, i: u64) -> ChaCha8Rng {
    let hash = blake3::hash(format!("{seed}\n{name}").as_bytes());
    let mut rng = ChaCha8Rng::from_seed(*hash.as_bytes());
    rng.set_stream(i);
    rng
}

const VALID: &str = "validated when the job was parsed";

impl Distribution {
    /// The `i`-th of independent draws.
    pub(super) fn draw(&self, seed: u64, name: &str, i: u64) -> Value {
        let mut rng = generator(seed, name, i);
        match self {
            Distribution::Uniform(from, to) => {
                Value::Float(Uniform::new(from, to).expect(VALID).sample(&mut rng))
            }
            Distribution::Loguniform(from, to) => {
                let log = Uniform::new(from.ln(), to.ln()).expect(VALID).sample(&mut rng);
                Value::Float(log.exp())
            }
            Distribution::Normal(mean, sd) => {
                Value::Float(Normal::new(*mean, *sd).expect(VALID).sample(&mut rng))
            }
            Distribution::Lognormal(mean, sd) => {
                Value::Float(LogNormal::new(*mean, *sd).expect(VALID).sample(&mut rng))
            }
            Distribution::Integers(from, to) => {
                Value::Int(Uniform::new(from, to).expect(VALID).sample(&mut rng))
            }
            Distribution::Logintegers(from, to) => {
                log_integer(*from, *to, Uniform::new(0.0, 1.0).expect(VALID).sample(&mut rng))
            }
            Distribution::Choice(values) => {
                let pick = Uniform::new(0, values.len()).expect(VALID).sample(&mut rng);
                values[pick].clone()
            }
        }
    }

    /// The value below which a draw is with this probability, from 0 up to, but not including, 1; over 0 for
    /// a normal or lognormal distribution.
    pub(super) fn quantile(&self, probability: f64) -> Value {
        match self {
            Distribution::Uniform(from, to) => {
                Value::Float((from + (to - from) * probability).clamp(*from, *to))
            }
            Distribution::Loguniform(from, to) => {
                Value::Float(log_between(*from, *to, probability))
            }
            Distribution::Normal(mean, sd) => {
                Value::Float(mean + sd * normal::quantile(probability))
            }
            Distribution::Lognormal(mean, sd) => {
                Value::Float((mean + sd * normal::quantile(probability)).exp())
            }
            Distribution::Integers(from, to) => {
                let width = i128::from(*to) - i128::from(*from);
                let step = ((width as f64 * probability) as i128).min(width - 1);
                Value::Int((i128::from(*from) + step) as i64)
            }
            Distribution::Logintegers(from, to) => log_integer(*from, *to, probability),
            Distribution::Choice(values) => {
                let pick = (values.len() as f64 * probability) as usize;
                values[pick.min(values.len() - 1)].clone()
            }
        }
    }
}

fn log_between(from: f64, to: f64, part: f64) -> f64 {
    (from.ln() + (to.ln() - from.ln()) * part).exp().clamp(from, to)
}

fn log_integer(from: i64, to: i64, part: f64) -> Value {
    Value::Int((log_between(from as f64, to as f64, part).floor() as i64).clamp(from, to - 1))
}
