//! Reductions of records: every number field, several folds at once, joined loops, and the choice of a point
//! that is about as good as the best.

mod common;

use std::process::Command;

use common::{Desk, Ran, gridmpi, mpirun, python_with_sklearn};
use serde_json::{Value as Json, json};

/// A job of nested loops, each a name, its points and its reduction as TOML.
fn job(crunch: &str, loops: &[(&str, &str, &str)]) -> String {
    let mut text = format!("[crunch]\n{crunch}\n");
    for (name, points, reduce) in loops {
        text += &format!("[[loop]]\nname = \"{name}\"\n{points}\n");
        if !reduce.is_empty() {
            text += &format!("reduce = {reduce}\n");
        }
    }
    text
}

fn desk(code: &str, score: &str, loops: &[(&str, &str, &str)]) -> Desk {
    let crunch = format!("python = \"fit.py:crunch\"\nscore = \"{score}\"");
    let desk = Desk::with_job(&job(&crunch, loops));
    desk.write("fit.py", code);
    desk
}

/// The rows of summary.csv, each as a record of its cells.
fn rows(desk: &Desk) -> Vec<serde_json::Map<String, Json>> {
    let text = std::fs::read_to_string(desk.path("out/summary.csv")).unwrap();
    let mut lines = csv::Reader::from_reader(text.as_bytes());
    let names = lines.headers().unwrap().clone();
    let row = |cells: csv::StringRecord| {
        let named = names.iter().zip(&cells);
        named.map(|(name, cell)| (name.to_string(), json!(cell))).collect()
    };
    lines.records().map(|cells| row(cells.unwrap())).collect()
}

fn number(cell: &Json) -> f64 {
    cell.as_str().unwrap().parse().unwrap_or_else(|_| panic!("{cell} is no number"))
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-12 * other.abs().max(1.0)
}

const SEARCH: &str = "
from data import *
splits = list(cv.split(X))
def crunch(alpha, repeat, fold):
    train, test = splits[5 * repeat + fold]
    model = Ridge(alpha=alpha).fit(X[train], y[train])
    return {'r2': model.score(X[test], y[test]),
            'error': {'rmse': float(root_mean_squared_error(y[test], model.predict(X[test])))}}
";

const DATA: &str = "
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import RepeatedKFold
X, y = load_diabetes(return_X_y=True)
X, y = X[:120], y[:120]
cv = RepeatedKFold(n_splits=5, n_repeats=3, random_state=7)
";

const REFERENCE: &str = "
import json
from data import *
from sklearn.model_selection import GridSearchCV
scoring = {'r2': 'r2', 'rmse': 'neg_root_mean_squared_error'}
found = GridSearchCV(Ridge(), {'alpha': [0.01, 0.1, 1.0]}, cv=cv, scoring=scoring, refit='r2').fit(X, y)
cv_results = {name: list(values) for name, values in found.cv_results_.items() if '_test_' in name}
print(json.dumps({'best': found.best_params_['alpha'], **{n: [float(v) for v in c] for n, c in cv_results.items()}}))
";

#[test]
fn the_mean_and_spread_of_two_metrics_are_those_of_scikit_learn() {
    let python = python_with_sklearn();
    let loops = [
        ("alpha", "values = [0.01, 0.1, 1.0]", "\"max\""),
        ("repeat", "range = { from = 0, to = 3 }", "[\"mean\", \"std\", \"count\"]"),
        ("fold", "range = { from = 0, to = 5 }", "\"join\""),
    ];
    let crunch = format!(
        "python = \"fit.py:crunch\"\nscore = \"r2\"\ninterpreter = \"{}\"",
        python.display()
    );
    let desk = Desk::with_job(&job(&crunch, &loops));
    desk.write("data.py", DATA);
    desk.write("fit.py", SEARCH);
    let ran = desk.run_job().exits(0);
    let expected = desk.run(Command::new(python), &["-c", REFERENCE]).exits(0).json();
    let groups = ran.groups();
    let candidates: Vec<&Json> = groups.iter().filter(|g| g["over"] == "repeat").collect();
    assert_eq!(candidates.len(), 3);
    for (at, candidate) in candidates.iter().enumerate() {
        assert_eq!(candidate["runs"], 15);
        let value = &candidate["summary"]["value"];
        assert_eq!(value["count"], 15);
        for (field, metric, sign) in [
            ("r2", "mean_test_r2", 1.0),
            ("r2_std", "std_test_r2", 1.0),
            ("error.rmse", "mean_test_rmse", -1.0),
            ("error.rmse_std", "std_test_rmse", 1.0),
        ] {
            let (own, theirs) = (value[field].as_f64(), expected[metric][at].as_f64());
            assert!(close(own.unwrap(), sign * theirs.unwrap()), "{field}: {value}");
        }
    }
    // The winner carries all of it outwards, into the columns of the table and of summary.csv.
    let row = &rows(&desk)[0];
    let best = expected["best"].as_f64().unwrap();
    assert_eq!(number(&row["best_alpha"]), best);
    let winner = candidates.iter().find(|c| c["coordinates"]["alpha"] == expected["best"]).unwrap();
    for name in ["r2", "r2_std", "error.rmse", "error.rmse_std"] {
        assert_eq!(number(&row[name]), winner["summary"]["value"][name].as_f64().unwrap());
    }
    assert_eq!(row["score"], row["r2"]);
    let table = desk.says(&["job.toml", "--out", "out"]);
    let header: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    let expected = "best alpha mean r2 ± std error.rmse ± std count runs";
    assert_eq!(header.join(" "), expected, "{table}");
}

#[test]
fn every_kind_of_field_folds_as_it_should() {
    let code = "
def crunch(i):
    record = {'score': i, 'time': {'fit': 2.0 * i, 'name': 'x'}, 'same': 'yes', 'differs': str(i),
              'flag': True, 'list': [i], 'none': None, 'nan': float('nan') if i == 2 else 1.0,
              'gap': None if i == 1 else 3.0, 'either': 'text' if i == 3 else 4.0}
    if i != 2:
        record['missing'] = 5.0
        record['word'] = 'here'
    return record
";
    let desk = desk(
        code,
        "score",
        &[("i", "values = [1, 2, 3, 5]", "[\"mean\", \"sum\", \"median\", { quantile = 0.975 }]")],
    );
    let value = desk.run_job().exits(0).value();
    let none = Json::Null;
    let expected = json!({
        "score": 2.75, "score_sum": 11.0, "score_median": 2.5, "score_q97_5": 4.85,
        "time.fit": 5.5, "time.fit_sum": 22.0, "time.fit_median": 5.0, "time.fit_q97_5": 9.7,
        "time.name": "x", "same": "yes", "flag": true, "none": none,
        "nan": none, "nan_sum": none, "nan_median": none, "nan_q97_5": none,
        "gap": none, "gap_sum": none, "gap_median": none, "gap_q97_5": none,
        "either": none, "either_sum": none, "either_median": none, "either_q97_5": none,
        "missing": none, "missing_sum": none, "missing_median": none, "missing_q97_5": none,
    });
    for (name, expected) in expected.as_object().unwrap() {
        match expected.as_f64() {
            Some(number) => {
                assert!(close(value[name].as_f64().unwrap(), number), "{name}: {value}")
            }
            None => assert_eq!(value.get(name), Some(expected), "{name}: {value}"),
        }
    }
    assert_eq!(value.as_object().unwrap().len(), expected.as_object().unwrap().len(), "{value}");
}

#[test]
fn numbers_without_a_name_are_called_score() {
    let desk = desk(
        "def crunch(d, i): return d * i\n",
        "score",
        &[
            ("d", "values = [1, 2]", "\"max\""),
            ("i", "values = [1, 2, 4]", "[\"mean\", \"sd\", \"sem\", \"count\", \"min\"]"),
        ],
    );
    let value = desk.run_job().exits(0).value();
    let (sd, mean) = (2.0 * (7.0_f64 / 3.0).sqrt(), 14.0 / 3.0);
    for (name, expected) in
        [("score", mean), ("score_sd", sd), ("score_sem", sd / 3.0_f64.sqrt()), ("score_min", 2.0)]
    {
        assert!(close(value[name].as_f64().unwrap(), expected), "{name}: {value}");
    }
    assert_eq!(value["count"], 3);
}

#[test]
fn of_one_run_there_is_no_sd() {
    let desk = desk(
        "def crunch(d, i): return {'score': d, 'n': i}\n",
        "score",
        &[
            ("d", "values = [1, 2]", ""),
            ("i", "values = [7]", "[\"mean\", \"sd\", \"sem\", \"std\"]"),
        ],
    );
    let value = desk.run_job().exits(0).value();
    assert_eq!(
        value,
        json!({ "score": 1.0, "score_sd": null, "score_sem": null, "score_std": 0.0,
                "n": 7.0, "n_sd": null, "n_sem": null, "n_std": 0.0 })
    );
}

#[test]
fn the_spreads_of_two_loops_are_named_by_their_loops() {
    let code = "def crunch(repeat, fold): return {'r2': repeat + fold, 'n': 1}\n";
    let spread = "[\"mean\", \"std\", \"count\"]";
    let loops = [("repeat", "values = [0, 10]", spread), ("fold", "values = [0, 1, 2, 3]", spread)];
    let value = desk(code, "r2", &loops).run_job().exits(0).value();
    assert_eq!(
        value,
        json!({ "r2": 6.5, "r2_std_repeat": 5.0, "r2_std_fold": 1.25f64.sqrt(),
                "n": 1.0, "n_std_repeat": 0.0, "n_std_fold": 0.0,
                "count_fold": 4.0, "count_repeat": 2 })
    );
    // One loop alone needs no name, whatever the data.
    let loops = [loops[0], ("fold", "values = [0, 1, 2, 3]", "\"mean\"")];
    let value = desk(code, "r2", &loops).run_job().exits(0).value();
    assert_eq!(value["r2_std"], 5.0);
}

#[test]
fn a_name_that_crunch_has_already_is_refused() {
    let desk = desk(
        "def crunch(i): return {'r2': i, 'r2_std': 3}\n",
        "r2",
        &[("i", "values = [1, 2]", "[\"mean\", \"std\"]")],
    );
    let ran = desk.run_job().exits(100);
    let group = &ran.groups()[0];
    assert_eq!(group["summary"], Json::Null);
    let error = group["error"].as_str().unwrap();
    assert!(error.contains("two fields 'r2_std'") && error.contains("for 'r2'"), "{error}");
}

#[test]
fn a_field_chooses_and_is_the_score_from_there_outwards() {
    let code = "def crunch(d, model, i):\n    return {'rmse': (model - d) ** 2 + i, 'size': {'n': model}}\n";
    let desk = desk(
        code,
        "score",
        &[
            ("d", "values = [3, 5]", "\"sum\""),
            ("model", "values = [1, 4, 6]", "{ min = \"rmse\" }"),
            ("i", "values = [0, 2]", "{ mean = \"rmse\" }"),
        ],
    );
    let ran = desk.run_job().exits(0);
    assert_eq!(ran.score(), 4.0);
    assert_eq!(ran.value(), json!({ "rmse": 4.0, "size.n": 8.0 }));
    let inner = &ran.groups()[1];
    assert_eq!(inner["summary"]["best"], json!({ "model": 4 }));
    assert_eq!(inner["summary"]["score"], 2.0);
}

#[test]
fn a_weighted_mean_counts_as_its_weights_say() {
    let code = "def crunch(site): return {'r2': [0.5, 0.8, 0.9][site], 'n': [10, 0, 30][site], 'bias': site}\n";
    let reduce = "{ mean = \"r2\", weight = \"n\" }";
    let value = |code: &str, exit| {
        let desk = desk(code, "r2", &[("site", "range = { from = 0, to = 3 }", reduce)]);
        desk.run_job().exits(exit)
    };
    assert_eq!(value(code, 0).value(), json!({ "r2": 0.8, "n": 40.0, "bias": 1.5 }));
    for (bad, why) in [
        ("[10, -1, 30]", "the weight 'n' of point 2 (of those here, from 1) is -1"),
        ("[10, None, 30]", "the weight 'n' of point 2 (of those here, from 1) is missing"),
        ("[0, 0, 0]", "the weights 'n' are all zero"),
    ] {
        let ran = value(&code.replace("[10, 0, 30]", bad), 100);
        let error = ran.groups()[0]["error"].as_str().unwrap().to_string();
        assert!(error.contains(why), "{error}");
    }
}

/// Scores of each alpha with noise, and the choice by the rule of one standard error, by hand.
const WITHIN: &str = "
import math, json, statistics
def crunch(d, alpha, fold):
    noise = math.sin(12.9898 * (fold + 1) * d + alpha) * 0.05
    return {'r2': 1 - (math.log10(alpha) - d / 3) ** 2 / 40 + noise, 'fold': fold}
if __name__ == '__main__':
    alphas, chosen = [0.01, 0.1, 1.0, 10.0, 100.0], []
    for d in range(6):
        means, sems = [], []
        for alpha in alphas:
            scores = [crunch(d, alpha, fold)['r2'] for fold in range(5)]
            means.append(statistics.fmean(scores))
            sems.append(statistics.stdev(scores) / math.sqrt(5))
        best = max(range(5), key=lambda i: means[i])
        near = [i for i in range(5) if means[i] >= means[best] - sems[best]]
        chosen.append([alphas[max(near)], means[max(near)], means[best], len(near)])
    print(json.dumps(chosen))
";

#[test]
fn the_rule_of_one_standard_error_is_as_by_hand() {
    let rule = "{ max = \"r2\", within = { sem = 1 }, prefer = { max = \"alpha\" } }";
    let desk = desk(
        WITHIN,
        "r2",
        &[
            ("d", "range = { from = 0, to = 6 }", ""),
            ("alpha", "values = [0.01, 0.1, 1.0, 10.0, 100.0]", rule),
            ("fold", "range = { from = 0, to = 5 }", "[\"mean\", \"sem\"]"),
        ],
    );
    desk.run_job().exits(0);
    let expected = desk.run(Command::new("python3"), &["fit.py"]).exits(0).json();
    let mut differ = 0;
    for (row, expected) in rows(&desk).iter().zip(expected.as_array().unwrap()) {
        let by_hand: Vec<f64> = (0..4).map(|at| expected[at].as_f64().unwrap()).collect();
        assert_eq!(number(&row["best_alpha"]), by_hand[0], "{row:?}, expected {expected}");
        assert!(close(number(&row["score"]), by_hand[1]), "{row:?}, expected {expected}");
        assert!(close(number(&row["r2_best"]), by_hand[2]), "{row:?}, expected {expected}");
        differ += usize::from(by_hand[3] > 1.0);
    }
    assert!(differ > 0, "no row has a choice: {expected}");
}

#[test]
fn a_family_of_a_union_can_have_the_rule_alone() {
    // The loop of the other family stands between, with one point, none.
    let code = "def crunch(model, alpha, depth, fold):\n    p = alpha or depth\n    return {'r2': -abs(p - 2) + 3 * (fold == 0) * (model == 'ridge')}\n";
    let rule = "{ max = \"r2\", within = { sd = 1 }, prefer = { max = \"alpha\" } }";
    let desk = desk(
        code,
        "r2",
        &[
            ("model", "values = [\"ridge\", \"tree\"]", ""),
            ("alpha", "values = [1, 2, 3, 9]\nonly_if = { model = \"ridge\" }", rule),
            ("depth", "values = [1, 2, 3]\nonly_if = { model = \"tree\" }", "{ max = \"r2\" }"),
            ("fold", "range = { from = 0, to = 3 }", "[\"mean\", \"sd\"]"),
        ],
    );
    desk.run_job().exits(0);
    let rows = rows(&desk);
    let of = |row: usize, name: &str| rows[row][name].as_str().unwrap().to_string();
    // Of ridge, 2 has the best mean, 1, and an sd of 1.73; 3 has a mean of 0.
    assert_eq!(
        (of(0, "best_alpha"), of(0, "score"), of(0, "r2_best")),
        ("3".into(), "0.0".into(), "1.0".into())
    );
    assert_eq!((of(1, "best_depth"), of(1, "score")), ("2".into(), "0.0".into()));
    // One fold has no spread: of several points none can be chosen so, and of one there is no choice.
    let one =
        std::fs::read_to_string(desk.path("job.toml")).unwrap().replace("to = 3 }", "to = 1 }");
    desk.write("job.toml", &one);
    let ran = desk.run_job().exits(100);
    let error = ran.groups()[0]["error"].as_str().unwrap().to_string();
    assert!(error.contains("the best point has no 'r2_sd'"), "{error}");
    assert_eq!(ran.groups()[1]["summary"]["best"], json!({ "depth": 2 }));
}

#[test]
fn of_points_at_a_fixed_distance_the_preferred_one_is_chosen() {
    // Of equally preferred points the one with the better score; none comes last.
    let code = "
def crunch(model):
    depth, score = model['depth'], model['score']
    return {'r2': score}
";
    let points = "values = [{ name = \"a\", depth = 3, score = 0.9 }, { name = \"b\", depth = 2, score = 0.85 }, \
                  { name = \"c\", depth = 2, score = 0.88 }, { name = \"d\", depth = 1, score = 0.7 }, \
                  { name = \"e\", depth = \"none\", score = 0.89 }]";
    let rule = "{ max = \"r2\", within = { value = 0.1 }, prefer = { min = \"model.depth\" } }";
    let ran = desk(code, "r2", &[("model", points, rule)]).run_job().exits(0);
    let summary = &ran.groups()[0]["summary"];
    assert_eq!(summary["best"]["model"]["name"], "c");
    assert_eq!(summary["value"], json!({ "r2": 0.88, "r2_best": 0.9 }));
    assert_eq!(summary["score"], 0.88);
}

#[test]
fn what_cannot_be_reduced_so_is_refused_before_anything_runs() {
    let fold = "range = { from = 0, to = 5 }";
    let within = "{ max = \"r2\", within = { sem = 1 }, prefer = { max = \"alpha\" } }";
    for (loops, why) in [
        (
            vec![("alpha", "values = [1, 2]", within), ("fold", fold, "[\"mean\", \"std\"]")],
            "write reduce = [\"mean\", \"sem\"] there",
        ),
        (vec![("alpha", "values = [1, 2]", within)], "no loop is inside it"),
        (vec![("fold", fold, "\"join\"")], "no loop around it reduces"),
        (
            vec![("a", "values = [1]", "\"max\""), ("fold", fold, "\"join\"\nrequire = 0.5")],
            "require belongs there",
        ),
        (vec![("fold", fold, "[\"mean\", \"maen\"]")], "did you mean \"mean\"?"),
        (vec![("fold", fold, "{ maximum = \"r2\" }")], "'maximum' is not known here"),
    ] {
        let ran = desk("def crunch(**a): open('ran', 'w'); return 1\n", "r2", &loops).run_job();
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
        ran.exits(2);
    }
}

#[test]
fn a_field_that_is_nowhere_is_said_with_those_that_are_there() {
    let desk = desk(
        "def crunch(d, i): return {'r2': i}\n",
        "r2",
        &[("d", "values = [1]", ""), ("i", "values = [1, 2]", "{ max = \"rmse\" }")],
    );
    let ran = desk.run_job().exits(100);
    let error = ran.groups()[0]["error"].as_str().unwrap().to_string();
    assert!(error.contains("no number 'rmse' (it has: r2)"), "{error}");
}

#[test]
fn joined_runs_compete_and_count_together() {
    let code = "
import os
def crunch(d, model, repeat, fold):
    with open('calls', 'a') as log: log.write(f'{d} {model} {repeat} {fold}\\n')
    if (model, repeat, fold) == (1, 1, 0) and d == 2: raise ValueError('no')
    return {'score': d + model + repeat * 0.25 + (fold == 1) * 0.125, 'fold': fold}
";
    let loops = [
        ("d", "values = [1, 2]", ""),
        ("model", "values = [0, 1]", "\"max\"\nrequire = 0.75"),
        ("repeat", "values = [0, 1]", "\"join\""),
        ("fold", "values = [0, 1, 2]", "\"join\""),
    ];
    let desk = desk(code, "score", &loops);
    let ran = desk.run_job().exits(100);
    let groups = ran.groups();
    assert_eq!(groups.len(), 2, "joined loops have no groups of their own");
    for (group, (runs, failed)) in groups.iter().zip([(12, 0), (11, 1)]) {
        assert_eq!((&group["runs"], &group["failed"]), (&json!(runs), &json!(failed)));
        assert_eq!(group["summary"]["best"], json!({ "model": 1, "repeat": 1, "fold": 1 }));
    }
    assert_eq!(number(&rows(&desk)[0]["score"]), 2.375);
    assert_eq!(desk.calls().len(), 24);
    // `best` ranks the same, and another reduction computes nothing anew.
    let best = desk.says(&["best", "out"]);
    assert!(
        best.lines().nth(1).unwrap().split_whitespace().eq(["1", "1", "1", "1", "2.375", "1"]),
        "{best}"
    );
    let means = [
        loops[0],
        ("model", "values = [0, 1]", "\"max\""),
        ("repeat", "values = [0, 1]", "[\"mean\", \"count\"]\nrequire = 0.8"),
        loops[3],
    ];
    let crunch = "python = \"fit.py:crunch\"\nscore = \"score\"";
    desk.write("job.toml", &job(crunch, &means));
    let ran = desk.run_job().exits(100);
    assert_eq!(ran.groups()[1]["summary"]["value"]["count"], 5);
    assert_eq!(desk.calls(), ["2 1 1 0"], "only what had failed ran again");
    // A loop that grows keeps what is there.
    let grown = [means[0], means[1], ("repeat", "values = [0, 1, 2]", means[2].2), means[3]];
    desk.write("job.toml", &job(crunch, &grown));
    let ran = desk.run_job().exits(100);
    assert_eq!(ran.groups()[0]["summary"]["value"]["count"], 9);
    assert_eq!(desk.calls().len(), 12 + 1);
}

#[test]
fn numbers_beside_records_keep_their_scores() {
    let code = "def crunch(x): return {'score': x, 'n': 2} if x < 3 else x\n";
    let desk = desk(code, "score", &[("x", "values = [1, 2, 3]", "")]);
    let table = desk.says(&["job.toml", "--out", "out"]);
    let cells = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = table.lines().map(cells).collect();
    assert_eq!(lines[1][..3], ["1", "1", "2"], "{table}");
    assert_eq!(lines[3][..2], ["3", "3"], "{table}");
    assert_eq!(rows(&desk)[2]["score"], "3.0");
    assert_eq!(rows(&desk)[2]["value"], "3.0");
}

/// Whatever the order of arrival, on threads and over MPI.
#[test]
fn records_fold_to_the_same_bytes_in_any_order() {
    let code = "
import time, math
def crunch(d, i):
    time.sleep(abs(math.sin(i * 7 + d)) * 0.02)
    return {'score': math.sin(i + d), 'x': math.exp(i / 7), 'tag': 'a', **({'odd': i} if i % 2 else {})}
";
    let loops = [
        ("d", "values = [1, 2, 3]", ""),
        ("i", "range = { from = 0, to = 40 }", "[\"mean\", \"std\", \"median\"]"),
    ];
    let desk = desk(code, "score", &loops);
    let start = |command: Command, out: &str, more: &[&str]| -> Ran {
        desk.run(command, &[&["job.toml", "--out", out], more].concat()).exits(0)
    };
    start(gridmpi(), "one", &["--threads", "1"]);
    start(gridmpi(), "four", &["--threads", "4"]);
    start(mpirun(4), "ranks", &[]);
    let text = |out: &str| std::fs::read_to_string(desk.path(out).join("summary.json")).unwrap();
    assert!(text("one").contains("\"x_median\""));
    assert_eq!(text("one"), text("four"));
    assert_eq!(text("one"), text("ranks"));
}
