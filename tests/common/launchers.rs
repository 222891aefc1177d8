//! One job under the launchers of several MPIs, and what `gridmpi doctor` says of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Desk, OPEN_MPI_MAY, Ran, clean};

/// A job with several types of results.
pub const JOB: &str = r#"
[crunch]
shell = 'printf "{{\"score\": %s.1, \"name\": \"%s\", \"third\": 0.3333333333333333}}" {x} {y}'
[[loop]]
name = "y"
values = ["a", "b", "c"]
[[loop]]
name = "x"
range = { from = 0, to = 7 }
reduce = ["max", "std"]
"#;

/// The environment that a launcher needs in a container: more ranks than cores, and by root.
pub fn as_root(mut command: Command) -> Command {
    command.envs(OPEN_MPI_MAY);
    command
}

/// The environment of this name that scripts/wheel-test has made.
pub fn wheel_environment(name: &str) -> PathBuf {
    let all = std::env::var_os("GRIDMPI_TEST_WHEEL").expect("scripts/wheel-test sets it");
    Path::new(&all).join(name)
}

/// The program of an environment.
pub fn wheel_program(name: &str) -> PathBuf {
    wheel_environment(name).join("bin/gridmpi")
}

/// A program without a launcher.
pub fn alone(program: &Path) -> Command {
    clean(Command::new(program))
}

/// A program on four ranks of this launcher.
pub fn four(launcher: &Path, program: &Path) -> Command {
    let mut command = Command::new(launcher);
    command.args(["-n", "4"]).arg(program);
    as_root(clean(command))
}

/// Runs job.toml by this command; what it leaves has to be what threads leave, to the last byte.
pub fn same_as_threads(desk: &Desk, program: &Path, command: Command, name: &str) {
    desk.run(command, &["job.toml", "--out", &format!("out-{name}")]).exits(0);
    equal_to_threads(desk, program, name);
}

/// The same, if the command was run in another way.
pub fn equal_to_threads(desk: &Desk, program: &Path, name: &str) {
    let out = format!("out-{name}");
    if !desk.path("out-threads").exists() {
        desk.run(alone(program), &["job.toml", "--out", "out-threads"]).exits(0);
    }
    for file in ["summary.csv", "summary.json"] {
        let read = |out: &str| std::fs::read(desk.path(out).join(file)).unwrap();
        assert!(read(&out) == read("out-threads"), "{name}: another {file}");
    }
}

/// A line of `gridmpi doctor`, which one rank alone prints.
pub fn line(ran: &Ran, name: &str) -> String {
    let mut lines = ran.stdout.lines().filter_map(|line| line.strip_prefix(name));
    let line = lines.next().unwrap_or_else(|| panic!("{name}: {}{}", ran.stdout, ran.stderr));
    assert!(lines.next().is_none(), "several ranks have spoken: {}", ran.stdout);
    line.trim().to_string()
}
