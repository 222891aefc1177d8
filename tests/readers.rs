//! What commands read of large stores: nothing that they do not show, and all of one moment.

mod common;

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::Stdio;

use common::{Desk, gridmpi, peak};

fn start(desk: &Desk) {
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--threads", "2"]).exits(0);
}

#[test]
fn values_that_nobody_sees_are_not_read() {
    let desk = Desk::with_job(
        "[crunch]\nshell = \"cat result\"\n[[loop]]\nname = \"d\"\nvalues = [1]\n\
         [[loop]]\nname = \"a\"\nvalues = [1]\nreduce = \"max\"\n",
    );
    let size = 12_000_000;
    let text = "x, y".repeat(size / 4);
    desk.write("result", &format!("{{\"score\": 1.5, \"text\": \"{text}\", \"k\": 3}}\n"));
    start(&desk);
    let bytes = size + "{\"score\":1.5,\"text\":\"\",\"k\":3}".len();
    let readers: [(&[&str], &str); 5] = [
        (&["status", "out"], "1 of 1 run"),
        (&["runs", "out"], &format!("({bytes} bytes)")),
        (&["runs", "out", "--where", "score > 1", "--limit", "3"], &format!("({bytes} bytes)")),
        (&["best", "out"], "1.5"),
        (&["report", "out", "--to", "report.html"], "wrote report.html"),
    ];
    for (arguments, shown) in readers {
        // The page has a library of its own, and is a string before it is written.
        let most = if arguments[0] == "report" { 55 } else { 33 };
        let (ran, peak) = peak(&desk, arguments);
        assert!(ran.stdout.contains(shown), "{arguments:?}: {}", ran.stdout);
        assert!(peak < most, "{arguments:?}: {peak} MiB");
    }
    // What is shown is read, and its checksum is verified.
    let csv = desk.says(&["export", "out", "--format", "csv"]);
    let (before, behind) = csv.split_once("\"x, y").unwrap();
    assert!(before.ends_with("\n0,1,1,ok,1.5,"), "{before}");
    assert_eq!(behind.find("y\",3,"), Some(size - 5));
    let found: serde_json::Value =
        serde_json::from_str(&desk.says(&["best", "out", "--format", "json"])).unwrap();
    assert_eq!(found[0]["best"][0]["value"]["text"].as_str().map(str::len), Some(size));
    desk.sql("UPDATE runs SET value = replace(value, '\"k\":3', '\"k\":4')");
    for arguments in
        [&["runs", "out", "--format", "json"][..], &["export", "out", "--format", "csv"]]
    {
        let ran = desk.run(gridmpi(), arguments).exits(1);
        assert!(ran.stderr.contains("damaged where rowid = 0 in runs"), "{}", ran.stderr);
    }
}

#[test]
fn an_export_holds_one_row_of_large_fields() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"fit.py:fit\"\n[[loop]]\nname = \"a\"\nvalues = [1, 2, 3]\nreduce = \"max\"\n",
    );
    desk.write(
        "fit.py",
        "def fit(a):\n    return {'score': a, 'x': 'a,b' * 3_000_000, 'y': 'c' * 9_000_000}\n",
    );
    start(&desk);
    let (ran, peak) = peak(&desk, &["export", "out", "--format", "csv", "--to", "runs.csv"]);
    assert_eq!(ran.stdout, "wrote runs.csv\n");
    // All three rows together have 51 MiB, several times over.
    assert!(peak < 90, "{peak} MiB");
    let csv = fs::read_to_string(desk.path("runs.csv")).unwrap();
    assert_eq!((csv.lines().count(), csv.len() / 1_000_000), (4, 54));
}

#[test]
fn the_best_of_many_rows_are_listed_as_they_are_read() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"a\"\nrange = { from = 0, to = 30000 }\n\
         [[loop]]\nname = \"b\"\nvalues = [1]\nreduce = \"max\"\n",
    );
    start(&desk);
    let (ran, peak) = peak(&desk, &["best", "out"]);
    assert!(ran.stdout.lines().count() >= 30_000);
    assert!(peak < 36, "{peak} MiB");
}

#[test]
fn a_list_of_a_few_runs_reads_a_few_runs() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"a\"\nrange = { from = 0, to = 100000 }\n",
    );
    start(&desk);
    // Most of the runs cannot be read.
    let path = desk.path("out/runs.sqlite");
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    let (from, to) = (length / 8 * 4, length / 8 * 7);
    file.seek(SeekFrom::Start(from)).unwrap();
    file.write_all(&vec![0; (to - from) as usize]).unwrap();
    for more in [&[][..], &["--where", "score > 5"], &["--format", "json"]] {
        let arguments: Vec<&str> =
            ["runs", "out", "--limit", "3"].into_iter().chain(more.iter().copied()).collect();
        let listed = desk.says(&arguments);
        assert_eq!(listed.matches("ok").count(), 3, "{listed}");
    }
    let ran = desk.run(gridmpi(), &["runs", "out", "--where", "score > 99998"]).exits(1);
    assert!(ran.stderr.contains("damaged"), "{}", ran.stderr);
}

#[test]
fn a_reader_sees_one_moment_of_a_store_that_is_written_to() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"a\"\nrange = { from = 0, to = 20000 }\n\
         [[loop]]\nname = \"b\"\nvalues = [1, 2]\nreduce = \"max\"\n",
    );
    start(&desk);
    let before = desk.says(&["best", "out", "--format", "json"]);
    let writer = rusqlite::Connection::open(desk.path("out/runs.sqlite")).unwrap();
    let wal = writer.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
    assert_eq!(wal.unwrap(), "wal");
    writer.execute_batch("UPDATE job SET value = value").unwrap();
    let mut command = gridmpi();
    command.current_dir(desk.path(".")).args(["best", "out", "--format", "json"]);
    let mut reader = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut pipe = reader.stdout.take().unwrap();
    let mut first = [0; 1000];
    pipe.read_exact(&mut first).unwrap();
    // It waits for us to read on. Meanwhile the writer goes on, and can end.
    writer.execute_batch("DELETE FROM groups; DELETE FROM runs WHERE key % 3 = 0").unwrap();
    drop(writer);
    let mut rest = String::new();
    pipe.read_to_string(&mut rest).unwrap();
    assert!(reader.wait().unwrap().success());
    assert!(String::from_utf8_lossy(&first).into_owned() + &rest == before);
    let after = desk.says(&["best", "out", "--format", "json"]);
    assert!(after.contains("partial") && !before.contains("partial"));
}

#[test]
fn a_report_holds_no_list_of_all_runs() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"a\"\nrange = { from = 0, to = 100 }\n\
         reduce = \"max\"\n[[loop]]\nname = \"f\"\nrange = { from = 0, to = 6000 }\nreduce = \"mean\"\n",
    );
    start(&desk);
    let (_, peak) = peak(&desk, &["report", "out", "--to", "report.html"]);
    // A list of them took 45 more.
    assert!(peak < 75, "{peak} MiB");
    let page = fs::read_to_string(desk.path("report.html")).unwrap();
    assert!(page.contains("600,000 runs are there"));
}

#[test]
fn tables_of_thousands_of_columns_come_through() {
    let columns = 20_000;
    let desk = Desk::with_job(
        "[crunch]\nshell = \"echo {p.column_19999}\"\n[[loop]]\nname = \"p\"\nrows = \"wide.csv\"\n\
         [[loop]]\nname = \"a\"\nvalues = [1, 2]\nreduce = \"max\"\n",
    );
    let line =
        |cell: &dyn Fn(usize) -> String| (0..columns).map(cell).collect::<Vec<_>>().join(",");
    let mut wide = line(&|i| format!("column_{i}"));
    for row in 0..3 {
        wide += &format!("\n{}", line(&|i| (i * 7 % 1000 + row).to_string()));
    }
    desk.write("wide.csv", &wide);
    let (_, most) = peak(&desk, &["job.toml", "--out", "out", "--threads", "2"]);
    assert!(most < 120, "{most} MiB");
    let summary = fs::read_to_string(desk.path("out/summary.csv")).unwrap();
    let rows: Vec<Vec<&str>> = summary.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0].len()), (4, columns + 7));
    assert_eq!((rows[0][12_345], rows[2][12_345]), ("p.column_12345", "416"));
    assert_eq!(rows[3][columns + 1], "995.0");
    desk.says(&["report", "out", "--to", "report.html"]);
    let (ran, most) = peak(&desk, &["export", "out", "--format", "csv"]);
    assert!(most < 70, "{most} MiB");
    let csv = ran.stdout;
    let last: Vec<&str> = csv.lines().last().unwrap().split(',').collect();
    assert_eq!((last[1], last[columns], last[columns + 3]), ("2", "995", "995.0"));
}
