//! Order statistics and the spread of numbers.

/// The numbers in ascending order.
pub(crate) fn sorted(numbers: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// The quantile of sorted numbers, linear between the two next to its place, as NumPy's default (Hyndman and Fan's
/// type 7); NaN if there are none.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = part * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    let (step, part) = (above - below, place.fract());
    // From the nearer one, as NumPy does it, so that both give the same last bit.
    match part {
        _ if below == above => below,
        0.5 => (below + above) / 2.0,
        part if part > 0.5 => above - step * (1.0 - part),
        part => below + step * part,
    }
}

/// The spread of numbers that come one by one (Welford's algorithm).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Welford {
    pub(crate) count: u64,
    mean: f64,
    squares: f64,
}

impl Welford {
    pub(crate) fn push(&mut self, number: f64) {
        self.count += 1;
        let step = number - self.mean;
        self.mean += step / self.count as f64;
        self.squares += step * (number - self.mean);
    }

    /// The standard deviation with n in the denominator; NaN if there is no number.
    pub(crate) fn std(&self) -> f64 {
        (self.squares / self.count as f64).sqrt()
    }

    /// The standard deviation with n - 1 in the denominator; NaN of fewer than two numbers.
    pub(crate) fn sd(&self) -> f64 {
        match self.count {
            0 | 1 => f64::NAN,
            count => (self.squares / (count as f64 - 1.0)).sqrt(),
        }
    }
}

/// The median of the numbers that are not NaN; NaN if there are none.
#[cfg(feature = "cli")]
pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    quantile(&sorted(numbers.into_iter().filter(|number| !number.is_nan())), 0.5)
}

/// The minimum and the maximum; (infinity, -infinity) if there are none.
#[cfg(feature = "cli")]
pub(crate) fn extent(numbers: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let both = |(low, high): (f64, f64), number: f64| (low.min(number), high.max(number));
    numbers.into_iter().fold((f64::INFINITY, f64::NEG_INFINITY), both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated() {
        assert_eq!(quantile(&[1.0, 2.0], 0.5), 1.5);
        assert_eq!(
            quantile(&[f64::NEG_INFINITY, f64::INFINITY, f64::INFINITY], 0.9),
            f64::INFINITY
        );
        assert!(quantile(&[], 0.5).is_nan());
    }
}
