//! The order in which tasks are assigned.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::master::cost_model::CostModel;
use crate::master::done::DoneTasks;
use crate::model::{Key, LoopNest, Order};

/// The most blocks that are sorted; with more tasks than this, a block has several consecutive tasks.
const MOST_BLOCKS: u64 = 1 << 16;

/// Grid order: consecutive tasks, cut into lanes. A worker stays on its lane until that is empty, then
/// takes the next one. Once no lane is left, it helps on the longest.
#[derive(Debug)]
pub(super) struct LaneOrder {
    nest: LoopNest,
    /// The level whose keys are the lanes, and the number of lanes.
    level: usize,
    lanes: u64,
    /// The first lane that no worker has taken.
    next: u64,
    /// Remaining tasks per lane that was taken.
    open: BTreeMap<u64, Range<u64>>,
    /// The same lanes by number of remaining tasks.
    longest: BTreeSet<(u64, std::cmp::Reverse<u64>)>,
    /// Lane per rank.
    on: Vec<Option<u64>>,
}

impl LaneOrder {
    /// One lane per key at `level`.
    pub(super) fn new(nest: LoopNest, level: usize) -> LaneOrder {
        let (open, longest) = (BTreeMap::new(), BTreeSet::new());
        LaneOrder { lanes: nest.keys(level), nest, level, next: 0, open, longest, on: Vec::new() }
    }

    /// The next tasks for a worker, at most `most`.
    #[inline]
    pub(super) fn next(&mut self, rank: usize, most: u64, done: &DoneTasks) -> Option<Range<u64>> {
        if self.on.len() <= rank {
            self.on.resize(rank + 1, None);
        }
        loop {
            let own = self.on[rank].and_then(|lane| Some((lane, self.open.get_mut(&lane)?)));
            let Some((lane, tasks)) = own else {
                self.on[rank] = Some(self.another()?);
                continue;
            };
            let left = tasks.end - tasks.start;
            let mut given = done.next_to_do(tasks.clone());
            given.end = given.end.min(given.start + most);
            tasks.start = given.end;
            let rest = tasks.end - tasks.start;
            if rest == 0 {
                self.open.remove(&lane);
            }
            if self.lanes > 1 {
                self.longest.remove(&(left, std::cmp::Reverse(lane)));
                if rest > 0 {
                    self.longest.insert((rest, std::cmp::Reverse(lane)));
                }
            }
            if !given.is_empty() {
                return Some(given);
            }
        }
    }

    /// A lane for a worker: the next one not taken, else the longest.
    fn another(&mut self) -> Option<u64> {
        let lane = self.next;
        if lane < self.lanes {
            self.next += 1;
            let tasks = self.nest.tasks_below(Key { level: self.level, index: lane });
            self.longest.insert((tasks.end - tasks.start, std::cmp::Reverse(lane)));
            self.open.insert(lane, tasks);
            return Some(lane);
        }
        match self.lanes > 1 {
            true => self.longest.last().map(|(_, lane)| lane.0),
            false => self.open.keys().next().copied(),
        }
    }
}

/// Any other order: a list of blocks in reverse, so that the next one is last.
#[derive(Debug)]
pub(super) struct RankedOrder {
    order: Order,
    blocks: Vec<Range<u64>>,
    /// Number of observed tasks at which the blocks are sorted again.
    again_at: u64,
}

impl RankedOrder {
    pub(super) fn new(tasks: u64, order: Order) -> RankedOrder {
        let length = tasks.div_ceil(MOST_BLOCKS);
        let block = |start: u64| start..(start + length).min(tasks);
        let mut blocks: Vec<_> =
            (0..tasks.div_ceil(length)).rev().map(|i| block(i * length)).collect();
        if let Order::Random(seed) = order {
            blocks.sort_by_key(|block| (mixed(block.start ^ seed), block.start));
        }
        RankedOrder { order, blocks, again_at: 1 }
    }

    #[inline(never)]
    pub(super) fn next(
        &mut self,
        most: u64,
        done: &DoneTasks,
        costs: &CostModel,
    ) -> Option<Range<u64>> {
        if self.order == Order::LongestFirst && costs.observed() >= self.again_at {
            self.again_at = costs.observed() * 2;
            let expected = |block: &Range<u64>| costs.expect(block.start).unwrap_or(0.0);
            // The sort is stable, so equal blocks stay in grid order.
            self.blocks.sort_by(|a, b| expected(a).total_cmp(&expected(b)));
        }
        loop {
            let block = self.blocks.last_mut()?;
            let mut given = done.next_to_do(block.clone());
            given.end = given.end.min(given.start + most);
            block.start = given.end;
            if block.is_empty() {
                self.blocks.pop();
            }
            if !given.is_empty() {
                return Some(given);
            }
        }
    }
}

/// Spreads numbers evenly (the finaliser of SplitMix64).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
