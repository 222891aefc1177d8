//! `gridmpi compare` of a job that stops points early: what is made and how long it takes follows from the scores of
//! runs in a folder, or is not told, with the reason.

mod common;

use std::fs;

use common::{Desk, cells, gridmpi, sql_rows};
use serde_json::{Value as Json, json};

/// The greater alpha is, the better, and the more so the greater the data set is: others are stopped in each.
const FIT: &str = "
import os
def crunch(d, alpha, fold):
    if d == 3 and alpha == 8 and os.path.exists('fails'): raise ValueError('singular')
    score = round(d * alpha / 30 + fold / 1000 + (alpha * 7 + fold * 3) % 5 / 100, 3)
    return {'score': score, 'r2': -alpha}
";

const SURELY: &str = "stop = \"sure\"";

/// Of each data set 8, then 3, then 1 of the points go on: 8 runs, 2 more of three points, 6 more of one.
const HALVES: &str = "stop = { halve = 3 }";

/// Three data sets of 8 points of 9 folds, with this in the loop over alpha.
fn job(alpha: &str) -> String {
    format!(
        "[crunch]\npython = \"fit.py:crunch\"\nscore_range = [0, 1]\nretries = 0\n\
         [[loop]]\nname = \"d\"\nvalues = [1, 2, 3]\n\
         [[loop]]\nname = \"alpha\"\nvalues = [1, 2, 3, 4, 5, 6, 7, 8]\nreduce = \"max\"\n{alpha}\n\
         [[loop]]\nname = \"fold\"\nrange = {{ from = 0, to = 9 }}\nreduce = \"mean\"\n"
    )
}

/// A folder with this job, and all runs of its grid in `full`.
fn computed(alpha: &str) -> Desk {
    let desk = Desk::with_job(&job(""));
    desk.write("fit.py", FIT);
    desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "full"]).exits(0);
    set_durations(&desk, "full");
    desk.write("job.toml", &job(alpha));
    desk
}

/// Sets the recorded durations, which follow from the load of the machine otherwise: one run that has been held up can
/// take longer than all others.
fn set_durations(desk: &Desk, out: &str) {
    let durations = "UPDATE runs SET seconds = 0.01 + key % 7 * 0.001; SELECT changes() > 0";
    assert_eq!(sql_rows(&desk.path(out).join("runs.sqlite"), durations), ["1"]);
}

/// The number of runs that a start in a new folder makes.
fn made(desk: &Desk) -> u64 {
    desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "made"]).exits(0);
    set_durations(desk, "made");
    let store = rusqlite::Connection::open(desk.path("made/runs.sqlite")).unwrap();
    store.query_row("SELECT count(*) FROM runs", [], |row| row.get::<_, i64>(0)).unwrap() as u64
}

const COMPARE: [&str; 4] = ["compare", "job.toml", "--workers", "3"];

fn told(desk: &Desk, more: &[&str]) -> String {
    desk.says(&[&COMPARE[..], more].concat())
}

fn told_as_json(desk: &Desk, more: &[&str]) -> Json {
    let arguments = [&COMPARE[..], more, &["--format", "json"]].concat();
    desk.run(gridmpi(), &arguments).exits(0).json()
}

fn strategy<'a>(compared: &'a Json, name: &str) -> &'a Json {
    let all = compared["strategies"].as_array().unwrap();
    all.iter().find(|entry| entry["strategy"] == name).unwrap_or_else(|| panic!("{name}: {all:?}"))
}

/// The cells of the row of a strategy, by column.
fn row(text: &str, name: &str) -> Vec<(String, String)> {
    let table = cells(text.split_once("\n\n").unwrap().1);
    let row = table.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{name}: {text}"));
    table[0].iter().cloned().zip(row.iter().cloned()).collect()
}

fn cell(text: &str, name: &str, column: &str) -> String {
    let row = row(text, name);
    let found = row.into_iter().find(|(header, _)| header == column);
    found.unwrap_or_else(|| panic!("{column}: {text}")).1
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn as_many_runs_are_compared_as_a_start_makes() {
    for alpha in [SURELY, HALVES] {
        let desk = computed(alpha);
        let made = made(&desk);
        assert!(made < 200, "{alpha}: {made}");
        // By all runs of the grid, or by those that a start has made.
        for out in ["full", "made"] {
            let compared = told_as_json(&desk, &["--out", out]);
            let stopping = strategy(&compared, "stopping");
            assert_eq!(stopping["tasks_run"], json!(made), "{alpha}, {out}");
            let all = ["serial", "outer", "inner", "flattened", "longest-first"];
            assert!(all.iter().all(|name| strategy(&compared, name)["tasks_run"] == json!(216)));
            assert_eq!(strategy(&compared, "nested maps")["tasks_run"], Json::Null, "a deadlock");
            let number = |name: &str, key: &str| strategy(&compared, name)[key].as_f64().unwrap();
            assert!(number("stopping", "busy_seconds") < number("flattened", "busy_seconds"));
            assert!(
                number("stopping", "makespan_seconds") < number("flattened", "makespan_seconds")
            );
            assert!(
                number("stopping", "first_group_seconds") <= number("stopping", "makespan_seconds")
            );
            let stop = &compared["stop"];
            assert_eq!((&stop["loop"], &stop["not_compared"]), (&json!("alpha"), &Json::Null));
            assert_eq!((&stop["groups"], &stop["decided"]), (&json!(3), &json!(3)));
        }
        let text = told(&desk, &["--out", "full"]);
        assert_eq!(cell(&text, "stopping", "runs"), made.to_string());
        assert_eq!(cell(&text, "flattened", "runs"), "216");
        let header = "strategy       runs  makespan  utilisation";
        let saved = format!("Stopping early in loop 'alpha' makes {made} of 216 runs in ");
        contains(
            &text,
            &[header, " of all runs can take less", &saved, "times as fast as flattened.\n"],
        );
        assert!(!text.contains("not compared"), "{text}");
        assert_eq!(told(&desk, &["--out", "full"]), text, "it is the same each time");
    }
}

#[test]
fn what_is_not_decided_is_not_compared() {
    let desk = computed(SURELY);
    let says = |out: &str| {
        let text = told(&desk, &["--out", out]);
        let columns = ["runs", "makespan", "utilisation", "idle", "first group", "median group"];
        assert!(columns.iter().all(|column| cell(&text, "stopping", column) == "-"), "{text}");
        assert!(!text.contains("Stopping early"), "{text}");
        let reason = text.split_once("Stopping is not compared: ").unwrap().1;
        reason.lines().next().unwrap().to_string()
    };
    // One data set is not there.
    desk.write("job.toml", &job(SURELY).replace("[1, 2, 3]", "[1, 2]"));
    desk.run(gridmpi(), &["job.toml", "--out", "some"]).exits(0);
    desk.write("job.toml", &job(SURELY));
    let two = "2 of 3 groups of loop 'alpha' are decided by the runs in some. Run the job, then compare again.";
    assert_eq!(says("some"), two);
    let compared = told_as_json(&desk, &["--out", "some"]);
    let stopping = strategy(&compared, "stopping");
    assert_eq!((&stopping["makespan_seconds"], &stopping["tasks_run"]), (&Json::Null, &Json::Null));
    assert_eq!(
        (&compared["stop"]["decided"], &compared["stop"]["not_compared"]),
        (&json!(2), &json!(two))
    );
    // One run of the best point has failed, so that it is not known what it is.
    desk.write("fails", "");
    desk.run(gridmpi(), &["job.toml", "--out", "failed"]).exits(100);
    fs::remove_file(desk.path("fails")).unwrap();
    let failed = says("failed");
    assert!(
        failed
            .starts_with("2 of 3 groups of loop 'alpha' are decided by the runs in failed, where "),
        "{failed}"
    );
    assert!(failed.contains(" failed and decide nothing. Run the job, "), "{failed}");
    // Another crunch would have other scores.
    desk.write("fit.py", &FIT.replace("/ 30", "/ 40"));
    contains(&says("full"), &["a start would not use the runs in full, ", "fit.py has changed"]);
    desk.write("fit.py", FIT);
    // What is compared is not the score, or not the score that was recorded.
    desk.write("job.toml", &job(SURELY).replace("\"max\"", "{ max = \"score\" }"));
    contains(&says("full"), &["loop 'alpha' compares something else than the score of a run"]);
    let other = job(SURELY).replace("[0, 1]", "[-9, 0]\nscore = \"r2\"");
    desk.write("job.toml", &other);
    contains(
        &says("full"),
        &["the scores in full are not what the job now takes as the score of a run"],
    );
}

#[test]
fn halves_of_equal_durations_need_no_scores() {
    let desk = Desk::with_job(&job(HALVES));
    desk.write("fit.py", FIT);
    // 24 + 18 + 18 runs, three at a time: no worker ever waits.
    let second = ["--seconds", "1"];
    let compared = told_as_json(&desk, &second);
    let stopping = strategy(&compared, "stopping");
    assert_eq!((&stopping["tasks_run"], &stopping["makespan_seconds"]), (&json!(60), &json!(20.0)));
    let conclusion = "Flattening gains no time here: outer takes 72.0 s too. No schedule of all runs can take less. \
                      Stopping early in loop 'alpha' makes 60 of 216 runs in 20.0 s, 3.60 times as fast as flattened.";
    assert_eq!(compared["conclusion"], conclusion);
    // Nor do they where a field is compared.
    desk.write("job.toml", &job(HALVES).replace("\"max\"", "{ max = \"r2\" }"));
    assert_eq!(strategy(&told_as_json(&desk, &second), "stopping"), stopping);
    // Surely depends on them.
    desk.write("job.toml", &job(SURELY));
    let text = told(&desk, &second);
    contains(
        &text,
        &[
            "which points of loop 'alpha' are stopped depends on scores, and with --seconds no results folder is read.",
        ],
    );
    assert_eq!(cell(&text, "stopping", "runs"), "-");
}

#[test]
fn halves_of_other_durations_say_how_many_runs_are_made() {
    let text = "[crunch]\nbuiltin = \"multiply\"\nsleep = \"x\"\n[[loop]]\nname = \"x\"\nvalues = [0.01, 0.02, 0.03]\n\
                reduce = \"max\"\nstop = { halve = 2 }\n[[loop]]\nname = \"y\"\nrange = { from = 1, to = 5 }\nreduce = \"mean\"\n";
    let desk = Desk::with_job(text);
    // 3 runs, one more of two points, two more of one.
    let text = told(&desk, &[]);
    let cells = ["runs", "makespan"].map(|column| cell(&text, "stopping", column));
    assert_eq!(cells, ["7", "-"], "{text}");
    contains(
        &text,
        &["Stopping is not compared: there are no runs in results/job whose scores decide "],
    );
}

#[test]
fn the_real_one_stops_as_a_start_does() {
    let desk = computed(SURELY);
    let made = made(&desk);
    let real = ["--out", "full", "--split", "1+2", "--real"];
    let compared = told_as_json(&desk, &real);
    for (name, runs) in [("stopping", made), ("flattened", 216)] {
        let entry = strategy(&compared, name);
        assert_eq!(
            (&entry["tasks_run"], &entry["measured_tasks_run"]),
            (&json!(runs), &json!(runs))
        );
        assert!(entry["measured_seconds"].as_f64().unwrap() > 0.0, "{entry}");
        assert_eq!(entry["measured_failed"], json!(0));
    }
    // What was measured is told where nothing was played.
    let given = ["--seconds", "0.001", "--split", "1+2", "--real"];
    let text = told(&desk, &given);
    let cells = ["runs", "makespan"].map(|column| cell(&text, "stopping", column));
    assert_eq!(cells, [made.to_string(), "-".to_string()], "{text}");
    assert_ne!(cell(&text, "stopping", "measured"), "-");
    contains(&text, &["\nThe number of runs of stopping is the measured one.\n"]);
    assert_eq!(strategy(&told_as_json(&desk, &given), "stopping")["tasks_run"], Json::Null);
    assert!(!desk.path("results").exists(), "nothing is stored");
}

#[test]
fn a_job_that_stops_nothing_is_compared_as_ever() {
    let desk = computed("");
    let text = told(&desk, &["--out", "full"]);
    assert!(!text.to_lowercase().contains("stop"), "{text}");
    contains(
        &text,
        &["\nstrategy       makespan  utilisation", "longest-first", "No schedule can take less"],
    );
    let compared = told_as_json(&desk, &["--out", "full"]).to_string();
    assert!(!compared.contains("stop") && !compared.contains("tasks_run"), "{compared}");
}

#[test]
fn scores_that_would_be_read_again_decide_nothing() {
    let text = |pattern: &str| {
        format!(
            "[crunch]\nshell = \"printf 'E = %s\\nF = -%s\\n' {{x}} {{x}} > out.dat\"\n[crunch.workdir]\nkeep = \"all\"\n\
             [crunch.result]\nscore = {{ file = \"out.dat\", pattern = '{pattern} = (\\S+)' }}\n\
             [[loop]]\nname = \"x\"\nvalues = [1, 2, 3]\nreduce = \"max\"\nstop = {{ halve = 2 }}\n\
             [[loop]]\nname = \"y\"\nrange = {{ from = 1, to = 5 }}\nreduce = \"mean\"\n"
        )
    };
    let desk = Desk::with_job(&text("E"));
    desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(0);
    set_durations(&desk, "out");
    let out = ["--out", "out"];
    contains(&told(&desk, &out), &["Stopping early in loop 'x' makes 7 of 12 runs in "]);
    desk.write("job.toml", &text("F"));
    contains(
        &told(&desk, &out),
        &["the scores in out are not what the job now takes as the score of a run"],
    );
}
