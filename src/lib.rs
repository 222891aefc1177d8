//! gridmpi: nested loops around one expensive function, flattened into one stream of tasks over MPI
//! or threads, and regrouped by a keyed dictionary on rank 0.
//!
//! The program `gridmpi` is a thin user of this library. From a job file to a table: [`job`] says
//! what is to be computed, [`grid`] flattens its loops, [`master`] decides who does what and gathers
//! the runs, [`serve`] is rank 0's loop around it, [`transport`] carries the [`message`]s to and
//! from the workers, and [`reduce`] folds what they return.
//!
//! ```
//! use std::path::Path;
//! use gridmpi::job::Job;
//!
//! let job = Job::parse(
//!     r#"
//!     [crunch]
//!     builtin = "multiply"
//!     [[loop]]
//!     name = "dataset"
//!     values = [2.0, -3.0]
//!     [[loop]]
//!     name = "param"
//!     values = [-1, 0, 1]
//!     reduce = "max"
//!     "#,
//!     Path::new("job.toml"),
//! )?;
//! assert_eq!(job.grid().tasks(), 6);
//! # Ok::<(), gridmpi::error::Error>(())
//! ```

pub mod cli;
mod crunch;
mod csv_file;
pub mod error;
pub mod grid;
pub mod job;
mod launcher;
pub mod master;
pub mod message;
pub mod reduce;
mod report;
pub mod serve;
mod store;
pub mod transport;
pub mod value;
mod worker;
