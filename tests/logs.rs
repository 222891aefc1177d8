//! What runs print: kept for those that fail or for all, printed by `gridmpi log`, and followed while they run.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use common::{Desk, gridmpi, mpirun, peak, sql_rows, wait_until};

fn desk(crunch: &str, points: &str) -> Desk {
    let job = format!(
        "[crunch]\n{crunch}\n[[loop]]\nname = \"x\"\nvalues = {points}\nreduce = \"sum\"\n"
    );
    Desk::with_job(&job)
}

/// What `gridmpi log` prints of a task, as bytes, and what it says besides.
fn log(desk: &Desk, arguments: &[&str]) -> (Vec<u8>, String) {
    let mut command = gridmpi();
    command.args(["log", "out"]).args(arguments).current_dir(desk.path(""));
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    (output.stdout, said)
}

/// The same as text; nothing may be said besides.
fn text(desk: &Desk, arguments: &[&str]) -> String {
    let (printed, said) = log(desk, arguments);
    assert_eq!(said, "", "{arguments:?}");
    String::from_utf8(printed).unwrap()
}

/// Why nothing is printed.
fn why(desk: &Desk, arguments: &[&str]) -> String {
    let (printed, said) = log(desk, arguments);
    assert!(printed.is_empty(), "{arguments:?}");
    said
}

#[test]
fn a_failed_run_has_its_whole_output() {
    let line = "shell = 'seq 1 9000; echo {x} is bad >&2; test {x} -ne 2 && echo {x}'";
    for mpi in [false, true] {
        let desk = desk(line, "[1, 2, 3]");
        let command = if mpi { mpirun(3) } else { gridmpi() };
        desk.run(command, &["job.toml", "--out", "out"]).exits(100);
        let all: String = (1..=9000).map(|i| format!("{i}\n")).collect();
        assert!(text(&desk, &["1"]) == format!("{all}2 is bad\n"));
        assert_eq!(text(&desk, &["x=2"]), text(&desk, &["1"]));
        let why = why(&desk, &["x=3"]);
        for says in ["attempt 1 at task 2 (ok) is not kept", "logs = \"failed\"", "logs = \"all\""]
        {
            assert!(why.contains(says), "{why}");
        }
        let explained = desk.says(&["explain", "out", "1"]);
        assert!(explained.contains("log out 1"), "{explained}");
        assert!(!desk.says(&["explain", "out", "2"]).contains("log out"));
    }
}

#[test]
fn each_attempt_has_its_own() {
    let line = "shell = 'echo try $GRIDMPI_ATTEMPT of {x}; if test {x} -eq 2 && test $GRIDMPI_ATTEMPT -lt 3; then exit 1; fi; echo {x}'\nretries = 2";
    let desk = desk(line, "[1, 2]");
    desk.run_job().exits(0);
    assert_eq!(text(&desk, &["1", "--attempt", "1"]), "try 1 of 2\n");
    assert_eq!(text(&desk, &["1", "--attempt", "2"]), "try 2 of 2\n");
    assert!(why(&desk, &["1"]).contains("attempt 3 at task 1 (ok) is not kept"));
    let none = desk.run(gridmpi(), &["log", "out", "1", "--attempt", "4"]).exits(2);
    assert!(none.stderr.contains("no attempt 4 (there are: 1, 2, 3)"), "{}", none.stderr);
    let none = desk.run(gridmpi(), &["log", "out", "7"]).exits(2);
    assert!(none.stderr.contains("7"), "{}", none.stderr);
}

#[test]
fn what_is_printed_comes_back_byte_for_byte() {
    let desk = desk("command = [\"./print.sh\", \"{x}\"]\nlogs = \"all\"", "[1, 3]");
    let script =
        "#!/bin/sh\nprintf '\\377\\000\\033[31m '$1'\\r\\n' >&2; test $1 -ne 3 && echo $1\n";
    desk.script("print.sh", script);
    desk.run_job().exits(100);
    assert_eq!(log(&desk, &["1"]).0, b"\xff\0\x1b[31m 3\r\n");
    let of_both = [&b"\xff\0\x1b[31m 1\r\n"[..], b"1\n"];
    let (printed, _) = log(&desk, &["0"]);
    // The two pipes may be read in either order.
    assert!(printed == of_both.concat() || printed == [of_both[1], of_both[0]].concat());
}

#[test]
fn logs_change_no_result() {
    let crunch = |logs: &str| {
        format!(
            "[crunch]\nshell = 'echo {{x}} >> calls; echo hello {{x}} >&2; echo {{x}}'\n{logs}\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\nreduce = \"sum\"\n"
        )
    };
    let desk = Desk::with_job(&crunch(""));
    desk.run_job().exits(0);
    assert_eq!(desk.calls().len(), 2);
    for logs in ["logs = \"all\"", "logs = \"none\"", ""] {
        desk.write("job.toml", &crunch(logs));
        desk.run_job().exits(0);
        assert_eq!(desk.calls().len(), 0, "{logs}");
    }
    // It is the start that has made a run that counts.
    assert!(why(&desk, &["0"]).contains("logs = \"failed\""));
    desk.write("job.toml", &crunch("logs = \"all\"").replace("[1, 2]", "[1, 2, 3]"));
    desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["3"]);
    assert!(text(&desk, &["2"]).contains("hello 3\n"));
    assert!(why(&desk, &["1"]).contains("is not kept"));
    let wrong = crunch("logs = \"al\"");
    desk.write("job.toml", &wrong);
    let refused = desk.run_job().exits(2);
    for says in ["job.toml:3", "crunch.logs", "did you mean \"all\""] {
        assert!(refused.stderr.contains(says), "{}", refused.stderr);
    }
}

#[test]
fn nothing_is_kept_where_nothing_is_wanted_or_printed() {
    let line = "shell = 'test {x} -ne 2 && echo {x} || { echo no; exit 1; }'";
    let none = desk(
        &format!("{line}\nlogs = \"none\"").replace("{ echo no; exit 1; }", "exit 1"),
        "[1, 2]",
    );
    none.run_job().exits(100);
    assert!(why(&none, &["1"]).contains("logs = \"none\""));
    let silent = desk("shell = 'exit {x}'", "[3]");
    silent.run_job().exits(100);
    assert!(why(&silent, &["0"]).contains("(failed) has printed nothing"));
    let rows = "SELECT count(*) FROM logs";
    assert_eq!((none.sql(rows), silent.sql(rows)), (vec!["0".into()], vec!["0".into()]));
    // A run that has not begun, in a job that has ended.
    let stopped = desk("shell = 'exit {x}'\non_failure = \"stop\"", "[3, 4, 5, 6, 7, 8]");
    stopped.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out"]).exits(100);
    for follow in [&["5"][..], &["5", "--follow"]] {
        let why = why(&stopped, follow);
        assert!(
            why.contains("task 5 has not run") || why.contains("at task 5 was recorded"),
            "{why}"
        );
    }
}

#[test]
fn a_flood_is_cut_in_the_middle() {
    let line = "shell = 'echo first {x} >&2; head -c 50000000 /dev/urandom >&2; echo last {x} >&2; echo {x}'\nlogs = \"all\"";
    let desk = desk(line, "[1, 2, 3]");
    let (_, peak) = peak(&desk, &["job.toml", "--threads", "2", "--out", "out"]);
    assert!(peak < 150, "{peak} MiB");
    let size = std::fs::metadata(desk.path("out/runs.sqlite")).unwrap().len();
    assert!(size < 4 << 20, "{size}");
    for task in ["0", "1", "2"] {
        let (printed, _) = log(&desk, &[task]);
        let shown = String::from_utf8_lossy(&printed);
        assert!(printed.len() < 530_000, "{}", printed.len());
        assert!(shown.starts_with("first") && shown.contains("last"), "task {task}");
        assert!(shown.contains("bytes between the beginning and the end are not kept"));
    }
    desk.run(mpirun(3), &["job.toml", "--out", "ranks"]).exits(0);
    let size = std::fs::metadata(desk.path("ranks/runs.sqlite")).unwrap().len();
    assert!(size < 4 << 20, "{size}");
}

const FIT: &str = r#"
import os, subprocess, sys, time

def crunch(kind, x):
    if kind == "silent":
        return float(x)
    if kind == "print" and x % 5 == 0:
        print("text", x)
    if kind == "system" and x % 5 == 1:
        subprocess.run(["echo", f"child of {x}"])
    if kind == "error" and x == 7:
        sys.stderr.write("a warning\n")
        raise ValueError("seven")
    if kind == "end" and x == 3:
        print("last words")
        os._exit(4)
    if kind == "slow" and x == 3:
        print("it takes long")
        time.sleep(60)
    return float(x)
"#;

#[test]
fn each_call_of_a_python_function_has_what_it_has_printed() {
    let kinds = ["silent", "print", "system", "error", "end", "slow"];
    for (logs, threads) in [("all", "1"), ("failed", "3")] {
        let job = format!(
            "[crunch]\npython = \"fit.py:crunch\"\nlogs = \"{logs}\"\ntimeout = 3\n[[loop]]\nname = \"kind\"\nvalues = {kinds:?}\n[[loop]]\nname = \"x\"\nrange = {{ from = 0, to = 20 }}\nreduce = \"sum\"\n"
        );
        let desk = Desk::with_job(&job);
        desk.write("fit.py", FIT);
        // A call that is held up for as long as the limit fails too; then all is done again.
        for _ in 0..3 {
            let fresh = ["job.toml", "--threads", threads, "--out", "out", "--fresh"];
            desk.run(gridmpi(), &fresh).exits(100);
            let failed = "SELECT count(*) FROM all_runs WHERE status = 'failed'";
            if desk.sql(failed) == ["3"] {
                break;
            }
        }
        let failed = [
            ("error", 7, "a warning\n".to_string()),
            ("end", 3, "last words\n".to_string()),
            ("slow", 3, "it takes long\n".to_string()),
        ];
        let mut expected = failed.to_vec();
        if logs == "all" {
            let of_five = |rest: usize| (0..20).filter(move |x| x % 5 == rest);
            expected.extend(of_five(0).map(|x| ("print", x, format!("text {x}\n"))));
            expected.extend(of_five(1).map(|x| ("system", x, format!("child of {x}\n"))));
        }
        assert_eq!(desk.sql("SELECT count(*) FROM logs"), [expected.len().to_string()]);
        for (kind, x, printed) in expected {
            let place = [format!("kind={kind}"), format!("x={x}")];
            assert_eq!(text(&desk, &[&place[0], &place[1]]), printed, "{place:?}");
        }
        let silent = if logs == "all" { "(ok) has printed nothing" } else { "is not kept" };
        assert!(why(&desk, &["kind=silent", "x=4"]).contains(silent));
    }
}

#[test]
fn output_of_many_short_calls_is_not_mixed_up() {
    let code = "def crunch(x):\n    if x % 3000 == 2999:\n        print('at', x)\n    if x in (6003, 6004):\n        print('bad', x)\n        raise ValueError(x)\n    return 1.0\n";
    for logs in ["all", "failed"] {
        let desk = Desk::with_job(&format!(
            "[crunch]\npython = \"fit.py:crunch\"\nlogs = \"{logs}\"\n[[loop]]\nname = \"x\"\nrange = {{ from = 0, to = 20000 }}\nreduce = \"count\"\n"
        ));
        desk.write("fit.py", code);
        desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out"]).exits(100);
        assert_eq!(text(&desk, &["6004"]), "bad 6004\n");
        let first = text(&desk, &["6003"]);
        match logs {
            "all" => {
                assert_eq!(first, "bad 6003\n");
                for x in ["2999", "5999", "17999"] {
                    assert_eq!(text(&desk, &[x]), format!("at {x}\n"));
                }
                assert_eq!(desk.sql("SELECT count(*) FROM logs"), ["8"]);
            }
            // What calls before it in the same moment have printed may be there too, and that is said.
            _ => {
                assert!(first.ends_with("bad 6003\n"), "{first}");
                let is_mixed = first.contains("at 5999");
                assert_eq!(is_mixed, first.starts_with("[gridmpi: this is of tasks"), "{first}");
                assert_eq!(desk.sql("SELECT count(*) FROM logs"), ["2"]);
            }
        }
    }
}

#[test]
fn r_and_workers_have_logs() {
    let r = desk("r = \"fit.R:crunch\"\nlogs = \"all\"", "[1, 2, 3]");
    r.write(
        "fit.R",
        "crunch <- function(x) { cat(\"cat\", x, \"\\n\"); if (x == 2) warning(\"careful\"); if (x == 3) stop(\"no\"); x }\n",
    );
    r.run_job().exits(100);
    assert_eq!(text(&r, &["0"]), "cat 1 \n");
    let second = text(&r, &["1"]);
    assert!(second.starts_with("cat 2 \n") && second.contains("careful"), "{second}");
    assert_eq!(text(&r, &["2"]), "cat 3 \n");

    let serve = desk("serve = [\"python3\", \"-u\", \"worker.py\"]\nlogs = \"all\"", "[1, 2, 3]");
    serve.write(
        "worker.py",
        r#"
import json, os
requests = open(os.environ["GRIDMPI_REQUESTS"])
answers = open(os.environ["GRIDMPI_ANSWERS"], "w", buffering=1)
print("before any task")
for line in requests:
    message = json.loads(line)
    if message["type"] == "hello":
        print(json.dumps({"type": "hello", "version": 1}), file=answers)
    elif message["type"] == "task":
        x = message["points"]["x"]
        print("task", x)
        if x == 2:
            os._exit(1)
        print(json.dumps({"type": "result", "id": message["id"], "value": x}), file=answers)
"#,
    );
    serve.run_job().exits(100);
    for (task, printed) in [("0", "task 1\n"), ("1", "task 2\n"), ("2", "task 3\n")] {
        assert_eq!(text(&serve, &[task]), printed);
    }
}

#[test]
fn logs_stay_with_their_runs() {
    let job = |points: &str, more: &str| {
        format!(
            "[crunch]\nshell = 'echo run of {{x}} >&2; echo {{x}}'\nlogs = \"all\"\n{more}[[loop]]\nname = \"x\"\nvalues = {points}\nreduce = \"sum\"\n"
        )
    };
    let desk = Desk::with_job(&job("[1, 2]", ""));
    desk.run_job().exits(0);
    let is_right = |out: &str, x: u32| {
        let mut command = gridmpi();
        command.args(["log", out, &format!("x={x}")]).current_dir(desk.path(""));
        let output = command.output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.contains(&format!("run of {x}\n")), "{out} {x}: {printed}");
    };
    // In front, where the rows stay; so many that they move; and in a store of its own.
    for points in ["[0, 1, 2]", "[7, 1, 8, 2, 0]"] {
        desk.write("job.toml", &job(points, ""));
        desk.run_job().exits(0);
        [0, 1, 2].iter().for_each(|x| is_right("out", *x));
    }
    let outer = "[[loop]]\nname = \"y\"\nvalues = [5]\nwas = 5\n";
    desk.write("job.toml", &job("[7, 1, 8, 2, 0]", outer));
    desk.run_job().exits(0);
    [7, 1, 8, 2, 0].iter().for_each(|x| is_right("out", *x));
    // Merged with another folder, whose workers have the same numbers.
    desk.write("job.toml", &job("[3, 4]", outer));
    desk.run(gridmpi(), &["job.toml", "--out", "other"]).exits(0);
    desk.run(gridmpi(), &["merge", "out", "other", "--out", "both"]).exits(0);
    [0, 1, 2, 3, 4, 7, 8].iter().for_each(|x| is_right("both", *x));
    desk.write("job.toml", &job("[7, 1, 8, 2, 0]", outer).replace("\"all\"", "\"failed\""));
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--fresh"]).exits(0);
    assert!(why(&desk, &["x=1"]).contains("is not kept"));
    assert_eq!(desk.sql("SELECT count(*) FROM logs"), ["0"]);
    is_right("out/earlier-1", 1);
}

#[test]
fn a_folder_of_an_earlier_gridmpi_says_so() {
    let desk = desk("shell = 'echo {x}'\nlogs = \"all\"", "[1]");
    desk.run_job().exits(0);
    desk.sql("DROP TABLE logs; DROP TABLE log_starts;");
    for follow in [&["0"][..], &["0", "--follow"]] {
        assert!(why(&desk, follow).contains("was made before logs were kept"));
    }
    assert!(!desk.says(&["explain", "out", "0"]).contains("log out"));
    let text_of_job = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &text_of_job.replace("[1]", "[1, 2]"));
    desk.run_job().exits(0);
    assert!(why(&desk, &["0"]).contains("was made before logs were kept"));
    assert_eq!(text(&desk, &["1"]), "2\n");
    // Damage is noticed.
    desk.sql("UPDATE logs SET gzip = zeroblob(length(gzip))");
    let damaged = desk.run(gridmpi(), &["log", "out", "1"]).exits(1);
    assert!(damaged.stderr.contains("damaged"), "{}", damaged.stderr);
}

#[test]
fn the_losing_copy_of_a_task_leaves_no_log() {
    let line = "shell = 'if test {x} = 3 && mkdir first 2>/dev/null; then echo loser; sleep 60; fi; echo winner; echo {x}'\nspeculate = true\nlogs = \"all\"";
    let desk = desk(line, "[1, 2, 3]");
    desk.run(mpirun(3), &["job.toml", "--out", "out"]).exits(0);
    assert_eq!(text(&desk, &["2"]), "winner\n3\n");
    assert_eq!(desk.sql("SELECT count(*) FROM logs"), ["3"]);
}

/// Ten lines, one after another, and then as many as `go` is awaited.
const SLOW: &str = "for i in 1 2 3; do echo line $i of {x}; done; until test -e go{x}; do sleep 0.1; done; echo the end of {x} >&2; test {x} -ne 2 && echo {x}";

#[test]
fn a_run_can_be_followed_from_elsewhere() {
    let desk = desk(&format!("shell = '{SLOW}'"), "[1, 2]");
    let mut job = mpirun(3);
    job.args(["job.toml", "--out", "out"]).current_dir(desk.path(""));
    let mut job = job.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the job runs", || desk.path("out/status.json").exists());
    let follow = |task: &str| {
        let mut command = gridmpi();
        command.args(["log", "out", task, "--follow"]).current_dir(desk.path(""));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (ok, failed, again) = (follow("0"), follow("1"), follow("1"));
    // Output comes while they run, to each of them.
    let begun = |mut follower: Child| {
        let mut lines = BufReader::new(follower.stdout.take().unwrap());
        let mut printed = String::new();
        while !printed.contains("line 3") {
            assert!(lines.read_line(&mut printed).unwrap() > 0, "it has ended: {printed}");
        }
        (follower, lines, printed)
    };
    let (ok, failed, again) = (begun(ok), begun(failed), begun(again));
    desk.write("go1", "");
    let ended = |(follower, mut lines, mut printed): (Child, BufReader<ChildStdout>, String)| {
        lines.read_to_string(&mut printed).unwrap();
        let output = follower.wait_with_output().unwrap();
        assert!(output.status.success());
        (printed, String::from_utf8(output.stderr).unwrap())
    };
    let (printed, said) = ended(ok);
    let lines = |x: u32| (1..=3).map(|i| format!("line {i} of {x}\n")).collect::<String>();
    let all = [lines(1), "the end of 1\n".to_string(), "1\n".to_string()];
    let is_all = |printed: &str| all.iter().all(|part| printed.contains(part.as_str()));
    assert!(is_all(&printed) && printed.len() == all.concat().len(), "{printed}");
    assert!(said.contains("attempt 1 at task 0 is ok"), "{said}");
    desk.write("go2", "");
    for follower in [failed, again] {
        let (printed, said) = ended(follower);
        assert_eq!(printed, format!("{}the end of 2\n", lines(2)));
        assert!(said.contains("attempt 1 at task 1 has failed"), "{said}");
    }
    assert_eq!(job.wait().unwrap().code(), Some(100));
    assert!(!desk.path("out/.follow").exists(), "nothing is left");
    // Of a run that is over, what is kept is printed.
    assert_eq!(text(&desk, &["1", "--follow"]), format!("{}the end of 2\n", lines(2)));
}

#[test]
fn a_python_call_and_a_flood_can_be_followed() {
    let desk = desk("python = \"fit.py:crunch\"", "[1, 2]");
    let code = "import os, time\ndef crunch(x):\n    print('begin', x)\n    for i in range(2000):\n        print('x' * 1000)\n    while not os.path.exists('go'):\n        time.sleep(0.1)\n    print('end', x)\n    return float(x)\n";
    desk.write("fit.py", code);
    let mut job = gridmpi();
    job.args(["job.toml", "--threads", "2", "--out", "out"]).current_dir(desk.path(""));
    let mut job = job.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the job runs", || desk.path("out/status.json").exists());
    let mut command = gridmpi();
    command.args(["log", "out", "x=2", "--follow"]).current_dir(desk.path(""));
    let follower = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("output comes", || desk.path("out/.follow/1.0").exists());
    desk.write("go", "");
    let output = follower.wait_with_output().unwrap();
    assert!(job.wait().unwrap().success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.starts_with("begin 2\n") && printed.ends_with("end 2\n"));
    assert!(printed.contains("bytes are left out here]"), "{}", printed.len());
    assert!(String::from_utf8(output.stderr).unwrap().contains("is ok"));
}

#[test]
fn whoever_follows_a_job_that_is_killed_is_told() {
    let desk = desk(&format!("shell = '{SLOW}'"), "[1, 2]");
    let mut job = gridmpi();
    job.args(["job.toml", "--threads", "2", "--out", "out"]).current_dir(desk.path(""));
    let mut job = job.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the job runs", || desk.path("out/status.json").exists());
    let mut command = gridmpi();
    command.args(["log", "out", "0", "--follow"]).current_dir(desk.path(""));
    let follower = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("output comes", || desk.path("out/.follow/0.0").exists());
    job.kill().unwrap();
    job.wait().unwrap();
    let output = follower.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("line 1 of 1\n"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the job has died") && said.contains("task 0"), "{said}");
    assert!(!desk.path("out/.follow").exists());
    // What a follower that was killed has left does no harm, and goes.
    std::fs::create_dir(desk.path("out/.follow")).unwrap();
    desk.write("out/.follow/0.0", "nonsense");
    desk.write("go1", "");
    desk.write("go2", "");
    desk.run_job().exits(100);
    assert!(!desk.path("out/.follow/0.0").exists());
}

#[test]
fn a_store_that_cannot_be_written_for_a_while_gets_its_logs() {
    let desk = desk("shell = 'echo of {x}; sleep 0.05; exit 1'", "[1, 2, 3, 4, 5, 6, 7, 8]");
    let mut job = gridmpi();
    job.args(["job.toml", "--threads", "1", "--out", "out"]).current_dir(desk.path(""));
    let mut job = job.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let store = desk.path("out/runs.sqlite");
    let count = || sql_rows(&store, "SELECT count(*) FROM runs")[0].parse::<u32>().unwrap_or(0);
    wait_until("a run is there", || store.exists() && count() > 0);
    let lock = "BEGIN IMMEDIATE; SELECT 1;\n.shell sleep 7\nCOMMIT;";
    let locked = Command::new("sqlite3")
        .arg(&store)
        .arg("-cmd")
        .arg(".timeout 5000")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    let mut locked = locked.unwrap();
    std::io::Write::write_all(&mut locked.stdin.take().unwrap(), lock.as_bytes()).unwrap();
    locked.wait().unwrap();
    assert_eq!(job.wait().unwrap().code(), Some(100));
    std::thread::sleep(Duration::from_millis(10));
    for x in 1..=8 {
        assert_eq!(text(&desk, &[&format!("x={x}")]), format!("of {x}\n"));
    }
}
