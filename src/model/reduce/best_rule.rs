//! How max and min choose a point.

use serde::{Deserialize, Serialize};

use crate::model::reduce::accumulator::NumberFold;

/// Which point of a loop is the best one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BestRule {
    /// Whether the greatest score is the best, or the smallest.
    pub(crate) greatest: bool,
    /// The field that is compared, and is the score from there outwards; the score if `None`.
    pub(crate) by: Option<String>,
    /// Among points that are about as good as the best one, the preferred one is chosen.
    pub(crate) tolerance: Option<Tolerance>,
}

/// Which points are about as good as the best one, and which of them is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tolerance {
    /// The spread in multiples of which the distance from the best score is measured; a number by itself if
    /// `None`.
    pub(crate) spread: Option<NumberFold>,
    pub(crate) times: f64,
    /// The loop whose point is preferred, or a field of its points: `alpha`, `model.depth`.
    pub(crate) prefer: String,
    pub(crate) prefers_greatest: bool,
    /// The field that has the spread.
    pub(super) spread_field: String,
    /// What the best score is called in the summary.
    pub(super) best_field: String,
}

impl BestRule {
    pub(super) fn new(greatest: bool) -> BestRule {
        BestRule { greatest, by: None, tolerance: None }
    }

    /// 1 or -1, so that the greatest product with it is the best.
    pub(crate) fn sign(&self) -> f64 {
        if self.greatest { 1.0 } else { -1.0 }
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.greatest { "max" } else { "min" }
    }
}

impl Tolerance {
    pub(super) fn new(
        (spread, times): (Option<NumberFold>, f64),
        (prefers_greatest, prefer): (bool, String),
    ) -> Tolerance {
        let (spread_field, best_field) = (String::new(), String::new());
        Tolerance { spread, times, prefer, prefers_greatest, spread_field, best_field }
    }

    pub(crate) fn spread_field(&self) -> &str {
        &self.spread_field
    }

    pub(crate) fn best_field(&self) -> &str {
        &self.best_field
    }
}
