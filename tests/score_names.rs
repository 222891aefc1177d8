//! What the score is called: it has its own name in the view, tables, exports and headings, and a field with the name
//! of another column is told from it everywhere.

mod common;

use std::fs;
use std::process::Command;

use common::{Desk, gridmpi, of_tasks, python_with_sklearn};
use serde_json::{Value as Json, json};

const LOOPS: &str = "
[[loop]]
name = \"d\"
values = [1, 2]
[[loop]]
name = \"alpha\"
values = [0.5, 1.0, 4.0]
reduce = \"max\"
[[loop]]
name = \"fold\"
range = { from = 0, to = 3 }
reduce = [\"mean\", \"std\"]
";

/// Two metrics; the second one grows where the first one shrinks.
const FIT: &str = "def crunch(d, alpha, fold):
    good = 1 / (1 + (alpha - d) ** 2) + fold / 100
    return {'rmse': 1 - good, 'r2': good}
";

fn desk(score: &str, code: &str) -> Desk {
    let desk = Desk::with_job(&format!(
        "[crunch]\npython = \"fit.py:crunch\"\nscore = \"{score}\"\n{LOOPS}"
    ));
    desk.write("fit.py", code);
    desk.run_job().exits(0);
    desk
}

/// The runs that meet a condition.
fn runs(desk: &Desk, condition: &str) -> Vec<Json> {
    let text = desk.says(&["runs", "out", "--format", "json", "--where", condition]);
    serde_json::from_str::<Json>(&text).unwrap().as_array().unwrap().clone()
}

fn tasks(desk: &Desk, condition: &str) -> Vec<u64> {
    runs(desk, condition).iter().map(|run| run["task"].as_u64().unwrap()).collect()
}

fn refused(desk: &Desk, condition: &str) -> String {
    desk.run(gridmpi(), &["runs", "out", "--where", condition]).exits(2).stderr
}

fn export(desk: &Desk, format: &str) -> String {
    desk.says(&["export", "out", "--format", format])
}

/// The words of a table's header.
fn header(table: &str) -> String {
    table.lines().next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn summary_csv(desk: &Desk) -> Vec<Vec<String>> {
    let text = fs::read_to_string(desk.path("out/summary.csv")).unwrap();
    text.lines().map(|line| line.split(',').map(String::from).collect()).collect()
}

#[test]
fn the_score_has_its_name_in_every_reader() {
    let desk = desk("r2", FIT);
    assert_eq!(desk.sql("SELECT count(r2), sum(r2 = score) FROM all_runs"), ["18|18"]);
    // The same bits, under both names; the other metric is a field.
    let all = runs(&desk, "r2 > 0.98");
    assert_eq!(tasks(&desk, "score > 0.98"), tasks(&desk, "r2 > 0.98"));
    assert_eq!(tasks(&desk, "value.r2 > 0.98 and run.score > 0.98"), tasks(&desk, "r2 > 0.98"));
    assert!(!all.is_empty() && all.len() < 18);
    for run in &all {
        assert_eq!(run["r2"], run["score"]);
        assert_eq!(run["value"]["r2"], run["score"]);
    }
    let best = desk.says(&["runs", "out", "--sort", "r2 desc", "--limit", "1"]);
    assert_eq!(
        header(&best),
        "task d alpha fold status score r2 value seconds rank host attempt memory error"
    );
    let worst = desk.says(&["runs", "out", "--sort", "rmse", "--limit", "1"]);
    assert_eq!(best, worst);
    // Exports: one column for the field, beside the score.
    let csv = export(&desk, "csv");
    assert!(csv.starts_with("task,d,alpha,fold,status,score,r2,rmse,seconds,"), "{csv}");
    let line: Json = serde_json::from_str(export(&desk, "jsonl").lines().nth(7).unwrap()).unwrap();
    assert_eq!(line["r2"], line["score"]);
    desk.says(&["export", "out", "--format", "parquet", "--to", "x.parquet"]);
    let read = "import pandas; f = pandas.read_parquet('x.parquet'); print((f.r2 == f.score).all(), f.r2.dtype)";
    let ran = desk.run(Command::new(python_with_sklearn()), &["-c", read]).exits(0);
    assert_eq!(ran.stdout, "True float64\n");
    // Tables for people.
    let table = desk.says(&["job.toml", "--out", "out"]);
    assert_eq!(header(&table), "d best alpha mean r2 ± std rmse ± std runs");
    assert_eq!(header(&desk.says(&["best", "out"])), "d alpha mean r2 runs");
    let status = desk.says(&["status", "out"]);
    assert!(status.contains("mean r2"), "{status}");
    let explained = desk.says(&["explain", "out", "0"]);
    assert!(explained.contains("score     r2 0.8"), "{explained}");
    assert!(explained.contains("over fold: complete, mean r2 0.81 from 3 runs"), "{explained}");
    desk.says(&["report", "out", "--to", "report.html", "--figures", "figures"]);
    let page = fs::read_to_string(desk.path("report.html")).unwrap();
    assert!(page.contains("The mean r2 over alpha"));
    let figure = fs::read_to_string(desk.path("figures/score-over-alpha.svg")).unwrap();
    assert!(figure.contains("mean r2"), "{figure}");
    let summary = summary_csv(&desk);
    let mut fields: Vec<&str> = summary[0][3..7].iter().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(summary[0][..3], ["d", "best_alpha", "score"]);
    assert_eq!(fields, ["r2", "r2_std", "rmse", "rmse_std"], "{summary:?}");
    let at = |name: &str| summary[0].iter().position(|own| own == name).unwrap();
    assert_eq!(summary[1][at("score")], summary[1][at("r2")]);
}

#[test]
fn another_score_is_another_column_and_computes_nothing() {
    let desk = desk("r2", FIT);
    let before = desk.sql("SELECT sum(started) FROM all_runs");
    let job = fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &job.replace("\"r2\"", "\"rmse\"").replace("\"max\"", "\"min\""));
    desk.run_job().exits(0);
    assert_eq!(desk.sql("SELECT sum(started) FROM all_runs"), before);
    assert_eq!(desk.sql("SELECT sum(rmse = score) FROM all_runs"), ["18"]);
    let columns = desk.sql("SELECT name FROM pragma_table_info('all_runs')");
    assert!(columns.contains(&"rmse".to_string()) && !columns.contains(&"r2".to_string()));
    assert_eq!(header(&desk.says(&["best", "out"])), "d alpha mean rmse runs");
    assert_eq!(tasks(&desk, "r2 > 0.98"), tasks(&desk, "rmse < 0.02"));
    // A score that is called so needs no second column.
    desk.write("job.toml", &job.replace("\"r2\"", "\"score\""));
    desk.write("fit.py", &FIT.replace("'r2'", "'score'"));
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--fresh"]).exits(0);
    let csv = export(&desk, "csv");
    assert!(csv.starts_with("task,d,alpha,fold,status,score,rmse,seconds,"), "{csv}");
    assert_eq!(tasks(&desk, "score > 0.98"), tasks(&desk, "value.score > 0.98"));
}

#[test]
fn a_store_of_an_older_gridmpi_has_the_name_for_its_readers() {
    let desk = desk("r2", FIT);
    let sql = "SELECT sql FROM sqlite_master WHERE name = 'all_runs'";
    let view = desk.sql(sql).join("\n").replace(",\n  r.score AS \"r2\"", "");
    desk.sql(&format!("DROP VIEW all_runs; {view}"));
    assert!(!desk.sql("SELECT name FROM pragma_table_info('all_runs')").contains(&"r2".into()));
    assert_eq!(tasks(&desk, "r2 > 0.98"), tasks(&desk, "score > 0.98"));
    assert!(export(&desk, "csv").contains(",score,r2,rmse,"));
    // The next start shows it to other clients, too.
    desk.run_job().exits(0);
    assert_eq!(desk.sql("SELECT sum(r2 = score) FROM all_runs"), ["18"]);
}

#[test]
fn plain_numbers_have_the_name_as_well() {
    let desk = desk("r2", "def crunch(d, alpha, fold): return d * alpha + fold\n");
    assert_eq!(desk.sql("SELECT sum(r2 = score), count(*) FROM all_runs"), ["18|18"]);
    assert_eq!(tasks(&desk, "r2 >= 8"), tasks(&desk, "score >= 8"));
    assert!(export(&desk, "csv").starts_with("task,d,alpha,fold,status,score,r2,seconds,"));
    let job = fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &job.replace("[\"mean\", \"std\"]", "\"mean\""));
    desk.run_job().exits(0);
    let summary = summary_csv(&desk);
    assert_eq!(summary[0], ["d", "best_alpha", "score", "r2", "runs", "failed", "status", "error"]);
    assert_eq!(summary[2][2..4], ["9.0", "9.0"]);
    // What is neither a number nor a record is exported all the same.
    desk.write(
        "job.toml",
        &job.replace("[\"mean\", \"std\"]", "\"all\"").replace("\"max\"", "\"all\""),
    );
    desk.write("fit.py", "def crunch(d, alpha, fold): return [d, fold]\n");
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--fresh"]).exits(0);
    let line: Json = serde_json::from_str(export(&desk, "jsonl").lines().last().unwrap()).unwrap();
    assert_eq!((&line["value"], &line["r2"]), (&json!([2, 2]), &Json::Null));
}

#[test]
fn a_score_with_the_name_of_a_column_is_told_from_it() {
    for (score, condition) in [("error", "error < 0.5"), ("Seconds", "seconds < 0.5")] {
        let desk = desk(score, &FIT.replace("'rmse'", &format!("'{score}'")));
        let column = format!("value.{score}");
        let own = format!("run.{}", score.to_lowercase());
        let stderr = refused(&desk, condition);
        assert!(stderr.contains(&format!("write {own} or {column}")), "{stderr}");
        assert!(stderr.contains("is a column of every run and a field of the results"), "{stderr}");
        let sql = format!("SELECT sum(\"{column}\" = score), count(*) FROM all_runs");
        assert_eq!(desk.sql(&sql), ["18|18"]);
        let low = tasks(&desk, &format!("{column} < 0.5"));
        assert_eq!(low, tasks(&desk, "score < 0.5"));
        assert!(!low.is_empty() && low.len() < 18);
        let none = if score == "error" { "run.error is null" } else { "run.seconds >= 0" };
        assert_eq!(tasks(&desk, none).len(), 18);
        for run in runs(&desk, "score < 0.5") {
            assert_eq!(run[&column], run["score"]);
        }
        let csv = export(&desk, "csv");
        assert!(csv.starts_with(&format!("task,d,alpha,fold,status,score,{column},r2,seconds,")));
        let summary = summary_csv(&desk);
        assert!(summary[0].contains(&column), "{summary:?}");
        let table = desk.says(&["job.toml", "--out", "out"]);
        let expected = format!("d best alpha mean {column} ± std r2 ± std runs");
        assert_eq!(header(&table), expected);
        assert_eq!(header(&desk.says(&["best", "out"])), format!("d alpha mean {column} runs"));
    }
}

/// Every run but the first has fields with the names of other columns.
const DOUBLE: &str = "def crunch(d, alpha, fold):
    if d + fold == 1 and alpha < 1:
        return {'score': 1.0}
    more = {'error': 10.0 * d, 'Rank': 7, 'value': 'x', 'alpha': -alpha, 'run.status': 'y'}
    return {'score': d + alpha + fold, 'fit': {'host': 'a \"host\" b'}, **more}
";

#[test]
fn a_name_that_both_have_is_refused_with_the_two_full_names() {
    let desk = desk("score", DOUBLE);
    for (condition, own, field) in [
        ("error > 1", "run.error", "value.error"),
        ("rank = 7", "run.rank", "value.Rank"),
        ("Rank = 7", "run.rank", "value.Rank"),
        ("value = 'x'", "run.value", "value.value"),
        ("alpha < 0 and fold = 1", "run.alpha", "value.alpha"),
        ("coalesce(\"alpha\", 0) < 0", "run.alpha", "value.alpha"),
    ] {
        let stderr = refused(&desk, condition);
        assert!(stderr.contains(&format!("write {own} or {field}")), "{condition}: {stderr}");
        let of = if own == "run.alpha" { "a loop" } else { "every run" };
        assert!(stderr.contains(&format!("is a column of {of} and a field")), "{stderr}");
    }
    let sorted = desk.run(gridmpi(), &["runs", "out", "--sort", "error desc"]).exits(2);
    assert!(sorted.stderr.contains("write run.error or value.error"), "{}", sorted.stderr);
    let exported = ["export", "out", "--format", "csv", "--where", "error is null"];
    let exported = desk.run(gridmpi(), &exported).exits(2);
    assert!(exported.stderr.contains("write run.error or value.error"), "{}", exported.stderr);
    for (condition, count) in [
        ("value.error > 1", 17),
        ("value.error > 15", 9),
        ("run.error is null", 18),
        ("run.rank < 7 and value.Rank = 7", 17),
        ("value.value = 'x'", 17),
        ("json_extract(run.value, '$.score') = 1.0", 1),
        ("run.alpha = 4 and value.alpha = -4", 6),
        ("run.alpha < 0", 0),
        ("\"run.status\" = 'ok'", 18),
        ("\"value.run.status\" = 'y'", 17),
        // These are no column and a field: what stands deeper, or in a text, is not asked for.
        ("host is not null and status = 'ok'", 18),
        ("fold = 1 and run.fold = 1", 6),
    ] {
        assert_eq!(tasks(&desk, condition).len(), count, "{condition}");
    }
    let sorted = ["runs", "out", "--format", "json", "--sort", "value.error desc, run.alpha desc"];
    let rows: Json = serde_json::from_str(&desk.says(&sorted)).unwrap();
    assert_eq!(rows[0]["coordinates"], json!({ "d": 2, "alpha": 4.0, "fold": 0 }));
    let row: Json = serde_json::from_str(export(&desk, "jsonl").lines().last().unwrap()).unwrap();
    for (name, value) in [
        ("value.error", json!(20.0)),
        ("value.Rank", json!(7)),
        ("value.alpha", json!(-4.0)),
        ("value.run.status", json!("y")),
        ("alpha", json!(4.0)),
        ("error", Json::Null),
    ] {
        assert_eq!(row[name], value, "{name}: {row}");
    }
    // What no run of the job has any more does not count.
    desk.sql(&format!("DELETE FROM runs WHERE {}", of_tasks("task > 0")));
    assert_eq!(tasks(&desk, "error is null and alpha > 0"), [0]);
}

#[test]
fn a_loop_called_run_does_not_hide_a_column() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"f.py:crunch\"\n[[loop]]\nname = \"run\"\ngrid = { error = [1, 2], n = [3] }\n",
    );
    desk.write("f.py", "def crunch(run): return {'score': 1, 'error': 5}\n");
    desk.run_job().exits(0);
    assert_eq!(tasks(&desk, "run.error = 2"), [1]);
    let stderr = refused(&desk, "error = 5");
    assert!(stderr.contains("write run.run.run.error or value.error"), "{stderr}");
    assert_eq!(tasks(&desk, "run.run.run.error is null and run.run.error = 1"), [0]);
}

#[test]
fn the_view_of_a_wide_job_has_room_for_the_name() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo {p.c7}\"\nscore = \"r2\"\n[[loop]]\nname = \"p\"\nrows = \"wide.csv\"\n",
    );
    for (columns, is_there) in [(1985, true), (1986, true), (1987, false)] {
        let names: Vec<String> = (0..columns).map(|i| format!("c{i}")).collect();
        let row: Vec<String> = (0..columns).map(|i| i.to_string()).collect();
        desk.write("wide.csv", &format!("{}\n{}\n", names.join(","), row.join(",")));
        desk.run(gridmpi(), &["job.toml", "--out", "out", "--fresh"]).exits(0);
        let found = desk.sql("SELECT count(*) FROM pragma_table_info('all_runs')");
        let expected = 12 + 1 + 1 + if is_there { columns } else { 0 };
        assert_eq!(found, [expected.to_string()]);
        assert_eq!(desk.sql("SELECT * FROM all_runs").len(), 1);
        assert_eq!(desk.sql("SELECT r2, score FROM all_runs"), ["7.0|7.0"]);
    }
}

#[test]
fn a_reduction_in_python_is_called_by_its_function() {
    let desk = Desk::with_job(&format!(
        "[crunch]\npython = \"fit.py:crunch\"\nscore = \"r2\"\n{}",
        LOOPS.replace("\"max\"", "{ python = \"fit.py:trimmed\" }")
    ));
    let trimmed = "def trimmed(runs):\n    return {'r2': sorted(run['score'] for run in runs)[1], 'count': len(runs)}\n";
    desk.write("fit.py", &format!("{FIT}{trimmed}"));
    let ran = desk.run_job().exits(0);
    assert_eq!(ran.json()["loops"][1]["reduce"], json!({ "python": "fit.py:trimmed" }));
    let table = desk.says(&["job.toml", "--out", "out"]);
    assert_eq!(header(&table), "d trimmed of mean r2 count runs");
    let status = desk.says(&["status", "out"]);
    assert!(status.contains("trimmed of mean r2"), "{status}");
    let plan = desk.says(&["plan", "job.toml"]);
    assert!(plan.contains("fit.py:trimmed over alpha"), "{plan}");
    // A store that does not say which function.
    desk.sql("UPDATE loops SET reduce = 'python' WHERE level = 1");
    assert!(desk.says(&["explain", "out", "0"]).contains("over alpha: complete, r2 "));
}
