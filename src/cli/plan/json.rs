//! A plan as JSON.

use serde_json::{Value as Json, json};

use crate::cli::plan::PlanReport;
use crate::cli::plan::memory::MemoryOutlook;
use crate::cli::plan::prediction::{Prediction, Range};
use crate::cli::plan::slurm_request;
use crate::model::stop_of;
use crate::util::duration;

pub(super) fn json(outlook: &PlanReport) -> Json {
    let PlanReport { job, durations, reading, .. } = outlook;
    let nest = &job.nest;
    let loops = nest.loops().iter().map(|l| {
        json!({
            "name": l.name,
            "source": job.source(&l.name),
            "points": l.points.len(),
            "first": l.points.get(0).to_json(),
            "last": l.points.get(l.points.len() - 1).to_json(),
            "reduce": l.reduce.as_ref().map(|reduce| reduce.spelled().to_json()),
        })
    });
    let groups = nest.group_levels().map(|level| {
        let l = &nest.loops()[level];
        let (least, most) = nest.group_sizes(level);
        let mut group = json!({ "over": l.name, "groups": nest.keys(level), "of": most });
        if least < most {
            group["of_at_least"] = json!(least);
        }
        group
    });
    let mut json = json!({
        "name": job.name,
        "file": outlook.file,
        "folder": outlook.out,
        "loops": loops.collect::<Vec<_>>(),
        "tasks": nest.tasks(),
        "groups": groups.collect::<Vec<_>>(),
        "rows": nest.keys(nest.outer()),
        "left_out": nest.left_out_by_points(),
        "order": job.policy.order,
        "files": reading.files,
        "bytes": reading.bytes,
        "largest_data_set_bytes": reading.data_set,
        "task_bytes": reading.of_a_task,
        "kept_folders": outlook.kept.as_ref().and_then(|kept| kept.folders),
        "kept_bytes": outlook.kept.as_ref().and_then(|kept| kept.bytes),
        "memory": outlook.memory.as_ref().map(MemoryOutlook::json),
        "done": durations.done(),
        "left": durations.left(),
        "failed": durations.failed(),
        "refused": durations.refused().filter(|_| !outlook.fresh),
        "read_again": if outlook.fresh { 0 } else { durations.read_again() },
        "pilot": outlook.pilot.map(|(done, failed)| json!({ "done": done, "failed": failed })),
        "workers_here": outlook.here,
        "recorded_durations": durations.recorded(),
        "prediction": outlook.prediction.as_ref().map(prediction),
    });
    if let Some((level, rule)) = stop_of(nest) {
        json["stop"] = json!({ "loop": nest.loops()[level].name, "rule": rule.text() });
        json["skipped"] = json!(durations.skipped());
        let decided = durations.decided(&outlook.job);
        let made = decided.as_ref().and_then(|decided| decided.made(nest));
        json["stop"]["groups"] = json!(decided.as_ref().map(|decided| decided.groups));
        json["stop"]["decided"] = json!(decided.map(|decided| decided.decided));
        json["stop"]["runs"] = json!(made.map(|made| {
            json!({ "least": made.least, "expected": made.runs, "most": made.most, "exact": made.is_exact })
        }));
    }
    json
}

fn prediction(prediction: &Prediction) -> Json {
    let limit = |seconds: Range| slurm_request::limit(seconds.high, prediction.longest.high);
    let times = prediction.times.iter().map(|each| {
        json!({
            "workers": each.workers,
            "seconds": range(each.seconds),
            "utilisation": each.utilisation,
            "at_least_seconds": each.bound,
            "slurm_time": duration::limit(limit(each.seconds)),
        })
    });
    json!({
        "total_seconds": range(prediction.total),
        "longest_seconds": range(prediction.longest),
        "times": times.collect::<Vec<_>>(),
        "most_workers_of_use": prediction.enough,
        "suggested_workers": prediction.suggested,
        "played_tasks": prediction.played,
    })
}

/// A range that covers nine out of ten.
fn range(range: Range) -> Json {
    json!({ "low": range.low, "expected": range.middle, "high": range.high })
}
