//! What reaches a terminal: text without control characters, tables that fit, whatever values, names and errors
//! contain. Files and `--format json` have the exact text.

mod common;

use common::{Desk, gridmpi};

/// Control characters: C0, DEL, C1, and marks that reorder a line.
const NASTY: &str =
    "a\u{1b}[31mred\u{7}\u{7f}\u{9b}2J\u{85}\u{202e}txt.exe\u{2066}\u{200f}\u{2028}\r";

/// The same, spelled for TOML.
const IN_TOML: &str = r"a\u001b[31mred\u0007\u007f\u009b2J\u0085\u202etxt.exe\u2066\u200f\u2028\r";

fn is_clean(text: &str) -> bool {
    text.chars().all(|c| {
        c == '\n' || c == '\t' || !(c.is_control() || NASTY[1..].contains(c) && !c.is_ascii())
    })
}

fn nasty() -> Desk {
    let desk = Desk::with_job(&format!(
        "name = \"n{IN_TOML}\"\n[crunch]\nshell = \"\"\"printf 'bad\\\\033[31m\\\\302\\\\233\\\\r' >&2; test {{i}} = 1 && printf '\"v\\\\302\\\\233\"'\"\"\"\n\
         [[loop]]\nname = \"x\"\nvalues = [\"{IN_TOML}\", \"two\\nlines\"]\n\
         [[loop]]\nname = \"r\"\nvalues = [{{ \"f{IN_TOML}\" = \"{IN_TOML}\" }}]\n\
         [[loop]]\nname = \"i\"\nvalues = [0, 1]\n"
    ));
    desk.run(gridmpi(), &["job.toml", "--out", "out"]).exits(100);
    desk
}

#[test]
fn no_verb_prints_control_characters() {
    let desk = nasty();
    desk.write("bad.toml", &format!("\"{IN_TOML}\" = 1\n[crunch]\nshell = \"echo\"\n"));
    let odd = format!("odd{NASTY}.toml");
    desk.write(&odd, "[crunch]\nbuiltin = \"multiply\"\n[[loop]]\nname = \"x\"\nvalues = [1]\n");
    let odd_out = format!("out{NASTY}");
    for (arguments, code) in [
        (&["job.toml", "--out", "out"][..], 100),
        (&["job.toml", "--only", "0"], 100),
        (&["job.toml", "--only", "1"], 0),
        (&["plan", "job.toml", "--out", "out"], 0),
        (&["status", "out"], 0),
        (&["runs", "out"], 0),
        (&["runs", "out", "--failed"], 0),
        (&["best", "out"], 0),
        (&["explain", "out", "0"], 0),
        (&["explain", "out", "1"], 0),
        (&["explain", "out", "3"], 0),
        (&["bad.toml"], 2),
        (&[&odd], 0),
        (&[&odd, "--out", &odd_out], 0),
        (&["report", &odd_out], 0),
        (&["export", "out", "--format", "csv", "--to", &odd], 0),
        (&["runs", NASTY], 2),
        (&[NASTY], 2),
        (&["out", NASTY], 2),
        (&["runs", "out", "--where", NASTY], 2),
        (&["init", &format!("{NASTY}.toml")], 0),
    ] {
        let ran = desk.run(gridmpi(), arguments).exits(code);
        assert!(is_clean(&ran.stdout), "{arguments:?}: {:?}", ran.stdout);
        assert!(is_clean(&ran.stderr), "{arguments:?}: {:?}", ran.stderr);
    }
    let shown = desk.run(gridmpi(), &["runs", "out"]).exits(0).stdout;
    assert!(shown.contains(IN_TOML), "{shown}");
}

#[test]
fn what_is_meant_for_programs_is_spelled_on_a_terminal() {
    let desk = nasty();
    for arguments in [
        "job.toml --out out --format csv",
        "job.toml --out out --format json",
        "export out --format csv",
        "export out --format json",
        "export out --format jsonl",
        "runs out --format json",
        "status out --format json",
        "explain out 1 --format json",
        "plan job.toml --out out --format json",
    ] {
        let mut script = std::process::Command::new("script");
        let line = format!("{} {arguments}", gridmpi().get_program().to_str().unwrap());
        script.args(["-qec", &line, "/dev/null"]).stdin(std::process::Stdio::null());
        let ran = desk.run(script, &[]);
        let shown = ran.stdout.replace("\r\n", "\n");
        let bar = shown.rfind("\u{1b}[2K").map_or(0, |at| at + 4); // the progress bar is cleared
        assert!(shown.contains("exe") && is_clean(&shown[bar..]), "{arguments}: {shown:?}");
    }
}

#[test]
fn programs_get_the_exact_text() {
    let desk = nasty();
    let runs = desk.run(gridmpi(), &["runs", "out", "--format", "json"]).exits(0).json();
    assert_eq!(runs[0]["coordinates"]["x"], NASTY);
    assert_eq!(runs[1]["value"], "v\u{9b}");
    assert!(
        runs[0]["error"].as_str().unwrap().contains("bad\u{1b}[31m\u{9b}"),
        "{}",
        runs[0]["error"]
    );
    let csv = desk.run(gridmpi(), &["export", "out", "--format", "csv"]).exits(0).stdout;
    assert!(csv.contains(NASTY));
    assert!(std::fs::read_to_string(desk.path("out/summary.csv")).unwrap().contains(NASTY));
}

#[test]
fn long_values_are_cut_in_every_table() {
    let long = "a".repeat(70_000);
    let desk = Desk::with_job(&format!(
        "[crunch]\nshell = \"echo 1\"\n[[loop]]\nname = \"x\"\nvalues = [\"{long}\", \"b\"]\n[[loop]]\nname = \"r\"\nvalues = [{{ \"{}\" = 1 }}]\n",
        "f".repeat(40_000)
    ));
    for arguments in [
        &["job.toml", "--out", "out"][..],
        &["plan", "job.toml", "--out", "out"],
        &["status", "out"],
        &["runs", "out"],
        &["best", "out"],
    ] {
        let ran = desk.run(gridmpi(), arguments).exits(0);
        let widest = ran.stdout.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(
            widest < 2000 && (arguments[0] == "status" || ran.stdout.contains("aaa...")),
            "{arguments:?}: {widest}"
        );
    }
    let exact = desk.run(gridmpi(), &["runs", "out", "--format", "json"]).exits(0).json();
    assert_eq!(exact[0]["coordinates"]["x"], *long);
}
