//! gridmpi runs nested loops around one expensive function as one stream of tasks, over MPI or threads,
//! and groups the results by their loops in a dictionary on rank 0.
//!
//! You have data sets, parameters, and a function to call for each pair. Write the function in Rust;
//! this library adds the MPI ranks or threads, a store with every run, a summary of each group as
//! soon as its last run is done, and the command line of the program `gridmpi`.
//!
//! # A complete program
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
//! Run the program as it is, on the threads of this machine, or as `mpirun -n 9 your-program`, on 8
//! workers. The results are the same to the last byte. `your-program --help` lists its commands and
//! options. Results go to `results/your-program`: `runs.sqlite` with every run in its view `all_runs`,
//! `summary.json` and `summary.csv`.
//!
//! # Calling it from your own code
//!
//! `Study::main` is the whole `main` of a program. [`Study::run`] instead returns the [`Outcome`] to your
//! code:
//!
//! ```
//! use gridmpi::{Nest, Runs, Settings};
//!
//! let study = Nest::new()
//!     .load("file", ["a".to_string(), "bcd".to_string()], |name| Ok(name.len())) // on each process that needs it
//!     .each("power", 1..4u32)
//!     .crunch(|(length, power), context| {
//!         if context.is_cancelled() {
//!             return Err("cancelled".into()); // fails this run only, as a panic does
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
//! A [`Nest`] has up to eight loops, each with its own type. There is one [`reduce`](Crunched::reduce) for
//! each loop that is reduced, from the innermost outwards. The result has one row per point of the
//! other loops. A loop is over values that every rank holds ([`Nest::each`]), over data sets that are
//! made on rank 0 and sent to a rank when it first needs one ([`Nest::data`]), or over data sets that
//! each rank loads itself ([`Nest::load`]).
//!
//! The points of a loop can depend on the points of the loops around it, as the sessions of a subject do:
//! [`Nest::each_of`] calls a closure for them, and [`Nest::filter`] drops combinations. Groups then have
//! different sizes, and there is no task for what is not there.
//!
//! # Reductions of gridmpi's own
//!
//! In place of a function of yours, a loop can be reduced by [`mean`](Study::mean), [`median`](Study::median),
//! [`sum`](Study::sum), or to its best point by [`max`](Study::max) or [`min`](Study::min). The tables then have a
//! column for the best point, the report draws scores over the loops, and points that cannot win need not have all
//! their runs: [`Study::stop`] says when a point is stopped.
//!
//! ```
//! use gridmpi::{Nest, Settings, Stop};
//!
//! let outcome = Nest::new()
//!     .data("dataset", || Ok(vec![0.25, 0.75]))
//!     .each("alpha", (0..20).map(|i| f64::from(i) / 20.0))
//!     .each("fold", 0..10)
//!     .crunch(|(center, alpha, fold), _| Ok((alpha - center).powi(2) * f64::from(9 + fold)))
//!     .mean() // over folds
//!     .min() // over alphas
//!     .stop(Stop::sure(0.0..=f64::INFINITY)) // a square is never below 0
//!     .run(&Settings::default())?
//!     .expect("this is rank 0");
//! let best = outcome.summaries[1].value.as_ref().unwrap();
//! assert_eq!((best.point.as_f64(), best.score), (Some(0.75), 0.0));
//! assert!(outcome.skipped() > 200); // of 400
//! # Ok::<(), gridmpi::Error>(())
//! ```
//!
//! # What crunch gets
//!
//! crunch gets a [`Context`]. It has the coordinates of the task, its own seed (which depends on
//! nothing but these and the seed of the study), a flag that is set when the result is no longer
//! needed, a scratch folder, a logger, and the [dictionary](Context::dictionary) on rank 0, through
//! which ranks exchange values. A [`Dictionary`] of your own does the same between threads.
//!
//! # When the best is known
//!
//! [`Study::finally`] is called once for each row when its summary is known, on a worker. It can fit the best model
//! again, on all data, and save it in a folder of its own.
//!
//! # Failures
//!
//! An error, a panic, or a result that is NaN (or whose field `score` is) fails one run. The message is
//! stored, and [`Outcome::runs`] returns it. A group with a failed run is incomplete and has no summary,
//! unless [`Study::require`] allows for failures: then summarize is called with the other runs, and
//! [`Runs::failed`] says which ones are missing. A crunch that ends its whole process ends its worker,
//! and usually the job: mpirun then ends all ranks unless it is told not to (Open MPI 4: `--mca
//! orte_enable_recovery 1`, with which mpirun ends with 0 whatever rank 0 ends with; Open MPI 5: `--with-ft ulfm`). In an
//! [isolated](Study::isolate) study it fails one run only.
//!
//! # Running again
//!
//! A second run with the same results folder resumes the first one, on any number of ranks or
//! threads, and computes only what is missing. Runs are matched by their points and by the content of
//! their data sets. (A data set that ranks load themselves counts with the content of its file, if its
//! key is the path of a file or contains one.) Failed runs are tried again, unless
//! [`Settings::keep_failed`] is set.
//!
//! gridmpi cannot see whether your Rust code has changed. Change [`Study::version`] when it has, and
//! runs of the old version are refused. [`Study::retries`] tries a failed run several times within one
//! start, and [`Study::max_failures`] stops a study with too many failures.
//!
//! # Expensive summaries
//!
//! Summaries are computed in a thread on rank 0, besides the thread that hands out tasks. With
//! [`Study::reduce_on_workers`], workers compute them as tasks of their own. This is faster if one
//! summary takes longer than `t / (w - 1)`, where `t` is the time to crunch one group and `w` the number
//! of workers. For 8 workers and groups of 20 ms this limit is 2.9 ms; `cargo bench --bench reduce_on`
//! measures it between 2.9 and 3.6 ms. Below it rank 0 is up to 8% faster; far above it the workers are
//! `w` times faster.
//!
//! # Limits of serde types
//!
//! Data sets from rank 0, parameters, runs and summaries are sent between ranks in the form of
//! [bincode](https://docs.rs/bincode), which does not describe itself. Therefore:
//!
//! - serde's `flatten`, `untagged`, `tag` and `skip_serializing_if` do not work in these types.
//!   Parameters that cannot be read back are refused before anything is crunched; a run that cannot be
//!   read back fails.
//! - Types must own what they contain: `String`, not `&str`. Fields that serde skips are missing on other
//!   ranks.
//! - A map in a data set, or in a key of the dictionary, should be a `BTreeMap`. A `HashMap` has another
//!   order each time, and then counts as another data set.
//!
//! The store and the tables show values as JSON, with `NaN` and `Infinity` as strings. Of a value with
//! more than 100,000 numbers or 1 MiB of strings they show only a part. A single result or data set
//! may be larger than 2 GiB.
//!
//! # Features
//!
//! | feature | adds | default |
//! | --- | --- | --- |
//! | `mpi` | ranks over MPI; the library is loaded when a launcher starts the program | yes |
//! | `rsmpi` | links the MPI of this machine instead, whichever it is; needs its `mpicc` and libclang to build | yes |
//! | `cli` | `Study::main`: command line, table, report, progress bar, a logger | yes |
//! | `jobs` | job files and what they can call; together with `cli` the program `gridmpi` | yes |
//! | `parquet` | exports as Parquet | yes |
//!
//! A program that is a study, with the command line, needs `mpi` and `cli`. A study that is called from
//! your own code needs `mpi`, or no feature at all: with `default-features = false` it runs on threads,
//! and building it needs a C compiler only for SQLite.

// A build without the command line and job files uses only a part of the rooms below.
#![cfg_attr(not(all(feature = "cli", feature = "jobs")), allow(dead_code))]

#[cfg(feature = "cli")]
mod cli;
#[cfg(any(feature = "cli", feature = "jobs"))]
mod condition;
mod executor;
mod job;
mod master;
mod model;
mod platform;
mod rank0;
/// The README's Rust has to compile.
#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../README.md")]
mod readme {}
mod report;
mod store;
mod study;
#[cfg(test)]
mod testing;
mod util;
mod wire;
mod worker;

#[cfg(all(feature = "cli", feature = "jobs"))]
pub use cli::main;
pub use executor::context::{Context, TaskLogger};
pub use model::policy::Order;
pub use model::value::Value;
pub use rank0::settings::Settings;
pub use study::{
    Begun, Best, Crunch, Crunched, Nest, Outcome, Row, RowPoint, Runs, Stop, Study, Summary,
    WithData, study,
};
pub use util::error::{Error, Exit};
pub use wire::dictionary::{Dictionary, SharedDictionary};

/// What the user's functions return. An error of any type, or a string, fails the run.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
