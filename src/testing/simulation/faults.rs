//! Faults in virtual time: stops, failures, earlier starts, lost workers, stragglers.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::master::Action;
use crate::model::Tally;
use crate::wire::transport::simulated::Faults;

#[test]
fn a_stopped_job_begins_nothing_more_and_keeps_what_was_under_way() {
    for seed in 0..50 {
        let world = World {
            nest: LoopNest::of_sizes(&[20, 30], vec![None, Some(Reduce::Native)]).unwrap(),
            require: Completeness::All,
            workers: 7,
            seed,
            failing: 5,
            delegates: seed % 2 == 0,
        };
        let mut master = world.master();
        // Long enough that no worker holds more than one task.
        let takes = |task| Duration::from_millis(60) + world.takes(task);
        let crunch = Box::new(|task| (takes(task), world.result(task)));
        let mut hub = SimulatedHub::new(7, seed, Duration::from_millis(3), crunch);
        let mut notes = Notes { stop_after: Some(100), ..Notes::default() };
        serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
        assert!(!master.is_complete() && master.is_over(), "seed {seed}");
        assert_eq!(hub.dismissed(), 7, "seed {seed}");
        // Each worker had at most one running task; those that failed afterwards are still to do.
        assert!((100..=107).contains(&notes.runs.len()), "seed {seed}: {}", notes.runs.len());
        assert!(notes.runs.keys().all(|task| *task < 107), "seed {seed}");
    }
}

#[test]
fn a_failed_run_is_tried_as_often_as_it_may_be() {
    for seed in 0..30 {
        let nest = LoopNest::of_sizes(&[5, 40], [None, Some(Reduce::Count)]).unwrap();
        let require = Completeness::Fraction(0.1);
        let policy = Policy { retries: 2, require, ..Policy::default() };
        let mut master = Master::new(nest, MasterConfig { policy, ..workers(6) });
        let mut attempts = BTreeMap::<u64, u32>::new();
        let crunch = Box::new(|task: u64| {
            let attempt = attempts.entry(task).or_default();
            *attempt += 1;
            // Task n fails n % 5 times: one in five uses up its attempts, one in five never succeeds.
            let result = if u64::from(*attempt) > task % 5 {
                Ok(Scored::number(1.0))
            } else {
                Err("no".into())
            };
            (Duration::from_micros(task ^ seed), result)
        });
        let mut hub = SimulatedHub::new(6, seed, Duration::from_millis(1), crunch);
        let mut notes = Notes { retries: true, ..Notes::default() };
        serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
        drop(hub);
        assert!(
            attempts.iter().all(|(task, n)| u64::from(*n) == (task % 5 + 1).min(3)),
            "seed {seed}"
        );
        assert_eq!(
            (master.tally().failed, master.tally().retried),
            (80, 40 * (1 + 2 + 2 + 2)),
            "seed {seed}"
        );
        let count = |summary: &GroupSummary| summary.result.as_ref().unwrap().score;
        assert!(
            notes.summaries.values().all(|summary| count(summary) == Some(24.0)),
            "seed {seed}"
        );
    }
}

#[test]
fn while_the_store_is_full_nothing_is_given_out() {
    let mut master = Master::new(LoopNest::sized(&[2], 1), workers(1));
    let mut actions = Vec::new();
    let asks = Event::Done { rank: 1, report: Report::default() };
    master.hold(true);
    master.on(asks, Duration::ZERO, &mut actions);
    assert_eq!(actions, []);
    master.hold(false);
    master.on(Event::Tick, Duration::ZERO, &mut actions);
    assert!(matches!(actions[..], [Action::Assign { rank: 1, .. }]));

    let world = World {
        nest: LoopNest::of_sizes(&[20, 30], vec![None, Some(Reduce::Native)]).unwrap(),
        require: Completeness::All,
        workers: 7,
        seed: 3,
        failing: 5,
        delegates: true,
    };
    let mut master = world.master();
    let crunch = Box::new(|task| (world.takes(task), world.result(task)));
    let mut hub = SimulatedHub::new(7, 3, Duration::from_millis(3), crunch);
    let mut notes = Notes { slow_disk: true, ..Notes::default() };
    serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
    assert_eq!(notes.summaries, world.simulate().summaries);
}

#[test]
fn too_many_failures_stop_the_job() {
    let nest = LoopNest::sized(&[1000], 1);
    let policy = Policy { most_failures: Some(10), ..Policy::default() };
    let mut master = Master::new(nest, MasterConfig { policy, ..workers(7) });
    let crunch = Box::new(|task| (Duration::from_millis(task % 3), Err("no".into())));
    let mut hub = SimulatedHub::new(7, 3, Duration::from_millis(1), crunch);
    let mut notes = Notes::default();
    serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
    assert!(master.has_given_up() && master.is_over());
    assert_eq!(notes.runs.len(), 11, "a later failure counts as cancelled");
}

#[test]
fn recalled_runs_are_not_dispensed_and_end_the_same() {
    for seed in 0..40u64 {
        let world = World {
            nest: LoopNest::of_sizes(
                &[3, 4, 5],
                vec![None, Some(Reduce::max()), Some(Reduce::Native)],
            )
            .unwrap(),
            require: Completeness::Fraction(0.3),
            workers: 5,
            seed,
            failing: 4,
            delegates: seed % 2 == 0,
        };
        let whole = world.simulate();
        let mut master = world.master();
        let recalled = |task: u64| (task ^ seed).wrapping_mul(0x9E37_79B9) >> 7 & 1 == 0;
        let mut actions = Vec::new();
        for run in whole.runs.values().filter(|run| recalled(run.outcome.task)) {
            master.on(Event::Recalled(run.outcome.clone()), Duration::ZERO, &mut actions);
        }
        let crunch = Box::new(|task| {
            assert!(!recalled(task), "seed {seed}: task {task} was done");
            (world.takes(task), world.result(task))
        });
        let mut hub = SimulatedHub::new(5, seed, Duration::from_millis(3), crunch);
        let mut notes = Notes::default();
        serve(&mut master, &mut hub, &mut notes, Bytes::new(), actions).unwrap();
        drop(hub);
        assert_eq!(notes.summaries, whole.summaries, "seed {seed}");
        assert_eq!(master.tally().done, 60);
    }
}

#[test]
fn what_a_lost_worker_held_is_done_by_others() {
    for seed in 0..60 {
        let world = World {
            nest: LoopNest::of_sizes(
                &[4, 5, 6],
                vec![None, Some(Reduce::sum()), Some(Reduce::Native)],
            )
            .unwrap(),
            require: Completeness::All,
            workers: 8,
            seed,
            failing: 0,
            delegates: seed % 3 != 0,
        };
        let whole = world.simulate();
        let mut master = world.master();
        let crunch = Box::new(|task| (world.takes(task), world.result(task)));
        let hub = SimulatedHub::new(8, seed, Duration::from_millis(3), crunch);
        let mut hub = hub.with_faults(Faults { breaking: (7, 0.2), ..Faults::default() });
        let mut notes = Notes::default();
        serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
        assert!(master.is_complete() && hub.broken() > 0, "seed {seed}");
        assert_eq!(hub.dismissed() + hub.broken(), 8, "seed {seed}");
        assert_eq!(notes.summaries, whole.summaries, "seed {seed}");
        let again = notes.runs.values().filter(|run| run.outcome.attempt > 1).count() as u64;
        assert!(again <= master.tally().given_back, "seed {seed}");
    }
}

#[test]
fn when_the_last_worker_is_lost_it_is_said() {
    let nest = LoopNest::sized(&[100], 1);
    let mut master = Master::new(nest, workers(3));
    let crunch = Box::new(|_| (Duration::from_millis(1), Ok(Scored::number(1.0))));
    let faults = Faults { breaking: (3, 0.1), ..Faults::default() };
    let mut hub = SimulatedHub::new(3, 1, Duration::ZERO, crunch).with_faults(faults);
    let served = serve(&mut master, &mut hub, &mut Notes::default(), Bytes::new(), Vec::new());
    assert!(served.unwrap_err().to_string().contains("no worker is left"));
}

#[test]
fn a_straggler_is_given_out_twice_and_the_first_result_counts() {
    for seed in 0..40 {
        let nest = LoopNest::of_sizes(&[10, 10], [None, Some(Reduce::sum())]).unwrap();
        let policy = Policy { speculate: true, ..Policy::default() };
        let mut master = Master::new(nest, MasterConfig { policy, ..workers(8) });
        let mut calls = BTreeMap::<u64, u32>::new();
        // One of the last ten tasks takes an hour on its first call.
        let crunch = Box::new(|task: u64| {
            let call = calls.entry(task).or_default();
            *call += 1;
            let slow = task == 90 + seed % 10 && *call == 1;
            let takes = if slow { Duration::from_secs(3600) } else { Duration::from_secs(1) };
            (takes, Ok(Scored::number(task as f64)))
        });
        let mut hub = SimulatedHub::new(8, seed, Duration::from_millis(1), crunch);
        let mut notes = Notes::default();
        serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
        drop(hub);
        assert_eq!(notes.runs.len(), 100, "seed {seed}: each stored once");
        let last = notes.summaries.values().last().unwrap().result.as_ref().unwrap().score;
        assert_eq!(last, Some((90..100).sum::<i32>().into()), "seed {seed}");
        let twice = calls.values().filter(|calls| **calls > 1).count() as u64;
        assert_eq!(master.tally().dropped, twice, "seed {seed}");
        assert_eq!(twice, 1, "seed {seed}");
        let waited = notes.runs.values().map(|run| run.outcome.started).fold(0.0, f64::max);
        assert!(waited < 60.0, "seed {seed}: no start waits an hour");
    }
}

/// A hundred workers, half of which may crash or stop working; messages are lost, duplicated, delayed and
/// reordered. Every run is recorded once and every group has its value, for any seed.
#[test]
fn whatever_is_lost_doubled_late_or_dead_every_run_is_there_once() {
    let next = AtomicU64::new(0);
    let survive_some = || {
        let mut all = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= 10_000 {
                return all;
            }
            let tally = survive(seed);
            all.lost += tally.lost;
            all.given_back += tally.given_back;
            all.refused += tally.refused;
        }
    };
    let all: Vec<Tally> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..2).map(|_| scope.spawn(survive_some)).collect();
        started.into_iter().map(|thread| thread.join().expect("it says its seed")).collect()
    });
    let sum = |of: fn(&Tally) -> u64| all.iter().map(of).sum::<u64>();
    let (lost, back, refused) = (sum(|t| t.lost), sum(|t| t.given_back), sum(|t| t.refused));
    assert!(lost > 10_000 && back > 100_000 && refused > 100_000, "{lost} {back} {refused}");
}

/// Simulates the world of a seed; returns the tally.
fn survive(seed: u64) -> Tally {
    let world = World {
        nest: LoopNest::of_sizes(
            &[4, 6, 10],
            vec![None, Some(Reduce::sum()), Some(Reduce::Native)],
        )
        .unwrap(),
        require: Completeness::Fraction(0.2),
        workers: 100,
        seed,
        failing: 7 * (seed % 2),
        delegates: !seed.is_multiple_of(3),
    };
    let lease = Some(Duration::from_secs(10));
    let mut master = world.master_with(MasterConfig { lease, ..world.config() });
    let crunch = Box::new(|task| (100 * world.takes(task), world.result(task)));
    let faults = Faults {
        breaking: (25, 0.02),
        dying: (25, 0.05),
        lost: 0.03,
        doubled: 0.03,
        late: (0.03, Duration::from_secs(30)),
        ..Faults::default()
    };
    let hub = SimulatedHub::new(100, seed, Duration::from_millis(300), crunch);
    let mut hub = hub.with_faults(faults);
    let mut notes = Notes { deadline: Some(Duration::from_secs(600)), ..Notes::default() };
    serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new())
        .unwrap_or_else(|error| panic!("seed {seed}: {error}: {:?}", master.tally()));
    assert!(master.is_complete(), "seed {seed}: {:?}", master.tally());
    assert_eq!(notes.runs.len(), 240, "seed {seed}");
    for (task, run) in &notes.runs {
        let missing = (1..run.outcome.attempt).find(|n| !notes.given_back.contains(&(*task, *n)));
        assert_eq!(missing, None, "seed {seed}: an attempt at task {task} is not accounted for");
    }
    let nest = world.nest.clone();
    assert_eq!(notes.summaries.len() as u64, groups(&nest), "seed {seed}");
    for (key, summary) in &notes.summaries {
        let score = summary.result.as_ref().ok().and_then(|scored| scored.score);
        let serial = world.serial(*key);
        let same = match (score, serial) {
            (Some(score), Some(serial)) => (score - serial).abs() < 1e-9,
            (score, serial) => score == serial,
        };
        assert!(same, "seed {seed}: {key:?} {score:?} {serial:?}");
    }
    master.tally()
}
