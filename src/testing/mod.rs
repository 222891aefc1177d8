//! Tests across rooms: simulation with faults, and malformed input.

#[cfg(all(feature = "cli", feature = "jobs"))]
mod fuzz;
mod simulation;
