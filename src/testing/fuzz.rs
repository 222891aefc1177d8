//! Malformed input must give an error, never a panic, a hang or unbounded memory.

use std::path::Path;

use proptest::prelude::*;

use crate::job::{Job, placeholders};
use crate::model::Value;
use crate::wire::codec;
use crate::wire::messages::{ToMaster, ToWorker};

/// A job that uses most features.
const JOB: &str = r#"
name = "job"
seed = 7
reduce_on = "workers"
[crunch]
command = ["./fit", "{a}", "--b={b.x:.2e}", "{d:>12}", "{{"]
score = "score"
require = 0.9
retries = 2
timeout = 1.5
max_failures = 0.5
[[loop]]
name = "a"
values = [1, -2.5, "text", true, [1, 2], { x = 1 }]
[[loop]]
name = "b"
grid = { x = { logspace = { from = 1e-3, to = 1e3, count = 4 } }, y = { range = { from = 9, to = 0, step = -3 } } }
reduce = "max"
[[loop]]
name = "c"
random = { count = 5, seed = 1, u = { uniform = { from = 0.0, to = 1.0 } }, k = { choice = ["a", 1] } }
reduce = "mean"
[[loop]]
name = "d"
dates = { from = 2024-01-31, to = 2024-05-01, step = "1mo" }
reduce = "mean"
[[loop]]
name = "e"
grid = { x = { json = '[null, 2, Infinity]' }, y = { logspace = { from = 1, to = 9, count = 4, whole = true } } }
reduce = "mean"
[[loop]]
name = "f"
lhs = { count = 3, seed = 1, n = { normal = { mean = 0, sd = 1 } }, k = { logintegers = { from = 1, to = 9 } } }
reduce = "mean"
[[loop]]
name = "g"
sobol = { count = 3, skip = 1, n = { lognormal = { mean = 0, sd = 1 } }, i = { integers = { from = -9, to = 9 } } }
reduce = "mean"
"#;

/// Fragments of job files, valid and invalid.
const SCRAPS: [&str; 30] = [
    "[",
    "]",
    "{",
    "}",
    "\"",
    "=",
    "\n",
    ",",
    ".",
    "-",
    "1e400",
    "9223372036854775807",
    "-1",
    "0",
    "nan",
    "[[loop]]",
    "[crunch]",
    "name",
    "values",
    "count",
    "step",
    "from",
    "to",
    "reduce",
    "builtin = \"ridge\"\n",
    "shell = '{'",
    "é",
    "\u{0}",
    "zip",
    "rows = \"x.csv\"\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_mangled_job_file_is_a_job_or_an_error_with_a_line(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, 0usize..SCRAPS.len()), 0..4),
    ) {
        let mut text: Vec<char> = JOB.chars().collect();
        for (at, length, scrap) in cuts {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, SCRAPS[scrap].chars());
        }
        let text: String = text.into_iter().collect();
        match Job::parse(&text, Path::new("job.toml")) {
            Ok(job) => {
                job.task_seed(job.nest.tasks() - 1);
            }
            Err(error) => prop_assert!(error.to_string().starts_with("job.toml"), "{error}"),
        }
    }

    #[test]
    fn any_text_is_a_job_file_or_an_error(text in "(?s).{0,200}") {
        let _ = Job::parse(&text, Path::new("job.toml"));
    }

    #[test]
    fn any_text_is_a_template_or_an_error(text in "[{}a-z.:!\\\\ ]{0,30}") {
        if let Ok(template) = placeholders::Template::parse(&text) {
            let _ = template.fill(&[("a", Value::Int(1))], |_, _| None);
        }
    }

    #[test]
    fn any_text_is_a_format_or_an_error(
        spec in "[ -~é]?[<>^=]?[-+ ]?z?#?0?[0-9]{0,5}[,_]?(\\.[0-9]{1,5})?[a-zA-Z%]?",
        at in 0usize..6,
    ) {
        let values = [
            Value::Int(i64::MIN),
            Value::Float(1.5e300),
            Value::Float(-4e-320),
            Value::Float(f64::INFINITY),
            "data/a.csv".into(),
            Value::Null,
        ];
        if let Ok(template) = placeholders::Template::parse(&format!("{{a:{spec}}}")) {
            let _ = template.fill(&[("a", values[at].clone())], |_, _| None);
        }
    }

    #[test]
    fn any_text_is_a_value_or_an_error(text in "[-0-9eE.,:{}\\[\\]\"a-z\\\\ ]{0,60}") {
        if let Ok(value) = Value::parse(&text) {
            prop_assert!(Value::parse(&value.to_json().to_string()).is_ok());
        }
    }

    #[test]
    fn a_mangled_message_is_refused(
        message in prop::collection::vec(any::<u8>(), 0..60),
        lengths in prop::collection::vec(prop_oneof![Just(251u8), Just(252), Just(253), Just(255)], 0..4),
    ) {
        // Bytes that bincode reads as lengths of up to 2^64, at any position.
        let mut bytes = message;
        for (i, length) in lengths.into_iter().enumerate() {
            let at = (i * 7).min(bytes.len());
            bytes.insert(at, length);
        }
        let _ = codec::decode::<ToMaster>(&bytes);
        let _ = codec::decode::<ToWorker>(&bytes);
        let _ = codec::decode::<Job>(&bytes);
        let _ = codec::decode_theirs::<Vec<Vec<f64>>>(&bytes);
        let _ = codec::decode_theirs::<std::collections::BTreeMap<String, u64>>(&bytes);
    }

    #[test]
    fn any_csv_file_is_data_or_an_error(bytes in prop::collection::vec(prop_oneof![
        4 => prop::sample::select(b",;\"\n\r\t 0123456789.eE-+abcxy\xef\xbb\xbf".to_vec()),
        1 => any::<u8>(),
    ], 0..300)) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x.csv"), &bytes).unwrap();
        let parse = |text: &str| Job::parse(text, &folder.path().join("job.toml"));
        let loops = "[[loop]]\nname = \"r\"\nrows = \"x.csv\"\n";
        if let Ok(job) = parse(&format!("[crunch]\nbuiltin = \"multiply\"\n{loops}")) {
            job.nest.coordinates(job.nest.task(job.nest.tasks() - 1));
        }
        let ridge = "[crunch]\nbuiltin = \"ridge\"\n[[loop]]\nname = \"dataset\"\nfiles = \"x.csv\"\n\
            [[loop]]\nname = \"alpha\"\nvalues = [1]\nreduce = \"max\"\n\
            [[loop]]\nname = \"fold\"\nrange = { from = 0, to = 2 }\nreduce = \"mean\"\n";
        let _ = crate::executor::check(&parse(ridge).unwrap(), crate::executor::RANK0);
    }
}

#[test]
fn depth_and_size_have_bounds() {
    let parse = |text: &str| Job::parse(text, Path::new("job.toml"));
    let nested = format!("x = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse(&nested).is_err());
    assert!(Value::parse(&nested[4..]).is_err());
    let loops = |points: &str| {
        format!("[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"x\"\n{points}\n")
    };
    let huge = "linspace = { from = 0.0, to = 1.0, count = 1000000000000 }";
    let error = parse(&loops(huge)).unwrap_err().to_string();
    assert!(error.contains("more than 10000000 can only be a range"), "{error}");
    assert!(parse(&loops("range = { from = 0, to = 1000000000000 }")).is_ok());
}
