//! `gridmpi status` and `gridmpi watch`: during a real mpirun job, after it has died, and after its end.
//! watch runs in a terminal emulator.

mod common;
#[path = "common/terminal.rs"]
mod terminal;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Desk, gridmpi, mpirun, of_tasks};
use serde_json::{Value as Json, json};
use terminal::Terminal;

/// Timeout of every wait.
const PATIENCE: Duration = Duration::from_secs(40);

/// Sixty groups of four tasks of half a second: more than any test needs until it ends them.
const SLOW: &str = "
[crunch]
builtin = \"multiply\"
sleep = 0.5
[[loop]]
name = \"a\"
range = { from = 1, to = 61 }
[[loop]]
name = \"b\"
range = { from = 1, to = 5 }
reduce = \"max\"
";

fn start(desk: &Desk, mut command: Command) -> Child {
    command.args(["run", "job.toml", "--out", "out"]).current_dir(desk.path(""));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn status(desk: &Desk) -> Json {
    desk.run(gridmpi(), &["status", "out", "--format", "json"]).exits(0).json()
}

fn file(desk: &Desk) -> Option<Json> {
    serde_json::from_slice(&fs::read(desk.path("out/status.json")).ok()?).ok()
}

/// Waits until the status file meets a condition.
fn until(desk: &Desk, what: &str, is: impl Fn(&Json) -> bool) -> Json {
    let begin = Instant::now();
    loop {
        if let Some(status) = file(desk).filter(&is) {
            return status;
        }
        assert!(begin.elapsed() < PATIENCE, "never {what}: {:?}", file(desk));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn kill(signal: &str, process: &Json) {
    let killed = Command::new("kill").args([signal, &process.to_string()]).status().unwrap();
    assert!(killed.success());
}

#[test]
fn a_run_over_mpi_is_seen_while_it_goes_and_when_it_has_died() {
    let desk = Desk::with_job(SLOW);
    let mut run = start(&desk, mpirun(4));
    let ranks = |status: &Json| {
        let list = status["workers"]["list"].as_array().unwrap();
        list.iter().map(|worker| worker["rank"].clone()).collect::<Vec<Json>>()
    };
    let seen = |status: &Json| {
        let open = &status["groups"]["open"][0];
        let groups = &status["groups"];
        let is_there = groups["closed"].as_u64() > Some(0) && open["runs"].as_u64() > Some(0);
        is_there && ranks(status) == [1, 2, 3]
    };
    until(&desk, "all ranks, a group closed and one open", seen);
    let going = status(&desk);
    assert_eq!((&going["life"], &going["state"]), (&json!("alive"), &json!("running")));
    assert_eq!((&going["tasks"], &going["groups"]["all"]), (&json!(240), &json!(60)));
    assert!(
        going["rate"].as_f64() > Some(0.0) && going["seconds_left"].as_f64() > Some(0.0),
        "{going}"
    );
    let left = going["tasks"].as_f64().unwrap() - going["done"].as_f64().unwrap();
    let told = going["seconds_left"].as_f64().unwrap() * going["rate"].as_f64().unwrap();
    assert!((told - left).abs() < 1e-6, "{going}");
    let latest = going["groups"]["latest"].as_array().unwrap();
    assert!(!latest.is_empty(), "{going}");
    for group in latest {
        let a = group["coordinates"]["a"].as_u64().unwrap();
        assert_eq!((&group["coordinates"], group["runs"].as_u64()), (&json!({ "a": a }), Some(4)));
        assert_eq!(group["score"].as_f64(), Some(4.0 * a as f64), "{group}");
        assert_eq!((&group["best"], &group["partial"]), (&json!({ "b": 4 }), &json!(false)));
    }
    assert_eq!(ranks(&going), [1, 2, 3]);
    let workers = going["workers"]["list"].as_array().unwrap();
    for worker in workers.iter().filter(|worker| worker["state"] == "crunching") {
        let task = worker["task"].as_u64().unwrap();
        assert_eq!(worker["coordinates"], json!({ "a": task / 4 + 1, "b": task % 4 + 1 }));
        assert!(worker["seconds"].as_f64() < Some(20.0) && worker["host"] != "", "{worker}");
    }
    // A worker that is held up crunches nothing for a while.
    let parts = [
        "job: running, rank 0 is process",
        " of 240 runs (",
        " left\n",
        "3 workers: ",
        "crunching",
    ];
    let begin = Instant::now();
    loop {
        let text = desk.run(gridmpi(), &["status", "out"]).exits(0).stdout;
        let has_group = |text: &str| (1..=60).any(|a| text.contains(&format!("a {a} ")));
        if parts.iter().all(|part| text.contains(part)) && has_group(&text) {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "not all of {parts:?} are in\n{text}");
    }
    // The best of an open group is partial; likewise according to the store.
    let open =
        until(&desk, "a group is open", |status| status["groups"]["open"][0]["score"].is_f64());
    assert_eq!(open["groups"]["open"][0]["partial"], true);
    let best = desk.run(gridmpi(), &["best", "out"]).exits(0);
    assert!(best.stdout.lines().count() > 1, "{}", best.stdout);

    kill("-9", &going["process"]);
    let died = Instant::now();
    let dead = loop {
        let status = status(&desk);
        if status["life"] == "died" {
            break status;
        }
        assert!(died.elapsed() < PATIENCE, "{status}");
    };
    let why = format!("rank 0 (process {} on ", going["process"]);
    assert!(dead["life_why"].as_str().unwrap().starts_with(&why), "{dead}");
    let stored = dead["stored"].as_u64().unwrap();
    assert!(stored > 0 && stored < 240, "{dead}");
    let text = desk.run(gridmpi(), &["status", "out"]).exits(0).stdout;
    assert!(text.starts_with("job: HAS DIED: rank 0 "), "{text}");
    assert!(text.contains(&format!("{stored} runs are stored; start it again to go on")), "{text}");
    assert!(!text.contains(" left\n") && text.contains("state when last written"), "{text}");
    run.wait().unwrap();

    desk.write("job.toml", &SLOW.replace("sleep = 0.5", "sleep = 0.01"));
    desk.run(mpirun(3), &["run", "job.toml", "--out", "out", "--keep"]).exits(0);
    let ended = status(&desk);
    assert_eq!((&ended["life"], &ended["state"]), (&json!("ended"), &json!("complete")));
    assert_eq!((&ended["done"], &ended["exit_code"]), (&json!(240), &json!(0)));
    assert_eq!(ended["groups"]["closed"], 60);
    let text = desk.run(gridmpi(), &["status", "out"]).exits(0).stdout;
    let begin = format!(
        "job: complete\n240 of 240 runs (100%), 0 failed; {stored} reused\n60 of 60 groups"
    );
    assert!(text.starts_with(&begin), "{text}");
}

#[test]
fn how_a_run_ended_is_told() {
    let failing = "[crunch]\ncommand = [\"false\"]\non_failure = \"stop\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2, 3]\n";
    let desk = Desk::with_job(failing);
    desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out"]).exits(100);
    let stopped = status(&desk);
    assert_eq!((&stopped["state"], &stopped["exit_code"]), (&json!("stopped"), &json!(100)));
    assert!(stopped["words"].as_str().unwrap().contains("none is allowed"), "{stopped}");

    let desk = Desk::with_job(SLOW);
    let mut run = start(&desk, gridmpi());
    let going = until(&desk, "running", |status| status["done"].as_u64() > Some(0));
    kill("-INT", &going["process"]);
    assert_eq!(run.wait().unwrap().code(), Some(75));
    let text = desk.run(gridmpi(), &["status", "out"]).exits(0).stdout;
    assert!(text.starts_with("job: interrupted (SIGINT: "), "{text}");
    // Without the status file, the store is used.
    fs::remove_file(desk.path("out/status.json")).unwrap();
    let told = status(&desk);
    assert_eq!((&told["life"], &told["state"]), (&json!("ended"), &json!("interrupted")));
}

#[test]
fn a_run_that_failed_says_so_and_why() {
    let quick = SLOW.replace("sleep = 0.5", "sleep = 0\nisolate = true");
    for earlier in [false, true] {
        let desk = Desk::with_job(&quick);
        if earlier {
            desk.run_job().exits(0);
            let half = &format!("DELETE FROM runs WHERE {}", of_tasks("task > 20"));
            common::sql_rows(&desk.path("out/runs.sqlite"), half);
        }
        let mut command = gridmpi();
        command.env("TMPDIR", desk.path("nowhere"));
        desk.run(command, &["job.toml", "--threads", "2", "--out", "out"]).exits(1);
        // Also from a machine that cannot see its process.
        for host in [None, Some("elsewhere")] {
            if let Some(host) = host {
                let mut file = file(&desk).unwrap();
                file["host"] = json!(host);
                put(&desk.path("out"), &file);
                desk.write("out/.lock", &format!("process {} on {host}\n", file["process"]));
            }
            let failed = status(&desk);
            assert_eq!((&failed["life"], &failed["state"]), (&json!("ended"), &json!("failed")));
            assert_eq!(failed["exit_code"], json!(1), "{failed}");
            assert_eq!(failed["done"], json!(if earlier { 21 } else { 0 }), "{failed}");
            let text = desk.run(gridmpi(), &["status", "out"]).exits(0).stdout;
            assert!(text.starts_with("job: failed (no worker is left that can go on"), "{text}");
            assert!(text.contains("nowhere"), "{text}");
        }
        // A later start that died before it wrote anything is another matter.
        if !earlier {
            desk.write("out/.lock", "process 1 on elsewhere\n");
            let why = "rank 0 (process 1 on elsewhere) has recorded no run, and no process holds the folder";
            assert_eq!(status(&desk)["life_why"], json!(why));
        }
    }
}

#[test]
fn before_a_run_has_begun_it_is_said_how_to_look() {
    let desk = Desk::new();
    fs::create_dir(desk.path("empty")).unwrap();
    for folder in ["results/slurm", "empty"] {
        for verb in ["status", "watch"] {
            let ran = desk.run(gridmpi(), &[verb, folder]).exits(2);
            let says = format!("results folder {folder}: nothing is there yet: ");
            assert!(ran.stderr.contains(&says), "{}", ran.stderr);
            assert!(ran.stderr.contains("squeue --me"), "{}", ran.stderr);
        }
    }
}

#[test]
fn a_start_that_has_left_no_word_yet_is_not_taken_for_dead() {
    let desk = Desk::with_job(&SLOW.replace("sleep = 0.5", "sleep = 0"));
    desk.run_job().exits(0);
    common::sql_rows(
        &desk.path("out/runs.sqlite"),
        "UPDATE job SET value = 'running' WHERE key = 'state'",
    );
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    // The lock, as taken by Folder::claim; the status file is missing or from an earlier start.
    let mut hold = Command::new("flock");
    hold.args([".lock", "sh", "-c", "echo held; exec cat"]).current_dir(desk.path("out"));
    let mut holder = hold.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut held = [0; 5];
    holder.stdout.as_mut().unwrap().read_exact(&mut held).unwrap();
    desk.write("out/.lock", &format!("process {} on {host}, Slurm job 3\n", holder.id()));
    for earlier in [true, false] {
        if !earlier {
            fs::remove_file(desk.path("out/status.json")).unwrap();
        }
        let begins = status(&desk);
        assert_eq!((&begins["life"], &begins["state"]), (&json!("alive"), &json!("running")));
        assert_eq!((&begins["process"], &begins["host"]), (&json!(holder.id()), &json!(host)));
        let text = desk.run(gridmpi(), &["status", "out"]).exits(0).stdout;
        assert!(text.starts_with("job: running (it has just begun), rank 0 is process "), "{text}");
    }
    drop(holder.stdin.take());
    holder.wait().unwrap();
    let dead = status(&desk);
    let why = format!("rank 0 (process {} on {host}) has ended", holder.id());
    assert_eq!((&dead["life"], &dead["life_why"]), (&json!("died"), &json!(why)));
    fs::remove_file(desk.path("out/.lock")).unwrap();
    assert_eq!(status(&desk)["life_why"], "no process holds the folder");
}

#[test]
fn a_straggler_is_told_of_and_watched_in_any_terminal() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"test {x} -ne 3 || exec sleep 600; test {x} -ne 5 || exit 3; sleep 0.05; echo {x}\"\n[[loop]]\nname = \"group\"\nrange = { from = 0, to = 3 }\n[[loop]]\nname = \"x\"\nrange = { from = 0, to = 40 }\nreduce = \"min\"\n",
    );
    let mut run = start(&desk, mpirun(5));
    let late = until(&desk, "a straggler", |status| status["stragglers"][0]["task"] == 3);
    assert_eq!(late["stragglers"][0]["coordinates"], json!({ "group": 0, "x": 3 }));
    assert!(late["stragglers"][0]["expected"].as_f64() < Some(1.0), "{late}");
    let text = desk.run(gridmpi(), &["status", "out"]).exits(0).stdout;
    assert!(text.contains("has been running task 3 for "), "{text}");
    let explained = desk.run(gridmpi(), &["explain", "out", "3"]).exits(0).stdout;
    assert!(explained.contains("status    running\nnow       rank "), "{explained}");
    for (rows, columns) in [(2, 5), (1, 1), (8, 30)] {
        Terminal::watch_in(&desk, rows, columns).leaves_after("q");
    }
    kill("-9", &late["process"]);
    run.wait().unwrap();
    // A group without a value shows the reason in words.
    desk.write(
        "job.toml",
        &fs::read_to_string(desk.path("job.toml")).unwrap().replace("exec sleep 600", "true"),
    );
    desk.run(mpirun(3), &["run", "job.toml", "--out", "out", "--keep"]).exits(100);
    let mut terminal = Terminal::watch(&desk);
    terminal.until(&[
        "job: finished, but not complete",
        "incomplete: 1 of 40",
        "40 of 40, 1 failed",
    ]);
    terminal.press("q");
    terminal.end();
}

/// A status file as written by a run on another machine.
fn elsewhere(written: f64) -> Json {
    json!({
        "form": 1, "name": "far", "state": "running", "words": null, "exit_code": null,
        "host": "another-machine", "process": 1, "started": written - 100.0, "seen": written,
        "written": written, "tasks": 100, "done": 40, "reused": 0, "failed": 1, "running": 2,
        "retried": 0, "rate": 0.4, "seconds_left": 150.0,
        "groups": { "all": 0, "closed": 0, "incomplete": 0, "reduce": null, "latest": [], "open": [] },
        "workers": { "all": 2, "busy": 2, "idle": 0, "away": 0, "lost": 0, "gone": 0, "left_out": 0, "list": [
            { "rank": 1, "host": "n1", "state": "crunching", "threads": 1, "task": 7,
              "coordinates": { "x": 7 }, "held": 1, "seconds": 90.0, "expected": 2.5 }] },
        "stragglers": [
            { "rank": 1, "host": "n1", "state": "crunching", "threads": 1, "task": 7,
              "coordinates": { "x": 7 }, "held": 1, "seconds": 90.0, "expected": 2.5 }],
    })
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn put(folder: &Path, status: &Json) {
    fs::write(folder.join("new"), status.to_string()).unwrap();
    fs::rename(folder.join("new"), folder.join("status.json")).unwrap();
}

#[test]
fn a_run_on_another_machine_is_judged_by_its_file_alone() {
    let desk = Desk::new();
    let out = desk.path("out");
    fs::create_dir(&out).unwrap();
    // There is no store here, and none is needed. By its own clock, which is ahead, the file stays fresh for a while.
    put(&out, &elsewhere(now() + 30.0));
    let text = desk.run(gridmpi(), &["status", "out"]).exits(0).stdout;
    for part in [
        "far: running, rank 0 is process 1 on another-machine",
        "40 of 100 runs (40.0%), 1 failed, 2 running; one in 2.50 s, 2 min 30 s left",
        "rank 1 on n1 has been running task 7 for 90.0 s, expected 2.50 s",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    put(&out, &elsewhere(now() - 15.0));
    assert_eq!(status(&desk)["life"], "silent");
    put(&out, &elsewhere(now() - 1000.0));
    let dead = status(&desk);
    assert_eq!(dead["life"], "died");
    assert!(dead["life_why"].as_str().unwrap().contains("has written nothing for 10"), "{dead}");
    // Its clock may be wrong: a file that changes means that it is alive.
    let is_over = AtomicBool::new(false);
    let is_alive = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                put(&out, &elsewhere(now() - 3600.0));
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        // One that is held up for as long as it would look sees no change.
        let is_alive = (0..5).any(|_| {
            let told = desk.run(gridmpi(), &["status", "out", "--format", "json"]).stdout;
            serde_json::from_str::<Json>(&told).is_ok_and(|told| told["life"] == "alive")
        });
        is_over.store(true, Ordering::Relaxed);
        is_alive
    });
    assert!(is_alive);

    let mut newer = elsewhere(now());
    newer["form"] = json!(99);
    put(&out, &newer);
    let ran = desk.run(gridmpi(), &["status", "out"]).exits(2);
    assert!(
        ran.stderr.contains("out/status.json: written by a newer gridmpi (in format 99"),
        "{}",
        ran.stderr
    );
    put(&out, &json!([1]));
    let ran = desk.run(gridmpi(), &["status", "out"]).exits(2);
    assert!(ran.stderr.contains("out/status.json: is not a status file"), "{}", ran.stderr);
}

#[test]
fn watch_follows_a_run_until_it_has_died_and_leaves_when_asked() {
    let desk = Desk::with_job(SLOW);
    let mut run = start(&desk, mpirun(3));
    until(&desk, "running", |status| status["done"].as_u64() > Some(0));
    let mut terminal = Terminal::watch(&desk);
    let shown = terminal.until(&[
        "job: running, rank 0 is process",
        "of 240 runs",
        "crunching",
        "partial",
        "2 workers: 2 at work",
        "q leaves",
    ]);
    let before = shown.lines().nth(3).unwrap().to_string();
    let begin = Instant::now();
    while terminal.text().lines().nth(3) == Some(before.as_str()) {
        assert!(begin.elapsed() < PATIENCE, "it stands still: {before}");
        std::thread::sleep(Duration::from_millis(30));
    }
    kill("-9", &file(&desk).unwrap()["process"]);
    terminal.until(&["job: HAS DIED: rank 0 (process", "start it again to go on"]);
    run.wait().unwrap();
    terminal.press("q");
    assert!(terminal.end().contains("left with 0"));
    // A completed run says so; Ctrl-C quits too.
    desk.write("job.toml", &SLOW.replace("sleep = 0.5", "sleep = 0.01"));
    desk.run(gridmpi(), &["run", "job.toml", "--out", "out", "--keep"]).exits(0);
    let mut terminal = Terminal::watch(&desk);
    terminal.until(&["job: complete", "240 of 240 runs (100%)", "a 12"]);
    terminal.press("\t\x1b[B\x1b[6~\x1b[F");
    terminal.press("\x03");
    assert!(terminal.end().contains("left with 0"));
}

#[test]
fn watch_gives_the_terminal_back_when_the_folder_goes_or_it_is_killed() {
    let desk = Desk::new();
    fs::create_dir(desk.path("out")).unwrap();
    put(&desk.path("out"), &elsewhere(now()));
    let terminal = Terminal::watch(&desk);
    terminal.until(&["far: running", "x 7", "expected 2.50 s"]);
    fs::remove_dir_all(desk.path("out")).unwrap();
    let left = terminal.end();
    assert!(left.contains("results folder out: is gone") && left.contains("left with 1"), "{left}");

    fs::create_dir(desk.path("out")).unwrap();
    put(&desk.path("out"), &elsewhere(now()));
    let terminal = Terminal::watch(&desk);
    terminal.until(&["far: running"]);
    let asked = Command::new("pkill").args(["-TERM", "-P", &terminal_shell(&terminal)]).status();
    assert!(asked.unwrap().success());
    assert!(terminal.end().contains("left with 0"));

    let ran = desk.run(gridmpi(), &["watch", "out"]).exits(2);
    assert!(ran.stderr.contains("`status` prints the same once"), "{}", ran.stderr);
}

/// The shell in which watch runs.
fn terminal_shell(terminal: &Terminal) -> String {
    let children = Command::new("pgrep").args(["-P", &terminal.process.id().to_string()]).output();
    String::from_utf8(children.unwrap().stdout).unwrap().trim().to_string()
}

#[test]
fn watch_has_a_page_of_failures_and_fits_sixty_columns() {
    let long = "measured/with/the/same/long/beginning/subject";
    let desk = Desk::with_job(&format!(
        "[crunch]\nshell = \"case {{x}} in 1) echo no licence >&2; exit 3;; 2) test {{set}} != {long}-a || exit 4;; 4) until test -e go -o {{set}} != {long}-c; do sleep 0.05; done;; esac; echo {{x}}\"\n\
         [[loop]]\nname = \"set\"\nvalues = [\"{long}-a\", \"{long}-b\", \"{long}-c\"]\n\
         [[loop]]\nname = \"x\"\nvalues = [1, 2, 3, 4]\nreduce = \"max\"\n"
    ));
    let mut run = start(&desk, mpirun(3));
    until(&desk, "one that waits", |status| status["done"] == 11 && status["running"] == 1);
    let mut terminal = Terminal::watch_in(&desk, 30, 60);
    let shown = terminal.until(&["11 of 12 runs", "4 failed", "f: failures", "subject-c, x 4"]);
    assert!(shown.contains("3 of 4, 1 failed"), "{shown}");
    assert!(shown.contains("1 running; "), "the whole line: {shown}");
    terminal.press("f");
    let shown =
        terminal.until(&["failures: 4 of 11 runs", "3 runs, first task 0: ", "1 run, task 1: "]);
    assert!(shown.contains("subject-a x=1"), "{shown}");
    assert!(
        shown.contains("exit status: 3: no licence") && shown.contains("exit status: 4"),
        "{shown}"
    );
    assert!(shown.find("licence") < shown.find("status: 4"), "the commonest first: {shown}");
    // It follows the run.
    desk.write("go", "");
    terminal.until(&[
        "job: finished, but not complete",
        "failures: 4 of 12 runs",
        "3 runs, first task 0: ",
    ]);
    terminal.press("f");
    terminal.until(&["groups", "incomplete: "]);
    terminal.press("q");
    assert!(terminal.end().contains("left with 0"));
    run.wait().unwrap();
    // In a small one, too, and without failures.
    for (rows, columns) in [(1, 1), (6, 20)] {
        Terminal::watch_in(&desk, rows, columns).leaves_after("f\x1b[6~\x1b[Fq");
    }
}
