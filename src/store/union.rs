//! The union of two nests whose loops depend on each other: every loop has, at each place, the points that it
//! has there in either of them.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use crate::model::{Key, Loop, LoopNest, NestShape, Selection};

/// Where the second nest's points are in the union; nothing if they are the same. Those of the first nest
/// come first.
pub(super) type Moves = Vec<Option<Vec<u64>>>;

/// The nest of these loops, which have the points of both nests.
pub(super) fn union(
    one: &LoopNest,
    (other, moves): (&LoopNest, &Moves),
    loops: Vec<Loop>,
) -> Result<LoopNest, String> {
    let shaped = one.shaped().max(other.shaped());
    if shaped == 0 {
        return LoopNest::new(loops);
    }
    let names = |nest: &LoopNest| nest.loops().iter().map(|l| l.name.clone()).collect::<Vec<_>>();
    let (first, second) = (names(one), names(other));
    if first != second {
        return Err(format!(
            "their loops depend on each other, and stand in another order: {} and {}",
            first.join(", "),
            second.join(", ")
        ));
    }
    let back = |moved: &Option<Vec<u64>>| {
        moved.as_ref().map(|moved| (0..).zip(moved).map(|(own, there)| (*there, own)).collect())
    };
    let back = moves.iter().map(back).collect();
    let on = (0..shaped).map(|level| Some(BTreeSet::from_iter(0..level))).collect();
    NestShape::of(on, &mut Both { one, other, moves, back })?.nest(loops)
}

struct Both<'a> {
    one: &'a LoopNest,
    other: &'a LoopNest,
    moves: &'a Moves,
    /// By level, and by point of the union: the second nest's point.
    back: Vec<Option<HashMap<u64, u64>>>,
}

impl Selection for Both<'_> {
    fn size(&self, _: usize) -> u64 {
        0 // every loop depends on all around it
    }

    fn select(&mut self, _: usize, around: &[u64]) -> Result<Vec<Range<u64>>, String> {
        let of_one = self.one.key_at(around).map(|key| points(self.one, key));
        let own = |(back, point): (&Option<HashMap<u64, u64>>, &u64)| match back {
            Some(back) => back.get(point).copied(),
            None => Some(*point),
        };
        let theirs: Option<Vec<u64>> = self.back.iter().zip(around).map(own).collect();
        let key = theirs.and_then(|theirs| self.other.key_at(&theirs));
        let moved = |(key, point): (Key, u64)| match &self.moves[key.level] {
            Some(moved) => moved[point as usize],
            None => point,
        };
        let of_other = key.map(|key| points(self.other, key).map(move |point| (key, point)));
        let mut all: Vec<u64> = of_one.into_iter().flatten().collect();
        let known: BTreeSet<u64> = all.iter().copied().collect();
        all.extend(of_other.into_iter().flatten().map(moved).filter(|p| !known.contains(p)));
        Ok(all.into_iter().map(|point| point..point + 1).collect())
    }
}

/// The points of the loop directly inside a key.
fn points(nest: &LoopNest, key: Key) -> impl Iterator<Item = u64> {
    nest.children(key).map(move |index| nest.point(Key { level: key.level + 1, index }))
}
