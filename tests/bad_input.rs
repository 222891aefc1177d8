//! Bad input is refused before any task runs, with exit code 2 and an error that names the file, the line and
//! the key.

mod common;

use common::{Desk, gridmpi, mpirun};

const CRUNCH: &str = "[crunch]\nbuiltin = \"multiply\"\n";
const X: &str = "[[loop]]\nname = \"x\"\nvalues = [1, 2]\n";

/// Runs a job that must be refused: nothing on stdout, no results, and all of `says` on stderr.
fn refused(desk: &Desk, says: &[&str]) {
    let ran = desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(2);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.starts_with("gridmpi: error: "), "{}", ran.stderr);
    for expected in says {
        assert!(ran.stderr.contains(expected), "{:?} is not in:\n{}", expected, ran.stderr);
    }
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    assert!(!desk.path("out/runs.sqlite").exists());
}

fn refused_job(job: &str, says: &[&str]) {
    refused(&Desk::with_job(job), says);
}

#[test]
fn files_that_are_no_jobs() {
    refused(&Desk::new(), &["job.toml: cannot be read"]);
    refused_job("[crunch\n", &["job.toml:1: not TOML"]);
    refused_job("name = 3\n[crunch]\n", &["job.toml:1: name: expected a string, found 3"]);
    refused_job("name = \"a/b\"\n", &["job.toml:1: name: \"a/b\" names no folder"]);
    refused_job(
        &format!("reduce_on = \"worker\"\n{CRUNCH}{X}"),
        &["job.toml:1: reduce_on: expected \"master\" or \"workers\", found \"worker\""],
    );
    refused_job(CRUNCH, &["job.toml:1: there is no [[loop]]"]);
    refused_job(X, &["there is no [crunch]"]);
    refused_job(&format!("loop = []\n{CRUNCH}"), &["there is no [[loop]]"]);
}

#[test]
fn what_is_no_text_is_not_read_for_ever() {
    let desk = Desk::new();
    std::fs::write(desk.path("binary.toml"), b"name = \"\0\"\n").unwrap();
    std::fs::write(desk.path("latin.toml"), b"# a\nname = \"Jos\xe9\"\n").unwrap();
    let huge = std::fs::File::create(desk.path("huge.toml")).unwrap();
    huge.set_len(1 << 40).unwrap(); // sparse
    for (file, says) in [
        ("/dev/zero", "/dev/zero: no job file: it is a device"),
        ("/dev/null", "/dev/null: no job file: it is a device"),
        ("binary.toml", "binary.toml: no job file: it has bytes of zero"),
        ("latin.toml", "latin.toml: no job file: line 2 is not UTF-8"),
        ("huge.toml", "huge.toml: no job file: it is longer than 64 MiB"),
    ] {
        for verb in [&[file][..], &["plan", file], &["check", file], &["launch", "-n", "2", file]] {
            let ran = desk.run(gridmpi(), verb).exits(2);
            assert!(ran.stderr.contains(says), "{verb:?}: {}", ran.stderr);
        }
        let ran = desk.run(mpirun(3), &[file]).exits(2);
        assert_eq!(ran.stderr.matches(says).count(), 1, "{}", ran.stderr);
    }
    let ran = desk.run(gridmpi(), &["."]).exits(2);
    assert!(ran.stderr.contains(".: no job file: it is a folder"), "{}", ran.stderr);
    // A pipe may give a job, and one that does not end is not read to its end.
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", "exec \"$0\" <(yes) --out out", gridmpi().get_program().to_str().unwrap()]);
    let ran = desk.run(shell, &[]).exits(2);
    assert!(ran.stderr.contains("longer than 64 MiB"), "{}", ran.stderr);
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    refused_job(
        &format!("sed = 1\n{CRUNCH}{X}"),
        &["job.toml:1: 'sed' is no key here; did you mean 'seed'?"],
    );
    refused_job(
        &format!("{CRUNCH}slep = 1\n{X}"),
        &["job.toml:3: 'crunch.slep' is no key", "'sleep'"],
    );
    refused_job(
        &format!("{CRUNCH}{X}redcue = \"max\"\n"),
        &["job.toml:6: 'loop.x.redcue' is no key here; did you mean 'reduce'?"],
    );
    refused_job(
        &format!("{CRUNCH}[[loop]]\nname = \"x\"\nlogspac = {{}}\n"),
        &["job.toml:5: loop.x.logspac: ", "'logspace'"],
    );
    refused_job(
        &format!("[crunch]\nbultin = \"multiply\"\n{X}"),
        &["job.toml:2: crunch.bultin", "'builtin'"],
    );
    refused_job(
        &format!("[crunch]\nshell = \"echo {{x}}\"\nlogs = \"fail\"\n{X}"),
        &["job.toml:3: crunch.logs: expected failed, all, none, found \"fail\"", "\"failed\""],
    );
    refused_job(
        &format!("{CRUNCH}logs = \"all\"\n{X}"),
        &["job.toml:3: crunch.logs: a builtin prints nothing"],
    );
    refused_job(
        &format!("[crunch]\nbuiltin = \"multipy\"\n{X}"),
        &["no builtin \"multipy\"; did you mean \"multiply\"?"],
    );
    refused_job(
        &format!("{CRUNCH}[[loop]]\nname = \"x\"\nlinspace = {{ from = 0, to = 1, cout = 3 }}\n"),
        &["job.toml:5: 'loop.x.linspace.count' is missing; is 'cout' meant for it?"],
    );
    refused_job(
        &format!(
            "{CRUNCH}[[loop]]\nname = \"x\"\nlinspace = {{ from = 0, to = 1, count = 3, n = 3 }}\n"
        ),
        &["job.toml:5: 'loop.x.linspace.n' is no key here"],
    );
    refused_job(
        &format!("{CRUNCH}{X}reduce = \"maks\"\n"),
        &["job.toml:6: loop.x.reduce: \"maks\" is no reduction; did you mean \"max\"?"],
    );
}

#[test]
fn loops_that_make_no_nest() {
    let points = |source: &str| format!("{CRUNCH}[[loop]]\nname = \"x\"\n{source}\n");
    for (source, says) in [
        ("", "loop 'x' has no points: give it one of values, json, range"),
        ("values = []", "job.toml:5: loop.x.values: loop 'x' has no points"),
        ("values = [nan]", "job.toml:5: loop.x.values[0]: NaN is no point: write null in json"),
        ("values = [1e400]", "loop.x.values[0]: 1e400 is too large for a number"),
        ("linspace = { from = 0, to = inf, count = 3 }", "linspace.to: expected a finite number"),
        ("json = '[1, NaN]'", "job.toml:5: loop.x.json: NaN is no point"),
        ("json = '[1, 1e400]'", "number out of range at line 1 column 9: for an infinite point"),
        ("json = '{}'", "loop.x.json: expected a JSON array, as in '[null, 2, \"a\"]', found {}"),
        ("json = '[1,]'", "loop.x.json: expected a JSON array"),
        ("json = [1]", "loop.x.json: expected a string, found an array"),
        ("json = '[]'", "loop 'x' has no points"),
        ("grid = { a = { json = '[]' } }", "loop.x.grid.a: no values"),
        (
            "logspace = { from = 0.1, to = 9, count = 3, whole = true }",
            "0.1 is rounded to 0, which is on no logarithmic scale",
        ),
        ("logspace = { from = 1, to = 9, count = 3, whole = 1 }", "expected true or false"),
        (
            "linspace = { from = 1, to = 9, count = 3, whole = true }",
            "'loop.x.linspace.whole' is no key",
        ),
        ("dates = { from = 2024-01-01, to = 2024-02-01 }", "'loop.x.dates.step' is missing"),
        (
            "dates = { from = 2024-01-01, to = 2024-02-01, step = '1m' }",
            "(a month is \"1mo\", \"1m\" is a minute)",
        ),
        (
            "dates = { from = 2024-01-01, to = 2024-02-01, step = 'weekly' }",
            "expected a step such as \"7d\"",
        ),
        ("dates = { from = 2024-01-01, to = 2024-02-01, step = '0d' }", "expected a step over 0"),
        (
            "dates = { from = 2024-02-01, to = 2024-01-01, step = '1d' }",
            "loop.x.dates: no dates: 'to' is before 'from'",
        ),
        (
            "dates = { from = 2024-01-01, to = 2024-01-02T00:00:00, step = '1d' }",
            "'from' and 'to' must both be dates",
        ),
        (
            "dates = { from = 2024-01-01T00:00:00Z, to = 2024-01-02T00:00:00Z, step = '1d' }",
            "a time without an offset",
        ),
        ("dates = { from = 'ééééééé', to = 2024-03-02, step = '1d' }", "found ééééééé"),
        ("dates = { from = '2024-02-30', to = 2024-03-02, step = '1d' }", "found 2024-02-30"),
        (
            "random = { count = 3, k = { logintegers = { from = 0, to = 9 } } }",
            "expected 'from' over 0, found 0",
        ),
        (
            "lhs = { count = 3, k = { logintegers = { from = 9, to = 9 } } }",
            "expected 'from' below 'to'",
        ),
        ("sobol = { count = 3 }", "loop.x.sobol: expected what to draw"),
        (
            "sobol = { count = 3, seed = 1, a = { uniform = { from = 0, to = 1 } } }",
            "a Sobol sequence has no seed",
        ),
        (
            "sobol = { count = 3, a = { normal = { mean = 0, sd = 1 } } }",
            "minus infinity for the normal distribution of 'a': leave it out with skip = 1",
        ),
        (
            "sobol = { count = 3, skip = 1073741823, a = { uniform = { from = 0, to = 1 } } }",
            "count and skip together are more than 1073741824",
        ),
        (
            "random = { count = 3, a = { choice = { json = 'null' } } }",
            "loop.x.random.a.choice.json: expected a JSON array",
        ),
        ("range = { from = 5, to = 5 }", "job.toml:5: loop.x.range: no points: from 5 to 5"),
        (
            "range = { from = 0, to = 5, step = 0 }",
            "loop.x.range.step: expected any whole number but 0",
        ),
        ("range = { from = 0.5, to = 5 }", "loop.x.range.from: expected a whole number, found 0.5"),
        (
            "linspace = { from = 0, to = 1, count = 0 }",
            "loop.x.linspace.count: expected at least 1",
        ),
        (
            "logspace = { from = 0, to = 1, count = 3 }",
            "loop.x.logspace.from: expected a number over 0",
        ),
        ("files = \"no/*.csv\"", "job.toml:5: loop.x.files: no file matches \"no/*.csv\""),
        ("files = \"a[\"", "loop.x.files: \"a[\" is no pattern"),
        ("rows = \"no.csv\"", "job.toml:5: loop.x.rows: no.csv: "),
        ("grid = {}", "expected at least one parameter"),
        ("grid = { a = [] }", "loop.x.grid.a: no values"),
        (
            "grid = { a = { rnage = {} } }",
            "loop.x.grid.a: expected an array or one of values, json, range",
        ),
        ("grids = []", "loop 'x' has no points"),
        ("zip = { a = [1, 2], b = [3] }", "'a' has 2 values, 'b' has 1"),
        ("random = { count = 3 }", "loop.x.random: expected what to draw"),
        (
            "random = { count = 3, a = { unform = {} } }",
            "'loop.x.random.a.unform' is no key here; did you mean 'uniform'?",
        ),
        (
            "random = { count = 3, a = { uniform = { from = 2, to = 1 } } }",
            "expected 'from' below 'to'",
        ),
        (
            "random = { count = 3, a = { normal = { mean = 2, sd = -1 } } }",
            "standard deviation of 0 or more",
        ),
        (
            "values = [1]\nrange = { from = 0, to = 1 }",
            "the loop has points already, from 'values'",
        ),
    ] {
        refused_job(&points(source), &[says]);
    }
    refused_job(
        &format!("{CRUNCH}{X}{X}"),
        &["job.toml:7: loop[1].name: there is a loop 'x' already"],
    );
    refused_job(
        &format!("{CRUNCH}[[loop]]\nname = \"a b\"\n"),
        &["job.toml:4: loop[0].name: \"a b\" is no name for a loop"],
    );
    refused_job(
        &format!("{CRUNCH}[[loop]]\nname = \"score\"\n"),
        &["'score' is a column of every run"],
    );
    refused_job(
        &format!("{CRUNCH}{X}reduce = \"max\"\n{}", X.replace("\"x\"", "\"y\"")),
        &["job.toml:7: loop[1]: loop 'y' has no reduce, but loop 'x' around it has one"],
    );
    let long = |name: &str| {
        format!("[[loop]]\nname = \"{name}\"\nrange = {{ from = 0, to = 10_000_000_000 }}\n")
    };
    refused_job(
        &format!("{CRUNCH}{}{}", long("x"), long("y")),
        &["10000000000 x 10000000000 tasks are more than"],
    );
}

#[test]
fn rows_that_are_no_table() {
    let desk = Desk::with_job(&format!("{CRUNCH}[[loop]]\nname = \"x\"\nrows = \"rows.csv\"\n"));
    desk.write("rows.csv", "a,b\n1,2\n3\n");
    refused(
        &desk,
        &["job.toml:5: loop.x.rows: rows.csv: line 3 has 1 cells where the lines before have 2"],
    );
    desk.write("rows.csv", "a,b\n");
    refused(&desk, &["rows.csv: there are no rows below line 1, which has the names"]);
    desk.write("rows.csv", "a,a\n1,2\n");
    refused(&desk, &["rows.csv: line 1 names the column 'a' twice"]);
    desk.write("rows.csv", "");
    refused(&desk, &["rows.csv: the file is empty"]);
}

#[test]
fn placeholders_for_no_loop() {
    let command = |argument: &str| format!("[crunch]\ncommand = [\"echo\", \"{argument}\"]\n{X}");
    refused_job(
        &command("{y}"),
        &["job.toml:2: crunch.command[1]: the placeholder {y} names no loop (loops: x"],
    );
    refused_job(&command("{x.a}"), &["{x.a}: the points of loop 'x' have no fields"]);
    refused_job(&command("{x"), &["a lone '{'"]);
    refused_job(&format!("[crunch]\ncommand = []\n{X}"), &["expected a program"]);
    refused_job(
        &format!("[crunch]\nshell = \"echo '{{x}}'\"\n{X}"),
        &["crunch.shell: a placeholder inside '...'"],
    );
    refused_job(
        &format!("[crunch]\ncommand = [\"./no-such-program\"]\n{X}"),
        &["job.toml:2: crunch.command: the program \"./no-such-program\" is not there"],
    );
    refused_job(&format!("[crunch]\ncommand = [\"no-such-program\"]\n{X}"), &["is not on PATH"]);
    let desk = Desk::with_job(&format!("[crunch]\ncommand = [\"./fit\"]\n{X}"));
    desk.write("fit", "#!/bin/sh\n");
    refused(&desk, &["is not executable", "chmod +x"]);
}

#[test]
fn python_that_cannot_be_called() {
    let job = |function: &str| format!("[crunch]\npython = \"{function}\"\n{X}");
    let desk = Desk::with_job(&job("fit.py:crunhc"));
    refused(&desk, &["job.toml:2: crunch.python: there is no file", "fit.py"]);
    desk.write("fit.py", "def crunch(x):\n    return x\n");
    refused(
        &desk,
        &["job.toml:2: crunch.python: fit.py has no function 'crunhc'; did you mean 'crunch'?"],
    );
    desk.write("fit.py", "def crunhc(x, y):\n    return x\n");
    refused(&desk, &["crunhc(x, y) is called with x: missing a required argument: 'y'"]);
    desk.write("fit.py", "def crunhc(x)\n    return x\n");
    refused(&desk, &["SyntaxError"]);
    desk.write("fit.py", "import no_such_module\n");
    refused(&desk, &["No module named 'no_such_module'"]);
    refused_job(&job("fit.py"), &["expected \"file.py:function\", found \"fit.py\""]);
    let interpreter =
        format!("[crunch]\npython = \"fit.py:f\"\ninterpreter = \"venv/bin/python\"\n{X}");
    refused_job(
        &interpreter,
        &["job.toml:3: crunch.interpreter: \"venv/bin/python\" is not there"],
    );
    let reduce = format!("{CRUNCH}{X}reduce = {{ python = \"fit.py:f\" }}\n");
    refused_job(&reduce, &["job.toml:6: loop.x.reduce: there is no file"]);
    let data = format!("[crunch]\npython = \"fit.py:f\"\ndata = \"z\"\n{X}");
    refused_job(&data, &["job.toml:3: crunch.data: there is no loop 'z' (loops: x)"]);
    let copy = format!("[crunch]\npython = \"fit.py:f\"\ndata_copy = true\n{X}");
    refused_job(&copy, &["job.toml:3: crunch.data_copy: there is no load"]);
    let reseed = format!("[crunch]\npython = \"fit.py:f\"\nreseed = 3\n{X}");
    refused_job(&reseed, &["job.toml:3: crunch.reseed: "]);
}

#[test]
fn data_that_ridge_cannot_use() {
    let ridge = |extra: &str, alpha: &str, folds: &str| {
        format!(
            "[crunch]\nbuiltin = \"ridge\"\n{extra}\n[[loop]]\nname = \"dataset\"\nfiles = \"*.csv\"\n[[loop]]\nname = \"alpha\"\nvalues = [{alpha}]\nreduce = \"max\"\n[[loop]]\nname = \"fold\"\n{folds}\nreduce = \"mean\"\n"
        )
    };
    let two_folds = "range = { from = 0, to = 2 }";
    let desk = Desk::with_job(&ridge("", "1", "range = { from = 0, to = 3 }"));
    for (data, says) in [
        ("x,y\n1,2\n3\n", "data.csv: line 3 has 1 cells"),
        ("x,y\n1,2\n3,many\n", "data.csv: line 3, column 'y': expected a number, found \"many\""),
        ("x,y\n1,\n", "line 2, column 'y': expected a number, found \"\""),
        ("x,y\n1,nan\n", "line 2, column 'y': expected a number"),
        ("x,y\n", "data.csv: there are no rows"),
        ("", "data.csv: there are no rows"),
        ("\u{feff}1,2\n3,4\n", "2 rows do not make 3 folds of two or more"),
        ("y\n1\n2\n", "expected two columns or more"),
        ("x,y\n1,2\n", "1 rows do not make 3 folds of two or more"),
    ] {
        desk.write("data.csv", data);
        refused(&desk, &[says]);
    }
    desk.write("data.csv", "x,y\n1,2\n2,3\n3,5\n4,4\n");
    desk.run_job().exits(2);
    desk.write("job.toml", &ridge("", "1", two_folds));
    desk.run(gridmpi(), &["job.toml", "--out", "good"]).exits(0);
    desk.write("job.toml", &ridge("", "1, -0.5", two_folds));
    refused(
        &desk,
        &["job.toml:7: loop.alpha: point 1: expected a finite alpha of 0 or more, found -0.5"],
    );
    desk.write("job.toml", &ridge("target = \"z\"", "1", two_folds));
    refused(&desk, &["there is no column 'z' (columns: x, y)"]);
    desk.write("job.toml", &ridge("", "1", "values = [1, 2]"));
    refused(&desk, &["loop.fold: point 0: expected the folds 0, 1, 2, ... in order"]);
    desk.write("job.toml", &ridge("", "1", "range = { from = 0, to = 1 }"));
    refused(&desk, &["expected at least 2 folds"]);
    desk.write("job.toml", &ridge("", "1", two_folds).replace("\"alpha\"", "\"lambda\""));
    refused(&desk, &["ridge takes the loops dataset, alpha and fold, each once; 'alpha' is wrong"]);
}

#[test]
fn folders_that_cannot_take_results() {
    let desk = Desk::with_job(&format!("{CRUNCH}{X}"));
    desk.write("out", "a file in the way");
    refused(&desk, &["results folder out: cannot be made"]);
}

#[test]
fn a_reduction_that_this_version_does_not_know() {
    let desk = Desk::with_job(&format!("{CRUNCH}{X}reduce = \"max\"\n"));
    desk.run_job().exits(0);
    desk.sql("UPDATE loops SET reduce = 'trimmed_mean'; UPDATE job SET value = '9.9' WHERE key = 'gridmpi'");
    for arguments in [
        &["best", "out"][..],
        &["explain", "out", "0"],
        &["report", "out"],
        &["merge", "out", "second", "--out", "merged"],
        &["job.toml", "--out", "out"],
        &["plan", "job.toml", "--out", "out"],
    ] {
        let ran = desk.run(gridmpi(), arguments).exits(2);
        for says in ["out", "loop 'x' has the reduction 'trimmed_mean'", "wrote the store (9.9)"] {
            assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
        }
        assert!(ran.stdout.is_empty(), "{arguments:?}: {}", ran.stdout);
    }
}

#[test]
fn plans_that_cannot_be_made() {
    let desk = Desk::with_job(&format!("{CRUNCH}{X}"));
    desk.write("other.toml", &format!("{CRUNCH}{}", X.replace("\"x\"", "\"y\"")));
    desk.write("none/notes.txt", "no runs");
    desk.write("file", "no folder");
    desk.write("empty/runs.sqlite", "");
    desk.write(
        "text/runs.sqlite",
        "no store at all, but text that is long enough to be looked at\n",
    );
    desk.run(gridmpi(), &["job.toml", "--out", "done"]).exits(0);
    desk.run(gridmpi(), &["job.toml", "--out", "newer"]).exits(0);
    let store = rusqlite::Connection::open(desk.path("newer/runs.sqlite")).unwrap();
    store.pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    for (arguments, says) in [
        (&["none.toml"][..], "none.toml: cannot be read"),
        (&["job.toml", "--pilot", "0"], "invalid value '0' for '--pilot <N>'"),
        (&["job.toml", "--pilot", "few"], "invalid value 'few' for '--pilot <N>'"),
        (&["job.toml", "--workers", "x"], "invalid value 'x' for '--workers <LIST>'"),
        (&["job.toml", "--workers", "8,0"], "invalid value '0' for '--workers <LIST>'"),
        (&["job.toml", "--pilot", "3", "--threads", "0"], "invalid value '0' for '--threads <T>'"),
        (&["job.toml", "--threads", "2"], "--pilot <N>"),
        (&["job.toml", "--pilot", "3", "--fresh"], "cannot be used with"),
        (&["job.toml", "--format", "csv"], "invalid value 'csv'"),
        (&["job.toml", "--out", "none"], "results folder none: there is no runs.sqlite in it"),
        (&["job.toml", "--out", "file"], "results folder file: is not a folder"),
        (&["job.toml", "--out", "empty"], "runs.sqlite is no store of gridmpi's"),
        (&["job.toml", "--out", "text"], "results folder text: runs.sqlite cannot be read"),
        (&["job.toml", "--out", "newer"], "was written by a newer gridmpi"),
        (
            &["other.toml", "--out", "done"],
            "results folder done: its runs are of the loops x, this job's loops are y",
        ),
    ] {
        let ran = desk.run(gridmpi(), &[&["plan"][..], arguments].concat()).exits(2);
        assert!(ran.stderr.contains(says), "{says:?} is not in:\n{}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn strategies_and_comparisons_that_cannot_be() {
    let desk = Desk::with_job(&format!("{CRUNCH}{X}"));
    fn compare<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
        [&["compare", "job.toml"], arguments].concat()
    }
    for (arguments, says) in [
        (compare(&[]), "--workers <N>"),
        (compare(&["--workers", "0"]), "invalid value '0' for '--workers <N>'"),
        (compare(&["--workers", "4", "--seconds=-1"]), "expected seconds, more than 0"),
        (compare(&["--workers", "4", "--seconds", "0"]), "expected seconds, more than 0"),
        (compare(&["--workers", "4", "--seconds", "nan"]), "expected seconds, more than 0"),
        (
            compare(&["--workers", "8", "--seconds", "1", "--split", "4+5"]),
            "--split 4+5: that takes 9 workers, and --workers says 8",
        ),
        (compare(&["--workers", "8", "--split", "4"]), "expected A+B"),
        (compare(&["--workers", "8", "--split", "0+3"]), "expected A+B"),
        (compare(&["--workers", "4"]), "nothing tells how long its tasks take"),
        (compare(&["--workers", "4"]), "give --seconds"),
        (compare(&["--workers", "4", "--out", "out"]), "results folder out: no duration"),
        (compare(&["--workers", "4", "--quick"]), "--quick is for the built-in demonstration"),
        (vec!["compare", "no.toml", "--workers", "4"], "no.toml: cannot be read"),
        (vec!["job.toml", "--strategy", "oter"], "no such strategy; did you mean outer?"),
        (vec!["job.toml", "--strategy", "split:4"], "expected A+B"),
        (
            vec!["job.toml", "--strategy", "split:2+2", "--threads", "3"],
            "--strategy split:2+2: that takes 4 workers, and there are 3",
        ),
        (vec!["job.toml", "--strategy", "outer", "--only", "1"], "cannot be used with"),
    ] {
        let ran = desk.run(gridmpi(), &arguments).exits(2);
        assert!(ran.stderr.contains(says), "{says:?} is not in:\n{}", ran.stderr);
        assert!(!desk.path("results").exists(), "{arguments:?}");
    }
    let ran = desk.run(mpirun(4), &["job.toml", "--strategy", "split:3+1"]).exits(2);
    assert_eq!(ran.stderr.matches("that takes 4 workers, and there are 3").count(), 1);
}

#[test]
fn under_mpirun_every_rank_ends_and_one_speaks() {
    let desk = Desk::with_job(&format!("sed = 1\n{CRUNCH}{X}"));
    let ran = desk.run(mpirun(9), &["job.toml"]).exits(2);
    assert_eq!(ran.stderr.matches("did you mean 'seed'?").count(), 1, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("gridmpi: error").count(), 1, "{}", ran.stderr);
    let ran = desk.run(mpirun(3), &["--no-such-flag"]).exits(2);
    assert_eq!(ran.stderr.matches("unexpected argument").count(), 1, "{}", ran.stderr);
}

#[test]
fn what_was_meant_is_said() {
    let of = |points: &str| format!("{CRUNCH}[[loop]]\nname = \"x\"\n{points}\n");
    for (job, says) in [
        (
            format!("{CRUNCH}[loop]\nname = \"x\"\nvalues = [1]\n"),
            "job.toml:3: loop: each loop is a table with two pairs of brackets: [[loop]]",
        ),
        (format!("{CRUNCH}[loop.x]\nvalues = [1]\n"), "two pairs of brackets: [[loop]]"),
        (
            of("range = [0, 5]"),
            "job.toml:5: loop.x.range: expected a table: range = { from = 0, to = 5 } (to is excluded)",
        ),
        (of("range = 5"), "range = { from = 0, to = 5 } (to is excluded)"),
        (of("range = [0, 10, 2]"), "range = { from = 0, to = 10, step = 2 }"),
        (of("linspace = [0, 1.5, 4]"), "linspace = { from = 0, to = 1.5, count = 4 }"),
        (of("logspace = [1, 10]"), "logspace = { from = 1, to = 10, count = ... }"),
        (of("range = [\"a\", \"b\"]"), "loop.x.range: expected a table, found an array"),
        (
            of("logspace = { from = -3, to = 3, count = 7 }"),
            "for 10^-3 to 10^3 write from = 1e-3, to = 1e3",
        ),
        (
            of("logspace = { from = 0, to = 2, count = 3 }"),
            "for 10^0 to 10^2 write from = 1e0, to = 1e2",
        ),
        (
            of("grid = { a = { range = [0, 5] } }"),
            "loop.x.grid.a.range: expected a table: range = { from = 0",
        ),
    ] {
        refused_job(&job, &[says]);
    }
    let plain = Desk::with_job(&of("logspace = { from = 0.001, to = -0.5, count = 7 }"));
    let ran = plain.run(gridmpi(), &["job.toml"]).exits(2);
    assert!(ran.stderr.ends_with("expected a number over 0, found -0.5\n"), "{}", ran.stderr);
}
