//! Jobs that are edited: the store keeps its rows, and after any number of edits all readers say what they say of
//! a job that was never anything else. Also stores of older formats.

mod common;

use std::fs;
use std::path::Path;

use common::{Desk, Ran, gridmpi, peak, sql_rows};

/// A folder as an older gridmpi left it, in the results folder `out`.
fn old_folder(format: u32) -> Desk {
    let desk = Desk::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let read = |name: &str| fs::read_to_string(data.join(name)).unwrap();
    for name in ["fit.sh", "d/a.txt", "d/b.txt"] {
        desk.write(name, &read(name));
    }
    desk.write("job.toml", &read(&format!("format-{format}/job.toml")));
    fs::create_dir_all(desk.path("out")).unwrap();
    let sql = read(&format!("format-{format}/runs.sql"));
    rusqlite::Connection::open(desk.path("out/runs.sqlite")).unwrap().execute_batch(&sql).unwrap();
    desk
}

fn start(desk: &Desk) -> Ran {
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--threads", "2"])
}

#[test]
fn folders_of_older_versions_are_read_and_go_on() {
    for (format, tasks, reused) in [(3, 18, 16), (4, 24, 22)] {
        let desk = old_folder(format);
        let before = desk.says(&["export", "out", "--format", "csv"]);
        let runs = before.lines().filter(|line| line.contains(",d/")).count();
        assert_eq!(runs, tasks, "{before}");
        let line = before.lines().find(|line| line.starts_with("2,")).unwrap();
        assert!(line.starts_with("2,d/a.txt,2,2,ok,4"), "{before}");
        let readers: [&[&str]; 6] = [
            &["best", "out"],
            &["status", "out", "--format", "json"],
            &["runs", "out", "--failed"],
            &["runs", "out", "--where", "alpha = 3 and fold = 2", "--sort", "score desc"],
            &["explain", "out", "4"],
            &["plan", "job.toml", "--out", "out"],
        ];
        let asked: Vec<String> = readers.iter().map(|verb| desk.says(verb)).collect();
        assert!(asked[5].contains(&format!("{reused} of {tasks}")), "{}", asked[5]);
        assert_eq!(
            sql_rows(&desk.path("out/runs.sqlite"), "PRAGMA user_version"),
            [format.to_string()]
        );

        // Only the runs that failed are done again, and the readers say the same of the new store.
        let ran = start(&desk).exits(100);
        assert!(ran.stderr.contains(&format!("{reused} of {tasks} runs reused")), "{}", ran.stderr);
        assert_eq!(sql_rows(&desk.path("out/runs.sqlite"), "PRAGMA user_version"), ["5"]);
        // But for the key that would show a row, which older versions did not name, and for a column that they lacked.
        let key = " (require = 0.66 in loop 'alpha' or in [crunch] would allow that)";
        assert!(!asked[0].contains("require"), "{}", asked[0]);
        for i in [0, 3] {
            let said = desk.says(readers[i]).replace(key, "").replace("  memory  error", "  error");
            assert_eq!(said, asked[i], "{:?}", readers[i]);
        }
        // What had no place comes back.
        let job = fs::read_to_string(desk.path("job.toml")).unwrap();
        desk.write("job.toml", &job.replace("[2, 3, 4]", "[1, 2, 3, 4]"));
        let ran = start(&desk).exits(100);
        let back = tasks - 2 + if format == 3 { 6 } else { 4 };
        assert!(
            ran.stderr.contains(&format!("{back} of {} runs reused", back + 2)),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_store_of_a_later_version_is_refused_in_words() {
    let desk = old_folder(4);
    sql_rows(&desk.path("out/runs.sqlite"), "PRAGMA user_version = 6");
    for arguments in [&["best", "out"][..], &["job.toml", "--out", "out"]] {
        let ran = desk.run(gridmpi(), arguments).exits(2);
        assert!(ran.stderr.contains("format"), "{}", ran.stderr);
    }
}

/// A small generator, so that the same edits are made on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % most
    }

    /// Some of these, in an order.
    fn some(&mut self, all: std::ops::Range<u64>) -> Vec<u64> {
        let mut chosen: Vec<u64> = all.filter(|_| self.below(3) > 0).collect();
        if self.below(3) == 0 {
            chosen.reverse();
        }
        if chosen.is_empty() { vec![self.below(3)] } else { chosen }
    }
}

/// The lines up to when and where a run was made.
fn without_times(text: &str) -> Vec<&str> {
    fn sixth(line: &str) -> usize {
        line.match_indices(',').nth(5).map_or(line.len(), |(at, _)| at)
    }
    let is_csv = text.starts_with("task,");
    let cut = |line: &'_ str| -> usize {
        if is_csv { sixth(line) } else { line.find(",\"seconds\"").unwrap_or(line.len()) }
    };
    text.lines().map(|line| &line[..cut(line)]).collect()
}

#[test]
fn after_any_edits_a_store_says_what_a_new_one_says() {
    let text = |random: &mut Random| {
        let list = |values: Vec<u64>| format!("{values:?}");
        let outer = format!("[[loop]]\nname = \"a\"\nvalues = {}\n", list(random.some(0..5)));
        let (from, count) = (random.below(4), 1 + random.below(5));
        let inner = match random.below(3) {
            0 => format!("range = {{ from = {from}, to = {} }}\n", from + count),
            1 => format!("values = {}\n", list(random.some(0..6))),
            _ => "range = { from = 0, to = \"a + 1\" }\n".to_string(),
        };
        let middle = match random.below(2) {
            0 => String::new(),
            _ => "where = \"b <> a\"\n".to_string(),
        };
        format!(
            "[crunch]\nshell = \"echo {{a}} {{b}} {{c}} >> calls; echo $(( {{a}} * 100 + {{b}} * 10 + {{c}} ))\"\n\
             {outer}[[loop]]\nname = \"b\"\n{inner}{middle}reduce = \"max\"\n\
             [[loop]]\nname = \"c\"\nvalues = {}\nreduce = \"sum\"\n",
            list(random.some(0..3))
        )
    };
    let mut edits = 0;
    for seed in 0..6 {
        let mut random = Random(seed);
        let desk = Desk::new();
        let mut done = std::collections::BTreeSet::new();
        for _ in 0..8 {
            let job = text(&mut random);
            desk.write("job.toml", &job);
            desk.write("calls", "");
            let ran = start(&desk);
            if ran.code != 0 {
                // Without any task, for example.
                assert_eq!(ran.code, 2, "{}", ran.stderr);
                continue;
            }
            edits += 1;
            for call in desk.calls() {
                assert!(done.insert(call.clone()), "seed {seed}: {call} was computed again\n{job}");
            }
            let new = Desk::with_job(&job);
            new.write("calls", "");
            start(&new).exits(0);
            let readers: [&[&str]; 5] = [
                &["export", "out", "--format", "csv"],
                &["best", "out"],
                &["best", "out", "--format", "json"],
                &["runs", "out", "--limit", "3", "--format", "json"],
                &["runs", "out", "--where", "b > 1", "--sort", "score desc", "--format", "json"],
            ];
            for verb in &readers {
                assert_eq!(
                    without_times(&desk.says(verb)),
                    without_times(&new.says(verb)),
                    "seed {seed}: {verb:?}
{job}"
                );
            }
            desk.says(&["status", "out"]);
            desk.says(&["explain", "out", "0"]);
            for sql in [
                "SELECT task, a, b, c, status, score FROM all_runs ORDER BY task",
                "SELECT level, number, score, value, best, error, runs, failed FROM groups ORDER BY level, number",
            ] {
                let rows = |desk: &Desk| sql_rows(&desk.path("out/runs.sqlite"), sql);
                assert_eq!(rows(&desk), rows(&new), "seed {seed}: {sql}\n{job}");
            }
            let summary = |desk: &Desk| fs::read_to_string(desk.path("out/summary.csv")).unwrap();
            assert_eq!(summary(&desk), summary(&new), "seed {seed}\n{job}");
            let found = fs::read_dir(desk.path("out")).unwrap().count();
            assert_eq!(found, fs::read_dir(new.path("out")).unwrap().count(), "nothing is left");
        }
    }
    assert!(edits > 25, "{edits}");
}

#[test]
fn points_whose_numbers_do_not_fit_a_key_are_edited_too() {
    // 10,000 tasks, though the loops have 10,000 points each: 10^20 combinations.
    let text = |tasks: u64| {
        let mut text = format!(
            "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"a\"\nrange = {{ from = 0, to = {tasks} }}\n"
        );
        for (outer, name) in [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")] {
            text += &format!(
                "[[loop]]\nname = \"{name}\"\nrange = {{ from = \"{outer}\", to = \"{outer} + 1\" }}\nreduce = \"max\"\n"
            );
        }
        text
    };
    let desk = Desk::with_job(&text(10_000));
    start(&desk).exits(0);
    assert_eq!(desk.sql("SELECT count(room) FROM loops"), ["0"]);
    for (tasks, reused) in
        [(10_002, "10,000 of 10,002"), (9_000, "9,000 of 9,000"), (10_003, "10,002 of 10,003")]
    {
        desk.write("job.toml", &text(tasks));
        let ran = start(&desk).exits(0);
        assert!(ran.stderr.contains(&format!("{reused} runs reused")), "{}", ran.stderr);
        let last = tasks - 1;
        let is_product = format!("abs(score / {:?} - 1) < 1e-9", (last as f64).powi(5));
        let rows = format!("SELECT a, e, {is_product} FROM all_runs WHERE task = {last}");
        assert_eq!(desk.sql(&rows), [format!("{last}|{last}|1")]);
    }
}

#[test]
fn growing_a_large_loop_needs_little_memory_and_no_second_store() {
    let text = |count: u64| {
        format!(
            "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"a\"\n\
             random = {{ count = {count}, seed = 3, a = {{ uniform = {{ from = 0, to = 1 }} }} }}\n"
        )
    };
    let desk = Desk::with_job(&text(300_000));
    start(&desk).exits(0);
    let size = |desk: &Desk| fs::metadata(desk.path("out/runs.sqlite")).unwrap().len();
    let before = size(&desk);
    for count in 300_001..300_003 {
        desk.write("job.toml", &text(count));
        let (ran, peak) = peak(&desk, &["job.toml", "--out", "out", "--threads", "2"]);
        assert!(ran.stderr.contains("of 300,00"), "{}", ran.stderr);
        // As a list, the points alone took over 70.
        assert!(peak < 50, "{peak} MiB");
    }
    assert!(size(&desk) < before + before / 10, "{before} {}", size(&desk));
}

#[test]
fn a_start_on_a_complete_store_holds_no_list_of_groups() {
    let desk = Desk::with_job(
        "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"a\"\nrange = { from = 0, to = 100000 }\n\
         [[loop]]\nname = \"b\"\nvalues = [1]\nreduce = \"max\"\n",
    );
    let arguments = ["job.toml", "--out", "out", "--threads", "2"];
    start(&desk).exits(0);
    let groups = |desk: &Desk| desk.sql("SELECT count(*), sum(score), sum(runs) FROM groups");
    let before = groups(&desk);
    let (ran, peak) = peak(&desk, &arguments);
    assert!(ran.stderr.contains("100,000 of 100,000 runs reused"), "{}", ran.stderr);
    // As a list, they took 34 MiB more.
    assert!(peak < 40, "{peak} MiB");
    assert_eq!(groups(&desk), before);
}

#[test]
fn a_run_that_was_without_a_task_has_the_score_of_today() {
    let text = |values: &str, score: &str| {
        format!(
            "[crunch]\ncommand = [\"sh\", \"fit.sh\", \"{{x}}\"]\n\
             score = \"{score}\"\n[[loop]]\nname = \"x\"\nvalues = {values}\nreduce = \"max\"\n"
        )
    };
    let desk = Desk::with_job(&text("[1, 2, 3]", "a"));
    desk.write("fit.sh", "echo $1 >> calls; echo \"{\\\"a\\\": ${1}0, \\\"b\\\": ${1}00}\"\n");
    desk.write("calls", "");
    start(&desk).exits(0);
    for (values, score, scores) in [
        ("[3]", "a", "30.0"),
        ("[3]", "b", "300.0"),
        ("[1, 2, 3, 4]", "b", "100.0,200.0,300.0,400.0"),
        ("[4, 2]", "a", "40.0,20.0"),
    ] {
        desk.write("job.toml", &text(values, score));
        start(&desk).exits(0);
        let rows = "SELECT group_concat(score) FROM (SELECT score FROM all_runs ORDER BY task)";
        assert_eq!(desk.sql(rows), [scores], "{values} {score}");
    }
    assert_eq!(desk.calls(), ["1", "2", "3", "4"]);
}

#[test]
fn a_run_that_comes_back_is_not_of_an_older_file() {
    let text = |alphas: &str| {
        format!(
            "[crunch]\ncommand = [\"sh\", \"fit.sh\", \"data/{{subject}}.txt\", \"{{alpha}}\"]\n\
             [[loop]]\nname = \"subject\"\nvalues = [\"s1\", \"s2\"]\n\
             [[loop]]\nname = \"alpha\"\nvalues = {alphas}\nreduce = \"sum\"\n"
        )
    };
    let desk = Desk::with_job(&text("[1, 2, 3]"));
    desk.write("fit.sh", "read n < $1; echo $1 $2 >> calls; echo $((n * $2))\n");
    for (name, number) in [("s1", "10"), ("s2", "20")] {
        desk.write(&format!("data/{name}.txt"), &format!("{number}\n"));
    }
    desk.write("calls", "");
    start(&desk).exits(0);
    assert_eq!(desk.calls().len(), 6);
    let scores = "SELECT group_concat(cast(score AS INTEGER)) FROM (SELECT score FROM all_runs ORDER BY task)";
    let edit = |alphas: &str, now: &str, calls: &[&str]| {
        desk.write("job.toml", &text(alphas));
        start(&desk).exits(0);
        assert_eq!(desk.sql(scores), [now], "{alphas}");
        assert_eq!(desk.calls(), calls, "{alphas}");
    };
    // The point goes first and the file changes then, or both at once.
    edit("[1, 2]", "10,20,20,40", &[]);
    desk.write("data/s1.txt", "100\n");
    edit("[1, 2]", "100,200,20,40", &["data/s1.txt 1", "data/s1.txt 2"]);
    edit("[1, 2, 3]", "100,200,300,20,40,60", &["data/s1.txt 3"]);
    desk.write("data/s2.txt", "7\n");
    edit("[3]", "300,21", &["data/s2.txt 3"]);
    edit("[1, 3]", "100,300,7,21", &["data/s2.txt 1"]);
    // The file of before is back, and so are its runs.
    desk.write("data/s1.txt", "10\n");
    edit("[3, 1, 2]", "30,10,20,21,7,14", &["data/s2.txt 2"]);
}
