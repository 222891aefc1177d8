//! `shell = "..."`: pipes, and values that stay data.

mod common;

use common::Desk;
use serde_json::{Value as Json, json};

/// A job of this line over values of `x`, both as they are.
fn desk(line: &str, values: &[&str]) -> Desk {
    let values = values.iter().map(|value| json!(value).to_string()).collect::<Vec<_>>().join(", ");
    Desk::with_job(&format!(
        "[crunch]\nshell = {}\nretries = 0\n[[loop]]\nname = \"x\"\nvalues = [{values}]\nreduce = \"all\"\n",
        json!(line)
    ))
}

fn result(line: &str, values: &[&str]) -> Json {
    desk(line, values).run_job().exits(0).groups()[0]["summary"]["value"].clone()
}

#[test]
fn a_program_that_fails_in_front_of_a_pipe_fails_its_run() {
    for line in [
        "(echo 0.4; exit 9) | tee log.{x}",
        "(echo 0.4; exit 9) | cat; echo 1",
        "(echo 0.4; exit 9) | cat | head -1 && echo 1",
        "v=$(kill -9 $BASHPID | tail -1); echo 1",
        "f() {{ (exit 9) | cat; }}; f; echo 1",
        "for i in 1 2; do (exit $(( 2 - i ))) | cat; done; echo 1",
        "if (exit 9) | cat; then echo 1; fi",
        "(exit 9) | yes | head -1; echo 1",
    ] {
        let desk = desk(line, &["1"]);
        desk.run_job().exits(100);
        let errors = desk.sql("SELECT error FROM all_runs");
        assert!(errors[0].starts_with("bash: exit status: "), "{line}: {errors:?}");
        assert!(
            errors.join(" ").contains("a program in front of a pipe failed"),
            "{line}: {errors:?}"
        );
    }
}

#[test]
fn a_program_whose_reader_had_enough_does_not_fail() {
    for line in [
        "yes {x} | head -1",
        "yes {x} | cat | head -1 && echo {x}",
        "set -eu; v=$(yes {x} | head -n 1); echo $v",
        "f() {{ yes {x} | head -1; }}; f > out.$GRIDMPI_TASK; cat out.$GRIDMPI_TASK",
        "while :; do echo {x}; done | head -1",
        "if echo {x} | grep -q nan; then echo 0; else echo {x}; fi",
        "{{ grep nan job.toml || true; }} | wc -l > /dev/null; (exit 4); echo {x}",
    ] {
        assert_eq!(result(line, &["3"]), json!([3.0]), "{line}");
    }
}

#[test]
fn a_value_is_data_wherever_it_stands() {
    let nasty = [
        "$(touch oops)",
        "`touch oops`",
        "x; touch oops #",
        "' \" \\",
        "*",
        "a\nb",
        "",
        "if",
        "2",
        "~",
        "-n",
        "a[$(touch oops)]",
        "END\ntouch oops",
        "é{}",
    ];
    let json = r#"python3 -c 'import json, os, sys; print(json.dumps(sys.argv[1]))'"#;
    for (line, around) in [
        (format!("{json} {{x}}"), ("", "")),
        (format!("{json} a.{{x}}.b"), ("a.", ".b")),
        (format!("{json} \"say {{x}}\""), ("say ", "")),
        (format!("{json} \"$(cat <<END\n- {{x}} -\nEND\n)\""), ("- ", " -")),
        (format!("v={{x}}; {json} \"$v\" | cat"), ("", "")),
        (format!("{json} \"$(printf %s. {{x}} | cat)\" # {{x}}"), ("", ".")),
        (
            format!(
                "printf %s {{x}}>$GRIDMPI_TASK.out; {json} \"$(cat $GRIDMPI_TASK.out; echo .)\""
            ),
            ("", "."),
        ),
    ] {
        let desk = desk(&line, &nasty);
        let got = desk.run_job().exits(0).groups()[0]["summary"]["value"].clone();
        let expected: Vec<String> =
            nasty.iter().map(|value| format!("{}{value}{}", around.0, around.1)).collect();
        assert_eq!(got, json!(expected), "{line}");
        assert!(!desk.path("oops").exists(), "{line}");
    }
}

#[test]
fn numbers_may_stand_in_arithmetic() {
    let job = "[crunch]\nshell = \"n={x}; echo $(( {x} * 2 + n ))\"\n[[loop]]\nname = \"x\"\nvalues = [4, -1]\nreduce = \"sum\"\n";
    assert_eq!(Desk::with_job(job).run_job().exits(0).score(), 9.0);
}

#[test]
fn what_cannot_be_made_safe_is_refused_before_anything_runs() {
    let code = "a[$(touch oops)]";
    for (line, why) in [
        ("touch began; echo \\{x}", "after a backslash"),
        ("touch began; echo `echo {x}`", "write $(...) instead"),
        ("touch began; echo $(( {x} ))", "{x} stands in arithmetic"),
        ("touch began; (( {x} ))", "{x} stands in arithmetic"),
        ("touch began; n={x}; echo $(( n ))", "could run as code"),
        ("touch began; [[ {x} -eq 1 ]]", "could run as code"),
        ("touch began; let n={x}", "could run as code"),
        ("touch began; test -v {x}", "could run as code"),
        ("touch began; eval echo {x}", "eval would run values as code"),
        ("touch began; cat <<'END'\n{x}\nEND", "<<END, without quotes"),
        ("touch began; echo ${x}", "after '$'"),
    ] {
        let desk = desk(line, &["1", code]);
        let ran = desk.run_job().exits(2);
        assert!(ran.stderr.contains("job.toml:2: crunch.shell: "), "{line}: {}", ran.stderr);
        assert!(ran.stderr.contains(why), "{line}: {}", ran.stderr);
        assert!(!desk.path("began").exists() && !desk.path("oops").exists(), "{line}");
    }
    let ran = desk("echo {x}", &["a\0b"]).run_job().exits(2);
    assert!(ran.stderr.contains("has a zero byte"), "{}", ran.stderr);
}

#[test]
fn a_value_is_no_code_for_another_shell_either() {
    let code = "$(touch oops)";
    for line in [
        "bash -c \"echo {x}\"",
        "timeout 9 /bin/sh -ec \"echo {x}\"",
        "c=\"echo {x}\"; bash -c \"$c\"",
        "echo \"echo {x}\" | sh",
        "bash -s <<END\necho {x}\nEND",
        "echo \"echo {x}\" > run.sh; bash run.sh",
        "echo v={x} > values; . ./values; echo 1",
        "source <(echo echo {x})",
        "trap \"echo {x}\" EXIT",
        "\"eval\" \"echo {x}\"",
        "e=eval; $e \"echo {x}\"",
        "echo {x} | xargs -I% sh -c \"echo %\"",
        "n=\"a[{x}]\"; echo $((n))",
        "a=(1); a[{x}]+=1; echo 1",
    ] {
        let refused = desk(line, &["1", code]);
        let ran = refused.run_job().exits(2);
        assert!(ran.stderr.contains("could run as code"), "{line}: {}", ran.stderr);
        assert!(!refused.path("oops").exists(), "{line}");
    }
    // Numbers and plain names are no code.
    assert_eq!(result("bash -c \"echo {x}\"", &["1", "2"]), json!([1.0, 2.0]));
    // Nor is what is an argument.
    let json = r#"import json, sys; print(json.dumps(sys.argv[1]))"#;
    for line in [
        format!("bash -c 'python3 -c \"$0\" \"$1\"' '{json}' {{x}}"),
        format!("bash -o pipefail ./fit.sh '{json}' {{x}}"),
        format!("ls . | cat > ls.$GRIDMPI_TASK; . ./env.sh; sh fit.sh '{json}' {{x}}"),
        format!(
            "trap 'rm -f \"tmp.$$\"' EXIT; f={{x}}; echo \"$f\" | cat > o.$GRIDMPI_TASK; sh fit.sh '{json}' \"$f\""
        ),
    ] {
        let desk = desk(&line, &[code, "it's"]);
        desk.script("fit.sh", "python3 -c \"$1\" \"$2\"\n");
        desk.write("env.sh", "");
        assert_eq!(
            desk.run_job().exits(0).groups()[0]["summary"]["value"],
            json!([code, "it's"]),
            "{line}"
        );
        assert!(!desk.path("oops").exists(), "{line}");
    }
}

#[test]
fn a_command_that_is_a_shell_gets_no_value_as_code() {
    let job = |words: &str| {
        let loops = "[[loop]]\nname = \"x\"\nvalues = ['$(touch oops)', '1']\nreduce = \"all\"\n";
        Desk::with_job(&format!("[crunch]\ncommand = [{words}]\nretries = 0\n{loops}"))
    };
    for words in ["'bash', '-c', 'echo {x}'", "'env', 'A=1', '/bin/sh', '-ec', 'echo {x}'"] {
        let ran = job(words).run_job().exits(2);
        assert!(
            ran.stderr.contains("job.toml:2: crunch.command: {x}: the value"),
            "{}",
            ran.stderr
        );
    }
    let desk = job("'bash', '-c', 'echo ${{#1}}', 'bash', '{x}'");
    assert_eq!(desk.run_job().exits(0).groups()[0]["summary"]["value"], json!([13.0, 1.0]));
}

#[test]
fn what_hides_a_failure_in_a_pipe_is_refused() {
    for (line, why) in [
        ("(echo {x}; exit 9) | cat & wait; echo 1", "a pipe in the background"),
        ("true && ./a |\n./b & wait", "a pipe in the background"),
        ("trap - DEBUG; (exit 9) | cat; echo 1", "trap ... DEBUG"),
        ("trap '' EXIT; (echo 1; exit 9) | cat", "trap ... EXIT"),
        ("trap '' SIGUSR1; v=$((echo 3; exit 9) | cat); echo 1", "trap ... SIGUSR1"),
    ] {
        let ran = desk(line, &["1"]).run_job().exits(2);
        assert!(ran.stderr.contains(why), "{line}: {}", ran.stderr);
    }
    for line in
        ["( (exit 9) | cat ) & wait; echo 1", "{{ true | true; (exit 9) | cat; }} & wait; echo 1"]
    {
        desk(line, &["1"]).run_job().exits(100);
    }
    for line in [
        "echo {x} | cat 2>&1 | cat",
        "(sleep 0.01 | cat) & echo {x} | cat",
        "echo {x} |& cat &>o && cat o",
    ] {
        assert_eq!(result(line, &["3"]), json!([3.0]), "{line}");
    }
}

#[test]
fn without_bash_a_pipe_is_refused_and_the_rest_runs_in_sh() {
    let run = |line: &str| {
        let desk = desk(line, &["3"]);
        let mut gridmpi = common::gridmpi();
        gridmpi.env("PATH", desk.path("bin"));
        desk.write("bin/none", "");
        desk.run(gridmpi, &["job.toml", "--format", "json"])
    };
    let refused = run("echo {x} | cat").exits(2);
    assert!(refused.stderr.contains("a pipe needs bash"), "{}", refused.stderr);
    assert_eq!(run("echo {x}").exits(0).groups()[0]["summary"]["value"], json!([3.0]));
}

#[test]
fn a_shell_line_works_by_hand() {
    let desk = desk("printf '\"%s\"\\n' a.{x} \"{x}\" | tail -1", &["it's $HOME", "b"]);
    desk.run(common::gridmpi(), &["job.toml", "--out", "out"]).exits(0);
    let explained =
        desk.run(common::gridmpi(), &["explain", "out", "0", "--format", "json"]).exits(0);
    let line = explained.json()["by_hand"].as_str().unwrap().to_string();
    assert!(
        line.contains(
            r#"gridmpi_x='it'\''s $HOME' bash --norc -c 'printf '\''"%s"\n'\'' a."${gridmpi_x}""#
        ),
        "{line}"
    );
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &line]);
    assert_eq!(Desk::new().run(shell, &[]).exits(0).stdout, "\"it's $HOME\"\n");
}
