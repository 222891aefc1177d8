//! Tests that start themselves again under mpirun, as the ranks of a study.

#![allow(dead_code, unreachable_pub)]

use std::process::Command;

use gridmpi::{Outcome, Settings, Study};
use serde::{Serialize, de::DeserializeOwned};

use crate::common::{Desk, Ran};

/// Set if this process is a rank.
pub const RANK: &str = "GRIDMPI_TEST_IS_RANK";

pub fn is_rank() -> bool {
    std::env::var_os(RANK).is_some()
}

/// Runs the named test of this file by a command that starts a program with [`RANK`] set.
pub fn start(command: Command, test: &str) -> Ran {
    Desk::new().run(command, &["--exact", test, "--nocapture"])
}

/// Runs a study; on rank 0, `check` gets the outcome and its return value is printed.
pub fn play<R, S>(study: Study<R, S>, check: impl FnOnce(Outcome<R, S>) -> String)
where
    R: Serialize + DeserializeOwned + 'static,
    S: 'static,
{
    if let Some(outcome) = study.run(&Settings::default()).unwrap() {
        println!("rank 0 says: {}", check(outcome));
    }
}

/// The output of rank 0.
pub fn said(ran: &Ran) -> String {
    let lines: Vec<&str> =
        ran.stdout.lines().filter_map(|line| line.split("rank 0 says: ").nth(1)).collect();
    let [line] = lines[..] else { panic!("stdout:\n{}\nstderr:\n{}", ran.stdout, ran.stderr) };
    line.to_string()
}
