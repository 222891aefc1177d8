//! The open groups on rank 0: runs go in under their key, closed groups come out.
//!
//! A group keeps only what its fold still needs. Items are folded in grid order, as soon as all slots
//! before them are filled. Items that arrive early are buffered.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::master::GroupView;
use crate::model::{
    Completeness, Fold, Folded, GroupSummary, Key, LoopNest, RunBatch, Scored, SlotResult, Winner,
};

/// The most buffered items that one view scans.
const MOST_SEEN: usize = 100_000;

#[derive(Debug)]
pub(super) struct OpenGroups {
    nest: LoopNest,
    require: Completeness,
    open: BTreeMap<Key, OpenGroup>,
    /// Groups that the user's function is reducing, with their number of runs and failures.
    away: BTreeMap<Key, (u64, u64)>,
    /// Values of the user's function from earlier starts.
    known: BTreeMap<Key, Scored>,
}

#[derive(Debug)]
struct OpenGroup {
    fold: Fold,
    /// The first slot not folded yet.
    next: u64,
    early: BTreeMap<u64, Early>,
    runs: u64,
    failed: u64,
}

/// Items buffered until the slots before them are filled.
#[derive(Debug)]
enum Early {
    Item(SlotResult),
    /// Plain numbers of consecutive slots.
    Numbers(Vec<f64>),
}

/// A group that has closed.
#[derive(Debug, PartialEq)]
pub(super) enum ClosedGroup {
    /// The group was reduced here.
    Summary(GroupSummary),
    /// The user's function has to reduce these items, one per slot.
    Outside(Key, Vec<SlotResult>),
}

impl OpenGroups {
    pub(super) fn new(nest: LoopNest, require: Completeness) -> OpenGroups {
        let (open, away, known) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        OpenGroups { nest, require, open, away, known }
    }

    /// Sets the value of the user's function for a group, from an earlier start.
    pub(super) fn know(&mut self, key: Key, value: Scored) {
        self.known.insert(key, value);
    }

    /// Forgets what is known of the groups around a key: something in them is new.
    fn forget(&mut self, mut key: Key) {
        while let Some((parent, _)) = self.nest.group(key) {
            self.known.remove(&parent);
            key = parent;
        }
    }

    /// Puts an item under its key. A group that is complete closes, and its value goes into the group
    /// around it, and so on outwards. Closed groups are appended to `closed`, innermost first.
    pub(super) fn put(
        &mut self,
        mut key: Key,
        mut item: SlotResult,
        closed: &mut Vec<ClosedGroup>,
    ) {
        while let Some((parent, slot)) = self.nest.group(key) {
            let size = self.nest.slots(parent);
            let nest = &self.nest;
            let group = self.open.entry(parent).or_insert_with(|| OpenGroup::new(nest, parent));
            group.put(slot, item);
            if group.next < size {
                return;
            }
            let group = self.open.remove(&parent).expect("just put into");
            let Some(outwards) = self.close(parent, group, closed) else { return };
            (key, item) = (parent, outwards);
        }
    }

    /// Puts the results of consecutive tasks. Same as [`OpenGroups::put`] for each, but faster for plain
    /// numbers, which are taken by the column.
    pub(super) fn put_runs(&mut self, runs: &RunBatch, closed: &mut Vec<ClosedGroup>) {
        let Range { start: mut task, end } = runs.tasks();
        if !self.known.is_empty() {
            runs.tasks().for_each(|task| self.forget(self.nest.task(task)));
        }
        let mut scores = runs.scores();
        let mut others = runs.others();
        loop {
            let other = others.next();
            let plain = task..other.map_or(end, |other| other.task);
            self.put_numbers(plain, &mut scores, closed);
            let Some(other) = other else { return };
            scores.next();
            let item = SlotResult::of_run(other.result.clone().ok());
            self.put(self.nest.task(other.task), item, closed);
            task = other.task + 1;
        }
    }

    fn put_numbers(
        &mut self,
        Range { start: mut task, end }: Range<u64>,
        scores: &mut impl Iterator<Item = f64>,
        closed: &mut Vec<ClosedGroup>,
    ) {
        while task < end {
            let nest = &self.nest;
            let Some((parent, slot)) = nest.group(nest.task(task)) else { return };
            let size = nest.slots(parent);
            let count = (end - task).min(size - slot);
            if count == size {
                // The whole group is in this batch, so it need not be stored.
                let mut group = OpenGroup::new(nest, parent);
                group.put_numbers(0, size, scores);
                if let Some(item) = self.close(parent, group, closed) {
                    self.put(parent, item, closed);
                }
            } else {
                let group = self.open.entry(parent).or_insert_with(|| OpenGroup::new(nest, parent));
                group.put_numbers(slot, count, scores);
                if group.next == size {
                    let group = self.open.remove(&parent).expect("just put into");
                    if let Some(item) = self.close(parent, group, closed) {
                        self.put(parent, item, closed);
                    }
                }
            }
            task += count;
        }
    }

    /// Reduces a group whose slots are all filled. Returns its item for the group around it, or `None` if
    /// the user's function has to reduce it first.
    fn close(
        &mut self,
        key: Key,
        group: OpenGroup,
        closed: &mut Vec<ClosedGroup>,
    ) -> Option<SlotResult> {
        let (runs, failed) = (group.runs, group.failed);
        let own = self.nest.loops()[key.level].require;
        let result = match group.close(self.nest.slots(key), own.unwrap_or(self.require)) {
            Err(why) => Err(why),
            Ok(Folded::Value(scored)) => Ok(scored),
            Ok(Folded::Items(items)) => match self.known.remove(&key) {
                Some(scored) => Ok(scored),
                None => {
                    self.away.insert(key, (runs, failed));
                    closed.push(ClosedGroup::Outside(key, items));
                    return None;
                }
            },
        };
        // A group around this one needs the value too.
        let outwards = self.nest.group(key).is_some();
        let item = SlotResult {
            result: if outwards { result.as_ref().ok().cloned() } else { None },
            runs,
            failed,
        };
        closed.push(ClosedGroup::Summary(GroupSummary { key, result, runs, failed }));
        Some(item)
    }

    /// Takes the user's function's value of a group and puts it into the group around it.
    pub(super) fn reduced(
        &mut self,
        key: Key,
        result: Result<Scored, String>,
        closed: &mut Vec<ClosedGroup>,
    ) {
        let Some((runs, failed)) = self.away.remove(&key) else { return };
        self.forget(key);
        let item = SlotResult { result: result.as_ref().ok().cloned(), runs, failed };
        closed.push(ClosedGroup::Summary(GroupSummary { key, result, runs, failed }));
        self.put(key, item, closed);
    }

    /// Views of the first `most` open groups at a level.
    pub(super) fn views(&self, level: usize, most: usize) -> Vec<GroupView> {
        let keys = Key { level, index: 0 }..Key { level: level + 1, index: 0 };
        let mut budget = MOST_SEEN;
        let view = |(key, group): (&Key, &OpenGroup)| GroupView {
            key: *key,
            runs: group.runs,
            failed: group.failed,
            best: group.best_so_far(level, &mut budget),
        };
        self.open.range(keys).take(most).map(view).collect()
    }

    /// Whether the user's function is reducing a group.
    pub(super) fn awaits_outside(&self) -> bool {
        !self.away.is_empty()
    }

    /// Whether no group is open or being reduced.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.away.is_empty()
    }
}

impl OpenGroup {
    fn new(nest: &LoopNest, key: Key) -> OpenGroup {
        let reduce = nest.loops()[key.level].reduce.as_ref().expect("an inner loop reduces");
        let fold = Fold::new(reduce, key.level);
        OpenGroup { fold, next: 0, early: BTreeMap::new(), runs: 0, failed: 0 }
    }

    fn put(&mut self, slot: u64, item: SlotResult) {
        self.runs += item.runs;
        self.failed += item.failed;
        if slot != self.next {
            self.early.insert(slot, Early::Item(item));
            return;
        }
        self.fold.push(slot, item);
        self.next += 1;
        self.catch_up();
    }

    fn put_numbers(&mut self, slot: u64, count: u64, scores: &mut impl Iterator<Item = f64>) {
        self.runs += count;
        let scores = scores.take(count as usize);
        if slot != self.next {
            self.early.insert(slot, Early::Numbers(scores.collect()));
            return;
        }
        self.fold.push_numbers(slot, scores);
        self.next += count;
        self.catch_up();
    }

    /// Folds buffered items whose turn has come.
    fn catch_up(&mut self) {
        if self.early.is_empty() {
            return;
        }
        while let Some(early) = self.early.remove(&self.next) {
            match early {
                Early::Item(item) => {
                    self.fold.push(self.next, item);
                    self.next += 1;
                }
                Early::Numbers(numbers) => {
                    let count = numbers.len() as u64;
                    self.fold.push_numbers(self.next, numbers.into_iter());
                    self.next += count;
                }
            }
        }
    }

    /// The best score so far, buffered items included, and its point; the first of equal ones. `None` if
    /// the fold is neither max nor min, or the scan would exceed the budget.
    fn best_so_far(&self, level: usize, budget: &mut usize) -> Option<(f64, Vec<Winner>)> {
        let (sign, folded) = self.fold.best()?;
        let mut best =
            folded.and_then(|(slot, scored)| Some((slot, scored.score?, scored.best.as_slice())));
        for (first, early) in &self.early {
            let (numbers, item) = match early {
                Early::Item(item) => (&[][..], item.result.as_ref()),
                Early::Numbers(numbers) => (numbers.as_slice(), None),
            };
            *budget = budget.checked_sub(numbers.len().max(1))?;
            let item =
                item.and_then(|scored| Some((*first, scored.score?, scored.best.as_slice())));
            let numbers = (*first..).zip(numbers).map(|(slot, score)| (slot, *score, &[][..]));
            for new in numbers.chain(item) {
                if best.is_none_or(|old| sign * new.1 > sign * old.1) {
                    best = Some(new);
                }
            }
        }
        let (slot, score, inner) = best?;
        Some((score, [&[Winner { level, slot }], inner].concat()))
    }

    fn close(self, size: u64, require: Completeness) -> Result<Folded, String> {
        let counted = self.fold.count();
        let missing = format!("{} of {size} points without a result", size - counted);
        if !require.is_met(counted, size) {
            return Err(missing);
        }
        self.fold.finish().ok_or(missing)
    }
}
