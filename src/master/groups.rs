//! The open groups on rank 0: runs go in under their key, closed groups come out.
//!
//! A group keeps only what its fold still needs. Where the order matters, items are folded in grid order, as soon
//! as all slots before them are filled; those that arrive early are buffered, as numbers where that will do.

mod advice;
mod open_group;
mod partly;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::master::GroupView;
use crate::model::{
    Completeness, Folded, GroupSummary, Key, LoopNest, PointCounts, RunBatch, Scored, SlotResult,
    Winner, choose, stop_of,
};
use advice::Advice;
use open_group::{EndedGroup, OpenGroup};
pub(super) use partly::{KnownRun, Missing, PartlyKnown};

#[derive(Debug)]
pub(super) struct OpenGroups {
    nest: LoopNest,
    require: Completeness,
    /// Whether a program has set that, and no job file.
    in_code: bool,
    open: BTreeMap<Key, OpenGroup>,
    /// Groups that the user's function is reducing.
    away: BTreeMap<Key, AwayGroup>,
    /// Values of the user's function from earlier starts.
    known: BTreeMap<Key, Scored>,
    /// The level of keys whose items wait until it is decided whether they are stopped, and those that wait.
    undecided: Option<usize>,
    waiting: BTreeMap<Key, SlotResult>,
}

/// A group that the user's function is reducing.
#[derive(Debug)]
struct AwayGroup {
    runs: u64,
    failed: u64,
    partial: Option<PointCounts>,
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
    pub(super) fn new(nest: LoopNest, require: Completeness, in_code: bool) -> OpenGroups {
        let (open, away, known) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (undecided, waiting) = (stop_of(&nest).map(|(level, _)| level + 1), BTreeMap::new());
        OpenGroups { nest, require, in_code, open, away, known, undecided, waiting }
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
            let size = self.nest.group_size(parent);
            let group = group_at(&mut self.open, &self.nest, parent);
            group.put(slot, item);
            if group.filled < size {
                return;
            }
            let group = self.open.remove(&parent).expect("just put into");
            let Some(outwards) = self.close(parent, group, closed) else { return };
            if Some(parent.level) == self.undecided {
                self.waiting.insert(parent, outwards);
                return;
            }
            (key, item) = (parent, outwards);
        }
    }

    /// Puts the results of consecutive tasks. Same as [`OpenGroups::put`] for each, but faster for plain
    /// numbers, which are taken by the column.
    #[inline]
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
            self.put_run(other.task, other.result.as_ref().ok(), closed);
            task = other.task + 1;
        }
    }

    pub(super) fn put_run(
        &mut self,
        task: u64,
        result: Option<&Scored>,
        closed: &mut Vec<ClosedGroup>,
    ) {
        let (key, nest) = (self.nest.task(task), &self.nest);
        let Some((parent, slot)) = nest.group(key) else { return };
        let group = group_at(&mut self.open, nest, parent);
        let item = SlotResult::of_run(result.map(|result| group.fold.needed(slot, result)));
        self.put(key, item, closed);
    }

    #[inline]
    fn put_numbers(
        &mut self,
        Range { start: mut task, end }: Range<u64>,
        scores: &mut impl Iterator<Item = f64>,
        closed: &mut Vec<ClosedGroup>,
    ) {
        while task < end {
            let nest = &self.nest;
            let Some((parent, slot)) = nest.group(nest.task(task)) else { return };
            let size = nest.group_size(parent);
            let count = (end - task).min(size - slot);
            if count == size {
                // The whole group is in this batch, so it need not be stored.
                let mut group = OpenGroup::new(nest, parent);
                group.put_numbers(0, size, scores);
                if let Some(item) = self.close(parent, group, closed) {
                    self.put(parent, item, closed);
                }
            } else {
                let group = group_at(&mut self.open, nest, parent);
                group.put_numbers(slot, count, scores);
                if group.filled == size {
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
        let size = self.nest.group_size(key);
        let advice = Advice { of: &self.nest.loops()[key.level], in_code: self.in_code };
        let EndedGroup { folded, points, chooses, partial } =
            group.close(size, own.unwrap_or(self.require), advice);
        let result = match folded {
            Err(why) => Err(why),
            Ok(Folded::Value(scored)) => Ok(scored),
            Ok(Folded::Candidates(rule, candidates)) => choose(&self.nest, key, &rule, candidates),
            Ok(Folded::Items(items)) => match self.known.remove(&key) {
                Some(scored) => Ok(scored),
                None => {
                    self.away.insert(key, AwayGroup { runs, failed, partial });
                    closed.push(ClosedGroup::Outside(key, items));
                    return None;
                }
            },
        };
        let result = self.with_winners(key, result).map(|scored| Scored { partial, ..scored });
        let points = if chooses { points } else { PointCounts::one(result.is_ok()) };
        let (is_partial, outwards) = (partial.is_some(), self.outwards(key, &result));
        closed.push(ClosedGroup::Summary(GroupSummary { key, result, runs, failed }));
        let (result, is_stopped) = (outwards, false);
        Some(SlotResult { result, runs, failed, points, is_partial, is_stopped })
    }

    /// A group's result with the winning point of each loop whose runs went into it.
    fn with_winners(&self, key: Key, mut result: Result<Scored, String>) -> Result<Scored, String> {
        if let Ok(scored) = &mut result
            && let [Winner { level, slot }, ..] = scored.best.as_slice()
            && *level == key.level
        {
            let winners = self.nest.winning(key, *slot);
            scored.best.splice(..1, winners);
        }
        result
    }

    /// What the group around a closed one needs of its result.
    fn outwards(&mut self, key: Key, result: &Result<Scored, String>) -> Option<Scored> {
        let ((parent, slot), scored) = (self.nest.group(key)?, result.as_ref().ok()?);
        if scored.value.weight() == 0 {
            return Some(scored.clone());
        }
        let group = group_at(&mut self.open, &self.nest, parent);
        Some(group.fold.needed(slot, scored))
    }

    /// Takes the user's function's value of a group and puts it into the group around it.
    pub(super) fn reduced(
        &mut self,
        key: Key,
        result: Result<Scored, String>,
        closed: &mut Vec<ClosedGroup>,
    ) {
        let Some(AwayGroup { runs, failed, partial }) = self.away.remove(&key) else { return };
        self.forget(key);
        let result = result.map(|scored| Scored { partial, ..scored });
        let points = PointCounts::one(result.is_ok());
        let (is_partial, outwards) = (partial.is_some(), self.outwards(key, &result));
        let (outwards_of, is_stopped) = (outwards, false);
        let item = SlotResult { result: outwards_of, runs, failed, points, is_partial, is_stopped };
        closed.push(ClosedGroup::Summary(GroupSummary { key, result, runs, failed }));
        self.put(key, item, closed);
    }

    /// Puts a point into its group that is not stopped.
    pub(super) fn decide(&mut self, key: Key, closed: &mut Vec<ClosedGroup>) {
        if let Some(item) = self.waiting.remove(&key) {
            self.put(key, item, closed);
        }
    }

    /// Closes a point that was stopped: what is open below it is dropped, and it takes its slot with this.
    pub(super) fn stop(&mut self, key: Key, item: SlotResult, closed: &mut Vec<ClosedGroup>) {
        for level in key.level..self.nest.depth() {
            let below = self.nest.keys_below(key, level);
            let (from, to) = (Key { level, index: below.start }, Key { level, index: below.end });
            let open: Vec<Key> = self.open.range(from..to).map(|(key, _)| *key).collect();
            open.iter().for_each(|key| drop(self.open.remove(key)));
        }
        self.waiting.remove(&key);
        self.put(key, item, closed);
    }

    /// Views of the first `most` open groups at a level.
    pub(super) fn views(&self, level: usize, most: usize) -> Vec<GroupView> {
        let keys = Key { level, index: 0 }..Key { level: level + 1, index: 0 };
        let view = |(key, group): (&Key, &OpenGroup)| GroupView {
            key: *key,
            runs: group.runs,
            failed: group.failed,
            best: group.best_so_far(&self.nest, *key),
        };
        self.open.range(keys).take(most).map(view).collect()
    }

    /// Whether the user's function is reducing a group.
    pub(super) fn awaits_outside(&self) -> bool {
        !self.away.is_empty()
    }

    /// Whether no group is open or being reduced.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.away.is_empty() && self.waiting.is_empty()
    }
}

/// The open group of a key: a new one if there is none yet.
#[inline]
fn group_at<'a>(
    open: &'a mut BTreeMap<Key, OpenGroup>,
    nest: &LoopNest,
    key: Key,
) -> &'a mut OpenGroup {
    open.entry(key).or_insert_with(|| OpenGroup::new(nest, key))
}
