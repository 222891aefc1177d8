//! Early stopping in a comparison: which runs are made follows from the scores of recorded ones, if these decide all
//! groups.

use std::path::Path;

use crate::cli::compare::Case;
use crate::cli::plan::durations::RecordedDurations;
use crate::job::Job;
use crate::master::virtual_time::{Simulation, SimulationResult, play};
use crate::model::{LoopNest, Order, StopRule, stop_of};
use crate::report::text::words;
use crate::store::ReusableRun;
use crate::util::stats::extent;
use crate::util::text::visible;

/// A job that stops points of a loop.
pub(super) struct StoppingCase {
    pub(super) nest: LoopNest,
    /// The loop whose points are stopped.
    pub(super) name: String,
    pub(super) rule: StopRule,
    /// How many groups it has, and how many of them the recorded runs decide.
    pub(super) groups: u64,
    pub(super) decided: u64,
    /// The number of runs that are made, if that is known: it may follow from the sizes of the loops alone.
    pub(super) made: Option<u64>,
    /// The score of each task that is asked for, or why that is not known.
    scores: Result<Vec<f64>, String>,
}

/// The recorded score of each task, or NaN. Empty where no points are stopped.
pub(super) struct RecordedScores(Vec<f64>);

impl RecordedScores {
    pub(super) fn of(job: &Job) -> RecordedScores {
        let tasks = stop_of(&job.nest).map_or(0, |_| job.nest.tasks());
        RecordedScores(vec![f64::NAN; tasks as usize])
    }

    pub(super) fn add(&mut self, run: &ReusableRun) {
        if let (Some(there), Some(score)) = (self.0.get_mut(run.task as usize), run.score) {
            *there = score;
        }
    }
}

impl StoppingCase {
    /// `None` if the job stops no points. `out` is the results folder, if one was read.
    pub(super) fn of(
        job: &Job,
        recorded: &RecordedDurations,
        (RecordedScores(scores), seconds): (RecordedScores, &[f64]),
        out: Option<&Path>,
    ) -> Option<StoppingCase> {
        let nest = job.nest.clone();
        let (level, rule) = stop_of(&nest)?;
        let decided = recorded.decided(job)?;
        let name = nest.loops()[level].name.clone();
        let (shortest, longest) = extent(seconds.iter().copied());
        let scores = match decided.exact {
            // Neither how many go on nor how long they take depends on which.
            Some(_) if shortest == longest => Ok(vec![0.0; scores.len()]),
            _ => not_decided(&name, job, recorded, out).map_or(Ok(scores), Err),
        };
        let made = match &scores {
            Ok(_) => decided.made(&nest).map(|made| made.runs),
            Err(_) => decided.exact,
        };
        let groups = decided.groups;
        Some(StoppingCase { nest, name, rule, groups, decided: decided.decided, made, scores })
    }

    /// Why it is not played.
    pub(super) fn why_not(&self) -> Option<&str> {
        self.scores.as_ref().err().map(String::as_str)
    }

    /// The job in virtual time, with the master's decisions.
    pub(super) fn play(&self, case: &Case) -> Option<SimulationResult> {
        let scores = self.scores.as_ref().ok()?;
        let simulation = Simulation {
            known: Some(&case.known),
            scores: Some(&|task| scores[task as usize]),
            require: case.job.policy.require,
            ..Simulation::flattened(&self.nest, case.workers, Order::Grid, None)
        };
        let played = play(&simulation, &|task| case.seconds[task as usize]);
        debug_assert_eq!(Some(played.tasks), self.made, "the same decisions");
        Some(played)
    }
}

/// Why the scores that are recorded do not say which points are stopped; `None` if they do.
fn not_decided(
    name: &str,
    job: &Job,
    recorded: &RecordedDurations,
    out: Option<&Path>,
) -> Option<String> {
    let decided = recorded.decided(job)?;
    let Some(out) = out else {
        return Some(format!(
            "which points of loop '{name}' are stopped depends on scores, and with --seconds no results folder is read. Run the job, then compare without --seconds."
        ));
    };
    let out = visible(&out.display().to_string());
    let again = "Run the job, then compare again.";
    if !decided.by_score {
        return Some(format!(
            "loop '{name}' compares something else than the score of a run, and it is judged by scores alone. --real measures it."
        ));
    }
    if recorded.recorded() == 0 {
        return Some(format!(
            "there are no runs in {out} whose scores decide which points of loop '{name}' are stopped. {again}"
        ));
    }
    if let Some(why) = recorded.refused() {
        return Some(format!(
            "a start would not use the runs in {out}, so their scores do not decide which points of loop '{name}' are stopped. It says: {why}."
        ));
    }
    if !decided.has_scores {
        return Some(format!(
            "the scores in {out} are not what the job now takes as the score of a run, so they do not decide which points of loop '{name}' are stopped. {again}"
        ));
    }
    if decided.decided == decided.groups {
        return None;
    }
    let failed = match recorded.failed() {
        0 => String::new(),
        failed => format!(", where {} failed and decide nothing", words::things(failed, "run")),
    };
    Some(format!(
        "{} of {} of loop '{name}' {} decided by the runs in {out}{failed}. {again}",
        words::count(decided.decided),
        words::things(decided.groups, "group"),
        if decided.decided == 1 { "is" } else { "are" },
    ))
}
