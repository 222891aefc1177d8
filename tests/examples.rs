//! Every example, alone and on five ranks: identical results with the expected values.

mod common;

use std::process::Command;

use common::{Desk, Ran, example, mpirun_of, runs_without_times};
use serde_json::Value;

/// Runs an example both ways and checks that the results are equal; returns the output.
fn both_ways(name: &str) -> Vec<Value> {
    let desk = Desk::new();
    let json = ["--format", "json", "--out"];
    let alone: Ran = desk.run(Command::new(example(name)), &[&json[..], &["alone"]].concat());
    let alone = alone.exits(0);
    let ranks = desk.run(mpirun_of(5, &example(name)), &[&json[..], &["ranks"]].concat()).exits(0);
    drop(ranks);
    let summary = |out: &str| std::fs::read(desk.path(out).join("summary.json")).unwrap();
    assert_eq!(summary("alone"), summary("ranks"));
    assert_eq!(
        runs_without_times(&desk.path("alone/runs.sqlite")),
        runs_without_times(&desk.path("ranks/runs.sqlite")),
    );
    let hosts = "SELECT count(*) FROM workers";
    assert_eq!(common::sql_rows(&desk.path("ranks/runs.sqlite"), hosts), ["4"]);
    alone.groups()
}

#[test]
fn textbook() {
    let groups = both_ways("textbook");
    assert_eq!(groups.len(), 10);
    for group in groups {
        let runs: Vec<f64> =
            group["all_runs"].as_array().unwrap().iter().map(|run| run.as_f64().unwrap()).collect();
        let [below, zero, above] = runs[..] else { panic!("{group}") };
        assert_eq!((below, zero), (-above, 0.0 * above));
        let (max, index) = if above > 0.0 { (above, 2) } else { (below, 0) };
        assert_eq!(group["summary"]["value"], serde_json::json!([max, index]));
    }
}

#[test]
fn ridge() {
    let groups = both_ways("ridge");
    assert_eq!(groups.len(), 4);
    for group in groups {
        let runs = group["all_runs"].as_array().unwrap();
        assert_eq!(runs.len(), 30);
        let best = runs.iter().map(|run| run["score"].as_f64().unwrap()).fold(f64::MIN, f64::max);
        assert_eq!(group["summary"]["score"].as_f64(), Some(best));
        assert!(best > 0.0 && best < 1.0, "{best}");
    }
}

#[test]
fn nested_cv() {
    let groups = both_ways("nested_cv");
    let outer: Vec<_> = groups.iter().filter(|group| group["over"] == "width").collect();
    let inner: Vec<_> = groups.iter().filter(|group| group["over"] == "fold").collect();
    // Three widths are stopped, which have no mean.
    assert_eq!((outer.len(), inner.len()), (2, 5));
    for group in &outer {
        let curve = &group["coordinates"]["curve"];
        let of_curve = inner.iter().filter(|mean| mean["coordinates"]["curve"] == *curve);
        let means = of_curve.map(|mean| mean["summary"]["score"].as_f64().unwrap());
        assert_eq!(group["summary"]["score"].as_f64(), Some(means.fold(f64::MAX, f64::min)));
    }
    let widths: Vec<f64> =
        outer.iter().map(|group| group["summary"]["best"]["width"].as_f64().unwrap()).collect();
    assert!(widths[0] < widths[1], "noise needs more smoothing: {widths:?}");
}

#[test]
fn montecarlo() {
    for group in both_ways("montecarlo") {
        let width = group["coordinates"]["width"].as_f64().unwrap();
        let value = &group["summary"]["value"];
        let off = value["score"].as_f64().unwrap() - width.powi(2);
        assert!(off.abs() < 4.0 * value["standard_error"].as_f64().unwrap(), "{group}");
    }
}

#[test]
fn a_study_has_the_verbs_of_the_command_line() {
    let desk = Desk::new();
    let study = || Command::new(example("textbook"));
    let help = desk.run(study(), &["--help"]).exits(0);
    for known in ["--threads", "--out", "completions", "man", "mpirun -n 9 textbook"] {
        assert!(help.stdout.contains(known), "{known}: {}", help.stdout);
    }
    assert!(!help.stdout.contains("quick"), "a study has no demonstration: {}", help.stdout);
    let ran = desk.run(study(), &["--threads", "2"]).exits(0);
    assert!(ran.stdout.lines().count() == 11 && desk.path("results/textbook").exists());
    let again = desk.run(study(), &["run"]).exits(0);
    assert!(again.stderr.contains("30 of 30 runs reused"), "{}", again.stderr);
    assert_eq!(again.stdout, ran.stdout);
    let csv = desk.run(study(), &["run", "--fresh", "--format", "csv"]).exits(0);
    let script = desk.run(study(), &["completions", "bash"]).exits(0);
    assert!(script.stdout.contains("complete -F"), "{}", script.stdout);
    assert!(desk.run(study(), &["man"]).exits(0).stdout.contains(".TH textbook"));
    let wrong = desk.run(study(), &["--thread", "2"]).exits(2);
    assert!(wrong.stderr.contains("--threads"), "{}", wrong.stderr);
    let threads = ["--threads", "2", "--out", "threads", "--format", "csv"];
    let threads = desk.run(mpirun_of(3, &example("textbook")), &threads).exits(0);
    assert_eq!(threads.stdout, csv.stdout);
}

#[test]
fn a_rank_of_another_program_is_named_and_the_others_do_its_work() {
    let desk = Desk::new();
    let mut command = mpirun_of(2, &example("textbook"));
    command.args(["--out", "out", ":", "-n", "1"]).arg(example("ridge"));
    let ran = desk.run(command, &["--out", "out"]);
    assert!(
        ran.stderr.contains("rank 2 cannot go on: rank 0 runs another study"),
        "{}",
        ran.stderr
    );
    assert_eq!(desk.sql("SELECT value FROM job WHERE key = 'state'"), ["complete"]);
    assert_eq!(desk.sql("SELECT count(*) FROM runs"), ["30"]);
}
