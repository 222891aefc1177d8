//! `gridmpi sbatch` and time limits, as far as they can be tested without Slurm; tests/slurm.rs has the rest.

mod common;

use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Desk, gridmpi, of_tasks};

fn job(seconds: f64, more: &str) -> String {
    format!(
        "[crunch]\nshell = \"echo {{x}} >> started; sleep {seconds}; echo {{x}}\"\n\
         [[loop]]\nname = \"x\"\nrange = {{ from = 0, to = 100 }}\nreduce = \"sum\"\n{more}"
    )
}

/// The output of `gridmpi sbatch`; checks that bash can parse it.
fn script(desk: &Desk, arguments: &[&str]) -> String {
    let script = desk.run(gridmpi(), &[&["sbatch"][..], arguments].concat()).exits(0).stdout;
    desk.write("job.sh", &script);
    let mut bash = Command::new("bash");
    bash.arg("-n");
    assert_eq!(desk.run(bash, &["job.sh"]).exits(0).stderr, "");
    script
}

fn has(script: &str, lines: &[&str]) {
    for line in lines {
        assert!(script.lines().any(|l| l == *line), "{line:?} is not in\n{script}");
    }
}

#[test]
fn a_script_says_all_that_it_needs() {
    let desk = Desk::with_job(&job(0.0, ""));
    let asked = ["job.toml", "--nodes", "3", "--ntasks-per-node", "2", "--threads", "8"];
    let more = ["--time", "1-12", "--partition", "fast", "--", "--mem", "8G", "--comment=a b"];
    let text = script(&desk, &[&asked[..], &more].concat());
    let said = [
        "#SBATCH --nodes=3",
        "#SBATCH --ntasks-per-node=2",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --time=1-12:00:00",
        "#SBATCH --partition=fast",
        "#SBATCH --signal=B:USR1@60",
        "#SBATCH --no-kill",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        "#SBATCH --mem 8G",
        "#SBATCH --comment=\"a b\"",
    ];
    has(&text, &said);
    assert!(text.contains("launch -n \"$SLURM_NTASKS\" --threads 8 --master-works"), "{text}");
    assert!(text.contains("-ge 20 ]"), "{text}");
    assert!(!text.contains("proposed"), "{text}");
    let srun = script(&desk, &[&asked[..], &["--launcher", "srun --mpi=pmix"]].concat());
    let line = "-- --mpi=pmix --no-kill \"--cpus-per-task=$SLURM_CPUS_PER_TASK\" &";
    assert!(srun.contains("--mpirun srun") && srun.contains(line), "{srun}");
}

#[test]
fn the_job_file_speaks_where_the_command_line_does_not() {
    let table = "[slurm]\nnodes = 4\nthreads = 2\ntime = \"90\"\npartition = \"slow\"\nrequeues = 3\n\
                 launcher = \"srun --mpi=pmi2\"\nmodules = [\"gcc/12\", \"openmpi\"]\nvenv = \"my venv\"\n\
                 setup = [\"ulimit -n 4096\"]\noptions = [\"--account=me\"]\n";
    let desk = Desk::with_job(&job(0.0, table));
    let text = script(&desk, &["job.toml", "--nodes", "5", "--out", "the results"]);
    let said = [
        "#!/bin/bash -l",
        "#SBATCH --nodes=5",
        "#SBATCH --cpus-per-task=2",
        "#SBATCH --time=01:30:00",
        "#SBATCH --partition=slow",
        "#SBATCH --account=me",
        "module load gcc/12 openmpi || exit",
        "source 'my venv/bin/activate' || exit",
        "ulimit -n 4096",
    ];
    has(&text, &said);
    assert!(text.contains("--mpirun srun") && text.contains("--out 'the results'"), "{text}");
    assert!(text.contains("-ge 3 ]"), "{text}");
    // It changes neither the results nor the identity of runs.
    desk.run_job().exits(0);
    desk.write("job.toml", &job(0.0, ""));
    assert!(desk.run_job().exits(0).stderr.contains("100 of 100 runs reused"));
}

#[test]
fn a_number_of_minutes_is_a_time_limit_in_the_job_file_too() {
    let desk = Desk::with_job(&job(0.0, "[slurm]\ntime = 30\n"));
    let text = script(&desk, &["job.toml", "--threads", "1"]);
    has(&text, &["#SBATCH --time=00:30:00"]);
    desk.run_job().exits(0);
}

/// A sinfo that says this.
fn with_sinfo(desk: &Desk, says: &str) -> Command {
    desk.script("bin/sinfo", &format!("#!/bin/sh\nprintf '{says}'\n"));
    let mut command = gridmpi();
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", desk.path("bin").display()));
    command
}

#[test]
fn what_the_partition_does_not_have_is_warned_about_with_what_there_is() {
    let desk = Desk::with_job(&job(0.0, ""));
    let warned = |asked: &[&str]| {
        let command = with_sinfo(&desk, "main*|4|16|gpu:2|1-00:00:00\\n");
        desk.run(command, &[&["sbatch", "job.toml"], asked].concat()).exits(0).stderr
    };
    assert_eq!(warned(&["--nodes", "4", "--", "--gpus-per-node=2"]), "");
    for (asked, says) in [
        (&["--nodes", "5"][..], "5 nodes: partition main has 4 nodes"),
        (&["--threads", "17"], "17 cores of each node: partition main has 16 cores"),
        (&["--time", "2-00"], "2 d: partition main allows 1 d; "),
        (&["--", "--gpus", "9"], "9 GPUs: partition main has 8 GPUs"),
    ] {
        let said = warned(asked);
        assert!(said.contains(says) && said.lines().count() == 1, "{says}: {said}");
    }
    let said = warned(&["--nodes", "3", "--threads", "1"]);
    assert!(said.contains("one of the 3 nodes computes nothing"), "{said}");
    assert!(said.contains("--threads 2") && said.contains("--ntasks-per-node 2"), "{said}");
    assert_eq!(warned(&["--nodes", "3", "--threads", "1", "--ntasks-per-node", "2"]), "");
}

#[test]
fn nodes_and_time_follow_from_what_runs_took() {
    let desk = Desk::with_job(&job(0.0, ""));
    let text = script(&desk, &["job.toml", "--threads", "1"]);
    has(&text, &["#SBATCH --nodes=1", "#SBATCH --time=01:00:00"]);
    assert!(text.contains("a guess: no run was recorded yet"), "{text}");
    desk.run(gridmpi(), &["job.toml", "--out", "results/job"]).exits(0);
    // As if each task of the first half had taken ten minutes.
    let store = desk.path("results/job/runs.sqlite");
    let store = rusqlite::Connection::open(store).unwrap();
    store
        .execute_batch(&format!(
            "DELETE FROM runs WHERE {}; UPDATE runs SET seconds = 600",
            of_tasks("task >= 50")
        ))
        .unwrap();
    drop(store);
    let text = script(&desk, &["job.toml", "--threads", "2"]);
    has(&text, &["#SBATCH --nodes=6", "#SBATCH --time=01:30:00"]);
    assert!(text.contains("50 tasks left, 10 min 0 s each so far"), "{text}");
    has(
        &script(&desk, &["job.toml", "--threads", "2", "--nodes", "25"]),
        &["#SBATCH --time=00:15:00"],
    );
}

#[test]
fn several_jobs_make_an_array() {
    let desk = Desk::new();
    desk.write("a.toml", &job(0.0, ""));
    desk.write("b.toml", &job(0.0, ""));
    let text = script(&desk, &["a.toml", "b.toml", "--threads", "1"]);
    has(&text, &["#SBATCH --array=0-1", "jobs=(a.toml b.toml)", "folders=(results/a results/b)"]);
    let refuse = |arguments: &[&str], says: &str| {
        let ran = desk.run(gridmpi(), &[&["sbatch"][..], arguments].concat()).exits(2);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    };
    refuse(&["a.toml", "a.toml"], "would write to one folder, results/a");
    refuse(&["a.toml", "b.toml", "--out", "out"], "--out names one folder");
    refuse(&["a.toml", "--time", "soon"], "expected minutes, hours:minutes:seconds");
    refuse(&["c.toml"], "c.toml: cannot be read");
    refuse(&["a.toml", "--launcher", "'"], "no launcher");
}

#[test]
fn there_are_no_more_parts_than_points() {
    let six = "[crunch]\nshell = \"echo {a}\"\n\
               [[loop]]\nname = \"a\"\nrange = { from = 0, to = 6 }\n";
    let desk = Desk::with_job(six);
    let script = |parts: &str| {
        desk.run(gridmpi(), &["sbatch", "job.toml", "--threads", "1", "--parts", parts]).exits(0)
    };
    let has = |ran: &common::Ran, line: &str| {
        assert!(ran.stdout.lines().any(|l| l.trim() == line), "{line}: {}", ran.stdout);
    };
    let four = script("4");
    assert!(!four.stderr.contains("--parts"), "{}", four.stderr);
    has(&four, "#SBATCH --array=1-4");
    assert!(four.stdout.contains("-%A_%a.log"), "{}", four.stdout);
    has(&four, "job.toml --out results/job --part \"$SLURM_ARRAY_TASK_ID/4\" -- --bind-to none &");
    let fewer = script("9");
    has(&fewer, "#SBATCH --array=1-6");
    let says = "--parts 9: loop 'a', the outermost one, has 6 points, and each part needs one: the job is split into 6";
    assert!(fewer.stderr.contains(says), "{}", fewer.stderr);
    let one = script("1");
    assert!(!one.stdout.contains("--array") && !one.stdout.contains("--part"), "{}", one.stdout);
    desk.write("job.toml", &six.replace("to = 6", "to = 1"));
    let one = script("3");
    assert!(one.stderr.contains("the job is not split"), "{}", one.stderr);
    assert!(!one.stdout.contains("--array"), "{}", one.stdout);
    let part = ["launch", "-n", "1", "job.toml", "--part", "1/2"];
    let refused = desk.run(gridmpi(), &part).exits(2).stderr;
    assert!(refused.contains("2 parts, and loop 'a' has 1 points"), "{refused}");
    desk.write("b.toml", six);
    let several = ["sbatch", "job.toml", "b.toml", "--parts", "2"];
    let refused = desk.run(gridmpi(), &several).exits(2).stderr;
    assert!(refused.contains("--parts splits one job"), "{refused}");
}

/// Blanks, quotes and shell commands.
const HOSTILE: &str = r#"it's #1 "x" \ %j $HOME `touch run` $(touch run) ; touch run"#;

/// Runs the script as Slurm would on one node.
fn bash(desk: &Desk) -> Command {
    let mut bash = Command::new("bash");
    bash.env("SLURM_NTASKS", "1").env("HOME", desk.path("home"));
    bash
}

#[test]
fn nothing_in_a_name_is_run_by_the_script() {
    let desk = Desk::new();
    let file = "$(touch run) it's `touch run`\ntouch run\n.toml";
    desk.write(file, &format!("name = '''{HOSTILE}'''\n{}", job(0.0, "")));
    let out = format!("{HOSTILE}\nout");
    let asked = [file, "--out", &out, "--threads", "2", "--nodes", "1", "--time", "1"];
    let text = script(&desk, &[&asked[..], &["--", "--comment", HOSTILE]].concat());
    // As sbatch reads them: quoted, with quotes and backslashes escaped.
    let quoted = HOSTILE.replace('\\', r"\\").replace('"', "\\\"");
    has(&text, &[&format!("#SBATCH --job-name=\"{quoted}\"")]);
    has(&text, &[&format!("#SBATCH --comment \"{quoted}\"")]);
    let ran = desk.run(bash(&desk), &["job.sh"]).exits(0);
    assert!(desk.path(&out).join("summary.json").exists(), "{}", ran.stderr);
    assert!(!desk.path("run").exists(), "{text}");
    // A shell must not interpret the launcher's words either, except Slurm's variables.
    desk.script("launcher", "#!/bin/sh\nprintf '%s|' \"$@\" > words\n");
    let line = r#"./launcher '$SLURM_NTASKS "`touch run`\ $(touch run) $HOME' '$(touch run)'"#;
    let fresh = ["--out", "launched", "--launcher", line];
    script(&desk, &[&[file, "--threads", "1"][..], &fresh].concat());
    desk.run(bash(&desk), &["job.sh"]).exits(1);
    let words = std::fs::read_to_string(desk.path("words")).unwrap();
    let told = r#"-n|1|1 "`touch run`\ $(touch run) $HOME|$(touch run)|"#;
    assert!(words.starts_with(told), "{words}");
    assert!(!desk.path("run").exists());
}

#[test]
fn a_script_ends_where_its_surroundings_cannot_be_had() {
    let desk = Desk::with_job(&job(0.0, "[slurm]\nvenv = \"~/my venv\"\n"));
    let text = script(&desk, &["job.toml", "--threads", "1"]);
    has(&text, &["source ~/'my venv/bin/activate' || exit"]);
    assert!(desk.run(bash(&desk), &["job.sh"]).exits(1).stderr.contains("No such file"));
    assert_eq!(started(&desk), 0, "the wrong Python would have run it");
    desk.write("home/my venv/bin/activate", "touch activated\n");
    desk.run(bash(&desk), &["job.sh"]).exits(0);
    assert!(desk.path("activated").exists());
}

#[test]
fn what_slurm_cannot_be_told_is_refused() {
    let desk = Desk::with_job(&job(0.0, ""));
    for words in [["--partition", "a\ntouch run"], ["--", "--comment=a\ntouch run"]] {
        let asked = [&["sbatch", "job.toml", "--threads", "1"][..], &words].concat();
        let ran = desk.run(gridmpi(), &asked).exits(2);
        assert!(
            ran.stderr.contains("cannot be passed to sbatch: expected a single line"),
            "{}",
            ran.stderr
        );
    }
    for (line, says) in [
        ("node = 3", "job.toml:8: 'slurm.node' is no key here; did you mean 'nodes'?"),
        ("nodes = 0", "job.toml:8: slurm.nodes: expected at least 1, found 0"),
        ("time = \"1h\"", "job.toml:8: slurm.time: expected minutes, "),
        ("time = 0", "job.toml:8: slurm.time: expected minutes, "),
        ("time = 1.5", "job.toml:8: slurm.time: expected minutes, "),
        ("time = 02:00:00", "job.toml:8: slurm.time: expected minutes, "),
        ("setup = [\"\"\"a\nb\"\"\"]", "job.toml:8: slurm.setup[0]: expected one line"),
        ("modules = \"gcc\"", "job.toml:8: slurm.modules: expected an array"),
    ] {
        let desk = Desk::with_job(&job(0.0, &format!("[slurm]\n{line}\n")));
        let ran = desk.run(gridmpi(), &["job.toml"]).exits(2);
        assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
    }
}

/// Environment of a Slurm allocation that ends in `seconds`.
fn allocated(mut command: Command, seconds: u64) -> Command {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let end = (now + Duration::from_secs(seconds)).as_secs().to_string();
    command.env("SLURM_JOB_ID", "17").env("SLURM_JOB_NODELIST", "n1");
    command.env("SLURM_JOB_END_TIME", end);
    command
}

fn started(desk: &Desk) -> usize {
    std::fs::read_to_string(desk.path("started")).unwrap_or_default().lines().count()
}

/// Makes a test up to three times: an allocation ends at its time, whatever was held up until then. Later ones may be
/// longer by so many seconds.
fn in_three_tries(test: fn(u32)) {
    let fails = |longer| std::panic::catch_unwind(|| test(longer)).is_err();
    if fails(0) && fails(15) {
        test(30);
    }
}

#[test]
fn a_job_begins_nothing_that_does_not_fit_and_goes_on_in_another_allocation() {
    in_three_tries(|_| {
        let desk = Desk::with_job(&job(0.4, ""));
        let run = ["job.toml", "--threads", "2", "--out", "out", "--format", "json"];
        let begin = Instant::now();
        let ran = desk.run(allocated(gridmpi(), 12), &run).exits(75);
        assert!(begin.elapsed() < Duration::from_secs(12), "it ended in time");
        let stored = desk.sql("SELECT count(*) FROM runs");
        assert_eq!(stored, [started(&desk).to_string()], "nothing was cut off: {}", ran.stderr);
        let why = desk.sql("SELECT value FROM job WHERE key IN ('state', 'why') ORDER BY key");
        assert_eq!(why, ["interrupted", "the time is over"]);
        for says in ["Slurm job 17 on n1, ", "not expected to fit", "the time is over: "] {
            assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
        }
        let last = desk.run(allocated(gridmpi(), 3600), &run).exits(0);
        assert!(last.stderr.contains("expected to fit"), "{}", last.stderr);
        assert_eq!((last.score(), started(&desk)), (4950.0, 100), "nothing was done twice");
    });
}

#[test]
fn what_takes_longer_than_the_allocation_is_cut_off_and_said_to_be_hopeless() {
    in_three_tries(|_| {
        let desk = Desk::with_job(&job(600.0, ""));
        let run = ["job.toml", "--threads", "2", "--out", "out"];
        let begin = Instant::now();
        let ran = desk.run(allocated(gridmpi(), 10), &run).exits(75);
        assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
        assert!(ran.stderr.contains("running tasks are cut off"), "{}", ran.stderr);
        // The script must not requeue it.
        let launch = ["launch", "-n", "2", "job.toml", "--out", "out"];
        let ran = desk.run(allocated(gridmpi(), 10), &launch).exits(1);
        assert!(ran.stderr.contains("no run finished within the time limit"), "{}", ran.stderr);
    });
}

#[test]
fn what_was_cut_off_is_not_begun_again_where_it_cannot_end() {
    in_three_tries(|_| {
        let desk = Desk::with_job(&job(600.0, ""));
        let run = ["job.toml", "--threads", "2", "--out", "out"];
        let ran = desk.run(allocated(gridmpi(), 24), &run).exits(75);
        assert!(ran.stderr.contains("at least "), "{}", ran.stderr);
        assert!(ran.stderr.contains("it needs an allocation of more than "), "{}", ran.stderr);
        let cut_off =
            "SELECT count(*), min(seconds) > 1 FROM failures WHERE error LIKE 'it was cut off%'";
        assert_eq!(desk.sql(cut_off), ["2|1"]);
        assert_eq!(started(&desk), 2);
        let ran = desk.run(allocated(gridmpi(), 12), &run).exits(75);
        assert_eq!(started(&desk), 2, "nothing was begun: {}", ran.stderr);
        assert!(ran.stderr.contains("not expected to fit"), "{}", ran.stderr);
    });
}

#[test]
fn a_launcher_that_stays_does_not_keep_a_job_from_being_requeued() {
    in_three_tries(|longer| {
        let desk = Desk::with_job(&job(0.4 + f64::from(longer) / 10.0, ""));
        let stays = "#!/bin/sh\n[ \"$1\" != --version ] || exec mpirun --version\nmpirun \"$@\"\nexec sleep 1000\n";
        desk.script("stays", stays);
        let launch = ["launch", "-n", "2", "job.toml", "--out", "out", "--mpirun", "./stays"];
        let ran = desk.run(allocated(gridmpi(), 15 + u64::from(longer)), &launch).exits(75);
        assert!(ran.stderr.contains("rank 0 ended before the job was complete"), "{}", ran.stderr);
        assert!(!ran.stderr.contains("starting it again"), "{}", ran.stderr);
        assert_eq!(desk.sql("SELECT value FROM job WHERE key = 'why'"), ["the time is over"]);
    });
}

#[test]
fn children_have_the_cores_and_the_memory_of_the_allocation() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo $OMP_NUM_THREADS $GRIDMPI_MEMORY >> shares; echo {x}\"\n\
         [[loop]]\nname = \"x\"\nvalues = [1, 2, 3]\nreduce = \"sum\"\n",
    );
    let mut command = allocated(gridmpi(), 600);
    command.env("SLURM_CPUS_PER_TASK", "6").env("SLURM_MEM_PER_CPU", "100");
    desk.run(command, &["job.toml", "--threads", "2"]).exits(0);
    let shares = std::fs::read_to_string(desk.path("shares")).unwrap();
    assert_eq!(shares, "3 300\n3 300\n3 300\n");
}
