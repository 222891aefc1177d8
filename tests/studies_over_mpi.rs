//! Studies over real MPI ranks: what is sent between them, how often, and that results equal those on
//! threads. Each test starts itself again under mpirun, as the ranks.

mod common;

#[path = "common/ranks.rs"]
mod ranks;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::{Desk, Ran, mpirun_of};
use gridmpi::{Best, Nest, Outcome, Row, Runs, Settings, Stop};
use ranks::{RANK, is_rank, play, said};

/// The folder in which ranks that wait for each other say that they are there.
const HERE: &str = "GRIDMPI_TEST_HERE";

/// Runs the named test of this file on that many ranks.
fn on_ranks(ranks: usize, test: &str) -> Ran {
    let mut command = mpirun_of(ranks, &std::env::current_exe().unwrap());
    command.env(RANK, "1");
    ranks::start(command, test)
}

#[test]
fn a_data_set_crosses_once_to_each_worker() {
    const SIZE: usize = 100 << 20;
    if !is_rank() {
        let ran = on_ranks(5, "a_data_set_crosses_once_to_each_worker").exits(0);
        let bytes: usize = said(&ran).parse().unwrap();
        assert!((SIZE..=4 * SIZE + (1 << 20)).contains(&bytes), "{bytes} bytes crossed");
        return;
    }
    let study = Nest::new()
        .data("dataset", || Ok(vec![(0..SIZE / 8).map(|i| i as f64).collect::<Vec<f64>>()]))
        .each("param", 0..1000usize)
        .crunch(|(data, param), _| Ok(data[*param * 13_000]))
        .reduce(|runs: &Runs<f64>| runs.iter().map(|(_, run)| run).sum::<f64>());
    play(study, |outcome| {
        assert_eq!(outcome.summaries[0].value, Ok(13_000.0 * 999.0 * 500.0));
        outcome.traffic().1.to_string()
    });
}

#[test]
fn a_rank_keeps_the_last_few_data_sets() {
    if !is_rank() {
        let ran = on_ranks(2, "a_rank_keeps_the_last_few_data_sets").exits(0);
        assert_eq!(said(&ran), "12 data sets crossed");
        return;
    }
    // 3 passes over 4 data sets, of which two are cached: each must be sent again in every pass.
    let study = Nest::new()
        .each("pass", 0..3)
        .data("dataset", || Ok((0..4).map(|i| vec![i; 1 << 20]).collect::<Vec<Vec<u8>>>()))
        .each("repeat", 0..5)
        .crunch(|(_, data, _), _| Ok(data[7]))
        .reduce(|runs: &Runs<u8>| runs.iter().map(|(_, run)| *run).collect::<Vec<u8>>())
        .keep(2);
    play(study, |outcome| {
        for row in &outcome.summaries {
            assert_eq!(row.value, Ok(vec![row.indices[1] as u8; 5]));
        }
        format!("{} data sets crossed", outcome.traffic().1 >> 20)
    });
}

#[test]
fn what_a_rank_loads_does_not_cross_at_all() {
    if !is_rank() {
        let ran = on_ranks(3, "what_a_rank_loads_does_not_cross_at_all").exits(0);
        assert_eq!(said(&ran), "done");
        return;
    }
    let study = Nest::new()
        .load("size", [1usize << 20, 2 << 20], |size| Ok(vec![1u8; *size]))
        .each("param", 0..10)
        .crunch(|(data, _), _| Ok(data.len()))
        .reduce(|runs: &Runs<usize>| runs.iter().map(|(_, run)| run).sum::<usize>());
    play(study, |outcome| {
        let values: Vec<_> = outcome.summaries.iter().map(|row| row.value.clone()).collect();
        assert_eq!(values, [Ok(10 << 20), Ok(20 << 20)]);
        assert!(outcome.traffic().1 < 10_000, "{:?}", outcome.traffic());
        "done".to_string()
    });
}

#[test]
fn dependent_points_are_made_on_rank_0_and_cross_once() {
    const LONG: usize = 100 << 10;
    if !is_rank() {
        let test = "dependent_points_are_made_on_rank_0_and_cross_once";
        let bytes: usize = said(&on_ranks(3, test).exits(0)).parse().unwrap();
        assert!((LONG..5 * LONG).contains(&bytes), "{bytes} bytes crossed");
        return;
    }
    let on_rank_0 = || assert_eq!(std::env::var("OMPI_COMM_WORLD_RANK").unwrap(), "0");
    let study = || {
        Nest::new()
            .each("a", 0..60usize)
            .each_of("text", move |(a,)| {
                on_rank_0();
                Ok((0..a % 3).map(|_| "x".repeat(LONG)).take(1).collect::<Vec<String>>())
            })
            .each_of("b", |(a, text)| Ok((0..a + text.len()).skip(LONG).collect::<Vec<usize>>()))
            .filter(move |(a, _, b)| {
                on_rank_0();
                (*a + *b) % 2 == 0
            })
            .crunch(|(a, text, b), context| {
                assert_eq!(context.coordinates()[2].1.to_string(), b.to_string());
                Ok(a * 1000 + b - text.len())
            })
            .reduce(|runs: &Runs<usize>| runs.iter().map(|(_, run)| *run).collect::<Vec<usize>>())
            .reduce(|texts: &Runs<Vec<usize>>| texts.get(0).cloned())
    };
    play(study(), |outcome| {
        let of =
            |a: usize| (0..a).filter(move |b| (a + b).is_multiple_of(2)).map(move |b| a * 1000 + b);
        let serial = (0..60).filter(|a| a % 3 > 0).map(|a| of(a).collect::<Vec<_>>());
        let serial: Vec<_> = serial.filter(|runs| !runs.is_empty()).map(|r| Ok(Some(r))).collect();
        let found: Vec<_> = outcome.summaries.iter().map(|row| row.value.clone()).collect();
        assert_eq!(found, serial);
        outcome.traffic().1.to_string()
    });
}

#[test]
fn any_rank_puts_and_takes_through_rank_0s_dictionary() {
    if !is_rank() {
        let ran = on_ranks(4, "any_rank_puts_and_takes_through_rank_0s_dictionary").exits(0);
        assert_eq!(said(&ran), "0 1 2 3 4 5 6 7 8 9");
        return;
    }
    // The textbook's remote channel: workers put products under their data set; the worker with the data
    // set's last task takes them all.
    let study = Nest::new()
        .each("dataset", 0..10i64)
        .each("param", [-1i64, 0, 1])
        .crunch(|(dataset, param), context| {
            let channel = context.dictionary::<(i64, i64), i64>("products");
            channel.put(&(*dataset, *param), &(dataset * param))?;
            if *param < 1 {
                return Ok(None);
            }
            let products = [-1, 0, 1].map(|param| channel.take(&(*dataset, param)));
            Ok(products.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().max())
        })
        .reduce(|runs: &Runs<Option<i64>>| runs.get(2).copied().flatten());
    let left = study.dictionary::<(i64, i64), i64>("products");
    play(study, |outcome| {
        assert!(left.try_take(&(3, 1)).unwrap().is_none());
        let values = outcome.summaries.iter().map(|row| row.value.clone().unwrap().unwrap());
        values.map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
    });
}

#[test]
fn ranks_that_wait_for_each_other_are_told_so() {
    if !is_rank() {
        let begin = Instant::now();
        let ran = on_ranks(3, "ranks_that_wait_for_each_other_are_told_so").exits(0);
        assert!(said(&ran).contains("no worker is left to put one"), "{}", ran.stdout);
        assert!(begin.elapsed() > Duration::from_secs(60));
        return;
    }
    let study = Nest::new()
        .each("side", 0..2)
        .crunch(|(side,), context| {
            let dictionary = context.dictionary::<i32, i32>("both take first");
            let taken = dictionary.take(&(1 - side))?;
            dictionary.put(side, &taken)?;
            Ok(taken)
        })
        .reduce(|runs: &Runs<i32>| runs.len());
    play(study, |outcome| outcome.runs(&outcome.summaries[0]).unwrap()[0].clone().unwrap_err());
}

#[test]
fn a_listener_stops_the_ranks() {
    if !is_rank() {
        let begin = Instant::now();
        let ran = on_ranks(4, "a_listener_stops_the_ranks").exits(0);
        assert_eq!(said(&ran), "the study was stopped: enough");
        assert!(begin.elapsed() < Duration::from_secs(30), "the ranks did not notice");
        return;
    }
    let study = Nest::new()
        .each("group", 0..9)
        .each("repeat", 0..2)
        .crunch(|(group, _), context| {
            let begin = Instant::now();
            while *group > 0 && begin.elapsed() < Duration::from_secs(60) {
                if context.is_cancelled() {
                    return Err("cancelled".into());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        })
        .reduce(|_: &Runs<()>| ())
        .on_summary(|_| Err("enough".into()));
    match study.run(&Settings::default()) {
        Ok(outcome) => assert!(outcome.is_none(), "rank 0 has an outcome"),
        Err(error) => println!("rank 0 says: {error}"),
    }
}

#[test]
fn ranks_reduce_if_they_are_to() {
    if !is_rank() {
        let desk = Desk::new();
        let mut command = mpirun_of(4, &std::env::current_exe().unwrap());
        command.env(RANK, "1").env(HERE, desk.path(""));
        let ran = ranks::start(command, "ranks_reduce_if_they_are_to").exits(0);
        let processes: usize = said(&ran).parse().unwrap();
        assert!((2..=3).contains(&processes), "{processes}");
        return;
    }
    let study = Nest::new()
        .each("a", 0..30)
        .each("b", 0..4)
        .crunch(|(a, b), _| Ok(a * b))
        .reduce(|runs: &Runs<i32>| {
            // However slow the others are, a second one reduces: the first waits for it, up to a minute.
            let here = std::env::var_os(HERE).map(PathBuf::from).unwrap();
            std::fs::write(here.join(std::process::id().to_string()), "").unwrap();
            let begin = Instant::now();
            while here.read_dir().unwrap().count() < 2 && begin.elapsed() < Duration::from_secs(60)
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            (runs.iter().map(|(_, run)| run).sum::<i32>(), std::process::id())
        })
        .reduce_on_workers();
    play(study, |outcome| {
        let values = outcome.summaries.iter().map(|row| row.value.clone().unwrap());
        let (sums, mut processes): (Vec<i32>, Vec<u32>) = values.unzip();
        assert_eq!(sums, (0..30).map(|a| 6 * a).collect::<Vec<_>>());
        assert!(!processes.contains(&std::process::id()));
        processes.sort_unstable();
        processes.dedup();
        processes.len().to_string()
    });
}

#[test]
fn wrong_data_is_said_once_and_every_rank_leaves() {
    if !is_rank() {
        let ran = on_ranks(4, "wrong_data_is_said_once_and_every_rank_leaves").exits(0);
        assert_eq!(said(&ran), "the data sets of loop 'data' cannot be made: disk on fire");
        return;
    }
    let study = Nest::new()
        .data("data", || Err::<Vec<i32>, _>("disk on fire".into()))
        .crunch(|(data,), _| Ok(*data))
        .reduce(|runs: &Runs<i32>| runs.len());
    match study.run(&Settings::default()) {
        Ok(outcome) => assert!(outcome.is_none()),
        Err(error) => println!("rank 0 says: {error}"),
    }
}

/// Whether that much memory is free, if the system tells.
fn has_room(bytes: u64) -> bool {
    let told = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = told.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = available.and_then(|kib| kib.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.is_none_or(|kib| kib << 10 >= bytes)
}

#[test]
fn data_sets_and_runs_over_2_gib_cross() {
    const SIZE: usize = (2 << 30) + 17;
    if !is_rank() {
        if !has_room(16 << 30) {
            eprintln!("skipped: it needs 16 GiB of free memory");
            return;
        }
        let ran = on_ranks(2, "data_sets_and_runs_over_2_gib_cross").exits(0);
        let bytes: usize = said(&ran).parse().unwrap();
        assert!(bytes > 2 * SIZE, "{bytes}");
        return;
    }
    /// Bytes that serde handles in one call.
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Blob(#[serde(with = "serde_bytes")] Vec<u8>);
    let study = Nest::new()
        .data("dataset", || Ok(vec![Blob((0..SIZE).map(|i| i as u8).collect())]))
        .crunch(|(data,), _| Ok(Blob(data.0.iter().map(|byte| byte ^ 1).collect())))
        .reduce(|runs: &Runs<Blob>| {
            let run = &runs.get(0)?.0;
            Some((run.len(), run[3], run[SIZE - 1]))
        });
    play(study, |outcome| {
        let value = outcome.summaries[0].value.clone();
        assert_eq!(value, Ok(Some((SIZE, 2, (SIZE - 1) as u8 ^ 1))));
        outcome.traffic().1.to_string()
    });
}

#[test]
fn ranks_skip_what_threads_skip() {
    let study = || {
        Nest::new()
            .data("dataset", || Ok(vec![0.25, 0.75]))
            .each("alpha", (0..20).map(|i| f64::from(i) / 20.0))
            .each("fold", 0..10u32)
            .crunch(|(best, alpha, fold), _| Ok((alpha - best).powi(2) * f64::from(10 + fold)))
            .mean()
            .min()
            .stop(Stop::sure(0.0..=f64::INFINITY))
            .finally(|row: &Row<Best<f64>>| Ok(row.summary().index))
    };
    let rows = |outcome: &Outcome<f64, Best<f64>>| {
        assert!(outcome.skipped() > 200, "{}", outcome.skipped());
        let table = std::fs::read_to_string(outcome.folder().join("summary.csv")).unwrap();
        let runs: Vec<_> = outcome.summaries.iter().map(|row| outcome.runs(row).unwrap()).collect();
        let finals = outcome.summaries.iter().map(|row| outcome.finally::<usize>(row).unwrap());
        let finals: Vec<_> = finals.collect();
        // A long line of one rank can be cut in two by another's.
        let mut hasher = DefaultHasher::new();
        format!("{runs:?} {table}").hash(&mut hasher);
        format!("{finals:?}, {} skipped, {:x}", outcome.skipped(), hasher.finish())
    };
    if is_rank() {
        play(study(), |outcome| rows(&outcome));
        return;
    }
    let ran = on_ranks(4, "ranks_skip_what_threads_skip").exits(0);
    let alone = study().run(&Settings::default()).unwrap().unwrap();
    assert_eq!(said(&ran), rows(&alone));
}
