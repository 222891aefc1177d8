//! Builds the shape of a nest from what its loops depend on. A point below which there is no task takes no
//! slot.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::model::nest::packed_numbers::PackedNumbers;
use crate::model::nest::shape::{Nodes, Shape};
use crate::model::nest::{Loop, LoopNest, check};

/// Which of its points a loop has, given the points of the loops around it.
pub(crate) trait Selection {
    /// The number of points of a loop that always has all of them.
    fn size(&self, level: usize) -> u64;

    /// The points of the loop at a level, in order, as runs of consecutive ones. `around` is the point of
    /// each loop around it; those that the loop does not depend on may be any.
    fn select(&mut self, level: usize, around: &[u64]) -> Result<Vec<Range<u64>>, String>;
}

/// What a loop depends on: the levels of loops around it. `None` if it always has all its points.
pub(crate) type Dependencies = Option<BTreeSet<usize>>;

/// Points of a loop that have no task below them, and so are not in the nest.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LeftOut {
    /// The points of the loops that matter for it, as level and point; the first ones only.
    pub(crate) named: Vec<Vec<(usize, u64)>>,
    pub(crate) count: u64,
    /// How many there would be with those that have tasks.
    pub(crate) of: u64,
}

/// The most combinations of points that conditions of one loop are evaluated for.
pub(crate) const MOST_EVALUATED: u64 = 100_000_000;

/// How many points without a task are named.
const MOST_NAMED: usize = 20;

/// The shape of a nest before its loops are known: they may be found out while it is made.
pub(crate) struct NestShape {
    head: Option<Shape>,
    left_out: Vec<LeftOut>,
}

impl NestShape {
    /// The shape of loops whose points depend on the loops around them, as `on` says by level.
    pub(crate) fn of(
        mut on: Vec<Dependencies>,
        selection: &mut impl Selection,
    ) -> Result<NestShape, String> {
        while on.last().is_some_and(Option::is_none) {
            on.pop();
        }
        if on.is_empty() {
            return Ok(NestShape { head: None, left_out: Vec::new() });
        }
        let (head, left_out) = Builder::new(&on, selection).build()?;
        let head = head.ok_or("there is no task: no loop has a point inside all the others")?;
        Ok(NestShape { head: Some(head), left_out })
    }

    pub(crate) fn nest(self, loops: Vec<Loop>) -> Result<LoopNest, String> {
        check(&loops)?;
        LoopNest::of_parts(loops, self.head, self.left_out)
    }
}

pub(super) struct Builder<'a, S> {
    selection: &'a mut S,
    /// By level of the shape.
    on: &'a [Dependencies],
    /// The levels around each level that something at this level or further in depends on.
    matters: Vec<BTreeSet<usize>>,
    /// What was selected, by the points that it depends on; nothing for a level where that is asked once.
    selected: Vec<Option<ByPoints<Vec<Range<u64>>>>>,
    /// Nodes that were built, by the points that matter; nothing for a level whose nodes are built once.
    built: Vec<Option<ByPoints<Option<u64>>>>,
    levels: Vec<Nodes>,
    around: Vec<u64>,
    left_out: Vec<LeftOut>,
}

/// What is known by the points of loops around.
type ByPoints<T> = BTreeMap<Vec<u64>, T>;

impl<'a, S: Selection> Builder<'a, S> {
    /// For the outermost loops, down to the innermost one that does not have all its points everywhere.
    pub(super) fn new(on: &'a [Dependencies], selection: &'a mut S) -> Self {
        let depth = on.len();
        let matters: Vec<BTreeSet<usize>> = (0..=depth)
            .map(|level| {
                let inside = on[level.min(depth)..].iter().flatten().flatten();
                inside.copied().filter(|outer| *outer < level).collect()
            })
            .collect();
        let is_repeated = |level: usize| {
            let walked = |outer: &usize| matters[outer + 1].contains(outer);
            (0..level).any(|outer| walked(&outer) && !matters[level].contains(&outer))
        };
        let built = (0..depth).map(|level| is_repeated(level).then(BTreeMap::new)).collect();
        let is_asked_again =
            |level: usize| on[level].as_ref().is_some_and(|on| *on != matters[level]);
        let selected = (0..depth).map(|level| is_asked_again(level).then(BTreeMap::new)).collect();
        Builder {
            selection,
            on,
            selected,
            built,
            levels: (0..depth).map(|level| Nodes::empty(depth - level)).collect(),
            around: Vec::new(),
            left_out: vec![LeftOut::default(); depth],
            matters,
        }
    }

    /// The shape, and by level the points without a task. `None` if there is no task at all.
    pub(super) fn build(mut self) -> Result<(Option<Shape>, Vec<LeftOut>), String> {
        let Some(_) = self.node(0)? else { return Ok((None, self.left_out)) };
        for nodes in &mut self.levels {
            let Nodes { ends, points, inside, counts, .. } = nodes;
            [ends, points, inside].into_iter().chain(counts).for_each(PackedNumbers::shrink_to_fit);
        }
        Ok((Some(Shape { levels: self.levels }), self.left_out))
    }

    /// The node below the present points; `None` if there is no task.
    fn node(&mut self, level: usize) -> Result<Option<u64>, String> {
        let known: Vec<u64> = match self.built[level] {
            Some(_) => self.matters[level].iter().map(|outer| self.around[*outer]).collect(),
            None => Vec::new(),
        };
        if let Some(node) = self.built[level].as_ref().and_then(|built| built.get(&known)) {
            return Ok(*node);
        }
        let node = self.new_node(level)?;
        if let Some(built) = &mut self.built[level] {
            built.insert(known, node);
        }
        Ok(node)
    }

    fn select(&mut self, level: usize) -> Result<Vec<Range<u64>>, String> {
        let Some(on) = &self.on[level] else {
            return Ok(std::iter::once(0..self.selection.size(level)).collect());
        };
        let Some(known) = &mut self.selected[level] else {
            return self.selection.select(level, &self.around);
        };
        let around = on.iter().map(|outer| self.around[*outer]).collect();
        match known.entry(around) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(new) => {
                Ok(new.insert(self.selection.select(level, &self.around)?).clone())
            }
        }
    }

    fn new_node(&mut self, level: usize) -> Result<Option<u64>, String> {
        let selected = self.select(level)?;
        let one_by_one = self.matters[level + 1].contains(&level);
        for points in selected.into_iter().filter(|points| !points.is_empty()) {
            if level + 1 == self.levels.len() {
                self.levels[level].add_run(None, points, 0)?;
            } else if one_by_one {
                for point in points {
                    self.run(level, point..point + 1)?;
                }
            } else {
                self.run(level, points)?;
            }
        }
        Ok(self.levels[level].end_node())
    }

    /// Adds points with the same node below them.
    fn run(&mut self, level: usize, points: Range<u64>) -> Result<(), String> {
        self.around.push(points.start);
        let inside = self.node(level + 1);
        self.around.pop();
        let count = points.end - points.start;
        self.left_out[level].of += count;
        match inside? {
            Some(inside) => {
                let (outer, inner) = self.levels.split_at_mut(level + 1);
                outer[level].add_run(inner.first(), points, inside)?;
            }
            None => {
                let own = &mut self.left_out[level];
                own.count += count;
                let room = MOST_NAMED.saturating_sub(own.named.len());
                let matters = &self.matters[level + 1];
                let outer = matters.iter().filter(|outer| **outer < level);
                let outer: Vec<_> = outer.map(|outer| (*outer, self.around[*outer])).collect();
                for point in points.take(room) {
                    own.named.push([outer.as_slice(), &[(level, point)]].concat());
                }
            }
        }
        Ok(())
    }
}
