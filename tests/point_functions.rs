//! Python functions that give the points of a loop (`python = "grid.py:points"`), and what is said while points
//! are looked for.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Desk, Ran, gridmpi, mpirun, python_with_sklearn, runs_without_times};

/// A job with these loops, which prints its coordinates; grid.py has this text.
fn desk(loops: &str, grid: &str) -> Desk {
    let desk = Desk::new();
    write_job(&desk, loops);
    desk.write("grid.py", grid);
    desk
}

fn write_job(desk: &Desk, loops: &str) {
    let crunch = "[crunch]\nshell = \"echo $GRIDMPI_TASK >> tasks; echo 1\"\n";
    desk.write("job.toml", &format!("{crunch}{loops}"));
}

/// The job refused, with all of these words.
fn refused(desk: &Desk, says: &[&str]) {
    let ran = desk.run_job().exits(2);
    for words in says {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    assert!(!desk.path("tasks").exists());
}

/// Coordinates of all tasks, in order.
fn points(desk: &Desk, columns: &str) -> Vec<String> {
    desk.sql(&format!("SELECT {columns} FROM all_runs ORDER BY task"))
}

/// What grid.py's functions have been called with, since the last look.
fn called(desk: &Desk) -> Vec<String> {
    let text = std::fs::read_to_string(desk.path("called")).unwrap_or_default();
    desk.write("called", "");
    text.lines().map(String::from).collect()
}

const PER_DATA: &str = "
[[loop]]
name = \"repeat\"
range = { from = 0, to = 2 }
[[loop]]
name = \"data\"
values = [{ id = \"a\", n = 3 }, { id = \"b\", n = 0 }, { id = \"c\", n = 1 }]
[[loop]]
name = \"k\"
python = \"grid.py:points\"
reduce = \"sum\"
";

const NOTES: &str = "
import random, sys
print('import is no answer')
def points(data):
    open('called', 'a').write(data['id'] + '\\n')
    print('nor is this', flush=True)
    sys.stdout.write('{\"value\": [9]}' * 1000)
    for i in range(data['n']):
        yield i * 10
";

#[test]
fn a_function_is_called_once_for_the_points_that_it_takes() {
    let desk = desk(PER_DATA, NOTES);
    let plan = desk.run(gridmpi(), &["plan", "job.toml"]).exits(0);
    assert!(plan.stdout.contains("python"), "{}", plan.stdout);
    assert!(plan.stdout.contains("8 tasks"), "{}", plan.stdout);
    assert!(plan.stdout.contains("points of data have no k"), "{}", plan.stdout);
    assert_eq!(called(&desk), ["a", "b", "c"]);

    let ran = desk.run_job().exits(0);
    assert_eq!(called(&desk), ["a", "b", "c"]);
    let expected = ["0|a|0", "0|a|10", "0|a|20", "0|c|0", "1|a|0", "1|a|10", "1|a|20", "1|c|0"];
    let columns = "repeat, data ->> '$.id', k";
    assert_eq!(points(&desk, columns), expected);
    let runs: Vec<u64> = ran.groups().iter().map(|g| g["runs"].as_u64().unwrap()).collect();
    assert_eq!(runs, [3, 1, 3, 1]);
    // Rank 0 alone calls it, and workers get what it has found.
    desk.run(mpirun(3), &["job.toml", "--out", "mpi", "--format", "json"]).exits(0);
    assert_eq!(called(&desk), ["a", "b", "c"]);
    let [here, there] = ["out", "mpi"].map(|out| desk.path(out).join("runs.sqlite"));
    assert_eq!(runs_without_times(&here), runs_without_times(&there));
    // Readers of a results folder call nothing.
    let explained = desk.run(gridmpi(), &["explain", "out", "1"]).exits(0);
    assert!(explained.stdout.contains("GRIDMPI_TASK=1"), "{}", explained.stdout);
    assert_eq!(called(&desk), [""; 0]);

    // Another function has other points, and what it has in common with the old one is there already.
    desk.write("grid.py", &NOTES.replace("data['n']", "data['n'] + 1"));
    let more = desk.run_job().exits(0);
    assert!(more.stderr.contains("8 of 14 runs reused"), "{}", more.stderr);
    desk.write("grid.py", NOTES);
    let less = desk.run_job().exits(0);
    assert!(less.stderr.contains("nothing left to compute"), "{}", less.stderr);
    assert_eq!(points(&desk, columns), expected);
}

#[test]
fn parameters_say_what_a_function_depends_on() {
    let loops = "
[[loop]]
name = \"a\"
range = { from = 0, to = 2 }
[[loop]]
name = \"b\"
json = '[null, \"x\"]'
[[loop]]
name = \"c\"
python = \"grid.py:FUNCTION\"
";
    let grid = "
def note(**around):
    open('called', 'a').write(repr(around) + '\\n')
def nothing():
    note()
    return [None, float('inf'), 'x', (1, [2]), {'r': True}]
def anything(**around):
    note(**around)
    return [len(around)]
def one(b, a=7, scale=2, *more):
    note(a=a, b=b, scale=scale)
    return (a * scale,)
def other(b):
    note(b=b)
    return [] if b is None else [b, b]
def random_points(a):
    import random
    return [random.random()]
";
    let desk = desk(loops, grid);
    let with = |function: &str| {
        write_job(&desk, &loops.replace("FUNCTION", function));
        called(&desk);
        let ran = desk.run(gridmpi(), &["job.toml", "--fresh", "--threads", "2", "--out", "out"]);
        ran.exits(0)
    };
    with("nothing");
    assert_eq!(called(&desk), ["{}"]);
    let c = ["", "Infinity", "x", "[1,[2]]", "{\"r\":true}"];
    assert_eq!(desk.sql("SELECT DISTINCT iif(c = 9e999, 'Infinity', c) FROM all_runs"), c);
    assert_eq!(desk.sql("SELECT count(*) FROM all_runs"), ["20"]);
    with("anything");
    let all =
        ["{'a': 0, 'b': None}", "{'a': 0, 'b': 'x'}", "{'a': 1, 'b': None}", "{'a': 1, 'b': 'x'}"];
    assert_eq!(called(&desk), all);
    with("one");
    assert_eq!(points(&desk, "a, b, c"), ["0||0", "0|x|0", "1||2", "1|x|2"]);
    assert_eq!(called(&desk)[3], "{'a': 1, 'b': 'x', 'scale': 2}");
    // Equal points are told once, and each is computed.
    let ran = with("other");
    assert_eq!(called(&desk), ["{'b': None}", "{'b': 'x'}"]);
    assert_eq!(points(&desk, "a, b, c"), ["0|x|x", "0|x|x", "1|x|x", "1|x|x"]);
    assert_eq!(ran.stderr.matches("\"x\" is there more than once").count(), 1, "{}", ran.stderr);
    // Each start finds the same random points.
    with("random_points");
    let again = desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "out"]).exits(0);
    assert!(again.stderr.contains("nothing left to compute"), "{}", again.stderr);
}

#[test]
fn conditions_know_the_points_of_functions() {
    let loops = "
[[loop]]
name = \"family\"
values = [\"ridge\", \"tree\"]
[[loop]]
name = \"case\"
python = \"grid.py:cases\"
where = \"case.n <> 3 and case.kind = family\"
[[loop]]
name = \"m\"
range = { from = 0, to = \"case.n\" }
only_if = { \"case.kind\" = \"ridge\" }
[[loop]]
name = \"v\"
python = \"grid.py:inner\"
only_if = \"m is null or m > 0\"
where = \"v < 15\"
reduce = \"sum\"
";
    let grid = "
def cases(family):
    if family == 'ridge':
        return [{'kind': 'ridge', 'n': i} for i in range(1, 4)]
    return [{'kind': 'tree', 'n': 10 * i, 'deep': i > 1} for i in (1, 2)] + [{'kind': 'odd', 'n': 1}]
def inner(case, m):
    open('called', 'a').write(f\"{case['n']} {m}\\n\")
    return [case['n'], 2 * case['n'], 5 if m is None else m]
";
    let desk = desk(loops, grid);
    desk.run_job().exits(0);
    let mut expected = Vec::new();
    for (kind, n) in [("ridge", 1), ("ridge", 2), ("tree", 10), ("tree", 20)] {
        let inner = if kind == "ridge" { (0..n).map(Some).collect() } else { vec![None] };
        for m in inner {
            let name = m.map_or(String::new(), |m: i64| m.to_string());
            if m == Some(0) {
                expected.push(format!("{kind}|{n}|0|"));
                continue;
            }
            for v in [n, 2 * n, m.unwrap_or(5)].into_iter().filter(|v| *v < 15) {
                expected.push(format!("{kind}|{n}|{name}|{v}"));
            }
        }
    }
    assert_eq!(points(&desk, "family, \"case.n\", m, v"), expected);
    assert_eq!(called(&desk), ["2 1", "10 None", "20 None"]);
    for (condition, says) in [
        ("case.n = 'x'", "case.n has numbers"),
        ("case.nn = 1", "did you mean 'case.n'?"),
        ("case.deep = 1", "case.deep may be none"),
        ("case.n > 99", "it keeps none of the points of loop 'case'"),
    ] {
        let old = "case.n <> 3 and case.kind = family";
        write_job(&desk, &loops.replace(old, condition));
        let ran = desk.run_job().exits(2);
        let line = "job.toml:10: loop.case.where: ";
        assert!(ran.stderr.contains(line) && ran.stderr.contains(says), "{}", ran.stderr);
    }
}

#[test]
fn values_of_numpy_are_points() {
    let loops = "
[[loop]]
name = \"n\"
range = { from = 2, to = 4 }
[[loop]]
name = \"x\"
python = \"grid.py:points\"
";
    let grid = "
import numpy as np
def points(n):
    yield from np.linspace(0, 1, n)
    yield np.float32(0.5), np.int64(n)
    yield {'flag': np.bool_(True), 'row': np.arange(n)}
def crunch(n, x):
    return repr(x)
";
    let desk = desk("", grid);
    let python = python_with_sklearn();
    let crunch =
        format!("[crunch]\npython = \"grid.py:crunch\"\ninterpreter = \"{}\"\n", python.display());
    desk.write("job.toml", &format!("{crunch}{loops}"));
    desk.run_job().exits(0);
    let expected = [
        "2|0.0",
        "2|1.0",
        "2|[0.5, 2]",
        "2|{'flag': True, 'row': [0, 1]}",
        "3|0.0",
        "3|0.5",
        "3|1.0",
        "3|[0.5, 3]",
        "3|{'flag': True, 'row': [0, 1, 2]}",
    ];
    let seen = points(&desk, "n, value");
    assert_eq!(seen.iter().map(|s| s.replace('"', "")).collect::<Vec<_>>(), expected);
}

#[test]
fn a_task_is_explained_without_a_call() {
    let desk = Desk::with_job(
        "[crunch]\ncommand = [\"echo\", \"{case.x}{k}\"]\n\
         [[loop]]\nname = \"case\"\nrows = \"cases.csv\"\n\
         [[loop]]\nname = \"k\"\npython = \"grid.py:points\"\n",
    );
    desk.write("cases.csv", "x,n\n1.50,1\n2.00,2\n");
    desk.write("grid.py", "def points(case): return range(case['n'])\n");
    desk.run_job().exits(0);
    assert_eq!(desk.sql("SELECT value FROM all_runs"), ["1.5", "2.0", "2.001"]);
    std::fs::remove_file(desk.path("grid.py")).unwrap();
    let explained = desk.run(gridmpi(), &["explain", "out", "2", "--format", "json"]).exits(0);
    let facts = explained.json();
    let line = facts["by_hand"].as_str().unwrap();
    assert!(line.contains(&format!("GRIDMPI_SEED={} ", facts["seed"])), "{line}");
    let again = Command::new("sh").args(["-c", line]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&again.stdout), "2.001\n");
}

#[test]
fn what_is_wrong_with_a_function_is_said() {
    let loops = "
[[loop]]
name = \"data\"
values = [\"a\", \"b\"]
[[loop]]
name = \"p\"
python = \"grid.py:points\"
";
    let desk = desk(loops, "");
    let at_b = "job.toml:9: loop.p.python: grid.py:points at data = 'b': ";
    for (body, says) in [
        ("raise ValueError('no grid for ' + data)", "ValueError: no grid for b (grid.py:5)"),
        ("yield 1\n    1 / 0", "ZeroDivisionError: division by zero (grid.py:6)"),
        ("import sys; sys.exit('enough')", "SystemExit: enough (grid.py:5)"),
        ("pass", "it returns nothing, not a list of points"),
        ("return 'abc'", "it returns the text 'abc', not a list of points"),
        ("return {'x': 1}", "it returns a dict, not a list of points"),
        ("return {1, 2}", "it returns a set, which has no order"),
        ("return 7", "it returns something of type int, not a list of points"),
        ("return [1, {2}]", "the point at index 1 cannot be kept: a set is neither"),
        ("return [1, 2, b'x']", "the point at index 2 cannot be kept: a bytes is neither"),
        ("return [2 ** 64]", "the point at index 0 cannot be kept: 18446744073709551616 does not"),
        ("return [{'x': {1: 2}}]", "the point at index 0 cannot be kept: a record's name is 1"),
        ("return ['\\udc80']", "the point at index 0 cannot be kept"),
        (
            "x = []; x.append(x); return x",
            "the point at index 0 cannot be kept: it contains itself",
        ),
        ("return [0, [float('nan')]]", "the point at index 1 is NaN, or has one"),
        ("return [{'x': 1, 'X': 2}]", "the fields 'x' and 'X' differ by case alone"),
        ("import itertools; return itertools.count()", "it gives more than 1000000 points"),
        ("while True: yield 'x' * 10 ** 6", "it gives points of more than 256 MiB"),
        ("import os; os._exit(3)", "the Python child ended (exit status: 3"),
    ] {
        let first = "    if data == 'a':\n        return [1]\n";
        let text = format!("def points(data):\n{first}    # b\n    {body}\n");
        let is_generator = body.contains("yield");
        let first_yields = text.replace("return [1]", "yield 1; return");
        desk.write("grid.py", if is_generator { &first_yields } else { &text });
        refused(&desk, &[at_b, says]);
    }
    let key = "job.toml:9: loop.p.python: ";
    for (grid, says) in [
        (
            "def points(dat): return [1]",
            "its parameter 'dat' is no loop around this one; did you mean 'data'? (loops: data), and it has no default",
        ),
        ("def points(p): return [1]", "its parameter 'p' is no loop around this one (loops: data)"),
        ("def points(data, /): return [1]", "its parameter 'data' takes no name"),
        (
            "def pointz(data): return [1]",
            "grid.py has no function 'points'; did you mean 'pointz'?",
        ),
        ("def points(): return []", "it gives no points, so loop 'p' has none"),
        ("def points(:", "SyntaxError"),
        ("import nonesuch", "ModuleNotFoundError"),
    ] {
        desk.write("grid.py", grid);
        refused(&desk, &[key, says]);
    }
    desk.write("grid.py", "def points(data): return []");
    refused(&desk, &["there is no task"]);
    // Each call's points are right, but not those of both.
    desk.write("grid.py", "def points(data): return [{'A' if data == 'a' else 'a': 1}]");
    let why = "in the points of loop 'p', of all calls of its function, the fields 'A' and 'a' differ by case alone";
    refused(&desk, &["job.toml:7: ", why]);
    desk.write("grid.py", "def points(data): return range(4)");
    for (more, says) in [
        ("most = 3", "grid.py:points at data = 'a': it gives more than 3 points"),
        ("most = 0", "loop.p.most: expected at least 1, found 0"),
        ("most = 20000000", "loop.p.most: 20000000 points"),
        ("values = [1]", "the loop has points already, from 'python'"),
        ("files = \"{data}\"", "the loop has points already, from 'python'"),
        ("exclude = \"x\"", "loop.p.exclude"),
    ] {
        write_job(&desk, &format!("{loops}{more}\n"));
        refused(&desk, &[says]);
    }
    write_job(&desk, &format!("{loops}most = 4\n"));
    desk.run_job().exits(0);
    assert_eq!(desk.sql("SELECT count(*) FROM all_runs"), ["8"]);
    let many = "[[loop]]\nname = \"data\"\nrange = { from = 0, to = 1000001 }\n\
                [[loop]]\nname = \"p\"\npython = \"grid.py:points\"\n";
    write_job(&desk, many);
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("called for 1,000,001 combinations"), "{}", ran.stderr);
    let gone = loops.replace("grid.py", "gone.py");
    write_job(&desk, &gone);
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("there is no file") && ran.stderr.contains("gone.py"));
    write_job(&desk, "[[loop]]\nname = \"x\"\nvalues = [1]\nmost = 3\n");
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("goes with 'python'"), "{}", ran.stderr);
}

/// Waits until a line on stderr has these words; returns all lines so far.
fn heard(child: &mut Child, words: &str) -> String {
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut all = String::new();
    while !all.contains(words) {
        assert!(lines.read_line(&mut all).unwrap() > 0, "it has ended:\n{all}");
    }
    // What comes later must not fail for lack of a reader.
    std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
    all
}

/// Interrupts a job that says these words on stderr; it ends soon.
fn interrupted(desk: &Desk, says: &str) {
    let mut command = gridmpi();
    command.args(["job.toml", "--threads", "1", "--out", "out"]).current_dir(desk.path(""));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    heard(&mut child, says);
    let begun = Instant::now();
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_call_that_takes_long_is_named_and_can_be_interrupted() {
    let loops = "[[loop]]\nname = \"n\"\nrange = { from = 3, to = 5 }\n\
                 [[loop]]\nname = \"m\"\npython = \"grid.py:points\"\n";
    let grid = "
import os
def points(n):
    open('pid', 'w').write(str(os.getpid()))
    while n > 3:
        pass
    return [1, 2]
";
    let desk = desk(loops, grid);
    interrupted(&desk, "grid.py:points (at n = 4) has run for");
    // Nothing is left running.
    let pid = std::fs::read_to_string(desk.path("pid")).unwrap();
    let is_gone = |_: &u32| {
        std::thread::sleep(Duration::from_millis(100));
        !std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
    };
    assert!((0..200).any(|round| is_gone(&round)), "{pid}");
}

#[test]
fn conditions_of_many_combinations_say_how_far_they_are() {
    let loops = "[[loop]]\nname = \"a\"\nrange = { from = 0, to = 9900 }\n\
                 [[loop]]\nname = \"b\"\nrange = { from = 0, to = 9900 }\n\
                 where = \"b = a and abs(a) < 5\"\n";
    let desk = desk(loops, "");
    interrupted(&desk, "so far: conditions evaluated for ");
    // Few of them take no time, and nothing is said.
    write_job(&desk, &loops.replace("9900", "9"));
    let ran: Ran = desk.run_job().exits(0);
    assert!(!ran.stderr.contains("so far:"), "{}", ran.stderr);
}
