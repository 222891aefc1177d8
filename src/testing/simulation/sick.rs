//! Workers that cannot work, in virtual time: they cost no run, and few attempts.

use super::*;
use crate::wire::transport::simulated::Faults;

/// Healthy workers, workers that say that they cannot work, and workers that fail everything.
fn play(seed: u64, counts: (usize, usize, usize), failing: u64) -> (Result<()>, Notes, Master) {
    let (healthy, unfit, bad) = counts;
    let workers = healthy + unfit + bad;
    let world = World {
        sizes: vec![4, 5, 6],
        reduces: vec![None, Some(Reduce::Sum), Some(Reduce::Native)],
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
            sizes: vec![120],
            reduces: vec![None],
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
