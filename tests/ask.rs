//! Queries of a results folder: `best`, `runs`, `explain`, `export`, and rerunning a single task.

mod common;

use std::fs;
use std::process::Command;

use common::{Desk, example, gridmpi, of_tasks, python_with_sklearn, sql_rows};
use serde_json::{Value as Json, json};

/// Fits that return records; one alpha fails on one data set, with a message on stderr.
const FIT: &str = r#"#!/bin/sh
case "$1 $2" in
    *b.csv\ 0.1) echo "reading $1" >&2; echo "singular matrix" >&2; exit 3;;
esac
echo "{\"score\": $2, \"rmse\": 0.5, \"n\": 3, \"model\": \"$1 é\", \"ok\": true, \"fit\": [1, $3], \"seed\": $GRIDMPI_SEED}"
"#;

const JOB: &str = r#"
[crunch]
command = ["./fit.sh", "{dataset}", "{p.alpha}", "{fold}"]
require = 0.5
[[loop]]
name = "dataset"
files = "data/*.csv"
[[loop]]
name = "p"
grid = { alpha = [0.01, 0.1, 1.0, 10.0], kind = ["it's"] }
reduce = "max"
[[loop]]
name = "fold"
range = { from = 0, to = 3 }
reduce = "mean"
"#;

fn fitted() -> Desk {
    let desk = Desk::with_job(JOB);
    desk.script("fit.sh", FIT);
    desk.write("data/a.csv", "1\n");
    desk.write("data/b.csv", "2\n");
    desk.run_job().exits(100);
    desk
}

fn json(desk: &Desk, arguments: &[&str]) -> Json {
    desk.run(gridmpi(), &[arguments, &["--format", "json"]].concat()).exits(0).json()
}

/// All files of the folder, with contents.
fn contents(desk: &Desk) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(desk.path("out")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = entries
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn best_ranks_the_points_of_each_row() {
    let desk = fitted();
    let table = desk.says(&["best", "out"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["dataset", "p", "mean", "score", "runs"]);
    assert_eq!(rows[1][..1], ["data/a.csv"]);
    assert!(table.lines().nth(2).unwrap().ends_with("(best of 3 of 4, 1 failed)"), "{table}");
    let top = json(&desk, &["best", "out", "--top", "3"]);
    let alphas = |row: &Json| -> Vec<f64> {
        let places = row["best"].as_array().unwrap().iter();
        places.map(|place| place["coordinates"]["p"]["alpha"].as_f64().unwrap()).collect()
    };
    assert_eq!(alphas(&top[0]), [10.0, 1.0, 0.1]);
    assert_eq!(alphas(&top[1]), [10.0, 1.0, 0.01], "one that failed is never the best");
    assert_eq!((&top[0]["status"], &top[1]["status"]), (&json!("complete"), &json!("partial")));
    assert_eq!((&top[1]["failed"], &top[1]["best"][0]["runs"]), (&json!(3), &json!(3)));
    // The first one equals the summary.
    let summary: Json =
        serde_json::from_slice(&fs::read(desk.path("out/summary.json")).unwrap()).unwrap();
    assert_eq!(summary["groups"][0]["summary"]["score"], top[0]["best"][0]["score"]);
}

#[test]
fn what_is_not_final_is_marked_partial() {
    let desk = fitted();
    // As during a run: the second data set has five runs, and one of its four points is closed.
    sql_rows(
        &desk.path("out/runs.sqlite"),
        &format!(
            "DELETE FROM runs WHERE {};
             DELETE FROM groups WHERE level = 1 AND number = 1 OR level = 2 AND number > 4;",
            of_tasks("task > 16 OR task = 15")
        ),
    );
    let table = desk.says(&["best", "out"]);
    let notes: Vec<&str> =
        table.lines().skip(1).map(|l| l.split_once('(').map_or("", |(_, n)| n)).collect();
    assert_eq!(notes, ["", "partial: 4 of 12 runs, 1 failed)"], "{table}");
    let rows = json(&desk, &["best", "out"]);
    assert_eq!((&rows[0]["status"], &rows[1]["status"]), (&json!("complete"), &json!("partial")));
    assert_eq!((&rows[1]["runs"], &rows[1]["all"]), (&json!(4), &json!(12)));
    assert_eq!(rows[1]["best"][0]["coordinates"]["p"]["alpha"], 0.01);
}

#[test]
fn best_goes_by_min_where_the_job_does_and_else_by_the_score() {
    let job = "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"a\"\nvalues = [2, -3]\n[[loop]]\nname = \"b\"\nvalues = [5, 4, 4]\n";
    let first = |job: &str, arguments: &[&str]| {
        let desk = Desk::with_job(job);
        desk.run_job().exits(0);
        json(&desk, &[&["best", "out", "--top", "2"], arguments].concat())
    };
    let scores = |row: &Json| -> Vec<f64> {
        row["best"].as_array().unwrap().iter().map(|b| b["score"].as_f64().unwrap()).collect()
    };
    let min = first(&format!("{job}reduce = \"min\"\n"), &[]);
    assert_eq!((scores(&min[0]), scores(&min[1])), (vec![8.0, 8.0], vec![-15.0, -12.0]));
    assert_eq!(min[0]["reduce"], "min");
    let rows = first(job, &[]);
    assert_eq!((scores(&rows[0]), rows.as_array().unwrap().len()), (vec![10.0, 8.0], 1));
    assert_eq!(scores(&first(job, &["--lowest"])[0]), [-15.0, -12.0]);
    let mean = first(&format!("{job}reduce = \"mean\"\n"), &[]);
    assert_eq!(mean[0]["best"][0]["coordinates"], json!({ "a": 2 }));
}

#[test]
fn runs_are_listed_by_what_they_are() {
    let desk = fitted();
    let failed = desk.says(&["runs", "out", "--failed"]);
    assert_eq!(failed.lines().count(), 4, "{failed}");
    assert!(failed.contains("exit status: 3: singular matrix"), "{failed}");
    for (clauses, count) in [
        (&["p.alpha<1 and fold=0"][..], 4),
        (&["dataset like '%a.csv'", "fold in (0, 2)"], 8),
        (&["\"p.kind\" = 'it''s'"], 24),
        (&["p.kind = \"it's\" and rmse < 1"], 21),
        (&["value.n = 3 and ok"], 21),
        (&["status = 'failed' or score is null"], 3),
        (&["abs(p.alpha - 0.1) < 1e-9 and attempt = 1"], 6),
        (&["json_extract(fit, '$[1]') = 2"], 7),
        (&["\"p.kind\" = \"mine\" or fold = 1"], 8),
        (&["error like '%singular%'"], 3),
        (&["seconds > 1e6"], 0),
    ] {
        let mut arguments = vec!["runs", "out"];
        clauses.iter().for_each(|clause| arguments.extend(["--where", clause]));
        let found = json(&desk, &arguments);
        assert_eq!(found.as_array().unwrap().len(), count, "{clauses:?}");
    }
    let sorted = json(&desk, &["runs", "out", "--sort", "score desc, fold desc", "--limit", "2"]);
    let of = |run: &Json| (run["task"].clone(), run["score"].clone());
    assert_eq!(of(&sorted[0]), (json!(11), json!(10.0)));
    assert_eq!(of(&sorted[1]), (json!(23), json!(10.0)), "then in grid order");
    let run = &sorted[0];
    assert_eq!(run["coordinates"]["p.alpha"], json!(10.0));
    assert_eq!(run["value"]["model"], "data/a.csv é");
    let quoted = json(&desk, &["runs", "out", "--sort", " \"p.alpha\" desc ,\"task\" desc"]);
    assert_eq!((&quoted[0]["task"], &quoted[23]["task"]), (&json!(23), &json!(0)));
    let all = json(&desk, &["runs", "out", "--limit", &u64::MAX.to_string()]);
    assert_eq!(all.as_array().unwrap().len(), 24);
    let by_rmse = json(&desk, &["runs", "out", "--sort", "rmse", "--limit", "1"]);
    assert_eq!(by_rmse[0]["status"], "ok", "what has none comes last");
}

#[test]
fn explain_tells_what_became_of_a_task_and_how_to_run_it_again() {
    let desk = fitted();
    let text = desk.says(&["explain", "out", "dataset=b", "p.alpha=0.1", "fold=2"]);
    for part in [
        "task      17 of 24: dataset data/b.csv",
        "status    failed",
        "reading data/b.csv\n          singular matrix\n",
        "rank ",
        " UTC for ",
        "incomplete, 3 of 3 points without a result",
        "over p: partial, mean score 10 from 9 runs, 3 failed",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let failed = json(&desk, &["explain", "out", "17"]);
    assert_eq!(failed["attempts"][0]["status"], "failed");
    let by_hand = |explained: &Json| {
        let mut shell = Command::new("sh");
        shell.args(["-c", explained["by_hand"].as_str().unwrap()]);
        Desk::new().run(shell, &[])
    };
    let again = by_hand(&failed).exits(3);
    assert_eq!(again.stderr, "reading data/b.csv\nsingular matrix\n");
    // A successful run gives the same result, in the same environment.
    let good = json(&desk, &["explain", "out", "dataset=a.csv", "p.alpha=.1", "fold=1"]);
    let printed: Json = serde_json::from_str(&by_hand(&good).exits(0).stdout).unwrap();
    assert_eq!(printed, good["value"]);
    assert_eq!(printed["seed"], good["seed"]);
}

#[test]
fn a_python_function_and_a_study_are_run_again_alone() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"fit.py:crunch\"\n[[loop]]\nname = \"p\"\ngrid = { depth = [2, 3], kind = [\"a\", \"it's\"] }\n[[loop]]\nname = \"x\"\nvalues = [0, 1]\nreduce = \"mean\"\n",
    );
    desk.write("fit.py", "def crunch(p, x, seed):\n    return {'score': p['depth'] / x, 'kind': p['kind'], 'seed': seed}\n");
    desk.run_job().exits(100);
    let before = contents(&desk);
    let by_hand = |explained: &Json, more: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{} {more}", explained["by_hand"].as_str().unwrap())]);
        shell.env("RUST_LOG", "error");
        desk.run(shell, &[])
    };
    let good = json(&desk, &["explain", "out", "p.depth=3", "p.kind=it's", "x=1"]);
    let printed: Json = serde_json::from_str(&by_hand(&good, "").exits(0).stdout).unwrap();
    assert_eq!(printed, good["value"]);
    let bad = json(&desk, &["explain", "out", "p.depth=3", "p.kind=a", "x=0"]);
    let again = by_hand(&bad, "").exits(100);
    assert!(
        again.stdout.is_empty() && again.stderr.contains("ZeroDivisionError"),
        "{}",
        again.stderr
    );
    assert_eq!(by_hand(&bad, "--format json").exits(100).json()["error"], bad["error"]);
    assert_eq!(contents(&desk), before, "nothing is stored");
    // The job file has changed: the output says so, and the store's first task is still found.
    desk.write(
        "job.toml",
        &fs::read_to_string(desk.path("job.toml")).unwrap().replace("[2, 3]", "[1, 2]"),
    );
    let changed = json(&desk, &["explain", "out", "1"]);
    assert_eq!(changed["by_hand_note"], "the job file has changed since; nothing is stored");
    assert_eq!(by_hand(&changed, "").exits(0).stdout, changed["value"].to_string() + "\n");

    let mut study = Command::new(example("montecarlo"));
    study.args(["--out", "study", "--threads", "2"]);
    desk.run(study, &[]).exits(0);
    let explained = json(&desk, &["explain", "study", "width=8", "repeat=5"]);
    assert_eq!(by_hand(&explained, "").exits(0).stdout, format!("{}\n", explained["value"]));
}

#[test]
fn exports_have_every_run_with_a_column_for_everything() {
    let desk = fitted();
    let csv = desk.says(&["export", "out", "--format", "csv"]);
    let mut lines = csv.lines();
    assert_eq!(
        lines.next().unwrap(),
        "task,dataset,p.alpha,p.kind,fold,status,score,rmse,n,model,ok,fit,seed,seconds,started,rank,host,thread,attempt,memory,error"
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("0,data/a.csv,0.01,it's,0,ok,0.01,0.5,3,data/a.csv é,true,\"[1,0]\",")
    );
    let jsonl = desk.says(&["export", "out", "--format", "jsonl", "--where", "fold = 1"]);
    let rows: Vec<Json> = jsonl.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 8);
    assert_eq!((&rows[0]["fit"], &rows[5]["rmse"]), (&json!([1, 1]), &Json::Null));
    let out =
        desk.run(gridmpi(), &["export", "out", "--format", "csv", "--to", "runs.csv"]).exits(0);
    assert_eq!(out.stdout, "wrote runs.csv\n");
    assert_eq!(fs::read_to_string(desk.path("runs.csv")).unwrap(), csv);
    assert!(!desk.path(".runs.csv.unfinished").exists());
}

#[test]
fn parquet_has_real_types_for_pandas_and_polars() {
    let desk = fitted();
    desk.says(&["export", "out", "--format", "parquet", "--to", "runs.parquet"]);
    desk.write(
        "read.py",
        r#"
import json, sqlite3
import pandas, polars
frame = pandas.read_parquet("runs.parquet")
kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
rows = sqlite3.connect("out/runs.sqlite").execute('select task, "p.alpha", score, error, started from all_runs order by task').fetchall()
assert len(frame) == len(rows) == 24
for row, (task, alpha, score, error, started) in zip(frame.itertuples(index=False), rows):
    assert row[0] == task and row[2] == alpha, row
    assert (score is None and pandas.isna(row[6])) or row[6] == score, row
    assert (error is None and pandas.isna(row[-1])) or row[-1] == error, row
    assert abs(frame["started"][task].timestamp() - started) < 1e-5, row
other = polars.read_parquet("runs.parquet")
assert other.shape == frame.shape
assert other.filter(polars.col("status") == "failed")["task"].to_list() == [15, 16, 17]
assert other["model"].null_count() == 3 and other["model"][0] == "data/a.csv é"
best = frame.groupby("dataset")["score"].max()
assert list(best) == [10.0, 10.0]
print(json.dumps({"pandas": kinds, "polars": {name: str(kind) for name, kind in other.schema.items()}}))
"#,
    );
    let ran = desk.run(Command::new(python_with_sklearn()), &["read.py"]).exits(0);
    let kinds = ran.json();
    for (column, pandas, polars) in [
        ("task", "int64", "Int64"),
        ("dataset", "str", "String"),
        ("p.alpha", "float64", "Float64"),
        ("fold", "int64", "Int64"),
        ("score", "float64", "Float64"),
        ("n", "float64", "Int64"), // pandas has no nullable integers by default
        ("ok", "object", "Boolean"),
        ("fit", "str", "String"),
        ("seconds", "float64", "Float64"),
        ("started", "datetime64[us, UTC]", "Datetime(time_unit='us', time_zone='UTC')"),
        ("rank", "int64", "Int64"),
        ("error", "str", "String"),
    ] {
        assert_eq!(kinds["pandas"][column], pandas, "{column}: {kinds}");
        assert_eq!(kinds["polars"][column], polars, "{column}: {kinds}");
    }
}

#[test]
fn values_of_any_kind_come_through() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"fit.py:crunch\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2.5, \"text\", true]\n",
    );
    desk.write(
        "fit.py",
        "def crunch(x):\n    return {'score': float('inf') if str(x) == '1' else -0.5, 'x': x, 'odd': [1] if str(x) == '1' else 2, 'big': 2**53 + 1, 'low': float('-inf'), 'none': None}\n",
    );
    desk.run_job().exits(0);
    let rows = desk.says(&["export", "out", "--format", "jsonl"]);
    let rows: Vec<Json> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&rows[0]["score"], &rows[0]["odd"], &rows[1]["odd"]),
        (&json!("Infinity"), &json!([1]), &json!(2))
    );
    assert_eq!((&rows[2]["x"], &rows[2]["value.x"]), (&json!("text"), &json!("text")));
    assert_eq!(
        (&rows[0]["big"], &rows[0]["low"], &rows[0]["none"]),
        (&json!(9007199254740993i64), &json!("-Infinity"), &Json::Null)
    );
    desk.says(&["export", "out", "--format", "parquet", "--to", "x.parquet"]);
    let read = "import polars; f = polars.read_parquet('x.parquet'); print(f['score'][0], f['low'][0], f['big'][0], f['odd'].to_list())";
    let ran = desk.run(Command::new(python_with_sklearn()), &["-c", read]).exits(0);
    assert_eq!(ran.stdout, "inf -inf 9007199254740993 ['[1]', '2', '2', '2']\n");
    // Two loops are distinguished from result fields of the same name.
    let clause = ["runs", "out", "--where", "value.x = 'text'"];
    assert_eq!(json(&desk, &clause)[0]["task"], 2);
}

#[test]
fn an_export_is_one_json_array_too() {
    let desk = fitted();
    let of = |format: &str, clause: &str| {
        desk.says(&["export", "out", "--format", format, "--where", clause])
    };
    let array: Json = serde_json::from_str(&of("json", "fold = 1")).unwrap();
    let lines: Vec<Json> =
        of("jsonl", "fold = 1").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((array.as_array().unwrap(), lines.len()), (&lines, 8));
    assert_eq!(of("json", "fold > 7"), "[]\n");
}

#[test]
fn what_is_no_plain_file_is_written_to_and_stays() {
    let desk = fitted();
    desk.write(
        "elsewhere/old.csv",
        "something longer than what comes, which is to be gone ".repeat(200).as_str(),
    );
    std::os::unix::fs::symlink("elsewhere/old.csv", desk.path("link")).unwrap();
    for arguments in [
        &["export", "out", "--format", "csv", "--where", "task = 3", "--to", "link"][..],
        &["report", "out", "--to", "link"],
    ] {
        desk.says(arguments);
        assert!(desk.path("link").is_symlink() && !desk.path(".link.unfinished").exists());
        let text = fs::read_to_string(desk.path("elsewhere/old.csv")).unwrap();
        let (begin, end) =
            (text.starts_with("task,") || text.starts_with("<!DOCTYPE"), text.trim_end());
        assert!(begin && !end.contains("which is to be gone"), "{arguments:?}");
    }
    let out = desk.says(&[
        "export",
        "out",
        "--format",
        "csv",
        "--where",
        "status = 'ok'",
        "--to",
        "/dev/stdout",
    ]);
    assert_eq!(out.lines().count(), 23, "{out}");
}

#[test]
fn a_damaged_run_is_named_before_it_is_believed() {
    let desk = fitted();
    let store = desk.path("out/runs.sqlite");
    sql_rows(&store, &format!("UPDATE runs SET score = 99 WHERE {}", of_tasks("task = 5")));
    for arguments in [
        &["runs", "out"][..],
        &["runs", "out", "--where", "score > 50", "--format", "json"],
        &["export", "out", "--format", "parquet", "--to", "x"],
        &["explain", "out", "5"],
    ] {
        let ran = desk.run(gridmpi(), arguments).exits(1);
        assert!(ran.stderr.contains("in runs (task 5): "), "{}", ran.stderr);
    }
    assert!(!desk.path("x").exists() && !desk.path(".x.unfinished").exists());
    desk.says(&["runs", "out", "--where", "task < 5"]);
    sql_rows(
        &store,
        &format!(
            "DELETE FROM runs WHERE {}; UPDATE groups SET score = 99 WHERE level = 2 AND number = 2",
            of_tasks("task = 5")
        ),
    );
    for arguments in [&["report", "out"][..], &["best", "out", "--top", "3"]] {
        let ran = desk.run(gridmpi(), arguments).exits(1);
        assert!(
            ran.stderr.contains("damaged where level = 2 AND number = 2 in groups"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_torn_store_is_said_to_be_damaged() {
    let desk = fitted();
    let store = desk.path("out/runs.sqlite");
    let pages = sql_rows(&store, "SELECT pageno FROM dbstat WHERE name = 'runs'");
    let mut torn = fs::read(&store).unwrap();
    for page in pages {
        let page: usize = page.parse().unwrap();
        torn[(page - 1) * 4096..page * 4096].fill(0x5a);
    }
    fs::write(&store, torn).unwrap();
    for arguments in [&["runs", "out"][..], &["report", "out"], &["explain", "out", "5"]] {
        let ran = desk.run(gridmpi(), arguments).exits(1);
        let said = ran.stderr;
        assert!(
            said.contains("out/runs.sqlite") && said.contains("the store is damaged"),
            "{said}"
        );
    }
}

#[test]
fn the_line_by_hand_works_in_any_folder() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"x\"\nvalues = [3, 4]\n",
    );
    desk.run_job().exits(0);
    fs::create_dir(desk.path("bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_gridmpi"), desk.path("bin/gridmpi")).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", "bin/gridmpi explain out x=4 --format json"]);
    let explained = desk.run(shell, &[]).exits(0).json();
    let mut again = Command::new("sh");
    again.args(["-c", explained["by_hand"].as_str().unwrap()]);
    assert_eq!(Desk::new().run(again, &[]).exits(0).stdout, "4.0\n");
}

#[test]
fn nothing_in_the_folder_changes() {
    let desk = fitted();
    let before = contents(&desk);
    for arguments in [
        &["status", "out"][..],
        &["best", "out"],
        &["runs", "out"],
        &["explain", "out", "3"],
        &["export", "out", "--format", "csv"],
    ] {
        desk.says(arguments);
        assert_eq!(contents(&desk), before, "{arguments:?}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"x\"\nrange = { from = 0, to = 20000 }\n",
    );
    desk.run_job().exits(0);
    let program = env!("CARGO_BIN_EXE_gridmpi");
    for verb in [
        "runs out",
        "runs out --format json",
        "export out --format csv",
        "export out --format jsonl",
        "export out --format parquet",
        "best out --top 20000",
    ] {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("set -o pipefail; {program} {verb} | head -c 10 >/dev/null")]);
        let ran = desk.run(shell, &[]).exits(0);
        assert_eq!(ran.stderr, "", "{verb}");
    }
}

#[test]
fn a_store_that_another_machine_may_write_to_is_copied() {
    let desk = fitted();
    // A run that was killed on another machine: its WAL file is still there, and the lock file names that
    // host.
    let store = desk.path("out/runs.sqlite");
    let writer = rusqlite::Connection::open(&store).unwrap();
    writer.pragma_update(None, "locking_mode", "EXCLUSIVE").unwrap();
    writer.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    writer.execute("UPDATE runs SET failed = 0 WHERE key = 0", []).unwrap();
    desk.write("out/.lock", "process 1 on elsewhere\n");
    let before = contents(&desk);
    assert_eq!(json(&desk, &["runs", "out", "--failed"]).as_array().unwrap().len(), 3);
    assert_eq!(json(&desk, &["best", "out"])[0]["best"][0]["score"], 10.0);
    assert_eq!(contents(&desk), before);
    writer.execute("UPDATE runs SET failed = 0 WHERE key = 1", []).unwrap(); // it can continue
}

#[test]
fn what_cannot_be_answered_is_said() {
    let desk = fitted();
    desk.write("file", "x");
    desk.write("empty/notes.txt", "x");
    desk.write(
        "strange/runs.sqlite",
        "not a database, whatever its name says, and long enough to be read",
    );
    fs::create_dir(desk.path("newer")).unwrap();
    fs::copy(desk.path("out/runs.sqlite"), desk.path("newer/runs.sqlite")).unwrap();
    sql_rows(&desk.path("newer/runs.sqlite"), "PRAGMA user_version = 99");
    for (folder, says) in [
        ("nowhere", "results folder nowhere: is not there; give the folder a run wrote"),
        ("empty", "results folder empty: there is no runs.sqlite in it"),
        ("file", "results folder file: "),
        ("strange", "results folder strange: runs.sqlite cannot be read: file is not a database"),
        ("newer", "written by a newer gridmpi (in format 99"),
    ] {
        for verb in [&["status"][..], &["watch"], &["best"], &["runs"], &["explain"], &["export"]] {
            let mut arguments = vec![verb[0], folder];
            // These are called before a batch job has begun, too.
            let waits =
                ["status", "watch"].contains(&verb[0]) && ["nowhere", "empty"].contains(&folder);
            let before = format!("results folder {folder}: nothing is there yet");
            let says = if waits { before.as_str() } else { says };
            match verb[0] {
                "explain" => arguments.push("1"),
                "export" => arguments.extend(["--format", "csv"]),
                _ => {}
            }
            let ran = desk.run(gridmpi(), &arguments).exits(2);
            assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
            assert!(ran.stdout.is_empty() && !ran.stderr.contains("panicked"));
        }
    }
    for (arguments, says) in [
        (
            &["runs", "out", "--where", "alhpa < 1"][..],
            "--where \"alhpa < 1\": there is no column 'alhpa'",
        ),
        (&["runs", "out", "--where", "p.alhpa < 1"], "did you mean 'p.alpha'?"),
        (&["runs", "out", "--where", "rmes < 1"], "did you mean 'rmse'?"),
        (&["runs", "out", "--where", "score <"], "--where \"score <\": "),
        (&["runs", "out", "--where", "\"p.alhpa\" < 1"], "did you mean 'p.alpha'?"),
        // Not a valid condition, which only some runs reveal.
        (&["runs", "out", "--where", "json_extract(error, 'x') = 1"], "--where \"json_extract("),
        (
            &["runs", "out", "--where", "task >= 0", "--where", "abs(-9223372036854775807 - 1)"],
            "--where \"abs(-9223372036854775807 - 1)\": integer overflow",
        ),
        (
            &[
                "export",
                "out",
                "--format",
                "parquet",
                "--to",
                "x.parquet",
                "--where",
                "dataset like 'a' escape 'ab'",
            ],
            "ESCAPE",
        ),
        (&["runs", "out", "--sort", "\"score"], "a name is not closed"),
        (&["runs", "out", "--sort", "score,"], "a column is missing"),
        (&["runs", "out", "--where", "score < 1; drop table runs"], "expected one condition"),
        (&["export", "out", "--format", "csv", "--where", "1) or (1"], "a ')' without a '('"),
        (
            &["runs", "out", "--sort", "scor"],
            "--sort \"scor\": there is no column 'scor'; did you mean 'score'?",
        ),
        (&["runs", "out", "--sort", "score down"], "expected asc or desc after 'score'"),
        (&["explain", "out", "24"], "task 24: there are 24, from 0 to 23"),
        (
            &["explain", "out", "dataset=c", "p.alpha=1", "fold=0"],
            "dataset=c: loop 'dataset' has no such point: data/a.csv, data/b.csv",
        ),
        (
            &["explain", "out", "dataset=a", "p.alpha=1"],
            "which fold? Give it too, as fold=VALUE: 0, 1, 2",
        ),
        (&["explain", "out", "datset=a"], "did you mean 'dataset'?"),
        (
            &["explain", "out", "first"],
            "\"first\": expected a task's number, or coordinates such as dataset=data/a.csv",
        ),
        (&["export", "out", "--format", "xls"], "invalid value 'xls'"),
        (&["run", "job.toml", "--only", "fold=9"], "loop 'fold' has no such point"),
        (&["run", "job.toml", "--only", "1", "--out", "x"], "cannot be used with"),
    ] {
        let ran = desk.run(gridmpi(), arguments).exits(2);
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_string_that_names_a_number_is_a_string() {
    let results =
        r#"{"score": 1, "s": "NaN", "t": "Infinity", "v": NaN, "w": -Infinity, "n": 2.5}"#;
    for crunch in ["shell = \"cat result\"".to_string(), "python = \"fit.py:crunch\"".to_string()] {
        let desk = Desk::with_job(&format!(
            "[crunch]\n{crunch}\n[[loop]]\nname = \"a\"\nvalues = [1, 2]\nreduce = \"max\"\n"
        ));
        desk.write("result", results);
        desk.write(
            "fit.py",
            "from math import inf, nan\ndef crunch(a):\n    return {'score': 1, 's': 'NaN', 't': 'Infinity', 'v': nan, 'w': -inf, 'n': 2.5}\n",
        );
        desk.run_job().exits(0);
        let count = |condition: &str| {
            json(&desk, &["runs", "out", "--where", condition]).as_array().unwrap().len()
        };
        for (condition, runs) in [
            ("s = 'NaN'", 2),
            ("s is null", 0),
            ("t > 'Inf'", 2),
            ("v is null", 2),
            ("w < -1e300", 2),
        ] {
            assert_eq!(count(condition), runs, "{condition}");
        }
        let refused = desk.run(gridmpi(), &["runs", "out", "--where", "t > 5"]).exits(2);
        assert!(refused.stderr.contains("t has strings, and 5 is a number"), "{}", refused.stderr);
        let csv = desk.says(&["export", "out", "--format", "csv"]);
        assert!(csv.lines().nth(1).unwrap().contains("NaN,Infinity,nan,-inf,2.5"), "{csv}");
    }
}
