//! The master: a pure state machine. Events in, actions out; no I/O, no clock, no MPI.
//!
//! The same master therefore runs over MPI, over threads and in virtual time. Actions must be carried
//! out in order: a run is recorded before the worker that returned it is sent anything.

mod assign;
mod batching;
#[cfg(test)]
mod check;
mod config;
pub(crate) mod cost_model;
mod done;
mod early_numbers;
mod events;
mod finals;
mod groups;
mod health;
mod leases;
mod nested_queue;
mod order;
mod queue;
mod rank_set;
mod report;
mod requeued;
mod second_tries;
mod skipping;
mod stopping;
mod stragglers;
mod strategy;
mod view;
pub(crate) mod virtual_time;
mod work_left;
mod workers;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use crate::model::{AttemptResult, Key, LoopNest, Needs, Policy, Scored, SlotResult, Tally};
use batching::BatchSizer;
pub(crate) use config::MasterConfig;
use cost_model::CostModel;
pub(crate) use events::{Action, Event, emptied};
use finals::Finals;
use groups::{ClosedGroup, OpenGroups};
use health::Health;
use leases::Leases;
pub(crate) use leases::WAIT_FOR_SILENT;
use queue::TaskQueue;
use stopping::EarlyStopping;
#[cfg(all(feature = "cli", feature = "jobs"))]
pub(crate) use stopping::KnownDecisions;
use stragglers::{Stragglers, Verdict};
pub(crate) use strategy::Strategy;
pub(crate) use view::{GroupView, View, WorkerActivity, WorkerView};
pub(crate) use work_left::WorkLeft;
use workers::{FirstTask, Returned, SideCall, Workers};

/// How long a task must have run when it is cut off for that to be kept. (seconds)
const WORTH_KNOWING: f64 = 1.0;

/// The state machine on rank 0.
#[derive(Debug)]
pub(crate) struct Master {
    nest: LoopNest,
    policy: Policy,
    queue: TaskQueue,
    batching: BatchSizer,
    workers: Workers,
    health: Health,
    leases: Leases,
    groups: OpenGroups,
    tally: Tally,
    closed: Vec<ClosedGroup>,
    /// Groups queued for a worker to reduce.
    to_reduce: VecDeque<(Key, Vec<SlotResult>)>,
    /// Groups that a worker is reducing; requeued if it is lost.
    reducing: BTreeMap<Key, Vec<SlotResult>>,
    finals: Finals,
    /// Whether assignment of tasks is paused.
    held: bool,
    stopping: bool,
    cancelled: bool,
    /// Whether workers that prepare have been told to stop.
    ends: bool,
    /// Since when nothing is left to do.
    over: Option<Duration>,
    /// How many tasks to run; all that are not done if `None`.
    wanted: Option<u64>,
    /// When all tasks must have ended.
    end: Option<Duration>,
    /// Time of the first worker's hello, and of the last result.
    first: Option<Duration>,
    last: Duration,
    /// Total duration of all calls of crunch. (seconds)
    crunched: f64,
    stragglers: Stragglers,
    /// Which tasks are asked for, where points are stopped before all their runs are made.
    early: Option<EarlyStopping>,
    /// Runs that failed for good since the start.
    failures: u64,
}

impl Master {
    pub(crate) fn new(nest: LoopNest, config: MasterConfig) -> Master {
        let MasterConfig { lowest, workers, policy, data, strategy, .. } = config;
        let costs = config.expected.unwrap_or_else(|| CostModel::new(&nest));
        let early = EarlyStopping::of(&nest, policy.require);
        let queue = match early {
            Some(_) => TaskQueue::asked(&nest, costs),
            None => TaskQueue::new(&nest, strategy, (policy.order, data), costs),
        };
        let is_nested = queue.is_nested();
        Master {
            queue,
            batching: BatchSizer::new(config.batch),
            workers: Workers::new(lowest, workers),
            health: Health::new(lowest, workers, config.suspects && !is_nested),
            leases: Leases::new(lowest, workers, config.lease),
            groups: OpenGroups::new(nest.clone(), policy.require, config.in_code),
            tally: Tally::default(),
            closed: Vec::new(),
            to_reduce: VecDeque::new(),
            reducing: BTreeMap::new(),
            finals: Finals::new(config.finals, nest.outer()),
            held: false,
            stopping: false,
            cancelled: false,
            ends: false,
            over: None,
            wanted: None,
            end: config.end,
            first: None,
            last: Duration::ZERO,
            crunched: 0.0,
            stragglers: Stragglers::new(policy.speculate),
            early,
            failures: 0,
            policy,
            nest,
        }
    }

    /// Runs only these tasks. Must be called after all `Recalled` events.
    pub(crate) fn only(&mut self, tasks: &[u64]) {
        if let Some(early) = &mut self.early {
            for (task, attempts) in early.take_attempts(tasks) {
                self.queue.give_back(task, attempts);
            }
        }
        self.wanted = Some(self.queue.only(tasks));
    }

    /// Leaves tasks to other parts of the job. Must be called in grid order, together with all `Recalled` events.
    pub(crate) fn leave_out(&mut self, tasks: Range<u64>) {
        self.queue.leave_out(tasks);
    }

    /// Runs only the tasks that are left now, of a part of the job.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn only_what_is_left(&mut self) {
        self.wanted = Some(self.queue.left());
    }

    /// Sets the summary of a group from an earlier start: it needs no second call of the user's function.
    pub(crate) fn know(&mut self, key: Key, value: Scored) {
        self.groups.know(key, value);
    }

    /// Sets how long a task has run without ending in an earlier start, in seconds.
    pub(crate) fn know_survived(&mut self, task: u64, seconds: f64) {
        self.queue.costs.know_survived(task, seconds);
    }

    /// Sets how often a task was attempted in earlier starts without success.
    pub(crate) fn know_attempts(&mut self, task: u64, attempts: u32) {
        match &mut self.early {
            Some(early) => early.know_attempts(task, attempts),
            None => self.queue.know_attempts(task, attempts),
        }
    }

    /// Pauses or resumes the assignment of tasks.
    pub(crate) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Handles an event at time `now` since the start and appends the resulting actions.
    pub(crate) fn on<'a>(
        &mut self,
        event: Event<'a>,
        now: Duration,
        actions: &mut Vec<Action<'a>>,
    ) {
        self.leases.tick(now);
        if let Some(rank) = event.sender() {
            self.leases.renew(rank);
        }
        match event {
            Event::Joined { rank, host, threads } => {
                self.first.get_or_insert(now);
                if self.workers.welcome(rank, threads, now) {
                    actions.push(Action::Welcome { rank, host });
                    if self.is_complete() {
                        self.workers.reported(rank); // it need not prepare, and is dismissed
                    } else if self.ends {
                        actions.push(Action::Cancel { rank, task: None });
                    }
                }
            }
            Event::Shared { rank, threads } => {
                self.workers.has_threads(rank, threads);
                if threads == 0 {
                    self.set_aside(rank);
                }
            }
            Event::Heartbeat { rank, idle: true } => {
                if self.workers.is_dismissed(rank) {
                    actions.push(Action::Dismiss { rank, skip_finalize: self.workers.any_lost() });
                }
                let held = self.workers.free(rank, now);
                self.give_back(rank, held, actions);
            }
            Event::Sending { rank } => self.workers.is_sent_to(rank, now),
            Event::Heartbeat { .. } | Event::Alive { .. } => {}
            Event::Done { rank, report } => {
                self.last = now;
                self.report(rank, (report.thread, report.unbegun), report.runs, now, actions);
                self.workers.reported(rank);
            }
            Event::Recalled(run) if self.early.is_some() => self.keep_recalled(run, actions),
            Event::Recalled(AttemptResult { task, seconds, result, .. }) => {
                self.queue.skip(task);
                self.queue.costs.observe(task, seconds);
                let item = SlotResult::of_run(result.ok());
                self.tally.recalled += 1;
                self.tally.done += 1;
                self.tally.failed += item.failed;
                self.groups.put(self.nest.task(task), item, &mut self.closed);
                self.report_closed(actions);
            }
            Event::Reduced { rank, key, result } => {
                let mut is_its = |rank| self.workers.has_made(rank, SideCall::Reduce(key));
                if rank.is_some_and(|rank| !is_its(rank)) {
                    self.tally.refused += 1;
                } else {
                    rank.into_iter().for_each(|rank| self.workers.reported(rank));
                    self.reducing.remove(&key);
                    self.groups.reduced(key, result, &mut self.closed);
                    self.report_closed(actions);
                }
            }
            Event::FinalJudged { row, state } => self.finals.judged(row, state, &mut self.tally),
            Event::FinalDone { rank, result } => {
                self.last = now;
                self.final_done(rank, result, actions);
            }
            Event::FinalUnbegun { rank, row, attempt } => {
                if self.workers.has_made(rank, SideCall::Final(row, attempt)) {
                    self.finals.put_back(row, attempt);
                    // Else it asks for work when it has done what keeps it busy.
                    if self.workers.load(rank).1 == 0 {
                        self.workers.reported(rank);
                    }
                }
            }
            Event::Broken { rank } => {
                let held = self.workers.break_down(rank);
                self.lose(rank, held, actions);
            }
            Event::Sick { rank, why } => {
                for call in self.workers.take_calls(rank) {
                    self.call_again(call, false);
                }
                self.workers.reported(rank);
                self.sicken(rank, why, actions);
            }
            Event::Lost { rank } => {
                let held = self.workers.end(rank);
                self.lose(rank, held, actions);
            }
            Event::Drain => self.drain(),
            Event::Stop => self.stop(now, actions),
            Event::Tick => {}
        }
        for rank in self.leases.run_out() {
            // A sick worker may be too sick for heartbeats.
            let holds = self.workers.load(rank).1 > 0;
            if self.workers.is_here(rank) && (holds || !self.health.is_sick(rank)) {
                self.tally.lost += 1;
                actions.push(Action::Miss { rank });
                let held = self.workers.miss(rank);
                self.lose(rank, held, actions);
            }
        }
        self.assign_work(now, actions);
    }

    /// Whether every wanted run is recorded and its groups are closed.
    pub(crate) fn is_complete(&self) -> bool {
        let all = self.tally.done + self.tally.skipped == self.nest.tasks()
            && self.groups.is_empty()
            && self.finals.are_done();
        // Groups that have closed are reduced, also if only some of the tasks are wanted.
        let is_wanted = |wanted: u64| {
            self.tally.done - self.tally.recalled >= wanted && !self.groups.awaits_outside()
        };
        all || self.wanted.is_some_and(is_wanted)
    }

    /// Whether the job has ended and every worker is dismissed or given up.
    pub(crate) fn is_over(&self) -> bool {
        (self.stopping || self.is_complete()) && self.workers.all_dismissed()
    }

    /// Whether all remaining work is on threads that wait on the dictionary. `ranks` has one entry per
    /// such thread.
    pub(crate) fn awaits_only(&self, ranks: &[usize]) -> bool {
        let reducing = !self.policy.reduce_on_workers && self.groups.awaits_outside();
        let waits = |rank| {
            let (threads, load) = self.workers.load(rank);
            let waiting = ranks.iter().filter(|waiting| **waiting == rank).count() as u64;
            waiting > 0 && waiting >= threads.min(load)
        };
        !reducing && self.workers.not_idle().all(waits)
    }

    /// The number of runs at the end, those of earlier starts included.
    pub(crate) fn goal(&self) -> u64 {
        let all = self.nest.tasks() - self.tally.skipped;
        self.wanted.map_or(all, |wanted| self.tally.recalled + wanted)
    }

    /// Whether only some of the tasks are wanted.
    pub(crate) fn is_partly_wanted(&self) -> bool {
        // Where points are stopped, what follows from the runs of some tasks is left to a start of the whole job.
        self.wanted.is_some() && (self.early.is_some() || self.goal() < self.nest.tasks())
    }

    /// What one task needs of its host.
    pub(crate) fn needs(&self) -> Needs {
        self.policy.needs
    }

    /// The ranks of all workers.
    pub(crate) fn ranks(&self) -> Range<usize> {
        self.workers.all()
    }

    pub(crate) fn tasks(&self) -> u64 {
        self.nest.tasks()
    }

    /// Progress counters.
    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Time from the first worker's hello to the last result.
    pub(crate) fn span(&self) -> Duration {
        self.last.saturating_sub(self.first.unwrap_or(self.last))
    }

    pub(crate) fn last_result(&self) -> Duration {
        self.last
    }

    /// Total duration of all calls of crunch since the start, in seconds.
    pub(crate) fn crunched(&self) -> f64 {
        self.crunched
    }

    /// Per assigned range: the worker, its current task, and when that may have started.
    pub(crate) fn busy(&self) -> impl Iterator<Item = (usize, u64, Duration)> + '_ {
        self.workers.first_tasks().map(|first| (first.rank, first.task, first.since))
    }

    /// The workers that hold a task.
    #[cfg(feature = "jobs")]
    pub(crate) fn holders(&self, task: u64) -> impl Iterator<Item = usize> + '_ {
        self.workers.holders(task)
    }

    /// Whether more runs have failed for good since the start than the job allows.
    pub(crate) fn has_given_up(&self) -> bool {
        self.policy.most_failures.is_some_and(|most| self.failures > most)
    }

    /// Requeues everything a lost worker held.
    fn lose(&mut self, rank: usize, held: Returned, actions: &mut Vec<Action>) {
        self.give_back(rank, held, actions);
        self.queue.lost(rank);
    }

    /// Requeues tasks and groups that a worker will not return.
    fn give_back(&mut self, rank: usize, held: Returned, actions: &mut Vec<Action>) {
        for call in held.calls {
            self.call_again(call, true);
        }
        if self.stopping {
            return;
        }
        for (tasks, attempt) in held.tasks {
            for task in tasks {
                if self.stragglers.returned(task, None) != Verdict::Nothing {
                    self.tally.given_back += 1;
                    match self.health.failed_on(task) {
                        Some(rank) => self.queue.suspect(rank, task, attempt.saturating_add(1)),
                        None => self.queue.give_back(task, attempt),
                    }
                    actions.push(Action::GiveBack { task, attempt, rank });
                }
            }
        }
    }

    /// Makes a call that a worker will not make anew, which it may have begun.
    fn call_again(&mut self, call: SideCall, was_begun: bool) {
        match call {
            SideCall::Reduce(key) => {
                self.to_reduce.extend(self.reducing.remove(&key).map(|items| (key, items)));
            }
            SideCall::Final(row, _) if was_begun => self.finals.lost(row),
            SideCall::Final(row, attempt) => self.finals.put_back(row, attempt),
        }
    }

    /// Whether tasks or final calls were skipped because they were expected to run past the end of the allocation.
    pub(crate) fn is_out_of_time(&self) -> bool {
        self.queue.has_passed() || self.finals.have_passed()
    }

    /// Whether some workers were given up or are sick.
    pub(crate) fn misses_workers(&self) -> bool {
        self.workers.any_lost() || !self.health.sick().is_empty()
    }

    /// Workers that were given up because they are silent, and may come back.
    pub(crate) fn silent(&self) -> impl Iterator<Item = usize> + '_ {
        self.workers.silent()
    }

    /// Time since the last sign of life of any worker, if all workers are lost or sick, work is left, and one
    /// may come back.
    pub(crate) fn deserted(&self) -> Option<Duration> {
        let is_empty = self.none_is_able() && !self.is_over();
        let silent = is_empty.then(|| self.workers.silent());
        silent.into_iter().flatten().map(|rank| self.leases.silence(rank)).min()
    }

    /// Whether work is left, all workers are lost or sick and none is expected back. Silent workers are waited for
    /// up to [`WAIT_FOR_SILENT`], but not if the job is stopping.
    pub(crate) fn is_stranded(&self) -> bool {
        if !self.none_is_able() || self.is_complete() {
            return false;
        }
        match self.deserted() {
            Some(silence) => self.leases.is_hopeless(silence),
            None => self.workers.silent().next().is_none(),
        }
    }

    fn drain(&mut self) {
        self.stopping = true;
        self.queue.stop();
        self.finals.stop();
    }

    fn stop(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.drain();
        if !std::mem::replace(&mut self.cancelled, true) {
            for FirstTask { rank, task, attempt, since } in self.workers.running() {
                let seconds = now.saturating_sub(since).as_secs_f64();
                if seconds >= WORTH_KNOWING {
                    self.queue.costs.know_survived(task, seconds);
                    actions.push(Action::CutOff { rank, task, attempt, seconds });
                }
            }
            actions.extend(self.workers.at_work().map(|rank| Action::Cancel { rank, task: None }));
        }
    }

    #[inline(never)]
    fn report_closed(&mut self, actions: &mut Vec<Action>) {
        for closed in self.closed.drain(..) {
            actions.push(match closed {
                ClosedGroup::Summary(summary) => {
                    self.tally.close(&summary);
                    self.finals.closed(&summary);
                    Action::Close(Box::new(summary))
                }
                ClosedGroup::Outside(key, items) if self.policy.reduce_on_workers => {
                    self.to_reduce.push_back((key, items));
                    continue;
                }
                ClosedGroup::Outside(key, items) => Action::Reduce { rank: None, key, items },
            });
        }
    }
}
