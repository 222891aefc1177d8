//! Simulates a job in virtual time: the real master with simulated workers and given task durations.
//! Hours of run time take milliseconds. Messages cost nothing.

pub(crate) mod maps;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use crate::master::cost_model::CostModel;
use crate::master::{Action, Event, Master, MasterConfig, Strategy, emptied};
use crate::model::{
    Assignment, AttemptResult, Completeness, Key, LONG, LoopNest, Order, Policy, Report, RunBatch,
    Scored, stop_of,
};

/// The input of a simulation.
#[derive(Clone, Copy)]
pub(crate) struct Simulation<'a> {
    pub(crate) nest: &'a LoopNest,
    /// Number of workers with one thread each.
    pub(crate) workers: usize,
    pub(crate) order: Order,
    /// The level of a loop whose points are data sets; workers stay on their data set.
    pub(crate) data: Option<usize>,
    pub(crate) strategy: Strategy,
    /// Expected task durations before the start.
    pub(crate) known: Option<&'a CostModel>,
    /// Number of tasks per message; chosen from task durations if `None`.
    pub(crate) batch: Option<u64>,
    /// Which tasks are done already; none if `None`.
    pub(crate) done: Option<&'a dyn Fn(u64) -> bool>,
    /// The score of each task, by which points are stopped where the nest says so; no point is if `None`. The order is
    /// then that of the grid.
    pub(crate) scores: Option<&'a dyn Fn(u64) -> f64>,
    /// How many of a group's points must have a result, where scores decide.
    pub(crate) require: Completeness,
}

impl Simulation<'_> {
    /// The default: the flattened nest, all tasks.
    pub(crate) fn flattened(
        nest: &LoopNest,
        workers: usize,
        order: Order,
        data: Option<usize>,
    ) -> Simulation<'_> {
        Simulation {
            nest,
            workers,
            order,
            data,
            strategy: Strategy::Flattened,
            known: None,
            batch: None,
            done: None,
            scores: None,
            require: Completeness::All,
        }
    }
}

/// The result of a simulation. Times are in seconds since the start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SimulationResult {
    /// When the last task was done.
    pub(crate) makespan: f64,
    /// Total time that workers crunched.
    pub(crate) busy: f64,
    /// Number of simulated tasks.
    pub(crate) tasks: u64,
    /// Times at which the groups of [`group_level`] closed, ascending.
    pub(crate) closed: Vec<f64>,
}

impl SimulationResult {
    /// The fraction of the workers' time spent in crunch.
    pub(crate) fn utilisation(&self, workers: usize) -> f64 {
        match self.makespan > 0.0 {
            true => (self.busy / (workers as f64 * self.makespan)).min(1.0),
            false => 1.0,
        }
    }

    /// Total idle time of the workers.
    pub(crate) fn idle(&self, workers: usize) -> f64 {
        (workers as f64 * self.makespan - self.busy).max(0.0)
    }
}

/// The level of the groups that are the rows of the result. If the whole job folds into one row, the
/// level of the groups that the outermost loop folds.
pub(crate) fn group_level(nest: &LoopNest) -> usize {
    if nest.outer() == 0 && nest.depth() > 1 { 1 } else { nest.outer() }
}

/// Simulates a job with the given task durations. `seconds` may be called more than once per task.
pub(crate) fn play(play: &Simulation, seconds: &dyn Fn(u64) -> f64) -> SimulationResult {
    let Simulation { nest, workers, require, .. } = *play;
    let config = MasterConfig {
        workers,
        policy: Policy { order: play.order, require, ..Policy::default() },
        data: play.data,
        strategy: play.strategy,
        batch: play.batch,
        expected: play.known.cloned(),
        ..MasterConfig::default()
    };
    let folded = match (play.scores, stop_of(nest)) {
        (Some(_), Some((level, _))) => nest.counting_around(level),
        _ => nest.counting(),
    };
    let mut stage = SimulatedJob {
        master: Master::new(folded, config),
        seconds,
        scores: play.scores,
        workers: (0..workers).map(|_| VirtualWorker::default()).collect(),
        coming: BinaryHeap::new(),
        now: Duration::ZERO,
        level: group_level(nest),
        actions: Vec::new(),
        runs: RunBatch::default(),
        played: SimulationResult { makespan: 0.0, busy: 0.0, tasks: 0, closed: Vec::new() },
    };
    if let Some(done) = play.done {
        (0..nest.tasks()).filter(|task| done(*task)).for_each(|task| stage.recall(task));
    }
    for rank in 1..=workers {
        stage.on(Event::Joined { rank, host: String::new(), threads: 1 });
    }
    for rank in 1..=workers {
        stage.on(Event::Done { rank, report: Report::default() });
    }
    while stage.next() {}
    debug_assert!(stage.master.is_over(), "workers wait for each other");
    stage.played
}

struct SimulatedJob<'a> {
    master: Master,
    seconds: &'a dyn Fn(u64) -> f64,
    scores: Option<&'a dyn Fn(u64) -> f64>,
    /// By rank, starting at 1.
    workers: Vec<VirtualWorker>,
    /// When each busy worker reports.
    coming: BinaryHeap<Reverse<(Duration, usize)>>,
    now: Duration,
    level: usize,
    actions: Vec<Action<'static>>,
    runs: RunBatch<'static>,
    played: SimulationResult,
}

#[derive(Default)]
struct VirtualWorker {
    queue: VecDeque<Assignment>,
    /// The part that it reports next.
    at: Option<Part>,
}

/// A part of a batch that is reported in one message.
struct Part {
    done: Assignment,
    /// Tasks returned because they were queued behind a long task.
    unbegun: Option<Assignment>,
    /// That long task, and when it will end.
    long: Option<(u64, Duration)>,
}

impl SimulatedJob<'_> {
    fn takes(&self, task: u64) -> Duration {
        Duration::try_from_secs_f64((self.seconds)(task)).unwrap_or_default()
    }

    fn score(&self, task: u64) -> f64 {
        self.scores.map_or(0.0, |scores| scores(task))
    }

    /// Marks a task as done before the start.
    fn recall(&mut self, task: u64) {
        let (seconds, result) = ((self.seconds)(task), Ok(Scored::number(self.score(task))));
        self.on(Event::Recalled(AttemptResult { task, attempt: 1, started: 0.0, seconds, result }));
    }

    /// Handles the next report; false if no worker is busy.
    fn next(&mut self) -> bool {
        let Some(Reverse((at, rank))) = self.coming.pop() else { return false };
        self.now = at;
        let Some(Part { done, unbegun, long }) = self.workers[rank - 1].at.take() else {
            return true;
        };
        let Assignment { first, count, attempt } = done;
        match long {
            Some((task, until)) => {
                let done = Assignment { first: task, count: 1, attempt };
                self.report_at(until, rank, Part { done, unbegun: None, long: None });
            }
            None => self.begin(rank),
        }
        let mut runs = std::mem::take(&mut self.runs);
        runs.restart(first, attempt, 0.0);
        for task in first..first + count {
            let seconds = (self.seconds)(task);
            self.played.busy += seconds;
            runs.push_number(self.score(task), seconds);
        }
        if count > 0 {
            self.played.tasks += count;
            self.played.makespan = at.as_secs_f64();
        }
        let report = Report { runs: runs.lend(), unbegun, ..Report::default() };
        self.on(Event::Done { rank, report });
        self.runs = runs;
        true
    }

    fn on(&mut self, event: Event) {
        let mut actions: Vec<Action> = std::mem::take(&mut self.actions);
        self.master.on(event, self.now, &mut actions);
        #[cfg(test)]
        self.master.check();
        for action in actions.drain(..) {
            match action {
                Action::Assign { rank, assignment } => {
                    self.workers[rank - 1].queue.push_back(assignment);
                    if self.workers[rank - 1].at.is_none() {
                        self.begin(rank);
                    }
                }
                Action::Close(summary) => {
                    let Key { level, .. } = summary.key;
                    if level == self.level {
                        self.played.closed.push(self.now.as_secs_f64());
                    }
                }
                // A point of which all runs were made has closed as others do.
                Action::StopPoint(point)
                    if point.key.level == self.level && point.skipped(&self.master.nest) > 0 =>
                {
                    self.played.closed.push(self.now.as_secs_f64());
                }
                _ => {}
            }
        }
        self.actions = emptied(actions);
    }

    /// Starts a worker's next batch. Like a real worker, it reports waiting results early and returns tasks
    /// queued behind a long task.
    fn begin(&mut self, rank: usize) {
        let Some(Assignment { first, count, attempt }) = self.workers[rank - 1].queue.pop_front()
        else {
            return;
        };
        let end = first + count;
        let part = |from: u64, to: u64| Assignment { first: from, count: to - from, attempt };
        let (mut clock, mut waiting) = (self.now, None);
        for task in first..end {
            let takes = self.takes(task);
            let overdue = waiting.map(|since| since + LONG).filter(|at| *at < clock + takes);
            let blocks = (task + 1 < end && takes > LONG).then(|| clock + LONG);
            if let Some(early) = overdue.into_iter().chain(blocks).min() {
                let done = part(first, task);
                let unbegun = (task + 1 < end).then(|| part(task + 1, end));
                let long = Some((task, clock + takes));
                return self.report_at(early, rank, Part { done, unbegun, long });
            }
            clock += takes;
            waiting.get_or_insert(clock);
        }
        self.report_at(clock, rank, Part { done: part(first, end), unbegun: None, long: None });
    }

    fn report_at(&mut self, at: Duration, rank: usize, part: Part) {
        self.workers[rank - 1].at = Some(part);
        self.coming.push(Reverse((at, rank)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::master::Strategy;
    use crate::model::by_hand::subjects;
    use crate::model::random::RandomNest;
    use crate::model::{Reduce, ScoreRange, StopRule};

    fn flattened(nest: &LoopNest, workers: usize) -> Simulation<'_> {
        Simulation::flattened(nest, workers, Order::Grid, None)
    }

    #[test]
    fn constant_durations_give_exact_times() {
        let nest = LoopNest::sized(&[10, 3], 1);
        let played = play(&flattened(&nest, 8), &|_| 1.0);
        let closed = vec![1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0, 4.0];
        assert_eq!(played, SimulationResult { makespan: 4.0, busy: 30.0, tasks: 30, closed });
        let data = Simulation { data: Some(0), ..flattened(&nest, 8) };
        assert_eq!(play(&data, &|_| 1.0).makespan, 4.0);
        let more = play(&flattened(&nest, 100), &|_| 1.0);
        assert_eq!((more.makespan, more.closed), (1.0, vec![1.0; 10]));
    }

    #[test]
    fn the_textbook_cases_take_what_they_take() {
        let takes = |sizes: &[u64], workers, strategy| {
            let nest = LoopNest::sized(sizes, 1);
            play(&Simulation { strategy, ..flattened(&nest, workers) }, &|_| 1.0)
        };
        let makespan = |sizes: &[u64], workers, strategy| takes(sizes, workers, strategy).makespan;
        let (two, ten) = ([2, 4], [10, 3]);
        let split = |outer, inner| Strategy::Split { outer, inner };
        for (strategy, on_4, on_8) in [
            (Strategy::Serial, 8.0, 30.0),
            (Strategy::Outer, 4.0, 6.0),
            (Strategy::Inner, 2.0, 10.0),
            (Strategy::Flattened, 2.0, 4.0),
            (split(1, 3), 4.0, 10.0),
            (split(2, 2), 4.0, 15.0),
        ] {
            let times = (makespan(&two, 4, strategy), makespan(&ten, 8, strategy));
            assert_eq!(times, (on_4, on_8), "{strategy}");
        }
        assert_eq!(makespan(&ten, 8, split(4, 3)), 10.0, "only three workers crunch");
        assert_eq!(makespan(&ten, 8, split(1, 7)), 10.0, "data sets run one after another");
        assert_eq!(makespan(&ten, 8, split(3, 5)), 6.0);
        let inner = takes(&ten, 8, Strategy::Inner);
        assert_eq!(inner.closed, (1..=10).map(f64::from).collect::<Vec<_>>());
        let outer = takes(&ten, 8, Strategy::Outer);
        assert_eq!(outer.closed, [[3.0; 8].as_slice(), &[6.0; 2]].concat());
    }

    /// Subjects with 3, 2 and 1 sessions, two workers: worked out by hand.
    #[test]
    fn a_ragged_nest_takes_what_it_takes() {
        let nest = subjects(Reduce::mean());
        let takes = |workers, strategy| {
            let played = play(&Simulation { strategy, ..flattened(&nest, workers) }, &|_| 1.0);
            assert_eq!((played.tasks, played.busy), (6, 6.0), "{strategy}");
            (played.makespan, played.closed)
        };
        let split = |outer, inner| Strategy::Split { outer, inner };
        // One session after another.
        assert_eq!(takes(2, Strategy::Serial), (6.0, vec![3.0, 5.0, 6.0]));
        // One worker has the first subject, the other the second and then the third.
        assert_eq!(takes(2, Strategy::Outer), (3.0, vec![2.0, 3.0, 3.0]));
        // Both have the first subject's two sessions, then one its third, while the other waits.
        assert_eq!(takes(2, Strategy::Inner), (4.0, vec![2.0, 3.0, 4.0]));
        assert_eq!(takes(2, split(1, 2)), (4.0, vec![2.0, 3.0, 4.0]));
        assert_eq!(takes(2, split(2, 1)), (6.0, vec![3.0, 5.0, 6.0]));
        // Tasks 0 1 | 2 3 | 4 5: no worker waits.
        assert_eq!(takes(2, Strategy::Flattened), (3.0, vec![2.0, 3.0, 3.0]));
        assert_eq!(takes(6, Strategy::Flattened), (1.0, vec![1.0; 3]));
        assert_eq!(takes(6, Strategy::Outer), (3.0, vec![1.0, 2.0, 3.0]));
        assert_eq!(takes(6, Strategy::Inner), (3.0, vec![1.0, 2.0, 3.0]));
        // The longest first: 4 s on one worker, 1 + 1 + 1 + 1 + 1 on the other, with known durations.
        let seconds = |task: u64| if task == 5 { 4.0 } else { 1.0 };
        let mut costs = CostModel::new(&nest);
        (0..6).for_each(|task| costs.observe(task, seconds(task)));
        let grid = Simulation { known: Some(&costs), ..flattened(&nest, 2) };
        assert_eq!(play(&grid, &seconds).makespan, 6.0);
        let longest = Simulation { order: Order::LongestFirst, ..grid };
        assert_eq!(play(&longest, &seconds).makespan, 5.0);
    }

    #[test]
    fn what_is_done_takes_no_time() {
        let nest = LoopNest::sized(&[10, 3], 0);
        let done = |task: u64| task < 12 || task.is_multiple_of(3);
        let played = play(&Simulation { done: Some(&done), ..flattened(&nest, 4) }, &|_| 2.0);
        assert_eq!((played.makespan, played.busy, played.tasks), (6.0, 24.0, 12));
        assert_eq!(played.closed, [0.0, 0.0, 0.0, 0.0, 2.0, 2.0, 4.0, 4.0, 6.0, 6.0]);
        let all = play(&Simulation { done: Some(&|_| true), ..flattened(&nest, 4) }, &|_| 2.0);
        assert_eq!((all.makespan, all.tasks, all.closed.len()), (0.0, 0, 10));
    }

    #[test]
    fn a_long_task_in_a_batch_holds_up_nothing_but_itself() {
        let nest = LoopNest::sized(&[1000], 1);
        // The first batches have tasks of 0.1 ms; task 500 takes 10 s.
        let seconds = |task: u64| if task == 500 { 10.0 } else { 1e-4 };
        let played = play(&flattened(&nest, 2), &seconds);
        assert!((played.busy - 10.0999).abs() < 1e-9, "{played:?}");
        assert!((10.02..10.2).contains(&played.makespan), "{played:?}");
        assert_eq!(played.tasks, 1000);
    }

    #[test]
    fn the_longest_first_leave_none_of_them_for_the_end() {
        let nest = LoopNest::sized(&[2, 8], 1);
        let seconds = |task: u64| if task % 8 == 7 { 8.0 } else { 1.0 };
        let in_grid_order = play(&flattened(&nest, 4), &seconds);
        assert_eq!(in_grid_order.makespan, 12.0);
        let longest = Simulation { order: Order::LongestFirst, ..flattened(&nest, 4) };
        assert_eq!(play(&longest, &seconds).makespan, 12.0, "durations are unknown at the start");
        let mut costs = CostModel::new(&nest);
        (0..16).for_each(|task| costs.observe(task, seconds(task)));
        let known = Simulation { known: Some(&costs), ..longest };
        assert_eq!(play(&known, &seconds).makespan, 8.0);
    }

    /// Points of four folds with equal scores each; after the first fold, the others cannot reach 0.6.
    #[test]
    fn points_are_stopped_by_scores() {
        // Nobody calls the function that takes the groups.
        let reduces = [Some(Reduce::Native), Some(Reduce::max()), Some(Reduce::mean())];
        let nest = LoopNest::of_sizes(&[2, 3, 4], reduces).unwrap();
        let all = flattened(&nest, 1);
        let nest = nest.clone().stopping(1, StopRule::Sure(ScoreRange { least: 0.0, most: 0.6 }));
        let scores = |task: u64| [0.1, 0.6, 0.3][task as usize / 4 % 3];
        let sure = Simulation { nest: &nest, scores: Some(&scores), ..all };
        // Both groups make their first folds, and then those of the best point.
        let closed = vec![9.0, 12.0];
        let alone = SimulationResult { makespan: 12.0, busy: 12.0, tasks: 12, closed };
        assert_eq!(play(&sure, &|_| 1.0), alone);
        let many = play(&Simulation { workers: 6, ..sure }, &|_| 1.0);
        assert_eq!((many.makespan, many.tasks, many.closed), (2.0, 12, vec![2.0, 2.0]));
        assert_eq!(play(&Simulation { scores: None, ..sure }, &|_| 1.0), play(&all, &|_| 1.0));
        // Four points are one row: those that are stopped end with what they are measured by.
        let reduces = [Some(Reduce::max()), Some(Reduce::mean())];
        let nest = LoopNest::of_sizes(&[4, 4], reduces).unwrap();
        let nest = nest.stopping(0, StopRule::Halve { by: 2, from: 1 });
        let halves = Simulation { scores: Some(&|task| task as f64), ..flattened(&nest, 2) };
        let closed = vec![2.0, 2.0, 3.0, 4.0];
        let played = SimulationResult { makespan: 4.0, busy: 8.0, tasks: 8, closed };
        assert_eq!(play(&halves, &|_| 1.0), played);
    }

    /// Nests of independent loops, and of loops that depend on each other.
    fn nests() -> impl proptest::strategy::Strategy<Value = LoopNest> {
        use proptest::strategy::Strategy as _;

        let sized = (prop::collection::vec(1u64..8, 1..4), 0usize..2);
        let ragged =
            (RandomNest::any(1..4), 0usize..2).prop_filter_map("no task", |(random, outer)| {
                let reduce = |level: usize| (level >= outer).then_some(Reduce::max());
                random.nest(&(0..random.sizes.len()).map(reduce).collect::<Vec<_>>()).ok()
            });
        prop_oneof![sized.prop_map(|(sizes, outer)| LoopNest::sized(&sizes, outer)), ragged]
    }

    proptest! {
        #[test]
        fn every_strategy_does_every_task_once(
            nest in nests(),
            workers in 1usize..12,
            split in (1u64..5, 1u64..5),
            seed: u64,
            scale in prop::sample::select(vec![1e-6, 1e-3, 0.05, 1.0]),
        ) {
            let seconds = |task: u64| scale * ((task ^ seed).wrapping_mul(0x9E37_79B9) % 1000) as f64;
            let all: f64 = (0..nest.tasks()).map(seconds).sum();
            let longest = (0..nest.tasks()).map(seconds).fold(0.0, f64::max);
            let done = |played: &SimulationResult| {
                let bound = longest.max(all / workers as f64);
                played.tasks == nest.tasks()
                    && (played.busy - all).abs() <= 1e-9 * all
                    && played.makespan >= bound * (1.0 - 1e-6) - 1e-6
                    && played.closed.len() as u64 == match group_level(&nest) {
                        level if level < nest.depth() => nest.keys(level),
                        _ => 0,
                    }
            };
            let split = Strategy::Split { outer: split.0, inner: split.1 };
            for strategy in
                [Strategy::Flattened, Strategy::Serial, Strategy::Outer, Strategy::Inner, split]
            {
                let played = play(&Simulation { strategy, ..flattened(&nest, workers) }, &seconds);
                prop_assert!(done(&played), "{}: {:?}", strategy, played);
                if strategy == Strategy::Serial {
                    prop_assert!((played.makespan - all).abs() <= 1e-6);
                }
            }
            match maps::nested_maps(&nest, workers, &seconds) {
                maps::Ended::Played(played) => prop_assert!(done(&played), "{:?}", played),
                // A deadlock occupies all workers.
                maps::Ended::Deadlock(found) => prop_assert_eq!(found.waits.len(), workers),
            }
        }
    }

    #[test]
    fn short_tasks_are_shared_evenly() {
        let nest = LoopNest::sized(&[1000, 100], 1);
        let played = play(&flattened(&nest, 100), &|_| 1e-3);
        assert!((1.0..1.01).contains(&played.makespan), "{}", played.makespan);
        assert_eq!((played.tasks, played.closed.len()), (100_000, 1000));
    }
}
