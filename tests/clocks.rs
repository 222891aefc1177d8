//! Hosts whose clocks are wrong: the times of runs are on rank 0's clock, and a batch job ends in time.

mod common;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Desk, Ran, gridmpi, mpirun_of, preload};

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// A job of `tasks` tasks, each of which takes a tenth of a second.
fn desk(tasks: u32) -> Desk {
    Desk::with_job(&format!(
        "[crunch]\nshell = \"echo {{x}} >> started; sleep 0.1; echo {{x}}\"\n\
         [[loop]]\nname = \"x\"\nrange = {{ from = 0, to = {tasks} }}\nreduce = \"sum\"\n"
    ))
}

/// `gridmpi launch` in a job of Slurm that began now and ends in `seconds`.
fn launch(desk: &Desk, seconds: f64) -> Command {
    let mut command = gridmpi();
    command.args(["launch", "-n", "2", "job.toml", "--out", "out", "--grace", "5"]);
    command.current_dir(desk.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("SLURM_JOB_ID", "1").env("SLURM_JOB_NODELIST", "here");
    command.env("SLURM_JOB_START_TIME", now().floor().to_string());
    command.env("SLURM_JOB_END_TIME", (now() + seconds).floor().to_string());
    command
}

/// Sends the warning of a time limit that is near, once some tasks have begun.
fn warn(desk: &Desk, child: &Child) {
    let begin = Instant::now();
    let started = || std::fs::read_to_string(desk.path("started")).unwrap_or_default();
    while started().lines().count() < 5 {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not get on");
        std::thread::sleep(Duration::from_millis(10));
    }
    let sent = Command::new("kill").args(["-USR1", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn times_of_runs_are_on_the_clock_of_rank_0() {
    let desk = desk(60);
    let shim = preload(&desk, "late_clock");
    let script = "#!/bin/sh\n[ \"$OMPI_COMM_WORLD_RANK\" != 1 ] || export LD_PRELOAD=\"$SHIM\" CLOCK_SHIFT=7200\n\
        exec \"$GRIDMPI\" \"$@\"\n";
    desk.script("on_hosts", script);
    let mut command = mpirun_of(3, &desk.path("on_hosts"));
    command.env("SHIM", &shim).env("GRIDMPI", env!("CARGO_BIN_EXE_gridmpi"));
    let begin = now();
    desk.run(command, &["job.toml", "--out", "out"]).exits(0);
    let end = now();
    // By as much as a hello takes to arrive, which may be seconds, the clock is told wrongly.
    let sql = format!(
        "SELECT count(*), count(DISTINCT rank), min(started) >= {begin} - 60, max(started) <= {end} + 60 FROM all_runs"
    );
    assert_eq!(desk.sql(&sql), ["60|2|1|1"]);
}

#[test]
fn a_job_on_a_host_whose_clock_is_behind_ends_in_time() {
    let desk = desk(900);
    let begin = Instant::now();
    let mut command = launch(&desk, 24.0);
    command.env("LD_PRELOAD", preload(&desk, "late_clock")).env("CLOCK_SHIFT", "-60");
    let ran = Ran::new(command.output().unwrap()).exits(75);
    assert!(begin.elapsed() < Duration::from_secs(60), "it relied on the clock: {}", ran.stderr);
    let said = ran.stderr.contains("s behind Slurm's, and is corrected by that");
    assert!(said && ran.stderr.contains("the time is over"), "{}", ran.stderr);
}

#[test]
fn a_warning_where_the_end_seems_far_ends_the_job_in_order() {
    let desk = desk(900);
    let child = launch(&desk, 7200.0).spawn().unwrap();
    warn(&desk, &child);
    let ran = Ran::new(child.wait_with_output().unwrap()).exits(75);
    assert!(ran.stderr.contains("the clock is not trusted"), "{}", ran.stderr);
}

#[test]
fn a_warning_near_the_known_end_is_no_news() {
    let desk = desk(30);
    let child = launch(&desk, 90.0).spawn().unwrap();
    warn(&desk, &child);
    let ran = Ran::new(child.wait_with_output().unwrap()).exits(0);
    assert!(!ran.stderr.contains("not trusted"), "{}", ran.stderr);
    assert_eq!(desk.sql("SELECT count(*) FROM all_runs"), ["30"]);
}
