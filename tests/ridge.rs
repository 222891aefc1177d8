//! `builtin = "ridge"` on data that is harder than the main job's: compared with scikit-learn, and its keys.

mod common;

use std::process::Command;

use common::{Desk, Ran, gridmpi, python_with_sklearn};

/// Writes data sets, and prints scikit-learn's scores of each file, alpha and fold. With alpha = 0 the weights are
/// NumPy's, the smallest ones that fit best: LinearRegression takes rounding errors for a column of its own.
const SKLEARN: &str = r#"
import sys, warnings
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

class Smallest(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.x_, self.y_ = X.mean(axis=0), y.mean()
        self.w_ = np.linalg.lstsq(X - self.x_, y - self.y_, rcond=1e-12)[0]
        return self

    def predict(self, X):
        return (X - self.x_) @ self.w_ + self.y_

warnings.simplefilter("ignore")
random = np.random.default_rng(1)
x = random.normal(size=(40, 3))
y = x @ [1.0, -2.0, 0.5] + random.normal(size=40)
data = {
    "collinear": (np.column_stack([x, 3 * x[:, 0] - x[:, 2]]), y),
    "constant_column": (np.column_stack([x, np.full(40, 0.1)]), y),
    "constant_fold": (x, np.where(np.arange(40) < 10, 0.1, y)),
    "constant_target": (x, np.full(40, 0.5)),
    "units": (x * [1e-4, 1.0, 1e5] + [1e3, 0.0, 1e7], y),
    "far": (np.column_stack([2.0**50 + np.arange(40) % 7, x[:, 1]]), np.arange(40) % 7 + 0.1 * y),
    "noise": (np.column_stack([x, np.full(40, 0.7) + 1.2e-16 * (np.arange(40) % 8)]), y),
    "times": (np.column_stack([1.7e18 + 2048.0 * (np.arange(40) % 11), x[:, 1]]), np.arange(40) % 11 + 0.1 * y),
    "wide": (random.normal(size=(40, 300)), y),
}
# scikit-learn's own scores differ from solver to solver here: the right ones are those without the offset, and in the
# units that its scaler leaves where numbers are so large.
far = {"far": 2.0**50, "times": 1.7e18}
for name in sorted(data):
    X, y = data[name]
    table = np.column_stack([X, y])
    names = ",".join(f"x{i}" for i in range(X.shape[1])) + ",y"
    np.savetxt(f"{name}.csv", table, delimiter=",", header=names, comments="", fmt="%.17g")
    X[:, 0] -= far.get(name, 0.0)
    scaler = StandardScaler()
    if name in far:
        scaler = ColumnTransformer([("x", StandardScaler(with_std=False), [0]), ("y", scaler, [1])])
    for alpha in [0.0, 1e-3, 1.0, 1e5]:
        model = Ridge(alpha=alpha) if alpha else Smallest()
        model = make_pipeline(scaler, model) if "standardize" in sys.argv else model
        for score in cross_val_score(model, X, y, cv=KFold(4)):
            print(name, alpha, repr(float(score)))
"#;

fn job(keys: &str, alphas: &str) -> String {
    format!(
        "[crunch]\nbuiltin = \"ridge\"\n{keys}\n[[loop]]\nname = \"dataset\"\nfiles = \"*.csv\"\n[[loop]]\nname = \"alpha\"\nvalues = {alphas}\n[[loop]]\nname = \"fold\"\nrange = {{ from = 0, to = 4 }}\n"
    )
}

fn equals_scikit_learn(word: &str, keys: &str) {
    let desk = Desk::with_job(&job(keys, "[0, 1e-3, 1, 1e5]"));
    let mut python = Command::new(python_with_sklearn());
    python.args(["-c", SKLEARN, word]);
    let theirs = desk.run(python, &[]).exits(0).stdout;
    let ran = desk.run_job().exits(0);
    let sql = "SELECT dataset, alpha, printf('%!.17g', score) FROM all_runs ORDER BY task";
    let ours = desk.sql(sql);
    assert_eq!(ours.len(), 9 * 4 * 4);
    for (our, their) in ours.iter().zip(theirs.lines()) {
        let score = |line: &str, by: char| line.rsplit(by).next().unwrap().parse::<f64>().unwrap();
        let (a, b) = (score(our, '|'), score(their, ' '));
        assert!((a - b).abs() <= 1e-8 * b.abs(), "{our}, scikit-learn: {their}");
    }
    for (file, says) in
        [("collinear.csv", "(rank 3 on 30 training rows)"), ("wide.csv", "(rank 29 on 30")]
    {
        let warning = ran.stderr.lines().filter(|line| line.contains(file)).collect::<Vec<_>>();
        assert_eq!(warning.len(), 1, "once a data set: {}", ran.stderr);
        assert!(warning[0].contains("collinear") && warning[0].contains(says), "{warning:?}");
    }
    assert_eq!(ran.stderr.matches("collinear (").count(), 2, "{}", ran.stderr);
}

#[test]
fn constant_collinear_and_wide_data_score_as_in_scikit_learn() {
    equals_scikit_learn("", "");
}

#[test]
fn the_same_standardized() {
    equals_scikit_learn("standardize", "standardize = true");
}

#[test]
fn twenty_rows_of_a_hundred_thousand_columns_fit_into_two_gigabytes() {
    let desk = Desk::with_job(&job("", "[0.1, 1]").replace("to = 4", "to = 2"));
    let number = |i: usize| ((i * 7919) % 1009) as f64 / 1009.0;
    let row =
        |r: usize| (0..=100_000).map(|c| number(r * 100_001 + c).to_string()).collect::<Vec<_>>();
    let rows: Vec<String> = (0..20).map(|r| row(r).join(",")).collect();
    desk.write("d.csv", &rows.join("\n"));
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v 2000000; exec \"$0\" job.toml --threads 1 --out out"]);
    shell.arg(gridmpi().get_program());
    desk.run(shell, &[]).exits(0);
    assert_eq!(desk.sql("SELECT count(score) FROM all_runs"), ["4"]);
}

/// The scores of a job with one data set.
fn scores(keys: &str, data: &str) -> (Vec<String>, Ran) {
    let desk = Desk::with_job(&job(keys, "[1]"));
    desk.write("d.csv", data);
    let ran = desk.run_job();
    if ran.code != 0 {
        return (Vec::new(), ran);
    }
    (desk.sql("SELECT printf('%!.17g', score) FROM all_runs ORDER BY task"), ran)
}

#[test]
fn keys_choose_columns_and_rows() {
    let line = |i: i32| (i, (i * i) % 7, i % 3);
    let csv = |head: &str, row: &dyn Fn(i32, i32, i32) -> String| {
        let rows = (0..12).map(line).map(|(i, x, y)| row(i, x, y));
        [head.to_string()].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
    };
    let (plain, ran) = scores("", &csv("x,y", &|_, x, y| format!("{x},{y}")));
    assert_eq!((plain.len(), ran.stderr.contains("WARN")), (4, false), "{}", ran.stderr);
    let with_id = csv(",who,x,y", &|i, x, y| format!("{i},person {i},{x},{y}"));
    for keys in [
        "drop = [\"\", \"who\"]",
        "features = [\"x\"]",
        "target = \"y\"\nfeatures = [\"x\"]\nheader = true",
    ] {
        let (same, ran) = scores(keys, &with_id);
        assert_eq!(same, plain, "{keys}: {}", ran.stderr);
        assert!(!ran.stderr.contains("counts the rows"), "{}", ran.stderr);
    }
    let (_, ran) = scores("drop = [\"who\"]", &with_id);
    let warning = "d.csv: the first column has no name and counts the rows, and is a feature; if it is none: drop = [\"\"]";
    assert!(ran.stderr.contains(warning), "{}", ran.stderr);
    // Rows with a missing value are left out, also the first one.
    let mut gaps = csv("x,y", &|_, x, y| format!("{x},{y}")).replacen('\n', "\nNA,5\n", 1);
    gaps += "\n1, ?\n";
    let (same, ran) = scores("na = [\"NA\", \"?\"]", &gaps);
    assert_eq!(same, plain, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("d.csv: 2 of 14 rows have a missing value and are left out"),
        "{}",
        ran.stderr
    );
    // Without a header, the first line is data, and the columns have numbers.
    let bare = csv("x,y", &|_, x, y| format!("{x},{y}")).replacen("x,y\n", "", 1);
    assert_eq!(scores("header = false\ntarget = \"column 2\"", &bare).0, plain);
    // A header of numbers, which would be data otherwise.
    let years = csv("1990,1991", &|_, x, y| format!("{x},{y}"));
    assert_eq!(scores("header = true", &years).0, plain);
    assert_ne!(scores("", &years).0, plain);
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    let data = "a,b,b,y\n1,2,3,4\n2,1,5,3\n4,4,4,4\n1,2,3,4\n2,1,5,3\n4,4,4,4\n1,2,3,4\n2,1,5,3\n";
    for (keys, says) in [
        ("features = [\"z\"]", "d.csv: there is no column 'z' (columns: a, b, b, y)"),
        ("drop = [\"b\"]", "there are several columns 'b'"),
        ("drop = [\"y\"]", "drop: 'y' is the target"),
        ("features = [\"a\", \"y\"]", "features: 'y' is the target"),
        ("features = []", "job.toml:3: crunch.features: expected one column or more"),
        ("features = [\"a\", \"a\"]", "crunch.features[1]: \"a\" is there twice"),
        ("features = [\"a\"]\ndrop = [\"y\"]", "job.toml:4: crunch.drop: features says already"),
        ("header = 1", "expected true or false"),
        ("na = \"NA\"", "expected an array"),
        ("na = [\"4\"]", "every row has a missing value"),
        ("header = false", "line 1, column 'column 1': expected a number, found \"a\""),
    ] {
        let data = if keys.starts_with("na = [") { "a,y\n1,4\n4,2\n" } else { data };
        let (_, ran) = scores(keys, data);
        assert_eq!(ran.code, 2, "{keys}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{keys}: {}", ran.stderr);
    }
}

#[test]
fn a_quote_that_nothing_closes_swallows_no_rows() {
    let desk = Desk::with_job(&job("drop = [\"who\"]\ntarget = \"y\"", "[1.0]"));
    let rows: Vec<String> = (0..12).map(|i| format!("{i},{},n{i}\n", i % 5)).collect();
    desk.write("a.csv", &format!("x,y,who\n{}", rows.concat().replace(",n8", ",\"n8")));
    let refused = desk.run_job().exits(2).stderr;
    assert!(refused.contains("a.csv: line 10 opens a quote (\") that nothing closes"), "{refused}");
}

#[test]
fn features_are_collinear_as_the_docs_say() {
    // Of sizes 1e-9 and 1e9, independent: one singular value is 1e-18 of the other. Then nearly and wholly the same.
    for (scale, difference, is_collinear) in
        [([1e-9, 1e9], 1.0, false), ([1.0, 1.0], 1e-4, false), ([1.0, 1.0], 1e-14, true)]
    {
        let row = |i: i32| {
            let (a, c) = ((f64::from(i) * 1.7).sin(), (f64::from(i) * 0.9).cos());
            let b = if difference == 1.0 { c } else { a + difference * c };
            format!("{:?},{:?},{:?}\n", a * scale[0], b * scale[1], 2.0 * a + 3.0 * b)
        };
        let desk = Desk::with_job(
            "[crunch]\nbuiltin = \"ridge\"\n[[loop]]\nname = \"dataset\"\nfiles = \"t.csv\"\n[[loop]]\nname = \"alpha\"\nvalues = [0]\nreduce = \"max\"\n[[loop]]\nname = \"fold\"\nrange = { from = 0, to = 3 }\nreduce = \"mean\"\n",
        );
        desk.write("t.csv", &format!("a,b,y\n{}", (0..30).map(row).collect::<String>()));
        let ran = desk.run_job().exits(0);
        let score = ran.score();
        assert!((score - 1.0).abs() < 1e-9, "{scale:?}, {difference}: {score}");
        assert_eq!(ran.stderr.contains("collinear"), is_collinear, "{}", ran.stderr);
    }
}
