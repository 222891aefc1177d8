//! Snapshot of a running job for display: workers, open groups and progress.

use std::time::Duration;

use crate::master::Master;
use crate::model::{Key, Tally, Winner};

/// A snapshot of a running job.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) tally: Tally,
    /// Every worker, by rank.
    pub(crate) workers: Vec<WorkerView>,
    /// The first of the outermost groups that are open, in grid order.
    pub(crate) open: Vec<GroupView>,
}

/// The state of a worker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WorkerView {
    pub(crate) rank: usize,
    pub(crate) activity: WorkerActivity,
    pub(crate) threads: u32,
    /// The first task that it holds.
    pub(crate) task: Option<u64>,
    /// How many tasks it holds; a group to reduce and a final call count as one.
    pub(crate) held: u64,
    /// When the first task may have started.
    pub(crate) since: Duration,
    /// Expected duration of the first task in seconds.
    pub(crate) expected: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerActivity {
    /// It has not said hello.
    Away,
    /// It was sent the job and has not asked for work.
    Preparing,
    /// It holds nothing.
    Idle,
    Crunching,
    Reducing,
    /// It makes the final call of a row.
    Finishing,
    /// It cannot work, and is given nothing.
    Sick,
    /// It was dismissed.
    Gone,
    /// It was given up.
    Lost,
}

/// The state of an open group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupView {
    pub(crate) key: Key,
    /// Successful runs below it; runs of inner groups count once these are closed.
    pub(crate) runs: u64,
    pub(crate) failed: u64,
    /// The best score so far and its point, for max and min.
    pub(crate) best: Option<(f64, Vec<Winner>)>,
}

impl Master {
    /// A snapshot with at most `groups` open groups.
    pub(crate) fn view(&self, groups: usize) -> View {
        let expected = |task| self.queue.costs.expect(task);
        let workers = self
            .workers
            .views()
            .map(|worker| WorkerView { expected: worker.task.and_then(expected), ..worker })
            .map(|worker| match worker.activity {
                WorkerActivity::Idle
                    if self.health.is_sick(worker.rank) && !self.health.is_aside(worker.rank) =>
                {
                    WorkerView { activity: WorkerActivity::Sick, ..worker }
                }
                _ => worker,
            });
        let open = self.groups.views(self.nest.outer(), groups);
        View { tally: self.tally, workers: workers.collect(), open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::{Event, MasterConfig};
    use crate::model::{LoopNest, Reduce, Report, RunBatch};

    fn done(first: u64, scores: &[f64]) -> Event<'static> {
        let mut runs = RunBatch::default();
        runs.restart(first, 1, 0.0);
        runs.push_numbers(scores, 2.0);
        Event::Done { rank: 1, report: Report { runs, ..Report::default() } }
    }

    #[test]
    fn a_view_tells_where_workers_are_and_the_best_so_far() {
        let nest = LoopNest::of_sizes(&[2, 3], [None, Some(Reduce::min())]).unwrap();
        let config = MasterConfig { workers: 2, batch: Some(1), ..MasterConfig::default() };
        let mut master = Master::new(nest, config);
        let mut on = |event, second| {
            master.on(event, Duration::from_secs(second), &mut Vec::new());
            master.view(10)
        };
        let seen = on(Event::Tick, 0);
        assert!(
            seen.workers.iter().all(|worker| worker.activity == WorkerActivity::Away),
            "{seen:?}"
        );
        on(Event::Joined { rank: 1, host: "a".into(), threads: 1 }, 1);
        let seen = on(done(0, &[]), 2);
        let at = |seen: &View| (seen.workers[0].task, seen.workers[0].since.as_secs());
        assert_eq!(
            (seen.workers[0].activity, at(&seen)),
            (WorkerActivity::Crunching, (Some(0), 2))
        );
        assert_eq!(seen.open, []);
        on(done(0, &[5.0]), 4);
        let seen = on(done(1, &[4.0]), 6);
        let best = Some((4.0, vec![Winner { level: 1, slot: 1 }]));
        let key = Key { level: 1, index: 0 };
        assert_eq!(seen.open, [GroupView { key, runs: 2, failed: 0, best }]);
        assert_eq!(seen.workers[0].expected, Some(2.0));
        let seen = on(Event::Lost { rank: 1 }, 7);
        assert_eq!((seen.workers[0].activity, seen.workers[0].held), (WorkerActivity::Lost, 0));
    }
}
