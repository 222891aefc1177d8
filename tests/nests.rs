//! Typed nests compared with plain nested loops: various sizes, failures and thread counts, a reduction at
//! each level, and loops that depend on each other.

use gridmpi::{Exit, Nest, Runs, Settings, Value};
use proptest::prelude::*;

/// The result of one run; None if it fails.
fn crunch(seed: u64, a: u64, b: u64, c: u64) -> Option<f64> {
    let mixed = (seed ^ (a << 40) ^ (b << 20) ^ c).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    (!mixed.is_multiple_of(7)).then(|| (mixed % 1000) as f64 / 8.0)
}

/// Three reductions of different types, each sensitive to the order and to failed runs.
fn spread(results: &[(usize, f64)]) -> (f64, Vec<usize>) {
    let sum = results.iter().fold(0.0, |sum, (i, result)| sum / 3.0 + result * (*i as f64 + 1.0));
    (sum, results.iter().map(|(i, _)| *i).collect())
}

fn label(results: &[(usize, (f64, Vec<usize>))]) -> String {
    results.iter().map(|(i, (sum, seen))| format!("{i}:{sum}:{seen:?};")).collect()
}

fn length(results: &[(usize, String)]) -> (u64, String) {
    let text = results.iter().map(|(i, text)| format!("{i}>{text}")).collect::<String>();
    (text.len() as u64, text)
}

fn with_indices<R: Clone>(runs: &Runs<R>) -> Vec<(usize, R)> {
    runs.iter().map(|(i, run)| (i, run.clone())).collect()
}

/// Reduces the available results, if they are enough.
fn fold<R, S>(
    require: f64,
    results: Vec<Option<R>>,
    summarize: impl Fn(&[(usize, R)]) -> S,
) -> Option<S> {
    let (size, mut there) = (results.len(), Vec::new());
    for (i, result) in results.into_iter().enumerate() {
        there.extend(result.map(|result| (i, result)));
    }
    let enough = there.len() as f64 >= require * size as f64 - 1e-9;
    (enough && !there.is_empty()).then(|| summarize(&there))
}

/// Up to four numbers under five, some of them twice, as the bounds of a loop at this place.
fn some(seed: u64, place: &[u64]) -> Vec<u64> {
    let mix = |mixed: u64, x: &u64| (mixed ^ (x + 1)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 7;
    let mixed = place.iter().fold(seed >> 8, mix);
    (0..mixed % 5).map(|i| (mixed >> (4 + 3 * i)) % 5).collect()
}

/// Whether a filter keeps this place.
fn keeps(seed: u64, place: &[u64]) -> bool {
    some(seed ^ 0xABCD_EF00, place).len() != 3
}

/// The points of the innermost loop at a place.
fn ds(seed: u64, a: u64, b: u64, c: u64) -> Vec<u64> {
    some(seed, &[a, b, c]).into_iter().filter(|d| *d != a + c && *d != 4).collect()
}

fn parsed(b: &str) -> u64 {
    b.parse().unwrap()
}

fn number(value: &Value) -> u64 {
    value.to_string().parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn nests_give_what_nested_loops_give(
        (a, b, c) in (1u64..5, 1u64..5, 1u64..6),
        seed: u64,
        threads in 1usize..5,
        require in prop_oneof![Just(1.0), 0.3f64..1.0],
        on_workers: bool,
    ) {
        let mut study = Nest::new()
            .data("a", move || Ok((0..a).map(|a| vec![a; 3]).collect()))
            .each("b", 0..b)
            .each("c", (0..c).map(|c| (c, "text".to_string())))
            .crunch(move |(a, b, (c, _)), _| {
                crunch(seed, a[2], *b, *c).ok_or_else(|| "it fails".into())
            })
            .reduce(|runs: &Runs<f64>| spread(&with_indices(runs)))
            .reduce(|runs: &Runs<(f64, Vec<usize>)>| label(&with_indices(runs)))
            .reduce(|runs: &Runs<String>| length(&with_indices(runs)))
            .require(require);
        if on_workers {
            study = study.reduce_on_workers();
        }
        let outcome = study.run(&Settings::default().threads(threads)).unwrap().unwrap();
        let inner = |a, b| {
            let runs = (0..c).map(|c| crunch(seed, a, b, c)).collect();
            fold(require, runs, spread)
        };
        let middle = |a| fold(require, (0..b).map(|b| inner(a, b)).collect(), label);
        let serial = fold(require, (0..a).map(middle).collect(), length);
        prop_assert_eq!(outcome.summaries.len(), 1);
        prop_assert_eq!(outcome.summaries[0].value.clone().ok(), serial);
        let runs = outcome.runs(&outcome.summaries[0]).unwrap();
        for (task, run) in (0..).zip(runs) {
            let serial = crunch(seed, task / (b * c), task / c % b, task % c);
            prop_assert_eq!(run.ok(), serial);
        }
    }

    #[test]
    fn outer_loops_that_do_not_fold_are_the_rows(
        (a, b, c, d) in (1u64..4, 1u64..4, 1u64..4, 1u64..4),
        seed: u64,
        threads in 1usize..4,
    ) {
        let sum = |runs: &Runs<f64>| runs.iter().map(|(_, run)| run).sum::<f64>();
        let outcome = Nest::new()
            .each("a", 0..a)
            .each("b", 0..b)
            .each("c", 0..c)
            .each("d", 0..d)
            .crunch(move |(a, b, c, d), _| {
                Ok(crunch(seed, *a, *b, 10 * c + d).unwrap_or_default())
            })
            .reduce(sum)
            .reduce(sum)
            .run(&Settings::default().threads(threads))
            .unwrap()
            .unwrap();
        let mut rows = outcome.summaries.iter();
        for a in 0..a {
            for b in 0..b {
                let one = |c: u64, d: u64| crunch(seed, a, b, 10 * c + d).unwrap_or_default();
                let serial: f64 = (0..c).map(|c| (0..d).map(|d| one(c, d)).sum::<f64>()).sum();
                let row = rows.next().unwrap();
                prop_assert_eq!(&row.indices, &[a, b]);
                prop_assert_eq!(&row.value, &Ok(serial));
            }
        }
        prop_assert!(rows.next().is_none());
    }

    #[test]
    fn dependent_nests_give_what_nested_loops_give(
        (a, c) in (1u64..5, 1u64..5),
        seed: u64,
        threads in 1usize..5,
        require in prop_oneof![Just(1.0), 0.3f64..1.0],
        on_workers: bool,
    ) {
        type Spread = (f64, Vec<usize>);
        let inner = move |runs: &Runs<f64>| {
            // The points of a group are those of the loop there, in its order.
            let place: Vec<u64> = runs.coordinates().iter().map(|(_, v)| number(v)).collect();
            let points: Vec<u64> = (0..runs.len()).map(|i| number(&runs.point(i))).collect();
            let [a, b, c] = place[..] else { panic!("{place:?}") };
            assert_eq!(points, ds(seed, a, b, c));
            spread(&with_indices(runs))
        };
        let mut study = Nest::new()
            .data("a", move || Ok((0..a).map(|a| vec![a; 3]).collect()))
            .filter(move |(a,)| keeps(seed, &[a[1]]))
            .each_of("b", move |(a,)| Ok(some(seed, &a[..1]).iter().map(u64::to_string).collect()))
            .each("c", 0..c)
            .filter(move |(a, b, c)| keeps(seed, &[a[1], parsed(b), *c]))
            .each_of("d", move |(a, b, c)| Ok(some(seed, &[a[2], parsed(b), *c])))
            .filter(move |(a, _, c, d)| *d != a[0] + c)
            .filter(move |(.., d)| *d != 4)
            .crunch(move |(a, b, c, d), context| {
                let named = [Value::Int(a[0] as i64), Value::Text(b.clone())];
                let coordinates = context.coordinates().into_iter().map(|(_, value)| value);
                assert!(coordinates.take(2).eq(named));
                crunch(seed, a[0], 10 * parsed(b) + c, *d).ok_or_else(|| "it fails".into())
            })
            .reduce(inner)
            .reduce(|runs: &Runs<Spread>| label(&with_indices(runs)))
            .reduce(|runs: &Runs<String>| length(&with_indices(runs)))
            .require(require);
        if on_workers {
            study = study.reduce_on_workers();
        }
        let outcome = study.run(&Settings::default().threads(threads));

        let mut rows = Vec::new();
        let mut all = Vec::new();
        for a in (0..a).filter(|a| keeps(seed, &[*a])) {
            let mut of_a = Vec::new();
            for b in some(seed, &[a]) {
                let mut of_b = Vec::new();
                for c in (0..c).filter(|c| keeps(seed, &[a, b, *c])) {
                    let runs: Vec<Option<f64>> = ds(seed, a, b, c)
                        .into_iter()
                        .map(|d| crunch(seed, a, 10 * b + c, d))
                        .collect();
                    if !runs.is_empty() {
                        all.extend(runs.clone());
                        of_b.push(fold(require, runs, spread));
                    }
                }
                if !of_b.is_empty() {
                    of_a.push(fold(require, of_b, label));
                }
            }
            if !of_a.is_empty() {
                rows.push((a, fold(require, of_a, length)));
            }
        }
        if rows.is_empty() {
            let error = outcome.err().unwrap();
            prop_assert_eq!(error.exit, Exit::BadInput, "{}", error);
            return Ok(());
        }
        let outcome = outcome.unwrap().unwrap();
        let found = outcome.summaries.iter();
        let found: Vec<_> =
            found.map(|row| (row.indices[0], row.value.clone().ok())).collect();
        prop_assert_eq!(found, rows);
        let runs = outcome.summaries.iter().flat_map(|row| outcome.runs(row).unwrap());
        prop_assert_eq!(runs.map(Result::ok).collect::<Vec<_>>(), all);
    }
}
