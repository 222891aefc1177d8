//! Hands out work: groups to reduce, final calls, tasks. Dismisses idle workers once the job is over.

use std::iter::once_with;
use std::time::Duration;

use crate::master::nested_queue::Wake;
use crate::master::second_tries::Turn;
use crate::master::workers::SideCall;
use crate::master::{Action, Master};
use crate::model::{Assignment, FinalCall, Key, SlotResult};

impl Master {
    /// Assigns work to every open worker, or dismisses idle workers once the job is over.
    pub(super) fn assign_work(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let time = self.end.map(|end| end.saturating_sub(now).as_secs_f64());
        let waits = !self.to_reduce.is_empty() || self.finals.wait();
        if waits || self.policy.speculate && self.queue.left() == 0 {
            self.workers.wake(Wake::All);
        }
        let pass = self.begin_turns(self.stopping || self.is_complete(), now, actions);
        loop {
            let over = self.stopping || self.is_complete();
            let wake = self.queue.take_wake();
            self.workers.wake(if over { Wake::All } else { wake });
            let Some(rank) = self.workers.first_open() else { break };
            let (threads, load) = self.workers.load(rank);
            let turn = self.turn(rank, pass);
            let (batch, batches) = match turn.is_on_trial || self.queue.gives_one(threads) {
                true => (1, 1),
                false => self.batching.batch(self.queue.left(), self.workers.threads()),
            };
            let full = threads * batch * batches;
            let has_room = |load: u64| load == 0 || full.saturating_sub(load) >= batch;
            if over {
                if load > 0 {
                    self.workers.has_enough(rank);
                } else {
                    self.dismiss(rank, actions);
                }
            } else if !has_room(load) || self.workers.is_occupied(rank) {
                self.workers.has_enough(rank);
            } else if turn.takes_new
                && let Some((key, items)) = self.to_reduce.pop_front()
            {
                self.reduce_there(rank, (key, items), now, actions);
            } else if self.held {
                break;
            } else if self.finals.wait()
                && let Some(call) = self.finals.next((rank, turn), time)
            {
                self.make_final(rank, call, now, actions);
            } else if let Some(Assignment { first, count, attempt }) =
                self.another((rank, &turn), (threads, load), batch, (time, now), actions)
            {
                let assignment = Assignment { first, count, attempt };
                self.workers.assign(rank, assignment, now);
                if !has_room(load + count) {
                    self.workers.has_enough(rank);
                }
                // Built in its place, see README.md.
                actions.extend(once_with(|| Action::Assign { rank, assignment }));
            } else if self.is_out_of_time() && self.queue.left() == 0 && !self.stopping {
                self.drain();
            } else if self.queue.is_nested() {
                self.workers.wait(rank, self.queue.is_engaged(rank));
            } else if !turn.takes_new {
                self.workers.has_enough(rank);
                self.health.park(rank);
            } else if !self.queue.seconds.is_empty() || self.finals.wait() {
                self.workers.wait(rank, false); // what is left has failed on it
            } else {
                break; // it stays open: another worker's task may be requeued
            }
        }
    }

    #[inline(never)]
    fn dismiss(&mut self, rank: usize, actions: &mut Vec<Action>) {
        self.workers.dismiss(rank);
        actions.push(Action::Dismiss { rank, skip_finalize: self.workers.any_lost() });
    }

    /// Has a worker reduce a group.
    #[inline(never)]
    fn reduce_there(
        &mut self,
        rank: usize,
        (key, items): (Key, Vec<SlotResult>),
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        self.workers.call(rank, SideCall::Reduce(key), now);
        self.reducing.insert(key, items.clone());
        actions.push(Action::Reduce { rank: Some(rank), key, items });
    }

    /// Has a worker make a final call.
    #[inline(never)]
    fn make_final(
        &mut self,
        rank: usize,
        call: FinalCall,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        self.workers.call(rank, SideCall::Final(call.row, call.attempt), now);
        actions.push(Action::Final { rank, call: Box::new(call) });
    }

    fn another(
        &mut self,
        (rank, turn): (usize, &Turn),
        (threads, load): (u64, u64),
        batch: u64,
        (time, now): (Option<f64>, Duration),
        actions: &mut Vec<Action>,
    ) -> Option<Assignment> {
        // One message serves all threads, unless the batch size is fixed.
        let most = if self.batching.is_fixed() { batch } else { batch * threads };
        let most = if turn.is_on_trial { 1 } else { most };
        self.open_groups(most, actions);
        let next = self.queue.next((rank, turn), (threads, load), most, time);
        next.or_else(|| {
            let admits = turn.takes_new && self.queue.admits(rank, (threads, load));
            admits.then(|| self.second_try(now)).flatten()
        })
    }

    /// A duplicate of the task that is longest overdue.
    fn second_try(&mut self, now: Duration) -> Option<Assignment> {
        let (first, attempt) = self.stragglers.overdue(now, self.workers.first_tasks())?;
        Some(Assignment { first, count: 1, attempt: attempt.saturating_add(1) })
    }
}
