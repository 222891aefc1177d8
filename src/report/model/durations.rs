//! Statistics of durations, whose memory does not grow with the number of runs. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::store::Attempt;

/// Up to so many durations are known exactly; of more, the first digits are.
const EXACT: usize = 1 << 20;

/// The bits of a number that are dropped then: 14 of its 52 bits are left, so four digits.
const DROPPED: u32 = 38;

/// How long the attempts of some starts took, by start.
#[derive(Default)]
pub(super) struct Durations {
    exact: BTreeMap<i64, Vec<f64>>,
    /// The first bits of numbers, and how many numbers have them.
    rounded: BTreeMap<i64, HashMap<u32, u64>>,
    count: usize,
    /// The shortest one above 0, and the longest.
    least: f64,
    most: f64,
}

impl Durations {
    pub(super) fn add(&mut self, start: i64, seconds: f64) {
        let seconds = seconds.max(0.0);
        if seconds > 0.0 && (self.least == 0.0 || seconds < self.least) {
            self.least = seconds;
        }
        self.most = self.most.max(seconds);
        self.count += 1;
        if self.count <= EXACT {
            return self.exact.entry(start).or_default().push(seconds);
        }
        for (start, all) in std::mem::take(&mut self.exact) {
            all.into_iter().for_each(|seconds| self.round(start, seconds));
        }
        self.round(start, seconds);
    }

    fn round(&mut self, start: i64, seconds: f64) {
        // Numbers from 0 on are in the order of their bits.
        let bits = (seconds.to_bits() >> DROPPED) as u32;
        *self.rounded.entry(start).or_default().entry(bits).or_default() += 1;
    }

    /// The durations of some starts in ascending order, each with how many there are; rounded down.
    fn ascending(&self, is_meant: impl Fn(i64) -> bool) -> Vec<(f64, u64)> {
        let exact = self.exact.iter().filter(|(start, _)| is_meant(**start));
        let mut all: Vec<(f64, u64)> =
            exact.flat_map(|(_, all)| all.iter().map(|seconds| (*seconds, 1))).collect();
        for (_, counts) in self.rounded.iter().filter(|(start, _)| is_meant(**start)) {
            let number = |bits: u32| f64::from_bits(u64::from(bits) << DROPPED);
            all.extend(counts.iter().map(|(bits, count)| (number(*bits), *count)));
        }
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all
    }

    /// A lower bound on the time that this many workers need for a start's attempts, as these cannot be divided:
    /// some worker must run k + 1 of the k m + 1 longest, which takes at least k + 1 times the shortest of those.
    pub(super) fn bound(&self, start: i64, workers: usize) -> f64 {
        let (mut longer, mut bound) = (0, 0.0f64);
        for (seconds, count) in self.ascending(|of| of == start).into_iter().rev() {
            longer += count;
            let together = (longer - 1) / workers as u64 + 1;
            bound = bound.max(seconds * together as f64);
        }
        bound
    }

    /// The edges of the bins of a histogram, and whether they are spaced by ratio.
    pub(super) fn edges(&self) -> (Vec<f64>, bool) {
        // 0 has no logarithm.
        let low = if self.least > 0.0 { self.least } else { 1e-9 }.max(1e-9);
        let high = self.most.max(low);
        let is_log = high / low > 30.0;
        // If all durations are nearly equal, do not magnify the small differences.
        let (low, high) = if high / low < 1.1 { (0.9 * low, 1.1 * high) } else { (low, high) };
        let edge = |i: usize| {
            let part = i as f64 / BINS as f64;
            if is_log { low * (high / low).powf(part) } else { low + part * (high - low) }
        };
        ((0..=BINS).map(edge).collect(), is_log)
    }
}

/// Statistics of durations.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DurationStats {
    /// Lower edges of the bins, then the upper edge of the last, in seconds.
    pub(crate) edges: Vec<f64>,
    pub(crate) counts: Vec<u64>,
    pub(crate) is_log: bool,
    pub(crate) median: f64,
    /// The 95th percentile.
    pub(crate) p95: f64,
    pub(crate) longest: Attempt,
}

pub(super) const BINS: usize = 40;

impl DurationStats {
    /// The statistics, of which the counts are added one by one.
    pub(super) fn of(durations: &Durations, longest: Attempt) -> DurationStats {
        let (edges, is_log) = durations.edges();
        let all = durations.ascending(|_| true);
        let (median, p95) = (quantile(&all, 0.5), quantile(&all, 0.95));
        DurationStats { edges, counts: vec![0; BINS], is_log, median, p95, longest }
    }

    pub(super) fn count(&mut self, seconds: f64) {
        let bin = self.edges.partition_point(|edge| *edge <= seconds.max(0.0));
        self.counts[bin.saturating_sub(1).min(BINS - 1)] += 1;
    }
}

/// The quantile of numbers in ascending order, each of which is there so many times; interpolated.
fn quantile(ascending: &[(f64, u64)], part: f64) -> f64 {
    let count: u64 = ascending.iter().map(|(_, count)| count).sum();
    let place = part * count.saturating_sub(1) as f64;
    let at = |place: f64| {
        let mut before = 0;
        let reaches = |(_, count): &&(f64, u64)| {
            before += count;
            before > place as u64
        };
        ascending.iter().find(reaches).map_or(f64::NAN, |(number, _)| *number)
    };
    let (below, above) = (at(place.floor()), at(place.ceil()));
    if below == above { below } else { below + (above - below) * place.fract() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_durations_four_digits_are_known() {
        let mut durations = Durations::default();
        let count = EXACT as u64 * 2;
        // In another order than theirs.
        let seconds = |i: u64| 1e-3 + (i * 7919 % count) as f64 / count as f64;
        (0..count).for_each(|i| durations.add(1 + (i % 2) as i64, seconds(i)));
        let all = durations.ascending(|_| true);
        assert!(all.len() < 400_000, "{}", all.len());
        assert_eq!(all.iter().map(|(_, count)| count).sum::<u64>(), count);
        for (part, exact) in [(0.5, 0.501), (0.95, 0.951), (0.0, 0.001), (1.0, 1.001)] {
            let found = quantile(&all, part);
            assert!((found / exact - 1.0).abs() < 1e-4, "{part}: {found}");
        }
        assert_eq!(
            (durations.least, durations.most),
            (1e-3, 1e-3 + (count - 1) as f64 / count as f64)
        );
        // The x longest of one start take over 1 - x / count each: half of them twice that long.
        let bound = durations.bound(1, 2);
        let exact = (1..=count / 4).map(|k| k as f64 * (1.001 - 4.0 * k as f64 / count as f64));
        let exact = exact.fold(0.0, f64::max);
        assert!(bound <= exact * (1.0 + 1e-4) && bound > exact * (1.0 - 1e-3), "{bound} {exact}");
    }

    #[test]
    fn quantiles_of_counted_numbers_are_those_of_the_numbers() {
        let numbers = [(1.0, 2), (2.0, 1), (5.0, 3)];
        let all = [1.0, 1.0, 2.0, 5.0, 5.0, 5.0];
        for part in [0.0, 0.2, 0.3, 0.5, 0.55, 0.95, 1.0] {
            assert_eq!(quantile(&numbers, part), crate::util::stats::quantile(&all, part));
        }
    }
}
