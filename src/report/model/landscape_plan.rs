//! Which loops of a nest are data sets, which are parameters, and which are folded into one score.

use crate::model::{Loop, LoopNest, Reduce};

/// Which loops the shown scores range over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LandscapePlan {
    /// The level whose keys have the shown scores.
    pub(crate) level: usize,
    /// The data set loops, outermost first.
    pub(crate) sets: Vec<usize>,
    /// The parameter loops, outermost first.
    pub(crate) params: Vec<usize>,
}

impl LandscapePlan {
    /// Loops inside the innermost max or min (folds, repeats) are reduced to one score. Of the loops that
    /// remain, those with max or min are parameters. Without any max or min, the loops after the first are
    /// parameters, since a function of the user's may choose among them.
    pub(crate) fn of(nest: &LoopNest) -> LandscapePlan {
        let loops = nest.loops();
        let picks = |l: &Loop| l.reduce.as_ref().is_some_and(Reduce::picks_a_winner);
        // A joined loop's points compete with those of the loop around it.
        let wins = |level: usize| {
            let own = (0..=level).rev().find(|level| !nest.is_joined(*level));
            own.is_some_and(|own| picks(&loops[own]))
        };
        let named = |l: &Loop| l.reduce.as_ref().is_some_and(|r| !r.is_outside());
        let decided = loops.iter().rposition(picks).map(|innermost| innermost + 1);
        let level = decided.unwrap_or_else(|| {
            match loops.len() - loops.iter().rev().take_while(|l| named(l)).count() {
                0 => loops.len(), // every loop is folded: show the runs themselves
                level => level,
            }
        });
        let level = level.checked_sub(1).map_or(0, |inside| nest.item_level(inside));
        let (mut params, mut sets): (Vec<usize>, Vec<usize>) =
            (0..level).partition(|level| wins(*level));
        let several = |levels: &[usize]| levels.iter().any(|i| loops[*i].points.len() > 1);
        if params.is_empty() {
            (sets, params) = (vec![0], (1..level).collect());
        }
        if !several(&params) {
            (params, sets) = ((0..level).collect(), Vec::new());
        }
        LandscapePlan { level, sets, params }
    }

    /// The number of data set loops, if they are around all parameters.
    pub(super) fn sets_around_params(&self) -> Option<usize> {
        let count = self.sets.len();
        self.sets.iter().all(|level| *level < count).then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::by_hand::product;

    fn plan(loops: &[(&str, u64, Option<Reduce>)]) -> (usize, Vec<usize>, Vec<usize>) {
        let LandscapePlan { level, sets, params } = LandscapePlan::of(&product(loops));
        (level, sets, params)
    }

    #[test]
    fn loops_are_data_sets_parameters_or_folds() {
        let (max, mean) = (Some(Reduce::max()), Some(Reduce::mean()));
        let data = || ("dataset", 4, None);
        let main = [data(), ("alpha", 5, max.clone()), ("fold", 3, mean.clone())];
        assert_eq!(plan(&main), (2, vec![0], vec![1]));
        let two = [data(), ("a", 5, max.clone()), ("b", 3, Some(Reduce::min()))];
        assert_eq!(plan(&two), (3, vec![0], vec![1, 2]));
        assert_eq!(plan(&[data(), ("a", 5, None)]), (2, vec![0], vec![1]));
        assert_eq!(plan(&[("darts", 3, None), ("n", 20, mean.clone())]), (1, vec![], vec![0]));
        assert_eq!(plan(&[("n", 20, mean.clone())]), (1, vec![], vec![0]));
        assert_eq!(plan(&[data(), ("a", 5, Some(Reduce::Native))]), (2, vec![0], vec![1]));
        let outside = [data(), ("a", 5, max.clone()), ("fold", 3, Some(Reduce::Native))];
        assert_eq!(plan(&outside), (2, vec![0], vec![1]));
        let nested = [("site", 8, mean.clone()), ("dose", 9, max.clone()), ("n", 2, mean)];
        assert_eq!(plan(&nested), (2, vec![0], vec![1]));
        assert_eq!(plan(&[data(), ("alpha", 1, max)]), (2, vec![], vec![0, 1]));
    }
}
