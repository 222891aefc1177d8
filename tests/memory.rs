//! The memory of rank 0: it does not grow with what nobody needs, and large values are in files of their own.

mod common;

use std::fs;

use common::{Desk, gridmpi, mpirun, peak, sql_rows};
use serde_json::{Value, json};

/// 120 values of a megabyte, of which the first comes last: 119 MB would wait for it.
#[test]
fn values_behind_a_slow_slot_do_not_wait_in_memory() {
    let fit = "import time\ndef fit(a, b):\n    if b == 0: time.sleep(4)\n\
               \x20   return {'score': float(b * 7 % 120), 'text': 'x' * 1_000_000}\n";
    for (order, reduce, score) in [("grid", "max", 119.0), ("random", "mean", 59.5)] {
        let desk = Desk::with_job(&format!(
            "order = \"{order}\"\n[crunch]\npython = \"fit.py:fit\"\n[[loop]]\nname = \"a\"\nvalues = [1]\n\
             [[loop]]\nname = \"b\"\nrange = {{ from = 0, to = 120 }}\nreduce = \"{reduce}\"\n"
        ));
        desk.write("fit.py", fit);
        let arguments = ["job.toml", "--out", "out", "--threads", "2"];
        let (_, peak) = peak(&desk, &arguments);
        // As all of them waited, it took over 190.
        assert!(peak < 150, "{order}: {peak} MiB");
        assert_eq!(desk.sql("SELECT score FROM groups"), [format!("{score:?}")]);
    }
}

#[test]
fn the_summary_of_many_numbers_is_written_as_it_is_read() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"a\"\nvalues = [1]\n\
         [[loop]]\nname = \"b\"\nrange = { from = 0, to = 400_000 }\nreduce = \"max\"\n",
    );
    let (_, peak) = peak(&desk, &["job.toml", "--out", "out", "--threads", "2"]);
    // As a list, the numbers took 32 bytes each besides.
    assert!(peak < 64, "{peak} MiB");
    let summary = summary(&desk);
    let runs = summary["groups"][0]["all_runs"].as_array().unwrap();
    assert_eq!((runs.len(), &runs[399_999]), (400_000, &json!(399_999.0)));
}

fn summary(desk: &Desk) -> Value {
    serde_json::from_slice(&fs::read(desk.path("out/summary.json")).unwrap()).unwrap()
}

#[test]
fn a_value_over_16_mib_is_a_file_that_the_summary_names() {
    let job = |reduce: &str| {
        format!(
            "[crunch]\npython = \"fit.py:fit\"\n[[loop]]\nname = \"a\"\nvalues = [1, 2]\n\
             [[loop]]\nname = \"b\"\nvalues = [1, 2, 3]\nreduce = \"{reduce}\"\n"
        )
    };
    let desk = Desk::with_job(&job("max"));
    desk.write(
        "fit.py",
        "def fit(a, b):\n    return {'score': a * b, 'text': 'é' * 9_000_000 if b == 2 else 'short', 'n': a + b}\n",
    );
    let arguments = ["job.toml", "--out", "out", "--threads", "2"];
    desk.run(gridmpi(), &arguments).exits(0);
    let seen = summary(&desk);
    let runs = &seen["groups"][1]["all_runs"];
    assert_eq!(runs[0], json!({"score": 2, "text": "short", "n": 3}));
    let (file, digest) = (runs[1]["file"].as_str().unwrap(), runs[1]["blake3"].as_str().unwrap());
    assert_eq!((file, &runs[1]["bytes"]), (&*format!("large/{digest}"), &json!(18_000_027)));
    let there = fs::read(desk.path("out").join(file)).unwrap();
    assert_eq!((there.len(), blake3::hash(&there).to_hex().as_str()), (18_000_027, digest));
    let value: Value = serde_json::from_slice(&there).unwrap();
    assert_eq!((&value["score"], &value["n"]), (&json!(4), &json!(4)));
    assert_eq!(value["text"].as_str().unwrap(), "é".repeat(9_000_000));

    // Conditions, exports and `best` have the fields of such a record.
    let tasks = |condition: &str| {
        let json = desk.says(&["runs", "out", "--where", condition, "--format", "json"]);
        let runs: Vec<Value> = serde_json::from_str(&json).unwrap();
        runs.iter().map(|run| run["task"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(tasks("n = 4"), [2, 4]);
    assert_eq!(tasks("length(value) > 8000000"), [1, 4]);
    let csv = desk.says(&["export", "out", "--format", "csv"]);
    assert_eq!(csv.lines().filter(|line| line.len() > 18_000_000).count(), 2);
    let line = desk.says(&["best", "out", "--format", "json"]);
    assert!(line.len() < 10_000, "{}", line.len());

    // A start with another reduction has the values again, and another score is found in them.
    desk.write("job.toml", &job("all"));
    let ran = desk.run(gridmpi(), &arguments).exits(0);
    assert!(ran.stderr.contains("6 of 6 runs reused"), "{}", ran.stderr);
    // A list over 10^9 bytes would fit no row.
    let lists = desk.sql("SELECT length(value) FROM groups WHERE value LIKE 'large/%'");
    assert_eq!(lists, ["70", "70"]);
    let list = summary(&desk)["groups"][1]["summary"]["value"]["file"].clone();
    let list = fs::read(desk.path("out").join(list.as_str().unwrap())).unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!((list.as_array().unwrap().len(), &list[1]), (3, &value));
    desk.write("job.toml", &job("sum").replace("fit\"\n", "fit\"\nscore = \"n\"\n"));
    let ran = desk.run(gridmpi(), &arguments).exits(0);
    assert!(ran.stderr.contains("6 of 6 runs reused"), "{}", ran.stderr);
    assert_eq!(desk.sql("SELECT score FROM groups"), ["9.0", "12.0"]);
    assert_eq!(summary(&desk)["groups"][1]["all_runs"][1]["blake3"], json!(digest));

    // Damage is noticed before the value is used.
    fs::write(desk.path("out").join(file), &there[1..]).unwrap();
    let ran = desk.run(gridmpi(), &["export", "out", "--format", "csv"]).exits(1);
    assert!(ran.stderr.contains(file) && ran.stderr.contains("damaged"), "{}", ran.stderr);
}

/// As often as it was copied, 57 MiB took 200 on rank 0 and 250 in the child.
#[test]
fn a_large_value_is_there_twice_at_most() {
    let job = |crunch: &str| {
        format!(
            "[crunch]\n{crunch}\n[[loop]]\nname = \"a\"\nvalues = [1]\n\
             [[loop]]\nname = \"b\"\nvalues = [1]\nreduce = \"max\"\n"
        )
    };
    let python = "python = \"fit.py:fit\"";
    let fit = |value: &str| format!("def fit(a, b):\n    return {{'score': 1.5, 'x': {value}}}\n");
    let list = "[i / 7 + 1e-9 for i in range(1_000_000)]"; // 31 MiB, and 18 as JSON
    let shell = "shell = \"sh fit.py > $GRIDMPI_RESULT\"";
    let script = "printf '{\"score\": 1.5, \"x\": \"'; head -c 60000000 /dev/zero | tr '\\0' x; printf '\"}\\n'\n";
    for (crunch, fit, length, most) in [
        (python, fit("'x' * 60_000_000"), 60_000_020, 175),
        (python, fit("'a\\nb' * 15_000_000"), 60_000_020, 175),
        (python, fit(list), 0, 110),
        (shell, script.to_string(), 60_000_020, 175),
    ] {
        let desk = Desk::with_job(&job(crunch));
        desk.write("fit.py", &fit);
        let (_, most_used) = peak(&desk, &["job.toml", "--out", "out", "--threads", "1"]);
        assert!(most_used < most, "{crunch} {fit}: {most_used} MiB");
        let files = fs::read_dir(desk.path("out/large")).unwrap();
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        let [file] = files.as_slice() else { panic!("{files:?}") };
        let json = fs::read(file).unwrap();
        assert!(json.starts_with(b"{\"score\":1.5,\"x\":"));
        match length {
            0 => {
                let value: Value = serde_json::from_slice(&json).unwrap();
                assert_eq!(value["x"].as_array().unwrap().len(), 1_000_000);
                assert_eq!(value["x"][999_999], json!(999_999.0 / 7.0 + 1e-9));
            }
            _ => assert_eq!(json.len(), length),
        }
        assert_eq!(desk.sql("SELECT score FROM groups"), ["1.5"]);
    }
    // Over MPI, rank 0 has a process of its own.
    let desk = Desk::with_job(&job(python));
    desk.write("fit.py", &fit("'x' * 60_000_000"));
    let arguments = ["job.toml", "--out", "out", "--format", "json"];
    let ran = desk.run(mpirun(2), &arguments).exits(0).json();
    let most_used = ran["timing"]["master_peak_rss_bytes"].as_u64().unwrap() >> 20;
    assert!(most_used < 140, "{most_used} MiB");
}

#[test]
fn without_a_store_the_summary_has_large_values_itself() {
    let desk = Desk::with_job(
        "[crunch]\npython = \"fit.py:fit\"\n[[loop]]\nname = \"a\"\nvalues = [1]\nreduce = \"all\"\n",
    );
    desk.write("fit.py", "def fit(a):\n    return 'x' * 17_000_000\n");
    let ran =
        desk.run(gridmpi(), &["job.toml", "--no-store", "--threads", "1", "--format", "json"]);
    assert!(ran.exits(0).stdout.len() > 17_000_000);
}

/// 17 loops of 2 points, of which all but the first reduce: 131,070 groups.
#[test]
fn inner_groups_that_are_many_are_listed_on_request() {
    let job = |report: &str| {
        let mut text = format!("{report}[crunch]\nbuiltin = \"multiply\"\n");
        for level in 0..17 {
            text += &format!("[[loop]]\nname = \"x{level}\"\nvalues = [1, 2]\n");
            text += if level > 0 { "reduce = \"max\"\n" } else { "" };
        }
        text
    };
    let desk = Desk::with_job(&job(""));
    let start = || desk.run(gridmpi(), &["job.toml", "--out", "out", "--threads", "2"]);
    start().exits(0);
    let seen = summary(&desk);
    assert_eq!(seen["groups_left_out"], json!([{"over": "x16", "groups": 65_536}]));
    let over = |seen: &Value, name: &str| {
        let groups = seen["groups"].as_array().unwrap();
        groups.iter().filter(|group| group["over"] == name).count()
    };
    assert_eq!((over(&seen, "x1"), over(&seen, "x15"), over(&seen, "x16")), (2, 32_768, 0));
    assert_eq!(sql_rows(&desk.path("out/runs.sqlite"), "SELECT count(*) FROM groups"), ["131070"]);

    // What is listed computes nothing anew.
    desk.write("job.toml", &job("[report]\ngroups = [\"x2\", \"x1\"]\n"));
    let ran = start().exits(0);
    assert!(ran.stderr.contains("131,072 of 131,072 runs reused"), "{}", ran.stderr);
    let seen = summary(&desk);
    assert_eq!((over(&seen, "x1"), over(&seen, "x2"), over(&seen, "x3")), (2, 4, 0));
    assert_eq!(seen["groups_left_out"].as_array().unwrap().len(), 14);
    for (groups, says) in [
        ("\"some\"", "expected \"all\" or the names of loops"),
        ("[]", "no group: expected"),
        ("[\"x0\"]", "loop 'x0' does not reduce"),
        ("[\"x17\"]", "there is no loop 'x17'"),
        ("3", "expected"),
    ] {
        desk.write("job.toml", &job(&format!("[report]\ngroups = {groups}\n")));
        let ran = start().exits(2);
        assert!(ran.stderr.contains(says) && ran.stderr.contains("job.toml:2"), "{}", ran.stderr);
    }
}
