//! The other strategies: each keeps to its own order, and gives the same results despite faults.

use super::*;
use crate::master::Strategy as Way;
use crate::model::Order;
use crate::wire::transport::simulated::Faults;

const WAYS: [Way; 7] = [
    Way::Flattened,
    Way::Serial,
    Way::Outer,
    Way::Inner,
    Way::Split { outer: 1, inner: 1 },
    Way::Split { outer: 3, inner: 4 },
    Way::Split { outer: 6, inner: 1 },
];

fn world(seed: u64) -> World {
    World {
        nest: LoopNest::of_sizes(&[9, 3, 4], vec![None, Some(Reduce::sum()), Some(Reduce::Native)])
            .unwrap(),
        require: Completeness::Fraction(0.2),
        workers: 8,
        seed,
        failing: 7 * (seed % 2),
        delegates: !seed.is_multiple_of(3),
    }
}

/// Simulates without faults; returns the runs, ordered by start.
fn runs(world: &World, way: Way) -> Vec<Run> {
    let mut master = world.master_with(MasterConfig { strategy: way, ..world.config() });
    let crunch = Box::new(|task| (10 * world.takes(task), world.result(task)));
    let mut hub = SimulatedHub::new(world.workers, world.seed, Duration::from_millis(3), crunch);
    let mut notes = Notes { deadline: Some(Duration::from_secs(600)), ..Notes::default() };
    serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
    assert_eq!(notes.summaries, world.simulate().summaries, "{way}, seed {}", world.seed);
    let mut runs: Vec<Run> = notes.runs.into_values().collect();
    runs.sort_by(|a, b| a.outcome.started.total_cmp(&b.outcome.started));
    runs
}

fn ranks<'a>(runs: impl IntoIterator<Item = &'a Run>) -> BTreeSet<usize> {
    runs.into_iter().map(|run| run.rank).collect()
}

/// When each point of the outer loop was in progress, and on which workers.
fn points(runs: &[Run]) -> Vec<(f64, f64, BTreeSet<usize>)> {
    let of = |point| runs.iter().filter(move |run| run.outcome.task / 12 == point);
    let ends = |run: &Run| run.outcome.started + run.outcome.seconds;
    let begun = |point| of(point).map(|run| run.outcome.started).fold(f64::MAX, f64::min);
    (0..9).map(|p| (begun(p), of(p).map(ends).fold(0.0, f64::max), ranks(of(p)))).collect()
}

#[test]
fn every_strategy_keeps_to_its_way() {
    for seed in 0..40 {
        let world = world(seed);
        let serial = runs(&world, Way::Serial);
        assert_eq!(ranks(&serial).len(), 1, "seed {seed}");
        assert!(serial.iter().map(|run| run.outcome.task).eq(0..108), "seed {seed}");

        let outer = points(&runs(&world, Way::Outer));
        assert!(outer.iter().all(|(.., ranks)| ranks.len() == 1), "seed {seed}: {outer:?}");
        let all: BTreeSet<_> = outer.iter().flat_map(|(.., ranks)| ranks).collect();
        assert!(all.len() > 4, "seed {seed}: points run concurrently");

        let inner = points(&runs(&world, Way::Inner));
        assert!(inner.windows(2).all(|two| two[0].1 <= two[1].0), "seed {seed}: {inner:?}");
        assert!(inner.iter().all(|(.., ranks)| ranks.len() > 4), "seed {seed}: {inner:?}");

        for (outer, inner) in [(1, 1), (3, 4), (6, 1)] {
            let way = Way::Split { outer, inner };
            let runs = runs(&world, way);
            assert_eq!(ranks(&runs).len() as u64, inner, "seed {seed}, {way}");
            let points = points(&runs);
            let open = |at: f64| points.iter().filter(|p| p.0 <= at && at < p.1).count() as u64;
            let most = points.iter().map(|point| open(point.0)).max().unwrap();
            assert!(most <= outer, "seed {seed}, {way}: {points:?}");
        }
    }
}

/// Workers crash or stop working; messages are lost, duplicated, delayed and reordered.
#[test]
fn whatever_goes_wrong_every_strategy_ends_with_the_same() {
    for seed in 0..1400 {
        let (world, way) = (world(seed), WAYS[(seed % 7) as usize]);
        let config = world.config();
        let (retries, speculate) = ((seed % 3) as u32, seed % 5 < 2);
        let mut master = world.master_with(MasterConfig {
            strategy: way,
            policy: Policy { retries, speculate, ..config.policy },
            lease: Some(Duration::from_secs(10)),
            ..config
        });
        let mut actions = Vec::new();
        let whole = world.simulate();
        for run in whole.runs.values().filter(|run| seed % 2 == 0 && run.outcome.task % 5 < 2) {
            master.on(Event::Recalled(run.outcome.clone()), Duration::ZERO, &mut actions);
        }
        let crunch = Box::new(|task| (100 * world.takes(task), world.result(task)));
        let faults = Faults {
            breaking: (3, 0.05),
            dying: (3, 0.05),
            lost: 0.02,
            doubled: 0.02,
            late: (0.02, Duration::from_secs(20)),
            ..Faults::default()
        };
        let hub = SimulatedHub::new(8, seed, Duration::from_millis(300), crunch);
        let mut hub = hub.with_faults(faults);
        let deadline = Some(Duration::from_secs(3600));
        let mut notes = Notes { deadline, retries: true, ..Notes::default() };
        serve(&mut master, &mut hub, &mut notes, Bytes::new(), actions)
            .unwrap_or_else(|e| panic!("seed {seed}, {way}: {e}: {:?}", master.tally()));
        assert!(master.is_complete(), "seed {seed}, {way}: {:?}", master.tally());
        drop(hub);
        assert_eq!(notes.summaries, whole.summaries, "seed {seed}, {way}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Groups of any sizes, and workers of which some die.
    #[test]
    fn every_strategy_ends_with_the_same_on_nests_of_any_shape(world in worlds(), seed: u64) {
        let world = World { workers: world.workers.max(4), ..world };
        let whole = world.simulate();
        for way in WAYS {
            let config = world.config();
            let mut master = world.master_with(MasterConfig {
                strategy: way,
                lease: Some(Duration::from_secs(10)),
                ..config
            });
            let crunch = Box::new(|task| (100 * world.takes(task), world.result(task)));
            let faults = Faults { breaking: (2, 0.05), lost: 0.02, doubled: 0.02, ..Faults::default() };
            let hub = SimulatedHub::new(world.workers, seed, Duration::from_millis(300), crunch);
            let mut hub = hub.with_faults(faults);
            let deadline = Some(Duration::from_secs(3600));
            let mut notes = Notes { deadline, retries: true, ..Notes::default() };
            serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new())
                .unwrap_or_else(|e| panic!("{way}: {e}: {:?}", master.tally()));
            prop_assert!(master.is_complete(), "{}: {:?}", way, master.tally());
            drop(hub);
            prop_assert_eq!(&notes.summaries, &whole.summaries, "{}", way);
        }
    }
}

#[test]
fn a_stop_or_an_end_ends_every_strategy() {
    for seed in 0..70 {
        let (world, way) = (world(seed), WAYS[(seed % 7) as usize]);
        let end = (seed % 2 == 0).then_some(Duration::from_millis(400));
        let config = MasterConfig { strategy: way, end, ..world.config() };
        let mut master = world.master_with(config);
        let crunch = Box::new(|task| (10 * world.takes(task), world.result(task)));
        let mut hub = SimulatedHub::new(8, seed, Duration::from_millis(3), crunch);
        let stop_after = (seed % 2 == 1).then_some(20);
        let deadline = Some(Duration::from_secs(60));
        let mut notes = Notes { stop_after, deadline, ..Notes::default() };
        serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new())
            .unwrap_or_else(|e| panic!("seed {seed}, {way}: {e}: {:?}", master.tally()));
        assert!(master.is_over(), "seed {seed}, {way}");
        assert_eq!(hub.dismissed(), 8, "seed {seed}, {way}");
    }
}

#[test]
fn a_worker_with_threads_holds_as_many_points() {
    use crate::master::Action;

    let nest = LoopNest::sized(&[5, 4], 1);
    let given = |way: Way| {
        // A strategy determines the order, regardless of the job's.
        let policy = Policy { order: Order::Random(1), ..Policy::default() };
        let config = MasterConfig { strategy: way, policy, data: Some(0), ..workers(2) };
        let mut master = Master::new(nest.clone(), config);
        let mut actions = Vec::new();
        for rank in [1, 2] {
            let host = String::new();
            master.on(Event::Joined { rank, host, threads: 3 }, Duration::ZERO, &mut actions);
            let report = Report::default();
            master.on(Event::Done { rank, report }, Duration::ZERO, &mut actions);
        }
        let task = |action: &Action| match action {
            Action::Assign { rank, assignment } => {
                Some((*rank, assignment.first, assignment.count))
            }
            _ => None,
        };
        actions.iter().filter_map(task).collect::<Vec<_>>()
    };
    assert_eq!(given(Way::Serial), [(1, 0, 1)]);
    let outer = [(1, 0, 1), (1, 4, 1), (1, 8, 1), (2, 12, 1), (2, 16, 1)];
    assert_eq!(given(Way::Outer), outer);
    let inner = [(1, 0, 1), (1, 1, 1), (1, 2, 1), (2, 3, 1)];
    assert_eq!(given(Way::Inner), inner);
    let split = [(1, 0, 1), (1, 1, 1), (1, 2, 1), (2, 3, 1), (2, 4, 1)];
    assert_eq!(given(Way::Split { outer: 2, inner: 5 }), split);
}
