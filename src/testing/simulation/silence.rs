//! All workers silent, in virtual time: rank 0 waits for workers that may come back, but not for workers that
//! are known to have ended.

use super::*;
use crate::master::Action;
use crate::wire::transport::simulated::Faults;

const LEASE: Duration = Duration::from_secs(10);

/// When the workers begin to fall silent, and within what time all of them do.
const FROM: Duration = Duration::from_secs(20);
const WITHIN: Duration = Duration::from_secs(5);

fn world(seed: u64) -> World {
    World {
        nest: LoopNest::of_sizes(
            &[4, 6, 10],
            vec![None, Some(Reduce::sum()), Some(Reduce::Native)],
        )
        .unwrap(),
        require: Completeness::All,
        workers: 1 + seed as usize % 5,
        seed,
        failing: 0,
        delegates: seed.is_multiple_of(2),
    }
}

/// Simulates a job of some minutes; returns the result, the recorder, the end time and the master.
fn play(seed: u64, faults: Faults, notes: Notes) -> (Result<()>, Notes, Duration, Master) {
    let notes = Notes { deadline: Some(Duration::from_secs(3600)), ..notes };
    play_late(seed, faults, Duration::from_millis(300), notes)
}

/// The same with messages that are late by up to `longest_delay`.
fn play_late(
    seed: u64,
    faults: Faults,
    longest_delay: Duration,
    mut notes: Notes,
) -> (Result<()>, Notes, Duration, Master) {
    let world = world(seed);
    let mut master = world.master_with(MasterConfig { lease: Some(LEASE), ..world.config() });
    let takes = |task| Duration::from_millis(500 + (task * 7919 + seed * 104_729) % 4000);
    let crunch = Box::new(|task| (takes(task), world.result(task)));
    let hub = SimulatedHub::new(world.workers, seed, longest_delay, crunch);
    let mut hub = hub.with_faults(faults);
    let served = serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new());
    (served.map(drop), notes, hub.now(), master)
}

fn silent_for(length: Duration) -> Faults {
    Faults { silence: Some((FROM, WITHIN, length)), ..Faults::default() }
}

#[test]
fn workers_that_all_fall_silent_and_come_back_finish_the_job() {
    for seed in 0..200 {
        let faults = silent_for(Duration::from_secs(60));
        let (served, notes, _, master) = play(seed, faults, Notes::default());
        served.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(master.is_complete(), "seed {seed}");
        assert_eq!(master.tally().lost, world(seed).workers as u64, "seed {seed}: all were lost");
        assert_eq!(notes.runs.len(), 240, "seed {seed}");
        assert_eq!(notes.summaries, world(seed).simulate().summaries, "seed {seed}");
        for (task, run) in &notes.runs {
            let mut earlier = 1..run.outcome.attempt;
            let missing = earlier.find(|n| !notes.given_back.contains(&(*task, *n)));
            assert_eq!(missing, None, "seed {seed}: an attempt at task {task} is unaccounted for");
        }
    }
}

#[test]
fn workers_that_stay_silent_are_waited_for_five_minutes() {
    for seed in 0..50 {
        let (served, _, over, _) = play(seed, silent_for(Duration::MAX), Notes::default());
        let error = served.expect_err("nobody can finish it").to_string();
        assert!(error.contains("none came back in 5 minutes"), "seed {seed}: {error}");
        let waited = over - FROM - LEASE;
        assert!(waited >= Duration::from_secs(298), "seed {seed}: {waited:?}");
        assert!(waited <= Duration::from_secs(307), "seed {seed}: {waited:?}");
    }
}

#[test]
fn workers_that_have_all_ended_are_not_waited_for() {
    for seed in 0..50 {
        // Once while the workers are busy, once after they have been silent for a while.
        for after in [5, 60].map(Duration::from_secs) {
            let end = Some(FROM + after);
            let faults = Faults { end, ..silent_for(Duration::MAX) };
            let (served, _, over, _) = play(seed, faults, Notes::default());
            let error = served.expect_err("nobody can finish it").to_string();
            assert!(error.contains("no worker is left that can go on; what"), "{seed}: {error}");
            let took = over - FROM - after;
            assert!(took <= Duration::from_millis(200), "seed {seed}: {took:?}");
        }
    }
}

#[test]
fn a_job_whose_workers_are_all_silent_can_be_ended() {
    for seed in 0..50 {
        let drain = FROM + WITHIN + 3 * LEASE;
        let notes = Notes { drain_at: Some(drain), ..Notes::default() };
        let (served, notes, over, master) = play(seed, silent_for(Duration::MAX), notes);
        served.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(master.is_over() && !master.is_complete(), "seed {seed}");
        assert!(!notes.runs.is_empty(), "seed {seed}");
        let took = over - drain;
        assert!(took <= Duration::from_millis(200), "seed {seed}: {took:?}");
    }
}

/// A message is in flight for a while after it was sent: what a worker says until then is no news.
#[test]
fn over_a_slow_line_the_job_and_each_task_are_sent_once() {
    for seed in 0..100 {
        let faults = Faults { transfer: Duration::from_secs(12), ..Faults::default() };
        let notes = Notes { deadline: Some(Duration::from_secs(100_000)), ..Notes::default() };
        let (served, notes, ..) = play_late(seed, faults, Duration::from_secs(2), notes);
        served.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(notes.joined, world(seed).workers, "seed {seed}: the job was sent again");
        assert!(notes.given_back.is_empty(), "seed {seed}: tasks were taken back");
        assert_eq!(notes.summaries, world(seed).simulate().summaries, "seed {seed}");
    }
}

#[test]
fn rank_0s_own_worker_is_never_silent() {
    let (lease, batch) = (Some(LEASE), Some(1));
    let config = MasterConfig { lowest: 0, workers: 2, lease, batch, ..MasterConfig::default() };
    let mut master = Master::new(LoopNest::sized(&[4], 1), config);
    let mut missed = Vec::new();
    for second in 0..100 {
        let mut actions = Vec::new();
        let event = match second {
            0 | 1 => Event::Done { rank: second, report: Report::default() },
            _ => Event::Tick,
        };
        master.on(event, Duration::from_secs(second as u64), &mut actions);
        missed.extend(actions.into_iter().filter_map(|action| match action {
            Action::Miss { rank } => Some((rank, second)),
            _ => None,
        }));
    }
    assert_eq!(missed, [(1, 12)], "it runs a long task");
    assert!(!master.is_stranded());
}
