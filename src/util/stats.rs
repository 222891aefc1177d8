//! Order statistics of numbers.

/// The numbers in ascending order.
pub(crate) fn sorted(numbers: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// The quantile of sorted numbers, interpolated; NaN if there are none.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = part * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    if below == above { below } else { below + (above - below) * place.fract() }
}

/// The median of the numbers that are not NaN; NaN if there are none.
pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    quantile(&sorted(numbers.into_iter().filter(|number| !number.is_nan())), 0.5)
}

/// The minimum and the maximum; (infinity, -infinity) if there are none.
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
