//! The cost of the master itself per task: time, memory and allocations, without a transport.

use std::collections::VecDeque;
use std::time::Instant;

use super::*;
use crate::master::{Action, emptied};
use crate::model::Assignment;
use crate::util::usage;

/// A master, and workers that answer at once with plain numbers; a batch takes `seconds` per task.
struct Answering {
    master: Master,
    given: VecDeque<(usize, Assignment)>,
    actions: Vec<Action<'static>>,
    batch: RunBatch<'static>,
    now: Duration,
    seconds: f64,
    runs: u64,
    closed: u64,
}

impl Answering {
    fn start(sizes: &[u64], workers: usize, batch: Option<u64>, seconds: f64) -> Answering {
        let nest = LoopNest::sized(sizes, 1);
        let lease = Some(Duration::from_secs(10));
        let config = MasterConfig { workers, batch, lease, ..MasterConfig::default() };
        let master = Master::new(nest, config);
        let (given, actions, batch) = (VecDeque::new(), Vec::new(), RunBatch::default());
        let now = Duration::ZERO;
        let mut all = Answering { master, given, actions, batch, now, seconds, runs: 0, closed: 0 };
        for rank in 1..=workers {
            let host = String::new();
            all.on(Event::Joined { rank, host, threads: 1 });
            all.on(Event::Done { rank, report: Report::default() });
        }
        all
    }

    fn on(&mut self, event: Event) {
        let mut actions: Vec<Action> = std::mem::take(&mut self.actions);
        self.master.on(event, self.now, &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Assign { rank, assignment } => self.given.push_back((rank, assignment)),
                Action::Close(_) => self.closed += 1,
                Action::Record { runs, .. } => self.runs += runs.count(),
                _ => {}
            }
        }
        self.actions = emptied(actions);
    }

    /// The worker with the oldest assignment answers; false if there is none.
    fn step(&mut self) -> bool {
        let Some((rank, Assignment { first, count, attempt })) = self.given.pop_front() else {
            return false;
        };
        let mut batch = std::mem::take(&mut self.batch);
        batch.restart(first, attempt, 0.0);
        for task in first..first + count {
            batch.push_number((task % 1009) as f64, self.seconds);
        }
        self.now += Duration::from_micros(1);
        let report = Report { runs: batch.lend(), ..Report::default() };
        self.on(Event::Done { rank, report });
        self.batch = batch;
        true
    }
}

#[test]
fn no_task_costs_an_allocation() {
    for batch in [1, 100] {
        let mut all = Answering::start(&[100, 10_000], 50, Some(batch), 1e-3);
        while all.runs < 20_000 {
            all.step();
        }
        let before = all.runs;
        let counted = allocation_counter::measure(|| {
            while all.runs < before + 200_000 {
                all.step();
            }
        });
        let runs = all.runs - before;
        // Each group allocates a little, and so does each result that arrives out of order.
        let each = counted.count_total as f64 / runs as f64;
        assert!(each < 0.05, "{each} allocations per task, {batch} tasks per message");
    }
}

/// Also a benchmark: `scripts/bench` runs it optimised and prints its output. Without optimisation the size
/// is small and only the allocation counts are checked.
#[test]
fn what_the_master_costs() {
    let say = |what: &str, value: f64| println!("{what} {value:.4}");
    let part = if cfg!(debug_assertions) { 1_000 } else { 1 };
    for (batch, tasks) in [(1, 3_000_000 / part), (1_000, 500_000_000 / part)] {
        let mut all = Answering::start(&[10_000, 1_000_000], 100_000, Some(batch), 0.01);
        let begin = usage::cpu_seconds();
        while all.runs < tasks {
            all.step();
        }
        let seconds = usage::cpu_seconds() - begin;
        say(&format!("us_a_task_batch_{batch}"), seconds * 1e6 / all.runs as f64);
    }
    let begin = Instant::now();
    let mut all = Answering::start(&[100_000 / part, 10_000], 1, None, 0.0);
    say("start_seconds_of_1e9_tasks", begin.elapsed().as_secs_f64());
    while all.step() {}
    assert_eq!((all.runs, all.closed), (1_000_000_000 / part, 100_000 / part));
    say("seconds_for_1e9_tasks", begin.elapsed().as_secs_f64());
    // Ten thousand groups open at once: each worker is in its own group.
    let nest = LoopNest::sized(&[10_000, 100_000], 1);
    let (workers, data, batch) = (10_000, Some(0), Some(1_000));
    let config = MasterConfig { workers, data, batch, ..MasterConfig::default() };
    let mut master = Master::new(nest, config);
    let mut given = VecDeque::new();
    let (mut list, mut batch) = (Vec::new(), RunBatch::default());
    let rounds = if part == 1 { 5 } else { 2 };
    for round in 0..rounds {
        for rank in 1..=10_000 {
            let mut report = Report::default();
            if round > 0
                && let Some(Assignment { first, count, attempt }) = given.pop_front()
            {
                batch.restart(first, attempt, 0.0);
                (0..count).for_each(|_| batch.push_number(1.0, 0.01));
                report.runs = batch.lend();
            }
            let mut actions: Vec<Action> = list;
            master.on(Event::Done { rank, report }, Duration::from_secs(round), &mut actions);
            for action in actions.drain(..) {
                if let Action::Assign { assignment, .. } = action {
                    given.push_back(assignment);
                }
            }
            list = emptied(actions);
        }
    }
    assert_eq!(master.tally().done, (rounds - 1) * 10_000 * 1_000);
    let rss = usage::peak_rss_bytes().unwrap_or(0) as f64;
    say("mib_with_1e4_groups_open", rss / f64::from(1 << 20));
}
