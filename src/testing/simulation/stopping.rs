//! Early stopping in virtual time, against nested loops: the winner is that of all runs, or that of a short reference
//! of successive halving, whatever the workers, the order of replies, and what is lost or known from earlier starts.

use std::sync::Arc;

use super::*;
use crate::master::virtual_time::{Simulation, group_level, play};
use crate::model::{
    AttemptResult, BestRule, FoldList, NumberFold, Order, ScoreRange, StopReason, StopRule, Value,
    check_stops, chooser,
};
use crate::wire::transport::simulated::Faults;

const RANGE: ScoreRange = ScoreRange { least: 0.0, most: 0.6 };

/// Worlds one of whose loops stops points.
fn stopping_worlds(rule: impl Strategy<Value = StopRule>) -> impl Strategy<Value = World> {
    let inner = prop::sample::select(vec![
        Reduce::mean(),
        Reduce::sum(),
        Reduce::numbers(NumberFold::Median),
        Reduce::min(),
        Reduce::max(),
    ]);
    let outer = prop::sample::select(vec![Reduce::mean(), Reduce::max(), Reduce::Count]);
    let require =
        prop_oneof![Just(Completeness::All), (0.1f64..=1.0).prop_map(Completeness::Fraction)];
    let rest = (require, 1usize..20, any::<u64>(), 0u64..9);
    (
        RandomNest::any(2..5),
        prop::collection::vec(inner, 4),
        prop::collection::vec(outer, 4),
        (0usize..3, 0usize..3, any::<bool>()),
        rule,
        rest,
    )
        .prop_filter_map("it cannot stop", |(random, inner, around, at, rule, rest)| {
            let (level, outer, greatest) = (at.0, at.1.min(at.0), at.2);
            let depth = random.sizes.len();
            let reduce = |l: usize| match l {
                l if l < outer => None,
                l if l < level => Some(around[l].clone()),
                l if l == level => Some(if greatest { Reduce::max() } else { Reduce::min() }),
                l => Some(inner[l].clone()),
            };
            if level + 1 >= depth {
                return None;
            }
            let reduces: Vec<_> = (0..depth).map(reduce).collect();
            let nest = random.nest(&reduces).ok()?.stopping(level, rule);
            let (require, workers, seed, failing) = rest;
            let failing = if failing < 4 { 0 } else { failing };
            check_stops(&nest, require).ok()?;
            Some(World { nest, require, workers, seed, failing, delegates: false })
        })
}

fn sure() -> impl Strategy<Value = StopRule> {
    Just(StopRule::Sure(RANGE))
}

fn halves() -> impl Strategy<Value = StopRule> {
    (2u64..4, 1u64..3).prop_map(|(by, from)| StopRule::Halve { by, from })
}

/// The level of the loop that stops points, and the sign of its best.
fn rule_of(nest: &LoopNest) -> (usize, f64) {
    let level = nest.loops().iter().position(|l| l.stop.is_some()).unwrap();
    (level, chooser(nest, level).unwrap().sign())
}

impl World {
    /// Plays the job with faults, with these results of earlier starts.
    fn play(&self, faults: Faults, known: &[AttemptResult], seed: u64) -> (Notes, Master) {
        let lease = Some(Duration::from_secs(10));
        let mut master = self.master_with(MasterConfig { lease, ..self.config() });
        let mut actions = Vec::new();
        for run in known {
            master.on(Event::Recalled(run.clone()), Duration::ZERO, &mut actions);
        }
        master.end_recall(&mut actions);
        let crunch = Box::new(|task| (10 * self.takes(task), self.result(task)));
        let hub = SimulatedHub::new(self.workers, seed, Duration::from_millis(3), crunch);
        let mut hub = hub.with_faults(faults);
        let mut notes = Notes { deadline: Some(Duration::from_secs(3000)), ..Notes::default() };
        serve(&mut master, &mut hub, &mut notes, Bytes::new(), actions)
            .unwrap_or_else(|error| panic!("{error}: {:?}, {self:?}", master.tally()));
        assert!(master.is_complete() && master.is_over(), "{:?}", master.tally());
        (notes, master)
    }

    /// Plays the job with results made of its own.
    fn play_records(&self, record: impl Fn(Scored) -> Scored + 'static) -> (Notes, Master) {
        let (world, mut notes) = (self.clone(), Notes::default());
        let crunch =
            Box::new(move |task| (10 * world.takes(task), world.result(task).map(&record)));
        let mut hub = SimulatedHub::new(self.workers, self.seed, Duration::from_millis(3), crunch);
        let mut master = self.master();
        serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
        (notes, master)
    }

    fn known(&self, task: u64) -> AttemptResult {
        let (attempt, started, seconds) = (1, 0.0, 0.1);
        AttemptResult { task, attempt, started, seconds, result: self.result(task) }
    }
}

/// The tasks below a key.
fn below(nest: &LoopNest, key: &Key) -> Range<u64> {
    nest.tasks_below(*key)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// What is not computed counts with the best score that it can have.
    #[test]
    fn surely_stopped_points_leave_the_table_of_all_runs(world in stopping_worlds(sure())) {
        let nest = &world.nest;
        let (level, sign) = rule_of(nest);
        let (notes, master) = world.play(Faults::default(), &[], world.seed);
        let skipped = master.tally().skipped;
        prop_assert_eq!(notes.runs.len() as u64 + skipped, nest.tasks());
        let score = |task: u64| match notes.runs.get(&task) {
            Some(run) => run.outcome.result.as_ref().ok().and_then(|scored| scored.score),
            None => Some(RANGE.best(sign)),
        };
        let all = (usize::MAX, 0);
        for group_level in nest.outer()..=level {
            for index in 0..nest.keys(group_level) {
                let key = Key { level: group_level, index };
                let summary = &notes.summaries[&key];
                let found = summary.result.as_ref().ok().and_then(|scored| scored.score);
                prop_assert_eq!(found, world.nested(key, all, &score), "{:?}", key);
            }
        }
        // The first of the best points has won, and no stopped one.
        for index in 0..nest.keys(level) {
            let key = Key { level, index };
            let Ok(scored) = &notes.summaries[&key].result else { continue };
            let values = (0..nest.slots(key))
                .map(|slot| world.nested(nest.child(key, slot).unwrap(), all, &score));
            let best = scored.score.map(|best| sign * best);
            let first = values.into_iter().position(|value| value.map(|v| sign * v) == best);
            prop_assert_eq!(first, Some(scored.best[0].slot as usize));
            let winner = nest.child(key, scored.best[0].slot).unwrap();
            prop_assert!(!notes.stopped.contains_key(&winner));
        }
        for (key, point) in &notes.stopped {
            prop_assert_eq!(key.level, level + 1);
            let made = notes.runs.range(below(nest, key)).count() as u64;
            prop_assert_eq!(made, point.asked);
            prop_assert!(point.skipped(nest) > 0, "nothing is saved: {:?}", point);
        }
    }

    /// A field of records is bounded as a score is, whatever else they have, and whichever loop names it.
    #[test]
    fn a_field_is_compared_as_the_score_is(
        world in stopping_worlds(prop_oneof![sure().boxed(), halves().boxed()]),
        is_named_inside: bool,
    ) {
        let (level, _) = rule_of(&world.nest);
        let by = Some("r2".to_string());
        let all = level..world.nest.depth();
        let named = if is_named_inside { world.nest.depth() - 1..world.nest.depth() } else { all };
        let nest = named.fold(world.nest.clone(), |nest, level| {
            let reduce = match nest.loops()[level].reduce.clone().unwrap() {
                Reduce::Best(rule) => {
                    Reduce::Best(Arc::new(BestRule { by: by.clone(), ..BestRule::clone(&rule) }))
                }
                Reduce::Fields(list) => {
                    let mut list = FoldList::clone(&list);
                    list.by = by.clone();
                    Reduce::Fields(Arc::new(list))
                }
                other => other,
            };
            nest.reducing(level, reduce)
        });
        if check_stops(&nest, world.require).is_err() {
            return Ok(()); // another loop around it compares the score
        }
        let records = World { nest, ..world.clone() };
        let (plain, _) = world.play(Faults::default(), &[], world.seed);
        let (found, _) = records.play_records(|scored| {
            let number = scored.score.unwrap_or_default();
            let fields = [("other", -number), ("r2", number)];
            let value = Value::Record(fields.map(|(name, n)| (name.to_string(), Value::Float(n))).to_vec());
            Scored { score: Some(3.0 - number), value: value.into(), ..Scored::default() }
        });
        prop_assert!(plain.runs.keys().eq(found.runs.keys()));
        prop_assert_eq!(&plain.stopped, &found.stopped);
        for (key, summary) in plain.summaries.iter().filter(|(key, _)| key.level == level) {
            let of = |summary: &GroupSummary| {
                summary.result.as_ref().ok().map(|scored| (scored.score, scored.best.clone()))
            };
            prop_assert_eq!(of(summary), of(&found.summaries[key]));
        }
    }

    /// The same by a reference of successive halving.
    #[test]
    fn halves_go_on_as_in_the_reference(world in stopping_worlds(halves())) {
        let nest = &world.nest;
        let (level, sign) = rule_of(nest);
        let Some(StopRule::Halve { by, from }) = nest.loops()[level].stop else { unreachable!() };
        let (notes, _) = world.play(Faults::default(), &[], world.seed);
        let score = |task: u64| world.result(task).ok().and_then(|scored| scored.score);
        let mut made = BTreeSet::new();
        for index in 0..nest.keys(level) {
            let group = Key { level, index };
            let point = |slot: &u64| nest.child(group, *slot).unwrap();
            let mut open: Vec<u64> = (0..nest.slots(group)).collect();
            let mut first = from;
            loop {
                for slot in &open {
                    let children = (0..nest.slots(point(slot)).min(first))
                        .map(|inner| nest.child(point(slot), inner).unwrap());
                    made.extend(children.flat_map(|child| below(nest, &child)));
                }
                if open.iter().all(|slot| nest.slots(point(slot)) <= first) {
                    break;
                }
                let mut ranked: Vec<(f64, u64)> = open
                    .iter()
                    .map(|slot| {
                        let value = world.nested(point(slot), (level + 1, first), &score);
                        (value.map_or(f64::INFINITY, |value| -sign * value), *slot)
                    })
                    .collect();
                ranked.sort_by(|one, other| one.0.total_cmp(&other.0));
                let keep = open.len().div_ceil(by as usize);
                open = ranked[..keep].iter().map(|(_, slot)| *slot).collect();
                open.sort_unstable();
                first *= by;
            }
            let best = open
                .iter()
                .filter_map(|slot| {
                    Some((*slot, world.nested(point(slot), (usize::MAX, 0), &score)?))
                })
                .reduce(|best, other| if sign * other.1 > sign * best.1 { other } else { best });
            if let Ok(scored) = &notes.summaries[&group].result {
                prop_assert_eq!(Some((scored.best[0].slot, scored.score.unwrap())), best);
            } else if world.failing == 0 {
                prop_assert!(false, "{:?}", &notes.summaries[&group]);
            }
            let stopped: Vec<u64> = (0..nest.slots(group)).filter(|slot| !open.contains(slot)).collect();
            let found: Vec<u64> = (0..nest.slots(group))
                .filter(|slot| notes.stopped.contains_key(&point(slot)))
                .collect();
            prop_assert_eq!(found, stopped);
        }
        prop_assert_eq!(notes.runs.keys().copied().collect::<BTreeSet<_>>(), made);
    }

    /// Neither workers nor losses nor what is known change what is made, stopped and found.
    #[test]
    fn decisions_are_the_same_whatever_happens(
        world in stopping_worlds(prop_oneof![sure().boxed(), halves().boxed()]),
        workers in 1usize..30,
        seed: u64,
        part: u64,
    ) {
        let (here, _) = world.play(Faults::default(), &[], world.seed);
        let faults = Faults {
            dying: (workers - 1, 0.02),
            lost: 0.02,
            doubled: 0.02,
            late: (0.02, Duration::from_secs(30)),
            ..Faults::default()
        };
        let there = World { workers, ..world.clone() };
        let (other, _) = there.play(faults, &[], seed);
        prop_assert_eq!(&here.summaries, &other.summaries);
        prop_assert_eq!(&here.stopped, &other.stopped);
        prop_assert!(here.runs.keys().eq(other.runs.keys()));
        // Some are known, or all of the grid: those of the first start, and others.
        let mixed = |task: u64| (task ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60;
        let known: Vec<AttemptResult> = (0..world.nest.tasks())
            .filter(|task| mixed(*task) < part % 17)
            .map(|task| world.known(task))
            .collect();
        let (later, master) = there.play(Faults::default(), &known, seed);
        prop_assert_eq!(&here.summaries, &later.summaries);
        prop_assert_eq!(&here.stopped, &later.stopped);
        let known: BTreeSet<u64> = known.iter().map(|run| run.task).collect();
        let left: Vec<u64> = here.runs.keys().filter(|task| !known.contains(task)).copied().collect();
        prop_assert!(later.runs.keys().eq(left.iter()), "what is known is not computed again");
        prop_assert_eq!(master.tally().done, here.runs.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// What `compare` plays by scores alone makes the same runs, and closes each group once.
    #[test]
    fn a_job_played_by_scores_makes_the_same_runs(
        world in stopping_worlds(prop_oneof![
            Just(StopRule::Sure(ScoreRange { least: -0.8, most: -0.0999 })).boxed(),
            halves().boxed(),
        ]),
        workers in 1usize..30,
    ) {
        let world = World { failing: 0, ..world };
        let nest = &world.nest;
        // Below 0, a run that fails is better for a sum than the best one.
        let score = |scored: Scored| scored.score.unwrap() - 0.7;
        let (notes, _) = world.play_records(move |scored| Scored::number(score(scored)));
        let scores = |task| score(world.result(task).unwrap());
        let flattened = Simulation::flattened(nest, workers, Order::Grid, None);
        let (scores, require) = (Some(&scores as &dyn Fn(u64) -> f64), world.require);
        // Other tasks would take another time together.
        let takes = |task: u64| uniform(task, 5);
        let played = play(&Simulation { scores, require, ..flattened }, &takes);
        prop_assert_eq!(played.tasks, notes.runs.len() as u64);
        let busy: f64 = notes.runs.keys().map(|task| takes(*task)).sum();
        prop_assert!((played.busy - busy).abs() < 1e-6, "{} s of {busy} s", played.busy);
        prop_assert_eq!(played.closed.len() as u64, nest.keys(group_level(nest)));
        prop_assert!(played.closed.is_sorted());
    }
}

#[test]
fn the_reason_says_what_a_point_was_measured_by() {
    // Three points of four folds: 0.1, 0.6, 0.3; the second one is the best, and the third cannot reach it.
    let reduces = [Some(Reduce::max()), Some(Reduce::mean())];
    let nest = LoopNest::of_sizes(&[3, 4], reduces).unwrap().stopping(0, StopRule::Sure(RANGE));
    let mut master = Master::new(nest.clone(), workers(1));
    let crunch = Box::new(|task: u64| {
        let score = [0.1, 0.6, 0.3][task as usize / 4];
        (Duration::from_millis(1), Ok(Scored::number(score)))
    });
    let mut hub = SimulatedHub::new(1, 1, Duration::ZERO, crunch);
    let mut notes = Notes::default();
    serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
    let made: Vec<u64> = notes.runs.keys().copied().collect();
    assert_eq!(made, [0, 4, 5, 6, 7, 8]);
    let whys: Vec<_> = notes.stopped.values().map(|point| point.why.clone()).collect();
    let bound = |first: f64| (first + 0.6 + 0.6 + 0.6) / 4.0;
    assert_eq!(
        whys,
        [0.1, 0.3].map(|first| StopReason::Beaten { bound: bound(first), slot: 1, best: 0.6 })
    );
}

#[test]
fn zeros_of_either_sign_are_equal_and_go_on_in_grid_order() {
    let reduces = [Some(Reduce::max()), Some(Reduce::mean())];
    let rule = StopRule::Halve { by: 2, from: 1 };
    let nest = LoopNest::of_sizes(&[2, 4], reduces).unwrap().stopping(0, rule);
    let mut master = Master::new(nest, workers(1));
    let crunch = Box::new(|task: u64| {
        (Duration::from_millis(1), Ok(Scored::number([-0.0, 0.0][task as usize / 4])))
    });
    let mut hub = SimulatedHub::new(1, 1, Duration::ZERO, crunch);
    let mut notes = Notes::default();
    serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
    assert_eq!(notes.runs.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

/// A number from 0 to 1 that depends on the task alone.
fn uniform(task: u64, salt: u64) -> f64 {
    let mut mixed = (task ^ salt.rotate_left(40)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// 20 data sets x 60 points x 10 folds of log-normal durations on 8 workers: decisions keep no worker waiting, since
/// others' tasks fill the time until they are made.
#[test]
fn workers_are_busy_while_points_are_decided() {
    let reduces = [None, Some(Reduce::min()), Some(Reduce::mean())];
    let range = ScoreRange { least: 0.0, most: f64::INFINITY };
    for rule in [StopRule::Sure(range), StopRule::Halve { by: 3, from: 1 }] {
        let all = LoopNest::of_sizes(&[20, 60, 10], reduces.clone()).unwrap();
        for salt in 1..6 {
            let normal = |task: u64, salt: u64| {
                let (u, v) = (uniform(task, salt).max(1e-12), uniform(task, salt + 99));
                (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
            };
            let takes = |task: u64| Duration::from_secs_f64(10.0 * normal(task, salt).exp());
            // Errors of points spread over an order of magnitude; folds of one point lie closer together.
            let score =
                |task: u64| (normal(task / 10, salt + 7) + 0.3 * normal(task, salt + 8)).exp();
            let play = |nest: &LoopNest| {
                let config = MasterConfig { batch: Some(1), ..workers(8) };
                let mut master = Master::new(nest.clone(), config);
                let crunch = Box::new(|task| (takes(task), Ok(Scored::number(score(task)))));
                let mut hub = SimulatedHub::new(8, salt, Duration::from_millis(1), crunch);
                let mut notes = Notes::default();
                serve(&mut master, &mut hub, &mut notes, Bytes::new(), Vec::new()).unwrap();
                let ends = |run: &Run| run.outcome.started + run.outcome.seconds;
                let end = notes.runs.values().map(ends).fold(0.0, f64::max);
                let durations = notes.runs.keys().map(|task| takes(*task).as_secs_f64());
                let (sum, longest) =
                    durations.fold((0.0, 0.0_f64), |(sum, longest), d| (sum + d, longest.max(d)));
                (notes.runs.len(), end, (sum / 8.0).max(longest))
            };
            let (runs, makespan, bound) = play(&all.clone().stopping(1, rule));
            let (full, whole, _) = play(&all);
            println!(
                "{rule:?}: {runs} of {full} runs, {makespan:.0} of {whole:.0} s, {:.3} of the bound",
                makespan / bound
            );
            assert!(makespan <= 1.05 * bound, "{rule:?}: {makespan} s of at least {bound} s");
            assert!(runs < full / 2, "{rule:?}: {runs} runs");
        }
    }
}
