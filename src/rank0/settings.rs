//! How and where to run, as set by the command line or by a program.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::master::Strategy;
use crate::master::cost_model::CostModel;
#[cfg(all(feature = "cli", feature = "jobs"))]
use crate::model::JobPart;
use crate::model::Order;

/// How and where to run a study.
///
/// ```
/// use gridmpi::Settings;
/// let settings = Settings::default().threads(4).out("results/second-try");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub(crate) threads: Option<usize>,
    pub(crate) out: Out,
    /// Tasks per message; chosen by the durations of the tasks if it is not set.
    pub(crate) batch: Option<u64>,
    /// How the nest is parallelised.
    pub(crate) strategy: Strategy,
    /// The order of tasks, if it is not the job's.
    pub(crate) order: Option<Order>,
    /// A cost model, if one is known before the start.
    pub(crate) expected: Option<CostModel>,
    /// Whether rank 0 crunches too.
    pub(crate) master_works: bool,
    /// Whether runs are kept only until their group is reduced.
    pub(crate) no_store: bool,
    /// Whether workers report their processor time when they leave.
    pub(crate) census: bool,
    /// The tasks to do, if not all.
    pub(crate) only: Option<Only>,
    /// The part of the job to do, if not all. Its results folder is in that of the job.
    #[cfg(all(feature = "cli", feature = "jobs"))]
    pub(crate) part: Option<JobPart>,
    /// The time limit: no task may run after it.
    pub(crate) end: Option<SystemTime>,
    pub(crate) fresh: bool,
    pub(crate) keep: bool,
    pub(crate) keep_failed: bool,
    /// Whether this is a program's `main`, which shows a progress bar and handles signals.
    pub(crate) is_main: bool,
    /// How long running tasks may go on after a signal.
    pub(crate) grace: Duration,
}

/// Which tasks to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Only {
    /// One, by its number or its coordinates.
    Named(Vec<String>),
    /// These, unless they are done.
    These(Vec<u64>),
}

/// Where results go.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Out {
    /// A temporary folder, deleted with the results.
    #[default]
    Temporary,
    /// `results/NAME`.
    Named,
    At(PathBuf),
}

impl Settings {
    /// Sets the number of threads per worker process, at least 1. Default: one under mpirun, so that each
    /// rank is one worker; otherwise one per core of this machine.
    pub fn threads(mut self, threads: usize) -> Settings {
        self.threads = Some(threads.max(1));
        self
    }

    /// Sets the number of tasks per message, at least 1. Default: chosen by the durations of the tasks,
    /// from one long task to thousands of very short ones.
    pub fn batch(mut self, tasks: u64) -> Settings {
        self.batch = Some(tasks.max(1));
        self
    }

    /// Lets rank 0 run tasks too under mpirun, in threads besides the one that hands out tasks. Default:
    /// rank 0 only hands out tasks.
    pub fn master_works(mut self) -> Settings {
        self.master_works = true;
        self
    }

    /// Stores no runs: each is dropped when its group is reduced, and only the summaries are kept. A study
    /// that is interrupted then starts from the beginning.
    pub fn no_store(mut self) -> Settings {
        self.no_store = true;
        self
    }

    /// Sets the results folder, which is made if it does not exist. Default: a temporary folder, which is
    /// deleted when the outcome is dropped.
    pub fn out(mut self, folder: impl Into<PathBuf>) -> Settings {
        self.out = Out::At(folder.into());
        self
    }

    /// Moves earlier results into a subfolder of the results folder and starts over. Default: runs of this
    /// study that are in the folder are reused.
    pub fn fresh(mut self) -> Settings {
        self.fresh = true;
        self
    }

    /// Reuses the runs in the results folder although the version of crunch or the seed has changed.
    /// Default: [`Study::run`](crate::Study::run) returns an error in this case.
    pub fn keep(mut self) -> Settings {
        self.keep = true;
        self
    }

    /// Does not try again the runs that failed in earlier starts. Default: they are tried again.
    pub fn keep_failed(mut self) -> Settings {
        self.keep_failed = true;
        self
    }
}
