//! The quantiles of the normal distribution.

use std::f64::consts::{PI, SQRT_2};

/// The number that a standard normal variable is below with this probability, over 0 and under 1.
pub(super) fn quantile(probability: f64) -> f64 {
    // The tail that is smaller has the digits.
    let (tail, sign) = match probability < 0.5 {
        true => (probability, -1.0),
        false => (1.0 - probability, 1.0),
    };
    // Abramowitz and Stegun 26.2.23, good to 5e-4, and two of Halley's steps.
    let t = (-2.0 * tail.ln()).sqrt();
    let above = 2.515517 + t * (0.802853 + t * 0.010328);
    let below = 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308));
    let mut x = t - above / below;
    for _ in 0..2 {
        let density = (-x * x / 2.0).exp() / (2.0 * PI).sqrt();
        let step = (libm::erfc(x / SQRT_2) / 2.0 - tail) / density;
        x += step / (1.0 - x * step / 2.0);
    }
    sign * x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_other_programs() {
        // From Python's statistics.NormalDist().inv_cdf.
        for (probability, expected) in [
            (0.5, 0.0),
            (0.975, 1.9599639845400536),
            (0.25, -0.6744897501960817),
            (0.75, 0.6744897501960817),
            (1e-10, -6.361340902404056),
            (0.5000001, 2.506628273311649e-7),
            (0.01, -2.3263478740408408),
        ] {
            let found = quantile(probability);
            assert!((found - expected).abs() <= 2e-15 * expected.abs().max(1.0), "{found}");
        }
        assert!(quantile(f64::from_bits(1)).is_finite());
        assert!(quantile(1.0 - f64::EPSILON / 2.0).is_finite());
    }
}
