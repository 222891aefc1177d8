//! The points of a loop that depends on others, as they are found, and the point that stands for none.

use std::ops::Range;

use crate::job::parse::dependent_sources::Found;
use crate::model::{PointNumbers, Points, Value};

/// Points in the order in which they were found.
#[derive(Default)]
pub(super) struct ListedPoints {
    pub(super) values: Vec<Value>,
    numbers: PointNumbers<String>,
    /// Whole numbers instead: the first one, the step, and the most that there were.
    range: Option<(i64, i64, u64)>,
}

impl ListedPoints {
    pub(super) fn take(&mut self, found: Found) -> Vec<Range<u64>> {
        match found {
            Found::Range { from, step, count } => {
                let most = self.range.map_or(count, |(_, _, most)| most.max(count));
                self.range = Some((from, step, most));
                std::iter::once(0..count).collect()
            }
            Found::Values(values) => {
                let keyed = values.into_iter().map(|value| (value.to_exact(), value));
                self.numbers.take(keyed, &mut self.values)
            }
        }
    }

    /// All values but the one that stands for none.
    pub(super) fn without(&self, none: Option<u64>) -> Points {
        let values = (0..).zip(&self.values).filter(|(at, _)| Some(*at) != none);
        Points::List(values.map(|(_, value)| value.clone()).collect())
    }

    pub(super) fn get(&self, point: u64) -> Value {
        match self.range {
            Some((from, step, _)) => Points::Range { from, step, count: point + 1 }.get(point),
            None => self.values[point as usize].clone(),
        }
    }

    pub(super) fn finish(self, none: Option<u64>) -> Points {
        match self.range {
            Some((from, step, count)) => with_none(Points::Range { from, step, count }, none),
            None => Points::List(self.values),
        }
    }
}

/// These points, and none behind them where a loop does not apply.
pub(super) fn with_none(points: Points, none: Option<u64>) -> Points {
    match (points, none) {
        (points, None) => points,
        (Points::Rows { mut records, cells }, Some(_)) => {
            records.push(Value::Null);
            Points::Rows { records, cells }
        }
        (points, Some(_)) => {
            let values = (0..points.len()).map(|i| points.get(i));
            Points::List(values.chain([Value::Null]).collect())
        }
    }
}
