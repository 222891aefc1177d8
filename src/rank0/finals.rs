//! The final calls of rows on rank 0: which of them are known from an earlier start, and what is stored of others.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::job::{FinalIdentity, Job, RowNames};
use crate::master::Event;
use crate::model::{FinalResult, FinalState, GroupSummary, Key};
use crate::store::{FinalEntry, KnownFinal};

pub(crate) struct FinalJudge {
    job: Arc<Job>,
    identity: FinalIdentity,
    names: RowNames,
    /// By the key of the row.
    known: BTreeMap<String, KnownFinal>,
    /// Whether a failed call counts as made.
    keep_failed: bool,
    /// The digests of what the calls that this start makes are given.
    given: BTreeMap<Key, String>,
}

/// A row whose group has closed.
pub(crate) struct JudgedRow {
    /// The row's key in the store, if its call is known.
    pub(crate) kept: Option<String>,
    pub(crate) event: Event<'static>,
}

impl FinalJudge {
    pub(crate) fn new(
        job: &Arc<Job>,
        (identity, names): (FinalIdentity, RowNames),
        known: BTreeMap<String, KnownFinal>,
        keep_failed: bool,
    ) -> FinalJudge {
        let (job, given) = (job.clone(), BTreeMap::new());
        FinalJudge { job, identity, names, known, keep_failed, given }
    }

    /// Whether the call of a group that has closed is known; nothing if the group is no row with a result.
    pub(crate) fn judge(&mut self, summary: &GroupSummary) -> Option<JudgedRow> {
        let scored = summary.result.as_ref().ok()?;
        let row = summary.key;
        if row.level != self.job.nest.outer() {
            return None;
        }
        let key = self.names.key(&self.job, row);
        let given = self.identity.given(&self.job, row, scored);
        let is_same =
            |known: &&KnownFinal| known.given == given && (!known.failed || self.keep_failed);
        if let Some(known) = self.known.get(&key).filter(is_same) {
            let state = FinalState::Known { failed: known.failed };
            return Some(JudgedRow { kept: Some(key), event: Event::FinalJudged { row, state } });
        }
        self.given.insert(row, given);
        let state = FinalState::Due(scored.clone());
        Some(JudgedRow { kept: None, event: Event::FinalJudged { row, state } })
    }

    /// What is stored of a call that was due.
    pub(crate) fn entry(&self, result: FinalResult) -> Option<FinalEntry> {
        let row = result.row;
        Some(FinalEntry {
            row: self.names.key(&self.job, row),
            number: row.index,
            folder: self.names.folder(&self.job, row),
            given: self.given.get(&row)?.clone(),
            result,
        })
    }
}
