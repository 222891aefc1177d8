//! A misbehaving crunch fails only its own run, and leaves no processes or files behind.

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Desk, gridmpi, mpirun, running, wait_until};

fn shell(line: &str, more: &str, values: &str) -> Desk {
    Desk::with_job(&format!(
        "[crunch]\nshell = '{line}'\n{more}\n[[loop]]\nname = \"x\"\nvalues = {values}\nreduce = \"sum\"\n"
    ))
}

#[test]
fn a_failed_run_is_tried_again_and_each_failure_is_kept() {
    let desk = shell(
        "test {x} != 2 -o $GRIDMPI_ATTEMPT = 3 && echo {x} || exit 7",
        "retries = 2",
        "[1, 2, 3]",
    );
    assert_eq!(desk.run_job().exits(0).score(), 6.0);
    assert_eq!(desk.sql("SELECT x, status, attempt FROM all_runs"), ["1|ok|1", "2|ok|3", "3|ok|1"]);
    let failures = desk.sql("SELECT key, attempt, substr(error, 1, 20) FROM failures");
    assert_eq!(failures, ["1|1|bash: exit status: 7", "1|2|bash: exit status: 7"]);

    let desk = shell("exit {x}", "retries = 3", "[0, 4]");
    desk.run_job().exits(100);
    assert_eq!(desk.sql("SELECT count(*), max(attempt) FROM failures WHERE key = 1"), ["4|4"]);
    assert_eq!(desk.sql("SELECT attempt, status FROM all_runs")[1], "4|failed");
    desk.run_job().exits(100);
    assert_eq!(desk.sql("SELECT attempt FROM all_runs WHERE x = 4"), ["8"], "attempts go on");
}

#[test]
fn where_nothing_is_kept_no_file_is_named() {
    let desk = shell("exit {x}", "", "[0, 4]");
    let ran = desk.run(gridmpi(), &["job.toml", "--no-store"]).exits(100);
    assert!(
        ran.stderr.contains("2 of 2 runs failed, 1 group is incomplete")
            && ran.stderr.contains("--no-store")
    );
    assert!(!ran.stderr.contains("runs.sqlite"), "{}", ran.stderr);
    assert!(!desk.path("results").exists());
}

#[test]
fn a_call_that_takes_too_long_is_ended_with_all_it_started() {
    // Tries that are held up have not come as far as others.
    let line = "test {x} = 1 || {{ trap \"echo TERM > termed; exit 1\" TERM; echo ready to sleep >&2; sleep 611 & sleep 612 & wait; }}; echo {x}";
    let desk = shell(line, "timeout = 1\nretries = 2", "[1, 2]");
    desk.run_job().exits(100);
    assert!(desk.path("termed").exists(), "TERM was enough");
    let error = desk.sql("SELECT error FROM failures WHERE key = 1").join(" ");
    assert!(error.contains("timed out: it took more than 1 s"), "{error}");
    assert!(error.contains("ready to sleep"), "the end of stderr: {error}");
    assert_eq!(desk.sql("SELECT status FROM all_runs"), ["ok", "failed"]);
    assert_eq!((running("sleep 611"), running("sleep 612")), (0, 0));

    let stubborn = "trap \"\" TERM; sleep 621; sleep 622; sleep 623; echo {x}";
    let desk = shell(stubborn, "timeout = 0.2", "[1]");
    desk.run_job().exits(100);
    assert_eq!((running("sleep 621"), running("sleep 622"), running("sleep 623")), (0, 0, 0));
}

#[test]
fn a_python_call_that_takes_too_long_costs_its_run_and_the_child_is_replaced() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"fit.py:crunch\"\ntimeout = 1\nretries = 1\n[[loop]]\nname = \"x\"\nvalues = [1, 2, 3, 4]\nreduce = \"sum\"\n",
    );
    desk.write(
        "fit.py",
        "import os, subprocess\ndef crunch(x):\n    if x == 2:\n        subprocess.run(['sleep', '631'])\n    return os.getpid()\n",
    );
    // Another call that is held up is ended too, and costs one more process.
    for _ in 0..3 {
        let fresh = ["job.toml", "--threads", "1", "--out", "out", "--fresh"];
        desk.run(gridmpi(), &fresh).exits(100);
        if desk.sql("SELECT count(*) FROM failures WHERE key != 1") == ["0"] {
            break;
        }
    }
    assert_eq!(
        desk.sql("SELECT error FROM all_runs WHERE x = 2"),
        ["timed out: it took more than 1 s"]
    );
    assert_eq!(desk.sql("SELECT count(*) FROM failures"), ["2"], "and was tried again");
    assert_eq!(desk.sql("SELECT count(DISTINCT score) FROM all_runs WHERE x != 2"), ["2"]);
    assert_eq!(running("sleep 631"), 0);
}

#[test]
fn nothing_is_left_when_gridmpi_is_killed() {
    let line = "setsid sleep 641 & sleep 642 & sleep 643; echo {x}";
    for start in [gridmpi as fn() -> Command, || mpirun(3)] {
        let desk = shell(line, "", "[1, 2]");
        let mut first = start();
        let struck = desk.path("struck").display().to_string();
        first.args(["job.toml", "--out", &struck]).current_dir(desk.path(""));
        let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let all = || ["sleep 641", "sleep 642", "sleep 643"].map(running);
        wait_until("all have started", || all() == [2, 2, 2]);
        // Kill all of gridmpi at once: ranks and mpirun.
        Command::new("pkill")
            .args(["-KILL", "-f", &format!("job.toml --out {struck}")])
            .status()
            .unwrap();
        first.wait().unwrap();
        wait_until("nothing is left", || all() == [0, 0, 0]);
    }
}

#[test]
fn too_many_failures_stop_the_job_and_a_second_start_goes_on() {
    for (limit, tried) in
        [("max_failures = 3", 4), ("max_failures = 0.1", 5), ("on_failure = \"stop\"", 1)]
    {
        let values = format!("{:?}", (1..=40).collect::<Vec<_>>());
        let desk = shell("test -e mended && echo 1 || exit 1", limit, &values);
        let stopped =
            desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out"]).exits(100);
        assert!(
            stopped.stderr.contains("stopped: ") && stopped.stderr.contains("start again"),
            "{}",
            stopped.stderr
        );
        assert_eq!(desk.sql("SELECT count(*) FROM runs"), [tried.to_string()], "{limit}");
        assert_eq!(desk.sql("SELECT value FROM job WHERE key = 'state'"), ["stopped"]);
        desk.write("mended", "");
        assert_eq!(desk.run_job().exits(0).score(), 40.0);
    }
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let refused = |more: &str, expected: &str| {
        let ran = shell("echo 1", more, "[1]").run_job().exits(2);
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
    };
    refused("timeout = 0", "job.toml:3: crunch.timeout: expected seconds, over 0, found 0");
    refused("retries = -1", "crunch.retries: expected at least 0, found -1");
    refused("max_failures = 1.5", "expected a count, or a fraction");
    refused("on_failure = \"go\"", "expected \"keep\" or \"stop\", found \"go\"");
    refused("max_failures = 1\non_failure = \"stop\"", "says the same as max_failures");
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\ntimeout = 1\n[[loop]]\nname = \"x\"\nvalues = [1]\n",
    );
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("only what runs in a process of its own"), "{}", ran.stderr);
}

#[test]
fn a_straggler_is_tried_elsewhere_and_its_first_call_is_ended() {
    let line = "test {x} != 3 -o $GRIDMPI_ATTEMPT = 2 || exec sleep 661; echo {x}";
    for start in [gridmpi as fn() -> Command, || mpirun(4)] {
        let desk = shell(line, "speculate = true", "[1, 2, 3, 4, 5, 6]");
        let begin = Instant::now();
        desk.run(start(), &["job.toml", "--out", "out", "--format", "json"]).exits(0);
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
        assert_eq!(desk.sql("SELECT attempt, score FROM all_runs WHERE x = 3"), ["2|3.0"]);
        assert_eq!(desk.sql("SELECT count(*) FROM failures"), ["0"]);
        assert_eq!(running("sleep 661"), 0);
    }
}

#[test]
fn a_retry_goes_to_another_worker() {
    let desk =
        shell("test $GRIDMPI_RANK = 1 && exit 7; echo {x}", "retries = 1", "[1, 2, 3, 4, 5, 6]");
    assert_eq!(desk.run_job().exits(0).score(), 21.0);
}

#[test]
fn a_builtin_in_a_process_of_its_own_can_be_ended() {
    let text = "[crunch]\nbuiltin = \"multiply\"\nsleep = 600\nisolate = true\ntimeout = 0.5\n\
        [[loop]]\nname = \"x\"\nvalues = [1, 2, 3]\n";
    for start in [gridmpi as fn() -> Command, || mpirun(3)] {
        let desk = Desk::with_job(text);
        desk.run(start(), &["job.toml", "--out", "out"]).exits(100);
        let errors = desk.sql("SELECT DISTINCT error FROM all_runs");
        assert_eq!(errors, ["timed out: it took more than 0.5 s"]);
        // Nothing is to be ended here, however long it takes.
        desk.write("job.toml", &text.replace("600", "0").replace("= 0.5", "= 60"));
        let ran = desk.run(start(), &["job.toml", "--out", "out", "--format", "csv"]).exits(0);
        assert_eq!(ran.stdout.lines().count(), 4, "{}", ran.stdout);
    }
}

/// The lines that a run has logged, without time and rank.
fn logged(stderr: &str) -> Vec<&str> {
    stderr.lines().filter_map(|line| line.split_once("] ").map(|(_, said)| said)).collect()
}

#[test]
fn the_terminal_says_why_runs_failed() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"fit.py:crunch\"\n\
         [[loop]]\nname = \"case\"\nvalues = [\"name\", \"none\", \"exit\", \"file\", \"nan\", \"key\", \"ok\"]\n\
         [[loop]]\nname = \"x\"\nvalues = [\"red\", \"green\", \"blue\"]\nreduce = \"max\"\n",
    );
    desk.write(
        "fit.py",
        "import sys, tempfile\n\
         def crunch(case, x):\n    \
             if case == 'name' and x == 'red':\n        return y\n    \
             if case == 'none':\n        return None\n    \
             if case == 'exit' and x == 'blue':\n        sys.exit('no licence')\n    \
             if case == 'file' and x != 'red':\n        open(tempfile.mktemp())\n    \
             if case == 'nan' and x == 'green':\n        return float('nan')\n    \
             if case == 'key':\n        {}[x]\n    \
             return 1.0\n",
    );
    for start in [gridmpi as fn() -> Command, || mpirun(3)] {
        let ran = desk.run(start(), &["job.toml", "--out", "my out", "--fresh"]).exits(100);
        let said = logged(&ran.stderr);
        assert!(
            said.iter().any(|line| line.starts_with("task ") && line.contains(" has failed: "))
        );
        let at = said.iter().position(|line| line.contains(" runs failed")).unwrap();
        assert_eq!(said[at], "11 of 21 runs failed, 6 groups are incomplete:");
        assert_eq!(
            said[at + 1],
            "  3 runs, first task 3 (case=none x=red): crunch returned None: expected a number or a record; is a `return` missing?"
        );
        assert_eq!(said[at + 2], "  3 runs, first task 15 (case=key x=red): KeyError: 'red'");
        let missing = "  2 runs, first task 10 (case=file x=green): FileNotFoundError: [Errno 2] No such file or directory: '";
        assert!(said[at + 3].starts_with(missing), "{}", said[at + 3]);
        assert_eq!(said[at + 4], "  3 runs with other messages");
        assert_eq!(
            said[at + 5],
            "gridmpi runs 'my out' --failed lists them; gridmpi explain 'my out' 3 tells all about task 3"
        );
        let listed = desk.says(&["runs", "my out", "--failed"]);
        assert_eq!(listed.lines().count(), 12, "{listed}");
        for message in [
            "NameError: name 'y' is not defined",
            "SystemExit: no licence (it called sys.exit",
            "the score is NaN",
        ] {
            assert_eq!(listed.matches(message).count(), 1, "{message}: {listed}");
        }
    }
}

#[test]
fn one_run_is_told_as_one() {
    let desk = shell(
        "test {x} = 1 && echo 1 || {{ echo no such file >&2; false; }}",
        "on_failure = \"stop\"",
        "[1, 2]",
    );
    let ran = desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out"]).exits(100);
    let said = logged(&ran.stderr);
    assert!(
        said.contains(&"task 1 (x=2) has failed: bash: exit status: 1: no such file"),
        "{said:?}"
    );
    assert!(
        said.contains(&"  1 run, task 1 (x=2): bash: exit status: 1: no such file"),
        "{said:?}"
    );
    assert!(ran.stderr.contains("stopped: 1 run failed, none is allowed"), "{}", ran.stderr);
}

#[test]
fn a_thousand_different_messages_are_counted() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"fit.py:crunch\"\n[[loop]]\nname = \"x\"\nrange = { from = 0, to = 1500 }\nreduce = \"sum\"\n",
    );
    // The commonest ones come last, when there are a thousand others.
    desk.write(
        "fit.py",
        "def crunch(x):\n    word = ''.join(chr(97 + int(d)) for d in str(x))\n    \
         raise ValueError(word if x < 1000 else f'row {x} is empty')\n",
    );
    let ran = desk.run_job().exits(100);
    let said = logged(&ran.stderr);
    assert!(
        said.contains(&"  500 runs, first task 1000 (x=1000): ValueError: row 1000 is empty"),
        "{said:?}"
    );
    assert!(said.contains(&"  998 runs with other messages"), "{said:?}");
}

#[test]
fn both_ends_of_output_are_kept() {
    let desk = Desk::with_job(
        "[crunch]\ncommand = [\"./fit\", \"{x}\"]\ntimeout = 1\nretries = 2\n[[loop]]\nname = \"x\"\nvalues = [1, 2, 3, 4, 5, 6, 7]\nreduce = \"max\"\n",
    );
    desk.script(
        "fit",
        "#!/bin/sh\ncase $1 in\n\
         1) echo reading; echo no memory >&2; exit 3;;\n\
         2) echo reading; exit 3;;\n\
         3) exit 3;;\n\
         4) echo warned >&2;;\n\
         5) echo begun; echo bye; echo warned >&2;;\n\
         6) echo begun; echo late >&2; exec sleep 681;;\n\
         7) echo begun; kill -ABRT $$;;\nesac\n",
    );
    desk.run_job().exits(100);
    // Of three tries each: one that is held up times out.
    let error = |x: u32, attempt: u32| {
        let which = format!("key = {} AND attempt = {attempt}", x - 1);
        desk.sql(&format!("SELECT error FROM failures WHERE {which}")).join("\n")
    };
    for (x, says) in (1..).zip([
        &["fit: exit status: 3\nthe end of its stdout:\nreading\nthe end of its stderr:\nno memory"][..],
        &["fit: exit status: 3\nit wrote nothing to stderr; the end of its stdout:\nreading"],
        &["fit: exit status: 3\nit wrote nothing to stdout and stderr"],
        &["no result: no result file, and nothing on stdout\nwarned"],
        &["neither a number nor JSON: \"bye\"", "the end of its stdout:\nbegun\nbye\nthe end of its stderr:\nwarned"],
        &["fit: timed out: it took more than 1 s\nthe end of its stdout:\nbegun\nthe end of its stderr:\nlate"],
        &["fit: signal: 6 (SIGABRT); it ended itself: a failed assertion", "the end of its stdout:\nbegun"],
    ]) {
        let errors = [1, 2, 3].map(|attempt| error(x, attempt));
        let is_told = |error: &String| says.iter().all(|says| error.contains(says));
        assert!(errors.iter().any(is_told), "{says:?}: {errors:?}");
    }
    assert_eq!(running("sleep 681"), 0);
}

#[test]
fn a_single_task_is_tried_again_and_no_other_one_runs() {
    let desk = shell("echo {x} >> calls; exit 1", "retries = 2", "[1, 2, 3]");
    let ran = desk.run(gridmpi(), &["job.toml", "--only", "1", "--threads", "1"]).exits(100);
    assert!(ran.stderr.contains("task 1 failed: bash: exit status: 1"), "{}", ran.stderr);
    assert_eq!(desk.calls(), ["2", "2", "2"]);
}
