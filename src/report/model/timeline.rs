//! The timeline of each start: attempts laid out in lanes per worker, and statistics. Pure.

use std::collections::BTreeMap;

use crate::store::{Attempt, WorkerRow};
use crate::util::stats::{quantile, sorted};

/// One start of the job: its workers and those of their attempts that are still in the store.
pub(crate) struct StartTimeline {
    /// The number of the start, from 1.
    pub(crate) number: i64,
    pub(crate) hosts: usize,
    /// One per worker; more where a worker ran several tasks concurrently.
    pub(crate) lanes: Vec<Lane>,
    pub(crate) attempts: usize,
    /// Start of the first attempt and end of the last, in seconds since 1970.
    pub(crate) begin: f64,
    pub(crate) end: f64,
}

/// Attempts that ran one after another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lane {
    pub(crate) name: String,
    /// Ordered by start time.
    pub(crate) attempts: Vec<Attempt>,
}

/// Allowed overlap of two attempts in one lane, because clocks are inexact: up to half of the shorter
/// attempt, within these bounds. The lower one is the resolution of a time since 1970. (seconds)
const LEAST_SLACK: f64 = 2e-6;
const MOST_SLACK: f64 = 1e-3;

fn end(attempt: &Attempt) -> f64 {
    attempt.started + attempt.seconds
}

/// The starts that had workers, in order.
pub(crate) fn sessions(members: &[WorkerRow], attempts: Vec<Attempt>) -> Vec<StartTimeline> {
    let mut by_worker: BTreeMap<i64, Vec<Attempt>> = BTreeMap::new();
    let timed = |attempt: &Attempt| attempt.started.is_finite() && attempt.seconds.is_finite();
    for attempt in attempts.into_iter().filter(timed) {
        by_worker.entry(attempt.worker).or_default().push(attempt);
    }
    let mut sessions: BTreeMap<i64, Vec<&WorkerRow>> = BTreeMap::new();
    for member in members {
        sessions.entry(member.session).or_default().push(member);
    }
    let session = |(number, members): (i64, Vec<&WorkerRow>)| {
        let mut hosts: Vec<&str> = members.iter().map(|member| member.host.as_str()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let mut threads: BTreeMap<i64, usize> = BTreeMap::new();
        for member in &members {
            *threads.entry(member.rank).or_default() += 1;
        }
        let mut all = Vec::new();
        for member in &members {
            let own = by_worker.remove(&member.worker).unwrap_or_default();
            let lanes = lanes(own);
            let several = lanes.len() > 1;
            for (i, attempts) in lanes.into_iter().enumerate() {
                let mut name = format!("rank {}", member.rank);
                if let Some(thread) = member.thread.filter(|_| threads[&member.rank] > 1) {
                    name += &format!(", thread {thread}");
                }
                if hosts.len() > 1 {
                    name += &format!(" on {}", member.host);
                }
                if several {
                    name += &format!(", {}", i + 1);
                }
                all.push(Lane { name, attempts });
            }
        }
        let every = || all.iter().flat_map(|lane: &Lane| &lane.attempts);
        StartTimeline {
            number,
            hosts: hosts.len(),
            attempts: every().count(),
            begin: every().map(|attempt| attempt.started).fold(f64::INFINITY, f64::min),
            end: every().map(end).fold(f64::NEG_INFINITY, f64::max),
            lanes: all,
        }
    };
    sessions.into_iter().map(session).collect()
}

/// Lays attempts out in lanes without overlaps; one empty lane if there are no attempts.
fn lanes(mut attempts: Vec<Attempt>) -> Vec<Vec<Attempt>> {
    attempts.sort_by(|a, b| a.started.total_cmp(&b.started).then(a.task.cmp(&b.task)));
    let mut lanes: Vec<Vec<Attempt>> = vec![Vec::new()];
    for attempt in attempts {
        let follows = |last: &Attempt| {
            let slack = last.seconds.min(attempt.seconds) / 2.0;
            end(last) <= attempt.started + slack.clamp(LEAST_SLACK, MOST_SLACK)
        };
        let free = |lane: &&mut Vec<Attempt>| lane.last().is_none_or(follows);
        match lanes.iter_mut().find(free) {
            Some(lane) => lane.push(attempt),
            None => lanes.push(vec![attempt]),
        }
    }
    lanes
}

impl StartTimeline {
    /// From the first start to the last end, in seconds.
    pub(crate) fn wall(&self) -> f64 {
        if self.attempts == 0 { 0.0 } else { self.end - self.begin }
    }

    /// The sum of all attempts' durations, in seconds.
    pub(crate) fn busy(&self) -> f64 {
        self.every().map(|attempt| attempt.seconds).sum()
    }

    /// A lower bound on the wall time of any schedule on these workers: the total divided evenly. Also, with
    /// m workers some worker must run k + 1 of the k m + 1 longest attempts, which takes at least k + 1 times
    /// the shortest of those.
    pub(crate) fn bound(&self) -> f64 {
        let workers = self.lanes.len().max(1);
        let seconds = sorted(self.every().map(|attempt| attempt.seconds));
        let together =
            seconds.iter().rev().step_by(workers).zip(1..).map(|(s, k)| s * f64::from(k));
        together.fold(self.busy() / workers as f64, f64::max)
    }

    /// All attempts, lane by lane.
    pub(crate) fn every(&self) -> impl Iterator<Item = &Attempt> {
        self.lanes.iter().flat_map(|lane| &lane.attempts)
    }

    /// The attempt that ended last, and how long it ran alone at the end.
    pub(crate) fn last(&self) -> Option<(Attempt, f64)> {
        let last = self.every().max_by(|a, b| end(a).total_cmp(&end(b)))?;
        let others = self.every().filter(|other| *other != last).map(end);
        let alone = self.end - others.fold(self.begin, f64::max).max(last.started);
        Some((*last, alone.max(0.0)))
    }

    /// From when the first worker ran out of tasks until the end, in seconds.
    pub(crate) fn tail(&self) -> f64 {
        let ends = self.lanes.iter().map(|lane| lane.attempts.last().map_or(self.begin, end));
        self.end - ends.fold(self.end, f64::min)
    }

    /// The fraction of time that lanes were busy, per row and column, and the number of lanes per row. Lanes
    /// are combined so that there are at most `rows` rows.
    pub(crate) fn bins(&self, rows: usize, columns: usize) -> (Vec<Vec<f64>>, usize) {
        let together = self.lanes.len().div_ceil(rows).max(1);
        let width = self.wall() / columns as f64;
        let bins = self.lanes.chunks(together).map(|lanes| {
            let mut bins = vec![0.0; columns];
            for attempt in lanes.iter().flat_map(|lane| &lane.attempts) {
                let (from, to) = (attempt.started - self.begin, end(attempt) - self.begin);
                let first = ((from / width) as usize).min(columns - 1);
                let last = ((to / width) as usize).min(columns - 1);
                for (i, bin) in bins.iter_mut().enumerate().take(last + 1).skip(first) {
                    let (left, right) = (i as f64 * width, (i + 1) as f64 * width);
                    *bin += (to.min(right) - from.max(left)).max(0.0);
                }
            }
            let whole = width * lanes.len() as f64;
            bins.iter()
                .map(|busy| if whole > 0.0 { (busy / whole).min(1.0) } else { 0.0 })
                .collect()
        });
        (bins.collect(), together)
    }
}

/// Statistics of durations.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DurationStats {
    /// Lower edges of the bins, then the upper edge of the last, in seconds.
    pub(crate) edges: Vec<f64>,
    pub(crate) counts: Vec<u64>,
    pub(crate) is_log: bool,
    pub(crate) median: f64,
    /// The 95th percentile.
    pub(crate) p95: f64,
    pub(crate) longest: Attempt,
}

const BINS: usize = 40;

impl DurationStats {
    /// The statistics of all attempts; None without attempts.
    pub(crate) fn of(sessions: &[StartTimeline]) -> Option<DurationStats> {
        let every = || sessions.iter().flat_map(StartTimeline::every);
        let longest = *every().max_by(|a, b| a.seconds.total_cmp(&b.seconds))?;
        let seconds = sorted(every().map(|attempt| attempt.seconds.max(0.0)));
        // 0 has no logarithm.
        let low = seconds.iter().copied().find(|s| *s > 0.0).unwrap_or(1e-9).max(1e-9);
        let high = seconds[seconds.len() - 1].max(low);
        let is_log = high / low > 30.0;
        // If all durations are nearly equal, do not magnify the small differences.
        let (low, high) = if high / low < 1.1 { (0.9 * low, 1.1 * high) } else { (low, high) };
        let edge = |i: usize| {
            let part = i as f64 / BINS as f64;
            if is_log { low * (high / low).powf(part) } else { low + part * (high - low) }
        };
        let edges: Vec<f64> = (0..=BINS).map(edge).collect();
        let mut counts = vec![0; BINS];
        for s in &seconds {
            let bin = edges.partition_point(|edge| edge <= s);
            counts[bin.saturating_sub(1).min(BINS - 1)] += 1;
        }
        let (median, p95) = (quantile(&seconds, 0.5), quantile(&seconds, 0.95));
        Some(DurationStats { edges, counts, is_log, median, p95, longest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(worker: i64, session: i64, rank: i64) -> WorkerRow {
        WorkerRow { worker, session, rank, host: "here".into(), thread: Some(0) }
    }

    fn attempt(task: u64, worker: i64, started: f64, seconds: f64) -> Attempt {
        Attempt { task, worker, started, seconds, failed: false }
    }

    fn two_workers() -> StartTimeline {
        let members = [member(1, 1, 1), member(2, 1, 2)];
        let attempts = vec![
            attempt(0, 1, 100.0, 2.0),
            attempt(1, 2, 100.0, 1.0),
            attempt(2, 2, 101.0, 1.0),
            attempt(3, 1, 102.0005, 2.0),
        ];
        sessions(&members, attempts).remove(0)
    }

    #[test]
    fn measures_of_two_workers() {
        let session = two_workers();
        assert_eq!((session.lanes.len(), session.attempts), (2, 4));
        assert_eq!(session.busy(), 6.0);
        assert_eq!(session.bound(), 3.0);
        let equal = (0..30).map(|i| attempt(i, i as i64 % 8, (i / 8) as f64, 1.0)).collect();
        let members: Vec<WorkerRow> = (0..8).map(|worker| member(worker, 1, worker)).collect();
        assert_eq!(sessions(&members, equal)[0].bound(), 4.0, "one of the eight runs four");
        assert!((session.wall() - 4.0005).abs() < 1e-6);
        let (last, alone) = session.last().unwrap();
        assert_eq!(last.task, 3);
        assert!((alone - 2.0).abs() < 1e-6, "{alone}");
        assert!((session.tail() - 2.0005).abs() < 1e-6);
        let (bins, together) = session.bins(10, 4);
        assert_eq!((bins.len(), together), (2, 1));
        assert!(bins[0].iter().all(|bin| *bin > 0.99), "{bins:?}");
        assert!(bins[1][1] > 0.99 && bins[1][3] == 0.0, "{bins:?}");
        let (bins, together) = session.bins(1, 2);
        assert_eq!((bins.len(), together), (1, 2));
        assert!((bins[0][1] - 0.5).abs() < 1e-3, "{bins:?}");
    }

    #[test]
    fn a_worker_that_does_two_things_at_once_has_two_lanes() {
        let attempts =
            vec![attempt(0, 1, 0.0, 2.0), attempt(1, 1, 1.0, 2.0), attempt(2, 1, 2.0, 1.0)];
        let session = &sessions(&[member(1, 1, 4)], attempts)[0];
        let tasks = |i: usize| session.lanes[i].attempts.iter().map(|a| a.task).collect::<Vec<_>>();
        assert_eq!((tasks(0), tasks(1)), (vec![0, 2], vec![1]));
        assert_eq!(session.lanes[1].name, "rank 4, 2");
        let threads = [member(1, 1, 4), WorkerRow { thread: Some(1), ..member(2, 1, 4) }];
        let session = &sessions(&threads, Vec::new())[0];
        assert_eq!(session.lanes[1].name, "rank 4, thread 1");
    }

    #[test]
    fn starts_are_kept_apart() {
        let members = [member(1, 1, 1), member(2, 2, 1), member(3, 2, 2)];
        let attempts = vec![attempt(0, 1, 0.0, 1.0), attempt(1, 2, 9000.0, 1.0)];
        let found = sessions(&members, attempts);
        assert_eq!(found.iter().map(StartTimeline::wall).collect::<Vec<_>>(), [1.0, 1.0]);
        assert_eq!(found[1].lanes.len(), 2);
        assert_eq!(found[1].tail(), 1.0, "one worker was always idle");
        let idle = sessions(&members[..1], Vec::new());
        assert_eq!((idle[0].wall(), idle[0].last()), (0.0, None));
    }

    #[test]
    fn durations_are_counted_once_each() {
        let durations = DurationStats::of(&[two_workers()]).unwrap();
        assert_eq!(durations.counts.iter().sum::<u64>(), 4);
        assert_eq!((durations.median, durations.is_log), (1.5, false));
        assert_eq!(DurationStats::of(&[]), None);
        let attempts = (0..7).map(|i| attempt(i, 1, i as f64 * 1e4, 10f64.powi(i as i32 - 3)));
        let wide = DurationStats::of(&sessions(&[member(1, 1, 1)], attempts.collect())).unwrap();
        assert!(wide.is_log);
        assert_eq!(wide.counts.iter().sum::<u64>(), 7);
        let zero = DurationStats::of(&sessions(&[member(1, 1, 1)], vec![attempt(0, 1, 0.0, 0.0)]));
        assert_eq!(zero.unwrap().counts.iter().sum::<u64>(), 1);
    }
}
