//! What is reused is what would be computed: crunch is known by the content of its files, also while a job
//! runs; what a store has is scored and reduced again, never computed again.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::{Desk, gridmpi};

/// A job of a program `./run` that says what it was called with, for x = 1, 2, 3.
fn desk(crunch: &str) -> Desk {
    let desk = Desk::with_job(&format!(
        "[crunch]\n{crunch}\n[[loop]]\nname = \"x\"\nvalues = [1, 2, 3]\nreduce = \"sum\"\n"
    ));
    program(&desk, 2);
    desk
}

fn program(desk: &Desk, factor: i64) {
    desk.script("run", &format!("#!/bin/sh\necho $1 >> calls\necho $(( $1 * {factor} ))\n"));
}

fn edit(desk: &Desk, from: &str, to: &str) {
    let job = fs::read_to_string(desk.path("job.toml")).unwrap();
    assert!(job.contains(from), "{from}: {job}");
    desk.write("job.toml", &job.replace(from, to));
}

fn calls(desk: &Desk) -> usize {
    fs::read_to_string(desk.path("calls")).map_or(0, |text| text.lines().count())
}

const COMMAND: &str = "command = [\"./run\", \"{x}\"]";

#[test]
fn a_changed_program_is_named_and_nothing_of_it_is_reused() {
    let desk = desk(COMMAND);
    assert_eq!(desk.run_job().exits(0).score(), 12.0);
    assert_eq!(desk.run_job().exits(0).score(), 12.0);
    assert_eq!(calls(&desk), 3);
    program(&desk, 100);
    let refused = desk.run_job().exits(2);
    for said in ["./run has changed", "--keep", "--fresh", "ignore"] {
        assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
    }
    let out = ["job.toml", "--out", "out", "--format", "json"];
    assert_eq!(desk.run(gridmpi(), &[&out[..], &["--fresh"]].concat()).exits(0).score(), 600.0);
    // The same content under another inode and time is no change.
    fs::copy(desk.path("run"), desk.path("copy")).unwrap();
    fs::rename(desk.path("copy"), desk.path("run")).unwrap();
    assert_eq!(desk.run_job().exits(0).score(), 600.0);
    fs::remove_file(desk.path("run")).unwrap();
    assert!(desk.run_job().exits(2).stderr.contains("./run"));
}

#[test]
fn files_that_crunch_names_count_and_those_that_it_writes_do_not() {
    let desk = desk(
        "shell = \"./run {x}; cat deck.in >> all.log; cat all.log /proc/self/stat > /dev/null\"\ninputs = [\"par/*.nml\"]",
    );
    desk.write("deck.in", "1\n");
    fs::create_dir(desk.path("par")).unwrap();
    desk.write("par/a.nml", "a\n");
    desk.run_job().exits(0);
    desk.run_job().exits(0);
    assert_eq!(calls(&desk), 3, "all.log was not there at the first start");
    desk.write("deck.in", "2\n");
    let refused = desk.run_job().exits(2);
    assert!(refused.stderr.contains("deck.in has changed"), "{}", refused.stderr);
    desk.write("deck.in", "1\n");
    desk.write("par/b.nml", "b\n");
    let refused = desk.run_job().exits(2);
    assert!(refused.stderr.contains("par/b.nml is new"), "{}", refused.stderr);
    fs::remove_file(desk.path("par/b.nml")).unwrap();
    desk.write("par/a.nml", "other\n");
    let refused = desk.run_job().exits(2);
    assert!(refused.stderr.contains("par/a.nml has changed"), "{}", refused.stderr);
    edit(&desk, "inputs = [\"par/*.nml\"]", "ignore = [\"*.nml\"]");
    desk.run_job().exits(0);
    assert_eq!(calls(&desk), 3);
}

#[test]
fn a_file_of_two_loops_counts_for_its_own_runs() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo {a}{b} >> calls; cat d/{a}_{b}.txt\"\n[[loop]]\nname = \"a\"\nvalues = [1, 2]\n[[loop]]\nname = \"b\"\nvalues = [1, 2]\nreduce = \"sum\"\n",
    );
    fs::create_dir(desk.path("d")).unwrap();
    for (name, text) in [("1_1", "1"), ("1_2", "2"), ("2_1", "3"), ("2_2", "4")] {
        desk.write(&format!("d/{name}.txt"), text);
    }
    desk.run_job().exits(0);
    desk.write("d/2_1.txt", "30");
    desk.run_job().exits(0);
    assert_eq!(calls(&desk), 5, "only the run whose file has changed is made again");
    assert_eq!(desk.sql("SELECT sum(score) FROM all_runs"), ["37.0"]);
    // The old content is found again, without a call.
    desk.write("d/2_1.txt", "3");
    desk.run_job().exits(0);
    assert_eq!(calls(&desk), 5);
    assert_eq!(desk.sql("SELECT sum(score) FROM all_runs"), ["10.0"]);
}

#[test]
fn a_program_that_is_replaced_during_a_job_stops_it() {
    let desk = Desk::with_job(
        "[crunch]\ncommand = [\"./run\", \"{x}\"]\n[[loop]]\nname = \"x\"\nrange = { from = 0, to = 40 }\nreduce = \"sum\"\n",
    );
    // The fifth call replaces the program.
    desk.write("next", "#!/bin/sh\necho $(( $1 * 1000 ))\n");
    fs::set_permissions(desk.path("next"), fs::Permissions::from_mode(0o755)).unwrap();
    desk.script(
        "run",
        "#!/bin/sh\necho $1 >> calls\n[ $(wc -l < calls) -ge 5 ] && mv next run\necho $(( $1 * 2 ))\n",
    );
    let stopped = desk.run_job().exits(2);
    for said in ["run on host", "is not what it was at the start", "UTC", "--keep"] {
        assert!(stopped.stderr.contains(said), "{said}: {}", stopped.stderr);
    }
    let wrong = desk.sql("SELECT count(*) FROM all_runs WHERE score <> x * 2");
    assert_eq!(wrong, ["0"], "nothing of the other program is kept");
    assert_ne!(desk.sql("SELECT count(*) FROM all_runs"), ["0"], "what was done before is kept");
}

#[test]
fn another_score_or_reduction_computes_nothing_anew() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"f.py:crunch\"\n[[loop]]\nname = \"d\"\nvalues = [1, 2]\n[[loop]]\nname = \"a\"\nvalues = [1, 2, 3, 4]\nreduce = \"min\"\n",
    );
    desk.write(
        "f.py",
        "def crunch(d, a):\n    open('calls', 'a').write('x\\n')\n    if a == 4: return {'mae': 0.5 * d}\n    return {'score': d / a, 'mae': 10.0 + abs(a - 3)}\n",
    );
    desk.run_job().exits(100);
    assert_eq!(calls(&desk), 8);
    edit(&desk, "python =", "score = \"mae\"\npython =");
    let rescored = desk.run_job().exits(0);
    assert_eq!(calls(&desk), 8, "a run without a score keeps its record");
    let best: Vec<_> = rescored.groups().iter().map(|g| g["summary"]["score"].clone()).collect();
    assert_eq!(best, [0.5, 1.0]);
    edit(&desk, "reduce = \"min\"", "reduce = \"max\"");
    desk.run_job().exits(0);
    assert_eq!(calls(&desk), 8);
    let best = desk.run(gridmpi(), &["best", "out"]).exits(0);
    let of_1 = best.stdout.lines().find(|line| line.trim_start().starts_with('1'));
    let of_1: Vec<_> = of_1.unwrap().split_whitespace().take(3).collect();
    assert_eq!(of_1, ["1", "1", "12"], "{}", best.stdout);
    assert_eq!(desk.sql("SELECT reduce FROM loops WHERE level = 1"), ["max"]);
    edit(&desk, "score = \"mae\"\n", "");
    desk.run_job().exits(100);
    assert_eq!(desk.sql("SELECT count(*) FROM runs WHERE failed"), ["2"]);
    // A field that no record has, and then the right one.
    edit(&desk, "python =", "score = \"mea\"\npython =");
    assert!(desk.run_job().exits(100).stderr.contains("8 runs have no such score"));
    edit(&desk, "score = \"mea\"", "score = \"mae\"");
    desk.run_job().exits(0);
    assert_eq!(calls(&desk), 8, "another score computes nothing anew");
}

#[test]
fn a_summary_is_made_again_when_anything_under_it_was() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"f.py:crunch\"\n[[loop]]\nname = \"d\"\nvalues = [1, 2]\nreduce = { python = \"r.py:s\" }\n[[loop]]\nname = \"a\"\nvalues = [1, 2]\nreduce = \"max\"\n",
    );
    desk.write("f.py", "def crunch(d, a):\n    return 10.0 * d + a\n");
    desk.write("r.py", "def s(runs):\n    return sum(r['score'] for r in runs)\n");
    assert_eq!(desk.run_job().exits(0).score(), 34.0);
    edit(&desk, "reduce = \"max\"", "reduce = \"min\"");
    assert_eq!(desk.run_job().exits(0).score(), 32.0);
    desk.write("r.py", "def s(runs):\n    return 1000 + sum(r['score'] for r in runs)\n");
    assert_eq!(desk.run_job().exits(0).score(), 1032.0);
}

#[test]
fn runs_whose_point_is_gone_are_kept_and_found_again() {
    let desk = desk(COMMAND);
    assert_eq!(desk.run_job().exits(0).score(), 12.0);
    edit(&desk, "[1, 2, 3]", "[2]");
    let less = desk.run_job().exits(0);
    assert_eq!(less.score(), 4.0);
    assert!(less.stderr.contains("2 runs have no place in the job"), "{}", less.stderr);
    let again = desk.run_job().exits(0);
    assert!(again.stderr.contains("2 runs have no place in the job"), "{}", again.stderr);
    for values in ["[3, 2]", "[3, 2, 1]", "[1, 2, 3]"] {
        let before = fs::read_to_string(desk.path("job.toml")).unwrap();
        let now = before.split("values = ").nth(1).unwrap().split('\n').next().unwrap().to_string();
        edit(&desk, &now, values);
        desk.run_job().exits(0);
    }
    assert_eq!(desk.run_job().exits(0).score(), 12.0);
    assert_eq!(calls(&desk), 3, "nothing is computed twice");
    let in_folder = fs::read_dir(desk.path("out")).unwrap();
    let old = in_folder
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("superseded"));
    assert_eq!(old.count(), 0);
    assert_eq!(desk.sql("SELECT count(*), max(session) FROM starts"), ["7|7"]);
}

#[test]
fn a_change_of_the_environment_is_said() {
    let desk = desk(COMMAND);
    desk.run_job().exits(0);
    let mut other = gridmpi();
    other.env("PYTHONPATH", "/nowhere/else");
    let said = desk.run(other, &["job.toml", "--out", "out"]).exits(0);
    assert!(said.stderr.contains("PYTHONPATH"), "{}", said.stderr);
    assert_eq!(calls(&desk), 3);
}

/// A job of crunch in f.py for x = 0..n, and f.py.
fn python_desk(n: usize, program: &str) -> Desk {
    let desk = Desk::with_job(&format!(
        "[crunch]\npython = \"f.py:crunch\"\n[[loop]]\nname = \"x\"\nrange = {{ from = 0, to = {n} }}\nreduce = \"sum\"\n"
    ));
    desk.write("f.py", program);
    desk
}

#[test]
fn modules_count_also_those_that_only_a_call_imports() {
    let desk = python_desk(
        4,
        "import early\nimport lib.deep\ndef crunch(x):\n    import late\n    return early.f(x) + late.f(x) + lib.deep.f(x)\n",
    );
    let module = |name: &str, factor: i64| {
        desk.write(name, &format!("def f(x):\n    return {factor}.0 * x\n"));
    };
    desk.write("lib/__init__.py", "");
    for name in ["early.py", "late.py", "lib/deep.py"] {
        module(name, 1);
    }
    assert_eq!(desk.run_job().exits(0).score(), 18.0);
    assert_eq!(desk.run_job().exits(0).score(), 18.0);
    for name in ["early.py", "late.py", "lib/deep.py"] {
        module(name, 10);
        let refused = desk.run_job().exits(2);
        assert!(refused.stderr.contains(&format!("{name} has changed")), "{}", refused.stderr);
        module(name, 1);
    }
    assert_eq!(desk.run_job().exits(0).score(), 18.0, "everything is as it was");
}

#[test]
fn another_version_of_a_package_is_another_crunch() {
    let desk = python_desk(2, "import odd_package\ndef crunch(x):\n    return float(x)\n");
    let version = |version: &str| {
        let site = "site/lib/site-packages";
        desk.write(&format!("{site}/odd_package.py"), &format!("__version__ = '{version}'\n"));
    };
    version("1.0");
    let run = || {
        let mut gridmpi = gridmpi();
        gridmpi.env("PYTHONPATH", desk.path("site/lib/site-packages"));
        desk.run(gridmpi, &["job.toml", "--out", "out"])
    };
    run().exits(0);
    run().exits(0);
    version("1.1");
    let refused = run().exits(2);
    assert!(
        refused.stderr.contains("the Python package odd_package was 1.0 and is 1.1"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_python_file_that_is_edited_during_a_job_reaches_no_new_child() {
    // The sixth call edits the file and ends its child.
    let desk = python_desk(
        60,
        "import os, time\ndef crunch(x):\n    time.sleep(0.02)\n    if x == 5:\n        text = open('f.py').read().replace('float(x)', '1000.0')\n        open('f.py', 'w').write(text)\n        os._exit(3)\n    return float(x)\n",
    );
    let stopped = desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out"]).exits(2);
    assert!(stopped.stderr.contains("f.py on host"), "{}", stopped.stderr);
    assert_eq!(desk.sql("SELECT count(*) FROM all_runs WHERE score = 1000.0"), ["0"]);
}

/// One rank of three sees another file under the same name, as on a host that was not brought up to date.
#[test]
fn a_host_with_another_file_is_named() {
    let desk =
        python_desk(60, "import time\ndef crunch(x):\n    time.sleep(0.05)\n    return float(x)\n");
    desk.write(
        "other.py",
        "import time\ndef crunch(x):\n    time.sleep(0.05)\n    return 1000.0\n",
    );
    let program = env!("CARGO_BIN_EXE_gridmpi");
    let elsewhere = format!("mount --bind other.py f.py && exec {program} job.toml --out out");
    let may_mount = Command::new("unshare").args(["-m", "true"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a rank with another file needs a mount namespace, which takes root");
        return;
    }
    let arguments =
        ["job.toml", "--out", "out", ":", "-n", "1", "unshare", "-m", "sh", "-c", &elsewhere];
    let stopped = desk.run(common::mpirun(2), &arguments).exits(2);
    assert!(stopped.stderr.contains("f.py on host"), "{}", stopped.stderr);
    assert_eq!(desk.sql("SELECT count(*) FROM all_runs WHERE score = 1000.0"), ["0"]);
}

#[test]
fn what_keep_has_kept_is_said_until_it_is_computed_anew() {
    let desk = desk(COMMAND);
    desk.run_job().exits(0);
    assert!(!desk.run(gridmpi(), &["status", "out"]).exits(0).stdout.contains("--keep"));
    program(&desk, 100);
    edit(&desk, "[1, 2, 3]", "[1, 2, 3, 4]");
    let out = ["job.toml", "--out", "out"];
    desk.run(gridmpi(), &[&out[..], &["--keep"]].concat()).exits(0);
    let said = "3 of 4 runs were made by an earlier crunch and kept with --keep (./run has changed";
    for _ in 0..2 {
        // At every later start too.
        let table = desk.run(gridmpi(), &out).exits(0);
        assert!(table.stderr.contains(said), "{}", table.stderr);
        assert!(table.stdout.contains("4 of 4, 3 kept from an earlier crunch"), "{}", table.stdout);
    }
    let summary = fs::read_to_string(desk.path("out/summary.json")).unwrap();
    assert!(summary.contains("\"kept\":3") && summary.contains(said), "{summary}");
    let status = desk.run(gridmpi(), &["status", "out"]).exits(0);
    assert!(status.stdout.contains(said), "{}", status.stdout);
    let best = desk.run(gridmpi(), &["best", "out"]).exits(0);
    assert!(best.stderr.contains(said), "{}", best.stderr);
    desk.run(gridmpi(), &["report", "out"]).exits(0);
    let report = fs::read_to_string(desk.path("out/report.html")).unwrap();
    let text = report.replace("<wbr>", "");
    assert!(text.contains(said), "the report says it");
    // The first crunch again: its runs are its own, and that of the other one is kept.
    program(&desk, 2);
    assert_eq!(desk.run(gridmpi(), &out).code, 2);
    let again = desk.run(gridmpi(), &[&out[..], &["--keep"]].concat()).exits(0);
    assert!(again.stderr.contains("1 of 4 runs were made by an earlier"), "{}", again.stderr);
    let fresh = desk.run(gridmpi(), &[&out[..], &["--fresh"]].concat()).exits(0);
    assert!(!fresh.stderr.contains("kept with"), "{}", fresh.stderr);
}

#[test]
fn a_file_that_runs_write_stops_no_job() {
    // log.txt is there from the second start on, and out/ is named by points.
    let desk = Desk::with_job(
        "[crunch]\ncommand = [\"./run\", \"log.txt\", \"{x}\", \"o.{x}.txt\"]\n[[loop]]\nname = \"x\"\nvalues = [1, 2, 3]\nreduce = \"sum\"\n",
    );
    desk.script("run", "#!/bin/sh\necho $2 >> $1\necho $2 >> $3\necho $2\n");
    assert_eq!(desk.run_job().exits(0).score(), 6.0);
    edit(&desk, "[1, 2, 3]", "[1, 2, 3, 4, 5]");
    assert_eq!(desk.run_job().exits(0).score(), 15.0);
    let lines = |name: &str| fs::read_to_string(desk.path(name)).unwrap().lines().count();
    assert_eq!((lines("log.txt"), lines("o.1.txt")), (5, 1), "nothing is computed twice");
    // A file that was there at the first start counts, unless it is ignored.
    let out = ["job.toml", "--out", "other"];
    let stopped = desk.run(gridmpi(), &out).exits(2);
    assert!(
        stopped.stderr.contains("log.txt") && stopped.stderr.contains("ignore"),
        "{}",
        stopped.stderr
    );
    edit(&desk, "[crunch]", "[crunch]\nignore = [\"*.txt\"]");
    desk.run(gridmpi(), &["job.toml", "--out", "third"]).exits(0);
}

#[test]
fn a_file_among_the_arguments_counts() {
    let desk = desk("command = [\"awk\", \"-v\", \"x={x}\", \"{{ print x * $1 }}\", \"deck.cir\"]");
    desk.write("deck.cir", "7\n");
    assert_eq!(desk.run_job().exits(0).score(), 42.0);
    desk.write("deck.cir", "35\n");
    let refused = desk.run_job().exits(2);
    assert!(refused.stderr.contains("deck.cir has changed"), "{}", refused.stderr);
    let fresh = ["job.toml", "--out", "out", "--format", "json", "--fresh"];
    assert_eq!(desk.run(gridmpi(), &fresh).exits(0).score(), 210.0);
}

#[test]
fn another_loop_whose_points_are_loaded_is_another_crunch() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"f.py:crunch\"\nload = \"f.py:load\"\ndata = \"a\"\n[[loop]]\nname = \"a\"\nvalues = [1, 2]\n[[loop]]\nname = \"b\"\nvalues = [3, 4]\nreduce = \"sum\"\n",
    );
    desk.write(
        "f.py",
        "def load(p):\n    return p * 10\ndef crunch(a, b):\n    return float(a + b)\n",
    );
    let sums = || -> Vec<f64> {
        let scores = desk.run_job().exits(0).groups();
        scores.iter().map(|group| group["summary"]["score"].as_f64().unwrap()).collect()
    };
    assert_eq!(sums(), [27.0, 47.0]);
    edit(&desk, "data = \"a\"", "data = \"b\"");
    let refused = desk.run_job().exits(2);
    assert!(refused.stderr.contains("data has changed from `a` to `b`"), "{}", refused.stderr);
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--fresh"]).exits(0);
    assert_eq!(sums(), [72.0, 74.0]);
}

#[test]
fn small_edits_do_not_pile_up() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"x\"\nrange = { from = 0, to = 8 }\nreduce = \"count\"\n",
    );
    for to in 9..=16 {
        desk.run_job().exits(0);
        edit(&desk, &format!("to = {}", to - 1), &format!("to = {to}"));
    }
    let last = desk.run_job().exits(0);
    assert_eq!(last.groups()[0]["runs"], 16);
    let workers = desk.sql("SELECT count(*) FROM workers")[0].parse::<u32>().unwrap();
    assert!(workers <= 9 * 2, "{workers} workers of nine starts with two threads");
    assert_eq!(desk.sql("SELECT count(*), max(session) FROM starts"), ["9|9"]);
    let kept = fs::read_dir(desk.path("out")).unwrap().flatten();
    let old = kept.filter(|entry| entry.file_name().to_string_lossy().starts_with("superseded-"));
    assert!(old.count() <= 1, "an old store for each edit");
}

#[test]
fn a_store_that_an_older_gridmpi_has_put_aside_is_taken_once() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"x\"\nrange = { from = 0, to = 8 }\nreduce = \"count\"\n",
    );
    let run = || desk.run(gridmpi(), &["job.toml", "--out", "out", "--threads", "2"]).exits(0);
    run();
    fs::create_dir(desk.path("out/superseded-1")).unwrap();
    fs::copy(desk.path("out/runs.sqlite"), desk.path("out/superseded-1/runs.sqlite")).unwrap();
    for to in 9..=13 {
        edit(&desk, &format!("to = {}", to - 1), &format!("to = {to}"));
        run();
    }
    // Six starts, and one of the other store.
    assert_eq!(desk.sql("SELECT count(*), count(DISTINCT session) FROM workers"), ["14|7"]);
    assert_eq!(desk.sql("SELECT count(*) FROM starts"), ["7"]);
}
