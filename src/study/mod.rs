//! A study: the user's own Rust as crunch and summarize, with everything else of gridmpi around it.

mod loops;
mod nest;
mod outcome;
pub(crate) mod run;
mod runs;
mod sources;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::nest::{Crunched, Nest};
pub use self::outcome::Outcome;
pub use self::runs::{Runs, Summary};

use crate::executor::context::Context;
use crate::executor::rust::{CrunchFunction, ErasedStudy, LoopSource, PreparedLoop};
use crate::job::{self, Digests, Identity, Job, check_name};
use crate::model::{
    Completeness, GroupSummary, Loop, LoopNest, Order, Points, Policy, Reduce, SlotResult,
};
use crate::platform::launcher::LaunchInfo;
use crate::rank0::settings::Settings;
use crate::rank0::types::{Listener, PreparedJob};
use crate::study::run::conduct;
use crate::util::error::{Error, Result};
use crate::util::panic::caught;
use crate::wire::codec;
use crate::wire::dictionary::{DictionaryData, SharedDictionary};
use crate::worker::isolated_main;
use loops::Over;

/// How many data sets of a loop a process keeps, if the study does not say.
const KEEP: usize = 4;

/// The user's expensive function and what makes a summary of its runs: the two loops of most
/// studies, over data sets and over parameters. For deeper nests see [`Nest`].
///
/// The types cross between ranks by serde; see the [limits](crate#what-serde-types-can-be). Give
/// `Run` and `Summary` a field `score` (or let them be numbers) and the store and the tables have it
/// as such.
pub trait Crunch: Send + Sync + 'static {
    /// A data set.
    type Data: Send + Sync + 'static;
    /// One combination of parameters.
    type Param: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What comes of one call; all of them are kept.
    type Run: Serialize + DeserializeOwned + 'static;
    /// What the runs of one data set come to.
    type Summary: Serialize + DeserializeOwned + 'static;

    /// The expensive call. An error, a panic or a run that is NaN (or whose `score` is) fails this
    /// run alone.
    fn crunch(
        &self,
        data: &Self::Data,
        param: &Self::Param,
        context: &Context,
    ) -> crate::Result<Self::Run>;

    /// What the runs of a data set come to, in the order of the parameters. A panic leaves the data
    /// set without a summary, as does a summary that is NaN (or whose `score` is).
    fn summarize(&self, runs: &Runs<Self::Run>) -> Self::Summary;
}

/// Begins a study of this crunch: data sets next, then parameters.
pub fn study<C: Crunch>(crunch: C) -> Begun<C> {
    Begun { crunch }
}

/// A crunch that has no data sets yet.
pub struct Begun<C> {
    crunch: C,
}

impl<C: Crunch> Begun<C> {
    /// Data sets that live on rank 0, where `make` is called once; see [`Nest::data`].
    pub fn data_sets(
        self,
        make: impl FnOnce() -> crate::Result<Vec<C::Data>> + Send + 'static,
    ) -> WithData<C>
    where
        C::Data: Serialize + DeserializeOwned,
    {
        WithData { crunch: self.crunch, nest: Nest::new().data("dataset", make) }
    }

    /// The same, each with a name; see [`Nest::named_data`].
    pub fn named_data_sets(
        self,
        make: impl FnOnce() -> crate::Result<Vec<(String, C::Data)>> + Send + 'static,
    ) -> WithData<C>
    where
        C::Data: Serialize + DeserializeOwned,
    {
        WithData { crunch: self.crunch, nest: Nest::new().named_data("dataset", make) }
    }

    /// Data sets that each process loads for itself when it first has a task of one; see
    /// [`Nest::load`].
    pub fn load<K>(
        self,
        keys: impl IntoIterator<Item = K>,
        load: impl Fn(&K) -> crate::Result<C::Data> + Send + Sync + 'static,
    ) -> WithData<C>
    where
        K: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        WithData { crunch: self.crunch, nest: Nest::new().load("dataset", keys, load) }
    }
}

/// A crunch with data sets, and no parameters yet.
pub struct WithData<C: Crunch> {
    crunch: C,
    nest: Nest<(Over<C::Data>,)>,
}

impl<C: Crunch> WithData<C> {
    /// The parameters to try on every data set. Those of rank 0 count; other ranks are told them.
    pub fn params(self, params: impl IntoIterator<Item = C::Param>) -> Study<C::Run, C::Summary> {
        let crunch = Arc::new(self.crunch);
        let summarizer = crunch.clone();
        self.nest
            .each("param", params)
            .crunch(move |(data, param), context| crunch.crunch(data, param, context))
            .reduce(move |runs| summarizer.summarize(runs))
    }
}

/// All that is to be computed, in the user's Rust, ready to run: `R` is what a run gives, `S` what the
/// outermost group that folds comes to.
pub struct Study<R, S> {
    name: String,
    version: String,
    policy: Policy,
    erased: ErasedStudy,
    listeners: Vec<(usize, Listener)>,
    of: std::marker::PhantomData<fn() -> (R, S)>,
}

impl<R> Study<R, R> {
    /// A study that folds nothing yet.
    fn begin(levels: Vec<Arc<dyn LoopSource>>, crunch: CrunchFunction) -> Study<R, R> {
        let program = std::env::current_exe().ok();
        let name = program.as_deref().and_then(|path| path.file_stem());
        Study {
            name: name.map_or("study".to_string(), |name| name.to_string_lossy().into_owned()),
            version: "1".to_string(),
            policy: Policy::default(),
            erased: ErasedStudy {
                levels,
                crunch,
                reduces: Vec::new(),
                keep: KEEP,
                board: DictionaryData::new(),
            },
            listeners: Vec::new(),
            of: std::marker::PhantomData,
        }
    }
}

impl<R, S> Study<R, S>
where
    R: Serialize + DeserializeOwned + 'static,
    S: Serialize + DeserializeOwned + 'static,
{
    /// Folds the next loop outwards: `summarize` gets the summaries of the loop inside of it. Without
    /// it that loop and those around it are the rows of the result.
    pub fn reduce<T, F>(self, summarize: F) -> Study<R, T>
    where
        T: Serialize + DeserializeOwned + 'static,
        F: Fn(&Runs<S>) -> T + Send + Sync + 'static,
    {
        self.fold(summarize)
    }

    fn fold<T, F>(self, summarize: F) -> Study<R, T>
    where
        T: Serialize + DeserializeOwned + 'static,
        F: Fn(&Runs<S>) -> T + Send + Sync + 'static,
    {
        let mut erased = self.erased;
        erased.reduces.push(Box::new(move |job: &Arc<Job>, group, items: &[SlotResult]| {
            let result = |item: &SlotResult| match &item.result {
                Some(scored) => codec::decode_theirs::<S>(&scored.typed).map(Some),
                None => Ok(None),
            };
            let results = items.iter().map(result).collect::<Result<_>>();
            let results = results.map_err(|error| error.to_string())?;
            nest::typed(&summarize(&Runs { results, job: job.clone(), group }))
        }));
        Study {
            name: self.name,
            version: self.version,
            policy: self.policy,
            erased,
            listeners: self.listeners,
            of: std::marker::PhantomData,
        }
    }

    /// Names the results folder, `results/NAME`; the program's name if it is not called.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.to_string();
        self
    }

    /// What every task's own seed derives from; 0 if it is not called.
    pub fn seed(mut self, seed: u64) -> Self {
        self.policy.seed = seed;
        self
    }

    /// What you call this version of crunch and summarize; "1" if it is not called. gridmpi cannot see
    /// whether your Rust has changed: with another version, runs of an earlier one are refused unless
    /// [`Settings::keep`] is called for.
    pub fn version(mut self, version: &str) -> Self {
        self.version = version.to_string();
        self
    }

    /// The fraction of a group's points that must have a result for the group to be summarised, over
    /// 0 and up to 1. If it is not called, all of them: a group with a failed run is incomplete.
    pub fn require(mut self, fraction: f64) -> Self {
        self.policy.require = Completeness::Fraction(fraction);
        self
    }

    /// How often a failed run is tried once more; never if it is not called. [`Context::attempt`] tells
    /// crunch which try it is.
    pub fn retries(mut self, retries: u32) -> Self {
        self.policy.retries = retries;
        self
    }

    /// Stops the study when more runs than this have failed for good; if it is not called it goes on
    /// whatever fails. [`run`](Study::run) fails then; another start goes on.
    pub fn max_failures(mut self, failures: u64) -> Self {
        self.policy.most_failures = Some(failures);
        self
    }

    /// When nothing else is left to do, gives the task that has run longest, and more than twice as long
    /// as others did, to an idle worker too; the first result counts. The other call is
    /// [cancelled](Context::is_cancelled), and the study ends when it has returned.
    pub fn speculate(mut self) -> Self {
        self.policy.speculate = true;
        self
    }

    /// Gives tasks out in this order; if it is not called, as nested loops would run them. No result
    /// depends on it.
    pub fn order(mut self, order: Order) -> Self {
        self.policy.order = order;
        self
    }

    /// Has each worker call crunch in a process of its own, which is this program started again with
    /// the same arguments (on a Unix system). A crunch that crashes, or ends its process, then costs its
    /// own run; each worker holds its own data sets, and each call is a message more.
    /// Only for the first study that a program runs: started again, it has to come to this one first.
    pub fn isolate(mut self) -> Self {
        self.policy.isolate = true;
        self
    }

    /// How long one call of crunch may take; then its process is ended and the run has failed. Only
    /// for a study that is [isolated](Study::isolate): it is refused otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.policy.timeout = Some(timeout);
        self
    }

    /// How many data sets of each loop a process keeps, at least 1; 4 if it is not called. The least
    /// recently used one goes first.
    pub fn keep(mut self, data_sets: usize) -> Self {
        self.erased.keep = data_sets.max(1);
        self
    }

    /// Has the workers call summarize, as tasks of their own, instead of a thread on rank 0: for a
    /// summarize that is itself expensive. The [front page](crate#expensive-summaries) says from when
    /// that is faster.
    pub fn reduce_on_workers(mut self) -> Self {
        self.policy.reduce_on_workers = true;
        self
    }

    /// Calls `listen` on rank 0, on a thread of its own, with each summary as its group closes, while
    /// others still run; first with those of earlier starts that are reused. An error from it stops
    /// the study: what is under way comes to its end (see [`Context::is_cancelled`]), what was done is
    /// stored, and [`run`](Study::run) fails with it.
    pub fn on_summary<F>(mut self, mut listen: F) -> Self
    where
        F: FnMut(Summary<S>) -> crate::Result<()> + Send + 'static,
    {
        let listen = move |nest: &LoopNest, summary: &GroupSummary| {
            listen(Summary::of(nest, summary)).map_err(|error| error.to_string())
        };
        self.listeners.push((self.erased.reduces.len(), Box::new(listen)));
        self
    }

    /// The dictionary of that name, which the ranks share, as rank 0's program sees it; crunch reaches
    /// it by [`Context::dictionary`]. It is closed when the study is over; what is left in it can be
    /// taken then. On other ranks what this returns is an empty dictionary that nobody else sees, and
    /// that is closed too.
    pub fn dictionary<K, V>(&self, name: &str) -> SharedDictionary<'static, K, V>
    where
        K: Serialize,
        V: Serialize + DeserializeOwned,
    {
        SharedDictionary::here(name, &self.erased.board)
    }

    /// Runs the study and waits for its end: over MPI if this process was started by mpirun or srun
    /// (then every rank has to get here, once), else on this machine's threads. Rank 0 gets the
    /// outcome; the other ranks work for it and get nothing. Fails if the study or the settings are
    /// wrong, before anything is crunched; if the store or the transport fails; or with what
    /// [`on_summary`](Study::on_summary) failed with. Under MPI a failure of the store or the transport
    /// is printed and ends all ranks at once (`MPI_Abort`), because some may be deep in crunch.
    pub fn run(self, settings: &Settings) -> Result<Option<Outcome<R, S>>> {
        if !isolated_main::is_first_study() && self.policy.isolate {
            return Err(Error::input("only the first study that a program runs can be isolated"));
        }
        let (native, prepare) = self.split();
        isolated_main::work_if_isolated(Some(&native));
        let finished = conduct(LaunchInfo::detect(), settings, Some(native.clone()), prepare);
        native.board().close(); // on every rank and after any error: nobody waits for what cannot come
        finished?.map(Outcome::read).transpose()
    }

    /// What every rank brings, and what rank 0 does before it starts.
    pub(crate) fn split(self) -> (Arc<ErasedStudy>, impl FnOnce() -> Result<PreparedJob>) {
        let Study { name, version, policy, erased, listeners, .. } = self;
        let native = Arc::new(erased);
        let brought = native.clone();
        let prepare = move || {
            if !policy.require.is_sound() {
                return Err(Error::input("require: expected over 0 and up to 1"));
            }
            if policy.timeout.is_some() && !policy.isolate {
                return Err(Error::input("timeout: only a study that is isolated can be ended"));
            }
            let (nest, learned, own_digests) = prepare_loops(&brought)?;
            let job = Job {
                name,
                folder: std::env::current_dir().unwrap_or_default(),
                nest,
                crunch: job::CrunchSpec::Native(learned),
                score: "score".to_string(),
                policy,
                places: job::Places::default(),
            };
            job::check_job_name(&job.name).map_err(|why| Error::input(format!("name: {why}")))?;
            let depth = job.nest.depth();
            let listeners =
                listeners.into_iter().map(|(folds, listen)| (depth - folds, listen)).collect();
            let identity = Identity::of(&job, &version)?;
            // Keys of data sets to load may well be files, seen from here.
            let mut digests = job::digests(&job)?;
            for (level, of_level) in own_digests {
                digests.entry(level).or_default().extend(of_level);
            }
            Ok(PreparedJob { job, text: String::new(), identity, digests, listeners })
        };
        (native, prepare)
    }
}

/// The loops as the job has them, what other ranks have to learn of each, and digests of points.
fn prepare_loops(native: &ErasedStudy) -> Result<(LoopNest, Vec<bytes::Bytes>, Digests)> {
    let depth = native.levels.len();
    if native.reduces.len() > depth {
        let folds = native.reduces.len();
        return Err(Error::input(format!("{folds} reduces are more than the {depth} loops")));
    }
    let outer = depth - native.reduces.len();
    let (mut loops, mut learned): (Vec<Loop>, Vec<bytes::Bytes>) = (Vec::new(), Vec::new());
    let mut digests = Digests::new();
    for (i, level) in native.levels.iter().enumerate() {
        let name = level.name();
        check_name(name, &loops).map_err(Error::input)?;
        let prepared = caught(&format!("what makes loop '{name}'"), || {
            level.prepare().map_err(|error| error.to_string())
        });
        let PreparedLoop { points, learned: bytes, digests: of_level } =
            prepared.map_err(Error::input)?;
        if points.is_empty() {
            return Err(Error::input(format!("loop '{name}' has no points")));
        }
        if points.len() > u64::from(u32::MAX) && !matches!(points, Points::Range { .. }) {
            return Err(Error::input(format!("loop '{name}' has too many points to list")));
        }
        let reduce = (i >= outer).then_some(Reduce::Native);
        let is_data = level.is_data();
        loops.push(Loop { name: name.to_string(), points, reduce, is_data });
        learned.push(bytes);
        digests.insert(i, of_level);
    }
    Ok((LoopNest::new(loops).map_err(Error::input)?, learned, digests))
}
