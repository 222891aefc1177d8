//! `gridmpi plan`: its predictions before a run, compared with the run.

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Desk, Ran, gridmpi};
use serde_json::Value as Json;

/// The output of `gridmpi plan job.toml`, as JSON.
fn plan(desk: &Desk, arguments: &[&str]) -> Json {
    desk.run(gridmpi(), &[&["plan", "job.toml", "--format", "json"][..], arguments].concat())
        .exits(0)
        .json()
}

fn run(desk: &Desk, arguments: &[&str]) -> Ran {
    desk.run(gridmpi(), &[&["run", "job.toml", "--format", "json"][..], arguments].concat())
        .exits(0)
}

fn predicted(plan: &Json, workers: u64) -> f64 {
    let times = plan["prediction"]["times"].as_array().unwrap();
    let time = times.iter().find(|time| time["workers"] == workers).unwrap();
    time["seconds"]["expected"].as_f64().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Checks that a real run into that folder takes the predicted time within a tenth; not more than predicted for tasks
/// that take as much longer as its own did. A process that is held up makes a run longer, so one of several may be;
/// shorter than predicted, none may be. Returns the folder.
fn is_near(desk: &Desk, predicted: f64, slept: &str, real: impl Fn(&str) -> Ran) -> String {
    let mut seen = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        let out = format!("real-{predicted}-{}", seen.len());
        let seconds = real(&out).json()["timing"]["crunch_seconds"].as_f64().unwrap();
        let longer = format!("SELECT total(seconds) / total({slept}) FROM all_runs");
        let longer = &common::sql_rows(&desk.path(&out).join("runs.sqlite"), &longer)[0];
        let longer = longer.parse::<f64>().unwrap();
        seen.push((seconds, longer));
        assert!(seconds > 0.9 * predicted, "{predicted} s were predicted, it took {seen:?}");
        if seconds < 1.1 * predicted * longer {
            return out;
        }
    }
    panic!("{predicted} s were predicted, it took {seen:?}");
}

/// Has a store record of each task what it slept, by which a process that was held up changes no prediction.
fn set_durations(desk: &Desk, out: &str, slept: &str) {
    let sql = format!(
        "WITH slept AS (SELECT {slept} AS s, row_number() OVER (ORDER BY task) AS at FROM all_runs),
              kept AS (SELECT key, row_number() OVER (ORDER BY key) AS at FROM runs)
         UPDATE runs SET seconds = (SELECT s FROM slept JOIN kept USING (at) WHERE kept.key = runs.key);
         SELECT changes() > 0"
    );
    assert_eq!(common::sql_rows(&desk.path(out).join("runs.sqlite"), &sql), ["1"]);
}

/// Predicts the remaining time after a pilot, then the time on another number of workers once everything is
/// recorded, and compares both with real runs. Tasks sleep, so other load on the machine hardly matters.
fn predicts_what_comes(job: &str, slept: &str, tasks: u64, pilot: &str) {
    let desk = Desk::with_job(job);
    let said = plan(&desk, &["--out", "pilot", "--pilot", pilot, "--threads", "8"]);
    assert_eq!(said["done"].to_string(), pilot);
    assert_eq!(said["left"], tasks - pilot.parse::<u64>().unwrap());
    assert!(said["prediction"]["times"].is_array(), "{said}");
    // Those of tasks that were not held up are near what was slept, none is shorter.
    let measured = format!("SELECT min(seconds / {slept}) BETWEEN 1.0 AND 1.1 FROM all_runs");
    assert_eq!(common::sql_rows(&desk.path("pilot/runs.sqlite"), &measured), ["1"]);
    set_durations(&desk, "pilot", slept);
    let said = plan(&desk, &["--out", "pilot", "--workers", "8"]);
    let done = is_near(&desk, predicted(&said, 8), slept, |out| {
        copy(&desk.path("pilot"), &desk.path(out));
        let ran = run(&desk, &["--threads", "8", "--out", out]);
        assert!(ran.stderr.contains(&format!("{pilot} of {tasks} runs reused")), "{}", ran.stderr);
        ran
    });
    set_durations(&desk, &done, slept);
    let said = plan(&desk, &["--out", &done, "--fresh", "--workers", "12"]);
    assert_eq!((&said["left"], &said["recorded_durations"]), (&tasks.into(), &tasks.into()));
    is_near(&desk, predicted(&said, 12), slept, |out| {
        run(&desk, &["--threads", "12", "--out", out])
    });
}

const INNER: &str = "\n[[loop]]\nname = \"x\"\nrange = { from = 0, to = 10 }\nreduce = \"sum\"\n";

#[test]
fn constant_durations_are_predicted() {
    let outer = "[[loop]]\nname = \"y\"\nrange = { from = 0, to = 24 }\n";
    let job = format!("[crunch]\nbuiltin = \"multiply\"\nsleep = 0.08\n{outer}{INNER}");
    predicts_what_comes(&job, "0.08", 240, "24");
}

#[test]
fn lognormal_durations_are_predicted() {
    let inner = "[[loop]]\nname = \"s\"\nrandom = { count = 24, seed = 3, s = { lognormal = { mean = -2.6, sd = 0.5 } } }\nreduce = \"sum\"\n";
    let outer = "[[loop]]\nname = \"y\"\nrange = { from = 0, to = 10 }\n";
    let job = format!("[crunch]\nbuiltin = \"multiply\"\nsleep = \"s\"\n{outer}{inner}");
    predicts_what_comes(&job, "s", 240, "48");
}

#[test]
fn durations_of_two_classes_are_predicted() {
    let outer = "[[loop]]\nname = \"y\"\nrange = { from = 0, to = 60 }\n";
    let inner = "[[loop]]\nname = \"s\"\nvalues = [0.03, 0.3]\nreduce = \"sum\"\n";
    let job = format!("[crunch]\nbuiltin = \"multiply\"\nsleep = \"s\"\n{outer}{inner}");
    predicts_what_comes(&job, "s", 120, "16");
}

/// A job of 4 files and 10 numbers.
fn small() -> Desk {
    let desk = Desk::with_job(
        "name = \"small\"\n[crunch]\nshell = \"echo {x}\"\n\
         [[loop]]\nname = \"file\"\nfiles = \"*.dat\"\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 10 }\nreduce = \"max\"\n",
    );
    for (name, size) in [("a.dat", 10), ("b.dat", 2000), ("c.dat", 30), ("d.dat", 40)] {
        desk.write(name, &"x".repeat(size));
    }
    desk
}

#[test]
fn it_tells_what_would_run_and_leaves_nothing_behind() {
    let desk = small();
    let names = || fs::read_dir(desk.path("")).unwrap().count();
    let before = names();
    let text = desk.run(gridmpi(), &["plan", "job.toml"]).exits(0).stdout;
    for line in [
        "small (job.toml), crunch: shell echo {x}, by bash with pipefail",
        "loop  from   points  first  last   reduce",
        "file  files       4  a.dat  d.dat",
        "x     range      10  0      9      max",
        "40 tasks, 4 groups of 10 (max over x); the result has 4 rows.",
        "Order: as nested loops would.",
        "A worker reads at most 4 files, 2.1 kB; a task reads 2.0 kB at most.",
        "results/small: nothing is done yet.",
    ] {
        assert!(text.lines().any(|l| l == line), "{line:?} is not in\n{text}");
    }
    assert!(text.contains("gridmpi plan job.toml --pilot 8 does 8 tasks here"), "{text}");
    assert_eq!(names(), before);
    let said = plan(&desk, &[]);
    assert_eq!(
        (&said["tasks"], &said["bytes"], &said["task_bytes"]),
        (&40.into(), &2080.into(), &2000.into())
    );
    assert_eq!((&said["loops"][1]["last"], &said["prediction"]), (&9.into(), &Json::Null));
}

#[test]
fn a_pilot_is_the_beginning_of_the_run() {
    let desk = small();
    let said = plan(&desk, &["--pilot", "10", "--threads", "2"]);
    assert_eq!(
        (&said["done"], &said["left"], &said["pilot"]["done"]),
        (&10.into(), &30.into(), &10.into())
    );
    // The pilot covers every file and every number.
    let store = desk.path("results/small/runs.sqlite");
    let seen = |name: &str| {
        common::sql_rows(&store, &format!("SELECT count(DISTINCT {name}) FROM all_runs"))
    };
    assert_eq!((seen("file"), seen("x")), (vec!["4".to_string()], vec!["10".to_string()]));
    assert!(!desk.path("results/small/summary.json").exists());
    let status = desk.run(gridmpi(), &["status", "results/small"]).exits(0).stdout;
    assert!(status.contains("interrupted (10 of 40 runs, as requested)"), "{status}");
    let more = plan(&desk, &["--pilot", "4", "--threads", "2"]);
    assert_eq!((&more["done"], &more["pilot"]["done"]), (&14.into(), &4.into()));
    let ran = desk.run(gridmpi(), &["job.toml", "--threads", "2"]).exits(0);
    assert!(ran.stderr.contains("14 of 40 runs reused"), "{}", ran.stderr);
    assert!(desk.path("results/small/summary.json").exists());
    let text = desk.run(gridmpi(), &["plan", "job.toml"]).exits(0).stdout;
    assert!(
        text.contains("40 of 40 runs are there and would be reused; 0 tasks would be done."),
        "{text}"
    );
    assert!(text.contains("Nothing is left to do."), "{text}");
    // A pilot larger than the job completes it.
    let other = small();
    plan(&other, &["--pilot", "1000", "--threads", "2"]);
    assert!(other.path("results/small/summary.json").exists());
}

#[test]
fn what_failed_would_be_tried_again() {
    let desk = small();
    let job = fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &job.replace("echo {x}", "test -e ready || test {x} -ne 3 && echo {x}"));
    desk.run(gridmpi(), &["job.toml", "--threads", "2"]).exits(100);
    let said = plan(&desk, &[]);
    assert_eq!((&said["done"], &said["left"], &said["failed"]), (&36.into(), &4.into(), &4.into()));
    let text = desk.run(gridmpi(), &["plan", "job.toml"]).exits(0).stdout;
    let line = "36 of 40 runs are there and would be reused, 4 runs that failed would be tried again; 4 tasks would be done.";
    assert!(text.contains(line), "{text}");
    desk.write("ready", "");
    let said = plan(&desk, &["--pilot", "3", "--threads", "1"]);
    assert_eq!((&said["done"], &said["failed"]), (&39.into(), &1.into()));
    let store = desk.path("results/small/runs.sqlite");
    let attempts = common::sql_rows(&store, "SELECT count(*) FROM all_runs WHERE attempt = 2");
    assert_eq!(attempts, ["3"]);
}

#[test]
fn a_changed_job_is_matched_as_a_start_matches_it() {
    let desk = small();
    desk.run(gridmpi(), &["job.toml", "--threads", "2"]).exits(0);
    let job = fs::read_to_string(desk.path("job.toml")).unwrap();
    // One more file, one with changed content, fewer numbers, and some new ones.
    desk.write("b.dat", "other");
    desk.write("e.dat", "new");
    desk.write("job.toml", &job.replace("from = 0, to = 10", "from = 5, to = 12"));
    let said = plan(&desk, &[]);
    assert_eq!((&said["tasks"], &said["done"]), (&35.into(), &15.into()), "a, c and d with 5 to 9");
    let ran = desk.run(gridmpi(), &["job.toml", "--threads", "2"]).exits(0);
    assert!(ran.stderr.contains("15 of 35 runs reused"), "{}", ran.stderr);
    // The first store's runs are used again, too.
    desk.write("job.toml", &job);
    assert_eq!(plan(&desk, &[])["done"], 40);
    let ran = desk.run(gridmpi(), &["job.toml", "--threads", "2"]).exits(0);
    assert!(ran.stderr.contains("40 of 50 runs reused"), "{}", ran.stderr);
    // After a change of crunch no run can be reused, but the durations are still used.
    desk.write("job.toml", &job.replace("echo {x}", "echo 1{x}"));
    let said = plan(&desk, &[]);
    assert_eq!(
        (&said["done"], &said["left"], &said["recorded_durations"]),
        (&0.into(), &50.into(), &50.into())
    );
    let refused = said["refused"].as_str().unwrap();
    let ran = desk.run(gridmpi(), &["job.toml", "--threads", "2"]).exits(2);
    assert!(ran.stderr.contains(refused) && refused.contains("--keep uses"), "{}", ran.stderr);
    let text = desk.run(gridmpi(), &["plan", "job.toml"]).exits(0).stdout;
    assert!(
        text.contains("A start would be refused: results folder results/small: crunch has changed"),
        "{text}"
    );
}

#[test]
fn a_grid_of_a_thousand_million_tasks_is_planned_too() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 1_000_000_000 }\nreduce = \"sum\"\n",
    );
    let text = desk
        .run(
            gridmpi(),
            &["plan", "job.toml", "--pilot", "200", "--threads", "2", "--workers", "100"],
        )
        .exits(0)
        .stdout;
    assert!(text.contains("1,000,000,000 tasks, 1 group of 1,000,000,000 (sum over x)"), "{text}");
    assert!(text.contains("200 of 1,000,000,000 runs are there"), "{text}");
    assert!(text.contains("Played with 5,000 tasks that stand for them"), "{text}");
}

#[test]
fn a_plan_can_be_made_while_a_run_goes() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo {x} >> started; sleep 0.2; echo {x}\"\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 1000 }\nreduce = \"sum\"\n",
    );
    let mut command = gridmpi();
    command.args(["job.toml", "--threads", "4", "--out", "out"]).current_dir(desk.path(""));
    let mut going = command.spawn().unwrap();
    let done = || plan(&desk, &["--out", "out", "--workers", "4"])["done"].as_u64().unwrap();
    while !desk.path("out/runs.sqlite").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    while done() < 8 {
        assert!(going.try_wait().unwrap().is_none());
    }
    // The pilot locks the folder.
    let ran = desk.run(gridmpi(), &["plan", "job.toml", "--out", "out", "--pilot", "3"]).exits(2);
    assert!(ran.stderr.contains("in use by another gridmpi"), "{}", ran.stderr);
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&going),
        rustix::process::Signal::INT,
    )
    .unwrap();
    assert_eq!(going.wait().unwrap().code(), Some(75));
}

#[test]
fn the_cores_of_this_machine_are_among_the_workers() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\nsleep = 0.01\n[[loop]]\nname = \"x\"\nrange = { from = 0, to = 300 }\nreduce = \"max\"\n",
    );
    let cores = std::thread::available_parallelism().unwrap().get() as u64;
    let plan = desk.says(&["plan", "job.toml", "--out", "out", "--pilot", "8"]);
    assert_eq!(plan.matches(&format!("here: {cores} ")).count(), 1, "{plan}");
    let json = plan_json(&desk);
    assert_eq!(json["workers_here"], cores);
    let times = json["prediction"]["times"].as_array().unwrap();
    assert!(times.iter().any(|time| time["workers"] == cores), "{json}");
}

fn plan_json(desk: &Desk) -> Json {
    serde_json::from_str(&desk.says(&["plan", "job.toml", "--out", "out", "--format", "json"]))
        .unwrap()
}
