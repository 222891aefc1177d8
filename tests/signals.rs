//! Signals: no new tasks start, running ones get a grace period, the store is closed, and a second start
//! resumes.

mod common;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Desk, Ran, gridmpi, mpirun, wait_until};

/// A job of shell commands that take `sleep` seconds each.
fn desk(sleep: &str) -> Desk {
    Desk::with_job(&format!(
        "[crunch]\nshell = \"echo {{x}} >> started; sleep {sleep}; echo {{x}}\"\n\
         [[loop]]\nname = \"x\"\nrange = {{ from = 0, to = 30 }}\nreduce = \"sum\"\n"
    ))
}

fn start(desk: &Desk, mut command: Command, more: &[&str]) -> Child {
    command.args(["job.toml", "--out", "out"]).args(more).current_dir(desk.path(""));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    let started =
        || std::fs::read_to_string(desk.path("started")).unwrap_or_default().lines().count();
    while started() < 5 {
        assert!(begin.elapsed() < Duration::from_secs(30), "it does not get on");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

fn end(child: Child) -> (Ran, Duration) {
    let begin = Instant::now();
    (Ran::new(child.wait_with_output().unwrap()), begin.elapsed())
}

/// The pid of a rank of this test's job.
fn rank(desk: &Desk, rank: usize) -> u32 {
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let here = std::fs::read_link(entry.path().join("cwd"))
            .is_ok_and(|cwd| desk.path("").canonicalize().is_ok_and(|desk| cwd == desk));
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        let text = String::from_utf8_lossy(&environment);
        let of_rank = format!("OMPI_COMM_WORLD_RANK={rank}");
        if here && text.split('\0').any(|variable| variable == of_rank) {
            return entry.file_name().to_str().unwrap().parse().unwrap();
        }
    }
    panic!("rank {rank} is not there")
}

/// Resumes to the end; checks that no finished task was repeated.
fn goes_on(desk: &Desk) {
    let kept: u64 = desk.sql("SELECT count(*) FROM runs")[0].parse().unwrap();
    assert!((1..30).contains(&kept), "{kept}");
    let last = desk.run(gridmpi(), &["job.toml", "--out", "out", "--format", "json"]).exits(0);
    assert!(last.stderr.contains(&format!("{kept} of 30 runs reused")), "{}", last.stderr);
    assert_eq!(last.score(), 435.0);
}

#[test]
fn what_is_under_way_may_end_and_the_rest_is_left_for_a_second_start() {
    for name in ["INT", "TERM", "USR2"] {
        let desk = desk("0.3");
        let child = start(&desk, gridmpi(), &["--threads", "3"]);
        signal(name, child.id());
        let (ran, took) = end(child);
        let ran = ran.exits(75);
        assert!(took < Duration::from_secs(30), "{took:?}");
        for said in [&format!("SIG{name}: no new task is started"), "start it again to go on"] {
            assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
        }
        let started = std::fs::read_to_string(desk.path("started")).unwrap().lines().count();
        assert_eq!(
            desk.sql("SELECT count(*) FROM runs"),
            [started.to_string()],
            "none was cut off"
        );
        assert_eq!(desk.sql("SELECT value FROM job WHERE key = 'state'"), ["interrupted"]);
        goes_on(&desk);
    }
}

#[test]
fn what_is_signalled_before_gridmpi_is_left_to_do() {
    // Slurm signals every process of a job.
    let desk = || {
        Desk::with_job(
            "[crunch]\nshell = \"echo {x} >> started; sleep 0.05; if [ {x} = 9 ] && ! [ -e cut ]; then \
             echo $PPID > cut; kill -TERM $$; fi; echo {x}\"\n\
             [[loop]]\nname = \"x\"\nrange = { from = 0, to = 30 }\nreduce = \"sum\"\n",
        )
    };
    for (command, more) in [(gridmpi(), &["--threads", "2"][..]), (mpirun(3), &[])] {
        let desk = desk();
        let mut slurm = Command::new("sh");
        slurm.args([
            "-c",
            "until [ -s cut ]; do sleep 0.01; done; sleep 0.1; kill -TERM $(cat cut)",
        ]);
        let mut slurm = slurm.current_dir(desk.path("")).spawn().unwrap();
        let (ran, _) = end(start(&desk, command, more));
        assert!(slurm.wait().unwrap().success());
        assert!(ran.stderr.contains("SIGTERM: no new task is started"), "{}", ran.stderr);
        assert_eq!(desk.sql("SELECT count(*) FROM failures"), ["0"], "{}", ran.stderr);
        goes_on(&desk);
    }
}

#[test]
fn what_does_not_end_in_time_is_cut_off() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo {x} >> started; test {x} -lt 4 || sleep 651; echo {x}\"\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 30 }\nreduce = \"sum\"\n",
    );
    let child = start(&desk, gridmpi(), &["--threads", "2", "--grace", "0.5"]);
    signal("INT", child.id());
    let (ran, took) = end(child);
    assert!(ran.exits(75).stderr.contains("4 of 30 runs are in out"));
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(desk.sql("SELECT count(*) FROM failures"), ["0"], "cut off is not failed");
}

#[test]
fn a_second_signal_ends_at_once() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo {x} >> started; test {x} -lt 4 || sleep 652; echo {x}\"\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 30 }\nreduce = \"sum\"\n",
    );
    let child = start(&desk, gridmpi(), &["--threads", "2", "--grace", "600"]);
    signal("INT", child.id());
    std::thread::sleep(Duration::from_millis(500));
    signal("INT", child.id());
    let (ran, took) = end(child);
    assert!(ran.exits(75).stderr.contains("4 of 30 runs are in out"));
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn any_rank_or_mpirun_can_be_signalled() {
    for (whom, name) in [
        (Some(0), "USR2"),
        (Some(2), "USR2"),
        (Some(1), "INT"),
        (None, "USR2"),
        (None, "INT"),
        (None, "TERM"),
    ] {
        let desk = desk("0.2");
        let child = start(&desk, mpirun(4), &[]);
        match whom {
            Some(of) => signal(name, rank(&desk, of)),
            None => signal(name, child.id()),
        }
        let (ran, took) = end(child);
        assert!(took < Duration::from_secs(60), "{whom:?} {name}: {took:?}");
        assert!(ran.code != 0, "{whom:?} {name}: {}", ran.stderr);
        assert!(ran.stderr.contains("no new task is started"), "{whom:?} {name}: {}", ran.stderr);
        if whom.is_some() || name == "USR2" {
            let started = std::fs::read_to_string(desk.path("started")).unwrap().lines().count();
            let stored = desk.sql("SELECT count(*) FROM runs");
            assert_eq!(stored, [started.to_string()], "{whom:?} {name}: some were cut off");
            assert_eq!(ran.code, 75, "{whom:?} {name}: {}", ran.stderr);
            assert_eq!(desk.sql("SELECT value FROM job WHERE key = 'state'"), ["interrupted"]);
        }
        goes_on(&desk);
    }
}

/// The processes that have the test's folder as theirs.
fn processes(desk: &Desk) -> Vec<u32> {
    let folder = desk.path("").canonicalize().unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let here = entries.filter(|entry| {
        std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder)
    });
    here.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[test]
fn children_that_ignore_sigterm_end_with_a_job_of_which_every_process_is_signalled() {
    let shell = "#!/bin/sh\ntrap '' TERM\nseq 5 >> started\nwhile :; do sleep 600; done\n";
    let python = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                  def fit(x):\n    open('started', 'w').write('1\\n' * 5)\n    time.sleep(600)\n";
    for crunch in ["command = [\"./fit\", \"{x}\"]", "python = \"fit.py:fit\""] {
        for (command, more) in [(gridmpi(), &["--threads", "1"][..]), (mpirun(2), &[])] {
            let desk = Desk::with_job(&format!(
                "[crunch]\n{crunch}\n[[loop]]\nname = \"x\"\nvalues = [1]\nreduce = \"sum\"\n"
            ));
            desk.script("fit", shell);
            desk.write("fit.py", python);
            let child = start(&desk, command, &[more, &["--grace", "0.2"]].concat());
            let all = processes(&desk);
            assert!(all.len() > 2, "gridmpi, its guardian and its child: {all:?}");
            for process in all {
                let _ = Command::new("kill").args(["-TERM", &process.to_string()]).status();
            }
            let (ran, _) = end(child);
            let begin = Instant::now();
            while !processes(&desk).is_empty() {
                let left = processes(&desk);
                let waited = begin.elapsed() < Duration::from_secs(10);
                assert!(waited, "{crunch}: {left:?} are left: {}", ran.stderr);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

#[test]
fn a_rank_that_says_nothing_holds_up_no_refusal() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"f.py:crunch\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\nreduce = \"sum\"\n",
    );
    let code =
        "import time\nopen('importing', 'w')\ntime.sleep(2)\nraise ImportError('nothing here')\n";
    desk.write("f.py", code);
    let mut command = mpirun(3);
    command.args(["job.toml", "--out", "out"]).current_dir(desk.path(""));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    while !desk.path("importing").exists() {
        assert!(begin.elapsed() < Duration::from_secs(30), "it does not get on");
        std::thread::sleep(Duration::from_millis(10));
    }
    let silent = rank(&desk, 1);
    signal("STOP", silent);
    let (ran, took) = end(child);
    let _ =
        Command::new("kill").args(["-KILL", &silent.to_string()]).stderr(Stdio::null()).status();
    // mpirun has an exit code of its own where a rank ends without MPI_Finalize.
    assert!(ran.code != 0 && ran.stderr.contains("nothing here"), "{}", ran.stderr);
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[test]
fn with_recovery_no_worker_waits_for_a_rank_that_is_gone() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo $GRIDMPI_RANK >> started; while [ ! -e go-$GRIDMPI_RANK ]; do sleep 0.05; done; echo 1\"\n\
         [[loop]]\nname = \"x\"\nvalues = [1, 2]\nreduce = \"sum\"\n",
    );
    let mut command = mpirun(3);
    command.env("OMPI_MCA_orte_enable_recovery", "1");
    command.args(["job.toml", "--out", "out"]).current_dir(desk.path(""));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = || std::fs::read_to_string(desk.path("started")).unwrap_or_default();
    wait_until("both tasks run", || started().lines().count() == 2);
    // The first worker has nothing to do, and is suspended; the second one is dismissed before that is known.
    desk.write("go-1", "");
    std::thread::sleep(Duration::from_secs(1));
    let (silent, last) = (rank(&desk, 1), rank(&desk, 2));
    signal("STOP", silent);
    desk.write("go-2", "");
    let is_there = |pid: u32| {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state
            .rsplit(')')
            .next()
            .is_some_and(|rest| !matches!(rest.trim().get(..1), None | Some("Z")))
    };
    wait_until("the second worker ends", || !is_there(last));
    signal("KILL", silent);
    let (ran, _) = end(child);
    assert!(ran.stderr.contains("2 runs in"), "{}", ran.stderr);
    assert_eq!(desk.sql("SELECT count(*) FROM runs"), ["2"]);
}
