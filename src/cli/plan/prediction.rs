//! How long what is left of a job can be expected to take on so many workers, and how sure that is: the
//! real master plays it in virtual time, again and again, each time with durations drawn from what was
//! recorded and with a model fitted to what might as well have been recorded.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cli::plan::durations::RecordedDurations;
use crate::job::Job;
use crate::master::cost_model::CostModel;
use crate::master::virtual_time::{Simulation, play};
use crate::model::LoopNest;
use crate::util::stats::{quantile, sorted};

/// How often it is played, for each number of workers, and how often at least where it is long: between
/// the least and the most of 19 the next one falls nine times out of ten.
const PLAYS: usize = 39;
const FEWEST_PLAYS: usize = 19;

/// How many tasks are played in all, about: more take longer than anybody waits.
const MOST_PLAYED: u64 = 1_000_000;

/// How many tasks are played at a time, or for each worker if those are more. Of a job that has more left
/// so many stand for all.
const AT_A_TIME: u64 = 5_000;
const FOR_A_WORKER: u64 = 4;

/// Of how many tasks that are left the expected durations are summed one by one.
const MOST_SUMMED: u64 = 1 << 20;

/// By how many recorded durations a model is fitted again.
const REFITTED: usize = 10_000;

/// From how many recorded durations, those expected to be most alike, it is drawn how far a task is off:
/// so many, or this part of all.
const ALIKE: usize = 20;
const ALIKE_PART: usize = 20;

/// How much of what may come lies below the range, and how much above: the range holds nine out of ten.
const BEYOND: f64 = 0.05;

/// More workers than take this many times as long as the fastest possible are of no use to anybody.
pub(crate) const NEAR: f64 = 1.1;

/// A number that is not sure: nine times out of ten it is between `low` and `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) middle: f64,
    pub(crate) high: f64,
}

impl Range {
    fn of(numbers: impl Iterator<Item = f64>) -> Range {
        let numbers = sorted(numbers);
        // Of k numbers the next one falls below the i-th, from 1, i times out of k + 1.
        let (count, last) = (numbers.len() as f64, (numbers.len() - 1).max(1) as f64);
        let part = ((BEYOND * (count + 1.0) - 1.0) / last).clamp(0.0, 0.5);
        let at = |part| quantile(&numbers, part);
        Range { low: at(part), middle: at(0.5), high: at(1.0 - part) }
    }
}

/// What so many workers can be expected to take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Time {
    pub(crate) workers: u64,
    pub(crate) seconds: Range,
    /// The part of their time that they crunch.
    pub(crate) utilisation: f64,
    /// No order of tasks takes less: the total shared by all, or the longest task. (seconds)
    pub(crate) bound: f64,
}

/// What is left, and how long it takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prediction {
    /// All tasks one after another, and the longest of them. (seconds)
    pub(crate) total: Range,
    pub(crate) longest: Range,
    /// By workers, the fewest first.
    pub(crate) times: Vec<Time>,
    /// The fewest workers that take no more than [`NEAR`] times the longest task: more are waste.
    pub(crate) enough: u64,
    /// How many of them finish within `wanted`, if `enough` can.
    pub(crate) suggested: u64,
    /// How many tasks were played; those left, or fewer that stand for them.
    pub(crate) played: u64,
}

/// Predicts what is left. `workers` says for how many; if nobody does, 1, 8, 32, ... until more are waste. The suggestion takes no more than `wanted` seconds, if that can be had. Nothing if nothing is
/// left, or no duration known.
pub(crate) fn predict(
    job: &Job,
    durations: &RecordedDurations,
    workers: Option<&[u64]>,
    wanted: f64,
) -> Option<Prediction> {
    let left = durations.left();
    durations.costs().mean().filter(|_| left > 0)?;
    let largest = workers.and_then(|workers| workers.iter().max()).map_or(0, |most| *most);
    let stage = PredictionInput::new(job, durations, AT_A_TIME.max(FOR_A_WORKER * largest));
    // The model as it is: what is asked first is asked of that.
    let first = stage.draw(durations.costs(), 0);
    let enough = stage.enough(&first);
    let longest = first.longest;
    let hour = (first.total / wanted.max(longest * NEAR)).ceil() as u64;
    let suggested = hour.clamp(1, enough);
    let mut asked = workers.map_or_else(|| usual(enough), <[u64]>::to_vec);
    asked.push(suggested);
    asked.sort_unstable();
    asked.dedup();
    let plays = MOST_PLAYED / (stage.tasks.len() as u64 * asked.len() as u64).max(1);
    let plays = (plays as usize).clamp(FEWEST_PLAYS, PLAYS);
    let mut drawn = vec![first];
    for seed in 1..plays as u64 {
        let next = stage.draw(&stage.refitted(seed), seed);
        if seed == 1 && next.seconds == drawn[0].seconds {
            break; // nothing of it is left to chance
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

/// 1, 8, 32, 128 and 512, or up to the first that are more than enough.
fn usual(enough: u64) -> Vec<u64> {
    let mut all = vec![1];
    let mut next = 8;
    while all.last().is_some_and(|last| *last < enough) && all.len() < 5 {
        all.push(next);
        next *= 4;
    }
    all
}

/// What is played: the tasks that are left, or some that stand for them.
struct PredictionInput<'a> {
    job: &'a Job,
    durations: &'a RecordedDurations,
    left: u64,
    nest: LoopNest,
    tasks: Vec<u64>,
    /// Whether it is the job's own nest that is played, with what is done left out.
    own: bool,
    /// How much longer all that are left are expected to take than those that are played.
    scale: f64,
    /// What the master knows from the start, where it is not the job's own nest.
    known: Option<CostModel>,
    /// What was expected of tasks that were recorded, and by how much that was off, by what was expected.
    off: Vec<(f64, f64)>,
}

/// Durations as they may be.
struct DrawnDurations {
    /// Of each task that is played.
    seconds: Vec<f64>,
    /// Of all that are left, together, and of the longest.
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

    /// The model, had chance recorded others: fitted to as many durations, drawn from those there are.
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

    /// What a task may take that was not recorded: what is expected, off by as much as one like it was.
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

    /// How long so many workers take, with these durations. Where some tasks stand for all, those give
    /// what is lost at the end, beside the time that all of them share.
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

    /// The fewest workers that are about as fast as any number is.
    fn enough(&self, drawn: &DrawnDurations) -> u64 {
        let soon = drawn.longest * NEAR;
        let least = ((drawn.total / soon).ceil().max(1.0) as u64).min(self.left);
        if self.left > self.tasks.len() as u64 || soon == 0.0 {
            return least;
        }
        // No fewer can; one for each task do.
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
