//! A group's results as summarize gets them, and the summary as the user gets it.

use std::sync::Arc;

use crate::job::Job;
use crate::model::{Key, Value};

/// The results of one group: the runs of a data set, or the summaries of the loop inside. There is one
/// per point of the loop, in the order of the loop, whatever the order in which they arrived. A point
/// whose run failed, or whose group inside is incomplete, has no result.
///
/// Indices count the points that the loop has in this group, from 0. With [`Nest::each_of`](crate::Nest::each_of)
/// or [`Nest::filter`](crate::Nest::filter) an index can be another point in each group:
/// [`point`](Runs::point) says which.
pub struct Runs<R> {
    pub(super) results: Vec<Option<R>>,
    pub(super) job: Arc<Job>,
    pub(super) group: Key,
}

impl<R> Runs<R> {
    /// The number of points that the loop has in this group, including those without a result; at least 1.
    #[allow(clippy::len_without_is_empty)] // it never is
    pub fn len(&self) -> usize {
        self.results.len()
    }

    /// The result of the point with this index; `None` if it failed or if there is no such point.
    pub fn get(&self, index: usize) -> Option<&R> {
        self.results.get(index).and_then(Option::as_ref)
    }

    /// The indices of the points with their results, in the order of the loop, without failed ones.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &R)> {
        self.results.iter().enumerate().filter_map(|(i, result)| Some((i, result.as_ref()?)))
    }

    /// The indices of the points that failed. Empty unless [`require`](crate::Study::require) allows for
    /// failures.
    pub fn failed(&self) -> Vec<usize> {
        let failed = |(i, result): (usize, &Option<R>)| result.is_none().then_some(i);
        self.results.iter().enumerate().filter_map(failed).collect()
    }

    /// The index of the point with the greatest score, and its result. If several are equal, the first
    /// one; scores that are NaN are ignored. `None` if there is no score.
    pub fn max_by(&self, score: impl Fn(&R) -> f64) -> Option<(usize, &R)> {
        self.best(|result| score(result))
    }

    /// The index of the point with the smallest score, and its result. If several are equal, the first
    /// one; scores that are NaN are ignored. `None` if there is no score.
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

    /// The names and points of the loops around the group, outermost first.
    pub fn coordinates(&self) -> Vec<(&str, Value)> {
        self.job.nest.coordinates(self.group)
    }
}

/// The summary of a group, with its coordinates and the number of its runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary<S> {
    /// The names and points of the loops around the group, outermost first.
    pub coordinates: Vec<(String, Value)>,
    /// The indices of those points, each from 0: among the values that the loop was given, or among all
    /// points that [`Nest::each_of`](crate::Nest::each_of) gave it anywhere, equal ones counted once.
    pub indices: Vec<u64>,
    /// The result of summarize, or of gridmpi's own reduction, or a message that says why the group is incomplete.
    pub value: Result<S, String>,
    /// The number of successful runs in the group, at all levels below.
    pub runs: u64,
    /// The number of failed runs in the group, at all levels below.
    pub failed: u64,
    /// The number of runs in the group that were not needed ([`Study::stop`](crate::Study::stop)).
    pub skipped: u64,
}
