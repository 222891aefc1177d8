//! Finds the points of one loop in another.

use std::collections::{HashMap, VecDeque};

use crate::model::{Points, Value};
use crate::store::layout::LoopLayout;
use crate::store::point_map::{PointMap, PointRun};

/// The equal points of two loops, matched one to one, in order. With `by_value`, what the points name does not
/// matter. Points with new fields are matched with what they were before.
pub(super) fn matches(old: &LoopLayout, new: &LoopLayout, by_value: bool) -> PointMap {
    let identity = |l: &LoopLayout, point| match by_value {
        true => l.l.points.get(point).to_exact(),
        false => l.identity(point),
    };
    let (olds, news) = (old.l.points.len(), new.l.points.len());
    let names_nothing = old.named().is_none() && new.named().is_none();
    if (by_value || names_nothing)
        && let Some(run) = of_ranges(&old.l.points, &new.l.points)
    {
        return PointMap::of(vec![run]);
    }
    // Most loops grow at their end: what they begin with needs no index.
    let is_equal = |point: &u64| {
        is_identical(&old.l.points.get(*point), &new.l.points.get(*point))
            && (by_value || old.digest(*point) == new.digest(*point))
    };
    let begin = (0..olds.min(news)).take_while(is_equal).count() as u64;
    let mut runs = vec![PointRun { old: 0, new: 0, count: begin }];
    if begin < olds && begin < news {
        let mut places: HashMap<String, VecDeque<u64>> = HashMap::new();
        for point in begin..news {
            places.entry(identity(new, point)).or_default().push_back(point);
        }
        for old_point in begin..olds {
            let same = places.get_mut(&identity(old, old_point));
            if let Some(new) = same.and_then(VecDeque::pop_front) {
                runs.push(PointRun { old: old_point, new, count: 1 });
            }
        }
    }
    let map = PointMap::of(runs);
    if new.was.is_none() {
        return map;
    }
    let older = older(old, new, &map, by_value);
    PointMap::of(map.runs().iter().copied().chain(older).collect())
}

/// The points of a loop that got new fields, and what they were before, as far as neither has another partner.
fn older(old: &LoopLayout, new: &LoopLayout, map: &PointMap, by_value: bool) -> Vec<PointRun> {
    let digest = |l: &LoopLayout, point| l.digest(point).filter(|_| !by_value).cloned();
    let mut places: HashMap<(String, Option<String>), VecDeque<u64>> = HashMap::new();
    for point in map.missing(new.l.points.len()).into_iter().flatten() {
        if let Some(before) = new.value_before(point) {
            let place = (before.to_exact(), digest(new, point));
            places.entry(place).or_default().push_back(point);
        }
    }
    let mut runs = Vec::new();
    for point in (0..old.l.points.len()).filter(|point| map.new_of(*point).is_none()) {
        let place = (old.l.points.get(point).to_exact(), digest(old, point));
        if let Some(now) = places.get_mut(&place).and_then(VecDeque::pop_front) {
            runs.push(PointRun { old: point, new: now, count: 1 });
        }
    }
    runs
}

/// Whether a point has another value than its partner: it has new fields.
pub(super) fn has_new_fields(old: &LoopLayout, new: &LoopLayout, map: &PointMap) -> bool {
    let is_other = |run: &PointRun| {
        (0..run.count).any(|i| {
            let (was, is) = (old.l.points.get(run.old + i), new.l.points.get(run.new + i));
            !is_identical(&was, &is)
        })
    };
    new.was.is_some() && map.runs().iter().any(is_other)
}

/// The equal points of two ranges with the same step, if they are of one series.
fn of_ranges(old: &Points, new: &Points) -> Option<PointRun> {
    let (
        Points::Range { from: a, step, count: olds },
        Points::Range { from: b, step: c, count: news },
    ) = (old, new)
    else {
        return None;
    };
    let apart = i128::from(*b) - i128::from(*a);
    let step = i128::from(*step);
    if step != i128::from(*c) || step == 0 || apart % step != 0 {
        return None;
    }
    // Where the new one begins, counted in steps from the old one's begin.
    let begin = apart / step;
    let (old, new) = (begin.max(0), (-begin).max(0));
    let end = i128::from(*olds).min(begin + i128::from(*news));
    let count = (end - old).max(0) as u64;
    Some(PointRun { old: old as u64, new: new as u64, count })
}

/// Whether both are the same in their exact form, which tells 0.0 from -0.0.
fn is_identical(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => one == other,
        (Value::Float(one), Value::Float(other)) => one.to_bits() == other.to_bits(),
        (Value::Text(one), Value::Text(other)) => one == other,
        (one, other) => one.to_exact() == other.to_exact(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::Loop;
    use proptest::prelude::*;

    fn range(from: i64, step: i64, count: u64) -> Points {
        Points::Range { from, step, count }
    }

    fn listed(points: &Points) -> Points {
        Points::List((0..points.len()).map(|i| points.get(i)).collect())
    }

    proptest! {
        #[test]
        fn ranges_match_as_lists_do(
            (a, b) in (-9i64..9, -9i64..9),
            (step, other) in (1i64..4, 1i64..4),
            (olds, news) in (1u64..9, 1u64..9),
            named in prop::collection::btree_map(0u64..9, "[xy]", 0..3),
            is_named in any::<bool>(),
        ) {
            let named: BTreeMap<u64, String> = if is_named { named } else { BTreeMap::new() };
            let (old, new) = (range(a, -step, olds), range(b, -other, news));
            let matched = |old: Points, new: Points| {
                let (old, new) = (Loop::new("l", old, None), Loop::new("l", new, None));
                let (old, new) = (
                    LoopLayout { l: &old, digests: Some(&named), was: None },
                    LoopLayout { l: &new, digests: None, was: None },
                );
                matches(&old, &new, false)
            };
            let lists = matched(listed(&old), listed(&new));
            prop_assert_eq!(matched(old, new), lists);
        }
    }
}
