//! Predictions tested in virtual time: exact where durations are known; otherwise within the range, about as
//! often as promised.

use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal};

use crate::cli::plan::durations::RecordedDurations;
use crate::cli::plan::pilot::spread;
use crate::cli::plan::prediction::{Prediction, Range, Time, predict};
use crate::job::Job;
use crate::master::virtual_time::{Simulation, play};
use crate::model::Order;
use crate::store::ReusableRun;

/// A job of nested ranges of these sizes.
pub(crate) fn job(sizes: &[u64]) -> Job {
    let loops = sizes.iter().enumerate().map(|(i, size)| {
        format!("[[loop]]\nname = \"l{i}\"\nrange = {{ from = 0, to = {size} }}\n")
    });
    let text = format!("[crunch]\nbuiltin = \"multiply\"\n{}", loops.collect::<String>());
    Job::parse(&text, Path::new("job.toml")).unwrap()
}

fn recorded(
    job: &Job,
    tasks: impl IntoIterator<Item = u64>,
    takes: impl Fn(u64) -> f64,
) -> RecordedDurations {
    let found = |task| ReusableRun { task, seconds: takes(task), failed: false, score: None };
    RecordedDurations::found(job, tasks.into_iter().map(found))
}

fn sure(seconds: f64) -> Range {
    Range { low: seconds, middle: seconds, high: seconds }
}

fn at(prediction: &Prediction, workers: u64) -> Time {
    *prediction.times.iter().find(|time| time.workers == workers).unwrap()
}

#[test]
fn what_is_known_is_predicted_exactly() {
    let job = job(&[10, 3]);
    let anew = recorded(&job, 0..30, |_| 1.0).afresh();
    let all = predict(&job, &anew, (None, 1), 3600.0).unwrap();
    assert_eq!((all.total, all.longest), (sure(30.0), sure(1.0)));
    let (time, busy) = (at(&all, 8), 30.0 / 32.0);
    assert_eq!(time, Time { workers: 8, seconds: sure(4.0), utilisation: busy, bound: 3.75 });
    assert_eq!(all.times.iter().map(|time| time.workers).collect::<Vec<_>>(), [1, 8, 32]);
    assert_eq!((all.enough, all.suggested, all.played), (30, 1, 30));
    // A pilot tells as much: all tasks take the same time.
    let rest =
        predict(&job, &recorded(&job, [3, 14, 25], |_| 1.0), (Some(&[9]), 1), 3600.0).unwrap();
    assert_eq!(at(&rest, 9).seconds, sure(3.0));
    assert_eq!(rest.total, sure(27.0));
    assert_eq!(
        predict(&job, &recorded(&job, 0..30, |_| 1.0), (None, 1), 3600.0),
        None,
        "none left"
    );
    assert_eq!(
        predict(&job, &RecordedDurations::unknown(&job), (None, 1), 3600.0),
        None,
        "nothing is known"
    );
}

#[test]
fn more_workers_are_waste_once_the_longest_task_is_all_there_is_to_wait_for() {
    let job = job(&[41]);
    let takes = |task| if task == 0 { 10.0 } else { 1.0 };
    let anew = recorded(&job, 0..41, takes).afresh();
    let prediction = predict(&job, &anew, (Some(&[4, 5, 6, 40]), 1), 15.0).unwrap();
    // 10 s on one worker; the others run the other 40.
    assert_eq!(prediction.enough, 5);
    let seconds: Vec<f64> = prediction.times.iter().map(|time| time.seconds.middle).collect();
    assert_eq!(seconds, [13.0, 10.0, 10.0, 10.0]);
    let bounds: Vec<f64> = prediction.times.iter().map(|time| time.bound).collect();
    assert_eq!(bounds, [12.5, 10.0, 10.0, 10.0]);
    assert_eq!(prediction.suggested, 4, "50 s of work in 15 s");
}

/// Durations from one of three distributions.
fn takes(kind: usize, seed: u64, tasks: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let lognormal = LogNormal::new(0.0, 0.5).unwrap();
    let noise = LogNormal::new(0.0, 0.3).unwrap();
    let mut next = |task: u64| match kind {
        0 => lognormal.sample(&mut rng),
        1 => {
            if rng.random_bool(0.2) {
                10.0
            } else {
                1.0
            }
        }
        // The outer loop's points differ by a factor of up to ten.
        _ => (1 + task / 50) as f64 * 2.0 * noise.sample(&mut rng),
    };
    (0..tasks).map(&mut next).collect()
}

#[test]
fn the_range_holds_the_truth_about_as_often_as_it_says() {
    let job = job(&[6, 50]);
    let (nest, workers) = (&job.nest, 16);
    let (mut off, mut held) = (Vec::new(), 0);
    for kind in 0..3 {
        for seed in 0..12 {
            let truth = takes(kind, seed, nest.tasks());
            let chosen = spread(nest, &RecordedDurations::unknown(&job), 60);
            let known = recorded(&job, chosen, |task| truth[task as usize]);
            let prediction = predict(&job, &known, (Some(&[workers]), 1), 3600.0).unwrap();
            let done = |task: u64| known.is_done(task);
            let flat = Simulation::flattened(nest, workers as usize, Order::Grid, None);
            let played =
                play(&Simulation { done: Some(&done), ..flat }, &|task| truth[task as usize]);
            let Range { low, middle, high } = at(&prediction, workers).seconds;
            assert!(low <= middle && middle <= high && low < high);
            held += usize::from((low..=high).contains(&played.makespan));
            off.push(middle / played.makespan - 1.0);
        }
    }
    let cases = off.len();
    assert!(held * 100 >= cases * 75 && held < cases, "{held} of {cases}");
    let mean = off.iter().sum::<f64>() / off.len() as f64;
    assert!(mean.abs() < 0.03, "by {mean} too long on average");
    let squares = off.iter().map(|off| off * off).sum::<f64>() / off.len() as f64;
    assert!(squares.sqrt() < 0.15, "{off:?}");
}

#[test]
fn a_prediction_repeats() {
    let job = job(&[6, 30]);
    let truth = takes(0, 1, 180);
    let known = recorded(&job, (0..180).step_by(7), |task| truth[task as usize]);
    let predicted = || predict(&job, &known, (None, 1), 3600.0);
    assert_eq!(predicted(), predicted());
}

#[test]
fn some_tasks_stand_for_very_many() {
    let job = job(&[300, 100]);
    let truth = takes(0, 2, 30_000);
    let anew = recorded(&job, 0..30_000, |task| truth[task as usize]).afresh();
    let prediction = predict(&job, &anew, (Some(&[64]), 1), 3600.0).unwrap();
    assert_eq!(prediction.played, 5_000);
    let total: f64 = truth.iter().sum();
    assert!((prediction.total.middle / total - 1.0).abs() < 1e-9);
    let nest = &job.nest;
    let flat = Simulation::flattened(nest, 64, Order::Grid, None);
    let played = play(&flat, &|task| truth[task as usize]).makespan;
    let predicted = at(&prediction, 64);
    assert!((predicted.seconds.middle / played - 1.0).abs() < 0.01, "{predicted:?}, {played}");
    assert!(predicted.seconds.middle >= predicted.bound);
}

#[test]
fn a_grid_of_any_size_is_predicted_soon() {
    let job = job(&[1000, 1_000_000]);
    let known = recorded(&job, (0..100).map(|i| i * 9_999_999), |_| 0.5);
    let prediction = predict(&job, &known, (Some(&[1, 1000]), 1), 3600.0).unwrap();
    let left = 1e9 - 100.0;
    assert!((prediction.total.middle / (left * 0.5) - 1.0).abs() < 1e-6);
    assert!((at(&prediction, 1000).seconds.middle / (left * 0.5 / 1000.0) - 1.0).abs() < 1e-6);
    assert_eq!(prediction.suggested, (left * 0.5 / 3600.0).ceil() as u64);
}
