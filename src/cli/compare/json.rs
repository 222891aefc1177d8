//! The comparison as JSON.

use serde_json::{Value as Json, json};

use crate::cli::compare::plays::{StrategyResult, StrategyResults};
use crate::cli::compare::words::{conclusion, median, tasks_run};
use crate::cli::compare::{Case, DurationSource};
use crate::job::named_json;
use crate::model::Key;

pub(super) fn json(case: &Case, lineup: &StrategyResults) -> Json {
    let loops: Vec<Json> = case
        .job
        .nest
        .loops()
        .iter()
        .map(|l| json!({ "name": l.name, "points": l.points.len() }))
        .collect();
    let (source, recorded) = match &case.source {
        DurationSource::Given => ("given", None),
        DurationSource::Sleep => ("sleep", None),
        DurationSource::Recorded(recorded, _) => ("recorded", Some(recorded)),
    };
    let mut json = json!({
        "job": case.job.name,
        "loops": loops,
        "tasks": case.job.nest.tasks(),
        "workers": case.workers,
        "durations": {
            "source": source,
            "recorded": recorded,
            "total_seconds": case.seconds.iter().sum::<f64>(),
            "longest_seconds": case.seconds.iter().copied().fold(0.0, f64::max),
        },
        "lower_bound_seconds": lineup.bound,
        "splits_tried": lineup.splits.tried,
        "splits": lineup.splits.of,
        "strategies": lineup.entries.iter().map(|entry| strategy(case, entry)).collect::<Vec<_>>(),
        "conclusion": conclusion(case, lineup),
    });
    if let Some(stopping) = &case.stopping {
        json["stop"] = json!({
            "loop": stopping.name,
            "rule": stopping.rule.text(),
            "groups": stopping.groups,
            "decided": stopping.decided,
            "not_compared": stopping.why_not(),
        });
    }
    json
}

fn strategy(case: &Case, entry: &StrategyResult) -> Json {
    let key = |key: Key| named_json(&case.job.nest.coordinates(key));
    let played = entry.played();
    let deadlock = entry.deadlock().map(|deadlock| {
        let waits = deadlock.waits.iter().map(|wait| {
            json!({
                "worker": wait.worker,
                "holds": key(wait.holds),
                "queued": wait.queued,
                "behind": wait.behind,
                "held_by": wait.held,
            })
        });
        json!({
            "at_seconds": deadlock.at,
            "tasks_done": deadlock.done,
            "first_in_queue": key(deadlock.first),
            "waits": waits.collect::<Vec<_>>(),
        })
    });
    let mut json = json!({
        "strategy": entry.which.name(),
        "makespan_seconds": played.map(|played| played.makespan),
        "busy_seconds": played.map(|played| played.busy),
        "utilisation": played.map(|played| played.utilisation(case.workers)),
        "idle_seconds": played.map(|played| played.idle(case.workers)),
        "first_group_seconds": played.and_then(|played| played.closed.first()),
        "median_group_seconds": played.and_then(|played| median(&played.closed)),
        "deadlock": deadlock,
        "measured_seconds": entry.measured.map(|measured| measured.seconds),
        "measured_failed": entry.measured.map(|measured| measured.failed),
    });
    if case.stopping.is_some() {
        json["tasks_run"] = json!(tasks_run(case, entry));
        json["measured_tasks_run"] = json!(entry.measured.map(|measured| measured.runs));
    }
    json
}
