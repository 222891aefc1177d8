//! summary.json: each group with its coordinates, value, winner and counts. Written one group per line as it
//! is read, so memory does not grow with size; where a value is in a file of the store, that is named.

use std::io::Write;

use serde_json::{Value as Json, json};

use crate::job::{Job, named_json};
use crate::model::{GroupSummary, LoopNest, Value, json_object};
use crate::report::status;
use crate::report::text::finals::FinalCells;
use crate::store::Results;
use crate::util::error::{Error, Result};

/// Writes the groups of the levels that the job lists, outermost first, in grid order. With two loops, each data
/// set's group also lists its `all_runs`.
pub(crate) fn write_json(job: &Job, results: &Results, mut out: impl Write) -> Result<()> {
    let nest = results.nest();
    let loops = nest.loops().iter().map(|l| {
        json!({
            "name": l.name,
            "points": l.points.len(),
            "reduce": l.reduce.as_ref().map(|reduce| reduce.spelled().to_json()),
        })
    });
    let head =
        [("name", json!(job.name)), ("tasks", json!(nest.tasks())), ("loops", loops.collect())];
    writeln!(out, "{{").map_err(failed)?;
    for (key, value) in head {
        writeln!(out, "\"{key}\": {value},").map_err(failed)?;
    }
    let kept = results.kept()?;
    let has_kept = kept.is_some();
    if let Some(kept) = kept {
        writeln!(out, "\"kept\": {},", json!(kept)).map_err(failed)?;
    }
    let left_out = results.left_out()?;
    if !left_out.is_empty() {
        writeln!(out, "\"left_out\": {},", json!(left_out)).map_err(failed)?;
    }
    let (listed, unlisted) = job.groups.levels(nest);
    if !unlisted.is_empty() {
        let of_level =
            |level: &usize| json!({"over": over(nest, *level), "groups": nest.keys(*level)});
        let unlisted: Json = unlisted.iter().map(of_level).collect();
        writeln!(out, "\"groups_left_out\": {unlisted},").map_err(failed)?;
    }
    write!(out, "\"groups\": [").map_err(failed)?;
    let finals = FinalCells::of(results)?;
    let stopped = results.stopped()?;
    let mut first = true;
    for level in listed {
        results.summaries(level, |summary| {
            let mut entry = entry(results, &summary);
            let inside = stopped.inside(summary.key);
            if inside.stopped > 0 {
                entry["stopped"] = json!(inside.stopped);
                entry["skipped"] = json!(inside.skipped);
            }
            if has_kept {
                let kept = results.kept_runs(&stopped, summary.key)?;
                if kept > 0 {
                    entry["kept"] = json!(kept);
                }
            }
            if level == nest.outer()
                && let Some(made) = finals.json(summary.key.index)
            {
                entry["final"] = made;
            }
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            let entry = entry.to_string();
            let fields = entry.strip_suffix('}').unwrap_or(&entry);
            write!(out, "{comma}\n{fields}").map_err(failed)?;
            if level == 1 && nest.depth() == 2 {
                write!(out, ",\"all_runs\":[").map_err(failed)?;
                all_runs(results, &summary, &mut out)?;
                write!(out, "]").map_err(failed)?;
            }
            write!(out, "}}").map_err(failed)
        })?;
    }
    writeln!(out, "\n]\n}}").map_err(failed)?;
    out.flush().map_err(failed)
}

/// The name of the loop that groups at a level are over; `None` for runs.
fn over(nest: &LoopNest, level: usize) -> Option<&str> {
    nest.loops().get(level).map(|l| l.name.as_str())
}

fn entry(results: &Results, summary: &GroupSummary) -> Json {
    let nest = results.nest();
    let mut fields = vec![
        ("coordinates", named_json(&nest.coordinates(summary.key))),
        ("over", json!(over(nest, summary.key.level))),
        ("runs", json!(summary.runs)),
        ("failed", json!(summary.failed)),
        ("status", json!(status(results, summary))),
    ];
    fields.extend(summary.partial().map(|points| ("points", points.to_json())));
    match &summary.result {
        Ok(scored) => {
            let score = scored.score.map(|score| Value::Float(score).to_json());
            let best = nest.winners(summary.key, &scored.best);
            let indices = scored
                .best
                .iter()
                .map(|w| (nest.loops()[w.level].name.as_str(), json!(w.slot)))
                .filter(|(name, _)| best.iter().any(|(applies, _)| applies == name));
            fields.push((
                "summary",
                json!({
                    "value": scored.value.get().to_json(),
                    "score": score,
                    "best": named_json(&best),
                    "best_index": json_object(indices),
                }),
            ));
        }
        Err(why) => {
            fields.push(("summary", Json::Null));
            fields.push(("error", json!(why)));
        }
    }
    json_object(fields)
}

/// Writes the values of a group's runs in grid order, with commas between them; null for failed runs.
fn all_runs(results: &Results, summary: &GroupSummary, out: &mut impl Write) -> Result<()> {
    let mut first = true;
    results.runs(results.nest().tasks_below(summary.key), |run| {
        let value = run.result.map(|scored| scored.value).unwrap_or_default();
        let comma = if std::mem::take(&mut first) { "" } else { "," };
        let written = write!(out, "{comma}")
            .and_then(|()| value.json_pieces(&mut |json| out.write_all(json.as_bytes())));
        written.map_err(failed)
    })
}

fn failed(error: std::io::Error) -> Error {
    Error::unexpected(format!("JSON cannot be written: {error}"))
}
