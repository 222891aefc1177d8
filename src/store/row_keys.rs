//! The keys of the rows of runs. A run's key is made of the numbers of its points, which the store gives to
//! each point once and for all, so that a row stays where it is when its loop grows, shrinks or is sorted anew.
//!
//! The numbers are the digits of the key, outermost loop first. Each loop has room for more points than it has,
//! so rows of one group are next to each other, and key order is grid order as long as new points come last.
//! Where the numbers do not fit, and in stores of older formats, the key is the task number.

use std::ops::{Range, RangeInclusive};

use crate::model::{Key, LoopNest, MOST_TASKS};
use crate::store::point_map::PointMap;

/// What the row keys of a store mean in its job as it was at the last start.
#[derive(Clone, Debug)]
pub(crate) struct RowKeys {
    nest: LoopNest,
    /// By loop: the numbers of its points in the store, and their positions in the nest.
    positions: Vec<PointMap>,
    /// Nothing if the key is the task number.
    digits: Option<Digits>,
    /// How many rows have no task: the job has lost their points.
    left_over: u64,
}

/// How keys are made of numbers of points.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Digits {
    /// By loop: how many points it has room for. The outermost loop has the rest.
    rooms: Vec<u64>,
    /// By loop: the difference of keys whose points are neighbours.
    weights: Vec<u64>,
}

/// How many times its points a loop has room for, if that fits.
const ROOM: u64 = 16;

impl Digits {
    /// Digits with room for these numbers of points and for more. Nothing if they do not fit.
    pub(super) fn for_sizes(sizes: &[u64]) -> Option<Digits> {
        let with_room = |times: u64| {
            let rooms = sizes.iter().map(|size| size.checked_mul(times)).collect::<Option<_>>()?;
            Digits::of_rooms(rooms).filter(|digits| digits.most_outer() / times >= sizes[0])
        };
        std::iter::successors(Some(ROOM), |times| Some(times / 2).filter(|times| *times > 0))
            .find_map(with_room)
    }

    pub(super) fn of_rooms(rooms: Vec<u64>) -> Option<Digits> {
        let mut weights = vec![1u64; rooms.len()];
        for level in (1..rooms.len()).rev() {
            let weight = weights[level].checked_mul(rooms[level])?;
            weights[level - 1] = Some(weight).filter(|weight| *weight <= MOST_TASKS)?;
        }
        Some(Digits { rooms, weights })
    }

    /// How many points the outermost loop can have.
    fn most_outer(&self) -> u64 {
        MOST_TASKS / self.weights[0]
    }

    pub(super) fn rooms(&self) -> &[u64] {
        &self.rooms
    }

    /// Whether each loop has room for this many points.
    pub(super) fn have_room(&self, known: &[u64]) -> bool {
        let inner = self.rooms.iter().zip(known).skip(1);
        known[0] <= self.most_outer() && inner.into_iter().all(|(room, known)| known <= room)
    }

    /// The SQL expression for the number of the point at a level.
    pub(super) fn sql(&self, level: usize, key: &str) -> String {
        match level {
            0 => format!("({key} / {})", self.weights[0]),
            _ => format!("({key} / {} % {})", self.weights[level], self.rooms[level]),
        }
    }

    fn points(&self, key: u64) -> impl Iterator<Item = u64> {
        let digit = move |(level, weight): (usize, &u64)| match level {
            0 => key / weight,
            _ => key / weight % self.rooms[level],
        };
        self.weights.iter().enumerate().map(digit)
    }
}

impl RowKeys {
    pub(super) fn new(nest: LoopNest, positions: Vec<PointMap>, digits: Option<Digits>) -> RowKeys {
        RowKeys { nest, positions, digits, left_over: 0 }
    }

    pub(super) fn with_left_over(self, left_over: u64) -> RowKeys {
        RowKeys { left_over, ..self }
    }

    /// The keys of a new store: points are numbered by their positions.
    pub(super) fn fresh(nest: &LoopNest) -> RowKeys {
        let sizes: Vec<u64> = nest.loops().iter().map(|l| l.points.len()).collect();
        let digits = Digits::for_sizes(&sizes);
        RowKeys::new(nest.clone(), sizes.into_iter().map(PointMap::same).collect(), digits)
    }

    /// The keys of a store of an older format.
    pub(super) fn task_numbers(nest: &LoopNest) -> RowKeys {
        RowKeys { digits: None, ..RowKeys::fresh(nest) }
    }

    /// How many tasks the job has.
    pub(super) fn tasks(&self) -> u64 {
        self.nest.tasks()
    }

    pub(super) fn nest(&self) -> &LoopNest {
        &self.nest
    }

    pub(super) fn digits(&self) -> Option<&Digits> {
        self.digits.as_ref()
    }

    pub(super) fn positions(&self) -> &[PointMap] {
        &self.positions
    }

    /// The numbers of a row's points, outermost first.
    pub(super) fn points(&self, key: i64) -> Vec<u64> {
        match &self.digits {
            Some(digits) => digits.points(key as u64).collect(),
            None => self.nest.indices(self.nest.task(key as u64)),
        }
    }

    /// The key of a task's row.
    pub(crate) fn key(&self, task: u64) -> i64 {
        self.stretch(task).0
    }

    /// The key of a task's row, and how many tasks from this one on have consecutive keys.
    fn stretch(&self, task: u64) -> (i64, u64) {
        let Some(Digits { weights, .. }) = &self.digits else {
            return (task as i64, self.nest.tasks() - task);
        };
        let at = self.nest.task(task);
        let (mut key, mut count) = (0, self.nest.stretch(at).count);
        let points = self.nest.indices(at);
        for ((position, map), weight) in points.iter().zip(&self.positions).zip(weights) {
            // A task's points have numbers; what else there may be in a damaged store has no row.
            let Some(run) = map.run_of(*position) else { return (-1, 1) };
            key += run.old * weight;
            if *weight == 1 {
                count = count.min(run.count);
            }
        }
        (key as i64, count)
    }

    /// The task of a row; `None` if the job has no such task any more.
    pub(crate) fn task(&self, key: i64) -> Option<u64> {
        let key = u64::try_from(key).ok()?;
        let Some(digits) = &self.digits else {
            return Some(key).filter(|task| *task < self.nest.tasks());
        };
        let mut at = Key::ROOT;
        for (point, map) in digits.points(key).zip(&self.positions) {
            at = self.nest.child_at(at, map.new_of(point)?)?;
        }
        Some(at.index)
    }

    /// How many rows have no task.
    pub(super) fn left_over(&self) -> u64 {
        self.left_over
    }

    /// The level of keys of the nest below which the order of rows is grid order.
    fn ordered_below(&self) -> usize {
        let ascends =
            |level: &usize| self.positions[*level].ascends() && self.nest.is_sorted(*level);
        let levels = 0..self.positions.len();
        match &self.digits {
            Some(_) => levels.rev().find(|level| !ascends(level)).map_or(0, |level| level + 1),
            None => 0,
        }
    }

    /// Whether the order of rows is grid order.
    pub(crate) fn are_in_grid_order(&self) -> bool {
        self.ordered_below() == 0
    }

    /// How many ranges of keys there are in grid order.
    pub(super) fn ranges_of_all(&self) -> u64 {
        self.nest.keys(self.ordered_below())
    }

    /// Ranges of keys, in grid order, that hold the rows of these tasks; rows of no task may be between them.
    pub(crate) fn ranges(&self, tasks: Range<u64>) -> impl Iterator<Item = RangeInclusive<i64>> {
        let level = self.ordered_below();
        let group = |task| self.nest.ancestor(self.nest.task(task), level).index;
        let groups = match tasks.is_empty() {
            true => 0..0,
            false => group(tasks.start)..group(tasks.end - 1) + 1,
        };
        groups.map(move |index| {
            let below = self.nest.tasks_below(Key { level, index });
            let (first, last) = (below.start.max(tasks.start), below.end.min(tasks.end) - 1);
            self.key(first)..=self.key(last)
        })
    }

    /// Ranges of keys, in any order, that hold the rows of these tasks: for what needs no order.
    pub(super) fn spans(&self, tasks: Range<u64>) -> Vec<RangeInclusive<i64>> {
        match tasks == (0..self.tasks()) {
            true => vec![0..=i64::MAX],
            false => self.ranges(tasks).collect(),
        }
    }

    pub(crate) fn cursor(&self) -> RowCursor<'_> {
        RowCursor { keys: self, task: 0, key: 0, count: 0 }
    }
}

/// Converts keys and tasks one after another: neighbours cost an addition.
pub(crate) struct RowCursor<'a> {
    keys: &'a RowKeys,
    /// The last stretch: its first task and key, and how many there are.
    task: u64,
    key: i64,
    count: u64,
}

impl RowCursor<'_> {
    pub(crate) fn key(&mut self, task: u64) -> i64 {
        let place = task.wrapping_sub(self.task);
        if place < self.count {
            return self.key + place as i64;
        }
        (self.key, self.count) = self.keys.stretch(task);
        self.task = task;
        self.key
    }

    pub(crate) fn task(&mut self, key: i64) -> Option<u64> {
        let place = key.wrapping_sub(self.key) as u64;
        if place < self.count {
            return Some(self.task + place);
        }
        self.task = self.keys.task(key)?;
        (self.key, self.count) = self.keys.stretch(self.task);
        Some(self.task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reduce;
    use crate::model::random::RandomNest;
    use crate::store::point_map::PointRun;
    use proptest::prelude::*;

    /// Row keys of a store that knows more points than the nest has, in any order.
    fn keys_of(random: &RandomNest, shift: u64) -> Option<RowKeys> {
        let reduces = vec![Some(Reduce::max()); random.sizes.len()];
        let nest = random.nest(&reduces).ok()?;
        let known: Vec<u64> = random.sizes.iter().map(|size| size + shift % 3).collect();
        let moved = |(size, known): (&u64, &u64)| {
            let run =
                |new| PointRun { old: (new * (1 + shift % 2) + shift) % known, new, count: 1 };
            let mut runs: Vec<PointRun> = (0..*size).map(run).collect();
            let mut olds = std::collections::BTreeSet::new();
            let is_one_to_one = runs.iter().all(|run| olds.insert(run.old));
            if !is_one_to_one {
                runs = (0..*size).map(|new| PointRun { old: new, new, count: 1 }).collect();
            }
            PointMap::of(runs)
        };
        let positions = random.sizes.iter().zip(&known).map(moved).collect();
        Some(RowKeys::new(nest, positions, Digits::for_sizes(&known)))
    }

    proptest! {
        #[test]
        fn each_task_has_a_row_of_its_own(random in RandomNest::any(1..5), shift in 0u64..6) {
            let Some(keys) = keys_of(&random, shift) else { return Ok(()) };
            let (mut cursor, mut back) = (keys.cursor(), keys.cursor());
            let tasks = keys.tasks();
            let rows: Vec<i64> = (0..tasks).map(|task| cursor.key(task)).collect();
            for (task, key) in (0..).zip(&rows) {
                prop_assert_eq!(keys.key(task), *key);
                prop_assert_eq!(keys.task(*key), Some(task));
                prop_assert_eq!(back.task(*key), Some(task));
                let positions = keys.points(*key).into_iter().zip(&keys.positions);
                let positions: Option<Vec<u64>> =
                    positions.map(|(point, map)| map.new_of(point)).collect();
                prop_assert_eq!(positions, Some(keys.nest.indices(keys.nest.task(task))));
            }
            // No other key in the digits' range has a task.
            let most = rows.iter().max().unwrap() + 40;
            let with_task = (0..most.min(20_000)).filter(|key| keys.task(*key).is_some());
            prop_assert!(with_task.clone().all(|key| rows.contains(&key)));
            prop_assert_eq!(keys.task(-1), None);
        }

        #[test]
        fn rows_in_ranges_of_keys_are_in_grid_order(
            random in RandomNest::any(1..5),
            shift in 0u64..6,
            (from, to) in (0u64..40, 0u64..40),
        ) {
            let Some(keys) = keys_of(&random, shift) else { return Ok(()) };
            let wanted = from.min(keys.tasks())..to.clamp(from.min(keys.tasks()), keys.tasks());
            let mut rows: Vec<i64> = (0..keys.tasks()).map(|task| keys.key(task)).collect();
            rows.sort();
            let within = |range: RangeInclusive<i64>| {
                rows.iter().filter(move |key| range.contains(key)).filter_map(|key| keys.task(*key))
            };
            let found: Vec<u64> = keys.ranges(wanted.clone()).flat_map(within).collect();
            prop_assert_eq!(found, wanted.collect::<Vec<_>>());
        }
    }

    #[test]
    fn there_is_room_to_grow_as_long_as_it_fits() {
        let rooms = |sizes: &[u64]| Digits::for_sizes(sizes).map(|digits| digits.rooms);
        assert_eq!(rooms(&[3, 100]), Some(vec![48, 1600]));
        assert_eq!(rooms(&[2; 23]), Some(vec![4; 23]));
        assert_eq!(rooms(&[2; 62]), Some(vec![2; 62]));
        assert_eq!(rooms(&[1 << 40, 1 << 40]), None);
        assert!(rooms(&[1 << 40, 1 << 20]).is_some_and(|rooms| rooms[1] == 1 << 21));
        assert!(Digits::for_sizes(&[3, 100]).unwrap().have_room(&[1 << 40, 1600]));
        assert!(!Digits::for_sizes(&[3, 100]).unwrap().have_room(&[3, 1601]));
    }
}
