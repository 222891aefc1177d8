//! Cluster file systems without locks or shared memory: one process alone uses the store, and nothing is
//! lost.

mod common;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Desk, gridmpi, preload};

/// The errors of lock calls: ENOLCK and ENOSYS. With 0, locks work and only shared memory is missing.
const LOCKS_FAIL: [&str; 3] = ["37", "38", "0"];

fn lockless(desk: &Desk, shim: &PathBuf, error: &str) -> Command {
    let mut command = gridmpi();
    command.env("LD_PRELOAD", shim).env("LOCKLESS", desk.path("out")).env("LOCKLESS_ERRNO", error);
    command
}

/// A job of 40 tasks; the last ones wait for a file `go`.
fn desk() -> Desk {
    Desk::with_job(
        "[crunch]\nshell = \"echo {x} >> started; until [ {x} -lt 30 ] || [ -e go ]; do sleep 0.02; done; echo {x}\"\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 40 }\nreduce = \"sum\"\n",
    )
}

/// The output of a subcommand that reads the folder on that file system.
fn look(desk: &Desk, shim: &PathBuf, error: &str, verb: &str) -> String {
    desk.run(lockless(desk, shim, error), &[verb, "out"]).exits(0).stdout
}

/// How many runs `best` has found.
fn stored(best: &str) -> u64 {
    let counted = best.split_once(" of 40 runs)").and_then(|(before, _)| before.rsplit_once(' '));
    counted.map_or(0, |(_, count)| count.parse().unwrap())
}

fn whole(desk: &Desk) {
    assert_eq!(desk.sql("SELECT count(*), sum(score) FROM all_runs"), ["40|780.0"]);
    assert_eq!(desk.sql("SELECT value FROM job WHERE key = 'state'"), ["complete"]);
}

#[test]
fn the_shim_takes_locks_and_shared_memory_away() {
    let desk = desk();
    let shim = preload(&desk, "lockless");
    desk.write("out/any", "");
    let script = "import fcntl, mmap, sys\nfile = open('out/any', 'r+b')\nfile.write(b'x' * 4096)\nfile.flush()\n\
        for call in (lambda: fcntl.flock(file, fcntl.LOCK_EX), lambda: fcntl.lockf(file, fcntl.LOCK_EX), lambda: mmap.mmap(file.fileno(), 4096)):\n    \
        try:\n        call()\n        print('works')\n    except OSError as error:\n        print(error.errno)\n";
    desk.write("try.py", script);
    for (error, expected) in [("37", "37\n37\n19\n"), ("0", "works\nworks\n19\n")] {
        let mut python = Command::new("python3");
        let out = desk.path("out").canonicalize().unwrap();
        python.env("LD_PRELOAD", &shim).env("LOCKLESS", out).env("LOCKLESS_ERRNO", error);
        assert_eq!(desk.run(python, &["try.py"]).exits(0).stdout, expected);
    }
}

#[test]
fn a_run_and_a_supervised_one_are_complete() {
    for error in LOCKS_FAIL {
        let desk = desk();
        desk.write("go", "");
        let shim = preload(&desk, "lockless");
        let run = ["job.toml", "--out", "out", "--threads", "2", "--format", "json"];
        let ran = desk.run(lockless(&desk, &shim, error), &run).exits(0);
        assert_eq!(ran.stderr.contains("no locks here"), error != "0", "{}", ran.stderr);
        assert_eq!(ran.score(), 780.0);
        whole(&desk);
        let again = ["launch", "-n", "3", "job.toml", "--out", "out"];
        let ran = desk.run(lockless(&desk, &shim, error), &again).exits(0);
        assert!(ran.stderr.contains("40 of 40 runs reused"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("starting it again"), "{}", ran.stderr);
        whole(&desk);
        let status = look(&desk, &shim, error, "status");
        assert!(status.contains("job: complete\n40 of 40 runs"), "{status}");
        assert!(look(&desk, &shim, error, "best").contains("\n39"), "{error}");
    }
}

#[test]
fn parts_of_a_job_cannot_take_turns() {
    let desk = desk();
    let shim = preload(&desk, "lockless");
    let part = ["launch", "-n", "2", "job.toml", "--out", "out", "--part", "1/2"];
    let refused = desk.run(lockless(&desk, &shim, "37"), &part).exits(2).stderr;
    assert!(refused.contains("no locks, by which the parts of a job take turns"), "{refused}");
    assert!(!desk.path("started").exists());
}

#[test]
fn what_was_killed_goes_on() {
    for error in LOCKS_FAIL {
        let desk = desk();
        let shim = preload(&desk, "lockless");
        let run = ["job.toml", "--out", "out", "--threads", "2", "--format", "json"];
        let mut command = lockless(&desk, &shim, error);
        command.args(run).current_dir(desk.path("")).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let begin = Instant::now();
        let started =
            || std::fs::read_to_string(desk.path("started")).unwrap_or_default().lines().count();
        while started() < 31 {
            assert!(begin.elapsed() < Duration::from_secs(60), "it does not get on");
            std::thread::sleep(Duration::from_millis(10));
        }
        let status = look(&desk, &shim, error, "status");
        assert!(status.contains("job: running, rank 0 is process"), "{status}");
        // All but one batch of what has ended gets stored, however long that takes.
        let mut best = String::new();
        while stored(&best) < 30 - 6 {
            assert!(begin.elapsed() < Duration::from_secs(60), "{best}");
            best = look(&desk, &shim, error, "best");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let log = std::fs::metadata(desk.path("out/runs.sqlite-wal")).unwrap();
        assert!(log.len() > 0, "there is a log to go on with");
        // Without locks, only its silence shows that it has died.
        let (died, mut status) = (Instant::now(), String::new());
        while !status.contains("job: HAS DIED") {
            assert!(died.elapsed() < Duration::from_secs(120), "{status}");
            status = look(&desk, &shim, error, "status");
        }
        assert!(status.contains(" runs are stored; start it again to go on"), "{status}");
        desk.write("go", "");
        let ran = desk.run(lockless(&desk, &shim, error), &run).exits(0);
        assert!(ran.stderr.contains("of 40 runs reused"), "{}", ran.stderr);
        assert_eq!(ran.score(), 780.0);
        whole(&desk);
        // No more are repeated than were not stored, and the two that waited.
        assert!(started() <= 40 + 6 + 2, "{}", started());
    }
}
