//! Points that plain TOML cannot say, designs, and what placeholders make of points.

mod common;

use std::collections::BTreeSet;
use std::process::Command;

use common::{Desk, Ran, gridmpi, python_with_sklearn};
use serde_json::{Value as Json, json};

/// A job of one loop whose runs return the point as Python shows it.
fn shown_by_python(source: &str) -> Desk {
    let desk = Desk::new();
    let fit = "def crunch(x):\n    print('called', file=open('calls', 'a'))\n    return {'score': 1, 'x': repr(x)}\n\
               def seen(runs):\n    return {'score': 1, 'x': [repr(run['x']) for run in runs]}\n";
    desk.write("fit.py", fit);
    rewrite(&desk, source);
    desk
}

fn rewrite(desk: &Desk, source: &str) {
    let job = format!(
        "[crunch]\npython = 'fit.py:crunch'\n[[loop]]\nname = 'x'\n{source}\nreduce = {{ python = 'fit.py:seen' }}\n"
    );
    desk.write("job.toml", &job);
}

/// The points as Python sees them.
fn seen(desk: &Desk, ran: &Ran) -> Json {
    let by_reduction = ran.groups()[0]["summary"]["value"]["x"].clone();
    let by_crunch = desk.sql("SELECT json_extract(value, '$.x') FROM all_runs ORDER BY task");
    assert_eq!(by_reduction, json!(by_crunch));
    by_reduction
}

fn calls(desk: &Desk) -> usize {
    std::fs::read_to_string(desk.path("calls")).unwrap_or_default().lines().count()
}

/// The points of a job of one loop over `source`.
fn points(source: &str) -> Vec<Json> {
    let desk = Desk::with_job(&format!(
        "[crunch]\nbuiltin = 'multiply'\n[[loop]]\nname = 'x'\n{source}\n"
    ));
    let groups = desk.run_job().exits(0).groups();
    groups.iter().map(|group| group["coordinates"]["x"].clone()).collect()
}

#[test]
fn infinite_points_and_none_are_the_same_everywhere() {
    let source = r#"json = '[null, Infinity, -Infinity, 2, "Infinity", {"a": Infinity, "b": [null, -Infinity]}]'"#;
    let desk = shown_by_python(source);
    let python =
        ["None", "inf", "-inf", "2", "'Infinity'", "{'a': inf, 'b': [None, -inf]}"].map(Json::from);
    assert_eq!(seen(&desk, &desk.run_job().exits(0)), json!(python));
    assert_eq!(seen(&desk, &desk.run_job().exits(0)), json!(python));
    assert_eq!(calls(&desk), 6, "all are found again");
    assert_eq!(
        desk.sql("SELECT task, typeof(x), x FROM all_runs WHERE task < 5"),
        ["0|null|", "1|real|Inf", "2|real|-Inf", "3|integer|2", "4|text|Infinity"]
    );
    assert_eq!(
        desk.sql("SELECT typeof(\"x.a\"), \"x.a\" > 1e308 FROM all_runs WHERE task = 5"),
        ["real|1"]
    );
    for (condition, tasks) in [
        ("run.x is null", "0"),
        ("run.x = 9e999", "1"),
        ("run.x < -1e308", "2"),
        ("\"x.a\" > 5", "5"),
    ] {
        let ran = desk.run(gridmpi(), &["runs", "out", "--where", condition, "--format", "json"]);
        let found = ran.exits(0).json();
        let found: Vec<String> =
            found.as_array().unwrap().iter().map(|run| run["task"].to_string()).collect();
        assert_eq!(found, [tasks], "{condition}");
    }
    for (words, says) in
        [("x=inf", "task      1 of 6"), ("x=-inf", "task      2 of 6"), ("x=null", "x none")]
    {
        let said = desk.run(gridmpi(), &["explain", "out", words]).exits(0).stdout;
        assert!(said.contains(says), "{words}: {said}");
    }
    let csv = desk.run(gridmpi(), &["export", "out", "--format", "csv"]).exits(0).stdout;
    let cells: Vec<&str> =
        csv.lines().skip(1).map(|line| line.split(',').nth(3).unwrap()).collect();
    assert_eq!(cells[..5], ["", "inf", "-inf", "2", "Infinity"], "{csv}");
    desk.run(gridmpi(), &["report", "out", "--figures", "figures"]).exits(0);
}

#[test]
fn none_and_infinities_stand_in_grids_zips_and_choices() {
    let none = "{ json = '[null, 3]' }";
    for (source, expected) in [
        (
            format!("grid = {{ a = {none}, b = [inf] }}"),
            json!([{"a": null, "b": "Infinity"}, {"a": 3, "b": "Infinity"}]),
        ),
        (format!("grids = [{{ a = {none} }}]"), json!([{"a": null}, {"a": 3}])),
        (
            format!("zip = {{ a = {none}, b = [-inf, 1] }}"),
            json!([{"a": null, "b": "-Infinity"}, {"a": 3, "b": 1}]),
        ),
        (format!("sobol = {{ count = 4, x = {{ choice = {none} }} }}"), json!([null, 3, 3, null])),
    ] {
        assert_eq!(json!(points(&source)), expected, "{source}");
    }
}

#[test]
fn an_infinity_is_not_its_name() {
    let desk = shown_by_python("values = ['Infinity', { a = '-Infinity' }]");
    desk.run_job().exits(0);
    rewrite(&desk, "values = [inf, { a = -inf }]");
    assert_eq!(seen(&desk, &desk.run_job().exits(0)), json!(["inf", "{'a': -inf}"]));
    assert_eq!(calls(&desk), 4, "the strings' runs are others");
    // The words come back, and their runs with them.
    rewrite(&desk, "values = ['Infinity', inf, { a = '-Infinity' }, { a = -inf }]");
    desk.run_job().exits(0);
    assert_eq!(calls(&desk), 4);
}

#[test]
fn an_older_store_has_infinities_by_name() {
    let desk = shown_by_python("values = [inf, 1]");
    desk.run_job().exits(0);
    let store = rusqlite::Connection::open(desk.path("out/runs.sqlite")).unwrap();
    store.execute("UPDATE points SET key = '\"Infinity\"' WHERE value = 9e999", []).unwrap();
    drop(store);
    assert_eq!(seen(&desk, &desk.run_job().exits(0)), json!(["inf", "1"]));
    assert_eq!(calls(&desk), 2);
}

#[test]
fn rounded_numbers_are_there_once_and_plan_says_so() {
    let logspace = "logspace = { from = 1, to = 10, count = 40, whole = true }";
    assert_eq!(json!(points(logspace)), json!([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
    assert_eq!(
        json!(points("logspace = { from = 1000, to = 1, count = 4, whole = true }")),
        json!([1000, 100, 10, 1])
    );
    let desk = Desk::with_job(&format!(
        "[crunch]\nbuiltin = 'multiply'\n[[loop]]\nname = 'x'\ngrid = {{ k = {{ {logspace} }}, a = [1, 2] }}\n"
    ));
    let plan = desk.run(gridmpi(), &["plan", "job.toml"]).exits(0).stdout;
    assert!(plan.contains("x.k: of 40 points, 10 whole numbers are left"), "{plan}");
    assert!(plan.contains("20 tasks"), "{plan}");
    let drawn = points("random = { count = 4000, x = { logintegers = { from = 1, to = 1000 } } }");
    let mut decades = [0; 3];
    for number in drawn.iter().map(|number| number.as_i64().unwrap()) {
        assert!((1..1000).contains(&number));
        decades[number.ilog10() as usize] += 1;
    }
    assert!(decades.iter().all(|count| (1200..1470).contains(count)), "{decades:?}");
    let distinct: BTreeSet<String> = drawn.iter().map(Json::to_string).collect();
    assert!(distinct.len() < 1000 && distinct.contains("1"));
}

#[test]
fn dates_are_evenly_spaced() {
    for (dates, expected) in [
        (
            "from = 2024-01-01, to = 2024-01-29, step = '7d'",
            json!(["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-22", "2024-01-29"]),
        ),
        (
            "from = 2024-02-27, to = '2024-03-01', step = '1d'",
            json!(["2024-02-27", "2024-02-28", "2024-02-29", "2024-03-01"]),
        ),
        (
            "from = 2024-01-31, to = 2024-04-29, step = '1mo'",
            json!(["2024-01-31", "2024-02-29", "2024-03-31"]),
        ),
        (
            "from = 2024-02-29, to = 2026-03-01, step = '1y'",
            json!(["2024-02-29", "2025-02-28", "2026-02-28"]),
        ),
        (
            "from = 2024-01-15, to = 2024-01-01, step = '-1w'",
            json!(["2024-01-15", "2024-01-08", "2024-01-01"]),
        ),
        (
            "from = 2024-01-01T00:00:00, to = 2024-01-02T00:00:00, step = '12h'",
            json!(["2024-01-01T00:00:00", "2024-01-01T12:00:00", "2024-01-02T00:00:00"]),
        ),
    ] {
        assert_eq!(json!(points(&format!("dates = {{ {dates} }}"))), expected, "{dates}");
    }
}

/// What scipy makes of the same sequence, against the points in a summary.
const SCIPY: &str = "
import json, sys
import numpy as np
from scipy.stats import loguniform, lognorm, norm, qmc
points = [group['coordinates']['x'] for group in json.load(open('out/summary.json'))['groups']]
if sys.argv[1] == 'uniform':
    sobol = qmc.Sobol(d=1000, scramble=False, bits=30)
    sobol.fast_forward(5)
    expected = sobol.random(50)
    found = np.array([[point[f'p{i}'] for i in range(1000)] for point in points])
    assert found.shape == expected.shape and (found == expected).all(), np.argwhere(found != expected)[:5]
else:
    sobol = qmc.Sobol(d=6, scramble=False, bits=30)
    sobol.fast_forward(1)
    u = sobol.random(500)
    columns = [norm(1, 2).ppf(u[:, 0]), lognorm(0.5, scale=np.exp(1)).ppf(u[:, 1]),
               loguniform(1e-3, 1e3).ppf(u[:, 2]), np.floor(u[:, 3] * 7) - 3,
               np.floor(loguniform(1, 1000).ppf(u[:, 4])), np.array([10, 20, 30])[(u[:, 5] * 3).astype(int)]]
    for name, column in zip('nlgikc', columns):
        found = np.array([point[name] for point in points])
        error = np.abs(found - column) / np.maximum(np.abs(column), 1)
        assert error.max() < 1e-13, (name, error.max(), found[error.argmax()], column[error.argmax()])
";

fn as_scipy(desk: &Desk, which: &str) {
    desk.write("scipy_points.py", SCIPY);
    desk.run(Command::new(python_with_sklearn()), &["scipy_points.py", which]).exits(0);
}

#[test]
fn sobol_points_are_those_of_scipy() {
    let uniform = |i| format!("p{i} = {{ uniform = {{ from = 0, to = 1 }} }}");
    let all: Vec<String> = (0..1000).map(uniform).collect();
    let job = |source: &str| {
        format!("[crunch]\nbuiltin = 'multiply'\n[[loop]]\nname = 'x'\nsobol = {{ {source} }}\n")
    };
    let desk = Desk::with_job(&job(&format!("count = 50, skip = 5, {}", all.join(", "))));
    desk.run_job().exits(0);
    as_scipy(&desk, "uniform");
    let drawn = "count = 500, skip = 1, n = { normal = { mean = 1, sd = 2 } }, \
        l = { lognormal = { mean = 1, sd = 0.5 } }, g = { loguniform = { from = 1e-3, to = 1e3 } }, \
        i = { integers = { from = -3, to = 4 } }, k = { logintegers = { from = 1, to = 1000 } }, \
        c = { choice = [10, 20, 30] }";
    let desk = Desk::with_job(&job(drawn));
    desk.run_job().exits(0);
    as_scipy(&desk, "drawn");
}

#[test]
fn a_sequence_grows_and_a_hypercube_does_not() {
    let drawn = "x = { uniform = { from = 0, to = 1 } }";
    let source = |kind: &str, count: u32| {
        let seed = if kind == "sobol" { "" } else { "seed = 3, " };
        format!("{kind} = {{ count = {count}, {seed}{drawn} }}")
    };
    for kind in ["random", "sobol"] {
        let desk = shown_by_python(&source(kind, 5));
        desk.run_job().exits(0);
        rewrite(&desk, &source(kind, 9));
        let ran = desk.run_job().exits(0);
        assert_eq!(calls(&desk), 9, "{kind}");
        assert!(!ran.stderr.contains("no place"), "{}", ran.stderr);
    }
    let desk = shown_by_python(&source("lhs", 5));
    desk.run_job().exits(0);
    rewrite(&desk, &source("lhs", 9));
    let ran = desk.run_job().exits(0);
    let says = "5 runs have no place in the job any more, because a Latin hypercube of which anything has changed has other points ('x')";
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    let strata: BTreeSet<i64> = seen(&desk, &ran)
        .as_array()
        .unwrap()
        .iter()
        .map(|x| (x.as_str().unwrap().parse::<f64>().unwrap() * 9.0) as i64)
        .collect();
    assert!(strata.into_iter().eq(0..9));
    rewrite(&desk, &source("lhs", 5));
    desk.run_job().exits(0);
    assert_eq!(calls(&desk), 5 + 9, "they are there again");
}

#[test]
fn random_points_stay_what_they_are() {
    let drawn = "random = { count = 2, seed = 5, a = { uniform = { from = 0, to = 1 } }, \
        b = { loguniform = { from = 1e-3, to = 10 } }, c = { normal = { mean = 1, sd = 2 } }, \
        d = { lognormal = { mean = 0, sd = 1 } }, e = { integers = { from = -5, to = 50 } }, \
        f = { choice = ['p', 'q', 'r'] } }";
    let expected = json!([
        {"a": 0.19355208028732052, "b": 0.5169147926362527, "c": -0.018610599258638283,
         "d": 0.32909104475946405, "e": 32, "f": "q"},
        {"a": 0.1619591242770304, "b": 0.017650498382357188, "c": -1.4621787047920738,
         "d": 1.4376633397525906, "e": 41, "f": "r"},
    ]);
    assert_eq!(json!(points(drawn)), expected);
}

/// A job over file names and numbers.
fn placed(crunch: &str) -> Desk {
    let desk = Desk::new();
    desk.write("t.csv", "a:b,n\n1,2.50\n");
    desk.write(
        "job.toml",
        &format!(
            "[crunch]\n{crunch}\n[[loop]]\nname = 'd'\nvalues = ['data/sub-01.tar.gz', 'a']\n\
             [[loop]]\nname = 'i'\nrange = {{ from = -1, to = 1 }}\n\
             [[loop]]\nname = 'x'\nvalues = [inf, 0.00123]\n\
             [[loop]]\nname = 't'\nrows = 't.csv'\nreduce = 'all'\n\
             [[loop]]\nname = 'p'\njson = '[{{\"q\": null}}]'\nreduce = 'all'\n"
        ),
    );
    desk
}

#[test]
fn placeholders_have_formats_and_parts_of_paths() {
    let words = [
        "{d:stem}",
        "{d:name}",
        "{d:dir}",
        "{d:ext}",
        "{i:03}",
        "{x:.2e}",
        "{x:>5}",
        "{t.n}",
        "{t.n:.1f}",
        "{t.a:b}",
        "{t.a:b:02}",
    ];
    let quoted = words.map(|word| format!("\"{word}\"")).join(", ");
    let command = format!(
        "command = [\"python3\", \"-c\", \"import json, sys; print(json.dumps(sys.argv[1:]))\", {quoted}]"
    );
    let shell = format!(
        "shell = '''python3 -c \"import json, sys; print(json.dumps(sys.argv[1:]))\" {}'''",
        words.join(" ")
    );
    for crunch in [command, shell] {
        let groups = placed(&crunch).run_job().exits(0).groups();
        let of = |d: &str, i: i64, x: Json| {
            let is = |group: &&Json| group["coordinates"] == json!({"d": d, "i": i, "x": x});
            groups.iter().find(is).unwrap()["summary"]["value"][0][0].clone()
        };
        assert_eq!(
            of("data/sub-01.tar.gz", -1, json!("Infinity")),
            json!([
                "sub-01.tar",
                "sub-01.tar.gz",
                "data",
                "gz",
                "-01",
                "inf",
                "  inf",
                "2.50",
                "2.5",
                "1",
                "01"
            ]),
            "{crunch}"
        );
        assert_eq!(
            of("a", 0, json!(0.00123)),
            json!(["a", "a", ".", "", "000", "1.23e-03", "0.00123", "2.50", "2.5", "1", "01"])
        );
    }
}

#[test]
fn placeholders_that_fit_no_point_are_refused() {
    for (word, says) in [
        ("{i:stem}", "{i:stem}, of loop 'i': -1 is no string, and 'stem' is a part of a path"),
        ("{d:03d}", "{d:03d}, of loop 'd': type d is for numbers, not for strings"),
        ("{x:d}", "{x:d}, of loop 'x': type d is for whole numbers, not for inf"),
        ("{d:stem:>9}", "'stem' is the one thing that may stand behind a colon"),
        ("{d:steem}", "`steem` is not of Python's format language, nor name, stem, dir or ext"),
        ("{x:.70000f}", "70000 in `.70000f` is over 65000"),
        ("{p.q}", "{p.q}: field 'q' of a point of loop 'p' is none"),
        ("{p.q:03}", "field 'q' of a point of loop 'p' is none"),
        ("{p:>9}", "Python formats no records: name a field"),
        ("$(( {i:03} ))", "{i:03} stands in arithmetic"),
        ("$(( {x} ))", "{x} stands in arithmetic, where a string can run as code, inf is 0"),
    ] {
        let ran = placed(&format!("shell = '''touch begun; echo {word}'''")).run_job();
        let ran = ran.exits(2);
        assert!(ran.stderr.contains(says), "{word}: {}", ran.stderr);
    }
}

#[test]
fn a_file_that_a_format_names_counts() {
    for (word, names) in
        [("in/{i:03}.txt", ["in/000.txt", "in/001.txt"]), ("{i:03}", ["000", "001"])]
    {
        let desk = Desk::with_job(&format!(
            "[crunch]\ncommand = ['sh', '-c', 'echo x >> calls; cat \"$1\"', 'sh', '{word}']\n\
             [[loop]]\nname = 'i'\nrange = {{ from = 0, to = 2 }}\nreduce = 'sum'\n"
        ));
        names.iter().for_each(|name| desk.write(name, "1"));
        assert_eq!(desk.run_job().exits(0).score(), 2.0);
        desk.write(names[1], "10");
        assert_eq!(desk.run_job().exits(0).score(), 11.0);
        assert_eq!(calls(&desk), 3, "{word}");
    }
}

#[test]
fn a_cell_that_is_none_is_given_as_it_is_in_the_table() {
    let desk = Desk::with_job(
        "[crunch]\ncommand = ['sh', '-c', 'echo \\[\\\"$1\\\", \\\"$2\\\"\\]', 'sh', '{t.a}', '{t.b}']\n\
         [[loop]]\nname = 't'\nrows = { file = 't.csv', na = ['null', '-'] }\nreduce = 'all'\n",
    );
    desk.write("t.csv", "a,b\n1,null\n-,2\n");
    let groups = desk.run_job().exits(0).groups();
    assert_eq!(groups[0]["summary"]["value"], json!([["1", "null"], ["-", "2"]]));
}
