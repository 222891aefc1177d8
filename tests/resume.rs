//! Resuming: finished tasks are never repeated, and the final results are identical to the byte.

mod common;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Desk, gridmpi, mpirun, of_tasks, runs_without_times, sql_rows};

/// A job that appends each call to the file `calls`.
fn noting(crunch: &str, loops: &str) -> Desk {
    let desk = Desk::with_job(&job(crunch, loops));
    desk.write("calls", "");
    desk
}

fn job(crunch: &str, loops: &str) -> String {
    format!("[crunch]\nshell = \"{crunch}\"\n{loops}")
}

fn loop_of(name: &str, values: &str, reduce: &str) -> String {
    format!("[[loop]]\nname = \"{name}\"\nvalues = {values}\n{reduce}\n")
}

const NOTE: &str = "echo {a} {b} >> calls; echo {a}.{b}";
const MAX: &str = "reduce = \"max\"";

/// A file for which the later three quarters of the tasks wait, one after another.
const GO: [&str; 3] = ["go1", "go2", "go3"];

#[test]
fn a_killed_run_goes_on_and_ends_like_an_undisturbed_one() {
    // No start can get further than a quarter before it is killed.
    let text = "seed = 3\n[crunch]\n\
        shell = \"sleep 0.02; until [ {a} -lt 3 ] || [ -e go$(({a} / 3)) ]; do sleep 0.05; done; echo $((GRIDMPI_SEED % 1000))\"\n\
        [[loop]]\nname = \"a\"\nrange = { from = 0, to = 12 }\n\
        [[loop]]\nname = \"b\"\nrange = { from = 0, to = 20 }\nreduce = \"mean\"\n";
    let desk = Desk::with_job(text);
    GO.iter().for_each(|go| desk.write(go, ""));
    desk.run(gridmpi(), &["job.toml", "--threads", "4", "--out", "whole"]).exits(0);
    GO.iter().for_each(|go| fs::remove_file(desk.path(go)).unwrap());
    // Kill only this test's processes.
    let cut = desk.path("cut").display().to_string();
    let command_line = format!("job.toml --out {cut}");
    let starts: [fn() -> Command; 3] = [|| mpirun(4), gridmpi, || mpirun(3)];
    for (i, start) in starts.into_iter().enumerate() {
        let mut first = start();
        first.args(["job.toml", "--out", &cut]).current_dir(desk.path(""));
        let mut first = first.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let begin = Instant::now();
        let done = || match desk.path("cut/runs.sqlite").exists() {
            true => runs_so_far(&desk),
            false => 0,
        };
        let before = done();
        while done() < before + 30 {
            assert!(begin.elapsed() < Duration::from_secs(60), "start {i} does not get on");
            std::thread::sleep(Duration::from_millis(20));
        }
        // Kill everything at once, like a power cut.
        let everybody = ["-KILL", "-f", &command_line];
        Command::new("pkill").args(everybody).status().unwrap();
        let _ = first.kill();
        first.wait().unwrap();
        let still_there = || {
            let running = Command::new("pgrep").args(["-f", &command_line]).output();
            !running.unwrap().stdout.is_empty()
        };
        while still_there() {
            std::thread::sleep(Duration::from_millis(10));
        }
        desk.write(GO[i], "");
    }
    let kept = runs_so_far(&desk);
    let last = desk.run(mpirun(3), &["job.toml", "--out", "cut"]).exits(0);
    assert!(last.stderr.contains(&format!("{kept} of 240 runs reused")), "{}", last.stderr);
    for file in ["summary.json", "summary.csv"] {
        let cut = fs::read_to_string(desk.path(&format!("cut/{file}"))).unwrap();
        assert_eq!(cut, fs::read_to_string(desk.path(&format!("whole/{file}"))).unwrap());
    }
    assert_eq!(
        runs_without_times(&desk.path("cut/runs.sqlite")),
        runs_without_times(&desk.path("whole/runs.sqlite"))
    );
    let again = desk.run(gridmpi(), &["job.toml", "--out", "cut"]).exits(0);
    assert!(again.stderr.contains("240 of 240 runs reused"), "{}", again.stderr);
    assert!(again.stderr.contains("nothing left to compute"), "{}", again.stderr);
}

fn runs_so_far(desk: &Desk) -> u64 {
    let sql = "PRAGMA busy_timeout = 5000; SELECT count(*) FROM runs";
    sql_rows(&desk.path("cut/runs.sqlite"), sql)[1].parse().unwrap()
}

#[test]
fn a_changed_job_computes_only_what_is_new() {
    let two = |a: &str, b: &str| loop_of("a", a, "") + &loop_of("b", b, MAX);
    let desk = noting(NOTE, &two("[1, 2]", "[5, 6]"));
    desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["1 5", "1 6", "2 5", "2 6"]);
    let rerun = |loops: &str| {
        desk.write("job.toml", &job(NOTE, loops));
        let ran = desk.run_job().exits(0);
        let whole =
            desk.run(gridmpi(), &["job.toml", "--out", "whole", "--format", "json", "--fresh"]);
        assert_eq!(ran.summary(), whole.exits(0).summary(), "as if it had never been another job");
        let mut all = desk.calls();
        // The run to compare with calls each task once.
        for call in sql_rows(&desk.path("whole/runs.sqlite"), "SELECT a || ' ' || b FROM all_runs")
        {
            let at = all.iter().position(|known| *known == call).unwrap();
            all.remove(at);
        }
        (all, ran)
    };
    let (new, ran) = rerun(&two("[1, 2]", "[4, 5, 6]"));
    assert_eq!(new, ["1 4", "2 4"]);
    assert!(ran.stderr.contains("4 of 6 runs reused"), "{}", ran.stderr);
    assert!(rerun(&two("[2, 1]", "[6, 4, 5]")).0.is_empty(), "reordered");
    let turned = loop_of("b", "[6, 4, 5]", "") + &loop_of("a", "[2, 1]", MAX);
    assert!(rerun(&turned).0.is_empty(), "the other loop outside");
    assert_eq!(rerun(&two("[3, 1]", "[6, 7]")).0, ["1 7", "3 6", "3 7"]);
    assert_eq!(
        rerun(&two("[1, 2, 3]", "[4, 5, 6, 7]")).0,
        ["2 7", "3 4", "3 5"],
        "all that was is kept"
    );
    let range = "[[loop]]\nname = \"b\"\nrange = { from = 4, to = 8 }\nreduce = \"max\"\n";
    assert!(
        rerun(&(loop_of("a", "[1, 2, 3]", "") + range)).0.is_empty(),
        "the same points by range"
    );

    desk.write("job.toml", &job(NOTE, &(two("[1]", "[4]") + &loop_of("c", "[1]", MAX))));
    let refused = desk.run_job().exits(2);
    assert!(
        refused.stderr.contains("its runs are of the loops a, b, this job's loops are a, b, c"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_changed_data_file_redoes_its_own_runs() {
    let loops = "[[loop]]\nname = \"a\"\nfiles = \"data/*.txt\"\n".to_string()
        + &loop_of("b", "[1, 2]", MAX);
    let desk = noting("echo {a} {b} >> calls; wc -c < {a}", &loops);
    desk.write("data/x.txt", "x");
    desk.write("data/y.txt", "yy");
    desk.run_job().exits(0);
    desk.calls();
    desk.write("data/y.txt", "yyy");
    let ran = desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["data/y.txt 1", "data/y.txt 2"]);
    assert_eq!(ran.groups()[1]["summary"]["score"], 3.0);
    desk.write("data/z.txt", "");
    desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["data/z.txt 1", "data/z.txt 2"]);
    desk.write("data/y.txt", "yy");
    let back = desk.run_job().exits(0);
    assert!(desk.calls().is_empty(), "the file is what it was, and so are its runs");
    assert_eq!(back.groups()[1]["summary"]["score"], 2.0);
}

#[test]
fn a_changed_crunch_asks_what_to_do() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"fit.py:crunch\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\nreduce = \"sum\"\n",
    );
    desk.write("fit.py", "def crunch(x):\n    return x\n");
    assert_eq!(desk.run_job().exits(0).score(), 3.0);
    desk.write("fit.py", "def crunch(x):\n    return 10 * x\n");
    let refused = desk.run_job().exits(2);
    for said in ["fit.py has changed", "--keep", "--fresh", "ignore"] {
        assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
    }
    let out = ["job.toml", "--out", "out", "--format", "json"];
    assert_eq!(desk.run(gridmpi(), &[&out[..], &["--keep"]].concat()).exits(0).score(), 3.0);
    assert_eq!(desk.run_job().exits(0).score(), 3.0, "it was said once that they count");
    assert_eq!(desk.run(gridmpi(), &[&out[..], &["--fresh"]].concat()).exits(0).score(), 30.0);
    let job = fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("job.toml", &format!("seed = 5\n{job}"));
    let refused = desk.run_job().exits(2);
    assert!(
        refused.stderr.contains("the job's seed has changed from `0` to `5`"),
        "{}",
        refused.stderr
    );
}

#[test]
fn failed_runs_are_tried_again_unless_they_are_to_be_left() {
    let desk = noting(
        "echo {a} >> calls; test {a} != 2 -o -e mended && echo {a}",
        &loop_of("a", "[1, 2, 3]", "reduce = \"sum\""),
    );
    desk.run_job().exits(100);
    assert_eq!(desk.calls(), ["1", "2", "3"]);
    let left = desk.run(gridmpi(), &["job.toml", "--out", "out", "--keep-failed"]).exits(100);
    assert!(
        left.stderr.contains("3 of 3 runs reused") && desk.calls().is_empty(),
        "{}",
        left.stderr
    );
    let again = desk.run_job().exits(100);
    assert!(again.stderr.contains("2 of 3 runs reused"), "{}", again.stderr);
    assert_eq!(desk.calls(), ["2"]);
    desk.write("mended", "");
    assert_eq!(desk.run_job().exits(0).score(), 6.0);
    assert_eq!(desk.sql("SELECT status, attempt FROM all_runs"), ["ok|1", "ok|3", "ok|1"]);
}

#[test]
fn what_json_lacks_survives_a_resume() {
    let code = "
def crunch(x):
    return {'score': x, 'limit': float('inf'), 'list': [float('-inf'), 0.1 + 0.2, 1e22]}
def check(runs):
    values = [run['value'] for run in runs]
    assert all(value['limit'] == float('inf') for value in values), values
    assert all(value['list'] == [float('-inf'), 0.1 + 0.2, 1e22] for value in values), values
    return len(runs)
";
    let loops = |values: &str| {
        format!(
            "[crunch]\npython = \"fit.py:crunch\"\n[[loop]]\nname = \"x\"\nvalues = {values}\nreduce = {{ python = \"check.py:check\" }}\n"
        )
    };
    let desk = Desk::with_job(&loops("[1, 2]"));
    desk.write("fit.py", code);
    desk.write("check.py", code);
    assert_eq!(desk.run_job().exits(0).score(), 2.0);
    desk.write("job.toml", &loops("[1, 2, 3]"));
    assert_eq!(desk.run_job().exits(0).score(), 3.0);
    desk.write("check.py", &code.replace("len(runs)", "-len(runs)"));
    let ran = desk.run_job().exits(0);
    assert_eq!(ran.score(), -3.0, "a changed reduction reduces again");
    assert!(ran.stderr.contains("3 of 3 runs reused"), "{}", ran.stderr);
}

#[test]
fn two_halves_are_merged_into_a_whole() {
    let loops = |a: &str| loop_of("a", a, "") + &loop_of("b", "[5, 6]", MAX);
    let desk = noting(NOTE, &loops("[1, 2]"));
    desk.run(gridmpi(), &["job.toml", "--out", "north"]).exits(0);
    desk.write("job.toml", &job(NOTE, &loops("[2, 3]")));
    desk.run(gridmpi(), &["job.toml", "--out", "south"]).exits(0);
    let merged = desk.run(gridmpi(), &["merge", "north", "south", "--out", "all"]).exits(0);
    assert!(merged.stderr.contains("6 of 6 runs are in all"), "{}", merged.stderr);
    desk.calls();
    desk.write("job.toml", &job(NOTE, &loops("[1, 2, 3]")));
    let all = desk.run(gridmpi(), &["job.toml", "--out", "all", "--format", "json"]).exits(0);
    assert!(all.stderr.contains("6 of 6 runs reused") && desk.calls().is_empty(), "{}", all.stderr);
    let whole = desk.run(gridmpi(), &["job.toml", "--out", "whole", "--format", "json"]).exits(0);
    assert_eq!(all.summary(), whole.summary());

    let again = desk.run(gridmpi(), &["merge", "north", "south", "--out", "all"]).exits(2);
    assert!(again.stderr.contains("holds runs already"), "{}", again.stderr);
    let twice = desk.run(gridmpi(), &["merge", "north", "./north/", "--out", "x"]).exits(2);
    assert!(twice.stderr.contains("it is the same folder as north"), "{}", twice.stderr);
    let missing = desk.run(gridmpi(), &["merge", "north", "nowhere", "--out", "x"]).exits(2);
    assert!(missing.stderr.contains("nowhere: there is no runs.sqlite"), "{}", missing.stderr);
    desk.write("job.toml", &job("echo 7", &loops("[1]")));
    desk.run(gridmpi(), &["job.toml", "--out", "other"]).exits(0);
    let other = desk.run(gridmpi(), &["merge", "north", "other", "--out", "y"]).exits(2);
    assert!(
        other.stderr.contains("not of one job with north: crunch has changed"),
        "{}",
        other.stderr
    );
}

#[test]
fn a_damaged_store_is_noticed_and_named() {
    let desk = noting(NOTE, &(loop_of("a", "[1, 2]", "") + &loop_of("b", "[5, 6]", MAX)));
    desk.run_job().exits(0);
    let store = desk.path("out/runs.sqlite");
    let sound = fs::read(&store).unwrap();
    let refused_with = |bytes: &[u8], code| {
        fs::write(&store, bytes).unwrap();
        let ran = desk.run_job().exits(code);
        assert!(ran.stderr.contains("out/runs.sqlite"), "{}", ran.stderr);
        ran.stderr
    };
    let refusal = |bytes: &[u8]| refused_with(bytes, 1);
    sql_rows(&store, &format!("UPDATE runs SET score = 99 WHERE {}", of_tasks("task = 2")));
    let said = refusal(&fs::read(&store).unwrap());
    assert!(said.contains("in runs (task 2): its checksum does not match"), "{said}");
    let cure = said.split("sqlite3 ").nth(1).unwrap();
    assert!(cure.contains("DELETE FROM runs WHERE rowid = "), "{said}");
    sql_rows(&store, cure.split('"').nth(1).unwrap());
    desk.calls();
    desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["2 5"], "what it says to do helps");

    assert!(refusal(&sound[..sound.len() / 2]).contains("--fresh"));
    let mut torn = sound.clone();
    torn[4096..8192].fill(0x5a);
    refusal(&torn);
    // Rank 0 finds the damage before the others have work; they end with it.
    fs::write(&store, &sound).unwrap();
    sql_rows(&store, &format!("UPDATE runs SET score = 99 WHERE {}", of_tasks("task = 2")));
    let ran = desk.run(mpirun(3), &["job.toml", "--out", "out"]).exits(1);
    assert!(ran.stderr.contains("in runs (task 2)"), "{}", ran.stderr);

    fs::write(&store, &sound).unwrap();
    sql_rows(&store, "PRAGMA user_version = 1");
    let said = refused_with(&fs::read(&store).unwrap(), 2);
    assert!(said.contains("has the format of another gridmpi (1, this one has 5)"), "{said}");

    // What is no store at all is bad input, and stays as it is.
    let mut others = vec![b"this is no database".to_vec(), Vec::new(), vec![7; 9999]];
    fs::remove_file(&store).unwrap();
    sql_rows(&store, "CREATE TABLE mine (x)");
    others.push(fs::read(&store).unwrap());
    for (other, says) in others.iter().zip([
        "the file is not a database",
        "the file is empty, and no store",
        "the file is not a database",
        "it is no store of gridmpi's",
    ]) {
        let said = refused_with(other, 2);
        assert!(said.contains(says) && said.contains("--fresh moves it aside"), "{said}");
        assert_eq!(fs::read(&store).unwrap(), *other);
        let ran = desk.run(mpirun(3), &["job.toml", "--out", "out"]).exits(2);
        assert_eq!(ran.stderr.matches(says).count(), 1, "{}", ran.stderr);
    }
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--fresh"]).exits(0);
    assert_eq!(&fs::read(desk.path("out/earlier-1/runs.sqlite")).unwrap(), others.last().unwrap());
}

#[test]
fn a_store_that_was_never_finished_is_none() {
    let desk = noting(NOTE, &(loop_of("a", "[1, 2]", "") + &loop_of("b", "[5, 6]", MAX)));
    fs::create_dir(desk.path("out")).unwrap();
    // The files left by a start that was killed while it created the store.
    for left in ["", "-wal", "-shm"] {
        desk.write(&format!("out/runs.sqlite.unfinished{left}"), &"half a store ".repeat(999));
    }
    desk.run_job().exits(0);
    assert_eq!(desk.calls().len(), 4);
    assert_eq!(desk.sql("SELECT count(*) FROM runs"), ["4"]);
    let names = fs::read_dir(desk.path("out")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.retain(|name| name.to_string_lossy().contains("unfinished"));
    assert_eq!(names.len(), 0, "{names:?}");
}
