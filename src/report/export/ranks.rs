//! Ranks the points of a loop within their group, as the loop's reduction does.

use std::cmp::Ordering;

use crate::model::{BestRule, GroupSummary, Key, Reduce, StopReason, StoppedPoint, number_at};
use crate::store::Results;
use crate::util::error::Result;

/// The ranks in one group.
pub(super) struct Ranks {
    pub(super) group: Key,
    /// The index of the group's first point, and the rank of each; 0 if it has none.
    first: u64,
    ranks: Vec<u64>,
}

impl Ranks {
    /// The ranks of the points in a group: 1 is the best, and those with equal scores follow in grid order. The point
    /// that was chosen is always the first. There are none where the loop takes no best, and while points of it are
    /// not there yet.
    pub(super) fn of(results: &Results, group: Key) -> Result<Ranks> {
        let nest = results.nest();
        let none = Ranks { group, first: 0, ranks: Vec::new() };
        let reduce = nest.loops()[group.level].reduce.as_ref();
        let Some(Reduce::Best(rule)) = reduce else { return Ok(none) };
        let mut closed = None;
        results.summary(group, |summary| closed = Some(summary.result))?;
        let Some(closed) = closed else { return Ok(none) };
        let points = nest.items(group);
        let mut ranked = scores(results, rule, (group.level + 1, points.clone()))?;
        let (sign, equal) = (rule.sign(), Ordering::Equal);
        // A stable sort.
        ranked.sort_by(|(_, a), (_, b)| (sign * b).partial_cmp(&(sign * a)).unwrap_or(equal));
        if let Some(winner) = closed.ok().and_then(|scored| scored.best.first().copied()) {
            ranked.sort_by_key(|(point, _)| *point != points.start + winner.slot);
        }
        let mut ranks = vec![0; (points.end - points.start) as usize];
        for (rank, (point, _)) in (1..).zip(ranked) {
            ranks[(point - points.start) as usize] = rank;
        }
        Ok(Ranks { group, first: points.start, ranks })
    }

    pub(super) fn rank(&self, point: Key) -> Option<u64> {
        let at = point.index.checked_sub(self.first)?;
        self.ranks.get(at as usize).copied().filter(|rank| *rank > 0)
    }
}

/// Whether the ranks in a group are known of the points that were not stopped: no stopped one may come before any of them
/// but the chosen one.
pub(super) fn are_known(results: &Results, group: Key, stopped: &[StoppedPoint]) -> Result<bool> {
    let nest = results.nest();
    let Some(Reduce::Best(rule)) = &nest.loops()[group.level].reduce else { return Ok(true) };
    let (sign, points) = (rule.sign(), nest.items(group));
    let mut ranked = scores(results, rule, (group.level + 1, points.clone()))?;
    let mut chosen = None;
    results.summary(group, |summary| {
        let scored = summary.result.ok();
        chosen = scored.and_then(|scored| Some(points.start + scored.best.first()?.slot));
    })?;
    ranked.retain(|(point, _)| chosen != Some(*point));
    let least = ranked.iter().map(|(_, score)| sign * score).reduce(f64::min);
    let Some(least) = least else { return Ok(true) };
    Ok(stopped.iter().all(|point| match &point.why {
        StopReason::Beaten { bound, .. } => sign * bound < least,
        StopReason::Behind { .. } => false,
    }))
}

/// What the rule compares: for the points that have it, their indices with the number.
fn scores(
    results: &Results,
    rule: &BestRule,
    (level, points): (usize, std::ops::Range<u64>),
) -> Result<Vec<(u64, f64)>> {
    let mut found = Vec::new();
    let mut add = |point: u64, score: Option<f64>| {
        found.extend(score.filter(|score| !score.is_nan()).map(|score| (point, score)));
    };
    let Some(field) = &rule.by else {
        results.scores_between(level, points, add)?;
        return Ok(found);
    };
    let each = |summary: GroupSummary| {
        let scored = summary.result.ok();
        add(summary.key.index, scored.and_then(|scored| number_at(&scored.value.get(), field)));
        Ok(())
    };
    match level == results.nest().depth() {
        true => results.runs(points, each)?,
        false => results.groups(level, points, each)?,
    }
    Ok(found)
}
