//! gridmpi: nested loops around one expensive function, flattened into one stream of tasks over MPI
//! or threads, and regrouped by a keyed dictionary on rank 0.
//!
//! The program `gridmpi` is a thin user of this library. Its parts, from a job file to a table:
//! [`job`] says what is to be computed, [`grid`] flattens its loops, [`master`] decides who does
//! what and gathers the runs, [`serve`] is rank 0's loop around it, [`worker`] is everyone else's,
//! [`transport`] carries the [`message`]s between them, [`crunch`] calls the expensive function,
//! [`reduce`] folds what it gave, [`store`] keeps it, and [`report`] shows it.
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
pub mod crunch;
mod csv_file;
pub mod error;
pub mod grid;
pub mod job;
pub mod launcher;
pub mod master;
pub mod message;
pub mod reduce;
pub mod report;
pub mod serve;
pub mod store;
pub mod transport;
pub mod value;
pub mod worker;
