//! What follows for a group from the runs that are known, without a start: the same decisions, as long as all that they
//! ask for is there.

use crate::master::stopping::{EarlyStopping, GroupStep, UnaskedRun};
use crate::model::{Completeness, LoopNest, Scored};

/// Decides groups from known runs, one after another.
#[derive(Debug)]
pub(crate) struct KnownDecisions {
    early: EarlyStopping,
}

impl KnownDecisions {
    /// `None` if the nest stops no points.
    pub(crate) fn of(nest: &LoopNest, require: Completeness) -> Option<KnownDecisions> {
        Some(KnownDecisions { early: EarlyStopping::of(nest, require)? })
    }

    /// How many tasks of a group are asked for until all its points are decided, by the scores of these; `None` if
    /// others are asked for.
    pub(crate) fn decide(
        &mut self,
        group: u64,
        runs: impl IntoIterator<Item = (u64, f64)>,
    ) -> Option<u64> {
        for (task, score) in runs {
            let result = Some(Scored::number(score));
            self.early.keep(UnaskedRun { task, result, is_recalled: true });
        }
        let mut steps = Vec::new();
        self.early.next = group;
        self.early.open_next(&mut steps);
        if self.early.open.remove(&group).is_some() {
            self.early.forget_unasked(group);
            return None;
        }
        let taken = steps.iter().filter(|step| matches!(step, GroupStep::Take(_)));
        Some(taken.count() as u64)
    }
}
