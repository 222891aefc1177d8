//! The strategies that are compared, and their simulation in virtual time.

use crate::cli::compare::Case;
use crate::master::Strategy;
use crate::master::virtual_time::maps::{Deadlock, Ended, nested_maps};
use crate::master::virtual_time::{Simulation, SimulationResult, play};
use crate::model::{LoopNest, Order};

/// Approximate limit on the tasks and workers simulated for split pools; for very long jobs, not all splits
/// are tried.
const MOST_PLAYED: u64 = 10_000_000;

/// Minimum number of splits tried, if there are as many.
const FEWEST_SPLITS: u64 = 3;

pub(super) struct StrategyResults {
    pub(super) entries: Vec<StrategyResult>,
    pub(super) splits: Splits,
    /// A lower bound for any schedule: total / workers, or the longest task. (seconds)
    pub(super) bound: f64,
}

pub(super) struct StrategyResult {
    pub(super) which: Which,
    /// `None` if it was not simulated.
    pub(super) ended: Option<Ended>,
    pub(super) measured: Option<MeasuredRun>,
}

/// A real run of a strategy.
#[derive(Clone, Copy, Debug)]
pub(super) struct MeasuredRun {
    pub(super) seconds: f64,
    pub(super) runs: u64,
    pub(super) failed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Which {
    /// A strategy that gridmpi can run.
    Strategy(Strategy, Order),
    /// Nested parallel maps; simulated only.
    Maps,
    /// The flattened nest in grid order, with the job's stops: the only one that does not run all tasks.
    Stopping,
}

/// The number of splits, and how many were tried.
pub(super) struct Splits {
    pub(super) tried: u64,
    pub(super) of: u64,
    /// Whether the user chose the split.
    pub(super) given: bool,
}

impl Which {
    pub(super) fn name(self) -> String {
        match self {
            Which::Strategy(Strategy::Flattened, Order::LongestFirst) => {
                "longest-first".to_string()
            }
            Which::Strategy(strategy, _) => strategy.to_string(),
            Which::Maps => "nested maps".to_string(),
            Which::Stopping => "stopping".to_string(),
        }
    }

    /// Whether all loops are one stream of tasks.
    pub(super) fn is_flattened(self) -> bool {
        matches!(self, Which::Strategy(Strategy::Flattened, _))
    }
}

impl StrategyResult {
    /// The result, if the simulation finished.
    pub(super) fn played(&self) -> Option<&SimulationResult> {
        match &self.ended {
            Some(Ended::Played(played)) => Some(played),
            _ => None,
        }
    }

    pub(super) fn deadlock(&self) -> Option<&Deadlock> {
        match &self.ended {
            Some(Ended::Deadlock(deadlock)) => Some(deadlock),
            _ => None,
        }
    }
}

impl StrategyResults {
    /// Simulates all strategies; of split pools the given split, or the best and the worst.
    pub(super) fn play(case: &Case, split: Option<Strategy>) -> StrategyResults {
        let nest = &case.job.nest;
        let seconds = |task: u64| case.seconds[task as usize];
        let played = |strategy, order| {
            let flattened = Simulation::flattened(nest, case.workers, order, case.job.data_level());
            let one = Simulation { strategy, known: Some(&case.known), ..flattened };
            let ended = Some(Ended::Played(play(&one, &seconds)));
            StrategyResult { which: Which::Strategy(strategy, order), ended, measured: None }
        };
        let simple = [Strategy::Serial, Strategy::Outer, Strategy::Inner];
        let mut entries: Vec<StrategyResult> = simple.map(|way| played(way, Order::Grid)).into();
        let all = splits(nest, case.workers as u64);
        let splits = Splits {
            tried: if split.is_some() { 1 } else { all.len() as u64 },
            of: case.workers as u64 - 1,
            given: split.is_some(),
        };
        let tried = split.map_or(all, |split| vec![split]);
        let pools = tried.into_iter().map(|split| played(split, Order::Grid));
        entries.extend(best_and_worst(pools));
        let ended = Some(nested_maps(nest, case.workers, &seconds));
        entries.push(StrategyResult { which: Which::Maps, ended, measured: None });
        entries.push(played(Strategy::Flattened, Order::Grid));
        entries.push(played(Strategy::Flattened, Order::LongestFirst));
        entries.extend(case.stopping.as_ref().map(|stopping| {
            let ended = stopping.play(case).map(Ended::Played);
            StrategyResult { which: Which::Stopping, ended, measured: None }
        }));
        let longest = case.seconds.iter().copied().fold(0.0, f64::max);
        let bound = longest.max(case.seconds.iter().sum::<f64>() / case.workers as f64);
        StrategyResults { entries, splits, bound }
    }

    /// The results by which ways to run all tasks are compared.
    pub(super) fn of_all_tasks(&self) -> impl Iterator<Item = &StrategyResult> {
        self.entries.iter().filter(|entry| entry.which != Which::Stopping)
    }

    pub(super) fn of(&self, which: Which) -> Option<&StrategyResult> {
        self.entries.iter().find(|entry| entry.which == which)
    }
}

/// The ways to split the workers into two pools, fewest holders first; an evenly spaced selection if there
/// are too many.
fn splits(nest: &LoopNest, workers: u64) -> Vec<Strategy> {
    let of = workers - 1;
    let few = (MOST_PLAYED / (nest.tasks() + workers)).max(FEWEST_SPLITS).min(of);
    let outer = |i: u64| 1 + i * (of - 1) / (few - 1).max(1);
    let split = |outer| Strategy::Split { outer, inner: workers - outer };
    (0..few).map(outer).map(split).collect()
}

/// The entry that finishes first, and the one that finishes last if it is another.
fn best_and_worst(entries: impl Iterator<Item = StrategyResult>) -> Vec<StrategyResult> {
    let (mut best, mut worst): (Option<StrategyResult>, Option<StrategyResult>) = (None, None);
    let takes = |entry: &StrategyResult| entry.played().map_or(0.0, |played| played.makespan);
    for entry in entries {
        match &best {
            None => best = Some(entry),
            Some(first) if takes(&entry) < takes(first) => {
                let before = best.replace(entry);
                worst = worst.or(before);
            }
            Some(_) if worst.as_ref().is_none_or(|last| takes(&entry) > takes(last)) => {
                worst = Some(entry);
            }
            Some(_) => {}
        }
    }
    best.into_iter().chain(worst).collect()
}
