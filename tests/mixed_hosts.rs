//! Hosts with different programs or packages: the job stops and says which, unless that is allowed.

mod common;

use std::process::Command;

use common::{Desk, Ran, gridmpi, mpirun};

/// Has both workers make a call, however slow one is to begin: a call waits for the other's, up to a minute.
const WAIT: &str = "    open(f'here-{os.environ[\"GRIDMPI_RANK\"]}', 'w')\n    \
                    until = time.time() + 60\n    \
                    while time.time() < until and not (os.path.exists('here-1') and os.path.exists('here-2')):\n        \
                    time.sleep(0.02)\n";

/// Three ranks, the last of which has other values of these variables.
fn run_mixed(desk: &Desk, variable: &str, others: &str, last: &str) -> Ran {
    let program = gridmpi().get_program().to_str().unwrap().to_string();
    let mut command = mpirun(2);
    command.env(variable, others);
    let last = format!("{variable}={last}");
    let arguments = ["job.toml", "--out", "out"];
    let elsewhere = [":", "-n", "1", "env", &last, &program];
    desk.run(command, &[&arguments[..], &elsewhere, &arguments].concat())
}

fn path(desk: &Desk, folder: &str) -> String {
    format!("{}:{}", desk.path(folder).display(), std::env::var("PATH").unwrap())
}

const LOOP: &str = "[[loop]]\nname = \"x\"\nrange = { from = 0, to = 40 }\nreduce = \"sum\"\n";

/// A function that imports a package, which is there in two versions.
fn packages(desk: &Desk, key: &str) -> [String; 2] {
    desk.write(
        "fit.py",
        "import time\nimport tool\n\ndef f(x):\n    time.sleep(0.02)\n    return tool.value\n",
    );
    desk.write(
        "job.toml",
        &format!("name = \"job\"\n[crunch]\npython = \"fit.py:f\"\n{key}{LOOP}"),
    );
    [1, 2].map(|version| {
        let folder = format!("{version}/site-packages");
        desk.write(
            &format!("{folder}/tool.py"),
            &format!("__version__ = \"{version}.0\"\nvalue = {version}\n"),
        );
        desk.path(&folder).display().to_string()
    })
}

#[test]
fn another_version_of_a_package_on_one_host_stops_the_job() {
    let desk = Desk::new();
    let [one, two] = packages(&desk, "");
    let ran = run_mixed(&desk, "PYTHONPATH", &one, &two).exits(2);
    for says in [
        "the version of tool on host ",
        " is 2.0, and on the host of rank 0 it is 1.0",
        "allow_mixed",
    ] {
        assert!(ran.stderr.contains(says), "{says}: {}", ran.stderr);
    }
    assert_eq!(desk.sql("SELECT count(*) FROM runs WHERE score <> 1"), ["0"]);
    // With the same one everywhere, the job goes on.
    run_mixed(&desk, "PYTHONPATH", &one, &one).exits(0);
    assert_eq!(desk.sql("SELECT count(*), sum(score) FROM runs"), ["40|40.0"]);
}

#[test]
fn a_package_that_only_a_call_imports_is_compared_too() {
    let desk = Desk::new();
    let [one, two] = packages(&desk, "");
    desk.write(
        "fit.py",
        &format!("import os, time\n\ndef f(x):\n    import tool\n{WAIT}    return tool.value\n"),
    );
    let ran = run_mixed(&desk, "PYTHONPATH", &one, &two).exits(2);
    assert!(ran.stderr.contains("the version of tool is "), "{}", ran.stderr);
    assert_eq!(desk.sql("SELECT count(DISTINCT score) <= 1 FROM runs"), ["1"]);
}

#[test]
fn hosts_may_differ_where_that_is_allowed_and_each_run_can_be_traced() {
    let desk = Desk::new();
    let [one, two] = packages(&desk, "allow_mixed = true\n");
    desk.write(
        "fit.py",
        &format!("import os, time\nimport tool\n\ndef f(x):\n{WAIT}    return tool.value\n"),
    );
    run_mixed(&desk, "PYTHONPATH", &one, &two).exits(0);
    let sql = "SELECT count(*) > 0, min(score), max(score) FROM runs JOIN workers USING (worker)
               JOIN environments USING (session, rank) WHERE environment LIKE '%\"the version of tool\":\"2.0\"%'";
    assert_eq!(desk.sql(sql), ["1|2.0|2.0"]);
    assert_eq!(desk.sql("SELECT count(*) FROM environments"), ["1"]);
}

#[test]
fn another_program_of_the_same_name_on_one_host_stops_the_job() {
    let desk = Desk::new();
    for (folder, value) in [("a", 1), ("b", 2)] {
        desk.script(&format!("{folder}/sim"), &format!("#!/bin/sh\nsleep 0.02\necho {value}\n"));
    }
    for crunch in ["command = [\"sim\", \"{x}\"]", "shell = \"sim {x} | cat\""] {
        desk.write("job.toml", &format!("name = \"job\"\n[crunch]\n{crunch}\n{LOOP}"));
        let ran = run_mixed(&desk, "PATH", &path(&desk, "a"), &path(&desk, "b")).exits(2);
        assert!(ran.stderr.contains("sim on host "), "{}", ran.stderr);
        assert!(ran.stderr.contains("is another program, "), "{}", ran.stderr);
        assert_eq!(desk.sql("SELECT count(*) FROM runs WHERE score <> 1"), ["0"]);
        std::fs::remove_dir_all(desk.path("out")).unwrap();
    }
}

/// A virtual environment `venv`, and a job in `folder` whose runs tell the one that they ran in.
fn virtual_environment(folder: &str) -> Desk {
    let desk = Desk::new();
    let mut python = Command::new("python3");
    python.args(["-m", "venv", "--without-pip", "venv"]).current_dir(desk.path(""));
    assert!(python.status().unwrap().success());
    desk.write(
        &format!("{folder}/fit.py"),
        "import sys\n\ndef f(x):\n    return {\"score\": x, \"prefix\": sys.prefix}\n",
    );
    let job = format!("name = \"job\"\n[crunch]\npython = \"fit.py:f\"\n{LOOP}");
    desk.write(&format!("{folder}/job.toml"), &job);
    desk
}

fn ran_in_it(desk: &Desk) {
    let prefixes = desk.sql("SELECT DISTINCT json_extract(value, '$.prefix') FROM runs");
    assert_eq!(prefixes.len(), 1, "{prefixes:?}");
    assert!(prefixes[0].ends_with("/venv"), "{prefixes:?}");
}

#[test]
fn all_ranks_use_the_interpreter_that_rank_0_finds() {
    let desk = virtual_environment(".");
    let outside = std::env::var("PATH").unwrap();
    run_mixed(&desk, "PATH", &path(&desk, "venv/bin"), &outside).exits(0);
    ran_in_it(&desk);
}

#[test]
fn an_interpreter_is_found_by_a_relative_path_and_run_in_the_folder_of_the_job() {
    let desk = virtual_environment("jobs");
    let mut command = gridmpi();
    command.env("PATH", format!("venv/bin:{}", std::env::var("PATH").unwrap()));
    desk.run(command, &["jobs/job.toml", "--out", "out", "--threads", "1"]).exits(0);
    ran_in_it(&desk);
}
