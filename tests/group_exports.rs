//! `export --groups`: the points of a loop with what the loops inside them were folded to, as scikit-learn's
//! `cv_results_` has them.

mod common;

use std::fs;
use std::process::Command;

use common::{Desk, column, gridmpi, of_tasks, peak, python_with_sklearn};
use serde_json::{Value as Json, json};

/// A job of nested loops, each a name, its points and what else it says.
fn job(crunch: &str, loops: &[(&str, &str, &str)]) -> String {
    let mut text = format!("[crunch]\n{crunch}\n");
    for (name, points, more) in loops {
        text += &format!("[[loop]]\nname = \"{name}\"\n{points}\n{more}\n");
    }
    text
}

/// A job with crunch in Python; the score is r2.
fn python_job(code: &str, loops: &[(&str, &str, &str)]) -> Desk {
    let desk = Desk::with_job(&job("python = \"fit.py:crunch\"\nscore = \"r2\"", loops));
    desk.write("fit.py", code);
    desk
}

fn close(one: &Json, other: &Json) -> bool {
    let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
    (one - other).abs() <= 1e-12 * other.abs().max(1.0)
}

/// The search of both; a fit may fail at some splits.
const DATA: &str = "
import warnings
import numpy
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import RepeatedKFold
X, y = load_diabetes(return_X_y=True)
X, y = X[:150], y[:150]
cv = RepeatedKFold(n_splits=5, n_repeats=3, random_state=7)
alphas = [0.001, 0.01, 0.03, 0.1, 0.3, 1.0]
class Frail(Ridge):
    def fit(self, X, y):
        if FAILS and self.alpha == 0.03 and y.sum() < numpy.quantile(sums, 0.3):
            raise ValueError('no such fit')
        return super().fit(X, y)
splits = list(cv.split(X))
sums = [y[train].sum() for train, _ in splits]
";

const FIT: &str = "
from data import *
def crunch(alpha, repeat, fold):
    train, test = splits[5 * repeat + fold]
    model = Frail(alpha=alpha).fit(X[train], y[train])
    return {'r2': model.score(X[test], y[test]), 'norm': float((model.coef_ ** 2).sum())}
";

const REFERENCE: &str = "
import json
from data import *
from sklearn.model_selection import GridSearchCV
warnings.simplefilter('ignore')
found = GridSearchCV(Frail(), {'alpha': alphas}, cv=cv, error_score=numpy.nan).fit(X, y).cv_results_
names = ['mean_test_score', 'std_test_score', 'rank_test_score', 'param_alpha']
print(json.dumps({name: [None if v != v else float(v) for v in found[name]] for name in names}))
";

fn search(fails: bool) -> (Desk, Json) {
    let python = python_with_sklearn();
    let loops = [
        ("alpha", "values = [0.001, 0.01, 0.03, 0.1, 0.3, 1.0]", "reduce = \"max\"\nrequire = 0.8"),
        ("repeat", "range = { from = 0, to = 3 }", "reduce = [\"mean\", \"std\", \"count\"]"),
        ("fold", "range = { from = 0, to = 5 }", "reduce = \"join\""),
    ];
    let crunch = format!(
        "python = \"fit.py:crunch\"\nscore = \"r2\"\ninterpreter = \"{}\"",
        python.display()
    );
    let desk = Desk::with_job(&job(&crunch, &loops));
    let fails_in_python = if fails { "True" } else { "False" };
    desk.write("data.py", &format!("FAILS = {fails_in_python}\n{DATA}"));
    desk.write("fit.py", FIT);
    let exit = if fails { 100 } else { 0 };
    desk.run_job().exits(exit);
    let expected = desk.run(Command::new(python), &["-c", REFERENCE]).exits(0).json();
    (desk, expected)
}

/// The rows of alpha are those of `cv_results_`, but for candidates without a result.
fn is_as_expected(desk: &Desk, expected: &Json) {
    let rows = desk.exported(&["--groups", "alpha"]);
    assert_eq!(column(&rows, "alpha"), expected["param_alpha"]);
    for (at, row) in rows.iter().enumerate() {
        if expected["mean_test_score"][at].is_null() {
            assert_eq!(
                (&row["rank"], &row["r2"], &row["score"]),
                (&json!(null), &json!(null), &json!(null))
            );
            assert_eq!(row["status"], "incomplete");
            assert!(row["error"].as_str().unwrap().contains("points without a result"), "{row}");
            assert!(row["failed"].as_u64().unwrap() > 0);
            continue;
        }
        assert!(close(&row["r2"], &expected["mean_test_score"][at]), "{row}");
        assert!(close(&row["r2_std"], &expected["std_test_score"][at]), "{row}");
        assert_eq!(row["rank"].as_f64(), expected["rank_test_score"][at].as_f64(), "{row}");
        assert_eq!((&row["score"], &row["status"]), (&row["r2"], &json!("complete")));
        assert_eq!(
            (&row["runs"], &row["failed"], &row["count"]),
            (&json!(15), &json!(0), &json!(15))
        );
    }
}

#[test]
fn the_points_of_a_loop_are_what_scikit_learn_has_of_a_search() {
    let (desk, expected) = search(false);
    is_as_expected(&desk, &expected);
    let csv = desk.says(&["export", "out", "--groups", "alpha", "--format", "csv"]);
    assert_eq!(
        csv.lines().next().unwrap(),
        "alpha,rank,score,r2,r2_std,norm,norm_std,count,runs,failed,status,error"
    );
    // Stopped half way and started again.
    desk.sql(&format!("DELETE FROM runs WHERE {}", of_tasks("task > 40 AND task < 80")));
    desk.sql("DELETE FROM groups; UPDATE job SET value = 'interrupted' WHERE key = 'state'");
    desk.run_job().exits(0);
    assert_eq!(desk.says(&["export", "out", "--groups", "alpha", "--format", "csv"]), csv);
    // Parquet has types.
    let to = ["export", "out", "--groups", "alpha", "--format", "parquet", "--to", "a.parquet"];
    assert_eq!(desk.says(&to), "wrote a.parquet\n");
    let read = "
import json, pyarrow.parquet
table = pyarrow.parquet.read_table('a.parquet')
print(json.dumps([{f.name: str(f.type) for f in table.schema}, table.to_pylist()]))";
    let read = desk.run(Command::new(python_with_sklearn()), &["-c", read]).exits(0).json();
    assert_eq!(read[1], json!(desk.exported(&["--groups", "alpha"])));
    for (name, kind) in [
        ("alpha", "double"),
        ("rank", "int64"),
        ("r2_std", "double"),
        ("count", "int64"),
        ("status", "string"),
        ("error", "string"),
    ] {
        assert_eq!(read[0][name], kind, "{name}: {read}");
    }
}

#[test]
fn candidates_that_failed_have_no_rank_and_their_error() {
    let (desk, expected) = search(true);
    assert!(expected["mean_test_score"][2].is_null(), "{expected}");
    is_as_expected(&desk, &expected);
}

const LOOPS: [(&str, &str, &str); 4] = [
    ("d", "values = [\"a\", \"b\"]", ""),
    ("model", "values = [\"ridge\", \"tree\"]", "reduce = \"max\""),
    ("alpha", "values = [1, 2, 3]\nonly_if = { model = \"ridge\" }", "reduce = \"max\""),
    ("depth", "values = [4, 5]\nonly_if = { model = \"tree\" }", "reduce = \"min\""),
];

const FAMILIES: &str = "def crunch(d, model, alpha, depth):
    return {'r2': (alpha or 0) % 3 + (depth or 0) * 10 + (d == 'b'), 'rank': 7, 'Alpha': str(alpha)}
";

#[test]
fn loops_that_do_not_apply_are_empty_cells() {
    let desk = python_job(FAMILIES, &LOOPS);
    desk.run_job().exits(0);
    let of_model = desk.exported(&["--groups", "model"]);
    assert_eq!(
        of_model[0],
        json!({ "d": "a", "model": "ridge", "best_alpha": 2, "best_depth": null, "rank": 2, "score": 2.0,
                "r2": 2.0, "value.rank": 7, "value.Alpha": "2", "runs": 3, "failed": 0,
                "status": "complete", "error": null })
    );
    assert_eq!(column(&of_model, "best_depth"), json!([null, 4, null, 4]));
    assert_eq!(column(&of_model, "rank"), json!([2, 1, 2, 1]));
    // A point of alpha where alpha does not apply: the rows of all loops count the same runs.
    let of_alpha = desk.exported(&["--groups", "alpha"]);
    assert_eq!(column(&of_alpha, "alpha"), json!([1, 2, 3, null, 1, 2, 3, null]));
    assert_eq!(column(&of_alpha, "rank"), json!([2, 1, 3, 1, 2, 1, 3, 1]));
    assert_eq!(column(&of_alpha, "best_depth"), json!([null, null, null, 4, null, null, null, 4]));
    // The innermost loop: a row for each run.
    let of_depth = desk.exported(&["--groups", "depth"]);
    assert_eq!(column(&of_depth, "depth"), json!([null, null, null, 4, 5, null, null, null, 4, 5]));
    assert_eq!(column(&of_depth, "rank"), json!([1, 1, 1, 1, 2, 1, 1, 1, 1, 2]));
    assert!(of_depth.iter().all(|row| row["status"] == "ok" && row["runs"] == 1));
    // Without max or min there is no rank.
    let of_d = desk.exported(&["--groups", "d"]);
    assert_eq!(column(&of_d, "rank"), json!([null, null]));
    assert_eq!(column(&of_d, "best_model"), json!(["tree", "tree"]));
    assert_eq!(column(&of_d, "best_depth"), json!([4, 4]));
    assert_eq!(column(&of_d, "best_alpha"), json!([null, null]));
    // All of them, one loop after another.
    let all = desk.exported(&["--groups", "all"]);
    let loops: Vec<&str> = all.iter().map(|row| row["loop"].as_str().unwrap()).collect();
    assert_eq!(loops, [["d"; 2].as_slice(), &["model"; 4], &["alpha"; 8], &["depth"; 10]].concat());
    for (name, rows) in [("model", &of_model), ("alpha", &of_alpha), ("depth", &of_depth)] {
        let own: Vec<&Json> = all.iter().filter(|row| row["loop"] == name).collect();
        for (one, other) in own.iter().zip(rows) {
            for (field, value) in other.as_object().unwrap() {
                assert_eq!(&one[field], value, "{field}: {one}");
            }
        }
    }
    // summary.csv has the same names.
    let summary = fs::read_to_string(desk.path("out/summary.csv")).unwrap();
    assert!(summary.starts_with("d,best_model,best_alpha,best_depth,score,r2,value.rank,"));
    let csv = desk.says(&["export", "out", "--groups", "all", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 25);
    assert!(
        csv.lines().nth(3).unwrap().starts_with("model,a,ridge,,,,2,,2,2.0,2.0,7,2,3,0,"),
        "{csv}"
    );
    desk.says(&["export", "out", "--groups", "all", "--format", "parquet", "--to", "all.parquet"]);
    let read = "import json, pyarrow.parquet as p; print(json.dumps(p.read_table('all.parquet').to_pylist()))";
    let read = desk.run(Command::new(python_with_sklearn()), &["-c", read]).exits(0).json();
    assert_eq!(read, json!(all));
}

#[test]
fn ranks_are_those_of_the_reduction() {
    let code = "
def crunch(d, x, fold):
    r2 = {'a': [5, 1, 5, 3, None], 'b': [1, 4, 2, 4, 4]}[d][x]
    if r2 is None:
        raise ValueError('no')
    return {'r2': r2 + fold, 'rmse': [3, 9, 1, 1, 2][x], 'x': x}
";
    let with = |reduce: &str| {
        let fold = "reduce = [\"mean\", \"std\"]";
        let desk = python_job(
            code,
            &[
                ("d", "values = [\"a\", \"b\"]", ""),
                ("x", "range = { from = 0, to = 5 }", &format!("reduce = {reduce}\nrequire = 0.5")),
                ("fold", "range = { from = 0, to = 2 }", fold),
            ],
        );
        desk.run_job().exits(100);
        let found = desk.exported(&["--groups", "x"]);
        // The point that was chosen is the first.
        let best = desk.sql("SELECT best FROM groups WHERE level = 1 ORDER BY number");
        for (d, best) in best.iter().enumerate() {
            let best: Json = serde_json::from_str(best).unwrap();
            let slot = best[0][1].as_u64().unwrap() as usize;
            assert_eq!(found[5 * d + slot]["rank"], 1, "{reduce}");
        }
        column(&found, "rank")
    };
    // Equal scores in the order of the grid.
    assert_eq!(with("\"max\""), json!([1, 4, 2, 3, null, 5, 1, 4, 2, 3]));
    assert_eq!(with("\"min\""), json!([3, 1, 4, 2, null, 1, 3, 2, 4, 5]));
    assert_eq!(with("{ min = \"rmse\" }"), json!([3, 4, 1, 2, null, 4, 5, 1, 2, 3]));
    // What the rule chose comes first, and the others by their scores.
    let within = "{ max = \"r2\", within = { value = 1 }, prefer = { max = \"x\" } }";
    assert_eq!(with(within), json!([2, 4, 1, 3, null, 5, 2, 4, 3, 1]));
    for reduce in ["\"mean\"", "\"count\"", "{ python = \"fit.py:first\" }"] {
        let first = "def first(runs): return {'r2': runs[0]['score']}\n";
        let desk = python_job(
            &format!("{first}{}", code.replace("None]", "0]")),
            &[
                ("d", "values = [\"a\", \"b\"]", ""),
                ("x", "range = { from = 0, to = 5 }", &format!("reduce = {reduce}")),
                ("fold", "range = { from = 0, to = 2 }", "reduce = \"mean\""),
            ],
        );
        desk.run_job().exits(0);
        assert_eq!(
            column(&desk.exported(&["--groups", "x"]), "rank"),
            json!(vec![Json::Null; 10]),
            "{reduce}"
        );
    }
}

#[test]
fn a_group_that_is_not_closed_has_no_ranks_yet() {
    let loops = [
        ("d", "values = [1, 2]", ""),
        ("x", "values = [3, 1, 2]", "reduce = \"max\""),
        ("fold", "range = { from = 0, to = 2 }", "reduce = \"mean\""),
    ];
    let desk = python_job("def crunch(d, x, fold): return {'r2': x + fold}\n", &loops);
    desk.run_job().exits(0);
    // As during a run: of the second group two points are there.
    desk.sql("DELETE FROM groups WHERE level = 1 AND number = 1 OR level = 2 AND number = 5");
    desk.sql(&format!("DELETE FROM runs WHERE {}", of_tasks("task > 10")));
    let found = desk.exported(&["--groups", "x"]);
    assert_eq!(column(&found, "rank"), json!([1, 3, 2, null, null]));
    assert_eq!(column(&found, "r2"), json!([3.5, 1.5, 2.5, 3.5, 1.5]));
    // Once all are there, but too few have a result, they are ranked, and none of them was chosen.
    let job = fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &job.replace("values = [3, 1, 2]", "values = [3, 1, 2, 0]"));
    desk.write(
        "fit.py",
        "def crunch(d, x, fold):\n    if x == 0: raise ValueError('no')\n    return {'r2': x + fold}\n",
    );
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--keep"]).exits(100);
    let found = desk.exported(&["--groups", "x"]);
    assert_eq!(column(&found, "rank"), json!([1, 3, 2, null, 1, 3, 2, null]));
    assert_eq!(found[3]["status"], "incomplete");
    assert_eq!(
        column(&desk.exported(&["--groups", "d"]), "status"),
        json!(["incomplete", "incomplete"])
    );
}

#[test]
fn values_of_any_kind_are_in_the_rows() {
    let code = "
def crunch(x, i):
    return {'r2': float('inf') if x == 2 else i, 'fit': {'n': i, 'coef': [i]}, 'best_i': 'é,\"', 'runs': 5}
def total(runs):
    return [run['score'] for run in runs]
";
    let desk = python_job(
        code,
        &[
            ("x", "values = [1, 2]", "reduce = \"max\""),
            ("i", "values = [1, 2]", "reduce = \"max\""),
        ],
    );
    desk.run_job().exits(0);
    let found = desk.exported(&["--groups", "x"]);
    assert_eq!(
        found[0],
        json!({ "x": 1, "best_i": 2, "rank": 2, "score": 2.0, "r2": 2.0, "fit.n": 2, "fit.coef": [2],
                "value.best_i": "é,\"", "value.runs": 5, "runs": 2, "failed": 0, "status": "complete",
                "error": null })
    );
    assert_eq!((&found[1]["r2"], &found[1]["rank"]), (&json!("Infinity"), &json!(1)));
    let csv = desk.says(&["export", "out", "--groups", "x", "--format", "csv"]);
    assert!(csv.contains("\n2,1,1,inf,inf,1,[1],\"é,\"\"\",5,2,0,complete,\n"), "{csv}");
    // Lists are no fields; plain numbers are the score.
    let job = fs::read_to_string(desk.path("job.toml")).unwrap();
    let job = job.replacen("\"max\"", "\"all\"", 1);
    desk.write("job.toml", &job.replace("\"max\"", "{ python = \"fit.py:total\" }"));
    desk.run_job().exits(0);
    assert_eq!(
        column(&desk.exported(&["--groups", "x"]), "value"),
        json!([[1.0, 2.0], ["Infinity", "Infinity"]])
    );
    desk.write("job.toml", &job.replace("\"max\"", "\"mean\""));
    desk.write("fit.py", "def crunch(x, i): return x * i\n");
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--fresh"]).exits(0);
    assert_eq!(
        desk.exported(&["--groups", "x"])[1],
        json!({ "x": 2, "rank": null, "score": 3.0, "r2": 3.0, "runs": 2, "failed": 0,
                "status": "complete", "error": null })
    );
}

#[test]
fn a_large_value_is_in_the_row_with_its_fields() {
    let code = "def crunch(x, i): return {'r2': x + i, 'text': 'y' * 17_000_000}\n";
    let loops =
        [("x", "values = [1, 2]", "reduce = \"max\""), ("i", "values = [1]", "reduce = \"max\"")];
    let desk = python_job(code, &loops);
    desk.run_job().exits(0);
    assert_eq!(desk.sql("SELECT count(*) FROM groups WHERE value LIKE 'large/%'"), ["3"]);
    let found = desk.exported(&["--groups", "x"]);
    assert_eq!(column(&found, "r2"), json!([2.0, 3.0]));
    assert_eq!(found[1]["text"].as_str().unwrap().len(), 17_000_000);
}

#[test]
fn what_has_no_groups_of_its_own_is_refused_with_what_has() {
    let loops = [
        ("alpha", "values = [1, 2]", "reduce = \"max\""),
        ("repeat", "values = [1, 2]", "reduce = \"mean\""),
        ("fold", "values = [1, 2]", "reduce = \"join\""),
    ];
    let desk = python_job("def crunch(alpha, repeat, fold): return {'r2': alpha}\n", &loops);
    desk.run_job().exits(0);
    for (name, says) in [
        (
            "fold",
            "loop 'fold' joins its runs to those of the loop around it, and has no groups of its own",
        ),
        (
            "repeat",
            "the runs of loop 'fold' inside it are joined, so that no point of 'repeat' has a value",
        ),
        ("alhpa", "there is no loop 'alhpa'; did you mean 'alpha'?"),
    ] {
        let ran = desk.run(gridmpi(), &["export", "out", "--groups", name, "--format", "csv"]);
        let ran = ran.exits(2);
        assert!(ran.stderr.contains(says), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains("(--groups takes alpha, or all)"), "{name}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    assert_eq!(desk.exported(&["--groups", "all"]).len(), 2);
    let both = ["export", "out", "--groups", "alpha", "--where", "alpha = 1", "--format", "csv"];
    let both = desk.run(gridmpi(), &both).exits(2);
    assert!(both.stderr.contains("cannot be used with"), "{}", both.stderr);
    let job = fs::read_to_string(desk.path("job.toml")).unwrap();
    let from = job.find("[[loop]]\nname = \"repeat\"").unwrap();
    let head = job.find("[[loop]]").unwrap();
    let code = "def crunch(repeat, fold): return {'r2': repeat}\n";
    desk.write("fit.py", code);
    desk.write("job.toml", &format!("{}{}", &job[..head], &job[from..]));
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--fresh"]).exits(0);
    let none = desk.run(gridmpi(), &["export", "out", "--groups", "all", "--format", "csv"]);
    let none = none.exits(2);
    assert!(none.stderr.contains("export without --groups has the runs"), "{}", none.stderr);
}

#[test]
fn many_groups_take_little_memory() {
    let desk = Desk::with_job(&job(
        "builtin = \"multiply\"",
        &[
            ("a", "range = { from = 0, to = 60 }", ""),
            ("b", "range = { from = 0, to = 2000 }", "reduce = \"max\""),
            ("c", "values = [1]", "reduce = \"mean\""),
        ],
    ));
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--threads", "2"]).exits(0);
    let all = ["export", "out", "--groups", "all", "--format", "csv", "--to", "all.csv"];
    let (_, memory) = peak(&desk, &all);
    assert!(memory < 40, "{memory} MiB");
    let csv = fs::read_to_string(desk.path("all.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 60 + 2 * 120_000);
    // Points of b are ranked by a * b, the greatest first; at a = 0 all are equal.
    let row = |line: usize| csv.lines().nth(line).unwrap().to_string();
    assert_eq!(row(61), "b,0,0,,,1,0.0,1,0,complete,");
    assert_eq!(row(60 + 2000), "b,0,1999,,,2000,0.0,1,0,complete,");
    assert_eq!(row(60 + 2001), "b,1,0,,,2000,0.0,1,0,complete,");
    assert_eq!(row(60 + 4000), "b,1,1999,,,1,1999.0,1,0,complete,");
}
