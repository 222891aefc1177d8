//! `python = "file.py:function"`: one long-lived child per worker, regardless of what the user's code does.

mod common;

use common::{Desk, gridmpi, mpirun};
use serde_json::json;

fn job(crunch: &str, points: &str) -> String {
    format!(
        "[crunch]\npython = \"fit.py:crunch\"\n{crunch}\n[[loop]]\nname = \"x\"\nvalues = {points}\nreduce = \"all\"\n"
    )
}

fn desk(code: &str, crunch: &str, points: &str) -> Desk {
    let desk = Desk::with_job(&job(crunch, points));
    desk.write("fit.py", code);
    desk
}

#[test]
fn imports_are_paid_once_a_worker() {
    let code = "import os, time\nbegan = time.time()\ndef crunch(x):\n    return {'pid': os.getpid(), 'parent': os.getppid()}\n";
    let desk = desk(code, "", "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]");
    let ran = desk.run(mpirun(4), &["job.toml", "--out", "out", "--format", "json"]).exits(0);
    let distinct = |field: &str| {
        let all = ran.value();
        let all = all.as_array().unwrap().iter().map(|run| run[field].to_string());
        all.collect::<std::collections::HashSet<_>>().len()
    };
    assert!((1..=3).contains(&distinct("pid")), "at most one child for each of 3 workers");
    assert_eq!(distinct("pid"), distinct("parent"));
    let by_rank = "SELECT count(DISTINCT json_extract(value, '$.pid')) FROM all_runs GROUP BY rank";
    assert!(desk.sql(by_rank).iter().all(|count| count == "1"));
}

#[test]
fn what_it_prints_never_gets_between_the_messages() {
    let code = r#"
import os, sys
print("at import")
def crunch(x):
    print("to stdout", flush=True)
    sys.stderr.write("to stderr\n")
    os.write(1, b'{"type":"result","id":1,"value":2} garbage!\n')
    os.system("echo from a child; cat")
    return x
"#;
    let desk = desk(code, "", "[1, 2, 3]");
    let ran = desk.run_job().exits(0);
    assert_eq!(ran.value(), json!([1.0, 2.0, 3.0]));
    let loud = desk.run(gridmpi(), &["job.toml", "-v", "--out", "loud"]).exits(0);
    for line in ["at import", "to stdout", "to stderr", "garbage!", "from a child"] {
        assert!(loud.stderr.contains(line), "{line:?} is not in:\n{}", loud.stderr);
    }
    assert!(!ran.stderr.contains("to stdout"), "{}", ran.stderr);
}

#[test]
fn an_exception_fails_its_run_and_keeps_its_traceback() {
    let code = "def deeper(x):\n    raise KeyError(f'no {x}')\ndef crunch(x):\n    return x if x > 1 else deeper(x)\n";
    let desk = desk(code, "require = 0.5", "[1, 2]");
    let ran = desk.run_job().exits(100);
    assert_eq!(ran.value(), json!([null, 2.0]));
    let job = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("table.toml", &job.replace("reduce = \"all\"", ""));
    let table = desk.run(gridmpi(), &["table.toml"]).exits(100).stdout;
    assert!(table.contains("failed: KeyError: 'no 1'"), "{table}");
    let error = desk.sql("SELECT error FROM all_runs WHERE task = 0").join("\n");
    assert!(error.contains("fit.py\", line 2, in deeper"), "{error}");
    assert!(error.contains("KeyError: 'no 1'"), "{error}");
    assert!(!error.contains("<string>"), "only the user's own frames: {error}");
}

#[test]
fn a_child_that_dies_costs_its_run_and_is_replaced() {
    let code = r#"
import os, signal, sys
def crunch(x):
    print("about to", x)
    if x == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if x == 2:
        os._exit(3)
    if x == 3:
        sys.exit("leaving")
    return x
"#;
    let desk = desk(code, "require = 0.2", "[0, 1, 2, 3, 4]");
    let ran = desk.run_job().exits(100);
    assert_eq!(ran.value(), json!([0.0, null, null, null, 4.0]));
    let errors = desk.sql(
        "SELECT replace(error, char(10), ' ') FROM all_runs WHERE status = 'failed' ORDER BY task",
    );
    assert!(errors[0].contains("signal: 9") && errors[0].contains("about to 1"), "{errors:?}");
    assert!(errors[1].contains("exit status: 3"), "{errors:?}");
    assert!(errors[2].contains("SystemExit: leaving"), "{errors:?}");
}

#[test]
fn results_that_are_none() {
    for (given, says) in [
        ("None", "crunch returned None: expected a number or a record; is a `return` missing?"),
        ("'text'", "got \"text\""),
        ("True", "got true"),
        ("{1, 2}", "a set is neither a number nor a record"),
        ("object()", "a object is neither a number"),
        ("{'loss': 1}", "no \"score\" (it has: loss)"),
        ("{'score': 'high'}", "\"score\" is no number: \"high\""),
    ] {
        let loops = job("", "[1]").replace("\"all\"", "\"max\"");
        let desk = desk(&format!("def crunch(x):\n    return {given}\n"), "", "[1]");
        desk.write("job.toml", &loops);
        desk.run_job().exits(100);
        let error = desk.sql("SELECT error FROM all_runs").join("\n");
        assert!(error.contains(says), "{given}: {error}");
    }
}

#[test]
fn loaded_data_is_kept_within_bounds() {
    let code = r#"
loads = []
def load(x):
    loads.append(x)
    return {"data": x * 10}
def crunch(x, repeat):
    return {"data": x["data"], "loads": len(loads)}
"#;
    let job = |keep: u32| {
        format!(
            "[crunch]\npython = \"fit.py:crunch\"\nload = \"fit.py:load\"\ndata = \"x\"\nkeep = {keep}\n[[loop]]\nname = \"repeat\"\nrange = {{ from = 0, to = 3 }}\nreduce = \"all\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\nreduce = \"all\"\n"
        )
    };
    let loads = |keep| {
        let desk = Desk::with_job(&job(keep));
        desk.write("fit.py", code);
        desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out"]).exits(0);
        assert_eq!(
            desk.sql("SELECT DISTINCT json_extract(value, '$.data') FROM all_runs ORDER BY x"),
            ["10", "20"]
        );
        desk.sql("SELECT max(json_extract(value, '$.loads')) FROM all_runs")
    };
    assert_eq!(loads(2), ["2"], "both fit");
    assert_eq!(loads(1), ["6"], "one has to go each time");
}

#[test]
fn the_child_finds_a_clean_environment() {
    let code = r#"
import os
def crunch(x):
    prefixes = ("OMPI_COMM", "OMPI_MCA_ess", "PMIX_", "PMI_", "SLURM_PROCID")
    return {"launcher": [name for name in os.environ if name.startswith(prefixes)],
            "omp": os.environ["OMP_NUM_THREADS"], "where": os.getcwd()}
"#;
    let desk = desk(code, "", "[1]");
    let mut launcher = mpirun(2);
    launcher.env("SLURM_PROCID", "7");
    let ran = desk.run(launcher, &["job.toml", "--format", "json"]).exits(0);
    let run = &ran.value()[0];
    assert_eq!(run["launcher"], json!([]));
    assert!(run["omp"].as_str().unwrap().parse::<u32>().unwrap() >= 1);
    let here = desk.path("").canonicalize().unwrap();
    assert_eq!(run["where"].as_str().unwrap(), here.to_str().unwrap());
    let mut chosen = gridmpi();
    chosen.env("OMP_NUM_THREADS", "17");
    let ran = desk.run(chosen, &["job.toml", "--fresh", "--format", "json"]).exits(0);
    assert_eq!(ran.value()[0]["omp"], "17");
}

#[test]
fn another_interpreter_can_be_named() {
    let code = "import sys\ndef crunch(x):\n    return {'flag': sys.flags.ignore_environment}\n";
    let desk = desk(code, "interpreter = \"./my-python\"", "[1]");
    desk.script("my-python", "#!/bin/sh\nexec python3 -E \"$@\"\n");
    assert_eq!(desk.run_job().exits(0).value(), json!([{ "flag": 1 }]));
}

#[test]
fn a_child_that_would_not_end_is_killed() {
    let code = "import os, threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\ndef crunch(x):\n    return {'pid': os.getpid()}\n";
    let desk = desk(code, "", "[1]");
    let pid = desk.run_job().exits(0).value()[0]["pid"].to_string();
    assert!(!std::path::Path::new("/proc").join(pid).exists());
}

#[test]
fn a_reduction_that_fails_leaves_an_incomplete_group() {
    let code = "def crunch(x):\n    return x\ndef summarize(runs):\n    return runs[5]\n";
    let desk = desk(code, "", "[1, 2]");
    let job = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &job.replace("\"all\"", "{ python = \"fit.py:summarize\" }"));
    let ran = desk.run_job().exits(100);
    let error = ran.groups()[0]["error"].as_str().unwrap().to_string();
    assert!(error.contains("IndexError") && error.contains("in summarize"), "{error}");
    assert!(ran.stderr.contains("0 of 2 runs failed, 1 group is incomplete"), "{}", ran.stderr);
}

#[test]
fn a_forked_process_that_outlives_its_child_holds_nobody_up() {
    let code = r#"
import os, signal, time
def crunch(x):
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
    print("left", pid)
    os.kill(os.getpid(), signal.SIGKILL)
"#;
    let desk = desk(code, "", "[1]");
    desk.run_job().exits(100);
    let error = desk.sql("SELECT error FROM all_runs").join("\n");
    assert!(error.contains("signal: 9"), "{error}");
    let left = error.rsplit("left ").next().unwrap().trim();
    let there = std::path::PathBuf::from(format!("/proc/{left}/stat"));
    let begin = std::time::Instant::now();
    let lives = || std::fs::read_to_string(&there).is_ok_and(|stat| !stat.contains(") Z "));
    while lives() {
        assert!(begin.elapsed().as_secs() < 20, "it outlives gridmpi");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn python_reduces_on_rank_0_or_on_the_workers() {
    let code = "
import os
def crunch(dataset, x):
    return dataset * x
def total(runs):
    return {'score': sum(run['score'] for run in runs), 'rank': int(os.environ['GRIDMPI_RANK'])}
";
    let job = |reduce_on: &str| {
        format!(
            "reduce_on = \"{reduce_on}\"\n[crunch]\npython = \"fit.py:crunch\"\n\
             [[loop]]\nname = \"dataset\"\nvalues = [1, 2, 3, 4, 5, 6]\n\
             [[loop]]\nname = \"x\"\nvalues = [1, 10, 100]\nreduce = {{ python = \"fit.py:total\" }}\n"
        )
    };
    for reduce_on in ["master", "workers"] {
        let desk = Desk::with_job(&job(reduce_on));
        desk.write("fit.py", code);
        let ranks = desk.run(mpirun(4), &["job.toml", "--out", "mpi", "--format", "json"]).exits(0);
        for ran in [desk.run_job().exits(0), ranks] {
            for (i, group) in (1u64..).zip(ran.groups()) {
                assert_eq!(group["summary"]["score"], 111.0 * i as f64, "{group}");
                let rank = group["summary"]["value"]["rank"].as_u64().unwrap();
                assert_eq!(rank > 0, reduce_on == "workers", "{group}");
            }
        }
    }
}

#[test]
fn garbage_in_the_pipe_itself_costs_its_run_and_no_other() {
    // A line without an end, no text, no object, and the answer to another request.
    let code = r#"
import os
GARBAGE = [b'{"type":"result"', b"\xff\xfe{]\n", b"[]\n", b'{"type":"result","id":1}\n']
def crunch(x):
    if x < 4:
        for descriptor in range(3, 10):
            try:
                os.write(descriptor, GARBAGE[x])
            except OSError:
                pass
        os._exit(0)
    return x
"#;
    let desk = desk(code, "", "[0, 1, 2, 3, 4, 5, 6]");
    let ran = desk.run_job();
    assert!(ran.code == 100 || ran.code == 0, "{}", ran.stderr);
    let good = desk.sql("SELECT x FROM all_runs WHERE status = 'ok' AND score = x");
    assert_eq!(good, ["4", "5", "6"]);
    let errors =
        desk.sql("SELECT replace(error, char(10), ' ') FROM all_runs WHERE x < 4 ORDER BY x");
    let says = ["ended (exit status: 0)", "not UTF-8", "no object", "an answer with id 1"];
    for (error, says) in errors.iter().zip(says) {
        assert!(error.contains(says), "{says:?} is not in {errors:?}");
    }
    assert_eq!(errors.len(), says.len());
}

#[test]
fn a_child_that_dies_over_a_reduction_is_given_another_try() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"a\"\nvalues = [1, 2]\n\
         [[loop]]\nname = \"b\"\nvalues = [3, 4]\nreduce = { python = \"sum.py:summarize\" }\n",
    );
    desk.write(
        "sum.py",
        "import os\ndef summarize(runs):\n    if not os.path.exists('tried'):\n        open('tried', 'w').close()\n        os.kill(os.getpid(), 9)\n    return sum(run['score'] for run in runs)\n",
    );
    let ran = desk.run_job().exits(0);
    let values: Vec<f64> =
        ran.groups().iter().map(|group| group["summary"]["value"].as_f64().unwrap()).collect();
    assert_eq!(values, [7.0, 14.0]);
}

/// Ten thousand short calls share requests. Each has its own result and duration, and a call that
/// fails, takes long or kills the child affects no other.
#[test]
fn short_calls_go_together_and_stand_for_themselves() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"fit.py:crunch\"\nrequire = 0.9\n[[loop]]\nname = \"a\"\nrange = { from = 0, to = 100 }\n\
         [[loop]]\nname = \"b\"\nrange = { from = 0, to = 100 }\nreduce = \"sum\"\n",
    );
    desk.write(
        "fit.py",
        "import os, time\ndef crunch(a, b):\n    n = 100 * a + b\n    if n == 5000:\n        raise ValueError('no 5000')\n\
         \x20   if n == 6000:\n        os._exit(3)\n    if n == 7000:\n        time.sleep(0.3)\n    if n == 8000:\n        return {'score': 8000, 'odd': [None]}\n\
         \x20   if n == 9000:\n        return float('nan')\n    return float(n)\n",
    );
    // A process that is held up makes the call longer that it is at: one start of several is without.
    let mut durations = Vec::new();
    while durations.last().is_none_or(|last| *last != ["1", "1"]) && durations.len() < 5 {
        let start = ["job.toml", "--threads", "2", "--out", "out", "--fresh"];
        desk.run(gridmpi(), &start).exits(100);
        assert_eq!(
            desk.sql("SELECT task FROM all_runs WHERE status = 'failed' ORDER BY task"),
            ["5000", "6000", "9000"]
        );
        assert_eq!(desk.sql("SELECT count(*) FROM all_runs WHERE score = task"), ["9997"]);
        let said = desk.sql("SELECT error FROM all_runs WHERE task = 6000");
        assert!(said[0].contains("exit status: 3"), "{said:?}");
        assert_eq!(
            desk.sql(
                "SELECT json_extract(value, '$.odd[0]') IS NULL FROM all_runs WHERE task = 8000"
            ),
            ["1"]
        );
        assert_eq!(desk.sql("SELECT seconds >= 0.3 FROM all_runs WHERE task = 7000"), ["1"]);
        durations.push(desk.sql(
            "SELECT seconds < 0.6 FROM all_runs WHERE task = 7000;
             SELECT max(seconds) < 0.2 FROM all_runs WHERE task NOT IN (6000, 7000)",
        ));
    }
    assert_eq!(durations.last().unwrap(), &["1", "1"], "{durations:?}");
}

/// Whether another call than these was over the limit, as happens where a process is held up.
fn was_held_up(desk: &Desk, slow: &str) -> bool {
    let sql = format!(
        "SELECT count(*) > 0 FROM all_runs WHERE error LIKE 'timed out%' AND task NOT IN ({slow})"
    );
    desk.sql(&sql) == ["1"]
}

/// Short calls, then some that take long, one that is over the limit and one that kills its child. What is
/// behind a long call goes to others; what was done before the child ended is kept.
#[test]
fn no_task_is_called_twice() {
    let code = "
import os, time
def crunch(x):
    with open('calls.log', 'a') as log:
        log.write(f'{x}\\n')
    if 1000 <= x < 1008:
        time.sleep(0.4)
    if x == 1500:
        os._exit(3)
    if x == 1700:
        time.sleep(60)
    return {'score': x} if x % 3 else float(x)
";
    let points = "range = { from = 0, to = 2500 }";
    for start in [&["--threads", "2"][..], &["--threads", "1"]] {
        let desk = desk(code, "timeout = 2.0\nrequire = 0.9", "[]");
        let job = std::fs::read_to_string(desk.path("job.toml")).unwrap();
        let job = job.replace("values = []", points).replace("\"all\"", "\"sum\"");
        desk.write("job.toml", &job);
        for _ in 0..5 {
            desk.write("calls.log", "");
            desk.run(gridmpi(), &[start, &["job.toml", "--out", "out", "--fresh"]].concat())
                .exits(100);
            if !was_held_up(&desk, "1700") {
                break;
            }
        }
        assert_eq!(
            desk.sql("SELECT task FROM all_runs WHERE status = 'failed' ORDER BY task"),
            ["1500", "1700"]
        );
        assert_eq!(desk.sql("SELECT count(*) FROM all_runs WHERE score = task"), ["2498"]);
        let calls = std::fs::read_to_string(desk.path("calls.log")).unwrap();
        let mut calls: Vec<u32> = calls.lines().map(|line| line.parse().unwrap()).collect();
        calls.sort_unstable();
        assert_eq!(calls, (0..2500).collect::<Vec<u32>>());
    }
}

#[test]
fn large_points_and_large_results_hold_nobody_up() {
    let code = "
import time
def crunch(x):
    if isinstance(x, str):
        time.sleep(0.05)
    if x == 100:
        time.sleep(0.5)
    size = 300_000 if not isinstance(x, str) and 100 < x < 104 else len(x) if isinstance(x, str) else 1
    return {'score': float(size), 'text': 'y' * size}
";
    let mut points: Vec<String> = (0..104).map(|x| x.to_string()).collect();
    points.extend((0..20).map(|x| format!("\"{x:02}{}\"", "z".repeat(120_000))));
    points.extend((200..300).map(|x| x.to_string()));
    let desk = desk(code, "", &format!("[{}]", points.join(", ")));
    let job = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &job.replace("\"all\"", "\"sum\""));
    let ran = desk.run_job().exits(0);
    assert_eq!(ran.score(), 201.0 + 3.0 * 300_000.0 + 20.0 * 120_002.0);
}

#[test]
fn the_time_limit_is_for_calls_alone() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"fit.py:crunch\"\nload = \"fit.py:load\"\ntimeout = 1.0\nrequire = 0.5\n\
         [[loop]]\nname = \"x\"\nvalues = [1, 2]\n[[loop]]\nname = \"a\"\nvalues = [1, 2]\nreduce = { python = \"fit.py:total\" }\n",
    );
    desk.write(
        "fit.py",
        "import time\ntime.sleep(1.5)\ndef load(x):\n    time.sleep(1.5)\n    return x\n\
         def crunch(x, a):\n    if x == a == 2:\n        time.sleep(30)\n    return float(x * a)\n\
         def total(runs):\n    time.sleep(1.5)\n    return sum(run['score'] or 0.0 for run in runs)\n",
    );
    let start = ["job.toml", "--threads", "2", "--out", "out", "--fresh", "--format", "json"];
    let mut ran = desk.run(gridmpi(), &start);
    for _ in 0..4 {
        if was_held_up(&desk, "3") {
            ran = desk.run(gridmpi(), &start);
        }
    }
    assert_eq!(
        desk.sql("SELECT task, score, error FROM all_runs ORDER BY task"),
        ["0|1.0|", "1|2.0|", "2|2.0|", "3||timed out: it took more than 1 s"]
    );
    assert_eq!(ran.groups()[0]["summary"]["score"], 3.0);
}

#[test]
fn what_json_cannot_hold_fails_its_run_and_the_child_lives_on() {
    let code = "
import os
NOTHING_ELSE = object()
def nested(levels):
    inner = 1
    for _ in range(levels):
        inner = [inner]
    return inner
def circle():
    a = []
    a.append(a)
    return a
ODD = [lambda: '\\ud800', lambda: nested(500), circle, lambda: 2**64, lambda: -2**63 - 1, lambda: 10**5000,
       lambda: nested(100_000), lambda: {(1, 2): 3}, lambda: b'bytes', lambda: {'\\udfff': 1},
       lambda: [{1: 2}]]
def crunch(x):
    if x == 20:
        raise ValueError('\\ud800 is odd')
    with open('pids', 'a') as file:
        file.write(f'{os.getpid()}\\n')
    return {'score': 1.0, 'odd': ODD[x]() if x < len(ODD) else {'low': -2**63, 'deep': nested(60), '\u{e9}': float('inf')}}
";
    let desk = desk(code, "require = 0.01", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 19, 20]");
    desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out"]).exits(100);
    let errors = desk.sql("SELECT replace(error, char(10), ' ') FROM all_runs ORDER BY task");
    let expected = [
        "a text in it has \\ud800, half of a character",
        "more than 100 levels",
        "contains itself, or has too many levels",
        "18446744073709551616 does not fit into 64 bits",
        "-9223372036854775809 does not fit into 64 bits",
        "the result cannot be kept: ",
        "too many levels",
        "the result cannot be kept: a record's name is (1, 2), which is no text",
        "a bytes is neither",
        "a text in it has \\udfff, half of a character",
        "a record's name is 1, which is no text",
        "",
        "ValueError: \\ud800 is odd",
    ];
    assert_eq!(errors.len(), expected.len());
    for (error, expected) in errors.iter().zip(expected) {
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
    }
    assert_eq!(errors[11], "");
    let kept = "SELECT json_extract(value, '$.odd.low') FROM all_runs WHERE x = 19";
    assert_eq!(desk.sql(kept), ["-9223372036854775808"]);
    let pids = std::fs::read_to_string(desk.path("pids")).unwrap();
    let pids: std::collections::HashSet<&str> = pids.lines().collect();
    assert_eq!(pids.len(), 1, "the child lives on");
}

/// A job whose file notes each import, and who makes it.
fn noting_imports(more: &str) -> Desk {
    let desk = Desk::with_job(&format!(
        "[crunch]\npython = \"fit.py:fit\"\n{more}\n[[loop]]\nname = \"x\"\nrange = {{ from = 0, to = 3 }}\n\
         reduce = {{ python = \"fit.py:total\" }}\n"
    ));
    desk.write(
        "fit.py",
        "import os, time\n\
         with open('imports', 'a') as log: log.write(os.environ['GRIDMPI_RANK'] + '\\n')\n\
         def fit(x):\n\
         \x20   until = time.time() + 60 # each worker gets a task, however slowly the other starts\n\
         \x20   while not {'1', '2'} <= set(open('imports').read().split()) and time.time() < until: time.sleep(0.1)\n\
         \x20   return float(x)\n\
         def load(x): return x\n\
         def total(runs): return sum(run['value'] for run in runs)\n",
    );
    desk
}

/// Who has imported the file since the last look, sorted.
fn imports(desk: &Desk) -> Vec<String> {
    let text = std::fs::read_to_string(desk.path("imports")).unwrap_or_default();
    desk.write("imports", "");
    let mut ranks: Vec<String> = text.lines().map(String::from).collect();
    ranks.sort();
    ranks
}

#[test]
fn the_child_that_checks_the_functions_is_the_first_that_works() {
    for more in ["", "load = \"fit.py:load\"\ndata = \"x\"\n"] {
        let desk = noting_imports(more);
        desk.run_job().exits(0);
        assert_eq!(imports(&desk), ["0", "1", "2"], "a reducer and two workers");
        assert_eq!(desk.sql("SELECT score FROM groups"), ["3.0"]);
    }
    // Rank 0 works too: its worker is the first. Otherwise the child reduces.
    for (ranks, of_rank0, expected) in
        [(3, &["--master-works"][..], &["0", "0", "1", "2"][..]), (3, &[], &["0", "1", "2"])]
    {
        let desk = noting_imports("");
        let arguments = [&["job.toml", "--out", "out"][..], of_rank0].concat();
        desk.run(mpirun(ranks), &arguments).exits(0);
        assert_eq!(imports(&desk), expected);
        assert_eq!(desk.sql("SELECT score FROM groups"), ["3.0"]);
    }
}

#[test]
fn a_child_that_nobody_takes_over_is_ended() {
    // The isolated process has a child of its own; the one of the check at the start is not kept beside it.
    let desk = desk(
        "import os\n\
         with open('pids', 'a') as log: log.write(f'{os.getpid()}\\n')\n\
         def is_alive(pid):\n    try: os.kill(pid, 0)\n    except ProcessLookupError: return False\n    return True\n\
         def crunch(x): return sum(is_alive(int(pid)) for pid in open('pids'))\n",
        "isolate = true",
        "[1, 2, 3]",
    );
    let arguments = ["job.toml", "--out", "out", "--threads", "1", "--format", "json"];
    let ran = desk.run(gridmpi(), &arguments).exits(0);
    assert_eq!(ran.value(), json!([1.0, 1.0, 1.0]));
    let pids = std::fs::read_to_string(desk.path("pids")).unwrap();
    assert_eq!(pids.lines().count(), 2, "{pids}");
}

#[test]
fn functions_of_other_files_are_imported_apart() {
    // Crunch and a reduction may each have a module of the same name, and change what both would see.
    let desk = Desk::with_job(
        "[crunch]\npython = \"a/fit.py:fit\"\n[[loop]]\nname = \"x\"\nrange = { from = 0, to = 3 }\n\
         reduce = { python = \"b/fold.py:total\" }\n",
    );
    let note = "with open('imports', 'a') as log: log.write(__name__ + '\\n')\n";
    desk.write("a/tool.py", "FACTOR = 2.0\n");
    desk.write("a/fit.py", &format!("import tool\n{note}def fit(x): return x * tool.FACTOR\n"));
    desk.write("b/tool.py", "FACTOR = 100.0\n");
    let total = "def total(runs): return tool.FACTOR * sum(run['value'] for run in runs)\n";
    desk.write("b/fold.py", &format!("import tool\n{note}{total}"));
    desk.run_job().exits(0);
    assert_eq!(imports(&desk), ["fit", "fit", "fold"]);
    assert_eq!(desk.sql("SELECT score FROM groups"), ["600.0"]);
}

#[test]
fn a_child_that_has_imported_what_a_file_was_before_is_not_taken_over() {
    // The first import finds another module than the one whose digest is stored with the runs.
    let desk = desk("import tool\ndef crunch(x): return x * tool.FACTOR\n", "", "[1, 2, 3]");
    desk.write("tool.py", "FACTOR = 100.0\nopen('tool.py', 'w').write('FACTOR = 2.0\\n')\n");
    assert_eq!(desk.run_job().exits(0).value(), json!([2.0, 4.0, 6.0]));
    assert_eq!(desk.run_job().exits(0).value(), json!([2.0, 4.0, 6.0]));
}

#[test]
fn a_start_with_nothing_left_to_do_imports_for_the_check_alone() {
    for start in [gridmpi, || mpirun(3)] {
        let desk = noting_imports("");
        let arguments = ["job.toml", "--out", "out"];
        desk.run(start(), &arguments).exits(0);
        imports(&desk);
        let again = desk.run(start(), &arguments).exits(0);
        assert!(again.stderr.contains("3 of 3 runs reused"), "{}", again.stderr);
        assert_eq!(imports(&desk).len(), 1);
    }
}
