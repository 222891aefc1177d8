//! How and where to run: what a command line says, or a program's own code.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::master::Strategy;
use crate::master::cost_model::CostModel;
use crate::model::Order;

/// How and where to run.
///
/// ```
/// use gridmpi::Settings;
/// let settings = Settings::default().threads(4).out("results/second-try");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub(crate) threads: Option<usize>,
    pub(crate) out: Out,
    /// How many tasks to a message; as many as their durations suggest, if it is not said.
    pub(crate) batch: Option<u64>,
    /// How the nest is made parallel.
    pub(crate) strategy: Strategy,
    /// In which order tasks are given out, if not in the job's.
    pub(crate) order: Option<Order>,
    /// What tasks can be expected to take, if anything is known of it before the start.
    pub(crate) expected: Option<CostModel>,
    /// Whether rank 0 crunches too.
    pub(crate) master_works: bool,
    /// Whether runs are kept only until their group is reduced.
    pub(crate) no_store: bool,
    /// Whether to find out what all ranks have used of their machines.
    pub(crate) census: bool,
    /// The tasks to do, if not all.
    pub(crate) only: Option<Only>,
    /// When nothing may be under way any more.
    pub(crate) end: Option<SystemTime>,
    pub(crate) fresh: bool,
    pub(crate) keep: bool,
    pub(crate) keep_failed: bool,
    /// Whether this is a program's `main`: it shows a bar on a terminal, and takes signals.
    pub(crate) is_main: bool,
    /// How long runs that are under way may go on after a signal.
    pub(crate) grace: Duration,
}

/// Which tasks to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Only {
    /// One, by its number or its coordinates.
    Named(Vec<String>),
    /// These, as far as they are not done.
    These(Vec<u64>),
}

/// Where results go.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Out {
    /// A folder that goes with the results.
    #[default]
    Temporary,
    /// `results/NAME`.
    Named,
    At(PathBuf),
}

impl Settings {
    /// How many threads each worker process crunches on, 1 at least. If it is not called: under mpirun
    /// one, so that each rank is one worker; without it one for each core of this machine.
    pub fn threads(mut self, threads: usize) -> Settings {
        self.threads = Some(threads.max(1));
        self
    }

    /// Give out so many tasks in a message, 1 at least. If it is not called that follows from how long
    /// tasks take: one where they are long, thousands where they are nothing.
    pub fn batch(mut self, tasks: u64) -> Settings {
        self.batch = Some(tasks.max(1));
        self
    }

    /// Under mpirun, have rank 0 crunch too, in threads beside the one that dispenses tasks; for a
    /// machine where every core counts. If it is not called it only dispenses.
    pub fn master_works(mut self) -> Settings {
        self.master_works = true;
        self
    }

    /// Keep no run: each is forgotten when its group is reduced, and only summaries are left. What is
    /// interrupted then has to begin anew.
    pub fn no_store(mut self) -> Settings {
        self.no_store = true;
        self
    }

    /// The folder for results, made if it is not there. If it is not called they go to a temporary
    /// one, which ends with the outcome.
    pub fn out(mut self, folder: impl Into<PathBuf>) -> Settings {
        self.out = Out::At(folder.into());
        self
    }

    /// Move what the results folder holds already into a folder inside it, and begin anew. If it is
    /// not called, runs that are there and are the study's are not computed again.
    pub fn fresh(mut self) -> Settings {
        self.fresh = true;
        self
    }

    /// Use the runs in the results folder though crunch, its score's name or the seed has changed
    /// since; if it is not called they are refused then.
    pub fn keep(mut self) -> Settings {
        self.keep = true;
        self
    }

    /// Leave runs of earlier starts that failed as they are; if it is not called they are tried again.
    pub fn keep_failed(mut self) -> Settings {
        self.keep_failed = true;
        self
    }
}
