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
    desk.write("d-e.csv", "1\n");
    let as_text = json!(["d-e.csv", "d/a.csv", "d/e/f.csv"]);
    assert_eq!(points(&desk, "files = ['d/**', 'd-e.csv']"), as_text);
    assert_eq!(points(&desk, "files = 'd/.*'"), json!(["d/._a.csv"]));
    assert_eq!(
        points(&desk, "files = ['d/._a.csv', '.trash/*']"),
        json!([".trash/c.csv", "d/._a.csv"])
    );
    assert_eq!(points(&desk, "files = 'd/.hidden/?.csv'"), json!(["d/.hidden/b.csv"]));
}

#[test]
fn a_class_of_letters_is_negated_as_in_shells() {
    let desk = Desk::new();
    for file in ["d/a1.csv", "d/b1.csv", "d/c1.csv"] {
        desk.write(file, "1\n");
    }
    for pattern in ["d/[^a]*.csv", "d/[!a]*.csv"] {
        assert_eq!(points(&desk, &format!("files = '{pattern}'")), json!(["d/b1.csv", "d/c1.csv"]));
    }
    let excluding = "files = 'd/*.csv'\nexclude = 'd/[^b]1.csv'";
    assert_eq!(points(&desk, excluding), json!(["d/b1.csv"]));
}

#[test]
fn one_file_under_two_names_is_said() {
    let desk = Desk::new();
    desk.write("d/a.csv", "1\n");
    symlink("a.csv", desk.path("d/b.csv")).unwrap();
    for (files, says) in [
        ("'d/*.csv'", "d/a.csv and d/b.csv are the same file"),
        ("['d/a.csv', 'd/../d/a.csv']", "d/../d/a.csv and d/a.csv are the same file"),
    ] {
        let ran = run(&desk, &format!("files = {files}")).exits(0);
        assert_eq!(ran.groups()[0]["runs"], 2);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    let ran = run(&desk, "files = 'd/*.csv'\nexclude = 'd/b.csv'").exits(0);
    assert!(!ran.stderr.contains("same file"), "{}", ran.stderr);
    refused(&desk, "files = 'd/a.csv'\nexclude = 'd/*'", &["exclude leaves it out"]);
}

#[test]
fn equal_points_of_one_loop_are_said() {
    let desk = Desk::new();
    desk.write("t.csv", "a,b\n1,x\n2,y\n1.0,x\n");
    for (source, count, says) in [
        ("values = [1, 1.0, 1]", 3, "loop.x.values: 1 and 1.0 are equal (and 1 more)"),
        ("values = ['a', 'b', 'a']", 3, "\"a\" is there more than once"),
        ("grid = { a = [1, 2, 1], b = [1, 1] }", 6, "1 of 'a' is there more than once"),
        ("zip = { a = [1, 2, 1], b = [1, 3, 1] }", 3, "{\"a\":1,\"b\":1} is there more than once"),
        ("grids = [{ a = [1, 2] }, { a = [2, 3] }]", 4, "{\"a\":2} is there more than once"),
        ("rows = 't.csv'", 3, "{\"a\":1,\"b\":\"x\"} and {\"a\":1.0,\"b\":\"x\"} are equal"),
        ("linspace = { from = 2, to = 2, count = 2 }", 2, "2.0 is there more than once"),
    ] {
        let ran = run(&desk, source).exits(0);
        assert_eq!(ran.groups()[0]["runs"], count, "{source}");
        let said = ran.stderr.lines().find(|line| line.contains("job.toml:6: loop.x."));
        assert!(said.is_some_and(|said| said.contains(says)), "{source}: {}", ran.stderr);
    }
    for source in [
        "values = [1, '1', true, [1], { a = 1 }, 1.5]",
        "grid = { a = [1, 2], b = [1, 2] }",
        "zip = { a = [1, 1], b = [1, 2] }",
        "random = { count = 9, x = { choice = [1, 2] } }",
    ] {
        let ran = run(&desk, source).exits(0);
        assert!(!ran.stderr.contains("more than once"), "{source}: {}", ran.stderr);
    }
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

/// The points of `rows = "t.csv"` if this is the table.
fn rows(desk: &Desk, table: &str) -> Json {
    desk.write("t.csv", table);
    points(desk, "rows = 't.csv'")
}

#[test]
fn identifiers_stay_text_and_numbers_numbers() {
    let desk = Desk::new();
    let table = "id,n,x,on\n001,1,1.50,TRUE\n1e5,-2,1e-3,FALSE\n12345678901234567890,3,+4,TRUE\n";
    let expected = json!([
        { "id": "001", "n": 1, "x": 1.5, "on": "TRUE" },
        { "id": "1e5", "n": -2, "x": 0.001, "on": "FALSE" },
        { "id": "12345678901234567890", "n": 3, "x": 4, "on": "TRUE" },
    ]);
    assert_eq!(rows(&desk, table), expected);
    let told = "rows = { file = 't.csv', numbers = 'id', text = ['n', 'x'] }";
    let numbers = points(&desk, told);
    assert_eq!((&numbers[0]["id"], &numbers[1]["id"]), (&json!(1), &json!(1e5)));
    assert_eq!((&numbers[0]["x"], &numbers[1]["n"]), (&json!("1.50"), &json!("-2")));
}

#[test]
fn an_empty_cell_among_numbers_is_none() {
    let desk = Desk::new();
    assert_eq!(
        rows(&desk, "k,ozone,who\n1,41,NA\n2,,b\n3,NA,\n4,12.5,c\n"),
        json!([
            { "k": 1, "ozone": 41, "who": "NA" },
            { "k": 2, "ozone": null, "who": "b" },
            { "k": 3, "ozone": null, "who": "" },
            { "k": 4, "ozone": 12.5, "who": "c" },
        ])
    );
    desk.write("t.csv", "k\n1\n-999\nNA\n");
    assert_eq!(
        points(&desk, "rows = { file = 't.csv', na = ['NA', '-999'] }")[1]["k"],
        json!(null)
    );
    assert_eq!(points(&desk, "rows = { file = 't.csv', na = '-999' }")[0]["k"], json!("1"));
    let numbers = "rows = { file = 't.csv', numbers = 'k', na = '-999' }";
    let says = [
        "t.csv: line 4, column 'k': expected a finite number, found \"NA\"",
        "na = [\"\", \"NA\"]",
    ];
    refused(&desk, numbers, &says);
}

#[test]
fn a_command_gets_the_cells_own_text() {
    let desk = Desk::new();
    desk.write("t.csv", "id,x,e,n\n007,1.50,1E+5,\n008,2,+1e-3,3\n");
    let job = "[crunch]\nshell = \"echo {n} {c.id} {c.x} {c.e} {c.n} >> seen; echo {c.x}\"\n\
               [[loop]]\nname = \"n\"\nvalues = [1.50]\n[[loop]]\nname = \"c\"\nrows = \"t.csv\"\n";
    desk.write("job.toml", job);
    desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out"]).exits(0);
    let seen = fs::read_to_string(desk.path("seen")).unwrap();
    assert_eq!(seen, "1.5 007 1.50 1E+5 \n1.5 008 2 +1e-3 3\n");
    let explained = desk.run(gridmpi(), &["explain", "out", "0"]).exits(0).stdout;
    assert!(explained.contains("gridmpi_c_x=1.50 gridmpi_c_e=1E+5"), "{explained}");
    assert_eq!(
        desk.sql("SELECT typeof(\"c.x\"), \"c.x\" FROM all_runs"),
        ["real|1.5", "integer|2"]
    );
    // As an argument, and over MPI, where the table travels.
    desk.write(
        "job.toml",
        &job.replace(
            "shell = \"echo {n} {c.id} {c.x} {c.e} {c.n} >> seen; echo {c.x}\"",
            "command = [\"./c\", \"{c.x}\", \"{c.n}\", \"{c}\"]",
        ),
    );
    desk.script("c", "#!/bin/sh\necho \"$1|$2|$3\" >> seen2; echo 1\n");
    desk.run(common::mpirun(2), &["job.toml", "--out", "mpi"]).exits(0);
    let seen = fs::read_to_string(desk.path("seen2")).unwrap();
    assert!(
        seen.starts_with("1.50||{\"id\":\"007\",\"x\":1.5,\"e\":100000.0,\"n\":null}\n2|3|"),
        "{seen}"
    );
}

#[test]
fn tables_of_another_make_are_read_when_told_and_guessed_at_when_not() {
    let desk = Desk::new();
    desk.write("t.csv", "who;x\nJosé;1,5\nb;-2\n");
    let line = "loop.x.rows: t.csv: line 1 has one column; separated by \";\"? Then rows = { file = \"t.csv\", delimiter = \";\" }";
    refused(&desk, "rows = 't.csv'", &["job.toml:6: ", line]);
    let semicolon = "rows = { file = 't.csv', delimiter = ';' }";
    refused(
        &desk,
        semicolon,
        &["line 2, column 'x': 1,5 with a decimal comma?", "decimal = \",\""],
    );
    let expected = json!([{ "who": "José", "x": 1.5 }, { "who": "b", "x": -2 }]);
    let german = "rows = { file = 't.csv', delimiter = ';', decimal = ',' }";
    assert_eq!(points(&desk, german), expected);
    let german_as = |encoding: &str| german.replace(" }", &format!(", encoding = '{encoding}' }}"));
    fs::write(desk.path("t.csv"), b"who;x\nJos\xe9;1,5\nb;-2\n").unwrap();
    refused(
        &desk,
        german,
        &["t.csv: line 2 is not UTF-8; Latin-1? Then", "encoding = \"latin-1\""],
    );
    assert_eq!(points(&desk, &german_as("latin-1")), expected);
    refused(&desk, &german_as("latin-77"), &["no encoding \"latin-77\""]);
    let utf16: Vec<u8> =
        "\u{feff}who;x\r\nJosé;1,5\r\nb;-2\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(desk.path("t.csv"), utf16).unwrap();
    refused(&desk, german, &["it begins as UTF-16LE does; say rows = { file"]);
    assert_eq!(points(&desk, &german_as("utf-16")), expected);
    for (start, says) in [
        (&b"\x1f\x8b\x08\0"[..], "gzipped? Unpack it: gunzip"),
        (b"\x04\x22\x4d\x18d", "compressed? Unpack it: unlz4"),
        (b"\xd0\xcf\x11\xe0\xa1", "an old workbook? Save it as CSV"),
        (b"PAR1\x15", "Parquet? Save it as CSV"),
        (b"\x89HDF\r\n", "HDF5? Save it as CSV"),
        (b"\x93NUMPY", "an array of NumPy's?"),
        (b"SQLite format 3\0", "a database?"),
        (b"\xff\0\xe9\0", "has bytes of zero"),
    ] {
        fs::write(desk.path("t.csv"), [start, b"rest"].concat()).unwrap();
        refused(&desk, german, &[&format!("t.csv: {says}")]);
    }
    desk.write("t.csv", "who;x\na;1.5\nb;2\n");
    refused(&desk, german, &["line 2, column 'x': 1.5 has a point, where decimal says"]);
    desk.write("t.csv", "who;x\na;1.000,5\nb;2\n");
    refused(
        &desk,
        german,
        &["line 2, column 'x': \"1.000,5\" is a number with signs", "write 1000.5"],
    );
    fs::write(desk.path("t.csv"), "a\tb\n1\t2\n").unwrap();
    refused(&desk, "rows = 't.csv'", &["separated by \"\\t\"?"]);
    assert_eq!(
        points(&desk, "rows = { file = 't.csv', delimiter = '\t' }"),
        json!([{ "a": 1, "b": 2 }])
    );
}

#[test]
fn tables_that_cannot_be_understood() {
    let desk = Desk::new();
    desk.write("t.csv", "id,x\n2,1\n1e5,2\n");
    let says = [
        "line 3, column 'id': 1e5 can be a number or a name",
        "text = [\"id\"]",
        "numbers = [\"id\"]",
    ];
    refused(&desk, "rows = 't.csv'", &says);
    assert_eq!(points(&desk, "rows = { file = 't.csv', text = ['id'] }")[1]["id"], json!("1e5"));
    for (keys, says) in [
        ("text = 'idd'", "t.csv has no column 'idd'; did you mean 'id'? (columns: id, x)"),
        ("text = 'id', numbers = 'id'", "column 'id' is in 'text' and in 'numbers'"),
        ("delimiter = ';;'", "loop.x.rows.delimiter: expected one character"),
        ("decimal = ';'", "decimal: expected \".\" or \",\""),
        ("delimeter = ';'", "no key here; did you mean 'delimiter'?"),
    ] {
        refused(&desk, &format!("rows = {{ file = 't.csv', {keys} }}"), &[says]);
    }
    desk.write("t.csv", "id,x\n");
    refused(&desk, "rows = 't.csv'", &["t.csv: there are no rows below line 1"]);
    // A table without a header.
    desk.write("t.csv", "1.5,2\n3,4\n");
    let ran = run(&desk, "rows = 't.csv'").exits(0);
    let says = "t.csv: line 1 has numbers alone (1.5, 2), and is taken as the names of the columns";
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    desk.write("t.csv", "year,1990\n3,4\n");
    let ran = run(&desk, "rows = 't.csv'").exits(0);
    assert!(!ran.stderr.contains("numbers alone"), "{}", ran.stderr);
    refused(
        &desk,
        "rows = { fil = 't.csv' }",
        &["'loop.x.rows.file' is missing; is 'fil' meant for it?"],
    );
    rustix::fs::mkfifoat(rustix::fs::CWD, desk.path("pipe"), rustix::fs::Mode::RWXU).unwrap();
    refused(&desk, "rows = 'pipe'", &["pipe: it is a named pipe, not a file"]);
}

#[test]
fn a_quote_that_nothing_closes_swallows_no_rows() {
    let desk = Desk::new();
    for (table, line) in [
        ("k,who\n1,a\n2,\"b\n3,c\n4,d\n", 3),
        ("k,\"who\n1,a\n", 1),
        ("k,who\r\n1,a\r\n2,\"\"\"b\r\n", 3),
    ] {
        desk.write("t.csv", table);
        let says = format!("t.csv: line {line} opens a quote (\") that nothing closes");
        refused(&desk, "rows = 't.csv'", &[&says]);
    }
    let table = "k,who\n1,\"two\nlines\"\n2,5\" tall\n3,\"say \"\"x\"\"\"\n";
    let whole = rows(&desk, table);
    assert_eq!(
        [&whole[0]["who"], &whole[1]["who"], &whole[2]["who"]],
        [&json!("two\nlines"), &json!("5\" tall"), &json!("say \"x\"")]
    );
}

#[test]
fn what_makes_text_of_numbers_is_named() {
    let desk = Desk::new();
    for cell in ["-", "?", ".", "--", "#N/A", "#DIV/0!", "1e400", "-inf"] {
        desk.write("t.csv", &format!("k,ozone\n1,41\n2,{cell}\n3,12.5\n"));
        let says = format!("line 3, column 'ozone': expected a finite number, found \"{cell}\"");
        refused(&desk, "rows = 't.csv'", &[&says, &format!("na = [\"\", \"{cell}\"]")]);
        let none = points(&desk, &format!("rows = {{ file = 't.csv', na = ['', '{cell}'] }}"));
        assert_eq!(none[1]["ozone"], json!(null), "{cell}");
    }
    let text = |cells: &str, warns: bool| {
        desk.write("t.csv", &format!("ozone\n{cells}\n"));
        let ran = run(&desk, "rows = 't.csv'").exits(0);
        let warned =
            ran.stderr.contains("t.csv: all cells of column 'ozone' are text, because line");
        assert_eq!(warned, warns, "{cells}: {}", ran.stderr);
    };
    text("41\nbroken\n12.5", true);
    text("41\nbroken\nlost", false);
    text("41\n007\nA1\n5\n6", false);
    text("a\nb", false);
    text("1\n2", false);
}

#[test]
fn patterns_that_overlap_and_patterns_that_are_none() {
    let desk = Desk::new();
    desk.write("d/a[1].csv", "1\n");
    desk.write("d/b.csv", "1\n");
    assert_eq!(
        points(&desk, "files = ['d/b.csv', 'd/*.csv', 'd/b*']"),
        json!(["d/a[1].csv", "d/b.csv"])
    );
    for (pattern, says) in [
        ("d/a[1].csv", "there is a file of that very name: write * ? [ in names as [*] [?] [[]"),
        ("d", "that is a folder: add /*"),
        ("d/{a,b}*.csv", "braces are no pattern here"),
        ("~/*.csv", "~ and variables are not filled in"),
        ("$DATA/*.csv", "~ and variables are not filled in"),
    ] {
        refused(&desk, &format!("files = '{pattern}'"), &[says]);
    }
    assert_eq!(points(&desk, "files = 'd/a[[]1].csv'"), json!(["d/a[1].csv"]));
}

#[test]
fn points_are_finite() {
    let desk = Desk::new();
    for (source, says) in [
        ("linspace = { from = -1e308, to = 1e308, count = 3 }", "are too far apart"),
        (
            "random = { count = 2, x = { uniform = { from = -1e308, to = 1e308 } } }",
            "too far apart",
        ),
        (
            "random = { count = 2, x = { loguniform = { from = 1e300, to = 1.0000000000000002e300 } } }",
            "too close to each other",
        ),
        ("random = { count = 2, x = { normal = { mean = 1.7e308, sd = 1e308 } } }", "infinite"),
        ("random = { count = 2, x = { lognormal = { mean = 0, sd = 1000 } } }", "infinite"),
    ] {
        refused(&desk, source, &["job.toml:6: loop.x.", says]);
    }
    points(&desk, "random = { count = 9, x = { lognormal = { mean = -900, sd = 60 } } }");
}
