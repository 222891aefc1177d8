//! Simulates nested parallel maps on one worker pool. The body of an outer map occupies a worker while
//! it waits for its inner map, whose bodies go to the end of the queue. With as many outer bodies as
//! workers, no worker is left for an inner body: a deadlock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use crate::master::virtual_time::{SimulationResult, group_level};
use crate::model::{Key, LoopNest};

/// How the simulation ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ended {
    Played(SimulationResult),
    Deadlock(Deadlock),
}

/// A deadlock: every worker waits for bodies that are queued.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Deadlock {
    /// When the last worker started to wait, in seconds since the start.
    pub(crate) at: f64,
    /// Number of tasks done by then.
    pub(crate) done: u64,
    /// The first body in the queue.
    pub(crate) first: Key,
    pub(crate) waits: Vec<Wait>,
}

/// What a worker waits for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wait {
    /// Counted from 1.
    pub(crate) worker: usize,
    /// The body that it runs.
    pub(crate) holds: Key,
    /// How many bodies of its inner map are queued, and how many others are ahead of them.
    pub(crate) queued: u64,
    pub(crate) behind: u64,
    /// Workers that run other bodies of its inner map and wait themselves.
    pub(crate) held: Vec<usize>,
}

/// Simulates the maps on a pool with a first-in, first-out queue.
pub(crate) fn nested_maps(nest: &LoopNest, workers: usize, seconds: &dyn Fn(u64) -> f64) -> Ended {
    let mut pool = Pool {
        nest,
        free: (1..=workers).collect(),
        queue: VecDeque::from([(1, nest.children(Key::ROOT))]),
        running: BinaryHeap::new(),
        waiting: BTreeMap::new(),
        now: Duration::ZERO,
        played: SimulationResult { makespan: 0.0, busy: 0.0, tasks: 0, closed: Vec::new() },
    };
    loop {
        pool.begin(seconds);
        let Some(Reverse((at, worker, task))) = pool.running.pop() else { break };
        pool.now = at;
        pool.played.tasks += 1;
        pool.played.makespan = at.as_secs_f64();
        pool.free.insert(worker);
        pool.is_done(nest.task(task));
    }
    match pool.queue.front() {
        None => Ended::Played(pool.played),
        Some((level, keys)) => {
            let first = Key { level: *level, index: keys.start };
            Ended::Deadlock(pool.deadlock(first))
        }
    }
}

struct Pool<'a> {
    nest: &'a LoopNest,
    free: BTreeSet<usize>,
    /// Ranges of bodies, each of one map, with their level.
    queue: VecDeque<(usize, Range<u64>)>,
    /// End time, worker and task of each running innermost body.
    running: BinaryHeap<Reverse<(Duration, usize, u64)>>,
    /// Bodies that wait for their inner map: their worker, and how many inner bodies are not done.
    waiting: BTreeMap<Key, (usize, u64)>,
    now: Duration,
    played: SimulationResult,
}

impl Pool<'_> {
    /// Gives the first bodies in the queue to free workers.
    fn begin(&mut self, seconds: &dyn Fn(u64) -> f64) {
        while !self.free.is_empty()
            && let Some((level, keys)) = self.queue.front_mut()
            && let Some(worker) = self.free.pop_first()
        {
            let key = Key { level: *level, index: keys.start };
            keys.start += 1;
            if keys.is_empty() {
                self.queue.pop_front();
            }
            if key.level == self.nest.depth() {
                let takes = seconds(key.index);
                self.played.busy += takes;
                let takes = Duration::try_from_secs_f64(takes).unwrap_or_default();
                self.running.push(Reverse((self.now + takes, worker, key.index)));
            } else {
                self.waiting.insert(key, (worker, self.nest.slots(key)));
                self.queue.push_back((key.level + 1, self.nest.children(key)));
            }
        }
    }

    /// Handles the end of a body, and of its map if it was the last.
    fn is_done(&mut self, mut key: Key) {
        let (level, depth) = (group_level(self.nest), self.nest.depth());
        loop {
            let is_last = key.level == 1 && self.played.tasks == self.nest.tasks();
            if key.level == level && level < depth || is_last && level == 0 {
                self.played.closed.push(self.now.as_secs_f64());
            }
            let Some((outer, _)) = self.nest.parent(key) else { return };
            key = outer;
            let Some((worker, left)) = self.waiting.get_mut(&key) else { return };
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.free.insert(*worker);
            self.waiting.remove(&key);
        }
    }

    fn deadlock(&self, first: Key) -> Deadlock {
        let mut waits: Vec<Wait> = self.waiting.keys().map(|key| self.wait(*key)).collect();
        waits.sort_by_key(|wait| wait.worker);
        Deadlock { at: self.now.as_secs_f64(), done: self.played.tasks, first, waits }
    }

    fn wait(&self, key: Key) -> Wait {
        let (worker, _) = self.waiting[&key];
        let inner = self.nest.children(key);
        let is_inner = |(level, keys): &(usize, Range<u64>)| {
            *level == key.level + 1 && inner.contains(&keys.start)
        };
        let count = |keys: &Range<u64>| keys.end - keys.start;
        let before = self.queue.iter().take_while(|map| !is_inner(map));
        let queued = self.queue.iter().find(|map| is_inner(map)).map_or(0, |map| count(&map.1));
        let body = |index| Key { level: key.level + 1, index };
        let held = self.waiting.range(body(inner.start)..body(inner.end));
        let held = held.map(|(_, (worker, _))| *worker).collect();
        let behind = before.map(|map| count(&map.1)).sum();
        Wait { worker, holds: key, queued, behind, held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(sizes: &[u64], workers: usize) -> Ended {
        nested_maps(&LoopNest::sized(sizes, 1), workers, &|_| 1.0)
    }

    #[test]
    fn as_many_data_sets_as_workers_deadlock() {
        let Ended::Deadlock(found) = maps(&[10, 3], 8) else { panic!("it ends") };
        assert_eq!((found.at, found.done, found.waits.len()), (0.0, 0, 8));
        assert_eq!(found.first, Key { level: 1, index: 8 });
        let holds = Key { level: 1, index: 0 };
        let first = Wait { worker: 1, holds, queued: 3, behind: 2, held: Vec::new() };
        assert_eq!(found.waits[0], first);
        assert_eq!((found.waits[7].queued, found.waits[7].behind), (3, 2 + 7 * 3));
        assert!(matches!(maps(&[8, 3], 8), Ended::Deadlock(_)));
    }

    #[test]
    fn fewer_data_sets_than_workers_leave_some_to_crunch() {
        let Ended::Played(played) = maps(&[7, 3], 8) else { panic!("a deadlock") };
        // One worker crunches at first, and one more after each finished data set.
        assert_eq!((played.busy, played.tasks), (21.0, 21));
        assert_eq!(played.closed, [3.0, 5.0, 6.0, 7.0, 8.0, 8.0, 9.0]);
        assert_eq!(played.makespan, 9.0);
    }

    #[test]
    fn deeper_nests_deadlock_later() {
        // Two data sets leave two workers, which the alphas take; no worker is left for the folds.
        let Ended::Deadlock(found) = maps(&[2, 2, 2], 4) else { panic!("it ends") };
        assert_eq!(found.waits[0].held, [3, 4]);
        assert_eq!((found.waits[0].queued, found.waits[2].queued), (0, 2));
        let Ended::Played(played) = maps(&[2, 2, 2], 7) else { panic!("a deadlock") };
        assert_eq!((played.makespan, played.busy), (4.0, 8.0));
    }

    #[test]
    fn a_ragged_nest_deadlocks_by_its_subjects_and_not_by_its_sessions() {
        let nest = crate::model::by_hand::subjects(crate::model::Reduce::mean());
        let Ended::Deadlock(found) = nested_maps(&nest, 3, &|_| 1.0) else { panic!("it ends") };
        // Three sessions of its own, behind two subjects.
        assert_eq!((found.waits[0].queued, found.waits[0].behind), (3, 0));
        assert_eq!((found.waits[2].queued, found.waits[2].behind), (1, 5));
        // One worker is left: three sessions, then two at once, then one.
        let Ended::Played(played) = nested_maps(&nest, 4, &|_| 1.0) else { panic!("a deadlock") };
        assert_eq!((played.makespan, played.closed), (5.0, vec![3.0, 4.0, 5.0]));
    }

    #[test]
    fn one_map_is_no_nest() {
        let nest = LoopNest::sized(&[10], 0);
        let Ended::Played(played) = nested_maps(&nest, 4, &|_| 1.0) else { panic!("a deadlock") };
        assert_eq!((played.makespan, played.closed), (3.0, vec![3.0]));
    }
}
