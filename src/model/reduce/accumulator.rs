//! Folds of numbers, one number at a time.

use serde::{Deserialize, Serialize};

use crate::util::stats::{Welford, quantile, sorted};

/// A fold of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum NumberFold {
    Max,
    Min,
    /// The arithmetic mean.
    Mean,
    Sum,
    /// The middle number, or the mean of the two middle ones.
    Median,
    /// The standard deviation with n in the denominator, as NumPy's `std` and scikit-learn's
    /// `std_test_score` have it.
    Std,
    /// The standard deviation with n - 1 in the denominator, as R's `sd` and pandas' `std` have it. Of one
    /// number there is none.
    Sd,
    /// The standard error of the mean, sd / sqrt(n), as SciPy's `sem` has it.
    Sem,
    /// How many numbers.
    Count,
    /// The quantile at this probability, linear between numbers as NumPy's default (Hyndman and Fan's type 7).
    Quantile(f64),
}

impl NumberFold {
    /// Those that a name alone says.
    const NAMED: [(&'static str, NumberFold); 9] = [
        ("max", NumberFold::Max),
        ("min", NumberFold::Min),
        ("mean", NumberFold::Mean),
        ("sum", NumberFold::Sum),
        ("median", NumberFold::Median),
        ("std", NumberFold::Std),
        ("sd", NumberFold::Sd),
        ("sem", NumberFold::Sem),
        ("count", NumberFold::Count),
    ];

    pub(crate) fn named(name: &str) -> Option<NumberFold> {
        Self::NAMED.iter().find(|(own, _)| *own == name).map(|(_, fold)| *fold)
    }

    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMED.iter().map(|(name, _)| *name)
    }

    /// What stands behind the name of a field that it is a fold of: `q97_5` for the quantile 0.975.
    pub(crate) fn name(self) -> String {
        match self {
            NumberFold::Quantile(at) => format!("q{}", percent(at).replace('.', "_")),
            named => {
                let own = Self::NAMED.iter().find(|(_, fold)| *fold == named);
                own.map_or(String::new(), |(name, _)| name.to_string())
            }
        }
    }

    /// Whether it says how far numbers lie apart.
    pub(crate) fn is_spread(self) -> bool {
        matches!(self, NumberFold::Std | NumberFold::Sd | NumberFold::Sem)
    }
}

/// A hundred times a number, without the rounding of a product: by its decimal digits.
fn percent(number: f64) -> String {
    let text = format!("{number}");
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let (tens, rest) = part.split_at(part.len().min(2));
    let digits = format!("{whole}{tens:0<2}");
    let digits = match digits.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    if rest.is_empty() { digits.to_string() } else { format!("{digits}.{rest}") }
}

/// A fold of numbers in progress.
#[derive(Clone, Debug)]
pub(super) enum Accumulator {
    Extreme { sign: f64, best: f64 },
    Sum { sum: f64, mean: bool },
    Weighted { sum: f64, weights: f64 },
    Spread { fold: NumberFold, numbers: Welford },
    Quantile { at: f64, numbers: Vec<f64> },
    Count,
}

impl Accumulator {
    pub(super) fn new(fold: NumberFold) -> Accumulator {
        match fold {
            NumberFold::Max => Accumulator::Extreme { sign: 1.0, best: f64::NEG_INFINITY },
            NumberFold::Min => Accumulator::Extreme { sign: -1.0, best: f64::NEG_INFINITY },
            NumberFold::Mean => Accumulator::Sum { sum: 0.0, mean: true },
            NumberFold::Sum => Accumulator::Sum { sum: 0.0, mean: false },
            NumberFold::Std | NumberFold::Sd | NumberFold::Sem => {
                Accumulator::Spread { fold, numbers: Welford::default() }
            }
            NumberFold::Median => Accumulator::Quantile { at: 0.5, numbers: Vec::new() },
            NumberFold::Quantile(at) => Accumulator::Quantile { at, numbers: Vec::new() },
            NumberFold::Count => Accumulator::Count,
        }
    }

    /// The mean in which each number counts as its weight says.
    pub(super) fn weighted() -> Accumulator {
        Accumulator::Weighted { sum: 0.0, weights: 0.0 }
    }

    pub(super) fn push(&mut self, number: f64, weight: f64) {
        match self {
            Accumulator::Extreme { sign, best } => *best = best.max(*sign * number),
            Accumulator::Sum { sum, .. } => *sum += number,
            Accumulator::Weighted { sum, weights } => {
                // Without a weight not even an infinite number counts.
                if weight > 0.0 {
                    *sum += weight * number;
                    *weights += weight;
                }
            }
            Accumulator::Spread { numbers, .. } => numbers.push(number),
            Accumulator::Quantile { numbers, .. } => numbers.push(number),
            Accumulator::Count => {}
        }
    }

    /// Takes numbers, each of the same weight, and returns how many.
    pub(super) fn push_all(&mut self, numbers: impl Iterator<Item = f64>) -> u64 {
        let mut count = 0;
        let numbers = numbers.inspect(|_| count += 1);
        match self {
            Accumulator::Sum { sum, .. } => numbers.for_each(|number| *sum += number),
            other => numbers.for_each(|number| other.push(number, 1.0)),
        }
        count
    }

    /// The value over `count` numbers: NaN if they have none, as the sum of opposite infinities or the sd of one.
    pub(super) fn finish(self, count: u64) -> f64 {
        let n = count as f64;
        match self {
            Accumulator::Extreme { sign, best } => sign * best,
            Accumulator::Sum { sum, mean } => sum / if mean { n } else { 1.0 },
            Accumulator::Weighted { sum, weights } => sum / weights,
            Accumulator::Spread { fold, numbers } => match fold {
                NumberFold::Std => numbers.std(),
                NumberFold::Sd => numbers.sd(),
                _ => numbers.sd() / n.sqrt(),
            },
            Accumulator::Quantile { at, numbers } => quantile(&sorted(numbers), at),
            Accumulator::Count => n,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(fold: NumberFold, numbers: &[f64]) -> f64 {
        let mut accumulator = Accumulator::new(fold);
        let count = accumulator.push_all(numbers.iter().copied());
        accumulator.finish(count)
    }

    #[test]
    fn spreads_and_quantiles_are_those_of_numpy_r_and_scipy() {
        let numbers = [2.5, -1.0, 7.0, 7.25, 0.5];
        // numpy.std, numpy.std(ddof=1), scipy.stats.sem, numpy.quantile(..., 0.9), (..., 0.975)
        for (kind, expected) in [
            (NumberFold::Std, 3.3541019662496847),
            (NumberFold::Sd, 3.75),
            (NumberFold::Sem, 1.6770509831248421),
            (NumberFold::Quantile(0.9), 7.15),
            (NumberFold::Quantile(0.975), 7.225),
            (NumberFold::Quantile(0.0), -1.0),
            (NumberFold::Quantile(1.0), 7.25),
            (NumberFold::Median, 2.5),
        ] {
            let found = fold(kind, &numbers);
            assert!((found - expected).abs() < 1e-14, "{kind:?}: {found}");
        }
        for kind in [NumberFold::Sd, NumberFold::Sem] {
            assert!(fold(kind, &[3.0]).is_nan());
        }
        assert_eq!(fold(NumberFold::Std, &[3.0]), 0.0);
        assert_eq!(fold(NumberFold::Median, &[f64::INFINITY; 2]), f64::INFINITY);
    }

    #[test]
    fn names_of_quantiles_are_their_percentages() {
        for (at, name) in [
            (0.9, "q90"),
            (0.975, "q97_5"),
            (0.29, "q29"),
            (0.05, "q5"),
            (0.5, "q50"),
            (0.001, "q0_1"),
            (0.0, "q0"),
            (1.0, "q100"),
        ] {
            assert_eq!(NumberFold::Quantile(at).name(), name);
        }
    }

    #[test]
    fn a_weight_of_zero_takes_its_number_out() {
        let mut mean = Accumulator::weighted();
        for (number, weight) in [(1.0, 1.0), (f64::INFINITY, 0.0), (4.0, 2.0)] {
            mean.push(number, weight);
        }
        assert_eq!(mean.finish(3), 3.0);
    }
}
