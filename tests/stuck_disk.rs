//! A disk that takes nothing for a while: rank 0 never waits for it. Tasks are handed out until the stated buffer is
//! full, and nothing is lost.

mod common;

use std::process::{Child, Command, Stdio};

use common::{Desk, gridmpi, mpirun, preload, wait_until};

/// Starts the job with a results folder on that disk.
fn start(desk: &Desk, mut command: Command, threads: &[&str]) -> Child {
    let root = desk.path("").canonicalize().unwrap();
    command
        .args(["job.toml", "--out", "out"])
        .args(threads)
        .env("LD_PRELOAD", preload(desk, "stuck_disk"))
        .env("SLOW", root.join("out"))
        .env("STUCK", root.join("stuck"))
        .current_dir(root)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// The number of tasks that have begun.
fn begun(desk: &Desk) -> usize {
    std::fs::read_to_string(desk.path("begun")).unwrap_or_default().lines().count()
}

fn state(desk: &Desk) -> String {
    let text = std::fs::read_to_string(desk.path("out/status.json")).unwrap_or_default();
    let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    status["state"].as_str().unwrap_or_default().to_string()
}

/// The runs that the store has, for a look from outside.
fn stored(desk: &Desk) -> String {
    desk.sql("SELECT count(*) FROM all_runs")[0].clone()
}

#[test]
fn tasks_are_handed_out_while_the_disk_takes_nothing() {
    for (command, threads) in [(gridmpi(), &["--threads", "2"][..]), (mpirun(3), &[])] {
        // The first task finds the store open, and the disk stops.
        let desk = Desk::with_job(
            "[crunch]\nshell = \"test {x} -gt 0 || touch stuck; echo {x} >> begun; echo {x}\"\n\
             [[loop]]\nname = \"y\"\nvalues = [1, 2, 3]\nreduce = \"sum\"\n\
             [[loop]]\nname = \"x\"\nrange = { from = 0, to = 50 }\nreduce = \"sum\"\n",
        );
        let mut child = start(&desk, command, threads);
        wait_until("all tasks have begun", || begun(&desk) == 150);
        // A second look: whoever has all results waits for the disk alone.
        wait_until("status.json is written", || !state(&desk).is_empty());
        assert!(desk.path("stuck").exists() && child.try_wait().unwrap().is_none());
        assert!(stored(&desk).parse::<usize>().unwrap() < 150, "the disk has taken them");
        std::fs::remove_file(desk.path("stuck")).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(desk.sql("SELECT count(*), sum(score) FROM all_runs"), ["150|3675.0"]);
        assert_eq!(desk.sql("SELECT score FROM groups WHERE level = 0"), ["3675.0"]);
    }
}

#[test]
fn no_task_is_handed_out_once_the_buffer_is_full() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"fit.py:fit\"\n[[loop]]\nname = \"x\"\nrange = { from = 0, to = 80 }\nreduce = \"sum\"\n",
    );
    let code = "def fit(x):\n    if x == 0: open('stuck', 'w').close()\n    \
        open('begun', 'a').write(f'{x}\\n')\n    return {'score': x, 'text': 'x' * (1 << 20)}\n";
    desk.write("fit.py", code);
    let mut child = start(&desk, gridmpi(), &["--threads", "2"]);
    wait_until("it pauses", || state(&desk) == "paused");
    // The buffer has 32 MiB; each worker may have had an assignment, and more of it may be at the writer.
    let paused = begun(&desk);
    assert!((32..80).contains(&paused), "{paused} of 80 have begun");
    std::fs::remove_file(desk.path("stuck")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(desk.sql("SELECT count(*), sum(score) FROM all_runs"), ["80|3160.0"]);
    assert_eq!(begun(&desk), 80, "no task was called twice");
}
