//! How and where to run: what a command line says, or a program's own code.

use std::path::PathBuf;
use std::time::Duration;

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
    pub(crate) fresh: bool,
    pub(crate) keep: bool,
    pub(crate) keep_failed: bool,
    /// Whether this is a program's `main`: it shows a bar on a terminal, and takes signals.
    pub(crate) is_main: bool,
    /// How long runs that are under way may go on after a signal.
    pub(crate) grace: Duration,
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
    /// Without mpirun, run on this many threads, 1 at least; all cores if it is not called. With it
    /// each rank is one worker, and this is refused.
    pub fn threads(mut self, threads: usize) -> Settings {
        self.threads = Some(threads.max(1));
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
