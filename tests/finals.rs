//! Final calls: once for each row, when its best is known.

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::{Desk, gridmpi, mpirun, wait_until};
use serde_json::{Value as Json, json};

/// Three data sets; the best `a` and the mean over folds.
const LOOPS: &str = r#"
[[loop]]
name = "dataset"
values = ["x", "y", "z/1"]
[[loop]]
name = "a"
values = [1, 2, 3]
reduce = "max"
[[loop]]
name = "fold"
range = { from = 0, to = 4 }
reduce = "mean"
"#;

const PYTHON: &str = r#"
import os

def load(dataset):
    return {"name": dataset, "rows": [1, 2, 3]}

def crunch(dataset, a, fold):
    return {"score": a + fold * 0.5, "cost": 10.0 * a}

def refit(dataset, a, summary, seed, folder):
    with open("calls", "a") as calls:
        print(dataset["name"], a, file=calls)
    with open(os.path.join(folder, "model"), "w") as model:
        model.write(f"{dataset['name']} {a}")
    assert os.environ["GRIDMPI_FOLDER"] == folder
    return {"rows": len(dataset["rows"]), "cost": summary["cost"], "seed": seed}
"#;

fn python_job(of_final: &str) -> String {
    format!(
        "[crunch]\npython = \"crunch.py:crunch\"\nload = \"crunch.py:load\"\n[final]\n{of_final}\n{LOOPS}"
    )
}

fn python_desk() -> Desk {
    let desk = Desk::with_job(&python_job("python = \"final.py:refit\""));
    let (crunch, last) = PYTHON.split_at(PYTHON.find("def refit").unwrap());
    desk.write("crunch.py", crunch);
    desk.write("final.py", &format!("import os\n\n{last}"));
    desk.write("calls", "");
    desk
}

fn rows(ran: &common::Ran) -> Vec<Json> {
    ran.groups().into_iter().filter(|group| group["over"] == "a").collect()
}

#[test]
fn python_gets_the_points_the_data_the_summary_and_a_folder() {
    let desk = python_desk();
    let ran = desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["x 3", "y 3", "z/1 3"]);
    for (row, (name, folder)) in rows(&ran).iter().zip([("x", "x"), ("y", "y"), ("z/1", "z_1-")]) {
        let made = &row["final"];
        assert_eq!(made["status"], "ok", "{made}");
        assert_eq!((&made["value"]["rows"], &made["value"]["cost"]), (&json!(3), &json!(30.0)));
        let path = made["folder"].as_str().unwrap();
        assert!(path.starts_with(&format!("final/dataset={folder}")), "{path}");
        let model = fs::read_to_string(desk.path("out").join(path).join("model")).unwrap();
        assert_eq!(model, format!("{name} 3"));
    }
    let csv = fs::read_to_string(desk.path("out/summary.csv")).unwrap();
    let head = csv.lines().next().unwrap();
    assert!(head.ends_with("status,error,final.rows,final.cost,final.seed,final.folder"), "{head}");
    let table = desk.says(&["job.toml", "--threads", "2", "--out", "out"]);
    assert!(
        table.lines().next().unwrap().contains("final.rows  final.cost  final.seed"),
        "{table}"
    );
    assert_eq!(desk.calls(), [""; 0], "nothing is made again");
    let status = desk.says(&["status", "out"]);
    assert!(status.contains("3 of 3 final calls made"), "{status}");
    let explained = desk.says(&["explain", "out", "0"]);
    assert!(explained.contains("final/dataset=x"), "{explained}");
    let page = desk.run(gridmpi(), &["report", "out"]).exits(0);
    assert!(page.stderr.contains("report.html") || page.stdout.contains("report.html"));
    let page = fs::read_to_string(desk.path("out/report.html")).unwrap();
    assert!(page.contains("final.<wbr>cost") || page.contains("final.cost"));
    // Folders under way and the like are gone.
    let left = fs::read_dir(desk.path("out/final")).unwrap();
    let hidden =
        left.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with(".call"));
    assert_eq!(hidden.count(), 0);
}

#[test]
fn ranks_give_the_same_as_threads() {
    let desk = python_desk();
    let threads = rows(&desk.run_job().exits(0));
    let ran = desk.run(mpirun(3), &["job.toml", "--out", "ranks", "--format", "json"]).exits(0);
    let values =
        |rows: &[Json]| rows.iter().map(|row| row["final"]["value"].clone()).collect::<Vec<_>>();
    assert_eq!(values(&rows(&ran)), values(&threads));
}

#[test]
fn it_is_made_again_where_what_it_is_given_has_changed_and_nowhere_else() {
    let desk = python_desk();
    desk.run_job().exits(0);
    assert_eq!(desk.calls().len(), 3);
    // A worse point changes neither winner nor summary.
    let job = python_job("python = \"final.py:refit\"");
    desk.write("job.toml", &job.replace("values = [1, 2, 3]", "values = [0, 1, 2, 3]"));
    let ran = desk.run_job().exits(0);
    assert_eq!(desk.calls(), [""; 0]);
    assert_eq!(rows(&ran)[1]["final"]["value"]["cost"], 30.0);
    // Another data set has one of its own; a better point wins everywhere.
    desk.write("job.toml", &job.replace("\"y\",", "\"y\", \"new\","));
    desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["new 3"]);
    desk.write("job.toml", &job.replace("values = [1, 2, 3]", "values = [1, 2, 3, 5]"));
    desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["x 5", "y 5", "z/1 5"]);
    let model = fs::read_to_string(desk.path("out/final/dataset=x/model")).unwrap();
    assert_eq!(model, "x 5", "the folder is made fresh");
    // Another function, and then its module alone.
    desk.write("helper.py", "EXTRA = 1\n");
    let function = fs::read_to_string(desk.path("final.py")).unwrap();
    desk.write("final.py", &format!("import helper\n{function}"));
    desk.run_job().exits(0);
    assert_eq!(desk.calls().len(), 3);
    desk.write("helper.py", "EXTRA = 2\n");
    desk.run_job().exits(0);
    assert_eq!(desk.calls().len(), 3);
    desk.run_job().exits(0);
    assert_eq!(desk.calls().len(), 0);
    // Without the table there is none; it comes back as it was.
    let without = fs::read_to_string(desk.path("job.toml")).unwrap();
    let without = without.replace("[final]\npython = \"final.py:refit\"\n", "");
    let kept = fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &without);
    assert_eq!(rows(&desk.run_job().exits(0))[0]["final"], Json::Null);
    desk.write("job.toml", &kept);
    assert_eq!(rows(&desk.run_job().exits(0))[0]["final"]["value"]["cost"], 50.0);
    assert_eq!(desk.calls().len(), 0);
}

#[test]
fn one_that_fails_leaves_its_row_and_is_tried_again() {
    let desk = python_desk();
    let fails = "def refit(dataset, a):\n    if dataset['name'] == 'y':\n        raise ValueError('no fit today')\n    return a\n";
    desk.write("final.py", fails);
    let ran = desk.run_job().exits(100);
    assert!(ran.stderr.contains("1 of 3 final calls failed"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("dataset=y") && ran.stderr.contains("no fit today"),
        "{}",
        ran.stderr
    );
    let made = rows(&ran);
    assert_eq!(
        (&made[1]["status"], &made[1]["final"]["status"]),
        (&json!("complete"), &json!("failed"))
    );
    assert_eq!((&made[0]["final"]["value"], &made[0]["runs"]), (&json!(3), &json!(12)));
    let csv = fs::read_to_string(desk.path("out/summary.csv")).unwrap();
    assert!(csv.lines().next().unwrap().ends_with("final.value,final.error"), "{csv}");
    let kept = desk.run(gridmpi(), &["job.toml", "--out", "out", "--keep-failed"]).exits(100);
    assert!(kept.stdout.contains("no fit today"), "{}", kept.stdout);
    desk.write("final.py", "def refit(dataset, a):\n    return 2 * a\n");
    let ran = desk.run_job().exits(0);
    assert!(rows(&ran).iter().all(|row| row["final"]["value"] == 6), "{}", ran.stdout);
}

#[test]
fn retries_and_time_limits_are_its_own() {
    let text = "
import os, time

def refit(dataset, a):
    name = dataset['name'].replace('/', '-')
    if not os.path.exists(name):
        open(name, 'w').close()
        if name == 'x':
            time.sleep(60)
        raise ValueError('the first time')
    return a
";
    let desk = python_desk();
    desk.write("final.py", text);
    let last = "python = \"final.py:refit\"\nretries = 3\ntimeout = 2";
    desk.write("job.toml", &python_job(last));
    // An attempt that is held up for two seconds is one more that takes too long.
    let attempts = (0..3).map(|_| {
        for name in ["x", "y", "z-1"] {
            let _ = fs::remove_file(desk.path(name));
        }
        let fresh = ["job.toml", "--threads", "2", "--out", "out", "--format", "json", "--fresh"];
        let made = rows(&desk.run(gridmpi(), &fresh).exits(0));
        made.iter().map(|row| row["final"]["attempt"].clone()).collect::<Vec<Json>>()
    });
    let attempts: Vec<_> = attempts.take_while(|attempts| *attempts != [2, 2, 2]).collect();
    assert!(attempts.len() < 3, "{attempts:?}");
    fs::remove_file(desk.path("x")).unwrap();
    desk.write("job.toml", &python_job("python = \"final.py:refit\"\ntimeout = 1"));
    desk.write("final.py", &format!("{text}\n# changed\n"));
    let ran = desk.run_job().exits(100);
    assert!(ran.stderr.contains("timed out: it took more than 1 s"), "{}", ran.stderr);
}

#[test]
fn programs_get_the_summary_and_the_folder() {
    let crunch = "[crunch]\ncommand = [\"./score\", \"{a}\"]\n";
    let command = r#"command = ["./refit", "{dataset}", "{a}", "{summary.score:.2f}", "{folder}"]"#;
    let shell = r#"shell = "./refit {dataset} {a} {summary.score:.2f} $GRIDMPI_FOLDER""#;
    for of_final in [command, shell] {
        let desk = Desk::with_job(&format!("{crunch}\n[final]\n{of_final}\n{LOOPS}"));
        desk.script("score", "#!/bin/sh\necho \"{\\\"score\\\": $1}\"\n");
        desk.script(
            "refit",
            "#!/bin/sh\necho \"$1 $2 $3\" > \"$4/model\"\n[ \"$4\" = \"$GRIDMPI_FOLDER\" ] || exit 1\n[ -z \"$GRIDMPI_TASK\" ] || exit 2\necho \"{\\\"summary\\\": $GRIDMPI_SUMMARY, \\\"point\\\": $GRIDMPI_POINT, \\\"seed\\\": $GRIDMPI_SEED}\" > \"$GRIDMPI_RESULT\"\n",
        );
        let ran = desk.run_job().exits(0);
        let made = &rows(&ran)[0]["final"];
        assert_eq!(made["value"]["point"], json!({"dataset": "x", "a": 3}), "{made}");
        assert_eq!(made["value"]["summary"]["score"], 3.0, "{made}");
        let model = fs::read_to_string(desk.path("out/final/dataset=x/model")).unwrap();
        assert_eq!(model, "x 3 3.00\n");
        // Another script is another function.
        desk.script("refit", "#!/bin/sh\necho 7\n");
        let ran = desk.run_job().exits(0);
        assert_eq!(rows(&ran)[2]["final"]["value"], 7);
        assert!(!desk.path("out/final/dataset=x").exists(), "it has no products any more");
    }
}

#[test]
fn what_cannot_be_given_is_refused_before_anything_runs() {
    let desk = python_desk();
    let refused = |job: &str, says: &[&str]| {
        desk.write("job.toml", job);
        let ran = desk.run_job().exits(2);
        for text in says {
            assert!(ran.stderr.contains(text), "{text}: {}", ran.stderr);
        }
        assert!(!desk.path("out/runs.sqlite").exists());
    };
    let job = |of_final: &str| python_job(of_final);
    refused(&job("pyhton = \"f.py:f\""), &["job.toml:", "did you mean 'python'?"]);
    refused(&job("retries = 1"), &["[final] needs one of python, r, command, shell, serve"]);
    refused(&job("shell = \"x\"\ncommand = [\"x\"]"), &["it is 'command' already"]);
    refused(&job("python = \"final.py:refit\"\nretires = 1"), &["did you mean 'retries'?"]);
    refused(
        &job("command = [\"echo\", \"{fold}\"]"),
        &["loop 'fold' has no point in a row", "dataset, a, summary, folder"],
    );
    refused(&job("command = [\"echo\", \"{dataste}\"]"), &["did you mean 'dataset'?"]);
    refused(&job("shell = \"echo $(( {summary.score} + 1 ))\""), &["only numbers may stand there"]);
    refused(&job("shell = \"bash -c \\\"echo {summary.score}\\\"\""), &["could run as code"]);
    let arguments = "command = [\"echo\", { if = \"fold > 1\", then = [\"x\"] }]";
    refused(&job(arguments), &["fold"]);
    let named = job("python = \"final.py:refit\"").replace("name = \"a\"", "name = \"summary\"");
    refused(&named, &["'summary' is the summary of a row"]);
    let flat = job("python = \"final.py:refit\"")
        .replace("reduce = \"max\"\n", "")
        .replace("reduce = \"mean\"\n", "");
    refused(&flat, &["no loop reduces"]);
    desk.write("final.py", "def refit(dataset, fold):\n    return 1\n");
    refused(
        &job("python = \"final.py:refit\""),
        &["job.toml:", "its parameter 'fold' is a loop whose runs are folded"],
    );
    desk.write("final.py", "def refit(sumary):\n    return 1\n");
    refused(&job("python = \"final.py:refit\""), &["did you mean 'summary'?"]);
    refused(
        &job("python = \"final.py:refti\""),
        &["has no function 'refti'; did you mean 'refit'?"],
    );
    desk.write("final.py", "def refit(a, fold=0, **others):\n    return sorted(others)\n");
    desk.write("job.toml", &job("python = \"final.py:refit\""));
    let ran = desk.run_job().exits(0);
    assert_eq!(rows(&ran)[0]["final"]["value"], json!(["dataset"]));
}

#[test]
fn a_part_of_the_job_and_a_pilot_make_none_and_the_whole_job_does() {
    let desk = python_desk();
    let only = ["job.toml", "--only", "dataset=x", "--only", "a=3", "--only", "fold=0"];
    let ran = desk.run(gridmpi(), &only).exits(0);
    assert!(ran.stderr.contains("left to a start of the whole job"), "{}", ran.stderr);
    desk.run(gridmpi(), &["plan", "job.toml", "--pilot", "4", "--out", "out"]);
    desk.run(gridmpi(), &["check", "job.toml"]);
    assert_eq!(desk.calls(), [""; 0]);
    desk.run_job().exits(0);
    assert_eq!(desk.calls().len(), 3);
}

#[test]
fn a_drain_leaves_them_to_the_next_start_and_no_run_is_made_again() {
    let desk = python_desk();
    let slow = "import os, time\n\ndef refit(dataset, a):\n    open('calls', 'a').write(f\"{dataset['name']}\\n\")\n    while not os.path.exists('go'):\n        time.sleep(0.05)\n    return a\n";
    desk.write("final.py", slow);
    let mut command = gridmpi();
    command.args(["job.toml", "--threads", "1", "--out", "out", "--grace", "100"]);
    command.current_dir(desk.path("."));
    let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_until("a final call has begun", || {
        fs::read_to_string(desk.path("calls")).unwrap().lines().count() == 1
    });
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    // The call ends when it is known that no other one begins.
    wait_until("shutdown", || {
        let status = fs::read_to_string(desk.path("out/status.json")).unwrap_or_default();
        status.contains("no new task is started")
    });
    desk.write("go", "");
    assert_eq!(child.wait().unwrap().code(), Some(75));
    let begun = desk.calls();
    let made: usize = desk.sql("SELECT count(*) FROM finals WHERE NOT failed")[0].parse().unwrap();
    assert!(made <= 1 && begun.len() == 1, "{begun:?}");
    let runs = desk.sql("SELECT task, started FROM all_runs");
    desk.run_job().exits(0);
    assert_eq!(desk.calls().len(), 3 - made);
    let after = desk.sql("SELECT task, started FROM all_runs");
    assert_eq!(after.len(), 36);
    assert!(runs.len() >= 12 && runs.iter().all(|run| after.contains(run)), "no run is made again");
}

#[test]
fn fresh_moves_products_aside_and_merge_brings_them_along() {
    let desk = python_desk();
    desk.run_job().exits(0);
    desk.calls();
    desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "more"]).exits(0);
    desk.calls();
    desk.run(gridmpi(), &["merge", "out", "more", "--out", "both"]).exits(0);
    let model = || fs::read_to_string(desk.path("both/final/dataset=x/model")).unwrap();
    assert_eq!(model(), "x 3");
    desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "both"]).exits(0);
    assert_eq!(desk.calls().len(), 0, "they are those of the merged folder");
    desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "both", "--fresh"]).exits(0);
    assert_eq!(desk.calls().len(), 3);
    assert!(desk.path("both/earlier-1/final/dataset=x/model").exists());
    assert_eq!(model(), "x 3");
}

#[test]
fn a_function_that_changes_while_the_job_runs_is_not_taken_for_what_it_was() {
    let desk = python_desk();
    // The first task changes the final function.
    let crunch = fs::read_to_string(desk.path("crunch.py")).unwrap();
    let crunch = crunch.replace(
        "def crunch(dataset, a, fold):\n",
        "def crunch(dataset, a, fold):\n    if not os.path.exists('done'):\n        open('done', 'w').close()\n        open('final.py', 'a').write('# more\\n')\n",
    );
    desk.write("crunch.py", &crunch);
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("final.py on host"), "{}", ran.stderr);
    assert_eq!(desk.sql("SELECT count(*) FROM finals"), ["0"]);
    let again = desk.run_job().exits(0);
    assert!(rows(&again).iter().all(|row| row["final"]["status"] == "ok"), "{}", again.stdout);
}

#[test]
fn the_order_of_loops_and_of_points_changes_no_row() {
    let desk = python_desk();
    let row = "[[loop]]\nname = \"dataset\"\nvalues = [\"x\", \"y\", \"z/1\"]\n";
    let site = "[[loop]]\nname = \"site\"\nvalues = [1, 2]\n";
    let job = |outer: &str| {
        let job = python_job("python = \"final.py:refit\"").replace(row, outer);
        job.replace("[final]", "data = \"dataset\"\n[final]")
    };
    let crunch = fs::read_to_string(desk.path("crunch.py")).unwrap();
    desk.write("crunch.py", &crunch.replace("dataset, a, fold)", "dataset, a, fold, site)"));
    desk.write("job.toml", &job(&format!("{row}{site}")));
    let first = rows(&desk.run_job().exits(0));
    assert_eq!((desk.calls().len(), first.len()), (6, 6));
    assert!(desk.path("out/final/dataset=x,site=1/model").exists());
    // The store is written anew; then a point comes before the others, which get other numbers.
    desk.write("job.toml", &job(&format!("{site}{row}")));
    let turned = rows(&desk.run_job().exits(0));
    desk.write("job.toml", &job(&format!("{}{row}", site.replace("[1, 2]", "[0, 1, 2]"))));
    assert_eq!(desk.calls(), [""; 0]);
    let grown = rows(&desk.run_job().exits(0));
    assert_eq!(desk.calls().len(), 3);
    let of = |rows: &[Json], dataset: &str, site: i64| {
        let is = |row: &&Json| row["coordinates"] == json!({"dataset": dataset, "site": site});
        rows.iter().find(is).unwrap_or_else(|| panic!("{dataset} {site}"))["final"].clone()
    };
    for (dataset, site) in [("x", 1), ("x", 2), ("z/1", 2)] {
        let made = of(&first, dataset, site);
        assert_eq!(made["status"], "ok");
        assert_eq!(of(&turned, dataset, site), made);
        assert_eq!(of(&grown, dataset, site), made);
    }
}

#[test]
fn a_store_without_final_calls_gets_them_and_one_that_is_cut_off_finishes_its_renames() {
    let desk = python_desk();
    let job = fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &job.replace("[final]\npython = \"final.py:refit\"\n", ""));
    desk.run_job().exits(0);
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'finals'";
    assert_eq!(desk.sql(tables), ["0"]);
    desk.write("job.toml", &job);
    let runs = desk.sql("SELECT task, started FROM all_runs");
    desk.run_job().exits(0);
    assert_eq!((desk.calls().len(), desk.sql("SELECT task, started FROM all_runs")), (3, runs));
    // As if the process had ended between the row and the rename.
    let products = desk.sql("SELECT products FROM finals WHERE folder = 'dataset=x'").remove(0);
    fs::rename(desk.path("out/final/dataset=x"), desk.path("out/final").join(products)).unwrap();
    fs::create_dir(desk.path("out/final/.call-lost")).unwrap();
    desk.run_job().exits(0);
    assert_eq!(fs::read_to_string(desk.path("out/final/dataset=x/model")).unwrap(), "x 3");
    assert!(!desk.path("out/final/.call-lost").exists());
    assert_eq!(desk.calls(), [""; 0]);
    // A folder of that name that is the user's is left alone.
    fs::create_dir_all(desk.path("mine/final")).unwrap();
    desk.write("mine/final/notes", "x");
    let ran = desk.run(gridmpi(), &["job.toml", "--out", "mine"]).exits(2);
    assert!(ran.stderr.contains("gridmpi, which has products of final calls"), "{}", ran.stderr);
}
