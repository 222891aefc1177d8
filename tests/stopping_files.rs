//! What files say of points that were stopped early: summary.json and summary.csv, exports, and the page of the report.

#[path = "common/browser.rs"]
mod browser;
mod common;
#[path = "common/report.rs"]
mod page;

use std::fs;
use std::process::Command;

use browser::Browser;
use common::{Desk, column, gridmpi, python_with_sklearn};
use page::{assert_clean, hover, report, reported};
use serde_json::{Value as Json, json};

const SURE: &str = "stop = \"sure\"";
const HALVES: &str = "stop = { halve = 3 }";

/// Two data sets, these alphas and six folds. The score of 60 is 0.60 to 0.62.
fn job(alphas: &str, stop: &str) -> String {
    format!(
        "name = \"early\"\n[crunch]\ncommand = [\"./score\", \"{{alpha}}\", \"{{fold}}\"]\nscore_range = [0, 1]\n\
         [[loop]]\nname = \"dataset\"\nvalues = [\"x\", \"y\"]\n\
         [[loop]]\nname = \"alpha\"\nvalues = [{alphas}]\nreduce = \"max\"\n{stop}\n\
         [[loop]]\nname = \"fold\"\nrange = {{ from = 0, to = 6 }}\nreduce = \"mean\"\n"
    )
}

fn desk(alphas: &str, stop: &str) -> Desk {
    let desk = Desk::with_job(&job(alphas, stop));
    let score = "#!/bin/sh\nprintf '0.%03d\\n' $(($1 * 10 + 10 * (($1 + $2) % 3)))\n";
    desk.script("score", score);
    desk
}

fn file(desk: &Desk, name: &str) -> String {
    fs::read_to_string(desk.path("out").join(name)).unwrap()
}

fn files(desk: &Desk) -> (String, String) {
    (file(desk, "summary.json"), file(desk, "summary.csv"))
}

#[test]
fn summaries_count_what_was_stopped() {
    let desk = desk("10, 20, 60, 58", SURE);
    desk.run_job().exits(0);
    let (summary, csv) = files(&desk);
    let groups: Json = serde_json::from_str(&summary).unwrap();
    // Three folds tell that 10 and 20 cannot win; 58 might have until the end.
    let counts = |group: &Json| json!([group["runs"], group["stopped"], group["skipped"]]);
    let all: Vec<Json> = groups["groups"].as_array().unwrap().iter().map(counts).collect();
    assert_eq!(all[..2], [json!([18, 2, 6]), json!([18, 2, 6])]);
    assert!(all[2..].iter().all(|group| *group == json!([6, null, null])), "{all:?}");
    assert_eq!(
        csv,
        "dataset,best_alpha,score,value,runs,failed,stopped,skipped,status,error\n\
         x,60,0.61,0.61,18,0,2,6,complete,\ny,60,0.61,0.61,18,0,2,6,complete,\n"
    );
    // Whatever made the runs, and however many there are, the files are the same.
    for threads in ["1", "5"] {
        desk.run(gridmpi(), &["job.toml", "--threads", threads, "--out", "out", "--fresh"])
            .exits(0);
        assert_eq!(files(&desk), (summary.clone(), csv.clone()));
    }
    desk.write("job.toml", &job("10, 60", SURE));
    desk.run_job().exits(0);
    assert_ne!(files(&desk).1, csv);
    desk.write("job.toml", &job("10, 20, 60, 58", SURE));
    desk.run_job().exits(0);
    assert_eq!(files(&desk), (summary.clone(), csv.clone()));
    desk.write("job.toml", &job("10, 20, 60, 58", ""));
    desk.run_job().exits(0);
    let (full, table) = files(&desk);
    assert!(!full.contains("stopped") && !full.contains("skipped"), "{full}");
    assert_eq!(
        table.lines().next(),
        Some("dataset,best_alpha,score,value,runs,failed,status,error")
    );
    desk.write("job.toml", &job("10, 20, 60, 58", SURE));
    desk.run_job().exits(0);
    assert_eq!(files(&desk), (summary, csv));
}

#[test]
fn a_loop_may_be_called_as_a_column_is() {
    let text = job("10, 60", SURE).replace("\"dataset\"", "\"stopped\"");
    let desk = desk("10, 60", SURE);
    desk.write("job.toml", &text);
    desk.run_job().exits(0);
    let header = "stopped,best_alpha,score,value,runs,failed,value.stopped,skipped,status,error";
    assert_eq!(file(&desk, "summary.csv").lines().next(), Some(header));
    let groups = desk.exported(&["--groups", "stopped"]);
    assert_eq!(column(&groups, "stopped"), json!(["x", "y"]));
    assert_eq!(column(&groups, "value.stopped"), json!([1, 1]));
}

#[test]
fn exports_have_a_row_for_each_run_that_was_skipped() {
    let alphas = "10, 20, 60";
    let desk = desk(alphas, SURE);
    desk.run_job().exits(0);
    let all = desk.exported(&[]);
    let tasks: Json = (0..36).collect();
    assert_eq!(column(&all, "task"), tasks);
    let status = |row: &Json| row["status"].as_str().unwrap() == "skipped";
    let skipped: Vec<Json> = all.iter().filter(|row| status(row)).cloned().collect();
    assert_eq!(column(&skipped, "task"), json!([3, 4, 5, 9, 10, 11, 21, 22, 23, 27, 28, 29]));
    assert_eq!(
        skipped[4],
        json!({ "task": 10, "dataset": "x", "alpha": 20, "fold": 4, "status": "skipped", "score": null, "seconds": null,
            "started": null, "rank": null, "host": null, "thread": null, "attempt": null, "memory": null,
            "error": "cannot beat alpha = 60: at most 0.605 against 0.61" })
    );
    // Every format has them, and conditions, orders and limits know of them.
    let csv = desk.says(&["export", "out", "--format", "csv"]);
    let line = "10,x,20,4,skipped,,,,,,,,,cannot beat alpha = 60: at most 0.605 against 0.61";
    assert_eq!(csv.lines().nth(11), Some(line));
    let array = desk.says(&["export", "out", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Vec<Json>>(&array).unwrap(), all);
    desk.says(&["export", "out", "--format", "parquet", "--to", "runs.parquet"]);
    let read = "import json, pyarrow.parquet as p; t = p.read_table('runs.parquet'); print(json.dumps([t['task'].to_pylist(), t['status'].to_pylist()]))";
    let mut python = Command::new(python_with_sklearn());
    python.args(["-c", read]);
    let read = desk.run(python, &[]).exits(0).json();
    assert_eq!(read, json!([tasks, column(&all, "status")]));
    let some =
        desk.exported(&["--where", "status = 'skipped' and alpha = 20 and error like '%0.605%'"]);
    assert_eq!(column(&some, "task"), json!([9, 10, 11, 27, 28, 29]));
    assert_eq!(desk.exported(&["--where", "score > 0.61"]).len(), 4);
    let sorted =
        ["runs", "out", "--sort", "status desc, task desc", "--limit", "2", "--format", "json"];
    let sorted: Vec<Json> = serde_json::from_str(&desk.says(&sorted)).unwrap();
    assert_eq!(column(&sorted, "task"), json!([29, 28]));
    let first = ["runs", "out", "--limit", "5", "--format", "json"];
    let first: Vec<Json> = serde_json::from_str(&desk.says(&first)).unwrap();
    assert_eq!(column(&first, "status"), json!(["ok", "ok", "ok", "skipped", "skipped"]));
    assert_eq!(desk.says(&["runs", "out", "--failed"]).lines().count(), 1);

    // Of the full grid that is there already, the runs that were not asked for are marked.
    desk.write("job.toml", &job(alphas, ""));
    desk.run_job().exits(0);
    let full = desk.exported(&[]);
    assert!(full.iter().all(|row| row["status"] == "ok"));
    desk.write("job.toml", &job(alphas, SURE));
    desk.run_job().exits(0);
    let marked = desk.exported(&[]);
    assert_eq!(column(&marked, "status"), column(&all, "status"));
    assert_eq!(column(&marked, "score"), column(&full, "score"));
    assert_eq!(
        marked[10]["error"],
        "cannot beat alpha = 60: at most 0.605 against 0.61; the run was made by an earlier start and counts nowhere"
    );
    let runs = desk.exported(&["--groups", "fold"]);
    assert_eq!(column(&runs, "status"), column(&all, "status"));
    assert_eq!(column(&runs, "error"), column(&marked, "error"));
}

#[test]
fn stopped_points_have_rows_among_the_groups_and_no_rank() {
    let desk = desk("10, 60, 58", SURE);
    desk.run_job().exits(0);
    let words = "2 points of loop 'alpha' were stopped early and are not ranked";
    let asked = ["export", "out", "--format", "csv", "--groups", "alpha"];
    let ran = desk.run(gridmpi(), &asked).exits(0);
    assert!(ran.stderr.contains(words), "{}", ran.stderr);
    let of = |set: &str| {
        format!(
            "{set},10,,,3,0,1,3,skipped,cannot beat alpha = 60: at most 0.555 against 0.61\n\
             {set},60,1,0.61,6,0,0,0,complete,\n{set},58,2,0.59,6,0,0,0,complete,\n"
        )
    };
    let header = "dataset,alpha,rank,score,runs,failed,stopped,skipped,status,error\n";
    assert_eq!(ran.stdout, format!("{header}{}{}", of("x"), of("y")));
    let all = desk.exported(&["--groups", "all"]);
    assert_eq!(all.len(), 2 + 6 + 36);
    let counts: Vec<_> = all.iter().map(|row| json!([row["loop"], row["skipped"]])).collect();
    assert_eq!(counts[..3], [json!(["dataset", 3]), json!(["dataset", 3]), json!(["alpha", 3])]);
    assert_eq!(counts.iter().filter(|c| **c == json!(["fold", 1])).count(), 6);
    // 20 could be better than 58, for all that is known of it.
    for (alphas, stop) in
        [("20, 60, 58", SURE), ("10, 20, 30, 40, 50, 60, 58", "stop = { halve = 3, from = 2 }")]
    {
        desk.write("job.toml", &job(alphas, stop));
        desk.run_job().exits(0);
        let refused = desk.run(gridmpi(), &asked).exits(2);
        for words in [
            "points of loop 'alpha'",
            "\"dataset\":\"x\"",
            "were stopped early and are not ranked",
            "remove `stop` and run again",
        ] {
            assert!(refused.stderr.contains(words), "{}", refused.stderr);
        }
        assert_eq!(refused.stdout, "");
        let sets = desk.exported(&["--groups", "dataset"]);
        assert_eq!(column(&sets, "best_alpha"), json!([60, 60]));
    }
    desk.write("job.toml", &job("20, 60, 58", ""));
    desk.run_job().exits(0);
    let full = desk.run(gridmpi(), &asked).exits(0);
    assert_eq!(full.stderr, "");
    let header = "dataset,alpha,rank,score,runs,failed,status,error\nx,20,3,0.21,6,0,complete,\n";
    assert!(full.stdout.starts_with(header), "{}", full.stdout);
}

fn words(browser: &mut Browser, what: &str) -> String {
    let text = browser.eval(&format!("document.querySelector('{what}').textContent"));
    text.as_str().unwrap().to_string()
}

#[test]
fn the_report_draws_stopped_points_as_stopped() {
    let desk = desk("10, 20, 60, 58", SURE);
    let mut browser = reported(&desk, 0);
    assert_eq!(
        words(&mut browser, ".headline"),
        "Complete: 36 runs, 12 skipped of 48, none failed."
    );
    let cells =
        browser.eval("[...document.querySelectorAll('#rows tbody td')].map(c => c.textContent)");
    assert!(cells.as_array().unwrap().contains(&json!("18 of 24, 6 skipped")), "{cells}");
    assert!(
        words(&mut browser, "#score").contains("4 points were stopped early and have no score")
    );
    // A line, its best point, and a hollow mark for each stopped one, for each data set.
    let drawn = "document.getElementById('scores')._fullData.map(t => [t.name, t.x.length, t.marker.symbol, t.yaxis])";
    let traces = json!([
        ["x", 4, "circle", "y"],
        ["x", 1, "star", "y"],
        ["x", 2, "circle-open", "y2"],
        ["y", 4, "circle", "y"],
        ["y", 1, "star", "y"],
        ["y", 2, "circle-open", "y2"]
    ]);
    assert_eq!(browser.eval(drawn), traces);
    let why = "stopped early: cannot beat alpha = 60: at most 0.605 against 0.61";
    hover(&mut browser, "scores", (5, 1), &["alpha: 20", why]);
    assert_clean(&mut browser);
    desk.says(&["report", "out", "--figures", "figures"]);
    let figure = fs::read_to_string(desk.path("figures/score-over-alpha.svg")).unwrap();
    assert!(figure.contains("stopped early"), "{figure}");
    // The full grid has none of it.
    desk.write("job.toml", &job("10, 20, 60, 58", ""));
    desk.run_job().exits(0);
    let page = fs::read_to_string(desk.path("out/report.html")).unwrap();
    assert!(page.contains("circle-open"));
    let mut browser = report(&desk);
    assert_eq!(words(&mut browser, ".headline"), "Complete: 48 of 48 runs are there, none failed.");
    assert_eq!(browser.eval("document.getElementById('scores')._fullData.length"), json!(4));
}

#[test]
fn a_map_has_hollow_marks_and_runs_that_do_not_count_are_not_counted() {
    let desk = desk("10, 60", "");
    let grid = |stop: &str| {
        job("10, 60", stop)
            .replace("values = [10, 60]", "grid = { a = [10, 20, 60], b = [\"p\", \"q\"] }")
            .replace("{alpha}", "{alpha.a}")
    };
    desk.write("job.toml", &grid(""));
    desk.run_job().exits(0);
    desk.write("job.toml", &grid(HALVES));
    let mut browser = reported(&desk, 0);
    // Of six points with a fold, two have three, and one of them has six.
    let headline = "Complete: 26 runs, 46 skipped of 72, none failed.";
    assert_eq!(words(&mut browser, ".headline"), headline);
    let marks = "(() => { const t = document.getElementById('scores')._fullData[2]; return [t.marker.symbol, t.x.length, t.y.length]; })()";
    assert_eq!(browser.eval(marks), json!(["circle-open", 5, 5]));
    let why = ["alpha.a: 10", "alpha.b: p", "stopped early: place"];
    hover(&mut browser, "scores", (2, 0), &why);
    assert_clean(&mut browser);
    desk.says(&["report", "out", "--figures", "figures"]);
    assert!(desk.path("figures/score-map-1.svg").exists());
}
