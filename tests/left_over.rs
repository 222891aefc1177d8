//! What an attempt of a command leaves behind: processes, and what stands where its result should be.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Desk, gridmpi};

fn desk(script: &str, more: &str, points: &str) -> Desk {
    let desk = Desk::with_job(&format!(
        "[crunch]\ncommand = [\"./fit\", \"{{x}}\"]\nrequire = 0.1\n{more}\n\
         [[loop]]\nname = \"x\"\nvalues = {points}\nreduce = \"max\"\n"
    ));
    desk.script("fit", script);
    desk
}

fn on_one_thread(desk: &Desk) -> common::Ran {
    desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out"])
}

/// Whether the processes whose PIDs are in this file have ended.
fn has_ended(file: &Path) -> bool {
    let pids = std::fs::read_to_string(file).unwrap();
    pids.lines().all(|pid| !Path::new("/proc").join(pid.trim()).exists())
}

/// Each starts a process that would write to the result file of its attempt, later than any of them is held up.
const LEAVE: &str = r#"
later='echo $$ > pid.$0; sleep 20; mkdir -p "${2%/*}"; echo 100 > "$2"; touch lived.$0; sleep 600'
case $1 in
1) sh -c "$later" 1 - "$GRIDMPI_RESULT" >/dev/null 2>&1 & ;;
2) setsid sh -c "$later" 2 - "$GRIDMPI_RESULT" >/dev/null 2>&1 & ;;
3) env -i PATH="$PATH" setsid sh -c "$later" 3 - "$GRIDMPI_RESULT" >/dev/null 2>&1 & ;;
4) sh -c 'setsid sh -c "$0" 4 - "$1" >/dev/null 2>&1 & exit 0' "$later" "$GRIDMPI_RESULT" ;;
esac
until [ "$1" = 9 ] || [ -s pid.$1 ]; do sleep 0.01; done
"#;

#[test]
fn what_an_attempt_leaves_running_is_ended_with_it() {
    // The last one fails unless they end while it runs: with their attempts, and not with gridmpi.
    let ends = "for left in $(cat left); do until [ -s pid.$left ]; do sleep 0.01; done
        for i in $(seq 600); do [ -e /proc/$(cat pid.$left) ] || continue 2; sleep 0.1; done; exit 1; done";
    let script = format!("#!/bin/bash\n{LEAVE}\nif [ $1 = 9 ]; then\n{ends}\nfi\necho $1\n");
    for threads in ["1", "4"] {
        let desk = desk(&script, "", "[1, 2, 3, 4, 9]");
        // One that has dropped its environment too may be of any attempt that runs beside it.
        desk.write("left", if threads == "1" { "1 2 3 4" } else { "1 2 4" });
        let ran = desk.run(gridmpi(), &["job.toml", "--threads", threads, "--out", "out"]);
        ran.exits(0);
        let scores = desk.sql("SELECT score FROM all_runs ORDER BY x");
        assert_eq!(scores, ["1.0", "2.0", "3.0", "4.0", "9.0"]);
        for left in 1..=4 {
            assert!(has_ended(&desk.path(&format!("pid.{left}"))), "{left} on {threads} threads");
            let lived = desk.path(&format!("lived.{left}")).exists();
            assert!(!lived || (left == 3 && threads != "1"), "{left} on {threads} threads");
        }
    }
}

#[test]
fn what_another_attempt_runs_meanwhile_stays() {
    // Task 1 waits for what it has started in a session of its own; the others come and go beside it.
    let script = r#"#!/bin/bash
if [ $1 = 1 ]; then
    setsid sh -c '(sleep 1; echo 1 > done) & echo begun > begun' > /dev/null 2>&1
    until [ -e done ]; do sleep 0.02; done
    cat done
else
    until [ -e begun ]; do sleep 0.01; done
    setsid sleep 600 > /dev/null 2>&1 &
    echo $1
fi
"#;
    let desk = desk(script, "timeout = 20", "[1, 2, 3, 4, 5, 6, 7, 8]");
    desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "out"]).exits(0);
}

#[test]
fn a_retry_begins_after_the_first_try_is_dead() {
    let script = r#"#!/bin/bash
if [ $GRIDMPI_ATTEMPT = 1 ]; then
    setsid sh -c 'echo $$ > pid; while :; do date +%N > alive; done' > /dev/null 2>&1 &
    until [ -s alive ]; do sleep 0.01; done
    exit 3
fi
before=$(cat alive); sleep 0.3
[ "$before" = "$(cat alive)" ] && echo 1
"#;
    let desk = desk(script, "retries = 1", "[1]");
    on_one_thread(&desk).exits(0);
    assert!(has_ended(&desk.path("pid")));
}

#[test]
fn a_time_limit_ends_what_has_left_its_group() {
    let script = r#"#!/usr/bin/env python3
import os, subprocess, time
os.setpgid(0, os.getpgid(os.getppid()))
subprocess.Popen(["sh", "-c", "echo $$ >> pid; sleep 600"], start_new_session=True)
time.sleep(600)
"#;
    // One try that is held up may not come as far as to start it.
    let desk = desk(script, "timeout = 1.5\nretries = 2", "[1]");
    let begin = Instant::now();
    on_one_thread(&desk).exits(100);
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    assert!(has_ended(&desk.path("pid")));
    let errors = desk.sql("SELECT error FROM all_runs");
    assert!(errors[0].contains("timed out: it took more than 1.5 s"), "{errors:?}");
}

#[test]
fn a_result_that_is_no_file_fails_its_run() {
    let script = r#"#!/bin/sh
case $1 in
1) mkfifo "$GRIDMPI_RESULT" ;;
2) mkdir "$GRIDMPI_RESULT" ;;
3) echo 5 > other; ln -s "$PWD/other" "$GRIDMPI_RESULT" ;;
4) truncate -s 10G "$GRIDMPI_RESULT" ;;
5) ln -s nowhere "$GRIDMPI_RESULT" ;;
6) echo 6 > "$GRIDMPI_RESULT" ;;
esac
echo 7
"#;
    let desk = desk(script, "", "[1, 2, 3, 4, 5, 6]");
    on_one_thread(&desk).exits(100);
    let errors = desk.sql("SELECT error FROM all_runs WHERE status = 'failed' ORDER BY x");
    let whys = ["is a named pipe", "is a folder", "is a link", "10737418240 bytes", "is a link"];
    assert_eq!(errors.len(), whys.len(), "{errors:?}");
    for (error, why) in errors.iter().zip(whys) {
        assert!(error.contains(why), "{why}: {errors:?}");
    }
    assert_eq!(desk.sql("SELECT score FROM all_runs WHERE x = 6"), ["6.0"]);
}

#[test]
fn each_attempt_has_an_empty_folder_and_a_result_file_of_its_own() {
    let script = r#"#!/bin/sh
echo $GRIDMPI_RESULT >> files
ls "${GRIDMPI_RESULT%/*}" | grep . && exit 1
case $1 in
2) touch "${GRIDMPI_RESULT%/*}/more" ;;
3) echo 3 > "$GRIDMPI_RESULT" ;;
7) rmdir "${GRIDMPI_RESULT%/*}" ;;
esac
echo $1
"#;
    let desk = desk(script, "", "[1, 2, 3, 4, 5, 6, 7, 8]");
    on_one_thread(&desk).exits(0);
    let files = std::fs::read_to_string(desk.path("files")).unwrap();
    let mut files: Vec<&str> = files.lines().collect();
    let folder = |file: &str| Path::new(file).parent().unwrap().to_path_buf();
    assert!(files.iter().all(|file| !folder(file).exists()), "{files:?}");
    assert_ne!(folder(files[1]), folder(files[2]));
    assert_ne!(folder(files[2]), folder(files[3]));
    files.sort_unstable();
    files.dedup();
    assert_eq!(files.len(), 8);
}

#[test]
fn a_program_may_start_and_await_processes_of_its_own() {
    let desk = desk(
        "#!/bin/bash\n(setsid sleep 0.1) & (setsid sleep 0.1 &) ; wait\necho $1\n",
        "",
        "[1, 2]",
    );
    on_one_thread(&desk).exits(0);
}

/// What a call of Python has started, in its child's group or in a session of its own, ends with the child.
#[test]
fn what_a_python_call_starts_ends_with_its_child() {
    for (end, says) in [("os._exit(3)", "exit status: 3"), ("time.sleep(600)", "timed out")] {
        let desk = Desk::with_job(
            "[crunch]\npython = \"fit.py:crunch\"\nretries = 1\ntimeout = 3.0\nrequire = 0.1\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\n",
        );
        let code = r#"
import os, subprocess, time
def lives(pid):
    try:
        return ") Z " not in open(f"/proc/{pid}/stat").read()
    except OSError:
        return False
def crunch(x):
    if x == 2:
        return float(sum(lives(pid) for pid in open("pids").read().split()))
    left = [subprocess.Popen(["sleep", "600"], start_new_session=own) for own in (False, True)]
    twice = subprocess.run(["sh", "-c", "setsid sleep 600 >&- 2>&- & echo $!"], stdout=-1).stdout.decode()
    with open("pids", "a") as file:
        print(*(child.pid for child in left), twice, file=file)
    END
"#;
        desk.write("fit.py", &code.replace("END", end));
        on_one_thread(&desk).exits(100);
        // Of two tries: one that is held up times out.
        let errors = desk.sql("SELECT error FROM failures WHERE key = 0").join("\n");
        assert!(errors.contains(says), "{errors}");
        assert_eq!(desk.sql("SELECT score FROM all_runs WHERE x = 2"), ["0.0"], "{end}");
    }
}
