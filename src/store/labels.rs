//! What people are shown for the points of loops, as a note of the store. Each start writes that of its job.

use std::collections::BTreeMap;

#[cfg(feature = "cli")]
use crate::model::Labels;
use crate::model::{Loop, LoopNest};

/// By the loop's name: a label or null per point.
type Noted = BTreeMap<String, Vec<Option<String>>>;

/// The note for a nest.
pub(super) fn note(nest: &LoopNest) -> String {
    let of = |l: &Loop| Some((l.name.clone(), l.labels.all()?.to_vec()));
    serde_json::json!(nest.loops().iter().filter_map(of).collect::<Noted>()).to_string()
}

/// A store's nest with what its note says. A note that does not fit is that of another nest.
#[cfg(feature = "cli")]
pub(super) fn labelled(nest: LoopNest, note: Option<&str>) -> LoopNest {
    let mut noted: Noted =
        note.and_then(|note| serde_json::from_str(note).ok()).unwrap_or_default();
    let of = |(level, l): (usize, &Loop)| {
        let labels = noted.remove(&l.name)?;
        (labels.len() as u64 == l.points.len()).then(|| (level, Labels::new(labels)))
    };
    let labels = nest.loops().iter().enumerate().filter_map(of).collect();
    nest.with_labels(labels)
}
