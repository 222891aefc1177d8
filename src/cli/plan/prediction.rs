//! Predicts the remaining time of a job on a number of workers, with an uncertainty. The real master is
//! simulated in virtual time many times. Each simulation draws durations from the recorded ones, and refits
//! the cost model to a bootstrap sample of them.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cli::plan::durations::RecordedDurations;
use crate::job::Job;
use crate::master::cost_model::CostModel;
use crate::master::virtual_time::{Simulation, play};
use crate::model::LoopNest;
use crate::util::stats::{quantile, sorted};

/// Simulations per number of workers, and the minimum for long jobs: a further value falls between the lowest
/// and highest of 19 nine times out of ten.
const PLAYS: usize = 39;
const FEWEST_PLAYS: usize = 19;

/// Approximate limit on all simulated tasks together, which bounds the running time.
const MOST_PLAYED: u64 = 1_000_000;

/// Limit on the tasks per simulation: the first, or the second per worker if that is more. A larger job is
/// represented by a sample of its remaining tasks.
const AT_A_TIME: u64 = 5_000;
const FOR_A_WORKER: u64 = 4;

/// Up to this many remaining tasks, all expected durations are summed; beyond it, they are estimated.
const MOST_SUMMED: u64 = 1 << 20;

/// Number of recorded durations in a refit of the model.
const REFITTED: usize = 10_000;

/// A task's deviation from the model is drawn from the recorded tasks with the nearest expected durations: at
/// least the first number of them, or one in the second number of all.
const ALIKE: usize = 20;
const ALIKE_PART: usize = 20;

/// Probability of a value below the range, and of one above it: the range covers nine out of ten.
const BEYOND: f64 = 0.05;

/// Workers beyond those that finish within this factor of the fastest possible time are wasted.
pub(crate) const NEAR: f64 = 1.1;

/// An uncertain number: between `low` and `high` nine times out of ten.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) middle: f64,
    pub(crate) high: f64,
}

impl Range {
    fn of(numbers: impl Iterator<Item = f64>) -> Range {
        let numbers = sorted(numbers);
        // Of k numbers, a further one falls below the i-th (from 1) with probability i / (k + 1).
        let (count, last) = (numbers.len() as f64, (numbers.len() - 1).max(1) as f64);
        let part = ((BEYOND * (count + 1.0) - 1.0) / last).clamp(0.0, 0.5);
        let at = |part| quantile(&numbers, part);
        Range { low: at(part), middle: at(0.5), high: at(1.0 - part) }
    }
}

/// The predicted time for a number of workers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Time {
    pub(crate) workers: u64,
    pub(crate) seconds: Range,
    /// The fraction of the workers' time spent in crunch.
    pub(crate) utilisation: f64,
    /// A lower bound for any schedule: total / workers, or the longest task. (seconds)
    pub(crate) bound: f64,
}

/// The remaining work, and how long it takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prediction {
    /// The sum of all tasks' durations, and the longest task. (seconds)
    pub(crate) total: Range,
    pub(crate) longest: Range,
    /// By number of workers, ascending.
    pub(crate) times: Vec<Time>,
    /// The fewest workers that finish within [`NEAR`] times the longest task: more are wasted.
    pub(crate) enough: u64,
    /// The suggested number of workers: enough for `wanted` seconds if possible, at most `enough`.
    pub(crate) suggested: u64,
    /// Number of simulated tasks: all remaining ones, or a sample.
    pub(crate) played: u64,
}

/// Predicts the remaining work for each number in `workers`; by default for 1, 8, 32, ... until more are
/// wasted, and for as many as there are `here`. The suggested number finishes within `wanted` seconds if possible. None if nothing is left or no
/// duration is known.
pub(crate) fn predict(
    job: &Job,
    durations: &RecordedDurations,
    (workers, here): (Option<&[u64]>, u64),
    wanted: f64,
) -> Option<Prediction> {
    let left = durations.left();
    durations.costs().mean().filter(|_| left > 0)?;
    let largest = workers.and_then(|workers| workers.iter().max()).map_or(0, |most| *most);
    let stage = PredictionInput::new(job, durations, AT_A_TIME.max(FOR_A_WORKER * largest));
    // The first draw uses the model itself, not a refit. It determines the suggestion.
    let first = stage.draw(durations.costs(), 0);
    let enough = stage.enough(&first);
    let longest = first.longest;
    let hour = (first.total / wanted.max(longest * NEAR)).ceil() as u64;
    let suggested = hour.clamp(1, enough);
    let mut asked = workers.map_or_else(|| usual(enough, here), <[u64]>::to_vec);
    asked.push(suggested);
    asked.sort_unstable();
    asked.dedup();
    let plays = MOST_PLAYED / (stage.tasks.len() as u64 * asked.len() as u64).max(1);
    let plays = (plays as usize).clamp(FEWEST_PLAYS, PLAYS);
    let mut drawn = vec![first];
    for seed in 1..plays as u64 {
        let next = stage.draw(&stage.refitted(seed), seed);
        if seed == 1 && next.seconds == drawn[0].seconds {
            break; // the durations are certain
        }
        drawn.push(next);
    }
    let time = |workers: u64| {
        let each: Vec<f64> = drawn.iter().map(|drawn| stage.time(drawn, workers)).collect();
        let share = |(drawn, time): (&DrawnDurations, &f64)| drawn.total / (workers as f64 * time);
        let utilisation = Range::of(drawn.iter().zip(&each).map(share)).middle;
        let bound = |drawn: &DrawnDurations| (drawn.total / workers as f64).max(drawn.longest);
        Time {
            workers,
            seconds: Range::of(each.into_iter()),
            utilisation: if utilisation.is_nan() { 1.0 } else { utilisation.min(1.0) },
            bound: Range::of(drawn.iter().map(bound)).middle,
        }
    };
    Some(Prediction {
        times: asked.into_iter().map(time).collect(),
        total: Range::of(drawn.iter().map(|drawn| drawn.total)),
        longest: Range::of(drawn.iter().map(|drawn| drawn.longest)),
        enough,
        suggested,
        played: stage.tasks.len() as u64,
    })
}

/// 1, 8, 32, 128 and 512, or up to the first that is at least `enough`.
fn usual(enough: u64, here: u64) -> Vec<u64> {
    let mut all = vec![1];
    let mut next = 8;
    while all.last().is_some_and(|last| *last < enough) && all.len() < 5 {
        all.push(next);
        next *= 4;
    }
    all.push(here);
    all
}

/// The input of the simulations: the remaining tasks, or a sample of them.
struct PredictionInput<'a> {
    job: &'a Job,
    durations: &'a RecordedDurations,
    left: u64,
    nest: LoopNest,
    tasks: Vec<u64>,
    /// Whether the job's own nest is simulated, without the tasks that are done.
    own: bool,
    /// Expected duration of all remaining tasks, divided by that of the simulated ones.
    scale: f64,
    /// The master's initial cost model, if the job's own nest is not used.
    known: Option<CostModel>,
    /// Expected duration and error of recorded tasks, ordered by expected duration.
    off: Vec<(f64, f64)>,
}

/// One random draw of durations.
struct DrawnDurations {
    /// The duration of each simulated task.
    seconds: Vec<f64>,
    /// The total of all remaining tasks, and the longest.
    total: f64,
    longest: f64,
}

impl<'a> PredictionInput<'a> {
    fn new(job: &'a Job, durations: &'a RecordedDurations, most: u64) -> PredictionInput<'a> {
        let (own, left) = (&job.nest, durations.left());
        let count = left.min(most);
        let nth = |i: u64| (u128::from(i) * u128::from(left) / u128::from(count)) as u64;
        let tasks: Vec<u64> = (0..count).map(|i| durations.nth_left(nth(i))).collect();
        let is_own = count == left && own.tasks() <= most.saturating_mul(2);
        let nest = match is_own {
            true => own.clone(),
            false => LoopNest::of_sizes(&[count], [None]).expect("it has tasks"),
        };
        let kept = durations.kept();
        let every = kept.len().div_ceil(REFITTED).max(1);
        let costs = durations.costs();
        let mut off: Vec<(f64, f64)> = kept
            .iter()
            .step_by(every)
            .filter_map(|(task, seconds)| {
                let unseen = costs.expect_unseen(*task, *seconds)?;
                Some((costs.expect(*task)?, seconds - unseen))
            })
            .collect();
        off.sort_by(|a, b| a.0.total_cmp(&b.0));
        let expect = |task| durations.expect(task).unwrap_or(0.0);
        let played: f64 = tasks.iter().map(|task| expect(*task)).sum();
        let all = (left <= MOST_SUMMED && count < left && played > 0.0)
            .then(|| (0..left).map(|nth| expect(durations.nth_left(nth))).sum::<f64>());
        let scale = all.map_or(left as f64 / count as f64, |all| all / played);
        let known = (!is_own && durations.done() > 0).then(|| {
            let mut known = CostModel::new(&nest);
            (0..count).zip(&tasks).for_each(|(place, task)| known.observe(place, expect(*task)));
            known
        });
        PredictionInput { job, durations, left, nest, tasks, own: is_own, scale, known, off }
    }

    /// The model refitted to a bootstrap sample of the recorded durations.
    fn refitted(&self, seed: u64) -> CostModel {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let kept = self.durations.kept();
        let mut costs = self.durations.costs().forgotten();
        for _ in 0..kept.len().min(REFITTED) {
            let (task, seconds) = kept[rng.random_range(0..kept.len())];
            costs.observe(task, seconds);
        }
        costs
    }

    fn draw(&self, costs: &CostModel, seed: u64) -> DrawnDurations {
        let mut rng = ChaCha8Rng::seed_from_u64(!seed);
        let mut draw = |task: &u64| match self.durations.seconds(*task) {
            Some(seconds) => seconds,
            None => self.draw_one(costs, *task, &mut rng),
        };
        let seconds: Vec<f64> = self.tasks.iter().map(&mut draw).collect();
        let played: f64 = seconds.iter().sum();
        let longest = seconds.iter().copied().fold(self.durations.longest_left(), f64::max);
        DrawnDurations { seconds, total: played * self.scale, longest }
    }

    /// A random duration for an unrecorded task: the expected one plus the error of a similar task.
    fn draw_one(&self, costs: &CostModel, task: u64, rng: &mut ChaCha8Rng) -> f64 {
        let expected = self.durations.expect_by(costs, task).unwrap_or(0.0);
        if self.off.is_empty() {
            return expected;
        }
        let like = self.durations.expect(task).unwrap_or(0.0);
        let hair = like * 1e-9;
        let mut from = self.off.partition_point(|(other, _)| *other < like - hair);
        let mut to = self.off.partition_point(|(other, _)| *other <= like + hair);
        let all = self.off.len();
        let wanted = ALIKE.max(all / ALIKE_PART).min(all);
        let missing = wanted.saturating_sub(to - from);
        from = from.saturating_sub(missing.div_ceil(2)).min(all - wanted);
        to = to.max(from + wanted).min(all);
        let (_, off) = self.off[rng.random_range(from..to)];
        (expected + off).max(0.0)
    }

    /// The time on this many workers with these durations. A sample stands for the idle time at the end; the
    /// time of all remaining tasks is added, divided evenly.
    fn time(&self, drawn: &DrawnDurations, workers: u64) -> f64 {
        let busy: f64 = drawn.seconds.iter().sum();
        let played = self.play(drawn, workers);
        match self.left == self.tasks.len() as u64 {
            true => played,
            false => ((drawn.total - busy) / workers as f64 + played).max(drawn.longest),
        }
    }

    fn play(&self, drawn: &DrawnDurations, workers: u64) -> f64 {
        let workers = workers.min(self.tasks.len() as u64) as usize;
        let order = self.job.policy.order;
        let (nest, own) = (&self.nest, self.own);
        let data = if own { self.job.data_level() } else { None };
        let done = |task: u64| self.durations.is_done(task);
        let seconds = |task: u64| match own {
            false => drawn.seconds[task as usize],
            true => match self.tasks.binary_search(&task) {
                Ok(at) => drawn.seconds[at],
                Err(_) => self.durations.expect(task).unwrap_or(0.0),
            },
        };
        let done = if own && self.durations.done() > 0 {
            Some(&done as &dyn Fn(u64) -> bool)
        } else {
            None
        };
        let known = self.known.as_ref();
        play(
            &Simulation { done, known, ..Simulation::flattened(nest, workers, order, data) },
            &seconds,
        )
        .makespan
    }

    /// The fewest workers within [`NEAR`] of the fastest possible time.
    fn enough(&self, drawn: &DrawnDurations) -> u64 {
        let soon = drawn.longest * NEAR;
        let least = ((drawn.total / soon).ceil().max(1.0) as u64).min(self.left);
        if self.left > self.tasks.len() as u64 || soon == 0.0 {
            return least;
        }
        // Binary search: `few` are too few, one worker per task is enough.
        let (mut few, mut many) = (least - 1, self.left);
        while many - few > 1 {
            let middle = few + (many - few) / 2;
            match self.play(drawn, middle) <= soon {
                true => many = middle,
                false => few = middle,
            }
        }
        many
    }
}
