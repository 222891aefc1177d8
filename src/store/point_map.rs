//! Which points of one numbering are which of another, as runs of consecutive ones: so two lists of millions of
//! points that differ in a few are a few runs.

use crate::model::Loop;

/// Consecutive points that are consecutive in the other numbering too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PointRun {
    pub(super) old: u64,
    pub(super) new: u64,
    pub(super) count: u64,
}

/// Pairs of an old and a new number, each number in one pair at most.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PointMap {
    /// In the order of the new numbers.
    runs: Vec<PointRun>,
    /// The same runs in the order of the old numbers.
    by_old: Vec<PointRun>,
}

impl PointMap {
    /// Equal numbers, below this one.
    pub(super) fn same(count: u64) -> PointMap {
        PointMap::of(vec![PointRun { old: 0, new: 0, count }])
    }

    pub(super) fn of(mut runs: Vec<PointRun>) -> PointMap {
        runs.sort_by_key(|run| run.new);
        let mut joined: Vec<PointRun> = Vec::new();
        for run in runs.into_iter().filter(|run| run.count > 0) {
            match joined.last_mut() {
                Some(last)
                    if last.new + last.count == run.new && last.old + last.count == run.old =>
                {
                    last.count += run.count;
                }
                _ => joined.push(run),
            }
        }
        let mut by_old = joined.clone();
        by_old.sort_by_key(|run| run.old);
        PointMap { runs: joined, by_old }
    }

    /// In the order of the new numbers.
    pub(super) fn runs(&self) -> &[PointRun] {
        &self.runs
    }

    /// Whether these are equal numbers, from 0 to below `count`.
    pub(super) fn is_same(&self, count: u64) -> bool {
        self.runs == [PointRun { old: 0, new: 0, count }]
    }

    /// Whether a higher old number is a higher new one.
    pub(super) fn ascends(&self) -> bool {
        self.runs == self.by_old
    }

    pub(super) fn new_of(&self, old: u64) -> Option<u64> {
        let (run, place) = find(&self.by_old, |run| run.old, old)?;
        Some(run.new + place)
    }

    pub(super) fn old_of(&self, new: u64) -> Option<u64> {
        self.run_of(new).map(|run| run.old)
    }

    /// The rest of the run from this new number on.
    pub(super) fn run_of(&self, new: u64) -> Option<PointRun> {
        let (run, place) = find(&self.runs, |run| run.new, new)?;
        Some(PointRun { old: run.old + place, new, count: run.count - place })
    }

    /// The new numbers below `count` that are in no pair, as ranges.
    pub(super) fn missing(&self, count: u64) -> Vec<std::ops::Range<u64>> {
        let mut missing = Vec::new();
        let mut next = 0;
        for run in &self.runs {
            missing.push(next..run.new);
            next = run.new + run.count;
        }
        missing.push(next..count);
        missing.retain(|range| !range.is_empty());
        missing
    }
}

/// The maps of the loops with these names; nothing if one of them is no loop.
pub(super) fn maps_of<'a>(
    loops: &[Loop],
    maps: &'a [PointMap],
    names: &[String],
) -> Option<Vec<&'a PointMap>> {
    let level = |name: &String| loops.iter().position(|l| l.name == *name);
    names.iter().map(|name| maps.get(level(name)?)).collect()
}

/// These numbers, each by its map; nothing if one of them is in no pair.
pub(super) fn moved(
    maps: &[&PointMap],
    numbers: &[u64],
    to: impl Fn(&PointMap, u64) -> Option<u64>,
) -> Option<Vec<u64>> {
    maps.iter().zip(numbers).map(|(map, number)| to(map, *number)).collect()
}

/// The run that has this number, and the place of the number in it.
fn find(
    runs: &[PointRun],
    start: impl Fn(&PointRun) -> u64,
    number: u64,
) -> Option<(&PointRun, u64)> {
    let after = match runs.len() {
        1 => 1,
        _ => runs.partition_point(|run| start(run) <= number),
    };
    let run = runs.get(after.checked_sub(1)?)?;
    let place = number.checked_sub(start(run))?;
    (place < run.count).then_some((run, place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(old: u64, new: u64, count: u64) -> PointRun {
        PointRun { old, new, count }
    }

    #[test]
    fn neighbours_are_one_run() {
        let map = PointMap::of(vec![run(3, 1, 2), run(0, 0, 1), run(5, 3, 1)]);
        assert_eq!(map.runs(), [run(0, 0, 1), run(3, 1, 3)]);
        assert!(map.ascends() && !map.is_same(4));
        assert!(!PointMap::of(vec![run(3, 0, 1), run(0, 1, 1)]).ascends());
        assert!(PointMap::same(4).is_same(4) && !PointMap::same(3).is_same(4));
        assert_eq!(PointMap::of(vec![run(0, 1, 2), run(4, 5, 1)]).missing(7), [0..1, 3..5, 6..7]);
    }

    proptest! {
        #[test]
        fn it_finds_what_a_list_of_pairs_has(
            new_of in prop::collection::vec(prop::option::of(0u64..20), 0..20),
        ) {
            let mut taken = std::collections::BTreeSet::new();
            let pairs: Vec<(u64, u64)> = (0..)
                .zip(new_of)
                .filter_map(|(old, new)| Some((old, new.filter(|new| taken.insert(*new))?)))
                .collect();
            let map = PointMap::of(pairs.iter().map(|(old, new)| run(*old, *new, 1)).collect());
            for number in 0..22 {
                let new = pairs.iter().find(|(old, _)| *old == number).map(|(_, new)| *new);
                prop_assert_eq!(map.new_of(number), new);
                let old = pairs.iter().find(|(_, new)| *new == number).map(|(old, _)| *old);
                prop_assert_eq!(map.old_of(number), old);
            }
        }
    }
}
