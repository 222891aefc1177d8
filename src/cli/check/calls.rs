//! Calls crunch: a task alone in a process of its own, or many tasks in workers that live on, as in a run.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier};

use crate::cli::check::client::CheckClient;
use crate::cli::check::passes::{CheckPass, Share};
use crate::executor::{CallResult, Executor, ExecutorRegistry, ReadyChildren, Slot, Task};
use crate::job::Job;
use crate::model::{RunError, Scored};
use crate::util::error::{Error, Result};
use crate::util::panic::panic_text;
use crate::util::signals;
use crate::wire::requests::MasterClient;

/// How many of the tasks before a call are kept, the last ones.
const KEPT_BEFORE: usize = 4;

/// What a call gave, and where it was made.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) task: u64,
    pub(super) result: Result<Scored, RunError>,
    pub(super) place: Slot,
    /// How many tasks its worker had done before, and the last of them, oldest first.
    pub(super) position: usize,
    pub(super) before: Vec<u64>,
    /// How many workers there were.
    pub(super) workers: usize,
}

pub(super) struct Caller {
    pub(super) job: Arc<Job>,
    pub(super) client: Arc<CheckClient>,
}

impl Caller {
    fn registry(&self) -> (ExecutorRegistry, Arc<dyn MasterClient>) {
        (ExecutorRegistry::new(&self.job, None, &ReadyChildren::default()), self.client.clone())
    }

    /// Calls crunch for one task, in a process that does nothing else, while nothing else runs.
    pub(super) fn alone(&self, task: u64, place: Slot) -> Result<Call> {
        let (registry, client) = self.registry();
        let mut executor = registry.cruncher(&client, place);
        executor.expect(task..task + 1, 1);
        let result = call(executor.as_mut(), &self.job, task);
        drop(executor);
        uninterrupted()?;
        Ok(Call { task, result, place, position: 0, before: Vec::new(), workers: 1 })
    }

    /// Calls crunch as the pass says. All workers begin their next batch at the same time, so that short tasks
    /// have neighbours too.
    pub(super) fn shared(&self, pass: &CheckPass) -> Result<Vec<Call>> {
        let (registry, client) = self.registry();
        let rounds = pass.shares.iter().map(|share| share.batches.len()).max().unwrap_or(0);
        let barrier = Barrier::new(pass.shares.len());
        let work = |share: &Share| {
            let mut executor = registry.cruncher(&client, share.place);
            let mut calls = Vec::new();
            for round in 0..rounds {
                barrier.wait();
                if let Some(batch) = share.batches.get(round) {
                    self.batch(executor.as_mut(), share.place, batch, &mut calls);
                }
            }
            calls
        };
        let calls = std::thread::scope(|scope| {
            let threads: Vec<_> =
                pass.shares.iter().map(|share| scope.spawn(move || work(share))).collect();
            let ended = threads.into_iter().map(|thread| {
                thread.join().map_err(|panic| Error::bug(panic_text(panic.as_ref())))
            });
            ended.collect::<Result<Vec<_>>>()
        })?;
        uninterrupted()?;
        let workers = pass.shares.len();
        Ok(calls.into_iter().flatten().map(|call| Call { workers, ..call }).collect())
    }

    fn batch(
        &self,
        executor: &mut dyn Executor,
        place: Slot,
        batch: &Range<u64>,
        calls: &mut Vec<Call>,
    ) {
        executor.expect(batch.clone(), 1);
        for task in batch.clone() {
            if self.client.is_cancelled() {
                return;
            }
            let result = call(executor, &self.job, task);
            let position = calls.len();
            let first = position.saturating_sub(KEPT_BEFORE);
            let before = calls[first..].iter().map(|call| call.task).collect();
            calls.push(Call { task, result, place, position, before, workers: 1 });
        }
    }
}

fn call(executor: &mut dyn Executor, job: &Job, task: u64) -> Result<Scored, RunError> {
    let task = Task { job, index: task, attempt: 1, workdir: None };
    let scored = match catch_unwind(AssertUnwindSafe(|| executor.crunch(&task))) {
        Ok(CallResult::Number(number)) => Scored::number(number),
        Ok(CallResult::Other(result)) => (*result)?,
        Err(panic) => return Err(format!("panicked: {}", panic_text(panic.as_ref())).into()),
    };
    match job.run_range() {
        Some(range) => range.judge(scored),
        None => Ok(scored),
    }
}

/// An error if a signal has ended the calls: their results say nothing.
fn uninterrupted() -> Result<()> {
    signals::asked().map_or(Ok(()), |asked| Err(interrupted(asked.name)))
}

pub(super) fn interrupted(signal: &str) -> Error {
    Error::interrupted(format!("{signal}: the check has ended early; it has stored nothing"))
}
