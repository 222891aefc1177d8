//! What rows are called outside the table: as a key in the store, and as the name of a folder.

use std::collections::BTreeSet;

use crate::job::{Job, PointDigests, digest};
use crate::model::{Key, Loop, Value};

/// The longest text of a point in the name of a folder, and the longest name: file systems take 255 bytes. (bytes)
const LONGEST_POINT: usize = 60;
const LONGEST_NAME: usize = 200;

/// The folder of a row without coordinates.
const WHOLE: &str = "all";

#[derive(Debug, Default)]
pub(crate) struct RowNames {
    /// By level: labels that several points of the loop have.
    repeated: Vec<BTreeSet<String>>,
    /// What the points of the user's data sets are, which may be shown shortened.
    digests: PointDigests,
}

impl RowNames {
    pub(crate) fn new(job: &Job, digests: &PointDigests) -> RowNames {
        let outer = &job.nest.loops()[..job.nest.outer()];
        let repeated = |l: &Loop| {
            let mut seen = BTreeSet::new();
            let all = l.labels.all().unwrap_or_default().iter().flatten();
            all.filter(|label| !seen.insert(label.as_str())).cloned().collect()
        };
        let digests = if job.is_native() { digests.clone() } else { PointDigests::new() };
        RowNames { repeated: outer.iter().map(repeated).collect(), digests }
    }

    /// A row's key in the store: its points by name, as exact JSON. It holds whatever becomes of the nest's other
    /// loops, and of the order of points.
    pub(crate) fn key(&self, job: &Job, row: Key) -> String {
        let points = job.nest.indices(row);
        let mut fields: Vec<(String, Value)> =
            job.named_points(&points).into_iter().map(|(n, v)| (n.to_string(), v)).collect();
        for (level, point) in points.iter().enumerate() {
            let digest = self.digests.get(&level).and_then(|digests| digests.get(point));
            if let Some(digest) = digest {
                let name = format!("{} (digest)", fields[level].0);
                fields.push((name, digest.as_str().into()));
            }
        }
        fields.sort_by(|a, b| a.0.cmp(&b.0)); // whatever the order of the loops
        Value::Record(fields).to_exact()
    }

    /// The name of the folder of a row's products, such as `dataset=crime`.
    pub(crate) fn folder(&self, job: &Job, row: Key) -> String {
        let points = job.nest.indices(row);
        let part = |(level, point): (usize, &u64)| {
            let l = &job.nest.loops()[level];
            let own = |label: &&str| !self.repeated[level].contains(*label);
            let (text, exact) = match l.label(*point).filter(own) {
                Some(label) => (label.to_string(), label.to_string()),
                None => (l.points.get(*point).to_string(), l.points.get(*point).to_exact()),
            };
            format!("{}={}", l.name, safe(&text, &exact, LONGEST_POINT))
        };
        let mut parts: Vec<String> = points.iter().enumerate().map(part).collect();
        parts.sort();
        match parts.join(",") {
            none if none.is_empty() => WHOLE.to_string(),
            name => safe(&name, &self.key(job, row), LONGEST_NAME),
        }
    }
}

/// A text as a part of a file's name: where it has other characters than these, or is long, the digest of the exact
/// value tells it from others.
pub(super) fn safe(text: &str, exact: &str, most: usize) -> String {
    match plain(text, most) {
        name if name == text && !name.is_empty() => name,
        _ => marked(text, exact, most),
    }
}

/// The same with the digest, whatever the text.
pub(super) fn marked(text: &str, exact: &str, most: usize) -> String {
    format!("{}-{}", plain(text, most), &digest(exact.as_bytes())[..8])
}

fn plain(text: &str, most: usize) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-+=,".contains(c) { c } else { '_' };
    text.chars().map(plain).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_differ_where_points_do() {
        assert_eq!(safe("crime", "", 60), "crime");
        assert_eq!(safe("0.01", "", 60), "0.01");
        let odd = ["data/crime.csv", "data_crime.csv", "data crime.csv", "..", "", "\u{e9}"];
        let names: BTreeSet<String> = odd.iter().map(|text| safe(text, text, 60)).collect();
        assert_eq!(names.len(), odd.len(), "{names:?}");
        assert!(names.iter().all(|name| !name.contains('/') && name.is_ascii()), "{names:?}");
        let long = "x".repeat(300);
        assert!(safe(&long, &long, 60).len() < 80);
    }
}
