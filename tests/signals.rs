//! Signals: no new tasks start, running ones get a grace period, the store is closed, and a second start
//! resumes.

mod common;

#[path = "common/heard.rs"]
mod heard;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Desk, Ran, gridmpi, mpirun, wait_until};
use heard::Heard;

/// A job of 30 tasks, of which all but the first wait for a file `go`: it is not at its end when it is signalled, however
/// late that is.
fn desk() -> Desk {
    Desk::with_job(
        "[crunch]\nshell = \"echo {x} >> started; while [ {x} -ge 5 ] && [ -e job.toml ] && [ ! -e go ]; do \
         sleep 0.02; done; echo {x}\"\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 30 }\nreduce = \"sum\"\n",
    )
}

/// Starts a job, and waits until that many tasks have started.
fn start(desk: &Desk, mut command: Command, more: &[&str], tasks: usize) -> Heard {
    command.args(["job.toml", "--out", "out"]).args(more).current_dir(desk.path(""));
    let child = Heard::start(command);
    wait_until("it gets on", || started(desk) >= tasks);
    child
}

fn started(desk: &Desk) -> usize {
    std::fs::read_to_string(desk.path("started")).unwrap_or_default().lines().count()
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

fn end(child: Heard) -> (Ran, Duration) {
    let begin = Instant::now();
    (child.end(), begin.elapsed())
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
    let kept = kept(desk);
    assert!((1..30).contains(&kept), "{kept}");
    let last = desk.run(gridmpi(), &["job.toml", "--out", "out", "--format", "json"]).exits(0);
    assert!(last.stderr.contains(&format!("{kept} of 30 runs reused")), "{}", last.stderr);
    assert_eq!(last.score(), 435.0);
}

/// How many runs are stored.
fn kept(desk: &Desk) -> u64 {
    desk.sql("SELECT count(*) FROM runs")[0].parse().unwrap()
}

#[test]
fn what_is_under_way_may_end_and_the_rest_is_left_for_a_second_start() {
    for name in ["INT", "TERM", "USR2"] {
        let desk = desk();
        let mut child = start(&desk, gridmpi(), &["--threads", "3", "--grace", "60"], 5);
        signal(name, child.id());
        child.hear(&format!("SIG{name}: no new task is started"));
        desk.write("go", "");
        let (ran, took) = end(child);
        let ran = ran.exits(75);
        assert!(took < Duration::from_secs(30), "{took:?}");
        assert!(ran.stderr.contains("start it again to go on"), "{}", ran.stderr);
        assert_eq!(
            desk.sql("SELECT count(*) FROM runs"),
            [started(&desk).to_string()],
            "none was cut off"
        );
        assert_eq!(desk.sql("SELECT value FROM job WHERE key = 'state'"), ["interrupted"]);
        goes_on(&desk);
    }
}

/// Signals a task's child, then its gridmpi once that has seen the end of the child. Returns what was said, if the task
/// counts as left to do.
fn signal_child_first(desk: &Desk, command: Command, more: &[&str]) -> Result<Ran, String> {
    // Where the signal comes far too late, the job may be complete, and nobody is there.
    let slurm = "until [ -s cut ]; do sleep 0.01; done; read parent child < cut; while kill -0 $child; do sleep 0.01; done; \
        sleep 0.05; kill -TERM $parent";
    let mut by_slurm = Command::new("sh");
    by_slurm.args(["-c", slurm]).current_dir(desk.path("")).stderr(Stdio::null());
    let mut by_slurm = by_slurm.spawn().unwrap();
    let (ran, _) = end(start(desk, command, more, 5));
    let came = by_slurm.wait().unwrap().success();
    let was_told = ran.stderr.contains("SIGTERM: no new task is started");
    let failed = desk.sql("SELECT count(*) FROM failures") != ["0"];
    if came && was_told && !failed { Ok(ran) } else { Err(ran.stderr) }
}

#[test]
fn what_is_signalled_before_gridmpi_is_left_to_do() {
    // Slurm signals every process of a job.
    let desk = || {
        Desk::with_job(
            "[crunch]\nshell = \"echo {x} >> started; sleep 0.05; if [ {x} = 9 ] && ! [ -e cut ]; then \
             echo $PPID $$ > cut; kill -TERM $$; fi; echo {x}\"\n\
             [[loop]]\nname = \"x\"\nrange = { from = 0, to = 30 }\nreduce = \"sum\"\n",
        )
    };
    for (command, more) in
        [(gridmpi as fn() -> Command, &["--threads", "2"][..]), (|| mpirun(3), &[])]
    {
        // gridmpi waits a moment for its own signal, which is too late where a process is held up. Once in time is enough:
        // a gridmpi that does not wait is never in time.
        let mut said = Vec::new();
        let in_time = (0..10).find_map(|_| {
            let desk = desk();
            let ran = signal_child_first(&desk, command(), more);
            ran.map_err(|why| said.push(why)).ok().map(|_| desk)
        });
        goes_on(&in_time.unwrap_or_else(|| panic!("{said:?}")));
    }
}

/// A job whose tasks but the first four take for ever, two of which are under way; what is done is stored.
fn start_endless(desk: &Desk, grace: &str) -> Heard {
    let child = start(desk, gridmpi(), &["--threads", "2", "--grace", grace], 6);
    wait_until("what is done is stored", || kept(desk) == 4);
    child
}

#[test]
fn what_does_not_end_in_time_is_cut_off() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo {x} >> started; test {x} -lt 4 || sleep 651; echo {x}\"\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 30 }\nreduce = \"sum\"\n",
    );
    let child = start_endless(&desk, "0.5");
    signal("INT", child.id());
    let (ran, took) = end(child);
    assert!(ran.exits(75).stderr.contains("4 of 30 runs are in out"));
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(desk.sql("SELECT count(*) FROM failures"), ["0"], "cut off is not failed");
}

#[test]
fn a_second_signal_ends_at_once() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo {x} >> started; test {x} -lt 4 || sleep 652; echo {x}\"\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 30 }\nreduce = \"sum\"\n",
    );
    let mut child = start_endless(&desk, "600");
    signal("INT", child.id());
    // Two signals that come at once are one.
    child.hear("no new task is started");
    signal("INT", child.id());
    let (ran, took) = end(child);
    assert!(ran.exits(75).stderr.contains("4 of 30 runs are in out"));
    assert!(took < Duration::from_secs(60), "{took:?}");
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
        let signalled = || {
            let desk = desk();
            let mut child = start(&desk, mpirun(4), &["--grace", "60"], 5);
            match whom {
                Some(of) => signal(name, rank(&desk, of)),
                None => signal(name, child.id()),
            }
            let is_told = child.hears("no new task is started");
            desk.write("go", "");
            let (ran, took) = end(child);
            assert!(took < Duration::from_secs(60), "{whom:?} {name}: {took:?}");
            assert!(ran.code != 0, "{whom:?} {name}: {}", ran.stderr);
            (desk, ran, is_told)
        };
        let (mut desk, mut ran, mut is_told) = signalled();
        let is_forwarded = whom.is_some() || name == "USR2";
        // mpirun kills the ranks a second after any other signal: rank 0 can be held up for that long.
        for _ in 0..4 {
            if !(is_forwarded || is_told && kept(&desk) > 0) {
                (desk, ran, is_told) = signalled();
            }
        }
        assert!(is_told, "{whom:?} {name}: {}", ran.stderr);
        if is_forwarded {
            let stored = desk.sql("SELECT count(*) FROM runs");
            assert_eq!(stored, [started(&desk).to_string()], "{whom:?} {name}: some were cut off");
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
            let child = start(&desk, command, &[more, &["--grace", "0.2"]].concat(), 5);
            let all = processes(&desk);
            assert!(all.len() > 2, "gridmpi, its guardian and its child: {all:?}");
            for process in all {
                let _ = Command::new("kill").args(["-TERM", &process.to_string()]).status();
            }
            let (ran, _) = end(child);
            let begin = Instant::now();
            while !processes(&desk).is_empty() {
                let left = processes(&desk);
                let waited = begin.elapsed() < Duration::from_secs(60);
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
    let code = "import os, time\nopen('importing', 'w')\n\
                while os.path.exists('job.toml') and not os.path.exists('go'): time.sleep(0.02)\n\
                raise ImportError('nothing here')\n";
    desk.write("f.py", code);
    let mut command = mpirun(3);
    command.args(["job.toml", "--out", "out"]).current_dir(desk.path(""));
    let child = Heard::start(command);
    wait_until("it gets on", || desk.path("importing").exists());
    let silent = rank(&desk, 1);
    signal("STOP", silent);
    desk.write("go", "");
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
    let child = Heard::start(command);
    wait_until("both tasks run", || started(&desk) == 2);
    // The first worker has nothing to do, and is suspended; the second one is dismissed before that is known.
    desk.write("go-1", "");
    wait_until("its run is stored", || kept(&desk) == 1);
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
