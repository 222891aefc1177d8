//! The semantics of a job file: points, reductions, ties, failures, seeds.

mod common;

use common::{Desk, gridmpi, mpirun};
use serde_json::json;

/// A job whose crunch is this Python code, with these loops.
fn python_job(code: &str, crunch: &str, loops: &str) -> Desk {
    let desk = Desk::with_job(&format!("[crunch]\npython = \"fit.py:crunch\"\n{crunch}\n{loops}"));
    desk.write("fit.py", code);
    desk
}

const TWO_LOOPS: &str = r#"
[[loop]]
name = "dataset"
values = ["a", "b"]
[[loop]]
name = "param"
range = { from = 0, to = 4 }
reduce = "max"
"#;

#[test]
fn two_loops_have_the_textbooks_names() {
    let ran = Desk::with_job(
        r#"
        [crunch]
        builtin = "multiply"
        [[loop]]
        name = "dataset"
        values = [2.0, -3.0]
        [[loop]]
        name = "param"
        values = [-1, 0, 1]
        reduce = "max"
        "#,
    )
    .run_job()
    .exits(0);
    let expected = |dataset: f64, runs: [f64; 3], value: f64, param: i64, index: u64| {
        json!({
            "coordinates": { "dataset": dataset }, "over": "param", "runs": 3, "failed": 0,
            "status": "complete", "all_runs": runs,
            "summary": {
                "value": value, "score": value,
                "best": { "param": param }, "best_index": { "param": index },
            },
        })
    };
    let groups =
        [expected(2.0, [-2.0, 0.0, 2.0], 2.0, 1, 2), expected(-3.0, [3.0, 0.0, -3.0], 3.0, -1, 0)];
    assert_eq!(ran.groups(), groups);
}

#[test]
fn depth_does_not_matter_and_every_reduction_closes_outwards() {
    let ran = Desk::with_job(
        r#"
        [crunch]
        builtin = "multiply"
        [[loop]]
        name = "a"
        values = [1, 2]
        reduce = "sum"
        [[loop]]
        name = "b"
        values = [1, 10]
        reduce = "max"
        [[loop]]
        name = "c"
        values = [1, 2, 3]
        reduce = "median"
        [[loop]]
        name = "d"
        values = [1, 3]
        reduce = "mean"
        "#,
    )
    .run_job()
    .exits(0);
    // mean over d: 2abc; median over c: 4ab; max over b: 40a; sum over a: 120.
    assert_eq!(ran.score(), 120.0);
    let groups = ran.groups();
    assert_eq!(groups.len(), 1 + 2 + 4 + 12);
    assert_eq!(groups[0]["coordinates"], json!({}));
    assert_eq!(groups[0]["runs"], 24);
    assert_eq!(groups[1]["summary"]["best"], json!({ "b": 10 }));
}

#[test]
fn one_loop_without_reduce_is_a_table_of_runs() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\n",
    );
    let ran = desk.run(gridmpi(), &["job.toml", "--format", "csv"]).exits(0);
    let expected = "x,score,value,runs,failed,status,error\n1,1.0,1.0,1,0,ok,\n2,2.0,2.0,1,0,ok,\n";
    assert_eq!(ran.stdout, expected);
    assert_eq!(std::fs::read_to_string(desk.path("results/job/summary.csv")).unwrap(), expected);
}

#[test]
fn cells_of_the_summary_are_quoted_where_they_must_be() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"fit.py:crunch\"\n[[loop]]\nname = \"x\"\n\
         grid = { 'a, b' = ['plain', 'a,b', 'say \"x\"', \"two\\nlines\"] }\n",
    );
    desk.write("fit.py", "def crunch(x):\n    return {'score': 1.0, **x}\n");
    desk.run_job().exits(0);
    let expected = r#""x.a, b",score,"a, b",runs,failed,status,error
plain,1.0,plain,1,0,ok,
"a,b",1.0,"a,b",1,0,ok,
"say ""x""",1.0,"say ""x""",1,0,ok,
"two
lines",1.0,"two
lines",1,0,ok,
"#;
    assert_eq!(std::fs::read_to_string(desk.path("out/summary.csv")).unwrap(), expected);
}

#[test]
fn winners_are_carried_out_through_several_loops() {
    let ran = Desk::with_job(
        r#"
        [crunch]
        builtin = "multiply"
        [[loop]]
        name = "x"
        values = [-1, 1]
        [[loop]]
        name = "grid"
        grid = { a = [1, 2], b = { linspace = { from = 0.5, to = 1.5, count = 3 } } }
        reduce = "min"
        [[loop]]
        name = "start"
        values = [3, 7]
        reduce = "max"
        "#,
    )
    .run_job()
    .exits(0);
    let best = |group: usize| ran.groups()[group]["summary"]["best"].clone();
    assert_eq!(best(0), json!({ "grid": { "a": 2, "b": 1.5 }, "start": 3 }));
    assert_eq!(best(1), json!({ "grid": { "a": 1, "b": 0.5 }, "start": 7 }));
}

#[test]
fn nan_is_a_failed_run_and_never_the_best() {
    let code = "def crunch(dataset, param):\n    return float('nan') if param == 3 else param\n";
    let desk = python_job(code, "", TWO_LOOPS);
    let ran = desk.run_job().exits(100);
    assert_eq!(ran.groups()[0]["status"], "incomplete");
    assert_eq!(
        ran.groups()[0]["error"],
        "1 of 4 points without a result (require = 0.75 in loop 'param' or in [crunch] would allow that)"
    );
    assert_eq!(ran.groups()[0]["all_runs"], json!([0.0, 1.0, 2.0, null]));
    assert_eq!(
        desk.sql("SELECT DISTINCT error FROM all_runs WHERE status = 'failed'"),
        ["the score is NaN"]
    );
    // The same with three of four required: the best of the available ones.
    let desk = python_job(code, "require = 0.75", TWO_LOOPS);
    let ran = desk.run_job().exits(100);
    let group = &ran.groups()[0];
    assert_eq!((&group["runs"], &group["failed"]), (&json!(3), &json!(1)));
    assert_eq!(group["summary"]["best"], json!({ "param": 2 }));
    let table = desk.run(gridmpi(), &["job.toml", "--out", "table"]).exits(100);
    assert!(table.stdout.contains("3 of 4, 1 failed"), "{}", table.stdout);
}

#[test]
fn records_keep_everything_and_name_their_score() {
    let code = r#"
def crunch(dataset, param):
    return {"rmse": 1 / (1 + param), "model": {"weights": [param, 0.5]}, "far": float("inf")}
"#;
    let desk = python_job(code, "score = \"rmse\"", &TWO_LOOPS.replace("max", "min"));
    let ran = desk.run_job().exits(0);
    let summary = &ran.groups()[1]["summary"];
    let record = json!({ "rmse": 0.25, "model": { "weights": [3, 0.5] }, "far": "Infinity" });
    assert_eq!((&summary["score"], &summary["value"]), (&json!(0.25), &record));
    let weights =
        "SELECT json_extract(value, '$.model.weights[0]') FROM all_runs WHERE dataset = 'b'";
    assert_eq!(desk.sql(weights), ["0", "1", "2", "3"]);
    let desk = python_job(code, "", TWO_LOOPS);
    desk.run_job().exits(100);
    let error = &desk.sql("SELECT error FROM all_runs LIMIT 1")[0];
    assert!(error.contains("no \"score\" (it has: rmse, model, far)"), "{error}");
}

#[test]
fn all_and_count_say_which_runs_there_were() {
    let code = "def crunch(dataset, param):\n    assert param != 1, 'one'\n    return param\n";
    let desk = python_job(code, "require = 0.5", &TWO_LOOPS.replace("\"max\"", "\"all\""));
    let ran = desk.run_job().exits(100);
    assert_eq!(ran.groups()[0]["summary"]["value"], json!([0.0, null, 2.0, 3.0]));
    let desk = python_job(code, "require = 0.5", &TWO_LOOPS.replace("\"max\"", "\"count\""));
    assert_eq!(desk.run_job().exits(100).score(), 3.0);
}

#[test]
fn python_reduces_all_runs_of_a_group_in_grid_order() {
    let code = r#"
import math
def crunch(dataset, param):
    if param == 2:
        raise ValueError("two")
    return math.inf if param == 3 else param

def summarize(runs):
    assert [run["param"] for run in runs] == [0, 1, 2, 3], runs
    assert runs[2]["status"] == "failed" and runs[2]["score"] is None and runs[2]["value"] is None
    assert runs[3]["score"] == math.inf
    if runs[0]["dataset"] == "b":
        raise RuntimeError("not b")
    return {"text": runs[0]["dataset"], "score": sum(run["score"] for run in runs[:2])}
"#;
    let loops = TWO_LOOPS.replace("\"max\"", "{ python = \"fit.py:summarize\" }");
    let desk = python_job(code, "require = 0.5", &loops);
    let ran = desk.run_job().exits(100);
    assert_eq!(ran.groups()[0]["summary"]["value"], json!({ "text": "a", "score": 1.0 }));
    let error = ran.groups()[1]["error"].as_str().unwrap().to_string();
    assert!(error.contains("RuntimeError: not b"), "{error}");
}

#[test]
fn seeds_follow_coordinates_not_ranks_or_neighbours() {
    let code = "def crunch(dataset, param, seed):\n    return seed\n";
    let seeds = |desk: &Desk| {
        let ran = desk.run_job().exits(0);
        ran.groups()[0]["all_runs"].as_array().unwrap().clone()
    };
    let four = python_job(code, "", TWO_LOOPS);
    let first = seeds(&four);
    let distinct: std::collections::HashSet<String> = first.iter().map(|s| s.to_string()).collect();
    assert_eq!(distinct.len(), 4);
    assert!(first.iter().all(|seed| (0.0..2147483648.0).contains(&seed.as_f64().unwrap())));
    let more = TWO_LOOPS.replace("from = 0", "from = -1").replace("[\"a\"", "[\"z\", \"a\"");
    let ran = python_job(code, "", &more).run_job().exits(0);
    assert_eq!(
        ran.groups()[1]["all_runs"].as_array().unwrap()[1..],
        first,
        "the same tasks, elsewhere"
    );
    let other = python_job(code, "", TWO_LOOPS);
    other.write(
        "job.toml",
        &format!("seed = 1\n{}", std::fs::read_to_string(other.path("job.toml")).unwrap()),
    );
    assert_ne!(seeds(&other), first);
    let over_mpi = four.run(mpirun(4), &["job.toml", "--out", "mpi", "--format", "json"]).exits(0);
    assert_eq!(over_mpi.groups()[0]["all_runs"].as_array().unwrap(), &first);
}

#[test]
fn points_come_from_every_source() {
    let desk = Desk::new();
    desk.write("cases.csv", "\u{feff}id,depth,rate\r\nA3,2,0.5\r\n007,4,1e-3\r\n");
    desk.write("in/b.txt", "");
    desk.write("in/a.txt", "");
    for (source, points) in [
        (
            "values = [1, 2.5, 'x', true, [1, 2], { a = 1 }]",
            "[1, 2.5, 'x', true, [1, 2], {'a': 1}]",
        ),
        ("range = { from = 1, to = 7, step = 3 }", "[1, 4]"),
        ("linspace = { from = 0, to = 1, count = 3 }", "[0.0, 0.5, 1.0]"),
        ("logspace = { from = 1, to = 100, count = 3 }", "[1.0, 10.0, 100.0]"),
        ("files = 'in/*.txt'", "['in/a.txt', 'in/b.txt']"),
        (
            "rows = 'cases.csv'",
            "[{'id': 'A3', 'depth': 2, 'rate': 0.5}, {'id': '007', 'depth': 4, 'rate': 0.001}]",
        ),
        ("grid = { a = [1, 2], b = ['x'] }", "[{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]"),
        (
            "grids = [{ a = [1] }, { b = { range = { from = 0, to = 2 } } }]",
            "[{'a': 1}, {'b': 0}, {'b': 1}]",
        ),
        ("zip = { a = [1, 2], b = [3, 4] }", "[{'a': 1, 'b': 3}, {'a': 2, 'b': 4}]"),
        ("random = { count = 2, k = { choice = ['y'] } }", "[{'k': 'y'}, {'k': 'y'}]"),
        ("random = { count = 2, x = { integers = { from = 3, to = 4 } } }", "[3, 3]"),
    ] {
        let job = format!(
            "[crunch]\nscore = 's'\npython = 'fit.py:crunch'\n[[loop]]\nname = 'x'\n{source}\nreduce = 'all'\n"
        );
        desk.write("job.toml", &job);
        desk.write("fit.py", "def crunch(x):\n    return {'x': x}\n");
        let ran = desk.run(gridmpi(), &["job.toml", "--fresh", "--format", "json"]).exits(0);
        let given: Vec<_> = ran.groups()[0]["summary"]["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v["x"].clone())
            .collect();
        let expected: serde_json::Value =
            serde_json::from_str(&points.replace('\'', "\"")).unwrap();
        assert_eq!(json!(given), expected, "{source}");
    }
}
