//! A study: the user's own Rust as crunch and summarize, with everything else of gridmpi around it.

mod crunch;
mod dependent;
mod loops;
mod needs;
mod nest;
mod outcome;
mod prepare;
mod reductions;
mod row;
pub(crate) mod run;
mod runs;
mod sources;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::crunch::{Begun, Crunch, WithData, study};
pub use self::nest::{Crunched, Nest};
pub use self::outcome::Outcome;
pub use self::reductions::{Best, Stop};
pub use self::row::{Row, RowPoint};
pub use self::runs::{Runs, Summary};

use crate::executor::ReadyChildren;
use crate::executor::rust::{CrunchFunction, ErasedStudy, StudyReduce};
use crate::job::{self, FinalFunction, FinalSpec, Job, KeptFiles, Seeding, WorkdirSpec};
use crate::model::{
    Completeness, GroupSummary, Key, LoopNest, Order, Policy, SlotResult, check_stops,
};
use crate::platform::launcher::LaunchInfo;
use crate::rank0::settings::Settings;
use crate::rank0::types::{Listener, PreparedJob};
use crate::study::run::{FirstPlace, run_job};
use crate::util::error::{Error, Result};
use crate::wire::dictionary::{DictionaryData, SharedDictionary};
use crate::worker::isolated_main;
use nest::ErasedLoop;
use prepare::{Selector, prepare_loops};
use reductions::{ValueReader, returned};

/// How many data sets of each loop a process keeps by default.
const KEEP: usize = 4;

/// Loops, crunch and reductions, ready to run. `R` is the result of a run, and `S` the summary of the
/// outermost loop that is reduced.
pub struct Study<R, S> {
    name: String,
    version: String,
    policy: Policy,
    workdir: Option<WorkdirSpec>,
    erased: ErasedStudy,
    /// By level.
    selectors: Vec<Selector>,
    listeners: Vec<(usize, Listener)>,
    read: ValueReader<S>,
    /// What is wrong with the study.
    refused: Option<String>,
    of: std::marker::PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned + 'static> Study<R, R> {
    /// A study without reductions.
    fn begin(loops: Vec<ErasedLoop>, crunch: CrunchFunction) -> Study<R, R> {
        let (levels, selectors) = loops.into_iter().map(|l| (l.source, l.selector)).unzip();
        let program = std::env::current_exe().ok();
        let name = program.as_deref().and_then(|path| path.file_stem());
        Study {
            name: name.map_or("study".to_string(), |name| name.to_string_lossy().into_owned()),
            version: "1".to_string(),
            policy: Policy::default(),
            workdir: None,
            erased: ErasedStudy {
                levels,
                crunch,
                reduces: Vec::new(),
                finally: None,
                keep: KEEP,
                dictionary: DictionaryData::new(),
            },
            selectors,
            listeners: Vec::new(),
            read: returned(),
            refused: None,
            of: std::marker::PhantomData,
        }
    }
}

impl<R, S> Study<R, S> {
    /// The same study, which gives another type.
    fn reading<T>(self, read: ValueReader<T>) -> Study<R, T> {
        let Study { name, version, policy, workdir, erased, selectors, listeners, .. } = self;
        let (refused, of) = (self.refused, self.of);
        Study { name, version, policy, workdir, erased, selectors, listeners, read, refused, of }
    }
}

impl<R, S> Study<R, S>
where
    R: Serialize + DeserializeOwned + 'static,
    S: 'static,
{
    /// Reduces the next loop outwards: `summarize` gets the summaries of the loop inside it. The result
    /// has one row per point of the loops that are not reduced.
    pub fn reduce<T, F>(self, summarize: F) -> Study<R, T>
    where
        T: Serialize + DeserializeOwned + 'static,
        F: Fn(&Runs<S>) -> T + Send + Sync + 'static,
    {
        let (mut study, read) = (self, returned());
        let inside = study.read.clone();
        let own = move |job: &Arc<Job>, group, items: &[SlotResult]| {
            let nest = &job.nest;
            let result = |(key, item): (Key, &SlotResult)| match &item.result {
                Some(scored) => inside(nest, key, scored).map(Some),
                None => Ok(None),
            };
            let keys = nest.children(group).map(|index| Key { level: group.level + 1, index });
            let results = keys.zip(items).map(result).collect::<Result<_>>();
            let results = results.map_err(|error| error.to_string())?;
            nest::typed(&summarize(&Runs { results, job: job.clone(), group }))
        };
        study.erased.reduces.push(StudyReduce::Own(Box::new(own)));
        study.reading(read)
    }

    /// Sets the name of the results folder, `results/NAME`. Default: the name of the program.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.to_string();
        self
    }

    /// Sets the seed from which the seed of every task derives. Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.policy.seed = seed;
        self
    }

    /// Sets the version of crunch and summarize. Default: "1". gridmpi cannot see whether your Rust code
    /// has changed. Stored runs of another version are refused, unless [`Settings::keep`] is set.
    pub fn version(mut self, version: &str) -> Self {
        self.version = version.to_string();
        self
    }

    /// Sets the fraction of a group's points that must have a result for the group to be summarised:
    /// greater than 0 and at most 1. Default: all points; a group with a failed run is incomplete.
    pub fn require(mut self, fraction: f64) -> Self {
        self.policy.require = Completeness::Fraction(fraction);
        self
    }

    /// Sets how often a failed run is tried again. Default: 0. [`Context::attempt`](crate::Context::attempt) is the number of the
    /// attempt.
    pub fn retries(mut self, retries: u32) -> Self {
        self.policy.retries = retries;
        self
    }

    /// Stops the study when more runs than this have failed after all retries; [`run`](Study::run) then
    /// returns an error, and another start resumes the study. Default: no limit.
    pub fn max_failures(mut self, failures: u64) -> Self {
        self.policy.most_failures = Some(failures);
        self
    }

    /// If nothing else is left to do, an idle worker also runs the task that has been running longest, if
    /// it takes more than twice as long as others did. The first result counts. The other call is
    /// [cancelled](crate::Context::is_cancelled), and the study ends when it has returned.
    pub fn speculate(mut self) -> Self {
        self.policy.speculate = true;
        self
    }

    /// Sets the order in which tasks are handed out. Default: the order of the nested loops. No result
    /// depends on it.
    pub fn order(mut self, order: Order) -> Self {
        self.policy.order = order;
        self
    }

    /// Lets each worker call crunch in a process of its own, so that a crunch that crashes or ends its
    /// process fails one run only. The process is this program, started again with the same arguments
    /// (on a Unix system). Each such process holds its own data sets, and each call takes one more
    /// message. Only the first study that a program runs can be isolated, because the new process must
    /// reach the same study first.
    pub fn isolate(mut self) -> Self {
        self.policy.isolate = true;
        self
    }

    /// Sets the time limit of one call of crunch. At the limit its process is ended and the run fails.
    /// Only an [isolated](Study::isolate) study can have one; otherwise [`run`](Study::run) returns an
    /// error.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.policy.timeout = Some(timeout);
        self
    }

    /// Sets how many data sets of each loop a process keeps, at least 1. Default: 4. The least recently
    /// used one is dropped first.
    pub fn keep(mut self, data_sets: usize) -> Self {
        self.erased.keep = data_sets.max(1);
        self
    }

    /// Gives each call of crunch a folder of its own, [`Context::workdir`](crate::Context::workdir). What is in it when a call has
    /// failed is kept in the results folder, in `runs/`, in a folder named by the points of the run; with
    /// `keep_all`, what any call has left. An isolated study has no such folders.
    ///
    /// ```
    /// use gridmpi::{Nest, Runs, Settings};
    ///
    /// let outcome = Nest::new()
    ///     .each("alpha", [0.5, 1.0])
    ///     .crunch(|(alpha,), context| {
    ///         let folder = context.workdir().expect("the study says so");
    ///         std::fs::write(folder.join("model.txt"), format!("{alpha}"))?;
    ///         Ok(*alpha)
    ///     })
    ///     .reduce(|runs: &Runs<f64>| runs.max_by(|run| *run).map_or(0, |(best, _)| best))
    ///     .workdir(true)
    ///     .run(&Settings::default())?
    ///     .expect("this is rank 0");
    /// let kept = outcome.folder().join("runs/alpha=0.5/model.txt");
    /// assert_eq!(std::fs::read_to_string(kept)?, "0.5");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn workdir(mut self, keep_all: bool) -> Self {
        let keep = if keep_all { KeptFiles::All } else { KeptFiles::Failed };
        self.workdir = Some(WorkdirSpec { keep, ..WorkdirSpec::default() });
        self
    }

    /// Lets the workers call summarize, as tasks of their own, instead of a thread on rank 0. This is for
    /// a summarize that is itself expensive; the [front page](crate#expensive-summaries) says when it is
    /// faster.
    pub fn reduce_on_workers(mut self) -> Self {
        self.policy.reduce_on_workers = true;
        self
    }

    /// Calls `listen` with each summary as soon as its group is complete, on rank 0 in a thread of its
    /// own. Summaries of earlier starts that are reused come first. An error stops the study: running
    /// calls are cancelled (see [`Context::is_cancelled`](crate::Context::is_cancelled)), finished runs are stored, and
    /// [`run`](Study::run) returns the error.
    pub fn on_summary<F>(mut self, mut listen: F) -> Self
    where
        F: FnMut(Summary<S>) -> crate::Result<()> + Send + 'static,
    {
        let read = self.read.clone();
        let listen = move |nest: &LoopNest, summary: &GroupSummary| {
            listen(Summary::of(nest, summary, &read)).map_err(|error| error.to_string())
        };
        self.listeners.push((self.erased.reduces.len(), Box::new(listen)));
        self
    }

    /// Calls `finish` once for each row of the result when its summary is known, on a worker: to fit the best
    /// model again on all data, say, and to save it. It comes after the last [`reduce`](Study::reduce), and
    /// gets the row with its summary and a folder for files ([`Row::folder`]). What it returns is kept in the
    /// store with the row: [`Outcome::finally`]. After an error or a panic the row is as it was.
    ///
    /// ```
    /// use gridmpi::{Nest, Row, Runs, Settings};
    ///
    /// let alphas = [0.5, 1.0, 0.25];
    /// let outcome = Nest::new()
    ///     .data("dataset", || Ok(vec![vec![1.0, 2.0], vec![3.0]]))
    ///     .each("alpha", alphas)
    ///     .crunch(|(data, alpha), _| Ok(data.iter().sum::<f64>() * alpha))
    ///     .reduce(|runs: &Runs<f64>| runs.max_by(|run| *run).map_or(0, |(best, _)| best))
    ///     .finally(move |row: &Row<usize>| {
    ///         let (data, alpha) = (row.point::<Vec<f64>>("dataset")?, alphas[*row.summary()]);
    ///         std::fs::write(row.folder().join("model.txt"), format!("{alpha}"))?;
    ///         Ok(data.len() as f64 * alpha)
    ///     })
    ///     .run(&Settings::default())?
    ///     .expect("this is rank 0");
    /// assert_eq!(outcome.finally(&outcome.summaries[0])?, Some(Ok(2.0)));
    /// let saved = outcome.folder().join("final/dataset=1/model.txt");
    /// assert_eq!(std::fs::read_to_string(saved)?, "1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A later start calls it again only for rows of which the data, the summary or the study's
    /// [`version`](Study::version) differ, and where it has failed.
    pub fn finally<T, F>(mut self, finish: F) -> Self
    where
        T: Serialize + DeserializeOwned + 'static,
        F: Fn(&Row<S>) -> crate::Result<T> + Send + Sync + 'static,
    {
        self.erased.finally =
            Some((self.erased.reduces.len(), row::erased(finish, self.read.clone())));
        self
    }

    /// The shared dictionary of this name, for the program on rank 0; crunch uses
    /// [`Context::dictionary`](crate::Context::dictionary). It is closed when the study is over; the values in it can still be taken
    /// then. On other ranks this returns an empty dictionary that is not shared, and that is closed at
    /// the end too.
    pub fn dictionary<K, V>(&self, name: &str) -> SharedDictionary<'static, K, V>
    where
        K: Serialize,
        V: Serialize + DeserializeOwned,
    {
        SharedDictionary::here(name, &self.erased.dictionary)
    }

    /// Runs the study and returns when it is over. If mpirun or srun has started this process, it runs
    /// over MPI, and every rank must call this once; otherwise it runs on the threads of this machine.
    /// Rank 0 gets the outcome; all other ranks are workers and get `None`.
    ///
    /// # Errors
    /// If the study or the settings are wrong (before anything is crunched), if the store or the
    /// transport fails, if too many runs fail ([`max_failures`](Study::max_failures)), or if
    /// [`on_summary`](Study::on_summary) returns an error. Under MPI, a failure of the store or the
    /// transport is printed and ends all ranks at once with `MPI_Abort`, because some may be in a long
    /// call of crunch.
    pub fn run(self, settings: &Settings) -> Result<Option<Outcome<R, S>>> {
        if !isolated_main::is_first_study() && self.policy.isolate {
            return Err(Error::input("only the first study that a program runs can be isolated"));
        }
        let read = self.read.clone();
        let (native, prepare) = self.split();
        isolated_main::work_if_isolated(Some(&native));
        let finished = run_job(LaunchInfo::detect(), settings, Some(native.clone()), prepare);
        native.dictionary().close(); // on every rank, even after an error: nobody must wait for ever
        finished?.map(|finished| Outcome::read(finished, read)).transpose()
    }

    /// The part that every rank needs, and a closure that prepares the job on rank 0.
    pub(crate) fn split(
        self,
    ) -> (Arc<ErasedStudy>, impl FnOnce(FirstPlace) -> Result<PreparedJob>) {
        let Study { name, version, policy, workdir, erased, selectors, listeners, refused, .. } =
            self;
        let native = Arc::new(erased);
        let brought = native.clone();
        let prepare = move |_: FirstPlace| {
            if let Some(why) = refused {
                return Err(Error::input(why));
            }
            if !policy.require.is_sound() {
                return Err(Error::input("require: expected over 0 and up to 1"));
            }
            if policy.timeout.is_some() && !policy.isolate {
                return Err(Error::input(
                    "timeout: only the calls of an isolated study can be ended",
                ));
            }
            policy.needs.check().map_err(Error::input)?;
            if workdir.is_some() && policy.isolate {
                return Err(Error::input(
                    "workdir: an isolated study has no folders for its calls",
                ));
            }
            let (nest, learned, digests) = prepare_loops(&brought, selectors)?;
            check_stops(&nest, policy.require).map_err(|(level, why)| {
                Error::input(format!("stop: loop '{}': {why}", nest.loops()[level].name))
            })?;
            let finally = match &brought.finally {
                Some((folds, _)) if *folds != brought.reduces.len() => {
                    return Err(Error::input("finally: it comes after the last reduce"));
                }
                finally => finally.as_ref().map(|_| FinalSpec::new(FinalFunction::Native)),
            };
            let job = Job {
                name,
                folder: std::env::current_dir().unwrap_or_default(),
                nest,
                crunch: job::CrunchSpec::Native(learned),
                score: "score".to_string(),
                policy,
                inputs: Vec::new(),
                ignore: Vec::new(),
                watched: Default::default(),
                common: Default::default(),
                allow_mixed: false,
                seeding: Seeding::default(),
                file_loops: Vec::new(),
                folder_loops: Vec::new(),
                groups: Default::default(),
                finally,
                workdir,
                result: None,
                environment: Default::default(),
                versions: job::Versions::default(),
                carried: Default::default(),
                places: job::Places::default(),
            };
            job::check_job_name(&job.name).map_err(|why| Error::input(format!("name: {why}")))?;
            let depth = job.nest.depth();
            let listeners =
                listeners.into_iter().map(|(folds, listen)| (depth - folds, listen)).collect();
            let (text, modules) = (String::new(), job::PythonModules::default());
            let ready = ReadyChildren::default();
            Ok(PreparedJob { job, text, version, digests, modules, ready, listeners })
        };
        (native, prepare)
    }
}
