//! The loops of a nest, whatever their points depend on.

use serde::{Deserialize, Serialize};

use crate::model::nest::labels::Labels;
use crate::model::nest::points::Points;
use crate::model::policy::Completeness;
use crate::model::reduce::Reduce;
use crate::model::stop_rule::StopRule;
use crate::model::value::Value;

/// One level of the nest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Loop {
    /// The loop's name, unique in the nest.
    pub(crate) name: String,
    /// All points that it has anywhere in the nest.
    pub(crate) points: Points,
    /// How its points fold into one value for the loop around it.
    pub(crate) reduce: Option<Reduce>,
    /// Whether its points are the program's data sets.
    pub(crate) is_data: bool,
    /// The point that it has where it does not apply.
    pub(crate) none: Option<u64>,
    /// How many of its points must have a result, if that is said for it alone.
    pub(crate) require: Option<Completeness>,
    /// When its points are stopped before all their runs are made, if they ever are.
    pub(crate) stop: Option<StopRule>,
    /// What people are shown for its points; on rank 0 and in stores.
    #[serde(skip)]
    pub(crate) labels: Labels,
}

impl Loop {
    /// A loop that applies everywhere and is like the others.
    pub(crate) fn new(name: impl Into<String>, points: Points, reduce: Option<Reduce>) -> Loop {
        let name = name.into();
        let (is_data, none, require, stop) = (false, None, None, None);
        let labels = Labels::default();
        Loop { name, points, reduce, is_data, none, require, stop, labels }
    }
}

impl Loop {
    pub(crate) fn has_labels(&self) -> bool {
        self.labels.all().is_some()
    }

    /// When it stops points, as a text that follows its reduction.
    pub(crate) fn stops(&self) -> String {
        self.stop.map_or(String::new(), |rule| format!(", {}", rule.text()))
    }

    pub(crate) fn label(&self, point: u64) -> Option<&str> {
        self.labels.all()?.get(usize::try_from(point).ok()?)?.as_deref()
    }

    /// What people are shown for a point: its label, or the point.
    pub(crate) fn shown(&self, point: u64) -> Value {
        self.label(point).map_or_else(|| self.points.get(point), Value::from)
    }
}

/// Fails if these loops make no nest, whatever their points depend on.
pub(super) fn check(loops: &[Loop]) -> Result<(), String> {
    if loops.is_empty() {
        return Err("there is no loop".to_string());
    }
    let mut inner = loops.iter().skip_while(|l| l.reduce.is_none());
    if let Some(inner) = inner.find(|l| l.reduce.is_none()) {
        return Err(format!("loop '{}' does not reduce, but one around it does", inner.name));
    }
    let outermost = loops.iter().find(|l| l.reduce.is_some());
    if let Some(l) = outermost.filter(|l| l.reduce == Some(Reduce::Join)) {
        return Err(format!(
            "loop '{}' joins its runs to those of the loop around it, but no loop around it reduces",
            l.name
        ));
    }
    let joined = |l: &&Loop| l.reduce == Some(Reduce::Join) && l.require.is_some();
    if let Some(l) = loops.iter().find(joined) {
        return Err(format!(
            "loop '{}' joins its runs to those of the loop around it, which counts them: require belongs there",
            l.name
        ));
    }
    match loops.iter().find(|l| l.points.is_empty()) {
        Some(empty) => Err(format!("loop '{}' has no points", empty.name)),
        None => Ok(()),
    }
}

/// Loops with generated names, whose points are numbers.
pub(super) fn numbered(
    sizes: &[u64],
    reduces: impl IntoIterator<Item = Option<Reduce>>,
) -> Vec<Loop> {
    let numbered = |(level, (count, reduce)): (usize, (&u64, Option<Reduce>))| {
        let points = Points::Range { from: 0, step: 1, count: *count };
        Loop::new(format!("loop{level}"), points, reduce)
    };
    sizes.iter().zip(reduces).enumerate().map(numbered).collect()
}
