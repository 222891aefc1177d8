//! One large data set x many parameters: the data set lives on rank 0 and goes to each worker once.
//!
//! `cargo bench --bench one_data_set --no-run`, then `mpirun -n 5 target/release/deps/one_data_set-*
//! --no-store --format json`: its `timing` tells the bytes and the seconds. The data set has MEGABYTES
//! (100) megabytes, and there are PARAMETERS (1000) parameters.

use std::process::ExitCode;

use gridmpi::{Nest, Runs};
use serde_bytes::ByteBuf;

fn number(variable: &str, or: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

fn main() -> ExitCode {
    let (megabytes, parameters) = (number("MEGABYTES", 100), number("PARAMETERS", 1000));
    Nest::new()
        .data("data", move || Ok(vec![ByteBuf::from(vec![1; megabytes as usize * 1_000_000])]))
        .each("parameter", 0..parameters)
        .crunch(|(data, parameter), _| Ok(f64::from(data[*parameter as usize])))
        .reduce(|runs: &Runs<f64>| runs.iter().map(|(_, run)| run).sum::<f64>())
        .main()
}
