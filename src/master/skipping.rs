//! Carries out what early stopping decides: asks for tasks, takes results that are there, closes points.

use crate::master::stopping::{GroupStep, UnaskedRun};
use crate::master::{Action, Master};
use crate::model::{AttemptResult, PointCounts, RunBatch, Scored, SlotResult};

/// So many tasks are asked for ahead of what is handed out, so that workers need not wait for a decision.
const AHEAD: u64 = 64;

/// And at least so many seconds of work, of at most so many tasks, for each thread.
const SOON: f64 = 0.1;
const MOST_AHEAD: u64 = 10_000;

impl Master {
    /// Keeps a result of an earlier start until it is asked for.
    pub(super) fn keep_recalled(&mut self, run: AttemptResult, actions: &mut Vec<Action>) {
        let AttemptResult { task, seconds, result, .. } = run;
        self.queue.costs.observe(task, seconds);
        self.queue.note_done(task);
        let Some(early) = &mut self.early else { return };
        let mut steps = Vec::new();
        early.pass(task, &mut steps);
        early.keep(UnaskedRun { task, result: result.ok(), is_recalled: true });
        self.carry_out(steps, actions);
    }

    /// Opens the groups whose runs are all recalled, once there is no run to recall any more.
    pub(crate) fn end_recall(&mut self, actions: &mut Vec<Action>) {
        let Some(early) = &mut self.early else { return };
        let mut steps = Vec::new();
        while early.has_unasked_runs() && early.open_next(&mut steps) {}
        self.carry_out(steps, actions);
    }

    /// Opens groups until enough tasks are asked for, and enough groups are decided side by side.
    pub(super) fn open_groups(&mut self, most: u64, actions: &mut Vec<Action>) {
        if self.early.is_some() && !self.stopping && self.wanted.is_none() {
            self.open_groups_ahead(most, actions);
        }
    }

    #[inline(never)]
    fn open_groups_ahead(&mut self, most: u64, actions: &mut Vec<Action>) {
        let threads = self.workers.threads();
        let each = self.queue.costs.mean().unwrap_or(1.0).max(1e-6);
        let soon = ((SOON / each) as u64).clamp(2, MOST_AHEAD);
        let ahead = most + AHEAD.max(threads * soon);
        while let Some(early) = &mut self.early
            && (self.queue.left() < ahead || early.open_groups() < 2 * threads)
        {
            let mut steps = Vec::new();
            if !early.open_next(&mut steps) {
                return;
            }
            self.carry_out(steps, actions);
        }
    }

    /// Puts runs into their groups that are asked for, and keeps the others.
    #[inline(never)]
    pub(super) fn settle_asked(&mut self, runs: &RunBatch) -> Vec<GroupStep> {
        let mut steps = Vec::new();
        let Some(early) = &mut self.early else { return steps };
        for run in runs.clone().into_results() {
            let (task, result) = (run.task, run.result.ok());
            if early.awaits(task) {
                self.groups.put_run(task, result.as_ref(), &mut self.closed);
                early.settle(task, result.as_ref(), &mut steps);
            } else {
                early.keep(UnaskedRun { task, result, is_recalled: false });
            }
        }
        steps
    }

    /// Carries out what was decided, and reports the groups that close by it.
    #[inline(never)]
    pub(super) fn carry_out(&mut self, steps: Vec<GroupStep>, actions: &mut Vec<Action>) {
        for step in steps {
            match step {
                GroupStep::Ask(..) | GroupStep::AskAgain(..)
                    if self.stopping || self.wanted.is_some() => {}
                GroupStep::Ask(tasks, step) => self.queue.ask(tasks, step),
                GroupStep::AskAgain(task, attempts) => self.queue.give_back(task, attempts),
                GroupStep::Take(UnaskedRun { task, result, is_recalled }) => {
                    if is_recalled {
                        self.tally.recalled += 1;
                        self.tally.done += 1;
                        self.tally.failed += u64::from(result.is_none());
                    }
                    let item = SlotResult::of_run(result);
                    self.groups.put(self.nest.task(task), item, &mut self.closed);
                }
                GroupStep::Complete(key) => self.groups.decide(key, &mut self.closed),
                GroupStep::Stop { point, runs, failed, can_count } => {
                    self.tally.skipped += point.skipped(&self.nest);
                    self.tally.stopped += 1;
                    let around = point.key.level - 1;
                    let below = point.points(&self.nest, around + self.nest.decided(around));
                    let (counted, failed_points) = if can_count { (below, 0) } else { (0, 1) };
                    let points = PointCounts { counted, failed: failed_points, left_out: 0 };
                    let is_stopped = can_count;
                    let is_partial = failed > 0;
                    let result: Option<Scored> = None;
                    let item = SlotResult { result, runs, failed, points, is_partial, is_stopped };
                    let key = point.key;
                    actions.push(Action::StopPoint(Box::new(point)));
                    self.groups.stop(key, item, &mut self.closed);
                }
            }
        }
        self.report_closed(actions);
    }
}
