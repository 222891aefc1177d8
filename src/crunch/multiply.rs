//! The builtin `multiply`: the textbook's crunch, and the task that weighs nothing in benchmarks.

use std::time::Duration;

use super::{Cruncher, Task};
use crate::error::Result;
use crate::message::Scored;
use crate::value::Value;

/// The product of the task's numbers, after a sleep.
pub(super) struct Multiply {
    sleep: Duration,
}

impl Multiply {
    pub(super) fn new(sleep: f64) -> Multiply {
        Multiply { sleep: Duration::from_secs_f64(sleep) }
    }
}

impl Cruncher for Multiply {
    fn crunch(&mut self, task: &Task) -> Result<Scored, String> {
        if !self.sleep.is_zero() {
            std::thread::sleep(self.sleep);
        }
        let product: f64 = task.coordinates().iter().map(|(_, value)| factor(value)).product();
        task.scored(Value::Float(product + 0.0)) // -0.0 + 0.0 is 0.0: nobody wants to read "-0"
    }
}

fn factor(value: &Value) -> f64 {
    match value {
        Value::Record(fields) => fields.iter().map(|(_, value)| factor(value)).product(),
        plain => plain.as_f64().unwrap_or(1.0),
    }
}
