//! Which task next: the stream of tasks that the flattened nest is, less what is done.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::costs::Costs;
use super::order::{Lanes, Order, Ranked};
use crate::grid::Grid;
use crate::message::Assignment;

/// How many tasks that do not fit are passed over before it is taken that none does.
const MOST_PASSED: u64 = 10_000;

#[derive(Debug)]
pub(super) struct Dispatch {
    grid: Grid,
    stream: Stream,
    /// What is done already, in grid order and apart.
    done: Done,
    /// Tasks of the stream that were not given out, nor done or attempted before the start.
    fresh: u64,
    /// How often tasks have failed since the start, those that are tried again.
    failures: BTreeMap<u64, u32>,
    /// Tasks to give out once more, and which attempt that will be; they go first.
    again: VecDeque<(Range<u64>, u32)>,
    /// How many those are.
    waiting: u64,
    /// Tasks that do not fit any more.
    passed: u64,
    pub(super) costs: Costs,
}

/// Where the next task comes from.
#[derive(Debug)]
enum Stream {
    Lanes(Lanes),
    Ranked(Ranked),
}

/// Tasks that were done before the start.
#[derive(Debug, Default)]
pub(super) struct Done(Vec<Range<u64>>);

impl Done {
    /// These come in grid order.
    fn add(&mut self, task: u64) {
        match self.0.last_mut() {
            Some(last) if last.end == task => last.end += 1,
            _ => self.0.push(task..task + 1),
        }
    }

    /// The first tasks of a range that are not done and follow each other.
    pub(super) fn next_to_do(&self, range: Range<u64>) -> Range<u64> {
        let Range { mut start, end } = range;
        let at = self.0.partition_point(|done| done.end <= start);
        match self.0.get(at) {
            None => start..end,
            Some(done) if done.start > start => start..end.min(done.start),
            Some(done) => {
                start = done.end.min(end);
                let next = self.0.get(at + 1).map_or(end, |next| next.start.min(end));
                start..next
            }
        }
    }
}

impl Dispatch {
    pub(super) fn new(grid: &Grid) -> Dispatch {
        Dispatch {
            grid: grid.clone(),
            stream: Stream::Lanes(Lanes::new(grid.tasks(), grid.tasks())),
            done: Done::default(),
            fresh: grid.tasks(),
            failures: BTreeMap::new(),
            again: VecDeque::new(),
            waiting: 0,
            passed: 0,
            costs: Costs::new(grid),
        }
    }

    /// Gives tasks out in this order. With `data`, the level of a loop whose points are data sets, a
    /// worker keeps to the data set that it holds as long as there is work of it, in grid order.
    pub(super) fn order(&mut self, order: Order, data: Option<usize>) {
        let tasks = self.grid.tasks();
        self.stream = match order {
            Order::Grid => {
                let lane = data.map_or(tasks, |level| tasks / self.grid.keys(level + 1));
                Stream::Lanes(Lanes::new(tasks, lane))
            }
            Order::LongestFirst | Order::Random(_) => Stream::Ranked(Ranked::new(tasks, order)),
        };
    }

    /// Gives these tasks and no others, those that are done left out; how many it will give.
    pub(super) fn only(&mut self, tasks: &[u64]) -> u64 {
        let again = self.again.drain(..);
        let attempted: BTreeMap<u64, u32> =
            again.flat_map(|(tasks, attempt)| tasks.map(move |task| (task, attempt))).collect();
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

    /// A task is done already. These come in grid order, before any is given out.
    pub(super) fn skip(&mut self, task: u64) {
        self.done.add(task);
        self.fresh -= 1;
    }

    /// A task that is not done was attempted so often. These come in grid order, among those that are.
    pub(super) fn know_attempts(&mut self, task: u64, attempts: u32) {
        self.skip(task);
        self.give_back(task, attempts);
    }

    /// A task failed; it is tried once more if it has not been `retries` times since the start.
    pub(super) fn retry(&mut self, task: u64, attempt: u32, retries: u32) -> bool {
        if retries == 0 {
            return false;
        }
        let failures = self.failures.entry(task).or_insert(0);
        *failures += 1;
        let again = *failures <= retries;
        if again {
            self.give_back(task, attempt);
        } else {
            self.failures.remove(&task);
        }
        again
    }

    /// A task is given out again, as another attempt.
    pub(super) fn give_back(&mut self, task: u64, attempt: u32) {
        self.put_back(task..task + 1, attempt.saturating_add(1));
    }

    /// Tasks that their worker has not begun are given out again.
    pub(super) fn put_back(&mut self, tasks: Range<u64>, attempt: u32) {
        self.waiting += tasks.end - tasks.start;
        match self.again.back_mut() {
            Some((last, same)) if last.end == tasks.start && *same == attempt => {
                last.end = tasks.end;
            }
            _ => self.again.push_back((tasks, attempt)),
        }
    }

    /// Gives nothing any more.
    pub(super) fn stop(&mut self) {
        self.again.clear();
        (self.fresh, self.waiting) = (0, 0);
    }

    /// How many tasks are left to give.
    pub(super) fn left(&self) -> u64 {
        self.fresh + self.waiting
    }

    /// Whether tasks are left undone because they do not fit any more.
    pub(super) fn has_passed(&self) -> bool {
        self.passed > 0
    }

    /// What a worker that asks gets, while there is something to give: at most `most` tasks, which can
    /// be expected to be done within `time` seconds, if that is said.
    pub(super) fn next(
        &mut self,
        rank: usize,
        mut most: u64,
        time: Option<f64>,
    ) -> Option<Assignment> {
        let Some(time) = time else { return self.take(rank, most) };
        for _ in 0..MOST_PASSED {
            let assignment = self.take(rank, most)?;
            let Assignment { first, count, attempt } = assignment;
            let expect = |task| self.costs.expect(task).unwrap_or(0.0);
            if (first..first + count).map(expect).sum::<f64>() <= time {
                return Some(assignment);
            }
            if count > 1 {
                most = 1; // one of them may fit
                self.again.push_front((first..first + count, attempt));
                self.waiting += count;
            } else {
                self.passed += 1;
            }
        }
        self.stop(); // so many do not fit that none will
        None
    }

    fn take(&mut self, rank: usize, most: u64) -> Option<Assignment> {
        if let Some((tasks, attempt)) = self.again.front_mut() {
            let (first, attempt) = (tasks.start, *attempt);
            let count = most.min(tasks.end - first);
            tasks.start += count;
            if tasks.is_empty() {
                self.again.pop_front();
            }
            self.waiting -= count;
            return Some(Assignment { first, count, attempt });
        }
        if self.fresh == 0 {
            return None;
        }
        let tasks = match &mut self.stream {
            Stream::Lanes(lanes) => lanes.next(rank, most, &self.done)?,
            Stream::Ranked(ranked) => ranked.next(most, &self.done, &self.costs)?,
        };
        let count = tasks.end - tasks.start;
        self.fresh -= count;
        Some(Assignment { first: tasks.start, count, attempt: 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(dispatch: &mut Dispatch, ranks: &[usize], most: u64) -> Vec<(usize, u64, u64)> {
        let mut ranks = ranks.iter().cycle();
        let mut next = || {
            let rank = *ranks.next()?;
            dispatch.next(rank, most, None).map(|given| (rank, given.first, given.count))
        };
        std::iter::from_fn(&mut next).collect()
    }

    #[test]
    fn what_is_done_or_was_attempted_is_not_fresh() {
        let mut dispatch = Dispatch::new(&Grid::new(&[12], 1).unwrap());
        for task in [0, 1, 4, 5, 11] {
            dispatch.skip(task);
        }
        let mut dispatch = Dispatch::new(&Grid::new(&[12], 1).unwrap());
        for task in [0, 1, 4, 11] {
            match task {
                4 => dispatch.know_attempts(4, 2),
                done => dispatch.skip(done),
            }
        }
        assert_eq!(dispatch.left(), 9);
        let again = dispatch.next(1, 3, None);
        assert_eq!(again, Some(Assignment { first: 4, count: 1, attempt: 3 }));
        let rest = all(&mut dispatch, &[1], 4);
        assert_eq!(rest, [(1, 2, 2), (1, 5, 4), (1, 9, 2)]);
        assert_eq!(dispatch.left(), 0);
    }

    #[test]
    fn of_some_tasks_those_are_given_that_are_not_done() {
        let mut dispatch = Dispatch::new(&Grid::new(&[12], 1).unwrap());
        dispatch.skip(3);
        dispatch.know_attempts(4, 2);
        dispatch.know_attempts(5, 1);
        assert_eq!(dispatch.only(&[1, 3, 4, 9]), 3);
        let first = dispatch.next(1, 9, None).unwrap();
        let second = dispatch.next(1, 9, None).unwrap();
        assert_eq!((first.first, first.attempt, second.first, second.attempt), (1, 1, 4, 3));
        assert_eq!(all(&mut dispatch, &[1], 9), [(1, 9, 1)]);
    }

    #[test]
    fn a_worker_keeps_to_its_data_set_and_then_helps_on_the_longest() {
        let mut dispatch = Dispatch::new(&Grid::new(&[2, 4], 1).unwrap());
        dispatch.order(Order::Grid, Some(0));
        let given = all(&mut dispatch, &[1, 2, 1, 1, 1, 1], 1);
        let first: Vec<_> = given.iter().map(|(rank, first, _)| (*rank, *first)).collect();
        assert_eq!(first, [(1, 0), (2, 4), (1, 1), (1, 2), (1, 3), (1, 5), (1, 6), (2, 7)]);
    }

    #[test]
    fn the_longest_come_first_once_they_are_known() {
        let mut dispatch = Dispatch::new(&Grid::new(&[5], 1).unwrap());
        dispatch.order(Order::LongestFirst, None);
        assert_eq!(dispatch.next(1, 1, None).unwrap().first, 0, "nothing is known yet");
        for (task, seconds) in [(1, 1.0), (2, 3.0), (3, 0.5), (4, 3.0)] {
            dispatch.costs.observe(task, seconds);
        }
        let order: Vec<_> = all(&mut dispatch, &[1], 9).iter().map(|given| given.1).collect();
        assert_eq!(order, [2, 4, 1, 3]);
    }

    #[test]
    fn a_random_order_has_every_task_once() {
        let grid = Grid::new(&[200_000], 1).unwrap();
        let order = |seed| {
            let mut dispatch = Dispatch::new(&grid);
            dispatch.order(Order::Random(seed), None);
            all(&mut dispatch, &[1], 100)
        };
        let mut tasks: Vec<u64> = order(1).iter().flat_map(|g| g.1..g.1 + g.2).collect();
        assert_ne!(tasks[..1000], (0..1000).collect::<Vec<_>>());
        tasks.sort_unstable();
        assert_eq!(tasks, (0..200_000).collect::<Vec<_>>());
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn what_does_not_fit_is_passed_over() {
        let mut dispatch = Dispatch::new(&Grid::new(&[4], 1).unwrap());
        assert_eq!(dispatch.next(1, 1, Some(0.1)).unwrap().first, 0, "nothing is known yet");
        for (task, seconds) in [(1, 5.0), (2, 1.0), (3, 5.0)] {
            dispatch.costs.observe(task, seconds);
        }
        assert_eq!(dispatch.next(1, 3, Some(2.0)).map(|given| given.first), Some(2));
        assert_eq!(dispatch.next(1, 3, Some(2.0)), None);
        assert!(dispatch.has_passed());
    }
}
