//! What a key gives of whose runs not all are there: with the best that they could give, or of those that are there.

use std::collections::BTreeMap;

use super::open_group::{EndedGroup, OpenGroup};
use crate::master::groups::advice::Advice;
use crate::model::{
    Completeness, Folded, Key, LoopNest, NumberFold, Reduce, Scored, SlotResult, Value, number_by,
};

/// The runs below a key as far as they are known.
pub(in crate::master) struct PartlyKnown<'a> {
    pub(in crate::master) nest: &'a LoopNest,
    /// How many of a group's points must have a result, where its loop does not say so.
    pub(in crate::master) require: Completeness,
    /// The field of a run that is compared; the score if `None`.
    pub(in crate::master) field: Option<&'a str>,
    /// The results of tasks.
    pub(in crate::master) runs: &'a BTreeMap<u64, KnownRun>,
}

/// What decisions need of a run; many are in memory at a time.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::master) enum KnownRun {
    Failed,
    Number(f64),
    /// With fields, or without a score.
    Value(Box<Scored>),
}

/// What stands for runs that are not there.
#[derive(Clone, Copy, Debug)]
pub(in crate::master) enum Missing {
    /// They have this score, which is the best that there is of this sign.
    Best { score: f64, sign: f64 },
    /// Only the first points of the loop at this level count.
    Beyond { level: usize, points: u64 },
}

impl PartlyKnown<'_> {
    /// The value of a key, by its own folds, fed in grid order; `None` if it has none.
    pub(in crate::master) fn value(&self, key: Key, missing: Missing) -> Option<Scored> {
        self.item(key, missing).0.result
    }

    /// Whether failed runs leave a key enough to have a value, whatever the missing ones give.
    pub(in crate::master) fn can_count(&self, key: Key) -> bool {
        if key.level == self.nest.depth() {
            return match self.runs.get(&key.index) {
                Some(KnownRun::Failed) => false,
                Some(KnownRun::Value(run)) => {
                    number_by(run, self.field).is_some_and(|number| !number.is_nan())
                }
                Some(KnownRun::Number(_)) | None => true,
            };
        }
        let require = self.nest.loops()[key.level].require.unwrap_or(self.require);
        let size = self.nest.slots(key);
        let child = |slot: &u64| self.nest.child(key, *slot).is_some_and(|at| self.can_count(at));
        let counted = (0..size).filter(child).count() as u64;
        counted > 0 && require.is_met(counted, size)
    }

    /// Its item, and whether runs below it are missing.
    fn item(&self, key: Key, missing: Missing) -> (SlotResult, bool) {
        if key.level == self.nest.depth() {
            let run = self.runs.get(&key.index);
            let result = match (run, missing) {
                (Some(KnownRun::Failed), _) => None,
                (Some(KnownRun::Number(number)), _) => Some(Scored::number(*number)),
                (Some(KnownRun::Value(scored)), _) => Some(Scored::clone(scored)),
                (None, Missing::Best { score, .. }) => Some(self.run_of(score)),
                (None, Missing::Beyond { .. }) => None,
            };
            return (SlotResult::of_run(result), run.is_none());
        }
        let l = &self.nest.loops()[key.level];
        let require = l.require.unwrap_or(self.require);
        let mut size = self.nest.slots(key);
        if let Missing::Beyond { level, points } = missing
            && level == key.level
        {
            size = size.min(points);
        }
        let mut group = OpenGroup::new(self.nest, key);
        let mut is_open = false;
        for slot in 0..size {
            let child = self.nest.child(key, slot).expect("a slot of the group");
            let (mut item, is_missing) = self.item(child, missing);
            is_open |= is_missing;
            if let Missing::Best { sign, .. } = missing
                && is_missing
                && is_sum(l.reduce.as_ref())
                && require != Completeness::All
                && item.result.as_ref().is_none_or(|scored| self.lowers(scored, sign))
            {
                // It adds nothing if it fails, which is better than its best.
                item = SlotResult::of_run(Some(self.run_of(0.0)));
            }
            group.put(slot, item);
        }
        let advice = Advice { of: l, in_code: false }; // nobody reads it
        let EndedGroup { folded, .. } = group.close(size, require, advice);
        let result = match folded {
            Ok(Folded::Value(scored)) => Some(scored),
            Ok(Folded::Candidates(..) | Folded::Items(_)) | Err(_) => None,
        };
        (SlotResult::of_run(result), is_open)
    }

    /// A run of which this is compared.
    fn run_of(&self, number: f64) -> Scored {
        let Some(field) = self.field else { return Scored::number(number) };
        let value = Value::Record(vec![(field.to_string(), Value::Float(number))]);
        Scored { score: Some(number), value: value.into(), ..Scored::default() }
    }

    fn lowers(&self, scored: &Scored, sign: f64) -> bool {
        number_by(scored, self.field).is_none_or(|number| sign * number < 0.0)
    }
}

fn is_sum(reduce: Option<&Reduce>) -> bool {
    matches!(reduce, Some(Reduce::Fields(list)) if list.first().fold == NumberFold::Sum)
}
