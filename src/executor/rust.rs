//! The user's Rust with its types erased: what a worker and rank 0 need of a study.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::executor::context::Context;
use crate::executor::{CallResult, Executor, FinalCaller, GivenFinal, GroupReducer, Slot, Task};
use crate::job::{CrunchSpec, Job};
use crate::model::{Key, Points, Reduce, RunError, Scored, SlotResult, StopRule};
use crate::util::error::{Error, Result};
use crate::util::panic::caught;
use crate::wire::dictionary::DictionaryData;
use crate::wire::requests::MasterClient;

/// The points of a loop, evaluated on rank 0.
pub(crate) struct PreparedLoop {
    /// The points as stored.
    pub(crate) points: Points,
    /// The bytes sent to the other ranks.
    pub(crate) learned: Bytes,
    /// Digests of the points that the store does not record in full.
    pub(crate) digests: BTreeMap<u64, String>,
}

/// A loop of the user's, with its point type erased.
pub(crate) trait LoopSource: Send + Sync {
    fn name(&self) -> &str;

    /// Whether its points are data sets, which are worth caching.
    fn is_data(&self) -> bool {
        false
    }

    /// On rank 0: evaluates the points.
    fn prepare(&self) -> Result<PreparedLoop>;

    /// On the other ranks: decodes what rank 0 prepared.
    fn learn(&self, bytes: &Bytes) -> Result<()>;

    /// On rank 0: the bincode form of a data set that is kept there.
    fn data(&self, point: u64) -> Result<Bytes, String>;

    /// Gets a point: held, fetched or loaded.
    fn any_point(
        &self,
        level: usize,
        index: u64,
        context: &Context,
    ) -> Result<AnyPoint<'_>, String>;
}

/// A point whose type is erased, borrowed or shared while it is needed.
pub(crate) enum AnyPoint<'a> {
    Here(&'a (dyn Any + Send + Sync)),
    Kept(Arc<dyn Any + Send + Sync>),
}

impl AnyPoint<'_> {
    /// The point, if it is of this type.
    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        match self {
            AnyPoint::Here(point) => point.downcast_ref(),
            AnyPoint::Kept(point) => point.downcast_ref(),
        }
    }
}

/// Makes a final call.
pub(crate) type FinalClosure =
    Box<dyn Fn(&GivenFinal, &ErasedStudy, &Context) -> Result<Scored, RunError> + Send + Sync>;

/// Calls crunch at the points with these indices.
pub(crate) type CrunchFunction =
    Box<dyn Fn(&[u64], &Context) -> Result<Scored, String> + Send + Sync>;

/// Reduces the items in a group's slots.
pub(crate) type ReduceFunction =
    Box<dyn Fn(&Arc<Job>, Key, &[SlotResult]) -> Result<Scored, String> + Send + Sync>;

/// How a loop of a study is reduced.
pub(crate) enum StudyReduce {
    /// By the user's function.
    Own(ReduceFunction),
    /// By the master, which may stop points.
    Known(Reduce, Option<StopRule>),
}

/// What the program itself defines, identically on every rank.
pub(crate) struct ErasedStudy {
    pub(crate) levels: Vec<Arc<dyn LoopSource>>,
    pub(crate) crunch: CrunchFunction,
    /// Innermost loop first.
    pub(crate) reduces: Vec<StudyReduce>,
    /// The final function, and how many loops were reduced when it was given.
    pub(crate) finally: Option<(usize, FinalClosure)>,
    /// How many data sets a process caches.
    pub(crate) keep: usize,
    pub(crate) dictionary: DictionaryData,
}

impl ErasedStudy {
    /// Takes over the job as rank 0 prepared it.
    pub(crate) fn learn(&self, job: &Job) -> Result<()> {
        let CrunchSpec::Native(learned) = &job.crunch else { return Err(another_program()) };
        if learned.len() != self.levels.len() {
            return Err(another_program());
        }
        // Rank 0 decoded these itself, so they can fail only for another program's types.
        let mut levels = self.levels.iter().zip(learned);
        levels.try_for_each(|(level, bytes)| level.learn(bytes)).map_err(|_| another_program())
    }

    /// The bincode form of a data set that is kept on rank 0.
    pub(crate) fn data(&self, level: usize, point: u64) -> Result<Bytes, String> {
        let level = self.levels.get(level).ok_or_else(|| format!("there is no loop {level}"))?;
        caught("Serialize", || level.data(point))
    }

    pub(crate) fn dictionary(&self) -> &DictionaryData {
        &self.dictionary
    }
}

/// The error if rank 0 runs another program.
pub(crate) fn another_program() -> Error {
    Error::input("rank 0 runs another study than this rank; start the same program on every rank")
}

pub(crate) struct RustExecutor {
    study: Arc<ErasedStudy>,
    context: Context,
}

impl RustExecutor {
    pub(crate) fn new(
        job: &Arc<Job>,
        study: &Arc<ErasedStudy>,
        caller: &Arc<dyn MasterClient>,
        place: Slot,
    ) -> RustExecutor {
        let context = Context::new(job, caller, place, study.keep);
        RustExecutor { study: study.clone(), context }
    }
}

impl Executor for RustExecutor {
    fn crunch(&mut self, task: &Task) -> CallResult {
        self.context.turn_to(task);
        let indices = self.context.indices();
        let result = (self.study.crunch)(&indices, &self.context);
        self.context.rest();
        CallResult::from(result.map_err(RunError::Failed))
    }
}

pub(crate) struct RustFinal {
    job: Arc<Job>,
    study: Arc<ErasedStudy>,
    context: Context,
}

impl RustFinal {
    pub(crate) fn new(
        job: &Arc<Job>,
        study: &Arc<ErasedStudy>,
        caller: &Arc<dyn MasterClient>,
        place: Slot,
    ) -> RustFinal {
        let context = Context::new(job, caller, place, study.keep);
        RustFinal { job: job.clone(), study: study.clone(), context }
    }
}

impl FinalCaller for RustFinal {
    fn call(&mut self, given: &GivenFinal) -> Result<Scored, RunError> {
        // What it logs names the first task of the row.
        let index = self.job.nest.tasks_below(given.row).start;
        let (job, attempt) = (&self.job, given.attempt);
        self.context.turn_to(&Task { job, index, attempt, workdir: None });
        let missing = || RunError::Failed(another_program().to_string());
        let (_, call) = self.study.finally.as_ref().ok_or_else(missing)?;
        let result = call(given, &self.study, &self.context);
        self.context.rest();
        result
    }
}

pub(crate) struct RustReducer {
    job: Arc<Job>,
    study: Arc<ErasedStudy>,
}

impl RustReducer {
    pub(crate) fn new(job: &Arc<Job>, study: &Arc<ErasedStudy>) -> RustReducer {
        RustReducer { job: job.clone(), study: study.clone() }
    }
}

impl GroupReducer for RustReducer {
    fn reduce(&mut self, group: Key, items: &[SlotResult]) -> Result<Scored, String> {
        let from_innermost = self.job.nest.depth() - 1 - group.level;
        match self.study.reduces.get(from_innermost) {
            Some(StudyReduce::Own(reduce)) => reduce(&self.job, group, items),
            _ => Err(another_program().to_string()),
        }
    }
}
