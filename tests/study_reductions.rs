//! Studies that gridmpi itself reduces, by mean, median, sum, max and min, and that stop points early.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use gridmpi::{Best, Nest, Order, Outcome, Row, Runs, Settings, Stop, Study};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

fn run_in<R, S>(study: Study<R, S>, folder: &Path) -> gridmpi::Result<Outcome<R, S>>
where
    R: Serialize + DeserializeOwned + 'static,
    S: 'static,
{
    let settings = Settings::default().threads(3).out(folder);
    Ok(study.run(&settings)?.expect("there is one process"))
}

fn run<R, S>(study: Study<R, S>) -> gridmpi::Result<Outcome<R, S>>
where
    R: Serialize + DeserializeOwned + 'static,
    S: 'static,
{
    Ok(study.run(&Settings::default().threads(3))?.expect("there is one process"))
}

fn values<R, S>(outcome: Outcome<R, S>) -> Vec<Result<S, String>> {
    outcome.summaries.into_iter().map(|summary| summary.value).collect()
}

/// A number from 0 to 1 that depends on these alone.
fn chance(parts: &[u64]) -> f64 {
    let mix = |seed: u64, part: &u64| {
        let mixed = (seed ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    };
    (parts.iter().fold(0x1234_5678_9abc_def1, mix) >> 11) as f64 / (1u64 << 53) as f64
}

#[derive(Clone, Copy, Debug)]
enum Inner {
    Mean,
    Median,
    Sum,
    Max,
    Min,
}

use Inner::{Max, Mean, Median, Min, Sum};

impl Inner {
    /// As nested loops would have it.
    fn of(self, mut scores: Vec<f64>) -> f64 {
        let sum = scores.iter().sum::<f64>();
        match self {
            Sum => sum,
            Mean => sum / scores.len() as f64,
            Max => scores.into_iter().fold(f64::NEG_INFINITY, f64::max),
            Min => scores.into_iter().fold(f64::INFINITY, f64::min),
            Median => {
                scores.sort_by(f64::total_cmp);
                let half = scores.len() / 2;
                match scores.len() % 2 {
                    0 => (scores[half - 1] + scores[half]) / 2.0,
                    _ => scores[half],
                }
            }
        }
    }
}

/// The index of the best alpha of a data set, this, and its score.
type BestRow = (usize, u64, f64);

/// A random study with what nested loops give.
struct Case {
    seed: u64,
    sizes: [u64; 3],
    inner: Inner,
    greatest: bool,
}

impl Case {
    fn of(seed: u64) -> Case {
        let size = |at: u64, most: f64| 1 + (chance(&[seed, at]) * most) as u64;
        let inner = [Mean, Median, Sum, Max, Min][(seed % 5) as usize];
        let sizes = [size(1, 4.0), 1 + size(2, 9.0), size(3, 7.0)];
        Case { seed, sizes, inner, greatest: chance(&[seed, 4]) < 0.5 }
    }

    /// A coarse score, so that some are equal.
    fn score(seed: u64, at: [u64; 3]) -> f64 {
        let quality = chance(&[seed, at[0], at[1]]);
        let noise = 0.3 * chance(&[seed, at[0], at[1], at[2]]);
        (((quality + noise) / 1.3) * 32.0).round() / 32.0
    }

    /// Some points of alpha lack some folds, and some data sets some points of alpha.
    fn has(seed: u64, [data, alpha, fold]: [u64; 3]) -> bool {
        let has_alpha = alpha == data % 2 || chance(&[seed, data, alpha, 6]) < 0.8;
        has_alpha && (fold == 0 || chance(&[seed, alpha, fold, 5]) < 0.8)
    }

    /// The best alpha of each data set with its score, and how many runs were skipped.
    fn rows(&self, stop: Option<Stop>) -> gridmpi::Result<(Vec<BestRow>, u64)> {
        let Case { seed, sizes: [data, alphas, folds], .. } = *self;
        let crunched = Nest::new()
            .each("data", 0..data)
            .each("alpha", 0..alphas)
            .each("fold", 0..folds)
            .filter(move |(data, alpha, fold)| Case::has(seed, [*data, *alpha, *fold]))
            .crunch(move |(data, alpha, fold), _| Ok(Case::score(seed, [*data, *alpha, *fold])));
        match self.inner {
            Mean => self.best_of(crunched.mean(), stop),
            Median => self.best_of(crunched.median(), stop),
            Sum => self.best_of(crunched.sum(), stop),
            Max => self.best_of(crunched.max(), stop),
            Min => self.best_of(crunched.min(), stop),
        }
    }

    fn best_of<S: 'static>(
        &self,
        study: Study<f64, S>,
        stop: Option<Stop>,
    ) -> gridmpi::Result<(Vec<BestRow>, u64)> {
        let study = if self.greatest { study.max() } else { study.min() };
        let outcome = run(match stop {
            Some(stop) => study.stop(stop),
            None => study,
        })?;
        let skipped = outcome.skipped();
        let mut counted = 0;
        for row in &outcome.summaries {
            let runs = outcome.runs(row)?;
            let is_skipped = |run: &&Result<f64, String>| {
                run.as_ref().is_err_and(|why| why.starts_with("skipped: "))
            };
            let of_row = runs.iter().filter(is_skipped).count() as u64;
            assert_eq!(
                (of_row, row.failed, row.runs + of_row),
                (row.skipped, 0, runs.len() as u64)
            );
            counted += of_row;
        }
        assert_eq!(counted, skipped);
        let best = values(outcome).into_iter().map(Result::unwrap);
        let row = |best: Best<S>| (best.index, best.point.as_f64().unwrap() as u64, best.score);
        Ok((best.map(row).collect(), skipped))
    }

    fn expected(&self) -> Vec<BestRow> {
        let Case { seed, sizes: [data, alphas, folds], .. } = *self;
        let of = |data: u64, alpha: u64| {
            let folds = (0..folds).filter(|fold| Case::has(seed, [data, alpha, *fold]));
            let scores = folds.map(|fold| Case::score(seed, [data, alpha, fold])).collect();
            (alpha, self.inner.of(scores))
        };
        let best = |data: u64| {
            let sign = if self.greatest { 1.0 } else { -1.0 };
            let alphas = (0..alphas).filter(|alpha| Case::has(seed, [data, *alpha, 0]));
            let scores: Vec<(u64, f64)> = alphas.map(|alpha| of(data, alpha)).collect();
            let mut best = (0, scores[0]);
            for (index, score) in scores.into_iter().enumerate() {
                if sign * score.1 > sign * best.1.1 {
                    best = (index, score);
                }
            }
            (best.0, best.1.0, best.1.1)
        };
        (0..data).map(best).collect()
    }
}

#[test]
fn reductions_and_sure_stops_give_what_nested_loops_give() {
    let mut saved = 0;
    for case in (0..60).map(Case::of) {
        let Case { seed, inner, .. } = case;
        let expected = case.expected();
        assert_eq!(case.rows(None).unwrap(), (expected.clone(), 0), "{inner:?}, seed {seed}");
        let (rows, skipped) = case.rows(Some(Stop::sure(0.0..=1.0))).unwrap();
        assert_eq!(rows, expected, "{inner:?}, seed {seed}");
        saved += skipped;
    }
    assert!(saved > 400, "{saved} runs were skipped");
}

/// What a run of a fit has, and how often it was called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Fit {
    score: f64,
    alpha: f64,
    note: String,
}

/// Two data sets, of which the best alphas are 0.25 and 0.75, with squared errors.
fn fits(calls: &Arc<AtomicUsize>) -> Study<Fit, f64> {
    let calls = calls.clone();
    Nest::new()
        .data("dataset", || Ok(vec![0.25, 0.75]))
        .each("alpha", (0..20).map(|i| f64::from(i) / 20.0))
        .each("fold", 0..10u32)
        .crunch(move |(best, alpha, fold), _| {
            calls.fetch_add(1, Ordering::SeqCst);
            let off = alpha - best;
            let score = off * off * f64::from(10 + fold);
            Ok(Fit { score, alpha: *alpha, note: format!("fold {fold}") })
        })
        .mean()
}

fn square() -> Stop {
    Stop::sure(0.0..=f64::INFINITY)
}

#[test]
fn runs_that_cannot_matter_are_skipped_and_can_be_had_later() {
    let calls = Arc::new(AtomicUsize::new(0));
    let folder = tempfile::tempdir().unwrap();
    let (some, all) = (folder.path().join("some"), folder.path().join("all"));
    let made = || calls.swap(0, Ordering::SeqCst) as u64;
    let table = |of: &Path| {
        ["summary.csv", "summary.json"].map(|name| fs::read_to_string(of.join(name)).unwrap())
    };

    let outcome = run_in(fits(&calls).min().stop(square()), &some).unwrap();
    let first = table(&some);
    assert_eq!(outcome.skipped() + made(), 400);
    assert!(outcome.skipped() > 200, "{}", outcome.skipped());
    let row = &outcome.summaries[1];
    let best = row.value.as_ref().unwrap();
    assert_eq!((best.index, best.point.as_f64(), best.score), (15, Some(0.75), 0.0));
    assert_eq!(best.summary, 0.0);
    let runs = outcome.runs(row).unwrap();
    let fit = Fit { score: 0.0, alpha: 0.75, note: "fold 3".to_string() };
    assert_eq!(runs[153], Ok(fit));
    let why = runs[9].as_ref().unwrap_err();
    assert!(why.starts_with("skipped: cannot beat alpha = 0.75: at least "), "{why}");

    // Another start makes none, and says the same.
    let outcome = run_in(fits(&calls).min().stop(square()), &some).unwrap();
    assert_eq!((made(), table(&some)), (0, first.clone()));
    let skipped = outcome.skipped();

    // Without the rule it makes what is missing, and with it these count no more.
    let outcome = run_in(fits(&calls).min(), &some).unwrap();
    assert_eq!((outcome.skipped(), made()), (0, skipped));
    run_in(fits(&calls).min(), &all).unwrap();
    assert_eq!((made(), table(&some)), (400, table(&all)));
    let outcome = run_in(fits(&calls).min().stop(square()), &all).unwrap();
    assert_eq!((outcome.skipped(), made(), table(&all)), (skipped, 0, first));
    let why = outcome.runs(&outcome.summaries[1]).unwrap()[9].clone().unwrap_err();
    assert!(why.ends_with("the run was made by an earlier start and counts nowhere"), "{why}");

    // By halves 20, 10, 5, 3, 2 points go on, with 1, 2, 4, 8 and all 10 folds.
    let halves = fits(&calls).min().stop(Stop::halve(2, 1));
    let outcome = run(halves).unwrap();
    let asked = 2 * (20 + 10 + 5 * 2 + 3 * 4 + 2 * 2);
    assert_eq!((outcome.skipped(), made()), (400 - asked, asked));
    let best = values(outcome).into_iter().map(|best| best.unwrap().index);
    assert_eq!(best.collect::<Vec<_>>(), [5, 15]);
}

#[test]
fn other_functions_get_the_best_points() {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut means = 0;
    let heard = seen.clone();
    let study = fits(&calls)
        .on_summary(move |mean| {
            means += 1;
            assert!((mean.value.unwrap() >= 0.0) && mean.runs == 10, "{means}");
            Ok(())
        })
        .min()
        .stop(square())
        .on_summary(move |best| {
            heard.lock().unwrap().push((best.value.unwrap().index, best.runs + best.skipped));
            Ok(())
        })
        .reduce(|best: &Runs<Best<f64>>| {
            best.iter().map(|(data, best)| (data, best.index, best.score)).collect::<Vec<_>>()
        })
        .reduce_on_workers()
        .finally(|row: &Row<Vec<(usize, usize, f64)>>| Ok(row.summary().len()));
    let outcome = run(study).unwrap();
    assert_eq!(outcome.finally::<usize>(&outcome.summaries[0]).unwrap(), Some(Ok(2)));
    assert_eq!(values(outcome), [Ok(vec![(0, 5, 0.0), (1, 15, 0.0)])]);
    let mut seen = seen.lock().unwrap();
    seen.sort();
    assert_eq!(*seen, [(5, 200), (15, 200)]);

    // The final function gets the best run itself, and its point.
    let study = Nest::new()
        .each("dataset", ["a", "b"].map(String::from))
        .each("alpha", [0.5, 1.5, 1.0])
        .crunch(|(name, alpha), _| {
            let score = if name == "a" { *alpha } else { -alpha };
            Ok(Fit { score, alpha: *alpha, note: name.clone() })
        })
        .max()
        .finally(|row: &Row<Best<Fit>>| {
            let Best { index, point, score, summary } = row.summary();
            assert_eq!(Some(*row.point::<f64>("alpha")?), point.as_f64());
            Ok(format!("{index} {point} {score} {}", summary.note))
        });
    let outcome = run(study).unwrap();
    let finals =
        outcome.summaries.iter().map(|row| outcome.finally::<String>(row).unwrap().unwrap());
    let finals: Vec<_> = finals.map(Result::unwrap).collect();
    assert_eq!(finals, ["1 1.5 1.5 a", "0 0.5 -0.5 b"]);
}

#[test]
fn own_summaries_and_numbers_go_into_each_other() {
    // The spread over folds, by an own function; the smallest; their median over repeats; the greatest of these.
    let study = Nest::new()
        .each("model", [3.0, 1.0])
        .each("repeat", 0..3u32)
        .each("alpha", [1.0, 2.0])
        .each("fold", 0..4u32)
        .crunch(|(model, repeat, alpha, fold), _| {
            Ok(model * f64::from(repeat * repeat) + alpha * f64::from(*fold))
        })
        .reduce(|folds: &Runs<f64>| {
            let score = folds.get(3).unwrap() - folds.get(0).unwrap() + folds.get(0).unwrap();
            BTreeMap::from([("score".to_string(), score), ("first".to_string(), 1.0)])
        })
        .min()
        .median()
        .max();
    let outcome = run(study).unwrap();
    assert_eq!(outcome.summaries.len(), 1);
    let best = outcome.summaries[0].value.clone().unwrap();
    // Repeat 1 is in the middle: 3 * 1 + 1 * 3.
    assert_eq!((best.index, best.score, best.summary), (0, 6.0, 6.0));
}

#[test]
fn what_cannot_be_stopped_is_refused_in_words() {
    let one = || {
        Nest::new().each("a", 0..3u32).each("b", 0..4u32).crunch(|(a, b), _| Ok(f64::from(a * b)))
    };
    let refused =
        |study: Study<f64, Best<f64>>| run(study).err().expect("it is refused").to_string();
    let own = one().reduce(|runs: &Runs<f64>| runs.len() as f64);
    let closure = one().mean().reduce(|means: &Runs<f64>| *means.get(0).unwrap());
    for (study, words) in [
        (
            one().mean().max().stop(Stop::sure(1.0..=1.0)),
            "the least score, 1, is not below the greatest, 1",
        ),
        (one().mean().max().stop(Stop::halve(1, 1)), "at least 2"),
        (one().mean().max().stop(Stop::halve(2, 0)), "at least 1 run"),
        (one().mean().max().stop(square()), "with max, the greatest score must be finite"),
        (own.min().stop(square()), "stop: loop 'a': loop 'b' inside reduces by summarize"),
        (
            one().mean().min().stop(square()).order(Order::LongestFirst),
            "loop 'a' stops points, which another order",
        ),
    ] {
        let found = refused(study);
        assert!(found.contains(words), "{found}");
    }
    let alone = run(one().max().stop(Stop::halve(2, 1))).err().unwrap().to_string();
    assert!(alone.contains("loop 'b': there is no loop inside"), "{alone}");
    assert_eq!(values(run(closure).unwrap()), [Ok(0.0)]);
}

#[test]
fn a_result_without_a_score_has_no_place_in_a_fold() {
    let found = |study: Study<i32, f64>| values(run(study).unwrap()).remove(0).unwrap_err();
    let texts = Nest::new()
        .each("x", 0..2)
        .each("a", 0..2)
        .crunch(|(x, a), _| Ok(x + a))
        .reduce(|runs: &Runs<i32>| format!("{} runs", runs.len()));
    let why = found(texts.mean());
    let words = "2 of 2 points without a result: the value has no score; a number is its own score, and a struct needs a number field 'score'";
    assert_eq!(why, words);

    // What a folder has of another reduction is taken as in an empty folder, both ways.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Error {
        mse: f64,
    }
    let calls = Arc::new(AtomicUsize::new(0));
    let errors = || {
        let calls = calls.clone();
        Nest::new().each("a", [0.5, 0.25]).crunch(move |(a,), _| {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok(Error { mse: *a })
        })
    };
    let own = || errors().reduce(|runs: &Runs<Error>| runs.min_by(|run| run.mse).unwrap().0);
    let (folder, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(values(run_in(own(), folder.path()).unwrap()), [Ok(1)]);
    let again = run_in(errors().min(), folder.path()).unwrap();
    assert_eq!(calls.swap(0, Ordering::SeqCst), 2);
    let first = run_in(errors().min(), empty.path()).unwrap();
    let runs = |outcome: &Outcome<Error, Best<Error>>| {
        outcome.runs(&outcome.summaries[0]).unwrap().into_iter().map(Result::unwrap).collect()
    };
    let expected: Vec<Error> = vec![Error { mse: 0.5 }, Error { mse: 0.25 }];
    assert_eq!((runs(&again), runs(&first)), (expected.clone(), expected));
    let why = values(again).remove(0).unwrap_err();
    assert!(why.contains("the record has no score (it has: mse); a number is its own"), "{why}");
    assert_eq!(values(first), [Err(why)]);
    let mean = values(run(errors().mean()).unwrap()).remove(0).unwrap_err();
    assert!(mean.contains("the record has no score (it has: mse); a number is its own"), "{mean}");
    calls.fetch_sub(2, Ordering::SeqCst);
    assert_eq!(values(run_in(own(), empty.path()).unwrap()), [Ok(1)]);
    assert_eq!(calls.swap(0, Ordering::SeqCst), 2);
}

#[test]
fn a_run_outside_the_range_fails() {
    let wide = || {
        let nest = Nest::new().each("alpha", [0.5, 1.5, 0.75]).each("fold", 0..2);
        nest.crunch(|(alpha, _), _| Ok(*alpha)).mean().max()
    };
    let sure = || wide().stop(Stop::sure(0.0..=1.0));
    let outcome = run(sure()).unwrap();
    assert_eq!(outcome.failed(), 2);
    let why = outcome.summaries[0].value.clone().unwrap_err();
    assert!(why.contains("Study::require(0.66) would allow that"), "{why}");
    let why = outcome.runs(&outcome.summaries[0]).unwrap()[2].clone().unwrap_err();
    assert!(why.contains("the score 1.5 is outside score_range = [0, 1]"), "{why}");

    // The last rule counts, and halves need no range.
    assert_eq!(run(sure().stop(Stop::halve(2, 1))).unwrap().failed(), 0);
    let folder = tempfile::tempdir().unwrap();
    run_in(wide(), folder.path()).unwrap();
    let why = run_in(sure(), folder.path()).err().unwrap().to_string();
    assert!(why.contains("the stored run at alpha = 1.5, fold = 0 has the score 1.5"), "{why}");
}

#[test]
fn numbers_that_json_lacks_are_kept_from_start_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let study = || {
        Nest::new()
            .each("a", [1.0, -1.0])
            .each("alpha", [0.0, 1.0])
            .each("fold", 0..2)
            .crunch(|(a, alpha, _), _| {
                Ok(Fit { score: a / alpha, alpha: *alpha, note: String::new() })
            })
            .mean()
            .max()
    };
    let first = values(run_in(study(), folder.path()).unwrap());
    let expected = [(0, f64::INFINITY), (1, -1.0)];
    let found: Vec<_> = first.iter().map(|best| best.as_ref().unwrap()).collect();
    let found: Vec<_> = found.iter().map(|best| (best.index, best.summary)).collect();
    assert_eq!(found, expected);
    let table = || fs::read_to_string(folder.path().join("summary.json")).unwrap();
    let before = table();
    assert_eq!(values(run_in(study(), folder.path()).unwrap()), first);
    assert_eq!(table(), before);
}

#[test]
fn a_final_call_is_made_again_where_the_best_point_has_another_index() {
    let folder = tempfile::tempdir().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let last = |alphas: &[f64]| {
        let calls = calls.clone();
        let study = Nest::new()
            .each("alpha", alphas.to_vec())
            .crunch(|(alpha,), _| Ok(*alpha))
            .max()
            .finally(move |row: &Row<Best<f64>>| {
                calls.fetch_add(1, Ordering::SeqCst);
                Ok(row.summary().index)
            });
        let outcome = run_in(study, folder.path()).unwrap();
        outcome.finally::<usize>(&outcome.summaries[0]).unwrap().unwrap().unwrap()
    };
    assert_eq!((last(&[0.5, 1.5]), last(&[0.5, 1.5]), calls.load(Ordering::SeqCst)), (1, 1, 1));
    assert_eq!((last(&[0.25, 0.5, 1.5]), calls.load(Ordering::SeqCst)), (2, 2));
}
