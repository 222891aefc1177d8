//! What the user's crunch can learn about its task, and its access to the dictionary and data sets.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use log::{Log, Metadata, Record};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::executor::{Slot, Task};
use crate::job::Job;
use crate::model::{LoopNest, Value};
use crate::util::error::{Error, Result};
use crate::util::files::temporary_folder;
use crate::wire::dictionary::SharedDictionary;
use crate::wire::requests::{MasterClient, Reply, Request, answered};

/// The current task, which `crunch` gets besides its data and parameters. It can be shared with threads
/// that crunch starts and joins.
pub struct Context {
    job: Arc<Job>,
    caller: Arc<dyn MasterClient>,
    place: Slot,
    keep: usize,
    index: u64,
    attempt: u32,
    workdir: Option<PathBuf>,
    scratch: OnceLock<tempfile::TempDir>,
}

impl Context {
    pub(crate) fn new(
        job: &Arc<Job>,
        caller: &Arc<dyn MasterClient>,
        place: Slot,
        keep: usize,
    ) -> Context {
        let (job, caller) = (job.clone(), caller.clone());
        let (workdir, scratch) = (None, OnceLock::new());
        Context { job, caller, place, keep, index: 0, attempt: 1, workdir, scratch }
    }

    /// Switches to another task.
    pub(crate) fn turn_to(&mut self, task: &Task) {
        self.rest(); // crunch may have panicked before
        (self.index, self.attempt) = (task.index, task.attempt);
        self.workdir = task.workdir.map(Path::to_path_buf);
    }

    /// Deletes the task's scratch folder.
    pub(crate) fn rest(&mut self) {
        self.scratch.take();
    }

    pub(crate) fn nest(&self) -> &LoopNest {
        &self.job.nest
    }

    /// The task's index in the flattened nest, from 0.
    pub fn task(&self) -> u64 {
        self.index
    }

    /// The index of the point in each loop, outermost first; each from 0. Of a loop whose points depend on
    /// others, it is the index among all points that the loop has anywhere.
    pub fn indices(&self) -> Vec<u64> {
        self.job.nest.indices(self.job.nest.task(self.index))
    }

    /// Each loop's name and point, outermost first, as the store shows them.
    pub fn coordinates(&self) -> Vec<(&str, Value)> {
        self.job.nest.coordinates(self.job.nest.task(self.index))
    }

    /// The seed of this task, from 0 to 2^31 - 1, a range that every library accepts. It is a hash of the
    /// study's seed and the task's coordinates. It does not depend on the rank, on the attempt, or on the
    /// other points of the loops.
    pub fn seed(&self) -> u32 {
        self.job.task_seed(self.index)
    }

    /// The number of this attempt at the task, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The rank of this worker: 1 or more, or 0 if rank 0 runs tasks too
    /// ([`Settings::master_works`](crate::Settings::master_works)).
    pub fn rank(&self) -> usize {
        self.place.rank
    }

    /// The number of cores that this call may use, at least 1.
    pub fn cores(&self) -> usize {
        self.place.cores
    }

    /// The GPUs that this call may use, as the variable of their vendor names them: `CUDA_VISIBLE_DEVICES` and the
    /// like. None unless the study says how many it [needs](crate::Study::gpus). Other calls of this process use
    /// others, so select them by these names, not by the variable.
    pub fn gpus(&self) -> &[String] {
        self.place.granted.map_or(&[], |granted| &granted.devices)
    }

    /// Whether the result is no longer needed, because the study has been stopped or another worker was
    /// faster. A long crunch can check this now and then and return early, with an error. The run then
    /// does not count as failed, and the task is still to be done. A result returned with `Ok` is stored
    /// in any case.
    pub fn is_cancelled(&self) -> bool {
        self.caller.is_cancelled()
    }

    /// An empty folder for this task alone, in the folder for temporary files (`TMPDIR`). It is deleted
    /// when crunch has returned. An error if it cannot be made.
    pub fn scratch(&self) -> Result<&Path> {
        if let Some(folder) = self.scratch.get() {
            return Ok(folder.path());
        }
        let made = temporary_folder();
        let folder = made.map_err(|error| {
            let place = std::env::temp_dir();
            Error::unexpected(format!("no scratch folder in {}: {error}", place.display()))
        })?;
        Ok(self.scratch.get_or_init(|| folder).path())
    }

    /// The folder of its own in which this call may write files, if the study gives each call one:
    /// [`Study::workdir`](crate::Study::workdir) says which are kept. The current folder of the process is
    /// another one, because the calls of other threads share it.
    pub fn workdir(&self) -> Option<&Path> {
        self.workdir.as_deref()
    }

    /// A logger that adds the task to each message, for the macros of the crate `log`:
    /// `log::info!(logger: context.logger(), "{} rows", rows.len())`.
    pub fn logger(&self) -> TaskLogger<'_> {
        TaskLogger { context: self }
    }

    /// The dictionary of this name on rank 0, which all ranks share. With it one task can help another,
    /// for instance with a good start value for the next fit. Results that use it may depend on the order
    /// in which tasks happen to run.
    pub fn dictionary<K, V>(&self, name: &str) -> SharedDictionary<'_, K, V>
    where
        K: Serialize,
        V: Serialize + DeserializeOwned,
    {
        SharedDictionary::remote(name, &*self.caller)
    }

    pub(crate) fn keep(&self) -> usize {
        self.keep
    }

    /// A data set's bincode form, from rank 0.
    pub(crate) fn data(&self, level: usize, point: u64) -> Result<Bytes> {
        match answered(self.caller.ask(Request::Data { level, point })?)? {
            Reply::Value(Some(bytes)) => Ok(bytes),
            _ => Err(Error::bug("a data set without bytes")),
        }
    }
}

/// A logger that puts the task and its coordinates before each message and passes it to the logger of
/// the program. See [`Context::logger`].
pub struct TaskLogger<'a> {
    context: &'a Context,
}

impl Log for TaskLogger<'_> {
    fn enabled(&self, metadata: &Metadata) -> bool {
        log::logger().enabled(metadata)
    }

    fn log(&self, record: &Record) {
        let mut place = format!("task {}", self.context.index);
        let nest = &self.context.job.nest;
        for (i, (name, value)) in
            nest.applying(nest.task(self.context.index)).into_iter().enumerate()
        {
            let _ = write!(place, "{} {name} {value}", if i == 0 { ":" } else { "," });
        }
        log::logger().log(
            &Record::builder()
                .metadata(record.metadata().clone())
                .module_path(record.module_path())
                .file(record.file())
                .line(record.line())
                .args(format_args!("{place}: {}", record.args()))
                .build(),
        );
    }

    fn flush(&self) {
        log::logger().flush();
    }
}
