//! The score over the parameters, per data set: which loops are parameters, and where the best score is.
//! Pure: scores are added one by one, and memory is bounded.

use crate::model::{Key, Loop, LoopNest, Reduce};
use crate::report::model::axis::Axis;
use crate::util::stats::median;

/// Limit on the scores held, 8 bytes each; data sets beyond it are counted, not shown.
const MOST: u64 = 20_000_000;

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
        let wins = |l: &Loop| l.reduce.as_ref().is_some_and(Reduce::picks_a_winner);
        let named = |l: &Loop| l.reduce.as_ref().is_some_and(|r| !r.is_outside());
        let decided = loops.iter().rposition(wins).map(|innermost| innermost + 1);
        let level = decided.unwrap_or_else(|| {
            match loops.len() - loops.iter().rev().take_while(|l| named(l)).count() {
                0 => loops.len(), // every loop is folded: show the runs themselves
                level => level,
            }
        });
        let (mut params, mut sets): (Vec<usize>, Vec<usize>) =
            (0..level).partition(|i| wins(&loops[*i]));
        let several = |levels: &[usize]| levels.iter().any(|i| loops[*i].points.len() > 1);
        if params.is_empty() {
            (sets, params) = (vec![0], (1..level).collect());
        }
        if !several(&params) {
            (params, sets) = ((0..level).collect(), Vec::new());
        }
        LandscapePlan { level, sets, params }
    }
}

/// The scores, and what they range over.
pub(crate) struct Landscape {
    nest: LoopNest,
    pub(crate) plan: LandscapePlan,
    /// The data set loops and the parameter loops, each as a nest.
    sets: LoopNest,
    params: LoopNest,
    /// What varies among the parameters: loops, or fields of their points.
    pub(crate) axes: Vec<Axis>,
    /// The data sets that are held in memory.
    pub(crate) panels: Vec<Panel>,
    /// The number of further data sets.
    pub(crate) left: u64,
    /// The number of points of the parameters.
    pub(crate) points: usize,
    /// Infinite scores, which are not charted.
    pub(crate) infinite: u64,
    /// Points of the panels without a score: failed, incomplete or not run yet.
    pub(crate) missing: u64,
    /// Whether max or min says which score is best.
    pub(crate) decided: bool,
    /// Whether the highest is best, according to the outermost max or min.
    pub(crate) high_is_best: bool,
    /// The label of a score.
    pub(crate) score: String,
}

/// One data set's scores.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    pub(crate) name: String,
    /// By parameter point, innermost loop fastest; NaN if missing.
    pub(crate) scores: Vec<f64>,
    /// The best point by the loops' max and min.
    pub(crate) best: Option<usize>,
}

impl Landscape {
    /// An empty landscape for these loops.
    pub(crate) fn new(nest: &LoopNest) -> Landscape {
        let plan = LandscapePlan::of(nest);
        let (sets, params) = (nest.only(&plan.sets), nest.only(&plan.params));
        let points = params.tasks();
        let shown = if points > MOST { 0 } else { sets.tasks().min(MOST / points) };
        let axes = if shown == 0 { Vec::new() } else { Axis::all(&params) };
        let panel = |set: u64| Panel {
            name: set_name(&sets, set),
            scores: vec![f64::NAN; points as usize],
            best: None,
        };
        let panels = (0..shown).map(panel).collect();
        let reduces = || params.loops().iter().filter_map(|l| l.reduce.as_ref());
        let decided = reduces().any(Reduce::picks_a_winner);
        let high_is_best = reduces().find(|r| r.picks_a_winner()) != Some(&Reduce::Min);
        Landscape {
            axes,
            panels,
            left: sets.tasks() - shown,
            points: if shown == 0 { 0 } else { points as usize },
            infinite: 0,
            missing: 0,
            decided,
            high_is_best,
            score: score_name(&nest.loops()[plan.level..]),
            nest: nest.clone(),
            plan,
            sets,
            params,
        }
    }

    /// Adds the score of a key at the plan's level.
    pub(crate) fn add(&mut self, index: u64, score: Option<f64>) {
        let indices = self.nest.indices(Key { level: self.plan.level, index });
        let place = |nest: &LoopNest, levels: &[usize]| {
            let mut own = levels.iter().map(|level| indices[*level]);
            own.try_fold(Key::ROOT, |key, slot| nest.child(key, slot))
        };
        let set = place(&self.sets, &self.plan.sets);
        let point = place(&self.params, &self.plan.params);
        let (Some(set), Some(point), Some(score)) = (set, point, score) else { return };
        if let Some(panel) = self.panels.get_mut(set.index as usize) {
            panel.scores[point.index as usize] = score;
        }
    }

    /// Finds the best point of every data set, once all scores are added.
    pub(crate) fn close(&mut self) {
        for panel in &mut self.panels {
            if self.decided {
                panel.best = best(&panel.scores, &self.params);
            }
            self.missing += panel.scores.iter().filter(|score| score.is_nan()).count() as u64;
            self.infinite += panel.scores.iter().filter(|score| score.is_infinite()).count() as u64;
        }
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

/// The label of a score: how the loops inside it are reduced.
fn score_name(inside: &[Loop]) -> String {
    let names: Vec<&str> =
        inside.iter().filter_map(|l| l.reduce.as_ref()).map(Reduce::name).collect();
    if names.is_empty() { "score".to_string() } else { format!("{} score", names.join(" of ")) }
}

/// Reduces the points by the loops' max and min, innermost first; the first of equal ones wins.
fn best(scores: &[f64], params: &LoopNest) -> Option<usize> {
    let mut winners: Vec<Option<usize>> =
        scores.iter().enumerate().map(|(i, score)| (!score.is_nan()).then_some(i)).collect();
    for (level, l) in params.loops().iter().enumerate().rev() {
        let low = l.reduce == Some(Reduce::Min);
        let better = |a: usize, b: usize| {
            if low { scores[b] < scores[a] } else { scores[b] > scores[a] }
        };
        let winner = |index| {
            let inside = params.children(Key { level, index });
            let inside = &winners[inside.start as usize..inside.end as usize];
            inside.iter().flatten().copied().reduce(|a, b| if better(a, b) { b } else { a })
        };
        winners = (0..params.keys(level)).map(winner).collect();
    }
    winners.first().copied().flatten()
}

/// The label of a data set: its points.
fn set_name(sets: &LoopNest, set: u64) -> String {
    let coordinates = sets.coordinates(sets.task(set));
    let names = coordinates.iter().map(|(name, value)| {
        let value = crate::report::in_words(value);
        if coordinates.len() > 1 { format!("{name} {value}") } else { value }
    });
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Points;

    fn nest(loops: &[(&str, u64, Option<Reduce>)]) -> LoopNest {
        LoopNest::new(
            loops
                .iter()
                .map(|(name, count, reduce)| Loop {
                    name: name.to_string(),
                    points: Points::Range { from: 0, step: 1, count: *count },
                    reduce: reduce.clone(),
                    is_data: false,
                    none: None,
                    require: None,
                })
                .collect(),
        )
        .unwrap()
    }

    fn plan(loops: &[(&str, u64, Option<Reduce>)]) -> (usize, Vec<usize>, Vec<usize>) {
        let LandscapePlan { level, sets, params } = LandscapePlan::of(&nest(loops));
        (level, sets, params)
    }

    #[test]
    fn loops_are_data_sets_parameters_or_folds() {
        let (max, mean) = (Some(Reduce::Max), Some(Reduce::Mean));
        let data = || ("dataset", 4, None);
        let main = [data(), ("alpha", 5, max.clone()), ("fold", 3, mean.clone())];
        assert_eq!(plan(&main), (2, vec![0], vec![1]));
        let two = [data(), ("a", 5, max.clone()), ("b", 3, Some(Reduce::Min))];
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

    #[test]
    fn the_best_is_the_loops_own() {
        let (max, min) = (Some(Reduce::Max), Some(Reduce::Min));
        let best = |scores: &[f64], loops: &[(u64, &Option<Reduce>)]| {
            let loops: Vec<_> =
                loops.iter().map(|(n, reduce)| ("a", *n, (*reduce).clone())).collect();
            super::best(scores, &nest(&loops))
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
        let nest = nest(&[
            ("set", 2, None),
            ("a", 2, Some(Reduce::Min)),
            ("inner", 2, Some(Reduce::Std)),
            ("b", 2, Some(Reduce::Min)),
        ]);
        let mut landscape = Landscape::new(&nest);
        assert_eq!(
            landscape.plan,
            LandscapePlan { level: 4, sets: vec![0, 2], params: vec![1, 3] }
        );
        for task in 0..15 {
            landscape.add(task, Some(-(task as f64)));
        }
        landscape.close();
        // Set 1, a 1, inner 0, b 1 is task 13.
        assert_eq!(landscape.panels[2].name, "set 1, inner 0");
        assert_eq!(landscape.panels[2].scores, [-8.0, -9.0, -12.0, -13.0]);
        assert_eq!((landscape.panels[2].best, landscape.missing), (Some(3), 1));
    }
}
