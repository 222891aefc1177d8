//! The builtin `multiply`: the textbook's crunch, and the task that weighs nothing in benchmarks.

use std::sync::Arc;
use std::time::Duration;

use crate::executor::{CallResult, Executor, Task};
use crate::job::{Job, Sleep};
use crate::model::value::Value;

/// Loops up to this many points have their factors worked out beforehand.
const MOST_FACTORS: u64 = 1 << 16;

/// The product of the task's numbers, after a sleep.
pub(crate) struct Multiply {
    job: Arc<Job>,
    sleep: Sleep,
    /// What each point of each loop brings to the product, where the loop is not too long.
    factors: Vec<Vec<f64>>,
    /// The task that comes next if the innermost loop goes on, its point there, and the product of the
    /// other loops' factors: most tasks come one after another.
    next: Option<(u64, usize, f64)>,
}

impl Multiply {
    pub(crate) fn new(job: &Arc<Job>, sleep: &Sleep) -> Multiply {
        let factors = job.loops.iter().map(|l| match l.points.len() {
            length if length <= MOST_FACTORS => {
                (0..length).map(|point| factor(&l.points.get(point))).collect()
            }
            _ => Vec::new(),
        });
        let factors = factors.collect();
        Multiply { job: job.clone(), sleep: sleep.clone(), factors, next: None }
    }

    fn factor(&self, level: usize, point: usize) -> f64 {
        match self.factors[level].get(point) {
            Some(factor) => *factor,
            None => factor(&self.job.loops[level].points.get(point as u64)),
        }
    }

    /// A task's point of the innermost loop, and the product of the other loops' factors.
    fn outer(&self, task: &Task) -> (usize, f64) {
        let mut points = task.grid.coordinates(task.grid.task(task.index)).into_iter().enumerate();
        let innermost = points.next_back().map_or(0, |(_, point)| point as usize);
        (innermost, points.map(|(level, point)| self.factor(level, point as usize)).product())
    }

    /// How long a task sleeps.
    fn seconds(&self, task: &Task) -> f64 {
        match &self.sleep {
            Sleep::Seconds(seconds) => *seconds,
            Sleep::Point(level) => {
                let point = task.grid.coordinates(task.grid.task(task.index))[*level];
                self.job.loops[*level].points.get(point).as_f64().unwrap_or(0.0)
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
        let innermost = self.factors.len() - 1;
        let (point, outer) = match self.next {
            Some((next, point, outer)) if next == task.index => (point, outer),
            _ => self.outer(task),
        };
        let product = outer * self.factor(innermost, point);
        let goes_on = (point as u64 + 1) < task.grid.size(innermost);
        self.next = goes_on.then_some((task.index + 1, point + 1, outer));
        // -0.0 + 0.0 is 0.0: nobody wants to read "-0"
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
