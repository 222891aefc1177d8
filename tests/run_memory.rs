//! The column `memory`: the peak of a run's processes in MiB, where it can be told, and what `plan` makes of it.

mod common;

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::Command;

use common::{Desk, gridmpi, mpirun, sql_rows};

/// Holds memory for a while: MiB, seconds.
const HOLD: &str = "python3 -c \"x = bytearray({mb} << 20); import time; time.sleep({nap})\"";

fn job(crunch: &str, mb: &str, nap: &str) -> String {
    format!(
        "[crunch]\n{crunch}\n[[loop]]\nname = \"mb\"\nvalues = {mb}\n[[loop]]\nname = \"nap\"\nvalues = {nap}\nreduce = \"count\"\n"
    )
}

/// What a Python of its own takes besides, however much the machine has to do.
const OF_200: Range<u64> = 200..280;
const SMALL: u64 = 100;

/// The peaks by `mb` and `nap`; 0 where none is known.
fn peaks(desk: &Desk) -> BTreeMap<(u64, String), u64> {
    let rows = desk.sql("SELECT mb || ' ' || nap || ' ' || coalesce(memory, 0) FROM all_runs");
    let peak = |row: &String| {
        let mut parts = row.split(' ');
        let mut next = || parts.next().unwrap().to_string();
        ((next().parse().unwrap(), next()), next().parse().unwrap())
    };
    rows.iter().map(peak).collect()
}

/// Runs a job until no run meets a condition, which says that its peak is not known: that of a small process is known
/// only from looks at it, which come too late where gridmpi is held up. Such runs are made again.
fn run_unless(unknown: &str, desk: &Desk, command: impl Fn() -> Command, arguments: &[&str]) {
    let out = arguments[arguments.iter().position(|word| *word == "--out").unwrap() + 1];
    let sql = |sql: &str| sql_rows(&desk.path(out).join("runs.sqlite"), sql);
    for _ in 0..5 {
        desk.run(command(), arguments).exits(0);
        if sql(&format!("SELECT count(*) FROM all_runs WHERE {unknown}")) == ["0"] {
            return;
        }
        sql("DELETE FROM runs WHERE (worker, started) NOT IN (SELECT worker, started FROM memory)");
    }
    panic!("never known: {:?}", sql("SELECT * FROM all_runs"));
}

fn threads(threads: &str) -> Command {
    let mut command = gridmpi();
    command.args(["run", "--threads", threads]);
    command
}

#[test]
fn a_large_run_shows_its_peak_and_small_ones_beside_it_do_not() {
    let crunch = format!("shell = '''{HOLD}; echo 1'''");
    for command in [|| threads("1"), || mpirun(2)] as [fn() -> Command; 2] {
        let desk = Desk::with_job(&job(&crunch, "[1, 200, 2]", "[0, 0.3]"));
        run_unless("nap > 0 AND memory IS NULL", &desk, command, &["job.toml", "--out", "out"]);
        let peaks = peaks(&desk);
        assert_eq!(peaks.len(), 6);
        for ((mb, nap), peak) in &peaks {
            match mb {
                200 => assert!(OF_200.contains(peak), "{peaks:?}"),
                // A short one may be too short.
                _ => assert!(*peak < SMALL && (nap == "0" || *peak > 0), "{peaks:?}"),
            }
        }
        let most = peaks.values().max().unwrap();
        let explained = desk.says(&["explain", "out", "mb=200", "nap=0.3"]);
        let own = peaks[&(200, "0.3".to_string())];
        assert!(explained.contains(&format!("memory    {own} MiB at most")), "{explained}");
        let csv = desk.says(&["export", "out", "--format", "csv", "--where", "memory >= 200"]);
        assert!(csv.lines().next().unwrap().ends_with(",memory,error"), "{csv}");
        assert_eq!(csv.lines().count(), 3, "{csv}");
        let listed = desk.says(&["runs", "out", "--sort", "memory desc", "--format", "json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed[0]["memory"], *most);
    }
}

#[test]
fn plan_proposes_what_runs_have_taken_and_a_quarter() {
    let shell = format!("shell = '''{HOLD}; echo 1'''");
    let desk = Desk::with_job(&job(&shell, "[1, 200]", "[0]"));
    let plan = |more: &[&str]| {
        desk.run(gridmpi(), &[&["plan", "job.toml", "--out", "out"], more].concat()).exits(0)
    };
    assert!(!plan(&["--pilot", "2", "--threads", "1"]).stderr.contains("Memory"));
    let said = plan(&[]);
    assert!(
        said.stdout.contains("memory = \"320M\" in [crunch] has a quarter to spare"),
        "{}",
        said.stdout
    );
    let json = plan(&["--format", "json"]).json();
    assert_eq!(json["memory"]["proposed"], "320M");
    assert!(OF_200.contains(&json["memory"]["peak_mib"].as_u64().unwrap()), "{json}");
    // The key changes nothing that is there. If it is too small, that is said.
    desk.write("job.toml", &job(&format!("{shell}\nmemory = \"150M\""), "[1, 200]", "[0]"));
    let said = plan(&[]);
    for text in [&said.stdout, &said.stderr] {
        assert!(
            text.contains("MiB of memory = \"150M\", which is more; memory = \"320M\""),
            "{text}"
        );
    }
    assert!(said.stdout.contains("2 of 2 runs are there and would be reused"), "{}", said.stdout);
    desk.write("job.toml", &job(&format!("{shell}\nmemory = \"1G\""), "[1, 200]", "[0]"));
    let said = plan(&[]);
    assert!(said.stdout.contains("MiB of memory = \"1G\".\n"), "{}", said.stdout);
    assert!(!said.stderr.contains("Memory"), "{}", said.stderr);
    // Nothing is known of builtins.
    let desk = Desk::with_job(&job("builtin = \"multiply\"", "[1]", "[0]"));
    desk.run_job().exits(0);
    let said = desk.says(&["plan", "job.toml", "--out", "out"]);
    assert!(!said.contains("Memory"), "{said}");
    assert!(!desk.says(&["runs", "out"]).contains("memory"));
}

/// Two processes hold memory at the same time, one of which has lost its parent.
#[test]
fn the_processes_of_a_run_count_together() {
    let hold = "import os, sys, time\n\
                x = bytearray(120 << 20)\n\
                open(sys.argv[1], 'w').close()\n\
                while not os.path.exists(sys.argv[2]): time.sleep(0.01)\n\
                time.sleep(2.5)\n";
    let both = "shell = '(python3 hold.py a b &); python3 hold.py b a; echo 1'";
    let desk = Desk::with_job(&job(both, "[1]", "[0]"));
    desk.write("hold.py", hold);
    // Where gridmpi is held up for as long as they live together, it sees one at most.
    let mut peak = 0;
    for _ in 0..3 {
        desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "out", "--fresh"]).exits(0);
        peak = peaks(&desk)[&(1, "0".to_string())];
        if peak >= 240 {
            break;
        }
        ["a", "b"].iter().for_each(|there| std::fs::remove_file(desk.path(there)).unwrap());
    }
    assert!((240..340).contains(&peak), "{peak}");
}

#[test]
fn a_run_that_fails_shows_its_peak_too() {
    let crunch = "shell = '''python3 -c \"x = bytearray({mb} << 20); import os, time; time.sleep({nap}); os.abort()\"'''\ntimeout = 10";
    let desk = Desk::with_job(&job(crunch, "[200]", "[0, 100]"));
    desk.run_job().exits(100);
    let peaks = peaks(&desk);
    assert!(peaks.len() == 2 && peaks.values().all(|peak| OF_200.contains(peak)), "{peaks:?}");
}

const PYTHON: &str = "\
import time

def crunch(mb, nap):
    x = bytearray(mb << 20)
    time.sleep(nap)
    return 1
";

#[test]
fn calls_of_a_python_child_are_told_apart() {
    for command in [threads("1"), mpirun(2)] {
        let desk = Desk::with_job(&job("python = \"hold.py:crunch\"", "[1, 200, 2]", "[0.2, 0.3]"));
        desk.write("hold.py", PYTHON);
        desk.run(command, &["job.toml", "--out", "out"]).exits(0);
        let peaks = peaks(&desk);
        let known = |mb| {
            let known = peaks.iter().filter(|((of, _), peak)| *of == mb && **peak > 0);
            known.map(|(_, peak)| *peak).collect::<Vec<_>>()
        };
        // Of the first ones, several may have been sent at once.
        assert!(
            known(200).len() == 2 && known(200).iter().all(|p| OF_200.contains(p)),
            "{peaks:?}"
        );
        assert!(known(2).len() == 2 && known(2).iter().all(|peak| *peak < SMALL), "{peaks:?}");
    }
    // Fast calls are sent together.
    let desk = Desk::with_job(
        "[crunch]\npython = \"hold.py:crunch\"\n[[loop]]\nname = \"mb\"\nrange = { from = 0, to = 4000 }\nreduce = \"sum\"\n",
    );
    desk.write("hold.py", "def crunch(mb):\n    return mb\n");
    desk.run_job().exits(0);
    let known: u64 = desk.sql("SELECT count(memory) FROM all_runs")[0].parse().unwrap();
    assert!(known < 400, "{known}");
}

#[test]
fn r_shows_what_a_call_took() {
    let desk = Desk::with_job(&job("r = \"hold.R:crunch\"", "[1, 200]", "[0.2]"));
    desk.write("hold.R", "crunch <- function(mb, nap) {\n  x <- numeric(mb * 131072)\n  Sys.sleep(nap)\n  length(x)\n}\n");
    desk.run(threads("1"), &["job.toml", "--out", "out"]).exits(0);
    let peaks = peaks(&desk);
    assert!(peaks[&(200, "0.2".to_string())] > peaks[&(1, "0.2".to_string())] + 190, "{peaks:?}");
}

#[test]
fn growing_merging_and_names_carry_it() {
    let shell = format!("shell = '''{HOLD}; echo 1'''");
    let desk = Desk::with_job(&job(&shell, "[200]", "[0.2]"));
    desk.run_job().exits(0);
    let before = peaks(&desk);
    // A point before the others in the inner loop, and one more loop: the store is written anew.
    let more = "[[loop]]\nname = \"more\"\nvalues = [1, 2]\nwas = 1\nreduce = \"count\"\n";
    let grown = |mb: &str, nap: &str| job(&shell, mb, nap) + more;
    desk.write("job.toml", &grown("[1, 200]", "[0.1, 0.2]"));
    desk.write("other.toml", &grown("[3]", "[0.3]"));
    run_unless("memory IS NULL", &desk, || threads("2"), &["job.toml", "--out", "out"]);
    let (at, own) = before.iter().next().unwrap();
    let old = "SELECT memory FROM all_runs WHERE mb = 200 AND nap = 0.2 AND more = 1";
    assert_eq!(desk.sql(old), [own.to_string()], "{at:?}");
    assert_eq!(desk.sql("SELECT count(memory) FROM all_runs"), ["8"]);
    desk.run(threads("1"), &["other.toml", "--out", "other"]).exits(0);
    desk.says(&["merge", "other", "out", "--out", "both"]);
    let merged = sql_rows(&desk.path("both/runs.sqlite"), old);
    assert_eq!(merged, [own.to_string()]);
    // A loop and a score go first; a field gives way.
    let desk = Desk::with_job(
        "[crunch]\nshell = 'sleep 0.1; echo \"{{\\\"score\\\": 1, \\\"memory\\\": 7}}\"'\n[[loop]]\nname = \"x\"\nvalues = [1]\n",
    );
    run_unless("memory IS NULL", &desk, || threads("1"), &["job.toml", "--out", "out"]);
    let csv = desk.says(&["export", "out", "--format", "csv"]);
    assert!(csv.contains("value.memory") && csv.contains("attempt,memory,error"), "{csv}");
    let text = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &text.replace("[crunch]", "[crunch]\nscore = \"memory\""));
    let unknown = "\"run.memory\" IS NULL";
    run_unless(unknown, &desk, || threads("1"), &["job.toml", "--out", "score"]);
    let csv = desk.says(&["export", "score", "--format", "csv"]);
    assert!(csv.contains(",memory,") && csv.contains("attempt,run.memory,error"), "{csv}");
    let rows = sql_rows(
        &desk.path("score/runs.sqlite"),
        "SELECT memory, \"run.memory\" > 0 FROM all_runs",
    );
    assert_eq!(rows, ["7.0|1"]);
}
