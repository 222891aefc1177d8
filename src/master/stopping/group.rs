//! The decisions of one group: what it asks for next, and which of its points it stops.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::master::groups::{KnownRun, Missing, PartlyKnown};
use crate::master::stopping::GroupStep;
use crate::model::{
    BestRule, Completeness, Key, LoopNest, ScoreRange, StopReason, StopRule, StoppedPoint, chooser,
    compared_field, number_by, step_level,
};

/// A group whose points are being decided.
#[derive(Debug)]
pub(super) struct StoppingGroup {
    key: Key,
    /// How many decisions were made. Others' first steps come before later ones.
    pub(super) decisions: u64,
    /// The first of its points, which are at the next level.
    first: u64,
    states: Vec<PointState>,
    /// Results of runs of the points that are open.
    runs: BTreeMap<u64, KnownRun>,
    /// How many tasks are asked for and have no result.
    awaited: u64,
    /// How many points of the stepping loop are asked for, of each open point.
    asked: u64,
    /// The open point of which all is asked for, so that others can be measured by it.
    leader: Option<u64>,
    /// The best of the points that are complete.
    best: Option<(u64, f64)>,
    /// How many complete points have no value.
    lacking: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PointState {
    Open,
    Complete,
    Stopped,
}

/// What follows from the results so far: nothing is asked for once the group is decided.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) ask: Vec<Range<u64>>,
    /// Which points are complete or stopped.
    pub(super) decided: Vec<GroupStep>,
}

/// What a decision is made by.
#[derive(Clone, Copy)]
struct DecisionContext<'a> {
    nest: &'a LoopNest,
    require: Completeness,
    chooser: &'a BestRule,
    /// The field of a run that is compared; the score if `None`.
    field: Option<&'a str>,
    /// The loop whose points are added from decision to decision.
    step: usize,
}

impl StoppingGroup {
    pub(super) fn new(nest: &LoopNest, key: Key) -> StoppingGroup {
        let points = nest.children(key);
        let states = points.clone().map(|_| PointState::Open).collect();
        StoppingGroup {
            key,
            decisions: 0,
            first: points.start,
            states,
            runs: BTreeMap::new(),
            awaited: 0,
            asked: 0,
            leader: None,
            best: None,
            lacking: 0,
        }
    }

    /// Waits for so many more results.
    pub(super) fn await_tasks(&mut self, count: u64) {
        self.awaited += count;
    }

    /// Takes a result. Returns whether all that are asked for are there.
    pub(super) fn settle(&mut self, task: u64, result: KnownRun) -> bool {
        self.runs.insert(task, result);
        self.awaited -= 1;
        self.awaited == 0
    }

    /// Whether a task is asked for and has no result.
    pub(super) fn awaits(&self, nest: &LoopNest, rule: StopRule, task: u64) -> bool {
        let step = step_level(rule, nest, self.key.level);
        let slot = nest.ancestor(nest.task(task), self.key.level + 1).index - self.first;
        if self.states[slot as usize] != PointState::Open || self.runs.contains_key(&task) {
            return false;
        }
        let in_step = nest.parent(nest.ancestor(nest.task(task), step + 1)).map(|(_, slot)| slot);
        self.leader == Some(slot) || in_step.is_some_and(|place| place < self.asked)
    }

    /// Decides what follows. All results that were asked for must be there.
    pub(super) fn decide(
        &mut self,
        nest: &LoopNest,
        rule: StopRule,
        require: Completeness,
    ) -> Decision {
        self.decisions += 1;
        let chooser = chooser(nest, self.key.level).expect("checked before the start");
        let step = step_level(rule, nest, self.key.level);
        // Halves compare what is there, so it need not be one number of each run.
        let field = compared_field(nest, self.key.level).unwrap_or_default();
        let context = DecisionContext { nest, require, chooser, field, step };
        match rule {
            StopRule::Sure(_) if self.asked == 0 => self.go_on(context, 1, Vec::new()),
            StopRule::Sure(range) => self.bound(context, range),
            StopRule::Halve { from, .. } if self.asked == 0 => {
                self.go_on(context, from, Vec::new())
            }
            StopRule::Halve { by, .. } => self.halve(context, by),
        }
    }

    /// Stops the points that cannot beat the best one, after the most promising point is complete.
    fn bound(&mut self, context: DecisionContext, range: ScoreRange) -> Decision {
        let sign = context.chooser.sign();
        let leader = self.leader.take();
        let mut decided = Vec::new();
        for slot in self.open() {
            if leader == Some(slot) || self.is_whole(context, slot) {
                decided.push(self.complete(context, slot));
            }
        }
        let missing = Missing::Best { score: range.best(sign), sign };
        let bounds: Vec<(u64, Option<f64>)> = self
            .open()
            .into_iter()
            .map(|slot| (slot, self.number(context, slot, missing)))
            .collect();
        let hopeless = bounds.iter().filter(|(_, bound)| bound.is_none()).count() as u64;
        let size = self.states.len() as u64;
        let own = context.nest.loops()[self.key.level].require.unwrap_or(context.require);
        if !own.is_met(size - self.lacking - hopeless, size) {
            // It has no best point, so nothing is measured by it.
            return self.go_on(context, u64::MAX, decided);
        }
        if leader.is_none()
            && let Some(leader) = self.most_promising(context, &bounds)
        {
            self.leader = Some(leader);
            let ask = tasks(context, self.point(leader), self.asked..u64::MAX);
            return Decision { ask, decided };
        }
        for (slot, bound) in bounds {
            if let (Some(bound), Some((best_slot, best))) = (bound, self.best)
                && !leads(sign, (slot, bound), self.best)
            {
                let why = StopReason::Beaten { bound, slot: best_slot, best };
                decided.push(self.stop(context, slot, why, true));
            }
        }
        let next = self.asked.saturating_add((self.asked / 3).max(1));
        self.go_on(context, next, decided)
    }

    /// The open point that leads by what is known of it, if it would beat the best one.
    fn most_promising(
        &self,
        context: DecisionContext,
        bounds: &[(u64, Option<f64>)],
    ) -> Option<u64> {
        let so_far = Missing::Beyond { level: context.step, points: self.asked };
        let sign = context.chooser.sign();
        let mut best = self.best;
        let mut leader = None;
        for (slot, _) in bounds.iter().filter(|(_, bound)| bound.is_some()) {
            let Some(score) = self.number(context, *slot, so_far) else { continue };
            if leads(sign, (*slot, score), best) {
                (best, leader) = (Some((*slot, score)), Some(*slot));
            }
        }
        leader
    }

    /// Lets the best part of the open points go on.
    fn halve(&mut self, context: DecisionContext, by: u64) -> Decision {
        let open = self.open();
        if open.iter().all(|slot| self.is_whole(context, *slot)) {
            let decided = open.into_iter().map(|slot| self.complete(context, slot)).collect();
            return Decision { decided, ..Decision::default() };
        }
        let after = self.asked;
        let so_far = Missing::Beyond { level: context.step, points: after };
        let sign = context.chooser.sign();
        let mut ranked: Vec<(u64, Option<f64>)> =
            open.into_iter().map(|slot| (slot, self.number(context, slot, so_far))).collect();
        // The sort is stable: equal ones stay in grid order, as 0 and -0. Those without a number come last.
        let value = |score: &Option<f64>| score.map(|score| sign * score);
        ranked.sort_by(|(_, one), (_, other)| {
            value(other).partial_cmp(&value(one)).expect("none of them is NaN")
        });
        let of = ranked.len() as u64;
        let went_on = of.div_ceil(by);
        let last = ranked[went_on as usize - 1].1;
        let mut behind: Vec<_> = (1..).zip(ranked).skip(went_on as usize).collect();
        behind.sort_by_key(|(_, (slot, _))| *slot);
        let mut decided = Vec::new();
        for (place, (slot, score)) in behind {
            let why = StopReason::Behind { after, place, of, went_on, score, last };
            let can_count = self.known(context).can_count(self.point(slot));
            decided.push(self.stop(context, slot, why, can_count));
        }
        let next = if went_on == 1 { u64::MAX } else { after.saturating_mul(by) };
        self.go_on(context, next, decided)
    }

    /// Asks for the runs of each open point up to this many points of the stepping loop.
    fn go_on(
        &mut self,
        context: DecisionContext,
        until: u64,
        mut decided: Vec<GroupStep>,
    ) -> Decision {
        let range = self.asked..until;
        self.asked = until;
        let mut ask: Vec<Range<u64>> = Vec::new();
        for slot in self.open() {
            for tasks in tasks(context, self.point(slot), range.clone()) {
                match ask.last_mut() {
                    Some(last) if last.end == tasks.start => last.end = tasks.end,
                    _ => ask.push(tasks),
                }
            }
        }
        if ask.is_empty() {
            // All of what is open is there, as where points have different numbers of runs.
            decided.extend(self.open().into_iter().map(|slot| self.complete(context, slot)));
        }
        Decision { ask, decided }
    }

    fn open(&self) -> Vec<u64> {
        let open = (0..).zip(&self.states).filter(|(_, state)| **state == PointState::Open);
        open.map(|(slot, _)| slot).collect()
    }

    fn point(&self, slot: u64) -> Key {
        Key { level: self.key.level + 1, index: self.first + slot }
    }

    /// Whether all runs of a point are asked for.
    fn is_whole(&self, context: DecisionContext, slot: u64) -> bool {
        tasks(context, self.point(slot), self.asked..u64::MAX).is_empty()
    }

    /// The number of a point that is compared; `None` if it has none.
    fn number(&self, context: DecisionContext, slot: u64, missing: Missing) -> Option<f64> {
        let scored = self.known(context).value(self.point(slot), missing)?;
        number_by(&scored, context.chooser.by.as_deref()).filter(|number| !number.is_nan())
    }

    fn known<'a>(&'a self, context: DecisionContext<'a>) -> PartlyKnown<'a> {
        let DecisionContext { nest, require, field, .. } = context;
        PartlyKnown { nest, require, field, runs: &self.runs }
    }

    fn complete(&mut self, context: DecisionContext, slot: u64) -> GroupStep {
        let all = Missing::Beyond { level: context.step, points: u64::MAX };
        match self.number(context, slot, all) {
            None => self.lacking += 1,
            Some(score) => {
                if leads(context.chooser.sign(), (slot, score), self.best) {
                    self.best = Some((slot, score));
                }
            }
        }
        self.leave(context, slot, PointState::Complete);
        GroupStep::Complete(self.point(slot))
    }

    fn stop(
        &mut self,
        context: DecisionContext,
        slot: u64,
        why: StopReason,
        can_count: bool,
    ) -> GroupStep {
        let below = context.nest.tasks_below(self.point(slot));
        let failed =
            self.runs.range(below.clone()).filter(|(_, run)| **run == KnownRun::Failed).count()
                as u64;
        let asked = self.runs.range(below).count() as u64;
        let (step, places) = (context.step, self.asked);
        self.leave(context, slot, PointState::Stopped);
        let point = StoppedPoint { key: self.point(slot), asked, step, places, why };
        GroupStep::Stop { point, runs: asked - failed, failed, can_count }
    }

    fn leave(&mut self, context: DecisionContext, slot: u64, state: PointState) {
        self.states[slot as usize] = state;
        let below = context.nest.tasks_below(self.point(slot));
        let tasks: Vec<u64> = self.runs.range(below).map(|(task, _)| *task).collect();
        tasks.iter().for_each(|task| drop(self.runs.remove(task)));
    }
}

/// Whether a point comes before the best one: by its score, or as the first of equal ones.
fn leads(sign: f64, (slot, score): (u64, f64), best: Option<(u64, f64)>) -> bool {
    best.is_none_or(|(there, best)| sign * score > sign * best || (score == best && slot < there))
}

/// The tasks of a point at these places of the stepping loop, in each of its groups.
fn tasks(
    DecisionContext { nest, step, .. }: DecisionContext,
    point: Key,
    places: Range<u64>,
) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    for index in nest.keys_below(point, step) {
        let children = nest.children(Key { level: step, index });
        let size = children.end - children.start;
        let (from, to) = (places.start.min(size), places.end.min(size));
        if from < to {
            let child = |slot| Key { level: step + 1, index: children.start + slot };
            let start = nest.tasks_below(child(from)).start;
            found.push(start..nest.tasks_below(child(to - 1)).end);
        }
    }
    found
}
