//! Turns a snapshot of rank 0's state into the content of the status file. It runs on the writer's thread,
//! because formatting the coordinates of a thousand tasks takes time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::Value as Json;

use crate::job::named_json;
use crate::master::{GroupView, View, WorkerActivity, WorkerView};
use crate::model::{GroupSummary, Key, LoopNest, Reduce, Winner};
use crate::platform::slurm::Booked;
use crate::rank0::status::{
    FORM, FinalsStatus, GroupStatus, GroupsStatus, PartStatus, RunState, Status, WorkerStatus,
    WorkersStatus,
};
use crate::report::score_heading;

const MOST_WORKERS: usize = 500;

const MOST_STRAGGLERS: usize = 20;

/// A task is a straggler if it has run for this many times its expected duration, and for this long.
/// (seconds)
const OVERDUE: f64 = 2.0;
const SHORTEST: f64 = 1.0;

/// The longest error that is shown. (characters)
const LONGEST_ERROR: usize = 200;

/// Workers that do something.
const BUSY: [WorkerActivity; 3] =
    [WorkerActivity::Crunching, WorkerActivity::Reducing, WorkerActivity::Finishing];

/// The period over which the rate is measured.
const LATELY: Duration = Duration::from_secs(60);

/// With fewer runs than this in the period, a longer one is used.
const TOO_FEW: u64 = 8;

/// The state of a run on rank 0 at one time.
pub(crate) struct Snapshot {
    pub(crate) now: Duration,
    pub(crate) view: View,
    pub(crate) state: RunState,
    pub(crate) words: Option<String>,
    pub(crate) slurm: Option<Booked>,
    /// The workers that joined since the last snapshot, with their hosts.
    pub(crate) hosts: Vec<(usize, String)>,
    pub(crate) latest: Vec<ClosedStatus>,
    /// Number of closed outermost groups, and of those without a value.
    pub(crate) closed: u64,
    pub(crate) incomplete: u64,
}

/// A closed group, without its value, which may be large.
#[derive(Clone, Debug)]
pub(crate) struct ClosedStatus {
    key: Key,
    score: Option<f64>,
    best: Vec<Winner>,
    runs: u64,
    failed: u64,
    error: Option<String>,
}

impl ClosedStatus {
    pub(crate) fn of(summary: &GroupSummary) -> ClosedStatus {
        let result = summary.result.as_ref();
        let (score, best) =
            result.map_or((None, Vec::new()), |scored| (scored.score, scored.best.clone()));
        let GroupSummary { key, runs, failed, .. } = *summary;
        let error = result.err().map(|why| why.chars().take(LONGEST_ERROR).collect());
        ClosedStatus { key, score, best, runs, failed, error }
    }
}

/// Builds the statuses of one job.
pub(crate) struct SnapshotBuilder {
    name: String,
    nest: LoopNest,
    /// Above the scores of groups.
    heading: String,
    host: String,
    started: f64,
    hosts: BTreeMap<usize, String>,
    part: Option<PartStatus>,
    has_finals: bool,
    /// The number of finished runs of this start over time.
    pace: VecDeque<(Duration, u64)>,
}

impl SnapshotBuilder {
    /// For a job of this name, whose score is called so.
    pub(crate) fn new(
        (name, score): (&str, &str),
        nest: &LoopNest,
        part: Option<PartStatus>,
        has_finals: bool,
    ) -> SnapshotBuilder {
        SnapshotBuilder {
            name: name.to_string(),
            nest: nest.clone(),
            heading: score_heading(nest, nest.outer(), score),
            host: crate::util::machine::host(),
            started: crate::util::clock::since_1970(),
            hosts: BTreeMap::new(),
            part,
            has_finals,
            pace: VecDeque::from([(Duration::ZERO, 0)]),
        }
    }

    pub(crate) fn status(&mut self, snapshot: Snapshot) -> Status {
        self.hosts.extend(snapshot.hosts);
        let tally = snapshot.view.tally;
        let rate = self.rate(snapshot.now, tally.done - tally.recalled);
        let tasks = self.part.as_ref().map_or(self.nest.tasks(), |part| part.tasks);
        let left = tasks.saturating_sub(tally.done + tally.skipped) as f64;
        let going = snapshot.state == RunState::Running || snapshot.state == RunState::Paused;
        let seconds_left = rate.filter(|rate| going && *rate > 0.0).map(|rate| left / rate);
        let running =
            snapshot.view.workers.iter().map(|worker| worker.held.min(worker.threads.into())).sum();
        let nest = &self.nest;
        let outermost = nest.loops().get(nest.outer());
        let groups = GroupsStatus {
            all: outermost.map_or(0, |_| match &self.part {
                Some(part) => part.groups,
                None => nest.keys(nest.outer()),
            }),
            closed: snapshot.closed,
            incomplete: snapshot.incomplete,
            reduce: outermost.and_then(|l| l.reduce.as_ref()).map(Reduce::text),
            heading: self.heading.clone(),
            latest: snapshot.latest.iter().map(|group| self.closed(group)).collect(),
            open: snapshot.view.open.iter().map(|group| self.open(group)).collect(),
        };
        let now = crate::util::clock::since_1970();
        Status {
            form: FORM,
            name: self.name.clone(),
            state: snapshot.state,
            words: snapshot.words,
            exit_code: None,
            host: self.host.clone(),
            process: std::process::id(),
            started: self.started,
            seen: now,
            written: now,
            tasks,
            part: self.part.clone(),
            done: tally.done,
            reused: tally.recalled,
            failed: tally.failed,
            skipped: tally.skipped,
            stopped: tally.stopped,
            unasked: 0,
            running,
            retried: tally.retried,
            rate,
            seconds_left,
            slurm: snapshot.slurm,
            groups,
            finals: self
                .has_finals
                .then_some(FinalsStatus { made: tally.finals, failed: tally.finals_failed }),
            stragglers: self.stragglers(&snapshot.view.workers, snapshot.now),
            workers: self.workers(snapshot.view.workers, snapshot.now),
        }
    }

    /// Runs per second: over the last period, or over a longer one if there were too few runs.
    fn rate(&mut self, now: Duration, done: u64) -> Option<f64> {
        while self.pace.get(1).is_some_and(|(then, before)| {
            *then + LATELY <= now && done.saturating_sub(*before) >= TOO_FEW
        }) {
            self.pace.pop_front();
        }
        let (then, before) = *self.pace.front()?;
        self.pace.push_back((now, done));
        if self.pace.len() > 4 * LATELY.as_secs() as usize {
            // Thins out the samples of a slow job, but keeps the first one.
            let mut at = 0;
            self.pace.retain(|_| {
                at += 1;
                at == 1 || at % 2 == 0
            });
        }
        let seconds = now.saturating_sub(then).as_secs_f64();
        (done > before && seconds > 0.0).then(|| (done - before) as f64 / seconds)
    }

    fn coordinates(&self, key: Key) -> Json {
        named_json(&self.nest.applying(key))
    }

    fn closed(&self, group: &ClosedStatus) -> GroupStatus {
        GroupStatus {
            coordinates: self.coordinates(group.key),
            partial: false,
            score: group.score,
            best: named_json(&self.nest.winners(group.key, &group.best)),
            labels: labels(&self.nest, group.key, &group.best),
            runs: group.runs,
            failed: group.failed,
            all: self.nest.task_count(group.key),
            skipped: self.nest.task_count(group.key).saturating_sub(group.runs + group.failed),
            error: group.error.clone(),
        }
    }

    fn open(&self, group: &GroupView) -> GroupStatus {
        let (score, best) = match &group.best {
            Some((score, best)) => (Some(*score), best.as_slice()),
            None => (None, &[][..]),
        };
        GroupStatus {
            coordinates: self.coordinates(group.key),
            partial: true,
            score,
            best: named_json(&self.nest.winners(group.key, best)),
            labels: labels(&self.nest, group.key, best),
            runs: group.runs,
            failed: group.failed,
            all: self.nest.task_count(group.key),
            skipped: 0,
            error: None,
        }
    }

    fn worker(&self, view: &WorkerView, now: Duration) -> WorkerStatus {
        let state = match view.activity {
            WorkerActivity::Away => "away",
            WorkerActivity::Preparing => "preparing",
            WorkerActivity::Idle => "idle",
            WorkerActivity::Crunching => "crunching",
            WorkerActivity::Reducing => "reducing",
            WorkerActivity::Finishing => "finishing",
            WorkerActivity::Sick => "sick",
            WorkerActivity::Gone => "gone",
            WorkerActivity::Lost => "lost",
        };
        let works = BUSY.contains(&view.activity);
        WorkerStatus {
            rank: view.rank as u64,
            host: self.hosts.get(&view.rank).cloned().unwrap_or_default(),
            state: state.to_string(),
            threads: view.threads,
            task: view.task,
            coordinates: view.task.map(|task| self.coordinates(self.nest.task(task))),
            labels: view
                .task
                .map_or(Json::Null, |task| labels(&self.nest, self.nest.task(task), &[])),
            held: view.held,
            seconds: works.then(|| now.saturating_sub(view.since).as_secs_f64()),
            expected: view.expected,
        }
    }

    fn stragglers(&self, workers: &[WorkerView], now: Duration) -> Vec<WorkerStatus> {
        let at = |worker: &WorkerView| now.saturating_sub(worker.since).as_secs_f64();
        let overdue = |worker: &&WorkerView| {
            let expected = worker.expected.filter(|_| worker.activity == WorkerActivity::Crunching);
            expected.is_some_and(|expected| at(worker) > (OVERDUE * expected).max(SHORTEST))
        };
        let mut late: Vec<&WorkerView> = workers.iter().filter(overdue).collect();
        late.sort_by_key(|worker| worker.since);
        late.into_iter().take(MOST_STRAGGLERS).map(|worker| self.worker(worker, now)).collect()
    }

    fn workers(&self, mut views: Vec<WorkerView>, now: Duration) -> WorkersStatus {
        let all = views.len();
        let count = |activities: &[WorkerActivity]| {
            views.iter().filter(|worker| activities.contains(&worker.activity)).count() as u64
        };
        let counts = WorkersStatus {
            all: all as u64,
            busy: count(&BUSY),
            idle: count(&[WorkerActivity::Idle, WorkerActivity::Preparing]),
            away: count(&[WorkerActivity::Away]),
            lost: count(&[WorkerActivity::Lost]),
            sick: count(&[WorkerActivity::Sick]),
            gone: count(&[WorkerActivity::Gone]),
            list: Vec::new(),
            left_out: all.saturating_sub(MOST_WORKERS) as u64,
        };
        if all > MOST_WORKERS {
            views.sort_by_key(|worker| (worker.held == 0, worker.since, worker.rank));
            views.truncate(MOST_WORKERS);
            views.sort_by_key(|worker| worker.rank);
        }
        let list = views.iter().map(|worker| self.worker(worker, now)).collect();
        WorkersStatus { list, ..counts }
    }
}

/// What people are shown for points of a key, and for those that won inside it; null if nothing else.
pub(super) fn labels(nest: &LoopNest, key: Key, best: &[Winner]) -> Json {
    match nest.labels(key, best) {
        none if none.is_empty() => Json::Null,
        labels => named_json(&labels),
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    fn builder() -> SnapshotBuilder {
        let nest = LoopNest::of_sizes(&[100_000; 2], [None, None]).unwrap();
        SnapshotBuilder::new(("big", "score"), &nest, None, false)
    }

    #[test]
    fn the_rate_is_that_of_the_last_minute_or_of_all_where_runs_are_rare() {
        let mut fast = builder();
        let second = Duration::from_secs;
        for now in 1..=100 {
            fast.rate(second(now), now * 10);
        }
        assert_eq!(fast.rate(second(101), 1010), Some(10.0));
        for now in 102..200 {
            fast.rate(second(now), 1010 + (now - 101) * 100);
        }
        let rate = fast.rate(second(200), 1010 + 99 * 100).unwrap();
        assert!((rate - 100.0).abs() < 2.0, "{rate}");
        let mut slow = builder();
        for now in 1..=100_000 {
            slow.rate(second(now), now / 20_000);
        }
        assert!(slow.pace.len() <= 241, "{}", slow.pace.len());
        let rate = slow.rate(second(100_001), 5).unwrap();
        assert!((rate - 5.0 / 100_001.0).abs() < 1e-6, "{rate}");
        assert_eq!(builder().rate(second(5), 0), None);
    }

    #[test]
    fn a_status_of_ten_thousand_workers_is_small() {
        let mut builder = builder();
        let worker = |rank: usize| WorkerView {
            rank,
            activity: WorkerActivity::Crunching,
            threads: 1,
            task: Some(rank as u64 * 1000),
            held: 1,
            since: Duration::from_secs(20_000 - rank as u64),
            expected: Some(1.0),
        };
        let view = View {
            tally: Default::default(),
            workers: (1..=10_000).map(worker).collect(),
            open: Vec::new(),
        };
        let status = builder.status(Snapshot {
            now: Duration::from_secs(20_000),
            view,
            state: RunState::Running,
            words: None,
            slurm: None,
            hosts: (1..=10_000).map(|rank| (rank, format!("node{rank}"))).collect(),
            latest: Vec::new(),
            closed: 0,
            incomplete: 0,
        });
        assert_eq!((status.workers.all, status.workers.busy), (10_000, 10_000));
        assert_eq!((status.workers.list.len(), status.workers.left_out), (500, 9_500));
        let ranks: Vec<u64> = status.workers.list.iter().map(|worker| worker.rank).collect();
        assert_eq!((ranks[0], ranks[499]), (9_501, 10_000), "the longest-running tasks");
        assert_eq!(status.stragglers.len(), 20);
        assert_eq!(
            (status.stragglers[0].rank, status.stragglers[0].seconds),
            (10_000, Some(10_000.0))
        );
        let bytes = serde_json::to_vec(&status).unwrap().len();
        assert!(bytes < 200_000, "{bytes} bytes");
    }
}
