//! Early stopping at its edges: fields that loops inside add, infinite scores, negative zeros, runs of another crunch,
//! runs that count nowhere.

mod common;

use std::fs;

use common::{Desk, gridmpi};
use serde_json::{Value as Json, json};

/// A job of a function `crunch(k, f)` with these lines in `[crunch]` and in its two loops.
fn desk(code: &str, crunch: &str, k: &str, f: &str) -> Desk {
    let desk = Desk::with_job(&job(crunch, k, f));
    desk.write("fit.py", code);
    desk
}

fn job(crunch: &str, k: &str, f: &str) -> String {
    format!(
        "[crunch]\npython = \"fit.py:crunch\"\nretries = 0\n{crunch}\n\
         [[loop]]\nname = \"k\"\n{k}\n[[loop]]\nname = \"f\"\n{f}\n"
    )
}

fn json_of(desk: &Desk, arguments: &[&str]) -> Json {
    desk.run(gridmpi(), &[arguments, &["--format", "json"]].concat()).exits(0).json()
}

fn summary(desk: &Desk, out: &str) -> [String; 2] {
    ["summary.json", "summary.csv"]
        .map(|name| fs::read_to_string(desk.path(out).join(name)).unwrap())
}

/// The reason of a skipped task.
fn reason(desk: &Desk, task: u64) -> String {
    let runs = json_of(desk, &["runs", "out", "--where", &format!("task = {task}")]);
    assert_eq!(runs[0]["status"], "skipped", "{runs}");
    runs[0]["error"].as_str().unwrap().to_string()
}

#[test]
fn a_field_that_a_loop_inside_adds_has_no_bound() {
    let three = |by: &str, range: &str, stop: &str, f: &str| {
        format!(
            "[crunch]\npython = \"fit.py:crunch\"\nscore_range = {range}\n\
             [[loop]]\nname = \"k\"\nvalues = [0, 1]\nreduce = {by}\n{stop}\n\
             [[loop]]\nname = \"g\"\nrange = {{ from = 0, to = 4 }}\nreduce = \"mean\"\n\
             [[loop]]\nname = \"f\"\nrange = {{ from = 0, to = 2 }}\nreduce = {f}\n"
        )
    };
    let spread = "def crunch(k, g, f):\n return [1.0, 3.0][f] if k == 0 else [1.0, 3.4][f] if g == 0 else [1.0, 1.2][f]\n";
    let sums = "def crunch(k, g, f): return 0.6 if k == 0 else 0.3 if g == 0 else 1.0\n";
    let (sure, halves) = ("stop = \"sure\"", "stop = { halve = 2, from = 4 }");
    for (code, by, range, f, best, score) in [
        (spread, "{ min = \"score_std\" }", "[1, inf]", "[\"mean\", \"std\"]", 1, 0.375),
        (sums, "{ max = \"score_sum\" }", "[0, 1]", "[\"mean\", \"sum\"]", 1, 1.65),
    ] {
        let desk = Desk::with_job(&three(by, range, sure, f));
        desk.write("fit.py", code);
        let refused = desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(2).stderr;
        let added = if f.contains("std") { "std" } else { "sum" };
        let why = format!("', and loop 'f' inside adds it as its {added}");
        assert!(refused.contains(&why), "{refused}");
        assert!(!desk.path("out/runs.sqlite").exists());
        // By halves that is compared which is there.
        for stop in ["", halves] {
            desk.write("job.toml", &three(by, range, stop, f));
            let out = if stop.is_empty() { "all" } else { "halves" };
            desk.run(gridmpi(), &["job.toml", "--out", out]).exits(0);
            let group = &json_of(&desk, &["best", out])[0]["best"][0];
            assert_eq!(group["coordinates"]["k"], json!(best), "{group}");
            assert!((group["score"].as_f64().unwrap() - score).abs() < 1e-12, "{group}");
        }
    }
    // The field itself is bounded where another one is added.
    let desk = Desk::with_job(&three("{ max = \"r2\" }", "[0, 1]", sure, "[\"mean\", \"std\"]"));
    desk.write("fit.py", "def crunch(k, g, f): return {'score': 0, 'r2': k}\n");
    let ran = desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(0);
    assert!(ran.stderr.contains("runs were not needed"), "{}", ran.stderr);
}

#[test]
fn halves_take_a_point_for_one_that_counts_unless_its_runs_failed() {
    let spreads =
        "def crunch(k, f): return [[1.0, 3.0], [1.0, 2.0], [5.0, 1.0], [0.5, 0.25]][k][f % 2]\n";
    let parts = "def crunch(k, f): return {'score': 1 + f, 'r2': k, 't': {'a': 1 + k + f}}\n";
    let k = |by: &str| {
        format!("values = [0, 1, 2, 3]\nreduce = {by}\nstop = {{ halve = 2, from = 2 }}")
    };
    let f = |reduce: &str| format!("range = {{ from = 0, to = 4 }}\nreduce = {reduce}");
    for (code, by, reduce, best) in [
        (spreads, "{ max = \"score_std\" }", "[\"mean\", \"std\"]", 2),
        (spreads, "{ max = \"count\" }", "[\"mean\", \"count\"]", 0),
        (parts, "{ max = \"r2_max\" }", "[\"mean\", \"max\"]", 3),
        (parts, "{ max = \"t.a\" }", "\"min\"", 3),
    ] {
        let desk = desk(code, "", &k(by), &f(reduce));
        let ran = desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(0);
        let group = &json_of(&desk, &["best", "out"])[0]["best"][0];
        assert_eq!(group["coordinates"]["k"], json!(best), "{by}: {group}");
        // Where the loop inside chooses too, its points are counted.
        let stopped = if reduce == "\"min\"" { "best of 16, 8" } else { "best of 4, 2" };
        let stopped = format!("{stopped} stopped early");
        assert!(ran.stdout.contains(&stopped), "{by}: {}", ran.stdout);
    }
    // A run that failed leaves its point without a value, and the group without a winner.
    let failing = format!(
        "{spreads}inner = crunch\ndef crunch(k, f):\n assert (k, f) != (3, 1)\n return inner(k, f)\n"
    );
    let desk = desk(&failing, "", &k("\"max\""), &f("\"mean\""));
    let ran = desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(100);
    assert!(ran.stdout.contains("1 of 4 points without a result"), "{}", ran.stdout);
}

#[test]
fn infinite_scores_stop_points_and_are_read_again() {
    let sure = |k: &str, range: &str| (k.to_string(), format!("score_range = {range}"));
    for ((best, range), code, bound) in [
        (sure("min", "[0, inf]"), "float('inf') if k == 2 else 1.0", "at least inf against 1"),
        (sure("max", "[-inf, 1]"), "float('-inf') if k == 2 else 1.0", "at most -inf against 1"),
    ] {
        let code = format!("def crunch(k, f): return {code}\n");
        let k = |stop: &str| format!("values = [1, 2, 3]\nreduce = \"{best}\"\n{stop}");
        let f = "values = [0, 1, 2, 3]\nreduce = \"mean\"";
        let desk = desk(&code, &range, &k("stop = \"sure\""), f);
        desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(0);
        let reason = reason(&desk, 7);
        assert!(reason.ends_with(bound), "{reason}");
        for verb in ["status", "best", "runs", "report"] {
            desk.run(gridmpi(), &[verb, "out"]).exits(0);
        }
        desk.run(gridmpi(), &["explain", "out", "7"]).exits(0);
        let stopped = summary(&desk, "out");
        desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(0);
        assert_eq!(summary(&desk, "out"), stopped);
        // The winner is that of the full grid.
        desk.write("job.toml", &job(&range, &k(""), f));
        desk.run(gridmpi(), &["job.toml", "--out", "full"]).exits(0);
        let won = |out: &str| json_of(&desk, &["best", out])[0]["best"][0]["coordinates"].clone();
        assert_eq!(won("out"), won("full"));
    }
    // By halves, with numbers that would take hundreds of digits.
    let code = "def crunch(k, f): return [0.5, float('-inf'), 8.5e306, 6e306][k]\n";
    let k = "values = [0, 1, 2, 3]\nreduce = \"max\"\nstop = { halve = 2 }";
    let desk = desk(code, "", k, "values = [0, 1, 2, 3]\nreduce = \"mean\"");
    desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(0);
    let last = "where the first 2 went on: -inf against 6e306";
    assert!(reason(&desk, 7).ends_with(last), "{}", reason(&desk, 7));
    let last = "where the first 1 went on: 6e306 against 8.5e306";
    assert!(reason(&desk, 15).ends_with(last), "{}", reason(&desk, 15));
}

#[test]
fn a_negative_zero_is_the_same_after_a_start_has_read_it() {
    let both = "values = [1, 2]";
    for code in ["-0.0", "{'score': -0.0, 'r2': -0.0}"] {
        let code = format!("def crunch(k, f): return {code}\n");
        let desk = desk(&code, "", "values = [1]", "values = [1]\nreduce = [\"mean\", \"max\"]");
        desk.run(gridmpi(), &["job.toml", "--out", "grown"]).exits(0);
        desk.write("job.toml", &job("", both, &format!("{both}\nreduce = [\"mean\", \"max\"]")));
        for out in ["grown", "fresh"] {
            desk.run(gridmpi(), &["job.toml", "--out", out]).exits(0);
        }
        assert_eq!(summary(&desk, "grown"), summary(&desk, "fresh"), "{code}");
    }
}

#[test]
fn runs_that_count_nowhere_are_not_kept_and_not_tried_again() {
    let code = "def crunch(k, f):\n if (k, f) == (1, 3): raise ValueError('singular matrix')\n return k + f / 10\n";
    let k = |stop: &str| format!("values = [1, 2, 3, 4]\nreduce = \"max\"\n{stop}");
    let (halves, f) = ("stop = { halve = 2 }", "values = [0, 1, 2, 3]\nreduce = \"mean\"");
    let desk = desk(code, "", &k(""), f);
    desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(100);
    desk.write("job.toml", &job("", &k(halves), f));
    // 4 runs, 1 more of two points, 2 more of one: the failed one is none of them.
    let plan = json_of(&desk, &["plan", "job.toml", "--out", "out"]);
    desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(0);
    let again = json_of(&desk, &["plan", "job.toml", "--out", "out"]);
    assert_eq!((&plan["failed"], &again["failed"]), (&json!(1), &json!(0)));
    assert_eq!((&again["left"], &again["done"]), (&json!(0), &json!(8)));
    let told = desk.says(&["plan", "job.toml", "--out", "out"]);
    assert!(!told.contains("would be tried again"), "{told}");
    desk.run(gridmpi(), &["report", "out"]).exits(0);
    let report = fs::read_to_string(desk.path("out/report.html")).unwrap();
    assert!(report.contains("none failed") && !report.contains("singular matrix"));
    // Of another crunch's runs, those count that are asked for.
    desk.write("fit.py", &format!("{code}\nother = 1\n"));
    let ran = desk.run(gridmpi(), &["job.toml", "--out", "out", "--keep"]).exits(0);
    assert!(ran.stdout.contains("8 kept from an earlier crunch"), "{}", ran.stdout);
    let kept = "8 of 16 runs were made by an earlier crunch";
    assert!(ran.stderr.contains(kept), "{}", ran.stderr);
    let [written, _] = summary(&desk, "out");
    let written: Json = serde_json::from_str(&written).unwrap();
    assert!(written["kept"].as_str().unwrap().starts_with(kept), "{written}");
    let row = &written["groups"][0];
    assert_eq!((&row["runs"], &row["kept"]), (&json!(8), &json!(8)), "{row}");
    let best = json_of(&desk, &["best", "out"]);
    assert_eq!((&best[0]["runs"], &best[0]["kept"]), (&json!(8), &json!(8)), "{best}");
}
