//! Jobs over a line that is slow: it is not taken for dead, and small messages do not wait for long ones. Each
//! transfer takes longer than a worker's lease (10 s) or than rank 0's (30 s).

mod common;

#[path = "common/hosts.rs"]
mod hosts;

#[path = "common/ranks.rs"]
mod ranks;

use std::time::{Duration, Instant};

use common::Ran;
use gridmpi::{Nest, Runs};
use hosts::Hosts;
use ranks::{RANK, is_rank, play, said};

/// Runs the named test of this file with rank 0 behind a line of this rate. `None` where there are no such lines.
fn behind_a_line(rate: &str, workers: &[(&str, usize)], test: &str) -> Option<(Ran, Duration)> {
    let hosts = Hosts::with_slow_line(1 + workers.len(), rate)?;
    let mut command = hosts.mpirun(workers, &format!("{RANK}=1"));
    command.arg(std::env::current_exe().unwrap());
    let begin = Instant::now();
    let ran = ranks::start(command, test).exits(0);
    for words in ["silent", "come back", "cannot be reached"] {
        assert!(!ran.stderr.contains(words), "{}", ran.stderr);
    }
    Some((ran, begin.elapsed()))
}

/// A text of 10 MB, say, that is different for each number.
fn text(number: usize, length: usize) -> String {
    let digits = (0..10).map(|i| char::from(b'a' + ((number + i) % 26) as u8)).collect::<String>();
    digits.repeat(length / 10)
}

#[test]
fn results_that_take_longer_than_a_lease_lose_no_worker() {
    let test = "results_that_take_longer_than_a_lease_lose_no_worker";
    if !is_rank() {
        let workers = [("gm2", 3), ("gm3", 3), ("gm4", 2)];
        let Some((ran, took)) = behind_a_line("20mbit", &workers, test) else { return };
        assert_eq!(said(&ran), "8 runs at the first attempt");
        assert!(took > Duration::from_secs(30), "the line was not slow: {took:?}");
        return;
    }
    let study = Nest::new()
        .each("param", 0..8usize)
        .crunch(|(param,), context| Ok((context.attempt(), text(*param, 10_000_000))))
        .reduce(|runs: &Runs<(u32, String)>| {
            runs.iter().filter(|(i, run)| run.0 == 1 && run.1 == text(*i, 10_000_000)).count()
        });
    play(study, |outcome| {
        let right = outcome.summaries[0].value.clone().unwrap();
        let (messages, bytes) = outcome.traffic();
        assert!(bytes < 90_000_000, "{bytes} bytes in {messages} messages");
        format!("{right} runs at the first attempt")
    });
}

#[test]
fn data_sets_that_take_longer_than_a_lease_lose_no_worker() {
    let test = "data_sets_that_take_longer_than_a_lease_lose_no_worker";
    if !is_rank() {
        let workers = [("gm2", 2), ("gm3", 1)];
        let Some((ran, took)) = behind_a_line("20mbit", &workers, test) else { return };
        assert_eq!(said(&ran), "15 runs at the first attempt");
        assert!(took > Duration::from_secs(30), "the line was not slow: {took:?}");
        return;
    }
    let study = Nest::new()
        .data("dataset", || Ok((0..3).map(|i| text(i, 30_000_000)).collect::<Vec<String>>()))
        .each("param", 0..5usize)
        .crunch(|(data, param), context| Ok((context.attempt(), data.as_bytes()[*param])))
        .reduce(|runs: &Runs<(u32, u8)>| runs.iter().filter(|(_, run)| run.0 == 1).count());
    play(study, |outcome| {
        let right = outcome.summaries.iter().map(|row| row.value.clone().unwrap()).sum::<usize>();
        format!("{right} runs at the first attempt")
    });
}

#[test]
fn a_job_that_takes_longer_than_rank_0s_lease_arrives_once() {
    const LENGTH: usize = 50_000;
    let test = "a_job_that_takes_longer_than_rank_0s_lease_arrives_once";
    if !is_rank() {
        let workers = [("gm2", 1), ("gm3", 1)];
        let Some((ran, took)) = behind_a_line("4mbit", &workers, test) else { return };
        assert_eq!(said(&ran), "100 runs at the first attempt");
        assert!(took > Duration::from_secs(38), "the line was not slow: {took:?}");
        return;
    }
    let study = Nest::new()
        .each("param", (0..100).map(|i| text(i, LENGTH)).collect::<Vec<String>>())
        .crunch(|(param,), context| Ok((context.attempt(), param.len())))
        .reduce(|runs: &Runs<(u32, usize)>| {
            runs.iter().filter(|(_, run)| **run == (1, LENGTH)).count()
        });
    play(study, |outcome| {
        // The job has each point in its own form and as the store shows it; two workers get it.
        let (messages, bytes) = outcome.traffic();
        let once = 2 * 2 * 100 * LENGTH as u64;
        assert!((once..once * 11 / 10).contains(&bytes), "{bytes} bytes, {messages} messages");
        format!("{} runs at the first attempt", outcome.summaries[0].value.clone().unwrap())
    });
}

/// One worker moves 50 MB to rank 0 and another 50 MB from there, while a third one asks rank 0 small things.
#[test]
fn small_requests_are_answered_soon_on_a_line_that_is_busy() {
    let test = "small_requests_are_answered_soon_on_a_line_that_is_busy";
    if !is_rank() {
        let workers = [("gm2", 1), ("gm3", 1)];
        let Some((ran, took)) = behind_a_line("40mbit", &workers, test) else { return };
        assert!(took > Duration::from_secs(20), "the line was not slow: {took:?}");
        let medians: Vec<f64> =
            said(&ran).split(' ').map(|number| number.parse().unwrap()).collect();
        println!("median answer: {medians:?} s");
        assert!(medians.iter().all(|median| *median < 0.05), "{medians:?} s");
        return;
    }
    let study = Nest::new()
        .each("part", 0..2)
        .crunch(|(part,), context| {
            let texts = context.dictionary::<i32, String>("texts");
            if *part == 0 {
                texts.put(&0, &text(0, 50_000_000))?;
                texts.put(&1, &"half".to_string())?;
                assert!(texts.take(&0)? == text(0, 50_000_000));
                texts.put(&2, &"all".to_string())?;
                return Ok(Vec::new());
            }
            let mut medians = Vec::new();
            for phase in [1, 2] {
                let mut seconds = Vec::new();
                loop {
                    let begin = Instant::now();
                    if texts.is_ready(&phase)? {
                        break;
                    }
                    seconds.push(begin.elapsed().as_secs_f64());
                    std::thread::sleep(Duration::from_millis(20));
                }
                seconds.sort_by(f64::total_cmp);
                assert!(seconds.len() > 50, "{seconds:?}");
                medians.push(seconds[seconds.len() / 2]);
            }
            Ok(medians)
        })
        .reduce(|runs: &Runs<Vec<f64>>| runs.get(1).cloned().unwrap());
    play(study, |outcome| {
        let medians = outcome.summaries[0].value.clone().unwrap();
        medians.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
    });
}
