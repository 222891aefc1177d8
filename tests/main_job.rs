//! The main job, compared with scikit-learn, and on different numbers of threads and ranks.

mod common;

use std::process::Command;

use common::{Desk, gridmpi, jobs, mpirun, python_with_sklearn, runs_without_times, sql_rows};

/// Prints scikit-learn's score of every run, in grid order, for the given alphas and files.
const SKLEARN: &str = r#"
import json, sys
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

files, alphas, target, standardize, folds = json.load(sys.stdin)
for file in files:
    with open(file) as opened:
        names = opened.readline().strip().split(",")
    table = np.loadtxt(file, delimiter=",", skiprows=1)
    column = names.index(target) if target else len(names) - 1
    X, y = np.delete(table, column, axis=1), table[:, column]
    for alpha in alphas:
        model = Ridge(alpha=alpha)
        model = make_pipeline(StandardScaler(), model) if standardize else model
        print(*map(repr, map(float, cross_val_score(model, X, y, cv=KFold(folds)))), sep="\n")
"#;

fn sklearn_scores(question: &serde_json::Value) -> Vec<f64> {
    use std::io::Write;
    let mut child = Command::new(python_with_sklearn())
        .args(["-c", SKLEARN])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn column(desk: &Desk, sql: &str) -> Vec<f64> {
    let rows = sql_rows(&desk.path("out/runs.sqlite"), sql);
    rows.iter().map(|row| row.parse().unwrap()).collect()
}

fn assert_close(ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len());
    for (task, (our, their)) in ours.iter().zip(theirs).enumerate() {
        let relative = (our - their).abs() / their.abs();
        assert!(
            relative <= 1e-8,
            "task {task}: {our}, scikit-learn {their}, apart by {relative:e}"
        );
    }
}

const EXACT: &str = "SELECT printf('%!.17g', score) FROM all_runs ORDER BY task";

#[test]
fn every_run_equals_scikit_learns() {
    let desk = Desk::new();
    let job = jobs().join("ridge.toml");
    desk.run(gridmpi(), &[job.to_str().unwrap(), "--out", "out"]).exits(0);
    let files = ["crime", "diabetes", "doctor", "election"];
    let files: Vec<_> = files.map(|name| jobs().join(format!("data/{name}.csv"))).to_vec();
    let alphas =
        column(&desk, "SELECT printf('%!.17g', value) FROM points WHERE level = 1 ORDER BY point");
    assert_eq!(alphas.len(), 50);
    let theirs = sklearn_scores(&serde_json::json!([files, alphas, null, false, 5]));
    assert_eq!(theirs.len(), 4 * 50 * 5);
    assert_close(&column(&desk, EXACT), &theirs);
}

#[test]
fn a_named_target_and_standardized_features_equal_scikit_learns() {
    let file = jobs().join("data/crime.csv");
    let desk = Desk::with_job(&format!(
        r#"
        [crunch]
        builtin = "ridge"
        target = "murder"
        standardize = true
        [[loop]]
        name = "dataset"
        files = "{}"
        [[loop]]
        name = "alpha"
        values = [0.01, 1, 100.0]
        reduce = "max"
        [[loop]]
        name = "fold"
        range = {{ from = 0, to = 7 }}
        reduce = "mean"
        "#,
        file.display()
    ));
    desk.run_job().exits(0);
    let question = serde_json::json!([[file], [0.01, 1.0, 100.0], "murder", true, 7]);
    assert_close(&column(&desk, EXACT), &sklearn_scores(&question));
}

#[test]
fn threads_and_ranks_give_the_same_bytes() {
    let job = jobs().join("ridge.toml");
    let job = job.to_str().unwrap();
    let desk = Desk::new();
    desk.run(gridmpi(), &[job, "--threads", "1", "--out", "threads1"]).exits(0);
    let summary = |out: &str| std::fs::read(desk.path(out).join("summary.json")).unwrap();
    let runs = |out: &str| runs_without_times(&desk.path(out).join("runs.sqlite"));
    assert_eq!(runs("threads1").len(), 2 * 1000 + 204 + 54 + 3);
    desk.run(gridmpi(), &[job, "--threads", "4", "--out", "threads4"]).exits(0);
    for ranks in [2, 3, 9] {
        let out = format!("ranks{ranks}");
        let ran = desk.run(mpirun(ranks), &[job, "--out", &out]).exits(0);
        assert_eq!(ran.stdout.lines().count(), 5, "a header and four data sets:\n{}", ran.stdout);
        assert!(ran.stdout.contains("250 of 250"), "{}", ran.stdout);
    }
    for out in ["threads4", "ranks2", "ranks3", "ranks9"] {
        assert!(summary(out) == summary("threads1"), "{out}/summary.json differs");
        assert_eq!(runs(out), runs("threads1"), "{out}/runs.sqlite");
    }
    // All 8 workers are in the store.
    let hosts = "SELECT count(*), min(rank), max(rank) FROM workers";
    assert_eq!(sql_rows(&desk.path("ranks9/runs.sqlite"), hosts), ["8|1|8"]);
}

#[test]
fn every_job_in_jobs_runs_and_is_the_same_over_mpi() {
    let python = python_with_sklearn();
    let venv = python.parent().unwrap().to_str().unwrap().to_string();
    let path = format!("{venv}:{}", std::env::var("PATH").unwrap());
    for name in ["command", "nested", "sklearn"] {
        let job = jobs().join(format!("{name}.toml"));
        let desk = Desk::new();
        let mut threads = gridmpi();
        threads.env("PATH", &path);
        desk.run(threads, &[job.to_str().unwrap(), "--out", "threads"]).exits(0);
        let mut ranks = mpirun(3);
        ranks.env("PATH", &path);
        desk.run(ranks, &[job.to_str().unwrap(), "--out", "ranks"]).exits(0);
        let summary = |out| std::fs::read_to_string(desk.path(out).join("summary.json")).unwrap();
        assert_eq!(summary("threads"), summary("ranks"), "{name}");
        assert!(summary("threads").contains("\"complete\""), "{name}");
    }
}

#[test]
fn sqlite_clients_see_loops_as_columns() {
    let desk = Desk::with_job(
        r#"
        [crunch]
        builtin = "multiply"
        [[loop]]
        name = "dataset"
        values = [2, 3]
        [[loop]]
        name = "model"
        grids = [{ a = [1, 2] }, { a = [5], kind = ["x"] }]
        reduce = "max"
        [[loop]]
        name = "repeat"
        range = { from = 4, to = 0, step = -2 }
        reduce = "sum"
        "#,
    );
    desk.run_job().exits(0);
    let best = "SELECT dataset, max(score) FROM all_runs GROUP BY dataset";
    assert_eq!(desk.sql(best), ["2|40.0", "3|60.0"]);
    let fields = r#"SELECT "model.a", "model.kind", repeat, score, value, status, rank > 0, attempt
                    FROM all_runs WHERE task IN (0, 11)"#;
    assert_eq!(desk.sql(fields), ["1||4|8.0|8.0|ok|1|1", "5|x|2|30.0|30.0|ok|1|1"]);
    assert_eq!(
        desk.sql("SELECT value FROM job WHERE key IN ('state', 'exit_code') ORDER BY key DESC"),
        ["complete", "0"]
    );
}
