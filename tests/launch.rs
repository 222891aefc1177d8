//! `gridmpi launch`: a rank or the launcher may die, and the job still completes.

mod common;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Desk, Ran, gridmpi, mpirun};

fn desk() -> Desk {
    Desk::with_job(
        "[crunch]\nshell = \"echo {x} >> started; sleep 0.1; echo {x}\"\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 60 }\nreduce = \"sum\"\n",
    )
}

fn launch(desk: &Desk, arguments: &[&str]) -> Child {
    let mut command = gridmpi();
    command.arg("launch").args(arguments).current_dir(desk.path(""));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn started(desk: &Desk) -> usize {
    std::fs::read_to_string(desk.path("started")).unwrap_or_default().lines().count()
}

fn wait_for_tasks(desk: &Desk, tasks: usize) {
    let begin = Instant::now();
    while started(desk) < tasks {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not get on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Kills the newest (`-n`) or the oldest (`-o`) process that matches.
fn kill(desk: &Desk, which: &str, pattern: &str) {
    // Only this test's processes: its out folder is in every command line.
    let pattern = format!("{pattern}.*{}", desk.path("out").display());
    let killed = Command::new("pkill").args(["-KILL", which, "-f", &pattern]).status().unwrap();
    assert!(killed.success(), "nobody to kill");
}

fn end(child: Child) -> Ran {
    Ran::new(child.wait_with_output().unwrap())
}

fn whole(desk: &Desk) {
    assert_eq!(desk.sql("SELECT count(*), sum(score) FROM all_runs"), ["60|1770.0"]);
    assert_eq!(desk.sql("SELECT value FROM job WHERE key = 'state'"), ["complete"]);
}

#[test]
fn a_worker_is_killed_and_the_others_do_its_tasks() {
    let desk = desk();
    let out = desk.path("out");
    let child = launch(&desk, &["-n", "4", "job.toml", "--out", out.to_str().unwrap()]);
    wait_for_tasks(&desk, 10);
    kill(&desk, "-n", "^[^ ]*gridmpi run");
    let ran = end(child).exits(0);
    assert!(ran.stderr.contains("its tasks go to others"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("starting it again"), "{}", ran.stderr);
    whole(&desk);
    // The killed worker's task had started, or was about to.
    assert!((60..=61).contains(&started(&desk)), "{} were started", started(&desk));
    let lost = "SELECT f.attempt, f.error LIKE 'rank % was lost while%', r.attempt, r.failed
                FROM failures f JOIN runs r ON r.task = f.task";
    assert_eq!(desk.sql(lost), ["1|1|2|0"]);
}

/// Signals all workers of this test: every rank but the first one started.
fn signal_workers(desk: &Desk, signal: &str) {
    let pattern = format!("^[^ ]*gridmpi run.*{}", desk.path("out").display());
    let found = Command::new("pgrep").args(["-f", &pattern]).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let workers: Vec<&str> = found.lines().skip(1).collect();
    assert_eq!(workers.len(), 2, "{found}");
    assert!(Command::new("kill").arg(signal).args(workers).status().unwrap().success());
}

#[test]
fn workers_that_are_all_suspended_for_a_while_are_waited_for() {
    let desk = desk();
    let out = desk.path("out");
    let child = launch(&desk, &["-n", "3", "job.toml", "--out", out.to_str().unwrap()]);
    wait_for_tasks(&desk, 10);
    signal_workers(&desk, "-STOP");
    std::thread::sleep(Duration::from_secs(14));
    signal_workers(&desk, "-CONT");
    let ran = end(child).exits(0);
    assert!(ran.stderr.contains("all workers have been silent for 1"), "{}", ran.stderr);
    assert!(ran.stderr.contains("a worker has come back"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("starting it again"), "{}", ran.stderr);
    whole(&desk);
}

#[test]
fn the_master_is_killed_and_the_job_is_complete_in_the_end() {
    let desk = desk();
    let out = desk.path("out");
    let child = launch(&desk, &["-n", "4", "job.toml", "--out", out.to_str().unwrap()]);
    wait_for_tasks(&desk, 10);
    kill(&desk, "-o", "^[^ ]*gridmpi run");
    let ran = end(child).exits(0);
    assert!(ran.stderr.contains("rank 0 ended before"), "{}", ran.stderr);
    assert!(ran.stderr.contains("starting it again"), "{}", ran.stderr);
    assert!(ran.stderr.contains("of 60 runs reused"), "{}", ran.stderr);
    whole(&desk);
}

#[test]
fn mpirun_is_killed_and_the_job_is_complete_in_the_end() {
    let desk = desk();
    let out = desk.path("out");
    let child = launch(&desk, &["-n", "3", "job.toml", "--out", out.to_str().unwrap()]);
    wait_for_tasks(&desk, 10);
    kill(&desk, "-n", "^mpirun ");
    end(child).exits(0);
    whole(&desk);
}

#[test]
fn a_signal_ends_it_and_a_second_launch_goes_on() {
    let desk = desk();
    let out = desk.path("out");
    let arguments = ["-n", "3", "job.toml", "--out", out.to_str().unwrap()];
    let child = launch(&desk, &arguments);
    wait_for_tasks(&desk, 10);
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let ran = end(child).exits(75);
    assert!(ran.stderr.contains("start it again to go on"), "{}", ran.stderr);
    let kept = desk.sql("SELECT count(*) FROM runs")[0].clone();
    let ran = end(launch(&desk, &arguments)).exits(0);
    assert!(ran.stderr.contains(&format!("{kept} of 60 runs reused")), "{}", ran.stderr);
    whole(&desk);
    assert_eq!(started(&desk), 60, "what was under way came to its end");
}

#[test]
fn it_gives_up_when_nothing_comes_of_it() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"kill -KILL $PPID\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\n",
    );
    let begin = Instant::now();
    let ran = end(launch(&desk, &["-n", "2", "job.toml"])).exits(1);
    assert!(begin.elapsed() < Duration::from_secs(150), "a dead worker is not waited for");
    assert!(ran.stderr.contains("3 starts in a row brought nothing new"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("starting it again").count(), 2, "{}", ran.stderr);
}

#[test]
fn it_exits_as_the_job_does_and_says_what_is_wrong() {
    let desk =
        Desk::with_job("[crunch]\nshell = \"exit {x}\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\n");
    end(launch(&desk, &["-n", "3", "job.toml"])).exits(100);
    let missing = end(launch(&desk, &["-n", "3", "nothing.toml"])).exits(2);
    assert!(missing.stderr.contains("nothing.toml: cannot be read"), "{}", missing.stderr);
    let launcher = end(launch(&desk, &["-n", "3", "job.toml", "--mpirun", "mpirunn"])).exits(2);
    assert!(launcher.stderr.contains("mpirunn cannot be started"), "{}", launcher.stderr);
    let refused = end(launch(&desk, &["-n", "3", "job.toml", "--", "--no-such-option"]));
    assert!(refused.code != 0 && refused.code != 100, "an earlier start's state is not this one's");
    // A start by hand resumes it as well.
    desk.run(mpirun(2), &["job.toml"]).exits(100);
}

/// A launcher that stays after its ranks have ended, as Open MPI 4 does when it has lost a host.
const STAYS: &str =
    "#!/bin/sh\n[ \"$1\" != --version ] || exec mpirun --version\nmpirun \"$@\"\nexec sleep 1000\n";

#[test]
fn a_launcher_that_does_not_end_is_put_down() {
    let desk = desk();
    desk.script("stays", STAYS);
    let run = ["-n", "4", "job.toml", "--out", "out", "--mpirun", "./stays"];
    let ran = end(launch(&desk, &run)).exits(0);
    assert!(ran.stderr.contains("but ./stays does not end: it is killed"), "{}", ran.stderr);
    whole(&desk);
}

#[test]
fn a_folder_that_cannot_be_had_is_refused_before_anything_starts() {
    let desk = desk();
    desk.write("file", "");
    let run = ["-n", "2", "job.toml", "--out", "file/out"];
    let ran = end(launch(&desk, &run)).exits(2);
    assert!(ran.stderr.contains("results folder file/out: cannot be made"), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
}
