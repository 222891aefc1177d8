//! The results folder: nothing is written through a link that lies there, and `--fresh` moves only what gridmpi
//! made.

mod common;

use std::fs;
use std::os::unix::fs::symlink;

use common::{Desk, gridmpi};

const JOB: &str = "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"x\"\nvalues = [2, 3]\n";

#[test]
fn nothing_is_written_through_a_link_in_a_prepared_folder() {
    for name in [
        ".lock",
        "runs.sqlite",
        "runs.sqlite-wal",
        "runs.sqlite-shm",
        "runs.sqlite-journal",
        "runs.sqlite.unfinished",
        "summary.json",
        "summary.csv",
        "status.json",
        "report.html",
        "large",
        "superseded-1",
        "superseded-1/runs.sqlite",
    ] {
        let desk = Desk::with_job(JOB);
        desk.write("precious", "PRECIOUS");
        fs::create_dir_all(desk.path("out").join(name).parent().unwrap()).unwrap();
        for target in ["precious", "new"] {
            let link = desk.path("out").join(name);
            symlink(desk.path(target), &link).unwrap();
            let ran = desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(2);
            assert!(
                ran.stderr.contains(&format!("out/{name}: it is a symbolic link")),
                "{name}: {}",
                ran.stderr
            );
            fs::remove_file(link).unwrap();
        }
        assert_eq!(fs::read_to_string(desk.path("precious")).unwrap(), "PRECIOUS", "{name}");
        assert!(!desk.path("new").exists(), "{name}");
        desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(0);
    }
}

#[test]
fn what_is_put_there_later_is_not_followed_either() {
    let desk = Desk::with_job(JOB);
    desk.run_job().exits(0);
    desk.write("precious", "PRECIOUS");
    symlink(desk.path("precious"), desk.path("out/report.html")).unwrap();
    let ran = desk.run(gridmpi(), &["report", "out"]).exits(2);
    assert!(
        ran.stderr.contains("out/report.html: not written: it is a symbolic link"),
        "{}",
        ran.stderr
    );
    fs::remove_file(desk.path("out/report.html")).unwrap();
    symlink(desk.path("precious"), desk.path("link.toml")).unwrap();
    desk.run(gridmpi(), &["init", "link.toml"]).exits(2);
    assert_eq!(fs::read_to_string(desk.path("precious")).unwrap(), "PRECIOUS");
    // A pipe that nobody writes to.
    for name in ["status.json", ".lock"] {
        fs::remove_file(desk.path("out").join(name)).unwrap();
        let made = std::process::Command::new("mkfifo").arg(desk.path("out").join(name)).status();
        assert!(made.unwrap().success());
        desk.run(gridmpi(), &["status", "out"]);
        let ran = desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(2);
        assert!(ran.stderr.contains("no regular file"), "{}", ran.stderr);
        fs::remove_file(desk.path("out").join(name)).unwrap();
    }
}

#[test]
fn files_of_the_user_with_names_of_results_are_not_written_over() {
    for name in ["summary.json", "summary.csv", "status.json", "report.html", ".lock"] {
        let desk = Desk::with_job(JOB);
        desk.write(&format!("out/{name}"), "PRECIOUS");
        for arguments in
            [&["job.toml", "--out", "out"][..], &["job.toml", "--out", "out", "--fresh"]]
        {
            let ran = desk.run(gridmpi(), arguments).exits(2);
            let says = format!("out/{name}: it is there already, and gridmpi");
            assert!(ran.stderr.contains(&says) && ran.stderr.contains("--out"), "{}", ran.stderr);
        }
        assert_eq!(fs::read_to_string(desk.path("out").join(name)).unwrap(), "PRECIOUS");
        assert_eq!(fs::read_dir(desk.path("out")).unwrap().count(), 1);
        fs::remove_file(desk.path("out").join(name)).unwrap();
        desk.run_job().exits(0);
        // The store may be taken away, and the job started again.
        fs::remove_file(desk.path("out/runs.sqlite")).unwrap();
        desk.run_job().exits(0);
    }
}

#[test]
fn a_results_folder_may_itself_be_a_link() {
    let desk = Desk::with_job(JOB);
    fs::create_dir(desk.path("scratch")).unwrap();
    symlink(desk.path("scratch"), desk.path("out")).unwrap();
    desk.run_job().exits(0);
    assert!(desk.path("scratch/runs.sqlite").is_file());
}

#[test]
fn fresh_moves_what_gridmpi_made_and_nothing_else() {
    let desk = Desk::with_job(JOB);
    let digest = "ab".repeat(32);
    let mine = [
        "data/a.csv",
        ".git/HEAD",
        "notes.txt",
        "large/mine",
        "superseded-x/y",
        "earlier-1/runs.sqlite",
    ];
    for name in mine {
        desk.write(name, "mine");
    }
    desk.run(gridmpi(), &["job.toml", "--out", "."]).exits(0);
    desk.run(gridmpi(), &["report", "."]).exits(0);
    desk.write(&format!("large/{digest}"), "a value");
    desk.run(gridmpi(), &["job.toml", "--out", ".", "--fresh"]).exits(0);
    for name in mine.into_iter().chain(["job.toml"]) {
        assert!(desk.path(name).is_file(), "{name}");
    }
    for name in [
        "runs.sqlite",
        "summary.json",
        "summary.csv",
        "status.json",
        "report.html",
        &format!("large/{digest}"),
    ] {
        assert!(desk.path("earlier-2").join(name).is_file(), "{name}");
    }
    assert!(desk.path("runs.sqlite").is_file() && !desk.path("report.html").exists());
}

#[test]
fn a_job_file_cannot_name_a_folder_elsewhere() {
    for file in ["..toml", "...toml"] {
        let desk = Desk::new();
        desk.write(file, JOB);
        let ran = desk.run(gridmpi(), &[file]).exits(2);
        assert!(ran.stderr.contains("add name ="), "{}", ran.stderr);
        assert_eq!(fs::read_dir(desk.path("")).unwrap().count(), 1, "{file}");
        desk.write(file, &format!("name = \"ok\"\n{JOB}"));
        desk.run(gridmpi(), &[file]).exits(0);
    }
    for name in ["..", ".", "../x", "a/b", "/tmp/x", ""] {
        let desk = Desk::with_job(&format!("name = \"{name}\"\n{JOB}"));
        let ran = desk.run(gridmpi(), &["job.toml"]).exits(2);
        assert!(ran.stderr.contains("names no folder"), "{}", ran.stderr);
    }
}

#[test]
fn no_verb_writes_over_stored_runs() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\n",
    );
    desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(0);
    symlink("out/runs.sqlite", desk.path("link.csv")).unwrap();
    symlink("out", desk.path("other")).unwrap();
    let before = fs::read(desk.path("out/runs.sqlite")).unwrap();
    for to in [
        "out/runs.sqlite",
        "out/.lock",
        "link.csv",
        "other/runs.sqlite",
        "./out/../out/runs.sqlite",
    ] {
        for verb in [&["export", "out", "--format", "csv"][..], &["report", "out"]] {
            let ran = desk.run(gridmpi(), &[verb, &["--to", to]].concat()).exits(2);
            let says = format!("{to}: not written: the runs of a results folder are kept in it");
            assert!(ran.stderr.contains(&says), "{}", ran.stderr);
        }
    }
    assert_eq!(fs::read(desk.path("out/runs.sqlite")).unwrap(), before);
    desk.run(gridmpi(), &["export", "out", "--format", "csv", "--to", "out/runs.csv"]).exits(0);
}
