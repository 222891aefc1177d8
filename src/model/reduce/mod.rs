//! The reductions: how a closed group becomes one value for the loop around it.
//!
//! A fold gets its items in grid order, whatever the order of arrival. Floating-point sums are therefore
//! equal to the last bit on any number of workers, and the first of equal bests wins.

mod accumulator;
mod best_rule;
mod field_table;
mod fold;
mod fold_list;
mod names;
#[cfg(any(feature = "cli", feature = "jobs"))]
mod parse;
mod slot_result;
mod spelling;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use accumulator::NumberFold;
pub(crate) use best_rule::{BestRule, Tolerance};
pub(crate) use field_table::number_at;
pub(crate) use fold::{Fold, FoldOrder, Folded, Uncounted, number_by};
pub(crate) use fold_list::{FoldList, SCORE};
pub(crate) use names::name_fields;
pub(crate) use slot_result::SlotResult;

/// How a loop's points fold into one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reduce {
    /// The greatest or the smallest score; the value is the winner's, and the winning coordinates are
    /// carried outwards.
    Best(Arc<BestRule>),
    /// Folds of numbers: of the score, and of each number field of records.
    Fields(Arc<FoldList>),
    /// How many runs succeeded.
    Count,
    /// No fold: the runs are runs of the loop around, whose reduction gets all of them.
    Join,
    /// All values, as a list in grid order, null where one failed.
    All,
    /// The user's Python function, given all runs of the group.
    Python(FileFunction),
    /// The same in R.
    R(FileFunction),
    /// The user's Rust function, given all runs of the group.
    Native,
}

/// A function in a Python or R file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileFunction {
    /// The file's path as in the job file.
    pub(crate) file: String,
    pub(crate) function: String,
}

impl Reduce {
    pub(crate) fn max() -> Reduce {
        Reduce::Best(Arc::new(BestRule::new(true)))
    }

    pub(crate) fn min() -> Reduce {
        Reduce::Best(Arc::new(BestRule::new(false)))
    }

    #[cfg(test)]
    pub(crate) fn mean() -> Reduce {
        Reduce::numbers(NumberFold::Mean)
    }

    #[cfg(test)]
    pub(crate) fn sum() -> Reduce {
        Reduce::numbers(NumberFold::Sum)
    }

    /// One fold of numbers.
    pub(crate) fn numbers(fold: NumberFold) -> Reduce {
        Reduce::Fields(Arc::new(FoldList::new(fold)))
    }

    /// One fold of the scores alone, whatever fields there are.
    pub(crate) fn scores(fold: NumberFold) -> Reduce {
        Reduce::Fields(Arc::new(FoldList { score_only: true, ..FoldList::new(fold) }))
    }

    /// Whether it ignores values without a score.
    pub(crate) fn needs_score(&self) -> bool {
        matches!(self, Reduce::Best(_) | Reduce::Fields(_)) && self.by().is_none()
    }

    /// Whether the user's function computes it, outside the master.
    pub(crate) fn is_outside(&self) -> bool {
        matches!(self, Reduce::Python(_) | Reduce::R(_) | Reduce::Native)
    }

    /// Whether the winning coordinates are passed outwards with the value.
    pub(crate) fn picks_a_winner(&self) -> bool {
        matches!(self, Reduce::Best(_))
    }

    /// The field that takes the place of the score.
    pub(crate) fn by(&self) -> Option<&str> {
        match self {
            Reduce::Best(rule) => rule.by.as_deref(),
            Reduce::Fields(list) => list.by.as_deref(),
            _ => None,
        }
    }

    /// What folds the score: the name of a fold of numbers, or of the user's function if that is known.
    pub(crate) fn score_fold(&self) -> Option<String> {
        match self {
            Reduce::Fields(list) => Some(list.first().fold.name()),
            Reduce::Count => Some("count".to_string()),
            Reduce::Python(own) | Reduce::R(own) => {
                Some(own.function.clone()).filter(|name| !name.is_empty())
            }
            _ => None,
        }
    }

    /// Whether it may choose another point than the one with the best score.
    pub(crate) fn has_tolerance(&self) -> bool {
        matches!(self, Reduce::Best(rule) if rule.tolerance.is_some())
    }

    /// Whether the greatest score is the best one, or the smallest; `None` if it picks no winner.
    pub(crate) fn takes_greatest(&self) -> Option<bool> {
        match self {
            Reduce::Best(rule) => Some(rule.greatest),
            _ => None,
        }
    }

    /// Whether its score is the mean of the scores, each counted once.
    pub(crate) fn is_plain_mean(&self) -> bool {
        match self {
            Reduce::Fields(list) => {
                list.first().fold == NumberFold::Mean && list.by.is_none() && list.weight.is_none()
            }
            _ => false,
        }
    }
}
