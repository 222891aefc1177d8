//! Workers that cannot work, in virtual time: they cost no run, and few attempts.

use super::*;
use crate::master::{Action, Strategy};
use crate::wire::transport::simulated::Faults;

/// Healthy workers, workers that say that they cannot work, and workers that fail everything.
fn play(seed: u64, counts: (usize, usize, usize), failing: u64) -> (Result<()>, Notes, Master) {
    let (healthy, unfit, bad) = counts;
    let workers = healthy + unfit + bad;
    let world = World {
        nest: LoopNest::of_sizes(&[4, 5, 6], vec![None, Some(Reduce::sum()), Some(Reduce::Native)])
            .unwrap(),
        require: Completeness::Fraction(0.01),
        workers,
        seed,
        failing,
        delegates: false,
    };
    let policy = Policy { retries: (seed % 3) as u32, ..world.config().policy };
    let batch = seed.is_multiple_of(4).then_some(7);
    let lease = Some(Duration::from_secs(10));
    let config = MasterConfig { suspects: true, policy, batch, lease, ..world.config() };
    let mut master = world.master_with(config);
    let crunch = Box::new(|task| (100 * world.takes(task), world.result(task)));
    let hub = SimulatedHub::new(workers, seed, Duration::from_millis(3), crunch);
    let mut hub = hub.with_faults(Faults { unfit, failing: bad, ..Faults::default() });
    let deadline = Some(Duration::from_secs(600));
    let mut notes = Notes { retries: true, deadline, ..Notes::default() };
    let served = serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new());
    if served.is_ok() {
        assert_eq!(hub.dismissed(), workers, "seed {seed}: all are told to leave");
    }
    (served.map(drop), notes, master)
}

#[test]
fn sick_workers_cost_no_run_and_are_named() {
    for seed in 0..400 {
        let counts = (1 + seed as usize % 3, seed as usize / 3 % 3, seed as usize / 9 % 4);
        let (served, notes, master) = play(seed, counts, 0);
        served.unwrap_or_else(|error| panic!("seed {seed}: {error}: {:?}", master.tally()));
        assert_eq!((notes.runs.len(), master.tally().failed), (120, 0), "seed {seed}");
        let (healthy, unfit, bad) = counts;
        for rank in 1..=unfit {
            assert_eq!(notes.sick[&rank], "it is unfit", "seed {seed}");
        }
        // Each of the others is found out by the third of its failures that succeeds elsewhere.
        assert_eq!(notes.sick.len(), unfit + bad, "seed {seed}: {:?}", notes.sick);
        assert!(master.tally().retried <= 3 * bad as u64, "seed {seed}: {:?}", master.tally());
        assert!(notes.runs.values().all(|run| run.rank > unfit + bad), "seed {seed}");
        assert!(healthy > 0);
    }
}

#[test]
fn failing_tasks_make_no_worker_sick() {
    for seed in 0..400 {
        let workers = 1 + seed as usize % 7;
        let failing = 1 + seed % 4; // with 1, every task fails
        let (served, notes, master) = play(seed, (workers, 0, 0), failing);
        served.unwrap_or_else(|error| panic!("seed {seed}: {error}: {:?}", master.tally()));
        assert!(master.is_complete() && notes.sick.is_empty(), "seed {seed}: {:?}", notes.sick);
        let failed = notes.runs.values().filter(|run| run.outcome.result.is_err()).count() as u64;
        assert_eq!((master.tally().done, master.tally().failed), (120, failed), "seed {seed}");
        let retries = failed * (seed % 3);
        let extra = master.tally().retried - retries;
        assert!(extra <= 5 * workers as u64, "seed {seed}: {extra} attempts are not counted");
        if failing == 1 && workers > 1 {
            assert_eq!((failed, extra), (120, 3 * workers as u64), "seed {seed}");
        }
    }
}

#[test]
fn failing_tasks_hide_no_sick_worker() {
    for seed in 0..400 {
        let (served, notes, master) = play(seed, (3, 1, 1), 3);
        served.unwrap_or_else(|error| panic!("seed {seed}: {error}: {:?}", master.tally()));
        let serial = World {
            nest: LoopNest::of_sizes(&[120], vec![None]).unwrap(),
            require: Completeness::All,
            workers: 1,
            seed,
            failing: 3,
            delegates: false,
        };
        let good = (0..120).filter(|task| serial.result(*task).is_ok()).count() as u64;
        let lost = good - (120 - master.tally().failed);
        // Tasks that fail everywhere may speak for the sick worker. Then its failures count like others'.
        let found = notes.sick.contains_key(&2);
        assert!(!found || lost == 0, "seed {seed}: {lost} good tasks failed");
    }
}

#[test]
fn where_every_worker_is_sick_it_is_said() {
    for seed in 0..20 {
        let (served, notes, _) = play(seed, (0, 1 + seed as usize % 5, 0), 0);
        let why = served.unwrap_err().to_string();
        assert!(why.contains("no worker is left that can go on"), "seed {seed}: {why}");
        assert_eq!((notes.sick.len(), notes.runs.len()), (1 + seed as usize % 5, 0));
    }
}

#[test]
fn a_second_try_goes_to_another_worker() {
    for seed in 0..100 {
        let nest = LoopNest::of_sizes(&[2, 30], [None, Some(Reduce::Count)]).unwrap();
        let policy = Policy { retries: 1, ..Policy::default() };
        let mut master =
            Master::new(nest, MasterConfig { policy, ..workers(2 + seed as usize % 3) });
        let crunch = Box::new(move |task| {
            (Duration::from_millis(1 + (task ^ seed) % 50), Ok(Scored::number(1.0)))
        });
        let hub = SimulatedHub::new(2 + seed as usize % 3, seed, Duration::from_millis(1), crunch);
        let mut hub = hub.with_faults(Faults { failing: 1, ..Faults::default() });
        let deadline = Some(Duration::from_secs(600));
        let mut notes = Notes { retries: true, deadline, ..Notes::default() };
        serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
        assert_eq!((master.tally().failed, notes.runs.len()), (0, 60), "seed {seed}");
        assert!(notes.runs.values().all(|run| run.rank > 1), "seed {seed}");
    }
}

/// Healthy workers, and workers that cannot call crunch any more after some calls.
fn decay(seed: u64, healthy: usize, decaying: usize) -> (Result<()>, Notes, Master) {
    let workers = healthy + decaying;
    let world = World {
        nest: LoopNest::of_sizes(&[4, 5, 6], vec![None, Some(Reduce::sum()), Some(Reduce::Native)])
            .unwrap(),
        require: Completeness::All,
        workers,
        seed,
        failing: 0,
        delegates: seed.is_multiple_of(2),
    };
    let strategies = [
        Strategy::Flattened,
        Strategy::Outer,
        Strategy::Inner,
        Strategy::Split { outer: 2, inner: 2 },
    ];
    let strategy = strategies[seed as usize % 4];
    let policy = Policy { speculate: seed.is_multiple_of(3), ..world.config().policy };
    let batch = seed.is_multiple_of(5).then_some(7);
    let lease = Some(Duration::from_secs(10));
    let config = MasterConfig { suspects: true, policy, batch, lease, strategy, ..world.config() };
    let mut master = world.master_with(config);
    let crunch = Box::new(|task| (100 * world.takes(task), world.result(task)));
    let hub = SimulatedHub::new(workers, seed, Duration::from_millis(3), crunch);
    let mut hub = hub.with_faults(Faults { decaying: (decaying, seed % 7), ..Faults::default() });
    let deadline = Some(Duration::from_secs(600));
    let mut notes = Notes { deadline, ..Notes::default() };
    let served = serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new());
    if served.is_ok() {
        assert_eq!(notes.summaries, world.simulate().summaries, "seed {seed}");
        assert_eq!(hub.dismissed(), workers, "seed {seed}: all are told to leave");
    }
    (served.map(drop), notes, master)
}

#[test]
fn a_worker_that_cannot_work_any_more_is_sick_despite_its_successes() {
    let mut found = 0;
    for seed in 0..400 {
        let (healthy, decaying) = (1 + seed as usize % 3, 1 + seed as usize / 3 % 4);
        let (served, notes, master) = decay(seed, healthy, decaying);
        served.unwrap_or_else(|error| panic!("seed {seed}: {error}: {:?}", master.tally()));
        let tally = master.tally();
        assert_eq!((notes.runs.len(), tally.failed, tally.retried), (120, 0, 0), "seed {seed}");
        assert!(notes.runs.values().all(|run| run.outcome.attempt == 1), "seed {seed}: uncounted");
        assert!(notes.sick.keys().all(|rank| *rank > healthy), "seed {seed}: {:?}", notes.sick);
        let by_decaying = notes.runs.values().filter(|run| run.rank > healthy).count() as u64;
        assert!(by_decaying <= (seed % 7) * decaying as u64, "seed {seed}");
        found += notes.sick.len();
    }
    assert!(found > 500, "{found}");
}

#[test]
fn where_no_worker_can_work_any_more_what_is_done_is_kept() {
    for seed in 0..100 {
        let (served, notes, _) = decay(seed, 0, 1 + seed as usize % 5);
        let why = served.unwrap_err().to_string();
        assert!(why.contains("no worker is left that can go on"), "seed {seed}: {why}");
        assert!(notes.runs.values().all(|run| run.outcome.result.is_ok()), "seed {seed}");
    }
}

/// A worker that cannot work any more and then dies may still hold tasks.
#[test]
fn what_a_sick_worker_held_when_it_died_is_done_by_others() {
    let nest = LoopNest::sized(&[4], 1);
    let lease = Some(Duration::from_secs(10));
    let mut master = Master::new(nest, MasterConfig { lease, ..workers(2) });
    let mut actions = Vec::new();
    let mut on = |event, seconds| {
        actions.clear();
        master.on(event, Duration::from_secs(seconds), &mut actions);
        actions.clone()
    };
    on(Event::Joined { rank: 1, host: "a".to_string(), threads: 2 }, 0);
    let first = on(Event::Done { rank: 1, report: Report::default() }, 0);
    let held = first.iter().filter(|action| matches!(action, Action::Assign { rank: 1, .. }));
    assert!(held.count() > 0);
    let mut runs = RunBatch::default();
    runs.restart(0, 1, 0.0);
    runs.push(Err(RunError::Unfit("gone".to_string())), 0.0);
    let report = Report { runs, ..Report::default() };
    let sick = on(Event::Done { rank: 1, report }, 1);
    assert!(matches!(sick[..], [Action::Sick { rank: 1, .. }]), "{sick:?}");
    on(Event::Joined { rank: 2, host: "b".to_string(), threads: 1 }, 1);
    on(Event::Done { rank: 2, report: Report::default() }, 1);
    for second in 2..20 {
        on(Event::Heartbeat { rank: 2, idle: false }, second);
    }
    let taken = master.busy().filter(|(rank, ..)| *rank == 1).count();
    assert_eq!(taken, 0, "its tasks went to others");
}

#[test]
fn whose_imports_hang_is_not_waited_for_when_all_is_done() {
    for stops in [false, true] {
        let nest = LoopNest::sized(&[1], 1);
        let mut master = Master::new(nest, workers(2));
        let mut actions = Vec::new();
        let mut on = |event, seconds| {
            actions.clear();
            master.on(event, Duration::from_secs(seconds), &mut actions);
            actions.clone()
        };
        for rank in [1, 2] {
            on(Event::Joined { rank, host: "a".to_string(), threads: 1 }, 0);
        }
        on(Event::Done { rank: 1, report: Report::default() }, 0);
        if stops {
            on(Event::Drain, 50);
        }
        let mut runs = RunBatch::default();
        runs.restart(0, 1, 0.0);
        runs.push_number(1.0, 0.0);
        on(Event::Done { rank: 1, report: Report { runs, ..Report::default() } }, 100);
        if !stops {
            let waits = on(Event::Heartbeat { rank: 2, idle: false }, 119);
            assert_eq!(waits, [], "it may say yet why it cannot work");
        }
        let late = on(Event::Tick, 120);
        let told = |action: &Action| matches!(action, Action::Sick { rank: 2, .. });
        let leaves = Action::Dismiss { rank: 2, skip_finalize: false };
        assert!(stops || late.iter().any(told) && late.contains(&leaves), "{late:?}");
        assert!(master.is_over());
    }
}
