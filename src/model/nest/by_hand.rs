//! Nests from the list of their tasks, for tests with known answers.

use std::ops::Range;

use crate::model::nest::{Dependencies, Loop, LoopNest, Points, Selection};
use crate::model::reduce::Reduce;

/// A nest with these tasks, in the order of nested loops. The outermost `shaped` loops depend on all loops
/// around them.
pub(crate) fn of_tasks(loops: Vec<Loop>, shaped: usize, tasks: &[Vec<u64>]) -> LoopNest {
    let on = |level: usize| -> Dependencies { (level < shaped).then(|| (0..level).collect()) };
    let on = (0..loops.len()).map(on).collect();
    let sizes = loops.iter().map(|l| l.points.len()).collect();
    let nest = LoopNest::dependent(loops, on, &mut Listed { sizes, tasks }).unwrap();
    let points = |task| nest.indices(nest.task(task));
    assert_eq!((0..nest.tasks()).map(points).collect::<Vec<_>>(), tasks);
    nest
}

/// A loop over the numbers from 0 on.
pub(crate) fn counted(name: &str, count: u64, reduce: Option<Reduce>) -> Loop {
    let points = Points::Range { from: 0, step: 1, count };
    Loop::new(name, points, reduce)
}

/// The product of loops over the numbers from 0 on.
pub(crate) fn product(loops: &[(&str, u64, Option<Reduce>)]) -> LoopNest {
    let l =
        |(name, count, reduce): &(&str, u64, Option<Reduce>)| counted(name, *count, reduce.clone());
    LoopNest::new(loops.iter().map(l).collect()).unwrap()
}

/// Three subjects with 3, 2 and 1 sessions, which are folded.
pub(crate) fn subjects(reduce: Reduce) -> LoopNest {
    let loops = vec![counted("subject", 3, None), counted("session", 3, Some(reduce))];
    let tasks = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]].map(Vec::from);
    of_tasks(loops, 2, &tasks)
}

/// Two data sets, two families with parameters of their own (three alphas; two depths), two folds.
pub(crate) fn families() -> LoopNest {
    let max = Some(Reduce::max());
    let loops = vec![
        counted("dataset", 2, None),
        counted("model", 2, max.clone()),
        Loop { none: Some(3), ..counted("alpha", 4, max.clone()) },
        Loop { none: Some(2), ..counted("depth", 3, max) },
        counted("fold", 2, Some(Reduce::mean())),
    ];
    let own = [[0, 0, 2], [0, 1, 2], [0, 2, 2], [1, 3, 0], [1, 3, 1]];
    let mut tasks = Vec::new();
    for dataset in 0..2 {
        for [model, alpha, depth] in own {
            tasks.extend((0..2).map(|fold| vec![dataset, model, alpha, depth, fold]));
        }
    }
    of_tasks(loops, 4, &tasks)
}

struct Listed<'a> {
    sizes: Vec<u64>,
    tasks: &'a [Vec<u64>],
}

impl Selection for Listed<'_> {
    fn size(&self, level: usize) -> u64 {
        self.sizes[level]
    }

    fn select(&mut self, level: usize, around: &[u64]) -> Result<Vec<Range<u64>>, String> {
        let inside = self.tasks.iter().filter(|task| task[..level] == *around);
        let mut points: Vec<u64> = inside.map(|task| task[level]).collect();
        points.dedup();
        Ok(points.into_iter().map(|point| point..point + 1).collect())
    }
}
