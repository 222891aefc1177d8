//! The sentences of the report.

use crate::model::Key;
use crate::report::html::Facts;
use crate::report::model::durations::DurationStats;
use crate::report::model::timeline::StartTimeline;
use crate::report::text::words::{count, percent, runs_of, seconds, things};

/// Waiting is mentioned from this fraction of the time on.
const WORTH_TELLING: f64 = 0.01;

/// The progress of the job.
pub(crate) fn headline(facts: &Facts) -> String {
    let tasks = facts.reader.nest().tasks();
    let (there, failed) = facts.tally;
    let failed = match failed {
        0 => "none failed".to_string(),
        failed => format!("{} failed", count(failed)),
    };
    let runs = match facts.stopped.skipped(Key::ROOT) {
        0 => format!("{} of {} runs are there, {failed}.", count(there), count(tasks)),
        skipped => format!("{}, {failed}.", runs_of(there, skipped, tasks)),
    };
    let state = match facts.state.as_str() {
        "complete" if facts.has_gaps => "Finished, but not complete",
        "complete" => "Complete",
        "interrupted" => "Interrupted; it can be started again to go on",
        "stopped" => "Stopped, because too many runs failed",
        "merged" => "Merged from several folders",
        "running" => "Not complete: it runs just now, or was killed",
        other => other,
    };
    format!("{state}: {runs}")
}

/// Sentences about how a start used its workers; empty if it has no runs.
pub(crate) fn utilisation(facts: &Facts, session: &StartTimeline) -> Vec<String> {
    let Some((last, alone)) = session.last else {
        return vec![
            "This start has no run of its own: it made none, or they were replaced by later ones, or have no place in the job any more.".to_string(),
        ];
    };
    let (wall, workers) = (session.wall(), session.lanes.len());
    let busy = session.busy / (wall * workers as f64);
    let busy = percent(if busy.is_finite() { busy.min(1.0) } else { 1.0 });
    let mut text = format!(
        "{} {} busy {busy} of the time",
        things(workers as u64, "worker"),
        was(workers as u64)
    );
    if workers > 1 && alone > WORTH_TELLING * wall {
        let task = facts.task(last.task);
        text += &format!("; the last {} waited for task {} ({task})", seconds(alone), last.task);
    }
    let hosts =
        if session.hosts > 1 { format!(" on {} hosts", session.hosts) } else { String::new() };
    let mut all = vec![
        format!("{text}."),
        format!(
            "The makespan of {}{hosts}, from the start of the first to the end of the last, was {}.",
            things(session.attempts as u64, "run"),
            seconds(wall)
        ),
    ];
    let (bound, shared) = (session.bound, session.busy / workers as f64);
    let why = match bound > shared {
        true => "a run is not divided between workers",
        false => "the total time of the runs, divided by the number of workers",
    };
    if wall > 0.0 && bound > 0.0 && workers > 1 {
        all.push(format!(
            "The lower bound of the makespan, for any order of the runs, is {} ({why}); the makespan is {:.2} times that.",
            seconds(bound),
            (wall / bound).max(1.0)
        ));
    }
    let tail = session.tail();
    if workers > 1 && tail > WORTH_TELLING * wall && tail > 2.0 * alone {
        all.push(format!(
            "From {} before the end on, there was no longer a run for every worker.",
            seconds(tail)
        ));
    }
    if session.hosts > 1 {
        all.push("Times are by each host's own clock.".to_string());
    }
    all
}

fn was(number: u64) -> &'static str {
    if number == 1 { "was" } else { "were" }
}

fn has(number: u64) -> &'static str {
    if number == 1 { "has" } else { "have" }
}

/// A sentence about durations.
pub(crate) fn durations(facts: &Facts, durations: &DurationStats) -> String {
    let DurationStats { median, p95, longest, .. } = durations;
    format!(
        "Half of the runs took {} or less, 95 of 100 no more than {}; the longest, task {} ({}), took {}.",
        seconds(*median),
        seconds(*p95),
        longest.task,
        facts.task(longest.task),
        seconds(longest.seconds)
    )
}

/// What the score charts leave out.
pub(crate) fn left_out(facts: &Facts) -> Vec<String> {
    let landscape = &facts.landscape;
    let mut all = Vec::new();
    if landscape.families.is_empty() {
        all.push(
            "There are too many points to be drawn; all_runs in runs.sqlite has them.".to_string(),
        );
    }
    if landscape.more > 0 {
        all.push(match landscape.more {
            1 => "The points of another set of parameters are left out.".to_string(),
            more => format!("The points of {more} more sets of parameters are left out."),
        });
    }
    if landscape.missing > 0 {
        all.push(format!(
            "{} {} no score: what they are made of failed, is incomplete, not there yet, or gave none.",
            things(landscape.missing, "point"),
            has(landscape.missing)
        ));
    }
    if landscape.stopped > 0 {
        all.push(format!(
            "{} {} stopped early and {} no score; charts over one or two parameters have a hollow mark for each, which says why.",
            things(landscape.stopped, "point"),
            was(landscape.stopped),
            has(landscape.stopped)
        ));
    }
    if landscape.partial > 0 {
        all.push(match landscape.partial {
            1 => "The best with * is that of the points that have one, as require allows."
                .to_string(),
            partial => format!(
                "{} bests, with *, are those of the points that have one, as require allows.",
                count(partial)
            ),
        });
    }
    if landscape.missing > 0 && landscape.decided && landscape.is_open {
        all.push("What is marked is the best of the points that have one.".to_string());
    }
    if landscape.without_best > 0 {
        all.push(format!(
            "{} {} no best, and none is marked: fewer points have a score than require asks for (the table says more).",
            things(landscape.without_best, "row"),
            has(landscape.without_best)
        ));
    }
    if landscape.infinite > 0 {
        all.push(format!(
            "{} {} infinite and not drawn.",
            things(landscape.infinite, "score"),
            if landscape.infinite == 1 { "is" } else { "are" }
        ));
    }
    if !landscape.decided && !landscape.families.is_empty() {
        all.push(
            "No loop says with max or min which score is best, so none is marked.".to_string(),
        );
    }
    all
}
