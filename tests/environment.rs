//! What a program finds in its environment, and what gridmpi tells it under its own name.

mod common;

use common::{Desk, gridmpi};
use serde_json::{Value as Json, json};

/// Prints the variables whose names match the pattern, as a record.
const SHOW: &str = r#"#!/usr/bin/env python3
import json, os, re, sys
open('calls', 'a').write('called\n')
print(json.dumps({name: value for name, value in sorted(os.environ.items()) if re.match(sys.argv[1], name)}))
"#;

fn desk(crunch: &str, loops: &str) -> Desk {
    let desk = Desk::with_job(&format!("[crunch]\n{crunch}\n{loops}"));
    desk.script("show", SHOW);
    desk
}

fn of(name: &str, points: &str) -> String {
    format!("[[loop]]\nname = \"{name}\"\n{points}\nreduce = \"all\"\n")
}

/// The values of the runs of one loop.
fn values(desk: &Desk) -> Vec<Json> {
    desk.run_job().exits(0).value().as_array().unwrap().clone()
}

#[test]
fn each_loop_and_field_has_a_variable_and_none_has_none() {
    let desk = desk(
        "command = [\"./show\", \"GRIDMPI_LOOP_\"]",
        &of(
            "model",
            r#"json = '[{"name": "a b", "depth size": null, "rate": 1e-7}, {"name": "c", "depth size": 2, "rate": true}]'"#,
        ),
    );
    let runs = values(&desk);
    assert_eq!(
        runs[0],
        json!({
            "GRIDMPI_LOOP_model": r#"{"name":"a b","depth size":null,"rate":1e-7}"#,
            "GRIDMPI_LOOP_model__name": "a b",
            "GRIDMPI_LOOP_model__rate": "1e-7",
        })
    );
    assert_eq!(runs[1]["GRIDMPI_LOOP_model__depth_size"], "2");
    assert_eq!(runs[1]["GRIDMPI_LOOP_model__rate"], "true");
}

#[test]
fn a_table_has_its_own_text_and_names_that_collide_are_told() {
    let desk = desk(
        "command = [\"./show\", \"GRIDMPI_LOOP_case__\"]",
        &of("case", "rows = \"cases.csv\""),
    );
    desk.write("cases.csv", "x,a b,a_b\n1.50,1,2\n");
    let ran = desk.run_job().exits(0);
    assert_eq!(ran.value(), json!([{ "GRIDMPI_LOOP_case__x": "1.50" }]));
    assert!(
        ran.stderr.contains(
            "GRIDMPI_LOOP_case__a_b would be the variable of field 'a b' of loop 'case' and of field 'a_b' of loop 'case'"
        ),
        "{}",
        ran.stderr
    );
}

#[test]
fn points_too_long_for_a_variable_are_in_a_file() {
    let desk = desk(
        "shell = \"test -z \\\"$GRIDMPI_POINT\\\" && python3 -c 'import json, os; print(len(json.load(open(os.environ[\\\"GRIDMPI_POINT_FILE\\\"]))[\\\"x\\\"]))' && test -z \\\"$GRIDMPI_LOOP_x\\\" && test \\\"$GRIDMPI_LOOP_y\\\" = 3\"",
        &(of("x", "python = \"points.py:points\"") + &of("y", "values = [3]")),
    );
    desk.write("points.py", "def points():\n    return ['a' * 200000, 'b' * 300000]\n");
    assert_eq!(desk.run_job().exits(0).value(), json!([[200000.0], [300000.0]]));
}

#[test]
fn what_gridmpi_tells_stands_in_commands_shell_lines_and_variables() {
    let desk = desk(
        "command = [\"./tell\", \"{gridmpi.seed}\", \"{gridmpi.task:03}\", \"{gridmpi.attempt}\", \"{gridmpi.id}\", \"{gridmpi.job}\", \"{gridmpi.cores}\"]",
        &of("x", "values = [5, 6]"),
    );
    desk.script(
        "tell",
        "#!/bin/sh\necho \"{\\\"same\\\": \\\"$([ \"$1 $3 $4\" = \"$GRIDMPI_SEED $GRIDMPI_ATTEMPT $GRIDMPI_ID\" ] && echo yes)\\\", \\\"task\\\": \\\"$2\\\", \\\"id\\\": \\\"$4\\\", \\\"job\\\": \\\"$5\\\", \\\"cores\\\": $6}\"\n",
    );
    let runs = values(&desk);
    for (task, run) in runs.iter().enumerate() {
        assert_eq!(run["same"], "yes", "{run}");
        assert_eq!(run["task"], format!("{task:03}"));
        assert_eq!(run["job"], desk.path("").canonicalize().unwrap().to_str().unwrap());
        assert!(run["cores"].as_u64() >= Some(1), "{run}");
    }
    assert_ne!(runs[0]["id"], runs[1]["id"]);
    // The grid grows in front: the same points keep their names.
    let shell = "shell = \"printf '%s' \\\"\\\\\\\"\\\"{gridmpi.id}\\\"\\\\\\\"\\\"; : $(( {gridmpi.task} + {gridmpi.seed} ))\"";
    desk.write("job.toml", &format!("[crunch]\n{shell}\n{}", of("x", "values = [4, 6, 5]")));
    let grown =
        desk.run(gridmpi(), &["job.toml", "--format", "json", "--out", "grown"]).exits(0).value();
    assert_eq!((&grown[2], &grown[1]), (&runs[0]["id"], &runs[1]["id"]));
}

#[test]
fn names_that_mean_nothing_here_are_refused() {
    for (crunch, why) in [
        (
            "command = [\"./show\", \"{gridmpi.sed}\"]",
            "there is no {gridmpi.sed}; did you mean 'seed'?",
        ),
        ("command = [\"./show\", \"{gridmpi}\"]", "{gridmpi} is several things"),
        ("command = [\"./show\", \"{gridmpi.workdir}\"]", "no run has a folder of its own"),
        ("command = [\"./show\", \"{gridmpi.id:03d}\"]", "is for numbers"),
        ("command = [\"./show\", \"{{ x }}\"]", "{{ x }}: placeholders have one brace here: {x}"),
        ("shell = \"./show {{gridmpi.seed}}\"", "placeholders have one brace here: {gridmpi}"),
        ("shell = \"echo $(( {gridmpi.id} ))\"", "only numbers may stand there"),
        ("shell = \"bash -c './show {gridmpi.job}' # $(( 1 ))\"", "inside '...'"),
        ("command = [\"./show\"]\nenv = { GRIDMPI_X = 1 }", "begin with GRIDMPI_"),
        ("command = [\"./show\"]\nenv = { A = \"{y}\" }", "names no loop"),
        ("command = [\"./show\"]\nenv = { PATH = \"/bin\" }", "by gridmpi's own PATH"),
        (
            "command = [\"./show\"]\ngpus = 1\nenv = { CUDA_VISIBLE_DEVICES = \"0\" }",
            "each task has devices of its own",
        ),
        ("command = [\"./show\"]\nkeep_env = [\"*\"]", "no name of a variable"),
        ("python = \"f.py:f\"\nenv = { A = \"{x}\" }", "one process serves many tasks"),
        ("builtin = \"multiply\"\nenv = { A = 1 }", "a builtin starts no process"),
    ] {
        let ran = desk(crunch, &of("x", "values = [1]")).run_job().exits(2);
        assert!(
            ran.stderr.contains(why) && ran.stderr.contains("job.toml:"),
            "{crunch}: {}",
            ran.stderr
        );
    }
    let ran = desk("command = [\"./show\"]", &of("gridmpi", "values = [1]")).run_job().exits(2);
    assert!(ran.stderr.contains("'gridmpi' is what gridmpi itself tells a run"), "{}", ran.stderr);
    // Braces that are text stay text.
    let awk = "shell = \"echo 3 | awk '{{ x = $1; print x }}'\"";
    assert_eq!(values(&desk(awk, &of("x", "values = [1]"))), [json!(3.0)]);
}

#[test]
fn a_job_sets_variables_and_keeps_the_launchers_that_it_names() {
    let crunch = "command = [\"./show\", \"^(FIT_|SLURM_|OMPI_COMM_WORLD_RANK)\"]\nenv = { FIT_X = \"x{x:03}\", FIT_N = 3 }\nkeep_env = [\"SLURM_NODE*\"]";
    let desk = desk(crunch, &of("x", "values = [7]"));
    let mut launcher = gridmpi();
    for (name, value) in [
        ("SLURM_JOB_ID", "12"),
        ("SLURM_TMPDIR", "/scratch/12"),
        ("SLURM_PROCID", "1"),
        ("SLURM_JOBID", "12"),
        ("SLURM_NODELIST", "n[1-2]"),
    ] {
        launcher.env(name, value);
    }
    let ran = desk
        .run(launcher, &["job.toml", "--threads", "2", "--format", "json", "--out", "out"])
        .exits(0);
    let expected = json!({
        "FIT_X": "x007", "FIT_N": "3", "SLURM_JOB_ID": "12", "SLURM_TMPDIR": "/scratch/12",
        "SLURM_NODELIST": "n[1-2]",
    });
    assert_eq!(ran.value(), json!([expected]));
    // What is set is a part of what crunch is; what is kept is not.
    let changed = |crunch: &str| {
        desk.write("job.toml", &format!("[crunch]\n{crunch}\n{}", of("x", "values = [7]")));
        desk.run_job()
    };
    changed(&crunch.replace("SLURM_NODE*", "SLURM_*")).exits(0);
    assert_eq!(desk.calls().len(), 1);
    let refused = changed(&crunch.replace("FIT_N = 3", "FIT_N = 4")).exits(2);
    assert!(refused.stderr.contains("crunch has changed from"), "{}", refused.stderr);
}

#[test]
fn python_gets_the_variables_that_the_job_sets() {
    let desk = desk("python = \"f.py:f\"\nenv = { FIT_X = \"{{a}}\" }", &of("x", "values = [1]"));
    desk.write(
        "f.py",
        "import os\nAT_START = os.environ['FIT_X']\ndef f(x):\n    return {'at': AT_START}\n",
    );
    assert_eq!(values(&desk), [json!({ "at": "{a}" })]);
}

#[test]
fn a_gridmpi_inside_a_run_knows_nothing_of_that_run() {
    let desk =
        desk("command = [\"./show\", \"^GRIDMPI_(LOOP|POINT|ID)\"]", &of("y", "values = [2]"));
    let mut outer = gridmpi();
    for name in ["GRIDMPI_LOOP_x", "GRIDMPI_POINT_FILE", "GRIDMPI_ID"] {
        outer.env(name, "outer");
    }
    let run = desk.run(outer, &["job.toml", "--format", "json"]).exits(0).value()[0].clone();
    let names: Vec<&String> = run.as_object().unwrap().keys().collect();
    assert_eq!(names, ["GRIDMPI_ID", "GRIDMPI_LOOP_y", "GRIDMPI_POINT"]);
    assert_ne!(run["GRIDMPI_ID"], "outer");
}

#[test]
fn the_call_by_hand_can_be_pasted() {
    let line = "shell = '''\ncat > in.$GRIDMPI_ID <<END\n\tx is {x}\nEND\ncat in.{gridmpi.id} - <<'END' | tail -n 2 | tr -d '\\n'\n it's\nEND\necho; echo \"$A $GRIDMPI_LOOP_x\" | wc -w\n'''\nenv = { A = \"two words\" }";
    let desk = desk(line, &of("x", "values = [1, \"a'b\"]"));
    let expected = values(&desk);
    let said = desk.says(&["explain", "out", "1"]);
    let at = said.lines().position(|line| line.starts_with("by hand")).unwrap();
    let pasted = said.lines().nth(at).unwrap().strip_prefix("by hand").unwrap().trim();
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", pasted]).current_dir("/");
    let ran = desk.run(bash, &[]).exits(0);
    assert!(ran.stdout.contains("x is a'b it's"), "{}", ran.stdout);
    assert_eq!(ran.stdout.lines().last().unwrap().trim(), "3");
    assert_eq!(expected[1], json!(3.0));
}
