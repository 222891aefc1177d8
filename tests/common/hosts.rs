//! Virtual hosts (scripts/hosts) for tests of slow and broken lines. They exist once per machine, so tests take
//! turns.

#![allow(dead_code, unreachable_pub)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub struct Hosts {
    _turn: File,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/hosts")
}

fn call(arguments: &[&str]) -> Output {
    Command::new(script()).args(arguments).output().unwrap()
}

impl Hosts {
    /// Makes gm1 ... gmN; gm1 has a line of this rate. `None`, and why, where hosts or slow lines are not possible.
    pub fn with_slow_line(count: usize, rate: &str) -> Option<Hosts> {
        let turn = File::create(std::env::temp_dir().join("gridmpi-hosts.lock")).unwrap();
        turn.lock().unwrap();
        let hosts = Hosts { _turn: turn };
        for arguments in [&["up", &count.to_string()][..], &["limit", "gm1", rate]] {
            let made = call(arguments);
            if !made.status.success() {
                let why = String::from_utf8_lossy(&made.stderr).into_owned();
                eprintln!("SKIPPED: no hosts with a slow line here, which takes root: {why}");
                return None;
            }
        }
        Some(hosts)
    }

    /// mpirun on gm1, for a program with rank 0 on gm1 and the other ranks on these hosts.
    pub fn mpirun(&self, workers: &[(&str, usize)], set: &str) -> Command {
        let mut command = Command::new(script());
        command.args(["on", "gm1", "mpirun", "--oversubscribe", "-x", set]);
        command.args(["--mca", "plm_rsh_agent", &format!("{} agent", script().display())]);
        command.args(["--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "eth0"]);
        command.args(["--mca", "oob_tcp_if_include", "eth0", "--host"]);
        let of = |(host, ranks): &(&str, usize)| format!("{host}:{ranks}");
        let all: Vec<String> = [("gm1", 1)].iter().chain(workers).map(of).collect();
        command.arg(all.join(","));
        let ranks: usize = workers.iter().map(|(_, ranks)| ranks).sum();
        command.args(["-n", &(ranks + 1).to_string()]);
        command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        command.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
        command
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        call(&["down"]);
    }
}
