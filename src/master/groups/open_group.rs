//! A group that is open: its fold in progress, and how many of its points count.

use std::collections::BTreeMap;

use crate::master::early_numbers::EarlyNumbers;
use crate::master::groups::advice::Advice;
use crate::model::{
    Completeness, Fold, FoldOrder, Folded, Key, LoopNest, PointCounts, ResultValue, Scored,
    SlotResult, Value, Winner,
};

#[derive(Debug)]
pub(super) struct OpenGroup {
    pub(super) fold: Fold,
    /// How many slots are filled.
    pub(super) filled: u64,
    /// The first slot not folded yet, where the order matters.
    next: u64,
    numbers: EarlyNumbers,
    items: BTreeMap<u64, Early>,
    pub(super) runs: u64,
    pub(super) failed: u64,
    /// Its points, if it chooses one.
    points: PointCounts,
    /// How many slots have no result.
    without: u64,
    /// Whether the value in some slot rests on less than it could.
    is_partial: bool,
    /// How many of its points were stopped.
    stopped: u64,
}

/// A group whose slots are all filled.
pub(super) struct EndedGroup {
    pub(super) folded: Result<Folded, String>,
    pub(super) points: PointCounts,
    /// Whether it chooses one of its points.
    pub(super) chooses: bool,
    /// Its points, if its value, if it has one, rests on less than it could.
    pub(super) partial: Option<PointCounts>,
}

/// Whole items, buffered until the slots before them are filled.
#[derive(Debug)]
enum Early {
    Item(SlotResult),
    /// Plain numbers of consecutive slots.
    Numbers(Vec<f64>),
}

impl OpenGroup {
    #[inline(never)]
    pub(super) fn new(nest: &LoopNest, key: Key) -> OpenGroup {
        let reduce = nest.loops()[key.level].reduce.as_ref().expect("an inner loop reduces");
        OpenGroup {
            fold: Fold::new(reduce, key.level),
            filled: 0,
            next: 0,
            numbers: EarlyNumbers::default(),
            items: BTreeMap::new(),
            runs: 0,
            failed: 0,
            points: PointCounts::default(),
            without: 0,
            is_partial: false,
            stopped: 0,
        }
    }

    pub(super) fn put(&mut self, slot: u64, item: SlotResult) {
        self.runs += item.runs;
        self.failed += item.failed;
        self.filled += 1;
        self.is_partial |= item.is_partial;
        if item.is_stopped {
            self.stopped += 1;
            return self.points.add(item.points, true);
        }
        self.without += u64::from(item.result.is_none());
        match self.fold.order() {
            FoldOrder::Any => {
                let (before, points) = (self.fold.count(), item.points);
                self.fold.push(slot, item);
                self.points.add(points, self.fold.count() > before);
            }
            FoldOrder::Numbers | FoldOrder::Items if slot == self.next => {
                self.fold.push(slot, item);
                self.next += 1;
                self.catch_up();
            }
            // A number, or none at all: one without a score, or a record, waits as it is.
            FoldOrder::Numbers if item.result.as_ref().is_none_or(is_number) => {
                self.numbers.put(slot, item.result.and_then(|scored| scored.score));
            }
            FoldOrder::Numbers | FoldOrder::Items => {
                self.items.insert(slot, Early::Item(item));
            }
        }
    }

    #[inline]
    pub(super) fn put_numbers(
        &mut self,
        slot: u64,
        count: u64,
        scores: &mut impl Iterator<Item = f64>,
    ) {
        self.runs += count;
        self.filled += count;
        let scores = scores.take(count as usize);
        match self.fold.order() {
            FoldOrder::Any => {
                let before = self.fold.count();
                self.fold.push_numbers(slot, scores);
                let counted = self.fold.count() - before;
                self.points.counted += counted;
                self.points.left_out += count - counted;
            }
            FoldOrder::Numbers | FoldOrder::Items if slot == self.next => {
                self.fold.push_numbers(slot, scores);
                self.next += count;
                self.catch_up();
            }
            FoldOrder::Numbers => self.numbers.put_all(slot, scores),
            FoldOrder::Items => {
                self.items.insert(slot, Early::Numbers(scores.collect()));
            }
        }
    }

    /// Folds buffered items whose turn has come.
    fn catch_up(&mut self) {
        loop {
            if !self.numbers.is_empty() {
                let fold = &mut self.fold;
                self.next = self.numbers.take(self.next, |slot, number| {
                    if let Some(number) = number {
                        fold.push_numbers(slot, std::iter::once(number));
                    }
                });
            }
            let early = if self.items.is_empty() { None } else { self.items.remove(&self.next) };
            match early {
                None => return,
                Some(Early::Item(item)) => {
                    self.fold.push(self.next, item);
                    self.next += 1;
                }
                Some(Early::Numbers(numbers)) => {
                    let count = numbers.len() as u64;
                    self.fold.push_numbers(self.next, numbers.into_iter());
                    self.next += count;
                }
            }
        }
    }

    /// The best score so far and its point; the first of equal ones. `None` if the fold is neither max nor min.
    pub(super) fn best_so_far(&self, nest: &LoopNest, key: Key) -> Option<(f64, Vec<Winner>)> {
        let (slot, scored) = self.fold.best()?;
        Some((scored.score?, [nest.winning(key, slot), scored.best.clone()].concat()))
    }

    /// Folds a group of that size, whose slots are all filled.
    pub(super) fn close(self, size: u64, require: Completeness, advice: Advice) -> EndedGroup {
        let (with_value, failed, chooses) = (self.fold.count(), self.without, self.fold.chooses());
        // A point that was stopped counts as one with a result, which is not the best.
        let counted = with_value + self.stopped;
        let points = match chooses {
            true => self.points,
            false => PointCounts { counted, failed, left_out: size - counted - failed },
        };
        let partial = (self.is_partial || points.lacks_some()).then_some(points);
        let needs_one = self.fold.needs_one();
        let folded = match require.is_met(counted, size) && (with_value > 0 || !needs_one) {
            true => self.fold.finish(),
            false if require.is_met(counted, size) && counted > 0 => {
                Err("no point that went all the way has a result".to_string())
            }
            false => {
                let mut missing = format!("{} of {size} points without a result", size - counted);
                if let Some(fraction) = Completeness::allowing(counted, size) {
                    missing += &format!(" ({})", advice.allowing(fraction));
                }
                Err(match self.fold.uncounted() {
                    Some(uncounted) => {
                        format!("{missing}: {}{}", uncounted.why, advice.naming_a_score(uncounted))
                    }
                    None => missing,
                })
            }
        };
        EndedGroup { folded, points, chooses, partial }
    }
}

/// Whether a result is one number, for which 8 bytes are enough.
fn is_number(result: &Scored) -> bool {
    result.score.is_some()
        && matches!(&result.value, ResultValue::Tree(value) if !matches!(value, Value::Record(_)))
}
