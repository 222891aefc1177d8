//! Jobs that are edited: the store keeps its rows, and after any number of edits all readers say what they say of
//! a job that was never anything else. Also stores of older formats.

mod common;

use std::fs;
use std::path::Path;

use common::{Desk, Ran, gridmpi, sql_rows};

/// A folder as an older gridmpi left it, in the results folder `out`.
fn old_folder(format: u32) -> Desk {
    let desk = Desk::new();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/format-{format}"));
    for name in ["job.toml", "fit.sh", "d/a.txt", "d/b.txt"] {
        desk.write(name, &fs::read_to_string(from.join(name)).unwrap());
    }
    fs::create_dir_all(desk.path("out")).unwrap();
    let sql = fs::read_to_string(from.join("runs.sql")).unwrap();
    rusqlite::Connection::open(desk.path("out/runs.sqlite")).unwrap().execute_batch(&sql).unwrap();
    desk
}

fn says(desk: &Desk, arguments: &[&str]) -> String {
    desk.run(gridmpi(), arguments).exits(0).stdout
}

fn start(desk: &Desk) -> Ran {
    desk.run(gridmpi(), &["job.toml", "--out", "out", "--threads", "2"])
}

#[test]
fn folders_of_older_versions_are_read_and_go_on() {
    for (format, tasks, reused) in [(3, 18, 16), (4, 24, 22)] {
        let desk = old_folder(format);
        let before = says(&desk, &["export", "out", "--format", "csv"]);
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
        let asked: Vec<String> = readers.iter().map(|verb| says(&desk, verb)).collect();
        assert!(asked[5].contains(&format!("{reused} of {tasks}")), "{}", asked[5]);
        assert_eq!(
            sql_rows(&desk.path("out/runs.sqlite"), "PRAGMA user_version"),
            [format.to_string()]
        );

        // Only the runs that failed are done again, and the readers say the same of the new store.
        let ran = start(&desk).exits(100);
        assert!(ran.stderr.contains(&format!("{reused} of {tasks} runs reused")), "{}", ran.stderr);
        assert_eq!(sql_rows(&desk.path("out/runs.sqlite"), "PRAGMA user_version"), ["5"]);
        for (verb, before) in
            readers.iter().zip(&asked).take(1).chain(readers.iter().zip(&asked).skip(3).take(1))
        {
            assert_eq!(says(&desk, verb), *before, "{verb:?}");
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
                    without_times(&says(&desk, verb)),
                    without_times(&says(&new, verb)),
                    "seed {seed}: {verb:?}
{job}"
                );
            }
            says(&desk, &["status", "out"]);
            says(&desk, &["explain", "out", "0"]);
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
