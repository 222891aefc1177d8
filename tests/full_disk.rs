//! A store that is temporarily not writable: the job pauses, loses nothing, and continues.

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::{Desk, gridmpi, mpirun};

/// Results of 1 kB, so that small disks fill up quickly.
fn desk(count: usize) -> Desk {
    let desk = Desk::with_job(&format!(
        "[crunch]\npython = \"fit.py:crunch\"\n[[loop]]\nname = \"x\"\nrange = {{ from = 0, to = {count} }}\nreduce = \"sum\"\n"
    ));
    let code = "import time\ndef crunch(x):\n    time.sleep(0.001)\n    return {'score': x, 'text': 'x' * 1000}\n";
    desk.write("fit.py", code);
    desk
}

/// The same of 1,500 tasks, of which the last thousand wait for a file `go`: the job is not at its end when harm is done to
/// the store, however late that is.
fn desk_that_waits() -> Desk {
    let desk = desk(1500);
    let waits = "import os, time\ndef crunch(x):\n    while x >= 500 and os.path.exists('job.toml') and not os.path.exists('go'):\n        \
                 time.sleep(0.02)\n    time.sleep(0.001)\n    return {'score': x, 'text': 'x' * 1000}\n";
    desk.write("fit.py", waits);
    desk
}

fn start(desk: &Desk, mut command: Command, out: &Path) -> (Child, Receiver<String>) {
    command.arg("job.toml").args(["--format", "json"]);
    start_plain(desk, command, out)
}

fn start_plain(desk: &Desk, mut command: Command, out: &Path) -> (Child, Receiver<String>) {
    command.arg("--out").arg(out);
    command.current_dir(desk.path("")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (say, said) = channel();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || {
        stderr.lines().map_while(Result::ok).try_for_each(|line| say.send(line))
    });
    (child, said)
}

/// Waits for a line on stderr that contains `text`.
fn hear(said: &Receiver<String>, text: &str) -> String {
    let begin = Instant::now();
    let mut all = String::new();
    while begin.elapsed() < Duration::from_secs(60) {
        let Ok(line) = said.recv_timeout(Duration::from_secs(60)) else { break };
        if line.contains(text) {
            return line;
        }
        all += &line;
    }
    panic!("nobody said {text}: {all}")
}

/// The store, once it has runs.
fn crunching(desk: &Desk) -> rusqlite::Connection {
    let begin = Instant::now();
    let runs = |store: &rusqlite::Connection| {
        store.query_row("SELECT count(*) FROM runs", [], |row| row.get::<_, i64>(0)).unwrap_or(0)
    };
    loop {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not get on");
        std::thread::sleep(Duration::from_millis(20));
        if !desk.path("out/runs.sqlite").exists() {
            continue; // opening would create it
        }
        let store = rusqlite::Connection::open(desk.path("out/runs.sqlite")).unwrap();
        store.busy_timeout(Duration::from_secs(5)).unwrap();
        if runs(&store) > 0 {
            return store;
        }
    }
}

fn score(child: Child) -> f64 {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    json["groups"][0]["summary"]["score"].as_f64().unwrap()
}

/// A small disk; None if this user may not mount one.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(place: std::path::PathBuf, size: &str) -> Option<SmallDisk> {
        std::fs::create_dir(&place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(&place);
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("skipped: no leave to mount a small disk here");
        }
        mounted.then_some(SmallDisk(place))
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        let grown = Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap();
        assert!(grown.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l".as_ref(), self.0.as_os_str()]).status();
    }
}

#[test]
fn a_full_disk_pauses_and_goes_on_when_there_is_room() {
    let desk = desk(2000);
    for (i, command) in [gridmpi(), mpirun(3)].into_iter().enumerate() {
        let Some(disk) = SmallDisk::mount(desk.path(&format!("disk{i}")), "600k") else { return };
        let (child, said) = start(&desk, command, &disk.0.join("out"));
        let error = hear(&said, "crunching pauses");
        assert!(error.contains("runs.sqlite") && error.contains("full"), "{error}");
        if i == 0 {
            let begin = Instant::now();
            let status = || desk.run(gridmpi(), &["status", "disk0/out"]).exits(0).stdout;
            while !status().contains("its disk is full") {
                assert!(begin.elapsed() < Duration::from_secs(60), "{}", status());
            }
        }
        std::thread::sleep(Duration::from_secs(1));
        disk.grow("50m");
        hear(&said, "can be written again");
        assert_eq!(score(child), 1999.0 * 1000.0);
        let rest: Vec<String> = said.iter().filter(|line| line.contains("pauses")).collect();
        assert!(rest.is_empty(), "it is said once: {rest:?}");
    }
}

#[test]
fn a_disk_that_is_full_before_the_first_byte_is_waited_for() {
    let desk = desk(50);
    let launch = || {
        let mut command = gridmpi();
        command.args(["launch", "-n", "2", "job.toml"]);
        command
    };
    for (i, command) in [gridmpi(), mpirun(3), launch()].into_iter().enumerate() {
        let Some(disk) = SmallDisk::mount(desk.path(&format!("disk{i}")), "200k") else { return };
        let _ = std::fs::write(disk.0.join("filler"), vec![1; 300_000]);
        let out = disk.0.join("out");
        let (child, said) = match i {
            2 => start_plain(&desk, command, &out),
            _ => start(&desk, command, &out),
        };
        let error = hear(&said, "nothing is started until there is room");
        assert!(error.contains("out: No space left on device"), "{error}");
        if i == 0 {
            Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
            assert_eq!(child.wait_with_output().unwrap().status.code(), Some(75));
            continue;
        }
        disk.grow("50m");
        hear(&said, "there is room now");
        assert!(child.wait_with_output().unwrap().status.success());
        let sum = common::sql_rows(&out.join("runs.sqlite"), "SELECT sum(score) FROM all_runs");
        assert_eq!(sum, ["1225.0"]);
    }
}

#[test]
fn a_signal_ends_the_wait_and_what_was_stored_is_good() {
    let desk = desk(2000);
    let Some(disk) = SmallDisk::mount(desk.path("disk"), "600k") else { return };
    let out = disk.0.join("out");
    let (child, said) = start(&desk, gridmpi(), &out);
    hear(&said, "crunching pauses");
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    hear(&said, "make room and start again");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(75));
    disk.grow("50m");
    let (child, said) = start(&desk, gridmpi(), &out);
    hear(&said, "of 2,000 runs reused");
    assert_eq!(score(child), 1999.0 * 1000.0);
}

#[test]
fn a_locked_store_is_waited_for() {
    let desk = desk_that_waits();
    let (child, said) = start(&desk, gridmpi(), &desk.path("out"));
    let lock = crunching(&desk);
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    desk.write("go", "");
    let error = hear(&said, "crunching pauses");
    assert!(error.contains("locked"), "{error}");
    lock.execute_batch("COMMIT").unwrap();
    drop(lock);
    hear(&said, "can be written again");
    assert_eq!(score(child), 1499.0 * 750.0);
}

#[test]
fn a_store_that_was_moved_away_is_waited_for() {
    let desk = desk_that_waits();
    let (child, said) = start(&desk, gridmpi(), &desk.path("out"));
    drop(crunching(&desk));
    std::fs::rename(desk.path("out"), desk.path("elsewhere")).unwrap();
    desk.write("go", "");
    let error = hear(&said, "crunching pauses");
    assert!(error.contains("is gone"), "{error}");
    std::fs::rename(desk.path("elsewhere"), desk.path("out")).unwrap();
    hear(&said, "can be written again");
    assert_eq!(score(child), 1499.0 * 750.0);
}

#[test]
fn a_store_that_was_replaced_is_not_written() {
    let desk = desk_that_waits();
    let (child, said) = start(&desk, gridmpi(), &desk.path("out"));
    drop(crunching(&desk));
    std::fs::rename(desk.path("out"), desk.path("elsewhere")).unwrap();
    Command::new("cp")
        .arg("-r")
        .args(["elsewhere", "out"])
        .current_dir(desk.path(""))
        .status()
        .unwrap();
    desk.write("go", "");
    let error = hear(&said, "crunching pauses");
    assert!(error.contains("is not the file that was opened"), "{error}");
    let status = std::fs::read(desk.path("out/status.json")).ok();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(
        std::fs::read(desk.path("out/status.json")).ok(),
        status,
        "it belongs to another run"
    );
    assert!(!desk.path("out/summary.json").exists());
    std::fs::remove_dir_all(desk.path("out")).unwrap();
    std::fs::rename(desk.path("elsewhere"), desk.path("out")).unwrap();
    hear(&said, "can be written again");
    assert_eq!(score(child), 1499.0 * 750.0);
}

#[test]
fn a_results_folder_that_vanishes_during_a_long_task_is_missed() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"until test -e go; do sleep 0.1; done; echo {x}\"\n[[loop]]\nname = \"x\"\nvalues = [7]\nreduce = \"sum\"\n",
    );
    let (child, said) = start(&desk, gridmpi(), &desk.path("out"));
    let begin = Instant::now();
    while !desk.path("out/status.json").exists() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::rename(desk.path("out"), desk.path("elsewhere")).unwrap();
    let error = hear(&said, "crunching pauses");
    assert!(error.contains("is gone: put it back"), "{error}");
    desk.write("go", "");
    std::fs::rename(desk.path("elsewhere"), desk.path("out")).unwrap();
    assert_eq!(score(child), 7.0);
}

#[test]
fn a_limit_for_files_pauses_the_job_in_words() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"a\"\nrange = { from = 0, to = 20000 }\nreduce = \"max\"\n",
    );
    let mut limited = Command::new("bash");
    limited.args(["-c", "ulimit -f 200; exec \"$0\" \"$@\""]).arg(gridmpi().get_program());
    limited.args(["--threads", "1"]);
    let (child, said) = start(&desk, limited, &desk.path("out"));
    hear(&said, "crunching pauses until it can be written");
    // As a batch system does.
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    hear(&said, "start again to go on");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(75));
    assert_eq!(desk.run_job().exits(0).score(), 19999.0);
}
