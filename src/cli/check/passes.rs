//! Which tasks are checked, and how they are put on workers that live on: orders, numbers of workers, batches.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::cli::plan::durations::RecordedDurations;
use crate::cli::plan::pilot::spread;
use crate::executor::Slot;
use crate::job::{Job, digest};

/// The numbers of workers that run at the same time, one pass for each.
const AT_ONCE: [usize; 3] = [2, 3, 4];

/// One time through all tasks.
pub(super) struct CheckPass {
    pub(super) name: String,
    pub(super) shares: Vec<Share>,
}

impl CheckPass {
    /// What one of the workers does, while the others do nothing.
    pub(super) fn without_neighbours(&self, rank: usize) -> CheckPass {
        let own = self.shares.iter().filter(|share| share.place.rank == rank);
        CheckPass {
            name: format!("{}, without neighbours", self.name),
            shares: own.cloned().collect(),
        }
    }
}

/// What one worker does, batch by batch.
#[derive(Clone)]
pub(super) struct Share {
    pub(super) place: Slot,
    pub(super) batches: Vec<Range<u64>>,
}

/// `count` tasks in grid order: most are spread over the grid; the others follow directly behind one of these,
/// so that there are batches, and tasks that share their outer points.
pub(super) fn choose(job: &Job, count: u64) -> Vec<u64> {
    let (all, unknown) = (job.nest.tasks(), RecordedDurations::unknown(job));
    let count = count.min(all);
    let mut chosen: BTreeSet<u64> =
        spread(&job.nest, &unknown, count - count / 3).into_iter().collect();
    for task in chosen.clone() {
        if chosen.len() as u64 == count {
            break;
        }
        if task + 1 < all {
            chosen.insert(task + 1);
        }
    }
    for task in spread(&job.nest, &unknown, count).into_iter().chain(0..all) {
        if chosen.len() as u64 == count {
            break;
        }
        chosen.insert(task);
    }
    chosen.into_iter().collect()
}

/// The place of a task that runs alone.
pub(super) fn alone(cores: usize) -> Slot {
    Slot { rank: 1, thread: 0, cores, granted: None }
}

/// Passes through these tasks, which are in grid order.
pub(super) fn passes(tasks: &[u64], cores: usize) -> Vec<CheckPass> {
    let batches = batches(tasks);
    let singles: Vec<_> = tasks.iter().map(|task| *task..task + 1).collect();
    let mut passes = vec![
        CheckPass {
            name: "one worker, in the order of the grid".to_string(),
            shares: vec![Share { place: alone(cores), batches: batches.clone() }],
        },
        CheckPass {
            name: "one worker, in the reverse order".to_string(),
            shares: vec![Share {
                place: Slot { rank: 2, thread: 1, ..alone(cores) },
                batches: singles.iter().rev().cloned().collect(),
            }],
        },
    ];
    for workers in AT_ONCE.into_iter().filter(|workers| *workers <= tasks.len()) {
        // Whole batches once, if there are enough of them.
        let units = if workers == 3 && batches.len() >= 3 { &batches } else { &singles };
        let mut shares: Vec<Share> = (1..=workers)
            .map(|rank| Share { place: Slot { rank, ..alone(cores) }, batches: Vec::new() })
            .collect();
        for (at, unit) in shuffled(units, workers).into_iter().enumerate() {
            shares[at % workers].batches.push(unit);
        }
        passes.push(CheckPass {
            name: format!("{workers} workers at once, in random order"),
            shares,
        });
    }
    passes
}

/// How long short tasks are repeated side by side: a chance meeting may take many tries. (seconds)
const REPEATED: f64 = 2.0;

/// The most times that the tasks are repeated.
const MOST_REPEATED: f64 = 50.0;

/// All tasks side by side, again and again, if they are short: once takes `seconds`. No task runs beside
/// itself.
pub(super) fn repeated(tasks: &[u64], cores: usize, seconds: f64) -> Option<CheckPass> {
    let times = (REPEATED / seconds).min(MOST_REPEATED) as usize;
    let workers = AT_ONCE.into_iter().filter(|workers| *workers <= tasks.len()).max()?;
    let singles: Vec<_> = tasks.iter().map(|task| *task..task + 1).collect();
    let mut shares: Vec<Share> = (1..=workers)
        .map(|rank| Share { place: Slot { rank, ..alone(cores) }, batches: Vec::new() })
        .collect();
    for seed in 0..times {
        // Only whole rounds: the next repetition begins with a new one.
        for round in shuffled(&singles, 100 + seed).chunks_exact(workers) {
            for (share, unit) in shares.iter_mut().zip(round) {
                share.batches.push(unit.clone());
            }
        }
    }
    let name = format!("{workers} workers at once, {times} times in random orders");
    (times > 0).then_some(CheckPass { name, shares })
}

/// Tasks that follow one another, together.
fn batches(tasks: &[u64]) -> Vec<Range<u64>> {
    let mut batches: Vec<Range<u64>> = Vec::new();
    for task in tasks {
        match batches.last_mut() {
            Some(last) if last.end == *task => last.end += 1,
            _ => batches.push(*task..task + 1),
        }
    }
    batches
}

/// In a random order that is the same in every check.
fn shuffled(batches: &[Range<u64>], seed: usize) -> Vec<Range<u64>> {
    let mut order = batches.to_vec();
    order.sort_by_cached_key(|batch| digest(format!("{seed} {}", batch.start).as_bytes()));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plan::prediction_tests::job;

    #[test]
    fn what_is_chosen_is_spread_and_has_neighbours() {
        for (sizes, count) in [(&[10, 10][..], 12), (&[3], 12), (&[5, 4, 50], 30), (&[7], 1)] {
            let job = job(sizes);
            let tasks = choose(&job, count);
            assert_eq!(tasks.len() as u64, count.min(job.nest.tasks()), "{sizes:?}");
            assert!(tasks.is_sorted_by(|a, b| a < b));
            assert!(tasks.iter().all(|task| *task < job.nest.tasks()));
            let grouped = batches(&tasks);
            assert!(count == 1 || grouped.iter().any(|batch| batch.end - batch.start > 1));
        }
    }

    #[test]
    fn each_pass_has_each_task_once() {
        let tasks = [0, 1, 5, 6, 7, 20, 31];
        let passes = passes(&tasks, 1);
        assert_eq!(passes.len(), 5);
        for pass in &passes {
            let shares = pass.shares.iter().flat_map(|share| &share.batches);
            let mut all: Vec<u64> = shares.flat_map(Clone::clone).collect();
            all.sort_unstable();
            assert_eq!(all, tasks, "{}", pass.name);
        }
        let again = repeated(&tasks, 1, 0.1).unwrap();
        let rounds = again.shares[0].batches.len();
        assert_eq!((again.shares.len(), rounds), (4, 20));
        for round in 0..rounds {
            let mut at_once: Vec<_> =
                again.shares.iter().map(|share| share.batches[round].start).collect();
            at_once.sort_unstable();
            at_once.dedup();
            assert_eq!(at_once.len(), 4, "no task runs beside itself");
        }
        assert!(repeated(&tasks, 1, 60.0).is_none());
        assert_eq!(super::passes(&[3], 1).len(), 2, "one task has no neighbours");
    }
}
