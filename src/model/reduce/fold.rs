//! A fold in progress: items go in, the group's value comes out.

use std::sync::Arc;

use crate::model::reduce::Reduce;
use crate::model::reduce::accumulator::{Accumulator, NumberFold};
use crate::model::reduce::best_rule::BestRule;
use crate::model::reduce::field_table::{FieldTable, foldable, number, number_at};
use crate::model::reduce::fold_list::{FoldList, SCORE};
use crate::model::reduce::slot_result::SlotResult;
use crate::model::results::{ResultValue, Scored, Winner};
use crate::model::value::Value;

/// What a fold needs of an item whose slot is not the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoldOrder {
    /// Its result does not depend on the order of items: it takes any slot at once.
    Any,
    /// It takes numbers in the order of slots, because rounding depends on it.
    Numbers,
    /// It takes whole items in the order of slots.
    Items,
}

/// A fold in progress.
#[derive(Debug)]
pub(crate) struct Fold {
    level: usize,
    count: u64,
    state: FoldState,
    /// The first slot that has a value without what this fold needs of it.
    uncounted: Option<Uncounted>,
}

/// A value that does not count.
#[derive(Debug)]
pub(crate) struct Uncounted {
    slot: u64,
    pub(crate) why: String,
    /// Whether it lacks the score, and not a field that is compared or folded in place of that.
    pub(crate) lacks_score: bool,
    pub(crate) is_record: bool,
}

#[derive(Debug)]
enum FoldState {
    Best {
        rule: Arc<BestRule>,
        best: Option<(u64, Scored)>,
    },
    /// All that may be chosen, where not only the best one may.
    Candidates {
        rule: Arc<BestRule>,
        candidates: Vec<(u64, Scored)>,
    },
    Fields(FieldFolding),
    Count,
    All(Vec<Value>),
    /// For the user's function; with `typed`, it needs only the encoded Rust values.
    Items {
        items: Vec<SlotResult>,
        typed: bool,
    },
}

#[derive(Debug)]
struct FieldFolding {
    list: Arc<FoldList>,
    /// The score's accumulators: of the first fold, and of the others.
    first: Accumulator,
    more: Vec<Accumulator>,
    /// The fields, if there are records.
    table: Option<Box<FieldTable>>,
    /// What is wrong with a weight.
    bad_weight: Option<String>,
}

/// The result of a finished fold.
#[derive(Debug, PartialEq)]
pub(crate) enum Folded {
    Value(Scored),
    /// All points, of which the rule chooses one.
    Candidates(Arc<BestRule>, Vec<(u64, Scored)>),
    /// All items, for the user's function to reduce.
    Items(Vec<SlotResult>),
}

impl Fold {
    /// An empty fold over the loop at `level`.
    pub(crate) fn new(reduce: &Reduce, level: usize) -> Fold {
        let state = match reduce {
            Reduce::Best(rule) if rule.tolerance.is_some() => {
                FoldState::Candidates { rule: rule.clone(), candidates: Vec::new() }
            }
            Reduce::Best(rule) => FoldState::Best { rule: rule.clone(), best: None },
            Reduce::Fields(list) => FoldState::Fields(FieldFolding::new(list)),
            Reduce::Count => FoldState::Count,
            // A joined loop has no groups; taken for one, it would keep everything.
            Reduce::All | Reduce::Join => FoldState::All(Vec::new()),
            Reduce::Python(_) | Reduce::R(_) => {
                FoldState::Items { items: Vec::new(), typed: false }
            }
            Reduce::Native => FoldState::Items { items: Vec::new(), typed: true },
        };
        Fold { level, count: 0, state, uncounted: None }
    }

    /// Number of items that counted so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Whether it has no value unless an item counted.
    pub(crate) fn needs_one(&self) -> bool {
        !matches!(self.state, FoldState::Count)
    }

    /// The first of the items that have a value and do not count.
    pub(crate) fn uncounted(&self) -> Option<&Uncounted> {
        self.uncounted.as_ref()
    }

    /// Whether it chooses one of its items.
    pub(crate) fn chooses(&self) -> bool {
        matches!(self.state, FoldState::Best { .. } | FoldState::Candidates { .. })
    }

    /// For max and min: the slot of the best score so far, and what is there.
    pub(crate) fn best(&self) -> Option<(u64, &Scored)> {
        let FoldState::Best { best, .. } = &self.state else { return None };
        best.as_ref().map(|(slot, scored)| (*slot, scored))
    }

    /// In which order it takes items.
    pub(crate) fn order(&self) -> FoldOrder {
        match self.state {
            FoldState::Best { .. } | FoldState::Candidates { .. } | FoldState::Count => {
                FoldOrder::Any
            }
            FoldState::Fields(_) => FoldOrder::Numbers,
            FoldState::All(_) | FoldState::Items { .. } => FoldOrder::Items,
        }
    }

    /// The field that takes the place of the score.
    fn by(&self) -> Option<&str> {
        match &self.state {
            FoldState::Best { rule, .. } | FoldState::Candidates { rule, .. } => rule.by.as_deref(),
            FoldState::Fields(folding) => folding.list.by.as_deref(),
            FoldState::Count | FoldState::All(_) | FoldState::Items { .. } => None,
        }
    }

    /// The number that this fold compares or adds.
    fn score(&self, result: &Scored) -> Option<f64> {
        number_by(result, self.by())
    }

    /// A copy of what this fold needs of the result in a slot. A value may be large, and most folds need little.
    pub(crate) fn needed(&self, slot: u64, result: &Scored) -> Scored {
        let value = match &self.state {
            FoldState::All(_)
            | FoldState::Items { typed: false, .. }
            | FoldState::Candidates { .. } => return result.clone(),
            FoldState::Best { rule, best } => match self.score(result) {
                Some(score) if leads(rule.sign(), (slot, score), best.as_ref()) => {
                    return result.clone();
                }
                // What this one's score is found in, and which fields there are if there is none.
                _ if result.score.is_none() || rule.by.is_some() => foldable(&result.value.get()),
                _ => Value::Null,
            },
            FoldState::Items { typed: true, .. } => {
                let (typed, best) = (result.typed.clone(), result.best.clone());
                return Scored { score: result.score, best, typed, ..Scored::default() };
            }
            FoldState::Fields(folding) if folding.list.score_only && result.score.is_some() => {
                Value::Null
            }
            FoldState::Fields(_) => foldable(&result.value.get()),
            FoldState::Count => Value::Null,
        };
        Scored { score: result.score, value: value.into(), ..Scored::default() }
    }

    /// Takes a slot's item: any, or the next one, as [`Fold::order`] says. It does not count if it failed, or lacks
    /// a score that this fold needs.
    pub(crate) fn push(&mut self, slot: u64, mut item: SlotResult) {
        match &mut self.state {
            FoldState::All(values) => {
                let value = item.result.as_ref().map(|scored| scored.value.get().into_owned());
                values.push(value.unwrap_or_default());
                self.count += u64::from(item.result.is_some());
            }
            FoldState::Items { items, typed } => {
                self.count += u64::from(item.result.is_some());
                if let (true, Some(result)) = (*typed, &mut item.result) {
                    result.value = ResultValue::default(); // it may be large, and is not needed
                }
                items.push(item);
            }
            FoldState::Count => self.count += u64::from(item.result.is_some()),
            FoldState::Best { .. } | FoldState::Candidates { .. } | FoldState::Fields(_) => {
                if let Some(result) = item.result {
                    self.push_scored(slot, result);
                }
            }
        }
    }

    fn push_scored(&mut self, slot: u64, mut result: Scored) {
        let Some(score) = self.score(&result) else {
            if self.uncounted.as_ref().is_none_or(|first| slot < first.slot) {
                let (value, by) = (result.value.get(), self.by());
                let why = without_score(&value, by);
                let (lacks_score, is_record) = (by.is_none(), matches!(*value, Value::Record(_)));
                self.uncounted = Some(Uncounted { slot, why, lacks_score, is_record });
            }
            return;
        };
        self.count += 1;
        result.score = Some(score);
        match &mut self.state {
            FoldState::Best { rule, best } => {
                if leads(rule.sign(), (slot, score), best.as_ref()) {
                    *best = Some((slot, result));
                }
            }
            FoldState::Candidates { candidates, .. } => candidates.push((slot, result)),
            FoldState::Fields(folding) => folding.push(slot, score, &result.value.get()),
            FoldState::Count | FoldState::All(_) | FoldState::Items { .. } => {}
        }
    }

    /// Takes plain numbers of consecutive slots, none of them NaN.
    #[inline]
    pub(crate) fn push_numbers(&mut self, first: u64, numbers: impl Iterator<Item = f64>) {
        match &mut self.state {
            FoldState::Best { rule, best } if rule.by.is_none() => {
                let sign = rule.sign();
                let (mut lead, mut leader) = (f64::NAN, None);
                for (slot, score) in (first..).zip(numbers) {
                    self.count += 1;
                    let beaten = sign * score <= lead;
                    if !beaten {
                        lead = sign * score;
                        leader = Some((slot, score));
                    }
                }
                if let Some((slot, score)) = leader
                    && leads(sign, (slot, score), best.as_ref())
                {
                    *best = Some((slot, Scored::number(score)));
                }
            }
            FoldState::Fields(folding) if folding.takes_columns() => {
                self.count += folding.first.push_all(numbers);
            }
            FoldState::Count => self.count += numbers.count() as u64,
            _ => (first..).zip(numbers).for_each(|(slot, score)| self.push_number(slot, score)),
        }
    }

    #[inline(never)]
    fn push_number(&mut self, slot: u64, score: f64) {
        self.push(slot, SlotResult::of_run(Some(Scored::number(score))));
    }

    /// The value, or why there is none. At least one item must have counted, where the fold needs one.
    pub(crate) fn finish(self) -> Result<Folded, String> {
        let value = match self.state {
            FoldState::Best { best, .. } => {
                let (slot, mut scored) = best.ok_or("no run counts")?;
                scored.best.insert(0, Winner { level: self.level, slot });
                return Ok(Folded::Value(scored));
            }
            FoldState::Candidates { rule, mut candidates } => {
                candidates.sort_by_key(|(slot, _)| *slot);
                return Ok(Folded::Candidates(rule, candidates));
            }
            FoldState::Fields(folding) => return folding.finish(self.count).map(Folded::Value),
            FoldState::Count => {
                let value = Value::Int(self.count as i64);
                let score = Some(self.count as f64);
                return Ok(Folded::Value(Scored {
                    score,
                    value: value.into(),
                    ..Scored::default()
                }));
            }
            FoldState::All(values) => Value::List(values),
            FoldState::Items { items, .. } => return Ok(Folded::Items(items)),
        };
        Ok(Folded::Value(Scored { value: value.into(), ..Scored::default() }))
    }
}

impl FieldFolding {
    fn new(list: &Arc<FoldList>) -> FieldFolding {
        FieldFolding {
            first: list.accumulator(None),
            more: list.more().iter().map(|more| Accumulator::new(more.fold)).collect(),
            list: list.clone(),
            table: None,
            bad_weight: None,
        }
    }

    /// Whether plain numbers go into one accumulator, whatever else.
    fn takes_columns(&self) -> bool {
        self.more.is_empty()
            && self.table.is_none()
            && self.list.by.is_none()
            && self.list.weight.is_none()
    }

    fn push(&mut self, slot: u64, score: f64, value: &Value) {
        let weight = match &self.list.weight {
            None => 1.0,
            Some(name) => match number_at(value, name) {
                Some(weight) if weight >= 0.0 && weight.is_finite() => weight,
                found => {
                    self.bad_weight.get_or_insert_with(|| bad_weight(name, slot, found));
                    0.0
                }
            },
        };
        self.first.push(score, weight);
        self.more.iter_mut().for_each(|one| one.push(score, 1.0));
        if let Value::Record(_) = value
            && !self.list.score_only
        {
            self.table.get_or_insert_default().push(value, weight, &self.list);
        }
    }

    fn finish(self, count: u64) -> Result<Scored, String> {
        if let Some(why) = self.bad_weight {
            return Err(why);
        }
        let first = self.first.finish(count);
        let is_spread = matches!(self.list.first().fold, NumberFold::Sd | NumberFold::Sem);
        if first.is_nan() && !(is_spread && count == 1) {
            return Err(match &self.list.weight {
                Some(weight) => format!("the weights '{weight}' are all zero"),
                None => format!("the {} of infinite scores is no number", self.list.first().name),
            });
        }
        let value = match self.table {
            Some(table) => table.finish(count, &self.list)?,
            None if self.more.is_empty() => number(first),
            None => {
                let mut fields = vec![(SCORE.to_string(), number(first))];
                for (one, more) in self.more.into_iter().zip(self.list.more()) {
                    let value = match more.is_count() {
                        true => Value::Int(count as i64),
                        false => number(one.finish(count)),
                    };
                    fields.push((FoldList::added(SCORE, more), value));
                }
                Value::Record(fields)
            }
        };
        let score = (!first.is_nan()).then_some(first);
        Ok(Scored { score, value: value.into(), ..Scored::default() })
    }
}

fn bad_weight(name: &str, slot: u64, found: Option<f64>) -> String {
    let which = format!("the weight '{name}' of point {} (of those here, from 1)", slot + 1);
    match found {
        Some(weight) => format!("{which} is {weight}; expected 0 or more"),
        None => format!("{which} is missing or no number"),
    }
}

/// Why a value does not count, with the fields that it has.
fn without_score(value: &Value, by: Option<&str>) -> String {
    let what = by.map_or("no score".to_string(), |by| format!("no number '{by}'"));
    let Value::Record(fields) = foldable(value) else { return format!("the value has {what}") };
    let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).take(12).collect();
    if names.len() < fields.len() {
        names.push("...");
    }
    format!("the record has {what} (it has: {})", names.join(", "))
}

/// The number of a result that is compared or added: a field, or the score if `None`.
pub(crate) fn number_by(result: &Scored, by: Option<&str>) -> Option<f64> {
    match by {
        Some(field) => number_at(&result.value.get(), field),
        None => result.score,
    }
}

/// Whether the score of a slot is before the best one so far: greater, for max, or equal in an earlier slot.
fn leads(sign: f64, (slot, score): (u64, f64), best: Option<&(u64, Scored)>) -> bool {
    best.is_none_or(|(of, best)| {
        best.score.is_none_or(|best| {
            let (score, best) = (sign * score, sign * best);
            score > best || score == best && slot < *of
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(reduce: Reduce, scores: &[Option<f64>]) -> Option<Scored> {
        let mut fold = Fold::new(&reduce, 1);
        for (slot, score) in scores.iter().enumerate() {
            let result = score.map(Scored::number);
            fold.push(slot as u64, SlotResult::of_run(result));
        }
        if fold.count() == 0 && reduce != Reduce::Count {
            return None;
        }
        match fold.finish().ok()? {
            Folded::Value(scored) => Some(scored),
            other => panic!("a named fold gives a value, not {other:?}"),
        }
    }

    #[test]
    fn named_folds_give_what_their_names_say() {
        let scores = [Some(3.0), None, Some(-1.0), Some(4.0), Some(4.0)];
        for (reduce, expected) in [
            (Reduce::max(), 4.0),
            (Reduce::min(), -1.0),
            (Reduce::numbers(NumberFold::Mean), 2.5),
            (Reduce::numbers(NumberFold::Sum), 10.0),
            (Reduce::numbers(NumberFold::Median), 3.5),
            (Reduce::Count, 4.0),
        ] {
            assert_eq!(fold(reduce, &scores).unwrap().score, Some(expected));
        }
        let std = fold(Reduce::numbers(NumberFold::Std), &scores).unwrap().score.unwrap();
        assert!((std - 4.25f64.sqrt()).abs() < 1e-15, "{std}");
        assert_eq!(
            fold(Reduce::All, &scores).unwrap().value.get().to_string(),
            "[3.0,null,-1.0,4.0,4.0]"
        );
    }

    #[test]
    fn numbers_fold_as_items_do() {
        let numbers = [2.5, -1.0, 7.0, 7.0, 0.0, -1.0, f64::INFINITY, 3.0];
        for name in Reduce::names() {
            let mut one_by_one = Fold::new(&Reduce::named(name).unwrap(), 1);
            for (slot, number) in (0..).zip(numbers) {
                let result = Some(Scored::number(number));
                one_by_one.push(slot, SlotResult::of_run(result));
            }
            let mut in_parts = Fold::new(&Reduce::named(name).unwrap(), 1);
            for (at, part) in (0..).step_by(3).zip(numbers.chunks(3)) {
                in_parts.push_numbers(at, part.iter().copied());
            }
            assert_eq!(in_parts.finish(), one_by_one.finish(), "{name}");
        }
    }

    #[test]
    fn what_takes_any_order_does_not_depend_on_it() {
        let numbers = [2.5, 7.0, -1.0, 7.0, -1.0, 3.0];
        for name in Reduce::names() {
            let new = || Fold::new(&Reduce::named(name).unwrap(), 1);
            if new().order() != FoldOrder::Any {
                continue;
            }
            let (mut in_order, mut backwards, mut in_parts) = (new(), new(), new());
            let item = |at: usize| SlotResult::of_run(Some(Scored::number(numbers[at])));
            (0..6).for_each(|at| in_order.push(at as u64, item(at)));
            (0..6).rev().for_each(|at| backwards.push(at as u64, item(at)));
            in_parts.push_numbers(3, numbers[3..].iter().copied());
            in_parts.push_numbers(0, numbers[..3].iter().copied());
            let expected = in_order.finish();
            assert_eq!(backwards.finish(), expected, "{name}");
            assert_eq!(in_parts.finish(), expected, "{name}");
        }
    }

    #[test]
    fn the_first_of_equal_bests_wins() {
        let tied = [Some(1.0), Some(7.0), Some(7.0), Some(-2.0), Some(-2.0)];
        let winner = |reduce| fold(reduce, &tied).unwrap().best;
        assert_eq!(winner(Reduce::max()), [Winner { level: 1, slot: 1 }]);
        assert_eq!(winner(Reduce::min()), [Winner { level: 1, slot: 3 }]);
    }

    #[test]
    fn nothing_counted_gives_nothing() {
        for name in Reduce::names() {
            let folded = fold(Reduce::named(name).unwrap(), &[None, None]);
            assert_eq!(folded.is_some(), name == "count", "{name}");
        }
        let opposite = [Some(f64::INFINITY), Some(f64::NEG_INFINITY)];
        assert_eq!(fold(Reduce::numbers(NumberFold::Sum), &opposite), None);
    }
}
