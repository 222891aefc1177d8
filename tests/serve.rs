//! `serve = [...]`: a long-lived worker in any language, here plain Python, over two named pipes; and workers that do it
//! wrong.

mod common;

use common::{Desk, gridmpi, mpirun, running, sql_rows, wait_until};
use serde_json::json;

/// A worker in a few lines; `answer(task)` gives the value.
const WORKER: &str = r#"
import json, os, sys
requests = open(os.environ["GRIDMPI_REQUESTS"], encoding="utf-8")
answers = open(os.environ["GRIDMPI_ANSWERS"], "w", encoding="utf-8", buffering=1)
def say(**message):
    print(json.dumps(message), file=answers)
HELLO = {"version": 1}
data = {}
def load(point):
    return point
def answer(task):
    return task["points"]["x"]
exec(open("own.py").read())
for line in requests:
    message = json.loads(line)
    if message["type"] == "hello":
        say(type="hello", **HELLO)
    elif message["type"] == "load":
        for number in message["drop"]:
            del data[number]
        data[message["data"]] = load(message["point"])
        say(type="result", id=message["id"])
    elif message["type"] == "task":
        try:
            say(type="result", id=message["id"], value=answer(message))
        except Exception as error:
            say(type="error", id=message["id"], message=f"{type(error).__name__}: {error}")
    elif message["type"] == "bye":
        break
"#;

fn job(crunch: &str, points: &str) -> String {
    format!(
        "[crunch]\nserve = [\"python3\", \"worker.py\"]\n{crunch}\n[[loop]]\nname = \"x\"\n{points}\nreduce = \"all\"\n"
    )
}

/// A folder with the worker, of which `own` replaces parts.
fn desk(own: &str, crunch: &str, points: &str) -> Desk {
    let desk = Desk::with_job(&job(crunch, points));
    desk.write("worker.py", WORKER);
    desk.write("own.py", own);
    desk
}

/// Whether it is so in one of three tries: a worker that is held up for seconds is one that does not answer.
fn in_a_try(mut is_so: impl FnMut() -> bool) -> bool {
    (0..3).any(|_| is_so())
}

/// A folder with a worker of this text.
fn hostile(worker: &str, crunch: &str) -> Desk {
    let desk = desk("", crunch, "values = [1, 2, 3]");
    desk.write("worker.py", worker);
    desk
}

fn errors(desk: &Desk) -> Vec<String> {
    desk.sql("SELECT replace(error, char(10), ' | ') FROM all_runs WHERE status = 'failed' ORDER BY task")
}

#[test]
fn a_worker_serves_many_tasks_and_gets_all_of_each() {
    let own = r#"
def answer(task):
    assert "unknown" not in task
    return {"score": 1, "pid": os.getpid(), "task": task["task"], "x": task["points"]["x"],
            "seed": task["seed"], "attempt": task["attempt"], "cores": task["cores"]}
"#;
    let desk = desk(own, "", "values = [1, 2.5, \"é\\\"\\n\", 4, 5, 6, 7, 8]");
    let ran = desk.run(mpirun(3), &["job.toml", "--out", "out", "--format", "json"]).exits(0);
    let runs = ran.value();
    let runs = runs.as_array().unwrap();
    let points: Vec<_> = runs.iter().map(|run| run["x"].clone()).collect();
    assert_eq!(json!(points), json!([1, 2.5, "é\"\n", 4, 5, 6, 7, 8]));
    let of = |field: &str| {
        runs.iter().map(|run| run[field].to_string()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(of("task").len(), 8);
    assert_eq!(of("seed").len(), 8, "a seed for each task");
    assert!(of("pid").len() <= 2, "one process for each of two workers: {:?}", of("pid"));
    let own_seed = desk.run(gridmpi(), &["job.toml", "--only", "3", "--format", "json"]).exits(0);
    assert_eq!(own_seed.json()["value"]["seed"], runs[3]["seed"]);
}

#[test]
fn numbers_that_json_lacks_go_both_ways() {
    let own = r#"
import math
def answer(task):
    x = task["points"]["x"]
    assert x is None or isinstance(x, float), x
    return {"score": 0.1 + 0.2, "is": [x, math.nan, -math.inf], "tiny": 5e-324, "none": None}
"#;
    let points = "json = '[Infinity, -Infinity, 0.1, null]'";
    let plain = desk(own, "", points);
    let value = plain.run_job().exits(0).value();
    assert_eq!(value[0]["is"], json!(["Infinity", "NaN", "-Infinity"]));
    assert_eq!(value[1]["is"][0], json!("-Infinity"));
    assert_eq!(value[2]["score"], json!(0.1 + 0.2));
    assert_eq!(value[2]["tiny"], json!(5e-324));
    assert_eq!(value[3]["is"][0], json!(null));
    // A worker whose JSON has no such words asks for strings, and writes them.
    let strict = r#"
HELLO = {"version": 1, "nonfinite": "strings"}
def answer(task):
    x = task["points"]["x"]
    assert x in ("Infinity", "-Infinity", 0.1, None), x
    return {"score": 0.1 + 0.2, "is": [x, "NaN", "-Infinity"], "tiny": 5e-324, "none": None}
"#;
    let strings = desk(strict, "", points);
    assert_eq!(strings.run_job().exits(0).value(), value);
    let is_number = "SELECT json_type(value, '$.is[0]'), score FROM all_runs WHERE task = 0";
    assert_eq!(strings.sql(is_number), plain.sql(is_number));
}

#[test]
fn what_it_prints_is_output_and_what_it_logs_is_logged() {
    let own = r#"
def answer(task):
    print('{"type": "result", "id": 1, "value": 17}', flush=True)
    sys.stderr.write("to stderr\n")
    os.write(1, b"\xff\xfe no text\n")
    say(type="log", message="a remark", level="warn")
    say(type="log", message="in passing", level="debug")
    say(type="of a later version", id=99)
    return task["points"]["x"]
"#;
    let desk = desk(own, "", "values = [1, 2, 3]");
    let ran = desk.run(gridmpi(), &["job.toml", "-v", "--out", "out", "--format", "json"]).exits(0);
    assert_eq!(ran.value(), json!([1.0, 2.0, 3.0]));
    for said in [
        "WARN] the worker: a remark",
        "DEBUG] the worker: in passing",
        "to stderr",
        "\"value\": 17",
    ] {
        assert!(ran.stderr.contains(said), "{said:?} is not in:\n{}", ran.stderr);
    }
    let quiet = desk.run(gridmpi(), &["job.toml", "--fresh", "--out", "out"]).exits(0);
    assert!(
        quiet.stderr.contains("a remark") && !quiet.stderr.contains("in passing"),
        "{}",
        quiet.stderr
    );
}

#[test]
fn data_is_loaded_once_and_dropped_when_it_is_too_much() {
    let own = r#"
loads = []
def load(point):
    loads.append(point)
    return point * 100
def answer(task):
    assert len(data) <= 2, data
    return {"score": data[task["data"]] + task["points"]["y"], "loads": len(loads)}
"#;
    let desk = desk(own, "load = true\nkeep = 2\ndata = \"x\"", "values = [1, 2, 3]");
    let job = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &(job + "[[loop]]\nname = \"y\"\nvalues = [1, 2]\nreduce = \"max\"\n"));
    let ran =
        desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out", "--format", "json"]);
    let value = ran.exits(0).value();
    let scores: Vec<_> = value.as_array().unwrap().iter().map(|run| run["score"].clone()).collect();
    assert_eq!(json!(scores), json!([102, 202, 302]));
    assert_eq!(value[2]["loads"], json!(3), "once for each data set");
    desk.write("own.py", "def load(point):\n    raise ValueError('no such data')\n");
    let failed = desk.run(gridmpi(), &["job.toml", "--fresh", "--out", "out"]);
    failed.exits(100);
    // The worker does not catch it: it dies, which costs each run that needs the data.
    assert!(
        errors(&desk)[0].contains("loading its data") && errors(&desk)[0].contains("no such data")
    );
}

#[test]
fn an_error_fails_its_run_and_a_worker_that_dies_costs_one() {
    let own = r#"
import signal
def answer(task):
    x = task["points"]["x"]
    print("about to", x, flush=True)
    if x == 1:
        raise KeyError("no 1")
    if x == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if x == 3:
        sys.exit("leaving")
    if x == 4:
        os._exit(0)
    return x
"#;
    let desk = desk(own, "require = 0.1", "values = [0, 1, 2, 3, 4, 5]");
    let ran = desk.run_job().exits(100);
    assert_eq!(ran.value(), json!([0.0, null, null, null, null, 5.0]));
    let errors = errors(&desk);
    assert_eq!(errors[0], "KeyError: 'no 1'");
    for (at, says) in [
        (1, "the worker ended (signal: 9"),
        (1, "about to 2"),
        (2, "the worker ended (exit status: 1)"),
        (2, "leaving"),
        (3, "the worker ended (exit status: 0)"),
    ] {
        assert!(errors[at].contains(says), "{says}: {errors:?}");
    }
}

#[test]
fn a_worker_that_ends_between_two_tasks_fails_none() {
    // Whether the next request is sent before or after its end: this worker has read none of it.
    let own = r#"
def answer(task):
    say(type="result", id=task["id"], value=task["points"]["x"])
    os._exit(0)
"#;
    let desk = desk(own, "", "values = [1, 2, 3, 4, 5]");
    let ran =
        desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out", "--format", "json"]);
    assert_eq!(ran.exits(0).value(), json!([1.0, 2.0, 3.0, 4.0, 5.0]));
}

#[test]
fn a_worker_that_closes_its_pipes_and_lives_on_counts_as_dead() {
    // No time limit: it would be waited for until the test's own. What it has started ends with it.
    let own = r#"
import subprocess, time
def live_on(*pipes):
    subprocess.Popen(["sleep", "662"])
    for pipe in pipes:
        pipe.close()
    time.sleep(600)
def answer(task):
    if task["points"]["x"] == 1:
        live_on(answers)
    if task["points"]["x"] == 3:
        live_on(requests, answers)
    if task["points"]["x"] == 5: # between two tasks: none is at fault
        say(type="result", id=task["id"], value=5)
        live_on(requests, answers)
    return task["points"]["x"]
"#;
    let desk = desk(own, "require = 0.1", "values = [0, 1, 2, 3, 4, 5, 6]");
    let ran =
        desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out", "--format", "json"]);
    assert_eq!(ran.exits(100).value(), json!([0.0, null, 2.0, null, 4.0, 5.0, 6.0]));
    let why = "the worker has closed the pipe GRIDMPI_REQUESTS or GRIDMPI_ANSWERS and lives on, so it was killed";
    let errors = errors(&desk);
    assert!(errors.len() == 2 && errors.iter().all(|error| error.contains(why)), "{errors:?}");
    assert_eq!(running("sleep 662"), 0);
    // One that takes no request at all is no worker.
    desk.write("own.py", "requests.readline()\nsay(type='hello', **HELLO)\nrequests.close()\nimport time\ntime.sleep(600)\n");
    desk.write("job.toml", &job("", "values = [1]"));
    desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "deaf"]).exits(100);
    let errors = sql_rows(&desk.path("deaf/runs.sqlite"), "SELECT DISTINCT error FROM all_runs");
    assert!(errors.len() == 1 && errors[0].contains(why), "{errors:?}");
}

#[test]
fn a_worker_in_an_isolated_process_serves_too() {
    let own = r#"
def answer(task):
    if task["points"]["x"] == 2:
        os._exit(3)
    return {"score": task["points"]["x"], "pid": os.getpid(), "parent": os.getppid()}
"#;
    let desk = desk(own, "isolate = true\nrequire = 0.1", "values = [1, 2, 3, 4]");
    for start in [gridmpi as fn() -> std::process::Command, || mpirun(3)] {
        let arguments = ["job.toml", "--out", "out", "--fresh", "--format", "json"];
        let value = desk.run(start(), &arguments).exits(100).value();
        let scores: Vec<_> = (0..4).map(|at| value[at]["score"].as_f64()).collect();
        assert_eq!(scores, [Some(1.0), None, Some(3.0), Some(4.0)]);
        assert!(
            errors(&desk)[0].contains("the worker ended (exit status: 3)"),
            "{:?}",
            errors(&desk)
        );
        // The workers have ended, and the processes that they were children of.
        for pid in [&value[0]["pid"], &value[3]["pid"], &value[0]["parent"]] {
            let place = std::path::PathBuf::from(format!("/proc/{pid}"));
            wait_until("its processes have ended", || !place.exists());
        }
    }
}

#[test]
fn a_straggler_is_speculated_and_its_worker_killed_or_cancelled() {
    // The first attempt at x = 3 goes on for ever; another worker makes a second one. A worker that is killed is
    // started again, one that can cancel goes on.
    let own = r#"
import select, subprocess, time
def answer(task):
    if task["points"]["x"] == 3 and task["attempt"] == 1:
        sleep = subprocess.Popen(["sleep", "663"])
        sleep.wait()
    return {"score": task["points"]["x"], "attempt": task["attempt"]}
"#;
    let cancels = format!(
        "{own}HELLO = {{\"version\": 1, \"cancel\": True}}\nslow = answer\n\
         def answer(task):\n\
         \x20   if task[\"points\"][\"x\"] == 3 and task[\"attempt\"] == 1:\n\
         \x20       assert json.loads(requests.readline())[\"type\"] == \"cancel\"\n\
         \x20       open(\"cancelled\", \"w\").close()\n\
         \x20       raise RuntimeError(\"cancelled\")\n\
         \x20   return slow(task)\n"
    );
    for (own, cancels) in [(own, false), (&cancels, true)] {
        let desk = desk(own, "speculate = true", "values = [1, 2, 3, 4, 5, 6]");
        desk.run(mpirun(4), &["job.toml", "--out", "out", "--format", "json"]).exits(0);
        let rows = "SELECT attempt, score, value ->> 'attempt' FROM all_runs WHERE x = 3";
        assert_eq!(desk.sql(rows), ["2|3.0|2"]);
        assert_eq!(desk.sql("SELECT count(*) FROM failures"), ["0"]);
        assert_eq!(desk.path("cancelled").exists(), cancels);
        assert_eq!(running("sleep 663"), 0);
    }
}

#[test]
fn hellos_without_a_common_version_end_the_start() {
    for (hello, says) in [
        (r#"{"version": 2}"#, "gridmpi speaks 1, it speaks 2"),
        (r#"{"version": None, "versions": [2, 3]}"#, "gridmpi speaks 1, it speaks 2, 3"),
        (r#"{}"#, "no version"),
        (r#"{"version": 1, "nonfinite": "null"}"#, "known: words, strings"),
    ] {
        let desk = desk(&format!("HELLO = {hello}\n"), "", "values = [1]");
        let ran = desk.run_job().exits(2);
        assert!(
            ran.stderr.contains("job.toml:2: crunch.serve") && ran.stderr.contains(says),
            "{}",
            ran.stderr
        );
        assert!(!desk.path("out/runs.sqlite").exists(), "refused before anything runs");
    }
}

#[test]
fn a_start_fails_with_what_the_worker_said() {
    for (worker, says) in [
        (
            "raise SystemExit('no licence')",
            "the worker ended (exit status: 1); the last it printed:\nno licence",
        ),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        (
            "import os\nprint('not JSON', file=open(os.environ['GRIDMPI_ANSWERS'], 'w'))\nimport time; time.sleep(99)",
            "a line is not JSON",
        ),
        (
            "import os\nprint('{\"type\": \"error\", \"message\": \"the model is missing\"}', file=open(os.environ['GRIDMPI_ANSWERS'], 'w'))",
            "the model is missing",
        ),
        (
            "import os\nprint('{\"id\": 1}', file=open(os.environ['GRIDMPI_ANSWERS'], 'w'))\nimport time; time.sleep(99)",
            "without the field \"type\"",
        ),
    ] {
        let ran = hostile(worker, "").run_job().exits(2);
        assert!(ran.stderr.contains(says), "{says:?} is not in:\n{}", ran.stderr);
    }
    let desk = desk("", "", "values = [1]");
    desk.write("job.toml", &job("", "values = [1]").replace("python3", "no-such-program"));
    assert!(desk.run_job().exits(2).stderr.contains("no-such-program\" is not on PATH"));
}

#[test]
fn answers_that_are_wrong_fail_their_run() {
    for (wrong, says) in [
        ("say(type='result', id=message['id'] + 1, value=1)", ": the request has "),
        ("say(type='result', value=1)", "without the id"),
        (
            "answers.write('{\"type\": \"result\", \"id\": 1, \"value\": 1.\\n')",
            "a line is not JSON",
        ),
        ("answers.write('[1]\\n')", "no object"),
        ("say(type='result', id=message['id'])", "the worker's result has no value"),
        ("say(type='result', id=message['id'], value={'loss': 1})", "no \"score\""),
        (
            "answers.write('{\"type\": \"result\", \"id\": %d, \"value\": {\"a\": 1, \"a\": 2}}\\n' % message['id'])",
            "more than once",
        ),
        ("os.write(answers.fileno(), b'\\xff\\n')", "not UTF-8"),
        ("say(type='error', id=message['id'])", "it has said no more"),
    ] {
        let worker = WORKER
            .replace("say(type=\"result\", id=message[\"id\"], value=answer(message))", wrong);
        assert_ne!(worker, WORKER);
        let desk = desk("", "", "values = [1]");
        desk.write("worker.py", &worker);
        desk.write("job.toml", &job("", "values = [1]").replace("\"all\"", "\"max\""));
        desk.run_job().exits(100);
        let error = errors(&desk).join("");
        assert!(error.contains(says), "{wrong}: {error}");
    }
}

#[test]
fn an_answer_that_comes_before_its_request_is_none() {
    for early in [
        // To the next task, with an id that may be its.
        "say(type='result', id=message['id'], value=1); say(type='result', id=message['id'] + 1, value=1)",
        // To the first one, behind the hello.
        "say(type='result', id=message['id'], value=message['points']['x'])",
    ] {
        let mut worker = WORKER
            .replace("say(type=\"result\", id=message[\"id\"], value=answer(message))", early);
        if early.contains("points") {
            worker = worker.replace(
                "say(type=\"hello\", **HELLO)",
                "say(type=\"hello\", **HELLO); say(type='result', id=1, value=999)",
            );
        }
        let desk = desk("", "", "values = [1, 2]");
        desk.write("worker.py", &worker);
        desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out"]).exits(100);
        assert!(errors(&desk).join("").contains(": the request has "), "{early}");
        let wrong = "SELECT count(*) FROM all_runs WHERE status = 'ok' AND score <> x";
        assert_eq!(desk.sql(wrong), ["0"], "{early}");
    }
}

#[test]
fn a_timeout_kills_a_worker_that_cannot_cancel_and_another_one_can_go_on() {
    let own = r#"
import time
def answer(task):
    if task["points"]["x"] == 1:
        time.sleep(99)
    return {"score": 1, "pid": os.getpid()}
"#;
    let desk = desk(own, "timeout = 0.5\nrequire = 0.1", "values = [0, 1, 2]");
    let one = ["job.toml", "--threads", "1", "--out", "out", "--format", "json", "--fresh"];
    // The processes that have made the first call and the last one, if no other call than the second took too long.
    let pids = || {
        let value = desk.run(gridmpi(), &one).exits(100).value();
        Some((value[0]["pid"].as_u64()?, value[2]["pid"].as_u64()?))
    };
    let mut seen = None;
    assert!(in_a_try(|| {
        seen = pids();
        seen.is_some()
    }));
    assert!(errors(&desk)[0].contains("timed out: it took more than 0.5 s"), "{:?}", errors(&desk));
    let (first, last) = seen.unwrap();
    assert_ne!(first, last, "killed, and started again");
    // This one looks for a cancel while it works.
    let can = r#"
import select
HELLO = {"version": 1, "cancel": True}
requests = open(os.environ["GRIDMPI_REQUESTS"], "rb", buffering=0)
class Lines:
    def __iter__(self):
        rest = b""
        while piece := requests.read(65536):
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
requests, pipe = Lines(), requests
def answer(task):
    if task["points"]["x"] == 1:
        select.select([pipe], [], [])
        raise RuntimeError("cancelled")
    return {"score": 1, "pid": os.getpid()}
"#
    .replace("piece := requests.read", "piece := pipe.read");
    desk.write("own.py", &can);
    assert!(in_a_try(|| pids().is_some_and(|(first, last)| first == last)), "the same one goes on");
    assert!(errors(&desk)[0].contains("timed out"), "{:?}", errors(&desk));
}

#[test]
fn a_signal_ends_a_job_whose_worker_never_opens_its_pipes() {
    let desk = hostile("import time\nopen('there', 'w').close()\ntime.sleep(999)\n", "");
    let mut command = gridmpi();
    command.args(["job.toml", "--out", "out", "--grace", "0"]).current_dir(desk.path(""));
    let mut ran = command.spawn().unwrap();
    wait_until("the worker is there", || desk.path("there").exists());
    let ended =
        std::process::Command::new("kill").args(["-TERM", &ran.id().to_string()]).status().unwrap();
    assert!(ended.success());
    wait_until("gridmpi has ended", || ran.try_wait().unwrap().is_some());
}

#[test]
fn a_worker_that_opens_its_pipes_for_each_message_is_one_too() {
    let desk = desk("", "", "values = [1, 2, 3]");
    let worker = r#"
say() { printf '%s\n' "$1" >"$GRIDMPI_ANSWERS"; }
while IFS= read -r line <"$GRIDMPI_REQUESTS"; do
    id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
    x=$(printf '%s' "$line" | sed -n 's/.*"x":\([0-9]*\).*/\1/p')
    case $line in
    *'"type":"hello"'*) say '{"type": "hello", "version": 1, "reopens": true}' ;;
    *'"type":"task"'*) say "{\"type\": \"result\", \"id\": $id, \"value\": $x}" ;;
    *'"type":"bye"'*) exit 0 ;;
    esac
done
"#;
    desk.write("worker.sh", worker);
    desk.write(
        "job.toml",
        &job("", "values = [1, 2, 3]")
            .replace("\"python3\", \"worker.py\"", "\"sh\", \"worker.sh\""),
    );
    let ran =
        desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out", "--format", "json"]);
    assert_eq!(ran.exits(0).value(), json!([1.0, 2.0, 3.0]));
}

#[test]
fn long_lines_go_both_ways() {
    let own =
        "def answer(task):\n    return {\"score\": 1, \"text\": task[\"points\"][\"x\"] * 20}\n";
    let desk = desk(own, "", "rows = \"long.csv\"");
    desk.write("long.csv", &format!("text\n{}\n", "x".repeat(300_000)));
    desk.write("own.py", &own.replace("[\"x\"]", "[\"x\"][\"text\"]"));
    desk.run_job().exits(0);
    assert_eq!(desk.sql("SELECT length(json_extract(value, '$.text')) FROM all_runs"), ["6000000"]);
}

#[test]
fn its_program_and_files_count_for_reuse() {
    let desk = desk(
        "def answer(task):\n    open('calls', 'a').write('1\\n')\n    return 1\n",
        "inputs = [\"own.py\"]",
        "values = [1, 2]",
    );
    desk.run_job().exits(0);
    assert_eq!(desk.calls().len(), 2);
    desk.run_job().exits(0);
    assert_eq!(desk.calls().len(), 0);
    let worker = std::fs::read_to_string(desk.path("worker.py")).unwrap();
    desk.write("worker.py", &(worker.clone() + "# changed\n"));
    assert!(desk.run_job().exits(2).stderr.contains("worker.py has changed"));
    desk.write("worker.py", &worker);
    let text = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &text.replace("\"worker.py\"]", "\"worker.py\", \"-v\"]"));
    assert!(desk.run_job().exits(2).stderr.contains("crunch has changed from `serve"));
}

#[test]
fn job_files_that_are_wrong_are_refused() {
    for (crunch, says) in [
        ("serve = [\"python3\", \"{x}\"]", "no placeholders"),
        (
            "serve = [\"python3\", { if = \"x < 3\", then = \"a\" }]",
            "no placeholders and no conditions",
        ),
        ("serve = []", "a program and its arguments"),
        ("serve = \"worker.py\"", "expected an array"),
        ("serve = [\"python3\"]\nload = \"fit.py:load\"", "expected true or false"),
        ("serve = [\"python3\"]\nload = true\ndata = \"y\"", "there is no loop 'y'"),
        ("serve = [\"python3\"]\ninterpreter = \"python3\"", "no key here"),
        ("server = [\"python3\"]", "did you mean 'serve'?"),
    ] {
        let text = format!("[crunch]\n{crunch}\n[[loop]]\nname = \"x\"\nvalues = [1]\n");
        let ran = Desk::with_job(&text).run_job().exits(2);
        assert!(ran.stderr.contains(says), "{crunch}: {}", ran.stderr);
    }
}

#[test]
fn a_final_function_is_a_worker_too() {
    let own = r#"
def load(point):
    return [point]
def answer(task):
    if "summary" in task:
        path = os.path.join(task["folder"], "best.txt")
        open(path, "w").write(str(task["points"]["y"]))
        return {"best": task["summary"]["score"], "data": data[task["data"]], "held": len(data)}
    return data[task["data"]][0] * task["points"]["y"]
"#;
    let desk = desk(own, "load = true", "values = [1, 2]");
    let job =
        std::fs::read_to_string(desk.path("job.toml")).unwrap().replace("reduce = \"all\"\n", "");
    let rest = "[[loop]]\nname = \"y\"\nvalues = [3, 4]\nreduce = \"max\"\n[final]\nserve = [\"python3\", \"worker.py\"]\n";
    desk.write("job.toml", &(job + rest));
    let ran = desk.run_job().exits(0);
    let finals: Vec<_> = ran.groups().iter().map(|group| group["final"].clone()).collect();
    let found = json!(finals).to_string();
    assert!(found.contains(r#""best":4.0,"data":[1],"held":1"#), "{found}");
    assert!(found.contains(r#""best":8.0,"data":[2],"held":1"#), "{found}");
    assert_eq!(std::fs::read_to_string(desk.path("out/final/x=1/best.txt")).unwrap(), "4");
    // Nothing has changed, so that no call is made again.
    desk.write("own.py", "raise SystemExit(9)");
    let again = desk.run(gridmpi(), &["job.toml", "--out", "out", "--keep"]);
    assert_eq!(
        again.code, 2,
        "a worker that does not start is refused all the same: {}",
        again.stderr
    );
}

#[test]
fn serve_test_says_what_a_worker_does_wrong() {
    let good = desk("HELLO = {\"version\": 1}\n", "", "values = [1]");
    let passes = |more: &[&str]| {
        let mut ran = None;
        let words = [&["serve-test"], more, &["python3", "worker.py"]].concat();
        assert!(
            in_a_try(|| ran.insert(good.run(gridmpi(), &words)).code == 0),
            "{}",
            ran.unwrap().stdout
        );
        ran.unwrap().stdout
    };
    let said = passes(&[]);
    for line in [
        "ok     hello",
        "ok     task",
        "result 1",
        "-      cancel",
        "ok     bye",
        "ok     the end of the requests",
    ] {
        assert!(said.contains(line), "{line:?} is not in:\n{said}");
    }
    assert!(!said.contains("WRONG"), "{said}");
    assert!(passes(&["--load", "x", "--points", "{\"x\": 1}"]).contains("ok     load"));
    for (own, name, says) in [
        ("HELLO = {\"version\": 7}", "hello", "gridmpi speaks 1, it speaks 7"),
        ("def answer(task):\n    os._exit(3)", "task", "exit status: 3"),
        (
            "import random\ndef answer(task):\n    return random.random()",
            "the same task again",
            "and then",
        ),
        (
            "def answer(task):\n    if 'x' not in task['points']: os._exit(4)\n    return 1",
            "an impossible task",
            "exit status: 4",
        ),
        (
            "def answer(task):\n    if len(str(task)) > 100000: os._exit(5)\n    return 1",
            "a long line",
            "exit status: 5",
        ),
        (
            "import time\ndef answer(task):\n    if not os.path.exists('slept'):\n        open('slept', 'w').close()\n        time.sleep(99)\n    return 1",
            "task",
            "no answer",
        ),
        // The ninth task is the one that is cancelled: its answer comes after the cancel.
        (
            "HELLO = {\"version\": 1, \"cancel\": True}\ncalls = []\ndef answer(task):\n    calls.append(task)\n    if len(calls) == 9 and json.loads(next(requests))['type'] != 'cancel': os._exit(6)\n    return 1",
            "cancel",
            "ends the call",
        ),
    ] {
        good.write("own.py", own);
        let mut ran = None;
        let code = if says == "ends the call" { 0 } else { 100 };
        let is_as_expected = in_a_try(|| {
            let _ = std::fs::remove_file(good.path("slept"));
            let words = ["serve-test", "--timeout", "5", "python3", "worker.py"];
            let ran = ran.insert(good.run(gridmpi(), &words));
            let is_named = |line: &&str| line.get(7..).is_some_and(|rest| rest.starts_with(name));
            let line = ran.stdout.lines().find(is_named);
            let from = line.map(|line| &ran.stdout[ran.stdout.find(line).unwrap()..]);
            from.is_some_and(|from| from.contains(says)) && ran.code == code
        });
        let ran = ran.unwrap();
        assert!(is_as_expected, "{name}, {}: {}", ran.code, ran.stdout);
    }
    let none = good.run(gridmpi(), &["serve-test", "no-such-program"]).exits(2);
    assert!(none.stderr.contains("is not on PATH"), "{}", none.stderr);
    let silent = good.run(gridmpi(), &["serve-test", "--timeout", "0.5", "sleep", "99"]).exits(100);
    assert!(silent.stdout.contains("has not said hello"), "{}", silent.stdout);
}

#[test]
fn the_example_in_octave_passes_serve_test_and_loses_no_bit() {
    let octave = std::process::Command::new("octave").arg("--version").output();
    if octave.is_err() {
        eprintln!(
            "SKIPPED: octave is not installed (it is large, so scripts/setup does not install it)"
        );
        return;
    }
    let desk = Desk::new();
    let worker = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/workers/octave.m");
    let text = std::fs::read_to_string(worker).unwrap();
    desk.write("octave.m", &text);
    let command = ["octave", "--quiet", "--no-window-system", "octave.m"];
    let said = desk.says(&[&["serve-test", "--timeout", "60"][..], &command].concat());
    assert!(!said.contains("WRONG") && said.contains("ok     task"), "{said}");
    desk.write("octave.m", &text.replace("points.x ^ 2", "points.x"));
    let numbers = [123456789.12345679, 0.30000000000000004, 5e-324, 1.7976931348623157e308];
    let serve = command.map(|word| format!("{word:?}")).join(", ");
    desk.write(
        "job.toml",
        &format!("[crunch]\nserve = [{serve}]\n[[loop]]\nname = \"x\"\nvalues = {numbers:?}\nreduce = \"all\"\n"),
    );
    let value = desk.run_job().exits(0).value();
    let scores: Vec<_> = (0..4).map(|at| value[at]["score"].as_f64().unwrap()).collect();
    assert_eq!(scores, numbers);
}

#[test]
fn each_task_has_a_folder_of_its_own() {
    let own = "
def answer(task):
    folder = task['workdir']
    assert os.listdir(folder) == []
    with open(os.path.join(folder, 'out'), 'w') as file:
        file.write(str(task['points']['x']))
    return {'score': task['points']['x'], 'unit': os.environ['UNIT']}
";
    let crunch = "env = { UNIT = \"mm\" }\nworkdir = { keep = \"all\" }";
    let desk = desk(own, crunch, "values = [1, 2, 3]");
    desk.run(mpirun(3), &["job.toml", "--out", "out"]).exits(0);
    let rows = "SELECT x || ' ' || (value ->> 'unit') || ' ' || workdir FROM all_runs ORDER BY x";
    assert_eq!(desk.sql(rows), ["1 mm runs/x=1", "2 mm runs/x=2", "3 mm runs/x=3"]);
    assert_eq!(std::fs::read_to_string(desk.path("out/runs/x=2/out")).unwrap(), "2");
}
