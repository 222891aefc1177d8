//! Early stopping with real processes: the same runs, rows and files on threads, under mpirun, after kills, and in a
//! folder that holds more.

mod common;

use std::fs;
use std::time::Duration;

use common::{Desk, Ran, gridmpi, mpirun};

/// Three data sets of eight points of six folds; the score depends on its coordinates alone.
const JOB: &str = r#"name = "stopped"
[crunch]
command = ["./crunch.sh", "{dataset}", "{alpha}", "{fold}"]
score_range = [0, 1]
[[loop]]
name = "dataset"
values = [1, 2, 3]
[[loop]]
name = "alpha"
values = [1, 2, 3, 4, 5, 6, 7, 8]
reduce = "max"
RULE
[[loop]]
name = "fold"
range = { from = 0, to = 6 }
reduce = ["mean", "std"]
"#;

const SURE: &str = "stop = \"sure\"";
const HALVES: &str = "stop = { halve = 3, from = 1 }";

/// Each call leaves a line.
const CRUNCH: &str = r#"#!/bin/sh
echo "$1 $2 $3" >> calls
awk -v d="$1" -v a="$2" -v f="$3" 'BEGIN {
    peak = 3 + d; off = a > peak ? a - peak : peak - a
    print 0.9 - 0.12 * off + 0.03 * ((a * 7 + f * 5 + d * 3) % 4)
}'
"#;

fn desk(rule: &str) -> Desk {
    let desk = Desk::with_job(&JOB.replace("RULE", rule));
    desk.script("crunch.sh", CRUNCH);
    desk
}

fn calls(desk: &Desk) -> Vec<String> {
    let calls = fs::read_to_string(desk.path("calls")).unwrap_or_default();
    let mut calls: Vec<String> = calls.lines().map(str::to_string).collect();
    calls.sort();
    calls
}

fn start(desk: &Desk, out: &str, threads: &str) -> Ran {
    desk.run(gridmpi(), &["job.toml", "--out", out, "--threads", threads])
}

/// The files and rows that do not depend on who computed what.
fn results(desk: &Desk, out: &str) -> (String, String, Vec<String>) {
    let read = |name: &str| fs::read_to_string(desk.path(&format!("{out}/{name}"))).unwrap();
    let store = desk.path(&format!("{out}/runs.sqlite"));
    let rows = common::sql_rows(
        &store,
        "SELECT level || ' ' || number || ' ' || asked || ' ' || why FROM stopped_points",
    );
    (read("summary.json"), read("summary.csv"), rows)
}

/// The winner of each data set, and its value.
fn winners(desk: &Desk, out: &str) -> Vec<serde_json::Value> {
    let best = desk.run(gridmpi(), &["best", out, "--format", "json"]).exits(0).json();
    best.as_array().unwrap().iter().map(|group| group["best"].clone()).collect()
}

/// The lines of the runs' table that begin so, without times and hosts.
fn runs(desk: &Desk, condition: &str) -> Vec<String> {
    let table = desk.says(&["export", "out", "--format", "csv", "--where", condition]);
    let line = |line: &str| line.split(',').take(6).collect::<Vec<_>>().join(",");
    table.lines().map(line).collect()
}

#[test]
fn threads_ranks_and_kills_give_the_same_files() {
    for rule in [SURE, HALVES] {
        let here = desk(rule);
        start(&here, "out", "1").exits(0);
        let made = calls(&here);
        assert!(made.len() < 100, "{} of 144 runs: {rule}", made.len());
        let there = desk(rule);
        let arguments = ["job.toml", "--out", "out"];
        there.run(mpirun(4), &arguments).exits(0);
        assert_eq!(results(&here, "out"), results(&there, "out"), "{rule}");
        assert_eq!(calls(&there), made, "{rule}");

        // Killed at any time, and started again until it is done.
        let killed = desk(rule);
        for milliseconds in [5, 20, 50, 90, 150] {
            let mut child = gridmpi();
            child.current_dir(killed.path(".")).args(["job.toml", "--out", "out"]);
            child.args(["--threads", "2"]).stderr(std::process::Stdio::null());
            let mut child = child.stdout(std::process::Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(milliseconds));
            let _ = child.kill();
            child.wait().unwrap();
        }
        start(&killed, "out", "2").exits(0);
        assert_eq!(results(&here, "out"), results(&killed, "out"), "{rule}");
        let mut distinct = calls(&killed);
        distinct.dedup();
        assert_eq!(distinct, made, "{rule}: no other run was made");
    }
}

#[test]
fn a_folder_that_holds_more_gives_the_same_table_and_the_full_grid_computes_what_is_missing() {
    let full = desk("");
    start(&full, "out", "2").exits(0);
    assert_eq!(calls(&full).len(), 144);
    for rule in [SURE, HALVES] {
        let own = desk(rule);
        start(&own, "out", "2").exits(0);
        let made = calls(&own);
        // The same rule in the folder of all runs.
        full.write("job.toml", &JOB.replace("RULE", rule));
        let ran = start(&full, "out", "2").exits(0);
        assert_eq!(calls(&full).len(), 144, "{}", ran.stderr);
        assert_eq!(results(&own, "out"), results(&full, "out"), "{rule}");
        assert_eq!(full.sql("SELECT count(*) FROM runs"), ["144"], "they stay");
        // Without the rule what is missing is computed, and nothing else.
        own.write("job.toml", &JOB.replace("RULE", ""));
        start(&own, "out", "2").exits(0);
        let after = calls(&own);
        assert_eq!(after.len(), 144);
        assert_eq!(own.sql("SELECT count(*) FROM stopped_points"), ["0"]);
        full.write("job.toml", &JOB.replace("RULE", ""));
        start(&full, "out", "2").exits(0);
        assert_eq!(results(&own, "out"), results(&full, "out"));
        assert!(made.len() < 100);
    }
}

#[test]
fn the_winner_its_value_and_its_runs_are_those_of_the_full_grid() {
    let (stopped, full) = (desk(SURE), desk(""));
    start(&stopped, "out", "2").exits(0);
    start(&full, "out", "2").exits(0);
    assert_eq!(winners(&stopped, "out"), winners(&full, "out"));
    let of_winner = "alpha = dataset + 3";
    assert_eq!(runs(&stopped, of_winner), runs(&full, of_winner));
    assert_eq!(runs(&full, of_winner).len(), 1 + 18);
}

#[test]
fn a_pilot_a_named_task_and_a_grown_job_compute_what_they_need() {
    let desk = desk(SURE);
    // A pilot makes its runs whatever is stopped later; they stay, and are not made again.
    desk.run(gridmpi(), &["plan", "job.toml", "--out", "out", "--pilot", "9"]).exits(0);
    let pilot = calls(&desk);
    assert_eq!(pilot.len(), 9);
    start(&desk, "out", "2").exits(0);
    start(&desk, "fresh", "2").exits(0);
    assert_eq!(results(&desk, "out"), results(&desk, "fresh"));
    let fresh = desk.sql("SELECT count(*) FROM runs")[0].parse::<usize>().unwrap();
    assert!(fresh < 100, "{fresh}");
    assert_eq!(runs(&desk, "task = 5 and status = 'ok'").len(), 1, "no line but the heading");
    // A task that is skipped can be looked at all the same.
    let count = calls(&desk).len();
    desk.run(gridmpi(), &["job.toml", "--only", "5"]).exits(0);
    assert_eq!(calls(&desk).len(), count + 1);
    // Another point: its runs alone are new, and the table is that of an empty folder.
    let grown = JOB.replace("RULE", SURE).replace("7, 8]", "7, 8, 4.5]");
    desk.write("job.toml", &grown);
    let before = calls(&desk).len();
    start(&desk, "out", "2").exits(0);
    let after = calls(&desk);
    let new = after.iter().filter(|call| call.contains("4.5")).count();
    assert!(new > 0);
    assert_eq!(after.len(), before + new);
    start(&desk, "grown", "2").exits(0);
    assert_eq!(results(&desk, "out"), results(&desk, "grown"));
}

#[test]
fn a_score_outside_the_range_fails_its_run_in_words() {
    for rule in ["", SURE] {
        let desk = desk(rule);
        let job = JOB.replace("RULE", rule).replace("[0, 1]", "[0, 0.5]");
        desk.write("job.toml", &job);
        let ran = start(&desk, "out", "2").exits(100);
        let why = "is outside score_range = [0, 0.5]";
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
        assert!(desk.says(&["runs", "out", "--failed"]).contains(why));
        // The value is kept, and is a score again in a wider range.
        assert_ne!(desk.sql("SELECT count(*) FROM runs WHERE failed AND value IS NOT NULL"), ["0"]);
    }
    // A stored score that the range excludes is no silent part of a table.
    let desk = desk("");
    start(&desk, "out", "2").exits(0);
    desk.write("job.toml", &JOB.replace("RULE", "").replace("[0, 1]", "[0, 0.5]"));
    let ran = start(&desk, "out", "2").exits(2);
    assert!(
        ran.stderr.contains("score_range = [0, 0.5]: the stored run at dataset = "),
        "{}",
        ran.stderr
    );
}

/// Runs are records, whose fields say opposite things.
fn by_field(alpha: &str, fold: &str, range: &str) -> (String, String) {
    let job = JOB.replace("RULE", SURE).replace("[0, 1]", range);
    let job = job.replace("\"max\"", alpha).replace("[\"mean\", \"std\"]", fold);
    let crunch = CRUNCH.replace(
        "print 0.9 - 0.12 * off + 0.03 * ((a * 7 + f * 5 + d * 3) % 4)",
        r#"r2 = 0.9 - 0.12 * off + 0.03 * ((a * 7 + f * 5 + d * 3) % 4)
    printf "{\"score\": %s, \"fit\": {\"r2\": %s}}\n", 5 - r2, r2"#,
    );
    (job, crunch)
}

#[test]
fn a_field_is_bounded_as_the_score_is() {
    let mut numbers = Vec::new();
    for (alpha, fold) in [
        ("{ max = \"fit.r2\" }", "\"mean\""),
        ("{ max = \"fit.r2\" }", "[\"mean\", \"std\"]"),
        ("\"max\"", "{ mean = \"fit.r2\" }"),
    ] {
        let (job, crunch) = by_field(alpha, fold, "[0, 1]");
        let desk = Desk::with_job(&job);
        desk.script("crunch.sh", &crunch);
        start(&desk, "out", "2").exits(0);
        let made = calls(&desk).len();
        assert!(made < 144, "{made}");
        desk.write("job.toml", &job.replace(SURE, ""));
        start(&desk, "full", "2").exits(0);
        let found = winners(&desk, "out");
        assert_eq!(found, winners(&desk, "full"));
        let alphas: Vec<_> = found.iter().map(|best| best["alpha"].clone()).collect();
        numbers.push((made, alphas));
        // The range is that of the field, with or without `stop`.
        for job in [job.replace(SURE, ""), job] {
            desk.write("job.toml", &job.replace("[0, 1]", "[0, 0.5]"));
            let ran = start(&desk, "narrow", "2").exits(100);
            let why = "is outside score_range = [0, 0.5]";
            assert!(ran.stderr.contains("the field 'fit.r2' with the value 0."), "{}", ran.stderr);
            assert!(ran.stderr.contains(why), "{}", ran.stderr);
        }
    }
    assert!(numbers.iter().all(|found| *found == numbers[0]), "{numbers:?}");
}

#[test]
fn what_compares_two_numbers_of_a_run_is_not_bounded() {
    for (alpha, fold, why) in [
        (
            "{ max = \"fit.r2\" }",
            "{ mean = \"score\" }",
            "it compares 'fit.r2', and loop 'fold' inside takes 'score'",
        ),
        ("{ max = \"fit.r2\" }", "\"max\"", "'fold' inside takes the score"),
    ] {
        let (job, crunch) = by_field(alpha, fold, "[0, 1]");
        let desk = Desk::with_job(&job);
        desk.script("crunch.sh", &crunch);
        let ran = start(&desk, "out", "1").exits(2);
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
    }
    // An outer loop chooses by another one.
    let (job, crunch) = by_field("{ max = \"fit.r2\" }", "\"mean\"", "[0, 1]");
    let job =
        job.replace("values = [1, 2, 3]\n", "values = [1, 2, 3]\nreduce = { min = \"score\" }\n");
    let desk = Desk::with_job(&job);
    desk.script("crunch.sh", &crunch);
    let ran = start(&desk, "out", "1").exits(2);
    let why = "it compares 'fit.r2', and score_range is that of the score";
    assert!(ran.stderr.contains(why), "{}", ran.stderr);
}

#[test]
fn a_start_that_fails_leaves_no_stopped_points_of_another_grid() {
    let desk = desk(SURE);
    start(&desk, "out", "2").exits(0);
    assert_ne!(desk.sql("SELECT count(*) FROM stopped_points"), ["0"]);
    // The grid is renumbered before the scores are looked at.
    let job = JOB.replace("RULE", SURE).replace("[1, 2, 3, 4,", "[2, 3, 4,");
    desk.write("job.toml", &job.replace("[0, 1]", "[0, 0.5]"));
    let ran = start(&desk, "out", "2").exits(2);
    assert!(ran.stderr.contains("the stored run at dataset = "), "{}", ran.stderr);
    assert_eq!(desk.sql("SELECT count(*) FROM stopped_points"), ["0"]);
}

#[test]
fn what_cannot_be_followed_is_refused_in_words() {
    let job = |from: &str, to: &str| {
        let job = JOB.replace("RULE", SURE);
        assert!(job.contains(from), "{from}");
        job.replace(from, to)
    };
    let cases = [
        (job("score_range = [0, 1]\n", ""), "needs score_range = [least, most] in [crunch]"),
        (job("[0, 1]", "[0, inf]"), "the greatest score must be finite in score_range: [0, inf]"),
        (job("[0, 1]", "[1, 0]"), "1 is not below 0"),
        (job("[0, 1]", "[0]"), "expected [least, most], two numbers"),
        (
            job("\"sure\"", "\"early\""),
            "expected \"sure\" or { halve = 3, from = 1 }, found \"early\"",
        ),
        (job("\"sure\"", "{ halve = 1 }"), "expected at least 2, found 1"),
        (job("\"sure\"", "{ halve = 3, to = 1 }"), "'loop.alpha.stop.to' is no key here"),
        (job("[\"mean\", \"std\"]", "\"std\""), "loop 'fold' inside reduces by std"),
        (job("[\"mean\", \"std\"]", "\"count\""), "loop 'fold' inside reduces by count"),
        (
            job(
                "reduce = \"max\"",
                "reduce = { max = \"score\", within = { value = 0.1 }, prefer = { min = \"alpha\" } }",
            ),
            "with within and prefer",
        ),
        (
            job("reduce = \"max\"", "reduce = \"mean\""),
            "only a loop with reduce = \"max\" or \"min\"",
        ),
        (
            format!("{}{SURE}\n", job(SURE, "").replace("[\"mean\", \"std\"]", "\"max\"")),
            "there is no loop inside",
        ),
        (format!("order = \"random\"\n{}", job(SURE, SURE)), "decisions are made in grid order"),
    ];
    for (job, why) in cases {
        let desk = Desk::with_job(&job);
        desk.script("crunch.sh", CRUNCH);
        let ran = start(&desk, "out", "1").exits(2);
        assert!(
            ran.stderr.contains(why) && ran.stderr.contains("job.toml:"),
            "{why}: {}",
            ran.stderr
        );
        assert!(calls(&desk).is_empty());
    }
    let desk = desk(SURE);
    for (arguments, why) in [
        (["--strategy", "outer"], "loop 'alpha' stops points, which another strategy"),
        (["--part", "1/2"], "loop 'alpha' stops points, which a part of a job"),
    ] {
        let ran = desk.run(gridmpi(), &[&["job.toml", "--out", "out"], &arguments[..]].concat());
        let ran = ran.exits(2);
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
    }
}
