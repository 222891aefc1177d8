//! The task queue of the strategies that do not flatten the nest: open points of the outer loop, their
//! remaining tasks, and which worker may take them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::master::done::DoneTasks;
use crate::master::requeued::RequeuedTasks;
use crate::master::strategy::Strategy;
use crate::model::{Assignment, Key, LoopNest};

#[derive(Debug)]
pub(super) struct NestedQueue {
    way: Ownership,
    nest: LoopNest,
    /// The level of the points' keys: 1 for the outer loop, 0 if the whole job is one point.
    level: usize,
    /// The first task of the points that were never opened.
    next: u64,
    open: BTreeMap<u64, OuterPoint>,
    /// Requeued tasks of points that are not open.
    attempted: BTreeMap<u64, RequeuedTasks>,
    /// Which idle workers to wake.
    call: Wake,
}

/// Which idle workers to wake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wake {
    #[default]
    Nobody,
    /// Workers that hold a point or are among the crunchers.
    Engaged,
    All,
}

/// How open points are shared between workers.
#[derive(Debug)]
enum Ownership {
    /// Each point belongs to one thread.
    Alone {
        /// Points held per worker.
        held: BTreeMap<usize, BTreeSet<u64>>,
        /// Open points whose worker was lost.
        free: BTreeSet<u64>,
    },
    /// Some threads work on all open points together, in the order in which these were opened.
    Together {
        /// How many points may be open at once.
        points: usize,
        /// Open points with tasks left to assign.
        ready: BTreeSet<u64>,
        /// How many more threads may join.
        threads: u64,
        /// Number of threads per worker that has joined.
        crunchers: BTreeMap<usize, u64>,
    },
}

/// The remaining work of a point.
#[derive(Debug)]
struct OuterPoint {
    /// Tasks never assigned; may include tasks done before the start.
    fresh: Range<u64>,
    again: RequeuedTasks,
    /// The worker that owns the point.
    holder: Option<usize>,
    /// How many tasks are assigned and not settled.
    out: u64,
}

impl OuterPoint {
    /// Takes at most `most` tasks; the flag says whether they were requeued.
    fn give(&mut self, most: u64, done: &DoneTasks) -> Option<(Assignment, bool)> {
        let given = match self.again.take(most) {
            Some(again) => (again, true),
            None => {
                let mut fresh = done.next_to_do(self.fresh.clone());
                fresh.end = fresh.end.min(fresh.start + most);
                self.fresh.start = fresh.end;
                let (first, count) = (fresh.start, fresh.end - fresh.start);
                (Assignment { first, count, attempt: 1 }, false)
            }
        };
        self.out += given.0.count;
        (given.0.count > 0).then_some(given)
    }

    fn is_empty(&self, done: &DoneTasks) -> bool {
        self.again.is_empty() && done.next_to_do(self.fresh.clone()).is_empty()
    }
}

impl NestedQueue {
    /// `None` for the strategy that flattens the nest.
    pub(super) fn new(nest: &LoopNest, strategy: Strategy) -> Option<NestedQueue> {
        let together = |points, threads| Ownership::Together {
            points: usize::try_from(points).unwrap_or(usize::MAX),
            ready: BTreeSet::new(),
            threads,
            crunchers: BTreeMap::new(),
        };
        let (way, level) = match strategy {
            Strategy::Flattened => return None,
            Strategy::Serial => (Ownership::alone(), 0),
            Strategy::Outer => (Ownership::alone(), 1),
            Strategy::Inner => (together(1, u64::MAX), 1),
            Strategy::Split { outer, inner } => (together(outer, inner), 1),
        };
        let (open, attempted) = (BTreeMap::new(), BTreeMap::new());
        let (nest, call) = (nest.clone(), Wake::Nobody);
        Some(NestedQueue { way, nest, level, next: 0, open, attempted, call })
    }

    fn point(&self, task: u64) -> u64 {
        self.nest.ancestor(self.nest.task(task), self.level).index
    }

    /// Whether batches have a single task, so that tasks spread over the threads.
    pub(super) fn gives_one(&self, threads: u64) -> bool {
        matches!(self.way, Ownership::Together { .. }) || threads > 1
    }

    /// Takes the pending wake-up.
    pub(super) fn take_wake(&mut self) -> Wake {
        std::mem::take(&mut self.call)
    }

    fn calls(&mut self, whom: Wake) {
        self.call = self.call.max(whom);
    }

    /// Whether a worker holds a point or is among the crunchers.
    pub(super) fn is_engaged(&self, rank: usize) -> bool {
        match &self.way {
            Ownership::Alone { held, .. } => held.get(&rank).is_some_and(|held| !held.is_empty()),
            Ownership::Together { crunchers, .. } => crunchers.contains_key(&rank),
        }
    }

    /// Takes at most `most` tasks for a worker with this many threads and assigned tasks; the flag says
    /// whether they were requeued.
    #[inline(never)]
    pub(super) fn next(
        &mut self,
        rank: usize,
        (threads, load): (u64, u64),
        most: u64,
        done: &DoneTasks,
    ) -> Option<(Assignment, bool)> {
        if !self.admits(rank, threads, load) {
            return None;
        }
        let most = if self.gives_one(threads) { most.min(1) } else { most };
        match &mut self.way {
            Ownership::Alone { held, .. } => {
                for at in held.get(&rank).into_iter().flatten() {
                    let Some(point) = self.open.get_mut(at) else { continue };
                    let busy = threads > 1 && point.out > 0;
                    if let Some(given) = (!busy).then(|| point.give(most, done)).flatten() {
                        return Some(given);
                    }
                }
                if held.get(&rank).is_some_and(|held| held.len() as u64 >= threads) {
                    return None;
                }
            }
            Ownership::Together { points, ready, .. } => {
                if ready.is_empty() {
                    if self.open.len() >= *points {
                        return None;
                    }
                    self.another(rank, done)?;
                }
                return self.first_ready(most, done);
            }
        }
        let at = self.another(rank, done)?;
        self.open.get_mut(&at)?.give(most, done)
    }

    /// Takes tasks of the point that was opened first.
    fn first_ready(&mut self, most: u64, done: &DoneTasks) -> Option<(Assignment, bool)> {
        let Ownership::Together { ready, .. } = &mut self.way else { return None };
        let at = ready.first().copied()?;
        let point = self.open.get_mut(&at)?;
        let given = point.give(most, done);
        if point.is_empty(done) {
            ready.remove(&at);
        }
        given
    }

    /// Whether a worker may take a task at all.
    pub(super) fn admits(&mut self, rank: usize, threads: u64, load: u64) -> bool {
        match &mut self.way {
            // The first worker to ask runs the whole job.
            Ownership::Alone { held, .. } if self.nest.keys(self.level) == 1 => {
                held.contains_key(&rank) || held.is_empty()
            }
            Ownership::Alone { .. } => true,
            Ownership::Together { threads: left, crunchers, .. } => {
                if *left > 0 && !crunchers.contains_key(&rank) {
                    let own = threads.min(*left);
                    *left -= own;
                    crunchers.insert(rank, own);
                }
                crunchers.get(&rank).is_some_and(|own| load < *own)
            }
        }
    }

    /// Opens a point for a worker: one whose worker was lost, else the first that was never opened.
    fn another(&mut self, rank: usize, done: &DoneTasks) -> Option<u64> {
        let left = match &mut self.way {
            Ownership::Alone { free, .. } => free.pop_first(),
            Ownership::Together { .. } => None,
        };
        let at = left.or_else(|| self.open_next(done))?;
        match &mut self.way {
            Ownership::Alone { held, .. } => {
                held.entry(rank).or_default().insert(at);
                self.open.get_mut(&at)?.holder = Some(rank);
            }
            Ownership::Together { ready, .. } => drop(ready.insert(at)),
        }
        Some(at)
    }

    fn open_next(&mut self, done: &DoneTasks) -> Option<u64> {
        let fresh = done.next_to_do(self.next..self.nest.tasks());
        let fresh = (!fresh.is_empty()).then(|| self.point(fresh.start));
        let attempted = self.attempted.keys().next().copied();
        let at = fresh.into_iter().chain(attempted).min()?;
        let tasks = self.nest.tasks_below(Key { level: self.level, index: at });
        let fresh = tasks.start.max(self.next).min(tasks.end)..tasks.end;
        self.next = self.next.max(tasks.end);
        let again = self.attempted.remove(&at).unwrap_or_default();
        self.open.insert(at, OuterPoint { fresh, again, holder: None, out: 0 });
        Some(at)
    }

    /// Requeues tasks of one point whose attempt gave no result or never started.
    pub(super) fn put_back(&mut self, tasks: Range<u64>, attempt: u32) {
        let at = self.point(tasks.start);
        let Some(point) = self.open.get_mut(&at) else {
            self.attempted.entry(at).or_default().push(tasks, attempt);
            return self.calls(Wake::All);
        };
        point.out = point.out.saturating_sub(tasks.end - tasks.start);
        point.again.push(tasks, attempt);
        let is_free = matches!(self.way, Ownership::Alone { .. }) && point.holder.is_none();
        if let Ownership::Together { ready, .. } = &mut self.way {
            ready.insert(at);
        }
        self.calls(if is_free { Wake::All } else { Wake::Engaged });
    }

    /// Puts tasks that were just taken back at the front.
    pub(super) fn put_front(&mut self, tasks: Range<u64>, attempt: u32) {
        let at = self.point(tasks.start);
        if let Some(point) = self.open.get_mut(&at) {
            point.out = point.out.saturating_sub(tasks.end - tasks.start);
            point.again.push_front(tasks, attempt);
            if let Ownership::Together { ready, .. } = &mut self.way {
                ready.insert(at);
            }
        }
    }

    /// Marks `count` tasks of one point, `task` among them, as finished; closes the point after the last.
    #[inline(never)]
    pub(super) fn settled(&mut self, task: u64, count: u64, done: &DoneTasks) {
        let at = self.point(task);
        let Some(point) = self.open.get_mut(&at) else { return };
        point.out = point.out.saturating_sub(count);
        if point.out > 0 || !point.is_empty(done) {
            return;
        }
        let holder = self.open.remove(&at).and_then(|point| point.holder);
        match &mut self.way {
            Ownership::Alone { held, free } => {
                free.remove(&at);
                if let Some(held) = holder.and_then(|rank| held.get_mut(&rank)) {
                    held.remove(&at);
                }
            }
            Ownership::Together { ready, .. } => drop(ready.remove(&at)),
        }
        self.calls(Wake::Engaged); // the next point can be opened
    }

    #[cfg(test)]
    pub(super) fn requeued(&self) -> u64 {
        let open = self.open.values().map(|point| &point.again);
        open.chain(self.attempted.values()).map(RequeuedTasks::count).sum()
    }

    /// Frees the points and threads of a lost worker.
    pub(super) fn lost(&mut self, rank: usize) {
        match &mut self.way {
            Ownership::Alone { held, free } => {
                for at in held.remove(&rank).unwrap_or_default() {
                    if let Some(point) = self.open.get_mut(&at) {
                        point.holder = None;
                        free.insert(at);
                    }
                }
            }
            Ownership::Together { threads, crunchers, .. } => {
                *threads = threads.saturating_add(crunchers.remove(&rank).unwrap_or_default());
            }
        }
        self.calls(Wake::All);
    }
}

impl Ownership {
    fn alone() -> Ownership {
        Ownership::Alone { held: BTreeMap::new(), free: BTreeSet::new() }
    }
}
