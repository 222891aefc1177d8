//! The final calls: one for each row that has a result, once its group has closed.
//!
//! They are work besides the queue, as reductions on workers are: a worker's record has them, so what holds of
//! reductions where workers are lost, sick, cancelled or dismissed holds of them. Tasks behind the nest's would take
//! the queue's part too, but the cost model, the orders, the row keys, progress and every reader turn a task's number
//! into points, and each of them would have to know where the nest ends, for each message of each job. What is here
//! is all that reductions lack: attempts, retries on another worker, and the end of the allocation.
//!
//! Rank 0 says of each row that has closed whether an earlier start has made its call (`FinalJudged`). Until then the
//! job is not complete.

use std::collections::{BTreeMap, VecDeque};

use crate::master::second_tries::Turn;
use crate::master::workers::SideCall;
use crate::master::{Action, Master};
use crate::model::{FinalCall, FinalResult, FinalState, GroupSummary, Key, RunError, Tally};

#[derive(Debug)]
pub(super) struct Finals {
    /// How often a failed one is tried again; nothing if rows have none.
    retries: Option<u32>,
    /// The level of the rows.
    level: usize,
    /// How many rows have closed of which is not known yet whether theirs is due.
    unjudged: u64,
    /// To make, in order.
    due: VecDeque<DueFinal>,
    /// Those that have failed and are tried again, with the worker that they failed on.
    failed: VecDeque<(usize, DueFinal)>,
    /// Those that workers make.
    held: BTreeMap<Key, DueFinal>,
    /// The longest duration so far. (seconds)
    longest: f64,
    /// Whether some were not begun because they would not end in time.
    passed: bool,
}

#[derive(Debug)]
struct DueFinal {
    call: FinalCall,
    /// How often it has failed since the start.
    failures: u32,
}

impl Finals {
    pub(super) fn new(retries: Option<u32>, level: usize) -> Finals {
        Finals {
            retries,
            level,
            unjudged: 0,
            due: VecDeque::new(),
            failed: VecDeque::new(),
            held: BTreeMap::new(),
            longest: 0.0,
            passed: false,
        }
    }

    /// A group has closed.
    pub(super) fn closed(&mut self, summary: &GroupSummary) {
        let is_row = self.retries.is_some() && summary.key.level == self.level;
        self.unjudged += u64::from(is_row && summary.result.is_ok());
    }

    /// It is known whether the call of a row that has closed is due.
    pub(super) fn judged(&mut self, row: Key, state: FinalState, tally: &mut Tally) {
        if self.retries.is_none() {
            return;
        }
        self.unjudged -= 1;
        match state {
            FinalState::Due(summary) => {
                let call = FinalCall { row, attempt: 1, summary };
                self.due.push_back(DueFinal { call, failures: 0 });
            }
            FinalState::Known { failed } => {
                tally.finals += 1;
                tally.finals_failed += u64::from(failed);
            }
        }
    }

    /// Takes the next one for a worker, if it is expected to end in time.
    pub(super) fn next(
        &mut self,
        (rank, turn): (usize, Turn),
        time: Option<f64>,
    ) -> Option<FinalCall> {
        if !turn.takes_new || !self.wait() {
            return None;
        }
        if time.is_some_and(|time| self.longest > time) {
            self.passed = true;
            return None;
        }
        let is_for_it = |(on, _): &(usize, DueFinal)| *on != rank || turn.alone;
        let again = self.failed.iter().position(is_for_it).and_then(|at| self.failed.remove(at));
        let next = again.map(|(_, due)| due).or_else(|| self.due.pop_front())?;
        let call = next.call.clone();
        self.held.insert(call.row, next);
        Some(call)
    }

    /// Whether some are to be handed out.
    #[inline]
    pub(super) fn wait(&self) -> bool {
        !self.due.is_empty() || !self.failed.is_empty()
    }

    /// Whether some are to be tried again on another worker.
    #[inline]
    pub(super) fn have_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    pub(super) fn have_passed(&self) -> bool {
        self.passed
    }

    /// Whether that of each row that has closed is recorded.
    pub(super) fn are_done(&self) -> bool {
        self.unjudged == 0 && !self.wait() && self.held.is_empty()
    }

    /// A worker has not begun one that it was given.
    pub(super) fn put_back(&mut self, row: Key, attempt: u32) {
        if let Some(mut due) = self.held.remove(&row) {
            due.call.attempt = attempt;
            self.due.push_front(due);
        }
    }

    /// The worker that made one is lost.
    pub(super) fn lost(&mut self, row: Key) {
        let attempt = self.held.get(&row).map_or(1, |due| due.call.attempt);
        self.put_back(row, attempt.saturating_add(1));
    }

    /// Begins no other; those that are left are of the next start.
    pub(super) fn stop(&mut self) {
        self.due.clear();
        self.failed.clear();
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }
}

impl Master {
    /// Handles the result of a final call. One that the worker does not hold, in this attempt, is refused.
    pub(super) fn final_done<'a>(
        &mut self,
        rank: usize,
        result: Box<FinalResult>,
        actions: &mut Vec<Action<'a>>,
    ) {
        let FinalResult { row, attempt, seconds, .. } = *result;
        if !self.workers.has_made(rank, SideCall::Final(row, attempt)) {
            self.tally.refused += 1;
            return;
        }
        self.workers.reported(rank);
        let Some(mut due) = self.finals.held.remove(&row) else { return };
        match &result.result {
            Err(RunError::Unfit(why)) => {
                self.finals.due.push_front(due);
                return self.sicken(rank, why.clone(), actions);
            }
            Err(RunError::FileChanged(why)) => {
                self.tally.dropped += 1;
                actions.push(Action::FileChanged { rank, why: why.clone() });
                return self.drain();
            }
            _ => {}
        }
        let failed = result.result.is_err();
        if failed && self.stopping {
            return; // it may have failed because it was cancelled
        }
        self.finals.longest = self.finals.longest.max(seconds);
        if failed && due.failures < self.finals.retries.unwrap_or(0) {
            due.failures += 1;
            due.call.attempt = attempt.saturating_add(1);
            self.finals.failed.push_back((rank, due));
        } else {
            self.tally.finals += 1;
            self.tally.finals_failed += u64::from(failed);
        }
        actions.push(Action::RecordFinal { rank, result });
    }
}
