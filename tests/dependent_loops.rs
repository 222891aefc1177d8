//! Nests whose inner loops depend on outer ones, as people have them: files per subject, grids per model,
//! conditions between loops. Compared with real nested loops and with scikit-learn.

mod common;

use std::process::Command;

use common::{Desk, Ran, gridmpi, jobs, mpirun, python_with_sklearn};
use serde_json::Value as Json;

/// A job whose runs are `crunch` of a Python file.
fn python_job(loops: &str, crunch: &str) -> Desk {
    let desk = Desk::with_job(&format!("[crunch]\npython = \"fit.py:crunch\"\n{loops}"));
    desk.write("fit.py", crunch);
    desk
}

fn summary(ran: &Ran) -> Json {
    serde_json::from_str(&ran.stdout).unwrap()
}

/// The groups over a loop: coordinates, score and number of runs.
fn groups(ran: &Ran, over: &str) -> Vec<(Json, f64, u64)> {
    let summary = summary(ran);
    let all = summary["groups"].as_array().unwrap().iter().filter(|group| group["over"] == over);
    let group = |group: &Json| {
        let score = group["summary"]["score"].as_f64().unwrap_or(f64::NAN);
        (group["coordinates"].clone(), score, group["runs"].as_u64().unwrap())
    };
    all.map(group).collect()
}

/// Three subjects with 3, 2 and 1 sessions.
const SUBJECTS: &str = "
[[loop]]
name = \"subject\"
folders = \"data/sub-*\"
[[loop]]
name = \"session\"
files = \"{subject}/ses-*.csv\"
reduce = \"mean\"
";

const READ: &str = "def crunch(subject, session):\n    return float(open(session).read())\n";

fn subjects(desk: &Desk) {
    for (subject, sessions) in [("001", 3), ("01[1]", 2), ("02", 1)] {
        for session in 0..sessions {
            desk.write(&format!("data/sub-{subject}/ses-{session}.csv"), &format!("{session}.5"));
        }
    }
}

#[test]
fn subjects_have_sessions_of_their_own() {
    let desk = python_job(SUBJECTS, READ);
    subjects(&desk);
    let ran = desk.run_job().exits(0);
    let expected = [("data/sub-001", 1.5, 3), ("data/sub-01[1]", 1.0, 2), ("data/sub-02", 0.5, 1)];
    let expected: Vec<_> = expected
        .map(|(subject, mean, runs)| (serde_json::json!({ "subject": subject }), mean, runs))
        .into();
    assert_eq!(groups(&ran, "session"), expected);
    // Any SQLite client sees them.
    let rows = desk.sql("SELECT task, subject, session, score FROM all_runs ORDER BY task");
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[3], "3|data/sub-01[1]|data/sub-01[1]/ses-0.csv|0.5");
    let over_mpi = desk.run(mpirun(3), &["job.toml", "--out", "mpi", "--format", "json"]).exits(0);
    assert_eq!(groups(&over_mpi, "session"), expected);

    // What exclude names may depend on the subject too.
    let job = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    let exclude = "exclude = [\"{subject}/ses-2*\"]";
    desk.write("less.toml", &format!("{job}{exclude}\n"));
    let less =
        desk.run(gridmpi(), &["less.toml", "--threads", "2", "--out", "less", "--format", "json"]);
    assert_eq!(groups(&less.exits(0), "session")[0].2, 2);

    // One session more is the only one that is computed.
    desk.write("data/sub-02/ses-1.csv", "7.5");
    let again = desk.run_job().exits(0);
    assert!(again.stderr.contains("6 of 7 runs reused"), "{}", again.stderr);
    assert_eq!(groups(&again, "session")[2].1, 4.0);
    let again = desk.run_job().exits(0);
    assert!(again.stderr.contains("7 of 7 runs reused"), "{}", again.stderr);
}

#[test]
fn a_changed_folder_is_another_point() {
    let loops = "[[loop]]\nname = \"subject\"\nfolders = \"data/*\"\n";
    let crunch = "
import pathlib
def crunch(subject):
    (pathlib.Path(subject) / 'out.txt').write_text('written by the run')
    return float(open(subject + '/deep/x.txt').read())
";
    let desk = python_job(loops, crunch);
    for (subject, x) in [("a", "1"), ("b b", "2")] {
        desk.write(&format!("data/{subject}/deep/x.txt"), x);
        desk.write(&format!("data/{subject}/other"), "");
    }
    desk.run_job().exits(0);
    let again = desk.run_job().exits(0);
    assert!(again.stderr.contains("2 of 2 runs reused"), "{}", again.stderr);
    for change in ["data/b b/deep/x.txt", "data/b b/other"] {
        desk.write(change, "3");
        let again = desk.run_job().exits(0);
        assert!(again.stderr.contains("1 of 2 runs reused"), "{}", again.stderr);
    }
    std::fs::remove_file(desk.path("data/b b/other")).unwrap();
    let again = desk.run_job().exits(0);
    assert!(again.stderr.contains("1 of 2 runs reused"), "{}", again.stderr);
    assert_eq!(desk.sql("SELECT subject, score FROM all_runs"), ["data/a|1.0", "data/b b|3.0"]);
}

#[test]
fn a_subject_without_sessions_is_an_error_unless_allowed() {
    let desk = python_job(SUBJECTS, READ);
    subjects(&desk);
    std::fs::create_dir(desk.path("data/sub-07")).unwrap();
    let ran = desk.run_job().exits(2);
    assert!(
        ran.stderr.contains("job.toml:9: loop.session.files: no file matches"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("at subject = 'data/sub-07'"), "{}", ran.stderr);
    assert!(ran.stderr.contains("allow_empty = true"), "{}", ran.stderr);
    let job = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &format!("{job}allow_empty = true\n"));
    let ran = desk.run_job().exits(0);
    let line = "1 of 4 points of subject have no session: data/sub-07";
    let (start, end) = ran.stderr.split_once(" runs in ").unwrap();
    assert!(start.contains(line) && end.contains(&format!("left out: {line}")), "{}", ran.stderr);
    assert_eq!(summary(&ran)["left_out"], serde_json::json!([line]));
    assert_eq!(groups(&ran, "session").len(), 3);
    let plan = desk.run(gridmpi(), &["plan", "job.toml"]).exits(0);
    assert!(plan.stdout.contains(line), "{}", plan.stdout);
    assert!(plan.stdout.contains("3 groups of 1 to 3"), "{}", plan.stdout);
    let plan = desk.run(gridmpi(), &["plan", "job.toml", "--format", "json"]).exits(0);
    assert_eq!(summary(&plan)["left_out"], serde_json::json!([line]));
}

const PAIRS: &str = "
[[loop]]
name = \"i\"
range = { from = 0, to = 5 }
[[loop]]
name = \"j\"
range = { from = 0, to = 5 }
where = \"i <> j\"
reduce = \"sum\"
";

#[test]
fn conditions_keep_pairs() {
    let crunch = "def crunch(i, j):\n    assert i != j\n    return 10 * i + j\n";
    let desk = python_job(PAIRS, crunch);
    let ran = desk.run_job().exits(0);
    let sum = |i: u64| (0..5).filter(|j| *j != i).map(|j| (10 * i + j) as f64).sum();
    let expected: Vec<_> = (0..5).map(|i| (serde_json::json!({ "i": i }), sum(i), 4)).collect();
    assert_eq!(groups(&ran, "j"), expected);
    let rows = desk.sql("SELECT i, j, score FROM all_runs ORDER BY task");
    let serial = (0..5).flat_map(|i| (0..5).filter(move |j| *j != i).map(move |j| (i, j)));
    let serial: Vec<_> = serial.map(|(i, j)| format!("{i}|{j}|{}.0", 10 * i + j)).collect();
    assert_eq!(rows, serial);

    // The triangle of the same loops computes what is new alone.
    let upto = PAIRS.replace(
        "range = { from = 0, to = 5 }\nwhere = \"i <> j\"",
        "range = { from = 0, to = \"i\" }",
    );
    desk.write("job.toml", &format!("[crunch]\npython = \"fit.py:crunch\"\n{upto}"));
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("10 of 10 runs reused"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 of 5 points of i have no j: 0"), "{}", ran.stderr);
    assert_eq!(groups(&ran, "j").len(), 4);
    assert_eq!(groups(&ran, "j")[3], (serde_json::json!({ "i": 4 }), 166.0, 4));
}

/// Two families with grids of their own.
fn families(forest: bool) -> String {
    let models = if forest { "[\"ridge\", \"forest\"]" } else { "[\"ridge\"]" };
    let depth = "
[[loop]]
name = \"depth\"
values = [2, 4, 8]
only_if = { model = [\"forest\"] }
reduce = \"max\"
";
    format!(
        "
[[loop]]
name = \"dataset\"
values = [1, 2]
[[loop]]
name = \"model\"
values = {models}
reduce = \"max\"
[[loop]]
name = \"alpha\"
values = [0.5, 5.0]
only_if = \"model = 'ridge'\"
reduce = \"max\"
{}
[[loop]]
name = \"fold\"
range = {{ from = 0, to = 3 }}
reduce = \"mean\"
",
        if forest { depth } else { "" }
    )
}

const FAMILIES: &str = "
def crunch(dataset, model, alpha, fold, seed, depth=None):
    assert (alpha is None) == (model == 'forest') and (depth is None) == (model == 'ridge')
    return dataset + fold + (alpha if model == 'ridge' else depth) + seed % 1000 / 1e6
";

#[test]
fn families_have_grids_of_their_own() {
    let desk = python_job(&families(false), FAMILIES);
    let first = desk.run_job().exits(0);
    let seeds = desk.sql("SELECT score FROM all_runs ORDER BY dataset, alpha, fold");
    assert_eq!(groups(&first, "fold").len(), 4);
    // A family with a loop of its own is added: all runs are found again, with their seeds.
    desk.write("job.toml", &format!("[crunch]\npython = \"fit.py:crunch\"\n{}", families(true)));
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("12 of 30 runs reused"), "{}", ran.stderr);
    let ridge = "WHERE model = 'ridge' ORDER BY dataset, alpha, fold";
    assert_eq!(desk.sql(&format!("SELECT score FROM all_runs {ridge}")), seeds);
    let fresh =
        desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "fresh", "--format", "json"]);
    assert_eq!(summary(&fresh.exits(0))["groups"], summary(&ran)["groups"]);
    assert_eq!(groups(&ran, "model").iter().map(|g| g.2).collect::<Vec<_>>(), [15, 15]);
    let none = desk.sql("SELECT count(*) FROM all_runs WHERE depth IS NULL AND model = 'ridge'");
    assert_eq!(none, ["12"]);
    // And taken away again.
    desk.write("job.toml", &format!("[crunch]\npython = \"fit.py:crunch\"\n{}", families(false)));
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("12 of 12 runs reused"), "{}", ran.stderr);
    assert_eq!(summary(&ran)["groups"], summary(&first)["groups"]);
    desk.write("job.toml", &format!("[crunch]\npython = \"fit.py:crunch\"\n{}", families(true)));
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("30 of 30 runs reused"), "{}", ran.stderr);
}

#[test]
fn grids_per_model_are_those_of_scikit_learn() {
    let reference = "
from sklearn.model_selection import ParameterGrid
grid = [{'model': ['svm'], 'c': [1, 10], 'kernel': ['rbf', 'linear']}, {'model': ['tree'], 'depth': [2, 4, 8]}]
for p in ParameterGrid(grid):
    for repeat in range(3):
        for fold in range(5):
            print(p['model'], p.get('c', ''), p.get('kernel', ''), p.get('depth', ''), repeat, fold, sep='|')
";
    let loops = "
[[loop]]
name = \"model\"
values = [\"svm\", \"tree\"]
[[loop]]
name = \"c\"
values = [1, 10]
only_if = { model = \"svm\" }
reduce = \"max\"
[[loop]]
name = \"kernel\"
values = [\"rbf\", \"linear\"]
only_if = \"c is not null\"
reduce = \"max\"
[[loop]]
name = \"depth\"
values = [2, 4, 8]
only_if = \"model <> 'svm'\"
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
    let desk = python_job(loops, "def crunch(**_):\n    return 1.0\n");
    let python = Command::new(python_with_sklearn());
    let listed = desk.run(python, &["-c", reference]).exits(0).stdout;
    let mut expected: Vec<_> = listed.lines().map(str::to_string).collect();
    desk.run_job().exits(0);
    let columns = "SELECT model, c, kernel, depth, repeat, fold FROM all_runs";
    let mut found = desk.sql(columns);
    found.sort();
    expected.sort();
    assert_eq!(expected.len(), 105);
    assert_eq!(found, expected);
}

#[test]
fn bounds_are_expressions() {
    let loops = "
[[loop]]
name = \"case\"
zip = { folds = [2, 3], top = [1.0, 4.0] }
[[loop]]
name = \"fold\"
range = { from = 0, to = \"case.folds\" }
reduce = \"sum\"
[[loop]]
name = \"x\"
linspace = { from = 0.0, to = \"case.top\", count = \"fold + 2\" }
reduce = \"sum\"
";
    let desk = python_job(loops, "def crunch(case, fold, x):\n    return x\n");
    desk.run_job().exits(0);
    let rows = desk.sql("SELECT \"case.folds\", fold, round(x, 3) FROM all_runs ORDER BY task");
    let expected = [
        "2|0|0.0",
        "2|0|1.0",
        "2|1|0.0",
        "2|1|0.5",
        "2|1|1.0",
        "3|0|0.0",
        "3|0|4.0",
        "3|1|0.0",
        "3|1|2.0",
        "3|1|4.0",
        "3|2|0.0",
        "3|2|1.333",
        "3|2|2.667",
        "3|2|4.0",
    ];
    assert_eq!(rows, expected);
}

#[test]
fn what_is_wrong_is_refused_before_anything_runs() {
    let outer = "[[loop]]\nname = \"model\"\nvalues = [\"ridge\", \"forest\"]\n[[loop]]\nname = \"n\"\nvalues = [3, 4]\n";
    let inner = |keys: &str| {
        format!(
            "[[loop]]\nname = \"alpha\"\n{keys}\nreduce = \"max\"\n[[loop]]\nname = \"inner\"\nvalues = [1]\nreduce = \"max\"\n"
        )
    };
    for (keys, line, says) in [
        (
            "values = [1]\nonly_if = { modle = \"ridge\" }",
            12,
            "there is no loop 'modle' here; did you mean 'model'?",
        ),
        ("values = [1]\nonly_if = { model = 3 }", 12, "model has strings"),
        ("values = [1]\nonly_if = { model = \"rigde\" }", 12, "it is true nowhere"),
        ("values = [1]\nonly_if = \"model = ridge\"", 12, "there is no loop 'ridge' here"),
        (
            "values = [1]\nonly_if = \"model = \\\"ridge\\\"\"",
            12,
            "a string stands in single quotes",
        ),
        ("values = [1]\nonly_if = \"alpha < 1\"", 12, "there is no loop 'alpha' here"),
        ("values = [1]\nwhere = \"inner < 1\"", 12, "there is no loop 'inner' here"),
        ("values = [1]\nwhere = \"n = 'x'\"", 12, "n has numbers"),
        ("values = [1]\nwhere = \"n = null\"", 12, "no value is = null: write n is null"),
        ("values = [1]\nwhere = \"alpha > n\"", 12, "it keeps none of the points of loop 'alpha'"),
        ("values = [1]\nwhere = \"lower(model)\"", 12, "it gives the string 'ridge'"),
        ("values = [1]\nwhere = \"n / (n - 3) > 0\"", 12, "neither true nor false"),
        ("values = [1]\nwhere = \"datetime('now') > 'a'\"", 12, "not 'now'"),
        (
            "range = { from = 0, to = \"n / 2\" }",
            11,
            "\"n / 2\" at n = 3 is 1.5, and a whole number is needed: write floor(n / 2)",
        ),
        ("range = { from = 0, to = \"model\" }", 11, "is the string 'ridge', not a number"),
        ("range = { from = 0, to = \"n * 1e300\" }", 11, "is over 2^53"),
        ("range = { from = 0, to = \"0\" }", 10, "there is no task"),
        (
            "logspace = { from = 1, to = \"n - 3\", count = 3 }",
            11,
            "at n = 3: expected numbers over 0",
        ),
        ("range = { from = 9007199254740993, to = \"n\" }", 11, "over 2^53"),
        ("range = { from = 0, to = \"n\", step = 0.5 }", 11, "expected a whole number"),
        ("linspace = { from = -1.7e308, to = \"n * 1e307\", count = 3 }", 11, "too far apart"),
        (
            "range = { from = 0, to = 1000000000 }\nwhere = \"alpha < n\"",
            12,
            "it would be evaluated for 1,000,000,000 combinations",
        ),
        (
            "range = { from = 0, to = 1000000000 }\nonly_if = { model = \"ridge\" }",
            12,
            "1,000,000,000 are more than 10,000,000",
        ),
        ("files = \"{model}/x\"", 11, "no file matches \"ridge/x\""),
        ("files = \"{nodel}/x\"", 11, "{nodel} is no loop around this one"),
        ("folders = \"{model\"", 11, "a lone '{'"),
    ] {
        let desk = python_job(&format!("{outer}{}", inner(keys)), "raise Exception('crunched')\n");
        let ran = desk.run_job().exits(2);
        let at = format!("job.toml:{line}: loop.alpha");
        assert!(ran.stderr.contains(says), "{keys}: {}", ran.stderr);
        assert!(ran.stderr.contains(&at) || says == "there is no task", "{keys}: {}", ran.stderr);
        assert!(!ran.stderr.contains("crunched"), "{}", ran.stderr);
    }
    // A loop that may be none is not compared without a word.
    let loops = format!(
        "{outer}[[loop]]\nname = \"alpha\"\nvalues = [1, 2]\nonly_if = {{ model = \"ridge\" }}\n[[loop]]\nname = \"k\"\nvalues = [1, 2, 3]\nwhere = \"k > alpha\"\n"
    );
    let desk = python_job(&loops, "def crunch(model, n, alpha, k):\n    return k\n");
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("alpha may be none"), "{}", ran.stderr);
    desk.write(
        "job.toml",
        &format!(
            "[crunch]\npython = \"fit.py:crunch\"\n{}",
            loops.replace("k > alpha", "alpha is null or k > alpha")
        ),
    );
    desk.run_job().exits(0);
    let rows = desk.sql("SELECT model, alpha, group_concat(k, ',') FROM all_runs WHERE n = 3 GROUP BY model, alpha ORDER BY min(task)");
    assert_eq!(rows, ["ridge|1|2,3", "ridge|2|3", "forest||1,2,3"]);
}

#[test]
fn loops_may_have_the_names_of_sql_words() {
    let loops = "
[[loop]]
name = \"order\"
values = [1, 2, 3]
[[loop]]
name = \"case\"
values = [1, 2, 3]
where = \"case < order\"
[[loop]]
name = \"to\"
range = { from = 0, to = \"order - case\" }
only_if = { order = 3 }
[[loop]]
name = \"group\"
values = [1]
where = \"coalesce(to, 0) < order and not case > 2\"
";
    let desk = python_job(loops, "def crunch(**loops):\n    return loops['order']\n");
    desk.run_job().exits(0);
    let rows =
        desk.sql("SELECT \"order\", \"case\", \"to\", \"group\" FROM all_runs ORDER BY task");
    assert_eq!(rows, ["2|1||1", "3|1|0|1", "3|1|1|1", "3|2|0|1"]);
    let found =
        desk.run(gridmpi(), &["runs", "out", "--where", "to = 1", "--format", "json"]).exits(0);
    assert!(found.stdout.contains("\"to\":1"), "{}", found.stdout);
}

#[test]
fn every_reader_shows_what_is_there() {
    let desk = python_job(&families(true), FAMILIES);
    desk.run_job().exits(0);
    let best = desk.run(gridmpi(), &["best", "out"]).exits(0);
    assert!(best.stdout.contains("forest"), "{}", best.stdout);
    let explained = desk.run(
        gridmpi(),
        &["explain", "out", "dataset=1", "model=forest", "alpha=", "depth=8", "fold=2"],
    );
    assert!(explained.code == 0 || explained.code == 2, "{}", explained.stderr);
    for verb in [&["status", "out"][..], &["report", "out"], &["runs", "out"]] {
        desk.run(gridmpi(), verb).exits(0);
    }
    let csv = desk.run(gridmpi(), &["export", "out", "--format", "csv"]).exits(0);
    let forest = csv.stdout.lines().find(|line| line.contains("forest")).unwrap().to_string();
    assert!(forest.contains("forest,,2,0"), "{forest}");
    let json = desk.run(gridmpi(), &["runs", "out", "--format", "json"]).exits(0);
    assert!(json.stdout.contains("\"alpha\":null"), "{}", json.stdout);
}

#[test]
fn ragged_stores_merge() {
    let desk = python_job(&families(false), FAMILIES);
    desk.run_job().exits(0);
    desk.write("job.toml", &format!("[crunch]\npython = \"fit.py:crunch\"\n{}", families(true)));
    let other = families(true).replace("values = [1, 2]\n", "values = [2, 3]\n");
    desk.write(
        "other.toml",
        &format!("name = \"job\"\n[crunch]\npython = \"fit.py:crunch\"\n{other}"),
    );
    desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "a"]).exits(0);
    desk.run(gridmpi(), &["other.toml", "--threads", "2", "--out", "b"]).exits(0);
    desk.run(gridmpi(), &["merge", "a", "b", "--out", "both"]).exits(0);
    let all = families(true).replace("values = [1, 2]\n", "values = [1, 2, 3]\n");
    desk.write("job.toml", &format!("[crunch]\npython = \"fit.py:crunch\"\n{all}"));
    let ran = desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "both"]).exits(0);
    assert!(ran.stderr.contains("45 of 45 runs reused"), "{}", ran.stderr);
}

#[test]
fn folds_may_be_required_where_parameters_may_fail() {
    let loops = |folds: &str| {
        format!(
            "
[[loop]]
name = \"dataset\"
values = [1]
[[loop]]
name = \"alpha\"
values = [1, 2, 3]
reduce = \"max\"
require = 0.5
[[loop]]
name = \"fold\"
range = {{ from = 0, to = 4 }}
reduce = \"mean\"
{folds}"
        )
    };
    // One fold of alpha 3 fails, so alpha 3 has no mean; the best of the others counts.
    let crunch = "
def crunch(dataset, alpha, fold):
    if alpha == 3 and fold == 1:
        raise ValueError('no')
    return alpha
";
    let desk = python_job(&loops(""), crunch);
    let ran = desk.run_job().exits(100);
    assert_eq!(groups(&ran, "alpha")[0].1, 2.0);
    // Without the fold's failure counting, alpha 3 wins; nothing is computed for that but the failed run.
    let text = loops("require = 0.7\n");
    desk.write("job.toml", &format!("[crunch]\npython = \"fit.py:crunch\"\n{text}"));
    let ran = desk.run_job().exits(100);
    assert_eq!(groups(&ran, "alpha")[0].1, 3.0);
    desk.write(
        "job.toml",
        &format!(
            "[crunch]\npython = \"fit.py:crunch\"\n{}",
            loops("").replace("values = [1]\n", "values = [1]\nrequire = 0.5\n")
        ),
    );
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("loop 'dataset' has no reduce"), "{}", ran.stderr);
}

#[test]
fn seeds_depend_on_the_loops_that_the_job_says() {
    let job = |keys: &str| {
        format!(
            "[crunch]\npython = \"fit.py:crunch\"\n{keys}
[[loop]]
name = \"dataset\"
values = [1, 2]
[[loop]]
name = \"alpha\"
values = [1, 2, 3]
[[loop]]
name = \"repeat\"
values = [1, 2]
"
        )
    };
    let desk = Desk::with_job(&job("seed_by = [\"repeat\", \"dataset\"]"));
    desk.write("fit.py", "def crunch(dataset, alpha, repeat, seed):\n    return seed\n");
    desk.run_job().exits(0);
    let seeds =
        "SELECT count(DISTINCT score), count(DISTINCT dataset || '|' || repeat) FROM all_runs";
    assert_eq!(desk.sql(seeds), ["4|4"]);
    let explained = desk.run(gridmpi(), &["explain", "out", "3", "--format", "json"]).exits(0);
    let stored = desk.sql("SELECT cast(score AS INTEGER) FROM all_runs WHERE task = 3");
    let explained: Json = serde_json::from_str(&explained.stdout).unwrap();
    assert_eq!(explained["seed"].to_string(), stored[0]);
    desk.write("job.toml", &job(""));
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("seed_by has changed"), "{}", ran.stderr);
    desk.write("job.toml", &job("seed_by = [\"datset\"]"));
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("did you mean 'dataset'?"), "{}", ran.stderr);
}

#[test]
fn a_loop_is_added_to_a_job_with_runs() {
    let job = |inner: &str| {
        format!(
            "[crunch]\npython = \"fit.py:crunch\"\n
[[loop]]
name = \"dataset\"
values = [1, 2]
{inner}
[[loop]]
name = \"repeat\"
values = [1, 2]
"
        )
    };
    let with = |keys: &str| job(&format!("[[loop]]\nname = \"alpha\"\n{keys}"));
    let desk = Desk::with_job(&job(""));
    desk.write(
        "fit.py",
        "def crunch(dataset, repeat, seed, alpha=0.1):\n    return seed + alpha\n",
    );
    desk.run_job().exits(0);
    let old = desk.sql("SELECT score FROM all_runs ORDER BY dataset, repeat");
    desk.write("job.toml", &with("values = [0.1, 1.0]"));
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("was = VALUE"), "{}", ran.stderr);
    desk.write("job.toml", &with("values = [0.1, 1.0]\nwas = 0.1"));
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("4 of 8 runs reused"), "{}", ran.stderr);
    let at = "SELECT score FROM all_runs WHERE alpha = 0.1 ORDER BY dataset, repeat";
    assert_eq!(desk.sql(at), old);
    // From an empty folder, the same.
    let fresh =
        desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "fresh", "--format", "json"]);
    assert_eq!(summary(&fresh.exits(0))["groups"], summary(&ran)["groups"]);
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("8 of 8 runs reused"), "{}", ran.stderr);
    // The seeds depend on it as long as it stands.
    desk.write("job.toml", &with("values = [0.1, 1.0]"));
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("was of loop alpha, 0.1, is not said any more"), "{}", ran.stderr);
    // A value that is not among the points: the runs are kept and not used.
    let other = Desk::with_job(&job(""));
    other.write(
        "fit.py",
        "def crunch(dataset, repeat, seed, alpha=0.1):\n    return seed + alpha\n",
    );
    other.run_job().exits(0);
    other.write("job.toml", &with("values = [1.0]\nwas = 0.1"));
    let ran = other.run_job().exits(0);
    assert!(ran.stderr.contains("4 runs have no place in the job any more"), "{}", ran.stderr);
}

#[test]
fn records_of_a_job_with_runs_get_new_fields() {
    let with = |points: &str| {
        format!(
            "[crunch]\npython = \"fit.py:crunch\"\n
[[loop]]
name = \"dataset\"
values = [1, 2]
[[loop]]
name = \"p\"
{points}
"
        )
    };
    let fit = "def crunch(dataset, p, seed):\n    open('calls', 'a').write('x\\n')\n    return {'score': p['a'] + p.get('depth', 4), 'seed': seed}\n";
    let old = "grid = { a = [1, 2], b = [\"x\", \"y\"] }";
    let grown = "grid = { a = [1, 2, 3], depth = [2, 4], b = [\"x\", \"y\"] }\nwas = { depth = 4 }";
    let desk = Desk::with_job(&with(old));
    desk.write("fit.py", fit);
    desk.run_job().exits(0);
    assert_eq!(desk.calls().len(), 8);
    let runs = "SELECT dataset, \"p.a\", \"p.b\", json_extract(value, '$.seed') FROM all_runs";
    let order = "ORDER BY dataset, \"p.a\", \"p.b\"";
    let before = desk.sql(&format!("{runs} {order}"));
    // Without a word on what they had, the runs are not silently computed anew.
    desk.write("job.toml", &with(grown.lines().next().unwrap()));
    let says = "say which in the loop: was = { depth = VALUE }";
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    let planned = desk.run(gridmpi(), &["plan", "job.toml", "--out", "out"]).exits(0);
    assert!(planned.stdout.contains(says), "{}", planned.stdout);
    desk.write("job.toml", &with(&grown.replace("depth = 4", "dpeth = 4")));
    let ran = desk.run_job().exits(2);
    assert!(
        ran.stderr.contains(
            "job.toml:10: loop.p.was: its points have no field 'dpeth'; did you mean 'depth'?"
        ),
        "{}",
        ran.stderr
    );
    desk.write("job.toml", &with(grown));
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("8 of 24 runs reused"), "{}", ran.stderr);
    assert_eq!(desk.calls().len(), 16);
    let at = format!("{runs} WHERE \"p.depth\" = 4 AND \"p.a\" < 3 {order}");
    assert_eq!(desk.sql(&at), before);
    let others = format!("{runs} WHERE \"p.depth\" = 2 AND \"p.a\" < 3 {order}");
    assert!(desk.sql(&others).iter().all(|other| !before.contains(other)));
    // From an empty folder, and over MPI, the same seeds.
    let all = format!("{runs} ORDER BY task");
    let grown_runs = desk.sql(&all);
    desk.run(mpirun(3), &["job.toml", "--out", "fresh"]).exits(0);
    desk.calls();
    let fresh = common::sql_rows(&desk.path("fresh/runs.sqlite"), &all);
    assert_eq!(fresh, grown_runs);
    // They stay, as long as `was` stands, when the loop grows or is sorted anew.
    desk.write(
        "job.toml",
        &with(&grown.replace("[2, 4]", "[8, 4, 2]").replace("[1, 2, 3]", "[3, 2, 1]")),
    );
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("24 of 36 runs reused"), "{}", ran.stderr);
    assert_eq!((desk.sql(&at), desk.calls().len()), (before, 12));
    desk.write("job.toml", &with(grown.lines().next().unwrap()));
    let ran = desk.run_job().exits(2);
    assert!(
        ran.stderr.contains("was of loop p, {\"depth\":4}, is not said any more"),
        "{}",
        ran.stderr
    );
    // A value that no point has: the runs are kept, and used when it comes.
    let desk = Desk::with_job(&with(old));
    desk.write("fit.py", fit);
    desk.run_job().exits(0);
    desk.write("job.toml", &with(&grown.replace("[2, 4]", "[2]")));
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("8 runs have no place in the job any more"), "{}", ran.stderr);
    desk.write("job.toml", &with(grown));
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("20 of 24 runs reused"), "{}", ran.stderr);
    // Said of runs that were made with the field, it would change their seeds.
    let late = Desk::with_job(&with(grown.lines().next().unwrap()));
    late.write("fit.py", fit);
    late.run_job().exits(0);
    late.write("job.toml", &with(grown));
    let says = "was of loop p is said now, and the runs";
    let ran = late.run_job().exits(2);
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    // Nor does it help to leave out the field meanwhile.
    late.write("job.toml", &with(old));
    late.run_job().exits(0);
    late.write("job.toml", &with(grown));
    let ran = late.run_job().exits(2);
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
}

#[test]
fn rows_of_a_table_belong_to_points() {
    let loops = "
[[loop]]
name = \"case\"
values = [\"001\", \"1\", \"sub-03\"]
[[loop]]
name = \"grid\"
rows = { file = \"grids.csv\", match = [\"case\"] }
reduce = \"max\"
";
    let desk = python_job(
        loops,
        "def crunch(case, grid):\n    assert list(grid) == ['alpha', 'depth']\n    return grid['alpha'] * 10 + grid['depth']\n",
    );
    desk.write(
        "grids.csv",
        "alpha,case,depth\n1.50,001,1\n2,1,2\n3,sub-03,3\n4,001,4\n5,sub-03,5\n",
    );
    let ran = desk.run_job().exits(0);
    let found: Vec<_> =
        groups(&ran, "grid").into_iter().map(|(_, best, runs)| (best, runs)).collect();
    assert_eq!(found, [(44.0, 2), (22.0, 1), (55.0, 2)]);
    let rows =
        desk.sql("SELECT \"case\", \"grid.alpha\", \"grid.depth\" FROM all_runs ORDER BY task");
    assert_eq!(rows[0], "001|1.5|1");
    // A command gets the cell as it is in the file.
    let text = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    let crunch = "command = [\"echo\", \"{grid.alpha}\"]";
    desk.write("command.toml", &text.replace("python = \"fit.py:crunch\"", crunch));
    let explained =
        desk.run(gridmpi(), &["run", "command.toml", "--only", "0", "--format", "json"]).exits(0);
    assert!(explained.stdout.contains("1.5"), "{}", explained.stdout);

    desk.write("grids.csv", "alpha,case,depth\n1.50,001,1\n2,1,2\n3,sub-3,3\n");
    let ran = desk.run_job().exits(2);
    let says =
        "no row has \"sub-03\" in column case at case = 'sub-03'; the nearest cell is \"sub-3\"";
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    desk.write("job.toml", &text.replace("match = [\"case\"]", "match = { name = \"{case}\" }"));
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("there is no column 'name'"), "{}", ran.stderr);
}

#[test]
fn the_job_of_two_families_is_right() {
    let desk = Desk::new();
    let job = std::fs::read_to_string(jobs().join("families.toml")).unwrap();
    let data = format!("\"{}/data/", jobs().display());
    let python =
        format!("data = \"dataset\"\ninterpreter = \"{}\"", python_with_sklearn().display());
    let job = job.replace("\"data/", &data).replace("data = \"dataset\"", &python);
    desk.write("job.toml", &job);
    for file in ["families.py", "sklearn_fit.py"] {
        std::fs::copy(jobs().join(file), desk.path(file)).unwrap();
    }
    let ran = desk.run_job().exits(0);
    let reference = "
import sys, families as f
from sklearn_fit import load
from sklearn.model_selection import KFold, cross_val_score, ParameterGrid
grid = [dict(model=['ridge'], alpha=[0.01, 0.1, 1.0, 10.0, 100.0], C=[None], kernel=[None], gamma=[None]),
        dict(model=['svm'], alpha=[None], C=[0.1, 1.0, 10.0], kernel=['linear'], gamma=[None]),
        dict(model=['svm'], alpha=[None], C=[0.1, 1.0, 10.0], kernel=['rbf'], gamma=[0.01, 0.1])]
for path in sys.argv[1:]:
    x, y = load(path)
    score = lambda p: cross_val_score(f.estimator(**p), x, y, cv=KFold(5)).mean()
    print(max(score(p) for p in ParameterGrid(grid)), len(list(ParameterGrid(grid))) * 5)
";
    let data =
        ["crime", "diabetes", "election"].map(|name| jobs().join(format!("data/{name}.csv")));
    let mut python = Command::new(python_with_sklearn());
    python.args(["-c", reference]).args(data);
    let expected = desk.run(python, &[]).exits(0).stdout;
    let found = groups(&ran, "model");
    assert_eq!(expected.lines().count(), found.len());
    for (line, (dataset, best, runs)) in expected.lines().zip(found) {
        let (score, count) = line.split_once(' ').unwrap();
        let score: f64 = score.parse().unwrap();
        assert!((best - score).abs() < 1e-12, "{dataset}: {best} {score}");
        assert_eq!(runs.to_string(), count);
    }
}

#[test]
fn a_loop_that_does_not_apply_can_be_left_out_of_a_call() {
    let loops = "
[[loop]]
name = \"model\"
values = [\"ridge\", \"forest\", \"ols\"]
[[loop]]
name = \"alpha\"
json = '[null, 1.0]'
only_if = { model = \"ridge\" }
[[loop]]
name = \"depth\"
values = [2, 4]
only_if = { model = \"forest\" }
";
    let python = "
def load(alpha):
    return ('loaded', alpha)

def crunch(**given):
    return {'score': 1, 'given': repr(given)}

def strict(model, alpha, depth=3):
    return 1
";
    let desk = python_job(loops, python);
    let job = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    let with = |keys: &str| {
        job.replace("[[loop]]\nname = \"model\"", &format!("{keys}\n[[loop]]\nname = \"model\""))
    };
    let given = || desk.sql("SELECT json_extract(value, '$.given') FROM all_runs ORDER BY task");
    desk.run_job().exits(0);
    assert_eq!(given()[4], "{'model': 'ols', 'alpha': None, 'depth': None}");
    desk.write("job.toml", &with("pass_none = false"));
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("crunch has changed from"), "{}", ran.stderr);
    std::fs::remove_dir_all(desk.path("out")).unwrap();
    desk.run_job().exits(0);
    // A point that is null is no loop that does not apply.
    let expected = [
        "{'model': 'ridge', 'alpha': None}",
        "{'model': 'ridge', 'alpha': 1.0}",
        "{'model': 'forest', 'depth': 2}",
        "{'model': 'forest', 'depth': 4}",
        "{'model': 'ols'}",
    ];
    assert_eq!(given(), expected);
    let ran = desk.run(mpirun(3), &["job.toml", "--out", "out", "--fresh"]);
    ran.exits(0);
    assert_eq!(given(), expected);
    // What is loaded is loaded where the loop applies.
    for (keys, second, last) in [
        ("pass_none = false", "{'model': 'ridge', 'alpha': ('loaded', 1.0)}", "{'model': 'ols'}"),
        (
            "",
            "{'model': 'ridge', 'alpha': ('loaded', 1.0), 'depth': None}",
            "{'model': 'ols', 'alpha': None, 'depth': None}",
        ),
    ] {
        let load = format!("load = \"fit.py:load\"\ndata = \"alpha\"\n{keys}");
        desk.write("job.toml", &with(&load));
        desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "out", "--fresh"]).exits(0);
        assert_eq!((&*given()[1], &*given()[4]), (second, last));
    }
    desk.write("job.toml", &with("pass_none = false").replace(":crunch", ":strict"));
    let ran = desk.run_job().exits(2);
    let says = "is called with model alone where no other loop applies (pass_none = false): missing a required argument: 'alpha'";
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
}
