//! What people are shown for the coordinates of a key: labels, where there are any.

use std::sync::Arc;

use crate::model::key::Key;
use crate::model::nest::labels::Labels;
use crate::model::nest::{Loop, LoopNest};
use crate::model::results::Winner;
use crate::model::value::Value;

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
