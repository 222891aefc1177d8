//! The dictionary that a study's ranks share, here among threads; tests/studies_over_mpi.rs tests it among
//! ranks.

use std::time::{Duration, Instant};

use gridmpi::{Dictionary, Nest, Runs, Settings};
use proptest::prelude::*;

fn texts(runs: &Runs<String>) -> Vec<String> {
    runs.iter().map(|(_, run)| run.clone()).collect()
}

#[test]
fn tasks_hand_values_to_each_other() {
    // Tasks 0 and 1 wait for each other's values in turn.
    let study = Nest::new()
        .each("part", 0..2u64)
        .crunch(|(task,), context| {
            let balls = context.dictionary::<(u64, u64), String>("balls");
            let mut ball = "ball".to_string();
            for round in 0..20 {
                if *task == 0 {
                    balls.put(&(round, 1), &format!("{ball}."))?;
                    ball = balls.take(&(round, 0))?;
                } else {
                    ball = balls.take(&(round, 1))?;
                    balls.put(&(round, 0), &format!("{ball}!"))?;
                }
            }
            Ok(ball)
        })
        .reduce(texts);
    let outcome = study.run(&Settings::default().threads(2)).unwrap().unwrap();
    let [zero, one] = &outcome.summaries[0].value.clone().unwrap()[..] else { panic!() };
    assert_eq!(*zero, format!("ball{}", ".!".repeat(20)));
    assert_eq!(*one, format!("ball{}.", ".!".repeat(19)));
}

#[test]
fn threads_of_one_crunch_hand_values_to_each_other() {
    let study = Nest::new()
        .each("part", 0..3)
        .crunch(|_, context| {
            let balls = context.dictionary::<u64, u64>("balls");
            std::thread::scope(|scope| {
                let back = scope.spawn(|| {
                    for round in 0..50 {
                        balls.put(&(2 * round + 1), &(balls.take(&(2 * round))? + 1))?;
                    }
                    Ok::<_, gridmpi::Error>(())
                });
                let mut ball = 0;
                for round in 0..50 {
                    balls.put(&(2 * round), &ball)?;
                    ball = balls.take(&(2 * round + 1))?;
                }
                back.join().expect("no panic")?;
                Ok(ball.to_string())
            })
        })
        .reduce(texts);
    let begin = Instant::now();
    let outcome = study.run(&Settings::default().threads(1)).unwrap().unwrap();
    assert_eq!(outcome.summaries[0].value, Ok(vec!["50".to_string(); 3]));
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
}

#[test]
fn the_laws_hold_over_the_line_and_names_are_apart() {
    let study = Nest::new()
        .each("part", 0..1)
        .crunch(|_, context| {
            let numbers = context.dictionary::<String, f64>("numbers");
            let others = context.dictionary::<String, f64>("others");
            let key = "a".to_string();
            assert!(!numbers.is_ready(&key)? && numbers.try_take(&key)?.is_none());
            assert!(!numbers.wait_for(&key, Duration::from_millis(20))?);
            numbers.put(&key, &1.0)?;
            numbers.put(&key, &f64::INFINITY)?;
            assert!(numbers.is_ready(&key)? && !others.is_ready(&key)?);
            assert!(numbers.wait_for(&key, Duration::from_secs(60))?);
            numbers.wait(&key)?;
            assert_eq!(
                (numbers.fetch(&key)?, numbers.try_fetch(&key)?),
                (f64::INFINITY, Some(f64::INFINITY))
            );
            assert_eq!(numbers.take(&key)?, f64::INFINITY);
            assert!(!numbers.is_ready(&key)?);
            Ok("done".to_string())
        })
        .reduce(texts);
    let outcome = study.run(&Settings::default().threads(1)).unwrap().unwrap();
    assert_eq!(outcome.summaries[0].value, Ok(vec!["done".to_string()]));
}

#[test]
fn a_wait_ends_when_nobody_is_left_to_put() {
    let begin = Instant::now();
    let study = Nest::new()
        .each("part", 0..5)
        .crunch(|(task,), context| {
            let never = context.dictionary::<i32, i32>("never");
            match task {
                1 | 3 => Ok(never.take(task)?.to_string()),
                _ => Ok("done".to_string()),
            }
        })
        .reduce(texts)
        .require(0.5);
    let outcome = study.run(&Settings::default().threads(3)).unwrap().unwrap();
    assert_eq!(outcome.summaries[0].failed, 2);
    let runs = outcome.runs(&outcome.summaries[0]).unwrap();
    let why = runs[1].clone().unwrap_err();
    assert!(why.contains("no worker is left to put one"), "{why}");
    assert!(begin.elapsed() > Duration::from_secs(60), "{:?}", begin.elapsed());
}

#[test]
fn a_wait_goes_on_while_its_crunch_does() {
    // Worker 1 gets the tasks 0 and 1 in one message, and 0 is reported while 1 still waits.
    let study = Nest::new()
        .each("part", 0..4u64)
        .crunch(|(task,), context| {
            let values = context.dictionary::<u64, String>("values");
            match task {
                1 => return values.take(&1).map_err(Into::into),
                2 => {
                    std::thread::sleep(Duration::from_secs(1));
                    values.put(&1, &"late".to_string())?;
                }
                _ => {}
            }
            Ok(task.to_string())
        })
        .reduce(texts);
    let outcome = study.run(&Settings::default().threads(2).batch(2)).unwrap().unwrap();
    let values = ["0", "late", "2", "3"].map(String::from);
    assert_eq!(outcome.summaries[0].value, Ok(values.to_vec()));
}

#[test]
fn a_wait_goes_on_while_a_thread_of_its_crunch_does() {
    let study = Nest::new()
        .each("part", 0..2u64)
        .crunch(|(task,), context| {
            let values = context.dictionary::<u64, u64>("values");
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // Longer than a wait goes on where nobody is left to put.
                    std::thread::sleep(Duration::from_secs(63));
                    values.put(task, &7).expect("it is open")
                });
                Ok(values.take(task)?.to_string())
            })
        })
        .reduce(texts);
    let outcome = study.run(&Settings::default().threads(2)).unwrap().unwrap();
    assert_eq!(outcome.summaries[0].value, Ok(vec!["7".to_string(); 2]));
}

#[test]
fn a_wait_goes_on_while_the_program_on_rank_0_computes() {
    let study = Nest::new()
        .each("part", 0..2u64)
        .crunch(|(task,), context| {
            Ok(context.dictionary::<u64, u64>("values").take(task)?.to_string())
        })
        .reduce(texts);
    let values = study.dictionary::<u64, u64>("values");
    let program = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(63));
        for task in [0, 1] {
            values.put(&task, &7).expect("it is open");
        }
    });
    let outcome = study.run(&Settings::default().threads(2)).unwrap().unwrap();
    assert_eq!(outcome.summaries[0].value, Ok(vec!["7".to_string(); 2]));
    program.join().unwrap();
}

#[test]
fn rank_0_puts_before_hears_during_and_takes_after() {
    let study = Nest::new()
        .each("group", 0..4u64)
        .each("repeat", 0..3u64)
        .crunch(|(group, _), context| {
            // Each group starts with the value that rank 0 computed from the previous one.
            Ok(context.dictionary::<u64, u64>("starts").fetch(group)? + 1)
        })
        .reduce(|runs: &Runs<u64>| runs.iter().map(|(_, run)| run).sum::<u64>());
    let starts = study.dictionary::<u64, u64>("starts");
    starts.put(&0, &10).unwrap();
    let next = study.dictionary::<u64, u64>("starts");
    let study = study.on_summary(move |summary| {
        next.put(&(summary.indices[0] + 1), &summary.value?)?;
        Ok(())
    });
    let outcome = study.run(&Settings::default().threads(2)).unwrap().unwrap();
    let values: Vec<_> = outcome.summaries.iter().map(|summary| summary.value.clone()).collect();
    assert_eq!(values, [Ok(33), Ok(102), Ok(309), Ok(930)]);
    assert_eq!(starts.take(&4).unwrap(), 930);
    assert!(starts.take(&5).is_err(), "nothing is put any more");
    assert!(starts.put(&5, &1).is_err());
}

#[derive(Clone, Debug)]
enum Deed {
    Put(u8, i32),
    Take(u8),
    Fetch(u8),
    IsReady(u8),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let one = prop_oneof![
        (0u8..4, any::<i32>()).prop_map(|(key, value)| Deed::Put(key, value)),
        (0u8..4).prop_map(Deed::Take),
        (0u8..4).prop_map(Deed::Fetch),
        (0u8..4).prop_map(Deed::IsReady),
    ];
    prop::collection::vec(one, 0..60)
}

proptest! {
    #[test]
    fn a_dictionary_is_a_map(deeds in deeds()) {
        let dictionary = Dictionary::new();
        let mut map = std::collections::HashMap::new();
        for deed in deeds {
            match deed {
                Deed::Put(key, value) => {
                    prop_assert_eq!(dictionary.put(key, value).unwrap(), map.insert(key, value));
                }
                Deed::Take(key) => prop_assert_eq!(dictionary.try_take(&key), map.remove(&key)),
                Deed::Fetch(key) => {
                    prop_assert_eq!(dictionary.try_fetch(&key), map.get(&key).copied());
                }
                Deed::IsReady(key) => {
                    prop_assert_eq!(dictionary.is_ready(&key), map.contains_key(&key));
                }
            }
        }
    }
}

#[test]
fn everything_that_is_put_is_taken_once_by_somebody() {
    let dictionary = Dictionary::new();
    let takers: Vec<_> = (0..4)
        .map(|_| {
            let dictionary = dictionary.clone();
            std::thread::spawn(move || {
                let mut taken = Vec::new();
                while let Ok(value) = dictionary.take(&"next") {
                    taken.push(value);
                    dictionary.put("free", 0).unwrap();
                }
                taken
            })
        })
        .collect();
    for value in 0..1000 {
        dictionary.put("next", value).unwrap();
        dictionary.take(&"free").unwrap();
    }
    dictionary.close();
    let mut taken: Vec<_> = takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect();
    taken.sort_unstable();
    assert_eq!(taken, (0..1000).collect::<Vec<_>>());
}
