//! `r = "file.R:function"` with a real R: the same numbers as Python's, and what becomes of all kinds of values.

mod common;

use common::{Desk, gridmpi, mpirun};
use serde_json::json;

fn job(crunch: &str, points: &str) -> String {
    format!(
        "[crunch]\nr = \"fit.R:crunch\"\n{crunch}\n[[loop]]\nname = \"x\"\n{points}\nreduce = \"all\"\n"
    )
}

fn desk(code: &str, crunch: &str, points: &str) -> Desk {
    let desk = Desk::with_job(&job(crunch, points));
    desk.write("fit.R", code);
    desk
}

/// A job in which each point has a function of its own: these bodies.
fn of_bodies(bodies: &[&str]) -> Desk {
    let functions: Vec<String> =
        bodies.iter().map(|body| format!("function(x) {{ {body} }}")).collect();
    let code = format!(
        "all <- list(\n{}\n)\ncrunch <- function(x) all[[x + 1]](x)\n",
        functions.join(",\n")
    );
    desk(&code, "require = 0.001", &format!("range = {{ from = 0, to = {} }}", bodies.len()))
}

fn errors(desk: &Desk) -> Vec<String> {
    desk.sql("SELECT replace(error, char(10), ' | ') FROM all_runs WHERE status = 'failed' ORDER BY task")
}

#[test]
fn r_and_python_give_the_same_model_the_same_bits() {
    let points = "[[loop]]\nname = \"a\"\nlogspace = { from = 1e-300, to = 1e300, count = 40 }\n[[loop]]\nname = \"b\"\nrandom = { count = 50, seed = 3, b = { uniform = { from = -10.0, to = 10.0 } } }\nreduce = \"all\"\n";
    let both = Desk::new();
    both.write(
        "fit.R",
        "crunch <- function(a, b) list(score = a * b + b / 3, a = a, b = b, list = c(a, b, -a))\n",
    );
    both.write("fit.py", "def crunch(a, b):\n    return {'score': a * b + b / 3, 'a': a, 'b': b, 'list': [a, b, -a]}\n");
    both.write("r.toml", &format!("[crunch]\nr = \"fit.R:crunch\"\n{points}"));
    both.write("python.toml", &format!("[crunch]\npython = \"fit.py:crunch\"\n{points}"));
    let r = both.run(mpirun(3), &["r.toml", "--out", "r", "--format", "json"]).exits(0);
    let python =
        both.run(gridmpi(), &["python.toml", "--out", "python", "--format", "json"]).exits(0);
    assert_eq!(r.groups().len(), 40);
    assert_eq!(r.json()["groups"], python.json()["groups"]);
    let rows = |out: &str| common::runs_without_times(&both.path(&format!("{out}/runs.sqlite")));
    assert!(rows("r").len() > 2000);
    assert_eq!(rows("r"), rows("python"));
}

#[test]
fn every_double_and_whole_number_arrives_as_it_is() {
    // What was the number, as R prints its bits.
    let code = "crunch <- function(x) list(type = typeof(x), bits = paste(rev(format(writeBin(as.double(x), raw()))), collapse = ''), x = x)\n";
    let points = [
        "0.1",
        "-0.0",
        "5e-324",
        "2.2250738585072014e-308",
        "1.7976931348623157e308",
        "0.30000000000000004",
        "1e22",
        "1e23",
        "123456789.12345679",
        "9007199254740993.0",
        "Infinity",
        "2147483647",
        "-2147483647",
        "2147483648",
        "9007199254740992",
        "-7",
    ];
    let desk = desk(code, "", &format!("json = '[{}]'", points.join(", ")));
    let value = desk.run_job().exits(0).value();
    for (at, point) in points.iter().enumerate() {
        let number: f64 = point.parse().unwrap();
        assert_eq!(value[at]["bits"], json!(format!("{:016x}", number.to_bits())), "{point}");
        let is_integer = !point.contains(['.', 'e']) && number.abs() < 2147483648.0;
        assert_eq!(
            value[at]["type"],
            json!(if is_integer { "integer" } else { "double" }),
            "{point}"
        );
        match number.is_finite() {
            true => {
                assert_eq!(value[at]["x"].as_f64().unwrap().to_bits(), number.to_bits(), "{point}")
            }
            false => assert_eq!(value[at]["x"], json!("Infinity")),
        }
        assert_eq!(value[at]["x"].is_f64() || !number.is_finite(), !is_integer, "{point}");
    }
    desk.write("job.toml", &job("", "values = [9007199254740993]"));
    desk.run(gridmpi(), &["job.toml", "--out", "large"]).exits(100);
    let error =
        common::sql_rows(&desk.path("large/runs.sqlite"), "SELECT error FROM all_runs").join("");
    assert!(error.contains("9007199254740993 is none that R holds exactly"), "{error}");
}

#[test]
fn points_become_rs_own_values() {
    let code = "crunch <- function(x) paste(deparse(x, width.cutoff = 500L), collapse = '')\n";
    let given = [
        ("null", "NULL"),
        ("true", "TRUE"),
        ("\"é\\\"\\\\ \\n\\u0001{[\"", "\"é\\\"\\\\ \\n\\001{[\""),
        ("[1, 2, 3]", "1:3"),
        ("[1, 2.5, null]", "c(1, 2.5, NA)"),
        ("[\"a\", null]", "c(\"a\", NA)"),
        ("[true, null]", "c(TRUE, NA)"),
        ("[null, null]", "c(NA, NA)"),
        ("[1, \"a\", null]", "list(1L, \"a\", NULL)"),
        ("[]", "list()"),
        ("[[1, 2], [3]]", "list(1:2, 3L)"),
        (
            "{\"a\": 1, \"b b\": {\"c\": [null, Infinity]}, \"d\": null}",
            "list(a = 1L, \"b b\" = list(c = c(NA, Inf)), d = NULL)",
        ),
        ("{}", "structure(list(), names = character(0))"),
    ];
    let points: Vec<&str> = given.iter().map(|(point, _)| *point).collect();
    let desk = desk(code, "", &format!("json = '''[{}]'''", points.join(", ")));
    let value = desk.run_job().exits(0).value();
    for (at, (point, expected)) in given.iter().enumerate() {
        assert_eq!(value[at], json!(expected), "{point}");
    }
}

#[test]
fn results_of_all_kinds_are_kept() {
    let cases = [
        ("list(score = 3L)", json!({"score": 3})),
        ("list(score = 3)", json!({"score": 3.0})),
        ("100000L", json!(100000.0)),
        ("c(only = 2.5)", json!(2.5)),
        ("c(1L, NA)", json!([1, null])),
        ("c(a = 1, b = NaN)", json!({"a": 1.0, "b": "NaN"})),
        ("c(TRUE, NA, FALSE)", json!([true, null, false])),
        ("list(1, 'a', NULL, list())", json!([1.0, "a", null, []])),
        (
            "list(score = 1, f = factor(c('u', 'v')), n = NA)",
            json!({"score": 1.0, "f": ["u", "v"], "n": null}),
        ),
        ("data.frame(a = 1:2, b = c('x', NA))", json!({"a": [1, 2], "b": ["x", null]})),
        ("matrix(1:6, 2)", json!([[1, 3, 5], [2, 4, 6]])),
        ("t(1:3) %*% 1:3", json!(14.0)),
        ("as.Date('2024-02-29')", json!("2024-02-29")),
        ("as.POSIXct('2024-02-29 12:00:00', tz = 'Etc/GMT+1')", json!("2024-02-29T13:00:00Z")),
        ("as.POSIXlt('2024-02-29 12:00:00.5', tz = 'UTC')", json!("2024-02-29T12:00:00.500000Z")),
        ("c(Inf, -Inf, 1e22, 1e-7, -0.0)", json!(["Infinity", "-Infinity", 1e22, 1e-7, -0.0])),
        ("'tab\\t \"q\" \\\\ é \\001'", json!("tab\t \"q\" \\ é \u{1}")),
        ("table(c('a', 'b', 'a'))", json!({"a": 2, "b": 1})),
        ("structure(list(), names = character())", json!({})),
        ("character()", json!([])),
    ];
    let value = of_bodies(&cases.each_ref().map(|(code, _)| *code)).run_job().exits(0).value();
    for (at, (code, kept)) in cases.iter().enumerate() {
        assert_eq!(value[at], *kept, "{code}");
    }
}

#[test]
fn what_cannot_be_kept_is_an_error_with_its_class_and_place() {
    let cases = [
        ("list(1, a = 2)", "some have none"),
        ("list(score = 1, fit = list(f = mean))", "a function in $value$fit$f"),
        ("globalenv()", "a environment"),
        ("1i", "a complex"),
        ("list(a = 1, a = 2)", "\"a\" is there twice"),
        ("as.difftime(2, units = 'hours')", "a difftime"),
        ("quote(a + b)", "a call"),
        ("array(1:8, c(2, 2, 2))", "3 dimensions"),
        ("'\\xff'", "not UTF-8"),
        ("structure(1, class = 'integer64')", "a integer64"),
    ];
    let desk = of_bodies(&[&["1"], &cases.each_ref().map(|(code, _)| *code)[..]].concat());
    desk.run_job().exits(100);
    let errors = errors(&desk);
    assert_eq!(errors.len(), cases.len(), "{errors:?}");
    for (error, (code, says)) in errors.iter().zip(cases) {
        assert!(error.contains(says), "{code}: {error}");
    }
}

#[test]
fn null_is_no_score() {
    let none = desk("crunch <- function(x) NULL\n", "", "values = [1]");
    none.write("job.toml", &job("", "values = [1]").replace("\"all\"", "\"max\""));
    none.run_job().exits(100);
    assert!(errors(&none)[0].contains("crunch returned NULL"), "{:?}", errors(&none));
}

#[test]
fn errors_have_their_call_and_warnings_are_output() {
    let code = r#"
deeper <- function(x) stop("no ", x)
crunch <- function(x) {
  cat("to stdout", x, "\n")
  if (x == 1) deeper(x)
  if (x == 2) quit(status = 3)
  if (x == 3) as.numeric("three")
  if (x == 4) { as.numeric("four"); stop("gave up") }
  if (x == 5) { f <- function() f(); f() }
  if (x == 6) { options(warn = 2); as.numeric("six") }
  x
}
"#;
    let desk = desk(code, "require = 0.1", "values = [0, 1, 2, 3, 4, 5, 6, 7]");
    let arguments = ["job.toml", "--threads", "1", "-v", "--out", "out", "--format", "json"];
    let ran = desk.run(gridmpi(), &arguments).exits(100);
    assert_eq!(ran.value(), json!([0.0, null, null, 3.0, null, null, null, 7.0]));
    let errors = errors(&desk);
    assert_eq!(errors[0], "Error in deeper(x) : no 1");
    assert!(
        errors[1].contains("the R child ended (exit status: 3)")
            && errors[1].contains("to stdout 2"),
        "{errors:?}"
    );
    assert!(errors[2].starts_with("Error in crunch(x = x) : gave up | Warning in"), "{errors:?}");
    assert!(errors[3].contains("infinite recursion") || errors[3].contains("stack"), "{errors:?}");
    assert!(errors[4].contains("converted from warning"), "{errors:?}");
    assert!(ran.stderr.contains("NAs introduced by coercion"), "{}", ran.stderr);
}

#[test]
fn a_task_has_the_same_random_numbers_wherever_it_runs() {
    let code = "crunch <- function(x, seed) { own <- list(score = runif(1), n = rnorm(1), s = sample(100L, 3), seed = seed); RNGkind('Wichmann-Hill', 'Box-Muller', 'Rounding'); own }\n";
    let desk = desk(code, "", "values = [1, 2, 3, 4, 5, 6]");
    let one = desk
        .run(gridmpi(), &["job.toml", "--threads", "1", "--out", "one", "--format", "json"])
        .exits(0)
        .value();
    let many =
        desk.run(mpirun(4), &["job.toml", "--out", "many", "--format", "json"]).exits(0).value();
    assert_eq!(one, many);
    desk.write(
        "by.R",
        &format!(
            "set.seed({}, kind = \"L'Ecuyer-CMRG\"); cat(sprintf('%.17g', runif(1)))",
            one[2]["seed"]
        ),
    );
    let by_hand = desk.run(std::process::Command::new("Rscript"), &["by.R"]).exits(0).stdout;
    assert_eq!(by_hand.parse::<f64>().unwrap(), one[2]["score"].as_f64().unwrap());
}

#[test]
fn what_a_call_changes_does_not_reach_the_next_one() {
    let code = r#"
crunch <- function(x) {
  seen <- list(score = 1, wd = basename(getwd()) == home, digits = getOption("digits"), env = Sys.getenv("OWN"), sinks = sink.number())
  setwd("/"); options(digits = 3); Sys.setenv(OWN = "x"); sink(tempfile())
  seen
}
home <- basename(getwd())
"#;
    let desk = desk(code, "", "values = [1, 2, 3]");
    let value = desk
        .run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out", "--format", "json"])
        .exits(0)
        .value();
    for run in value.as_array().unwrap() {
        assert_eq!(run["wd"], json!(true));
        assert_eq!(
            [&run["digits"], &run["env"], &run["sinks"]],
            [&json!(7), &json!(""), &json!(0)]
        );
    }
}

#[test]
fn functions_are_looked_for_before_anything_runs() {
    for (code, crunch, says) in [
        ("cruch <- function(x) x", "", "fit.R has no function 'crunch'; did you mean 'cruch'?"),
        ("crunch <- function(y) y", "", "it has no parameter 'x'"),
        ("crunch <- function(x, y) y", "", "its parameter 'y' gets no value"),
        ("crunch <- function(x) x +", "", "fit.R"),
        ("stop('no data')", "", "no data"),
        ("library(no.such.package)", "", "no.such.package"),
        ("crunch <- function(x) x", "load = \"fit.R:load\"", "fit.R has no function 'load'"),
        ("crunch <- function(x) x", "load = \"none.R:load\"", "there is no file none.R"),
        ("crunch <- function(x) x", "interpreter = \"no-such-R\"", "no-such-R\" is not on PATH"),
        ("quit(status = 4)", "", "the R child ended (exit status: 4)"),
    ] {
        let ran = desk(code, crunch, "values = [1]").run_job().exits(2);
        assert!(
            ran.stderr.contains("crunch.r: ") && ran.stderr.contains(says),
            "{code}: {}",
            ran.stderr
        );
    }
    let fine = desk("crunch <- function(..., more = 1) list(...)$x + more", "", "values = [1]");
    assert_eq!(fine.run_job().exits(0).value(), json!([2.0]));
    let text = job("", "values = [1]").replace("\"all\"", "{ r = \"fit.R:total\" }");
    fine.write("job.toml", &text);
    let ran = fine.run(gridmpi(), &["job.toml", "--out", "other"]).exits(2);
    assert!(
        ran.stderr.contains("loop.x.reduce") && ran.stderr.contains("no function 'total'"),
        "{}",
        ran.stderr
    );
}

#[test]
fn files_that_it_sources_by_literal_names_count() {
    let desk = desk(
        "source(\"common.R\")\n# source(\"comment.R\")\ncrunch <- function(x) shared(x)\n",
        "",
        "values = [1]",
    );
    desk.write("common.R", "base::source('deep.R', local = TRUE)\nshared <- function(x) x + one\n");
    desk.write("deep.R", "one <- 1\n");
    desk.write("comment.R", "");
    assert_eq!(desk.run_job().exits(0).value(), json!([2.0]));
    desk.write("comment.R", "1\n");
    desk.run_job().exits(0);
    for file in ["common.R", "deep.R", "fit.R"] {
        let text = std::fs::read_to_string(desk.path(file)).unwrap();
        desk.write(file, &(text.clone() + "# changed\n"));
        let ran = desk.run_job().exits(2);
        assert!(ran.stderr.contains(&format!("{file} has changed")), "{file}: {}", ran.stderr);
        desk.write(file, &text);
    }
    desk.run_job().exits(0);
}

#[test]
fn data_is_loaded_once_in_each_child_and_given_to_the_final_function() {
    let code = r#"
loads <- 0
load <- function(point) { loads <<- loads + 1; list(n = point * 100) }
crunch <- function(x, y) { x$n <- x$n + y; list(score = x$n, loads = loads) }
last <- function(x, y, summary, folder, seed) {
  writeLines("kept", file.path(folder, "file.txt"))
  list(n = x$n, best = y, score = summary$score, seeded = runif(1))
}
total <- function(runs) {
  values <- vapply(runs, function(run) if (run$status == "ok") run$value$score else NA_real_, 0)
  list(score = sum(values), first = runs[[1]]$y, n = length(runs))
}
"#;
    let loops = |reduce: &str| {
        format!(
            "[[loop]]\nname = \"x\"\nvalues = [1, 2]\n[[loop]]\nname = \"y\"\nvalues = [1, 2, 3]\nreduce = {reduce}\n"
        )
    };
    let crunch = "[crunch]\nr = \"fit.R:crunch\"\nload = \"fit.R:load\"\n";
    let desk = Desk::new();
    desk.write("fit.R", code);
    desk.write("job.toml", &format!("{crunch}{}[final]\nr = \"fit.R:last\"\n", loops("\"max\"")));
    let ran = desk
        .run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out", "--format", "json"])
        .exits(0);
    let groups = ran.groups();
    assert_eq!(
        groups[0]["summary"]["score"],
        json!(103.0),
        "no call has changed the data of others"
    );
    assert_eq!(desk.sql("SELECT max(json_extract(value, '$.loads')) FROM all_runs"), ["2.0"]);
    let found = json!(groups).to_string();
    assert!(
        found.contains(r#""n":100,"best":3,"score":103.0"#)
            || found.contains(r#""n":100.0,"best":3,"score":103.0"#),
        "{found}"
    );
    assert!(desk.path("out/final/x=2/file.txt").exists());
    for place in ["master", "workers"] {
        desk.write(
            "total.toml",
            &format!("reduce_on = \"{place}\"\n{crunch}{}", loops("{ r = \"fit.R:total\" }")),
        );
        let ran = desk.run(mpirun(3), &["total.toml", "--out", place, "--format", "json"]).exits(0);
        assert_eq!(
            ran.groups()[1]["summary"]["value"],
            json!({"score": 606.0, "first": 1, "n": 3})
        );
        let table = desk.run(gridmpi(), &["total.toml", "--out", place]).exits(0).stdout;
        assert!(table.contains("total score"), "{table}");
    }
    desk.write(
        "wrong.toml",
        &format!("{crunch}{}[final]\nr = \"fit.R:total\"\n", loops("\"mean\"")),
    );
    let ran = desk.run(gridmpi(), &["wrong.toml"]).exits(2);
    assert!(
        ran.stderr.contains("final.r: ")
            && ran.stderr.contains("'runs' is nothing that a final call is given"),
        "{}",
        ran.stderr
    );
}

#[test]
fn each_call_has_a_folder_of_its_own_and_an_environment() {
    let code = "crunch <- function(x, workdir) {
  stopifnot(normalizePath(getwd()) == normalizePath(workdir), Sys.getenv('GRIDMPI_WORKDIR') == workdir)
  stopifnot(!file.exists('out'), readLines('deck') == paste('x =', x))
  source('later.R')
  cat(later(x), file = 'out')
  list(score = as.numeric(readLines('out', warn = FALSE)), unit = Sys.getenv('UNIT'))
}
";
    let crunch = "env = { UNIT = \"mm\" }\nworkdir = { template = \"deck.in\", keep = [\"out\"] }";
    let desk = desk(code, crunch, "values = [1, 2, 3, 4]");
    desk.write("later.R", "later <- function(x) x * 2\n");
    desk.write("deck.in", "x = {{ x }}\n");
    desk.run(mpirun(3), &["job.toml", "--out", "out"]).exits(0);
    let rows = "SELECT x || ' ' || score || ' ' || (value ->> 'unit') || ' ' || workdir FROM all_runs ORDER BY x";
    let folder = |x: i32| format!("{x} {}.0 mm runs/x={x}", 2 * x);
    assert_eq!(desk.sql(rows), (1..=4).map(folder).collect::<Vec<_>>());
    assert_eq!(std::fs::read_to_string(desk.path("out/runs/x=3/out")).unwrap(), "6");

    desk.write("job.toml", &job("env = { UNIT = \"{x}\" }", "values = [1]"));
    let refused = desk.run(gridmpi(), &["job.toml", "--out", "out", "--fresh"]).exits(2);
    assert!(refused.stderr.contains("no placeholders"), "{}", refused.stderr);
}

#[test]
fn files_behave_as_in_rscript() {
    // Methods that base calls; a folder that the file goes to; conditions without a restart; texts with `\\/`.
    let code = "setwd('below')
mean.feet <- function(x, ...) 0.3048 * mean(unclass(x))
crunch <- function(x) {
  signalCondition(structure(class = c('old', 'warning', 'condition'), list(message = 'old', call = NULL)))
  c(sapply(list(structure(10, class = 'feet')), mean), scan('p.txt', quiet = TRUE), nchar(x))
}
";
    let desk = desk(code, "", "values = ['a\\/b', 'c', 'd', 'e']");
    std::fs::create_dir(desk.path("below")).unwrap();
    desk.write("below/p.txt", "100\n");
    desk.write("p.txt", "1\n");
    let ran = desk
        .run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out", "--format", "json"])
        .exits(0);
    let of = |length: f64| json!([3.048, 100.0, length]);
    assert_eq!(ran.value(), json!([of(4.0), of(1.0), of(1.0), of(1.0)]));

    let both = |body: &str| {
        let desk = of_bodies(&[body, body, body]);
        desk.run(gridmpi(), &["job.toml", "--threads", "1", "--out", "out", "--format", "json"])
            .exits(0)
            .value()
    };
    // What a call sets does not reach the next one.
    let option = "v <- getOption('fit.scale', 1); options(fit.scale = 100); v";
    assert_eq!(both(option), json!([1.0, 1.0, 1.0]));
    let sink =
        "n <- sink.number(type = 'message'); sink(file(tempfile(), 'w'), type = 'message'); n";
    assert_eq!(both(sink), json!([2.0, 2.0, 2.0]));
    let locale = "l <- Sys.getlocale('LC_CTYPE'); Sys.setlocale('LC_CTYPE', 'C'); l == 'C'";
    assert_eq!(both(locale), json!([false, false, false]));
}

#[test]
fn what_is_sourced_with_chdir_counts_and_no_loop_is_taken_for_another_parameter() {
    let desk = desk(
        "source('lib/outer.R', chdir = TRUE)\ncrunch <- function(x) x * w\n",
        "",
        "values = [1, 2]",
    );
    std::fs::create_dir(desk.path("lib")).unwrap();
    desk.write("lib/outer.R", "source('inner.R')\n");
    desk.write("lib/inner.R", "w <- 1\n");
    desk.run_job().exits(0);
    desk.write("lib/inner.R", "w <- 5\n");
    let refused = desk.run_job().exits(2);
    assert!(refused.stderr.contains("lib/inner.R has changed"), "{}", refused.stderr);
    desk.write("fit.R", "crunch <- function(x_max = 100, ...) x_max\n");
    let refused = desk.run(gridmpi(), &["job.toml", "--fresh", "--out", "out"]).exits(2);
    assert!(
        refused.stderr.contains("R would take 'x' for the parameter 'x_max'"),
        "{}",
        refused.stderr
    );
}
