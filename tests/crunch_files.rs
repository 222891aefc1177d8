//! The files that crunch and reductions consist of are found, also where no argument names them, and a change
//! during an attempt is seen.

mod common;

use std::fs;

use common::{Desk, gridmpi, python_with_sklearn};

fn loop_x(crunch: &str) -> Desk {
    Desk::with_job(&format!(
        "[crunch]\n{crunch}\n[[loop]]\nname = \"x\"\nvalues = [1, 2, 3]\nreduce = \"sum\"\n"
    ))
}

fn refused(desk: &Desk, said: &str) {
    let refused = desk.run_job().exits(2);
    assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
}

#[test]
fn programs_behind_wrappers_and_in_quotes_count() {
    let sim = |factor: i64| format!("#!/bin/sh\necho $(( $1 * {factor} ))\n");
    for (crunch, name) in [
        ("shell = 'v=\"$(./own_sim {x})\"; echo \"$v\"'", "./own_sim"),
        ("shell = 'echo \"`./own_sim 2`\"'", "./own_sim"),
        ("shell = 'nice own_sim {x}'", "own_sim"),
        ("shell = 'if own_sim {x}; then true; fi'", "own_sim"),
        ("command = ['env', 'A=1', 'own_sim', '{x}']", "own_sim"),
    ] {
        let desk = loop_x(crunch);
        desk.script("own_sim", &sim(2));
        let run = || {
            let mut gridmpi = gridmpi();
            let path = std::env::var("PATH").unwrap();
            gridmpi.env("PATH", format!("{}:{path}", desk.path("").display()));
            desk.run(gridmpi, &["job.toml", "--out", "out", "--format", "json"])
        };
        assert_eq!(run().exits(0).score(), 12.0, "{crunch}");
        assert_eq!(run().exits(0).score(), 12.0, "{crunch}");
        desk.script("own_sim", &sim(100));
        let refused = run().exits(2);
        assert!(refused.stderr.contains(&format!("{name} has changed")), "{}", refused.stderr);
    }
}

#[test]
fn a_link_that_leads_elsewhere_during_a_job_stops_it() {
    let desk = Desk::with_job(
        "[crunch]\ncommand = [\"./run\", \"{x}\"]\n[[loop]]\nname = \"x\"\nrange = { from = 0, to = 40 }\nreduce = \"sum\"\n",
    );
    desk.script("v2", "#!/bin/sh\necho $(( $1 * 1000 ))\n");
    desk.script(
        "v1",
        "#!/bin/sh\necho $1 >> calls\n[ $(wc -l < calls) -ge 5 ] && ln -sfn v2 run\necho $(( $1 * 2 ))\n",
    );
    std::os::unix::fs::symlink("v1", desk.path("run")).unwrap();
    let stopped = desk.run_job().exits(2);
    assert!(stopped.stderr.contains("run on host"), "{}", stopped.stderr);
    assert_eq!(desk.sql("SELECT count(*) FROM all_runs WHERE score <> x * 2"), ["0"]);
    refused(&desk, "./run has changed");
}

#[test]
fn python_files_count_however_they_are_loaded() {
    let f = |factor: i64| format!("def f(x):\n    return {factor}.0 * x\n");
    for program in [
        // The standard library has a module of this name too.
        "import statistics\ndef crunch(x):\n    return statistics.f(x)\n",
        "import importlib.util as u\ns = u.spec_from_file_location('m', 'statistics.py')\nm = u.module_from_spec(s)\ns.loader.exec_module(m)\ndef crunch(x):\n    return m.f(x)\n",
        "import runpy\ndef crunch(x):\n    return runpy.run_path('statistics.py')['f'](x)\n",
    ] {
        let desk = loop_x("python = \"f.py:crunch\"");
        desk.write("f.py", program);
        desk.write("statistics.py", &f(1));
        assert_eq!(desk.run_job().exits(0).score(), 6.0, "{program}");
        assert_eq!(desk.run_job().exits(0).score(), 6.0, "{program}");
        desk.write("statistics.py", &f(7));
        refused(&desk, "statistics.py has changed");
    }
}

/// It looks up the versions of all that scikit-learn imports, and tells of them behind its answers.
#[test]
fn late_imports_count_though_a_child_takes_long_to_tell_of_them() {
    let desk = loop_x(&format!(
        "python = \"f.py:crunch\"\ninterpreter = \"{}\"",
        python_with_sklearn().display()
    ));
    let calls = "import os\nimport importlib as i\ndef crunch(x):\n    i.import_module('sklearn.model_selection')\n    \
        return {'score': i.import_module('late').F * x, 'process': os.getpid()}\n";
    desk.write("f.py", calls);
    desk.write("late.py", "F = 1.0\n");
    assert_eq!(desk.run_job().exits(0).score(), 6.0);
    let processes = "SELECT count(DISTINCT json_extract(value, '$.process')) <= 2 FROM all_runs";
    assert_eq!(desk.sql(processes), ["1"], "a child that tells of imports is kept");
    desk.write("late.py", "F = 7.0\n");
    refused(&desk, "late.py has changed");
}

#[test]
fn a_package_that_only_a_call_imports_counts_with_its_version() {
    let desk = loop_x("python = \"f.py:crunch\"");
    desk.write("f.py", "def crunch(x):\n    from lib import late\n    return late.f(x)\n");
    desk.write("lib/__init__.py", "");
    desk.write(
        "lib/late.py",
        "def f(x):\n    import odd_package\n    return odd_package.FACTOR * x\n",
    );
    let version = |version: &str, factor: i64| {
        let text = format!("__version__ = \"{version}\"\nFACTOR = {factor}.0\n");
        desk.write("site/lib/site-packages/odd_package.py", &text);
    };
    version("1.0", 1);
    let run = || {
        let mut gridmpi = gridmpi();
        gridmpi.env("PYTHONPATH", desk.path("site/lib/site-packages"));
        desk.run(gridmpi, &["job.toml", "--out", "out", "--format", "json"])
    };
    assert_eq!(run().exits(0).score(), 6.0);
    assert_eq!(run().exits(0).score(), 6.0);
    version("1.1", 7);
    let refused = run().exits(2);
    let said = "the Python package odd_package was 1.0 and is 1.1";
    assert!(refused.stderr.contains(said), "{}", refused.stderr);
}

#[test]
fn an_interpreter_of_the_users_own_counts() {
    let desk = loop_x("python = \"f.py:crunch\"\ninterpreter = \"./python\"");
    let wrapper = |factor| {
        let text = format!("#!/bin/sh\nFACTOR={factor} exec python3 \"$@\"\n");
        desk.script("python", &text);
    };
    desk.write("f.py", "import os\ndef crunch(x):\n    return x * float(os.environ['FACTOR'])\n");
    wrapper(1);
    assert_eq!(desk.run_job().exits(0).score(), 6.0);
    wrapper(7);
    refused(&desk, "./python has changed (the interpreter)");
}

#[test]
fn a_summary_is_made_again_when_what_its_function_imports_has_changed() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"f.py:crunch\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2, 3]\nreduce = { python = \"f.py:s\" }\n",
    );
    let file = |factor: i64| {
        desk.write("f.py", &format!("def crunch(x):\n    open('calls', 'a').write('x')\n    return float(x)\ndef s(runs):\n    import late\n    return late.f(sum(r['score'] for r in runs)) * {factor}\n"));
    };
    let late =
        |factor: i64| desk.write("late.py", &format!("def f(x):\n    return {factor} * x\n"));
    file(1);
    late(1);
    assert_eq!(desk.run_job().exits(0).score(), 6.0);
    late(7);
    // f.py imports it, so that crunch may use it too.
    let keep = ["job.toml", "--out", "out", "--format", "json", "--keep"];
    assert_eq!(desk.run(gridmpi(), &keep).exits(0).score(), 42.0);
    // Crunch and the reduction are of one file: its runs are kept, its summaries are made again.
    file(10);
    refused(&desk, "f.py has changed");
    assert_eq!(desk.run(gridmpi(), &keep).exits(0).score(), 420.0);
    assert_eq!(fs::read_to_string(desk.path("calls")).unwrap(), "xxx", "nothing is computed anew");
}

#[test]
fn a_file_that_crunch_itself_reads_is_looked_at_after_each_call() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"f.py:crunch\"\n[[loop]]\nname = \"d\"\nvalues = [\"d.txt\"]\n[[loop]]\nname = \"a\"\nrange = { from = 0, to = 60 }\nreduce = \"sum\"\n",
    );
    desk.write("d.txt", "1");
    desk.write(
        "f.py",
        "def crunch(d, a):\n    value = float(open(d).read())\n    if a == 30:\n        open(d, 'w').write('1000')\n    return value\n",
    );
    let stopped = desk.run_job().exits(2);
    assert!(stopped.stderr.contains("d.txt on host"), "{}", stopped.stderr);
    assert_eq!(desk.sql("SELECT count(*) FROM all_runs WHERE score = 1000"), ["0"]);
}

#[test]
fn an_attempt_during_which_a_file_was_changed_and_changed_back_is_made_again() {
    let desk = loop_x("command = [\"./run\", \"{x}\", \"deck.in\"]");
    desk.write("deck.in", "1\n");
    desk.script(
        "run",
        "#!/bin/sh\necho $1 >> calls\nif [ $1 = 2 ] && mkdir once; then\n  cp -p deck.in saved; echo 1000 > deck.in; cat $2\n  cat saved > deck.in; touch -r saved deck.in\nelse\n  cat $2\nfi 2>/dev/null\n",
    );
    let out = ["job.toml", "--threads", "1", "--out", "out", "--format", "json"];
    let done = desk.run(gridmpi(), &out).exits(0);
    assert_eq!(done.score(), 3.0, "{}", done.stderr);
    assert!(
        done.stderr.contains("deck.in") && done.stderr.contains("made again"),
        "{}",
        done.stderr
    );
    assert_eq!(fs::read_to_string(desk.path("calls")).unwrap(), "1\n2\n2\n3\n");
    // A program that writes what was there in each attempt goes on, with a word.
    let desk = loop_x("command = [\"./run\", \"{x}\", \"deck.in\"]");
    desk.write("deck.in", "1\n");
    desk.script("run", "#!/bin/sh\necho $1 >> calls\necho 1 > deck.in\ncat $2\n");
    let done = desk.run(gridmpi(), &out).exits(0);
    assert_eq!(done.score(), 3.0, "{}", done.stderr);
    assert!(done.stderr.contains("touched during an attempt"), "{}", done.stderr);
    assert_eq!(fs::read_to_string(desk.path("calls")).unwrap().lines().count(), 4);
}

#[test]
fn stores_of_files_that_two_loops_name_are_merged() {
    let desk = Desk::with_job("");
    fs::create_dir(desk.path("d")).unwrap();
    let job = |a: &str| {
        format!(
            "[crunch]\nshell = \"echo {{a}}{{b}} >> calls; cat d/{{a}}_{{b}}.txt\"\n[[loop]]\nname = \"a\"\nvalues = [{a}]\n[[loop]]\nname = \"b\"\nvalues = [1, 2]\nreduce = \"sum\"\n"
        )
    };
    for name in ["1_1", "1_2", "2_1", "2_2"] {
        desk.write(&format!("d/{name}.txt"), &name.replace('_', ""));
    }
    for a in ["1", "2"] {
        desk.write("job.toml", &job(a));
        desk.run(gridmpi(), &["job.toml", "--out", &format!("out{a}")]).exits(0);
    }
    desk.run(gridmpi(), &["merge", "out1", "out2", "--out", "out"]).exits(0);
    assert_eq!(desk.sql("SELECT count(*), sum(score) FROM all_runs"), ["4|66.0"]);
    let status = desk.run(gridmpi(), &["status", "out"]).exits(0);
    assert!(status.stdout.contains("merged from several folders"), "{}", status.stdout);
    assert!(status.stdout.contains("4 of 4 runs"), "{}", status.stdout);
    desk.write("job.toml", &job("1, 2"));
    desk.run_job().exits(0);
    assert_eq!(fs::read_to_string(desk.path("calls")).unwrap().lines().count(), 4);
    // Only the run whose file has changed since is made anew.
    desk.write("d/2_1.txt", "1000");
    desk.run_job().exits(0);
    assert_eq!(fs::read_to_string(desk.path("calls")).unwrap().lines().count(), 5);
    assert_eq!(desk.sql("SELECT sum(score) FROM all_runs"), ["1045.0"]);
}

#[test]
fn what_a_call_of_a_reduction_imports_counts_for_summaries() {
    for place in ["master", "workers"] {
        let desk = Desk::with_job(&format!(
            "reduce_on = \"{place}\"\n[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2, 3]\nreduce = {{ python = \"red.py:total\" }}\n"
        ));
        desk.write(
            "red.py",
            "import importlib\ndef total(runs):\n    module = importlib.import_module('fac' + 'tor')\n    return module.F * sum(run['score'] for run in runs)\n",
        );
        for (factor, total) in [("1.0", 6.0), ("7.0", 42.0)] {
            desk.write("factor.py", &format!("F = {factor}\n"));
            for start in 0..2 {
                let ran = desk.run_job().exits(0);
                assert_eq!(ran.score(), total, "{place}, start {start}");
            }
        }
        assert_eq!(
            desk.sql("SELECT max(attempt), count(*) FROM runs"),
            ["1|3"],
            "no run was made again"
        );
        let known = desk.sql("SELECT name FROM late_reductions");
        assert_eq!(known, ["factor.py"], "{place}");
    }
}

#[test]
fn a_file_that_vanishes_during_a_job_stops_it() {
    let desk = loop_x("command = [\"./run\", \"{x}\"]");
    let program = "#!/bin/sh\necho $1 >> calls\n[ $(wc -l < calls) -ge 2 ] && rm -f run\necho $1\n";
    for over_mpi in [false, true] {
        desk.script("run", program);
        desk.write("calls", "");
        let fresh = ["job.toml", "--out", "out", "--fresh"];
        let start = if over_mpi { common::mpirun(3) } else { gridmpi() };
        let stopped = desk.run(start, &fresh).exits(2);
        let said = "run is gone on host";
        assert!(stopped.stderr.contains(said), "{}", stopped.stderr);
        assert!(stopped.stderr.contains("it was missed at"), "{}", stopped.stderr);
        assert_eq!(desk.sql("SELECT count(*) FROM all_runs WHERE status = 'failed'"), ["0"]);
    }
    desk.script("run", "#!/bin/sh\necho $1\n");
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--keep"]).exits(0);
}

#[test]
fn data_that_vanishes_during_a_job_stops_it() {
    for crunch in [
        "shell = \"rm -f data/3; cat {file}\"",
        "python = \"fit.py:crunch\"\nload = \"fit.py:load\"",
    ] {
        let desk = Desk::with_job(&format!(
            "[crunch]\n{crunch}\n[[loop]]\nname = \"file\"\nfiles = \"data/*\"\nreduce = \"max\"\n"
        ));
        desk.write("fit.py", "import os\ndef load(path):\n    return float(open(path).read())\ndef crunch(file):\n    if file == 1.0: os.remove('data/3')\n    return file\n");
        for file in 1..=3 {
            desk.write(&format!("data/{file}"), &format!("{file}\n"));
        }
        let arguments = ["job.toml", "--threads", "1", "--out", "out"];
        let stopped = desk.run(gridmpi(), &arguments).exits(2);
        assert!(stopped.stderr.contains("data/3 is gone on host"), "{}", stopped.stderr);
    }
}
