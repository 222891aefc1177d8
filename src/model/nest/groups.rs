//! Which keys go into which group. The points of a loop that is joined go into the group of the loop around it.

use std::ops::Range;

use crate::model::key::Key;
use crate::model::nest::{Loop, LoopNest};
use crate::model::reduce::Reduce;
use crate::model::results::Winner;

impl LoopNest {
    /// The group that the result of `key` goes into, and its slot there; `None` at the outermost loops,
    /// which do not reduce.
    #[inline]
    pub(crate) fn group(&self, key: Key) -> Option<(Key, u64)> {
        if key.level <= self.0.outer {
            return None;
        }
        if !self.0.has_joined {
            return self.parent(key);
        }
        let level = (0..key.level).rev().find(|level| !self.is_joined(*level))?;
        let group = self.ancestor(key, level);
        Some((group, key.index - self.keys_below(group, key.level).start))
    }

    /// Number of slots of a group.
    #[inline]
    pub(crate) fn group_size(&self, group: Key) -> u64 {
        if !self.0.has_joined {
            return self.slots(group);
        }
        let items = self.items(group);
        items.end - items.start
    }

    /// The fewest and the most slots that groups at a level may have.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) fn group_sizes(&self, level: usize) -> (u64, u64) {
        let sizes = (level..self.item_level(level)).map(|level| self.sizes(level));
        sizes.fold((1, 1), |(least, most), (l, m)| (least * l, most * m))
    }

    /// The indices of the keys that go into a group, at [`LoopNest::item_level`].
    pub(crate) fn items(&self, group: Key) -> Range<u64> {
        self.keys_below(group, self.item_level(group.level))
    }

    /// The level of what goes into the groups at a level.
    pub(crate) fn item_level(&self, level: usize) -> usize {
        let joined = (level + 1..self.depth()).take_while(|inner| self.is_joined(*inner));
        level + 1 + joined.count()
    }

    /// The levels that have groups, outermost first.
    pub(crate) fn group_levels(&self) -> impl DoubleEndedIterator<Item = usize> {
        (self.outer()..self.depth()).filter(|level| !self.is_joined(*level))
    }

    /// How many loops from a level on have a winning point: those with max or min, and those joined to them.
    pub(crate) fn decided(&self, level: usize) -> usize {
        let picks = |l: &Loop| l.reduce.as_ref().is_some_and(Reduce::picks_a_winner);
        let loops = self.loops().iter().enumerate().skip(level);
        loops.take_while(|(at, l)| picks(l) || *at > level && self.is_joined(*at)).count()
    }

    /// Whether the loop at a level folds nothing: its points are those of the loop around it.
    pub(crate) fn is_joined(&self, level: usize) -> bool {
        self.0.loops[level].reduce == Some(Reduce::Join)
    }

    /// The reduction that takes the runs.
    pub(crate) fn run_reduction(&self) -> Option<&Reduce> {
        let mut reduces = self.0.loops.iter().rev().filter_map(|l| l.reduce.as_ref());
        reduces.find(|reduce| **reduce != Reduce::Join)
    }

    /// The winning points of the loops down to a slot of a group.
    pub(crate) fn winning(&self, group: Key, slot: u64) -> Vec<Winner> {
        let level = self.item_level(group.level);
        let mut key = Key { level, index: self.items(group).start + slot };
        let mut winners = Vec::new();
        while let Some((outer, slot)) = self.parent(key).filter(|_| key.level > group.level) {
            winners.push(Winner { level: outer.level, slot });
            key = outer;
        }
        winners.reverse();
        winners
    }

    /// The points of a key's loops, and the winning points of the loops inside it, by level.
    pub(crate) fn points_with_winners(&self, key: Key, best: &[Winner]) -> Vec<u64> {
        let (mut at, mut points) = (key, self.indices(key));
        for winner in best.iter().take_while(|winner| winner.level >= key.level) {
            let Some(child) = self.child(at, winner.slot).filter(|_| winner.level == at.level)
            else {
                break;
            };
            at = child;
            points.push(self.point(at));
        }
        points
    }

    /// The indices of the keys at a level below a key.
    pub(crate) fn keys_below(&self, key: Key, level: usize) -> Range<u64> {
        let (keys, from) = match self.head(key.level) {
            Some(head) => {
                let from = level.min(self.0.tail);
                (head.convert(key.level, key.index, from), from)
            }
            None => (key.index..key.index + 1, key.level),
        };
        if from == level {
            return keys;
        }
        let size = self.0.below[from] / self.0.below[level];
        keys.start * size..keys.end * size
    }
}
