//! Early stopping: points of a loop of which not all runs are made, because they cannot be the best one, or have fallen
//! behind.

use serde::{Deserialize, Serialize};

use crate::model::json_number;
use crate::model::key::Key;
use crate::model::nest::{Loop, LoopNest};
use crate::model::policy::Completeness;
use crate::model::reduce::{BestRule, NumberFold, Reduce};
use crate::model::stop_rule::{RunRange, ScoreRange, StopRule};

/// A point that was stopped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoppedPoint {
    pub(crate) key: Key,
    /// How many of its runs were asked for before: those at so many places of the loop at this level, in each of its
    /// groups.
    pub(crate) asked: u64,
    pub(crate) step: usize,
    pub(crate) places: u64,
    pub(crate) why: StopReason,
}

/// Why a point was stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum StopReason {
    /// It gives this at best, and the point in this slot of the group has more, or the same and comes first.
    Beaten {
        #[serde(with = "json_number")]
        bound: f64,
        slot: u64,
        #[serde(with = "json_number")]
        best: f64,
    },
    /// After so many points of the loop inside it came in at a place from 1 on, with this score, and as many went on.
    Behind {
        after: u64,
        place: u64,
        of: u64,
        went_on: u64,
        #[serde(with = "json_number::optional")]
        score: Option<f64>,
        #[serde(with = "json_number::optional")]
        last: Option<f64>,
    },
}

impl StoppedPoint {
    /// How many of its runs are not made.
    pub(crate) fn skipped(&self, nest: &LoopNest) -> u64 {
        nest.task_count(self.key).saturating_sub(self.asked)
    }

    /// How many points it is for a best that is chosen among the points of loops down to a level.
    pub(crate) fn points(&self, nest: &LoopNest, level: usize) -> u64 {
        let below = nest.keys_below(self.key, level.max(self.key.level));
        below.end - below.start
    }

    /// The tasks below it that were not asked for, in grid order.
    pub(crate) fn unasked<'a>(
        &'a self,
        nest: &'a LoopNest,
    ) -> impl Iterator<Item = std::ops::Range<u64>> + 'a {
        let around = nest.keys_below(self.key, self.step);
        around.filter_map(move |index| {
            let around = Key { level: self.step, index };
            let inside = nest.children(around);
            let index = inside.start.saturating_add(self.places);
            let first = Key { level: self.step + 1, index };
            let end = nest.tasks_below(around).end;
            (index < inside.end).then(|| nest.tasks_below(first).start..end)
        })
    }

    /// Whether a task below it was asked for.
    pub(crate) fn has_asked(&self, nest: &LoopNest, task: u64) -> bool {
        let at = nest.ancestor(nest.task(task), self.step + 1);
        nest.parent(at).is_some_and(|(_, place)| place < self.places)
    }

    /// The reason as people read it.
    pub(crate) fn words(&self, nest: &LoopNest) -> String {
        match &self.why {
            StopReason::Beaten { bound, slot, best } => {
                let rule = self.key.level.checked_sub(1).and_then(|level| chooser(nest, level));
                let at = if rule.is_some_and(|rule| !rule.greatest) { "least" } else { "most" };
                let group = nest.parent(self.key).map(|(group, _)| group);
                let other = group.and_then(|group| nest.child(group, *slot));
                let other = other.map_or(String::new(), |other| {
                    let shown = nest.shown(other).pop();
                    shown.map_or(String::new(), |(name, value)| format!("{name} = {value}"))
                });
                let [bound, best] = apart([*bound, *best]);
                format!("cannot beat {other}: at {at} {bound} against {best}")
            }
            StopReason::Behind { after, place, of, went_on, score, last } => {
                let inside = &nest.loops()[self.step].name;
                let [score, last] = match (score, last) {
                    (Some(score), Some(last)) => apart([*score, *last]),
                    (score, last) => [*score, *last].map(|score| {
                        score.map_or("no score".to_string(), |score| digits(rounded(score)))
                    }),
                };
                format!(
                    "place {place} of {of} after {after} of loop '{inside}', where the first {went_on} went on: {score} against {last}"
                )
            }
        }
    }
}

/// Two numbers with six digits, or with all where these are the same.
fn apart(numbers: [f64; 2]) -> [String; 2] {
    let [one, other] = numbers.map(rounded);
    if one == other { numbers.map(digits) } else { [one, other].map(digits) }
}

/// A number as people read it, without rows of zeros.
fn digits(number: f64) -> String {
    let size = number.abs();
    let is_long = size.is_finite() && size != 0.0 && !(1e-5..1e16).contains(&size);
    if is_long { format!("{number:e}") } else { number.to_string() }
}

/// A number with six digits, as tables show it.
fn rounded(number: f64) -> f64 {
    format!("{number:.5e}").parse().unwrap_or(number)
}

/// The level of the loop whose points are added from decision to decision, where the loop at a level stops points.
pub(crate) fn step_level(rule: StopRule, nest: &LoopNest, level: usize) -> usize {
    match rule {
        // Only with runs of each point inside is there a bound on the best of them.
        StopRule::Sure(_) => {
            let mut inner = level + 1..nest.depth();
            let chooses = |l: &usize| matches!(nest.loops()[*l].reduce, Some(Reduce::Best(_)));
            inner.find(|l| !chooses(l)).unwrap_or(level + 1)
        }
        StopRule::Halve { .. } => level + 1,
    }
}

/// What reduces the loop at a level, if it chooses the best point by comparing alone.
pub(crate) fn chooser(nest: &LoopNest, level: usize) -> Option<&BestRule> {
    match &nest.loops()[level].reduce {
        Some(Reduce::Best(rule)) if rule.tolerance.is_none() => Some(rule),
        _ => None,
    }
}

/// What of a run decides how the points of a loop with max or min compare: a field, or the score if `None`. An error
/// where that is not one number of each run.
pub(crate) fn compared_field(nest: &LoopNest, level: usize) -> Result<Option<&str>, String> {
    let mut field = nest.loops()[level].reduce.as_ref().and_then(Reduce::by);
    for l in &nest.loops()[level + 1..] {
        let Some(reduce) = &l.reduce else { continue };
        let takes = match (field, reduce) {
            (Some(field), Reduce::Fields(list)) if let Some(fold) = list.adding(field) => {
                format!("adds it as its {}", fold.fold.name())
            }
            // A fold of a field is the score of its group.
            (None, Reduce::Best(_) | Reduce::Fields(_)) => {
                field = reduce.by();
                continue;
            }
            // Fields of records are folded each by itself, and the best one keeps its own.
            (Some(field), Reduce::Fields(_)) if reduce.by().is_none_or(|by| by == field) => {
                continue;
            }
            (Some(field), Reduce::Best(_)) if reduce.by() == Some(field) => continue,
            (_, Reduce::Join) => continue,
            (_, Reduce::Best(_) | Reduce::Fields(_)) => {
                format!("takes {}", shown(reduce.by()))
            }
            (_, other) => format!("reduces by {}", other.text()),
        };
        return Err(format!(
            "it compares {}, and loop '{}' inside {takes}: what is compared has to be one number of each run",
            shown(field),
            l.name
        ));
    }
    Ok(field)
}

fn shown(field: Option<&str>) -> String {
    field.map_or("the score".to_string(), |field| format!("'{field}'"))
}

/// What the range of scores is the range of: what the outermost loop with max or min compares, if that is one number of
/// each run, or else the score.
pub(crate) fn run_range(nest: &LoopNest, range: Option<ScoreRange>) -> Option<RunRange<'_>> {
    let range = range?;
    let chooses = |l: &Loop| matches!(l.reduce, Some(Reduce::Best(_)));
    let first = nest.loops().iter().position(chooses);
    let field = first.and_then(|level| compared_field(nest, level).ok().flatten());
    Some(RunRange { range, field })
}

/// Why a start refuses the stored run of a task, of which `what` lies outside the range.
pub(crate) fn stored_outside(nest: &LoopNest, task: u64, what: &str, range: ScoreRange) -> String {
    let shown = nest.shown(nest.task(task));
    let points: Vec<String> =
        shown.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let points = points.join(", ");
    format!(
        "score_range = {range}: the stored run at {points} has {what}; widen score_range, or take it out"
    )
}

/// The loop of a nest that is stopped early, and how.
pub(crate) fn stop_of(nest: &LoopNest) -> Option<(usize, StopRule)> {
    nest.loops().iter().enumerate().find_map(|(level, l)| Some((level, l.stop?)))
}

/// Why the rules to stop that a nest has cannot be followed: the level of the loop, and what is wrong with it.
pub(crate) fn check_stops(nest: &LoopNest, require: Completeness) -> Result<(), (usize, String)> {
    let Some((level, rule)) = stop_of(nest) else { return Ok(()) };
    check_stop(nest, require, level, rule).map_err(|why| (level, why))?;
    let also = nest.loops().iter().enumerate().skip(level + 1).find(|(_, l)| l.stop.is_some());
    match also {
        None => Ok(()),
        Some((other, _)) => Err((
            other,
            format!("only one loop can stop points, and '{}' does", nest.loops()[level].name),
        )),
    }
}

fn check_stop(
    nest: &LoopNest,
    require: Completeness,
    level: usize,
    rule: StopRule,
) -> Result<(), String> {
    let loops = nest.loops();
    let rule_of = match &loops[level].reduce {
        Some(Reduce::Best(rule)) if rule.tolerance.is_some() => {
            return Err("with within and prefer, a point that is not the best may be chosen, so none can be stopped".to_string());
        }
        Some(Reduce::Best(rule)) => rule,
        _ => return Err("only a loop with reduce = \"max\" or \"min\" can stop points".to_string()),
    };
    if level + 1 == nest.depth() {
        return Err(
            "there is no loop inside, so each of its points is one run, which cannot be stopped"
                .to_string(),
        );
    }
    if let Some(joined) = (level..nest.depth()).find(|at| nest.is_joined(*at)) {
        return Err(format!(
            "loop '{}' joins its points to those of the loop around it; give it a reduction of its own",
            loops[joined].name
        ));
    }
    for (at, l) in loops.iter().enumerate().skip(level + 1) {
        let name = &l.name;
        let is_sum = match &l.reduce {
            Some(Reduce::Best(rule)) if rule.tolerance.is_none() => false,
            Some(Reduce::Fields(list)) if list.weight.is_none() => match list.first().fold {
                NumberFold::Sum => true,
                NumberFold::Mean | NumberFold::Median => false,
                NumberFold::Max | NumberFold::Min => false,
                other => return Err(unfit(name, &other.name())),
            },
            Some(other) => return Err(unfit(name, &other.text())),
            None => return Err(unfit(name, "no reduction")),
        };
        let (fewest, most) = nest.sizes(at);
        match rule {
            StopRule::Halve { .. } if is_sum && fewest < most => {
                return Err(format!(
                    "loop '{name}' reduces by sum and has {fewest} to {most} points, so sums are not comparable; use mean"
                ));
            }
            StopRule::Sure(_) if at + 1 < nest.depth() => {
                let own = l.require.unwrap_or(require);
                let same = matches!(&l.reduce, Some(Reduce::Best(inner)) if inner.greatest == rule_of.greatest);
                if own != Completeness::All && !same {
                    return Err(format!(
                        "loop '{name}' may lack points (require), each of several runs, and what it gives without them has no bound; require all of its points"
                    ));
                }
            }
            _ => {}
        }
    }
    match rule {
        StopRule::Sure(range) => {
            let field = compared_field(nest, level)?;
            let of = run_range(nest, Some(range)).and_then(|range| range.field);
            if field != of {
                return Err(format!(
                    "it compares {}, and score_range is that of {}, which the outermost loop with max or min compares",
                    shown(field),
                    shown(of)
                ));
            }
            let sign = rule_of.sign();
            if !range.best(sign).is_finite() {
                let (end, which) = if sign > 0.0 { ("greatest", "max") } else { ("least", "min") };
                return Err(format!(
                    "with {which}, the {end} score must be finite in score_range: {range} bounds nothing"
                ));
            }
        }
        StopRule::Halve { .. } => {}
    }
    Ok(())
}

fn unfit(name: &str, what: &str) -> String {
    format!(
        "loop '{name}' inside reduces by {what}; points can be stopped over loops that reduce by mean, sum, median, max or min, without weight"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_that_of_one_number_of_each_run() {
        let by_r2 = |reduce: Reduce| match reduce {
            Reduce::Best(rule) => {
                Reduce::Best(BestRule { by: Some("r2".into()), ..BestRule::clone(&rule) }.into())
            }
            other => other,
        };
        let [best, field] = [Reduce::max(), by_r2(Reduce::max())];
        let field_of = |outer: &Reduce, inner: &Reduce| {
            let reduces = [Some(outer.clone()), Some(inner.clone())];
            let nest = LoopNest::of_sizes(&[2, 2], reduces).unwrap();
            let range = Some(ScoreRange { least: 0.0, most: 1.0 });
            let found = run_range(&nest, range).unwrap().field.map(str::to_string);
            (found, compared_field(&nest, 0).map(|field| field.map(str::to_string)).is_ok())
        };
        let r2 = || Some("r2".to_string());
        assert_eq!(field_of(&best, &Reduce::mean()), (None, true));
        assert_eq!(field_of(&field, &Reduce::mean()), (r2(), true));
        assert_eq!(field_of(&best, &field), (r2(), true));
        assert_eq!(field_of(&field, &field), (r2(), true));
        // What the user's function gives, or another loop's best has, is none of a run's.
        assert_eq!(field_of(&field, &Reduce::Native), (None, false));
        assert_eq!(field_of(&field, &Reduce::Count), (None, false));
        assert_eq!(field_of(&field, &best), (None, false));
    }
}
