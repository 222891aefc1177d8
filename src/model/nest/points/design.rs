//! How random points are spread: independently, or evenly in each parameter or over all of them.

use rand_distr::{Distribution as _, Open01};
use serde::{Deserialize, Serialize};

use crate::model::nest::points::distribution::{Distribution, generator};
use crate::model::value::Value;

/// How the draws of a loop depend on each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Design {
    /// The i-th draw depends only on the seed, the name and i, so a longer loop starts with the points of a
    /// shorter one.
    Independent,
    /// A Latin hypercube: each parameter has one draw in each of as many equally likely strata as there are
    /// points. By parameter and point: the stratum.
    Latin(Vec<Vec<u32>>),
    /// A Sobol sequence without its first points. By parameter: the direction numbers.
    Sobol { skip: u64, directions: Vec<Vec<u32>> },
}

impl Design {
    /// Strata in an order of their own for each parameter.
    #[cfg(any(test, feature = "jobs"))]
    pub(super) fn latin<'n>(
        count: u32,
        seed: u64,
        names: impl Iterator<Item = &'n String>,
    ) -> Design {
        let shuffled = |name: &String| {
            let mut rng = generator(seed, &format!("{name}\nlhs"), 0);
            let mut strata: Vec<u32> = (0..count).collect();
            for last in (1..strata.len()).rev() {
                let other = rand_distr::Uniform::new_inclusive(0, last)
                    .expect("0 is not above")
                    .sample(&mut rng);
                strata.swap(last, other);
            }
            strata
        };
        Design::Latin(names.map(shuffled).collect())
    }

    /// The value of the `parameter`-th parameter at point `i` of `count`.
    pub(super) fn value(
        &self,
        (name, distribution): &(String, Distribution),
        parameter: usize,
        seed: u64,
        i: u64,
        count: u64,
    ) -> Value {
        match self {
            Design::Independent => distribution.draw(seed, name, i),
            Design::Latin(strata) => {
                let stratum = f64::from(strata[parameter][i as usize]);
                let within: f64 = Open01.sample(&mut generator(seed, name, i));
                let below = ((stratum + within) / count as f64).min(1.0 - f64::EPSILON / 2.0);
                distribution.quantile(below)
            }
            Design::Sobol { skip, directions } => {
                distribution.quantile(coordinate(&directions[parameter], skip + i))
            }
        }
    }
}

/// A coordinate of a point of the Sobol sequence, in the order of the Gray code.
fn coordinate(directions: &[u32], point: u64) -> f64 {
    let code = point ^ (point >> 1);
    let set = directions.iter().enumerate().filter(|(bit, _)| code >> bit & 1 == 1);
    let bits = set.fold(0, |bits, (_, direction)| bits ^ direction);
    f64::from(bits) / (1u64 << directions.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latin_hypercube_has_one_draw_in_each_stratum() {
        let names = ["a".to_string(), "b".to_string()];
        let uniform = Distribution::Uniform(0.0, 1.0);
        for count in [1, 2, 3, 10, 100] {
            let design = Design::latin(count, 7, names.iter());
            for (at, name) in names.iter().enumerate() {
                let drawn = (name.clone(), uniform.clone());
                let value = |i| design.value(&drawn, at, 7, i, u64::from(count));
                let mut strata: Vec<u64> = (0..u64::from(count))
                    .map(|i| (value(i).as_f64().unwrap() * f64::from(count)) as u64)
                    .collect();
                assert!(count < 10 || !strata.is_sorted());
                strata.sort_unstable();
                assert!(strata.into_iter().eq(0..u64::from(count)));
            }
        }
        let Design::Latin(strata) = Design::latin(100, 7, names.iter()) else { panic!() };
        assert_ne!(strata[0], strata[1]);
    }

    #[test]
    fn the_first_coordinates_of_a_sobol_sequence() {
        let directions: Vec<u32> = (0..30).map(|bit| 1 << (29 - bit)).collect();
        let first: Vec<f64> = (0..8).map(|point| coordinate(&directions, point)).collect();
        assert_eq!(first, [0.0, 0.5, 0.75, 0.25, 0.375, 0.875, 0.625, 0.125]);
    }
}
