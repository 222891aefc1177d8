//! Names and values that SQL, JSON or a file format could take for something else: every reader shows them as
//! they are, or the job is refused.

mod common;

use std::fs;
use std::process::Command;

use common::{Desk, gridmpi, python_with_sklearn};
use serde_json::{Value as Json, json};

const MULTIPLY: &str = "[crunch]\nbuiltin = \"multiply\"\n";

fn python_job(function: &str, loops: &str) -> Desk {
    let desk = Desk::with_job(&format!("[crunch]\npython = \"f.py:crunch\"\n{loops}"));
    desk.write("f.py", function);
    desk.run_job().exits(0);
    desk
}

fn export(desk: &Desk, arguments: &[&str]) -> Vec<Json> {
    let all = [&["export", "out", "--format", "json"], arguments].concat();
    let rows: Json = serde_json::from_str(&desk.says(&all)).unwrap();
    rows.as_array().unwrap().clone()
}

/// The tasks in this order.
fn sorted(desk: &Desk, order: &str) -> Vec<u64> {
    let rows = desk.says(&["runs", "out", "--format", "json", "--sort", order]);
    let rows: Json = serde_json::from_str(&rows).unwrap();
    rows.as_array().unwrap().iter().map(|row| row["task"].as_u64().unwrap()).collect()
}

/// The tasks that meet a condition.
fn tasks(desk: &Desk, condition: &str) -> Vec<u64> {
    let rows = export(desk, &["--where", condition]);
    rows.iter().map(|row| row["task"].as_u64().unwrap()).collect()
}

fn no_condition(desk: &Desk, condition: &str, says: &str) {
    let ran = desk.run(gridmpi(), &["runs", "out", "--where", condition]).exits(2);
    assert!(ran.stderr.contains(says), "{condition}: {}", ran.stderr);
}

/// Every reader of the results folder ends well.
fn read_by_all(desk: &Desk) {
    for arguments in [
        &["best", "out"][..],
        &["best", "out", "--format", "json"],
        &["runs", "out"],
        &["runs", "out", "--format", "json"],
        &["explain", "out", "0"],
        &["status", "out"],
        &["report", "out"],
        &["export", "out", "--format", "csv"],
        &["export", "out", "--format", "jsonl", "--to", "e.jsonl"],
        &["export", "out", "--format", "parquet", "--to", "e.parquet"],
    ] {
        desk.run(gridmpi(), arguments).exits(0);
    }
    desk.sql("SELECT * FROM all_runs");
}

#[test]
fn names_that_differ_by_case_alone_are_refused() {
    let l = |name: &str, source: &str| format!("[[loop]]\nname = \"{name}\"\n{source}\n");
    let one = "values = [1]";
    for (loops, says) in [
        (l("N", one) + &l("n", one), "'n' and the loop 'N' differ by case alone"),
        (l("Status", one), "'Status' is a column of every run"),
        (l("TASK", one), "'TASK' is a column of every run"),
        (l("runs", one), "'runs' is a column of summary.csv"),
        (l("Failed", one), "'Failed' is a column of summary.csv"),
        (l("Best_x", one) + &l("x", one), "summary.csv has the best 'x' in a column 'Best_x'"),
        (l("x", one) + &l("best_x", one), "summary.csv has the best 'x' in a column 'best_x'"),
        (
            l("p", "grid = { n = [1], N = [2] }"),
            "loop.p.grid: the fields 'n' and 'N' differ by case",
        ),
        (l("p", "values = [{ a = 1 }, { A = 2 }]"), "the fields 'a' and 'A' differ by case"),
        (
            l("p", "random = { count = 1, x = { choice = [1] }, X = { choice = [1] } }"),
            "'x' and 'X'",
        ),
        (l("p", "rows = 't.csv'"), "loop.p.rows: the fields 'id' and 'ID' differ by case"),
    ] {
        let desk = Desk::with_job(&format!("{MULTIPLY}{loops}"));
        desk.write("t.csv", "id,ID\n1,2\n");
        let ran = desk.run_job().exits(2);
        assert!(ran.stderr.contains(says) && ran.stderr.contains("job.toml:"), "{}", ran.stderr);
    }
}

#[test]
fn loops_can_have_the_names_of_sql_words() {
    let mut job = MULTIPLY.to_string();
    for (name, values) in
        [("order", "[1, 2]"), ("case", "[3, 4]"), ("to", "[5]"), ("not", "[0, 1]")]
    {
        job += &format!("[[loop]]\nname = \"{name}\"\nvalues = {values}\n");
    }
    let desk = Desk::with_job(&job);
    desk.run_job().exits(0);
    read_by_all(&desk);
    assert_eq!(tasks(&desk, "order = 2 and case in (4) and to=5"), [6, 7]);
    assert_eq!(tasks(&desk, "CASE when order = 1 then case else 0 END = 4"), [2, 3]);
    assert_eq!(tasks(&desk, "not order = 2 and \"not\" = 1"), [1, 3]);
    assert_eq!(sorted(&desk, "order desc, case desc, not")[..3], [6, 7, 4]);
}

#[test]
fn strings_and_records_stand_in_one_list() {
    let loops = "[[loop]]\nname = \"x\"\nvalues = [1, 'a', { x = 1 }, '2', true, '{\"x\": 5}', { x = 'b' }, 0.5]\n";
    let desk = python_job("def crunch(x): return {'score': 1.0}\n", loops);
    read_by_all(&desk);
    let rows = export(&desk, &[]);
    let xs: Vec<&Json> = rows.iter().map(|row| &row["x"]).collect();
    let points = json!([1, "a", { "x": 1 }, "2", true, "{\"x\": 5}", { "x": "b" }, 0.5]);
    assert_eq!(json!(xs), points);
    let fields: Vec<&Json> = rows.iter().map(|row| &row["x.x"]).collect();
    assert_eq!(json!(fields), json!([null, null, 1, null, null, null, "b", null]));
    for (condition, found) in [
        ("x = 'a'", &[1][..]),
        ("x = 1", &[0, 4]),
        ("x > 0.7", &[0, 4]),
        ("x + 1 > 0", &[0, 4, 7]),
        ("x >= 'a'", &[1, 2, 5, 6]),
        ("x.x = 1", &[2]),
        ("x.x is not null", &[2, 6]),
        ("x.x < 3", &[2]),
        ("x in (1, 'a')", &[0, 1, 4]),
    ] {
        assert_eq!(tasks(&desk, condition), found, "{condition}");
    }
    assert_eq!(
        desk.sql("SELECT task, \"x.x\" FROM all_runs WHERE \"x.x\" IS NOT NULL"),
        ["2|1", "6|b"]
    );
    let csv = desk.says(&["export", "out", "--format", "csv"]);
    assert!(csv.lines().nth(2).unwrap().starts_with("1,,a,ok,1.0,"), "{csv}");
}

#[test]
fn fields_can_have_any_name() {
    let odd = [
        "a\"b",
        "c\\d",
        "e'f",
        "g h",
        "new\nline",
        "nul\0",
        "nul\0two",
        "é",
        "a.b",
        "$",
        "",
        "status",
    ];
    let record: Vec<String> =
        odd.iter().enumerate().map(|(i, name)| format!("{name:?}: {}", i + 10)).collect();
    let record = record.join(", ").replace("\\0", "\\u0000");
    let code = format!(
        "import json\nR = json.loads({:?})\ndef crunch(p, q): return dict(R, score=1.0)\n",
        format!("{{{record}}}")
    );
    let fields: Vec<String> = odd.iter().map(|name| format!("{} = [1, 2]", json!(name))).collect();
    let loops = format!(
        "[[loop]]\nname = \"p\"\nzip = {{ {} }}\n[[loop]]\nname = \"q\"\nvalues = [0]\n",
        fields.join(", ")
    );
    let desk = python_job(&code, &loops);
    read_by_all(&desk);
    let rows = export(&desk, &[]);
    for (i, name) in odd.iter().enumerate() {
        let column = if *name == "status" { "value.status" } else { name };
        assert_eq!(rows[1][column], json!(i + 10), "{name:?}");
        assert_eq!(rows[1][format!("p.{name}")], json!(2), "{name:?}");
    }
    for name in odd.iter().filter(|name| !name.contains('\0')) {
        let quoted = format!("\"p.{}\"", name.replace('"', "\"\""));
        assert_eq!(tasks(&desk, &format!("{quoted} = 2")), [1], "{name:?}");
        assert_eq!(desk.sql(&format!("SELECT task FROM all_runs WHERE {quoted} = 2")), ["1"]);
        let own = format!("\"value.{}\"", name.replace('"', "\"\""));
        assert_eq!(tasks(&desk, &format!("{own} > 9")), [0, 1], "{name:?}");
    }
    desk.write(
        "read.py",
        "import json, polars\nprint(json.dumps(polars.read_parquet('e.parquet').to_dicts()[1], default=str))\n",
    );
    let mut read = desk.run(Command::new(python_with_sklearn()), &["read.py"]).exits(0).json();
    let lines = fs::read_to_string(desk.path("e.jsonl")).unwrap();
    let line: Json = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
    let mut expected = rows[1].clone();
    assert_eq!(line, expected);
    for row in [&mut read, &mut expected] {
        row.as_object_mut().unwrap().retain(|name, _| name.starts_with("p.") || name == "a\"b");
    }
    assert_eq!(read, expected);
}

#[test]
fn two_thousand_columns_are_read_like_two() {
    let desk = Desk::new();
    let names: Vec<String> = (0..2000).map(|i| format!("c{i}")).collect();
    let row = |start: usize| {
        let cells: Vec<String> = (0..2000).map(|i| (start + i).to_string()).collect();
        cells.join(",")
    };
    desk.write("t.csv", &format!("{}\n{}\n{}\n", names.join(","), row(0), row(5)));
    desk.write(
        "f.py",
        "def crunch(row): return {'score': row['c7'], **{f'r{i}': i * 0.5 for i in range(2100)}}\n",
    );
    desk.write(
        "job.toml",
        "[crunch]\npython = \"f.py:crunch\"\n[[loop]]\nname = \"row\"\nrows = \"t.csv\"\n",
    );
    desk.run_job().exits(0);
    read_by_all(&desk);
    let rows = export(&desk, &[]);
    assert_eq!((&rows[1]["row.c1999"], &rows[1]["r2099"]), (&json!(2004), &json!(1049.5)));
    assert_eq!(tasks(&desk, "row.c1999 = 2004 and r2099 > 1000"), [1]);
    assert_eq!(sorted(&desk, "row.c1234 desc"), [1, 0]);
    let whole = "SELECT json_extract(row, '$.c1999') FROM all_runs";
    assert_eq!(desk.sql(whole), ["1999", "2004"]);
}

#[test]
fn a_number_is_not_compared_with_a_string() {
    let desk = python_job(
        "def crunch(x, who):\n    return {'score': x, 'p': float('nan') if x == 1 else float('inf') if x == 2 else 0.5, 'ok': x > 1, 'mix': 'a' if x == 1 else x}\n",
        "[[loop]]\nname = \"x\"\nvalues = [1, 2, 3]\n[[loop]]\nname = \"who\"\nvalues = ['7']\n",
    );
    // A NaN is no number: neither greater, nor less, nor last when sorted down.
    for (condition, found) in [
        ("p > 0", &[1, 2][..]),
        ("p > 1e300", &[1]),
        ("p < 1", &[2]),
        ("not p < 1", &[1]),
        ("p is null", &[0]),
        ("mix > 1", &[1, 2]),
        ("mix = 'a'", &[0]),
        ("who = '7' and x < 2.5", &[0, 1]),
        ("ok = true", &[1, 2]),
    ] {
        assert_eq!(tasks(&desk, condition), found, "{condition}");
    }
    assert_eq!(sorted(&desk, "p desc"), [1, 2, 0]);
    for (condition, says) in [
        ("x < '2'", "--where \"x < '2'\": x has numbers, and '2' is a string; write x < 2"),
        ("who = 7", "who has strings, and 7 is a number; write who = '7'"),
        ("score in ('1')", "score has numbers, and '1' is a string; write 1"),
        ("status = 1", "write status = '1'"),
        ("ok = 'true'", "ok is true or false; write ok = true"),
        ("who = x", "x has numbers, and who has strings"),
        ("host + 1 > 0", "host has strings, and '+' takes numbers"),
        ("started > '2026-01-01'", "write datetime(started, 'unixepoch') > '2026-01-01'"),
        ("random() > 0", "there is no function 'random' here"),
        ("coalesce(x, 0) = '1'", "a number is compared with a string at '1'"),
        ("CASE WHEN x = 1 THEN 1 END = '1'", "a number is compared with a string"),
        ("max(x, 2) = '2'", "a number is compared with a string"),
        ("p = null", "no value is = null: write p is null"),
        ("p = 'NaN'", "write p is null, as NaN counts"),
        ("datetime('now') > '2020'", "datetime takes a time that stays the same"),
    ] {
        no_condition(&desk, condition, says);
    }
    assert_eq!(tasks(&desk, "datetime(started, 'unixepoch') > '2020-01-01'"), [0, 1, 2]);
}
