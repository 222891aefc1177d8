//! Hosts that are divided among their workers, in virtual time: with lost workers and lost messages, nothing is given
//! twice, and the job ends.

use super::*;
use crate::model::{Device, Needs, SeenResources};
use crate::wire::transport::simulated::Faults;

/// Each host has two devices, which all its workers see; there are 16 hosts.
fn two_devices(_: usize) -> SeenResources {
    let device = |number: u32| Device { id: number.to_string(), name: number.to_string() };
    let (devices, cpus) = ((0..2).map(device).collect(), (0..4).collect());
    SeenResources { devices, cpus, ..SeenResources::default() }
}

fn play(seed: u64, workers: usize, gpus: f64, faults: Faults) -> (Result<()>, Notes, Master) {
    let world = World {
        nest: LoopNest::of_sizes(&[4, 50], vec![None, Some(Reduce::sum())]).unwrap(),
        require: Completeness::All,
        workers,
        seed,
        failing: 0,
        delegates: false,
    };
    let needs = Needs { gpus: Some(gpus), ..Needs::default() };
    let policy = Policy { needs, ..world.config().policy };
    let lease = Some(Duration::from_secs(10));
    let mut master = world.master_with(MasterConfig { policy, lease, ..world.config() });
    let crunch = Box::new(|task| (100 * world.takes(task), world.result(task)));
    let hub = SimulatedHub::new(workers, seed, Duration::from_millis(3), crunch);
    let mut hub = hub.with_seen(two_devices).with_faults(faults);
    let deadline = Some(Duration::from_secs(3600));
    let mut notes = Notes { retries: true, deadline, ..Notes::default() };
    let served = serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new());
    if served.is_ok() {
        assert!(master.is_over(), "seed {seed}");
    }
    (served.map(drop), notes, master)
}

/// The workers of each host that were given tasks.
fn at_work(notes: &Notes) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut hosts: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for run in notes.runs.values() {
        hosts.entry(run.rank % 16).or_default().insert(run.rank);
    }
    hosts
}

#[test]
fn each_host_is_divided_and_the_others_stay_idle() {
    for seed in 0..100 {
        let workers = 33 + seed as usize % 16;
        let (served, notes, master) = play(seed, workers, 1.0, Faults::default());
        served.unwrap();
        assert!(master.is_complete() && notes.sick.is_empty(), "seed {seed}: {:?}", notes.sick);
        assert_eq!(notes.runs.len(), 200, "seed {seed}");
        // In order of the ranks: the third worker of a host has nothing.
        assert!(notes.runs.values().all(|run| run.rank <= 32), "seed {seed}");
    }
}

#[test]
fn whatever_is_lost_no_device_has_two_workers() {
    for seed in 0..300u64 {
        let workers = 2 + seed as usize % 47;
        let faults = Faults {
            vanishing: (workers / 2, 0.3),
            dying: (workers / 3, 0.01),
            lost: 0.05,
            doubled: 0.05,
            late: (0.1, Duration::from_secs(2)),
            silence: seed.is_multiple_of(3).then_some((
                Duration::ZERO,
                Duration::from_secs(3),
                Duration::from_secs(14),
            )),
            ..Faults::default()
        };
        let (served, notes, master) = play(seed, workers, 1.0, faults);
        let at_work = at_work(&notes);
        assert!(at_work.values().all(|ranks| ranks.len() <= 2), "seed {seed}: {at_work:?}");
        match served {
            Ok(()) => assert!(master.is_complete(), "seed {seed}: {:?}", master.tally()),
            Err(error) => {
                let why = error.to_string();
                assert!(why.contains("no worker is left that can go on"), "seed {seed}: {why}");
            }
        }
    }
}

#[test]
fn workers_that_are_late_do_not_delay_the_others_for_ever() {
    let faults = Faults { vanishing: (7, 1.0), ..Faults::default() };
    for seed in 0..20 {
        let (served, notes, master) = play(seed, 8, 1.0, faults);
        served.unwrap();
        assert!(master.is_complete(), "seed {seed}");
        assert_eq!(at_work(&notes).len(), 1, "seed {seed}: one worker is left");
    }
}

#[test]
fn what_no_worker_of_a_host_has_ends_the_job_before_anything_runs() {
    for seed in 0..50 {
        let workers = 1 + seed as usize % 20;
        let (served, notes, master) = play(seed, workers, 3.0, Faults::default());
        served.unwrap();
        assert!(notes.runs.is_empty() && !master.is_complete(), "seed {seed}");
        let why = notes.refused.unwrap();
        assert!(why.contains("gpus = 3") && why.contains("2 GPUs"), "seed {seed}: {why}");
    }
}
