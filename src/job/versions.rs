//! Versions that the user gives, in place of what gridmpi can see.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::job::digests::PointDigests;
use crate::model::{LoopNest, Value};

/// What stands before the version of a point, behind the digests of the files that it names.
const VERSION: char = '\u{1e}';

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
                    of_point.push(VERSION);
                    of_point.push_str(version);
                }
            }
        }
    }
}

/// Why crunch is not what it was, by the versions of its parts. Nobody knows what a part that is new or gone changes.
pub(super) fn changed_versions(
    was: &BTreeMap<String, String>,
    is: &BTreeMap<String, String>,
) -> Vec<String> {
    match (was.is_empty(), is.is_empty()) {
        (true, true) => return Vec::new(),
        (true, false) => return vec!["version is new".to_string()],
        (false, true) => return vec!["version is gone".to_string()],
        (false, false) => {}
    }
    let text = |parts: &BTreeMap<String, String>| match parts.get("") {
        Some(text) => format!("the text `{text}`"),
        None => {
            let names: Vec<&str> = parts.keys().map(String::as_str).collect();
            format!("a table of {}", names.join(", "))
        }
    };
    if was.contains_key("") != is.contains_key("") {
        let (was, is) = (text(was), text(is));
        return vec![format!("version was {was} and is {is}, which cannot be compared")];
    }
    let parts: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let changed = parts.into_iter().filter_map(|part| {
        let name = if part.is_empty() { "version" } else { part };
        match (was.get(part), is.get(part)) {
            (was, is) if was == is => None,
            (Some(was), Some(is)) => Some(format!("{name} has changed from `{was}` to `{is}`")),
            (Some(was), None) => Some(format!("{name}, which was `{was}`, is gone from version")),
            (None, is) => {
                let is = is.map_or("", String::as_str);
                Some(format!("{name}, `{is}`, is new in version"))
            }
        }
    });
    changed.collect()
}

/// The digests of the files that a point names, and its version with the mark before it, in the text that has both.
pub(super) fn files_and_version(digest: &str) -> (&str, &str) {
    digest.split_at(digest.find(VERSION).unwrap_or(digest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_difference_of_versions_is_a_change() {
        let parts = |parts: &[(&str, &str)]| -> BTreeMap<String, String> {
            parts.iter().map(|(part, text)| (part.to_string(), text.to_string())).collect()
        };
        let all = [
            parts(&[]),
            parts(&[("", "1")]),
            parts(&[("", "2")]),
            parts(&[("units", "SI")]),
            parts(&[("model", "1"), ("units", "SI")]),
            parts(&[("model", "2"), ("units", "SI")]),
            parts(&[("model", "1")]),
        ];
        for was in &all {
            for is in &all {
                let changes = changed_versions(was, is);
                assert_eq!(changes.is_empty(), was == is, "{was:?} {is:?} {changes:?}");
            }
        }
        let changes = changed_versions(&all[4], &parts(&[("units", "CGS"), ("solver", "7")]));
        let expected = [
            "model, which was `1`, is gone from version",
            "solver, `7`, is new in version",
            "units has changed from `SI` to `CGS`",
        ];
        assert_eq!(changes, expected);
    }
}
