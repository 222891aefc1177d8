//! Final calls in virtual time, with faults: each row that has a result gets one that counts, whatever is lost.

use super::*;
use crate::master::Action;
use crate::model::FinalCall;
use crate::wire::transport::simulated::Faults;

/// A nest of rows whose groups reductions on workers close.
fn world(seed: u64) -> World {
    let reduces = [None, None, Some(Reduce::max()), Some(Reduce::Native)];
    World {
        nest: LoopNest::of_sizes(&[3, 2, 4, 5], reduces).unwrap(),
        require: Completeness::All,
        workers: 1 + seed as usize % 7,
        seed,
        failing: if seed.is_multiple_of(3) { 17 } else { 0 },
        delegates: seed.is_multiple_of(2),
    }
}

fn config(world: &World, retries: u32) -> MasterConfig {
    let lease = Some(Duration::from_secs(10));
    MasterConfig { finals: Some(retries), lease, suspects: true, ..world.config() }
}

/// Whether this attempt at a row fails, of its own.
fn fails(world: &World, call: &FinalCall) -> bool {
    (call.row.index ^ world.seed).is_multiple_of(3) && call.attempt == 1
}

fn play(world: &World, mut master: Master, notes: &mut Notes, faults: Faults) -> Master {
    let crunch = Box::new(|task| (100 * world.takes(task), world.result(task)));
    let finals = Box::new(|call: &FinalCall| {
        let takes = Duration::from_millis(50 + 300 * (call.row.index % 4));
        let score = call.summary.score.map(|score| score + 1.0).unwrap_or(0.0);
        let result = match fails(world, call) {
            true => Err("the first attempt fails".into()),
            false => Ok(Scored::number(score)),
        };
        (takes, result)
    });
    let hub = SimulatedHub::new(world.workers, world.seed, Duration::from_millis(3), crunch);
    let mut hub = hub.with_finals(finals).with_faults(faults);
    notes.rows = Some(2);
    notes.retries |= world.failing > 0; // a failure that may be a worker's own is tried elsewhere
    notes.deadline = Some(Duration::from_secs(900));
    serve(&mut master, &mut hub, notes, Bytes::new(), Vec::new())
        .unwrap_or_else(|error| panic!("seed {}: {error}: {:?}", world.seed, master.tally()));
    master
}

/// The rows that have a result, with its score.
fn rows(notes: &Notes) -> BTreeMap<Key, f64> {
    let of_row = |(key, summary): (&Key, &GroupSummary)| {
        Some((*key, summary.result.as_ref().ok()?.score?)).filter(|(key, _)| key.level == 2)
    };
    notes.summaries.iter().filter_map(of_row).collect()
}

#[test]
fn each_row_with_a_result_gets_one_final_that_counts_whatever_is_lost() {
    let (mut lost, mut refused, mut later) = (0, 0, 0);
    for seed in 0..400 {
        let world = world(seed);
        let faults = Faults {
            dying: (world.workers - 1, 0.02),
            lost: 0.03,
            doubled: 0.03,
            late: (0.03, Duration::from_secs(30)),
            ..Faults::default()
        };
        let mut notes = Notes::default();
        let master = play(&world, world.master_with(config(&world, 1)), &mut notes, faults);
        assert!(master.is_complete() && master.is_over(), "seed {seed}: {:?}", master.tally());
        let rows = rows(&notes);
        assert_eq!(notes.finals.len(), rows.len(), "seed {seed}");
        for (row, score) in &rows {
            let made = notes.finals[row].result.as_ref().unwrap();
            assert_eq!(made.score, Some(score + 1.0), "seed {seed}: of another summary");
        }
        let tally = master.tally();
        let counts = (tally.finals, tally.finals_failed);
        assert_eq!(counts, (rows.len() as u64, 0), "seed {seed}");
        (lost, refused) = (lost + tally.lost, refused + tally.refused);
        later += notes.finals.values().filter(|result| result.attempt > 2).count();
    }
    assert!(lost > 100 && refused > 1000 && later > 10, "{lost} {refused} {later}");
}

#[test]
fn without_retries_the_first_attempt_counts_and_no_row_or_limit_is_touched() {
    for seed in 0..100 {
        let world = World { failing: 0, ..world(seed) };
        let policy = Policy { most_failures: Some(0), retries: 5, ..world.config().policy };
        let master = world.master_with(MasterConfig { policy, ..config(&world, 0) });
        let mut notes = Notes::default();
        let master = play(&world, master, &mut notes, Faults::default());
        let failed = notes.finals.values().filter(|result| result.result.is_err()).count() as u64;
        let wanted = (0..6).filter(|row| (row ^ seed).is_multiple_of(3)).count() as u64;
        let tally = master.tally();
        assert_eq!((failed, tally.finals_failed, tally.finals), (wanted, wanted, 6), "seed {seed}");
        assert_eq!((tally.failed, tally.incomplete, tally.done), (0, 0, 120), "seed {seed}");
        assert!(!master.has_given_up() && master.is_complete(), "seed {seed}");
    }
}

#[test]
fn a_failed_final_goes_to_another_worker_and_a_sick_one_hands_it_on() {
    for seed in 0..100 {
        let world = World { failing: 0, workers: 4, ..world(2 * seed) };
        let faults = Faults { failing: 1, decaying: (1, 3), ..Faults::default() };
        let mut notes = Notes { retries: true, ..Notes::default() };
        // One worker fails all that it is given, so that one retry is for a failure of the call's own.
        let master = play(&world, world.master_with(config(&world, 2)), &mut notes, faults);
        assert!(master.is_complete(), "seed {seed}: {:?}", master.tally());
        assert_eq!(master.tally().finals_failed, 0, "seed {seed}: {:?}", notes.finals);
    }
}

#[test]
fn what_a_drain_leaves_the_next_start_makes_and_nothing_else() {
    let (mut left, mut begun) = (0, 0);
    for seed in 0..200 {
        let world = World { failing: 0, workers: 2, ..world(seed) };
        let drain_at = Some(Duration::from_millis(100 * (seed % 60)));
        let mut first = Notes { drain_at, ..Notes::default() };
        let master =
            play(&world, world.master_with(config(&world, 1)), &mut first, Faults::default());
        assert!(master.is_over(), "seed {seed}");
        let made: BTreeSet<Key> =
            first.finals.values().filter(|r| r.result.is_ok()).map(|r| r.row).collect();
        left += 6 - made.len();
        begun += made.len();

        let mut master = world.master_with(config(&world, 1));
        let mut second = Notes { known_finals: made.clone(), rows: Some(2), ..Notes::default() };
        let mut actions = Vec::new();
        for run in first.runs.values() {
            master.on(Event::Recalled(run.outcome.clone()), Duration::ZERO, &mut actions);
            for action in actions.drain(..) {
                match action {
                    Action::Close(summary) => second.close(*summary).unwrap(),
                    Action::Reduce { key, items, .. } => second.reduce(key, items).unwrap(),
                    other => panic!("{other:?}"),
                }
            }
        }
        let master = play(&world, master, &mut second, Faults::default());
        assert!(master.is_complete(), "seed {seed}: {:?}", master.tally());
        assert_eq!(second.runs.len() + first.runs.len(), 120, "seed {seed}: no run is made again");
        assert!(second.finals.keys().all(|row| !made.contains(row)), "seed {seed}: made again");
        assert_eq!(second.finals.len() + made.len(), 6, "seed {seed}");
        assert_eq!((master.tally().finals, master.tally().finals_failed), (6, 0), "seed {seed}");
    }
    assert!(left > 100 && begun > 100, "{left} {begun}");
}

#[test]
fn none_is_begun_that_would_run_past_the_end() {
    // Two rows of one task; the first final takes 30 s, and the second would end after 40 s.
    let nest = LoopNest::of_sizes(&[2, 1], [None, Some(Reduce::max())]).unwrap();
    let end = Some(Duration::from_secs(40));
    let mut master = Master::new(nest, MasterConfig { end, finals: Some(0), ..workers(1) });
    let mut actions = Vec::new();
    let mut on = |event, seconds| {
        actions.clear();
        master.on(event, Duration::from_secs(seconds), &mut actions);
        let is_begun = actions.iter().any(|action| matches!(action, Action::Final { .. }));
        (is_begun, master.is_out_of_time(), master.is_over())
    };
    on(Event::Joined { rank: 1, host: "a".to_string(), threads: 1 }, 0);
    on(Event::Done { rank: 1, report: Report::default() }, 0);
    for task in 0..2 {
        let mut runs = RunBatch::default();
        runs.restart(task, 1, 0.0);
        runs.push_number(1.0, 0.5);
        on(Event::Done { rank: 1, report: Report { runs, ..Report::default() } }, 1);
    }
    let row = |index| Key { level: 1, index };
    let due = |index| {
        let state = FinalState::Due(Scored::number(1.0));
        Event::FinalJudged { row: row(index), state }
    };
    assert_eq!(on(due(0), 1), (true, false, false));
    let waits = on(due(1), 1);
    assert_eq!(waits, (false, false, false), "the only thread is busy");
    let result = FinalResult {
        row: row(0),
        attempt: 1,
        started: 0.0,
        seconds: 30.0,
        result: Ok(Scored::number(2.0)),
        products: None,
    };
    let ended = on(Event::FinalDone { rank: 1, result: Box::new(result) }, 31);
    assert_eq!(ended, (false, true, true), "the second is left to the next start");
}
