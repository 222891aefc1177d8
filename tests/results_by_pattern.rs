//! `result = { pattern = '...' }` and `[crunch.result]`: the result of a program that prints it among other text, or
//! writes it to a file.

mod common;

use common::Desk;
use serde_json::json;

/// A job of this `[crunch]` over values of `x`.
fn desk(crunch: &str, values: &str, reduce: &str) -> Desk {
    let desk = Desk::with_job(&job(crunch, values, reduce));
    desk.script(
        "sim",
        r#"#!/bin/sh
echo called >> calls
cat <<END
 Program sim, version 2.1
 iteration 1   E =  0.100D+01
 iteration 2   E =  $1
 took 0.25 s
END
"#,
    );
    desk
}

fn job(crunch: &str, values: &str, reduce: &str) -> String {
    format!(
        "[crunch]\n{crunch}\n[[loop]]\nname = \"x\"\nvalues = [{values}]\nreduce = \"{reduce}\"\n"
    )
}

#[test]
fn a_pattern_finds_the_number_in_what_is_printed() {
    let values = r#""0.48D+02", "1.0-103", "-3""#;
    for (which, expected) in
        [("", json!([48.0, 1e-103, -3.0])), (", match = \"first\"", json!([1.0, 1.0, 1.0]))]
    {
        let crunch = format!(
            "command = [\"./sim\", \"{{x}}\"]\nresult = {{ pattern = '^.* E\\s*=\\s*(\\S+)$'{which} }}"
        );
        assert_eq!(desk(&crunch, values, "all").run_job().exits(0).value(), expected);
    }
}

#[test]
fn nothing_found_fails_the_run_and_shows_why() {
    let crunch = "command = [\"./sim\", \"{x}\"]\nresult = { pattern = 'drag = (\\S+)' }";
    let desk = desk(crunch, "1, 2", "max");
    desk.run_job().exits(100);
    let errors = desk.sql("SELECT replace(error, char(10), '|') FROM all_runs");
    assert!(
        errors[0]
            .starts_with("no result found: pattern 'drag = (\\S+)' in stdout: nothing matches"),
        "{errors:?}"
    );
    assert!(errors[0].contains("took 0.25 s"), "{errors:?}");
    let twice =
        "command = [\"./sim\", \"{x}\"]\nresult = { pattern = 'E = +(\\S+)', match = \"only\" }";
    desk.write("job.toml", &job(twice, "1, 2", "max"));
    desk.run(common::gridmpi(), &["job.toml", "--fresh", "--out", "out"]).exits(100);
    let errors = desk.sql("SELECT replace(error, char(10), '|') FROM all_runs");
    assert!(errors[0].contains("2 matches, where one is expected"), "{errors:?}");
}

const FILES: &str = r#"#!/bin/sh
printf 'x = %s\nE = 2.5D-1\nE = 7.5D-1 eV\n' "$1" > out.$2.dat
printf 't, cd\n0, 9\n1, %s\n2, 0.5\n' "$1" > out.$2.csv
printf '{"cells": {"count": 12, "name": "a b"}, "bad": NaN}' > out.$2.json
echo done in 3 s
"#;

#[test]
fn named_values_come_from_files_of_each_kind() {
    let crunch = r#"command = ["./write", "{x}", "{gridmpi.id}"]
score = "energy"
[crunch.result]
energy = { file = "out.{gridmpi.id}.dat", pattern = 'E\s*=\s*(\S+)' }
both = { file = "out.{gridmpi.id}.dat", pattern = 'x = (?<x>\d+)\s+E = (?<e>\S+)' }
time = { pattern = 'in (\S+) s' }
drag = { file = "out.{gridmpi.id}.csv", column = "cd", row = "last" }
second = { file = "out.{gridmpi.id}.csv", column = "cd", row = 1 }
cells = { file = "out.{gridmpi.id}.json", field = "cells.count" }
name = { file = "out.{gridmpi.id}.json", field = "cells.name" }"#;
    let desk = desk(crunch, "1, 2", "all");
    desk.script("write", FILES);
    let expected = |x: i64| {
        json!({
            "energy": 0.75, "both": { "x": x, "e": 0.25 }, "time": 3, "drag": 0.5, "second": x,
            "cells": 12, "name": "a b",
        })
    };
    assert_eq!(desk.run_job().exits(0).value(), json!([expected(1), expected(2)]));
    assert_eq!(desk.sql("SELECT score FROM all_runs"), ["0.75", "0.75"]);
}

#[test]
fn a_file_of_another_run_is_no_result() {
    let crunch = "require = 0.1\nshell = \"[ {x} = 2 ] || echo E = {x} > {gridmpi.id}.out\"\nresult = { file = \"{gridmpi.id}.out\", pattern = 'E = (.*)' }";
    let desk = desk(crunch, "1, 2", "all");
    assert_eq!(desk.run_job().exits(100).value(), json!([1.0, null]));
    let errors = desk.sql("SELECT error FROM all_runs WHERE status = 'failed'");
    assert!(errors[0].contains(".out is not there: the program did not write it"), "{errors:?}");
    // What is left of the first start is taken for nobody's result.
    desk.write("job.toml", &job(&crunch.replace("{x} = 2", "{x} = 1"), "1, 2", "all"));
    desk.run(common::gridmpi(), &["job.toml", "--fresh", "--out", "out"]).exits(100);
    let errors = desk.sql("SELECT error FROM all_runs WHERE x = 1");
    assert!(errors[0].contains("was there before this run"), "{errors:?}");
    // One name for all tasks is refused before anything runs.
    let shared =
        "shell = \"echo E = {x} > out\"\nresult = { file = \"out\", pattern = 'E = (.*)' }";
    desk.write("job.toml", &job(shared, "1, 2", "all"));
    let ran = desk.run(common::gridmpi(), &["job.toml", "--out", "new"]).exits(2);
    assert!(
        ran.stderr.contains("would share this file; all tasks run in one folder"),
        "{}",
        ran.stderr
    );
    // So are names that are not as different as the points, and names that lead out of folders of their own.
    for (file, more, why) in [
        ("o.{x:.0f}", "", "tasks 0 and 1 would share the file o.1"),
        ("{gridmpi.id:.1}", "", "would share"),
        ("../out", "workdir = true", "outside the folder of the run"),
        ("{gridmpi.job}/out", "workdir = true", "outside the folder of the run"),
    ] {
        let crunch =
            format!("shell = \"echo 1\"\nresult = {{ file = \"{file}\", pattern = 'a' }}\n{more}");
        desk.write("job.toml", &job(&crunch, "1.0, 1.25", "all"));
        let ran = desk.run(common::gridmpi(), &["job.toml", "--out", "new"]).exits(2);
        assert!(ran.stderr.contains(why), "{file}: {}", ran.stderr);
    }
    let crunch =
        "shell = \"echo E = {x} > o.{x}\"\nresult = { file = \"o.{x}\", pattern = 'E = (.*)' }";
    desk.write("job.toml", &job(crunch, "1, 2", "all"));
    let ran =
        desk.run(common::gridmpi(), &["job.toml", "--out", "named", "--format", "json"]).exits(0);
    assert_eq!(ran.value(), json!([1.0, 2.0]));
}

#[test]
fn of_output_that_is_too_long_no_half_a_line_is_taken() {
    let long = "head -c $((16*1024*1024 - 5)) /dev/zero | tr '\\\\0' x";
    let crunch =
        format!("shell = \"echo 123456789; {long}; echo\"\nresult = {{ pattern = '^\\d+$' }}");
    let desk = Desk::with_job(&job(&crunch, "1", "all"));
    desk.run_job().exits(100);
    let errors = desk.sql("SELECT error FROM all_runs");
    assert!(errors[0].contains("nothing matches"), "{errors:?}");
}

#[test]
fn what_cannot_be_found_is_refused_before_anything_runs() {
    for (result, why) in [
        ("result = {}", "found nothing"),
        ("result = { match = \"last\" }", "it is not said how it is found"),
        ("result = { pattern = 'a', field = \"b\" }", "by its pattern already"),
        ("result = { pattern = '(a)(b)' }", "it has 2 groups: name them"),
        ("result = { pattern = '(a' }", "no pattern"),
        ("result = { pattern = 'a', match = \"second\" }", "\"first\", \"last\" or \"only\""),
        ("result = { column = \"a\", row = -1 }", "the number of a row"),
        ("result = { pattern = 'a', file = \"{y}\" }", "names no loop"),
        ("result = { a = { pattern = 'a' }, b = 1 }", "each is a table"),
        (
            "result = { a = { pattern = 'a' } }",
            "none of its values is the score, \"score\" (they are a)",
        ),
        ("result = { pattern = '(?<a>a)' }", "none of its values is the score"),
        ("result = { pattern = 'a', mach = \"last\" }", "did you mean 'match'?"),
    ] {
        let desk = desk(&format!("command = [\"./sim\", \"{{x}}\"]\n{result}"), "1", "max");
        let ran = desk.run_job().exits(2);
        assert!(
            ran.stderr.contains(why) && ran.stderr.contains("job.toml:"),
            "{result}: {}",
            ran.stderr
        );
    }
    let ran = desk("builtin = \"multiply\"\nresult = { pattern = 'a' }", "1", "max").run_job();
    assert!(ran.exits(2).stderr.contains("only a command or a shell line"));
}

#[test]
fn another_way_to_find_it_is_another_crunch() {
    let with =
        |result: &str| job(&format!("command = [\"./sim\", \"{{x}}\"]\n{result}"), "1, 2", "max");
    let desk =
        desk("command = [\"./sim\", \"{x}\"]\nresult = { pattern = 'E = +(.*)$' }", "1, 2", "max");
    desk.run_job().exits(0);
    assert_eq!(desk.calls().len(), 2);
    for other in [
        "result = { pattern = 'E = +(.*)$', match = \"first\" }",
        "result = { pattern = 'took (\\S+)' }",
        "",
    ] {
        desk.write("job.toml", &with(other));
        let ran = desk.run_job().exits(2);
        assert!(
            ran.stderr.contains("crunch has changed from")
                && ran.stderr.contains("result { pattern = ")
                && (other.is_empty() || ran.stderr.contains("from stdout, which is not kept")),
            "{}",
            ran.stderr
        );
    }
    desk.write("job.toml", &with("result = { pattern = 'E = +(.*)$' }"));
    desk.run_job().exits(0);
    assert!(desk.calls().is_empty());
}
