//! Groups with failed points: the best of those that are there where `require` allows it, marked everywhere, and
//! otherwise no value, with the key that would show it.

mod common;

use std::fs;

use common::{Desk, Ran, cells, gridmpi, mpirun};
use serde_json::{Value as Json, json};

/// Of data set 2, one alpha fails at one fold; of data set 3, four of five.
const FIT: &str = "
def crunch(d, alpha, fold):
    with open('calls', 'a') as log: log.write(f'{d} {alpha} {fold}\\n')
    if fold == 1 and (d == 2 and alpha == 5 or d == 3 and alpha > 1): raise ValueError('singular')
    return {'score': alpha + fold, 'r2': -alpha}
";

/// A job with more keys in `[crunch]`, and in the loops over alpha and folds.
fn job(crunch: &str, alpha: &str, fold: &str) -> String {
    format!(
        "[crunch]\npython = \"fit.py:crunch\"\n{crunch}\n\
         [[loop]]\nname = \"d\"\nvalues = [1, 2, 3]\n\
         [[loop]]\nname = \"alpha\"\nvalues = [1, 2, 3, 4, 5]\nreduce = \"max\"\n{alpha}\n\
         [[loop]]\nname = \"fold\"\nrange = {{ from = 0, to = 3 }}\nreduce = \"mean\"\n{fold}\n"
    )
}

fn desk(text: &str) -> Desk {
    let desk = Desk::with_job(text);
    desk.write("fit.py", FIT);
    desk
}

fn table(desk: &Desk, exit: i32) -> Ran {
    desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "out", "--keep-failed"])
        .exits(exit)
}

fn rows(desk: &Desk) -> Vec<Json> {
    let summary: Json =
        serde_json::from_slice(&fs::read(desk.path("out/summary.json")).unwrap()).unwrap();
    let groups = summary["groups"].as_array().unwrap().iter();
    groups.filter(|group| group["over"] == "alpha").cloned().collect()
}

fn statuses(desk: &Desk) -> Vec<String> {
    let text = fs::read_to_string(desk.path("out/summary.csv")).unwrap();
    let mut lines = csv::Reader::from_reader(text.as_bytes());
    let at = lines.headers().unwrap().iter().position(|name| name == "status").unwrap();
    lines.records().map(|row| row.unwrap()[at].to_string()).collect()
}

fn best(desk: &Desk, arguments: &[&str]) -> Vec<Json> {
    let ran = desk.run(gridmpi(), &[&["best", "out", "--format", "json"], arguments].concat());
    ran.exits(0).json().as_array().unwrap().clone()
}

/// The report as it is written, and the traces of its chart of scores: name, and the number of points.
fn report(desk: &Desk) -> (String, Vec<(String, usize)>) {
    desk.says(&["report", "out", "--figures", "figures"]);
    let html = fs::read_to_string(desk.path("out/report.html")).unwrap();
    let chart = html.split("data-chart=\"scores\">").nth(1).unwrap();
    let chart: Json = serde_json::from_str(chart.split("</script>").next().unwrap()).unwrap();
    let trace = |trace: &Json| {
        (trace["name"].as_str().unwrap().to_string(), trace["y"].as_array().unwrap().len())
    };
    (html, chart["data"].as_array().unwrap().iter().map(trace).collect())
}

fn trace(name: &str, points: usize) -> (String, usize) {
    (name.to_string(), points)
}

#[test]
fn a_best_of_less_than_all_points_is_marked_everywhere() {
    let desk = desk(&job("", "require = 0.5", ""));
    let ran = table(&desk, 100);
    let all = cells(&ran.stdout);
    assert_eq!(all[1][1..], ["5", "6", "-5", "15 of 15"], "{}", ran.stdout);
    assert_eq!(all[2][1..], ["4*", "5", "-4", "14 of 15, 1 failed", "best of 4 of 5, 1 failed"]);
    let blank = "incomplete: 4 of 5 points without a result (require = 0.2 in loop 'alpha' would allow that)";
    assert_eq!(all[3][1..], ["11 of 15, 4 failed", blank], "{}", ran.stdout);
    assert!(
        ran.stderr.contains("5 of 45 runs failed, 6 groups are incomplete, 1 group is partial"),
        "{}",
        ran.stderr
    );
    let groups = rows(&desk);
    let points = json!({ "counted": 4, "failed": 1, "left_out": 0 });
    let of = |key: &str| groups.iter().map(|group| group[key].clone()).collect::<Json>();
    assert_eq!(of("status"), json!(["complete", "partial", "incomplete"]));
    assert_eq!(of("points"), json!([null, points, null]));
    assert_eq!(groups[1]["summary"]["best"], json!({ "alpha": 4 }));
    assert_eq!(statuses(&desk), ["complete", "partial", "incomplete"]);
    let found = best(&desk, &["--top", "9"]);
    let of = |key: &str| found.iter().map(|row| row[key].clone()).collect::<Json>();
    assert_eq!(of("status"), json!(["complete", "partial", "incomplete"]));
    assert_eq!(of("points"), json!([null, points, null]));
    assert_eq!(
        found.iter().map(|r| r["best"].as_array().unwrap().len()).collect::<Vec<_>>(),
        [5, 4, 0]
    );
    assert_eq!(found[1]["best"][0]["coordinates"], json!({ "alpha": 4 }));
    let told = cells(&desk.says(&["best", "out"]));
    assert_eq!(told[2][1..], ["4", "5", "3", "(best of 4 of 5, 1 failed)"]);
    assert_eq!(told[3], ["3", blank]);
    let status = desk.says(&["status", "out"]);
    assert!(
        status.starts_with("job: finished, but not complete\n45 of 45 runs (100%), 5 failed\n"),
        "{status}"
    );
    let (html, traces) = report(&desk);
    for part in [
        "Finished, but not complete: 45 of 45 runs are there, 5 failed.",
        ">4*</td>",
        "partial: best of 4 of 5, 1 failed",
        "1 row is partial",
        "The best with * is that of the points that have one",
        "1 row has no best, and none is marked",
    ] {
        assert!(html.contains(part), "{part}");
    }
    let expected = [("1", 5), ("1", 1), ("2*", 5), ("2*", 1), ("3", 5), ("3", 0)];
    assert_eq!(traces, expected.map(|(name, points)| trace(name, points)));
    let figure = fs::read_to_string(desk.path("figures/score-over-alpha.svg")).unwrap();
    assert!(figure.contains("* of the points that are there") && figure.contains("2*"), "{figure}");
    assert_eq!(
        figure.matches("r=\"7\"").count(),
        2 * 2,
        "a mark, of two circles, for each row that has a best"
    );
}

#[test]
fn what_require_forbids_is_blank_and_names_the_key_that_shows_it() {
    let desk = desk(&job("", "", ""));
    let ran = table(&desk, 100);
    let words = "incomplete: 1 of 5 points without a result (require = 0.8 in loop 'alpha' or in [crunch] would allow that)";
    assert_eq!(cells(&ran.stdout)[2], ["2", "14 of 15, 1 failed", words], "{}", ran.stdout);
    assert_eq!(statuses(&desk), ["complete", "incomplete", "incomplete"]);
    assert_eq!(rows(&desk)[1]["error"], words["incomplete: ".len()..]);
    let found = best(&desk, &[]);
    assert_eq!((&found[1]["status"], &found[1]["best"]), (&json!("incomplete"), &json!([])));
    assert_eq!(found[1]["error"], words["incomplete: ".len()..]);
    let told = cells(&desk.says(&["best", "out"]));
    assert_eq!(told[2], ["2", words]);
    let (html, traces) = report(&desk);
    assert!(html.contains("2 rows have no best, and none is marked") && !html.contains("*</td>"));
    let expected = [("1", 5), ("1", 1), ("2", 5), ("2", 0), ("3", 5), ("3", 0)];
    assert_eq!(traces, expected.map(|(name, points)| trace(name, points)));
    assert_eq!(desk.calls().len(), 45);
    // What the words promise holds, at both places, and computes nothing.
    for (crunch, alpha) in [("", "require = 0.8"), ("require = 0.8", "")] {
        desk.write("job.toml", &job(crunch, alpha, ""));
        let shown = cells(&table(&desk, 100).stdout);
        assert_eq!(shown[2][1..3], ["4*", "5"]);
        desk.write("job.toml", &job("", "", ""));
        assert_eq!(cells(&table(&desk, 100).stdout)[2], ["2", "14 of 15, 1 failed", words]);
    }
    assert_eq!(desk.calls(), [""; 0]);
}

#[test]
fn means_of_some_folds_are_shown_only_where_require_allows_it() {
    let desk = desk(&job("", "", ""));
    desk.run_job().exits(100);
    let words = "1 of 3 points without a result (require = 0.66 in loop 'fold' or in [crunch] would allow that)";
    let explained = desk.says(&["explain", "out", "d=2", "alpha=5", "fold=1"]);
    assert!(explained.contains(words), "{explained}");
    desk.write("job.toml", &job("", "", "require = 0.66"));
    let all = cells(&table(&desk, 100).stdout);
    // Every alpha has a mean, so that each can win; that some are of two folds is said.
    assert_eq!(all[1][1..], ["5", "6", "-5", "15 of 15"]);
    assert_eq!(all[2][1..], ["5", "6", "-5", "14 of 15, 1 failed", "partial"]);
    assert_eq!(statuses(&desk), ["complete", "partial", "partial"]);
    let found = best(&desk, &[]);
    assert_eq!((&found[1]["status"], &found[1]["best"][0]["runs"]), (&json!("partial"), &json!(2)));
    let told = cells(&desk.says(&["best", "out"]));
    assert_eq!(told[2][1..], ["5", "6", "2, 1 failed", "(1 of 15 runs failed)"]);
}

#[test]
fn what_is_partial_inside_makes_the_row_partial() {
    let code = "
def crunch(site, dose, plot):
    if (site, dose, plot) in [(1, 1, 0), (2, 1, 0), (2, 1, 1)]: raise ValueError('no')
    return site * 10 + dose + plot
";
    let inner = "[[loop]]\nname = \"plot\"\nvalues = [0, 1, 2]\nreduce = \"max\"\nrequire = 0.5\n";
    let text = |reduce: &str| {
        format!(
            "[crunch]\npython = \"fit.py:crunch\"\n[[loop]]\nname = \"site\"\nvalues = [0, 1, 2]\n\
             [[loop]]\nname = \"dose\"\nvalues = [0, 1]\nreduce = {reduce}\n{inner}"
        )
    };
    let desk = desk(&text("\"mean\""));
    desk.write("fit.py", code);
    table(&desk, 100);
    // The mean over doses of the best plots: one of them is the best of two of three, and one has none.
    assert_eq!(statuses(&desk), ["complete", "partial", "incomplete"]);
    desk.write("job.toml", &text("\"max\"\nrequire = 0.5"));
    let all = cells(&table(&desk, 100).stdout);
    assert_eq!(statuses(&desk), ["complete", "partial", "partial"]);
    assert_eq!(all[2].last().unwrap(), "best of 5 of 6, 1 failed");
    assert_eq!(all[3].last().unwrap(), "best of 3 of 6, 2 failed, 1 left out");
    assert_eq!(all[2][1..4], ["1*", "2", "13"]);
    let found = best(&desk, &["--top", "9"]);
    let lengths: Vec<usize> = found.iter().map(|r| r["best"].as_array().unwrap().len()).collect();
    assert_eq!(lengths, [6, 5, 3]);
}

#[test]
fn points_without_the_number_count_as_those_that_failed_do() {
    let code = "
def crunch(d, alpha, fold):
    point = {'score': alpha, 'r2': -alpha}
    if d == 2 and alpha == 1: del point['r2']
    return point
";
    let text = |require: &str| {
        job("", require, "").replace("reduce = \"max\"", "reduce = { max = \"r2\" }")
    };
    let desk = desk(&text("require = 0.5"));
    desk.write("fit.py", code);
    let ran = table(&desk, 100);
    let all = cells(&ran.stdout);
    assert_eq!(all[1][1..3], ["1", "-1"], "{}", ran.stdout);
    assert_eq!(
        (all[2][1].as_str(), all[2].last().unwrap().as_str()),
        ("2*", "best of 4 of 5, 1 left out")
    );
    assert!(ran.stderr.contains("0 of 45 runs failed, 1 group is partial"), "{}", ran.stderr);
    assert_eq!(statuses(&desk), ["complete", "partial", "complete"]);
    assert_eq!(best(&desk, &[])[1]["points"], json!({ "counted": 4, "failed": 0, "left_out": 1 }));
    // The same by the columns of a start that computes nothing.
    assert_eq!(cells(&table(&desk, 100).stdout), all);
    desk.write("job.toml", &text(""));
    let words = "incomplete: 1 of 5 points without a result (require = 0.8 in loop 'alpha' or in [crunch] would allow that): the record has no number 'r2' (it has: score)";
    assert_eq!(cells(&table(&desk, 100).stdout)[2].last().unwrap(), words);
}

#[test]
fn the_marks_are_the_same_over_mpi_and_with_a_python_reduction() {
    let desk = desk(
        &job("", "require = 0.5", "")
            .replace("reduce = \"mean\"", "reduce = { python = \"fit.py:middle\" }"),
    );
    desk.write(
        "fit.py",
        &format!("{FIT}\ndef middle(runs): return sum(run['score'] for run in runs) / len(runs)\n"),
    );
    let ran = desk.run(mpirun(3), &["job.toml", "--out", "out"]).exits(100);
    let all = cells(&ran.stdout);
    assert_eq!(all[2].last().unwrap(), "best of 4 of 5, 1 failed", "{}", ran.stdout);
    assert_eq!(statuses(&desk), ["complete", "partial", "incomplete"]);
}

#[test]
fn a_store_that_does_not_say_which_points_failed_is_read() {
    let desk = desk(&job("", "require = 0.5", ""));
    table(&desk, 100);
    desk.sql("DROP TABLE partial_groups");
    let found = best(&desk, &[]);
    assert_eq!((&found[0]["status"], &found[1]["status"]), (&json!("complete"), &json!("partial")));
    assert_eq!(found[1]["points"]["counted"], 4, "as many as are there");
    desk.says(&["report", "out"]);
    desk.says(&["explain", "out", "17"]);
    // The next start knows it again.
    assert_eq!(cells(&table(&desk, 100).stdout)[2].last().unwrap(), "best of 4 of 5, 1 failed");
    // Damage is said.
    desk.sql("UPDATE partial_groups SET counted = 5");
    let ran = desk.run(gridmpi(), &["best", "out"]).exits(1);
    assert!(
        ran.stderr.contains("damaged where level = 1 AND number = 1 in partial_groups"),
        "{}",
        ran.stderr
    );
}

#[test]
fn only_a_record_is_told_how_a_field_becomes_its_score() {
    let job = job("", "", "").replace("\"mean\"", "{ python = \"fit.py:name\" }");
    let why = |returned: &str| {
        let desk = desk(&job);
        desk.write("fit.py", &format!("{FIT}\ndef name(runs): return {returned}\n"));
        let group = &table(&desk, 100).stdout;
        group.split_once("points without a result").unwrap().1.lines().next().unwrap().to_string()
    };
    let [text, record] = [why("'x'"), why("{'mse': 1}")];
    assert_eq!(text, ": the value has no score");
    let words = "(it has: mse); [crunch] score names the field, or reduce = { max = \"FIELD\" }";
    assert!(record.contains(words), "{record}");
}
