//! The reductions: how a closed group becomes one value for the loop around it.
//!
//! A fold gets its items in grid order, whatever the order of arrival. Floating-point sums are therefore
//! equal to the last bit on any number of workers, and the first of equal bests wins.

use serde::{Deserialize, Serialize};

use crate::model::results::{ResultValue, Scored, Winner};
use crate::model::value::Value;

/// How a loop's points fold into one value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reduce {
    /// The greatest score; carries the winning coordinates outwards.
    Max,
    /// The smallest score; carries the winning coordinates outwards.
    Min,
    /// The arithmetic mean of the scores.
    Mean,
    /// The sum of the scores.
    Sum,
    /// The middle score, or the mean of the two middle ones.
    Median,
    /// The standard deviation of the scores with n in the denominator, as NumPy's `std` and
    /// scikit-learn's `std_test_score` have it (Welford's algorithm).
    Std,
    /// How many runs succeeded.
    Count,
    /// All values, as a list in grid order, null where one failed.
    All,
    /// The user's Python function, given all runs of the group.
    Python(PythonFunction),
    /// The user's Rust function, given all runs of the group.
    Native,
}

/// A function in a Python file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PythonFunction {
    /// The file's path as in the job file.
    pub(crate) file: String,
    pub(crate) function: String,
}

impl Reduce {
    /// The names a job file can use, besides `{ python = "file.py:function" }`.
    pub(crate) const NAMES: [&str; 8] =
        ["max", "min", "mean", "sum", "median", "std", "count", "all"];

    /// The reduction of that name.
    pub(crate) fn named(name: &str) -> Option<Reduce> {
        Some(match name {
            "max" => Reduce::Max,
            "min" => Reduce::Min,
            "mean" => Reduce::Mean,
            "sum" => Reduce::Sum,
            "median" => Reduce::Median,
            "std" => Reduce::Std,
            "count" => Reduce::Count,
            "all" => Reduce::All,
            _ => return None,
        })
    }

    /// Its name in a job file.
    pub(crate) fn name(&self) -> &str {
        match self {
            Reduce::Max => "max",
            Reduce::Min => "min",
            Reduce::Mean => "mean",
            Reduce::Sum => "sum",
            Reduce::Median => "median",
            Reduce::Std => "std",
            Reduce::Count => "count",
            Reduce::All => "all",
            Reduce::Python(_) => "python",
            Reduce::Native => "summarize",
        }
    }

    /// Whether it ignores values without a score.
    pub(crate) fn needs_score(&self) -> bool {
        !matches!(self, Reduce::Count | Reduce::All) && !self.is_outside()
    }

    /// Whether the user's function computes it, outside the master.
    pub(crate) fn is_outside(&self) -> bool {
        matches!(self, Reduce::Python(_) | Reduce::Native)
    }

    /// Whether the winning coordinates are passed outwards with the value.
    pub(crate) fn picks_a_winner(&self) -> bool {
        matches!(self, Reduce::Max | Reduce::Min)
    }
}

/// The result in a slot of a group: of a run, or of a closed inner group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SlotResult {
    /// The value; `None` if the run failed or the group is incomplete.
    pub(crate) result: Option<Scored>,
    /// Number of successful runs below it.
    pub(crate) runs: u64,
    /// Number of failed runs below it.
    pub(crate) failed: u64,
}

impl SlotResult {
    /// From a run's value, if it succeeded.
    pub(crate) fn of_run(result: Option<Scored>) -> SlotResult {
        let runs = u64::from(result.is_some());
        SlotResult { result, runs, failed: 1 - runs }
    }
}

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
}

#[derive(Debug)]
enum FoldState {
    Best {
        sign: f64,
        best: Option<(u64, Scored)>,
    },
    Sum {
        sum: f64,
        mean: bool,
    },
    Std {
        mean: f64,
        squares: f64,
    },
    Median(Vec<f64>),
    Count,
    All(Vec<Value>),
    /// For the user's function; with `typed`, it needs only the encoded Rust values.
    Items {
        items: Vec<SlotResult>,
        typed: bool,
    },
}

/// The result of a finished fold.
#[derive(Debug, PartialEq)]
pub(crate) enum Folded {
    Value(Scored),
    /// All items, for the user's function to reduce.
    Items(Vec<SlotResult>),
}

impl Fold {
    /// An empty fold over the loop at `level`.
    pub(crate) fn new(reduce: &Reduce, level: usize) -> Fold {
        let state = match reduce {
            Reduce::Max => FoldState::Best { sign: 1.0, best: None },
            Reduce::Min => FoldState::Best { sign: -1.0, best: None },
            Reduce::Mean => FoldState::Sum { sum: 0.0, mean: true },
            Reduce::Sum => FoldState::Sum { sum: 0.0, mean: false },
            Reduce::Std => FoldState::Std { mean: 0.0, squares: 0.0 },
            Reduce::Median => FoldState::Median(Vec::new()),
            Reduce::Count => FoldState::Count,
            Reduce::All => FoldState::All(Vec::new()),
            Reduce::Python(_) => FoldState::Items { items: Vec::new(), typed: false },
            Reduce::Native => FoldState::Items { items: Vec::new(), typed: true },
        };
        Fold { level, count: 0, state }
    }

    /// Number of items that counted so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// For max and min: the slot of the best score so far, and what is there.
    pub(crate) fn best(&self) -> Option<(u64, &Scored)> {
        let FoldState::Best { best, .. } = &self.state else { return None };
        best.as_ref().map(|(slot, scored)| (*slot, scored))
    }

    /// In which order it takes items.
    pub(crate) fn order(&self) -> FoldOrder {
        match self.state {
            FoldState::Best { .. } | FoldState::Median(_) | FoldState::Count => FoldOrder::Any,
            FoldState::Sum { .. } | FoldState::Std { .. } => FoldOrder::Numbers,
            FoldState::All(_) | FoldState::Items { .. } => FoldOrder::Items,
        }
    }

    /// A copy of what this fold needs of the result in a slot. A value may be large, and most folds need none.
    pub(crate) fn needed(&self, slot: u64, result: &Scored) -> Scored {
        let keeps_all = match &self.state {
            FoldState::All(_) | FoldState::Items { typed: false, .. } => true,
            FoldState::Best { sign, best } => {
                result.score.is_some_and(|score| leads(*sign, (slot, score), best.as_ref()))
            }
            FoldState::Items { typed: true, .. } => {
                let (typed, best) = (result.typed.clone(), result.best.clone());
                return Scored { score: result.score, best, typed, ..Scored::default() };
            }
            _ => false,
        };
        match keeps_all {
            true => result.clone(),
            false => Scored { score: result.score, ..Scored::default() },
        }
    }

    /// Takes a slot's item: any, or the next one, as [`Fold::order`] says. It does not count if it failed, or lacks
    /// a score that this fold needs.
    pub(crate) fn push(&mut self, slot: u64, mut item: SlotResult) {
        let score = item.result.as_ref().and_then(|scored| scored.score);
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
            scored => {
                let (Some(score), Some(result)) = (score, item.result) else { return };
                self.count += 1;
                match scored {
                    FoldState::Best { sign, best } => {
                        if leads(*sign, (slot, score), best.as_ref()) {
                            *best = Some((slot, result));
                        }
                    }
                    FoldState::Sum { sum, .. } => *sum += score,
                    FoldState::Std { mean, squares } => {
                        let step = score - *mean;
                        *mean += step / self.count as f64;
                        *squares += step * (score - *mean);
                    }
                    FoldState::Median(scores) => scores.push(score),
                    FoldState::Count | FoldState::All(_) | FoldState::Items { .. } => {
                        unreachable!("above")
                    }
                }
            }
        }
    }

    /// Takes plain numbers of consecutive slots, none of them NaN.
    pub(crate) fn push_numbers(&mut self, first: u64, numbers: impl Iterator<Item = f64>) {
        match &mut self.state {
            FoldState::Best { sign, best } => {
                let (mut lead, mut leader) = (f64::NAN, None);
                for (slot, score) in (first..).zip(numbers) {
                    self.count += 1;
                    let beaten = *sign * score <= lead;
                    if !beaten {
                        lead = *sign * score;
                        leader = Some((slot, score));
                    }
                }
                if let Some((slot, score)) = leader
                    && leads(*sign, (slot, score), best.as_ref())
                {
                    *best = Some((slot, Scored::number(score)));
                }
            }
            FoldState::Sum { sum, .. } => {
                for score in numbers {
                    self.count += 1;
                    *sum += score;
                }
            }
            FoldState::Count => self.count += numbers.count() as u64,
            _ => {
                for (slot, score) in (first..).zip(numbers) {
                    let result = Some(Scored::number(score));
                    self.push(slot, SlotResult { result, runs: 1, failed: 0 });
                }
            }
        }
    }

    /// The value; `None` if no item counted and the fold needs one.
    pub(crate) fn finish(self) -> Option<Folded> {
        let count = self.count as f64;
        if self.count == 0 && !matches!(self.state, FoldState::Count) {
            return None;
        }
        let number = match self.state {
            FoldState::Best { best, .. } => {
                let (slot, mut scored) = best?;
                scored.best.insert(0, Winner { level: self.level, slot });
                return Some(Folded::Value(scored));
            }
            FoldState::Sum { sum, mean } => sum / if mean { count } else { 1.0 },
            FoldState::Std { squares, .. } => (squares / count).sqrt(),
            FoldState::Median(mut scores) => {
                scores.sort_by(f64::total_cmp);
                let middle = scores.len() / 2;
                if scores.len() % 2 == 1 {
                    scores[middle]
                } else {
                    (scores[middle - 1] + scores[middle]) / 2.0
                }
            }
            FoldState::Count => {
                let value = Value::Int(self.count as i64).into();
                return Some(Folded::Value(Scored {
                    score: Some(count),
                    value,
                    ..Scored::default()
                }));
            }
            FoldState::All(values) => {
                let value = Value::List(values).into();
                return Some(Folded::Value(Scored { score: None, value, ..Scored::default() }));
            }
            FoldState::Items { items, .. } => return Some(Folded::Items(items)),
        };
        // inf - inf: a sum of opposite infinities has no value, and NaN is never one.
        (!number.is_nan()).then(|| Folded::Value(Scored::number(number)))
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
            fold.push(slot as u64, SlotResult { result, runs: 1, failed: 0 });
        }
        match fold.finish()? {
            Folded::Value(scored) => Some(scored),
            Folded::Items(_) => panic!("a named fold gives a value"),
        }
    }

    #[test]
    fn named_folds_give_what_their_names_say() {
        let scores = [Some(3.0), None, Some(-1.0), Some(4.0), Some(4.0)];
        for (reduce, expected) in [
            (Reduce::Max, 4.0),
            (Reduce::Min, -1.0),
            (Reduce::Mean, 2.5),
            (Reduce::Sum, 10.0),
            (Reduce::Median, 3.5),
            (Reduce::Count, 4.0),
        ] {
            assert_eq!(fold(reduce, &scores).unwrap().score, Some(expected));
        }
        let std = fold(Reduce::Std, &scores).unwrap().score.unwrap();
        assert!((std - 4.25f64.sqrt()).abs() < 1e-15, "{std}");
        assert_eq!(
            fold(Reduce::All, &scores).unwrap().value.get().to_string(),
            "[3.0,null,-1.0,4.0,4.0]"
        );
    }

    #[test]
    fn numbers_fold_as_items_do() {
        let numbers = [2.5, -1.0, 7.0, 7.0, 0.0, -1.0, f64::INFINITY, 3.0];
        for name in Reduce::NAMES {
            let mut one_by_one = Fold::new(&Reduce::named(name).unwrap(), 1);
            for (slot, number) in (0..).zip(numbers) {
                let result = Some(Scored::number(number));
                one_by_one.push(slot, SlotResult { result, runs: 1, failed: 0 });
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
        for name in Reduce::NAMES {
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
        assert_eq!(winner(Reduce::Max), [Winner { level: 1, slot: 1 }]);
        assert_eq!(winner(Reduce::Min), [Winner { level: 1, slot: 3 }]);
    }

    #[test]
    fn nothing_counted_gives_nothing() {
        for name in Reduce::NAMES {
            let folded = fold(Reduce::named(name).unwrap(), &[None, None]);
            assert_eq!(folded.is_some(), name == "count", "{name}");
        }
        let opposite = [Some(f64::INFINITY), Some(f64::NEG_INFINITY)];
        assert_eq!(fold(Reduce::Sum, &opposite), None);
    }
}
