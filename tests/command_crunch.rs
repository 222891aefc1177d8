//! `command = [...]` and `shell = "..."`: any program as crunch.

mod common;

use std::process::Command;

use common::{Desk, gridmpi, mpirun};
use serde_json::json;

fn desk(crunch: &str, points: &str) -> Desk {
    Desk::with_job(&format!(
        "[crunch]\n{crunch}\n[[loop]]\nname = \"x\"\nvalues = {points}\nreduce = \"all\"\n"
    ))
}

#[test]
fn arguments_reach_the_program_whole() {
    let nasty = r#"['$(touch oops)', 'a  b', '"; rm -rf /', "it's", '*']"#;
    let script =
        "#!/bin/sh\nprintf '{\"got\": [%s, \"%s\"]}\\n' $# \"$(printf %s \"$2\" | base64)\"\n";
    let argument = desk("command = [\"./show\", \"--x\", \"{x}\"]", nasty);
    argument.script("show", script);
    let shell = desk("shell = \"./show --x {x} | cat\"", nasty);
    shell.script("show", script);
    for desk in [&argument, &shell] {
        let ran = desk.run_job().exits(0);
        let got = ran.value();
        let texts: Vec<String> = got
            .as_array()
            .unwrap()
            .iter()
            .map(|run| {
                assert_eq!(run["got"][0], 2);
                let decoded = Command::new("sh")
                    .arg("-c")
                    .arg(format!("printf %s '{}' | base64 -d", run["got"][1].as_str().unwrap()))
                    .output()
                    .unwrap();
                String::from_utf8(decoded.stdout).unwrap()
            })
            .collect();
        assert_eq!(texts, ["$(touch oops)", "a  b", "\"; rm -rf /", "it's", "*"]);
        assert!(!desk.path("oops").exists());
    }
}

#[test]
fn fields_and_whole_records_can_be_placed() {
    let desk = Desk::with_job(
        "[crunch]\ncommand = [\"./show\", \"{p.a}\", \"{p}\"]\n[[loop]]\nname = \"p\"\ngrid = { a = [0.5, 1e-9], b = [\"x\"] }\nreduce = \"all\"\n",
    );
    desk.script("show", "#!/bin/sh\necho \"[$1, $2]\"\n");
    let expected = json!([[0.5, { "a": 0.5, "b": "x" }], [1e-9, { "a": 1e-9, "b": "x" }]]);
    assert_eq!(desk.run_job().exits(0).value(), expected);
}

#[test]
fn the_result_is_the_file_or_the_last_line() {
    let desk = desk("command = [\"./fit\", \"{x}\"]\nrequire = 0.1", "[1, 2, 3, 4, 5, 6]");
    desk.script(
        "fit",
        r#"#!/bin/sh
case $1 in
1) echo 7 > "$GRIDMPI_RESULT"; echo not this ;;
2) echo first; echo '{"score": 2, "more": [1]}'; echo ;;
3) echo not a number ;;
4) ;;
5) echo '{"score": ' > "$GRIDMPI_RESULT" ;;
6) echo 1e400 ;;
esac
"#,
    );
    let ran = desk.run_job().exits(100);
    assert_eq!(
        ran.value(),
        json!([7.0, { "score": 2, "more": [1] }, null, null, null, "Infinity"])
    );
    let errors = desk.sql("SELECT error FROM all_runs WHERE status = 'failed' ORDER BY task");
    assert!(
        errors[0]
            .contains("the last line on stdout is neither a number nor JSON: \"not a number\""),
        "{errors:?}"
    );
    assert_eq!(errors[2], "it wrote nothing to stdout and stderr");
    assert!(errors[1].contains("the result file is neither a number nor JSON"), "{errors:?}");
}

#[test]
fn a_program_may_be_called_for_what_it_does() {
    let job = |reduce: &str| {
        format!(
            "[crunch]\ncommand = [\"touch\", \"{{x}}.out\"]\n[[loop]]\nname = \"x\"\nvalues = [1, 2]\n{reduce}\n"
        )
    };
    for reduce in ["", "reduce = \"count\"", "reduce = \"all\""] {
        let desk = Desk::with_job(&job(reduce));
        desk.run_job().exits(0);
        assert!(desk.path("1.out").exists() && desk.path("2.out").exists());
        assert_eq!(desk.sql("SELECT DISTINCT status || ': ' || value FROM all_runs"), ["ok: null"]);
    }
    let desk = Desk::with_job(&job("reduce = \"max\""));
    desk.run_job().exits(100);
    let errors = desk.sql("SELECT DISTINCT error FROM all_runs");
    assert!(errors.len() == 1 && errors[0].contains("nothing on stdout"), "{errors:?}");
}

#[test]
fn a_failing_program_keeps_the_end_of_its_stderr() {
    let desk = desk("command = [\"./fit\", \"{x}\"]\nrequire = 0.1", "[1, 2, 3]");
    desk.script(
        "fit",
        "#!/bin/sh\ncase $1 in\n1) yes noise | head -c 1000000 >&2; echo the reason >&2; echo 5; exit 4 ;;\n2) kill -SEGV $$ ;;\n*) echo 3 ;;\nesac\n",
    );
    let ran = desk.run_job().exits(100);
    assert_eq!(ran.value(), json!([null, null, 3.0]));
    let errors = desk.sql("SELECT replace(error, char(10), ' ') FROM all_runs ORDER BY task");
    assert!(
        errors[0].contains("exit status: 4") && errors[0].ends_with("the reason"),
        "{}",
        &errors[0][..200]
    );
    assert!(errors[0].len() < 20_000);
    assert!(errors[1].contains("signal: 11"), "{errors:?}");
}

#[test]
fn a_gigabyte_of_output_is_not_kept() {
    let desk = desk("shell = \"head -c 300000000 /dev/zero; echo; echo 5\"", "[1]");
    assert_eq!(desk.run_job().exits(0).value(), json!([5.0]));
}

#[test]
fn a_large_result_may_be_printed_up_to_a_limit() {
    let line = "printf '{{\"score\": 1, \"fit\": [0'; head -c $(( 2 * {x} )) /dev/zero | sed 's/../,0/g'; echo ']}}'";
    let line = line
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace("sed 's/../,0/g'", "tr '\\\\0' ' '");
    let desk = desk(&format!("shell = \"{line}\"\nrequire = 0.1"), "[3000000, 9000000]");
    let ran = desk.run_job().exits(100);
    assert_eq!(ran.value(), json!([{ "score": 1, "fit": [0] }, null]));
    let errors = desk.sql("SELECT error FROM all_runs WHERE status = 'failed'");
    assert!(errors[0].contains("longer than 16 MiB") && errors[0].contains("GRIDMPI_RESULT"));
}

#[test]
fn numbers_that_json_lacks_are_read_and_what_cannot_be_stored_says_why() {
    let desk = desk("command = [\"./fit\", \"{x}\"]\nrequire = 0.1", "[1, 2, 3, 4, 5, 6, 7]");
    desk.script(
        "fit",
        r#"#!/bin/bash
case $1 in
1) echo '{"score": 1.5, "p": NaN, "low": -Infinity, "note": "NaN"}' ;;
2) echo '   0.48D+02' ;;
3) echo '{"score": [2.5]}' ;;
4) printf '%.0s[' {1..500}; printf '%.0s]' {1..500}; echo ;;
5) echo '{"score": 1, "n": 18446744073709551616}' > "$GRIDMPI_RESULT" ;;
6) echo '{"score": NaN}' ;;
7) printf '"a\xff"\n' ;;
esac
"#,
    );
    let ran = desk.run_job().exits(100);
    let first = json!({ "score": 1.5, "p": "NaN", "low": "-Infinity", "note": "NaN" });
    assert_eq!(ran.value(), json!([first, 48.0, null, null, null, null, null]));
    let errors = desk.sql("SELECT error FROM all_runs WHERE status = 'failed' ORDER BY task");
    let whys = [
        "auto_unbox = TRUE",
        "nested more than 127 levels deep",
        "18446744073709551616 does not fit into 64 bits",
        "the score is NaN",
        "is not UTF-8 after \"\\\"a\"",
    ];
    for (error, why) in errors.iter().zip(whys) {
        assert!(error.contains(why), "{why}: {errors:?}");
    }
}

#[test]
fn a_name_that_a_record_has_twice_fails_its_run() {
    let desk = desk("shell = \"cat {x}\"", r#"["a", "b"]"#);
    desk.write("a", r#"{"score": 1, "fit": [{"p": 1, "p": 2}]}"#);
    desk.write("b", r#"{"score": 1, "fit": {"score": 2}}"#);
    desk.run_job().exits(100);
    let error = "the last line on stdout cannot be stored: a record in it has the name \"p\" more than once";
    assert_eq!(
        desk.sql("SELECT coalesce(error, score) FROM all_runs ORDER BY task"),
        [error, "1.0"]
    );
}

#[test]
fn a_long_value_is_in_nobodys_way() {
    let value = "v".repeat(200_000);
    let unused = desk(
        "command = [\"sh\", \"-c\", \"echo ${{#GRIDMPI_POINT}}\"]",
        &format!("[\"{value}\", \"b\"]"),
    );
    assert_eq!(unused.run_job().exits(0).value(), json!([0.0, 9.0]));
    for crunch in ["command = [\"echo\", \"{x}\"]", "shell = \"echo {x} | wc -c\""] {
        let ran = desk(crunch, &format!("[\"{value}\"]")).run_job().exits(2);
        assert!(ran.stderr.contains("{x}: a value of 200000 bytes is too long"), "{}", ran.stderr);
    }
}

#[test]
fn a_zero_byte_is_refused_before_anything_runs() {
    for crunch in [r#"command = ["echo", "a\u0000"]"#, r#"shell = "echo \u0000""#] {
        let ran = desk(crunch, "[1]").run_job().exits(2);
        assert!(
            ran.stderr.contains("has a zero byte, which no program can be given"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn a_program_that_cannot_be_started_says_why() {
    for (script, why) in [
        ("echo 1\n", "no first line such as #!/bin/sh"),
        (
            "#!/bin/sh\r\necho 1\r\n",
            r##"the interpreter in its first line, "#!/bin/sh\r", is not there"##,
        ),
        ("#!/no/python\n", r##"the interpreter in its first line, "#!/no/python", is not there"##),
    ] {
        let desk = desk("command = [\"./fit\"]\nretries = 0", "[1]");
        desk.script("fit", script);
        desk.run_job().exits(100);
        let errors = desk.sql("SELECT error FROM all_runs");
        assert!(
            errors[0].contains("/fit cannot be started: ") && errors[0].contains(why),
            "{errors:?}"
        );
    }
}

#[test]
fn the_environment_tells_the_task_and_hides_the_launcher() {
    let desk = desk("command = [\"./show\"]", "[1, 2.5]");
    desk.script(
        "show",
        r#"#!/bin/sh
hidden=$(env | grep -cE '^(OMPI_COMM|PMIX_|SLURM_PROCID)')
printf '{"task": %s, "seed": %s, "attempt": %s, "rank": %s, "point": %s, "omp": %s, "hidden": %s, "here": "%s"}\n' \
    "$GRIDMPI_TASK" "$GRIDMPI_SEED" "$GRIDMPI_ATTEMPT" "$GRIDMPI_RANK" "$GRIDMPI_POINT" "$OMP_NUM_THREADS" "$hidden" "$(pwd)"
"#,
    );
    let mut launcher = mpirun(2);
    launcher.env("SLURM_PROCID", "7");
    let ran = desk.run(launcher, &["job.toml", "--format", "json"]).exits(0);
    let runs = ran.value();
    let run = &runs[1];
    assert_eq!((&run["task"], &run["attempt"], &run["rank"]), (&json!(1), &json!(1), &json!(1)));
    assert_eq!((&run["point"], &run["hidden"]), (&json!({ "x": 2.5 }), &json!(0)));
    assert_eq!(
        run["here"].as_str().unwrap(),
        desk.path("").canonicalize().unwrap().to_str().unwrap()
    );
    assert_ne!(run["seed"], runs[0]["seed"]);
}

#[test]
fn a_program_that_is_an_mpi_program_itself_starts() {
    // gridmpi --quick on two ranks, inside a rank of gridmpi.
    let program = env!("CARGO_BIN_EXE_gridmpi");
    let desk = desk(
        &format!("shell = \"mpirun --oversubscribe -n 2 {program} --quick --format csv | wc -l\""),
        "[1, 2]",
    );
    // What stays of a batch job's variables makes nothing think that it is a rank.
    let mut launcher = mpirun(3);
    launcher
        .env("SLURM_JOB_ID", "7")
        .env("SLURM_JOB_NAME", "sweep")
        .env("SLURM_ARRAY_TASK_ID", "1");
    let ran = desk.run(launcher, &["job.toml", "--format", "json"]).exits(0);
    assert_eq!(ran.value(), json!([11.0, 11.0]));
}

/// Two families with parameters of their own, each fast and slow.
const FAMILIES: &str = "
[[loop]]
name = \"fast\"
values = [true, false]
[[loop]]
name = \"model\"
values = [\"ridge\", \"forest\"]
[[loop]]
name = \"alpha\"
values = [0.1, 1.0]
only_if = { model = \"ridge\" }
[[loop]]
name = \"depth\"
values = [2, 4]
only_if = { model = \"forest\" }
";

fn families(command: &str) -> Desk {
    let desk = Desk::with_job(&format!("[crunch]\ncommand = [{command}]\n{FAMILIES}"));
    desk.script("fit", "#!/bin/sh\necho \"\\\"$# $*\\\"\"\n");
    desk
}

#[test]
fn arguments_stand_there_where_a_condition_holds() {
    let desk = families(
        r#""./fit", "{model}",
           { if = { model = "ridge" }, then = ["-a", "{alpha:.1e}"],
             else = ["-d{depth}", { if = "coalesce(depth, 0) > 3", then = "de ep" }] },
           { if = "fast", then = ["--fast"], else = [] }, "end""#,
    );
    let expected = [
        "5 ridge -a 1.0e-01 --fast end",
        "5 ridge -a 1.0e+00 --fast end",
        "4 forest -d2 --fast end",
        "5 forest -d4 de ep --fast end",
        "4 ridge -a 1.0e-01 end",
        "4 ridge -a 1.0e+00 end",
        "3 forest -d2 end",
        "4 forest -d4 de ep end",
    ];
    let called = || desk.sql("SELECT json_extract(value, '$') FROM all_runs ORDER BY task");
    desk.run_job().exits(0);
    assert_eq!(called(), expected);
    let ran = desk.run(mpirun(3), &["job.toml", "--out", "out", "--fresh"]);
    ran.exits(0);
    assert_eq!(called(), expected);
    // By hand, the same.
    let explained = desk.run(gridmpi(), &["explain", "out", "5"]).exits(0).stdout;
    assert!(explained.contains("/fit ridge -a 1.0e+00 end"), "{explained}");
    // Points that move take their truth with them, and no run is computed anew.
    let job = std::fs::read_to_string(desk.path("job.toml")).unwrap();
    let grown = job.replace("[true, false]", "[false, true]").replace("[2, 4]", "[8, 4, 2]");
    desk.write("job.toml", &grown);
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("8 of 10 runs reused"), "{}", ran.stderr);
    let new = "SELECT json_extract(value, '$') FROM all_runs WHERE depth = 8 ORDER BY task";
    assert_eq!(desk.sql(new), ["4 forest -d8 de ep end", "5 forest -d8 de ep --fast end"]);
    // Another condition is another crunch.
    desk.write("job.toml", &grown.replace("if = \"fast\"", "if = \"not fast\""));
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("crunch has changed from"), "{}", ran.stderr);
}

#[test]
fn conditions_of_arguments_are_checked_before_anything_runs() {
    for (argument, says) in [
        ("\"{alpha}\"", "give it inside an if, as in { if = \"alpha is not null\""),
        (
            r#"{ if = "fast", then = "{alpha}" }"#,
            "crunch.command[1].then: {alpha}: a point of loop 'alpha' is none",
        ),
        (
            r#"{ if = { model = "ridge" }, then = "a", else = ["{alpha}"] }"#,
            "crunch.command[1].else[0]: {alpha}: a point of loop 'alpha' is none",
        ),
        (
            r#"{ if = { model = "ridge" }, then = { if = "fast", then = "{depth}" } }"#,
            "at fast = true, model = 'ridge', depth = none",
        ),
        (r#"{ if = { model = "rigde" }, then = "a" }"#, "command[1].if: it is true nowhere"),
        (r#"{ if = { modle = "ridge" }, then = "a" }"#, "did you mean 'model'?"),
        (r#"{ if = "alpha < 1", then = "a" }"#, "alpha may be none, and a comparison"),
        (r#"{ if = "model", then = "a" }"#, "it gives the string 'ridge'"),
        (r#"{ if = "fast", then = "a", esle = "b" }"#, "did you mean 'else'?"),
        (r#"{ if = "fast" }"#, "'crunch.command[1].then' is missing"),
        (r#"{ if = "fast", then = 5 }"#, "expected an array, found 5"),
        (r#"{ if = "fast", then = "{beta}" }"#, "{beta} names no loop"),
        (
            r#"{ if = "alpha is not null", then = "{alpha:d}" }"#,
            "job.toml:2: crunch.command[1].then: {alpha:d}, of loop 'alpha'",
        ),
    ] {
        let desk = families(&format!("\"./fit\", {}", argument.replace('\n', " ")));
        let ran = desk.run_job().exits(2);
        assert!(ran.stderr.contains(says), "{argument}: {}", ran.stderr);
        assert!(!desk.path("results").exists());
    }
    let desk = families(r#"{ if = "fast", then = "./fit" }"#);
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("the program itself stands in front"), "{}", ran.stderr);
    // One that is always true is said.
    let desk = families(r#""./fit", { if = { model = ["ridge", "forest"] }, then = "a" }"#);
    let ran = desk.run_job().exits(0);
    assert!(ran.stderr.contains("command[1].if: it is true everywhere"), "{}", ran.stderr);
    // A shell that may read values as code, in one branch of several.
    let values = FAMILIES.replace("forest", "a;b");
    let job = |then: &str| {
        let branches =
            format!("{{ if = \"fast\", then = [{then}], else = [\"./fit\", \"{{model}}\"] }}");
        format!("[crunch]\ncommand = [\"sh\", {branches}]\n{values}")
    };
    let desk = Desk::with_job(&job(r#""-c", "./fit {model}""#));
    desk.script("fit", "echo 1\n");
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("could run as code"), "{}", ran.stderr);
    desk.write("job.toml", &job(r#""-x", "./fit", "{model}""#));
    desk.run_job().exits(0);
}

#[test]
fn placeholders_of_fields_that_some_points_lack_need_an_if() {
    let job = |command: &str| {
        format!(
            "[crunch]\ncommand = [\"./fit\", {command}]
[[loop]]
name = \"p\"
grids = [{{ model = [\"ridge\"], alpha = [0.5, 1] }}, {{ model = [\"forest\"], depth = [3] }}]
"
        )
    };
    let desk = Desk::with_job(&job("\"{p.depth}\""));
    desk.script("fit", "#!/bin/sh\necho \"\\\"$*\\\"\"\n");
    let ran = desk.run_job().exits(2);
    assert!(ran.stderr.contains("field 'depth' of a point of loop 'p' is none"), "{}", ran.stderr);
    let both = r#"{ if = "p.depth is null", then = "a{p.alpha}", else = "d{p.depth}" }"#;
    desk.write("job.toml", &job(both));
    desk.run_job().exits(0);
    let called = desk.sql("SELECT json_extract(value, '$') FROM all_runs ORDER BY task");
    assert_eq!(called, ["a0.5", "a1", "d3"]);
    let short = r#"{ if = { "p.model" = "forest" }, then = ["{p.model}", "{p.depth}"] }"#;
    desk.write("job.toml", &job(short));
    desk.run(gridmpi(), &["job.toml", "--threads", "2", "--out", "out", "--fresh"]).exits(0);
    let called = desk.sql("SELECT json_extract(value, '$') FROM all_runs ORDER BY task");
    assert_eq!(called, ["", "", "forest 3"]);
}
