//! Several folds of the same runs, field by field.

use serde::{Deserialize, Serialize};

use crate::model::reduce::accumulator::{Accumulator, NumberFold};

/// The name of a plain number among the fields of a summary.
pub(crate) const SCORE: &str = "score";

/// Folds of each number field. The first one gives the score, and the fields under their own names; each other
/// one adds fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FoldList {
    pub(super) folds: Vec<NamedFold>,
    /// The field whose fold is the score; the score's fold if `None`.
    pub(crate) by: Option<String>,
    /// The field that says how much a run counts in means.
    pub(crate) weight: Option<String>,
    /// The names of what loops inside add, which are no fields of crunch.
    pub(super) inner: Vec<String>,
    /// Whether only scores are folded, and no fields of records.
    pub(super) score_only: bool,
}

/// A fold with what its fields are called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NamedFold {
    pub(crate) fold: NumberFold,
    /// What stands behind a field's name, or the whole name for a count.
    pub(crate) name: String,
}

impl NamedFold {
    pub(super) fn new(fold: NumberFold) -> NamedFold {
        NamedFold { fold, name: fold.name() }
    }

    pub(super) fn is_count(&self) -> bool {
        self.fold == NumberFold::Count
    }
}

impl FoldList {
    pub(super) fn new(fold: NumberFold) -> FoldList {
        let folds = vec![NamedFold::new(fold)];
        FoldList { folds, by: None, weight: None, inner: Vec::new(), score_only: false }
    }

    pub(crate) fn first(&self) -> &NamedFold {
        &self.folds[0]
    }

    /// Those that add fields.
    pub(crate) fn more(&self) -> &[NamedFold] {
        &self.folds[1..]
    }

    /// The name of what a fold adds for a field.
    pub(super) fn added(field: &str, fold: &NamedFold) -> String {
        if fold.is_count() { fold.name.clone() } else { format!("{field}_{}", fold.name) }
    }

    /// The fold that adds a field of this name, if crunch gives the field that it folds.
    pub(crate) fn adding(&self, field: &str) -> Option<&NamedFold> {
        self.more().iter().find(|fold| match fold.is_count() {
            true => field == fold.name,
            false => {
                let folded = field.strip_suffix(&fold.name).and_then(|rest| rest.strip_suffix('_'));
                folded.is_some_and(|folded| !folded.is_empty())
            }
        })
    }

    /// The accumulator of the first fold for a field.
    pub(super) fn accumulator(&self, field: Option<&str>) -> Accumulator {
        match (&self.weight, field) {
            // A weight of a group of runs is the sum of theirs.
            (Some(weight), Some(field)) if weight == field => Accumulator::new(NumberFold::Sum),
            (Some(_), _) => Accumulator::weighted(),
            (None, _) => Accumulator::new(self.first().fold),
        }
    }

    /// Whether a field was added by a loop inside: then it is no measure of crunch, and is not spread again.
    pub(super) fn is_added(&self, field: &str, has: impl Fn(&str) -> bool) -> bool {
        self.inner.iter().any(|name| {
            field == name
                || field
                    .strip_suffix(name.as_str())
                    .and_then(|base| base.strip_suffix('_'))
                    .is_some_and(&has)
        })
    }
}
