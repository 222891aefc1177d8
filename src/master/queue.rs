//! The task queue: the flattened nest as a stream of tasks, without those already done.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::master::cost_model::CostModel;
use crate::master::done::DoneTasks;
use crate::master::nested_queue::{NestedQueue, Wake};
use crate::master::order::{LaneOrder, RankedOrder};
use crate::master::requeued::RequeuedTasks;
use crate::master::second_tries::{SecondTries, Turn};
use crate::master::strategy::Strategy;
use crate::model::{Assignment, LoopNest, Order};

/// After this many tasks that do not fit in the remaining time, it is assumed that none does.
const MOST_PASSED: u64 = 10_000;

#[derive(Debug)]
pub(super) struct TaskQueue {
    nest: LoopNest,
    stream: Stream,
    /// Tasks done in earlier starts.
    done: DoneTasks,
    /// Number of tasks never assigned, and neither done nor attempted before the start.
    fresh: u64,
    /// Failures since the start, per task that is retried.
    failures: BTreeMap<u64, u32>,
    /// Tasks to assign again; they go first.
    requeued: RequeuedTasks,
    /// Failed tasks to try on another worker; unused where a nested queue says who takes what.
    pub(super) seconds: SecondTries,
    /// Number of requeued tasks, those of a nested queue and second tries included.
    waiting: u64,
    /// Number of tasks that do not fit in the remaining time.
    passed: u64,
    pub(super) costs: CostModel,
}

/// The source of the next task.
#[derive(Debug)]
enum Stream {
    Lanes(LaneOrder),
    Ranked(RankedOrder),
    /// Keeps its requeued tasks itself.
    Nested(NestedQueue),
    /// Tasks that were asked for, by step and first task, up to the one behind the last: so groups are decided side by
    /// side, and the time until a decision is filled with others' tasks.
    Asked(BTreeMap<(u64, u64), u64>),
}

impl TaskQueue {
    /// `order` applies if the strategy flattens the nest. `data` is the level of a loop whose points are
    /// data sets: in grid order, a worker stays on its data set as long as that has tasks left.
    pub(super) fn new(
        nest: &LoopNest,
        strategy: Strategy,
        (order, data): (Order, Option<usize>),
        costs: CostModel,
    ) -> TaskQueue {
        let tasks = nest.tasks();
        let stream = match (NestedQueue::new(nest, strategy), order) {
            (Some(nested), _) => Stream::Nested(nested),
            (None, Order::Grid) => {
                let level = data.map_or(0, |level| level + 1);
                Stream::Lanes(LaneOrder::new(nest.clone(), level))
            }
            (None, Order::LongestFirst | Order::Random(_)) => {
                Stream::Ranked(RankedOrder::new(tasks, order))
            }
        };
        TaskQueue {
            nest: nest.clone(),
            stream,
            done: DoneTasks::default(),
            fresh: tasks,
            failures: BTreeMap::new(),
            requeued: RequeuedTasks::default(),
            seconds: SecondTries::default(),
            waiting: 0,
            passed: 0,
            costs,
        }
    }

    /// An empty queue, whose tasks are asked for one after another.
    pub(super) fn asked(nest: &LoopNest, costs: CostModel) -> TaskQueue {
        let all = TaskQueue::new(nest, Strategy::Flattened, (Order::Grid, None), costs);
        TaskQueue { stream: Stream::Asked(BTreeMap::new()), fresh: 0, ..all }
    }

    /// Adds tasks that are asked for in this step of their group.
    pub(super) fn ask(&mut self, tasks: Range<u64>, step: u64) {
        if let Stream::Asked(asked) = &mut self.stream {
            self.fresh += tasks.end - tasks.start;
            asked.insert((step, tasks.start), tasks.end);
        }
    }

    /// Restricts the queue to these tasks. Returns how many of them are not done.
    pub(super) fn only(&mut self, tasks: &[u64]) -> u64 {
        self.stream = Stream::Lanes(LaneOrder::new(self.nest.clone(), 0));
        let attempted: BTreeMap<u64, u32> =
            std::mem::take(&mut self.requeued).into_tasks().collect();
        self.stop();
        for &task in tasks {
            let attempt = match attempted.get(&task) {
                Some(attempt) => *attempt,
                None if self.done.next_to_do(task..task + 1).is_empty() => continue,
                None => 1,
            };
            self.put_back(task..task + 1, attempt);
        }
        self.waiting
    }

    /// Marks a task as done. Must be called in grid order, before any task is assigned.
    pub(super) fn skip(&mut self, task: u64) {
        self.leave_out(task..task + 1);
    }

    /// Notes that a task is done that was never asked for. Must be called in grid order.
    pub(super) fn note_done(&mut self, task: u64) {
        self.done.add(task..task + 1);
    }

    /// Leaves tasks to others. Must be called in grid order, together with `skip`.
    pub(super) fn leave_out(&mut self, tasks: Range<u64>) {
        self.fresh -= tasks.end - tasks.start;
        self.done.add(tasks);
    }

    /// Marks a task as attempted and not done. Must be called in grid order, together with `skip`.
    pub(super) fn know_attempts(&mut self, task: u64, attempts: u32) {
        self.skip(task);
        self.give_back(task, attempts);
    }

    /// Requeues a task that failed on a worker, at most `retries` times since the start, for another worker;
    /// whether it was requeued.
    pub(super) fn retry(&mut self, rank: usize, task: u64, attempt: u32, retries: u32) -> bool {
        if retries == 0 {
            return false;
        }
        let failures = self.failures.entry(task).or_insert(0);
        *failures += 1;
        let requeued = *failures <= retries;
        if requeued && self.is_nested() {
            self.give_back(task, attempt);
        } else if requeued {
            self.waiting += 1;
            self.seconds.retry(rank, task, attempt.saturating_add(1));
        } else {
            self.failures.remove(&task);
        }
        requeued
    }

    /// Requeues a task whose failure may be the worker's own, as this attempt.
    pub(super) fn suspect(&mut self, rank: usize, task: u64, attempt: u32) {
        self.waiting += 1;
        self.seconds.suspect(rank, task, attempt);
    }

    /// Requeues a task as another attempt.
    pub(super) fn give_back(&mut self, task: u64, attempt: u32) {
        self.put_back(task..task + 1, attempt.saturating_add(1));
    }

    /// Requeues tasks that were never started, as the same attempt.
    pub(super) fn put_back(&mut self, tasks: Range<u64>, attempt: u32) {
        self.waiting += tasks.end - tasks.start;
        match &mut self.stream {
            Stream::Nested(nested) => nested.put_back(tasks, attempt),
            _ => self.requeued.push(tasks, attempt),
        }
    }

    /// Puts an assignment back at the front of the queue.
    fn put_front(&mut self, Assignment { first, count, attempt }: Assignment) {
        self.waiting += count;
        match &mut self.stream {
            Stream::Nested(nested) => nested.put_front(first..first + count, attempt),
            _ => self.requeued.push_front(first..first + count, attempt),
        }
    }

    /// Marks consecutive tasks of one assignment as finished, whether they succeeded or not.
    #[inline]
    pub(super) fn settled(&mut self, first: u64, count: u64) {
        if let Stream::Nested(nested) = &mut self.stream {
            nested.settled(first, count, &self.done);
        }
    }

    /// Frees what a lost worker owned.
    pub(super) fn lost(&mut self, rank: usize) {
        if let Stream::Nested(nested) = &mut self.stream {
            nested.lost(rank);
        }
    }

    /// Whether the queue can be empty for one worker and not for another.
    pub(super) fn is_nested(&self) -> bool {
        matches!(self.stream, Stream::Nested(_))
    }

    /// Which idle workers to wake.
    #[inline]
    pub(super) fn take_wake(&mut self) -> Wake {
        match &mut self.stream {
            Stream::Nested(nested) => nested.take_wake(),
            _ => Wake::Nobody,
        }
    }

    /// Whether an idle worker belongs to an open point.
    pub(super) fn is_engaged(&self, rank: usize) -> bool {
        matches!(&self.stream, Stream::Nested(nested) if nested.is_engaged(rank))
    }

    /// Whether batches have a single task, however short the tasks are.
    pub(super) fn gives_one(&self, threads: u64) -> bool {
        matches!(&self.stream, Stream::Nested(nested) if nested.gives_one(threads))
    }

    /// Whether a worker with this many threads and assigned tasks may take a duplicate of a running task.
    pub(super) fn admits(&mut self, rank: usize, (threads, load): (u64, u64)) -> bool {
        match &mut self.stream {
            Stream::Nested(nested) => {
                self.fresh + self.waiting == 0 && nested.admits(rank, threads, load)
            }
            _ => true,
        }
    }

    /// Drops all tasks that are left.
    pub(super) fn stop(&mut self) {
        self.requeued.clear();
        self.seconds.clear();
        if let Stream::Asked(asked) = &mut self.stream {
            asked.clear();
        }
        (self.fresh, self.waiting) = (0, 0);
    }

    /// How many tasks are left to assign.
    #[inline]
    pub(super) fn left(&self) -> u64 {
        self.fresh + self.waiting
    }

    /// Whether tasks were skipped because they do not fit in the remaining time.
    pub(super) fn has_passed(&self) -> bool {
        self.passed > 0
    }

    #[cfg(test)]
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// Panics unless the counter matches the number of requeued tasks.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let waiting = match &self.stream {
            Stream::Nested(nested) => nested.requeued(),
            _ => self.requeued.count(),
        };
        assert_eq!(waiting + self.seconds.count(), self.waiting, "requeued tasks");
    }

    /// Takes at most `most` tasks for a worker, of those that it may take. `room` is its number of threads and of assigned tasks. With
    /// `time`, only tasks that are expected to end within that many seconds.
    #[inline(always)]
    pub(super) fn next(
        &mut self,
        turn: (usize, &Turn),
        room: (u64, u64),
        most: u64,
        time: Option<f64>,
    ) -> Option<Assignment> {
        match time {
            None => self.take(turn, room, most),
            Some(time) => self.next_in_time(turn, room, most, time),
        }
    }

    #[inline(never)]
    fn next_in_time(
        &mut self,
        turn: (usize, &Turn),
        room: (u64, u64),
        mut most: u64,
        time: f64,
    ) -> Option<Assignment> {
        for _ in 0..MOST_PASSED {
            let assignment = self.take(turn, room, most)?;
            let Assignment { first, count, .. } = assignment;
            let expect = |task| self.costs.expect(task).unwrap_or(0.0);
            if (first..first + count).map(expect).sum::<f64>() <= time {
                return Some(assignment);
            }
            if count > 1 {
                most = 1; // one of them may fit
                self.put_front(assignment);
            } else {
                self.passed += 1;
                self.settled(first, 1);
            }
        }
        self.stop(); // assume that no other task fits either
        None
    }

    #[inline(always)]
    fn take(
        &mut self,
        (rank, turn): (usize, &Turn),
        room: (u64, u64),
        most: u64,
    ) -> Option<Assignment> {
        if !self.seconds.is_empty()
            && let Some(second) = self.seconds.take(rank, *turn, most)
        {
            self.waiting -= second.count;
            return Some(second);
        }
        if !turn.takes_new {
            return None;
        }
        if let Some(requeued) = self.requeued.take(most) {
            self.waiting -= requeued.count;
            return Some(requeued);
        }
        if self.left() == 0 {
            return None;
        }
        let tasks = match &mut self.stream {
            Stream::Nested(nested) => {
                let (given, requeued) = nested.next(rank, room, most, &self.done)?;
                let left = if requeued { &mut self.waiting } else { &mut self.fresh };
                *left -= given.count;
                return Some(given);
            }
            // What waits is not for this worker, and of a part of the job the stream has more than is wanted.
            _ if self.fresh == 0 => return None,
            Stream::Lanes(lanes) => lanes.next(rank, most, &self.done)?,
            Stream::Ranked(ranked) => ranked.next(most, &self.done, &self.costs)?,
            Stream::Asked(asked) => take_asked(asked, most)?,
        };
        let count = tasks.end - tasks.start;
        self.fresh -= count;
        Some(Assignment { first: tasks.start, count, attempt: 1 })
    }
}

/// The first of the tasks that were asked for.
#[inline(never)]
fn take_asked(asked: &mut BTreeMap<(u64, u64), u64>, most: u64) -> Option<Range<u64>> {
    let ((step, start), end) = asked.pop_first()?;
    let until = end.min(start + most);
    if until < end {
        asked.insert((step, until), end);
    }
    Some(start..until)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One thread without assigned tasks.
    const ROOM: (u64, u64) = (1, 0);

    fn new_queue(sizes: &[u64], order: Order, data: Option<usize>) -> TaskQueue {
        let nest = LoopNest::sized(sizes, 1);
        TaskQueue::new(&nest, Strategy::Flattened, (order, data), CostModel::new(&nest))
    }

    fn all(queue: &mut TaskQueue, ranks: &[usize], most: u64) -> Vec<(usize, u64, u64)> {
        let mut ranks = ranks.iter().cycle();
        let mut next = || {
            let rank = *ranks.next()?;
            queue
                .next((rank, &Turn::ANY), ROOM, most, None)
                .map(|given| (rank, given.first, given.count))
        };
        std::iter::from_fn(&mut next).collect()
    }

    #[test]
    fn what_is_done_or_was_attempted_is_not_fresh() {
        let mut queue = new_queue(&[12], Order::Grid, None);
        for task in [0, 1, 4, 5, 11] {
            queue.skip(task);
        }
        let mut queue = new_queue(&[12], Order::Grid, None);
        for task in [0, 1, 4, 11] {
            match task {
                4 => queue.know_attempts(4, 2),
                done => queue.skip(done),
            }
        }
        assert_eq!(queue.left(), 9);
        let requeued = queue.next((1, &Turn::ANY), ROOM, 3, None);
        assert_eq!(requeued, Some(Assignment { first: 4, count: 1, attempt: 3 }));
        let rest = all(&mut queue, &[1], 4);
        assert_eq!(rest, [(1, 2, 2), (1, 5, 4), (1, 9, 2)]);
        assert_eq!(queue.left(), 0);
    }

    #[test]
    fn of_some_tasks_those_are_given_that_are_not_done() {
        let mut queue = new_queue(&[12], Order::Grid, None);
        queue.skip(3);
        queue.know_attempts(4, 2);
        queue.know_attempts(5, 1);
        assert_eq!(queue.only(&[1, 3, 4, 9]), 3);
        let first = queue.next((1, &Turn::ANY), ROOM, 9, None).unwrap();
        let second = queue.next((1, &Turn::ANY), ROOM, 9, None).unwrap();
        assert_eq!((first.first, first.attempt, second.first, second.attempt), (1, 1, 4, 3));
        assert_eq!(all(&mut queue, &[1], 9), [(1, 9, 1)]);
    }

    #[test]
    fn a_worker_keeps_to_its_data_set_and_then_helps_on_the_longest() {
        let mut queue = new_queue(&[2, 4], Order::Grid, Some(0));
        let given = all(&mut queue, &[1, 2, 1, 1, 1, 1], 1);
        let first: Vec<_> = given.iter().map(|(rank, first, _)| (*rank, *first)).collect();
        assert_eq!(first, [(1, 0), (2, 4), (1, 1), (1, 2), (1, 3), (1, 5), (1, 6), (2, 7)]);
    }

    #[test]
    fn the_longest_come_first_once_they_are_known() {
        let mut queue = new_queue(&[5], Order::LongestFirst, None);
        assert_eq!(
            queue.next((1, &Turn::ANY), ROOM, 1, None).unwrap().first,
            0,
            "no observation yet"
        );
        for (task, seconds) in [(1, 1.0), (2, 3.0), (3, 0.5), (4, 3.0)] {
            queue.costs.observe(task, seconds);
        }
        let order: Vec<_> = all(&mut queue, &[1], 9).iter().map(|given| given.1).collect();
        assert_eq!(order, [2, 4, 1, 3]);
    }

    #[test]
    fn a_random_order_has_every_task_once() {
        let order = |seed| all(&mut new_queue(&[200_000], Order::Random(seed), None), &[1], 100);
        let mut tasks: Vec<u64> = order(1).iter().flat_map(|g| g.1..g.1 + g.2).collect();
        assert_ne!(tasks[..1000], (0..1000).collect::<Vec<_>>());
        tasks.sort_unstable();
        assert_eq!(tasks, (0..200_000).collect::<Vec<_>>());
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn what_was_asked_for_is_dropped_with_the_rest() {
        let nest = LoopNest::sized(&[30_000], 1);
        let mut queue = TaskQueue::asked(&nest, CostModel::new(&nest));
        queue.costs.observe(0, 5.0);
        queue.ask(0..20_000, 1);
        // Too many do not fit: it is assumed that none does.
        assert_eq!(queue.next((1, &Turn::ANY), ROOM, 1, Some(1.0)), None);
        assert_eq!(queue.left(), 0);
        queue.ask(20_000..20_001, 1);
        assert_eq!(all(&mut queue, &[1], 9), [(1, 20_000, 1)]);
        assert_eq!(queue.left(), 0);
    }

    #[test]
    fn what_does_not_fit_is_passed_over() {
        let mut queue = new_queue(&[4], Order::Grid, None);
        assert_eq!(
            queue.next((1, &Turn::ANY), ROOM, 1, Some(0.1)).unwrap().first,
            0,
            "no observation yet"
        );
        for (task, seconds) in [(1, 5.0), (2, 1.0), (3, 5.0)] {
            queue.costs.observe(task, seconds);
        }
        assert_eq!(
            queue.next((1, &Turn::ANY), ROOM, 3, Some(2.0)).map(|given| given.first),
            Some(2)
        );
        assert_eq!(queue.next((1, &Turn::ANY), ROOM, 3, Some(2.0)), None);
        assert!(queue.has_passed());
    }
}
