//! gridmpi: nested loops around one expensive function, flattened into one stream of tasks over MPI
//! or threads, and regrouped by a keyed dictionary on rank 0.
//!
//! You have data sets and parameters, and a function to call for each pair. Bring it as Rust, and the
//! rest is here: MPI ranks or this machine's threads, a store that keeps every run, summaries that
//! close as their last run comes in, and the command line of the program `gridmpi`.
//!
//! # A whole program
//!
//! ```
//! use gridmpi::{Context, Crunch, Result, Runs};
//!
//! struct FindMax;
//!
//! impl Crunch for FindMax {
//!     type Data = f64;
//!     type Param = f64;
//!     type Run = f64;
//!     type Summary = Option<(f64, usize)>;
//!
//!     fn crunch(&self, data: &f64, param: &f64, _: &Context) -> Result<f64> {
//!         Ok(data * param)
//!     }
//!
//!     fn summarize(&self, runs: &Runs<f64>) -> Option<(f64, usize)> {
//!         runs.max_by(|run| *run).map(|(index, max)| (*max, index))
//!     }
//! }
//!
//! # fn study() -> gridmpi::Study<f64, Option<(f64, usize)>> {
//! // In your main, followed by `.main()`:
//! gridmpi::study(FindMax)
//!     .data_sets(|| Ok(vec![2.0, -3.0])) // made on rank 0 only
//!     .params([-1.0, 0.0, 1.0])
//! # }
//! # let outcome = study().run(&gridmpi::Settings::default())?.unwrap();
//! # let values: Vec<_> = outcome.summaries.into_iter().map(|s| s.value.unwrap()).collect();
//! # assert_eq!(values, [Some((2.0, 2)), Some((3.0, 0))]);
//! # Ok::<(), gridmpi::Error>(())
//! ```
//!
//! Run it as it is, on this machine's threads, or as `mpirun -n 9 your-program`, on 8 workers: the
//! results are the same to the last byte. `your-program --help` says what it can do. Results go to
//! `results/your-program`: `runs.sqlite` with every run in its view `all_runs`, `summary.json`,
//! `summary.csv`.
//!
//! # From your own code
//!
//! `Study::main` is for programs that are nothing else. [`Study::run`] gives the [`Outcome`] to yours:
//!
//! ```
//! use gridmpi::{Nest, Runs, Settings};
//!
//! let study = Nest::new()
//!     .load("file", ["a".to_string(), "bcd".to_string()], |name| Ok(name.len())) // where needed
//!     .each("power", 1..4u32)
//!     .crunch(|(length, power), context| {
//!         if context.is_cancelled() {
//!             return Err("cancelled".into()); // costs this run alone, as a panic does
//!         }
//!         Ok(length.pow(*power))
//!     })
//!     .reduce(|runs: &Runs<usize>| runs.iter().map(|(_, run)| run).sum::<usize>())
//!     .on_summary(|summary| {
//!         println!("{:?}: {:?}", summary.coordinates, summary.value); // while others still run
//!         Ok(())
//!     });
//! if let Some(outcome) = study.run(&Settings::default().threads(2))? {
//!     // This is rank 0.
//!     assert_eq!(outcome.summaries[1].value, Ok(3 + 9 + 27));
//!     assert_eq!(outcome.runs(&outcome.summaries[1])?, [Ok(3), Ok(9), Ok(27)]);
//! }
//! # Ok::<(), gridmpi::Error>(())
//! ```
//!
//! # Deeper nests
//!
//! A [`Nest`] has up to eight loops, each of its own type, and a [`reduce`](Crunched::reduce) for each
//! one that folds, from the innermost outwards. The loops that do not fold are the rows of the
//! result. Loops are values that every rank knows ([`Nest::each`]), data sets that live on rank 0 and
//! go to a rank when it first needs one ([`Nest::data`]), or data sets that each rank loads
//! ([`Nest::load`]).
//!
//! # What crunch gets
//!
//! A [`Context`] with the task's coordinates, its own seed (the same on any rank, and for any other
//! points), a flag that says that the result is of no use any more, a scratch folder, a logger, and
//! the [dictionary](Context::dictionary) on rank 0 through which ranks can hand values to each other.
//! A [`Dictionary`] of your own hands them from thread to thread.
//!
//! # What fails
//!
//! An error, a panic, or a run that is NaN (or whose field `score` is) fails that run alone; its words
//! are in the store and in [`Outcome::runs`]. A group with a failed run is incomplete, and its summary
//! says so, unless [`Study::require`] allows for some: then summarize is called with the others, and
//! [`Runs::failed`] tells which are missing. A crunch that takes its whole process down costs
//! its worker, and mostly the job with it: mpirun ends the others unless it is told otherwise (Open MPI
//! 4: `--mca orte_enable_recovery 1`, 5: `--with-ft ulfm`). In a study that is
//! [isolated](Study::isolate) it costs its run.
//!
//! # Running again
//!
//! A second run into the same folder goes on where the first one stopped, on any number of ranks or
//! threads, and computes only what is new: runs are matched by their points and the content of their
//! data sets (of those that each rank loads: where a key is the path of a file, or has one in it),
//! failed ones are tried again ([`Settings::keep_failed`] leaves them). gridmpi cannot see
//! whether your Rust has changed: say so with [`Study::version`], and runs of the old version are
//! refused. A run that fails can be tried several times at once ([`Study::retries`]), and too many
//! failures can stop the study ([`Study::max_failures`]). A crunch that may crash or hang is best
//! [isolated](Study::isolate).
//!
//! # Expensive summaries
//!
//! Summaries are made on a thread of rank 0, beside the dispatching. With
//! [`Study::reduce_on_workers`] the workers make them, as tasks of their own. That is faster from
//! where one takes longer than `t / (w - 1)`, with `t` the time to crunch one group and `w` the number
//! of workers: `cargo bench --bench reduce_on` finds it between 2.9 and 3.6 ms for 8 workers and groups
//! of 20 ms, where the formula says 2.9 ms. Below it rank 0 is up to 8% faster, and far above it
//! the workers are `w` times.
//!
//! # What serde types can be
//!
//! Data sets from rank 0, parameters, runs and summaries cross between ranks in
//! [bincode's](https://docs.rs/bincode) form, which does not describe itself: in such types serde's
//! `flatten`, `untagged`, `tag` and `skip_serializing_if` do not work. Parameters that cannot be read
//! back are refused before anything is crunched; a run that cannot be fails. What is read back has to own
//! what it holds: `String` rather than `&str`; what serde skips is not there on other ranks. A map in a
//! data set, or in a key of the dictionary, should be a `BTreeMap`: a `HashMap` has another order each
//! time, and so counts as another data set. The store and the tables show the same values as JSON
//! has them, with `NaN` and `Infinity` as texts, and of a value of more than 100,000 numbers or a
//! mebibyte of text only so much. A single result or data set may be larger than 2 GiB.
//!
//! # Features
//!
//! | feature | brings | default |
//! | --- | --- | --- |
//! | `mpi` | ranks over MPI; needs an MPI library and libclang to build | yes |
//! | `cli` | `Study::main`: command line, table, report, progress bar, a logger | yes |
//! | `jobs` | job files and what they can call; with `cli` the program `gridmpi` | yes |
//! | `parquet` | exports as Parquet | yes |
//!
//! A study with the verbs of the command line needs `mpi` and `cli`; one that is called from your own
//! code `mpi`, or nothing: `default-features = false` runs on threads and needs no C compiler
//! but for SQLite.

// A build without job files uses a part of the inner house only.
#![cfg_attr(not(all(feature = "cli", feature = "jobs")), allow(dead_code))]

mod attendant;
#[cfg(feature = "cli")]
mod cli;
mod conduct;
mod context;
mod crunch;
#[cfg(feature = "jobs")]
mod csv_file;
mod dictionary;
#[cfg(all(feature = "cli", feature = "jobs"))]
mod durations;
mod ending;
mod error;
mod exchange;
mod grid;
#[cfg(all(test, feature = "cli", feature = "jobs"))]
mod hostile;
mod isolate;
mod job;
mod launcher;
mod lead;
mod line;
mod master;
mod message;
#[cfg_attr(not(feature = "mpi"), allow(dead_code))]
mod mpi_kind;
mod native;
#[cfg(any(feature = "cli", feature = "jobs"))]
mod nearest;
mod office;
#[cfg(all(feature = "cli", feature = "jobs"))]
mod pilot;
#[cfg(all(feature = "cli", feature = "jobs"))]
mod prediction;
mod process;
mod reduce;
mod report;
mod seat;
mod serve;
mod settings;
mod signals;
mod simulate;
mod slurm;
mod status;
/// The README's Rust has to compile.
#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../README.md")]
mod readme {}
#[cfg(test)]
mod simulation;
mod store;
mod study;
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
mod timing;
mod transport;
mod usage;
mod value;
mod worker;

#[cfg(all(feature = "cli", feature = "jobs"))]
pub use cli::main;
pub use context::{Context, TaskLogger};
pub use dictionary::{Dictionary, SharedDictionary};
pub use error::{Error, Exit};
pub use master::Order;
pub use settings::Settings;
pub use study::{Begun, Crunch, Crunched, Nest, Outcome, Runs, Study, Summary, WithData, study};
pub use value::Value;

/// What the user's functions return: an error of any kind, or a text, fails the run it came from.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
