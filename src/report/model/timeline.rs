//! The timeline of each start: attempts laid out in lanes per worker, and statistics. Attempts are read one after
//! another, more than once, and only those are held that are drawn one by one. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::report::model::durations::{DurationStats, Durations};
use crate::store::{Attempt, WorkerRow};
use crate::util::error::Result;

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
    /// The sum of all attempts' durations, in seconds.
    pub(crate) busy: f64,
    /// A lower bound on the wall time of any schedule on these workers: the total divided evenly, or what follows
    /// from attempts being indivisible.
    pub(crate) bound: f64,
    /// The attempt that ended last, and how long it ran alone at the end.
    pub(crate) last: Option<(Attempt, f64)>,
}

/// Attempts that ran one after another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lane {
    pub(crate) name: String,
    /// Ordered by start time; none if the start has too many, or is not drawn.
    pub(crate) attempts: Vec<Attempt>,
    /// When the last one ended; the start's begin if there is none.
    end: f64,
    /// How long it was busy in each of [`COLUMNS`] parts of the start's time, if that is drawn instead.
    busy: Vec<f64>,
}

/// Starts with at most so many attempts have all of them.
pub(crate) const DRAWN: usize = 1500;

/// Timelines are drawn for this many starts, the latest.
pub(crate) const STARTS: usize = 20;

/// Maximum number of rows. A start with more lanes, or with too many attempts for a bar each, is drawn as the
/// fraction of time that workers were busy.
pub(crate) const ROWS: usize = 64;

/// The columns of a chart of how busy workers were.
pub(crate) const COLUMNS: usize = 240;

/// Allowed overlap of two attempts in one lane, because clocks are inexact: up to half of the shorter
/// attempt, within these bounds. The lower one is the resolution of a time since 1970. (seconds)
const LEAST_SLACK: f64 = 2e-6;
const MOST_SLACK: f64 = 1e-3;

fn end(attempt: &Attempt) -> f64 {
    attempt.started + attempt.seconds
}

/// Reads all attempts, passing each on; those of a worker by their starts, if that is asked for.
pub(crate) trait ReadAttempts {
    fn read(&self, by_start: bool, each: &mut dyn FnMut(Attempt)) -> Result<()>;
}

/// What the first reading finds of a start.
#[derive(Default)]
struct Extent {
    attempts: usize,
    begin: f64,
    end: f64,
    /// Whether it is one of the latest [`STARTS`].
    is_drawn: bool,
}

/// The attempts of a worker, as far as they are known.
struct OfWorker {
    start: i64,
    /// When the latest one so far began.
    latest: f64,
    lanes: Vec<OpenLane>,
    busy: f64,
    latest_end: Latest,
    longest: Option<Attempt>,
}

/// The attempt that ended last, and when the others had ended. Of those that ended together, the last one added.
struct Latest {
    last: Option<Attempt>,
    others: f64,
}

struct OpenLane {
    last: Attempt,
    lane: Lane,
}

/// The starts that had workers, in order, and the statistics of all attempts, if there are any.
pub(crate) fn sessions(
    members: &[WorkerRow],
    attempts: &impl ReadAttempts,
) -> Result<(Vec<StartTimeline>, Option<DurationStats>)> {
    let mut by_worker: HashMap<i64, OfWorker> = HashMap::new();
    for WorkerRow { worker, session, .. } in members {
        by_worker.insert(*worker, OfWorker::new(*session));
    }
    let timed = |attempt: &Attempt| attempt.started.is_finite() && attempt.seconds.is_finite();
    let mut extents: BTreeMap<i64, Extent> = BTreeMap::new();
    let (mut durations, mut are_sorted) = (Durations::default(), true);
    attempts.read(false, &mut |attempt| {
        let own = by_worker.get_mut(&attempt.worker).filter(|_| timed(&attempt));
        let Some(own) = own else { return };
        are_sorted &= own.latest <= attempt.started;
        own.latest = attempt.started;
        if own.longest.is_none_or(|longest| longest.seconds <= attempt.seconds) {
            own.longest = Some(attempt);
        }
        durations.add(own.start, attempt.seconds);
        let extent = extents.entry(own.start).or_default();
        let is_first = extent.attempts == 0;
        extent.attempts += 1;
        if is_first || attempt.started < extent.begin {
            extent.begin = attempt.started;
        }
        if is_first || end(&attempt) > extent.end {
            extent.end = end(&attempt);
        }
    })?;
    let longest = members.iter().filter_map(|member| by_worker[&member.worker].longest);
    let longest = longest.max_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let mut stats = longest.map(|longest| DurationStats::of(&durations, longest));
    extents.values_mut().rev().take(STARTS).for_each(|extent| extent.is_drawn = true);
    attempts.read(!are_sorted, &mut |attempt| {
        let own = by_worker.get_mut(&attempt.worker).filter(|_| timed(&attempt));
        let Some(own) = own else { return };
        stats.iter_mut().for_each(|stats| stats.count(attempt.seconds));
        own.add(attempt, &extents[&own.start]);
    })?;
    let mut sessions: BTreeMap<i64, Vec<&WorkerRow>> = BTreeMap::new();
    for member in members {
        sessions.entry(member.session).or_default().push(member);
    }
    let session = |(number, members): (i64, Vec<&WorkerRow>)| {
        let extent = extents.remove(&number).unwrap_or_default();
        StartTimeline::of(number, &members, extent, &mut by_worker, &durations)
    };
    Ok((sessions.into_iter().map(session).collect(), stats))
}

impl OfWorker {
    fn new(start: i64) -> OfWorker {
        let latest = f64::NEG_INFINITY;
        let latest_end = Latest::since(f64::NEG_INFINITY);
        OfWorker { start, latest, lanes: Vec::new(), busy: 0.0, latest_end, longest: None }
    }

    /// Adds an attempt that began after all before, in the first lane that is free then.
    fn add(&mut self, attempt: Attempt, extent: &Extent) {
        self.busy += attempt.seconds;
        self.latest_end.add(attempt);
        let follows = |lane: &OpenLane| {
            let slack = lane.last.seconds.min(attempt.seconds) / 2.0;
            end(&lane.last) <= attempt.started + slack.clamp(LEAST_SLACK, MOST_SLACK)
        };
        let at = match self.lanes.iter().position(follows) {
            Some(at) => at,
            None => {
                let (name, attempts, busy) = (String::new(), Vec::new(), Vec::new());
                let lane = Lane { name, attempts, end: end(&attempt), busy };
                self.lanes.push(OpenLane { last: attempt, lane });
                self.lanes.len() - 1
            }
        };
        let OpenLane { last, lane } = &mut self.lanes[at];
        (*last, lane.end) = (attempt, end(&attempt));
        if !extent.is_drawn {
            return;
        }
        if extent.attempts <= DRAWN {
            lane.attempts.push(attempt);
        } else {
            lane.busy.resize(COLUMNS, 0.0);
            spread(&attempt, extent.begin, extent.end - extent.begin, &mut lane.busy);
        }
    }
}

impl Latest {
    /// Nothing has ended before that.
    fn since(begin: f64) -> Latest {
        Latest { last: None, others: begin }
    }

    fn add(&mut self, attempt: Attempt) {
        let other = match &mut self.last {
            Some(last) if end(last) > end(&attempt) => Some(attempt),
            last => last.replace(attempt),
        };
        self.others = other.map_or(self.others, |other| self.others.max(end(&other)));
    }

    fn merge(&mut self, Latest { last, others }: Latest) {
        self.others = self.others.max(others);
        last.into_iter().for_each(|last| self.add(last));
    }
}

/// Adds the time of an attempt to the columns of a chart of a time from `begin` on.
fn spread(attempt: &Attempt, begin: f64, wall: f64, columns: &mut [f64]) {
    let width = wall / columns.len() as f64;
    let (from, to) = (attempt.started - begin, end(attempt) - begin);
    let column = |at: f64| ((at / width) as usize).min(columns.len() - 1);
    let (first, last) = (column(from), column(to));
    for (i, busy) in columns.iter_mut().enumerate().take(last + 1).skip(first) {
        let (left, right) = (i as f64 * width, (i + 1) as f64 * width);
        *busy += (to.min(right) - from.max(left)).max(0.0);
    }
}

impl StartTimeline {
    fn of(
        number: i64,
        members: &[&WorkerRow],
        extent: Extent,
        by_worker: &mut HashMap<i64, OfWorker>,
        durations: &Durations,
    ) -> StartTimeline {
        let mut hosts: Vec<&str> = members.iter().map(|member| member.host.as_str()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let mut threads: BTreeMap<i64, usize> = BTreeMap::new();
        for member in members {
            *threads.entry(member.rank).or_default() += 1;
        }
        let (mut all, mut busy) = (Vec::new(), 0.0);
        let mut latest_end = Latest::since(extent.begin);
        for member in members {
            let Some(own) = by_worker.remove(&member.worker) else { continue };
            busy += own.busy;
            latest_end.merge(own.latest_end);
            let mut lanes: Vec<Lane> = own.lanes.into_iter().map(|open| open.lane).collect();
            if lanes.is_empty() {
                let (name, attempts, busy) = (String::new(), Vec::new(), Vec::new());
                lanes.push(Lane { name, attempts, end: extent.begin, busy });
            }
            let several = lanes.len() > 1;
            for (i, lane) in lanes.into_iter().enumerate() {
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
                all.push(Lane { name, ..lane });
            }
        }
        let Latest { last, others } = latest_end;
        let workers = all.len().max(1);
        StartTimeline {
            number,
            hosts: hosts.len(),
            bound: durations.bound(number, workers).max(busy / workers as f64),
            last: last.map(|last| (last, (extent.end - others.max(last.started)).max(0.0))),
            attempts: extent.attempts,
            begin: extent.begin,
            end: extent.end,
            busy,
            lanes: all,
        }
    }

    /// From the first start to the last end, in seconds.
    pub(crate) fn wall(&self) -> f64 {
        if self.attempts == 0 { 0.0 } else { self.end - self.begin }
    }

    /// All attempts that are held, lane by lane.
    pub(crate) fn every(&self) -> impl Iterator<Item = &Attempt> {
        self.lanes.iter().flat_map(|lane| &lane.attempts)
    }

    /// From when the first worker ran out of tasks until the end, in seconds.
    pub(crate) fn tail(&self) -> f64 {
        self.end - self.lanes.iter().map(|lane| lane.end).fold(self.end, f64::min)
    }

    /// The fraction of time that lanes were busy, per row and column, and the number of lanes per row. Lanes
    /// are combined so that there are at most `rows` rows.
    pub(crate) fn bins(&self, rows: usize) -> (Vec<Vec<f64>>, usize) {
        let together = self.lanes.len().div_ceil(rows).max(1);
        let width = self.wall() / COLUMNS as f64;
        let bins = self.lanes.chunks(together).map(|lanes| {
            let mut bins = vec![0.0; COLUMNS];
            for lane in lanes {
                for attempt in &lane.attempts {
                    spread(attempt, self.begin, self.wall(), &mut bins);
                }
                bins.iter_mut().zip(&lane.busy).for_each(|(bin, busy)| *bin += busy);
            }
            let whole = width * lanes.len() as f64;
            bins.iter()
                .map(|busy| if whole > 0.0 { (busy / whole).min(1.0) } else { 0.0 })
                .collect()
        });
        (bins.collect(), together)
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

    impl ReadAttempts for Vec<Attempt> {
        fn read(&self, by_start: bool, each: &mut dyn FnMut(Attempt)) -> Result<()> {
            let mut all = self.clone();
            if by_start {
                all.sort_by(|a, b| a.started.total_cmp(&b.started).then(a.task.cmp(&b.task)));
            }
            all.into_iter().for_each(each);
            Ok(())
        }
    }

    fn starts(members: &[WorkerRow], attempts: Vec<Attempt>) -> Vec<StartTimeline> {
        sessions(members, &attempts).unwrap().0
    }

    fn durations(members: &[WorkerRow], attempts: Vec<Attempt>) -> Option<DurationStats> {
        sessions(members, &attempts).unwrap().1
    }

    const MEMBERS: fn() -> [WorkerRow; 2] = || [member(1, 1, 1), member(2, 1, 2)];

    fn attempts_of_two() -> Vec<Attempt> {
        vec![
            attempt(0, 1, 100.0, 2.0),
            attempt(1, 2, 100.0, 1.0),
            attempt(2, 2, 101.0, 1.0),
            attempt(3, 1, 102.0005, 2.0),
        ]
    }

    fn two_workers() -> StartTimeline {
        starts(&MEMBERS(), attempts_of_two()).remove(0)
    }

    #[test]
    fn measures_of_two_workers() {
        let session = two_workers();
        assert_eq!((session.lanes.len(), session.attempts), (2, 4));
        assert_eq!(session.busy, 6.0);
        assert_eq!(session.bound, 3.0);
        let equal = (0..30).map(|i| attempt(i, i as i64 % 8, (i / 8) as f64, 1.0)).collect();
        let members: Vec<WorkerRow> = (0..8).map(|worker| member(worker, 1, worker)).collect();
        assert_eq!(starts(&members, equal)[0].bound, 4.0, "one of the eight runs four");
        assert!((session.wall() - 4.0005).abs() < 1e-6);
        let (last, alone) = session.last.unwrap();
        assert_eq!(last.task, 3);
        assert!((alone - 2.0).abs() < 1e-6, "{alone}");
        assert!((session.tail() - 2.0005).abs() < 1e-6);
        let (bins, together) = session.bins(10);
        assert_eq!((bins.len(), together), (2, 1));
        assert!(bins[0].iter().all(|bin| *bin > 0.96), "{bins:?}");
        assert!(bins[1][COLUMNS / 3] > 0.99 && bins[1][COLUMNS * 3 / 4] == 0.0, "{bins:?}");
        let (bins, together) = session.bins(1);
        assert_eq!((bins.len(), together), (1, 2));
        assert!((bins[0][COLUMNS * 3 / 4] - 0.5).abs() < 1e-3, "{bins:?}");
    }

    #[test]
    fn a_worker_that_does_two_things_at_once_has_two_lanes() {
        let attempts =
            vec![attempt(0, 1, 0.0, 2.0), attempt(1, 1, 1.0, 2.0), attempt(2, 1, 2.0, 1.0)];
        let session = &starts(&[member(1, 1, 4)], attempts)[0];
        let tasks = |i: usize| session.lanes[i].attempts.iter().map(|a| a.task).collect::<Vec<_>>();
        assert_eq!((tasks(0), tasks(1)), (vec![0, 2], vec![1]));
        assert_eq!(session.lanes[1].name, "rank 4, 2");
        let threads = [member(1, 1, 4), WorkerRow { thread: Some(1), ..member(2, 1, 4) }];
        let session = &starts(&threads, Vec::new())[0];
        assert_eq!(session.lanes[1].name, "rank 4, thread 1");
    }

    #[test]
    fn starts_are_kept_apart() {
        let members = [member(1, 1, 1), member(2, 2, 1), member(3, 2, 2)];
        let attempts = vec![attempt(0, 1, 0.0, 1.0), attempt(1, 2, 9000.0, 1.0)];
        let found = starts(&members, attempts);
        assert_eq!(found.iter().map(StartTimeline::wall).collect::<Vec<_>>(), [1.0, 1.0]);
        assert_eq!(found[1].lanes.len(), 2);
        assert_eq!(found[1].tail(), 1.0, "one worker was always idle");
        let idle = starts(&members[..1], Vec::new());
        assert_eq!((idle[0].wall(), idle[0].last), (0.0, None));
    }

    #[test]
    fn attempts_of_starts_that_are_not_drawn_are_not_held() {
        let last = STARTS as i64 + 3;
        let members: Vec<WorkerRow> = (1..=last).map(|start| member(start, start, 1)).collect();
        // The one before the last has too many to have them all.
        let each = |start: i64| {
            let many = if start == last - 1 { DRAWN as u64 + 1 } else { 2 };
            (0..many).map(move |i| attempt(i, start, i as f64 * 2.0, 1.0))
        };
        let found = starts(&members, (1..=last).flat_map(each).collect());
        for session in found {
            let held = session.every().count();
            let is_busy = !session.lanes[0].busy.is_empty();
            let expected = match session.number {
                1..=3 => (0, false),
                number if number == last - 1 => (0, true),
                _ => (2, false),
            };
            assert_eq!((held, is_busy), expected, "start {}", session.number);
            assert_eq!(session.busy, session.attempts as f64);
            assert_eq!(session.lanes[0].end, session.end);
        }
    }

    #[test]
    fn durations_are_counted_once_each() {
        let found = durations(&MEMBERS(), attempts_of_two()).unwrap();
        assert_eq!(found.counts.iter().sum::<u64>(), 4);
        assert_eq!((found.median, found.is_log), (1.5, false));
        assert_eq!(durations(&MEMBERS(), Vec::new()), None);
        let attempts = (0..7).map(|i| attempt(i, 1, i as f64 * 1e4, 10f64.powi(i as i32 - 3)));
        let wide = durations(&MEMBERS(), attempts.collect()).unwrap();
        assert!(wide.is_log);
        assert_eq!(wide.counts.iter().sum::<u64>(), 7);
        let zero = durations(&MEMBERS(), vec![attempt(0, 1, 0.0, 0.0)]);
        assert_eq!(zero.unwrap().counts.iter().sum::<u64>(), 1);
    }

    #[test]
    fn a_start_with_too_many_attempts_to_draw_says_the_same() {
        // One after another on each of two workers, but for one that runs beside another one; in any order.
        let of_worker = |worker: i64| {
            let length = |i: u64| 0.5 + (i * 7 % 10) as f64 / 10.0;
            let mut began = worker as f64;
            let each = move |i: u64| {
                let own = attempt(2 * i + worker as u64, worker, began, length(i));
                began += length(i);
                own
            };
            (0..1000u64).map(each)
        };
        let mut all: Vec<Attempt> = of_worker(1).chain(of_worker(2)).collect();
        all.push(attempt(5000, 2, 500.25, 3.0));
        let ordered = all.clone();
        all.reverse();
        let (mut few, mut many) = (Vec::new(), Vec::new());
        for attempts in [ordered, all] {
            let session = starts(&MEMBERS(), attempts.clone()).remove(0);
            assert_eq!((session.lanes.len(), session.attempts), (3, 2001));
            assert!(session.lanes.iter().all(|lane| lane.attempts.is_empty()));
            assert!((session.busy - (2.0 * 950.0 + 3.0)).abs() < 1e-6, "{}", session.busy);
            let (last, alone) = session.last.unwrap();
            assert_eq!((last.worker, (alone * 1e6).round()), (2, 8e5));
            assert!((session.tail() - (952.0 - 503.25)).abs() < 1e-6, "{}", session.tail());
            many.push(session.bins(ROWS));
            // The same as of attempts that are held.
            let bins = session.lanes.iter().map(|lane| lane.busy.iter().sum::<f64>());
            few.push(bins.map(|busy| busy.round()).collect::<Vec<_>>());
        }
        assert_eq!(few[0], [950.0, 950.0, 3.0]);
        assert_eq!(few[0], few[1]);
        let same = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9;
        assert!(many[0].0.iter().flatten().zip(many[1].0.iter().flatten()).all(same));
    }
}
