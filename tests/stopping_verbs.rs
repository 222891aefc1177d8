//! What people read in the terminal of a job that stops points early: the table, `status`, `best`, `runs`, `explain` and
//! the other verbs.

mod common;

use std::fs;
use std::process::Stdio;

use common::{Desk, Ran, cells, gridmpi, peak, wait_until};
use serde_json::{Value as Json, json};

/// The greater alpha is, the better; `r2` says the contrary.
const FIT: &str = "
import os, time
def crunch(d, alpha, fold):
    with open('calls', 'a') as log: log.write(f'{d} {alpha} {fold}\\n')
    while (d, alpha, fold) == ('b', 1, 0) and os.path.exists('wait'): time.sleep(0.02)
    if d == 'b' and alpha == 2 and os.path.exists('fails'): raise ValueError('singular')
    return {'score': round(alpha / 10 + fold / 1000, 3), 'r2': -alpha}
";

/// Two data sets of 8 points of 9 folds, with keys in `[crunch]` and in the loop over alpha.
fn job(crunch: &str, alpha: &str) -> String {
    format!(
        "[crunch]\npython = \"fit.py:crunch\"\n{crunch}\n\
         [[loop]]\nname = \"d\"\nvalues = [\"a\", \"b\"]\n\
         [[loop]]\nname = \"alpha\"\nvalues = [1, 2, 3, 4, 5, 6, 7, 8]\nreduce = \"max\"\n{alpha}\n\
         [[loop]]\nname = \"fold\"\nrange = {{ from = 0, to = 9 }}\nreduce = \"mean\"\n"
    )
}

/// Of each data set 8, then 3, then 1 of the points go on: 8 runs, 2 more of three points, 6 more of one.
fn halves() -> String {
    job("", "stop = { halve = 3 }")
}

fn surely() -> String {
    job("score_range = [0, 1]", "stop = \"sure\"")
}

fn desk(text: &str) -> Desk {
    let desk = Desk::with_job(text);
    desk.write("fit.py", FIT);
    desk.write("calls", "");
    desk
}

fn run(desk: &Desk) -> Ran {
    desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "out"])
}

fn json_of(desk: &Desk, arguments: &[&str]) -> Json {
    desk.run(gridmpi(), &[arguments, &["--format", "json"]].concat()).exits(0).json()
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn the_table_and_the_status_say_how_many_points_were_stopped() {
    let desk = desk(&halves());
    let ran = run(&desk).exits(0);
    let all = cells(&ran.stdout);
    let expected = ["a", "8", "0.804", "-8", "20 of 72, 52 skipped", "best of 8, 7 stopped early"];
    assert_eq!(all[1], expected, "{}", ran.stdout);
    let parts = ["40 runs in ", "104 of 144 runs were not needed: 14 points were stopped early"];
    contains(&ran.stderr, &parts);
    let first = "40 runs, 104 skipped of 144 (100%), 0 failed; 14 points stopped early";
    let status = desk.says(&["status", "out"]);
    assert!(
        status.starts_with(&format!("job: complete\n{first}\n2 of 2 groups closed\n")),
        "{status}"
    );
    contains(&status, &["20 of 72 runs, 52 skipped"]);
    let status = json_of(&desk, &["status", "out"]);
    assert_eq!((&status["done"], &status["tasks"]), (&json!(40), &json!(144)));
    assert_eq!((&status["skipped"], &status["stopped"]), (&json!(104), &json!(14)));
    assert_eq!(status["groups"]["latest"][0]["skipped"], json!(52));
    // Nothing is left, and nothing is told twice.
    let again = run(&desk).exits(0);
    assert_eq!(again.stdout, ran.stdout);
    contains(&again.stderr, &["nothing left to compute", parts[1]]);
}

#[test]
fn a_job_that_stops_nothing_says_nothing_of_it() {
    let desk = desk(&job("", ""));
    let ran = run(&desk).exits(0);
    assert_eq!(cells(&ran.stdout)[1], ["a", "8", "0.804", "-8", "72 of 72"], "{}", ran.stdout);
    let status = json_of(&desk, &["status", "out"]).to_string();
    let best = json_of(&desk, &["best", "out", "--top", "3"]).to_string();
    let explained = json_of(&desk, &["explain", "out", "3"]).to_string();
    for text in [&ran.stderr, &status, &best, &explained] {
        assert!(!text.contains("skipped") && !text.contains("stopped"), "{text}");
    }
    assert_eq!(
        desk.says(&["status", "out"]).lines().nth(1),
        Some("144 of 144 runs (100%), 0 failed")
    );
}

#[test]
fn points_that_failed_and_points_that_were_stopped_are_both_told() {
    let desk = desk(&job("retries = 0", "require = 0.5\nstop = { halve = 3 }"));
    desk.write("fails", "");
    let ran = run(&desk).exits(100);
    let all = cells(&ran.stdout);
    let expected = ["b", "8*", "0.804", "-8", "19 of 72, 1 failed, 52 skipped"];
    assert_eq!(all[2][..5], expected, "{}", ran.stdout);
    // The point that failed is the last one, so it is stopped too.
    assert_eq!(all[2][5], "best of 7 of 8, 1 failed, 7 stopped early", "{}", ran.stdout);
    contains(&ran.stderr, &["1 of 144 runs failed"]);
    contains(&desk.says(&["status", "out"]), &["20 of 72 runs, 1 failed, 52 skipped"]);
    let failed = cells(&desk.says(&["runs", "out", "--failed"]));
    assert_eq!(failed.len(), 2, "{failed:?}");
}

#[test]
fn a_run_under_way_is_measured_by_the_runs_that_it_needs() {
    let desk = desk(&halves());
    desk.write("wait", "");
    let mut command = gridmpi();
    command.args(["run", "job.toml", "--threads", "2", "--out", "out"]).current_dir(desk.path(""));
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = || desk.run(gridmpi(), &["status", "out"]).stdout;
    // The other 7 points of b have one run each; what follows waits for the eighth.
    let of_them = "27 runs, 52 skipped of 144 (29.3%), 0 failed, 1 running; ";
    wait_until("all but one of the runs that are asked for", || status().contains(of_them));
    let parts = [", at most ", "; 7 points stopped early", "20 of 72 runs, 52 skipped"];
    contains(&status(), &parts);
    fs::remove_file(desk.path("wait")).unwrap();
    assert!(run.wait().unwrap().success());
    assert_eq!(json_of(&desk, &["status", "out"])["skipped"], json!(104));
}

#[test]
fn a_skipped_task_says_why_and_how_it_is_computed_all_the_same() {
    let desk = desk(&halves());
    run(&desk).exits(0);
    let told = desk.says(&["explain", "out", "d=a", "alpha=1", "fold=5"]);
    contains(
        &told,
        &[
            "status    skipped\nskipped   d a, alpha 1 was stopped: place 8 of 8 after 1 of loop 'fold', ",
            "1 of its 9 runs was needed\n",
            "take stop out of the job and start it again; run --only computes one",
            "group     d a, alpha 1, over fold: stopped, place 8 of 8 ",
            "group     d a, over alpha: complete, mean score 0.804 from 20 runs, 0 failed, 52 skipped, 7 points stopped early",
        ],
    );
    let told = json_of(&desk, &["explain", "out", "5"]);
    assert_eq!((&told["status"], &told["score"]), (&json!("skipped"), &Json::Null));
    let stopped = &told["stopped"];
    assert_eq!((&stopped["asked"], &stopped["runs"]), (&json!(1), &json!(9)));
    assert_eq!(stopped["coordinates"], json!({ "d": "a", "alpha": 1 }));
    assert!(stopped["reason"].as_str().unwrap().starts_with("place 8 of 8"), "{told}");
    assert_eq!(told["groups"][0]["status"], "stopped");
    assert_eq!(
        (&told["groups"][1]["skipped"], &told["groups"][1]["stopped"]),
        (&json!(52), &json!(7))
    );
    // A run that was made before its point was stopped.
    let told = desk.says(&["explain", "out", "0"]);
    contains(&told, &["status    ok\nscore     0.1\n", "alpha 1, over fold: stopped, "]);
    let told = desk.says(&["explain", "out", "d=a", "alpha=8", "fold=5"]);
    contains(&told, &["alpha 8, over fold: complete, "]);
    // --only computes it, and stores nothing.
    desk.calls();
    let only = desk.run(gridmpi(), &["run", "job.toml", "--only", "5"]).exits(0);
    assert_eq!(only.stdout, "{\"score\":0.105,\"r2\":-1}\n");
    assert_eq!(desk.calls(), ["a 1 5"]);
}

#[test]
fn stopped_points_have_no_rank_and_what_they_could_be_is_refused() {
    let refusal = "14 points were stopped early and are not ranked, but could be among the places that are asked for";
    let way = "Remove `stop` and run again, which computes only what is missing";
    for (text, by_score) in [(halves(), 2), (surely(), 0)] {
        let desk = desk(&text);
        run(&desk).exits(0);
        let told = cells(&desk.says(&["best", "out"]));
        assert_eq!(told[1], ["a", "8", "0.804", "9", "(best of 8, 7 stopped early)"], "{told:?}");
        let found = json_of(&desk, &["best", "out"]);
        let row = &found[0];
        assert_eq!((&row["stopped"], &row["status"]), (&json!(7), &json!("complete")));
        let made = row["runs"].as_u64().unwrap() + row["skipped"].as_u64().unwrap();
        assert_eq!((made, &row["best"][0]["coordinates"]), (72, &json!({ "alpha": 8 })));
        // Of the job's own measure, the first place is known where the points were stopped surely.
        let own = desk.run(gridmpi(), &["best", "out", "--max", "score"]).exits(by_score);
        assert!(by_score == 0 || own.stderr.contains(refusal), "{}", own.stderr);
        for more in [
            &["--top", "2"][..],
            &["--max", "r2"],
            &["--min", "score"],
            &["--by", "alpha"],
            &["--max", "score", "--top", "2"],
        ] {
            let refused = desk.run(gridmpi(), &[&["best", "out"], more].concat()).exits(2);
            assert_eq!(refused.stdout, "", "{more:?}");
            contains(&refused.stderr, &[refusal, way]);
        }
        // The way that is named, which computes what is missing alone.
        let (done, crunch) =
            (desk.calls().len(), if by_score == 0 { "score_range = [0, 1]" } else { "" });
        desk.write("job.toml", &job(crunch, ""));
        run(&desk).exits(0);
        assert_eq!(done + desk.calls().len(), 144);
        let told = cells(&desk.says(&["best", "out", "--top", "2"]));
        assert_eq!((told[1].len(), &told[2][2][..]), (5, "7"), "{told:?}");
        assert_eq!(cells(&desk.says(&["best", "out", "--max", "r2"]))[1][1], "1");
    }
}

#[test]
fn the_best_of_outer_loops_are_known_where_points_inside_were_stopped() {
    let text = "
[crunch]
python = \"fit.py:crunch\"
score_range = [0, 1]
[[loop]]
name = \"family\"
values = [1, 2, 3]
reduce = \"max\"
[[loop]]
name = \"alpha\"
values = [1, 2, 3, 4, 5, 6]
reduce = \"max\"
stop = \"sure\"
[[loop]]
name = \"fold\"
range = { from = 0, to = 9 }
reduce = \"mean\"
";
    let desk = Desk::with_job(text);
    let code = "def crunch(family, alpha, fold): return (family + alpha) / 10\n";
    desk.write("fit.py", code);
    let ran = run(&desk).exits(0);
    // Both loops choose together.
    let row = cells(&ran.stdout).remove(1);
    assert_eq!(row[..3], ["3", "6", "0.9"]);
    assert!(row.last().unwrap().starts_with("best of 18, "), "{row:?}");
    // In each family the best is the job's own.
    let found = cells(&desk.says(&["best", "out", "--by", "family"]));
    let known: Vec<&[String]> = found[1..].iter().map(|row| &row[..3]).collect();
    assert_eq!(known, [["3", "6", "0.9"], ["2", "6", "0.8"], ["1", "6", "0.7"]]);
    desk.run(gridmpi(), &["best", "out", "--by", "alpha"]).exits(2);
    desk.run(gridmpi(), &["best", "out", "--top", "3"]).exits(2);
}

#[test]
fn a_plan_counts_what_may_be_left_and_not_what_was_skipped() {
    let desk = desk(&halves());
    let most = "Points of loop alpha are stopped early (stop by halves: halve 3, from 1): what is left to do, and how long that takes, is the most.";
    contains(&desk.says(&["plan", "job.toml", "--out", "out"]), &[most, "nothing is done yet"]);
    let piloted = desk.says(&["plan", "job.toml", "--out", "out", "--pilot", "10"]);
    contains(
        &piloted,
        &[most, "10 of 144 runs are there", "; at most 134 tasks would be done", "take at most "],
    );
    run(&desk).exits(0);
    let all = desk.says(&["plan", "job.toml", "--out", "out"]);
    let done = "out: 40 of 144 runs are there and would be reused, 104 are not needed; 0 tasks would be done.";
    contains(&all, &[done, "\nNothing is left to do."]);
    let told = json_of(&desk, &["plan", "job.toml", "--out", "out"]);
    assert_eq!(told["stop"]["loop"], "alpha");
    assert_eq!(told["stop"]["rule"], "stop by halves: halve 3, from 1");
    let counts = ["done", "skipped", "left"].map(|key| told[key].as_u64().unwrap());
    assert_eq!(counts, [40, 104, 0]);
    let fresh = desk.says(&["plan", "job.toml", "--out", "out", "--fresh"]);
    contains(&fresh, &[most, "the 144 tasks to do take at most "]);
    // Without the rule all are left, and another rule may need any of them.
    let there = 144 - desk.sql("SELECT count(*) FROM runs")[0].parse::<u64>().unwrap();
    desk.write("job.toml", &job("", ""));
    let without = desk.says(&["plan", "job.toml", "--out", "out"]);
    contains(&without, &[&format!("; {there} tasks would be done")]);
    assert!(
        !without.contains("stop") && !without.contains(&format!("at most {there}")),
        "{without}"
    );
    desk.write("job.toml", &surely());
    let other = desk.says(&["plan", "job.toml", "--out", "out"]);
    contains(&other, &[&format!("; at most {there} tasks would be done")]);
}

#[test]
fn a_plan_says_how_many_runs_halves_make_without_any() {
    let desk = desk(&halves());
    let told = desk.says(&["plan", "job.toml", "--out", "out"]);
    contains(&told, &["\nIn all 40 of 144 runs are made, whatever the scores.\n"]);
    let stop = &json_of(&desk, &["plan", "job.toml", "--out", "out"])["stop"];
    let all = json!({ "least": 40, "expected": 40, "most": 40, "exact": true });
    assert_eq!((&stop["runs"], &stop["decided"]), (&all, &json!(0)));
    // Of 10 runs spread over the grid, about 3 are asked for.
    let piloted = desk.says(&["plan", "job.toml", "--out", "piloted", "--pilot", "10"]);
    contains(&piloted, &["So about 37 of the 134 tasks that may be left would be made, "]);
    run(&desk).exits(0);
    assert_eq!(desk.sql("SELECT count(*) FROM runs"), ["40"]);
    let told = desk.says(&["plan", "job.toml", "--out", "out"]);
    contains(&told, &["\nIn all 40 of 144 runs are made: all groups are decided.\n"]);
    desk.write("job.toml", &job("", ""));
    let without = json_of(&desk, &["plan", "job.toml", "--out", "other"]);
    assert_eq!(without["stop"], Json::Null);
}

#[test]
fn a_plan_judges_what_is_saved_surely_by_the_groups_that_are_decided() {
    let desk = desk(&surely());
    let told = desk.says(&["plan", "job.toml", "--out", "out"]);
    contains(&told, &["How many runs that saves is not known: no group over alpha is decided"]);
    // Both data sets have the same scores, and one of them was computed before.
    desk.write("job.toml", &surely().replace("[\"a\", \"b\"]", "[\"a\"]"));
    run(&desk).exits(0);
    desk.write("job.toml", &surely());
    let told = json_of(&desk, &["plan", "job.toml", "--out", "out"]);
    let stop = &told["stop"];
    assert_eq!((&stop["groups"], &stop["decided"]), (&json!(2), &json!(1)));
    assert_eq!(stop["runs"]["exact"], json!(false));
    let expected = stop["runs"]["expected"].as_u64().unwrap();
    assert!((1..144).contains(&expected), "{told}");
    let text = desk.says(&["plan", "job.toml", "--out", "out"]);
    let judged = format!(
        "\nIn all about {expected} of 144 runs are made, judged by 1 of 2 groups over alpha that is decided in out; one tells nothing of how they differ."
    );
    contains(&text, &[&judged]);
    let (there, left) = (expected / 2, 144 - expected / 2);
    contains(&text, &[&format!("So about {there} of the {left} tasks that may be left")]);
    // An empty folder makes as many.
    let ran = desk.run(gridmpi(), &["job.toml", "--out", "fresh"]).exits(0);
    contains(&ran.stderr, &[&format!("{} of 144 runs were not needed", 144 - expected)]);
    let decided = json_of(&desk, &["plan", "job.toml", "--out", "fresh"]);
    let all = json!({ "least": expected, "expected": expected, "most": expected, "exact": true });
    assert_eq!(decided["stop"]["runs"], all);
    // Runs of another crunch tell about how many, and no start uses them.
    let code = fs::read_to_string(desk.path("fit.py")).unwrap();
    desk.write("fit.py", &format!("{code}\nother = 1\n"));
    let told = desk.says(&["plan", "job.toml", "--out", "fresh"]);
    let judged = format!(
        "\nIn all about {expected} of 144 runs are made, judged by 2 of 2 groups over alpha that are decided in fresh by runs that a start would not use."
    );
    contains(&told, &[&judged, "A start would be refused: "]);
    let outdated = json_of(&desk, &["plan", "job.toml", "--out", "fresh"]);
    assert_eq!(outdated["stop"]["runs"]["exact"], json!(false));
    desk.write("fit.py", &code);
    // Nor does one go on where a stored score is outside the range.
    desk.write("job.toml", &surely().replace("[0, 1]", "[0, 0.3]"));
    let refused = desk.run(gridmpi(), &["job.toml", "--out", "fresh"]).exits(2).stderr;
    let why = "score_range = [0, 0.3]: the stored run at d = a, alpha = ";
    let why = refused[refused.find(why).unwrap()..].lines().next().unwrap();
    let told = desk.says(&["plan", "job.toml", "--out", "fresh"]);
    contains(&told, &[&format!("A start would be refused: {why}.")]);
    desk.write("job.toml", &surely());
    // Where a field is compared, it does not say that nothing is decided.
    desk.write("job.toml", &surely().replace("\"max\"", "{ max = \"score\" }"));
    let told = desk.says(&["plan", "job.toml", "--out", "fresh"]);
    contains(&told, &["it is judged by scores alone, and loop alpha compares a field."]);
}

#[test]
fn other_verbs_say_what_stopping_is_to_them() {
    let desk = desk(&surely());
    run(&desk).exits(0);
    let batch = ["sbatch", "job.toml", "--out", "out", "--threads", "4"];
    contains(&desk.says(&batch), &["proposed: 0 tasks left, "]);
    let parts = desk.run(gridmpi(), &[&batch[..], &["--parts", "2"]].concat()).exits(2);
    contains(&parts.stderr, &["--parts: loop 'alpha' stops points, which a part of a job cannot"]);
    desk.run(gridmpi(), &["run", "job.toml", "--strategy", "outer", "--out", "other"]).exits(2);
    let told = desk.run(gridmpi(), &["log", "out", "d=a", "alpha=1", "fold=8"]).exits(0);
    contains(
        &told.stderr,
        &["task 8 was skipped, as its point was stopped early: cannot beat alpha = "],
    );
    let told = desk.run(gridmpi(), &["log", "out", "8", "--follow"]).exits(0);
    contains(&told.stderr, &["task 8 was skipped"]);
    // A score that is outside the range fails its run, and a check says so.
    let text =
        surely().replace("python = \"fit.py:crunch\"", "command = [\"echo\", \"0.{alpha}\"]");
    desk.write("other.toml", &text.replace("[0, 1]", "[0, 0.3]"));
    let checked = desk.run(gridmpi(), &["check", "other.toml", "--tasks", "4"]);
    let words = "Points of loop 'alpha' are stopped early (stop sure in [0, 0.3])";
    contains(&checked.stdout, &[words, "is outside score_range = [0, 0.3]"]);
    assert_eq!(checked.code, 100, "{}", checked.stdout);
}

#[test]
fn skipped_tasks_are_rows_of_runs_with_the_reason() {
    let desk = desk(&halves());
    run(&desk).exits(0);
    let list = |more: &[&str]| json_of(&desk, &[&["runs", "out"], more].concat());
    let count = |more: &[&str]| list(more).as_array().unwrap().len();
    let all = list(&[]);
    let tasks: Vec<u64> =
        all.as_array().unwrap().iter().map(|run| run["task"].as_u64().unwrap()).collect();
    assert_eq!(tasks, (0..144).collect::<Vec<_>>());
    let skipped = &all[5];
    assert_eq!(skipped["coordinates"], json!({ "d": "a", "alpha": 1, "fold": 5 }));
    assert_eq!((&skipped["status"], &skipped["score"]), (&json!("skipped"), &Json::Null));
    assert!(skipped["error"].as_str().unwrap().starts_with("place 8 of 8 after 1 of loop 'fold'"));
    assert_eq!(
        (count(&["--where", "status = 'skipped'"]), count(&["--where", "status = 'ok'"])),
        (104, 40)
    );
    assert_eq!(count(&["--where", "status = 'skipped' and alpha = 8"]), 0);
    assert_eq!(count(&["--where", "error like '%went on%'", "--limit", "7"]), 7);
    // They are not failed, and no condition on what runs have sees them.
    assert_eq!(count(&["--failed"]), 0);
    for clause in [
        "score is null",
        "not (score > 5)",
        "coalesce(seconds, 0) < 100",
        "r2 < 0 or 1",
        "value.r2 is null",
    ] {
        let seen = list(&["--where", clause]);
        let ok = |run: &Json| run["status"] == "ok";
        assert!(seen.as_array().unwrap().iter().all(ok), "{clause}: {seen}");
    }
    // Sorted, they come last where they have nothing to be sorted by.
    let first = list(&["--sort", "score", "--limit", "1"]);
    assert_eq!(first[0]["score"], json!(0.1));
    let last = list(&["--sort", "score desc, task desc"]);
    assert_eq!((&last[39]["status"], &last[40]["task"]), (&json!("ok"), &json!(134)));
    assert_eq!(last[40]["status"], "skipped");
    let told = cells(&desk.says(&["runs", "out", "--limit", "2"]));
    assert_eq!((&told[2][4][..], &told[2][5][..12]), ("skipped", "place 8 of 8"));
}

#[test]
fn runs_that_were_not_asked_for_stay_and_are_marked() {
    let desk = desk(&job("", ""));
    run(&desk).exits(0);
    let whole = cells(&desk.says(&["best", "out"]));
    desk.write("job.toml", &halves());
    desk.calls();
    let ran = run(&desk).exits(0);
    assert_eq!(desk.calls(), [""; 0]);
    contains(
        &ran.stderr,
        &["144 runs of earlier starts are reused where they are needed", "nothing left to compute"],
    );
    let status = desk.says(&["status", "out"]);
    let first = "40 runs, 104 skipped of 144 (100%), 0 failed; 40 reused; 14 points stopped early; 104 of the skipped runs are stored and count nowhere";
    assert_eq!(status.lines().nth(1), Some(first));
    let status = json_of(&desk, &["status", "out"]);
    assert_eq!(
        ["done", "skipped", "unasked"].map(|key| status[key].as_u64().unwrap()),
        [40, 104, 104]
    );
    let marked = json_of(
        &desk,
        &["runs", "out", "--where", "status = 'skipped' and alpha = 1 and fold = 5"],
    );
    assert_eq!((&marked[0]["score"], marked.as_array().unwrap().len()), (&json!(0.105), 2));
    assert!(marked[0]["error"].as_str().unwrap().ends_with("counts nowhere"), "{marked}");
    contains(
        &desk.says(&["runs", "out", "--where", "status = 'skipped'"]),
        &["went on", "counts nowhere"],
    );
    let told = desk.says(&["explain", "out", "5"]);
    contains(
        &told,
        &[
            "status    skipped",
            "an earlier start has made it all the same; its result counts nowhere",
            "score     0.105",
        ],
    );
    let plan = desk.says(&["plan", "job.toml", "--out", "out"]);
    contains(
        &plan,
        &["out: 40 of 144 runs are there and would be reused, 104 are not needed; 0 tasks"],
    );
    let best = cells(&desk.says(&["best", "out"]));
    assert_eq!(best[1][..4], whole[1][..4]);
    assert_eq!(best[1][4], "(best of 8, 7 stopped early)");
    desk.run(gridmpi(), &["best", "out", "--top", "2"]).exits(2);
    // Without the rule they count again.
    desk.write("job.toml", &job("", ""));
    run(&desk).exits(0);
    assert_eq!(desk.calls(), [""; 0]);
    assert_eq!(cells(&desk.says(&["best", "out", "--top", "2"])).len(), 5);
    assert_eq!(
        desk.says(&["status", "out"]).lines().nth(1),
        Some("144 of 144 runs (100%), 0 failed; 144 reused")
    );
}

/// Of 1,001 points 2 have all of their 100 runs, the others one.
#[test]
fn many_skipped_tasks_are_listed_as_they_come() {
    let text = "
[crunch]
builtin = \"multiply\"
[[loop]]
name = \"alpha\"
range = { from = 1, to = 1002 }
reduce = \"max\"
stop = { halve = 1000 }
[[loop]]
name = \"fold\"
range = { from = 1, to = 101 }
reduce = \"mean\"
";
    let desk = Desk::with_job(text);
    let ran = run(&desk).exits(0);
    contains(&ran.stdout, &["1199 of 100100, 98901 skipped", "best of 1,001, 999 stopped early"]);
    let skipped = ["runs", "out", "--where", "status = 'skipped'"];
    let (few, one) = peak(&desk, &[&skipped[..], &["--limit", "1"]].concat());
    let (listed, all) = peak(&desk, &skipped);
    assert_eq!((few.stdout.lines().count(), listed.stdout.lines().count()), (2, 98_902));
    assert!(all < one + 16, "{all} MiB for all, {one} MiB for one");
    let last = cells(&listed.stdout).pop().unwrap();
    assert_eq!(last[..4], ["99899", "999", "100", "skipped"]);
}
