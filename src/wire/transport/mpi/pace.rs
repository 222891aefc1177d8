//! How fast long messages go, in one direction between rank 0 and all others. A long message is cut into parts,
//! and rank 0 decides which rank moves its next part, and how long that is. What is under way is what rank 0's line
//! carries in about [`DRAIN`], so that a small message never waits for much more, however slow the line is.
//!
//! Pure: time and arrivals come from the caller.

use std::collections::VecDeque;
use std::time::Duration;

/// How long what is under way should take to arrive.
const DRAIN: Duration = Duration::from_millis(15);
/// The bytes under way are divided into about this many parts, so that the line is busy while the arrival of
/// one is reported, and the time between two arrivals tells how fast it is.
const PARTS: usize = 4;
/// The best of so many measurements counts: where cores are busy, any process may be off its core for a while.
const MEASUREMENTS: usize = 3;
/// The shortest part (but the last of a message) and the longest, in bytes. With the longest ones, on shared memory,
/// MPI mostly copies a part in one call, and a heartbeat waits for that call.
const SHORTEST: usize = 8 << 10;
const LONGEST: usize = 4 << 20;
/// The bytes under way at first: to and from one rank, and in sum.
const FIRST: usize = 64 << 10;
const FIRST_SUM: usize = 256 << 10;
/// A message up to this length, at least and at most, is sent without being paced.
const LEAST_UNPACED: usize = 32 << 10;
const MOST_UNPACED: usize = 1 << 20;
/// A part that takes longer than this no longer counts as under way: its rank may be suspended, and the others
/// go on without it.
const OVERDUE: Duration = Duration::from_secs(1);

/// One direction.
#[derive(Debug)]
pub(super) struct Pace {
    sum: Window,
    ranks: Vec<Flow>,
    /// Ranks that have bytes left to move, in turn.
    turns: VecDeque<usize>,
    /// When to search for overdue parts again.
    search: Duration,
}

/// The long messages to or from a rank.
#[derive(Debug)]
struct Flow {
    window: Window,
    /// Lengths of what is left of each message.
    left: VecDeque<usize>,
    /// Parts under way, in order.
    parts: VecDeque<Flight>,
}

#[derive(Debug)]
struct Flight {
    bytes: usize,
    since: Duration,
    /// Whether it counts as under way in the sum.
    counts: bool,
}

/// How much may be under way.
#[derive(Debug)]
struct Window {
    limit: usize,
    /// What the last measurements allowed.
    allowed: [usize; MEASUREMENTS],
    bytes: usize,
    measured: Option<Measurement>,
}

/// What was under way when a part arrived: its arrival tells how fast the line is, however late the first arrival
/// was noticed.
#[derive(Debug)]
struct Measurement {
    since: Duration,
    bytes: usize,
    left: usize,
}

impl Pace {
    pub(super) fn new(size: usize) -> Pace {
        let flow =
            || Flow { window: Window::new(FIRST), left: VecDeque::new(), parts: VecDeque::new() };
        Pace {
            sum: Window::new(FIRST_SUM),
            ranks: (0..size).map(|_| flow()).collect(),
            turns: VecDeque::new(),
            search: Duration::ZERO,
        }
    }

    /// A message is to be moved.
    pub(super) fn add(&mut self, rank: usize, length: usize) {
        if self.ranks[rank].left.is_empty() {
            self.turns.push_back(rank);
        }
        self.ranks[rank].left.push_back(length);
    }

    /// Whether parts are left to move.
    pub(super) fn is_waiting(&self) -> bool {
        !self.turns.is_empty()
    }

    /// The rank that moves a part now, and the length of that part.
    pub(super) fn next(&mut self, now: Duration) -> Option<(usize, usize)> {
        if self.is_waiting() && !self.sum.has_room(self.sum.part()) && now >= self.search {
            self.search = now + OVERDUE / 10;
            self.discount_overdue(now);
        }
        for _ in 0..self.turns.len() {
            let rank = self.turns.pop_front()?;
            let flow = &mut self.ranks[rank];
            let first = flow.left.front_mut()?;
            let bytes = (*first).min(self.sum.part()).min(flow.window.part());
            if !self.sum.has_room(bytes) {
                self.turns.push_front(rank);
                return None;
            }
            if !flow.window.has_room(bytes) {
                self.turns.push_back(rank);
                continue;
            }
            *first -= bytes;
            if *first == 0 {
                flow.left.pop_front();
            }
            if !flow.left.is_empty() {
                self.turns.push_back(rank);
            }
            flow.parts.push_back(Flight { bytes, since: now, counts: true });
            flow.window.bytes += bytes;
            self.sum.bytes += bytes;
            return Some((rank, bytes));
        }
        None
    }

    /// The first part under way to or from a rank has arrived.
    pub(super) fn arrived(&mut self, rank: usize, now: Duration) {
        let flow = &mut self.ranks[rank];
        let Some(part) = flow.parts.pop_front() else { return };
        flow.window.arrived(&part, now);
        if part.counts {
            self.sum.arrived(&part, now);
        }
    }

    /// Whether a message to or from a rank is not complete.
    pub(super) fn is_open(&self, rank: usize) -> bool {
        !self.ranks[rank].left.is_empty() || !self.ranks[rank].parts.is_empty()
    }

    /// A rank's messages are given up.
    pub(super) fn forget(&mut self, rank: usize) {
        let flow = &mut self.ranks[rank];
        let counted = flow.parts.drain(..).filter(|part| part.counts);
        self.sum.take_off(counted.map(|part| part.bytes).sum());
        (flow.window, flow.left) = (Window::new(FIRST), VecDeque::new());
        self.turns.retain(|other| *other != rank);
    }

    /// A message up to this length need not be paced: should each rank move one at the same time, the line carries
    /// them soon.
    pub(super) fn unpaced(&self) -> usize {
        let ranks = self.ranks.len().saturating_sub(1).max(1);
        (self.sum.limit / 2 / ranks).clamp(LEAST_UNPACED, MOST_UNPACED)
    }

    fn discount_overdue(&mut self, now: Duration) {
        let parts = self.ranks.iter_mut().flat_map(|flow| &mut flow.parts);
        let overdue = parts.filter(|part| part.counts && now > part.since + OVERDUE);
        let mut bytes = 0;
        for part in overdue {
            part.counts = false;
            bytes += part.bytes;
        }
        self.sum.take_off(bytes);
    }
}

impl Window {
    fn new(limit: usize) -> Window {
        Window { limit, allowed: [limit; MEASUREMENTS], bytes: 0, measured: None }
    }

    fn part(&self) -> usize {
        (self.limit / PARTS).clamp(SHORTEST, LONGEST)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.bytes == 0 || self.bytes + bytes <= self.limit
    }

    /// Bytes are no longer under way, and have not arrived.
    fn take_off(&mut self, bytes: usize) {
        self.bytes -= bytes;
        if bytes > 0 {
            self.measured = None;
        }
    }

    fn arrived(&mut self, part: &Flight, now: Duration) {
        self.bytes -= part.bytes;
        match &mut self.measured {
            Some(measured) if part.bytes < measured.left => measured.left -= part.bytes,
            Some(Measurement { since, bytes, .. }) => {
                let (took, bytes) = (now.saturating_sub(*since), *bytes);
                self.measured = None;
                self.adapt(bytes, took);
            }
            // It was alone. The time includes how long its arrival was not noticed, so it may be too long.
            None if self.bytes == 0 => {
                let took = now.saturating_sub(part.since);
                if took < DRAIN / PARTS as u32 {
                    self.adapt(part.bytes, took);
                }
            }
            None => {}
        }
        if self.measured.is_none() && self.bytes > 0 {
            self.measured = Some(Measurement { since: now, bytes: self.bytes, left: self.bytes });
        }
    }

    /// The line carried these bytes in this time.
    fn adapt(&mut self, bytes: usize, took: Duration) {
        let carries = bytes as f64 * DRAIN.as_secs_f64() / took.as_secs_f64().max(1e-9);
        let most = (self.limit * 2).min((bytes * PARTS).max(self.limit));
        let allowed = (carries as usize).min(most).clamp(2 * SHORTEST, PARTS * LONGEST);
        self.allowed.rotate_left(1);
        self.allowed[MEASUREMENTS - 1] = allowed;
        self.limit = self.allowed.into_iter().fold(allowed, usize::max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line with this many bytes per second that moves parts one after the other, and ranks that notice what has
    /// arrived so late. Moves these messages. Returns the seconds it took, and the most seconds that anything was
    /// under way once `settled` bytes had arrived.
    struct Line {
        pace: Pace,
        rate: f64,
        late: f64,
        now: f64,
    }

    impl Line {
        fn new(ranks: usize, rate: f64) -> Line {
            Line { pace: Pace::new(ranks + 1), rate, late: 0.0, now: 0.0 }
        }

        /// Moves a message to each of these ranks. Returns how long that took, and the most that a small message
        /// would have waited once the first `settles` bytes had arrived.
        fn carry(&mut self, messages: &[(usize, usize)], settles: usize) -> (f64, f64) {
            let (begin, mut free, mut most, mut came) = (self.now, self.now, 0.0_f64, 0);
            let mut under_way = VecDeque::new();
            messages.iter().for_each(|(rank, length)| self.pace.add(*rank, *length));
            let mut left: usize = messages.iter().map(|(_, length)| length).sum();
            while left > 0 {
                while let Some((rank, bytes)) = self.pace.next(Duration::from_secs_f64(self.now)) {
                    free = free.max(self.now) + bytes as f64 / self.rate;
                    under_way.push_back((free, rank, bytes));
                }
                if came > settles {
                    most = most.max(free - self.now);
                }
                let (arrival, ..) = *under_way.front().expect("nothing is under way");
                // All that has arrived is noticed together.
                self.now = match self.late {
                    0.0 => arrival,
                    late => (arrival / late).ceil() * late,
                };
                while under_way.front().is_some_and(|(arrival, ..)| *arrival <= self.now) {
                    let (_, rank, bytes) = under_way.pop_front().unwrap();
                    self.pace.arrived(rank, Duration::from_secs_f64(self.now));
                    (left, came) = (left - bytes, came + bytes);
                }
            }
            assert!(messages.iter().all(|(rank, _)| !self.pace.is_open(*rank)));
            (self.now - begin, most)
        }
    }

    #[test]
    fn what_is_under_way_arrives_soon_however_fast_the_line_is() {
        for (rate, ranks) in [(5e5, 1), (2.5e6, 1), (2.5e6, 8), (1.2e8, 1), (1.2e8, 128), (1e10, 8)]
        {
            let mut line = Line::new(ranks, rate);
            let messages: Vec<_> = (1..=ranks).map(|rank| (rank, 10_000_000)).collect();
            let (took, most) = line.carry(&messages, 1 << 20);
            let least = ranks as f64 * 1e7 / rate;
            assert!(took < least * 1.1 + 0.05, "{rate}, {ranks}: {took} s instead of {least} s");
            let soon = 0.04_f64.max(4.0 * SHORTEST as f64 / rate);
            assert!(most < soon, "{rate}, {ranks}: a small message waits {most} s");
        }
    }

    #[test]
    fn the_first_messages_do_not_flood_a_slow_line() {
        let mut line = Line::new(8, 2.5e6);
        let messages: Vec<_> = (1..=8).map(|rank| (rank, 10_000_000)).collect();
        let (_, most) = line.carry(&messages, 0);
        assert!(most < 0.25, "{most}");
        assert_eq!(line.pace.unpaced(), LEAST_UNPACED);
    }

    #[test]
    fn a_rank_that_looks_seldom_is_not_taken_for_a_slow_line() {
        let mut line = Line { late: 0.05, ..Line::new(1, 1e9) };
        let (took, _) = line.carry(&[(1, 1_000_000_000)], 0);
        assert!(took < 5.0, "{took}");
        assert_eq!(line.pace.unpaced(), MOST_UNPACED);
    }

    #[test]
    fn a_suspended_rank_does_not_keep_the_others_waiting() {
        let mut line = Line::new(3, 1e9);
        line.carry(&[(1, 1 << 30)], 0);
        line.pace.add(1, 1 << 30);
        while line.pace.next(Duration::from_secs_f64(line.now)).is_some() {} // rank 1 takes none of it
        line.now += 2.0;
        let (took, _) = line.carry(&[(2, 100_000_000), (3, 100_000_000)], 0);
        assert!(took < 1.0, "{took}");
        line.pace.forget(1);
        assert!(!line.pace.is_open(1) && line.pace.sum.bytes == 0);
    }

    #[test]
    fn ranks_take_turns() {
        let mut pace = Pace::new(4);
        (1..4).for_each(|rank| pace.add(rank, 1 << 20));
        pace.add(1, 5);
        let mut moved = [0_usize; 4];
        for millisecond in 0..60 {
            let now = Duration::from_millis(millisecond);
            while let Some((rank, bytes)) = pace.next(now) {
                moved[rank] += bytes;
            }
            (1..4).for_each(|rank| pace.arrived(rank, now));
            let (most, least) =
                (moved[1..].iter().max().unwrap(), moved[1..].iter().min().unwrap());
            assert!(most - least <= 256 << 10, "{moved:?}");
        }
        assert!(moved[1] > 100_000, "{moved:?}");
    }
}
