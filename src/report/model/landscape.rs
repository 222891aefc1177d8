//! The score over the parameters, per data set: which loops are parameters, and where the best score is.
//! Pure: scores are added one by one, and memory is bounded.

use std::collections::BTreeMap;

use crate::model::{Key, Loop, LoopNest, Reduce, Winner};
use crate::report::model::axis::Axis;
use crate::report::model::deviation::{Spread, deviation, folded_level};
use crate::report::model::family::{Family, Panel, SetBest, families};
use crate::report::model::landscape_plan::LandscapePlan;
use crate::report::text::score_heading::score_heading;
use crate::store::StoppedPoints;
use crate::util::stats::{Welford, median};

/// Limit on the scores held, about 30 bytes each; data sets beyond it are counted, not shown.
const MOST: u64 = 10_000_000;

/// Families that are shown; further ones are counted.
const FAMILIES: usize = 12;

/// Collects the scores of a results folder, in the order of the nest.
pub(crate) struct ScoreList {
    nest: LoopNest,
    /// The label of a score.
    label: String,
    pub(crate) plan: LandscapePlan,
    /// By key at the plan's level, for the data sets that are held; NaN if missing.
    scores: Vec<f64>,
    /// The number of further data sets.
    left: u64,
    /// If the scores are means: the level of what they fold.
    pub(crate) folded: Option<usize>,
    /// The standard deviation of what each of them folds; NaN if there is none. Empty if they are no means.
    deviations: Vec<f64>,
    /// The mean whose values come just now, and how many values means have.
    open: (u64, Welford),
    sizes: Option<(u64, u64)>,
    /// The level of the groups that choose the best of data sets, if they do.
    pub(crate) chosen: Option<usize>,
    /// The best of those that have closed, by the index of their first score.
    best: BTreeMap<u64, SetBest>,
    /// The points that were stopped early, if any were.
    stopped: Option<StoppedPoints>,
}

impl ScoreList {
    /// For the scores of a nest in which those of runs are called `score`.
    pub(crate) fn new(nest: &LoopNest, score: &str) -> ScoreList {
        let plan = LandscapePlan::of(nest);
        let label = score_heading(nest, plan.level, score);
        let all = nest.keys(plan.level);
        let (held, left) = match (all <= MOST, plan.sets_around_params()) {
            (true, _) => (all, 0),
            // Parameters around data sets: no data set is whole before the end.
            (false, None) => (0, 0),
            (false, Some(sets)) => {
                let cut = nest.ancestor(Key { level: plan.level, index: MOST }, sets);
                let first = nest.task(nest.tasks_below(cut).start);
                (nest.ancestor(first, plan.level).index, nest.keys(sets) - cut.index)
            }
        };
        let folded = folded_level(nest.loops(), plan.level);
        let missing = || vec![f64::NAN; held as usize];
        let deviations = if folded.is_some() { missing() } else { Vec::new() };
        let (scores, open, sizes, best) = (missing(), Default::default(), None, BTreeMap::new());
        let picks = |l: &Loop| l.reduce.as_ref().is_some_and(Reduce::picks_a_winner);
        let chosen = plan.sets_around_params();
        let chosen = chosen.filter(|level| nest.loops().get(*level).is_some_and(picks));
        let nest = nest.clone();
        ScoreList {
            nest,
            label,
            plan,
            scores,
            left,
            folded,
            deviations,
            open,
            sizes,
            chosen,
            best,
            stopped: None,
        }
    }

    /// Adds what the group of a data set has chosen; nothing if too few points have a result.
    pub(crate) fn add_best(&mut self, group: Key, winners: Option<&[Winner]>, is_partial: bool) {
        let task = self.nest.task(self.nest.tasks_below(group).start);
        let first = self.nest.ancestor(task, self.plan.level).index;
        if first >= self.scores.len() as u64 {
            return;
        }
        let point = |winners: &[Winner]| {
            let inwards = |key, winner: &Winner| self.nest.child(key, winner.slot);
            winners.iter().take(self.plan.level - group.level).try_fold(group, inwards)
        };
        let winner = winners.and_then(point).filter(|point| point.level == self.plan.level);
        let winner = winner.map(|point| point.index);
        self.best.insert(first, SetBest { winner, is_partial });
    }

    /// Sets which points were stopped early. What was asked for of one may have scores all the same.
    pub(crate) fn know_stopped(&mut self, stopped: &StoppedPoints) {
        self.stopped = (!stopped.is_empty()).then(|| stopped.clone());
    }

    /// Adds the score of a key at the plan's level.
    pub(crate) fn add(&mut self, index: u64, score: Option<f64>) {
        if let (Some(place), Some(score)) = (self.scores.get_mut(index as usize), score) {
            *place = score;
        }
    }

    /// Adds what a mean folds, in the order of the nest.
    pub(crate) fn add_folded(&mut self, key: Key, score: Option<f64>) {
        let mean = self.nest.ancestor(key, self.plan.level).index;
        if mean != self.open.0 {
            self.close();
            self.open = (mean, Welford::default());
        }
        score.into_iter().for_each(|score| self.open.1.push(score));
    }

    fn close(&mut self) {
        let (mean, own) = &self.open;
        let scored = self.scores.get(*mean as usize).is_some_and(|score| score.is_finite());
        let Some(value) = deviation(own).filter(|_| scored) else { return };
        if let Some(place) = self.deviations.get_mut(*mean as usize) {
            *place = value;
            let (low, high) = self.sizes.unwrap_or((own.count, own.count));
            self.sizes = Some((low.min(own.count), high.max(own.count)));
        }
    }

    /// The landscape, once all scores are added, and what they fold if they are means.
    pub(crate) fn landscape(mut self) -> Landscape {
        self.close();
        let ScoreList { nest, label, plan, scores, left, folded, deviations, sizes, .. } = self;
        let (best, stopped) = (self.best, self.stopped.as_ref());
        let of_runs = folded == Some(nest.depth());
        let spread = sizes.map(|sizes| Spread { of_runs, sizes });
        let reduces =
            || plan.params.iter().filter_map(|level| nest.loops()[*level].reduce.as_ref());
        let decided = reduces().any(Reduce::picks_a_winner);
        let high_is_best = reduces().find_map(Reduce::takes_greatest) != Some(false);
        let mut all = families(&nest, &plan, (&scores, &deviations, stopped), decided, &best);
        let sets = |is_so: &dyn Fn(&SetBest) -> bool| best.values().filter(|b| is_so(b)).count();
        let (partial, without_best) =
            (sets(&|best| best.is_partial), sets(&|best| best.winner.is_none()));
        let without = || (0..).zip(&scores).filter(|(_, score)| score.is_nan());
        let is_stopped = |index: u64| {
            let key = Key { level: plan.level, index };
            stopped.is_some_and(|stopped| stopped.around(key).is_some())
        };
        let of_stopped = without().filter(|(index, _)| is_stopped(*index)).count();
        let more = all.len().saturating_sub(FAMILIES);
        all.truncate(FAMILIES);
        Landscape {
            families: all,
            more,
            left,
            infinite: scores.iter().filter(|score| score.is_infinite()).count() as u64,
            missing: (without().count() - of_stopped) as u64,
            stopped: of_stopped as u64,
            decided,
            partial: partial as u64,
            without_best: without_best as u64,
            is_open: best.is_empty(),
            has_tolerance: reduces().any(Reduce::has_tolerance),
            high_is_best,
            spread,
            score: label,
            plan,
        }
    }
}

/// The scores, and what they range over.
pub(crate) struct Landscape {
    pub(crate) plan: LandscapePlan,
    /// By which parameters apply; one if all apply everywhere, none if there are too many points.
    pub(crate) families: Vec<Family>,
    /// The number of further families.
    pub(crate) more: usize,
    /// The number of data sets that are not held in memory.
    pub(crate) left: u64,
    /// Infinite scores, which are not charted.
    pub(crate) infinite: u64,
    /// Points of the panels without a score: failed, incomplete or not run yet.
    pub(crate) missing: u64,
    /// Those without a score that were stopped early.
    pub(crate) stopped: u64,
    /// Whether max or min says which score is best.
    pub(crate) decided: bool,
    /// The number of data sets whose best is that of less than all points, and of those that have none because
    /// too few points have a score.
    pub(crate) partial: u64,
    pub(crate) without_best: u64,
    /// Whether no data set's group has closed.
    pub(crate) is_open: bool,
    /// Whether another point than the best may have been chosen.
    pub(crate) has_tolerance: bool,
    /// Whether the highest is best, according to the outermost max or min.
    pub(crate) high_is_best: bool,
    /// What the standard deviations of panels are of; nothing if there are none.
    pub(crate) spread: Option<Spread>,
    /// The label of a score.
    pub(crate) score: String,
}

impl Landscape {
    pub(crate) fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.families.iter().flat_map(|family| &family.panels)
    }

    pub(crate) fn axes(&self) -> impl Iterator<Item = &Axis> {
        self.families.iter().flat_map(|family| &family.axes)
    }

    /// The best of some scores; their median if no loop says which is best.
    pub(crate) fn fold(&self, scores: Vec<f64>) -> f64 {
        match (self.decided, self.high_is_best) {
            (true, true) => scores.into_iter().fold(f64::NAN, f64::max),
            (true, false) => scores.into_iter().fold(f64::NAN, f64::min),
            (false, _) => median(scores),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::by_hand::{counted, product};

    #[test]
    fn the_best_is_the_loops_own() {
        let (max, min) = (Some(Reduce::max()), Some(Reduce::min()));
        let best = |scores: &[f64], loops: &[(u64, &Option<Reduce>)]| {
            let loops: Vec<_> =
                loops.iter().map(|(n, reduce)| ("a", *n, (*reduce).clone())).collect();
            let mut list = ScoreList::new(&product(&loops), "score");
            scores.iter().enumerate().for_each(|(i, score)| list.add(i as u64, Some(*score)));
            list.landscape().families[0].panels[0].best
        };
        let scores = [1.0, 5.0, 3.0, 4.0, f64::NAN, 4.0];
        assert_eq!(best(&scores, &[(6, &max)]), Some(1));
        assert_eq!(best(&scores, &[(6, &min)]), Some(0));
        assert_eq!(best(&[4.0, 4.0], &[(2, &max)]), Some(0));
        // The lowest of each row, then the highest of those.
        assert_eq!(best(&scores, &[(2, &max), (3, &min)]), Some(3));
        assert_eq!(best(&[f64::NAN; 2], &[(2, &max)]), None);
    }

    #[test]
    fn scores_find_their_place() {
        let nest = product(&[
            ("set", 2, None),
            ("a", 2, Some(Reduce::min())),
            ("inner", 2, Some(Reduce::numbers(crate::model::NumberFold::Std))),
            ("b", 2, Some(Reduce::min())),
        ]);
        let mut list = ScoreList::new(&nest, "score");
        assert_eq!(list.plan, LandscapePlan { level: 4, sets: vec![0, 2], params: vec![1, 3] });
        for task in 0..15 {
            list.add(task, Some(-(task as f64)));
        }
        let landscape = list.landscape();
        // Set 1, a 1, inner 0, b 1 is task 13.
        let panels = &landscape.families[0].panels;
        assert_eq!(panels[2].name, "set 1, inner 0");
        assert_eq!(panels[2].scores, [-8.0, -9.0, -12.0, -13.0]);
        assert_eq!((panels[2].best, landscape.missing), (Some(3), 1));
    }

    #[test]
    fn each_family_has_its_own_axes_and_points() {
        let nest = crate::model::by_hand::families();
        let mut list = ScoreList::new(&nest, "score");
        assert_eq!((list.plan.level, nest.keys(4)), (4, 10));
        // By data set: three alphas, two depths. The second data set's first depth is not there.
        let scores = [1.0, 3.0, 2.0, 5.0, 4.0, 6.0, 7.0, 8.0, f64::NAN, 7.5];
        let there = scores.iter().enumerate().filter(|(_, score)| !score.is_nan());
        there.for_each(|(i, score)| list.add(i as u64, Some(*score)));
        let landscape = list.landscape();
        assert_eq!((landscape.missing, landscape.families.len()), (1, 2));
        let [cheap, dear] = landscape.families.as_slice() else { panic!("two") };
        let axes = |family: &Family| -> Vec<(String, Vec<f64>)> {
            family.axes.iter().map(|axis| (axis.name.clone(), axis.places.clone())).collect()
        };
        assert_eq!((cheap.name.as_str(), cheap.points), ("model 0", 3));
        assert_eq!(axes(cheap), [("alpha".to_string(), vec![0.0, 1.0, 2.0])]);
        assert_eq!((dear.name.as_str(), dear.points), ("model 1", 2));
        assert_eq!(axes(dear), [("depth".to_string(), vec![0.0, 1.0])]);
        let shown = |family: &Family, set: usize| {
            let panel = &family.panels[set];
            (panel.name.clone(), panel.scores.clone(), panel.winner())
        };
        // A data set's best is marked in the family that has it.
        assert_eq!(shown(cheap, 0), ("0".to_string(), vec![1.0, 3.0, 2.0], None));
        assert_eq!(shown(cheap, 1), ("1".to_string(), vec![6.0, 7.0, 8.0], Some((2, 8.0))));
        assert_eq!(shown(dear, 0), ("0".to_string(), vec![5.0, 4.0], Some((0, 5.0))));
        assert_eq!((shown(dear, 1).1[1], shown(dear, 1).2), (7.5, None));
    }

    #[test]
    fn means_have_the_spread_of_their_runs() {
        let max = || Some(Reduce::max());
        let mean = || Some(Reduce::mean());
        let nest =
            product(&[("set", 2, None), ("a", 2, max()), ("fold", 2, mean()), ("n", 2, mean())]);
        let mut list = ScoreList::new(&nest, "score");
        assert_eq!((list.plan.level, list.folded), (2, Some(4)));
        // The last mean is not there yet, and one run of the third failed.
        (0..3).for_each(|i| list.add(i, Some(1.0)));
        for (index, score) in [1, 3, 3, 1, 2, 2, 2, 2, 7, -1, 9, 9, 1].into_iter().enumerate() {
            let key = Key { level: 4, index: index as u64 };
            list.add_folded(key, (score >= 0).then_some(score as f64));
        }
        let landscape = list.landscape();
        let panels = &landscape.families[0].panels;
        assert_eq!(panels[0].deviations, [1.0, 0.0]);
        assert!((panels[1].deviations[0] - (8.0f64 / 9.0).sqrt()).abs() < 1e-12);
        assert!(panels[1].deviations[1].is_nan());
        assert_eq!(landscape.spread.unwrap().values(), "3 to 4 runs");
    }

    #[test]
    fn points_that_are_not_there_are_not_missing() {
        // The second loop has other points for each point of the first.
        let max = || Some(Reduce::max());
        let nest = crate::model::by_hand::of_tasks(
            vec![counted("set", 2, None), counted("a", 4, max())],
            2,
            &[[0, 3], [0, 1], [1, 1], [1, 2]].map(Vec::from),
        );
        let mut list = ScoreList::new(&nest, "score");
        (0..4).for_each(|i| list.add(i, Some(i as f64)));
        let landscape = list.landscape();
        let [all] = landscape.families.as_slice() else { panic!("one family") };
        assert_eq!((all.name.as_str(), all.points, landscape.missing), ("", 3, 0));
        assert_eq!(all.axes[0].places, [3.0, 1.0, 2.0]);
        let own = |panel: &Panel| panel.each().map(|(i, s)| (all.axes[0].places[i], s)).collect();
        let own: Vec<Vec<(f64, f64)>> = all.panels.iter().map(own).collect();
        assert_eq!(own, [[(3.0, 0.0), (1.0, 1.0)], [(1.0, 2.0), (2.0, 3.0)]]);
        assert!(!all.panels[0].is_whole(all));
        assert_eq!(all.panels[1].winner(), Some((2, 3.0)));
    }

    #[test]
    fn of_too_many_points_the_first_data_sets_are_held() {
        let max = Some(Reduce::max());
        let nest = product(&[("set", 9, None), ("a", MOST / 3, max.clone())]);
        let list = ScoreList::new(&nest, "score");
        assert_eq!((list.scores.len() as u64, list.left), (MOST / 3 * 3, 6));
        let nest = product(&[("a", 3, max.clone()), ("b", MOST, max)]);
        let list = ScoreList::new(&nest, "score");
        assert_eq!((list.scores.len(), list.left), (0, 1));
        assert!(list.landscape().families.is_empty());
    }
}
