//! A closed group as the user's summarize sees it, and a summary as the user gets it.

use std::sync::Arc;

use crate::job::Job;
use crate::model::{Key, Value};

/// All that came of one group: the runs of a data set, or the summaries of the loop inside, one a
/// point, in the order of the loop whatever the order in which they came. A point whose run failed
/// (or whose group inside is incomplete) has its place and no result.
pub struct Runs<R> {
    pub(super) results: Vec<Option<R>>,
    pub(super) job: Arc<Job>,
    pub(super) group: Key,
}

impl<R> Runs<R> {
    /// How many points the loop has, those without a result included; at least 1.
    #[allow(clippy::len_without_is_empty)] // it never is
    pub fn len(&self) -> usize {
        self.results.len()
    }

    /// What came of the point with this index; nothing if it failed.
    pub fn get(&self, index: usize) -> Option<&R> {
        self.results.get(index).and_then(Option::as_ref)
    }

    /// The results and the indices of their points, in the order of the loop, without those that
    /// failed.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &R)> {
        self.results.iter().enumerate().filter_map(|(i, result)| Some((i, result.as_ref()?)))
    }

    /// The indices of the points that failed. Empty unless
    /// [`require`](crate::Study::require) allows for some.
    pub fn failed(&self) -> Vec<usize> {
        let failed = |(i, result): (usize, &Option<R>)| result.is_none().then_some(i);
        self.results.iter().enumerate().filter_map(failed).collect()
    }

    /// The result with the greatest score, and its point's index: the first of equal ones. Scores
    /// that are NaN do not count; nothing if no other is there.
    pub fn max_by(&self, score: impl Fn(&R) -> f64) -> Option<(usize, &R)> {
        self.best(|result| score(result))
    }

    /// The result with the smallest score, and its point's index: the first of equal ones. Scores
    /// that are NaN do not count; nothing if no other is there.
    pub fn min_by(&self, score: impl Fn(&R) -> f64) -> Option<(usize, &R)> {
        self.best(|result| -score(result))
    }

    fn best(&self, score: impl Fn(&R) -> f64) -> Option<(usize, &R)> {
        let mut best: Option<(usize, &R, f64)> = None;
        for (i, result) in self.iter() {
            let score = score(result);
            if !score.is_nan() && best.is_none_or(|(.., highest)| score > highest) {
                best = Some((i, result, score));
            }
        }
        best.map(|(i, result, _)| (i, result))
    }

    /// The point with this index, as the store shows it.
    ///
    /// # Panics
    /// If the loop has no such point.
    pub fn point(&self, index: usize) -> Value {
        assert!(index < self.len(), "point {index} of {}", self.len());
        let point = self.job.nest.child(self.group, index as u64);
        point.map_or(Value::Null, |key| self.job.nest.value(key))
    }

    /// The names and points of the loops around, outermost first: which group it is.
    pub fn coordinates(&self) -> Vec<(&str, Value)> {
        self.job.nest.coordinates(self.group)
    }
}

/// A group's summary, and what it stands on.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary<S> {
    /// The names and points of the loops around the group, outermost first.
    pub coordinates: Vec<(String, Value)>,
    /// The indices of those points, each from 0.
    pub indices: Vec<u64>,
    /// What summarize made of the group, or in words why the group is incomplete.
    pub value: Result<S, String>,
    /// How many runs below it succeeded.
    pub runs: u64,
    /// How many runs below it failed.
    pub failed: u64,
}
