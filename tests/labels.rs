//! `label` on a loop: people are shown it in place of the loop's points, and machines are not. It is no part of
//! what is computed.

mod common;

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Desk, gridmpi, mpirun};
use serde_json::{Value as Json, json};

/// Two subjects with sessions of their own, cases of a table, and a parameter of one of them.
const LOOPS: &str = "
[[loop]]
name = \"subject\"
folders = \"data/sub-*\"
label = \"{subject:name}\"
[[loop]]
name = \"case\"
rows = \"cases.csv\"
label = \"{case.id} of {case.w}\"
reduce = \"max\"
[[loop]]
name = \"alpha\"
values = [0.25, 1.0]
only_if = \"case.w > 2\"
label = \"alpha {alpha:.1e}\"
reduce = \"max\"
[[loop]]
name = \"session\"
files = \"{subject}/*.txt\"
label = \"{session:stem}\"
reduce = \"mean\"
";

const FIT: &str = "
import os, time
def crunch(subject, case, alpha, session):
    while os.path.exists('wait') and session.endswith('b1.txt'):
        time.sleep(0.05)
    return float(open(session).read()) - (alpha or 7) * case['w']
";

fn desk() -> Desk {
    let desk = Desk::with_job(&job(LOOPS));
    desk.write("fit.py", FIT);
    desk.write("cases.csv", "id,w\n01,1.50\n02,2.5\n");
    for (name, number) in [("sub-001/a1", "4.0"), ("sub-001/a2", "5.0"), ("sub-02/b1", "9.0")] {
        desk.write(&format!("data/{name}.txt"), number);
    }
    desk
}

fn job(loops: &str) -> String {
    format!("[crunch]\npython = \"fit.py:crunch\"\n{loops}")
}

fn without_labels(loops: &str) -> String {
    loops.lines().filter(|line| !line.starts_with("label")).collect::<Vec<_>>().join("\n")
}

/// The cells of a printed table, which stand two spaces apart.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let cells = |line| str::split(line, "  ").map(str::trim).filter(|cell| !cell.is_empty());
    text.lines().map(|line| cells(line).collect()).collect()
}

#[test]
fn people_are_shown_labels() {
    let desk = desk();
    let table = desk.says(&["job.toml", "--threads", "2", "--out", "out"]);
    let expected = vec![
        vec!["subject", "best case", "best alpha", "mean score", "runs"],
        vec!["sub-001", "02 of 2.5", "alpha 2.5e-01", "3.875", "6 of 6"],
        vec!["sub-02", "02 of 2.5", "alpha 2.5e-01", "8.375", "3 of 3"],
    ];
    assert_eq!(rows(&table), expected);
    let over_mpi = desk.run(mpirun(3), &["job.toml", "--out", "mpi"]).exits(0);
    assert_eq!(rows(&over_mpi.stdout), expected);
    let best = desk.says(&["best", "out", "--top", "3"]);
    assert_eq!(rows(&best)[0], ["subject", "place", "case", "alpha", "mean score", "runs"]);
    assert_eq!(rows(&best)[1][..5], ["sub-001", "1", "02 of 2.5", "alpha 2.5e-01", "3.875"]);
    assert_eq!(rows(&best)[2][..5], ["sub-001", "2", "02 of 2.5", "alpha 1.0e+00", "2"]);
    // Where a loop does not apply there is neither a point nor a label. The cell is as the table has it.
    assert_eq!(rows(&best)[3], ["sub-001", "3", "01 of 1.50", "-6", "2"]);
    let runs = desk.says(&["runs", "out", "--where", "task in (1, 8)"]);
    assert_eq!(rows(&runs)[1][..5], ["1", "sub-001", "01 of 1.50", "a2", "ok"]);
    assert_eq!(rows(&runs)[2][..5], ["8", "sub-02", "02 of 2.5", "alpha 1.0e+00", "b1"]);
    let status = desk.says(&["status", "out"]);
    assert!(status.contains("\nsubject sub-02"), "{status}");
    assert!(status.contains("case 02 of 2.5, alpha alpha 2.5e-01"), "{status}");
    let plan = desk.says(&["plan", "job.toml", "--out", "out"]);
    assert!(rows(&plan).contains(&vec!["subject", "folders", "2", "sub-001", "sub-02"]), "{plan}");
    // A task is found by labels, by points, and by both.
    for words in [
        ["subject=sub-02", "case=02 of 2.5", "alpha=alpha 1.0e+00", "session=b1"],
        ["subject=data/sub-02", "case.id=02", "alpha=1", "session=data/sub-02/b1.txt"],
        ["subject=data/sub-02", "case=02 of 2.5", "alpha=1.0", "session=b1"],
    ] {
        let text = desk.says(&[&["explain", "out"][..], &words[..]].concat());
        let line = "8 of 9: subject sub-02, case 02 of 2.5, alpha alpha 1.0e+00, session b1";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("subject sub-02, case 02 of 2.5, over alpha: complete"), "{text}");
        assert!(text.contains("--only subject=data/sub-02"), "by hand: {text}");
    }
}

#[test]
fn machines_are_given_points() {
    let desk = desk();
    desk.write("plain.toml", &job(&without_labels(LOOPS)));
    let run = |job: &str, out: &str, format: &str| {
        desk.says(&[job, "--threads", "2", "--out", out, "--format", format])
    };
    assert_eq!(run("job.toml", "out", "csv"), run("plain.toml", "plain", "csv"));
    let groups = |text: String| serde_json::from_str::<Json>(&text).unwrap()["groups"].clone();
    assert_eq!(groups(run("job.toml", "out", "json")), groups(run("plain.toml", "plain", "json")));
    let best = |out| desk.says(&["best", out, "--format", "json"]);
    assert_eq!(best("out"), best("plain"));
    let best = best("out");
    assert!(best.contains("\"case\":{\"id\":\"02\",\"w\":2.5},\"alpha\":0.25"), "{best}");
    let columns = "SELECT subject, \"case.id\", alpha, session, score FROM all_runs ORDER BY task";
    let rows = |out: &str| common::sql_rows(&desk.path(&format!("{out}/runs.sqlite")), columns);
    assert_eq!(rows("out"), rows("plain"));
    let found = desk.says(&["runs", "out", "--where", "subject = 'data/sub-02' and alpha > 0.5"]);
    assert_eq!(found.lines().count(), 2, "{found}");
    let status = desk.says(&["status", "out", "--format", "json"]);
    let status: Json = serde_json::from_str(&status).unwrap();
    let group = &status["groups"]["latest"][0];
    assert_eq!(group["coordinates"], json!({ "subject": "data/sub-001" }));
    assert_eq!(group["labels"]["subject"], "sub-001");
}

#[test]
fn a_label_computes_nothing_anew() {
    let desk = desk();
    let run = |loops: &str| {
        desk.write("job.toml", &job(loops));
        desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "out"]).exits(0)
    };
    run(&without_labels(LOOPS));
    let before = fs::read(desk.path("out/summary.json")).unwrap();
    let shorter = LOOPS.replace("{subject:name}", "S{subject:name}");
    for (loops, subject) in
        [(LOOPS, "sub-001"), (&shorter, "Ssub-001"), (&without_labels(LOOPS), "data/sub-001")]
    {
        let ran = run(loops);
        assert!(ran.stderr.contains("9 of 9 runs reused"), "{}", ran.stderr);
        assert_eq!(rows(&ran.stdout)[1][0], subject);
        assert_eq!(fs::read(desk.path("out/summary.json")).unwrap(), before);
        // Who reads the store alone has the labels of the last start.
        assert_eq!(rows(&desk.says(&["best", "out"]))[1][0], subject);
    }
    // A point more has its label too, and the others keep theirs.
    desk.write("data/sub-0/x.txt", "1.0");
    let ran = run(LOOPS);
    assert!(ran.stderr.contains("9 of 12 runs reused"), "{}", ran.stderr);
    let best = desk.says(&["best", "out"]);
    let names: Vec<&str> = rows(&best)[1..].iter().map(|row| row[0]).collect();
    assert_eq!(names, ["sub-0", "sub-001", "sub-02"]);
}

#[test]
fn a_run_that_goes_on_is_shown_with_labels() {
    let desk = desk();
    desk.write("wait", "");
    let mut command = gridmpi();
    command.args(["job.toml", "--threads", "2", "--out", "out"]).current_dir(desk.path(""));
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    let text = loop {
        let text = desk.run(gridmpi(), &["status", "out"]).stdout;
        if text.contains("crunching") && text.contains("session b1") {
            break text;
        }
        assert!(begin.elapsed() < Duration::from_secs(40), "never at work: {text}");
        std::thread::sleep(Duration::from_millis(100));
    };
    fs::remove_file(desk.path("wait")).unwrap();
    assert!(run.wait().unwrap().success());
    assert!(text.contains("subject sub-02, case "), "{text}");
    assert!(!text.contains("data/"), "{text}");
}

#[test]
fn pages_and_figures_have_labels() {
    let loops = "
[[loop]]
name = \"dataset\"
values = [\"data/one.csv\", \"data/two.csv\"]
label = \"{dataset:stem}\"
[[loop]]
name = \"p\"
grid = { a = [1, 2], b = [3.0] }
label = \"p{p.a:02}\"
reduce = \"max\"
";
    let desk = Desk::with_job(&format!("[crunch]\nbuiltin = \"multiply\"\n{loops}"));
    desk.says(&["job.toml", "--threads", "2", "--out", "out"]);
    desk.says(&["report", "out", "--figures", "figures"]);
    let page = fs::read_to_string(desk.path("out/report.html")).unwrap();
    for part in ["<td>two</td><td>p02</td>", "dataset two, p p01", "\"p02\""] {
        assert!(page.contains(part), "{part} is not there");
    }
    // The job file, at the end, has its points.
    let (results, _) = page.split_once("How this was made").unwrap();
    assert!(!results.contains("data/two.csv"), "there are points");
    let figure = fs::read_to_string(desk.path("figures/score-over-p.svg")).unwrap();
    let words: Vec<&str> = figure.split(['<', '>']).map(str::trim).collect();
    for word in ["p01", "p02", "one", "two"] {
        assert!(words.contains(&word), "{word} is not in {figure}");
    }
    let bars = fs::read_to_string(desk.path("figures/timeline.svg")).unwrap();
    assert!(bars.contains("one") && !bars.contains("data/one"), "{bars}");
}

#[test]
fn labels_that_are_wrong_are_refused() {
    for (keys, says) in [
        (
            "values = [\"a/x.csv\", \"b/x.csv\"]\nlabel = \"{d:stem}\"",
            "two points of loop 'd' would have the label \"x\", \"a/x.csv\" and \"b/x.csv\": take more of the point",
        ),
        ("values = [1, 2]\nlabel = \"d\"", "would have the label \"d\", 1 and 2"),
        ("values = [1, 1]\nlabel = \"{d}\"", "\"1\", 1 and 1: leave out what is there twice"),
        (
            "values = [1, 2]\nlabel = \"{outer}{d}\"",
            "{outer} is a loop around it: a label is made of the loop's own point",
        ),
        (
            "values = [1, 2]\nlabel = \"{e}\"",
            "{e} is not this loop: a label is made of the loop's own point, as in \"{d}\"",
        ),
        ("grid = { a = [1, 2] }\nlabel = \"{d.b}\"", "loop 'd' has no field 'b' (fields: a)"),
        ("values = [1, 2]\nlabel = \"{d.b}\"", "the points of loop 'd' have no fields"),
        ("values = [1, 2]\nlabel = \"{d:stem}\"", "at point 1: {d:stem}: 1 is no string"),
        ("values = [0.5, 2]\nlabel = \"{d:03d}\"", "at point 0.5: {d:03d}: "),
        (
            "values = [\"a.b\", \"c\"]\nlabel = \"{d:ext}\"",
            "at point \"c\" of loop 'd' it is empty",
        ),
        ("values = [1, 2]\nlabel = \"{d\"", "a lone '{'"),
        ("values = [1, 2]\nlabel = 1", "expected a string, found 1"),
        (
            "range = { from = 0, to = 2000000 }\nlabel = \"{d:07}\"",
            "2,000,000 points, and up to 1,000,000 can have labels",
        ),
    ] {
        let text = format!(
            "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"outer\"\nvalues = [1, 2]\n[[loop]]\nname = \"d\"\n{keys}\n"
        );
        let desk = Desk::with_job(&text);
        let ran = desk.run_job().exits(2);
        assert!(ran.stderr.contains("job.toml:9: loop.d.label: "), "{keys}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{keys}: {}", ran.stderr);
    }
}

#[test]
fn what_is_none_has_no_label() {
    let loops = "[[loop]]\nname = \"d\"\njson = '[null, 2, 3]'\nlabel = \"d{d:02}\"\n";
    let desk = Desk::with_job(&job(loops));
    desk.write("fit.py", "def crunch(d):\n    return d or 0\n");
    let table = desk.says(&["job.toml", "--threads", "2", "--out", "out"]);
    assert_eq!(
        rows(&table)[1..],
        [vec!["0", "1 of 1"], vec!["d02", "2", "1 of 1"], vec!["d03", "3", "1 of 1"]]
    );
}
