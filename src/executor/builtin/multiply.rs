//! The builtin `multiply`: the textbook's crunch, and the cheapest task for benchmarks.

use std::sync::Arc;
use std::time::Duration;

use crate::executor::{CallResult, Executor, Task};
use crate::job::{Job, Sleep};
use crate::model::{Stretch, Value};

/// Factors are precomputed for loops of up to this many points.
const MOST_FACTORS: u64 = 1 << 16;

/// The product of the task's numbers, after a sleep.
pub(crate) struct Multiply {
    job: Arc<Job>,
    sleep: Sleep,
    /// The factor of each point of each loop; empty for a longer loop.
    factors: Vec<Vec<f64>>,
    /// Most tasks follow each other in the innermost loop.
    next: NextFactor,
}

/// A task of which all factors but the innermost are known.
#[derive(Clone, Copy, Default)]
struct NextFactor {
    task: u64,
    /// Its point in the innermost loop.
    point: u64,
    /// How many tasks from this one on have the same outer points, and consecutive ones in the innermost. 0 if none is
    /// known.
    count: u64,
    /// The product of the outer loops' factors.
    outer: f64,
}

impl Multiply {
    pub(crate) fn new(job: &Arc<Job>, sleep: &Sleep) -> Multiply {
        let factors = job.nest.loops().iter().map(|l| match l.points.len() {
            length if length <= MOST_FACTORS => {
                (0..length).map(|point| factor(&l.points.get(point))).collect()
            }
            _ => Vec::new(),
        });
        let factors = factors.collect();
        Multiply { job: job.clone(), sleep: sleep.clone(), factors, next: NextFactor::default() }
    }

    fn factor(&self, level: usize, point: u64) -> f64 {
        match self.factors[level].get(point as usize) {
            Some(factor) => *factor,
            None => factor(&self.job.nest.loops()[level].points.get(point)),
        }
    }

    /// The product of the outer loops' factors for a task.
    fn outer(&self, task: u64) -> NextFactor {
        let nest = &self.job.nest;
        let Stretch { group, point, count, .. } = nest.stretch(nest.task(task));
        let points = nest.indices(group).into_iter().enumerate();
        let outer = points.map(|(level, point)| self.factor(level, point)).product();
        NextFactor { task, point, count, outer }
    }

    fn seconds(&self, task: &Task) -> f64 {
        match &self.sleep {
            Sleep::Seconds(seconds) => *seconds,
            Sleep::Point(level) => {
                let nest = &self.job.nest;
                let key = nest.ancestor(nest.task(task.index), level + 1);
                nest.value(key).as_f64().unwrap_or(0.0)
            }
        }
    }
}

impl Executor for Multiply {
    fn crunch(&mut self, task: &Task) -> CallResult {
        let sleep = self.seconds(task);
        if sleep > 0.0 {
            std::thread::sleep(Duration::try_from_secs_f64(sleep).unwrap_or(Duration::MAX));
        }
        if self.next.count == 0 || self.next.task != task.index {
            self.next = self.outer(task.index);
        }
        let product = self.next.outer * self.factor(self.factors.len() - 1, self.next.point);
        self.next.task += 1;
        self.next.point += 1;
        self.next.count -= 1;
        // -0.0 + 0.0 is 0.0, so "-0" is never shown.
        match product + 0.0 {
            nan if nan.is_nan() => CallResult::from(task.scored(Value::Float(nan))),
            product => CallResult::Number(product),
        }
    }
}

fn factor(value: &Value) -> f64 {
    match value {
        Value::Record(fields) => fields.iter().map(|(_, value)| factor(value)).product(),
        plain => plain.as_f64().unwrap_or(1.0),
    }
}
