//! `gridmpi check`: finds crunches whose results depend on more than their task.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Desk, Ran, gridmpi};
use serde_json::{Value as Json, json};

const X: &str = "\n[[loop]]\nname = \"x\"\nrange = { from = 1, to = 5 }\nreduce = \"max\"\n";

/// A folder with a Python function `crunch(x)`.
fn python(text: &str) -> Desk {
    let desk = Desk::with_job(&format!("[crunch]\npython = \"fit.py:crunch\"\n{X}"));
    desk.write("fit.py", text);
    desk
}

fn shell(line: &str) -> Desk {
    Desk::with_job(&format!("[crunch]\nshell = '''{line}'''\n{X}"))
}

fn check(desk: &Desk, arguments: &[&str]) -> Ran {
    let ran = desk.run(gridmpi(), &[&["check", "job.toml"][..], arguments].concat());
    assert!(!desk.path("results").exists(), "a check stores nothing");
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    ran
}

fn check_json(desk: &Desk, code: i32, arguments: &[&str]) -> Json {
    check(desk, &[&["--format", "json"][..], arguments].concat()).exits(code).json()
}

/// What the tasks of a list depend on.
fn causes(found: &Json) -> Vec<&str> {
    let found = found.as_array().unwrap();
    let mut causes: Vec<_> = found.iter().map(|f| f["depends_on"].as_str().unwrap()).collect();
    causes.dedup();
    causes
}

/// Checks that some tasks differ in shared workers, for this reason alone, and by themselves do not.
fn leaks(desk: &Desk, cause: &str) -> Json {
    let said = check_json(desk, 1, &[]);
    assert_eq!(causes(&said["shared"]), [cause], "{said:#}");
    assert_eq!(said["alone"], json!([]), "{said:#}");
    said
}

#[test]
fn a_sound_crunch_passes() {
    let desk = python(
        "import random\nimport helper\n\ndef crunch(x):\n    return {'score': x + random.random() + helper.ONE, 'x': [x]}\n",
    );
    desk.write("helper.py", "ONE = 1\n");
    let said = check_json(&desk, 0, &["--tasks", "4"]);
    assert_eq!(said["tasks"].as_array().unwrap().len(), 4);
    assert_eq!((&said["ok"], &said["uncounted_files"]), (&json!(true), &json!([])));
    let text = check(&desk, &["--tasks", "3"]).exits(0).stdout;
    assert!(text.contains("3 of 4 tasks") && text.contains("Nothing was found"), "{text}");

    desk.write("in.txt", "5\n");
    let line = "cat in.txt >/dev/null; echo {x} > out.{x}; cat out.{x}";
    let job = format!("[crunch]\nshell = '{line}'\nignore = [\"out.*\"]\n{X}");
    desk.write("job.toml", &job);
    check(&desk, &["--tasks", "3"]).exits(0);
    check(&desk, &["--tasks", "3"]).exits(0);
}

#[test]
fn a_counter_in_a_module_depends_on_what_ran_before() {
    let desk = python("n = 0\n\ndef crunch(x):\n    global n\n    n += 1\n    return 10 * x + n\n");
    let said = leaks(&desk, "before");
    let found = &said["shared"][1];
    assert_eq!(found["task"], 1);
    assert_eq!(found["differences"][0]["first"]["value"], 21.0);
    assert_eq!(found["differences"][0]["other"]["value"], 22.0);
    assert_eq!((&found["before"], &found["coordinates"]), (&json!([0]), &json!({"x": 2})));
    let text = check(&desk, &[]).exits(1).stdout;
    let line = "task 1 (x=2): 21.0 alone, but 22.0; it depends on what ran before it in its worker (here task 0)";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_list_that_grows_depends_on_what_ran_before() {
    let desk = python(
        "def crunch(x, seen=[]):\n    seen.append(x)\n    return {'score': x, 'seen': len(seen)}\n",
    );
    let said = leaks(&desk, "before");
    assert_eq!(said["shared"][0]["differences"][0]["field"], "seen");
}

#[test]
fn a_generator_of_its_own_depends_on_what_ran_before() {
    let desk = python(
        "import random\n\nrng = random.Random(1)\n\ndef crunch(x):\n    return x + rng.random()\n",
    );
    leaks(&desk, "before");
}

#[test]
fn data_that_is_used_up_depends_on_what_ran_before() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"fit.py:crunch\"\nload = \"fit.py:load\"\ndata = \"d\"\n\n[[loop]]\nname = \"d\"\nvalues = [\"a\", \"b\"]\n\n[[loop]]\nname = \"x\"\nrange = { from = 0, to = 4 }\nreduce = \"max\"\n",
    );
    let text = "def load(d):\n    return (i * 1.5 for i in range(10**9))\n\ndef crunch(d, x):\n    return next(d) + x\n";
    desk.write("fit.py", text);
    leaks(&desk, "before");
}

#[test]
fn unseeded_chance_differs_alone() {
    let desk = python("import os\n\ndef crunch(x):\n    return os.urandom(4)[0] + 256 * x\n");
    let said = check_json(&desk, 1, &[]);
    assert_eq!(causes(&said["alone"]), ["chance"]);
    assert_eq!(said["shared"], json!([]), "nothing can be told of these");
    let difference = &said["alone"][0]["differences"][0];
    assert_ne!(difference["first"]["value"], difference["other"]["value"]);
    let rare = shell("echo $(( {x} + ($(od -An -N1 -tu1 /dev/urandom) < 100) ))");
    let said = check_json(&rare, 1, &[]);
    assert_eq!(causes(&said["alone"]), ["chance"], "{said:#}");
}

#[test]
fn a_time_is_a_score_or_a_note() {
    let timed = |key: &str| {
        format!("import time\n\ndef crunch(x):\n    return {{'score': x, '{key}': time.time()}}\n")
    };
    let desk = python(&timed("fit_time"));
    let said = check_json(&desk, 0, &["--tasks", "3"]);
    assert_eq!(said["varying_fields"][0]["field"], "fit_time");
    assert_eq!(said["varying_fields"][0]["tasks"], 3);
    let text = check(&desk, &["--tasks", "2"]).exits(0).stdout;
    assert!(text.contains("--ignore fit_time leaves it out"), "{text}");
    let said = check_json(&desk, 0, &["--tasks", "3", "--ignore", "fit_time"]);
    assert_eq!(said["varying_fields"], json!([]));
    desk.write("fit.py", &timed("score"));
    let said = check_json(&desk, 1, &["--tasks", "3"]);
    assert_eq!(said["alone"][0]["differences"][0]["field"], "score");
}

#[test]
fn a_fixed_file_name_depends_on_neighbours() {
    let desk = shell("echo {x} > tmp.txt; sleep 0.1; cat tmp.txt");
    let said = leaks(&desk, "neighbours");
    let shared = &said["files_of_several_tasks"][0];
    assert_eq!((&shared["file"], &shared["tasks"][3]), (&json!("tmp.txt"), &json!(3)));
    let text = check(&desk, &[]).exits(1).stdout;
    assert!(text.contains("depends on what runs at the same time"), "{text}");
    assert!(text.contains("tmp.txt: tasks 0, 1, 2"), "{text}");
}

#[test]
fn a_short_meeting_is_found_by_many_tries() {
    let desk = shell("echo {x} > tmp.txt; sleep 0.003; cat tmp.txt");
    leaks(&desk, "neighbours");
}

#[test]
fn the_rank_is_no_part_of_a_result() {
    leaks(&shell("echo $(( {x} * GRIDMPI_RANK ))"), "worker");
    let desk = python(
        "import os\n\ndef crunch(x):\n    return {'score': x, 'seed': os.environ['GRIDMPI_THREAD']}\n",
    );
    leaks(&desk, "worker");
}

#[test]
fn a_file_that_tasks_leave_to_one_another_is_named() {
    // Every call gives the same: what the first one left.
    let desk = shell("name=best; test -f $name.txt || echo {x} > $name.txt; cat $name.txt");
    let said = check_json(&desk, 1, &[]);
    let inherited = &said["inherited_files"][0];
    assert_eq!(*inherited, json!({"file": "best.txt", "read_by": 1, "written_by": 0}));
    let text = check(&desk, &[]).exits(1).stdout;
    assert!(text.contains("  best.txt\n"), "now it was there before: {text}");

    let counter = shell("echo x >> log.txt; wc -l < log.txt");
    let said = check_json(&counter, 1, &[]);
    assert_eq!(causes(&said["alone"]), ["chance"], "{said:#}");
}

#[test]
fn a_file_that_does_not_count_is_named() {
    let script = "import os\n\ndef crunch(x):\n    with open(os.path.join('deep', 'scale.txt')) as file:\n        return x * float(file.read())\n";
    let desk = python(script);
    desk.write("deep/scale.txt", "2\n");
    let said = check_json(&desk, 1, &["--tasks", "3"]);
    assert_eq!(
        (&said["uncounted_files"], &said["shared"]),
        (&json!(["deep/scale.txt"]), &json!([]))
    );
    let text = check(&desk, &["--tasks", "3"]).exits(1).stdout;
    assert!(text.contains("inputs") && text.contains("  deep/scale.txt\n"), "{text}");
    for key in ["inputs", "ignore"] {
        let job = format!("[crunch]\npython = \"fit.py:crunch\"\n{key} = [\"deep/*\"]\n{X}");
        desk.write("job.toml", &job);
        check(&desk, &["--tasks", "3"]).exits(0);
    }

    let desk = Desk::with_job(&format!("[crunch]\ncommand = [\"./run.sh\", \"{{x}}\"]\n{X}"));
    desk.script("run.sh", "#!/bin/sh\n. ./parameters.sh\necho $(($1 * FACTOR))\n");
    desk.write("parameters.sh", "FACTOR=3\n");
    let said = check_json(&desk, 1, &["--tasks", "3"]);
    assert_eq!(said["uncounted_files"], json!(["parameters.sh"]));
}

#[test]
fn a_file_that_counts_must_stay() {
    let desk =
        Desk::with_job(&format!("[crunch]\ncommand = [\"./run.sh\", \"n.txt\", \"{{x}}\"]\n{X}"));
    desk.script("run.sh", "#!/bin/sh\nn=$(cat $1)\necho $((n + 1)) > $1\necho $((n + $2))\n");
    desk.write("n.txt", "0\n");
    let said = check_json(&desk, 1, &["--tasks", "3"]);
    assert_eq!(said["changed_files"], json!(["n.txt"]));
    assert_eq!(said["alone"].as_array().unwrap().len(), 3);
}

#[test]
fn cores_are_reported_apart() {
    let desk = shell("test $OMP_NUM_THREADS = 1 && echo {x}.0 || echo {x}.0000001");
    let said = check_json(&desk, 0, &[]);
    assert_eq!(causes(&said["by_cores"]), ["cores"]);
    let relative = said["by_cores"][0]["differences"][0]["relative"].as_f64().unwrap();
    assert!((1e-8..2e-7).contains(&relative), "{relative}");
    let text = check(&desk, &[]).exits(0).stdout;
    assert!(text.contains("4 tasks differ, by up to 1.0e-7 of the value"), "{text}");
    let mut command = gridmpi();
    command.env("OMP_NUM_THREADS", "1");
    let text = desk.run(command, &["check", "job.toml", "--tasks", "2"]).exits(0).stdout;
    assert!(text.contains("OMP_NUM_THREADS is set"), "{text}");
}

#[test]
fn failures_are_told_apart_from_differences() {
    let said = check_json(&shell("test {x} -ne 2 && echo {x}"), 100, &[]);
    assert_eq!(said["failed"].as_array().unwrap().len(), 1);
    assert_eq!(said["failed"][0]["coordinates"], json!({"x": 2}));
    let second = "done = []\n\ndef crunch(x):\n    if done:\n        raise ValueError('only once')\n    done.append(x)\n    return x\n";
    let said = leaks(&python(second), "before");
    let other = said["shared"][0]["differences"][0]["other"]["error"].as_str().unwrap();
    assert!(other.contains("only once"), "{other}");
}

#[test]
fn what_is_no_job_file_is_refused_in_words() {
    let desk = Desk::new();
    let refused = |name: &str| desk.run(gridmpi(), &["check", name]).exits(2).stderr;
    let program = env!("CARGO_BIN_EXE_gridmpi");
    assert!(refused(program).contains("is a program; a check runs the tasks of a job file"));
    assert!(refused(".").contains("is a folder"));
    assert!(refused("nothing.toml").contains("nothing.toml"));
    let none = desk.run(gridmpi(), &["check"]).exits(2).stderr;
    assert!(none.contains("name the job file"), "{none}");
}

#[test]
fn a_results_folder_is_left_alone() {
    let desk = Desk::with_job(&format!("[crunch]\nbuiltin = \"multiply\"\n{X}"));
    desk.run(gridmpi(), &["job.toml"]).exits(0);
    let state = |name: &str| std::fs::read(desk.path("results/job").join(name)).unwrap();
    let before = ["runs.sqlite", "summary.json", "status.json"].map(state);
    desk.run(gridmpi(), &["check", "job.toml"]).exits(0);
    assert!(before == ["runs.sqlite", "summary.json", "status.json"].map(state));
}

#[test]
fn a_signal_ends_a_check() {
    let python = "import time\n\ndef crunch(x):\n    time.sleep(60)\n    return x\n";
    for desk in [shell("sleep 60; echo {x}"), self::python(python)] {
        ends(&desk, 1);
    }
    // A builtin does not hear the first one.
    let job = format!("[crunch]\nbuiltin = \"multiply\"\nsleep = 60\n{X}");
    ends(&Desk::with_job(&job), 2);
}

/// Sends a check so many signals, once it has begun.
fn ends(desk: &Desk, signals: usize) {
    let mut command = gridmpi();
    let child = command.args(["check", "job.toml"]).current_dir(desk.path("."));
    let mut child = child.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("each twice alone") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it has ended");
    }
    for _ in 0..signals {
        // It may have ended before the second one.
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    let mut stderr = String::new();
    said.read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(75), "{stderr}");
    assert!(stderr.contains("SIGINT: the check has ended early"), "{stderr}");
}
