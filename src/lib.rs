//! gridmpi: nested loops around one expensive function, flattened into one stream of tasks over MPI
//! or threads, and regrouped by a keyed dictionary on rank 0.

// A build without job files uses a part of the inner house only.
#![cfg_attr(not(all(feature = "cli", feature = "jobs")), allow(dead_code))]

#[cfg(feature = "cli")]
mod cli;
mod conduct;
mod context;
mod crunch;
#[cfg(feature = "jobs")]
mod csv_file;
mod dictionary;
mod error;
mod exchange;
mod grid;
mod job;
mod launcher;
mod line;
mod master;
mod message;
mod native;
mod office;
mod reduce;
mod report;
mod serve;
#[cfg(test)]
mod simulation;
mod store;
mod study;
mod transport;
mod value;
mod worker;

#[cfg(all(feature = "cli", feature = "jobs"))]
pub use cli::main;
pub use conduct::Settings;
pub use context::{Context, TaskLogger};
pub use dictionary::{Dictionary, SharedDictionary};
pub use error::{Error, Exit};
pub use study::{Begun, Crunch, Crunched, Nest, Outcome, Runs, Study, Summary, WithData, study};
pub use value::Value;

/// What the user's functions return: an error of any kind, or a text, fails the run it came from.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
