//! A job in parts, each in an allocation of its own, as far as that can be tested without Slurm;
//! tests/slurm.rs has the rest.

mod common;
#[path = "common/terminal.rs"]
mod terminal;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Desk, Ran, gridmpi, mpirun, runs_without_times, sql_rows, wait_until};
use terminal::Terminal;

/// Six points `a`, the outermost loop, of five tasks each. Each call is noted in the file `calls`.
fn job(more: &str) -> String {
    let crunch = "echo {a} {b} >> calls; echo $((GRIDMPI_SEED % 1000))";
    format!(
        "seed = 3\n[crunch]\nshell = '''{crunch}'''\n{more}\n\
         [[loop]]\nname = \"a\"\nrange = {{ from = 0, to = 6 }}\n\
         [[loop]]\nname = \"b\"\nrange = {{ from = 0, to = 5 }}\nreduce = \"mean\"\n"
    )
}

/// A folder with the job, and in `whole` its results in one piece.
fn desk(text: &str) -> Desk {
    let desk = Desk::with_job(text);
    let whole = desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "whole"]);
    assert!([0, 100].contains(&whole.code), "{}", whole.stderr);
    desk.write("calls", "");
    desk
}

fn start(desk: &Desk, part: &str, more: &[&str]) -> Child {
    let mut command = gridmpi();
    command.args(["launch", "-n", "2", "job.toml", "--out", "out", "--part", part]).args(more);
    command.current_dir(desk.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn end(child: Child) -> Ran {
    Ran::new(child.wait_with_output().unwrap())
}

/// Does a part, as an allocation would.
fn part(desk: &Desk, part: &str) -> Ran {
    end(start(desk, part, &[]))
}

fn status(desk: &Desk) -> String {
    desk.run(gridmpi(), &["status", "out"]).exits(0).stdout
}

/// Checks that the results are those of one piece, and that nothing is left of the parts.
fn is_whole(desk: &Desk) {
    for file in ["summary.json", "summary.csv"] {
        let read = |out: &str| fs::read_to_string(desk.path(out).join(file)).unwrap();
        assert_eq!(read("out"), read("whole"), "{file}");
    }
    let runs = |out: &str| runs_without_times(&desk.path(out).join("runs.sqlite"));
    assert_eq!(runs("out"), runs("whole"));
    assert!(!desk.path("out/parts").exists());
    let left = "SELECT count(*) FROM job WHERE key LIKE '%-of-%' OR key = 'part'";
    assert_eq!(desk.sql(left), ["0"]);
    assert_eq!(desk.sql("SELECT value FROM job WHERE key = 'state'"), ["complete"]);
}

#[test]
fn parts_at_different_times_give_what_one_job_gives() {
    let desk = desk(&job(""));
    desk.run(gridmpi(), &["plan", "job.toml", "--pilot", "3", "--out", "out"]).exits(0);
    assert_eq!(desk.calls().len(), 3);
    let first = part(&desk, "3/4").exits(0).stderr;
    for says in [
        "part 3 of 4 has finished; 3 of 4 have not:",
        "part 1 of 4: has not begun",
        "part 2 of 4: has not begun",
        "part 4 of 4: has not begun",
    ] {
        assert!(first.contains(says), "{says}: {first}");
    }
    part(&desk, "1/4").exits(0);
    let seen = status(&desk);
    assert!(
        seen.starts_with("job: interrupted (4 parts: 2 complete, 2 not begun; a start"),
        "{seen}"
    );
    assert!(seen.contains("part 2 of 4: has not begun\npart 3 of 4: complete; "), "{seen}");
    // What asks the store of the job says that there are more runs.
    let asked = desk.run(gridmpi(), &["runs", "out"]).exits(0);
    assert!(asked.stderr.contains("in out/parts, one of 1-of-4, 3-of-4"), "{}", asked.stderr);
    let second = part(&desk, "2/4").exits(0).stderr;
    assert!(second.contains("part 2 of 4 has finished; 1 of 4 have not:"), "{second}");
    assert!(!desk.path("out/summary.json").exists());
    let json = desk.run(gridmpi(), &["status", "out", "--format", "json"]).exits(0).json();
    assert_eq!((json["tasks"].as_u64(), json["parts"][3]["state"].is_null()), (Some(30), true));
    assert_eq!(json["parts"][1]["part"], serde_json::json!({ "number": 2, "of": 4 }));
    assert_eq!(json["parts"][1]["state"], "complete");
    let last = part(&desk, "4/4").exits(0);
    assert!(last.stderr.contains("part 4 of 4 has finished, the last one"), "{}", last.stderr);
    assert_eq!(desk.calls().len(), 27, "each task once, none of the pilot's again");
    is_whole(&desk);
    assert!(status(&desk).starts_with("job: complete\n30 of 30 runs"));
}

#[test]
fn of_parts_that_run_at_the_same_time_one_completes_the_job() {
    let desk = desk(&job(""));
    let all = ["1/3", "2/3", "3/3"].map(|part| start(&desk, part, &[]));
    let said = all.map(|part| end(part).exits(0).stderr);
    let last = said.iter().filter(|said| said.contains("has finished, the last one")).count();
    assert_eq!(last, 1, "{said:?}");
    assert_eq!(desk.calls().len(), 30);
    is_whole(&desk);
    // The same array again finds that all is done.
    for again in ["2/3", "1/3", "3/3"] {
        part(&desk, again).exits(0);
        is_whole(&desk);
    }
    assert_eq!(desk.calls(), [""; 0]);
}

/// Waits until something is so.
fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_start_of_the_whole_job_takes_over_what_the_parts_have() {
    let desk = desk(&job(""));
    // As crunch says it, both are the same: the line is fetched from a file.
    let text = job("ignore = [\"crunch.sh\", \"calls\"]");
    let text = text
        .replace("echo {a} {b} >> calls; echo $((GRIDMPI_SEED % 1000))", "sh crunch.sh {a} {b}");
    let script = |wait: &str| format!("echo $1 $2 >> calls; {wait}echo $((GRIDMPI_SEED % 1000))\n");
    desk.write("job.toml", &text);
    // The second half of the part waits, so that it is under way for as long as the test needs.
    desk.write("crunch.sh", &script("until [ $1 = 2 ] || [ -e go ]; do sleep 0.05; done; "));
    let slow = start(&desk, "2/3", &["--threads", "1", "--grace", "100"]);
    let noted = || fs::read_to_string(desk.path("calls")).unwrap().lines().count();
    wait_until("call", || noted() > 5);
    // Nobody takes a part from under its ranks.
    for arguments in [&["job.toml", "--out", "out"][..], &["job.toml", "--out", "out", "--fresh"]] {
        let refused = desk.run(gridmpi(), arguments).exits(2).stderr;
        assert!(refused.contains("part") && refused.contains("under way"), "{refused}");
        assert!(refused.contains("2-of-3"), "{refused}");
    }
    let seen = status(&desk);
    assert!(seen.starts_with("job: running (3 parts: 1 under way, 2 not begun)\n"), "{seen}");
    assert!(seen.contains(" of 30 runs (") && seen.contains("\npart 2 of 3: running, "), "{seen}");
    signal(&slow, "-INT");
    // No task may end before it is known that none follows.
    let said = || fs::read_to_string(desk.path("out/parts/2-of-3/status.json"));
    wait_until("shutdown", || said().is_ok_and(|said| said.contains("no new task is started")));
    desk.write("go", "");
    let ran = end(slow).exits(75);
    assert!(ran.stderr.contains(" of 10 runs are in out/parts/2-of-3"), "{}", ran.stderr);
    desk.write("crunch.sh", &script(""));
    let other = part(&desk, "1/3").exits(0).stderr;
    assert!(other.contains("part 2 of 3: interrupted (SIG"), "{other}");
    let refused = desk.run(gridmpi(), &["merge", "out", "whole", "--out", "both"]).exits(2);
    assert!(refused.stderr.contains("runs of its parts are not in it"), "{}", refused.stderr);
    // Part 3 never starts.
    let before = noted();
    let all = desk.run(mpirun(3), &["job.toml", "--out", "out"]).exits(0).stderr;
    assert!(all.contains(" runs of 2 parts were taken over"), "{all}");
    assert_eq!((noted() <= 31, before), (true, 16), "one was cut off at most: {all}");
    for file in ["summary.json", "summary.csv"] {
        let read = |out: &str| fs::read_to_string(desk.path(out).join(file)).unwrap();
        assert_eq!(read("out"), read("whole"), "{file}");
    }
    assert!(!desk.path("out/parts").exists());
}

#[test]
fn parts_of_another_job_are_refused_in_words() {
    let text = job("");
    let desk = desk(&text);
    part(&desk, "1/3").exits(0);
    let _ = desk.calls();
    let known = || desk.sql("SELECT * FROM loops; SELECT * FROM starts; SELECT * FROM job");
    let before = known();
    let refuses = |text: &str, which: &str, says: &str| {
        desk.write("job.toml", text);
        let ran = part(&desk, which).exits(2).stderr;
        assert!(ran.contains(says), "{says}: {ran}");
        assert!(ran.contains("without --parts, which takes over what its parts have"), "{ran}");
        assert_eq!(desk.calls(), [""; 0]);
        assert_eq!(known(), before, "nothing was noted");
    };
    let points = text.replace("to = 6", "to = 7");
    refuses(&points, "2/3", "loop 'a' had 6 points and has 7");
    refuses(&points, "1/3", "loop 'a' had 6 points and has 7");
    let inner = text.replace("range = { from = 0, to = 5 }", "values = [0, 1, 2, 3, 9]");
    refuses(&inner, "2/3", "point 4 of loop 'b' was 4 and is 9");
    refuses(&text.replace("1000", "100"), "2/3", "crunch has changed from `shell echo");
    refuses(&text.replace("seed = 3", "seed = 4"), "3/3", "the job's seed has changed");
    refuses(&text.replace("\"a\"", "\"c\"").replace("{a}", "{c}"), "2/3", "crunch has changed");
    refuses(&text, "2/4", "part 1 of 3 was begun, and this is part 2 of 4");
    // A comment and another reduction change no run.
    desk.write("job.toml", &text.replace("mean", "max"));
    part(&desk, "2/3").exits(0);
    desk.write("job.toml", &(text + "# done\n"));
    part(&desk, "3/3").exits(0);
    is_whole(&desk);
}

#[test]
fn a_data_file_that_changes_between_parts_is_refused() {
    let text = "[crunch]\nshell = \"cat {file}\"\n\
                [[loop]]\nname = \"file\"\nfiles = \"*.txt\"\n\
                [[loop]]\nname = \"b\"\nvalues = [1, 2]\nreduce = \"max\"\n";
    let desk = Desk::with_job(text);
    for (name, value) in [("x.txt", "1"), ("y.txt", "2"), ("z.txt", "3")] {
        desk.write(name, value);
    }
    part(&desk, "1/3").exits(0);
    desk.write("z.txt", "4");
    let refused = part(&desk, "2/3").exits(2).stderr;
    assert!(refused.contains("what \"z.txt\" of loop 'file' names has changed"), "{refused}");
    // The whole job takes what is still true.
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("2 runs of 1 part were taken over"), "{}", ran.stderr);
    assert!(ran.stderr.contains("2 of 6 runs reused"), "{}", ran.stderr);
    let scores = desk.sql("SELECT file, max(score) FROM all_runs GROUP BY file ORDER BY file");
    assert_eq!(scores, ["x.txt|1.0", "y.txt|2.0", "z.txt|4.0"]);
}

#[test]
fn files_that_runs_of_other_parts_write_change_nothing() {
    // The second part finds the files of the first one, which points seem to name.
    let text = "[crunch]\nshell = \"echo {a} > {a}; echo {a} {b} >> calls; echo 1{b}\"\n\
                [[loop]]\nname = \"a\"\nvalues = [\"u.out\", \"v.out\", \"w.out\"]\n\
                [[loop]]\nname = \"b\"\nvalues = [1, 2]\nreduce = \"max\"\n";
    let desk = Desk::with_job(text);
    for which in ["2/3", "1/3", "1/3", "3/3"] {
        part(&desk, which).exits(0);
    }
    assert_eq!(desk.calls().len(), 6);
    assert_eq!(desk.sql("SELECT count(*), sum(score) FROM all_runs"), ["6|69.0"]);
    assert_eq!(desk.sql("SELECT value FROM job WHERE key = 'state'"), ["complete"]);
}

#[test]
fn what_failed_in_a_part_is_not_tried_again_when_they_are_merged() {
    let text = job("").replace("echo $((", "[ {a}{b} != 12 ] && [ {a}{b} != 51 ] && echo $((");
    let desk = desk(&text);
    for (which, code) in [("3/3", 100), ("2/3", 0), ("1/3", 100)] {
        let ran = part(&desk, which);
        assert_eq!(ran.code, code, "{which}: {}", ran.stderr);
    }
    assert_eq!(desk.calls().len(), 30);
    is_whole(&desk);
    assert_eq!(desk.sql("SELECT value FROM job WHERE key = 'exit_code'"), ["100"]);
}

#[test]
fn a_merge_that_was_killed_is_finished_by_the_next_start() {
    let desk = desk(&job(""));
    for which in ["1/3", "2/3"] {
        part(&desk, which).exits(0);
    }
    // The last part, but not the merge.
    let alone = ["job.toml", "--threads", "2", "--out", "out", "--part", "3/3"];
    desk.run(gridmpi(), &alone).exits(0);
    let seen = status(&desk);
    assert!(seen.contains("3 parts: 3 complete; not merged: start the job without"), "{seen}");
    copy(&desk.path("out"), &desk.path("before"));
    let _ = desk.calls();
    let again: [fn(&Desk) -> Ran; 2] = [
        |desk| part(desk, "3/3"),
        |desk| desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "out"]),
    ];
    for start in again {
        start(&desk).exits(0);
        is_whole(&desk);
        let store = desk.path("out/runs.sqlite");
        // Killed when everything was copied, and nothing removed: the folders of the parts are there.
        let stamp = |part: &str| {
            let path = desk.path("before/parts").join(part).join("runs.sqlite");
            sql_rows(&path, "SELECT value FROM job WHERE key = 'start'")[0].clone()
        };
        let (one, two) = (stamp("1-of-3"), stamp("2-of-3"));
        sql_rows(
            &store,
            &format!(
                "INSERT INTO job VALUES ('taken 1-of-3', '{one}'), ('taken 2-of-3', '{two}'), \
                 ('finished 1-of-3', 'yes'), ('finished 2-of-3', 'yes');
                 UPDATE job SET value = 'interrupted' WHERE key = 'state'; DELETE FROM groups;"
            ),
        );
        copy(&desk.path("before/parts"), &desk.path("out/parts"));
        fs::remove_file(desk.path("out/summary.json")).unwrap();
        let starts = || desk.sql("SELECT count(*) FROM starts")[0].parse::<u32>().unwrap();
        let before = starts();
        start(&desk).exits(0);
        is_whole(&desk);
        assert!(starts() <= before + 3, "those of parts 1 and 2 were there");
        // Killed when the folders were removed, and the job not complete.
        sql_rows(
            &store,
            "UPDATE job SET value = 'running' WHERE key = 'state'; DELETE FROM groups",
        );
        fs::remove_file(desk.path("out/summary.json")).unwrap();
        start(&desk).exits(0);
        is_whole(&desk);
        fs::remove_dir_all(desk.path("out")).unwrap();
        copy(&desk.path("before"), &desk.path("out"));
    }
    assert_eq!(desk.calls(), [""; 0], "nothing is computed again");
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg("-T").args([from, to]).status().unwrap();
    assert!(copied.success());
}

#[test]
fn watch_follows_the_parts_until_they_are_merged() {
    let text = job("").replace("echo $((", "until [ -e go{a} ]; do sleep 0.05; done; echo $((");
    let desk = Desk::with_job(&text);
    let first = start(&desk, "2/2", &[]);
    wait_until("status", || desk.path("out/parts/2-of-2/status.json").exists());
    for (rows, columns) in [(1, 1), (3, 10)] {
        Terminal::watch_in(&desk, rows, columns).leaves_after("q");
    }
    let mut page = Terminal::watch(&desk);
    page.until(&[
        "job: running (2 parts: 1 under way, 1 not begun)",
        "0 of 30 runs",
        "part 1 of 2: has not begun",
        "part 2 of 2: running, rank 0 is process",
        "crunching",
    ]);
    let second = start(&desk, "1/2", &[]);
    page.until(&["job: running (2 parts: 2 under way)", "part 1 of 2: running", "2 workers: 2 at"]);
    for go in ["go3", "go4", "go5"] {
        desk.write(go, "");
    }
    end(first).exits(0);
    page.until(&["(2 parts: 1 complete, 1 under way)", "part 2 of 2: complete", "15 of 30 runs"]);
    for go in ["go0", "go1", "go2"] {
        desk.write(go, "");
    }
    end(second).exits(0);
    page.until(&["job: complete", "30 of 30 runs (100%)"]);
    page.press("q");
    assert!(page.end().contains("left with 0"));
}

#[test]
fn a_part_that_is_stopped_by_failures_has_not_finished() {
    let text = job("on_failure = \"stop\"").replace("echo $((", "[ {a}{b} != 54 ] && echo $((");
    let desk = Desk::with_job(&text);
    let stopped = part(&desk, "2/2").exits(100).stderr;
    assert!(!stopped.contains("has finished"), "{stopped}");
    let other = part(&desk, "1/2").exits(0).stderr;
    assert!(other.contains("part 2 of 2: stopped (stopped: 1 run failed, none is"), "{other}");
    assert!(status(&desk).contains("1 complete, 1 ended before they were complete"));
    // Once that is mended, the part goes on.
    desk.write("job.toml", &text.replace("[ {a}{b} != 54 ] && ", ""));
    assert!(part(&desk, "2/2").exits(2).stderr.contains("crunch has changed"));
    desk.write("job.toml", &text.replace("on_failure = \"stop\"", ""));
    part(&desk, "2/2").exits(100);
    assert_eq!(desk.sql("SELECT value FROM job WHERE key = 'state'"), ["complete"]);
    assert_eq!(desk.sql("SELECT task FROM all_runs WHERE status = 'failed'"), ["29"]);
}

#[test]
fn modules_that_only_calls_import_are_the_same_in_all_parts() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"f.py:crunch\"\n\
         [[loop]]\nname = \"x\"\nrange = { from = 0, to = 6 }\nreduce = \"sum\"\n",
    );
    desk.write(
        "f.py",
        "def crunch(x):\n    if x < 2:\n        return x\n    import importlib\n    \
         return importlib.import_module('hel' + 'per').f(x)\n",
    );
    desk.write("helper.py", "def f(x):\n    return x\n");
    for which in ["1/3", "2/3"] {
        part(&desk, which).exits(0);
    }
    desk.write("helper.py", "def f(x):\n    return x + 100\n");
    let refused = part(&desk, "3/3").exits(2).stderr;
    let says = "part 3 of 3 was computed with another crunch than the rest: helper.py has changed";
    assert!(refused.contains(says), "{refused}");
    let keep = ["job.toml", "--threads", "2", "--out", "out", "--keep"];
    let kept = desk.run(gridmpi(), &keep).exits(0);
    assert!(kept.stderr.contains("6 of 6 runs reused"), "{}", kept.stderr);
    assert_eq!(desk.sql("SELECT sum(score) FROM runs"), ["215.0"]);
}

#[test]
fn a_part_that_is_killed_goes_on_where_it_was() {
    // All but the first ten wait, so that the part cannot end before it is killed.
    let wait = "until [ {a} -lt 2 ] || [ -e go ]; do sleep 0.05; done; echo $((";
    let text = job("").replace("echo $((", wait);
    let desk = Desk::with_job(&text);
    let first = start(&desk, "1/2", &["--threads", "1", "--grace", "1"]);
    let runs = || {
        let store = desk.path("out/parts/1-of-2/runs.sqlite");
        let sql = "PRAGMA busy_timeout = 5000; SELECT count(*) FROM runs";
        if store.exists() { sql_rows(&store, sql)[1].parse().unwrap() } else { 0 }
    };
    wait_until("run", || runs() == 10);
    signal(&first, "-TERM");
    end(first).exits(75);
    assert_eq!(runs(), 10);
    desk.write("go", "");
    let ran = part(&desk, "1/2").exits(0).stderr;
    assert!(ran.contains("10 of 30 runs reused"), "{ran}");
    part(&desk, "2/2").exits(0);
    let calls = desk.calls().len();
    assert!((30..=31).contains(&calls), "one was cut off at most: {calls}");
    desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "whole"]).exits(0);
    is_whole(&desk);
}

#[test]
fn a_part_waits_for_a_start_of_the_whole_job_and_finds_its_tasks_done() {
    let text = job("").replace("echo $((", "until [ -e go ]; do sleep 0.05; done; echo $((");
    let desk = Desk::with_job(&text);
    desk.write("out/parts/mine/2-of-4.txt", "mine");
    let mut whole = gridmpi();
    whole.args(["job.toml", "--threads", "2", "--out", "out"]).current_dir(desk.path(""));
    let whole = whole.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let calls = || fs::read_to_string(desk.path("calls")).unwrap_or_default().lines().count();
    wait_until("call", || calls() > 0);
    let late = start(&desk, "2/3", &[]);
    wait_until("part", || desk.path("out/parts/2-of-3/.lock").exists());
    assert!(status(&desk).starts_with("job: running, rank 0 is process"), "{}", status(&desk));
    desk.write("go", "");
    end(whole).exits(0);
    let said = end(late).exits(0).stderr;
    assert!(said.contains("part 2 of 3: 0 of these tasks are its own"), "{said}");
    assert_eq!(calls(), 30);
    assert!(status(&desk).starts_with("job: complete\n30 of 30 runs"), "{}", status(&desk));
    // What is not gridmpi's stays.
    assert!(desk.path("out/parts/mine/2-of-4.txt").exists());
    assert!(!desk.path("out/parts/2-of-3").exists());
}

#[test]
fn fresh_moves_the_parts_aside_too() {
    let desk = desk(&job(""));
    part(&desk, "2/3").exits(0);
    let ran = desk.run(gridmpi(), &["job.toml", "--out", "out", "--fresh"]).exits(0).stderr;
    assert!(ran.contains("earlier runs moved to out/earlier-1"), "{ran}");
    let aside = desk.path("out/earlier-1/parts/2-of-3/runs.sqlite");
    assert_eq!(sql_rows(&aside, "SELECT count(*) FROM runs"), ["10"]);
    assert_eq!(desk.calls().len(), 40);
    is_whole(&desk);
}

#[test]
fn summaries_of_a_part_are_not_made_again() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo {a}{b}\"\n\
         [[loop]]\nname = \"a\"\nvalues = [1, 2, 3]\nreduce = \"max\"\n\
         [[loop]]\nname = \"b\"\nvalues = [1, 2]\nreduce = { python = \"fold.py:fold\" }\n",
    );
    desk.write(
        "fold.py",
        "def fold(runs):\n    open('calls', 'a').write('call\\n')\n    \
         return sum(run['score'] for run in runs)\n",
    );
    desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "whole"]).exits(0);
    assert_eq!(desk.calls().len(), 3);
    for which in ["1/2", "2/2"] {
        part(&desk, which).exits(0);
    }
    assert_eq!(desk.calls().len(), 3);
    is_whole(&desk);
}
