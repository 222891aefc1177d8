//! `folder`, and `version` of `[crunch]` and of loops: what a job file says in place of what gridmpi can see.

mod common;

use common::{Desk, gridmpi};

const FIT: &str = "def crunch(x):\n    open('calls', 'a').write(f'{x}\\n')\n    return len(x) if isinstance(x, str) else x\n";

fn desk(version: &str, points: &str) -> Desk {
    let desk = Desk::new();
    desk.write("fit.py", FIT);
    desk.write("calls", "");
    rewrite(&desk, version, points);
    desk
}

fn rewrite(desk: &Desk, version: &str, points: &str) {
    let job = format!(
        "[crunch]\npython = \"fit.py:crunch\"\n{version}\n[[loop]]\nname = \"x\"\n{points}\n"
    );
    desk.write("job.toml", &job);
}

#[test]
fn a_version_counts_in_place_of_the_files_of_functions() {
    let desk = desk("version = \"1\"", "values = [1, 2]");
    desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["1", "2"]);
    desk.write("fit.py", &format!("# a comment\n{FIT}"));
    desk.run_job().exits(0);
    assert!(desk.calls().is_empty(), "the file does not count");
    rewrite(&desk, "version = \"2\"", "values = [1, 2]");
    let refused = desk.run_job().exits(2);
    assert!(refused.stderr.contains("version has changed from `1` to `2`"), "{}", refused.stderr);
    rewrite(&desk, "", "values = [1, 2]");
    let refused = desk.run_job().exits(2).stderr;
    assert!(refused.contains("crunch has changed from `python by version`"), "{refused}");
}

#[test]
fn the_part_of_a_version_that_has_changed_is_named() {
    let desk = desk("version = { crunch = \"a\", SCALE = \"3\" }", "values = [1, 2]");
    desk.run_job().exits(0);
    rewrite(&desk, "version = { crunch = \"a\", SCALE = \"4\" }", "values = [1, 2]");
    let refused = desk.run_job().exits(2).stderr;
    assert!(refused.contains("SCALE has changed from `3` to `4`"), "{refused}");
    // A part that is gone, one that is new, and one text in place of the table are changes, too.
    for (version, said) in [
        ("{ crunch = \"a\" }", "SCALE, which was `3`, is gone from version"),
        ("{ crunch = \"a\", SCALE = \"3\", unit = \"m\" }", "unit, `m`, is new in version"),
        (
            "\"1\"",
            "version was a table of SCALE, crunch and is the text `1`, which cannot be compared",
        ),
    ] {
        rewrite(&desk, &format!("version = {version}"), "values = [1, 2]");
        let refused = desk.run_job().exits(2).stderr;
        assert!(refused.contains(said), "{refused}");
        assert!(refused.contains("--keep uses") && refused.contains("--fresh moves"), "{refused}");
    }
    rewrite(&desk, "", "values = [1, 2]");
    let refused = desk.run_job().exits(2).stderr;
    assert!(refused.contains("version is gone"), "{refused}");
    assert_eq!(desk.calls(), ["1", "2"]);
}

#[test]
fn a_part_that_comes_back_with_another_text_is_another_crunch() {
    let desk = desk("", "values = [1, 2]");
    desk.run_job().exits(0);
    let versions = [
        ("{ model = \"1\", units = \"SI\" }", "version is new"),
        ("{ units = \"SI\" }", "model, which was `1`, is gone from version"),
        ("{ model = \"2\", units = \"SI\" }", "model, `2`, is new in version"),
    ];
    desk.write("calls", "");
    for (version, said) in versions {
        rewrite(&desk, &format!("version = {version}"), "values = [1, 2]");
        let refused = desk.run_job().exits(2).stderr;
        assert!(refused.contains(said), "{refused}");
        // Runs that are kept are those of an earlier crunch.
        desk.run(gridmpi(), &["job.toml", "--out", "out", "--keep"]).exits(0);
        let status = desk.says(&["status", "out"]);
        assert!(status.contains("2 of 2 runs were made by an earlier crunch"), "{status}");
    }
    assert!(desk.calls().is_empty());
}

#[test]
fn modules_count_beside_a_table_and_not_beside_a_text() {
    for (version, code) in [("\"1\"", 0), ("{ crunch = \"a\" }", 2)] {
        let desk = desk(&format!("version = {version}"), "values = [1]");
        desk.write("helpers.py", "");
        let fit = format!("import importlib\nimportlib.import_module('helpers')\n{FIT}");
        desk.write("fit.py", &fit);
        desk.run_job().exits(0);
        desk.write("fit.py", &format!("{fit}# a comment\n"));
        desk.run_job().exits(0);
        desk.write("helpers.py", "SCALE = 2\n");
        let second = desk.run_job().exits(code).stderr;
        assert!(code == 0 || second.contains("helpers.py has changed"), "{second}");
    }
}

#[test]
fn a_point_of_another_version_is_computed_anew_and_others_stay() {
    let points = |second: &str| {
        format!("values = [\"a\", \"bb\"]\nversion = {{ a = \"1\", bb = \"{second}\" }}")
    };
    let desk = desk("", &points("1"));
    desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["a", "bb"]);
    rewrite(&desk, "", &points("2"));
    desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["bb"]);
    rewrite(&desk, "", "values = [\"a\", \"bb\"]\nversion = { c = \"1\" }");
    let wrong = desk.run_job().exits(2).stderr;
    assert!(wrong.contains("the loop has no point \"c\""), "{wrong}");
}

/// The first version of a point, another one, and none are changes of what the point stands for. Each comes back with its
/// runs.
#[test]
fn a_version_counts_from_when_it_is_given_until_it_is_taken_away() {
    let desk = desk("", "");
    for (version, calls) in [
        ("a = \"1\"", vec!["a", "bb"]),
        ("a = \"1\", bb = \"1\"", vec!["bb"]),
        ("a = \"1\", bb = \"1\"", vec![]),
        ("a = \"1\", bb = \"2\"", vec!["bb"]),
        ("a = \"1\", bb = \"3\"", vec!["bb"]),
        ("bb = \"3\"", vec!["a"]),
        ("bb = \"3\"", vec![]),
        ("a = \"2\", bb = \"3\"", vec!["a"]),
        ("a = \"2\"", vec![]),
        ("a = \"2\", bb = \"2\"", vec![]),
    ] {
        let points = format!("values = [\"a\", \"bb\"]\nversion = {{ {version} }}");
        rewrite(&desk, "version = \"1\"", &points);
        let planned = desk.says(&["plan", "job.toml", "--out", "out"]);
        let reused = format!("{} of 2 runs are there and would be reused", 2 - calls.len());
        assert!(calls.len() == 2 || planned.contains(&reused), "{version}: {planned}");
        desk.run_job().exits(0);
        assert_eq!(desk.calls(), calls, "{version}");
    }
}

/// A file that a run has written where its point names one does not count, as without a version.
#[test]
fn a_file_that_a_run_writes_does_not_count_beside_a_version() {
    let points =
        |version: &str| format!("values = [\"new.txt\", \"old.txt\"]\nversion = {version}");
    let desk = desk("", &points("{ \"new.txt\" = \"1\" }"));
    desk.write("old.txt", "1");
    let fit = "def crunch(x):\n    open('calls', 'a').write(f'{x}\\n')\n    open('new.txt', 'a').write(x)\n    return 1\n";
    desk.write("fit.py", fit);
    desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["new.txt", "old.txt"]);
    desk.run_job().exits(0);
    assert!(desk.calls().is_empty());
    rewrite(&desk, "", &points("{ \"new.txt\" = \"2\", \"old.txt\" = \"1\" }"));
    desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["new.txt", "old.txt"]);
    desk.write("old.txt", "2");
    desk.run_job().exits(0);
    assert_eq!(desk.calls(), ["old.txt"]);
}

#[test]
fn paths_are_relative_to_the_folder_that_a_job_names() {
    let desk = desk("", "files = \"*.csv\"");
    desk.write("a.csv", "1");
    let text = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    desk.write("jobs/below/job.toml", &format!("folder = \"../..\"\n{text}"));
    desk.run(gridmpi(), &["jobs/below/job.toml", "--out", "out"]).exits(0);
    assert_eq!(desk.calls(), ["a.csv"]);
    let by_hand = desk.says(&["explain", "out", "0"]);
    assert!(by_hand.contains("jobs/below/job.toml --only"), "{by_hand}");
    desk.write("jobs/below/job.toml", &format!("folder = \"none\"\n{text}"));
    let wrong = desk.run(gridmpi(), &["jobs/below/job.toml", "--out", "out"]).exits(2).stderr;
    assert!(wrong.contains("job.toml:1: folder: there is no folder"), "{wrong}");
}

#[test]
fn a_version_of_what_has_none_is_refused() {
    for (crunch, said) in [
        ("builtin = \"multiply\"\nversion = \"1\"", "only a Python function has a version"),
        ("python = \"fit.py:crunch\"\nversion = 3", "expected a string"),
        ("python = \"fit.py:crunch\"\nversion = {}", "expected a part or more"),
    ] {
        let desk =
            Desk::with_job(&format!("[crunch]\n{crunch}\n[[loop]]\nname = \"x\"\nvalues = [1]\n"));
        desk.write("fit.py", FIT);
        let wrong = desk.run_job().exits(2).stderr;
        assert!(wrong.contains(said), "{wrong}");
    }
}
