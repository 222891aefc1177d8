//! The real master and rank 0's event loop with simulated workers in virtual time: for any nest, workers and
//! order of replies, every group closes once, with the value that plain nested loops give.

mod changed_file;
mod cost;
mod faults;
mod finals;
mod needs;
mod sick;
mod silence;
mod stopping;
mod strategies;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use crate::master::{Event, Master, MasterConfig};
use crate::model::random::RandomNest;
use crate::model::{
    AttemptResult, Completeness, FileFunction, FinalResult, FinalState, GroupSummary, Key,
    LoopNest, Policy, Reduce, Report, RunBatch, RunError, Scored, SlotResult, StoppedPoint,
};
use crate::rank0::{Effects, serve};
use crate::util::error::{Error, Result};
use crate::wire::requests::Request;
use crate::wire::transport::Hub;
use crate::wire::transport::simulated::SimulatedHub;
use bytes::Bytes;
use proptest::prelude::*;

/// The number of groups in the whole job.
fn groups(nest: &LoopNest) -> u64 {
    nest.group_levels().map(|level| nest.keys(level)).sum()
}

/// The result of a task, and the worker that ran it.
#[derive(Clone, Debug, PartialEq)]
struct Run {
    outcome: AttemptResult,
    rank: usize,
}

/// An in-memory recorder; its "Python" reduction adds up the scores.
#[derive(Default)]
struct Notes {
    runs: BTreeMap<u64, Run>,
    summaries: BTreeMap<Key, GroupSummary>,
    stopped: BTreeMap<Key, StoppedPoint>,
    reduced: Vec<Event<'static>>,
    /// The level of rows, if they have final calls; those that are known; those that are recorded, the last attempt of
    /// each.
    rows: Option<usize>,
    known_finals: BTreeSet<Key>,
    finals: BTreeMap<Key, FinalResult>,
    joined: usize,
    /// Attempts that were lost with their workers.
    given_back: BTreeSet<(u64, u32)>,
    /// What workers found to have changed.
    changed_files: Vec<String>,
    /// Why the job was refused.
    refused: Option<String>,
    /// Workers that cannot work.
    sick: BTreeMap<usize, String>,
    /// Stop the job after this many runs.
    stop_after: Option<usize>,
    /// When to stop starting tasks.
    drain_at: Option<Duration>,
    now: Duration,
    /// Whether a task may be retried.
    retries: bool,
    /// Whether the store is saturated every other 70 ms.
    slow_disk: bool,
    full_now: bool,
    /// Time limit of the job.
    deadline: Option<Duration>,
}

impl Effects for Notes {
    fn join(&mut self, _: usize, _: &str) -> Result<()> {
        self.joined += 1;
        Ok(())
    }

    fn record(&mut self, rank: usize, _: u32, runs: RunBatch) -> Result<()> {
        for outcome in runs.into_results() {
            let task = outcome.task;
            let first = self.runs.insert(task, Run { outcome, rank }).is_none();
            assert!(first || self.retries, "task {task} was recorded twice");
        }
        Ok(())
    }

    fn give_back(&mut self, task: u64, attempt: u32, _: usize) -> Result<()> {
        self.given_back.insert((task, attempt));
        Ok(())
    }

    fn cut_off(&mut self, _: usize, (task, _): (u64, u32), seconds: f64) -> Result<()> {
        assert!(seconds > 0.0, "task {task}");
        Ok(())
    }

    fn close(&mut self, summary: GroupSummary) -> Result<()> {
        let key = summary.key;
        if let (true, Ok(scored)) = (self.rows == Some(key.level), &summary.result) {
            let state = match self.known_finals.contains(&key) {
                true => FinalState::Known { failed: false },
                false => FinalState::Due(scored.clone()),
            };
            self.reduced.push(Event::FinalJudged { row: key, state });
        }
        assert!(self.summaries.insert(key, summary).is_none(), "{key:?} closed twice");
        Ok(())
    }

    fn stop_point(&mut self, point: StoppedPoint) -> Result<()> {
        let key = point.key;
        assert!(self.stopped.insert(key, point).is_none(), "{key:?} was stopped twice");
        Ok(())
    }

    fn reduce(&mut self, key: Key, items: Vec<SlotResult>) -> Result<()> {
        let sum = items.iter().filter_map(|item| item.result.as_ref()?.score).sum();
        self.reduced.push(Event::Reduced { rank: None, key, result: Ok(Scored::number(sum)) });
        Ok(())
    }

    fn record_final(&mut self, _: usize, result: FinalResult) -> Result<()> {
        let row = result.row;
        let before = self.finals.insert(row, result);
        assert!(before.is_none_or(|before| before.result.is_err()), "{row:?} is recorded twice");
        Ok(())
    }

    fn ask(&mut self, (rank, _): (usize, u32), _: u64, request: Request, _: Duration) {
        panic!("a simulated worker asks nothing: rank {rank}, {request:?}");
    }

    fn replies(&mut self, _: Duration, _: &Master) -> Vec<(usize, Bytes)> {
        Vec::new()
    }

    fn returned(&mut self, _: usize, _: u32) {}

    fn is_full(&self) -> bool {
        self.full_now
    }

    fn sicken(&mut self, rank: usize, why: String) {
        self.sick.insert(rank, why);
    }

    fn file_changed(&mut self, _: usize, why: &str) {
        self.changed_files.push(why.to_string());
    }

    fn refuse(&mut self, why: String) {
        self.refused = Some(why);
        self.reduced.push(Event::Stop);
    }

    fn interrupt(&mut self, rank: usize, signal: &str) {
        panic!("a simulated worker gets no signals: rank {rank}, {signal}");
    }

    fn is_leaving(&self) -> bool {
        false
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn event(&mut self) -> Result<Option<Event<'static>>> {
        if self.stop_after.is_some_and(|runs| self.runs.len() >= runs) {
            return Ok(self.stop_after.take().map(|_| Event::Stop));
        }
        if self.drain_at.is_some_and(|at| self.now >= at) {
            return Ok(self.drain_at.take().map(|_| Event::Drain));
        }
        Ok(self.reduced.pop())
    }

    fn tick(&mut self, now: Duration, master: &Master) -> Result<()> {
        master.check();
        self.now = now;
        self.full_now = self.slow_disk && (now.as_millis() / 70).is_multiple_of(2);
        if self.deadline.is_some_and(|deadline| now > deadline) {
            return Err(Error::unexpected(format!("it is not over after {now:?}")));
        }
        Ok(())
    }
}

/// A nest, its workers, and a crunch function.
#[derive(Clone, Debug)]
struct World {
    nest: LoopNest,
    require: Completeness,
    workers: usize,
    seed: u64,
    /// One in this many runs fails; 0 for none.
    failing: u64,
    /// Whether workers run the Python reductions.
    delegates: bool,
}

impl World {
    fn result(&self, task: u64) -> Result<Scored, RunError> {
        let mixed = (task ^ self.seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        if self.failing > 0 && mixed.is_multiple_of(self.failing) {
            return Err(format!("task {task} fails").into());
        }
        // Few distinct scores, so that there are ties.
        Ok(Scored::number((mixed % 7) as f64 * 0.1))
    }

    fn takes(&self, task: u64) -> Duration {
        Duration::from_micros((task.wrapping_mul(self.seed | 1) >> 7) % 5000)
    }

    fn config(&self) -> MasterConfig {
        let (require, reduce_on_workers) = (self.require, self.delegates);
        let policy = Policy { require, reduce_on_workers, ..Policy::default() };
        MasterConfig { workers: self.workers, policy, ..MasterConfig::default() }
    }

    fn master(&self) -> Master {
        self.master_with(self.config())
    }

    fn master_with(&self, config: MasterConfig) -> Master {
        Master::new(self.nest.clone(), config)
    }

    fn simulate(&self) -> Notes {
        let mut master = self.master();
        let crunch = Box::new(|task| (self.takes(task), self.result(task)));
        let mut hub = SimulatedHub::new(self.workers, self.seed, Duration::from_millis(3), crunch);
        let mut notes = Notes::default();
        serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
        assert!(master.is_over());
        assert_eq!(master.tally().refused, 0);
        assert_eq!(master.tally().closed, groups(&self.nest));
        assert_eq!((hub.dismissed(), notes.joined), (self.workers, self.workers));
        notes
    }

    /// The score of a key by plain nested loops; None if it is incomplete.
    fn serial(&self, key: Key) -> Option<f64> {
        self.nested(key, (usize::MAX, 0), &|task| self.result(task).ok()?.score)
    }

    /// The same over the first points of the loop at a level, with these scores of runs.
    fn nested(
        &self,
        key: Key,
        first: (usize, u64),
        score: &dyn Fn(u64) -> Option<f64>,
    ) -> Option<f64> {
        let nest = &self.nest;
        if key.level == nest.depth() {
            return score(key.index);
        }
        let mut size = nest.slots(key);
        if key.level == first.0 {
            size = size.min(first.1);
        }
        let below = (0..size).map(|slot| self.nested(nest.child(key, slot)?, first, score));
        let scores: Vec<f64> = below.flatten().collect();
        let (n, enough) = (scores.len() as f64, self.require.is_met(scores.len() as u64, size));
        let reduce = nest.loops()[key.level].reduce.as_ref().unwrap();
        if !enough || (scores.is_empty() && *reduce != Reduce::Count) {
            return None;
        }
        let mut sorted = scores.clone();
        sorted.sort_by(f64::total_cmp);
        let (sum, middle) = (scores.iter().sum::<f64>(), scores.len() / 2);
        Some(match reduce {
            Reduce::Python(_) | Reduce::R(_) | Reduce::Native => sum,
            named => match named.text().as_str() {
                "max" => *sorted.last()?,
                "min" => sorted[0],
                "mean" => sum / n,
                "sum" => sum,
                "median" if scores.len() % 2 == 1 => sorted[middle],
                "median" => (sorted[middle - 1] + sorted[middle]) / 2.0,
                "std" => {
                    let mean = sum / n;
                    (scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n).sqrt()
                }
                "count" => n,
                other => unreachable!("{other} has no score"),
            },
        })
    }
}

/// A default configuration with this many workers.
fn workers(workers: usize) -> MasterConfig {
    MasterConfig { workers, ..MasterConfig::default() }
}

fn reduces() -> impl Strategy<Value = Reduce> {
    let python = FileFunction { file: "f.py".into(), function: "f".into() };
    prop::sample::select(vec![
        Reduce::max(),
        Reduce::min(),
        Reduce::mean(),
        Reduce::sum(),
        Reduce::numbers(crate::model::NumberFold::Median),
        Reduce::numbers(crate::model::NumberFold::Std),
        Reduce::Count,
        Reduce::Python(python),
    ])
}

/// Nests whose loops may depend on each other.
fn nests() -> impl Strategy<Value = LoopNest> {
    (RandomNest::any(1..5), prop::collection::vec(reduces(), 4), 0usize..=4).prop_filter_map(
        "it has no task",
        |(random, inner, outer)| {
            let reduce = |(level, reduce)| (level >= outer).then_some(reduce);
            let reduces: Vec<_> = inner.into_iter().enumerate().map(reduce).collect();
            random.nest(&reduces[..random.sizes.len()]).ok()
        },
    )
}

fn worlds() -> impl Strategy<Value = World> {
    let require =
        prop_oneof![Just(Completeness::All), (0.1f64..=1.0).prop_map(Completeness::Fraction)];
    (nests(), require, 1usize..40, any::<u64>(), 0u64..6, any::<bool>()).prop_map(
        |(nest, require, workers, seed, failing, delegates)| World {
            nest,
            require,
            workers,
            seed,
            failing,
            delegates,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn every_group_closes_once_with_what_nested_loops_give(world in worlds()) {
        let nest = &world.nest;
        let notes = world.simulate();
        prop_assert_eq!(notes.runs.len() as u64, nest.tasks());
        for (key, summary) in &notes.summaries {
            prop_assert_eq!(summary.runs + summary.failed, nest.task_count(*key));
            let score = summary.result.as_ref().ok().and_then(|scored| scored.score);
            match (score, world.serial(*key)) {
                (Some(score), Some(serial)) => {
                    prop_assert!((score - serial).abs() <= 1e-12 * serial.abs().max(1.0));
                }
                (score, serial) => prop_assert_eq!(score, serial),
            }
        }
    }

    #[test]
    fn neither_workers_nor_order_change_a_bit(world in worlds(), workers in 1usize..40, seed: u64) {
        let other = World { workers, ..world.clone() };
        let here = world.simulate();
        // Other delays, same results: the order of replies depends on the hub's seed.
        let mut master = other.master();
        let crunch = Box::new(|task| (other.takes(task), other.result(task)));
        let mut hub = SimulatedHub::new(workers, seed, Duration::from_secs(1), crunch);
        let mut there = Notes::default();
        serve(&mut master, &mut hub, &mut there, Bytes::new(), Vec::new()).unwrap();
        prop_assert_eq!(here.summaries, there.summaries);
    }
}

#[test]
fn the_first_of_equal_bests_wins_whoever_came_first() {
    for seed in 0..50 {
        let world = World {
            nest: LoopNest::of_sizes(&[1, 40], vec![None, Some(Reduce::max())]).unwrap(),
            require: Completeness::All,
            workers: 7,
            seed,
            failing: 0,
            delegates: false,
        };
        let notes = world.simulate();
        let summary = &notes.summaries[&Key { level: 1, index: 0 }];
        let best = summary.result.as_ref().unwrap();
        let scores = (0..40).map(|task| world.result(task).unwrap().score.unwrap());
        let first = scores.clone().position(|score| Some(score) == best.score).unwrap();
        assert_eq!(best.best[0].slot, first as u64, "seed {seed}");
    }
}

#[test]
fn a_thousand_workers_share_a_hundred_thousand_tasks() {
    let world = World {
        nest: LoopNest::of_sizes(&[100, 1000], vec![None, Some(Reduce::mean())]).unwrap(),
        require: Completeness::All,
        workers: 1000,
        seed: 5,
        failing: 0,
        delegates: false,
    };
    let notes = world.simulate();
    assert_eq!(notes.runs.len(), 100_000);
    let ranks: std::collections::BTreeSet<usize> =
        notes.runs.values().map(|run| run.rank).collect();
    assert_eq!(ranks.len(), 1000, "every worker got a task");
}

#[test]
fn the_textbook_case_takes_four_rounds() {
    let nest = LoopNest::sized(&[10, 3], 1);
    let mut master = Master::new(nest, workers(8));
    let second = Duration::from_secs(1);
    let crunch = Box::new(move |task| (second, Ok(Scored::number(task as f64))));
    let mut hub = SimulatedHub::new(8, 1, Duration::ZERO, crunch);
    let mut notes = Notes::default();
    serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
    assert_eq!(hub.now(), 4 * second);
}

#[test]
fn stale_doubled_and_unasked_outcomes_are_refused() {
    use crate::master::Action;

    let nest = LoopNest::sized(&[3], 1);
    let mut master = Master::new(nest, workers(2));
    let mut actions = Vec::new();
    let mut done = |rank, (tasks, attempt): (Range<u64>, u32), actions: &mut Vec<Action>| {
        let mut runs = RunBatch::default();
        runs.restart(tasks.start, attempt, 0.0);
        tasks.for_each(|_| runs.push_number(1.0, 0.0));
        let report = Report { runs, ..Report::default() };
        actions.clear();
        master.on(Event::Done { rank, report }, Duration::ZERO, actions);
        master.tally()
    };
    done(1, (0..0, 1), &mut actions);
    assert!(
        matches!(actions[..], [Action::Assign { rank: 1, assignment }] if assignment.first == 0)
    );
    assert_eq!(done(2, (0..1, 1), &mut actions).refused, 1, "worker 2 was not given task 0");
    assert_eq!(done(1, (0..1, 2), &mut actions).refused, 2, "there is no second attempt");
    let tally = done(1, (0..2, 1), &mut actions);
    assert_eq!((tally.done, tally.refused), (1, 3), "task 1 is not running");
    assert_eq!(done(1, (0..1, 1), &mut actions).refused, 4, "it is recorded once");
}
