//! `gridmpi launch`: a rank or the launcher may die, and the job still completes.

mod common;

#[path = "common/heard.rs"]
mod heard;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{Desk, OPEN_MPI_MAY, Ran, gridmpi, mpirun, wait_until};
use heard::Heard;

/// A job of 60 tasks, of which all but the first wait for a file `go`: it is not at its end when harm is done to it, however
/// late that is.
fn desk() -> Desk {
    desk_that_waits(10)
}

fn desk_that_waits(first: usize) -> Desk {
    Desk::with_job(&format!(
        "[crunch]\nshell = \"echo {{x}} >> started; while [ {{x}} -ge {first} ] && [ -e job.toml ] && [ ! -e go ]; do \
         sleep 0.05; done; sleep 0.1; echo {{x}}\"\n\
         [[loop]]\nname = \"x\"\nrange = {{ from = 0, to = 60 }}\nreduce = \"sum\"\n"
    ))
}

fn launch(desk: &Desk, arguments: &[&str]) -> Heard {
    let mut command = gridmpi();
    command.arg("launch").args(arguments).current_dir(desk.path(""));
    Heard::start(command)
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

fn end(child: Heard) -> Ran {
    child.end()
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
    // Each worker has one task, and nothing else that it could take with it.
    wait_for_tasks(&desk, 10 + 3);
    wait_until("the first are stored", || desk.sql("SELECT count(*) FROM runs") == ["10"]);
    kill(&desk, "-n", "^[^ ]*gridmpi run");
    desk.write("go", "");
    let ran = end(child).exits(0);
    assert!(ran.stderr.contains("its tasks go to others"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("starting it again"), "{}", ran.stderr);
    whole(&desk);
    // The killed worker's task had started, or was about to.
    assert!((60..=61).contains(&started(&desk)), "{} were started", started(&desk));
    let lost = "SELECT f.attempt, f.error LIKE 'rank % was lost while%', r.attempt, r.failed
                FROM failures f JOIN runs r ON r.key = f.key";
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
    // A task that begins once there is a file `go` waits for a file `rest`, so that neither worker does all of them.
    let desk = Desk::with_job(
        "[crunch]\nshell = \"file=go; [ ! -e go ] || file=rest; echo {x} >> started; while [ {x} -ge 10 ] && [ -e job.toml ] && \
         [ ! -e $file ]; do sleep 0.05; done; echo {x}\"\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 60 }\nreduce = \"sum\"\n",
    );
    let out = desk.path("out");
    let mut child = launch(&desk, &["-n", "3", "job.toml", "--out", out.to_str().unwrap()]);
    wait_for_tasks(&desk, 10 + 2);
    signal_workers(&desk, "-STOP");
    child.hear("all workers have been silent for 1");
    signal_workers(&desk, "-CONT");
    desk.write("go", "");
    child.hear("] rank 1 has come back");
    desk.write("rest", "");
    let ran = end(child).exits(0);
    assert!(ran.stderr.contains("all workers have been silent for 1"), "{}", ran.stderr);
    assert!(ran.stderr.contains("] rank 1 has come back\n"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("starting it again"), "{}", ran.stderr);
    whole(&desk);
}

#[test]
fn the_master_is_killed_and_the_job_is_complete_in_the_end() {
    let desk = desk();
    let out = desk.path("out");
    let child = launch(&desk, &["-n", "4", "job.toml", "--out", out.to_str().unwrap()]);
    wait_for_tasks(&desk, 10);
    // What rank 0 has, and has not written yet, ends with it.
    wait_until("a run is written", || desk.sql("SELECT count(*) FROM runs") != ["0"]);
    kill(&desk, "-o", "^[^ ]*gridmpi run");
    desk.write("go", "");
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
    desk.write("go", "");
    end(child).exits(0);
    whole(&desk);
}

#[test]
fn a_signal_ends_it_and_a_second_launch_goes_on() {
    let desk = desk();
    let out = desk.path("out");
    let arguments = ["-n", "3", "job.toml", "--grace", "60", "--out", out.to_str().unwrap()];
    let mut child = launch(&desk, &arguments);
    wait_for_tasks(&desk, 10);
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    child.hear("no new task is started");
    desk.write("go", "");
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
    let refused = end(launch(&desk, &["-n", "3", "job.toml", "--", "--no-such-option"])).exits(2);
    assert!(refused.stderr.contains("and has started nothing"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("starting it again"), "{}", refused.stderr);
    // A start by hand resumes it as well.
    desk.run(mpirun(2), &["job.toml"]).exits(100);
}

/// A launcher that stays after its ranks have ended, as Open MPI 4 does when it has lost a host.
const STAYS: &str =
    "#!/bin/sh\n[ \"$1\" != --version ] || exec mpirun --version\nmpirun \"$@\"\nexec sleep 1000\n";

#[test]
fn a_launcher_that_does_not_end_is_put_down() {
    let desk = desk();
    desk.write("go", "");
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

#[test]
fn what_rank_0_refuses_is_told_once() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"f.py:crunch\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\n",
    );
    let run = ["-n", "2", "job.toml", "--out", "out"];
    let refused = |what: &str| {
        let ran = end(launch(&desk, &run)).exits(2);
        assert_eq!(ran.stderr.matches(what).count(), 1, "{}", ran.stderr);
        assert!(!ran.stderr.contains("starting it again"), "{}", ran.stderr);
    };
    desk.write("f.py", "def other(x): return x\n");
    refused("f.py has no function 'crunch'");
    desk.write("f.py", "def crunch(x) return x\n");
    refused("f.py");
    desk.write("f.py", "def crunch(x): return float(x)\n");
    end(launch(&desk, &run)).exits(0);
    desk.write("f.py", "def crunch(x): return 2.0 * x\n");
    refused("--keep");
    end(launch(&desk, &[&run[..], &["--fresh"]].concat())).exits(0);
    assert_eq!(desk.sql("SELECT score FROM all_runs ORDER BY task"), ["2.0", "4.0"]);
    let files = std::fs::read_dir(desk.path("out")).unwrap().flatten();
    let left = |name: &str| name.starts_with(".launch");
    assert!(!files.map(|entry| entry.file_name()).any(|name| left(name.to_str().unwrap())));
}

#[test]
fn of_two_that_start_on_one_folder_at_once_the_second_ends_at_once() {
    // Both find the folder free; the second starts its ranks once those of the first are at work.
    let desk = desk();
    pretender(&desk, "until [ -e second ]; do sleep 0.02; done; exec mpirun \"$@\"");
    let run = ["-n", "2", "job.toml", "--out", "out"];
    let second = launch(&desk, &[&run[..], &["--mpirun", "./pretender"]].concat());
    let begin = Instant::now();
    while !desk.path("starts").exists() {
        assert!(begin.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut first = launch(&desk, &run);
    wait_for_tasks(&desk, 3);
    desk.write("second", "");
    let ran = end(second).exits(2);
    assert!(first.is_running());
    desk.write("go", "");
    assert_eq!(ran.stderr.matches("in use by another gridmpi").count(), 1, "{}", ran.stderr);
    assert!(!ran.stderr.contains("its ranks go on"), "{}", ran.stderr);
    end(first).exits(0);
    whole(&desk);
    assert_eq!(started(&desk), 60);
}

#[test]
fn a_start_that_makes_failed_runs_good_has_brought_something() {
    // Once `good` is there, each worker does one task, and is killed at the second.
    let desk = Desk::with_job(
        "[crunch]\nshell = \"[ -e good ] || exit 1; if [ -e begun.$PPID ]; then sleep 2; kill -KILL $PPID; sleep 1; fi; touch begun.$PPID; echo {x}\"\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 4 }\nreduce = \"sum\"\n",
    );
    let run = ["-n", "2", "job.toml", "--out", "out"];
    end(launch(&desk, &run)).exits(100);
    desk.write("good", "");
    let ran = end(launch(&desk, &run)).exits(0);
    assert!(ran.stderr.matches("starting it again").count() >= 3, "{}", ran.stderr);
    assert_eq!(desk.sql("SELECT count(*), sum(score) FROM all_runs"), ["4|6.0"]);
}

#[test]
fn it_starts_over_once() {
    let desk = desk_that_waits(20);
    let out = desk.path("out");
    let run = ["-n", "3", "job.toml", "--out", out.to_str().unwrap()];
    desk.write("go", "");
    end(launch(&desk, &run)).exits(0);
    std::fs::remove_file(desk.path("go")).unwrap();
    let child = launch(&desk, &[&run[..], &["--fresh"]].concat());
    wait_for_tasks(&desk, 80);
    wait_until("a run is written", || desk.sql("SELECT count(*) FROM runs") != ["0"]);
    kill(&desk, "-o", "^[^ ]*gridmpi run");
    desk.write("go", "");
    let ran = end(child).exits(0);
    assert_eq!(ran.stderr.matches("earlier runs moved to").count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("of 60 runs reused"), "{}", ran.stderr);
    whole(&desk);
    assert!(out.join("earlier-1").exists() && !out.join("earlier-2").exists());
    assert!(started(&desk) < 180, "what it had done since was done again");
}

#[test]
fn numbers_of_ranks_that_nobody_can_mean_are_refused_in_words() {
    let desk = desk();
    for (ranks, why) in [
        ("0", "rank 0 and a worker are -n 2"),
        ("-3", "rank 0 and a worker are -n 2"),
        ("nine", "expected the number of ranks"),
        ("999999", "too many ranks for this machine"),
        ("4294967295", "at most 1,000,000 ranks"),
        ("99999999999999999999999999999999999999999", "expected the number of ranks"),
    ] {
        let ran = end(launch(&desk, &["-n", ranks, "job.toml"])).exits(2);
        assert!(ran.stderr.contains(why), "{ranks}: {}", ran.stderr);
    }
    assert_eq!(started(&desk), 0);
}

/// A launcher like Open MPI's, as far as its version goes.
fn pretender(desk: &Desk, does: &str) {
    let version = "[ \"$1\" != --version ] || exec mpirun --version";
    desk.script("pretender", &format!("#!/bin/sh\n{version}\necho >> starts\n{does}\n"));
}

#[test]
fn a_signal_between_two_starts_ends_it() {
    let desk = desk();
    pretender(&desk, "kill -TERM $PPID; exit 200");
    let ran = end(launch(&desk, &["-n", "2", "job.toml", "--mpirun", "./pretender"])).exits(75);
    assert!(ran.stderr.contains("SIGTERM: 0 of 60 runs"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(desk.path("starts")).unwrap().lines().count(), 1);
}

#[test]
fn a_signal_ends_it_although_the_launcher_heeds_none() {
    let desk = desk();
    pretender(&desk, "trap '' USR2 TERM INT\nwhile :; do sleep 1; done");
    for signal in ["-TERM", "-INT"] {
        let child = launch(&desk, &["-n", "2", "job.toml", "--mpirun", "./pretender"]);
        let begin = Instant::now();
        while !desk.path("starts").exists() {
            assert!(begin.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(10));
        }
        std::fs::remove_file(desk.path("starts")).unwrap();
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        let ran = end(child).exits(75);
        assert!(ran.stderr.contains("it is killed"), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("SIG{}: 0 of 60", &signal[1..])), "{}", ran.stderr);
    }
}

#[test]
fn a_signal_ends_it_when_its_launcher_is_gone() {
    let desk = desk();
    let out = desk.path("out");
    let run = ["-n", "3", "job.toml", "--grace", "1", "--out", out.to_str().unwrap()];
    let child = launch(&desk, &run);
    wait_for_tasks(&desk, 10);
    let signal = |name: &str| {
        Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    };
    // It finds both at once; otherwise it could start the job again between the two.
    signal("-STOP");
    kill(&desk, "-n", "^mpirun ");
    signal("-TERM");
    signal("-CONT");
    let ran = end(child).exits(75);
    assert!(ran.stderr.contains("start it again to go on"), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("tasks on 2 workers").count(), 1, "{}", ran.stderr);
}

/// Which processors a process may use.
const PROCESSORS: &str = "grep Cpus_allowed_list /proc/self/status";

#[test]
fn no_rank_is_bound_to_a_core_and_nine_ranks_fit_anywhere() {
    let desk = Desk::with_job(&format!(
        "[crunch]\nshell = \"{PROCESSORS} > seen.{{x}}; echo 1\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\n"
    ));
    let own = Command::new("sh").args(["-c", PROCESSORS]).output().unwrap().stdout;
    for run in [&["-n", "2", "--threads", "2"][..], &["-n", "9"]] {
        let mut command = gridmpi();
        for (name, _) in OPEN_MPI_MAY {
            command.env_remove(name);
        }
        command.arg("launch").args(run).args(["job.toml", "--fresh"]);
        let ran = desk.run(command, &[]).exits(0);
        assert!(!ran.stderr.contains("take turns"), "{}", ran.stderr);
        for x in 1..=2 {
            assert_eq!(std::fs::read(desk.path(&format!("seen.{x}"))).unwrap(), own, "{run:?}");
        }
    }
}

#[test]
fn threads_on_too_few_cores_are_named() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\n",
    );
    let on_one_core = |ranks: &str, rank: &str| {
        let allowed = std::fs::read_to_string("/proc/self/status").unwrap();
        let list =
            allowed.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        let first: String = list.trim().chars().take_while(char::is_ascii_digit).collect();
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &first, "mpirun", "--oversubscribe", "--bind-to", "none"]);
        command.envs(OPEN_MPI_MAY[..2].iter().copied());
        command.args(["-n", ranks]).arg(gridmpi().get_program());
        let ran = desk.run(command, &["job.toml", "--threads", "3", "--fresh"]).exits(0);
        assert_eq!(ran.stderr.matches("take turns").count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("rank {rank} on ")), "{}", ran.stderr);
        assert!(ran.stderr.contains("has 3 threads and may use 1 core,"), "{}", ran.stderr);
    };
    on_one_core("1", "0");
    on_one_core("2", "1");
}
