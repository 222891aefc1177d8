//! The names of the folders of runs, made of their points: they stay whatever becomes of the grid.

use std::collections::HashMap;

use crate::job::repeats::after_equals;
use crate::job::row_names::{marked, safe};
use crate::job::{Job, digest};
use crate::model::{Loop, Points, Value};

/// The longest text of a point in a name. (bytes)
const LONGEST_POINT: usize = 60;

/// A loop with more points has its folders in folders by the first digits of a digest: 256 of them.
const MANY_POINTS: u64 = 1000;

/// The name of the only run of a job without loops that apply.
const WHOLE: &str = "all";

/// What the folders of a job's runs are called.
#[derive(Debug)]
pub(crate) struct RunNames {
    /// By level, for points that have the name of an earlier one: how many of these there are.
    again: Vec<HashMap<u64, u64>>,
}

impl RunNames {
    pub(crate) fn new(job: &Job) -> RunNames {
        let repeated = |l: &Loop| match &l.points {
            Points::Range { .. } => HashMap::new(),
            points => after_equals(points.len(), |point| name(&points.get(point))),
        };
        RunNames { again: job.nest.loops().iter().map(repeated).collect() }
    }

    /// The name of a task's folder, such as `data=crime/alpha=0.1`. A loop that does not apply is not in it.
    pub(crate) fn of(&self, job: &Job, task: u64) -> String {
        let points = job.nest.indices(job.nest.task(task));
        let mut parts = Vec::new();
        for ((level, l), point) in job.nest.loops().iter().enumerate().zip(&points) {
            if l.none == Some(*point) {
                continue;
            }
            let mut part = format!("{}={}", l.name, name(&l.points.get(*point)));
            if let Some(earlier) = self.again[level].get(point) {
                part += &format!("~{}", earlier + 1);
            }
            if l.points.len() > MANY_POINTS {
                parts.push(digest(part.as_bytes())[..2].to_string());
            }
            parts.push(part);
        }
        if parts.is_empty() { WHOLE.to_string() } else { parts.join("/") }
    }
}

/// A point in the name of a folder.
fn name(point: &Value) -> String {
    let exact = point.to_exact();
    match point {
        Value::Record(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(k, value)| format!("{k}={value}")).collect();
            marked(&fields.join(","), &exact, LONGEST_POINT)
        }
        // Of a path, what tells most.
        Value::Text(text) if text.contains('/') => {
            let last = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            marked(last, &exact, LONGEST_POINT)
        }
        other => safe(&other.to_string(), &exact, LONGEST_POINT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_and_differ_where_points_do() {
        assert_eq!(name(&Value::Float(0.1)), "0.1");
        assert_eq!(name(&"crime".into()), "crime");
        let file = name(&"data/crime.csv".into());
        assert!(file.starts_with("crime.csv") && file.len() > 12, "{file}");
        assert_ne!(file, name(&"other/crime.csv".into()));
        let record = Value::Record(vec![("a".into(), Value::Int(1)), ("b".into(), "x".into())]);
        assert!(name(&record).starts_with("a=1,b=x"), "{}", name(&record));
    }
}
