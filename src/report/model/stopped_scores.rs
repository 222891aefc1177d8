//! Scores that are not there because their points were stopped early.

use std::ops::Range;

/// The points' indices, in order, and why each was stopped.
#[derive(Default)]
pub(super) struct StoppedScores(Vec<(Range<u64>, String)>);

impl StoppedScores {
    /// Adds points behind the others.
    pub(super) fn add(&mut self, points: Range<u64>, why: String) {
        self.0.push((points, why));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Why the score at an index is not there.
    pub(super) fn why(&self, index: u64) -> Option<&str> {
        let at = self.0.partition_point(|(points, _)| points.end <= index);
        self.0.get(at).filter(|(points, _)| points.contains(&index)).map(|(_, why)| why.as_str())
    }
}
