//! Numbers the points of a loop that depends on others, in the order in which they are found.

use std::collections::BTreeMap;
use std::ops::Range;

/// Adds a point to runs of consecutive ones.
pub(crate) fn add_point(runs: &mut Vec<Range<u64>>, point: u64) {
    match runs.last_mut() {
        Some(last) if last.end == point => last.end += 1,
        _ => runs.push(point..point + 1),
    }
}

/// The points that were found so far, by what makes them equal.
pub(crate) struct PointNumbers<K> {
    known: BTreeMap<K, Vec<u64>>,
}

impl<K> Default for PointNumbers<K> {
    fn default() -> Self {
        PointNumbers { known: BTreeMap::new() }
    }
}

impl<K: Clone + Ord> PointNumbers<K> {
    /// The numbers of the points of one place, as runs of consecutive ones. Equal points are one point, unless
    /// they are equal at the same place. New ones are added to `list`, where their places are their numbers.
    pub(crate) fn take<T>(
        &mut self,
        found: impl IntoIterator<Item = (K, T)>,
        list: &mut Vec<T>,
    ) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        let mut times: BTreeMap<K, usize> = BTreeMap::new();
        for (key, new) in found {
            let time = times.entry(key.clone()).or_insert(0);
            let equal = self.known.entry(key).or_default();
            let point = *equal.get(*time).unwrap_or(&(list.len() as u64));
            if *time == equal.len() {
                equal.push(point);
                list.push(new);
            }
            *time += 1;
            add_point(&mut runs, point);
        }
        runs
    }
}
