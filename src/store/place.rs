//! Where a run belongs, without its task number: the values of its points. A run whose point is gone is
//! kept under its place, and found again when the point comes back.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::job::CombinedDigests;
use crate::model::{Key, Loop};
use crate::store::Layout;
use crate::store::layout::LoopLayout;
use crate::store::store_points::StorePoints;

/// A run's place in a nest, without its number: each loop's point by value, and the digests of what the
/// points name. A run whose point is gone is kept under it, and found again when the point comes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// By loop: the value as exact JSON, and the digest of what it names.
    loops: BTreeMap<String, (String, Option<String>)>,
    /// By word with placeholders: the digest of the file that it names.
    files: BTreeMap<String, String>,
}

impl StorePoints {
    /// The place of the run at these points.
    pub(super) fn place(&self, points: &[u64]) -> Place {
        let of_loop = |(here, point): (LoopLayout, &u64)| {
            let value = here.l.points.get(*point).to_exact();
            (here.l.name.clone(), (value, here.digest(*point).cloned()))
        };
        Place {
            loops: self.loops().zip(points).map(of_loop).collect(),
            files: files(&self.loops, &self.combined, points),
        }
    }
}

/// By word with placeholders: the digest of the file that it names at these points.
fn files(loops: &[Loop], combined: &[CombinedDigests], points: &[u64]) -> BTreeMap<String, String> {
    let file = |combined: &CombinedDigests| {
        let own = loops.iter().zip(points).filter(|(l, _)| combined.loops.contains(&l.name));
        let own: Vec<u64> = own.map(|(_, point)| *point).collect();
        Some((combined.word.clone(), combined.digests.get(&own)?.clone()))
    };
    combined.iter().filter_map(file).collect()
}

/// Finds places in a layout.
pub(crate) struct PlaceIndex<'a> {
    layout: &'a Layout,
    /// By level and value as JSON: the points.
    points: Vec<HashMap<String, Vec<u64>>>,
}

impl<'a> PlaceIndex<'a> {
    pub(crate) fn new(layout: &'a Layout) -> PlaceIndex<'a> {
        let of_loop = |here: LoopLayout| {
            let l = here.l;
            let mut points: HashMap<String, Vec<u64>> = HashMap::new();
            for point in 0..l.points.len() {
                let value = l.points.get(point).to_exact();
                points.entry(value).or_default().push(point);
                if let Some(before) = here.value_before(point) {
                    points.entry(before.to_exact()).or_default().push(point);
                }
            }
            points
        };
        PlaceIndex { layout, points: layout.loops().map(of_loop).collect() }
    }

    /// The tasks at a place: none if its point is gone or what it names has changed; several if points are
    /// equal.
    pub(crate) fn tasks(&self, place: &Place) -> Vec<u64> {
        let mut keys = vec![Key::ROOT];
        // A loop that one side lacks does not apply to the run.
        let none = ("null".to_string(), None);
        let is_gone = |(name, at): (&String, &(String, Option<String>))| {
            self.layout.named(name).is_none() && *at != none
        };
        if place.loops.iter().any(is_gone) {
            return Vec::new();
        }
        for (here, points) in self.layout.loops().zip(&self.points) {
            let known = place.loops.get(&here.l.name);
            let Some((value, digest)) = known.or(here.l.none.map(|_| &none)) else {
                return Vec::new();
            };
            let named = |point: &&u64| digest.is_none() || here.digest(**point) == digest.as_ref();
            let points = points.get(value).into_iter().flatten().filter(named);
            let points: Vec<u64> = points.copied().collect();
            let below = |key: &Key| {
                let key = *key;
                points.iter().filter_map(move |point| self.layout.nest.child_at(key, *point))
            };
            keys = keys.iter().flat_map(below).collect();
        }
        let tasks = keys.into_iter().map(|key| key.index);
        let same_files = |task: &u64| {
            let Layout { nest, combined, .. } = self.layout;
            let files = files(nest.loops(), combined, &nest.indices(nest.task(*task)));
            place.files.iter().all(|(word, digest)| files.get(word).is_none_or(|now| now == digest))
        };
        match self.layout.combined.is_empty() {
            true => tasks.collect(),
            false => tasks.filter(same_files).collect(),
        }
    }
}
