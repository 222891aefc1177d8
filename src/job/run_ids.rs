//! A name for each run that stays where the grid grows: it is made of the task's points, never of its number.

use std::collections::{BTreeMap, HashMap};

use crate::job::repeats::after_equals;
use crate::job::{CrunchSpec, Job, PlacedSource, WorkdirSpec, equal_points};
use crate::model::Points;

/// Names the runs of a job.
pub(crate) struct RunIds {
    /// By level, the points that have an equal one before them, and how many.
    repeats: BTreeMap<usize, HashMap<u64, u64>>,
}

impl Job {
    /// Whether runs are told their ids: programs always are, templates may ask.
    pub(crate) fn names_runs(&self) -> bool {
        let has_templates = |spec: &WorkdirSpec| {
            spec.files.iter().any(|file| matches!(file.source, PlacedSource::Template { .. }))
        };
        matches!(self.crunch, CrunchSpec::Command(_) | CrunchSpec::Shell(_))
            || self.workdir.as_ref().is_some_and(has_templates)
    }
}

impl RunIds {
    pub(crate) fn of(job: &Job) -> RunIds {
        let loops = job.nest.loops().iter().enumerate();
        let repeats = loops.filter_map(|(level, l)| {
            let repeats = repeats(&l.points);
            (!repeats.is_empty()).then_some((level, repeats))
        });
        RunIds { repeats: repeats.collect() }
    }

    /// The name of a task's run: a digest of what its seed is made of, but of all loops and without the job's seed.
    /// Equal points are told apart by which of them it is.
    pub(crate) fn of_task(&self, job: &Job, task: u64) -> String {
        let key = job.nest.task(task);
        let mut text = job.seeding.points_text(&job.nest, key);
        if !self.repeats.is_empty() {
            let points = job.nest.indices(key);
            for (level, repeats) in &self.repeats {
                if let Some(before) = repeats.get(&points[*level]) {
                    text += &format!("\n{} {before}", job.nest.loops()[*level].name);
                }
            }
        }
        blake3::hash(text.as_bytes()).to_hex()[..24].to_string()
    }
}

/// The points that have an equal one before them, and how many.
fn repeats(points: &Points) -> HashMap<u64, u64> {
    // A loop may have more points than could be looked at one by one.
    match points {
        Points::Random { .. } => {}
        others if equal_points(others).is_none() => return HashMap::new(),
        _ => {}
    }
    after_equals(points.len(), |point| points.get(point).to_json().to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn ids(loops: &str) -> Vec<String> {
        let text = format!("[crunch]\nshell = \"echo 1\"\n{loops}");
        let job = Job::parse(&text, Path::new("job.toml")).unwrap();
        let ids = RunIds::of(&job);
        (0..job.nest.tasks()).map(|task| ids.of_task(&job, task)).collect()
    }

    #[test]
    fn ids_stay_where_the_grid_grows_and_differ_at_equal_points() {
        let x = |values: &str| format!("[[loop]]\nname = \"x\"\nvalues = [{values}]\n");
        let small = ids(&x("1, 2, 2"));
        let large = ids(&x("0, 1, 2, 3, 2, 2"));
        assert_eq!(small[0], large[1]);
        assert_eq!(small[1..], [large[2].clone(), large[4].clone()]);
        let all: std::collections::BTreeSet<_> = large.iter().collect();
        assert_eq!(all.len(), large.len());
        assert!(small.iter().all(|id| id.len() == 24));
        let seeded = |seed: u64| {
            let text = format!("seed = {seed}\n[crunch]\nshell = \"echo 1\"\n{}", x("1"));
            let job = Job::parse(&text, Path::new("job.toml")).unwrap();
            RunIds::of(&job).of_task(&job, 0)
        };
        assert_eq!(seeded(1), seeded(2));
        let drawn =
            "[[loop]]\nname = \"x\"\nrandom = { count = 9, seed = 1, x = { choice = [1] } }\n";
        let all: std::collections::BTreeSet<_> = ids(drawn).into_iter().collect();
        assert_eq!(all.len(), 9);
        let was = format!("{}[[loop]]\nname = \"y\"\nvalues = [5, 6]\nwas = 5\n", x("1"));
        assert_eq!(ids(&was)[0], small[0]);
    }
}
