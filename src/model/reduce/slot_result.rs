//! What goes into a slot of a group.

use serde::{Deserialize, Serialize};

use crate::model::results::{PointCounts, Scored};

/// The result in a slot of a group: of a run, or of a closed inner group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SlotResult {
    /// The value; `None` if the run failed or the group is incomplete.
    pub(crate) result: Option<Scored>,
    /// Number of successful runs below it.
    pub(crate) runs: u64,
    /// Number of failed runs below it.
    pub(crate) failed: u64,
    /// What it is among the points of a best around it; the master's alone.
    #[serde(skip)]
    pub(crate) points: PointCounts,
    /// Whether its value rests on less than it could.
    #[serde(skip)]
    pub(crate) is_partial: bool,
    /// Whether it is a point that was stopped: it takes part without a value.
    #[serde(skip)]
    pub(crate) is_stopped: bool,
}

impl SlotResult {
    /// From a run's value, if it succeeded.
    pub(crate) fn of_run(result: Option<Scored>) -> SlotResult {
        let points = PointCounts::one(result.is_some());
        let PointCounts { counted: runs, failed, .. } = points;
        SlotResult { result, runs, failed, points, is_partial: false, is_stopped: false }
    }
}
