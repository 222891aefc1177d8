//! Real Slurm jobs on the cluster of scripts/cluster: four nodes, the last also in a partition of its own.
//! scripts/slurm-test starts the cluster, runs these tests and stops it; otherwise they run only if named.

mod common;
#[path = "slurm/devices.rs"]
mod devices;
#[path = "slurm/faults.rs"]
mod faults;
#[path = "slurm/parts.rs"]
mod parts;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Desk, Ran, gridmpi, sql_rows};

/// Runs one of Slurm's commands, or scripts/cluster itself; returns its output.
fn ask(program: &str, arguments: &[&str]) -> String {
    let cluster = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cluster");
    let program = if program == "cluster" { cluster } else { PathBuf::from(program) };
    let output = Command::new(&program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_string();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {arguments:?}: {said}{wrong}", program.display());
    said
}

/// A job of `tasks` shell commands that take `seconds` each and append a line to the file `started`.
fn job(name: &str, tasks: u32, seconds: f64) -> String {
    format!(
        "name = \"{name}\"\n[crunch]\n\
         shell = \"echo {{x}} >> {name}.started; sleep {seconds}; echo {{x}}\"\n\
         [[loop]]\nname = \"x\"\nrange = {{ from = 0, to = {tasks} }}\nreduce = \"sum\"\n"
    )
}

fn desk(tasks: u32, seconds: f64) -> Desk {
    Desk::with_job(&job("job", tasks, seconds))
}

/// Submits the script that `gridmpi sbatch` prints; returns the job's number.
fn submit(desk: &Desk, arguments: &[&str]) -> String {
    let script = desk.run(gridmpi(), &[&["sbatch"][..], arguments].concat()).exits(0).stdout;
    desk.write("job.sh", &script);
    submit_script(desk)
}

fn submit_script(desk: &Desk) -> String {
    let mut sbatch = Command::new("sbatch");
    sbatch.arg("--parsable").arg(desk.path("job.sh")).current_dir(desk.path(""));
    let output = sbatch.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

fn show(job: &str, key: &str) -> String {
    let said = ask("scontrol", &["--oneliner", "show", "job", job]);
    let value = said.split_whitespace().find_map(|word| word.strip_prefix(&format!("{key}=")));
    value.unwrap_or_else(|| panic!("no {key} in {said}")).to_string()
}

/// The logs of all jobs in the test's folder.
fn log(desk: &Desk) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(desk.path("")).unwrap().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "log") {
            text += &std::fs::read_to_string(entry.path()).unwrap();
        }
    }
    text
}

fn wait_until(desk: &Desk, seconds: u64, what: &str, is: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is() {
        let waited = begin.elapsed();
        let queue = || ask("squeue", &["--states=all"]);
        assert!(waited.as_secs() < seconds, "no {what}\n{}\n{}", log(desk), queue());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until the job has ended; checks its state and, unless `code` is empty, its exit code.
fn ends(desk: &Desk, job: &str, seconds: u64, state: &str, code: &str) {
    let over = ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"];
    wait_until(desk, seconds, "end", || over.contains(&show(job, "JobState").as_str()));
    assert_eq!(show(job, "JobState"), state, "{}", log(desk));
    if !code.is_empty() {
        assert_eq!(show(job, "ExitCode"), code, "{}", log(desk));
    }
}

/// The number of started tasks, and of distinct ones.
fn started(desk: &Desk, name: &str) -> (usize, usize) {
    let text = std::fs::read_to_string(desk.path(&format!("{name}.started"))).unwrap_or_default();
    let mut tasks: Vec<&str> = text.lines().collect();
    let all = tasks.len();
    tasks.sort_unstable();
    tasks.dedup();
    (all, tasks.len())
}

fn summary(desk: &Desk, out: &str) -> String {
    let path = desk.path(out).join("summary.json");
    std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{}: {e}\n{}", path.display(), log(desk)))
}

/// The summary of the same job on this machine's threads.
fn on_threads(desk: &Desk, job: &str) -> String {
    desk.run(gridmpi(), &[job, "--threads", "4", "--out", "threads"]).exits(0);
    summary(desk, "threads")
}

fn sql(desk: &Desk, out: &str, query: &str) -> Vec<String> {
    sql_rows(&desk.path(out).join("runs.sqlite"), query)
}

#[test]
fn three_nodes_by_either_launcher_give_what_threads_give() {
    // Each task begins once all three nodes have one: however slow a node is, it gets a task.
    let wait = "mkdir -p here; touch here/$(hostname)\n\
                for i in $(seq 400); do [ $(ls here | wc -l) -ge 3 ] && exit; sleep 0.1; done\n";
    let text = job("job", 60, 0.1).replace("shell = \"", "shell = \"sh wait; ");
    let desk = Desk::with_job(&text);
    desk.write("wait", wait);
    let sent =
        || ["gs2", "gs3"].map(|node| ask("cluster", &["bytes", node]).parse::<u64>().unwrap());
    let small = ["--nodes", "3", "--time", "2", "job.toml"];
    for (out, more) in [
        ("mpirun", &["--threads", "2"][..]),
        (
            "srun",
            &["--ntasks-per-node", "2", "--threads", "1", "--launcher", "srun --mpi=pmix"][..],
        ),
    ] {
        let _ = std::fs::remove_dir_all(desk.path("here"));
        let before = sent();
        let job = submit(&desk, &[&small, more, &["--out", out, "--", "--mem=100"]].concat());
        ends(&desk, &job, 60, "COMPLETED", "0:0");
        for (node, (before, after)) in before.into_iter().zip(sent()).enumerate() {
            assert!(after > before + 2_000, "{out}: node {} sent {}", node + 2, after - before);
        }
        let hosts = sql(&desk, out, "SELECT DISTINCT host FROM all_runs ORDER BY host");
        assert_eq!(hosts, ["gs1", "gs2", "gs3"], "{out}");
        let said = log(&desk);
        assert!(said.contains(&format!("Slurm job {job} on gs[1-3], ")), "{said}");
        assert!(said.contains("nothing is left to do"), "{said}");
    }
    let threads = on_threads(&desk, "job.toml");
    assert_eq!(summary(&desk, "mpirun"), threads);
    assert_eq!(summary(&desk, "srun"), threads);
}

#[test]
fn many_short_allocations_finish_a_job_that_takes_a_longer_time() {
    // 180 s of work on two threads, in allocations of one minute.
    let desk = desk(80, 4.5);
    let short =
        ["job.toml", "--partition", "last", "--nodes", "1", "--threads", "2", "--time", "1"];
    let job = submit(&desk, &[&short[..], &["--", "--mem=100"]].concat());
    wait_until(&desk, 180, "second start", || started(&desk, "job").0 > 40);
    let status = desk.run(gridmpi(), &["status", "results/job"]).exits(0).stdout;
    assert!(status.contains(&format!("\nSlurm job {job} on gs4, restarted ")), "{status}");
    assert!(status.contains(" s left; about ") && status.contains("expected to fit"), "{status}");
    wait_until(&desk, 360, "complete job", || {
        desk.path("results/job/summary.json").exists() && show(&job, "JobState") == "COMPLETED"
    });
    assert_eq!(started(&desk, "job"), (80, 80), "nothing was done twice, nothing cut off");
    let restarts: u32 = show(&job, "Restarts").parse().unwrap();
    assert!((3..=5).contains(&restarts), "{restarts}");
    let sessions = sql(&desk, "results/job", "SELECT count(DISTINCT session) FROM workers");
    assert_eq!(sessions, [(restarts + 1).to_string()]);
    let said = log(&desk);
    assert!(said.contains("the time is over: "), "{said}");
    assert!(said.contains("not expected to fit"), "{said}");
    assert!(said.contains(&format!("restarted {restarts} times")), "{said}");
    assert!(!said.contains("DUE TO TIME LIMIT"), "{said}");
    desk.write("quick.toml", &self::job("job", 80, 0.0));
    assert_eq!(summary(&desk, "results/job"), on_threads(&desk, "quick.toml"));
}

#[test]
fn a_job_that_cannot_find_its_end_goes_by_the_signal_in_time() {
    let desk = desk(200, 1.0);
    // A cluster without squeue on its compute nodes, whose scontrol can only requeue.
    desk.script("bin/squeue", "#!/bin/sh\nexit 1\n");
    desk.script("bin/scontrol", "#!/bin/sh\necho $* >> asked\nexit 1\n");
    let path = format!("export PATH={}:$PATH", desk.path("bin").display());
    let table =
        format!("[slurm]\nsetup = [\"{path}\"]\npartition = \"last\"\ntime = \"1\"\nthreads = 1\n");
    let text = self::job("job", 200, 1.0) + &table;
    desk.write("job.toml", &text);
    let job = submit(&desk, &["job.toml", "--nodes", "1", "--", "--mem=100"]);
    ends(&desk, &job, 90, "FAILED", "75:0");
    let said = log(&desk);
    assert!(said.contains("when it ends is not known"), "{said}");
    assert!(said.contains("SIGUSR2: no new task is started"), "{said}");
    assert!(said.contains("requeue is refused here"), "{said}");
    let asked = std::fs::read_to_string(desk.path("asked")).unwrap();
    assert!(asked.contains(&format!("requeue {job}")), "{asked}");
    let (all, different) = started(&desk, "job");
    assert!(all == different && all > 5, "{all} {different}");
    let kept = sql(&desk, "results/job", "SELECT count(*) FROM runs");
    assert_eq!(kept, [all.to_string()], "none was cut off");
}

#[test]
fn a_cancelled_job_has_stored_what_it_did_and_stays_cancelled() {
    let desk = desk(200, 0.3);
    let small = ["--nodes", "2", "--threads", "2", "--time", "2", "job.toml", "--", "--mem=100"];
    for soft in [false, true] {
        let before = started(&desk, "job").0;
        let job = submit(&desk, &small);
        wait_until(&desk, 30, "beginning", || started(&desk, "job").0 > before + 10);
        if soft {
            ask("scancel", &["--batch", "--signal=USR2", &job]);
            ends(&desk, &job, 30, "FAILED", "75:0");
        } else {
            ask("scancel", &[&job]);
            ends(&desk, &job, 30, "CANCELLED", "");
        }
        assert_eq!(
            sql(&desk, "results/job", "SELECT value FROM job WHERE key = 'state'"),
            ["interrupted"]
        );
        assert_eq!(show(&job, "Restarts"), "0", "{}", log(&desk));
        let failures = sql(&desk, "results/job", "SELECT count(*) FROM failures");
        assert_eq!(failures, ["0"], "what Slurm cut off has not failed: {}", log(&desk));
    }
    // The run can be resumed anywhere; only unfinished tasks are left.
    let kept = sql(&desk, "results/job", "SELECT count(*) FROM runs")[0].clone();
    let cut = started(&desk, "job").0 - kept.parse::<usize>().unwrap();
    assert!(cut <= 4, "{cut} were cut off, all by the hard cancel");
    let last = desk.run(gridmpi(), &["job.toml", "--threads", "30", "--format", "json"]).exits(0);
    assert!(last.stderr.contains(&format!("{kept} of 200 runs reused")), "{}", last.stderr);
    assert_eq!((last.score(), started(&desk, "job").0), (19_900.0, 200 + cut));
}

/// A killed node, revived on drop, so also when the test fails.
struct Dead(&'static str);

impl Drop for Dead {
    fn drop(&mut self) {
        ask("cluster", &["revive", self.0]);
        let begin = Instant::now();
        while ask("sinfo", &["-h", "-N", "-n", self.0, "-p", "main", "-o", "%T"]) != "idle" {
            if begin.elapsed() > Duration::from_secs(30) {
                return; // the next test will report it
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// A job on three nodes loses one and still completes; returns its log and the number of started tasks.
fn loses_a_node(gives_up: bool) -> (String, usize) {
    let desk = desk(120, 0.5);
    let three = ["--nodes", "3", "--threads", "2", "--time", "3", "job.toml", "--", "--mem=100"];
    let job = submit(&desk, &three);
    wait_until(&desk, 30, "beginning", || started(&desk, "job").0 > 20);
    ask("cluster", &["kill", "gs3"]);
    let dead = Dead("gs3");
    if gives_up {
        ask("scontrol", &["update", "nodename=gs3", "state=down", "reason=killed"]);
    }
    ends(&desk, &job, 90, "COMPLETED", "0:0");
    drop(dead);
    assert_eq!(show(&job, "Restarts"), "0", "it went on where it was");
    let (all, different) = started(&desk, "job");
    assert_eq!(different, 120);
    desk.write("quick.toml", &self::job("job", 120, 0.0));
    assert_eq!(summary(&desk, "results/job"), on_threads(&desk, "quick.toml"));
    (log(&desk), all)
}

#[test]
fn a_node_is_killed_and_the_others_do_its_tasks() {
    let (said, started) = loses_a_node(false);
    assert!(said.contains("its tasks go to others"), "{said}");
    assert!(started <= 122, "{started}");
}

#[test]
fn a_node_is_given_up_by_slurm_and_the_ranks_start_again_on_the_others() {
    // Slurm then ends the launcher's step on all nodes; without --no-kill, the whole job.
    let (said, started) = loses_a_node(true);
    assert!(said.contains("the remaining nodes: gs[1-2]"), "{said}");
    assert!(started <= 120 + 6 + 6, "what was under way or just done, at most: {started}");
}

#[test]
fn a_job_array_writes_to_a_folder_for_each_job() {
    let desk = Desk::new();
    for (name, tasks) in [("one", 10), ("two", 20), ("three", 30)] {
        desk.write(&format!("{name}.toml"), &job(name, tasks, 0.05));
    }
    let files =
        ["one.toml", "two.toml", "three.toml", "--nodes", "1", "--threads", "2", "--time", "1"];
    let job = submit(&desk, &[&files[..], &["--", "--mem=100"]].concat());
    for (index, (name, tasks)) in [("one", 10), ("two", 20), ("three", 30)].iter().enumerate() {
        ends(&desk, &format!("{job}_{index}"), 60, "COMPLETED", "0:0");
        let out = format!("results/{name}");
        assert_eq!(sql(&desk, &out, "SELECT count(*) FROM runs"), [tasks.to_string()]);
        assert_eq!(started(&desk, name), (*tasks, *tasks));
    }
    assert!(log(&desk).contains(&format!("Slurm job {job}_2 on gs")), "{}", log(&desk));
}

#[test]
fn the_second_of_two_jobs_on_one_folder_is_refused() {
    // The first one goes on until the second one was there.
    let wait = "shell = \"until [ {x} -lt 10 ] || [ -e go ]; do sleep 0.05; done; ";
    let desk = Desk::with_job(&job("job", 60, 0.0).replace("shell = \"", wait));
    let small = ["--nodes", "1", "--threads", "2", "--time", "3", "job.toml", "--", "--mem=100"];
    let first = submit(&desk, &small);
    wait_until(&desk, 30, "beginning", || started(&desk, "job").0 > 2);
    let second = submit_script(&desk);
    ends(&desk, &second, 60, "FAILED", "2:0");
    desk.write("go", "");
    let said = log(&desk);
    assert!(said.contains(&format!(", Slurm job {first})")), "{said}");
    assert_eq!(said.matches("in use by another gridmpi").count(), 1, "{said}");
    ends(&desk, &first, 60, "COMPLETED", "0:0");
    assert_eq!(started(&desk, "job"), (60, 60));
}

#[test]
fn launch_lines_that_would_start_many_single_ranks_are_refused() {
    let desk = desk(4, 0.0);
    let own = gridmpi().get_program().to_str().unwrap().to_string();
    for line in [format!("srun {own}"), format!("srun --mpi=none {own}"), own.clone()] {
        desk.write(
            "job.sh",
            &format!(
                "#!/bin/bash\n#SBATCH -N2 -n2 -t1 --mem=100 -o refused.log\n{line} job.toml\n"
            ),
        );
        let job = submit_script(&desk);
        ends(&desk, &job, 30, "FAILED", "2:0");
        let said = log(&desk);
        assert!(said.contains("each would run the whole job"), "{line}: {said}");
        assert!(said.contains("srun --mpi="), "{line}: {said}");
        assert_eq!(said.matches("each would").count(), 1, "one rank says it: {said}");
    }
    assert_eq!(started(&desk, "job"), (0, 0));
}

#[test]
fn children_have_their_share_of_the_allocation() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo {x} $OMP_NUM_THREADS $GRIDMPI_MEMORY >> shares; sleep 0.1; echo {x}\"\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 12 }\nreduce = \"sum\"\n",
    );
    let shares = ["--nodes", "2", "--threads", "2", "--time", "1", "job.toml"];
    let job = submit(&desk, &[&shares[..], &["--", "--mem=800", "--cpus-per-task", "4"]].concat());
    ends(&desk, &job, 60, "COMPLETED", "0:0");
    let shares = std::fs::read_to_string(desk.path("shares")).unwrap();
    assert!(shares.lines().count() == 12, "{shares}");
    for line in shares.lines() {
        assert!(line.ends_with(" 2 400"), "4 cores and 800 MiB for two threads: {shares}");
    }
}

#[test]
fn it_submits_by_itself_and_says_why_slurm_refuses() {
    let name = r#"it's #1 "of" a\b, 5% $HOME `id`"#;
    let text = job("job", 4, 0.0);
    let text = text.replace("name = \"job\"", &format!("name = '''{name}'''"));
    let desk = Desk::with_job(&text);
    let small = ["sbatch", "job.toml", "--submit", "--nodes", "1", "--threads", "1", "--time", "1"];
    let more = ["--", "--mem=100", "--comment", name];
    let submitted: Ran = desk.run(gridmpi(), &[&small[..], &more].concat()).exits(0);
    let job = submitted.stdout.trim().rsplit(' ').next().unwrap().to_string();
    ends(&desk, &job, 30, "COMPLETED", "0:0");
    let queue = ["--noheader", "--states=all", "--job", &job, "--format", "%j|%k"];
    assert_eq!(ask("squeue", &queue), format!("{name}|{name}"));
    assert!(desk.path("results").join(name).join("summary.json").exists());
    assert!(desk.path(&format!("{}-{job}.log", name.replace('\\', "_"))).exists());
    let nowhere = [&small[..], &["--partition", "nowhere"]].concat();
    let refused = desk.run(gridmpi(), &nowhere).exits(2);
    assert!(refused.stderr.contains("sbatch has refused the script"), "{}", refused.stderr);
    // Slurm tells the number of cores per node.
    let asked = desk.run(gridmpi(), &["sbatch", "job.toml", "--ntasks-per-node", "2"]).exits(0);
    assert!(asked.stdout.contains("#SBATCH --cpus-per-task=2\n"), "{}", asked.stdout);
}
