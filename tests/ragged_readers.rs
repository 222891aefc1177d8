//! What readers show of nests whose loops depend on each other: what is there, and nothing else.

mod common;

use std::fs;

use common::{Desk, Ran, gridmpi};
use serde_json::{Value as Json, json};

/// Two data sets, two families with grids of their own, two folds.
const FAMILIES: &str = "
[crunch]
python = \"fit.py:crunch\"
[[loop]]
name = \"dataset\"
values = [1, 2]
[[loop]]
name = \"model\"
values = [\"ridge\", \"forest\"]
reduce = \"max\"
[[loop]]
name = \"alpha\"
values = [0.1, 1.0, 10.0]
only_if = { model = \"ridge\" }
reduce = \"max\"
[[loop]]
name = \"depth\"
values = [2, 4]
only_if = { model = \"forest\" }
reduce = \"max\"
[[loop]]
name = \"fold\"
range = { from = 0, to = 2 }
reduce = \"mean\"
";

/// The best is a forest for the first data set, and a ridge for the second.
const FIT: &str = "
def crunch(dataset, model, alpha, depth, fold):
    return (10 * alpha if dataset == 2 else alpha) + fold if model == 'ridge' else 10 * depth + fold
";

fn families() -> Desk {
    let desk = Desk::with_job(FAMILIES);
    desk.write("fit.py", FIT);
    desk.run_job().exits(0);
    desk
}

fn ask(desk: &Desk, words: &[&str]) -> Ran {
    desk.run(gridmpi(), words)
}

#[test]
fn a_task_is_found_without_the_loops_that_do_not_apply() {
    let desk = families();
    let task = |words: &[&str]| {
        let words = [&["explain", "out", "--format", "json"], words].concat();
        serde_json::from_str::<Json>(&desk.says(&words)).unwrap()["task"].clone()
    };
    let forest = ["dataset=1", "model=forest", "depth=4", "fold=1"];
    assert_eq!(task(&forest), 9);
    for alpha in ["alpha=none", "alpha=", "alpha=null", "alpha=None"] {
        assert_eq!(task(&[&forest[..], &[alpha]].concat()), 9, "{alpha}");
    }
    assert_eq!(task(&["dataset=2", "model=ridge", "alpha=1", "fold=0", "depth=none"]), 12);
    for (words, error) in [
        (
            &["dataset=1", "model=forest", "alpha=1", "depth=4", "fold=1"][..],
            "alpha=1: loop 'alpha' does not apply at dataset=1 model=forest",
        ),
        (
            &["dataset=1", "model=ridge", "alpha=none", "fold=1"],
            "loop 'alpha' has no such point at dataset=1 model=ridge: 0.1, 1.0, 10.0",
        ),
        (
            &["dataset=1", "model=forest", "fold=1"],
            "which depth? Give it too, as depth=VALUE: 2, 4",
        ),
        (
            &["dataset=1", "model=forest", "depth=3", "fold=1"],
            "'depth' has no such point: 2, 4, none",
        ),
    ] {
        let ran = ask(&desk, &[&["explain", "out"], words].concat()).exits(2);
        assert!(ran.stderr.contains(error), "{}", ran.stderr);
    }
    let text = desk.says(&["explain", "out", "9"]);
    assert!(text.contains("dataset 1, model forest, depth 4, fold 1"), "{text}");
    assert!(!text.contains("alpha") && !text.contains("none"), "{text}");
    // The command that runs it by hand finds it again.
    let by_hand = text.lines().find_map(|line| line.strip_prefix("by hand   ")).unwrap();
    let shell = std::process::Command::new("sh").args(["-c", by_hand]).output().unwrap();
    let out = String::from_utf8_lossy(&shell.stdout).to_string();
    assert!(shell.status.success() && out.contains("41"), "{by_hand}: {out}");
}

#[test]
fn the_best_names_what_applies() {
    let desk = families();
    let summary = ask(&desk, &["job.toml", "--threads", "2", "--out", "out", "--format", "json"]);
    let best: Vec<Json> = summary
        .exits(0)
        .groups()
        .into_iter()
        .filter(|g| g["over"] == "model")
        .map(|group| group["summary"]["best"].clone())
        .collect();
    let (forest, ridge) =
        (json!({ "model": "forest", "depth": 4 }), json!({ "model": "ridge", "alpha": 10.0 }));
    assert_eq!(best, [forest.clone(), ridge]);
    let rows: Vec<Vec<String>> = desk
        .says(&["best", "out"])
        .lines()
        .map(|line| line.split_whitespace().map(String::from).collect())
        .collect();
    assert_eq!(rows[0], ["dataset", "model", "alpha", "depth", "mean", "score", "runs"]);
    assert_eq!(rows[1], ["1", "forest", "4", "40.5", "2"]);
    assert_eq!(rows[2], ["2", "ridge", "10", "100.5", "2"]);
    let found: Json =
        serde_json::from_str(&desk.says(&["best", "out", "--format", "json"])).unwrap();
    assert_eq!(found[0]["best"][0]["coordinates"], forest);
    assert_eq!((&found[0]["all"], &found[0]["runs"]), (&json!(10), &json!(10)));
    let csv = fs::read_to_string(desk.path("out/summary.csv")).unwrap();
    assert!(csv.contains("\n1,forest,,4,40.5,") && csv.contains("\n2,ridge,10.0,,100.5,"), "{csv}");
    let status = desk.says(&["status", "out"]);
    assert!(status.contains("model forest, depth 4") && !status.contains("none"), "{status}");
    assert!(status.contains("10 of 10 runs"), "{status}");
}

#[test]
fn a_report_has_a_panel_for_each_family() {
    let desk = families();
    desk.says(&["report", "out", "--figures", "figures"]);
    let html = fs::read_to_string(desk.path("out/report.html")).unwrap();
    for part in
        ["<h3>model ridge</h3>", "<h3>model forest</h3>", "The mean score over alpha, depth"]
    {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("have no score") && !html.contains("has no score"));
    let charts: Vec<(String, Json)> = html
        .split("<script type=\"application/json\" data-chart=\"")
        .skip(1)
        .map(|chart| {
            let (id, rest) = chart.split_once("\">").unwrap();
            (id.to_string(), serde_json::from_str(rest.split("</script>").next().unwrap()).unwrap())
        })
        .collect();
    let chart = |id: &str| &charts.iter().find(|(name, _)| name == id).unwrap().1;
    let traces = |id: &str| -> Vec<(Json, Json, Json)> {
        let trace = |t: &Json| (t["name"].clone(), t["x"].clone(), t["y"].clone());
        chart(id)["data"].as_array().unwrap().iter().map(trace).collect()
    };
    let ridge = [
        (json!("1"), json!([0.1, 1, 10]), json!([0.6, 1.5, 10.5])),
        (json!("1"), json!([]), json!([])),
        (json!("2"), json!([0.1, 1, 10]), json!([1.5, 10.5, 100.5])),
        (json!("2"), json!([10]), json!([100.5])), // the best
    ];
    assert_eq!(traces("scores"), ridge);
    let forest = [
        (json!("1"), json!([2, 4]), json!([20.5, 40.5])),
        (json!("1"), json!([4]), json!([40.5])),
        (json!("2"), json!([2, 4]), json!([20.5, 40.5])),
        (json!("2"), json!([]), json!([])),
    ];
    assert_eq!(traces("scores2"), forest);
    assert!(charts.iter().all(|(_, chart)| !chart.to_string().contains("none")));
    let mut figures: Vec<String> = fs::read_dir(desk.path("figures"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    figures.sort();
    let names =
        ["score-over-alpha-model-ridge.svg", "score-over-depth-model-forest.svg", "timeline.svg"];
    assert_eq!(figures, names);
    let svg = fs::read_to_string(desk.path("figures/score-over-depth-model-forest.svg")).unwrap();
    assert!(svg.contains("mean score (model forest)") && !svg.contains("(none)"), "{svg}");
}

#[test]
fn exports_have_empty_cells_where_nothing_applies() {
    let desk = families();
    let csv = desk.says(&["export", "out", "--format", "csv"]);
    let cells =
        |line: &str| line.split(',').take(6).map(String::from).collect::<Vec<_>>().join(",");
    let rows: Vec<String> = csv.lines().map(cells).collect();
    assert_eq!(rows.len(), 21);
    assert_eq!(rows[0], "task,dataset,model,alpha,depth,fold");
    assert_eq!((rows[1].as_str(), rows[10].as_str()), ("0,1,ridge,0.1,,0", "9,1,forest,,4,1"));
    let json = desk.says(&["export", "out", "--format", "jsonl"]);
    let last: Json = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!((&last["alpha"], &last["depth"]), (&Json::Null, &json!(4)));
    let found =
        desk.says(&["runs", "out", "--where", "alpha is null and depth > 2", "--format", "json"]);
    let found: Json = serde_json::from_str(&found).unwrap();
    let tasks: Vec<&Json> = found.as_array().unwrap().iter().map(|run| &run["task"]).collect();
    assert_eq!(tasks, [8, 9, 18, 19]);
}

#[test]
fn the_fields_of_records_are_empty_where_their_loop_does_not_apply() {
    let desk = Desk::with_job(
        "[crunch]
python = \"fit.py:crunch\"
[[loop]]
name = \"model\"
values = [\"ridge\", \"forest\"]
[[loop]]
name = \"p\"
grid = { depth = [1, 2], trees = [10, 20] }
only_if = { model = \"forest\" }
reduce = \"max\"
",
    );
    desk.write("fit.py", "def crunch(model, p):\n    return p['trees'] - p['depth'] if p else 0\n");
    desk.run_job().exits(0);
    let csv = desk.says(&["export", "out", "--format", "csv"]);
    let cells =
        |line: &str| line.split(',').take(6).map(String::from).collect::<Vec<_>>().join(",");
    let rows: Vec<String> = csv.lines().map(cells).collect();
    assert_eq!(rows[0], "task,model,p.depth,p.trees,status,score");
    assert_eq!((rows[1].as_str(), rows[2].as_str()), ("0,ridge,,,ok,0.0", "1,forest,1,10,ok,9.0"));
    for words in
        [&["model=ridge"][..], &["model=ridge", "p=none"], &["model=ridge", "p.depth=none"]]
    {
        let text = desk.says(&[&["explain", "out"], words].concat());
        assert!(text.starts_with("task      0 of 5: model ridge\n"), "{text}");
    }
    let text = desk.says(&["explain", "out", "model=forest", "p.depth=2", "p.trees=20"]);
    assert!(text.starts_with("task      4 of 5: model forest, p depth 2, trees 20\n"), "{text}");
    desk.says(&["report", "out", "--figures", "figures"]);
    assert!(desk.path("figures/score-map-model-forest-1.svg").exists());
}

#[test]
fn a_mean_of_means_over_groups_of_different_sizes_is_told_from_the_mean_over_all_runs() {
    let job = "
[crunch]
python = \"fit.py:crunch\"
[[loop]]
name = \"site\"
values = [\"a\", \"b\"]
[[loop]]
name = \"subject\"
range = { from = 1, to = 4 }
reduce = \"mean\"
[[loop]]
name = \"session\"
range = { from = 0, to = \"subject\" }
reduce = \"mean\"
";
    let desk = Desk::with_job(job);
    desk.write(
        "fit.py",
        "def crunch(site, subject, session):\n    return 1.0 if site == 'a' else subject\n",
    );
    let table = |desk: &Desk| desk.says(&["job.toml", "--threads", "2", "--out", "out"]);
    let text = table(&desk);
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    // At a, both are 1. At b, (1 + 2 + 3) / 3, and (1 + 2 * 2 + 3 * 3) / 6.
    assert_eq!(rows[1], ["a", "1", "6", "of", "6"], "{text}");
    assert_eq!(rows[2], ["b", "2", "2.33333", "6", "of", "6"], "{text}");
    assert!(
        text.contains("mean over all runs") && text.contains("counts each group once"),
        "{text}"
    );
    desk.says(&["report", "out"]);
    let html = fs::read_to_string(desk.path("out/report.html")).unwrap();
    assert!(html.contains("In row 2 it is 2, and the mean over all runs is 2.33333."));
    // Of groups of one size, it is the same, and nothing is said.
    desk.write("job.toml", &job.replace("\"subject\" }", "2 }"));
    let text = table(&desk);
    assert!(!text.contains("over all runs"), "{text}");
    // What the winner of a loop around them is made of, too.
    let max = job.replace(
        "name = \"subject\"",
        "name = \"p\"\nvalues = [1, 2]\nreduce = \"max\"\n[[loop]]\nname = \"subject\"",
    );
    desk.write("job.toml", &max);
    desk.write(
        "fit.py",
        "def crunch(site, p, subject, session):\n    return p * subject if site == 'b' else p\n",
    );
    let ran = ask(&desk, &["job.toml", "--threads", "2", "--out", "max"]).exits(0);
    let row: Vec<&str> = ran.stdout.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(row, ["b", "2", "4", "4.66667", "12", "of", "12"], "{}", ran.stdout);
}

#[test]
fn failed_runs_make_groups_of_different_sizes_too() {
    let desk = Desk::with_job(
        "[crunch]
require = 0.5
python = \"fit.py:crunch\"
[[loop]]
name = \"subject\"
values = [1, 2]
reduce = \"mean\"
[[loop]]
name = \"session\"
values = [1, 2]
reduce = \"mean\"
",
    );
    desk.write(
        "fit.py",
        "def crunch(subject, session):\n    assert subject == 1 or session == 1\n    return subject\n",
    );
    let ran = ask(&desk, &["job.toml", "--threads", "2", "--out", "out"]);
    assert!(ran.stdout.contains("mean over all runs"), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("1.5  ") && ran.stdout.contains("1.33333"), "{}", ran.stdout);
}

#[test]
fn plans_and_comparisons_count_what_is_there() {
    let desk = Desk::with_job(
        "[crunch]
python = \"fit.py:crunch\"
[[loop]]
name = \"subject\"
range = { from = 1, to = 4 }
[[loop]]
name = \"session\"
range = { from = 0, to = \"4 - subject\" }
reduce = \"mean\"
",
    );
    desk.write("fit.py", "def crunch(subject, session):\n    return 1\n");
    let words = ["compare", "job.toml", "--workers", "2", "--seconds", "1"];
    let text = desk.says(&words);
    assert!(text.contains("3 subject x (1 to 3) session = 6 tasks"), "{text}");
    let found: Json =
        serde_json::from_str(&desk.says(&[&words[..], &["--format", "json"]].concat())).unwrap();
    let makespan = |name: &str| {
        let all = found["strategies"].as_array().unwrap();
        all.iter().find(|one| one["strategy"] == name).unwrap()["makespan_seconds"].clone()
    };
    let times = ["serial", "outer", "inner", "flattened"].map(makespan);
    assert_eq!(times, [json!(6.0), json!(3.0), json!(4.0), json!(3.0)]);
    let plan: Json =
        serde_json::from_str(&desk.says(&["plan", "job.toml", "--format", "json"])).unwrap();
    let group = json!({ "over": "session", "groups": 3, "of": 3, "of_at_least": 1 });
    assert_eq!(plan["groups"], json!([group]));
}
