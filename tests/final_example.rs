//! The example of final calls, compared with scikit-learn: the best of three families on six data sets, fitted again.

mod common;

use std::process::Command;

use common::{Desk, jobs, python_with_sklearn};
use serde_json::Value as Json;

/// Prints what GridSearchCV finds for each data set, as JSON, and how far the predictions of the saved models are from
/// those of its own.
const REFERENCE: &str = r#"
import json, pickle, sys
import numpy as np
import refit
from sklearn.model_selection import GridSearchCV, RepeatedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

grid = [
    {"model": [refit.Ridge()], "model__alpha": [0.01, 0.1, 1.0, 10.0, 100.0]},
    {"model": [refit.KNeighborsRegressor()], "model__n_neighbors": [3, 5, 10], "model__weights": ["uniform", "distance"]},
    {"model": [refit.DecisionTreeRegressor(random_state=0)], "model__max_depth": [2, 4, 8]},
]
found = {}
for dataset, saved in json.loads(sys.argv[1]):
    x, y = refit.load(dataset)
    search = GridSearchCV(
        Pipeline([("scale", StandardScaler()), ("model", refit.Ridge())]), grid, refit="r2",
        scoring={"r2": "r2", "rmse": "neg_root_mean_squared_error"},
        cv=RepeatedKFold(n_splits=5, n_repeats=3, random_state=0),
    ).fit(x, y)
    at, results = search.best_index_, search.cv_results_
    with open(saved, "rb") as file:
        model = pickle.load(file)
    own = search.best_estimator_.predict(x)
    found[dataset] = {
        "parameters": {name[7:]: value for name, value in search.best_params_.items() if name != "model"},
        "r2": results["mean_test_r2"][at], "r2_std": results["std_test_r2"][at],
        "rmse": -results["mean_test_rmse"][at], "rmse_std": results["std_test_rmse"][at],
        "all_r2": refit.r2_score(y, own), "all_rmse": refit.root_mean_squared_error(y, own),
        "apart": float(np.abs(model.predict(x) - own).max()),
    }
print(json.dumps(found))
"#;

fn close(what: &str, ours: &Json, theirs: &Json) {
    let (our, their) = (ours.as_f64().unwrap(), theirs.as_f64().unwrap());
    assert!(
        (our - their).abs() <= 1e-9 * their.abs().max(1.0),
        "{what}: {our}, scikit-learn {their}"
    );
}

#[test]
fn the_best_of_three_families_is_fitted_again_as_by_grid_search() {
    let desk = Desk::new();
    let job = std::fs::read_to_string(jobs().join("refit.toml")).unwrap();
    let data = format!("\"{}/data/", jobs().display());
    let python =
        format!("data = \"dataset\"\ninterpreter = \"{}\"", python_with_sklearn().display());
    let job = job.replace("\"data/", &data).replace("data = \"dataset\"", &python);
    desk.write("job.toml", &job);
    std::fs::copy(jobs().join("refit.py"), desk.path("refit.py")).unwrap();
    let ran = desk.run_job().exits(0);
    let rows: Vec<Json> =
        ran.groups().into_iter().filter(|group| group["over"] == "model").collect();
    assert_eq!(rows.len(), 6);
    let saved = |row: &Json| {
        let folder = row["final"]["folder"].as_str().unwrap_or_else(|| panic!("{row}"));
        desk.path("out").join(folder).join("model.pickle")
    };
    let question: Vec<_> =
        rows.iter().map(|row| (row["coordinates"]["dataset"].clone(), saved(row))).collect();
    assert!(question[0].1.ends_with("final/dataset=crime/model.pickle"), "{question:?}");
    let mut reference = Command::new(python_with_sklearn());
    // Threads of OpenMP that share few cores wait for each other.
    reference.env("OMP_NUM_THREADS", "1").env("OPENBLAS_NUM_THREADS", "1");
    reference.args(["-c", REFERENCE, &serde_json::json!(question).to_string()]);
    let theirs = desk.run(reference, &[]).exits(0).json();
    for row in &rows {
        let dataset = row["coordinates"]["dataset"].as_str().unwrap();
        let (their, value) = (&theirs[dataset], &row["summary"]["value"]);
        for field in ["r2", "r2_std", "rmse", "rmse_std"] {
            close(&format!("{dataset}: {field}"), &value[field], &their[field]);
        }
        let mut best = row["summary"]["best"].clone();
        best.as_object_mut().unwrap().remove("model");
        assert_eq!(best, their["parameters"], "{dataset}");
        let made = &row["final"]["value"];
        close(&format!("{dataset}: r2 of all data"), &made["r2"], &their["all_r2"]);
        close(&format!("{dataset}: rmse of all data"), &made["rmse"], &their["all_rmse"]);
        assert!(their["apart"].as_f64().unwrap() <= 1e-9, "{dataset}: {their}");
    }
}
