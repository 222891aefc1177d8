//! The user's Rust without its types: what a worker and rank 0 need of a study, whatever its data,
//! parameters, runs and summaries are.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::executor::context::Context;
use crate::executor::{CallResult, Executor, GroupReducer, Slot, Task};
use crate::job::{CrunchSpec, Job};
use crate::model::{Key, Points, Scored, SlotResult};
use crate::util::error::{Error, Result};
use crate::util::panic::caught;
use crate::wire::dictionary::DictionaryData;
use crate::wire::requests::MasterClient;

/// The points of a loop, made.
pub(crate) struct PreparedLoop {
    /// As the store shows them.
    pub(crate) points: Points,
    /// What the other ranks have to learn.
    pub(crate) learned: Bytes,
    /// The digests of those of which the store does not show everything.
    pub(crate) digests: BTreeMap<u64, String>,
}

/// A loop of the user's, whatever its points are.
pub(crate) trait LoopSource: Send + Sync {
    /// The loop's name.
    fn name(&self) -> &str;

    /// Whether its points are data sets, which are worth keeping to.
    fn is_data(&self) -> bool {
        false
    }

    /// On rank 0: makes the points.
    fn prepare(&self) -> Result<PreparedLoop>;

    /// On the other ranks: takes what rank 0 prepared.
    fn learn(&self, bytes: &Bytes) -> Result<()>;

    /// On rank 0: the bincode form of a data set that lives there.
    fn data(&self, point: u64) -> Result<Bytes, String>;
}

/// Calls crunch at the points with these indices.
pub(crate) type CrunchFunction =
    Box<dyn Fn(&[u64], &Context) -> Result<Scored, String> + Send + Sync>;

/// Reduces what a group's slots hold.
pub(crate) type ReduceFunction =
    Box<dyn Fn(&Arc<Job>, Key, &[SlotResult]) -> Result<Scored, String> + Send + Sync>;

/// What the program itself brings on every rank.
pub(crate) struct ErasedStudy {
    pub(crate) levels: Vec<Arc<dyn LoopSource>>,
    pub(crate) crunch: CrunchFunction,
    /// The innermost loop's first.
    pub(crate) reduces: Vec<ReduceFunction>,
    /// How many data sets a process keeps.
    pub(crate) keep: usize,
    pub(crate) dictionary: DictionaryData,
}

impl ErasedStudy {
    /// Takes the job as rank 0 has it, on whatever rank this is.
    pub(crate) fn learn(&self, job: &Job) -> Result<()> {
        let CrunchSpec::Native(learned) = &job.crunch else { return Err(another_program()) };
        if learned.len() != self.levels.len() {
            return Err(another_program());
        }
        // Rank 0 has read these back itself, so only another program's types can fail here.
        let mut levels = self.levels.iter().zip(learned);
        levels.try_for_each(|(level, bytes)| level.learn(bytes)).map_err(|_| another_program())
    }

    /// The bincode form of a data set that lives on rank 0.
    pub(crate) fn data(&self, level: usize, point: u64) -> Result<Bytes, String> {
        let level = self.levels.get(level).ok_or_else(|| format!("there is no loop {level}"))?;
        caught("Serialize", || level.data(point))
    }

    /// The dictionary that all ranks share.
    pub(crate) fn dictionary(&self) -> &DictionaryData {
        &self.dictionary
    }
}

/// Why a worker cannot do what rank 0 wants.
pub(crate) fn another_program() -> Error {
    Error::input("rank 0 runs another study than this rank; start the same program on every rank")
}

/// The user's Rust as crunch.
pub(crate) struct RustExecutor {
    native: Arc<ErasedStudy>,
    context: Context,
}

impl RustExecutor {
    pub(crate) fn new(
        job: &Arc<Job>,
        native: &Arc<ErasedStudy>,
        caller: &Arc<dyn MasterClient>,
        place: Slot,
    ) -> RustExecutor {
        let context = Context::new(job, caller, place, native.keep);
        RustExecutor { native: native.clone(), context }
    }
}

impl Executor for RustExecutor {
    fn crunch(&mut self, task: &Task) -> CallResult {
        self.context.turn_to(task);
        let indices = self.context.indices();
        let result = (self.native.crunch)(&indices, &self.context);
        self.context.rest();
        CallResult::from(result)
    }
}

/// The user's Rust as reductions.
pub(crate) struct RustReducer {
    job: Arc<Job>,
    native: Arc<ErasedStudy>,
}

impl RustReducer {
    pub(crate) fn new(job: &Arc<Job>, native: &Arc<ErasedStudy>) -> RustReducer {
        RustReducer { job: job.clone(), native: native.clone() }
    }
}

impl GroupReducer for RustReducer {
    fn reduce(&mut self, group: Key, items: &[SlotResult]) -> Result<Scored, String> {
        let from_innermost = self.job.nest.depth() - 1 - group.level;
        (self.native.reduces[from_innermost])(&self.job, group, items)
    }
}
