//! Selects the tasks of a pilot: a small sample that covers each loop's points evenly.

use std::collections::BTreeSet;

use crate::cli::plan::durations::RecordedDurations;
use crate::model::{Key, LoopNest};

/// How often to replace tasks that are already done or chosen.
const ROUNDS: u64 = 8;

/// `count` of the remaining tasks (or all, if fewer), spread over the nest, in grid order. Deterministic.
pub(crate) fn spread(nest: &LoopNest, durations: &RecordedDurations, count: u64) -> Vec<u64> {
    let wanted = count.min(durations.left());
    let mut chosen = BTreeSet::new();
    for round in 0..ROUNDS {
        let missing = wanted - chosen.len() as u64;
        let tasks = stratified(nest, missing, round * wanted);
        chosen.extend(tasks.into_iter().filter(|task| !durations.is_done(*task)));
    }
    // If the remaining tasks lie in a corner of the nest, fill up with evenly spaced ones.
    let left = durations.left();
    let step = coprime((left as f64 * GOLDEN) as u64, left);
    let mut nth = 0;
    while (chosen.len() as u64) < wanted {
        chosen.insert(durations.nth_left(nth));
        nth = ((u128::from(nth) + u128::from(step)) % u128::from(left)) as u64;
    }
    chosen.into_iter().collect()
}

const GOLDEN: f64 = 0.618_033_988_749_895;

/// The next number coprime to `with`: steps of that size visit every number below `with`.
fn coprime(mut number: u64, with: u64) -> u64 {
    let common = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    number = number.max(1);
    while common(number, with) > 1 {
        number += 1;
    }
    number
}

/// `count` tasks, possibly with duplicates, spread as evenly as possible along every loop. The ranks of a
/// low-discrepancy sequence replace its values, so that the counts of a loop's points differ by at most one.
/// Other values of `skip` give other tasks.
fn stratified(nest: &LoopNest, count: u64, skip: u64) -> Vec<u64> {
    let mut keys = vec![Key::ROOT; count as usize];
    let ratio = ratio(nest.depth());
    for level in 0..nest.depth() {
        let step = ratio.powi(-(level as i32 + 1));
        let at = |i: u64| ((skip + i + 1) as f64 * step).fract();
        let mut order: Vec<u64> = (0..count).collect();
        order.sort_by(|a, b| at(*a).total_cmp(&at(*b)));
        for (rank, i) in order.into_iter().enumerate() {
            let key = &mut keys[i as usize];
            let slots = u128::from(nest.slots(*key));
            let middle = (2 * rank as u128 + 1) * slots / (2 * u128::from(count));
            *key = nest.child(*key, middle as u64).expect("a middle is inside");
        }
    }
    keys.into_iter().map(|key| key.index).collect()
}

/// The root above 1 of x^(d + 1) = x + 1, which is the golden ratio for d = 1. Its negative powers generate a
/// low-discrepancy sequence in d dimensions (Roberts' R).
fn ratio(dimensions: usize) -> f64 {
    (0..64).fold(1.5, |x: f64, _| (x + 1.0).powf(1.0 / (dimensions as f64 + 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plan::prediction_tests::job;
    use crate::store::ReusableRun;

    #[test]
    fn every_loops_points_come_as_often_as_one_another() {
        for (sizes, count) in [(&[4, 50, 5][..], 100), (&[7, 3], 10), (&[1000, 2], 20)] {
            let job = job(sizes);
            let nest = &job.nest;
            let tasks = spread(nest, &RecordedDurations::unknown(&job), count);
            assert_eq!(tasks.len() as u64, count);
            for (level, size) in sizes.iter().enumerate() {
                let mut times = vec![0u64; *size as usize];
                for task in &tasks {
                    times[nest.indices(nest.task(*task))[level] as usize] += 1;
                }
                let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
                // A duplicate task is replaced by another.
                assert!(most - least <= 2, "{sizes:?}, loop {level}: {times:?}");
            }
        }
    }

    #[test]
    fn a_pilot_sees_every_family() {
        let mut job = job(&[1]);
        job.nest = crate::model::by_hand::families();
        let nest = &job.nest;
        for count in [8, 12, 20] {
            let tasks = spread(nest, &RecordedDurations::unknown(&job), count);
            assert_eq!(tasks.len() as u64, count);
            for (level, size) in [2, 2, 4, 3, 2].into_iter().enumerate() {
                let points: BTreeSet<u64> =
                    tasks.iter().map(|task| nest.indices(nest.task(*task))[level]).collect();
                assert_eq!(points.len(), size, "{count} tasks, loop {level}: {points:?}");
            }
        }
    }

    #[test]
    fn what_is_done_is_not_chosen_and_nothing_twice() {
        let job = job(&[10, 10]);
        let found = (0..97).filter(|task| task % 10 != 3);
        let found =
            found.map(|task| ReusableRun { task, seconds: 1.0, failed: false, score: None });
        let durations = RecordedDurations::found(&job, found);
        let left: Vec<u64> = (0..100).filter(|task| !durations.is_done(*task)).collect();
        for count in 1..=20 {
            let tasks = spread(&job.nest, &durations, count);
            assert_eq!(tasks.len(), left.len().min(count as usize));
            assert!(tasks.iter().all(|task| left.contains(task)), "{tasks:?}");
            assert!(tasks.is_sorted());
        }
        let all = RecordedDurations::found(
            &job,
            (0..100).map(|task| ReusableRun { task, seconds: 1.0, failed: false, score: None }),
        );
        assert!(spread(&job.nest, &all, 5).is_empty());
    }

    #[test]
    fn a_nest_of_any_size_is_no_matter() {
        let job = job(&[1 << 20, 1 << 20, 1 << 20]);
        assert_eq!(spread(&job.nest, &RecordedDurations::unknown(&job), 1000).len(), 1000);
    }
}
