//! The library from a user's view: studies in Rust on this machine's threads.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::sql_rows;
use gridmpi::{Context, Crunch, Dictionary, Nest, Outcome, Row, Runs, Settings, Study, Value};
use serde::{Deserialize, Serialize};

/// Runs a study on that many threads.
fn run<R, S>(study: Study<R, S>, threads: usize) -> gridmpi::Result<Outcome<R, S>>
where
    R: Serialize + serde::de::DeserializeOwned + 'static,
    S: Serialize + serde::de::DeserializeOwned + 'static,
{
    Ok(study.run(&Settings::default().threads(threads))?.expect("there is one process"))
}

fn values<R, S: Clone>(outcome: &Outcome<R, S>) -> Vec<Result<S, String>> {
    outcome.summaries.iter().map(|summary| summary.value.clone()).collect()
}

struct FindMax;

impl Crunch for FindMax {
    type Data = f64;
    type Param = f64;
    type Run = f64;
    type Summary = Option<(usize, f64)>;

    fn crunch(&self, data: &f64, param: &f64, _: &Context) -> gridmpi::Result<f64> {
        match data * param {
            -6.0 => Err("minus six will not do".into()),
            6.0 => panic!("six is worse"),
            product => Ok(product),
        }
    }

    fn summarize(&self, runs: &Runs<f64>) -> Option<(usize, f64)> {
        runs.max_by(|run| *run).map(|(index, max)| (index, *max))
    }
}

#[test]
fn all_runs_are_kept_and_each_data_set_has_its_summary() {
    let data = || Ok(vec![0.5, -2.0, 3.0]);
    let study = gridmpi::study(FindMax).data_sets(data).params([-1.0, 0.0, 1.0]);
    let outcome = run(study, 2).unwrap();
    assert_eq!(values(&outcome), [Ok(Some((2, 0.5))), Ok(Some((0, 2.0))), Ok(Some((2, 3.0)))]);
    let second = &outcome.summaries[1];
    assert_eq!((second.runs, second.failed, &second.indices[..]), (3, 0, &[1][..]));
    assert_eq!(second.coordinates, [("dataset".to_string(), Value::Int(1))]);
    assert_eq!(outcome.runs(second).unwrap(), [Ok(2.0), Ok(-0.0), Ok(-2.0)]);
    assert_eq!(outcome.failed(), 0);
}

#[test]
fn failed_runs_cost_only_themselves_and_summarize_knows_them() {
    #[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
    struct Fit {
        score: f64,
    }
    let nest = || {
        Nest::new().each("site", 0..2).each("way", 0..5).crunch(|(site, way), _| {
            match (site, way) {
                (0, 1) => Err("no convergence".into()),
                (0, 2) => panic!("index out of bounds"),
                (0, 3) => Ok(Fit { score: f64::NAN }),
                (_, way) => Ok(Fit { score: f64::from(*way) }),
            }
        })
    };
    let strict = run(nest().reduce(|runs: &Runs<Fit>| runs.len()), 2).unwrap();
    let incomplete =
        "3 of 5 points without a result (Study::require(0.4) would allow that)".to_string();
    assert_eq!(values(&strict), [Err(incomplete), Ok(5)]);
    let failures = strict.runs(&strict.summaries[0]).unwrap();
    assert_eq!(failures[1], Err("no convergence".to_string()));
    assert_eq!(failures[2], Err("crunch panicked: index out of bounds".to_string()));
    assert_eq!(failures[3], Err("the score is NaN".to_string()));
    assert_eq!(failures[4], Ok(Fit { score: 4.0 }));

    let known = |runs: &Runs<Fit>| {
        let found = runs.iter().map(|(i, fit)| (i, fit.score)).collect::<Vec<_>>();
        (runs.failed(), found, runs.get(1).is_none(), runs.point(4).as_f64())
    };
    let lenient = run(nest().reduce(known).require(0.4), 2).unwrap();
    let expected = (vec![1, 2, 3], vec![(0, 0.0), (4, 4.0)], true, Some(4.0));
    assert_eq!(values(&lenient)[0], Ok(expected));
    assert_eq!(lenient.failed(), 3);
}

#[test]
fn the_best_run_is_never_nan_and_the_first_of_equal_ones() {
    let best = |runs: &Runs<Option<f64>>| {
        let score = |run: &Option<f64>| run.unwrap_or(f64::NAN);
        let index = |best: Option<(usize, &Option<f64>)>| best.map(|(i, _)| i);
        (index(runs.max_by(score)), index(runs.min_by(score)), index(runs.max_by(|_| f64::NAN)))
    };
    let scores = [None, Some(2.0), Some(7.0), Some(7.0), Some(2.0), Some(f64::NEG_INFINITY)];
    let study = Nest::new().each("x", scores).crunch(|(x,), _| Ok(*x)).reduce(best);
    assert_eq!(values(&run(study, 2).unwrap()), [Ok((Some(2), Some(5), None))]);
}

#[test]
fn summaries_are_heard_while_other_groups_still_run() {
    let heard = Dictionary::new();
    let (tell, wait) = (heard.clone(), heard);
    let study = Nest::new()
        .each("group", 0..3)
        .each("repeat", 0..2)
        .crunch(move |(group, _), _| {
            // The first group's summary must arrive before the others can run.
            let ready = *group == 0 || wait.wait_for(&(group - 1), Duration::from_secs(30))?;
            if ready { Ok(*group) } else { Err("nothing was heard".into()) }
        })
        .reduce(|runs: &Runs<i32>| runs.iter().map(|(_, run)| run).sum::<i32>())
        .on_summary(move |summary| {
            assert_eq!(summary.value, Ok(2 * summary.indices[0] as i32));
            tell.put(summary.indices[0] as i32, ())?;
            Ok(())
        });
    assert_eq!(values(&run(study, 1).unwrap()), [Ok(0), Ok(2), Ok(4)]);
}

#[test]
fn each_level_can_be_listened_to() {
    let heard = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let (inner, outer) = (heard.clone(), heard.clone());
    let study = Nest::new()
        .each("a", 0..2)
        .each("b", 0..2)
        .each("c", 0..2)
        .crunch(|(a, b, c), _| Ok(4 * a + 2 * b + c))
        .reduce(|runs: &Runs<i32>| runs.iter().map(|(_, run)| run).sum::<i32>())
        .on_summary(move |summary| {
            inner.lock().unwrap().0.push((summary.indices, summary.value?));
            Ok(())
        })
        .reduce(|sums: &Runs<i32>| sums.iter().map(|(_, sum)| sum.to_string()).collect::<String>())
        .on_summary(move |summary| {
            outer.lock().unwrap().1.push((summary.indices, summary.value?));
            Ok(())
        });
    run(study, 1).unwrap();
    let (inner, outer) = &*heard.lock().unwrap();
    let expected = [(vec![0, 0], 1), (vec![0, 1], 5), (vec![1, 0], 9), (vec![1, 1], 13)];
    assert_eq!(inner[..], expected);
    assert_eq!(outer[..], [(vec![0], "15".to_string()), (vec![1], "913".to_string())]);
}

#[test]
fn a_listener_can_stop_the_study_and_running_crunches_notice() {
    let folder = tempfile::tempdir().unwrap();
    let cancelled = Arc::new(AtomicUsize::new(0));
    let count = cancelled.clone();
    let study = Nest::new()
        .each("group", 0..10)
        .each("repeat", 0..2)
        .crunch(move |(group, _), context| {
            for _ in 0..if *group == 0 { 0 } else { 3000 } {
                if context.is_cancelled() {
                    count.fetch_add(1, Ordering::Relaxed);
                    return Err("cancelled".into());
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(())
        })
        .reduce(|_: &Runs<()>| ())
        .on_summary(|_| Err("good enough".into()));
    let settings = Settings::default().threads(2).out(folder.path());
    let error = study.run(&settings).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "the study was stopped: good enough");
    assert!((1..=2).contains(&cancelled.load(Ordering::Relaxed)));
    let store = rusqlite::Connection::open(folder.path().join("runs.sqlite")).unwrap();
    let one = |sql: &str| store.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(one("SELECT value FROM job WHERE key = 'state'"), "stopped");
    assert_eq!(one("SELECT group_concat(key || ' ' || failed) FROM runs"), "0 0,1 0");
}

#[test]
fn context_tells_the_task_and_cleans_up_after_it() {
    type Seen = (Vec<u64>, u32, u32, String);
    let folders = Arc::new(Mutex::new(Vec::new()));
    let made = folders.clone();
    let study = |made: Arc<Mutex<Vec<std::path::PathBuf>>>| {
        Nest::new()
            .named_data("site", || Ok(vec![("north".to_string(), 1.5), ("south".to_string(), 2.5)]))
            .each("repeat", 0..3)
            .crunch(move |_, context| -> gridmpi::Result<Seen> {
                let scratch = context.scratch()?;
                assert_eq!(scratch.read_dir()?.count(), 0);
                std::fs::write(scratch.join("file"), "x")?;
                assert_eq!(context.scratch()?, scratch);
                made.lock().unwrap().push(scratch.to_path_buf());
                assert!(context.rank() >= 1 && context.cores() >= 1 && context.attempt() == 1);
                assert_eq!(context.task(), context.indices()[0] * 3 + context.indices()[1]);
                assert!(!context.is_cancelled());
                let place = format!("{:?}", context.coordinates());
                Ok((context.indices(), context.seed(), context.attempt(), place))
            })
            .reduce(|runs: &Runs<Seen>| runs.iter().map(|(_, run)| run.clone()).collect::<Vec<_>>())
    };
    let one = run(study(made.clone()), 1).unwrap();
    let seen = values(&one).into_iter().flat_map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(seen.iter().map(|(indices, ..)| indices[1]).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
    assert_eq!(seen[4].3, r#"[("site", Text("south")), ("repeat", Int(1))]"#);
    let seeds = seen.iter().map(|(_, seed, ..)| *seed).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(seeds.len(), 6, "every task has a seed of its own");
    assert_eq!(values(&one), values(&run(study(made.clone()), 2).unwrap()), "on any thread");
    let other = values(&run(study(made).seed(7), 2).unwrap());
    assert_ne!(values(&one)[0].as_ref().unwrap()[0].1, other[0].as_ref().unwrap()[0].1);
    let folders = folders.lock().unwrap();
    assert_eq!(folders.len(), 18);
    assert!(folders.iter().all(|folder| !folder.exists()), "scratch folders go with their tasks");
}

#[test]
fn the_logger_says_which_task_speaks() {
    struct Lines(Mutex<Vec<String>>);
    impl log::Log for Lines {
        fn enabled(&self, _: &log::Metadata) -> bool {
            true
        }
        fn log(&self, record: &log::Record) {
            self.0.lock().unwrap().push(record.args().to_string());
        }
        fn flush(&self) {}
    }
    static LINES: Lines = Lines(Mutex::new(Vec::new()));
    log::set_logger(&LINES).unwrap(); // nextest runs every test in its own process
    log::set_max_level(log::LevelFilter::Info);
    let study = Nest::new()
        .each("kernel", ["rbf".to_string()])
        .each("width", [0.5])
        .crunch(|(kernel, _), context| {
            log::info!(logger: context.logger(), "{} letters", kernel.len());
            Ok(())
        })
        .reduce(|_: &Runs<()>| ());
    run(study, 1).unwrap();
    let lines = LINES.0.lock().unwrap();
    let line = "task 0: kernel rbf, width 0.5: 3 letters";
    assert!(lines.iter().any(|found| found == line), "{lines:?}");
}

#[test]
fn a_process_loads_a_data_set_once_for_all_its_threads_and_keeps_the_last_few() {
    let loads = Arc::new(Mutex::new(Vec::new()));
    let study = |keep: usize| {
        let loads = loads.clone();
        Nest::new()
            .each("pass", 0..2)
            .load("file", (0..3).map(|i| format!("{i}.csv")), move |name: &String| {
                loads.lock().unwrap().push(name.clone());
                std::thread::sleep(Duration::from_millis(20));
                Ok(name.len())
            })
            .each("param", 0..8)
            .crunch(|(_, data, _), _| Ok(*data))
            .reduce(|runs: &Runs<usize>| runs.iter().map(|(_, run)| run).sum::<usize>())
            .keep(keep)
    };
    assert_eq!(values(&run(study(3), 4).unwrap()), vec![Ok(40); 6]);
    let mut loaded = std::mem::take(&mut *loads.lock().unwrap());
    loaded.sort();
    assert_eq!(loaded, ["0.csv", "1.csv", "2.csv"], "once each, though four threads wanted it");
    run(study(1), 1).unwrap();
    let loaded = std::mem::take(&mut *loads.lock().unwrap());
    assert_eq!(loaded.len(), 6, "one is kept, so each pass loads them again: {loaded:?}");
}

#[test]
fn a_data_set_that_cannot_be_loaded_costs_its_own_runs() {
    let study = Nest::new()
        .load("file", ["good".to_string(), "bad".to_string()], |name: &String| {
            match name.as_str() {
                "good" => Ok(1),
                _ => Err(format!("{name}: no such file").into()),
            }
        })
        .each("param", 0..2)
        .crunch(|(data, param), _| Ok(data + param))
        .reduce(|runs: &Runs<i32>| runs.iter().map(|(_, run)| run).sum::<i32>());
    let outcome = run(study, 2).unwrap();
    assert_eq!(values(&outcome)[0], Ok(3));
    let runs = outcome.runs(&outcome.summaries[1]).unwrap();
    assert_eq!(runs, vec![Err("not loaded: bad: no such file".to_string()); 2]);
}

#[test]
fn threads_share_rank_0s_data_sets_without_a_copy() {
    let study = Nest::new()
        .data("dataset", || Ok(vec![vec![0u8; 1 << 20]; 2]))
        .each("param", 0..50)
        .crunch(|(data, _), _| Ok(data.as_ptr() as usize))
        .reduce(|runs: &Runs<usize>| {
            let mut places = runs.iter().map(|(_, place)| *place).collect::<Vec<_>>();
            places.dedup();
            places.len()
        });
    let outcome = run(study, 4).unwrap();
    assert_eq!(values(&outcome), [Ok(1), Ok(1)]);
    assert!(outcome.traffic().1 < 1 << 20, "{:?}", outcome.traffic());
}

#[test]
fn summarize_runs_on_rank_0_or_on_the_workers_with_the_same_results() {
    let study = || {
        Nest::new()
            .each("a", 0..4)
            .each("b", 0..3)
            .each("c", 0..5)
            .crunch(|(a, b, c), _| Ok(a * b + c))
            .reduce(|runs: &Runs<i32>| {
                let sum = runs.iter().map(|(_, run)| run).sum::<i32>();
                (sum, std::thread::current().name().unwrap_or("").to_string())
            })
            .reduce(|sums: &Runs<(i32, String)>| {
                let by_workers = sums.iter().filter(|(_, (_, name))| name.starts_with("rank "));
                (sums.iter().map(|(_, (sum, _))| sum).sum::<i32>(), by_workers.count())
            })
    };
    let here = values(&run(study(), 2).unwrap());
    let there = values(&run(study().reduce_on_workers(), 2).unwrap());
    for (a, (here, there)) in here.iter().zip(&there).enumerate() {
        let (sum, by_workers) = here.clone().unwrap();
        assert_eq!((sum, by_workers), (30 + 15 * a as i32, 0));
        assert_eq!(there.clone().unwrap(), (sum, 3));
    }
}

#[test]
fn a_summarize_that_panics_leaves_its_group_incomplete() {
    for on_workers in [false, true] {
        let mut study =
            Nest::new().each("a", 0..3).each("b", 0..2).crunch(|(a, b), _| Ok(a + b)).reduce(
                |runs: &Runs<i32>| {
                    assert!(runs.coordinates()[0].1 != Value::Int(1), "no summary of this");
                    runs.len()
                },
            );
        if on_workers {
            study = study.reduce_on_workers();
        }
        let outcome = run(study, 2).unwrap();
        let why = "summarize panicked: no summary of this".to_string();
        assert_eq!(values(&outcome), [Ok(2), Err(why), Ok(2)]);
        assert_eq!(outcome.failed(), 0);
    }
}

#[test]
fn a_result_too_large_for_a_row_lies_beside_the_store() {
    let study = Nest::new()
        .each("size", [10usize, 17 << 20])
        .crunch(|(size,), _| Ok(vec![7u8; *size]))
        .reduce(|runs: &Runs<Vec<u8>>| runs.iter().map(|(_, run)| run.len()).sum::<usize>());
    let outcome = run(study, 1).unwrap();
    assert_eq!(values(&outcome), [Ok(10 + (17 << 20))]);
    let runs = outcome.runs(&outcome.summaries[0]).unwrap();
    assert!(runs[0] == Ok(vec![7; 10]) && runs[1] == Ok(vec![7; 17 << 20]));
    assert_eq!(outcome.folder().join("large").read_dir().unwrap().count(), 1);
    let folder = outcome.folder().to_path_buf();
    drop(outcome);
    assert!(!folder.exists(), "a temporary folder goes with its outcome");
}

#[test]
fn a_damaged_large_value_is_whole_again_once_it_is_computed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let study = Nest::new()
            .each("size", [17usize << 20])
            .crunch(|(size,), _| Ok(vec![7u8; *size]))
            .reduce(|runs: &Runs<Vec<u8>>| runs.iter().map(|(_, run)| run.len()).sum::<usize>());
        study.run(&Settings::default().threads(1).out(folder.path())).map(Option::unwrap)
    };
    drop(start().unwrap());
    let large = folder.path().join("large").read_dir().unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&large).unwrap();
    std::fs::write(&large, &whole[1..]).unwrap();
    let refused = start().err().unwrap().to_string();
    assert!(refused.contains("damaged") && refused.contains("DELETE FROM runs"), "{refused}");
    sql_rows(&folder.path().join("runs.sqlite"), "DELETE FROM runs WHERE key = 0");
    let outcome = start().unwrap();
    assert_eq!(outcome.runs(&outcome.summaries[0]).unwrap(), [Ok(vec![7; 17 << 20])]);
    assert!(std::fs::read(&large).unwrap() == whole);
}

#[test]
fn a_second_run_computes_only_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let study = |data: &[f64], params: &[f64], version: &str| {
        let (data, params, calls) = (data.to_vec(), params.to_vec(), calls.clone());
        Nest::new()
            .data("data", move || Ok(data.iter().map(|x| vec![*x; 1000]).collect::<Vec<_>>()))
            .each("param", params)
            .crunch(move |(data, param), _| {
                calls.lock().unwrap().push((data[0], *param));
                Ok((data[0] * param, f64::INFINITY))
            })
            .reduce(|runs: &Runs<(f64, f64)>| runs.max_by(|run| run.0).map(|(i, run)| (i, *run)))
            .version(version)
    };
    let called = || {
        let mut called = std::mem::take(&mut *calls.lock().unwrap());
        called.sort_by(|a, b| a.partial_cmp(b).unwrap());
        called
    };
    let settings = Settings::default().threads(2).out(folder.path());
    let run = |study: Study<_, _>, settings: &Settings| study.run(settings).map(Option::unwrap);
    run(study(&[1.0, 2.0], &[3.0, 4.0], "1"), &settings).unwrap();
    assert_eq!(called().len(), 4);
    let again = run(study(&[1.0, 2.0], &[3.0, 4.0], "1"), &settings).unwrap();
    assert_eq!(called(), []);
    assert_eq!(values(&again)[1], Ok(Some((1, (8.0, f64::INFINITY)))));
    assert_eq!(again.runs(&again.summaries[0]).unwrap()[1], Ok((4.0, f64::INFINITY)));
    let grown = run(study(&[5.0, 2.0], &[4.0, 6.0, 3.0], "1"), &settings).unwrap();
    assert_eq!(called(), [(2.0, 6.0), (5.0, 3.0), (5.0, 4.0), (5.0, 6.0)]);
    assert_eq!(values(&grown)[1], Ok(Some((1, (12.0, f64::INFINITY)))));
    let back = run(study(&[1.0, 2.0], &[3.0, 4.0], "1"), &settings).unwrap();
    assert_eq!(called(), [], "what had no place for a while was kept");
    assert_eq!(values(&back), values(&again));

    let error = run(study(&[1.0, 2.0], &[3.0, 4.0], "2"), &settings).map(drop).unwrap_err();
    assert!(error.to_string().contains("version \"1\"` to `Rust, version \"2\""), "{error}");
    run(study(&[1.0, 2.0], &[3.0, 4.0], "2"), &settings.clone().keep()).unwrap();
    assert_eq!(called(), []);
    run(study(&[1.0, 2.0], &[3.0, 4.0], "3"), &settings.clone().fresh()).unwrap();
    assert_eq!(called().len(), 4);
    for file in ["runs.sqlite", "summary.json", "earlier-1/runs.sqlite"] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
    let store = rusqlite::Connection::open(folder.path().join("runs.sqlite")).unwrap();
    let sql = "SELECT group_concat(data || '*' || param) FROM all_runs";
    let runs: String = store.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(runs, "0*3.0,0*4.0,1*3.0,1*4.0");
}

#[test]
fn expensive_summaries_are_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let settings = Settings::default().threads(2).out(folder.path());
    let run = |on_workers: bool, fail: bool| {
        let calls = calls.clone();
        let mut study = Nest::new()
            .each("a", 0..3)
            .each("b", 0..2)
            .crunch(
                move |(a, b), _| {
                    if fail && (*a, *b) == (1, 1) { Err("no".into()) } else { Ok(a + b) }
                },
            )
            .reduce(move |runs: &Runs<i32>| {
                calls.fetch_add(1, Ordering::Relaxed);
                runs.iter().map(|(_, run)| run).sum::<i32>()
            })
            .require(0.5);
        if on_workers {
            study = study.reduce_on_workers();
        }
        values(&study.run(&settings).unwrap().unwrap())
    };
    for on_workers in [true, false] {
        assert_eq!(run(on_workers, true), [Ok(1), Ok(1), Ok(5)]);
        assert_eq!(calls.swap(0, Ordering::Relaxed), 3);
        assert_eq!(run(on_workers, false), [Ok(1), Ok(3), Ok(5)], "the failed one is tried again");
        assert_eq!(calls.swap(0, Ordering::Relaxed), 1, "and its group alone is summarised");
        assert_eq!(run(on_workers, true), [Ok(1), Ok(3), Ok(5)]);
        assert_eq!(calls.swap(0, Ordering::Relaxed), 0);
        std::fs::remove_file(folder.path().join("runs.sqlite")).unwrap();
    }
}

#[test]
fn wrong_studies_are_refused_before_anything_is_crunched() {
    fn refusal<R, S>(study: Study<R, S>) -> String
    where
        R: Serialize + serde::de::DeserializeOwned + 'static,
        S: Serialize + serde::de::DeserializeOwned + 'static,
    {
        let error = study.run(&Settings::default()).map(drop).unwrap_err();
        assert_eq!(error.exit, gridmpi::Exit::BadInput, "{error}");
        error.to_string()
    }
    #[derive(Serialize, Deserialize)]
    struct Odd {
        #[serde(flatten)]
        more: std::collections::BTreeMap<String, f64>,
    }
    let never = |_: (&i32,), _: &Context| -> gridmpi::Result<i32> { panic!("was crunched") };
    let count = |runs: &Runs<i32>| runs.len() as i32;
    let one = |name: &str| Nest::new().each(name, 0..2).crunch(never).reduce(count);

    assert!(refusal(one("a b")).contains("\"a b\" is no name for a loop"));
    assert!(refusal(one("score")).contains("'score' is a column of every run"));
    assert!(refusal(one("x").name("../x")).contains("names no folder"));
    assert!(refusal(one("x").require(0.0)).contains("over 0 and up to 1"));
    assert!(refusal(one("x").reduce(count)).contains("2 reduces are more than the 1 loops"));
    let empty = Nest::new().each("x", 0..0).crunch(never).reduce(count);
    assert_eq!(refusal(empty), "loop 'x' has no points");
    let twice = Nest::new().each("x", 0..2).each("x", 0..2);
    let twice = twice.crunch(|_, _| Ok(1)).reduce(count);
    assert_eq!(refusal(twice), "there is a loop 'x' already");
    let none = Nest::new().data("data", || Err::<Vec<i32>, _>("disk on fire".into()));
    let none = none.crunch(never).reduce(count);
    let why = "the data sets of loop 'data' cannot be made: disk on fire";
    assert_eq!(refusal(none), why);
    let odd = Odd { more: [("a".to_string(), 1.0)].into() };
    let odd = Nest::new().each("odd", [odd]).crunch(|_, _| Ok(1)).reduce(count);
    let why = refusal(odd);
    assert!(why.contains("loop 'odd', point 0") && why.contains("flatten"), "{why}");
}

#[test]
fn points_that_json_has_no_number_for_are_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let start = || {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        let study = Nest::new()
            .each("x", [f64::NEG_INFINITY, -0.0, f64::INFINITY])
            .crunch(move |(x,), _| {
                count.fetch_add(1, Ordering::Relaxed);
                Ok(x.to_bits())
            })
            .reduce(|runs: &Runs<u64>| runs.iter().map(|(_, run)| *run).collect::<Vec<u64>>());
        let outcome = study.run(&Settings::default().out(&out)).unwrap().unwrap();
        (calls.load(Ordering::Relaxed), outcome.summaries[0].value.clone())
    };
    let bits = vec![f64::NEG_INFINITY.to_bits(), (-0.0f64).to_bits(), f64::INFINITY.to_bits()];
    assert_eq!(start(), (3, Ok(bits.clone())));
    assert_eq!(start(), (0, Ok(bits)));
    assert!(!out.join("superseded-1").exists(), "the job is the same");
}

/// Panics when it is serialized.
struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("do not write me")
    }
}

impl<'de> serde::Deserialize<'de> for Unwritable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Unwritable, D::Error> {
        Ok(Unwritable)
    }
}

#[test]
fn points_and_data_that_cannot_be_written_are_refused_in_words() {
    let sum = |runs: &Runs<u8>| runs.len();
    let values = Nest::new().each("x", [Unwritable]).crunch(|_, _| Ok(1u8)).reduce(sum);
    let data = Nest::new().data("x", || Ok(vec![Unwritable])).crunch(|_, _| Ok(1u8)).reduce(sum);
    for study in [values, data] {
        let error = study.run(&Settings::default()).err().unwrap();
        assert_eq!(error.exit, gridmpi::Exit::BadInput);
        let said = error.to_string();
        assert!(said.contains("loop 'x' panicked: do not write me"), "{said}");
    }
}

#[test]
fn a_field_called_score_that_is_no_number_is_the_users_affair() {
    #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Game {
        score: (u8, u8),
    }
    let outcome = Nest::new()
        .each("half", [1, 2])
        .crunch(|(half,), _| Ok(Game { score: (*half, 0) }))
        .reduce(|runs: &Runs<Game>| runs.get(1).cloned())
        .run(&Settings::default())
        .unwrap()
        .unwrap();
    assert_eq!(outcome.summaries[0].value, Ok(Some(Game { score: (2, 0) })));
}

#[test]
fn the_final_function_gets_each_row_with_its_data_and_is_called_again_for_what_has_changed() {
    let (calls, folder) = (Arc::new(AtomicUsize::new(0)), tempfile::tempdir().unwrap());
    let study = |data: Vec<f64>, version: &str| {
        let calls = calls.clone();
        Nest::new()
            .data("dataset", move || Ok(data))
            .each("way", ["plain".to_string(), "odd".to_string()])
            .each("power", 1..4)
            .crunch(|(data, _, power), _| Ok(data.powi(*power)))
            .reduce(|runs: &Runs<f64>| runs.max_by(|run| *run).map(|(best, _)| best))
            .finally(move |row: &Row<Option<usize>>| {
                calls.fetch_add(1, Ordering::Relaxed);
                let (data, way) = (row.point::<f64>("dataset")?, row.point::<String>("way")?);
                let wrong = [row.point::<f64>("power").is_err(), row.point::<i32>("way").is_err()];
                assert_eq!(wrong, [true, true]);
                if *way == "odd" && *data < 1.0 {
                    return Err("too small".into());
                }
                std::fs::write(row.folder().join("best"), format!("{:?}", row.summary()))?;
                Ok((*data, row.coordinates().len(), row.seed()))
            })
            .version(version)
    };
    let start = |data: &[f64], version: &str| {
        let settings = Settings::default().threads(2).out(folder.path());
        let outcome = study(data.to_vec(), version).run(&settings).unwrap().unwrap();
        let made = |summary| outcome.finally::<(f64, usize, u32)>(summary).unwrap().unwrap();
        let made: Vec<_> = outcome.summaries.iter().map(made).collect();
        (made, calls.swap(0, Ordering::Relaxed))
    };
    let (made, called) = start(&[2.0, 0.5], "1");
    assert_eq!(called, 4);
    let (data, loops, seed) = made[0].clone().unwrap();
    assert_eq!((data, loops), (2.0, 2));
    assert_ne!(seed, made[1].clone().unwrap().2, "each row has a seed of its own");
    assert_eq!(made[3], Err("too small".to_string()));
    let saved = folder.path().join("final/dataset=0,way=plain/best");
    assert_eq!(std::fs::read_to_string(saved).unwrap(), "Some(2)");
    // The one that has failed is tried again; then a data set has other content.
    assert_eq!(start(&[2.0, 0.5], "1"), (made.clone(), 1));
    let (changed, called) = start(&[2.0, 3.0], "1");
    assert_eq!(
        (called, changed[0].clone(), changed[3].clone().unwrap().0),
        (2, made[0].clone(), 3.0)
    );
}

#[test]
fn a_final_function_that_crashes_costs_its_row_nothing_and_is_the_last_step() {
    let nest = || Nest::new().each("a", 0..3).each("b", 0..2).crunch(|(a, b), _| Ok(a + b));
    let study = nest().reduce(|runs: &Runs<i32>| runs.len()).finally(|row: &Row<usize>| match row
        .coordinates()[0]
        .1
    {
        Value::Int(1) => panic!("it breaks"),
        _ => Ok(*row.summary()),
    });
    let outcome = run(study, 2).unwrap();
    let made = |i: usize| outcome.finally::<usize>(&outcome.summaries[i]).unwrap();
    assert_eq!((made(0), outcome.summaries[1].value.clone()), (Some(Ok(2)), Ok(2)));
    assert!(made(1).unwrap().unwrap_err().contains("it breaks"));
    let early = nest()
        .reduce(|runs: &Runs<i32>| runs.len())
        .finally(|row: &Row<usize>| Ok(*row.summary()))
        .reduce(|runs: &Runs<usize>| runs.len());
    let why = run(early, 2).err().unwrap().to_string();
    assert!(why.contains("after the last reduce"), "{why}");
}
