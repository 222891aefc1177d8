//! Versions that the user gives, in place of what gridmpi can see.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job::digests::PointDigests;
use crate::model::{LoopNest, Value};

/// Texts that count instead of files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Versions {
    /// What crunch is, by its parts. Where there are any, the files of Python functions do not count; nor do modules where
    /// it is one text, a part without a name.
    pub(crate) crunch: BTreeMap<String, String>,
    /// What the points that are names stand for, by level and name.
    pub(crate) points: BTreeMap<usize, BTreeMap<String, String>>,
}

impl Versions {
    /// Adds the versions of points to the digests of what points name.
    pub(super) fn add_to(&self, digests: &mut PointDigests, nest: &LoopNest) {
        for (level, versions) in &self.points {
            let points = &nest.loops()[*level].points;
            for point in 0..points.len() {
                let Value::Text(name) = points.get(point) else { continue };
                if let Some(version) = versions.get(&*name) {
                    let of_point = digests.entry(*level).or_default().entry(point).or_default();
                    if !of_point.is_empty() {
                        of_point.push(' ');
                    }
                    of_point.push_str(version);
                }
            }
        }
    }
}

/// Why crunch is not what it was, by the versions of its parts. A part that is new or gone changes nothing by itself:
/// what uses it has changed, too.
pub(super) fn changed_versions(
    was: &BTreeMap<String, String>,
    is: &BTreeMap<String, String>,
) -> Vec<String> {
    let both = was.iter().filter_map(|(part, was)| Some((part, was, is.get(part)?)));
    let both: Vec<_> = both.collect();
    if both.is_empty() && !was.is_empty() && !is.is_empty() {
        let names = |parts: &BTreeMap<String, String>| -> String {
            parts.keys().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
        };
        let why = format!(
            "version had other parts, {}, and none of {}, so it cannot be compared",
            names(was),
            names(is)
        );
        return vec![why];
    }
    let changed = both.into_iter().filter(|(_, was, is)| was != is);
    changed
        .map(|(part, was, is)| match part.is_empty() {
            true => format!("version has changed from `{was}` to `{is}`"),
            false => format!("{part} has changed from `{was}` to `{is}`"),
        })
        .collect()
}
