//! Tables as points: what looks like numbers and is none is never text without a word, and a file that is no table
//! is called what it is.

mod common;

use common::{Desk, Ran, gridmpi};

/// Runs a job over the rows of this file; crunch returns its row.
fn run(content: &[u8], rows: &str) -> Ran {
    let desk = Desk::with_job(&format!(
        "[crunch]\npython = \"fit.py:crunch\"\n[[loop]]\nname = \"row\"\nrows = {rows}\nreduce = \"all\"\n"
    ));
    desk.write("fit.py", "def crunch(row):\n    return [row]\n");
    std::fs::write(desk.path("t.csv"), content).unwrap();
    desk.run(gridmpi(), &["job.toml", "--threads", "1", "--no-store", "--format", "json"])
}

const PLAIN: &str = "\"t.csv\"";

#[test]
fn numbers_as_people_write_them_are_no_text_without_a_word() {
    for (cells, says) in [
        (
            &["1", "1,234.5"][..],
            "line 3, column 'x': \"1,234.5\" is a number with signs that are not read, such as those between thousands? Then write 1234.5; if it is text, rows = { file = \"t.csv\", text = [\"x\"] }",
        ),
        (&["1,234.5", "12,000.0"], "line 2, column 'x': \"1,234.5\" is"),
        (&["1.234.567", "-"], "write 1234567"),
        (&["1 234", "17"], "write 1234"),
        (&["\u{2212}5", "17"], "write -5"),
        (&["(12.5)", "17"], "write -12.5"),
        (&["0.48D+02", "17"], "write 0.48e+02"),
        (&["2'345.5", "1e5"], "write 2345.5"),
        (&["1_000", "NA"], "write 1000"),
    ] {
        let lines: String = cells.iter().map(|cell| format!("7,\"{cell}\"\n")).collect();
        let refused = run(format!("n,x\n{lines}").as_bytes(), PLAIN).exits(2);
        assert!(refused.stderr.contains(says), "{cells:?}: {}", refused.stderr);
    }
    let table = "n;x\n1;1.234,5\n2;7,5\n".as_bytes();
    let rows = "{ file = \"t.csv\", delimiter = \";\", decimal = \",\" }";
    let refused = run(table, rows).exits(2);
    assert!(
        refused
            .stderr
            .contains("write 1234.5; if it is text, rows = { file = \"t.csv\", ..., text"),
        "{}",
        refused.stderr
    );
    let told = "{ file = \"t.csv\", numbers = [\"x\"] }";
    let refused = run(b"n,x\n1,\"1,234\"\n", told).exits(2);
    assert!(refused.stderr.contains("line 2, column 'x': \"1,234\""), "{}", refused.stderr);
}

#[test]
fn what_only_resembles_such_numbers_is_text() {
    for (cells, warns) in [
        (["10.0.0.1", "192.168.100.200"], false),
        (["2024.01.05", "2024.01.06"], false),
        (["1,234.5", "unknown"], false),
        (["5%", "17%"], true),
        (["$5", "17"], true),
    ] {
        let lines: String = cells.iter().map(|cell| format!("7,\"{cell}\"\n")).collect();
        let ran = run(format!("n,x\n{lines}").as_bytes(), PLAIN).exits(0);
        for cell in cells {
            assert!(ran.stdout.contains(&format!("\"x\":\"{cell}\"")), "{cell}: {}", ran.stdout);
        }
        let said = ran.stderr.contains("all cells of column 'x' are text, because line 2 has");
        assert_eq!(said, warns, "{}", ran.stderr);
    }
    for cells in [["0.5", "3.14159265358979323846"], ["9007199254740993", "0.5"], ["1e-400", "2.5"]]
    {
        let table = format!("n,x\n1,{}\n2,{}\n", cells[0], cells[1]);
        let ran = run(table.as_bytes(), PLAIN).exits(0);
        assert!(ran.stdout.contains(&format!("\"x\":\"{}\"", cells[1])), "{}", ran.stdout);
        let says = "and a number keeps fewer digits; if the nearest number is meant, rows = { file = \"t.csv\", numbers = [\"x\"] }";
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
    let ran = run(b"n,x\n1,20230101123456789012\n2,5\n", PLAIN).exits(0);
    assert!(!ran.stderr.contains("WARN"), "an identifier: {}", ran.stderr);
    let told = "{ file = \"t.csv\", text = [\"x\"] }";
    let ran = run(b"n,x\n1,\"1,234.5\"\n2,7\n", told).exits(0);
    assert!(ran.stdout.contains("\"x\":\"7\"") && !ran.stderr.contains("WARN"), "{}", ran.stderr);
}

#[test]
fn a_file_that_is_no_table_is_called_what_it_is() {
    for (content, says) in [
        (&b"{\"a\": 1, \"b\": 2}\n{\"a\": 3, \"b\": 4}\n"[..], "t.csv: JSON lines, not a table"),
        (b"[{\"a\": 1, \"b\": 2},\n {\"a\": 3, \"b\": 4}]\n", "t.csv: JSON, not a table"),
        (b"[1, 2, 3]", "t.csv: JSON, not a table"),
        (b"PAR1\x15\x04\x15", "t.csv: Parquet?"),
        (b"ARROW1\0\0", "t.csv: Arrow or Feather?"),
        (b"PK\x03\x04\x14\0", "t.csv: a workbook, or zipped?"),
        (b"\x80\x04\x95\x10", "t.csv: pickled by Python?"),
        (b"<!DOCTYPE html>\n<html></html>", "t.csv: HTML"),
        (b"version https://git-lfs.github.com/spec/v1\nsize 12\n", "t.csv: a pointer of Git LFS?"),
        (b"x y\n1 2\n3 4\n", "line 1 has one column; separated by blanks?"),
    ] {
        let refused = run(content, PLAIN).exits(2);
        assert!(refused.stderr.contains(says), "{says}: {}", refused.stderr);
    }
    let ran = run(b"[time],{v}\n1,2\n", PLAIN).exits(0);
    assert!(ran.stdout.contains("\"[time]\":1,\"{v}\":2"), "{}", ran.stdout);
    let ran = run(b"patient name\nJohn Smith\nEva Mai\n", PLAIN).exits(0);
    assert!(ran.stdout.contains("Eva Mai"), "{}", ran.stdout);
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let desk = Desk::new();
    let made = std::process::Command::new("mkfifo").arg(desk.path("fifo")).status().unwrap();
    assert!(made.success());
    desk.write("folder/f", "");
    let ridge = "[[loop]]\nname = \"alpha\"\nvalues = [1]\n[[loop]]\nname = \"fold\"\nrange = { from = 0, to = 2 }\n";
    for (name, is) in [("fifo", "a named pipe"), ("folder", "a folder"), ("/dev/zero", "a device")]
    {
        let text = format!(
            "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"a\"\nrows = \"{name}\"\n"
        );
        desk.write("rows.toml", &text);
        let text = format!(
            "[crunch]\nbuiltin = \"ridge\"\n[[loop]]\nname = \"dataset\"\nvalues = [\"{name}\"]\n{ridge}"
        );
        desk.write("ridge.toml", &text);
        for job in ["rows.toml", "ridge.toml"] {
            let refused = desk.run(gridmpi(), &[job]).exits(2);
            let says = format!("it is {is}, not a file");
            assert!(refused.stderr.contains(&says), "{job}, {name}: {}", refused.stderr);
        }
    }
    for (inputs, says) in
        [("fifo", "\"fifo\": "), ("more", "\"more\": "), ("/dev/zero", "zero is a device")]
    {
        desk.write("more/f", "");
        let _ = std::os::unix::fs::symlink(desk.path("fifo"), desk.path("more/link"));
        desk.write(
            "inputs.toml",
            &format!("[crunch]\nshell = \"echo 1\"\ninputs = [\"{inputs}\"]\n[[loop]]\nname = \"a\"\nvalues = [1]\nreduce = \"max\"\n"),
        );
        let refused = desk.run(gridmpi(), &["inputs.toml"]).exits(2);
        assert!(
            refused.stderr.contains("crunch.inputs") && refused.stderr.contains(says),
            "{}",
            refused.stderr
        );
    }
    // Links that lead back, twice: each folder is looked through once.
    for link in ["more/a", "more/b"] {
        std::os::unix::fs::symlink(".", desk.path(link)).unwrap();
    }
    std::fs::remove_file(desk.path("more/link")).unwrap();
    let text = std::fs::read_to_string(desk.path("inputs.toml")).unwrap();
    desk.write("inputs.toml", &text.replace("/dev/zero", "more"));
    desk.run(gridmpi(), &["inputs.toml"]).exits(0);
    for verb in [&["fifo"][..], &["plan", "fifo"], &["check", "fifo"]] {
        let refused = desk.run(gridmpi(), verb).exits(2);
        assert!(
            refused.stderr.contains("fifo: no job file: it is a named pipe"),
            "{}",
            refused.stderr
        );
    }
    // A pipe that somebody writes to.
    let script = "sed 's/rows = .*/values = [2]\\nreduce = \"max\"/' rows.toml | \"$1\" /dev/stdin --no-store";
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", script, "bash"]).arg(gridmpi().get_program());
    assert!(desk.run(shell, &[]).exits(0).stdout.contains('2'));
}
