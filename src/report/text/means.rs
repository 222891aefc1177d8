//! A mean of means gives each group the same weight. Over groups of different sizes it is not the mean over
//! all runs, and readers are told both.

use crate::model::{GroupSummary, Key, LoopNest, Reduce};
use crate::store::Results;
use crate::util::error::Result;

/// Relative difference from which two means are not the same number in another order of summing.
const SAME: f64 = 1e-9;

/// The sentence below a table in which they differ.
pub(crate) const NOTE: &str = "A mean of means counts each group once, whatever its number of runs; the groups differ in that, so it is not the mean over all runs.";

/// The header of the mean over all runs.
pub(crate) const OVER_ALL: &str = "mean over all runs";

/// The mean over all runs below a row, if the row's score is a mean of means and differs from it.
pub(crate) fn mean_over_all(results: &Results, row: &GroupSummary) -> Result<Option<f64>> {
    let nest = results.nest();
    let Some((key, score)) = mean_of_means(nest, row) else { return Ok(None) };
    let same_size = |level: usize| nest.sizes(level).0 == nest.sizes(level).1;
    if row.failed == 0 && (key.level + 1..nest.depth()).all(same_size) {
        return Ok(None);
    }
    let deepest = nest.depth() - 1;
    let tasks = nest.tasks_below(key);
    let first = nest.ancestor(nest.task(tasks.start), deepest).index;
    let last = nest.ancestor(nest.task(tasks.end - 1), deepest).index;
    let (mut sum, mut count) = (0.0, 0);
    results.groups(deepest, first..last + 1, |group| {
        match &group.result {
            Ok(scored) => sum += scored.score.unwrap_or(f64::NAN) * group.runs as f64,
            // An incomplete group has no mean; its runs count all the same.
            Err(_) => results.runs(nest.tasks_below(group.key), |run| {
                sum += run.result.ok().and_then(|scored| scored.score).unwrap_or(0.0);
                Ok(())
            })?,
        }
        count += group.runs;
        Ok(())
    })?;
    let mean = sum / count as f64;
    let differs = (mean - score).abs() > SAME * mean.abs().max(score.abs());
    Ok((mean.is_finite() && differs).then_some(mean))
}

/// The key whose runs a row's score is a mean of means of, and the score: the row's own, or that of the point
/// that won.
fn mean_of_means(nest: &LoopNest, row: &GroupSummary) -> Option<(Key, f64)> {
    let scored = row.result.as_ref().ok()?;
    let mut key = row.key;
    for winner in &scored.best {
        key = nest.child(key, winner.slot)?;
    }
    let inside = &nest.loops()[key.level..];
    let means = inside.len() > 1
        && inside.iter().all(|l| l.reduce.as_ref().is_some_and(Reduce::is_plain_mean));
    Some((key, scored.score?)).filter(|_| means)
}
