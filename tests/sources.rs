//! Points from files and tables: what a glob pattern finds, and what a cell of a CSV file is.

mod common;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use common::{Desk, Ran, gridmpi};
use serde_json::{Value as Json, json};

/// A job over `source` whose result is the list of its points.
fn write_job(desk: &Desk, source: &str) {
    desk.write("fit.py", "def crunch(x):\n    return {'x': x}\n");
    let crunch = "[crunch]\nscore = 's'\npython = 'fit.py:crunch'\n";
    let job = format!("{crunch}[[loop]]\nname = 'x'\n{source}\nreduce = 'all'\n");
    desk.write("job.toml", &job);
}

fn run(desk: &Desk, source: &str) -> Ran {
    write_job(desk, source);
    desk.run(gridmpi(), &["job.toml", "--out", "results/x", "--fresh", "--format", "json"])
}

fn points(desk: &Desk, source: &str) -> Json {
    let ran = run(desk, source).exits(0);
    let values = ran.groups()[0]["summary"]["value"].as_array().unwrap().clone();
    values.iter().map(|value| value["x"].clone()).collect()
}

fn refused(desk: &Desk, source: &str, says: &[&str]) {
    let ran = run(desk, source).exits(2);
    for expected in says {
        assert!(ran.stderr.contains(expected), "{source}: {expected:?} is not in:\n{}", ran.stderr);
    }
}

#[test]
fn a_name_that_begins_with_a_dot_must_be_meant() {
    let desk = Desk::new();
    for file in ["d/a.csv", "d/._a.csv", "d/.hidden/b.csv", ".trash/c.csv", "d/e/f.csv"] {
        desk.write(file, "1\n");
    }
    assert_eq!(points(&desk, "files = 'd/*.csv'"), json!(["d/a.csv"]));
    assert_eq!(points(&desk, "files = '**/*.csv'"), json!(["d/a.csv", "d/e/f.csv"]));
    assert_eq!(points(&desk, "files = 'd/**'"), json!(["d/a.csv", "d/e/f.csv"]));
    assert_eq!(points(&desk, "files = 'd/.*'"), json!(["d/._a.csv"]));
    assert_eq!(
        points(&desk, "files = ['d/._a.csv', '.trash/*']"),
        json!([".trash/c.csv", "d/._a.csv"])
    );
    assert_eq!(points(&desk, "files = 'd/.hidden/?.csv'"), json!(["d/.hidden/b.csv"]));
}

#[test]
fn what_is_found_and_cannot_be_read_is_named() {
    let desk = Desk::new();
    desk.write("d/b.csv", "1\n");
    symlink("annex/objects/17", desk.path("d/a.csv")).unwrap();
    let says = "loop.x.files: d/a.csv is a link that leads nowhere (to annex/objects/17)";
    refused(&desk, "files = 'd/*.csv'", &["job.toml:6: ", says, "exclude"]);
    refused(&desk, "files = 'd/a.csv'", &[says]);
    refused(&desk, "files = '**/*.csv'", &[says]);
    assert_eq!(points(&desk, "files = 'd/*.csv'\nexclude = 'd/a.csv'"), json!(["d/b.csv"]));
    // A folder behind a link may have had files of this name.
    symlink("unmounted", desk.path("e")).unwrap();
    refused(&desk, "files = '*/b.csv'", &["e is a link that leads nowhere (to unmounted)"]);
    let ran = run(&desk, "files = '**/b.csv'").exits(0);
    assert!(
        ran.stderr.contains("e is a link that leads nowhere; if it was a folder"),
        "{}",
        ran.stderr
    );

    fs::remove_file(desk.path("d/a.csv")).unwrap();
    let name = std::ffi::OsStr::from_bytes(b"d/a\xff.csv");
    fs::write(desk.path("").join(name), "1\n").unwrap();
    refused(&desk, "files = 'd/*.csv'", &["the name \"d/a\\xFF.csv\" is not UTF-8; rename it"]);
    refused(&desk, "files = '**/a?.csv'", &["is not UTF-8"]);
    assert_eq!(points(&desk, "files = 'd/b*.csv'"), json!(["d/b.csv"]));
    fs::remove_file(desk.path("").join(name)).unwrap();

    rustix::fs::mkfifoat(rustix::fs::CWD, desk.path("d/pipe.csv"), rustix::fs::Mode::RWXU).unwrap();
    refused(
        &desk,
        "files = 'd/*.csv'",
        &["d/pipe.csv is no file but a pipe, a socket or a device"],
    );
    refused(&desk, "files = ['d/b.csv', '/dev/null']", &["/dev/null is no file"]);
    let kept = points(&desk, "files = 'd/*'\nexclude = ['d/p*.csv', 'no/such.csv']");
    assert_eq!(kept, json!(["d/b.csv"]));
}

#[test]
fn results_are_no_data() {
    let desk = Desk::new();
    desk.write("d/a.csv", "1\n");
    desk.write("d/b.csv", "1\n");
    for _ in 0..3 {
        // Also what --fresh moves aside.
        assert_eq!(points(&desk, "files = '**/*.csv'"), json!(["d/a.csv", "d/b.csv"]));
    }
    assert!(desk.path("results/x/earlier-1/summary.csv").exists());
    refused(
        &desk,
        "files = 'results/*/*.csv'",
        &["no file matches \"results/*/*.csv\"", "gridmpi's results are left out: results/x"],
    );
    // A folder that is about to become one, elsewhere.
    desk.write("deep/er/.lock", "process 7 on n1\n");
    desk.write("deep/er/e.csv", "1\n");
    assert_eq!(points(&desk, "files = '**/*.csv'"), json!(["d/a.csv", "d/b.csv"]));
    // Files in a results folder can be named; where it is a folder of data too, only gridmpi's are not data.
    assert_eq!(points(&desk, "files = 'deep/er/e.csv'"), json!(["deep/er/e.csv"]));
    write_job(&desk, "files = 'd/*'");
    for _ in 0..2 {
        let ran = desk.run(gridmpi(), &["job.toml", "--out", "d", "--format", "json"]).exits(0);
        assert_eq!(ran.groups()[0]["runs"], 2);
    }
    assert!(desk.path("d/summary.csv").exists());
}

#[test]
fn a_loop_of_links_ends_and_counts_each_file_once() {
    let desk = Desk::new();
    desk.write("a/1.csv", "1\n");
    desk.write("b/2.csv", "2\n");
    desk.write("far/away/3.csv", "3\n");
    symlink("..", desk.path("a/up")).unwrap();
    symlink("../b", desk.path("a/to")).unwrap();
    symlink("../a", desk.path("b/to")).unwrap();
    symlink("self", desk.path("b/self")).unwrap();
    let all = json!(["a/1.csv", "b/2.csv", "far/away/3.csv"]);
    assert_eq!(points(&desk, "files = '**/*.csv'"), all);
    assert_eq!(points(&desk, "files = ['a/**/*.csv', 'b/**/*.csv']"), all_through_up());
    assert_eq!(points(&desk, "files = 'b/to/*.csv'"), json!(["b/to/1.csv"]));
    // A link out of the folder is followed.
    let elsewhere = Desk::new();
    elsewhere.write("4.csv", "4\n");
    symlink(elsewhere.path(""), desk.path("far/out")).unwrap();
    let with_link = json!(["far/away/3.csv", "far/out/4.csv"]);
    assert_eq!(points(&desk, "files = 'far/**/*.csv'"), with_link);
}

/// From `a` and `b` alone, the third file is behind a link.
fn all_through_up() -> Json {
    json!(["a/1.csv", "a/up/far/away/3.csv", "b/2.csv"])
}

#[test]
fn exclude_takes_patterns_and_goes_with_files() {
    let desk = Desk::new();
    for file in ["d/a.csv", "d/b.csv", "d/old/c.csv", "old/e.csv"] {
        desk.write(file, "1\n");
    }
    for (exclude, left) in [
        ("'d/b.csv'", json!(["d/a.csv", "d/old/c.csv", "old/e.csv"])),
        ("['d/[ab].csv', './old/']", json!(["d/old/c.csv"])),
        ("'**/old'", json!(["d/a.csv", "d/b.csv"])),
        ("'d/**'", json!(["old/e.csv"])),
        ("'*.csv'", json!(["d/a.csv", "d/b.csv", "d/old/c.csv", "old/e.csv"])),
    ] {
        assert_eq!(points(&desk, &format!("files = '**/*.csv'\nexclude = {exclude}")), left);
    }
    let ran = run(&desk, "files = 'd/*.csv'\nexclude = 'd/c.csv'").exits(0);
    assert!(ran.stderr.contains("nothing that files finds matches \"d/c.csv\""), "{}", ran.stderr);
    refused(&desk, "files = 'd/*.csv'\nexclude = 'd/*'", &["no file matches"]);
    refused(&desk, "files = '*.csv'\nexclude = 'a['", &["loop.x.exclude: \"a[\" is no pattern"]);
    refused(&desk, "values = [1]\nexclude = 'a'", &["exclude: goes with 'files'", "'values'"]);
}
