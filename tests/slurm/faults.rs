//! What goes wrong on a cluster, and whether the job gets over it by itself.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::{Desk, gridmpi};
use crate::{
    Dead, ask, desk, ends, job, log, on_threads, show, sql, started, submit, submit_script,
};
use crate::{summary, wait_until};

#[test]
fn an_element_of_an_array_at_its_limit_is_started_again_alone() {
    let desk = Desk::new();
    // As if the allocation of the last element ended in 20 s. Its number is that of the array.
    let short = r#"[slurm]
setup = [
    'echo "$SLURM_ARRAY_TASK_ID $SLURM_JOB_ID" >> starts',
    '[ "$SLURM_ARRAY_TASK_ID$SLURM_RESTART_COUNT" != 2 ] || export SLURM_JOB_END_TIME=$(($(date +%s) + 20))',
]
"#;
    let jobs = [("ended", 4, 0.1), ("runs", 120, 0.5), ("limited", 60, 0.5)];
    for (name, tasks, seconds) in jobs {
        desk.write(&format!("{name}.toml"), &(job(name, tasks, seconds) + short));
    }
    let files = ["ended.toml", "runs.toml", "limited.toml", "--nodes", "1", "--threads", "2"];
    let array = submit(&desk, &[&files[..], &["--time", "3", "--", "--mem=100"]].concat());
    wait_until(&desk, 60, "requeue", || show(&format!("{array}_2"), "Restarts") == "1");
    assert_eq!(show(&format!("{array}_0"), "JobState"), "COMPLETED", "{}", log(&desk));
    assert!(started(&desk, "runs").0 < 120, "one element runs while another is requeued");
    wait_until(&desk, 90, "end of the limited one", || {
        desk.path("results/limited/summary.json").exists()
    });
    for (index, (name, tasks, _)) in jobs.iter().enumerate() {
        let element = format!("{array}_{index}");
        ends(&desk, &element, 60, "COMPLETED", "0:0");
        assert_eq!(show(&element, "Restarts"), if index == 2 { "1" } else { "0" }, "{name}");
        assert_eq!(started(&desk, name), (*tasks as usize, *tasks as usize), "{}", log(&desk));
    }
    let starts = std::fs::read_to_string(desk.path("starts")).unwrap();
    assert_eq!(starts.matches(&format!("2 {array}\n")).count(), 2, "{starts}");
    assert_eq!(starts.lines().count(), 4, "{starts}");
    assert!(!log(&desk).contains("requeue is refused"), "{}", log(&desk));
}

/// Waits until no process has the number of a line of this file.
fn all_end(desk: &Desk, file: &str) {
    let pids = std::fs::read_to_string(desk.path(file)).unwrap();
    let begin = Instant::now();
    while let Some(left) = pids.lines().find(|pid| Path::new("/proc").join(pid).exists()) {
        assert!(begin.elapsed() < Duration::from_secs(20), "{left} is left: {}", log(desk));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn children_that_ignore_sigterm_end_with_a_cancelled_job() {
    let shell = "#!/bin/sh\ntrap '' TERM\necho $$ >> pids\nwhile :; do sleep 600; done\n";
    let python = "import os, signal, time\n\
                  signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                  def fit(x):\n    print(os.getpid(), file=open('pids', 'a'))\n    time.sleep(600)\n";
    for crunch in ["command = [\"./fit\", \"{x}\"]", "python = \"fit.py:fit\""] {
        let desk = Desk::with_job(&format!(
            "name = \"job\"\n[crunch]\n{crunch}\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\nreduce = \"sum\"\n"
        ));
        desk.script("fit", shell);
        desk.write("fit.py", python);
        let small = ["--nodes", "2", "--threads", "1", "--time", "2", "job.toml", "--"];
        let one_each = ["--mem=100", "--ntasks-per-node=2", "--cpus-per-task=1"];
        let job = submit(&desk, &[&small[..], &one_each].concat());
        let begun = || std::fs::read_to_string(desk.path("pids")).unwrap_or_default();
        wait_until(&desk, 30, "beginning", || begun().lines().count() == 2);
        ask("scancel", &[&job]);
        ends(&desk, &job, 30, "CANCELLED", "");
        all_end(&desk, "pids");
    }
}

#[test]
fn the_first_node_is_killed_and_the_job_completes_by_itself() {
    let desk = desk(120, 0.5);
    let three = ["--nodes", "3", "--threads", "2", "--time", "5", "job.toml", "--", "--mem=100"];
    let job = submit(&desk, &three);
    wait_until(&desk, 30, "beginning", || started(&desk, "job").0 > 20);
    assert_eq!(show(&job, "BatchHost"), "gs1");
    ask("cluster", &["kill", "gs1"]);
    let dead = Dead("gs1");
    wait_until(&desk, 180, "complete job", || {
        desk.path("results/job/summary.json").exists() && show(&job, "JobState") == "COMPLETED"
    });
    drop(dead);
    let said = log(&desk);
    assert!(said.contains("node gs1 has died, and rank 0 with it: the job is requeued"), "{said}");
    assert_eq!(show(&job, "Restarts"), "1", "{said}");
    let (all, different) = started(&desk, "job");
    assert!(
        different == 120 && all <= 120 + 6 + 6,
        "{all}: what was under way or just done, at most"
    );
    desk.write("quick.toml", &self::job("job", 120, 0.0));
    assert_eq!(summary(&desk, "results/job"), on_threads(&desk, "quick.toml"));
}

#[test]
fn of_two_jobs_that_start_on_one_folder_at_once_the_second_is_refused_at_once() {
    let text = job("job", 60, 0.3);
    let together = "[slurm]\nsetup = [\"until [ -e go ]; do sleep 0.02; done\"]\n";
    let desk = Desk::with_job(&(text + together));
    let small = ["--nodes", "1", "--threads", "1", "--time", "1", "job.toml", "--", "--mem=100"];
    let jobs = [submit(&desk, &small), submit_script(&desk)];
    wait_until(&desk, 30, "two jobs", || jobs.iter().all(|job| show(job, "JobState") == "RUNNING"));
    desk.write("go", "");
    let is_refused = |job: &String| show(job, "JobState") == "FAILED";
    wait_until(&desk, 15, "refusal", || jobs.iter().any(is_refused));
    let (refused, other) =
        if is_refused(&jobs[0]) { (&jobs[0], &jobs[1]) } else { (&jobs[1], &jobs[0]) };
    assert_eq!(show(refused, "ExitCode"), "2:0", "{}", log(&desk));
    assert_eq!(show(other, "JobState"), "RUNNING", "{}", log(&desk));
    assert!(log(&desk).contains("in use by another gridmpi (process "), "{}", log(&desk));
    assert!(log(&desk).contains(&format!(", Slurm job {other})")), "{}", log(&desk));
    ends(&desk, other, 60, "COMPLETED", "0:0");
    assert_eq!(started(&desk, "job"), (60, 60));
    assert_eq!(sql(&desk, "results/job", "SELECT count(*) FROM runs"), ["60"]);
}

#[test]
fn status_says_that_a_job_waits_and_later_why_it_failed_on_another_host() {
    let desk = Desk::with_job(
        "name = \"job\"\n[crunch]\npython = \"fit.py:fit\"\n\
         [[loop]]\nname = \"x\"\nvalues = [1, 2]\nreduce = \"sum\"\n",
    );
    let only_there = "import socket\nif socket.gethostname() != 'gs1':\n    \
                      raise ImportError('no licence here')\ndef fit(x):\n    return x\n";
    desk.write("fit.py", only_there);
    let small = ["--nodes", "2", "--threads", "1", "--time", "1", "job.toml", "--", "--mem=100"];
    let job = submit(&desk, &[&small[..], &["--nodelist=gs[1-2]", "--hold"]].concat());
    let waits = desk.run(gridmpi(), &["status", "results/job"]).exits(2);
    assert!(waits.stderr.contains("results/job: nothing is there yet"), "{}", waits.stderr);
    ask("scontrol", &["release", &job]);
    ends(&desk, &job, 60, "FAILED", "1:0");
    let failed = desk.run(gridmpi(), &["status", "results/job"]).exits(0).stdout;
    assert!(failed.starts_with("job: failed (no worker is left that can go on"), "{failed}");
    assert!(failed.contains("rank 1 on gs2") && failed.contains("no licence here"), "{failed}");
}

#[test]
fn the_log_is_kept_whatever_the_folder_is_called() {
    for (folder, log) in [("50%j of it", "job-{}.log"), (r"a\b%j", "job.log")] {
        let desk = Desk::with_job(&job("job", 2, 0.0));
        let place = desk.path(folder);
        std::fs::create_dir(&place).unwrap();
        std::fs::copy(desk.path("job.toml"), place.join("job.toml")).unwrap();
        let mut command = gridmpi();
        command.current_dir(&place);
        command.args(["sbatch", "job.toml", "--nodes", "1", "--threads", "1", "--time", "1"]);
        let output = command.args(["--submit", "--", "--mem=100"]).output().unwrap();
        let submitted = crate::common::Ran::new(output).exits(0).stdout;
        let job = submitted.trim().rsplit(' ').next().unwrap();
        ends(&desk, job, 30, "COMPLETED", "0:0");
        let log = place.join(log.replace("{}", job));
        let said =
            std::fs::read_to_string(&log).unwrap_or_else(|e| panic!("{}: {e}", log.display()));
        assert!(said.contains("results are in results/job"), "{said}");
    }
}

#[test]
fn what_the_cluster_does_not_have_is_warned_about() {
    let desk = desk(4, 0.0);
    let asked = ["sbatch", "job.toml", "--nodes", "5", "--threads", "9", "--", "--gpus=9"];
    let said = desk.run(gridmpi(), &asked).exits(0).stderr;
    for there in ["4 nodes", "4 cores on its largest node", "8 GPUs"] {
        assert!(said.contains(&format!("partition main has {there}")), "{there}: {said}");
    }
    let of_one = ["sbatch", "job.toml", "--partition", "last", "--nodes", "2", "--threads", "2"];
    let said = desk.run(gridmpi(), &of_one).exits(0).stderr;
    assert!(said.contains("2 nodes: partition last has 1 node; "), "{said}");
}
