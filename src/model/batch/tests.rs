//! Batches that are taken apart, and what each part keeps.

use super::*;
use crate::model::run_output::RunOutput;

/// Tasks 10 to 14: numbers, except a failure at 12 and a record at 13.
fn batch() -> RunBatch<'static> {
    let mut runs = RunBatch::default();
    runs.restart(10, 2, 100.0);
    runs.push_numbers(&[0.5, 1.5], 0.25);
    runs.push(Err("no".into()), 1.0);
    runs.put_memory(100);
    runs.push(Ok(Scored { score: Some(3.0), ..Scored::default() }), 0.5);
    runs.push(Ok(Scored::number(4.5)), 0.25);
    runs.put_memory(200);
    runs
}

#[test]
fn a_batch_can_be_taken_apart_anywhere() {
    let whole: Vec<_> = batch().into_results().collect();
    let started: Vec<_> = whole.iter().map(|run| (run.task, run.attempt, run.started)).collect();
    assert_eq!(
        started,
        [(10, 2, 100.0), (11, 2, 100.25), (12, 2, 100.5), (13, 2, 101.5), (14, 2, 102.0)]
    );
    assert_eq!(whole[4].result, Ok(Scored::number(4.5)));
    assert_eq!((batch().first_failure(), batch().ended()), (Some(12), 102.25));
    assert_eq!(batch().stretches().collect::<Vec<_>>(), [(2, 0.25), (1, 1.0), (1, 0.5), (1, 0.25)]);
    for at in 0..=5 {
        let mut owned = batch();
        let mut lender = batch();
        let mut lent = lender.lend();
        for rest in [&mut owned, &mut lent] {
            let first = rest.take_first(at);
            assert!(first.is_valid() && rest.is_valid());
            assert_eq!((first.tasks(), rest.tasks()), (10..10 + at, 10 + at..15));
            let known: Vec<_> = first.memory().chain(rest.memory()).collect();
            assert_eq!(known, [(12, 100), (14, 200)]);
            let parts = first.into_owned().into_results().chain(rest.clone().into_results());
            assert_eq!(parts.collect::<Vec<_>>(), whole);
        }
    }
}

#[test]
fn what_runs_have_printed_stays_with_them() {
    let log = |text: &str| {
        let output = RunOutput::default();
        output.push(text.as_bytes());
        output.log().unwrap()
    };
    let mut runs = RunBatch::default();
    runs.restart(10, 1, 0.0);
    for task in 10..14 {
        runs.push_number(0.5, 0.25);
        if task % 2 == 1 {
            runs.push_log(log(&task.to_string()));
        }
    }
    for at in 0..=4 {
        let mut rest = runs.clone();
        let first = rest.take_first(at);
        assert!(first.is_valid() && rest.is_valid());
        let of = |runs: &RunBatch| runs.logs().cloned().collect::<Vec<_>>();
        assert!(of(&first).iter().all(|(task, _)| *task < 10 + at));
        assert_eq!([of(&first), of(&rest)].concat(), [(11, log("11")), (13, log("13"))]);
    }
    let (logged, number) = (runs.clone(), runs.weight());
    assert!(runs.lend().logs().eq(logged.logs()) && number > 4 * WIDTH + 20);
    assert_eq!(runs.logs().count(), 0, "they are in the message");
    runs.restart(20, 1, 1.0);
    runs.push_number(0.5, 0.25);
    runs.push_log(log("20"));
    runs.first = 21;
    assert!(!runs.is_valid(), "of a run that is not there");
}

#[test]
fn parts_that_do_not_fit_together_are_noticed() {
    assert!(batch().is_valid() && RunBatch::default().is_valid());
    let spoilt = |spoil: fn(&mut RunBatch)| {
        let mut runs = batch();
        spoil(&mut runs);
        !runs.is_valid()
    };
    assert!(spoilt(|runs| runs.first = u64::MAX - 3));
    assert!(spoilt(|runs| runs.numbers.to_mut().truncate(36)));
    assert!(spoilt(|runs| runs.stretches.to_mut().truncate(40)));
    assert!(spoilt(|runs| runs.stretches.to_mut()[0] = 10));
    assert!(spoilt(|runs| runs.stretches.to_mut()[0] = 13));
    assert!(spoilt(|runs| runs.stretches.to_mut()[32] = 15));
    assert!(spoilt(|runs| runs.details.as_mut().unwrap().others.swap(0, 1)));
    assert!(spoilt(|runs| runs.details.as_mut().unwrap().others[1].task = 15));
    assert!(spoilt(|runs| runs.details.as_mut().unwrap().memory[1].0 = 15));
}
