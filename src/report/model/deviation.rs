//! The spread of the values that a mean folds: their standard deviation, as `reduce = "std"` has it. Pure.

use crate::model::{Loop, Reduce};
use crate::util::stats::Welford;

/// The standard deviation, divided by the number of values; of fewer than two there is none.
pub(super) fn deviation(values: &Welford) -> Option<f64> {
    Some(values.std()).filter(|value| values.count > 1 && value.is_finite())
}

/// The level whose values the means at `level` fold, if they are means: a mean of means is shown with the spread
/// of what the innermost of them fold.
pub(super) fn folded_level(loops: &[Loop], level: usize) -> Option<usize> {
    // What a joined loop has is folded with the mean around it.
    let is_mean =
        |l: &&Loop| l.reduce.as_ref().is_some_and(|r| r.is_plain_mean() || *r == Reduce::Join);
    let means = loops[level..].iter().take_while(is_mean).count();
    (means > 0).then_some(level + means)
}

/// What the bars of a landscape are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spread {
    /// Whether means fold runs, rather than what inner loops gave.
    pub(super) of_runs: bool,
    /// How many values means fold: the fewest and the most.
    pub(super) sizes: (u64, u64),
}

impl Spread {
    /// What is behind each mean, as the page calls it: `5 runs`.
    pub(crate) fn values(&self) -> String {
        let (low, high) = self.sizes;
        let what = if self.of_runs { "runs" } else { "values" };
        if low == high { format!("{low} {what}") } else { format!("{low} to {high} {what}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::by_hand::product;

    #[test]
    fn deviations_are_those_of_std() {
        let of = |numbers: &[f64]| {
            let mut all = Welford::default();
            numbers.iter().for_each(|number| all.push(*number));
            deviation(&all)
        };
        assert_eq!(of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]), Some(2.0));
        assert_eq!(of(&[1e9 + 1.0, 1e9 + 3.0]), Some(1.0));
        assert_eq!((of(&[3.0]), of(&[]), of(&[1.0, f64::INFINITY])), (None, None, None));
    }

    #[test]
    fn means_fold_what_is_inside_all_of_them() {
        let folded = |reduces: &[Option<Reduce>], level| {
            let loops: Vec<_> = reduces.iter().map(|reduce| ("a", 2, reduce.clone())).collect();
            folded_level(product(&loops).loops(), level)
        };
        let (max, mean, median) =
            (Some(Reduce::max()), Some(Reduce::mean()), Reduce::named("median"));
        assert_eq!(folded(&[max.clone(), mean.clone(), mean.clone()], 1), Some(3));
        assert_eq!(folded(&[max.clone(), mean.clone(), median.clone()], 1), Some(2));
        assert_eq!(folded(&[max.clone(), median, mean], 1), None);
        assert_eq!(folded(&[max], 1), None);
    }
}
