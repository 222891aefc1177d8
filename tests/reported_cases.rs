//! Nests that users of other tools have asked for, which come out right here: a search over families of models
//! as scikit-learn makes it, and subjects whose names look like numbers.

mod common;

use std::process::Command;

use common::{Desk, gridmpi, mpirun, python_with_sklearn};
use serde_json::{Value as Json, json};

/// Ridge and nearest neighbours have grids of their own; 5 folds x 3 repeats of each candidate.
const SEARCH: &str = "
[[loop]]
name = \"model\"
values = [\"ridge\", \"neighbours\"]
reduce = \"max\"
[[loop]]
name = \"alpha\"
values = [0.01, 0.1, 1.0, 10.0]
only_if = { model = \"ridge\" }
reduce = \"max\"
[[loop]]
name = \"k\"
values = [5, 10, 20, 40]
only_if = { model = \"neighbours\" }
reduce = \"max\"
[[loop]]
name = \"weights\"
values = [\"uniform\", \"distance\"]
only_if = { model = \"neighbours\" }
reduce = \"max\"
[[loop]]
name = \"repeat\"
range = { from = 0, to = 3 }
reduce = \"mean\"
[[loop]]
name = \"fold\"
range = { from = 0, to = 5 }
reduce = \"mean\"
";

/// What crunch and the search of scikit-learn share: the data and how it is split.
const DATA: &str = "
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import RepeatedKFold
from sklearn.neighbors import KNeighborsRegressor

X, y = load_diabetes(return_X_y=True)
X, y = X[:150], y[:150]
cv = RepeatedKFold(n_splits=5, n_repeats=3, random_state=7)
";

const CRUNCH: &str = "
from data import *

splits = list(cv.split(X))

def crunch(model, alpha, k, weights, repeat, fold):
    train, test = splits[5 * repeat + fold]
    if model == 'ridge':
        assert (k, weights) == (None, None)
        estimator = Ridge(alpha=alpha)
    else:
        assert alpha is None
        estimator = KNeighborsRegressor(k, weights=weights)
    score = estimator.fit(X[train], y[train]).score(X[test], y[test])
    return {'score': score, 'test': ' '.join(map(str, test))}
";

/// GridSearchCV over a list of grids: each candidate in its order, with the score of each split and their mean;
/// the best one, and the rows that each split holds out.
const REFERENCE: &str = "
import json
from data import *
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import Pipeline

grids = [
    {'model': [Ridge()], 'model__alpha': [0.01, 0.1, 1.0, 10.0]},
    {'model': [KNeighborsRegressor()], 'model__n_neighbors': [5, 10, 20, 40], 'model__weights': ['uniform', 'distance']},
]
search = GridSearchCV(Pipeline([('model', Ridge())]), grids, cv=cv).fit(X, y)
names = {'model__alpha': 'alpha', 'model__n_neighbors': 'k', 'model__weights': 'weights'}

def point(params):
    family = 'ridge' if isinstance(params['model'], Ridge) else 'neighbours'
    return {'model': family, **{names[n]: v for n, v in params.items() if n != 'model'}}

found = search.cv_results_
assert [point(p) for p in found['params']] == [point(p) for p in ParameterGrid(grids)]
print(json.dumps({
    'candidates': [point(p) for p in found['params']],
    'means': found['mean_test_score'].tolist(),
    'scores': [[found[f'split{s}_test_score'][c] for s in range(15)] for c in range(12)],
    'best': point(search.best_params_),
    'splits': [' '.join(map(str, test)) for _, test in cv.split(X)],
}))
";

fn is_close(one: &Json, other: &Json) -> bool {
    (one.as_f64().unwrap() - other.as_f64().unwrap()).abs() < 1e-10
}

fn strip_none(point: &Json) -> Json {
    let fields = point.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
    Json::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}

#[test]
fn a_search_over_two_families_is_that_of_scikit_learn() {
    let python = python_with_sklearn();
    let interpreter = format!("interpreter = \"{}\"", python.display());
    let desk =
        Desk::with_job(&format!("[crunch]\npython = \"fit.py:crunch\"\n{interpreter}\n{SEARCH}"));
    desk.write("data.py", DATA);
    desk.write("fit.py", CRUNCH);
    let ran = desk.run_job().exits(0);
    let expected = desk.run(Command::new(python), &["-c", REFERENCE]).exits(0).json();
    let list = |name: &str| expected[name].as_array().unwrap().clone();
    let (candidates, means) = (list("candidates"), list("means"));

    // The same candidates in the same order, and the same mean of each.
    let all = ran.groups();
    let own: Vec<&Json> = all.iter().filter(|group| group["over"] == "repeat").collect();
    assert_eq!((own.len(), candidates.len()), (12, 12));
    for ((group, candidate), mean) in own.iter().zip(&candidates).zip(&means) {
        assert_eq!(strip_none(&group["coordinates"]), *candidate);
        assert_eq!((&group["runs"], &group["failed"]), (&json!(15), &json!(0)));
        assert!(is_close(&group["summary"]["score"], mean), "{group}, expected {mean}");
    }
    // The same splits, and the same score of each.
    let (splits, scores) = (list("splits"), list("scores"));
    assert_eq!(splits.len(), 15);
    let sql =
        "SELECT repeat, fold, score, json_extract(value, '$.test') FROM all_runs ORDER BY task";
    let runs = desk.sql(sql);
    assert_eq!(runs.len(), 12 * 15);
    for (at, run) in runs.iter().enumerate() {
        let (candidate, split) = (at / 15, at % 15);
        let cells: Vec<&str> = run.split('|').collect();
        assert_eq!(cells[..2], [(split / 5).to_string(), (split % 5).to_string()]);
        assert!(is_close(&json!(cells[2].parse::<f64>().unwrap()), &scores[candidate][split]));
        assert_eq!(json!(cells[3]), splits[split]);
    }
    // The same best one, which is no matter of rounding.
    let mut ranked: Vec<f64> = means.iter().map(|mean| mean.as_f64().unwrap()).collect();
    ranked.sort_by(|a, b| b.total_cmp(a));
    assert!(ranked[0] - ranked[1] > 1e-6, "{ranked:?}");
    let whole = all.iter().find(|group| group["over"] == "model").unwrap();
    assert_eq!(whole["summary"]["best"], expected["best"]);
    assert!(is_close(&whole["summary"]["score"], &json!(ranked[0])));
    assert_eq!(whole["runs"], 180);

    let mpi = ["job.toml", "--out", "mpi", "--format", "json"];
    let over_mpi = desk.run(mpirun(3), &mpi).exits(0).groups();
    assert_eq!(over_mpi, all);
}

/// `001` is a name wherever it goes: in Python, SQL, tables, commands, and where it is looked up.
#[test]
fn a_subject_keeps_its_zeros() {
    let loops = "
[[loop]]
name = \"subject\"
values = [\"001\", \"01\", \"1\", \"1e3\"]
[[loop]]
name = \"visit\"
files = \"data/{subject}_*.txt\"
reduce = \"sum\"
";
    let desk = Desk::with_job(&format!("[crunch]\npython = \"fit.py:crunch\"\n{loops}"));
    desk.write("fit.py", "def crunch(subject, visit):\n    assert visit.startswith(f'data/{subject}_')\n    return len(subject)\n");
    for file in ["001_a", "001_b", "01_a", "1_a", "1e3_a", "1e3_b", "1e3_c", "1000_a"] {
        desk.write(&format!("data/{file}.txt"), "");
    }
    let ran = desk.run_job().exits(0);
    let found = |groups: Vec<Json>| -> Vec<(Json, Json, Json)> {
        let of = |group: &Json| {
            let subject = group["coordinates"]["subject"].clone();
            (subject, group["summary"]["score"].clone(), group["runs"].clone())
        };
        groups.iter().filter(|group| group["over"] == "visit").map(of).collect()
    };
    let expected = [("001", 6.0, 2), ("01", 2.0, 1), ("1", 1.0, 1), ("1e3", 9.0, 3)]
        .map(|(s, score, runs)| (json!(s), json!(score), json!(runs)));
    assert_eq!(found(ran.groups()), expected);
    let csv = std::fs::read_to_string(desk.path("out/summary.csv")).unwrap();
    let subjects: Vec<&str> =
        csv.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(subjects, ["001", "01", "1", "1e3"]);
    assert_eq!(desk.sql("SELECT count(*) FROM all_runs WHERE subject = '001'"), ["2"]);
    assert_eq!(desk.sql("SELECT DISTINCT typeof(subject) FROM all_runs"), ["text"]);
    let runs = desk.run(gridmpi(), &["runs", "out", "--where", "subject = '1'"]).exits(0);
    assert_eq!(runs.stdout.lines().count(), 2, "{}", runs.stdout);
    let number = desk.run(gridmpi(), &["runs", "out", "--where", "subject = 1"]).exits(2);
    assert!(number.stderr.contains("subject"), "{}", number.stderr);
    let explained = desk.run(gridmpi(), &["explain", "out", "subject=01"]).exits(0);
    assert!(explained.stdout.contains("subject 01, visit data/01_a.txt"), "{}", explained.stdout);
    let again = desk.run_job().exits(0);
    assert!(again.stderr.contains("7 of 7 runs reused"), "{}", again.stderr);
    // A command is given the name.
    desk.write(
        "command.toml",
        &format!("[crunch]\ncommand = [\"sh\", \"-c\", \"echo ${{{{#1}}}}\", \"sh\", \"{{subject}}\"]\n{loops}"),
    );
    let words = ["command.toml", "--threads", "2", "--out", "command", "--format", "json"];
    assert_eq!(found(desk.run(gridmpi(), &words).exits(0).groups()), expected);
}
