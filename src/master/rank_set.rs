//! A set of ranks whose lowest member is found at once, also among 10^5 workers. It changes several times with
//! each message, so it allocates nothing.

use fixedbitset::FixedBitSet;

#[derive(Debug)]
pub(super) struct RankSet {
    ranks: FixedBitSet,
    count: usize,
    /// No member is lower than this.
    bound: usize,
}

impl RankSet {
    /// An empty set of ranks below `end`.
    pub(super) fn below(end: usize) -> RankSet {
        RankSet { ranks: FixedBitSet::with_capacity(end), count: 0, bound: end }
    }

    #[inline]
    pub(super) fn insert(&mut self, rank: usize) {
        self.count += usize::from(!self.ranks.put(rank));
        self.bound = self.bound.min(rank);
    }

    #[inline]
    pub(super) fn remove(&mut self, rank: usize) {
        if self.ranks.contains(rank) {
            self.ranks.remove(rank);
            self.count -= 1;
        }
    }

    pub(super) fn extend(&mut self, ranks: impl IntoIterator<Item = usize>) {
        ranks.into_iter().for_each(|rank| self.insert(rank));
    }

    /// The lowest rank.
    #[inline]
    pub(super) fn first(&mut self) -> Option<usize> {
        if self.count == 0 {
            self.bound = self.ranks.len();
            return None;
        }
        let block = self.bound / usize::BITS as usize;
        let blocks = self.ranks.as_slice()[block..].iter();
        let (skipped, bits) = blocks.enumerate().find(|(_, bits)| **bits != 0)?;
        self.bound = (block + skipped) * usize::BITS as usize + bits.trailing_zeros() as usize;
        Some(self.bound)
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.ranks.ones()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_an_ordered_set(changes in prop::collection::vec((0usize..300, any::<bool>()), 0..200)) {
            let (mut set, mut expected) = (RankSet::below(300), BTreeSet::new());
            for (rank, is_in) in changes {
                if is_in {
                    set.insert(rank);
                    expected.insert(rank);
                } else {
                    set.remove(rank);
                    expected.remove(&rank);
                }
                prop_assert_eq!(set.first(), expected.first().copied());
            }
            prop_assert!(set.iter().eq(expected));
        }
    }
}
