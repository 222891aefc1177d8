//! What a job says of early stopping: the rule of a loop, and the range of scores.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::reduce::{SCORE, number_by};
use crate::model::results::{RunError, Scored};

/// When points of a loop that chooses the best one are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum StopRule {
    /// When a point cannot be the best any more, whatever its other runs give within this range.
    Sure(ScoreRange),
    /// Successive halving: after the first `from` points of the loop inside, the best `1 / by` of the points go on to
    /// `by` times as many, and so on.
    Halve { by: u64, from: u64 },
}

/// The least and the greatest score that a run can have; either may be infinite.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ScoreRange {
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl ScoreRange {
    /// `None` if the least is not below the greatest.
    pub(crate) fn new(least: f64, most: f64) -> Option<ScoreRange> {
        (least < most).then_some(ScoreRange { least, most })
    }

    pub(crate) fn contains(self, score: f64) -> bool {
        self.least <= score && score <= self.most
    }

    /// The best score for a fold that takes the greatest (1) or the smallest (-1).
    pub(crate) fn best(self, sign: f64) -> f64 {
        if sign > 0.0 { self.most } else { self.least }
    }
}

/// The range of what points are compared by, which each run must lie in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RunRange<'a> {
    pub(crate) range: ScoreRange,
    /// The field of a run that it is the range of; of the score if `None`.
    pub(crate) field: Option<&'a str>,
}

impl RunRange<'_> {
    /// Whether runs that are plain numbers are all within it.
    pub(crate) fn contains_all(self, numbers: &[f64]) -> bool {
        // A plain number has no field but its own score.
        self.field.is_some_and(|field| field != SCORE)
            || numbers.iter().all(|number| self.range.contains(*number))
    }

    /// What of a run lies outside it, in words.
    pub(crate) fn outside(self, scored: &Scored) -> Option<String> {
        number_by(scored, self.field).and_then(|number| self.outside_number(number))
    }

    /// The same of a run of which only the score is known.
    pub(crate) fn outside_score(self, score: f64) -> Option<String> {
        self.field.is_none().then(|| self.outside_number(score))?
    }

    fn outside_number(self, number: f64) -> Option<String> {
        if self.range.contains(number) {
            return None;
        }
        Some(match self.field {
            Some(field) => format!("the field '{field}' with the value {number}"),
            None => format!("the score {number}"),
        })
    }

    /// A result that is not in the range is none.
    pub(crate) fn judge(self, scored: Scored) -> Result<Scored, RunError> {
        match self.outside(&scored) {
            Some(what) => {
                let why = format!("{what} is outside score_range = {}", self.range);
                Err(RunError::NoScore { why, value: Box::new(scored.value.into_value()) })
            }
            None => Ok(scored),
        }
    }
}

impl fmt::Display for ScoreRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {}]", self.least, self.most)
    }
}

impl StopRule {
    /// What the job file says of it.
    pub(crate) fn text(&self) -> String {
        match self {
            StopRule::Sure(range) => format!("stop sure in {range}"),
            StopRule::Halve { by, from } => format!("stop by halves: halve {by}, from {from}"),
        }
    }
}
