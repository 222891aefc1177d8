//! The command line: arguments, output and exit codes.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Desk, example, gridmpi, mpirun};

const JOB: &str = "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\n";

#[test]
fn without_arguments_it_demonstrates_the_textbook_case() {
    let desk = Desk::new();
    let ran = desk.run(mpirun(9), &["--quick"]).exits(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].contains("all_runs") && lines[0].contains("summary"), "{}", ran.stdout);
    for (dataset, line) in lines[1..=10].iter().enumerate() {
        assert!(line.starts_with(&dataset.to_string()), "{line}");
        let numbers: Vec<f64> = line
            .split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'))
            .filter_map(|word| word.parse().ok())
            .collect();
        let [_, below, zero, above, max, index] = numbers[..] else { panic!("{line}") };
        assert_eq!((below, zero), (-above, 0.0), "{line}");
        assert_eq!((max, index), (above.abs(), if above > 0.0 { 2.0 } else { 0.0 }), "{line}");
    }
    let ran_by: u32 = lines[12..20]
        .iter()
        .map(|line| {
            line.split(" ran ").nth(1).unwrap().trim_end_matches(" tasks").parse::<u32>().unwrap()
        })
        .sum();
    assert_eq!(ran_by, 30);
    assert!(ran.stdout.contains("one after another they would have taken"), "{}", ran.stdout);
    assert!(!desk.path("results").exists(), "the demonstration leaves nothing behind");
    let threads = desk.run(gridmpi(), &["--quick", "--format", "json", "--out", "kept"]).exits(0);
    assert_eq!(threads.groups().len(), 10);
    assert!(desk.path("kept/runs.sqlite").exists());
}

#[test]
fn eight_workers_take_four_seconds_for_thirty() {
    // Not a benchmark, so a slow machine may take longer than four rounds of 1 s; a serial run takes 30 s.
    let desk = Desk::new();
    let ran = desk.run(mpirun(9), &[]).exits(0);
    let took = ran.stdout.lines().last().unwrap().to_string();
    let seconds: f64 =
        took.split("took ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(seconds >= 4.0, "{took}");
    let serial = took.split("taken ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(serial.parse::<f64>().unwrap() >= 30.0, "{took}");
}

#[test]
fn without_arguments_it_runs_the_job_that_lies_there() {
    let desk = Desk::new();
    desk.write("gridmpi.toml", JOB);
    let ran = desk.run(gridmpi(), &[]).exits(0);
    assert_eq!(ran.stdout.lines().count(), 3, "{}", ran.stdout);
    assert!(desk.path("results/gridmpi/summary.json").exists());
    let ran = desk.run(gridmpi(), &["--quick"]).exits(2);
    assert!(ran.stderr.contains("--quick is for the built-in demonstration"), "{}", ran.stderr);
}

#[test]
fn run_is_the_default_verb_and_one_rank_is_threads() {
    let desk = Desk::with_job(JOB);
    let default = desk.run(gridmpi(), &["job.toml", "--out", "a"]).exits(0);
    let named = desk.run(gridmpi(), &["run", "job.toml", "--out", "b"]).exits(0);
    let alone = desk.run(mpirun(1), &["job.toml", "--out", "c", "--threads", "2"]).exits(0);
    assert_eq!(default.stdout, named.stdout);
    assert_eq!(default.stdout, alone.stdout);
}

#[test]
fn fresh_moves_earlier_results_aside() {
    let desk = Desk::with_job(JOB);
    desk.run(gridmpi(), &["job.toml"]).exits(0);
    let before = std::fs::read(desk.path("results/job/runs.sqlite")).unwrap();
    desk.run(gridmpi(), &["job.toml", "--fresh"]).exits(0);
    assert!(std::fs::read(desk.path("results/job/earlier-1/runs.sqlite")).unwrap() == before);
    desk.run(gridmpi(), &["job.toml", "--fresh"]).exits(0);
    assert!(desk.path("results/job/earlier-2/summary.json").exists());
    let both = desk.run(gridmpi(), &["job.toml", "--fresh", "--keep"]).exits(2);
    assert!(both.stderr.contains("cannot be used with"), "{}", both.stderr);
}

#[test]
fn a_folder_in_use_is_refused_and_a_killed_run_lets_go() {
    let slow = JOB.replace("\"multiply\"", "\"multiply\"\nsleep = 60");
    let desk = Desk::with_job(&slow);
    let mut first = gridmpi();
    first.args(["job.toml", "--out", "out"]).current_dir(desk.path("")).stderr(Stdio::null());
    let mut first = first.spawn().unwrap();
    let begin = Instant::now();
    while !desk.path("out/runs.sqlite").exists() {
        assert!(begin.elapsed() < Duration::from_secs(20), "the first run did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    for arguments in [&["job.toml", "--out", "out"][..], &["job.toml", "--out", "out", "--fresh"]] {
        let second = desk.run(gridmpi(), arguments).exits(2);
        let holder = format!("in use by another gridmpi (process {} on ", first.id());
        assert!(second.stderr.contains(&holder), "{}", second.stderr);
    }
    first.kill().unwrap();
    first.wait().unwrap();
    desk.write("job.toml", JOB);
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--fresh"]).exits(0);
}

#[test]
fn singletons_of_a_launcher_that_does_not_fit_are_refused() {
    let desk = Desk::with_job(JOB);
    for (variables, says) in [
        (
            &[("PMI_SIZE", "4"), ("PMI_RANK", "0")][..],
            "PMI_SIZE says 4 processes, but MPI says this one is alone",
        ),
        (&[("SLURM_NTASKS", "9"), ("SLURM_PROCID", "0")], "or give --threads N"),
        (
            &[("SLURM_STEP_NUM_TASKS", "9"), ("SLURM_PROCID", "0")],
            "each would run the whole job; gridmpi uses Open MPI",
        ),
    ] {
        let mut command = gridmpi();
        command.envs(variables.iter().copied());
        let ran = desk.run(command, &["job.toml"]).exits(2);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        assert!(!desk.path("results").exists());
    }
    let mut other_rank = gridmpi();
    other_rank.envs([("PMI_SIZE", "4"), ("PMI_RANK", "3")]);
    assert!(!desk.run(other_rank, &["job.toml"]).exits(2).stderr.contains("gridmpi: error"));
    // A PMIx launcher does not tell the size: every rank but the first refuses to run the whole job.
    for (rank, code) in [("1", 2), ("0", 0)] {
        let mut command = gridmpi();
        command.env("PMIX_RANK", rank);
        desk.run(command, &["job.toml", "--out", "pmix"]).exits(code);
    }
    let mut batch_script = gridmpi();
    batch_script.envs([("SLURM_NTASKS", "9"), ("SLURM_PROCID", "0")]);
    desk.run(batch_script, &["job.toml", "--threads", "2"]).exits(0);
}

#[test]
fn init_writes_a_job_that_runs() {
    let desk = Desk::new();
    let ran = desk.run(gridmpi(), &["init"]).exits(0);
    assert!(ran.stdout.contains("gridmpi gridmpi.toml"), "{}", ran.stdout);
    let ran = desk.run(gridmpi(), &[]).exits(0);
    assert_eq!(ran.stdout.lines().count(), 4, "{}", ran.stdout);
    let again = desk.run(gridmpi(), &["init"]).exits(2);
    assert!(again.stderr.contains("gridmpi.toml: not written: File exists"), "{}", again.stderr);
}

#[test]
fn help_teaches() {
    let desk = Desk::new();
    let help = desk.run(gridmpi(), &["--help"]).exits(0).stdout;
    for taught in ["mpirun -n 9 gridmpi job.toml", "gridmpi init", "Exit codes"] {
        assert!(help.contains(taught), "{taught:?} is not in:\n{help}");
    }
    for verb in ["run", "check", "launch", "sbatch", "init", "completions", "man"] {
        let help = desk.run(gridmpi(), &["help", verb]).exits(0).stdout;
        assert!(help.contains("Example"), "gridmpi help {verb} has no example:\n{help}");
    }
    // Under mpirun it is printed once.
    let help = desk.run(mpirun(3), &["--help"]).exits(0).stdout;
    assert_eq!(help.matches("Exit codes").count(), 1);
}

/// The help of a subcommand in a terminal of that width.
fn help_of(program: &Path, verb: &str, width: usize) -> String {
    let mut command = Command::new(program);
    command.env("COLUMNS", width.to_string());
    let arguments: Vec<&str> = verb.split_whitespace().chain(["--help"]).collect();
    Desk::new().run(command, &arguments).exits(0).stdout
}

#[test]
fn every_help_is_wrapped_once_and_its_examples_call_the_program() {
    let own = PathBuf::from(gridmpi().get_program());
    for (program, name) in [(own, "gridmpi"), (example("textbook"), "textbook")] {
        let top = help_of(&program, "", 80);
        let verbs = top.lines().skip_while(|line| *line != "Commands:").skip(1);
        let verbs = verbs.take_while(|line| !line.is_empty());
        // Lines with more indentation continue the previous subcommand.
        let verbs = verbs.filter(|line| !line.starts_with("   "));
        let verbs: Vec<&str> = verbs.filter_map(|line| line.split_whitespace().next()).collect();
        assert!(verbs.contains(&"export") && verbs.last() == Some(&"help"), "{verbs:?}");
        for verb in verbs.iter().filter(|verb| **verb != "help").chain([&""]) {
            for width in [80, 100] {
                let help = help_of(&program, verb, width);
                let lines: Vec<&str> = help.lines().collect();
                let too_long = lines.iter().find(|line| line.chars().count() > width);
                assert_eq!(too_long, None, "{name} {verb} --help");
                // A line of prose is broken only where the next word does not fit.
                for pair in lines.windows(2) {
                    let is_prose = |line: &str| line.starts_with(|c: char| c.is_alphabetic());
                    let next = pair[1].split(' ').next().unwrap_or_default();
                    let room = pair[0].len() + 1 + next.len() <= width;
                    let wrapped_twice = room && is_prose(pair[0]) && is_prose(pair[1]);
                    assert!(!wrapped_twice, "{name} {verb} --help:\n{}\n{}", pair[0], pair[1]);
                }
                let examples = lines.iter().skip_while(|line| !line.starts_with("Example"));
                for example in examples.skip(1).take_while(|line| !line.is_empty()) {
                    let call = example.trim_start_matches("  mpirun -n 9").trim_start();
                    let called = call.split(' ').next() == Some(name);
                    assert!(called, "{name} {verb} --help:\n{example}");
                }
            }
        }
    }
}

#[test]
fn completions_and_manual_come_from_the_same_definitions() {
    let desk = Desk::new();
    let script = desk.run(gridmpi(), &["completions", "bash"]).exits(0).stdout;
    desk.write("completions.bash", &script);
    let complete = ". ./completions.bash; COMP_WORDS=(gridmpi ini); COMP_CWORD=1; _gridmpi gridmpi ini gridmpi; echo \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["-c", complete]);
    assert_eq!(desk.run(bash, &[]).exits(0).stdout.trim(), "init");
    let page = desk.run(gridmpi(), &["man"]).exits(0).stdout;
    assert!(page.contains(".TH") && page.contains("\\-\\-threads"), "{page}");
}

#[test]
fn logs_name_the_rank_on_stderr() {
    let desk =
        Desk::with_job(&JOB.replace("multiply\"", "multiply\"\n").replace("[1, 2]", "[1, 2, 3]"));
    let ran = desk.run(gridmpi(), &["job.toml"]).exits(0);
    assert!(ran.stderr.contains(" rank 0 INFO] job: 3 tasks on"), "{}", ran.stderr);
    let mut quiet = gridmpi();
    quiet.env("RUST_LOG", "error");
    assert_eq!(desk.run(quiet, &["job.toml", "--fresh"]).exits(0).stderr, "");
    // With -v, failed runs are reported by the worker that ran them.
    desk.write(
        "job.toml",
        "[crunch]\ncommand = [\"false\"]\n[[loop]]\nname = \"x\"\nvalues = [1]\n",
    );
    let ran = desk.run(gridmpi(), &["job.toml", "-v", "--out", "v"]).exits(100);
    assert!(
        ran.stderr.contains(" rank 1 DEBUG] task 0 failed: false: exit status: 1"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let desk = Desk::with_job(JOB);
    let program = env!("CARGO_BIN_EXE_gridmpi");
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("set -o pipefail; {program} completions bash | head -c 1")]);
    desk.run(shell, &[]).exits(0);
}

#[test]
fn progress_is_a_bar_on_a_terminal_and_a_line_now_and_then_elsewhere() {
    let points = (1..=28).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    let slow = JOB.replace("\"multiply\"", "\"multiply\"\nsleep = 0.5").replace("1, 2", &points);
    let desk = Desk::with_job(&slow);
    let program = env!("CARGO_BIN_EXE_gridmpi");
    let mut terminal = Command::new("script");
    let line = format!("{program} job.toml --threads 4 --out bar");
    terminal.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let shown = desk.run(terminal, &[]).exits(0).stdout;
    assert!(shown.contains("of 28 runs") && shown.contains("left"), "{shown}");
    let elsewhere = desk.run(gridmpi(), &["job.toml", "--threads", "2"]).exits(0).stderr;
    assert!(!elsewhere.contains('\r'), "{elsewhere}");
    let lines = elsewhere.lines().filter(|line| line.contains(" of 28 runs, 0 failed, "));
    assert_eq!(lines.count(), 1, "{elsewhere}");
}

#[test]
fn what_was_meant_is_guessed() {
    let desk = Desk::with_job(JOB);
    desk.run(gridmpi(), &["job.toml"]).exits(0);
    let results =
        "results/job is a results folder: gridmpi status results/job says how its run stands";
    for (arguments, says) in [
        (
            &["rprt", "x"][..],
            "'rprt' is no subcommand, and no job file: did you mean the subcommand report?",
        ),
        (&["statsu", "results/job"], "did you mean the subcommand status?"),
        (&["plann", "job.toml", "--pilot", "3"], "did you mean the subcommand plan?"),
        (&["exprot"], "did you mean the subcommand export?"),
        (&["results/job"], results),
        (&["run", "results/job"], results),
        (&["plan", "results/job"], results),
        (&["results/job", "--quck"], results),
        (&["results/job/summary.json"], results),
        (
            &["job.tml"],
            "job.tml: cannot be read: No such file or directory (os error 2); did you mean job.toml?",
        ),
        (&["job"], "did you mean job.toml?"),
        (&["."], "did you mean job.toml?"),
        (&["x", "y"], "'x' is no subcommand, and no job file: "),
    ] {
        let ran = desk.run(gridmpi(), arguments).exits(2);
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    let again = format!("gridmpi {} --out results/job goes on", desk.path("job.toml").display());
    let ran = desk.run(gridmpi(), &["results/job"]).exits(2);
    assert!(ran.stderr.contains(&again), "{}", ran.stderr);
    // Under mpirun it is said once.
    let ran = desk.run(mpirun(3), &["rprt", "x"]).exits(2);
    assert_eq!(ran.stderr.matches("did you mean").count(), 1, "{}", ran.stderr);
    // An option that is no option is that still.
    let ran = desk.run(gridmpi(), &["job.toml", "--quck"]).exits(2);
    assert!(ran.stderr.contains("unexpected argument '--quck'"), "{}", ran.stderr);
}

#[test]
fn the_demonstration_says_what_it_is_before_it_begins() {
    let desk = Desk::new();
    let ran = desk.run(gridmpi(), &["--quick"]).exits(0);
    let said = ran.stderr.find("this is the demonstration").unwrap();
    assert!(said < ran.stderr.find("demo: 30 tasks on").unwrap(), "{}", ran.stderr);
    assert!(ran.stderr.contains("gridmpi init"), "{}", ran.stderr);
    desk.write("gridmpi.toml", JOB);
    assert!(!desk.run(gridmpi(), &[]).exits(0).stderr.contains("demonstration"));
}

#[test]
fn one_is_told_as_one_and_short_times_have_short_units() {
    let desk = Desk::with_job(&JOB.replace("[1, 2]", "[1]"));
    let ran = desk.run(gridmpi(), &["job.toml"]).exits(0);
    assert!(ran.stderr.contains("job: 1 task on 1 worker"), "{}", ran.stderr);
    assert!(ran.stderr.contains("] 1 run in "), "{}", ran.stderr);
    assert!(!ran.stderr.contains("0.00 s"), "{}", ran.stderr);
    let again = desk.run(gridmpi(), &["job.toml"]).exits(0);
    assert!(again.stderr.contains("1 of 1 run reused"), "{}", again.stderr);
    let told = desk.says(&["status", "results/job"]);
    assert!(told.contains("1 of 1 run (100%), 0 failed; 1 reused"), "{told}");
    let planned = desk.says(&["plan", "job.toml", "--out", "none"]);
    assert!(planned.contains("--pilot 1 does 1 task here"), "{planned}");
}

#[test]
fn results_beside_the_job_file_are_not_overlooked() {
    let desk = Desk::with_job(JOB);
    desk.run(gridmpi(), &["job.toml"]).exits(0);
    std::fs::create_dir(desk.path("elsewhere")).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = gridmpi();
        command.args(arguments).current_dir(desk.path("elsewhere"));
        common::Ran::new(command.output().unwrap()).exits(0)
    };
    let told = "results/job has no runs, but ../results/job, beside the job file, has 2 runs: --out ../results/job uses them";
    assert!(run(&["plan", "../job.toml"]).stderr.contains(told));
    assert!(!run(&["../job.toml", "--out", "../results/job"]).stderr.contains(told));
    assert!(!run(&["../job.toml", "--no-store"]).stderr.contains(told));
    let ran = run(&["../job.toml"]);
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    assert!(desk.path("elsewhere/results/job/summary.json").exists(), "it is done all the same");
    assert!(!run(&["../job.toml"]).stderr.contains(told), "it has its own results now");
    assert!(!desk.run(gridmpi(), &["job.toml"]).exits(0).stderr.contains("beside"));
}
