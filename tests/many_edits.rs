//! A job that is edited again and again under mpirun: what the store has grows with the edits, and not faster.

mod common;

use std::collections::BTreeSet;

use common::{Desk, mpirun};

const EDITS: i64 = 24;

/// Starts the job after its n-th edit: one more point of the outer loop, and an inner loop that is long or short.
fn edit(desk: &Desk, n: i64) {
    let inner = if n % 2 == 0 { "[1, 2]" } else { "[1, 2, 3]" };
    desk.write(
        "job.toml",
        &format!(
            "[crunch]\nshell = \"echo {{x}}.{{y}} >> calls; echo {{x}}\"\n\
             [[loop]]\nname = \"x\"\nrange = {{ from = 0, to = {n} }}\nreduce = \"sum\"\n\
             [[loop]]\nname = \"y\"\nvalues = {inner}\nreduce = \"sum\"\n"
        ),
    );
    desk.run(mpirun(3), &["job.toml", "--out", "out"]).exits(0);
}

/// The names of what is in the results folder, and the bytes of it.
fn folder(desk: &Desk) -> (BTreeSet<String>, u64) {
    let entries = std::fs::read_dir(desk.path("out")).unwrap().map(Result::unwrap);
    let mut all = (BTreeSet::new(), 0);
    for entry in entries {
        all.0.insert(entry.file_name().into_string().unwrap());
        all.1 += entry.metadata().unwrap().len();
    }
    all
}

fn number(desk: &Desk, sql: &str) -> i64 {
    desk.sql(sql)[0].parse().unwrap()
}

#[test]
fn a_job_that_is_edited_often_has_one_store_that_grows_with_the_edits() {
    let desk = Desk::new();
    desk.write("calls", "");
    let (mut calls, mut first, mut half) = (BTreeSet::new(), BTreeSet::new(), 0);
    for n in 1..=EDITS {
        edit(&desk, n);
        // Nothing is computed twice, and each summary is what it would be in a store of its own.
        let inner = if n % 2 == 0 { 2 } else { 3 };
        for call in desk.calls() {
            assert!(calls.insert(call.clone()), "{call} was computed before, at edit {n}");
        }
        let sum = (inner * n * (n - 1) / 2) as f64;
        let whole = desk.sql("SELECT count(*), sum(score) FROM all_runs");
        assert_eq!(whole, [format!("{}|{sum:.1}", inner * n)], "edit {n}");
        assert_eq!(desk.sql("SELECT score FROM groups WHERE level = 0"), [format!("{sum:.1}")]);
        let (names, size) = folder(&desk);
        match n {
            2 => first = names,
            // The same files throughout: none is left over.
            _ if n > 2 => assert_eq!(names, first, "edit {n}"),
            _ => {}
        }
        if n == EDITS / 2 {
            half = size;
        }
    }
    assert_eq!(number(&desk, "SELECT count(*) FROM starts"), EDITS);
    // A row for each thread that gave a result in a start: at most two ranks.
    let workers = number(&desk, "SELECT count(*) FROM workers");
    assert!((EDITS / 2..=2 * EDITS).contains(&workers), "{workers} workers");
    let size = folder(&desk).1;
    assert!(size <= 2 * half, "{half} bytes after half of the edits, {size} after all");
}
