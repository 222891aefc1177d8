//! The gain from flattening: `gridmpi compare` in virtual time and for real, and `run --strategy`.

mod common;

use std::process::Stdio;

use common::{Desk, gridmpi, mpirun};
use serde_json::Value as Json;

const STRATEGIES: [&str; 6] =
    ["serial", "outer", "inner", "split:2+2", "flattened", "longest-first"];

fn job(sizes: &[u64]) -> String {
    let mut job = "[crunch]\nbuiltin = \"multiply\"\n".to_string();
    for (name, size) in ["dataset", "alpha", "fold"].iter().zip(sizes) {
        job += &format!("[[loop]]\nname = \"{name}\"\nrange = {{ from = 0, to = {size} }}\n");
        if *name != "dataset" {
            job += "reduce = \"max\"\n";
        }
    }
    job
}

/// The output of compare, as JSON.
fn compared(desk: &Desk, arguments: &[&str]) -> Json {
    let arguments = [&["compare"], arguments, &["--format", "json"]].concat();
    let ran = desk.run(gridmpi(), &arguments).exits(0);
    serde_json::from_str(&ran.stdout).unwrap()
}

fn strategy<'a>(compared: &'a Json, name: &str) -> &'a Json {
    let all = compared["strategies"].as_array().unwrap();
    all.iter().find(|entry| entry["strategy"] == name).unwrap_or_else(|| panic!("{name}: {all:?}"))
}

fn makespan(compared: &Json, name: &str) -> f64 {
    strategy(compared, name)["makespan_seconds"].as_f64().unwrap()
}

#[test]
fn the_textbook_cases_have_exact_times() {
    let desk = Desk::with_job(&job(&[2, 4]));
    let two = compared(&desk, &["job.toml", "--workers", "4", "--seconds", "1"]);
    let times = ["serial", "outer", "inner", "flattened"].map(|name| makespan(&two, name));
    assert_eq!(times, [8.0, 4.0, 2.0, 2.0]);
    assert_eq!(strategy(&two, "outer")["utilisation"], 0.5);
    assert_eq!(strategy(&two, "outer")["idle_seconds"], 8.0);
    assert_eq!(strategy(&two, "flattened")["first_group_seconds"], 1.0);
    assert_eq!(strategy(&two, "flattened")["median_group_seconds"], 2.0);
    let maps = strategy(&two, "nested maps");
    assert_eq!((&maps["deadlock"], &maps["makespan_seconds"]), (&Json::Null, &4.0.into()));
}

#[test]
fn the_demonstration_is_compared_if_no_job_is_named() {
    let desk = Desk::new();
    let ten = compared(&desk, &["--workers", "8", "--split", "4+3"]);
    let times = ["serial", "outer", "inner", "split:4+3", "flattened"].map(|n| makespan(&ten, n));
    assert_eq!(times, [30.0, 6.0, 10.0, 10.0, 4.0]);
    assert_eq!(strategy(&ten, "split:4+3")["utilisation"], 30.0 / 80.0, "three of eight crunch");
    assert_eq!(ten["lower_bound_seconds"], 3.75);
    let deadlock = &strategy(&ten, "nested maps")["deadlock"];
    assert_eq!(deadlock["waits"].as_array().unwrap().len(), 8);
    assert_eq!(
        (&deadlock["waits"][0]["queued"], &deadlock["waits"][0]["behind"]),
        (&3.into(), &2.into())
    );

    let text = desk.run(gridmpi(), &["compare", "--workers", "8"]).exits(0).stdout;
    for line in [
        "nested maps    deadlock",
        "Split pools were tried in all 7 sizes",
        "waits for its 3 params, which are queued behind dataset",
        "The nest flattened takes 4.00 s; the best of the others (split:2+6) takes 5.00 s",
        "No schedule can take less than 3.75 s.",
    ] {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
    assert!(!desk.path("results").exists(), "nothing is written");
}

#[test]
fn deeper_nests_deadlock_with_those_who_hold_and_those_who_queue() {
    let desk = Desk::with_job(&job(&[2, 2, 2]));
    let arguments = ["compare", "job.toml", "--workers", "4", "--seconds", "1"];
    let text = desk.run(gridmpi(), &arguments).exits(0).stdout;
    for line in [
        "worker 1 holds dataset 0 and waits for its 2 alphas: workers 3 and 4 hold 2 of them, and wait too",
        "worker 2 holds dataset 1 and waits for its 2 alphas, which are first in the queue",
        "worker 3 holds dataset 0, alpha 0 and waits for its 2 folds, which are queued behind dataset 1, alpha 0 and 1 more",
        "worker 4 waits likewise",
        "no worker is left to begin dataset 1, alpha 0, nor will one ever be",
    ] {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
    let enough = compared(&desk, &["job.toml", "--workers", "7", "--seconds", "1"]);
    assert_eq!(makespan(&enough, "nested maps"), 4.0);
}

/// Durations from a results folder with some tasks unrecorded, while a run is using it.
#[test]
fn recorded_durations_are_used_while_a_run_goes_on() {
    let text = |points: &str| {
        format!(
            "[crunch]\nshell = \"sleep {{wait}} && echo 1\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2, 3]\n[[loop]]\nname = \"wait\"\nvalues = [{points}]\nreduce = \"max\"\n"
        )
    };
    let desk = Desk::with_job(&text("0.01, 0.2"));
    desk.run(gridmpi(), &["job.toml", "--threads", "6", "--out", "out"]).exits(0);
    let arguments = ["job.toml", "--workers", "2", "--out", "out"];
    let all = compared(&desk, &arguments);
    assert_eq!(
        (&all["durations"]["source"], &all["durations"]["recorded"]),
        (&"recorded".into(), &6.into())
    );
    assert!(makespan(&all, "serial") >= 0.63, "{all}");
    assert!(makespan(&all, "flattened") >= 0.4, "{all}");
    assert!(makespan(&all, "flattened") <= makespan(&all, "serial"));

    // The same job with more points, and a run of them.
    desk.write("job.toml", &text("0.01, 0.2, 600"));
    let mut going = gridmpi();
    going.args(["job.toml", "--threads", "1", "--out", "out"]).current_dir(desk.path("."));
    let mut going = going.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    while !desk.path("out/status.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let some = compared(&desk, &arguments);
    assert_eq!((&some["tasks"], &some["durations"]["recorded"]), (&9.into(), &6.into()));
    let total = some["durations"]["total_seconds"].as_f64().unwrap();
    assert!(total > all["durations"]["total_seconds"].as_f64().unwrap(), "{some}");
    assert!(going.try_wait().unwrap().is_none(), "the run goes on");
    going.kill().unwrap();
    going.wait().unwrap();
}

#[test]
fn the_real_ones_take_what_was_predicted_or_longer() {
    let desk = Desk::new();
    let real = compared(&desk, &["--workers", "8", "--real", "--quick"]);
    for entry in real["strategies"].as_array().unwrap() {
        let (name, measured) = (&entry["strategy"], entry["measured_seconds"].as_f64());
        if name == "nested maps" {
            assert_eq!(measured, None);
            continue;
        }
        let (measured, predicted) =
            (measured.unwrap(), entry["makespan_seconds"].as_f64().unwrap());
        // A sleep never ends early.
        assert!(
            measured >= predicted * 0.999,
            "{name}: {measured} s, predicted were {predicted} s"
        );
        assert_eq!(entry["measured_failed"], 0);
    }
    assert!(!desk.path("results").exists(), "nothing is kept");
}

#[test]
fn results_are_the_same_under_every_strategy() {
    let desk = Desk::with_job(&job(&[3, 4, 2]));
    let summary = |folder: &str| std::fs::read(desk.path(folder).join("summary.json")).unwrap();
    desk.run(gridmpi(), &["job.toml", "--out", "plain"]).exits(0);
    for name in STRATEGIES {
        let folder = format!("threads-{name}");
        let how = ["job.toml", "--strategy", name, "--out", &folder, "--threads", "5"];
        desk.run(gridmpi(), &how).exits(0);
        assert_eq!(summary(&folder), summary("plain"), "{name}");
        let folder = format!("ranks-{name}");
        desk.run(mpirun(5), &["job.toml", "--strategy", name, "--out", &folder]).exits(0);
        assert_eq!(summary(&folder), summary("plain"), "{name}");
    }
    let ran = |folder: &str, sql: &str| {
        let store = rusqlite::Connection::open(desk.path(folder).join("runs.sqlite")).unwrap();
        store.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let ranks = "SELECT count(DISTINCT rank) FROM all_runs";
    assert_eq!(ran("ranks-serial", ranks), 1);
    // However late the second of the two is, it gets a task: the first waits for it.
    let waits = "mkdir -p here; touch here/$GRIDMPI_RANK; for i in $(seq 600); do [ $(ls here | wc -l) -ge 2 ] && break; sleep 0.1; done; echo 1";
    let crunch = format!("shell = \"{waits}\"");
    desk.write("waits.toml", &job(&[3, 4, 2]).replace("builtin = \"multiply\"", &crunch));
    desk.run(mpirun(5), &["waits.toml", "--strategy", "split:2+2", "--out", "split"]).exits(0);
    assert_eq!(ran("split", ranks), 2);
    let most = "SELECT max(n) FROM (SELECT count(DISTINCT rank) n FROM all_runs GROUP BY dataset)";
    assert_eq!(ran("ranks-outer", most), 1);
}

/// A run started under one strategy can be resumed under another.
#[test]
fn a_run_goes_on_under_another_strategy() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"test {x}{y} != 21 || test -e mended && echo {x}{y}\"\n[[loop]]\nname = \"x\"\nrange = { from = 0, to = 4 }\n[[loop]]\nname = \"y\"\nrange = { from = 0, to = 3 }\nreduce = \"sum\"\n",
    );
    let run = |name: &str| {
        let how = ["job.toml", "--strategy", name, "--threads", "3", "--out", "out"];
        desk.run(gridmpi(), &how)
    };
    run("outer").exits(100);
    desk.write("mended", "");
    let ran = run("inner").exits(0);
    assert!(ran.stderr.contains("11 of 12 runs reused"), "{}", ran.stderr);
    assert_eq!(desk.sql("SELECT max(attempt) FROM all_runs"), ["2"]);
}
