//! The outcome of a check as JSON.

use serde_json::{Value as Json, json};

use crate::cli::check::CheckReport;
use crate::cli::check::differences::{ComparedSide, Difference};
use crate::cli::check::verdict::{Cause, Finding};
use crate::job::lookup;
use crate::util::error::Exit;

pub(super) fn json(report: &CheckReport) -> Json {
    let CheckReport { job, verdict, files, .. } = report;
    let findings =
        |all: &[Finding]| all.iter().map(|each| finding(report, each)).collect::<Vec<_>>();
    let coordinates = |task: u64| lookup::coordinates_json(&job.nest, task);
    let failed = verdict.failed.iter().map(
        |(task, why)| json!({ "task": task, "coordinates": coordinates(*task), "error": why }),
    );
    let fields = verdict.fields.iter().map(|(name, field)| {
        json!({
            "field": name,
            "tasks": field.tasks,
            "task": field.task,
            "first": side(&field.difference.one),
            "second": side(&field.difference.other),
        })
    });
    let shared = files.shared.iter().map(|(name, tasks)| json!({ "file": name, "tasks": tasks }));
    let inherited = files.inherited.iter().map(
        |(name, reader, writer)| json!({ "file": name, "read_by": reader, "written_by": writer }),
    );
    json!({
        "name": job.name,
        "ok": report.exit() == Exit::Complete,
        "tasks": report.tasks,
        "calls": verdict.calls,
        "seconds": report.seconds,
        "passes": verdict.passes,
        "failed": failed.collect::<Vec<_>>(),
        "alone": findings(&verdict.alone),
        "varying_fields": fields.collect::<Vec<_>>(),
        "shared": findings(&verdict.shared),
        "cores": report.cores,
        "other_cores": report.other_cores,
        "by_cores": findings(&verdict.cores),
        "uncounted_files": files.uncounted,
        "changed_files": files.changed,
        "inherited_files": inherited.collect::<Vec<_>>(),
        "files_of_several_tasks": shared.collect::<Vec<_>>(),
        "unseen": files.gaps,
    })
}

fn finding(report: &CheckReport, finding: &Finding) -> Json {
    let call = &finding.call;
    json!({
        "task": call.task,
        "coordinates": lookup::coordinates_json(&report.job.nest, call.task),
        "depends_on": cause(finding.cause),
        "differences": finding.differences.iter().map(difference).collect::<Vec<_>>(),
        "pass": finding.pass,
        "workers": call.workers,
        "rank": call.place.rank,
        "thread": call.place.thread,
        "cores": call.place.cores,
        "position": call.position,
        "before": call.before,
    })
}

fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Chance => "chance",
        Cause::Before => "before",
        Cause::Neighbours => "neighbours",
        Cause::Worker => "worker",
        Cause::Cores => "cores",
    }
}

fn difference(difference: &Difference) -> Json {
    json!({
        "field": difference.field,
        "first": side(&difference.one),
        "other": side(&difference.other),
        "relative": difference.size(),
    })
}

fn side(side: &ComparedSide) -> Json {
    match side {
        ComparedSide::Value(value) => json!({ "value": value.to_json() }),
        ComparedSide::Absent => json!({}),
        ComparedSide::Failed(why) => json!({ "error": why }),
    }
}
