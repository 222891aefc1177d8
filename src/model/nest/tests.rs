//! The nest against real nested loops.

use super::random::{RandomNest, keys_of};
use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn coordinates_walk_the_nest_like_serial_loops(
        sizes in prop::collection::vec(1u64..5, 1..5),
    ) {
        let nest = LoopNest::sized(&sizes, 0);
        let mut expected = vec![vec![]];
        for (level, &size) in sizes.iter().enumerate() {
            prop_assert_eq!(nest.keys(level), expected.len() as u64);
            expected = expected
                .into_iter()
                .flat_map(|outer: Vec<u64>| (0..size).map(move |i| [outer.clone(), vec![i]].concat()))
                .collect();
        }
        let walked: Vec<_> = (0..nest.tasks()).map(|t| nest.indices(nest.task(t))).collect();
        for (task, indices) in (0..).zip(&walked) {
            prop_assert_eq!(nest.key_at(indices), Some(nest.task(task)));
            let points = nest.coordinates(nest.task(task)).into_iter().map(|(_, value)| value);
            let expected = indices.iter().map(|i| Value::Int(*i as i64));
            prop_assert!(points.eq(expected));
        }
        prop_assert_eq!(walked, expected);
    }

    #[test]
    fn slots_and_parents_undo_each_other(
        sizes in prop::collection::vec(1u64..1000, 1..6), pick in 0u64..u64::MAX, outer in 0usize..6,
    ) {
        let nest = LoopNest::sized(&sizes, outer.min(sizes.len()));
        let mut key = nest.task(pick % nest.tasks());
        let indices = nest.indices(key);
        while let Some((parent, slot)) = nest.parent(key) {
            prop_assert!(slot < nest.slots(parent));
            prop_assert_eq!(slot, indices[parent.level]);
            prop_assert_eq!(nest.child(parent, slot), Some(key));
            prop_assert_eq!(nest.child(parent, nest.slots(parent)), None);
            prop_assert_eq!(nest.child(parent, u64::MAX), None);
            prop_assert_eq!(nest.ancestor(nest.task(pick % nest.tasks()), parent.level), parent);
            let gathers = parent.level >= nest.outer();
            prop_assert_eq!(nest.group(key), gathers.then_some((parent, slot)));
            prop_assert_eq!(nest.value(key), Value::Int(slot as i64));
            key = parent;
        }
        prop_assert_eq!(key, Key::ROOT);
    }

    #[test]
    fn the_tasks_below_a_key_are_those_below_its_children(
        sizes in prop::collection::vec(1u64..6, 1..5),
    ) {
        let nest = LoopNest::sized(&sizes, 0);
        prop_assert_eq!(nest.tasks_below(Key::ROOT), 0..nest.tasks());
        for level in 0..nest.depth() {
            for key in (0..nest.keys(level)).map(|index| Key { level, index }) {
                let below = nest.tasks_below(key);
                prop_assert_eq!(nest.task_count(key), below.end - below.start);
                let mut next = below.start;
                for slot in 0..nest.slots(key) {
                    let part = nest.tasks_below(nest.child(key, slot).unwrap());
                    prop_assert_eq!(part.start, next);
                    next = part.end;
                }
                prop_assert_eq!(next, below.end);
                for task in below {
                    prop_assert_eq!(nest.ancestor(nest.task(task), level), key);
                }
            }
        }
    }
}

#[test]
fn ten_data_sets_of_three_parameters() {
    let nest = LoopNest::sized(&[10, 3], 1);
    assert_eq!(nest.tasks(), 30);
    assert_eq!(nest.indices(nest.task(7)), [2, 1]);
    let dataset = Key { level: 1, index: 2 };
    assert_eq!(nest.group(nest.task(7)), Some((dataset, 1)));
    assert_eq!((nest.group(dataset), nest.tasks_below(dataset)), (None, 6..9));
    assert_eq!(nest.winners(dataset, &[Winner { level: 1, slot: 2 }]), [("loop1", Value::Int(2))]);
}

#[test]
fn refuses_what_has_no_tasks_or_too_many() {
    let nest = |sizes: &[u64]| LoopNest::of_sizes(sizes, vec![None; sizes.len()]);
    let why = |sizes: &[u64]| nest(sizes).unwrap_err();
    assert_eq!(why(&[]), "there is no loop");
    assert_eq!(why(&[3, 0]), "loop 'loop1' has no points");
    assert!(why(&[1 << 32, 1 << 31]).starts_with("4294967296 x 2147483648 tasks are more than"));
    assert!(nest(&[1 << 32, (1 << 31) - 1]).is_ok());
    let inner = LoopNest::of_sizes(&[2, 2], [Some(Reduce::max()), None]).unwrap_err();
    assert_eq!(inner, "loop 'loop1' does not reduce, but one around it does");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn loops_that_depend_on_loops_are_nested_loops(random in RandomNest::any(1..6)) {
        let depth = random.sizes.len();
        let (tasks, nest) = (random.serial(), random.nest(&vec![None; depth]));
        let Ok(nest) = nest else {
            prop_assert_eq!(tasks.len(), 0);
            return Ok(());
        };
        prop_assert_eq!(nest.tasks(), tasks.len() as u64);
        let copy: LoopNest = serde_json::from_slice(&serde_json::to_vec(&nest).unwrap()).unwrap();
        prop_assert!(copy.has_shape_of(&nest));
        let rows: Vec<ShapeRow> = nest.shape_rows().collect();
        let again = LoopNest::of_rows(nest.loops().to_vec(), &rows).unwrap();
        prop_assert!(again.has_shape_of(&nest));
        for level in 0..=depth {
            let keys = keys_of(&tasks, level);
            prop_assert_eq!(nest.keys(level), keys.len() as u64);
            for (index, points) in (0..).zip(&keys) {
                let key = Key { level, index };
                prop_assert_eq!(&nest.indices(key), points);
                prop_assert_eq!(nest.key_at(points), Some(key));
                let start = tasks.iter().position(|task| task.starts_with(points)).unwrap() as u64;
                let count = tasks.iter().filter(|task| task.starts_with(points)).count() as u64;
                prop_assert_eq!(nest.tasks_below(key), start..start + count);
                prop_assert_eq!(nest.task_count(key), count);
                for task in start..start + count {
                    prop_assert_eq!(nest.ancestor(nest.task(task), level), key);
                }
                let Some((last, around)) = points.split_last() else { continue };
                prop_assert_eq!(nest.point(key), *last);
                prop_assert_eq!(nest.value(key), Value::Int(*last as i64));
                let group = keys.iter().filter(|key| key.starts_with(around)).count() as u64;
                let first = keys.iter().position(|key| key.starts_with(around)).unwrap() as u64;
                let (parent, slot) = nest.parent(key).unwrap();
                prop_assert_eq!((parent.level, &nest.indices(parent)[..]), (level - 1, around));
                prop_assert_eq!((slot, nest.slots(parent)), (index - first, group));
                prop_assert_eq!(nest.children(parent), first..first + group);
                prop_assert_eq!(nest.child(parent, slot), Some(key));
                prop_assert_eq!(nest.child(parent, group), None);
                prop_assert_eq!(nest.child_at(parent, random.sizes[level - 1]), None);
                let stretch = nest.stretch(key);
                prop_assert_eq!((stretch.group, stretch.slot, stretch.point), (parent, slot, *last));
                for more in 0..stretch.count {
                    let next = [around, &[last + more]].concat();
                    prop_assert_eq!(keys.get((index + more) as usize), Some(&next));
                }
            }
        }
    }
}

/// `j` runs up to, but not including, the point of the loop at a level; the others have these sizes.
struct UpTo(usize, Vec<u64>);

impl Selection for UpTo {
    fn size(&self, level: usize) -> u64 {
        self.1[level]
    }

    fn select(&mut self, _: usize, around: &[u64]) -> Result<Vec<std::ops::Range<u64>>, String> {
        Ok(std::iter::once(0..around[self.0]).collect())
    }
}

fn triangle(sizes: &[u64], i: usize, j: usize) -> Result<LoopNest, String> {
    let on = |level| (level == j).then(|| [i].into());
    let loops = numbered(sizes, vec![None; sizes.len()]);
    LoopNest::dependent(loops, (0..sizes.len()).map(on).collect(), &mut UpTo(i, sizes.to_vec()))
}

#[test]
fn independent_loops_around_and_inside_cost_nothing() {
    // 10^6 data sets x i < 100 x j < i x 5 folds x 1000 repeats.
    let nest = triangle(&[1_000_000, 100, 99, 5, 1000], 1, 2).unwrap();
    assert_eq!(nest.tasks(), 1_000_000 * 4950 * 5000);
    assert!(serde_json::to_vec(&nest).unwrap().len() < 5000);
    let task = nest.key_at(&[999_999, 99, 98, 4, 999]).unwrap();
    assert_eq!(task, nest.task(nest.tasks() - 1));
    assert_eq!(nest.key_at(&[3, 7, 7, 0, 0]), None);
    // The data set's i = 0 has no task.
    let left_out = LeftOut { named: vec![vec![(1, 0)]], count: 1, of: 100 };
    assert_eq!(nest.left_out()[1], left_out);
    assert_eq!(nest.slots(Key { level: 1, index: 7 }), 99);
}

#[test]
fn equal_nodes_are_shared() {
    // Nobody depends on the loop in the middle: each i has one node below it.
    let nest = triangle(&[50, 1000, 49], 0, 2).unwrap();
    assert_eq!(nest.tasks(), 49 * 50 / 2 * 1000);
    assert!(serde_json::to_vec(&nest).unwrap().len() < 5000);
    // Two outer loops, of which only the inner one matters.
    let nest = triangle(&[1000, 50, 49], 1, 2).unwrap();
    assert!(serde_json::to_vec(&nest).unwrap().len() < 5000);
}

#[test]
fn a_dependent_nest_without_a_task_is_refused() {
    let why = triangle(&[1, 3], 0, 1).unwrap_err();
    assert_eq!(why, "there is no task: no loop has a point inside all the others");
    let on = vec![Some([1].into()), None];
    let loops = numbered(&[2, 2], vec![None, None]);
    let why = LoopNest::dependent(loops, on, &mut UpTo(0, vec![2, 2])).unwrap_err();
    assert_eq!(why, "loop 'loop0' depends on 'loop1', which is not around it");
    let why = triangle(&[1 << 20, 1 << 20, 1 << 20, 1 << 20], 0, 1).unwrap_err();
    assert_eq!(why, "there are more than 9223372036854775807 (2^63 - 1) tasks");
}
