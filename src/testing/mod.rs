//! Tests of several rooms together: simulation with faults, and malformed input.

#[cfg(all(feature = "cli", feature = "jobs"))]
mod fuzz;
mod simulation;
