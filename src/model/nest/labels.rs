//! What tables and plots show for the points of a loop in place of the points, where the user says so. What
//! machines read has the points.

use std::sync::Arc;

use crate::model::key::Key;
use crate::model::nest::{Loop, LoopNest};
use crate::model::results::Winner;
use crate::model::value::Value;

/// The labels of a loop's points, by point; nothing for a point that is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels(Option<Arc<[Option<String>]>>);

impl Labels {
    pub(crate) fn new(labels: Vec<Option<String>>) -> Labels {
        Labels(Some(labels.into()))
    }

    pub(crate) fn all(&self) -> Option<&[Option<String>]> {
        self.0.as_deref()
    }
}

/// What is shown is no part of what a loop is: nothing is computed anew for it.
impl PartialEq for Labels {
    fn eq(&self, _: &Labels) -> bool {
        true
    }
}

impl Loop {
    pub(crate) fn has_labels(&self) -> bool {
        self.labels.0.is_some()
    }

    pub(crate) fn label(&self, point: u64) -> Option<&str> {
        self.labels.all()?.get(usize::try_from(point).ok()?)?.as_deref()
    }

    /// What people are shown for a point: its label, or the point.
    pub(crate) fn shown(&self, point: u64) -> Value {
        self.label(point).map_or_else(|| self.points.get(point), Value::from)
    }
}

impl LoopNest {
    /// The same nest with labels, by level; a level that is not named keeps those that it has.
    pub(crate) fn with_labels(mut self, labels: Vec<(usize, Labels)>) -> LoopNest {
        if !labels.is_empty() {
            let parts = Arc::make_mut(&mut self.0);
            for (level, labels) in labels {
                parts.loops[level].labels = labels;
            }
        }
        self
    }

    /// [`LoopNest::coordinates`] as people are shown them.
    pub(crate) fn shown(&self, key: Key) -> Vec<(&str, Value)> {
        self.points_of(key).map(named).collect()
    }

    /// [`LoopNest::applying`] as people are shown them.
    #[cfg(feature = "cli")]
    pub(crate) fn shown_applying(&self, key: Key) -> Vec<(&str, Value)> {
        let applies = |(l, point): &(&Loop, u64)| l.none != Some(*point);
        self.points_of(key).filter(applies).map(named).collect()
    }

    /// [`LoopNest::winners`] as people are shown them.
    pub(crate) fn shown_winners(&self, key: Key, best: &[Winner]) -> Vec<(&str, Value)> {
        self.won(key, best).map(named).collect()
    }

    /// The labels of a key's points, and of those that won inside it, by the names of their loops.
    pub(crate) fn labels(&self, key: Key, best: &[Winner]) -> Vec<(&str, Value)> {
        if !self.loops().iter().any(Loop::has_labels) {
            return Vec::new(); // most nests, and the status asks this for each worker
        }
        self.points_of(key).chain(self.won(key, best)).filter_map(labelled).collect()
    }

    /// Each of the key's loops, and its point there.
    fn points_of(&self, key: Key) -> impl Iterator<Item = (&Loop, u64)> {
        self.loops().iter().zip(self.indices(key))
    }
}

fn labelled((l, point): (&Loop, u64)) -> Option<(&str, Value)> {
    Some((l.name.as_str(), l.label(point)?.into()))
}

fn named((l, point): (&Loop, u64)) -> (&str, Value) {
    (l.name.as_str(), l.shown(point))
}
