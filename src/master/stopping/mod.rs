//! Early stopping: which tasks are asked for, from decision to decision, and which points are stopped.
//!
//! A group of points is decided in steps. Each step asks for runs, and the next one follows from the results of all of
//! them, in grid order, never from which came first: so any number of workers, retries and starts make the same runs.
//! What earlier starts have computed is a result like others, once it is asked for.

mod group;
mod known;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::master::groups::KnownRun;
use crate::model::{Completeness, Key, LoopNest, Reduce, Scored, StopRule, StoppedPoint, stop_of};
use group::StoppingGroup;
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) use known::KnownDecisions;

/// What the master has to do next for a group.
#[derive(Debug, PartialEq)]
pub(super) enum GroupStep {
    /// Hand these tasks out, in this step of the group.
    Ask(Range<u64>, u64),
    /// Hand this task out, which was attempted so often in earlier starts.
    AskAgain(u64, u32),
    /// Take this result, which was there before it was asked for.
    Take(UnaskedRun),
    /// Put this point into its group: all its runs are there.
    Complete(Key),
    /// Close this point: so many of its runs have succeeded, so many have failed, and whether it can have a value.
    Stop { point: StoppedPoint, runs: u64, failed: u64, can_count: bool },
}

/// A result of a task that no group has asked for yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UnaskedRun {
    pub(super) task: u64,
    pub(super) result: Option<Scored>,
    /// Whether an earlier start computed it.
    pub(super) is_recalled: bool,
}

/// The groups of the loop that stops points.
#[derive(Debug)]
pub(super) struct EarlyStopping {
    nest: LoopNest,
    level: usize,
    rule: StopRule,
    require: Completeness,
    /// Whether a field other than the score is compared, or folded.
    by_field: bool,
    /// The groups with a decision to come, by their index.
    open: BTreeMap<u64, StoppingGroup>,
    /// The first group that was never opened.
    next: u64,
    unasked: BTreeMap<u64, UnaskedRun>,
    /// How often tasks were attempted in earlier starts.
    attempts: BTreeMap<u64, u32>,
    /// How many tasks are asked for, or will never be.
    settled: u64,
}

impl EarlyStopping {
    /// `None` if the nest stops no points.
    pub(super) fn of(nest: &LoopNest, require: Completeness) -> Option<EarlyStopping> {
        let (level, rule) = stop_of(nest)?;
        Some(EarlyStopping {
            nest: nest.clone(),
            level,
            rule,
            require,
            by_field: nest.loops()[level..]
                .iter()
                .any(|l| l.reduce.as_ref().and_then(Reduce::by).is_some()),
            open: BTreeMap::new(),
            next: 0,
            unasked: BTreeMap::new(),
            attempts: BTreeMap::new(),
            settled: 0,
        })
    }

    /// How many tasks may still be asked for.
    #[cfg(test)]
    pub(super) fn unasked(&self) -> u64 {
        self.nest.tasks() - self.settled
    }

    /// Sets how often a task was attempted in earlier starts without success.
    pub(super) fn know_attempts(&mut self, task: u64, attempts: u32) {
        self.attempts.insert(task, attempts);
    }

    /// How often these tasks were attempted, where no group has asked for them.
    pub(super) fn take_attempts<'a>(
        &'a mut self,
        tasks: &'a [u64],
    ) -> impl Iterator<Item = (u64, u32)> + 'a {
        tasks.iter().filter_map(|task| Some((*task, self.attempts.remove(task)?)))
    }

    /// Keeps a result until it is asked for.
    pub(super) fn keep(&mut self, run: UnaskedRun) {
        self.unasked.insert(run.task, run);
    }

    /// How many groups have a decision to come.
    pub(super) fn open_groups(&self) -> u64 {
        self.open.len() as u64
    }

    /// Whether a group that was never opened has results.
    pub(super) fn has_unasked_runs(&self) -> bool {
        let last = self.unasked.last_key_value();
        last.is_some_and(|(task, _)| self.group_of(*task) >= self.next)
    }

    /// Opens the groups before the one of this task, as far as results are there. Tasks come in grid order.
    pub(super) fn pass(&mut self, task: u64, steps: &mut Vec<GroupStep>) {
        let group = self.group_of(task);
        while self.next < group {
            self.open_next(steps);
        }
    }

    /// Opens the next group; false if there is none left.
    pub(super) fn open_next(&mut self, steps: &mut Vec<GroupStep>) -> bool {
        let index = self.next;
        if index == self.nest.keys(self.level) {
            return false;
        }
        self.next += 1;
        let key = Key { level: self.level, index };
        let group = StoppingGroup::new(&self.nest, key);
        self.open.insert(index, group);
        self.advance(index, steps);
        true
    }

    /// Whether a task is asked for and has no result yet.
    pub(super) fn awaits(&self, task: u64) -> bool {
        self.open
            .get(&self.group_of(task))
            .is_some_and(|group| group.awaits(&self.nest, self.rule, task))
    }

    /// Takes the result of a task that is asked for.
    pub(super) fn settle(
        &mut self,
        task: u64,
        result: Option<&Scored>,
        steps: &mut Vec<GroupStep>,
    ) {
        let index = self.group_of(task);
        let result = trimmed(self.by_field, result);
        let Some(group) = self.open.get_mut(&index) else { return };
        if group.settle(task, result) {
            self.advance(index, steps);
        }
    }

    /// Forgets what a group that is decided has not asked for.
    fn forget_unasked(&mut self, index: u64) {
        let tasks = self.nest.tasks_below(Key { level: self.level, index });
        let unasked: Vec<u64> = self.unasked.range(tasks.clone()).map(|(task, _)| *task).collect();
        unasked.iter().for_each(|task| drop(self.unasked.remove(task)));
        let tried: Vec<u64> = self.attempts.range(tasks).map(|(task, _)| *task).collect();
        for task in tried {
            self.attempts.remove(&task);
        }
    }

    fn group_of(&self, task: u64) -> u64 {
        self.nest.ancestor(self.nest.task(task), self.level).index
    }

    /// Decides as long as all results are there.
    fn advance(&mut self, index: u64, steps: &mut Vec<GroupStep>) {
        loop {
            let Some(group) = self.open.get_mut(&index) else { return };
            let decision = group.decide(&self.nest, self.rule, self.require);
            for step in decision.decided {
                if let GroupStep::Stop { point, .. } = &step {
                    self.settled += point.skipped(&self.nest);
                }
                steps.push(step);
            }
            if decision.ask.is_empty() {
                self.open.remove(&index);
                self.forget_unasked(index);
                return;
            }
            let mut awaited = 0;
            for tasks in decision.ask {
                awaited += self.ask(index, tasks, steps);
            }
            if awaited > 0 {
                return;
            }
        }
    }

    /// Asks for tasks. Returns how many of them have no result yet.
    fn ask(&mut self, index: u64, tasks: Range<u64>, steps: &mut Vec<GroupStep>) -> u64 {
        self.settled += tasks.end - tasks.start;
        let mut awaited = 0;
        let known = self.unasked.range(tasks.clone()).map(|(task, _)| *task);
        let tried = self.attempts.range(tasks.clone()).map(|(task, _)| *task);
        let mut special: Vec<u64> = known.chain(tried).collect();
        special.sort_unstable();
        special.dedup();
        let group = self.open.get_mut(&index).expect("it asks");
        let step = group.decisions;
        let (mut from, mut again) = (tasks.start, 0);
        let mut ask =
            |from: u64, to: u64, group: &mut StoppingGroup, steps: &mut Vec<GroupStep>| {
                if from < to {
                    group.await_tasks(to - from);
                    awaited += to - from;
                    steps.push(GroupStep::Ask(from..to, step));
                }
            };
        for task in special {
            ask(from, task, group, steps);
            from = task + 1;
            let attempts = self.attempts.remove(&task);
            group.await_tasks(1);
            if let Some(run) = self.unasked.remove(&task) {
                group.settle(task, trimmed(self.by_field, run.result.as_ref()));
                steps.push(GroupStep::Take(run));
            } else if let Some(attempts) = attempts {
                again += 1;
                steps.push(GroupStep::AskAgain(task, attempts));
            }
        }
        ask(from, tasks.end, group, steps);
        awaited + again
    }
}

/// What decisions need of a result.
fn trimmed(by_field: bool, result: Option<&Scored>) -> KnownRun {
    match result {
        None => KnownRun::Failed,
        Some(Scored { score: Some(score), .. }) if !by_field => KnownRun::Number(*score),
        Some(scored) => KnownRun::Value(Box::new(scored.clone())),
    }
}
