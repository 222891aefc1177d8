//! Crunch in separate processes: a crash fails one run only.

use std::time::{Duration, Instant};

use gridmpi::{Nest, Row, Runs, Settings, Study};

/// Every kind of failure that a thread cannot survive, but that of a call that does not end.
fn study() -> Study<String, Vec<String>> {
    #[allow(unconditional_recursion)]
    fn deeper(n: u64) -> u64 {
        std::hint::black_box(n + deeper(std::hint::black_box(n + 1)))
    }
    Nest::new()
        .data("data", || Ok(vec!["one".to_string(), "two".to_string()]))
        .each("way", 0..5)
        .crunch(|(data, way), context| {
            println!("noise on stdout");
            let seen = context.dictionary::<(String, i32), i32>("seen");
            let own = (data.clone(), *way);
            seen.put(&own, way)?;
            match way {
                0 => std::process::abort(),
                1 => std::process::exit(3),
                2 => drop(deeper(0)),
                3 => return Err("an ordinary error".into()),
                _ => {}
            }
            Ok(format!("{data} {}", seen.fetch(&own)?))
        })
        .reduce(|runs: &Runs<String>| runs.iter().map(|(_, run)| run.clone()).collect())
        .require(0.1)
        .isolate()
}

#[test]
fn what_takes_a_process_down_costs_one_run() {
    let outcome = study().run(&Settings::default().threads(2)).unwrap().unwrap();
    let words = [
        "the process of crunch ended: signal: 6",
        "the process of crunch ended: exit status: 3",
        "the process of crunch ended: signal: ",
        "an ordinary error",
    ];
    for (summary, data) in outcome.summaries.iter().zip(["one", "two"]) {
        assert_eq!(summary.value, Ok(vec![format!("{data} 4")]));
        let runs = outcome.runs(summary).unwrap();
        for (run, words) in runs.iter().zip(words) {
            let why = run.as_ref().unwrap_err();
            assert!(why.contains(words), "{words}: {why}");
        }
    }
    assert_eq!(outcome.failed(), 8);
}

#[test]
fn a_call_that_takes_too_long_costs_one_run() {
    let begin = Instant::now();
    // The other calls have several tries: any process may be held up.
    let outcome = Nest::new()
        .each("x", 0..6)
        .crunch(|(x,), _| {
            if *x == 2 {
                std::thread::sleep(Duration::from_secs(600));
            }
            Ok(*x)
        })
        .reduce(|runs: &Runs<i32>| runs.iter().map(|(_, run)| *run).collect::<Vec<i32>>())
        .require(0.1)
        .retries(2)
        .isolate()
        .timeout(Duration::from_secs(1))
        .run(&Settings::default().threads(2))
        .unwrap()
        .unwrap();
    let summary = &outcome.summaries[0];
    assert_eq!(summary.value, Ok(vec![0, 1, 3, 4, 5]));
    let why = outcome.runs(summary).unwrap()[2].clone().unwrap_err();
    assert!(why.contains("timed out: it took more than 1 s"), "{why}");
    assert_eq!(outcome.failed(), 1);
    assert!(begin.elapsed() < Duration::from_secs(120), "{:?}", begin.elapsed());
}

#[test]
fn each_worker_has_a_process_for_all_its_runs() {
    let study = Nest::new()
        .each("x", 0..40)
        .crunch(|_, context| {
            // However slowly a process starts, it makes calls: the other's wait for it.
            let here = context.dictionary::<usize, ()>("here");
            here.put(&context.rank(), &())?;
            here.fetch(&(3 - context.rank()))?;
            Ok((std::process::id(), context.rank()))
        })
        .reduce(|runs: &Runs<(u32, usize)>| {
            let mut all: Vec<_> = runs.iter().map(|(_, run)| *run).collect();
            all.sort_unstable();
            all.dedup();
            all
        })
        .isolate();
    let outcome = study.run(&Settings::default().threads(2)).unwrap().unwrap();
    let seen = outcome.summaries[0].value.clone().unwrap();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen.iter().all(|(process, _)| *process != std::process::id()));
}

#[test]
fn a_timeout_needs_a_process_to_end() {
    let study = Nest::new()
        .each("x", 0..2)
        .crunch(|(x,), _| Ok(*x))
        .reduce(|runs: &Runs<i32>| runs.len())
        .timeout(Duration::from_secs(1));
    let error = study.run(&Settings::default()).map(drop).unwrap_err();
    assert!(error.to_string().contains("only the calls of an isolated study"), "{error}");
}

#[test]
fn only_the_first_study_can_be_isolated() {
    let study = || Nest::new().each("x", 0..2).crunch(|(x,), _| Ok(*x));
    let count = |runs: &Runs<i32>| runs.len();
    study().reduce(count).run(&Settings::default()).unwrap();
    let second = study().reduce(count).isolate().run(&Settings::default());
    let error = second.map(drop).unwrap_err();
    assert!(error.to_string().contains("only the first study"), "{error}");
}

#[test]
fn a_final_function_that_takes_its_process_down_costs_no_row() {
    let outcome = Nest::new()
        .data("data", || Ok(vec![1, 2, 3]))
        .each("way", 0..2)
        .crunch(|(data, way), _| Ok(data * way))
        .reduce(|runs: &Runs<i32>| runs.iter().map(|(_, run)| *run).max())
        .finally(|row: &Row<Option<i32>>| match *row.point::<i32>("data")? {
            2 => std::process::abort(),
            data => {
                std::fs::write(row.folder().join("data"), data.to_string())?;
                Ok(data)
            }
        })
        .isolate()
        .run(&Settings::default().threads(2))
        .unwrap()
        .unwrap();
    let made = |at: usize| outcome.finally::<i32>(&outcome.summaries[at]).unwrap().unwrap();
    assert_eq!((made(0), made(2)), (Ok(1), Ok(3)));
    let why = made(1).unwrap_err();
    assert!(why.contains("the process of crunch ended: signal: 6"), "{why}");
    assert_eq!(outcome.summaries[1].value, Ok(Some(2)));
    let saved = outcome.folder().join("final/data=2/data");
    assert_eq!(std::fs::read_to_string(saved).unwrap(), "3");
}
