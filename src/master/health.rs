//! Workers that cannot work or have nothing to work with, and failures that may be a worker's own rather than the task's.
//!
//! The first failures of a worker that has had no success are not counted: each of these tasks is tried on
//! another worker. If three of them succeed there, the worker is sick and is given nothing more. If as many
//! fail there too, the tasks are to blame, and the worker's failures count like any other's. A worker that cannot
//! call crunch any more says so itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use crate::master::nested_queue::Wake;
use crate::master::second_tries::Turn;
use crate::master::{Action, Master};
use crate::model::RunBatch;

/// How many of a worker's failures decide, each way.
const ENOUGH: u32 = 3;

/// How long a worker may still prepare once nothing is left to do: if it cannot work, it has time to say why.
const LATE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Health {
    /// Whether a failure may be a worker's own: workers are processes, maybe on several hosts.
    suspects: bool,
    lowest: usize,
    /// Whether each worker has had a success, from the lowest rank.
    proven: Vec<bool>,
    /// Those that are given nothing, and of these the ones that are well: their share of their host is nothing.
    sick: BTreeSet<usize>,
    aside: BTreeSet<usize>,
    /// Workers without a success that have failed.
    suspicions: BTreeMap<usize, Suspicion>,
    /// Tasks whose failure is not counted yet, and the worker that each failed on.
    trials: BTreeMap<u64, usize>,
    /// Workers that ask for work and are given none at present.
    parked: BTreeSet<usize>,
}

/// What is known of the failures of a worker without a success.
#[derive(Debug, Default)]
struct Suspicion {
    /// How many of its failures are to be tried elsewhere.
    open: u32,
    /// How many succeeded elsewhere, and how many failed there too.
    confirmed: u32,
    refuted: u32,
    /// The last error.
    why: String,
}

impl Suspicion {
    /// Whether what is open may decide, so that it is given no task before that is known.
    fn pauses(&self) -> bool {
        self.open > 0 && self.open + self.confirmed + self.refuted >= ENOUGH
    }
}

impl Health {
    pub(super) fn new(lowest: usize, workers: usize, suspects: bool) -> Health {
        Health {
            suspects,
            lowest,
            proven: vec![false; workers],
            sick: BTreeSet::new(),
            aside: BTreeSet::new(),
            suspicions: BTreeMap::new(),
            trials: BTreeMap::new(),
            parked: BTreeSet::new(),
        }
    }

    pub(super) fn is_sick(&self, rank: usize) -> bool {
        self.sick.contains(&rank)
    }

    /// Whether a worker is well, and given nothing because its share of its host is nothing.
    pub(super) fn is_aside(&self, rank: usize) -> bool {
        self.aside.contains(&rank)
    }

    pub(super) fn sick(&self) -> &BTreeSet<usize> {
        &self.sick
    }

    /// Whether a worker is given one task at a time, because it may be sick.
    pub(super) fn is_on_trial(&self, rank: usize) -> bool {
        self.suspects && !self.proven[rank - self.lowest]
    }

    fn is_paused(&self, rank: usize) -> bool {
        self.suspicions.get(&rank).is_some_and(Suspicion::pauses)
    }

    /// Whether every worker may be given anything.
    fn is_plain(&self) -> bool {
        self.sick.is_empty() && self.suspicions.is_empty()
    }

    /// Notes that a worker is given nothing at present.
    pub(super) fn park(&mut self, rank: usize) {
        self.parked.insert(rank);
    }

    pub(super) fn unpark(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.parked)
    }

    /// The worker that a task failed on, if that failure is not counted yet.
    pub(super) fn failed_on(&self, task: u64) -> Option<usize> {
        if self.trials.is_empty() { None } else { self.trials.get(&task).copied() }
    }

    /// A worker had its first success; whether it was under suspicion.
    #[inline(never)]
    fn prove(&mut self, rank: usize) -> bool {
        self.proven[rank - self.lowest] = true;
        self.suspicions.remove(&rank).is_some()
    }

    /// A worker has succeeded at tasks; the other workers that are sick therefore, with their last errors.
    #[inline(never)]
    fn confirm(&mut self, rank: usize, tasks: Range<u64>) -> Vec<(usize, String)> {
        let mut sick = Vec::new();
        while let Some((&task, &failed_on)) = self.trials.range(tasks.clone()).next() {
            self.trials.remove(&task);
            let suspicion = self.suspicions.get_mut(&failed_on).filter(|_| failed_on != rank);
            if let Some(suspicion) = suspicion {
                suspicion.open -= 1;
                suspicion.confirmed += 1;
                if suspicion.confirmed >= ENOUGH && self.sick.insert(failed_on) {
                    let why = &suspicion.why;
                    let why =
                        format!("{ENOUGH} tasks failed there that succeeded elsewhere: {why}");
                    sick.push((failed_on, why));
                }
            }
        }
        sick
    }

    /// A task whose failure on a worker was not counted has failed again; the worker, which may have been
    /// waiting for this.
    fn refute(&mut self, rank: usize, task: u64) -> Option<usize> {
        let failed_on = self.trials.remove(&task)?;
        let suspicion = self.suspicions.get_mut(&failed_on)?;
        suspicion.open -= 1;
        suspicion.refuted += u32::from(failed_on != rank);
        Some(failed_on)
    }

    /// Whether a failure of a worker is not counted, because it may be the worker's own.
    fn suspect(&mut self, rank: usize, task: u64, why: &str) -> bool {
        if !self.is_on_trial(rank) {
            return false;
        }
        let suspicion = self.suspicions.entry(rank).or_default();
        if suspicion.refuted >= ENOUGH {
            return false;
        }
        suspicion.open += 1;
        suspicion.why = why.to_string();
        self.trials.insert(task, rank);
        true
    }
}

impl Master {
    /// A worker cannot work, or not any more: it is given nothing more, and what it owned is free for others.
    pub(super) fn sicken(&mut self, rank: usize, why: String, actions: &mut Vec<Action>) {
        if self.health.sick.insert(rank) {
            self.queue.lost(rank);
            actions.push(Action::Sick { rank, why });
        }
    }

    /// A worker's share of its host is nothing: it stays idle until all is done.
    pub(super) fn set_aside(&mut self, rank: usize) {
        if self.health.sick.insert(rank) {
            self.health.aside.insert(rank);
            self.queue.lost(rank);
        }
        self.workers.reported(rank);
    }

    /// Handles the success of a worker at tasks.
    #[inline(always)]
    pub(super) fn note_success(&mut self, rank: usize, runs: &RunBatch, actions: &mut Vec<Action>) {
        if !self.health.proven[rank - self.health.lowest] && self.health.prove(rank) {
            self.queue.seconds.clear_suspicion(rank);
        }
        if !self.health.trials.is_empty() {
            for (rank, why) in self.health.confirm(rank, runs.tasks()) {
                actions.push(Action::Sick { rank, why });
            }
        }
    }

    /// Handles the failure of a worker at one task. Returns whether it is not counted, and the task is to
    /// be tried elsewhere.
    pub(super) fn is_suspect(&mut self, rank: usize, run: &RunBatch) -> bool {
        if let Some(failed_on) = self.health.refute(rank, run.first) {
            self.reopen([failed_on].into());
            return false;
        }
        let why = run.others().next().and_then(|other| other.result.as_ref().err());
        self.able() > 1 && why.is_some_and(|why| self.health.suspect(rank, run.first, why.why()))
    }

    /// Number of workers that are neither sick, lost nor dismissed.
    fn able(&self) -> usize {
        let sick = self.health.sick.iter().filter(|rank| self.workers.is_here(**rank));
        self.workers.here().saturating_sub(sick.count())
    }

    /// Whether every worker was given up or is sick.
    pub(super) fn none_is_able(&self) -> bool {
        self.workers.dismissed() == 0 && self.able() == 0
    }

    fn reopen(&mut self, ranks: BTreeSet<usize>) {
        ranks.into_iter().for_each(|rank| self.workers.reopen(rank));
    }

    /// Opens the workers that may be given something now.
    pub(super) fn begin_turns(
        &mut self,
        over: bool,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> AssignPass {
        if over {
            self.begin_end(now, actions);
        }
        if !self.queue.is_nested() {
            self.workers.wake(Wake::All);
        }
        if self.queue.seconds.is_empty() && !self.finals.have_failed() {
            return AssignPass::default();
        }
        self.begin_second_tries()
    }

    /// Nothing more is begun: ends what waits.
    #[inline(never)]
    fn begin_end(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.stopping && !std::mem::replace(&mut self.ends, true) {
            // Nobody waits for imports. Where the job is complete, they are waited for a little, so that a
            // worker that cannot work is named whatever the others' speed.
            let cancel = |rank| Action::Cancel { rank, task: None };
            actions.extend(self.workers.preparing().map(cancel));
        }
        self.dismiss_late(now, actions);
        if !self.health.parked.is_empty() {
            let parked = self.health.unpark();
            self.reopen(parked);
        }
    }

    /// Opens the workers that may be given what has failed on others.
    #[inline(never)]
    fn begin_second_tries(&mut self) -> AssignPass {
        let may_succeed = |rank: usize| {
            let (health, seconds) = (&self.health, &self.queue.seconds);
            !health.is_sick(rank)
                && (health.proven[rank - health.lowest]
                    || self.workers.is_busy_or_coming(rank)
                    || !health.is_paused(rank) && self.queue.left() > seconds.not_for(rank))
        };
        let anybody =
            self.queue.seconds.has_suspects() && !self.workers.all_here().any(may_succeed);
        let alone = self.able() <= 1;
        if anybody || alone {
            let parked = self.health.unpark();
            self.reopen(parked);
        }
        AssignPass { anybody, alone }
    }

    /// Nothing is left to do: workers whose imports hang, say, are not waited for.
    fn dismiss_late(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if now < self.over.get_or_insert(now).saturating_add(LATE) {
            return;
        }
        for rank in self.workers.preparing().collect::<Vec<_>>() {
            let why = format!(
                "{} s after all else was done it was still at its imports and checks",
                LATE.as_secs()
            );
            self.sicken(rank, why, actions);
            self.workers.dismiss(rank);
            actions.push(Action::Cancel { rank, task: None });
            actions.push(Action::Dismiss { rank, skip_finalize: self.workers.any_lost() });
        }
    }

    /// What a worker may be given.
    #[inline]
    pub(super) fn turn(&self, rank: usize, AssignPass { anybody, alone }: AssignPass) -> Turn {
        let is_on_trial = self.health.is_on_trial(rank);
        if self.health.is_plain() && !alone && !anybody {
            return Turn { judges: !is_on_trial, is_on_trial, ..Turn::ANY };
        }
        if self.health.is_sick(rank) {
            return Turn::NOTHING;
        }
        let takes_new = alone || !self.health.is_paused(rank);
        Turn { takes_new, judges: anybody || !is_on_trial, alone, is_on_trial }
    }
}

/// What holds while work is handed out after one event.
#[derive(Clone, Copy, Default)]
pub(super) struct AssignPass {
    /// Whether any worker may try what may have failed because of another one: none with a success is there,
    /// and none can have one before.
    anybody: bool,
    /// Whether only one worker is left.
    alone: bool,
}
