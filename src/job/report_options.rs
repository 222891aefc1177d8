//! The `[report]` table: what a job's results list. It changes no result.

use serde::{Deserialize, Serialize};

use crate::model::LoopNest;

/// Unless it is said otherwise, inner levels are listed while all groups are at most so many.
const USUAL: u64 = 100_000;

/// Which groups summary.json lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ListedGroups {
    /// Those of the outermost level, and of inner ones unless they are many.
    #[default]
    Usual,
    All,
    /// Those over the loops at these levels.
    Over(Vec<usize>),
}

impl ListedGroups {
    /// The levels of keys whose groups are listed, and those whose groups are left out. Without reductions, the runs
    /// are listed.
    pub(crate) fn levels(&self, nest: &LoopNest) -> (Vec<usize>, Vec<usize>) {
        let levels = group_levels(nest).into_iter();
        let (mut sum, mut fits) = (0u64, true);
        let usual = |level: &usize| {
            sum = sum.saturating_add(nest.keys(*level));
            fits = fits && (*level == nest.outer() || sum <= USUAL);
            fits
        };
        match self {
            ListedGroups::Usual => levels.partition(usual),
            ListedGroups::All => (levels.collect(), Vec::new()),
            ListedGroups::Over(these) => levels.partition(|level| these.contains(level)),
        }
    }
}

/// The levels that have groups, outermost first; without reductions, that of the runs.
fn group_levels(nest: &LoopNest) -> Vec<usize> {
    if nest.outer() == nest.depth() { vec![nest.depth()] } else { nest.group_levels().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_groups_are_listed_unless_they_are_many() {
        let levels = |sizes: &[u64], outer, which: ListedGroups| {
            which.levels(&LoopNest::sized(sizes, outer))
        };
        use ListedGroups::{All, Over, Usual};
        assert_eq!(levels(&[3, 4], 1, Usual), (vec![1], vec![]));
        assert_eq!(levels(&[3, 4], 2, Usual), (vec![2], vec![]));
        assert_eq!(levels(&[1_000_000, 4, 2], 1, Usual), (vec![1], vec![2]));
        assert_eq!(levels(&[10, 9_999, 2], 1, Usual), (vec![1, 2], vec![]));
        assert_eq!(levels(&[10, 10_000, 2], 1, Usual), (vec![1], vec![2]));
        let (listed, left_out) = levels(&[2; 20], 1, Usual);
        assert_eq!((listed, left_out), ((1..16).collect(), (16..20).collect::<Vec<_>>()));
        assert_eq!(levels(&[2; 20], 1, All), ((1..20).collect(), vec![]));
        assert_eq!(levels(&[3, 4, 5], 1, Over(vec![2])), (vec![2], vec![1]));
    }
}
