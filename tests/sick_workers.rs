//! A place that cannot work costs no run: it is found out at the start or later, named, and given no more.

mod common;

#[path = "common/heard.rs"]
mod heard;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Desk, Ran, gridmpi, mpirun, mpirun_of};
use heard::Heard;

/// `mpirun` with rank 0 and two more ranks as they are, and one rank, 3, with this in its environment.
fn mpirun_with_odd_rank(variable: &str, arguments: &[&str]) -> Command {
    let mut command = mpirun(3);
    command.args(arguments).args([":", "-n", "1", "env", variable]).arg(gridmpi().get_program());
    command
}

const SIXTY: &str = "[[loop]]\nname = \"x\"\nrange = { from = 0, to = 60 }\nreduce = \"sum\"\n";

/// Runs a job whose last tasks wait for a file `go`, which is written once a rank cannot work: however slow that rank is, it
/// comes to what shows this.
fn run_until_one_is_sick(desk: &Desk, mut command: Command, arguments: &[&str]) -> Ran {
    command.args(arguments).current_dir(desk.path(""));
    let mut job = Heard::start(command);
    let is_told = job.hears("cannot work");
    desk.write("go", "");
    let ran = job.end().exits(0);
    assert!(is_told, "{}", ran.stderr);
    ran
}

#[test]
fn a_rank_that_cannot_work_costs_no_run_and_is_named() {
    let long = format!("TMPDIR=/tmp/{}", "long/".repeat(40));
    for (crunch, variable, why) in [
        ("shell = \"sleep 0.02; echo {x}\"", "TMPDIR=/proc/nope", "temporary files cannot be used"),
        ("command = [\"echoes\", \"{x}\"]", "PATH=/nowhere", "\"echoes\" is not on PATH"),
        ("builtin = \"multiply\"\nisolate = true", long.as_str(), "as a socket"),
        ("builtin = \"multiply\"", "RUST_MIN_STACK=9000000000000000", "no thread for"),
    ] {
        let desk = Desk::with_job(&format!("[crunch]\n{crunch}\n{SIXTY}"));
        desk.script("bin/echoes", "#!/bin/sh\necho $1\n");
        std::fs::create_dir_all(long.trim_start_matches("TMPDIR=")).unwrap();
        let arguments = ["job.toml", "--out", "out", "--format", "json"];
        let mut command = mpirun_with_odd_rank(variable, &arguments);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", desk.path("bin").display()));
        let ran = desk.run(command, &arguments).exits(0);
        assert_eq!(ran.score(), 1770.0, "{variable}");
        assert_eq!(desk.sql("SELECT count(*) FROM failures"), ["0"], "it was given nothing");
        let tells = |line: &&str| line.contains("cannot work") && line.contains(why);
        let told: Vec<&str> = ran.stderr.lines().filter(tells).collect();
        let [at_once, at_the_end] = told[..] else { panic!("{why}: {}", ran.stderr) };
        assert!(at_once.contains("rank 3 on ") && at_once.contains("is given no more tasks"));
        assert!(at_the_end.contains("rank 3 on ") && at_the_end.contains("others did its tasks"));
    }
}

#[test]
fn python_that_cannot_import_on_one_rank_says_why() {
    let desk = Desk::with_job(&format!("[crunch]\npython = \"f.py:crunch\"\n{SIXTY}"));
    desk.write(
        "f.py",
        "import os\nif 'ODD' in os.environ: raise ImportError('libodd.so.1: cannot open')\n\
         def crunch(x): return float(x)\n",
    );
    let arguments = ["job.toml", "--out", "out", "--format", "json"];
    let ran = desk.run(mpirun_with_odd_rank("ODD=1", &arguments), &arguments).exits(0);
    assert_eq!(ran.score(), 1770.0);
    assert!(ran.stderr.contains("rank 3 on ") && ran.stderr.contains("libodd.so.1"));
}

#[test]
fn a_rank_whose_failures_succeed_elsewhere_is_given_no_more() {
    // The last tasks wait until the odd rank has failed often enough, but not for ever: else a rank that starts late fails
    // less often.
    let line = "if [ -n \"$ODD\" ]; then touch failed.{x}; exit 7; fi; for i in $(seq 600); do \
        [ {x} -lt 20 ] && break; set -- failed.*; [ $# -ge 3 ] && break; sleep 0.1; done; sleep 0.02; echo {x}";
    let desk = Desk::with_job(&format!("[crunch]\nshell = '{line}'\n{SIXTY}"));
    let arguments = ["job.toml", "--out", "out", "--format", "json"];
    let ran = desk.run(mpirun_with_odd_rank("ODD=1", &arguments), &arguments).exits(0);
    assert_eq!(ran.score(), 1770.0);
    assert_eq!(desk.sql("SELECT count(*) FROM failures"), ["3"], "{}", ran.stderr);
    assert!(ran.stderr.contains("3 tasks failed there that succeeded elsewhere"), "{}", ran.stderr);
}

#[test]
fn tasks_that_fail_make_no_rank_sick() {
    let line = "test {x} -ge 20 || exit 7; sleep 0.01; echo {x}";
    let desk = Desk::with_job(&format!("[crunch]\nshell = '{line}'\n{SIXTY}"));
    let ran = desk.run(mpirun(4), &["job.toml", "--out", "out"]).exits(100);
    assert!(!ran.stderr.contains("cannot work"), "{}", ran.stderr);
    assert_eq!(
        desk.sql("SELECT count(*), sum(x < 20) FROM all_runs WHERE status = 'failed'"),
        ["20|20"]
    );
    // One for each, and at most three more for each of the workers.
    let attempts = desk.sql("SELECT count(*) FROM failures")[0].parse::<u32>().unwrap();
    assert!((20..=29).contains(&attempts), "{attempts}");
}

#[test]
fn where_no_worker_can_work_the_job_ends_in_words() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo {x}\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2, 3]\nreduce = \"sum\"\n",
    );
    let mut command = gridmpi();
    command.env("TMPDIR", desk.path("nowhere"));
    let ran = desk.run(command, &["job.toml", "--threads", "2", "--out", "out"]).exits(1);
    for words in ["no worker is left that can go on", "rank 1 on ", "rank 2 on ", "nowhere"] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    assert_eq!(desk.run_job().exits(0).score(), 6.0, "and goes on where one can");
}

#[test]
fn the_end_of_rank_0s_own_worker_ends_nobody_else() {
    let desk = Desk::with_job(&format!("[crunch]\nshell = \"sleep 0.02; echo {{x}}\"\n{SIXTY}"));
    let arguments = ["job.toml", "--out", "out", "--format", "json", "--master-works"];
    let own = gridmpi().get_program().to_owned();
    let mut command = mpirun_of(1, Path::new("env"));
    command.arg("TMPDIR=/proc/nope").arg(&own).args(arguments);
    command.args([":", "-n", "2"]).arg(&own);
    let ran = desk.run(command, &arguments).exits(0);
    assert_eq!(ran.score(), 1770.0);
}

/// Asserts that rank 3 was found out, and named at once and at the end.
fn is_named(stderr: &str, why: &str) {
    assert_eq!(stderr.matches("cannot work").count(), 2, "{stderr}");
    assert_eq!(stderr.matches("rank 3 on ").count(), 2, "{stderr}");
    assert!(stderr.matches(why).count() >= 2, "{why}: {stderr}");
}

#[test]
fn a_rank_that_cannot_start_programs_any_more_costs_no_run() {
    // Its second task takes away what the others need, and gives its own result.
    for (takes, why) in [
        ("rm -rf $TMPDIR", "the folder for temporary files cannot be used"),
        ("rm odd/sim", "the program \"sim\" is not on PATH"),
        ("rm -r odd; mkdir -p odd/sim", "sim"),
        ("chmod -x odd/sim", "sim"),
    ] {
        let desk = Desk::with_job(&format!("[crunch]\ncommand = [\"sim\", \"{{x}}\"]\n{SIXTY}"));
        let sim = format!(
            "#!/bin/sh\nif [ -n \"$ODD\" ]; then\n  if [ -e proven ]; then {takes}; else touch proven; fi\n\
             else\n  while [ $1 -ge 20 ] && [ -e job.toml ] && [ ! -e go ]; do sleep 0.05; done\nfi\n\
             sleep 0.02\necho $1\n"
        );
        desk.script("bin/sim", &sim);
        desk.script("odd/sim", &sim);
        std::fs::create_dir(desk.path("tmp")).unwrap();
        let arguments = ["job.toml", "--out", "out", "--format", "json"];
        let path = std::env::var("PATH").unwrap();
        let at = |folder: &str| format!("PATH={}:{path}", desk.path(folder).display());
        let mut command = mpirun_of(3, Path::new("env"));
        let own = gridmpi().get_program().to_owned();
        command.arg(at("bin")).arg(&own).args(arguments);
        command.args([":", "-n", "1", "env", "ODD=1", &at("odd")]);
        command.arg(format!("TMPDIR={}", desk.path("tmp").display())).arg(&own);
        let ran = run_until_one_is_sick(&desk, command, &arguments);
        assert_eq!(ran.score(), 1770.0, "{takes}");
        assert_eq!(desk.sql("SELECT count(*) FROM failures"), ["0"], "{takes}: {}", ran.stderr);
        assert_eq!(desk.sql("SELECT max(attempt) FROM all_runs"), ["1"], "{takes}");
        is_named(&ran.stderr, why);
    }
}

#[test]
fn a_rank_whose_python_cannot_start_again_costs_no_run_but_the_one_it_died_of() {
    let desk = Desk::with_job(&format!("[crunch]\npython = \"f.py:crunch\"\nretries = 1\n{SIXTY}"));
    desk.write(
        "f.py",
        "import os, time\n\
         odd = 'ODD' in os.environ\n\
         if odd and os.path.exists('dead'): raise ImportError('libodd.so.1: cannot open')\n\
         calls = 0\n\
         def crunch(x):\n    global calls\n    calls += 1\n    time.sleep(0.02)\n\
         \x20   while x >= 20 and not odd and os.path.exists('job.toml') and not os.path.exists('go'):\n        time.sleep(0.02)\n\
         \x20   if odd and calls == 3:\n        open('dead', 'w').close()\n        os._exit(3)\n\
         \x20   return float(x)\n",
    );
    let arguments = ["job.toml", "--out", "out", "--format", "json"];
    let command = mpirun_with_odd_rank("ODD=1", &arguments);
    let ran = run_until_one_is_sick(&desk, command, &arguments);
    assert_eq!(ran.score(), 1770.0);
    assert_eq!(desk.sql("SELECT count(*) FROM failures"), ["1"], "{}", ran.stderr);
    is_named(&ran.stderr, "libodd.so.1");
}

#[test]
fn where_workers_reduce_the_reductions_are_checked_too() {
    // The last tasks wait until the odd rank has tried, but not for ever: else a rank that starts late tries nothing.
    let text = "reduce_on = \"workers\"\n[crunch]\nshell = \"for i in $(seq 600); do \
        [ {d} -lt 20 ] || [ -e dead ] || sleep 0.1; done; sleep 0.02; echo {x}\"\n\
        [[loop]]\nname = \"d\"\nrange = { from = 0, to = 30 }\nreduce = \"sum\"\n\
        [[loop]]\nname = \"x\"\nrange = { from = 0, to = 2 }\nreduce = { python = \"r.py:mean\" }\n";
    let mean = "def mean(runs):\n    return sum(r['score'] for r in runs) / len(runs)\n";
    // At the start, and when its second group is to be reduced.
    let at_once = "if odd:\n    open('dead', 'w').close()\n    raise ImportError('libodd.so.1: cannot open')\n";
    let later = "if odd and os.path.exists('dead'): raise ImportError('libodd.so.1: cannot open')\n\
        def mean(runs):\n    if odd:\n        open('dead', 'w').close()\n        os._exit(3)\n    time.sleep(0.02)\n    return 0.5\n";
    for odd in [format!("{at_once}{mean}"), later.to_string()] {
        let desk = Desk::with_job(text);
        desk.write("r.py", &format!("import os, time\nodd = 'ODD' in os.environ\n{odd}"));
        let arguments = ["job.toml", "--out", "out", "--format", "json"];
        let ran = desk.run(mpirun_with_odd_rank("ODD=1", &arguments), &arguments).exits(0);
        assert_eq!(ran.score(), 15.0, "{}", ran.stderr);
        is_named(&ran.stderr, "libodd.so.1");
    }
}

#[test]
fn a_rank_whose_import_hangs_is_named_and_not_waited_for() {
    let desk = Desk::with_job(&format!("[crunch]\npython = \"f.py:crunch\"\n{SIXTY}"));
    desk.write(
        "f.py",
        "import os, time\nif 'ODD' in os.environ: time.sleep(600)\ndef crunch(x): return float(x)\n",
    );
    let arguments = ["job.toml", "--out", "out", "--format", "json"];
    let begin = Instant::now();
    let ran = desk.run(mpirun_with_odd_rank("ODD=1", &arguments), &arguments).exits(0);
    assert!(begin.elapsed() < Duration::from_secs(120), "{:?}", begin.elapsed());
    assert_eq!(ran.score(), 1770.0);
    is_named(&ran.stderr, "it was still at its imports");
}

/// A rank's process, with the names of its threads.
#[cfg(target_os = "linux")]
fn process_of(desk: &Desk, rank: u32) -> Option<(u32, Vec<String>)> {
    let text = |path: &Path| {
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    };
    let (out, rank) =
        (desk.path("out").display().to_string(), format!("_COMM_WORLD_RANK={rank}\0"));
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let line = text(&entry.path().join("cmdline"));
        let is_own = line.contains(&out) && line.starts_with(gridmpi().get_program().to_str()?);
        if !is_own || !text(&entry.path().join("environ")).contains(&rank) {
            return None;
        }
        // A child of the rank looks like it until it has become the program that it is to run.
        let status = text(&entry.path().join("status"));
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim();
        if text(&Path::new("/proc").join(parent).join("comm")) != "mpirun\n" {
            return None;
        }
        let threads = std::fs::read_dir(entry.path().join("task")).ok()?.flatten();
        Some((number, threads.map(|thread| text(&thread.path().join("comm"))).collect()))
    })
}

#[test]
#[cfg(target_os = "linux")]
fn a_rank_that_is_suspended_after_its_dismissal_is_not_waited_for() {
    // No task ends before the heartbeat of rank 2 was seen.
    let line = "while [ -e job.toml ] && [ ! -e seen ]; do sleep 0.05; done; sleep 0.05; echo {x}";
    let desk = Desk::with_job(&format!("[crunch]\nshell = \"{line}\"\n{SIXTY}"));
    let out = desk.path("out").display().to_string();
    let wait = |is: &dyn Fn() -> bool| {
        let begin = Instant::now();
        while !is() {
            assert!(begin.elapsed() < Duration::from_secs(60), "it takes too long");
            std::thread::sleep(Duration::from_millis(5)); // a core is for the ranks
        }
    };
    let beats = || {
        let threads = process_of(&desk, 2).map(|(_, threads)| threads).unwrap_or_default();
        threads.iter().any(|name| name == "heartbeat\n")
    };
    let signal = |name: &str| {
        if let Some((process, _)) = process_of(&desk, 2) {
            Command::new("kill").args([name, &process.to_string()]).status().unwrap();
        }
    };
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            wait(&beats);
            desk.write("seen", "");
            wait(&|| !beats()); // its heartbeat ends with its dismissal
            signal("-STOP");
            wait(&|| process_of(&desk, 0).is_none());
            signal("-KILL"); // mpirun may wait for it
        });
        desk.run(mpirun(3), &["job.toml", "--out", &out, "--format", "json"])
    });
    assert_eq!(ran.score(), 1770.0, "{}", ran.stderr);
    assert_eq!(desk.sql("SELECT value FROM job WHERE key = 'state'"), ["complete"]);
}
